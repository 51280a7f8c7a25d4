"""Odd, broken and hostile files: each is one clear line, at once, and takes no memory."""

import os
import time

import numpy as np
import onnx
import pytest
from bitexpert.flow import model_proto
from bitexpert.flow.model_file import ModelError, as_exported, load_model
from onnx import TensorProto, helper
from onnxnets import integers, net, node, save


def refused(path, match):
    for read in (load_model, as_exported):
        start = time.perf_counter()
        with pytest.raises(ModelError, match=match) as caught:
            read(path)
        assert time.perf_counter() - start < 5
        assert str(caught.value).isprintable()


def tensor(dims, kind=TensorProto.FLOAT, **content):
    made = TensorProto(name="w", data_type=kind, **content)
    made.dims.extend(dims)
    return made


RELU = [node("Relu", ["x"])]
TIMES = [node("Mul", ["x", "w"])]


# -- names and order -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("nodes", "match"),
    [
        (
            [node("Add", ["x", "b"], ["a"], name="one"), node("Relu", ["a"], ["b"]), node("Relu", ["b"])],
            "in a circle: one",
        ),
        ([node("Add", ["x", "y"], name="one")], r"in a circle: one \(Add\)"),
        ([node("Conv", ["x", "W"], name="one")], r"one \(Conv\) reads W, which nothing writes"),
        ([*RELU, node("Abs", ["x"], name="two")], r"two \(Abs\) writes y, which is written already"),
        ([node("Relu", ["x"], ["x"]), *RELU], "writes x, which is written already"),
        ([node("Relu", ["x"], [""], name="one"), *RELU], r"one \(Relu\) is no valid operator: .* empty string"),
        ([node("Relu", ["x"], ["z"])], "nothing writes the output y"),
        (
            [node("Relu", ["no\nwhere\x1b[31m"], name="a\nb")],
            r"a\?b \(Relu\) reads no\?where\?\[31m, which nothing writes",
        ),
    ],
)
def test_graphs_that_do_not_compute(nodes, match, tmp_path):
    refused(save(tmp_path, net(nodes)), match)


def test_two_constants_of_one_name(tmp_path):
    model = net(TIMES, {"w": 1.0})
    model.graph.initializer.append(model.graph.initializer[0])
    refused(save(tmp_path, model), "two constants or inputs have the same name, or none: w")


def test_nodes_in_any_order_and_with_one_name(tmp_path):
    path = save(tmp_path, net([node("Relu", ["a"], name="n"), node("Abs", ["x"], ["a"], name="n")]))
    model = load_model(path)
    assert [n.op_type for n in model.graph.node] == ["Abs", "Relu"]
    assert len({n.name for n in model.graph.node}) == 2
    assert [n.op_type for n in as_exported(path).graph.node] == ["Abs", "Relu"]


def test_too_many_nodes(tmp_path, monkeypatch):
    monkeypatch.setattr(model_proto, "_MOST_NODES", 2)
    nodes = [node("Abs", ["x"], ["a"]), node("Abs", ["a"], ["b"]), node("Relu", ["b"])]
    refused(save(tmp_path, net(nodes)), "holds 3 nodes; at most 2 are read")


# -- sizes ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((1, 2**40), r"the input x has the shape \[1, 1099511627776\]; at most"),
        ((1, 2**31, 2**31, 2**31), "the input x has the shape"),
        ((1, -3, 2, 2), r"dimension 1 of the input x is not fixed \(-3\)"),
        ((1, 2, 0, 2), r"dimension 2 of the input x is not fixed \(0\)"),
        ((1, "nan", 2, 2), r"dimension 1 of the input x is not fixed \(nan\)"),
        ((), "the input x has no shape"),
    ],
)
def test_sizes_of_the_input(shape, match, tmp_path):
    refused(save(tmp_path, net(RELU, shape=shape)), match)


@pytest.mark.parametrize("batch", ["batch", 0, -1, 8, 2**62])
def test_any_batch_becomes_1(batch, tmp_path):
    assert load_model(save(tmp_path, net(RELU, shape=(batch, 5)))).get_tensor_shape("y") == [1, 5]


