import numpy as np
import pytest
import torch
from bitexpert.flow.exact import run_exactly, undecided
from bitexpert.flow.model_file import load_model
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper


def model(node, constants, x_shape, y_shape, *more):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, x_shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, y_shape)
    tensors = [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items()]
    graph = helper.make_graph([node, *more], "g", [x], [y], tensors)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize(
    ("attributes", "groups", "out"),
    [
        ({"pads": [1, 0, 2, 1]}, 1, (8, 7)),
        ({"strides": [2, 3], "dilations": [2, 1]}, 2, (2, 2)),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, 4, (4, 4)),
    ],
)
def test_convolutions_equal_torch(attributes, groups, out):
    rng = np.random.default_rng(0)
    x, w, bias = rng.normal(size=(3, 4, 7, 8)), rng.normal(size=(8, 4 // groups, 3, 3)), rng.normal(size=8)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], group=groups, **attributes)
    proto = model(node, {"w": w, "b": bias}, [3, 4, 7, 8], [3, 8, *out])
    found = run_exactly(ModelWrapper(proto), {"x": x.astype(np.float32)})["y"]
    pads = attributes.get("pads", [0, 0, 0, 0] if "auto_pad" not in attributes else [1, 0, 1, 1])
    padded = torch.nn.functional.pad(
        torch.from_numpy(x.astype(np.float32)).double(), (pads[1], pads[3], pads[0], pads[2])
    )
    expected = torch.nn.functional.conv2d(
        padded,
        torch.from_numpy(w.astype(np.float32)).double(),
        torch.from_numpy(bias.astype(np.float32)).double(),
        stride=attributes.get("strides", 1),
        dilation=attributes.get("dilations", 1),
        groups=groups,
    )
    assert found.dtype == np.float32
    assert np.array_equal(found, expected.float().numpy())


def test_linear_layers():
    rng = np.random.default_rng(1)
    x, w, c = rng.normal(size=(2, 5)), rng.normal(size=(4, 5)), rng.normal(size=4)
    node = helper.make_node("Gemm", ["x", "w", "c"], ["y"], transB=1, alpha=0.5, beta=2.0)
    found = run_exactly(ModelWrapper(model(node, {"w": w, "c": c}, [2, 5], [2, 4])), {"x": x.astype(np.float32)})["y"]
    single = [a.astype(np.float32).astype(np.float64) for a in (x, w, c)]
    assert np.array_equal(found, (0.5 * single[0] @ single[1].T + 2.0 * single[2]).astype(np.float32))


def test_a_sum_that_is_0_is_0(tmp_path):
    """Ten times 0.1 and ten times -0.1, in an order in which float32 does not come out at 0."""
    weights = np.full((1, 20), 0.1)
    scale = numpy_helper.from_array(np.float32([1.0]), "one")
    layer = helper.make_node("MatMul", ["bits", "w"], ["acc"])
    start = helper.make_node("BipolarQuant", ["x", "one"], ["bits"], domain="qonnx.custom_op.general")
    end = helper.make_node("BipolarQuant", ["acc", "one"], ["y"], domain="qonnx.custom_op.general")
    proto = model(start, {"w": weights.T}, [1, 20], [1, 1], layer, end)
    proto.graph.initializer.append(scale)
    path = tmp_path / "tie.onnx"
    path.write_bytes(proto.SerializeToString())
    wrapped = load_model(path)
    rng = np.random.default_rng(0)
    frames = np.stack([rng.permutation(np.repeat([-1, 1], 10)) for _ in range(200)]).reshape(200, 1, 1, 20)
    from bitexpert.flow.execute import execute, execute_one_by_one

    assert (execute(wrapped, frames, exact=True) == 1).all()  # sign(0) = +1
    rounded = execute_one_by_one(wrapped, frames.reshape(200, 20).astype(np.float32))
    differing = np.flatnonzero(rounded.reshape(-1) != 1)
    assert len(differing), "float32 sums of 0.1 came out exact here: choose another number"
    assert np.array_equal(undecided(wrapped, frames, differing), differing)


def test_a_wrong_number_is_no_tie(tmp_path):
    """What differs by more than noise is not explained away."""
    start = helper.make_node("BipolarQuant", ["x", "one"], ["bits"], domain="qonnx.custom_op.general")
    layer = helper.make_node("MatMul", ["bits", "w"], ["y"])
    proto = model(start, {"w": np.ones((3, 2)), "one": [1.0]}, [1, 3], [1, 2], layer)
    path = tmp_path / "plain.onnx"
    path.write_bytes(proto.SerializeToString())
    frames = np.ones((4, 1, 1, 3), dtype=np.int64)
    assert not len(undecided(load_model(path), frames, np.arange(4)))
