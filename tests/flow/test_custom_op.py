import numpy as np
import pytest
import torch
from bitexpert.flow.custom_op import DOMAIN, ExpertConv, expert_conv, expert_inputs, experts
from bitexpert.models.expert import EXPERT_DOMAIN
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes


def bits(rng, *shape):
    return rng.choice([-1.0, 1.0], shape).astype(np.float32)


def model_with_node(*, own_source=True, pad_value=-1.0, group=2, stride=1, batch=5):
    """One ExpertConv with 3 experts, 8 -> 6 channels, on 5x7 pixels."""
    rng = np.random.default_rng(0)
    values = {
        "w": bits(rng, 18, 8 // group, 3, 3),
        "gw": rng.integers(-9, 10, (3, 4 if own_source else 8)).astype(np.float32),
        "gb": rng.integers(-9, 10, 3).astype(np.float32),
    }
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 8, 5, 7])]
    if own_source:
        inputs.append(helper.make_tensor_value_info("g", TensorProto.FLOAT, [batch, 4, 10, 14]))
    node = helper.make_node(
        "ExpertConv",
        ["x", *(["g"] if own_source else []), "w", "gw", "gb"],
        ["y"],
        domain=DOMAIN,
        n_experts=3,
        out_channels=6,
        group=group,
        kernel_shape=[3, 3],
        strides=[stride, stride],
        pads=[1, 1, 1, 1],
        pad_value=pad_value,
    )
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "test", inputs, [output])
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)]
    model = ModelWrapper(helper.make_model(graph, opset_imports=opsets))
    for name, value in values.items():
        model.set_initializer(name, value)
    model.set_tensor_datatype("x", DataType["BIPOLAR"])
    return model.transform(InferShapes()), values, rng


def test_domain_is_the_module_and_the_exporter_agrees():
    assert DOMAIN == EXPERT_DOMAIN == ExpertConv.__module__


def test_lowest_index_wins_a_tie():
    g = np.ones((2, 3, 2, 2))
    assert experts(g, np.zeros((4, 3)), np.array([1, 7, 7, 7])).tolist() == [1, 1]


def test_choice_is_exact_beyond_float32():
    g = np.full((2, 1, 1, 1), 16_000_000.0)
    g[1] += 2
    assert experts(g, np.array([[127], [126]]), np.array([0, 16_000_001])).tolist() == [1, 0]


def test_values_that_are_no_integers_are_refused():
    with pytest.raises(ValueError, match=r"gate weight .* aren't integers"):
        experts(np.ones((1, 2, 1, 1)), np.array([[0.5, 1.0]]), np.zeros(1))
    with pytest.raises(ValueError, match="don't fit together"):
        experts(np.ones((1, 2, 1, 1)), np.ones((2, 3)), np.zeros(2))


@pytest.mark.parametrize("pad_value", [0.0, -1.0])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_against_torch(pad_value, group, stride):
    rng = np.random.default_rng(1)
    x, bank = bits(rng, 6, 8, 5, 7), bits(rng, 3, 4, 8 // group, 3, 3)
    index = np.array([2, 0, 1, 1, 0, 2])
    y = expert_conv(x, bank, index, group=group, strides=(stride, stride), pads=(1, 0, 2, 1), pad_value=pad_value)
    for n, e in enumerate(index):
        padded = torch.nn.functional.pad(torch.tensor(x[n : n + 1]), (0, 1, 1, 2), value=pad_value)
        expected = torch.nn.functional.conv2d(padded, torch.tensor(bank[e]), stride=stride, groups=group)
        assert np.array_equal(y[n : n + 1], expected.numpy())


@pytest.mark.parametrize("own_source", [True, False])
def test_node_executes_in_qonnx(own_source):
    model, values, rng = model_with_node(own_source=own_source)
    x = bits(rng, 5, 8, 5, 7)
    feed = {"x": x}
    if own_source:
        feed["g"] = rng.integers(-20, 21, (5, 4, 10, 14)).astype(np.float32)
    index = experts(feed.get("g", x), values["gw"], values["gb"])
    assert len(set(index.tolist())) > 1
    bank = values["w"].reshape(3, 6, 4, 3, 3)
    expected = expert_conv(x, bank, index, group=2, pads=(1, 1, 1, 1), pad_value=-1.0)
    assert np.array_equal(execute_onnx(model, feed)["y"], expected)


@pytest.mark.parametrize("own_source", [True, False])
def test_renaming_tensors_keeps_the_node_whole(own_source):
    model, _, _ = model_with_node(own_source=own_source)
    model = model.transform(GiveUniqueNodeNames()).transform(GiveReadableTensorNames())
    node = model.graph.node[0]
    names = expert_inputs(node)
    assert all(model.get_tensor_shape(name) for name in names)
    assert (names[0] == names[1]) is not own_source


@pytest.mark.parametrize(("stride", "shape"), [(1, [5, 6, 5, 7]), (2, [5, 6, 3, 4])])
def test_shape_inference(stride, shape):
    model, _, _ = model_with_node(stride=stride)
    assert model.get_tensor_shape("y") == shape


def test_datatype_inference():
    model, _, _ = model_with_node(group=2)
    # 36 products: -36..36
    assert model.transform(InferDataTypes()).get_tensor_datatype("y") == DataType["INT7"]
    model.set_tensor_datatype("x", DataType["FLOAT32"])
    assert model.transform(InferDataTypes()).get_tensor_datatype("y") == DataType["FLOAT32"]


def test_verify_and_wrong_banks():
    model, _, rng = model_with_node()
    op = getCustomOp(model.graph.node[0])
    assert op.verify_node() == []
    op.set_nodeattr("pad_value", 0.5)
    assert "pad_value" in op.verify_node()[0]
    op.set_nodeattr("n_experts", 4)
    feed = {"x": bits(rng, 5, 8, 5, 7), "g": np.zeros((5, 4, 10, 14), np.float32)}
    with pytest.raises(ValueError, match="18 filters"):
        execute_onnx(model, feed)
    del model.graph.node[0].input[3:]
    with pytest.raises(ValueError, match="has 3"):
        expert_inputs(model.graph.node[0])
