"""Files that Brevitas writes of its reference networks: each loads, clean, and computes what torch computes."""

import itertools
from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from bitexpert.flow.execute import execute, execute_one_by_one, execute_tensors
from bitexpert.flow.frames import random_frames
from bitexpert.flow.model_file import as_exported, hardware_input, load_model
from bitexpert.hw.types import BIPOLAR, int_t
from brevitas_nets import NAMES, Form, export_network, network

#: All that a clean file may hold.
CLEAN = {
    "Add", "BatchNormalization", "BipolarQuant", "Conv", "Div", "Gemm", "Identity", "MatMul", "MaxPool", "Mul", "Quant",
    "Reshape", "Sub",
}  # fmt: skip
#: Layers with weights.
LAYERS = {"tfc": 4, "sfc": 4, "lfc": 4, "cnv": 9}
#: What enters, by the size of the network and the bits of its activations: element, least and largest integer, scale.
ENTERS = {"cnv": (int_t(8), -128, 127, 2**-8), "1a": (BIPOLAR, -1, 1, 0.5), "2a": (int_t(2), -1, 1, 0.5)}


def check(name, model, path, form, count=4):
    """Load a file and hold it against torch."""
    export_network(name, model, path, form)
    loaded = load_model(path)
    source = hardware_input(loaded)
    # 2x - 1 stands in front of the quantizer
    assert (source.element, source.low, source.high, source.scale) == ENTERS.get(name[:3], ENTERS.get(name[-2:]))
    assert (source.layout, source.offset, source.table) == ("NCHW", 0.5, ())
    frames = random_frames(source, count)
    inputs = source.to_model(frames)
    with torch.no_grad():
        expected = model(torch.from_numpy(inputs)).numpy()
    assert len({row.tobytes() for row in expected}) == count, "the frames all give the same: nothing is tested"
    # one more or less in an integer shows in the second digit; the last bit depends on the processor
    for found in (execute(loaded, frames), execute_one_by_one(as_exported(path), inputs)):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

    kinds = Counter(n.op_type for n in loaded.graph.node)
    assert set(kinds) <= CLEAN
    layers = LAYERS[name[:3]]
    assert kinds["Conv"] + kinds["MatMul"] + kinds["Gemm"] == layers
    assert kinds["Quant"] + kinds["BipolarQuant"] == 2 * layers
    assert len({n.name for n in loaded.graph.node} - {""}) == len(loaded.graph.node)
    constants = {t.name for t in loaded.graph.initializer}
    weights = [n for n in loaded.graph.node if n.op_type in ("Quant", "BipolarQuant") and n.input[0] in constants]
    assert len(weights) == layers
    assert all(loaded.get_tensor_shape(t)[0] == 1 for n in loaded.graph.node for t in n.output if n not in weights)
    return loaded


@pytest.fixture(scope="module")
def nets():
    made = {}
    return lambda name: made.setdefault(name, network(name))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("tfc_1w1a", Form()),
        ("tfc_1w1a", Form(opset=11, batch="dynamic", stripped=True)),
        ("tfc_2w2a", Form(opset=20, batch="dynamic", cleaned=True)),
        ("tfc_1w2a", Form(opset=9, plain=True, external=True)),
        ("tfc_1w2a", Form(batch="edited")),
        ("tfc_1w2a", Form(batch="7")),
        ("tfc_2w2a", Form(dynamo=True, opset=18, batch="dynamic", external=True)),
        ("tfc_1w1a", Form(dynamo=True, opset=20, plain=True, batch="dynamic")),
        ("cnv_1w1a", Form(batch="dynamic")),
    ],
    ids=str,
)
def test_a_file_of_brevitas(name, form, nets, tmp_path):
    check(name, nets(name), tmp_path / "model.onnx", form)


def test_the_networks_are_lively(nets, tmp_path):
    """Both signs, or all three levels, behind almost each channel: what the tests compare is not constant."""
    path = export_network("tfc_2w2a", nets("tfc_2w2a"), tmp_path / "model.onnx", Form())
    model = load_model(path)
    tensors = execute_tensors(model, random_frames(hardware_input(model), 50))
    norms = [n.output[0] for n in model.graph.node if n.op_type == "BatchNormalization"]
    quantized = [n.output[0] for n in model.graph.node if n.op_type == "Quant" and n.input[0] in norms]
    assert len(quantized) == 3
    for name in quantized:
        assert set(np.unique(tensors[name])) == {-1, 0, 1}
        assert np.mean(tensors[name].std(axis=0) > 0) > 0.6


def test_names_of_nodes_and_tensors_stay(nets, tmp_path):
    path = export_network("tfc_1w1a", nets("tfc_1w1a"), tmp_path / "model.onnx", Form(batch="dynamic"))
    before = onnx.load(str(path)).graph
    after = load_model(path).graph
    assert {n.name for n in after.node} <= {n.name for n in before.node}
    assert {t for n in after.node for t in n.output} <= {t for n in before.node for t in n.output}
    as_is = as_exported(path).graph
    assert [n.SerializeToString() for n in as_is.node] == [n.SerializeToString() for n in before.node]


# -- the whole matrix ----------------------------------------------------------------------------------
def forms():
    for opset, batch, plain in itertools.product(range(9, 22), ("static", "dynamic", "edited", "5"), (False, True)):
        yield Form(opset=opset, batch=batch, plain=plain)
    for opset, batch, plain in itertools.product((11, 16, 18, 20), ("static", "dynamic", "5"), (False, True)):
        yield Form(dynamo=True, opset=opset, batch=batch, plain=plain)
    for dynamo, batch, stripped, cleaned, external in itertools.product(
        (False, True), ("static", "dynamic", "edited"), (False, True), (False, True), (False, True)
    ):
        yield Form(dynamo, 18 if dynamo else 13, batch, external, stripped, cleaned)


@pytest.mark.full
@pytest.mark.parametrize("form", forms(), ids=str)
@pytest.mark.parametrize("name", ["tfc_1w1a", "tfc_2w2a"])
def test_all_forms(name, form, nets, tmp_path):
    check(name, nets(name), tmp_path / "model.onnx", form)


@pytest.mark.full
@pytest.mark.parametrize(
    "form",
    [
        Form(opset=20, batch="dynamic", stripped=True),
        Form(cleaned=True, external=True),
        Form(dynamo=True, opset=18, batch="dynamic", external=True),
        Form(dynamo=True, opset=18, batch="dynamic", plain=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", NAMES)
def test_all_networks(name, form, nets, tmp_path):
    check(name, nets(name), tmp_path / "model.onnx", form)