@pytest.mark.parametrize(
    ("nodes", "constants", "match"),
    [
        (
            [node("Tile", ["x", "s"])],
            {"s": integers(1, 2**40, 1, 1)},
            r"y \(Tile\) makes a tensor of the shape \[1, 2199023255552",
        ),
        ([node("Pad", ["x", "s"])], {"s": integers(0, 0, -9, 0, 0, 0, 0, 0)}, r"y \(Pad\) makes a tensor of the shape"),
        (
            [node("Conv", ["x", "w"])],
            {"w": np.zeros((1, 2, 9, 9), np.float32)},
            r"y \(Conv\) makes a tensor of the shape",
        ),
        ([node("Expand", ["x", "s"])], {"s": integers(20, 2, 3, 3)}, "export with batch 1"),
        ([node("Reshape", ["x", "s"])], {"s": integers(2, 9)}, r"shape \[2, 9\] for one frame"),
        ([node("MaxPool", ["x"], kernel_shape=[2])], {}, r"y \(MaxPool\) makes cannot be found: .*kernel_shape has"),
        (
            [node("Expand", ["w", "s"], ["e"]), node("Mul", ["x", "e"])],
            {"w": 1.0, "s": integers(2**40)},
            r"e \(Expand\) makes a tensor of the shape \[1099511627776\]",
        ),
        (
            [
                *[node("Expand", ["w", "s"], [f"e{i}"]) for i in range(40)],
                node("Sum", ["x", *[f"e{i}" for i in range(40)]]),
            ],
            {"w": 1.0, "s": integers(2**22)},
            "fill the memory",
        ),
        (
            [node("ConstantOfShape", ["s"], ["e"]), node("Mul", ["x", "e"])],
            {"s": integers(2**40)},
            "a tensor of the shape",
        ),
    ],
)
def test_sizes_inside(nodes, constants, match, tmp_path, monkeypatch):
    monkeypatch.setattr("bitexpert.flow.constants.MOST_ELEMENTS", 1 << 24)
    refused(save(tmp_path, net(nodes, constants)), match)


# -- attributes that end the process, where nobody looks -----------------------------------------------
@pytest.mark.parametrize(
    "attributes",
    [{"strides": [0, 0]}, {"strides": [-1, 1]}, {"dilations": [0, 1]}, {"group": 0}, {"kernel_shape": [0, 3]}],
)
def test_divisors_of_0(attributes, tmp_path):
    conv = node("Conv", ["x", "w"], name="conv", **attributes)
    path = save(tmp_path, net([conv], {"w": np.zeros((2, 2, 3, 3), np.float32)}))
    refused(path, rf"conv \(Conv\) has {next(iter(attributes))} .*; it has to be at least 1")


def test_a_constant_that_divides_by_0(tmp_path):
    nodes = [node("Div", ["a", "b"], ["q"]), node("Reshape", ["x", "q"])]
    refused(save(tmp_path, net(nodes, {"a": integers(1, 1), "b": integers(0, 0)})), r"q \(Div\) divides by 0")


# -- kinds ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["UINT8", "INT64", "DOUBLE", "STRING", "BOOL"])
def test_types_of_the_input(kind, tmp_path):
    model = net([node("Identity", ["x"])], kind=TensorProto.DataType.Value(kind))
    refused(save(tmp_path, model), f"the input x is of the type {kind}; export with a float input")


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (tensor([2**20, 2**20]), r"the data of w have the shape \[1048576, 1048576\]; at most"),
        (tensor([-3, 3], raw_data=bytes(36)), r"the data of w have the shape \[-3, 3\]"),
        (tensor([3, 3]), r"the data of w are 0 numbers, where the shape \[3, 3\] needs 9"),
        (tensor([3, 3], raw_data=b"1234"), r"the data of w are 4 bytes, where the shape \[3, 3\] needs 36"),
        (tensor([1], raw_data=bytes(400)), r"the data of w are 400 bytes, where the shape \[1\] needs 4"),
        (tensor([2], TensorProto.STRING, string_data=[b"a", b"b"]), "the data of w are of the type STRING; use FLOAT"),
        (tensor([2], TensorProto.COMPLEX64, raw_data=bytes(16)), "of the type COMPLEX64; use FLOAT"),
        (tensor([2], 77, raw_data=bytes(8)), "of the type 77; use FLOAT"),
    ],
)
def test_weights_that_are_not_there(weights, match, tmp_path):
    refused(save(tmp_path, net(TIMES, {"w": weights})), match)


