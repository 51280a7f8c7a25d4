import numpy as np
import pytest
from bitexpert.flow import execute as module
from bitexpert.flow.execute import execute, execute_tensors, to_nhwc
from bitexpert.flow.frames import random_frames
from bitexpert.flow.model_file import ModelError, hardware_input, load_model
from flownets import Padded, export_module
from onnxnets import integers, net, node, save
from qonnx.core.onnx_exec import execute_onnx


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(export_module(Padded(), tmp_path_factory.mktemp("padded") / "model.onnx"))


def test_a_batch_gives_what_qonnx_gives_frame_by_frame(model, monkeypatch):
    source = hardware_input(model)
    frames = random_frames(source, 11)
    name, out = model.graph.input[0].name, model.graph.output[0].name
    one = [execute_onnx(model, {name: x[None]}, return_full_exec_context=True) for x in source.to_model(frames)]
    expected = np.concatenate([o[out] for o in one])
    # sums of +-0.1 depend on their order; signs do not
    assert np.allclose(execute(model, frames), expected, atol=1e-5)
    tensors = execute_tensors(model, frames)
    for tensor, values in tensors.items():
        assert np.allclose(values, np.concatenate([o[tensor] for o in one]), atol=1e-5)
    monkeypatch.setattr(module, "CHUNK_BYTES", 4 * module._bytes_per_frame(model))
    assert np.allclose(execute(model, frames), expected, atol=1e-5)  # chunks of 4, 4 and 3
    assert model.get_tensor_shape(name) == [1, 2, 9, 7]


def test_frames_are_not_mixed(tmp_path):
    """Where a tensor has channels in front, each frame is executed by itself."""
    nodes = [
        node("BipolarQuant", ["x", "s"], ["q"]),
        node("Reshape", ["q", "rows"], ["r"]),
        node("ReduceSum", ["r"], ["t"], axes=[1]),
        node("Reshape", ["t", "one"]),
    ]
    constants = {"s": 1.0, "rows": integers(-1, 3), "one": integers(1, -1)}
    model = load_model(save(tmp_path, net(nodes, constants, (1, 12), opset=11)))
    frames = random_frames(hardware_input(model), 7)
    assert np.array_equal(execute(model, frames), frames.reshape(7, 4, 3).sum(axis=2))


def test_frames_of_a_wrong_shape(model):
    with pytest.raises(ModelError, match=r"takes frames of shape \(N, 9, 7, 2\), not \(3, 2, 9, 7\)"):
        execute(model, np.ones((3, 2, 9, 7), int))
    with pytest.raises(ModelError, match="not"):
        execute(model, np.ones((0, 9, 7, 2), int))


def test_order_of_the_streams():
    x = np.arange(24).reshape(1, 2, 3, 4)
    assert to_nhwc(x)[0, 1, 2, 1] == x[0, 1, 1, 2]
    assert to_nhwc(np.ones((5, 7))).shape == (5, 1, 1, 7)
