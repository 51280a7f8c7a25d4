import json
import os

import numpy as np
import pytest
import torch
from bitexpert.flow.custom_op import expert_inputs
from bitexpert.flow.export import ExportError, export, run_qonnx
from bitexpert.models.binary import use_real_weights
from bitexpert.models.checkpoint import CheckpointError, save_checkpoint
from bitexpert.models.networks import build_network
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.cleanup import cleanup_model


def network(config=None, seed=0):
    """A network with batch statistics as after a training: slopes of both signs, scattered thresholds."""
    torch.manual_seed(seed)
    model = build_network("vgg", config)
    with torch.no_grad():
        for block in model.blocks:
            n, root = block.bn.num_features, block.bound**0.5
            spread = 40 if block.bound > 2000 else 1
            block.bn.weight.copy_(torch.randn(n))
            block.bn.bias.copy_(torch.randn(n) * 0.5)
            block.bn.running_mean.copy_(torch.randn(n) * root * spread)
            block.bn.running_var.copy_((torch.rand(n) + 0.5) * block.bound * spread**2)
    model.normalize_gates(torch.from_numpy(pixels(64)))
    return model.eval()


def pixels(n):
    return np.random.default_rng(3).integers(0, 256, (n, 1, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = network().freeze()
    return model, export(model, tmp_path_factory.mktemp("export") / "model.onnx")


def scores(model, x):
    with torch.no_grad():
        return model(torch.from_numpy(x)).numpy()


def test_file_equals_the_network_with_all_experts_used(exported):
    model, path = exported
    x = pixels(40)
    expected = scores(model, x)
    used = [len(layer.gate.last_index.unique()) for _, layer in model.experts()]
    assert min(used) > 1
    assert np.array_equal(run_qonnx(ModelWrapper(str(path)), x), expected)


def test_cleaned_file_equals_the_network(exported):
    model, path = exported
    x = pixels(10)
    assert np.array_equal(run_qonnx(cleanup_model(ModelWrapper(str(path))), x), scores(model, x))


def test_streamlined_graph_equals_the_network_and_is_small(exported):
    from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN
    from finn.transformation.streamline import Streamline
    from qonnx.transformation.infer_datatypes import InferDataTypes

    model, path = exported
    x = pixels(10)
    graph = cleanup_model(ModelWrapper(str(path)))
    for step in (ConvertQONNXtoFINN(), InferDataTypes(), Streamline()):
        graph = graph.transform(step)
        assert np.array_equal(run_qonnx(graph, x), scores(model, x))
    kinds = [node.op_type for node in graph.graph.node if node.op_type != "Mul"]
    assert kinds == [
        "MultiThreshold",
        *["Conv", "Tile", "MultiThreshold"] * 2,
        "MaxPool",
        *["ExpertConv", "MultiThreshold"] * 2,
        "MaxPool",
        "Flatten",
        "MatMul",
    ]


def test_what_is_in_the_file(exported):
    model, path = exported
    graph = ModelWrapper(str(path))
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"]
    assert [t.name for t in graph.graph.input] == ["global_in"]
    assert [t.name for t in graph.graph.output] == ["global_out"]
    assert graph.get_tensor_shape("global_in") == [1, 1, 8, 8]
    assert graph.get_tensor_datatype("global_in") == DataType["UINT8"]
    assert graph.get_metadata_prop("network") == "vgg"
    assert graph.get_metadata_prop("input_layout") == "NCHW"
    assert json.loads(graph.get_metadata_prop("class_names")) == list("0123456789")
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds.count("Tile") == 2
    assert not {"Expand", "ConstantOfShape", "ReduceMean", "Pad"} & set(kinds)
    tiles = [graph.get_initializer(n.input[1]) for n in graph.get_nodes_by_op_type("Tile")]
    assert [t.tolist() for t in tiles] == [[1, 4, 1, 1], [1, 8, 1, 1]]
    for node, (_, layer) in zip(graph.get_nodes_by_op_type("ExpertConv"), model.experts(), strict=True):
        _, _, _, gw, gb = expert_inputs(node)
        assert np.array_equal(graph.get_initializer(gw), layer.gate.weight_int.numpy())
        assert np.array_equal(graph.get_initializer(gb), layer.gate.bias_int.numpy())
        assert graph.get_tensor_datatype(gw) == DataType["INT8"]


def test_export_from_a_checkpoint_and_other_paddings(tmp_path):
    blocks = [
        {"width": 4, "padding": 0, "pad_mode": "none"},
        {"width": 8, "pad_mode": "minus_one"},
        {"kind": "expert", "width": 4, "experts": 3, "pad_mode": "zero", "expansion": 2, "gate": "pre_sign"},
    ]
    model = network({"blocks": blocks}).freeze()
    path = export(save_checkpoint(model, tmp_path / "model.pt"), tmp_path / "model.onnx")
    x = pixels(10)
    assert np.array_equal(run_qonnx(ModelWrapper(str(path)), x), scores(model, x))


def test_nothing_is_printed(tmp_path, capfd):
    export(network({"blocks": [{"width": 4}]}).freeze(), tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", "")


def test_an_unfrozen_gate_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"blocks.2.conv: its gate is still real-valued; call model.freeze"):
        export(network(), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_weights_that_are_no_signs_are_refused(tmp_path):
    model = network().freeze()
    with torch.no_grad():
        model.head.weight[0, 0] = float("nan")
    with pytest.raises(ExportError, match=r"head: its weights aren't all \+1 or -1"):
        export(model, tmp_path / "model.onnx")


def test_the_self_check_catches_a_difference(tmp_path, monkeypatch):
    from bitexpert.flow import export as module

    honest = module.run_qonnx
    monkeypatch.setattr(module, "run_qonnx", lambda model, x: honest(model, x) + (np.arange(10) == 7))
    with pytest.raises(ExportError, match="sample 0, class 7"):
        export(network().freeze(), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_unwritable_path(tmp_path):
    model = network({"blocks": [{"width": 4}]}).freeze()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write"):
        export(model, tmp_path / "file" / "model.onnx")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(tmp_path):
    model = network({"blocks": [{"width": 4}]}).freeze()
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="cannot write"):
        export(model, tmp_path / "model.onnx")


def test_missing_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        export(tmp_path / "none.pt", tmp_path / "model.onnx")


def test_one_network_always_gives_the_same_file(exported, tmp_path):
    model, path = exported
    again = export(model, tmp_path / "again.onnx")
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["cnv", "es-eb-cnv"])
def test_cnv_equals_its_file(name, tmp_path):
    torch.manual_seed(0)
    model = build_network(name)
    x = torch.randint(0, 256, (16, 3, 32, 32), generator=torch.Generator().manual_seed(1)).float()
    with torch.no_grad():
        for _ in range(10):
            model(x)
    model.normalize_gates(x)
    path = export(model.freeze(), tmp_path / "model.onnx", samples=x[:3].numpy())
    with torch.no_grad():
        expected = model(x[3:6]).numpy()
    assert len(np.unique(expected)) > 10
    assert np.array_equal(run_qonnx(ModelWrapper(str(path)), x[3:6].numpy()), expected)


@pytest.mark.parametrize("name", ["1111-0.25-1:1:1:1", "es-resnet-20", "es-bnext-t"])
def test_real_layers_are_refused(name, tmp_path):
    size = {
        "height": 32,
        "width": 32,
        "widths" if "bnext" in name else "stem": (32, 32) if "bnext" in name else "cifar",
    }
    with pytest.raises(
        ExportError, match=r"stem.*conv: its weights are real numbers, .* resnet and ebresnet with stream: integer\)"
    ):
        export(build_network(name, size).freeze(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_real_weights_are_refused(tmp_path):
    model = network({"blocks": [{"width": 4}, {"width": 8}]}).freeze()
    use_real_weights(model, True)
    with pytest.raises(ExportError, match=r"blocks.0.conv: it multiplies with real weights; call use_real_weights"):
        export(model, tmp_path / "model.onnx")
    use_real_weights(model, False)
    export(model, tmp_path / "model.onnx")