def test_a_constant_node_that_is_not_there(tmp_path):
    constant = node("Constant", [], ["w"], value=tensor([2**20]))
    refused(save(tmp_path, net([constant, *TIMES])), r"the data of w are 0 numbers, where the shape \[1048576\] needs")


def test_sparse_weights(tmp_path):
    model = net(RELU)
    model.graph.sparse_initializer.add().dims.extend([10])
    refused(save(tmp_path, model), "it holds sparse weights; export dense ones")


def test_text(tmp_path):
    path = save(tmp_path, net([node("Constant", [], ["s"], value_string="hi"), node("Identity", ["s"], ["t"]), *RELU]))
    refused(path, r"s \(Constant\) makes no numbers")


@pytest.mark.parametrize(
    ("broken", "match"),
    [
        (node("Foo", ["x"], name="foo"), r"foo \(Foo\) is no valid operator"),
        (node("Relu", [], name="foo"), r"foo \(Relu\) is no valid operator: .*input size 0"),
        (node("Relu", ["x"], name="foo", strength=3), r"foo \(Relu\) is no valid operator: .*strength"),
        (node("Quant", ["x"], name="foo"), r"foo \(Quant\) has 1 inputs instead of 4"),
        (
            node("Foo", ["x"], name="foo", domain="qonnx.custom_op.general"),
            "is no operator of the domain qonnx",
        ),
        (node("Foo", ["x"], name="foo", domain="com.acme"), "of the unknown domain 'com.acme'"),
        (node("Dropout", ["x", "r", "t"], name="foo"), r"foo \(Dropout\) is in training mode; call model.eval\(\)"),
        (node("Identity", ["r"], name="foo"), "its output does not depend on its input"),
    ],
)
def test_operators_that_are_none(broken, match, tmp_path):
    refused(save(tmp_path, net([broken], {"r": 0.5, "t": np.array(True)})), match)


def test_control_flow_and_functions(tmp_path):
    inner = helper.make_graph([node("Relu", ["x"], ["z"])], "inner", [], [helper.make_empty_tensor_value_info("z")])
    branches = node("If", ["c"], name="choice", then_branch=inner, else_branch=inner)
    refused(save(tmp_path, net([branches], {"c": np.array(True)})), r"choice \(If\) holds a graph of its own")
    model = net(RELU)
    body = [node("F", ["a"], ["b"], domain="f")]
    model.functions.append(helper.make_function("f", "F", ["a"], ["b"], body, model.opset_import))
    refused(save(tmp_path, model), r"it holds functions \(F\); inline them with")


# -- opsets --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("opsets", "match"),
    [
        ([], "name one opset of ONNX's operators, not none"),
        ([("", 13), ("ai.onnx", 14)], "name one opset of ONNX's operators, not 13, 14"),
        ([("", 6)], "its opset 6 cannot be executed; export with opset 7 to"),
        ([("", 2**40)], "its opset 1099511627776 cannot be executed"),
    ],
)
def test_opsets_that_cannot_be_executed(opsets, match, tmp_path):
    model = net(RELU)
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*o) for o in opsets)
    refused(save(tmp_path, model), match)


def test_the_opset_of_the_operators_is_found_wherever_it_stands(tmp_path):
    """Unsqueeze has its axes as an attribute up to opset 12, as an input from 13 on."""
    model = net([node("Unsqueeze", ["w", "a"], ["u"]), node("Mul", ["x", "u"])], {"w": [2.0], "a": integers(0)})
    del model.opset_import[:]
    pairs = [("qonnx.custom_op.general", 2), ("ai.onnx", 13), ("", 13)]
    model.opset_import.extend(helper.make_opsetid(*pair) for pair in pairs)
    loaded = load_model(save(tmp_path, model))
    assert [n.op_type for n in loaded.graph.node] == ["Mul"]


