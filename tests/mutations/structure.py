"""Other nodes, other attributes, other wires, graphs that are too large or hold graphs."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from .base import FLOATS, QONNX, Broken, mutator, one_of, set_numbers


# -- the graph -----------------------------------------------------------------------------------------
@mutator
def dropped_node(model, rng):
    node = one_of(rng, model.graph.node)
    source, gone = (node.input or [""])[0], list(node.output)
    model.graph.node.remove(node)
    if rng.random() < 0.6:  # what read it reads its input
        for other in model.graph.node:
            for i, name in enumerate(other.input):
                if name in gone:
                    other.input[i] = source
        if model.graph.output[0].name in gone:
            model.graph.output[0].name = source


@mutator
def another_order(model, rng):
    """The same network; its nodes stand in any order."""
    nodes = [model.graph.node[int(i)] for i in rng.permutation(len(model.graph.node))]
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


@mutator
def rewired(model, rng):
    """A node reads or writes another tensor: cycles, tensors written twice or by nobody."""
    node = one_of(rng, model.graph.node)
    tensors = [t for n in model.graph.node for t in (*n.input, *n.output)] + ["x", "nowhere", ""]
    names = node.output if rng.random() < 0.2 else node.input
    action = rng.integers(4)
    if action == 0 and len(names) > 1:
        names[0], names[1] = names[1], names[0]
    elif action == 1:
        names.append(one_of(rng, tensors))
    elif action == 2 and len(names) > 1:
        del names[-1]
    elif names:
        names[int(rng.integers(len(names)))] = one_of(rng, tensors)


@mutator
def doubled_node(model, rng):
    """A node once more: in a row with itself, or as it is."""
    node = one_of(rng, model.graph.node)
    copy = model.graph.node.add()
    copy.CopyFrom(node)
    if rng.random() < 0.7:
        copy.name += one_of(rng, ["", "_again"])
        copy.output[0] = "again"
        reader = one_of(rng, [n for n in model.graph.node if node.output[0] in n.input] or [copy])
        for i, name in enumerate(reader.input):
            if name == node.output[0]:
                reader.input[i] = "again"
        if rng.random() < 0.5:
            copy.input[0] = node.output[0]


_KINDS = (
    "Relu", "Sigmoid", "Softmax", "MaxPool", "AveragePool", "GlobalAveragePool", "Transpose", "Sign", "Neg", "Abs",
    "Floor",
    "Cast", "Identity", "Dropout", "Shape", "Size", "NonZero", "Flatten", "Squeeze", "Unsqueeze", "ArgMax", "Conv",
    "Gemm",
    "MatMul", "Add", "Sub", "Mul", "Div", "Pow", "Max", "Concat", "Split", "Slice", "Gather", "Tile", "Expand",
    "Reshape", "Pad",
    "Clip", "PRelu", "LeakyRelu", "BatchNormalization", "ReduceMean", "ReduceSum", "Quant", "IntQuant",
    "BipolarQuant", "Trunc",
    "MultiThreshold", "ExpertConv", "ConvTranspose", "ConstantOfShape", "RandomNormal", "If", "Loop", "LSTM", "Evil",
)  # fmt: skip


@mutator
def another_kind(model, rng):
    node = one_of(rng, model.graph.node)
    node.op_type = one_of(rng, _KINDS)
    node.domain = one_of(rng, ["", node.domain, QONNX, "finn", "bitexpert.flow.custom_op", "com.evil"])


@mutator
def inserted_node(model, rng):
    """An operator of one input between two nodes."""
    node = one_of(rng, model.graph.node)
    place = int(rng.integers(len(node.input)))
    attributes = one_of(
        rng,
        [
            ("Relu", {}),
            ("LeakyRelu", {"alpha": float(one_of(rng, FLOATS))}),
            ("Identity", {}),
            ("Neg", {}),
            ("Sign", {}),
            ("Cast", {"to": int(rng.integers(0, 24))}),
            ("Transpose", {}),
            ("Transpose", {"perm": [int(i) for i in rng.permutation(4)]}),
            ("Flatten", {"axis": int(rng.integers(-3, 4))}),
            ("MaxPool", {"kernel_shape": [2, 2], "ceil_mode": 1, "auto_pad": "SAME_LOWER"}),
            ("MaxPool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "dilations": [2, 1]}),
            ("AveragePool", {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1], "count_include_pad": int(rng.integers(2))}),
            ("GlobalAveragePool", {}),
            ("GlobalMaxPool", {}),
            ("ArgMax", {"axis": int(rng.integers(-2, 4)), "keepdims": int(rng.integers(2))}),
            ("Shape", {}),
            ("Softmax", {}),
            ("Dropout", {}),
            ("LRN", {"size": 3}),
            ("Clip", {}),
            ("Abs", {}),
            ("Floor", {}),
            ("DepthToSpace", {"blocksize": 2}),
            ("ReduceMean", {"axes": [2, 3]}),
        ],
    )
    made = model.graph.node.add()
    made.CopyFrom(helper.make_node(attributes[0], [node.input[place]], ["inserted"], "inserted", **attributes[1]))
    node.input[place] = "inserted"


_ATTRIBUTES = (
    ("pads", [1, 2, 0, 1]), ("pads", [-1, 0, 0, 0]), ("pads", [0, 1]), ("pads", [1 << 30] * 4), ("strides", [3, 2]),
    ("strides", [0, 1]),
    ("strides", [1 << 40, 1]), ("dilations", [2, 3]), ("dilations", [1 << 30, 1]), ("group", 2), ("group", 0),
    ("group", -1),
    ("kernel_shape", [2, 2]), ("kernel_shape", [1 << 20, 1 << 20]), ("kernel_shape", [1]), ("auto_pad", "SAME_LOWER"),
    ("auto_pad", "VALID"), ("auto_pad", "EVIL"), ("ceil_mode", 1), ("axis", -1), ("axis", 0), ("axis", 99),
    ("perm", [0, 0, 0, 0]),
    ("perm", [0, 2, 3, 1]), ("alpha", float("nan")), ("alpha", -0.5), ("beta", float("inf")), ("transA", 1),
    ("transB", 1),
    ("signed", 0), ("signed", 1), ("narrow", 1), ("rounding_mode", "FLOOR"), ("rounding_mode", "EVIL\n"),
    ("rounding_mode", "CEIL"),
    ("epsilon", -1.0), ("epsilon", float("nan")), ("training_mode", 1), ("momentum", 2.0), ("mode", "reflect"),
    ("largest", 0), ("sorted", 0),
    ("select_last_index", 1), ("keepdims", 0), ("out_dtype", "EVIL"), ("out_dtype", "INT3"), ("out_scale", 2.0),
    ("out_bias", -0.5),
    ("out_scale", 0.0), ("data_layout", "NHWC"), ("n_experts", 3), ("n_experts", 0), ("out_channels", 1),
    ("pad_value", -1.0),
    ("pad_value", 0.5), ("count_include_pad", 1), ("storage_order", 1), ("allowzero", 1), ("k", 3),
    ("output_dtype", "BIPOLAR"),
)  # fmt: skip


@mutator
def another_attribute(model, rng):
    """An attribute that the node has, or that others of its kind have, gets another value, type, or goes."""
    node = one_of(rng, model.graph.node)
    name, value = one_of(rng, _ATTRIBUTES)
    own = [a.name for a in node.attribute]
    if own and rng.random() < 0.6:
        name = one_of(rng, own)
        fitting = [v for n, v in _ATTRIBUTES if n == name]
        value = one_of(rng, fitting) if fitting and rng.random() < 0.7 else value
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    if rng.random() < 0.85:
        node.attribute.append(helper.make_attribute(name, value))


@mutator
def huge(model, rng):
    """Few bytes that ask for much memory or time."""
    big = int(one_of(rng, [1 << 14, 1 << 20, 1 << 27, 1 << 31, 1 << 40, (1 << 62) - 1]))
    node = one_of(rng, [n for n in model.graph.node if n.input])
    source = node.input[0]
    constant = TensorProto(name="big", data_type=TensorProto.INT64, dims=[4])
    kind = int(rng.integers(10))
    tensor = one_of(rng, model.graph.initializer)
    if kind == 0:
        tensor.dims.append(big)
        return
    if kind == 1:
        set_numbers(tensor, np.zeros((1 << 22,), np.float32))
        return
    numbers, made = {
        2: ([1, 1, big, 1], helper.make_node("Tile", [source, "big"], ["made"])),
        3: ([0, 0, big, 0, 0, 0, 0, big], helper.make_node("Pad", [source, "big"], ["made"])),
        4: ([1, big, big, 1], helper.make_node("Expand", [source, "big"], ["made"])),
        5: ([big], helper.make_node("ConstantOfShape", ["big"], ["made"])),
        6: ([1, 1, 1, 1], helper.make_node("MaxPool", [source], ["made"], kernel_shape=[big, big])),
        7: ([1, 1, 1, 1],
        helper.make_node("AveragePool", [source], ["made"], kernel_shape=[2, 2], pads=[0, 0, big, big])),
        8: ([1, big], helper.make_node("Reshape", [source, "big"], ["made"])),
        9: ([0, big, 1], helper.make_node("Gather", [source, "big"], ["made"], axis=1)),
    }[kind]  # fmt: skip
    constant.CopyFrom(numpy_helper.from_array(np.array(numbers, np.int64), "big"))
    model.graph.initializer.append(constant)
    made.name = "made"
    model.graph.node.append(made)
    node.input[0] = "made"
    return


@mutator
def long_chain(model, rng):
    """Very many nodes of one kind in a row."""
    count, kind = int(one_of(rng, [300, 1200, 30000])), one_of(rng, ["Identity", "Relu", "Neg", "Dropout"])
    node = model.graph.node[-1]
    name = node.input[0]
    for i in range(count):
        model.graph.node.append(helper.make_node(kind, [name], [f"c{i}"], f"c{i}"))
        name = f"c{i}"
    node.input[0] = name


@mutator
def with_a_graph(model, rng):
    """Control flow, functions, sparse constants, training: what has no place in a network of layers."""
    node, graph = one_of(rng, model.graph.node), onnx.GraphProto()
    graph.CopyFrom(model.graph)
    match int(rng.integers(5)):
        case 0:
            node.attribute.append(AttributeProto(name="then_branch", type=AttributeProto.GRAPH, g=graph))
        case 1:
            node.op_type, node.domain = "Loop", ""
            node.attribute.append(AttributeProto(name="body", type=AttributeProto.GRAPH, g=graph))
        case 2:
            nodes = [helper.make_node("Relu", ["a"], ["b"])]
            opset = [helper.make_opsetid("", 13)]
            model.functions.append(helper.make_function(node.domain, node.op_type, ["a"], ["b"], nodes, opset))
        case 3:
            model.training_info.add().algorithm.CopyFrom(graph)
        case _:
            # a graph in an attribute of a node of a graph, 5000 times: field numbers of onnx.proto
            inside = b""
            for tag in b"\x32\x2a\x0a" * 5000:
                inside = bytes([tag]) + _varint(len(inside)) + inside
            return Broken(model.SerializeToString() + b"\x3a" + _varint(len(inside)) + inside)
    return None


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])
