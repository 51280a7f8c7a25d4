import numpy as np
import pytest
from bitexpert.flow.execute import execute_one_by_one
from bitexpert.flow.model_file import load_model
from bitexpert.flow.streamline import streamline
from bitexpert.flow.ties import undecided
from onnx import TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"


def save(path, weights, *behind, kind=TensorProto.FLOAT):
    """Bits times weights, and what stands behind: (op, inputs, outputs, attributes), from ``acc`` to ``y``."""
    constants = {"w": weights, "one": [1.0], "step": 1.0, "none": 0.0, "bits": 2.0, "tenth": 0.1}
    nodes = [
        helper.make_node("BipolarQuant", ["x", "one"], ["signs"], name="in", domain=QONNX),
        helper.make_node("MatMul", ["signs", "w"], ["acc"], name="layer"),
    ]
    for op, inputs, outputs, attributes in behind:
        domain = QONNX if "Quant" in op else ""
        nodes.append(helper.make_node(op, inputs, outputs, name=op.lower(), domain=domain, **attributes))
    tensors = [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items()]
    tensors.append(numpy_helper.from_array(np.array([2]), "k"))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, len(weights)])
    y = helper.make_tensor_value_info("y", kind, None)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(QONNX, 1)]
    graph = helper.make_graph(nodes, "tie", [x], [y], tensors)
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return load_model(path)


SIGN = ("BipolarQuant", ["acc", "one"], ["y"], {})


def rows(count, width, plus):
    """Frames with so many +1."""
    rng = np.random.default_rng(0)
    row = np.repeat([1, -1], [plus, width - plus])
    return np.stack([rng.permutation(row) for _ in range(count)]).reshape(count, 1, 1, width)


def test_a_sum_that_should_be_0_hangs_on_the_order_of_adding(tmp_path):
    model = save(tmp_path / "m.onnx", np.full((20, 1), 0.1), SIGN)
    frames = rows(200, 20, 10)
    exported = execute_one_by_one(model, frames.reshape(200, 20).astype(np.float32)).reshape(-1)
    assert set(exported) == {-1.0, 1.0}, "float32 sums of 0.1 came out exact here: choose another number"
    assert undecided(model, frames).all()
    streamline(model, frames)  # such frames stop no build


@pytest.mark.parametrize("plus", [9, 11, 20])
def test_other_sums_are_decided(tmp_path, plus):
    model = save(tmp_path / "m.onnx", np.full((20, 1), 0.1), SIGN)
    assert not undecided(model, rows(20, 20, plus)).any()


def test_levels_of_more_bits(tmp_path):
    quant = ("Quant", ["acc", "step", "none", "bits"], ["y"], {"signed": 0, "narrow": 0, "rounding_mode": "ROUND"})
    model = save(tmp_path / "m.onnx", np.full((5, 1), 0.1), quant)
    assert undecided(model, rows(4, 5, 5)).all()  # 0.5 is as far from 0 as from 1
    assert not undecided(model, rows(4, 5, 4)).any()


@pytest.mark.parametrize(("op", "end"), [("ArgMax", {"axis": 1}), ("TopK", {"axis": 1})])
def test_scores_that_are_equal(tmp_path, op, end):
    weights = np.tile([0.1, 0.1, -0.1], (3, 1))  # two classes are equal, and first or last
    behind = (op, ["acc"], ["y"], end) if op == "ArgMax" else (op, ["acc", "k"], ["values", "y"], end)
    model = save(tmp_path / "m.onnx", weights, behind, kind=TensorProto.INT64)
    frames = np.array([[1, 1, 1], [1, 1, -1], [-1, -1, 1], [-1, -1, -1]]).reshape(4, 1, 1, 3)
    first = frames.reshape(4, 3).sum(axis=1) > 0
    assert undecided(model, frames).tolist() == (first if op == "ArgMax" else np.ones(4, bool)).tolist()


@pytest.mark.parametrize("step", [1.0, 0.25, -3.0])
def test_exact_sums_are_never_excused(tmp_path, step):
    """Small integers times a power of two: whatever the order, float32 adds them without rounding."""
    quant = ("Quant", ["acc", "step", "none", "bits"], ["y"], {"signed": 0, "narrow": 0, "rounding_mode": "ROUND"})
    signs = save(tmp_path / "signs.onnx", np.full((20, 1), step), SIGN)
    assert not undecided(signs, rows(20, 20, 10)).any()
    halves = save(tmp_path / "halves.onnx", np.full((5, 1), step / 2), quant)
    assert not undecided(halves, rows(4, 5, 3)).any()


def test_equal_scores_that_are_exact_go_to_the_first(tmp_path):
    model = save(tmp_path / "m.onnx", np.ones((3, 2)), ("ArgMax", ["acc"], ["y"], {"axis": 1}), kind=TensorProto.INT64)
    assert not undecided(model, rows(4, 3, 2)).any()


def test_a_scale_behind_exact_sums_leaves_them_exact(tmp_path):
    behind = (("Mul", ["acc", "tenth"], ["scaled"], {}), ("BipolarQuant", ["scaled", "one"], ["y"], {}))
    model = save(tmp_path / "m.onnx", np.ones((20, 1)), *behind)
    assert not undecided(model, rows(20, 20, 10)).any()


def test_no_frames():
    assert undecided(None, np.zeros((0, 1, 1, 3))).shape == (0,)