# -- files ---------------------------------------------------------------------------------------------
def test_what_is_no_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused(pipe, "is not a file; give the .onnx file")
    large = tmp_path / "large.onnx"
    with large.open("wb") as file:
        file.truncate(1 << 32)
    refused(large, "is larger than 2 GB")


def test_names_that_are_no_text(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(net([node("Relu", ["x"], name="cafe")]).SerializeToString().replace(b"cafe", b"caf\xe9"))
    refused(path, "it holds names that are no text")


@pytest.mark.parametrize("part", np.linspace(0.01, 0.99, 25))
def test_truncated_bytes(part, tmp_path):
    whole = net([node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"])], {"w": np.ones((2, 2, 3, 3), np.float32)})
    data = whole.SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(data[: int(len(data) * part)])
    refused(path, "model.onnx")


def test_bytes_that_changed(tmp_path):
    """Whatever a changed byte makes of a file: it loads, or it is one line."""
    whole = net([node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"])], {"w": np.ones((2, 2, 3, 3), np.float32)})
    data, rng = whole.SerializeToString(), np.random.default_rng(0)
    path = tmp_path / "model.onnx"
    outcomes = set()
    for place in rng.integers(0, len(data), 150):
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            load_model(path)
            outcomes.add("loaded")
        except ModelError as error:
            outcomes.add("refused" if str(error).isprintable() else str(error))
    assert outcomes == {"loaded", "refused"}


# -- external data -------------------------------------------------------------------------------------
@pytest.fixture
def external(tmp_path):
    """A model whose weights lie beside it; returns its path and a function that rewrites where they lie."""
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "model.onnx"
    onnx.save(
        net(TIMES, {"w": np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)}),
        str(path),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )

    def rewrite(**entries):
        model = onnx.load(str(path), load_external_data=False)
        places = model.graph.initializer[0].external_data
        kept = {e.key: e.value for e in places} | entries
        del places[:]
        for key, value in kept.items():
            places.add(key=key, value=value)
        path.write_bytes(model.SerializeToString())

    return path, rewrite


def test_external_data_are_brought_in(external):
    path, _ = external
    assert np.array_equal(load_model(path).get_initializer("w").reshape(-1), np.arange(9))


@pytest.mark.parametrize(
    "location",
    ["../weights.bin", "/etc/passwd", "", "a/../../weights.bin", "\0", "x" * 5000],
    ids=lambda name: name[:20].encode().hex(),
)
def test_external_data_outside_the_folder(location, external):
    path, rewrite = external
    (path.parent / "weights.bin").rename(path.parent.parent / "weights.bin")
    rewrite(location=location)
    refused(path, r"lie outside its folder .*; refused|is missing; copy it along")


@pytest.mark.parametrize("folder", [False, True])
def test_external_data_behind_a_link(folder, external, tmp_path):
    path, rewrite = external
    outside = tmp_path / "outside"
    outside.mkdir()
    (path.parent / "weights.bin").rename(outside / "weights.bin")
    if folder:
        (path.parent / "sub").symlink_to(outside)
        rewrite(location="sub/weights.bin")
    else:
        (path.parent / "weights.bin").symlink_to(outside / "weights.bin")
    refused(path, r"lie outside its folder .*; refused")


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ({"offset": "-1"}, "36 bytes from -1, where its shape needs 36"),
        ({"offset": "1000000000000"}, "is too short; copy it again"),
        ({"offset": "4"}, "is too short; copy it again"),
        ({"length": "1000000000000"}, "is 1000000000000 bytes from 0, where its shape needs 36"),
        ({"length": "nan"}, "is no number"),
        ({"location": "weights"}, "is missing; copy it along"),
        ({"location": "."}, "is missing; copy it along"),
    ],
)
def test_places_of_external_data(entries, match, external):
    path, rewrite = external
    rewrite(**entries)
    refused(path, match)


def test_external_data_in_a_pipe(external):
    path, _ = external
    (path.parent / "weights.bin").unlink()
    os.mkfifo(path.parent / "weights.bin")
    refused(path, "is missing; copy it along")
