"""Names that break out of what they stand in, and what a file says of itself."""

from __future__ import annotations

from onnx import TensorProto, helper

from .base import HOSTILE, Broken, mutator, one_of


# -- names ---------------------------------------------------------------------------------------------
def _rename_tensor(model, old, new):
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new
    for items in (graph.initializer, graph.input, graph.output, graph.value_info):
        for item in items:
            if item.name == old:
                item.name = new
    for note in graph.quantization_annotation:
        if note.tensor_name == old:
            note.tensor_name = new


@mutator
def hostile_names(model, rng):
    """Nothing but names changes, all of them: the network still is what it was."""
    graph, used = model.graph, []

    def name(kind):
        wanted = f"{one_of(rng, HOSTILE)}{one_of(rng, ['', '_', ' ', chr(10)])}"
        wanted = wanted if wanted not in used else f"{wanted}{kind}{len(used)}"
        used.append(wanted)
        return wanted

    for node in graph.node:
        node.name = name("n")
    tensors = sorted({t for n in graph.node for t in (*n.input, *n.output) if t})
    for tensor in tensors:
        _rename_tensor(model, tensor, name("t"))
    graph.name, graph.doc_string, model.producer_name, model.domain = (name("g") for _ in range(4))
    for key in ("network", "class_names", name("k")):
        entry = next((p for p in model.graph.metadata_props if p.key == key), None) or model.graph.metadata_props.add(
            key=key
        )
        entry.value = name("v")
    return Broken(model.SerializeToString(), hostile=[*HOSTILE, *used])


@mutator
def hostile_name(model, rng):
    """One name, of whatever, that need not fit the others."""
    bad = one_of(rng, HOSTILE)
    node = one_of(rng, model.graph.node)
    match int(rng.integers(8)):
        case 0:
            node.name = bad
        case 1:
            node.op_type = bad
        case 2:
            node.domain = bad
        case 3:
            node.input[int(rng.integers(len(node.input)))] = bad
        case 4:
            node.attribute.append(helper.make_attribute(bad, one_of(rng, [1, 1.5, bad])))
        case 5:
            model.graph.output[0].name = bad
        case 6:
            model.graph.input[0].name = bad
        case _:
            model.opset_import[-1].domain = bad
    return Broken(model.SerializeToString(), hostile=list(HOSTILE))


@mutator
def same_names(model, rng):
    """Nodes without names, or all with one."""
    name = one_of(rng, ["", "same", "Conv_0", "x", "t0"])
    for node in model.graph.node:
        if rng.random() < 0.8:
            node.name = name


# -- what is said about the network --------------------------------------------------------------------
@mutator
def metadata(model, rng):
    """Keys that bitexpert itself writes, and what it would not write there."""
    for _ in range(int(rng.integers(1, 4))):
        key = one_of(
            rng,
            ["top_k", "output_scale", "output_bias", "output_order", "input_element", "input_scale", "input_offset",
             "input_low",
             "input_high", "input_layout", "class_names", "network", "exec_mode", "evil"],
        )  # fmt: skip
        value = one_of(
            rng,
            ["2", "0", "-1", "0.5", "nan", "Infinity", "[1, 2", "[2, 1, 0]", "[0, 0, 0]", "uint<4>", "uint<64>",
             "bipolar", "evil\n",
             "", "1e400", "[]", "{}", "null", '"a"', "NHWC", "9" * 5000],
        )  # fmt: skip
        entry = next((p for p in model.graph.metadata_props if p.key == key), None) or model.graph.metadata_props.add(
            key=key
        )
        entry.value = value
    return Broken(model.SerializeToString(), hostile=list(HOSTILE))


@mutator
def annotation(model, rng):
    """A tensor is said to be of a type that it may not have."""
    tensors = [t for n in model.graph.node for t in (*n.input, *n.output)] + ["x", "x", "x", "nowhere"]
    note = model.graph.quantization_annotation.add(tensor_name=one_of(rng, tensors))
    key = one_of(rng, ["finn_datatype", "finn_datatype", "tensor_layout", "evil"])
    kinds = [
        "UINT8", "INT8", "BIPOLAR", "BINARY", "TERNARY", "INT1", "UINT1", "UINT64", "INT3", "FLOAT32", "FLOAT16",
        "FIXED<8,4>",
        "SCALEDINT<8>", "EVIL", "", "INT", "INT0", "INT-3", "INT999999999999", "['N', 'H', 'W', 'C']",
        "__import__('os')",
    ]  # fmt: skip
    note.quant_parameter_tensor_names.add(key=key, value=one_of(rng, kinds))


@mutator
def value_info(model, rng):
    """A shape inside is said to be what it is not."""
    for _ in range(int(rng.integers(1, 4))):
        node = one_of(rng, model.graph.node)
        shape = [int(one_of(rng, [1, 1, 2, 3, 6, 0, -1, 1 << 40])) for _ in range(int(rng.integers(0, 5)))]
        kind = int(one_of(rng, [TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING]))
        model.graph.value_info.append(helper.make_tensor_value_info(node.output[0], kind, shape))


@mutator
def opsets(model, rng):
    action = rng.integers(4)
    if action == 0:
        model.opset_import[0].version = int(
            one_of(rng, [0, 1, 6, 7, 9, 10, 11, 12, 14, 17, 18, 20, 22, 99, -1, 1 << 40])
        )
    elif action == 1:
        del model.opset_import[:]
    elif action == 2:
        model.opset_import.add(domain=one_of(rng, ["", "ai.onnx", "com.evil"]), version=int(rng.integers(0, 30)))
    else:
        model.ir_version = int(one_of(rng, [0, 1, 3, 4, 99, 1 << 40]))
