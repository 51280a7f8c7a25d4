"""Residual networks with a stream of integers, the whole way: file, integers, HLS and RTL simulation."""

import pytest
import torch
from bitexpert.flow.export import ExportError, export
from bitexpert.flow.model_file import ModelError
from bitexpert.hw.ops.add import Add
from bitexpert.models.networks import build_network
from wholeway import accelerator, in_hardware

TINY = {
    "blocks": (1, 1),
    "base_width": 4,
    "height": 8,
    "width": 8,
    "class_names": tuple("abcd"),
    "stream": "integer",
    "gate": "sign",
}


# an Expert Binary Network of the paper's kind: four stages, groups mixed by 1x1 units, decomposed downsampling
EXPERT = {"structure": "1111-0.125-2:1:1:1", "stem": "cifar", "stream": "integer", "experts": 3}
EXPERT |= {key: TINY[key] for key in ("height", "width", "class_names")}


def exported(path, network="es-resnet-20", **changes):
    torch.manual_seed(0)
    model = build_network(network, {**(EXPERT if network == "ebresnet" else TINY), **changes})
    shape = (32, 3, model.config.height, model.config.width)
    x = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1)).float()
    with torch.no_grad():
        for _ in range(30):
            model(x)
    if any(True for _ in model.experts()):
        model.normalize_gates(x)
    return export(model.freeze(), path / "model.onnx")


@pytest.mark.parametrize(
    "changes",
    [
        {"tau": 1, "es_groups": 1},
        {"tau": 2, "es_groups": 1, "fraction_bits": 5},
        {"tau": 2, "es_groups": 2, "experts": 3},
        {"tau": 1, "es_groups": 1, "blocks": (1, 1, 1), "fraction_bits": 11},
        {"shortcut": "conv", "stem": "imagenet", "experts": 2, "stream_bits": 6},
        {"network": "ebresnet"},
        {"network": "ebresnet", "gate": "sign", "downsample_ratio": 1, "stream_bits": 3},
        {"network": "ebresnet", "height": 32, "width": 32, "stem": "dabnn", "whiten": True},
    ],
    ids=[
        *("plain", "ES", "ES + G, experts", "three stages", "learned shortcuts"),
        *("Expert Binary Network", "gates on bits", "stem of small convolutions"),
    ],
)
def test_integers_equal_the_file(changes, tmp_path):
    accelerator(exported(tmp_path, **changes), frames=12)


def test_the_sums_of_a_deep_network_stay_exact(tmp_path):
    """ES-ResNet-20 at its own size: two averaging shortcuts, eighteen sums, a mean over 64 pixels."""
    settings = {"blocks": (3, 3, 3), "base_width": 16, "height": 32, "width": 32, "tau": 2, "es_groups": 2}
    graph, _ = accelerator(exported(tmp_path, **settings), frames=2)
    widths = [node.op.outputs[0].element.bits for node in graph.nodes if isinstance(node.op, Add)]
    assert len(widths) == 18
    assert max(widths) <= 22


def test_in_hardware(tmp_path):
    """One stage with experts; the second one halves the map and copies the stream."""
    graph, inputs = accelerator(
        exported(tmp_path, tau=2, es_groups=1, base_width=2, height=4, width=4, experts=2), frames=6
    )
    assert {"Add", "FrameHold", "Concat"} <= {type(node.op).__name__ for node in graph.nodes}
    in_hardware(graph, inputs)


@pytest.mark.full
def test_an_expert_binary_network_in_hardware(tmp_path):
    settings = {"structure": "1111-0.03125-1:1:1:1", "experts": 2, "downsample_ratio": 2}
    graph, inputs = accelerator(exported(tmp_path, "ebresnet", **settings), frames=4)
    assert [type(node.op).__name__ for node in graph.nodes].count("Gate") == 8
    in_hardware(graph, inputs)


def test_a_slope_below_zero_is_refused(tmp_path):
    """Behind it a quantizer has no thresholds; training keeps slopes at 0 or above."""
    model = build_network("ebresnet", EXPERT).freeze()
    with torch.no_grad():
        model.stages[0][0][0].activation.weight[0] = -0.5
    path = export(model, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="a PReLU with a negative slope in front makes two thresholds of one"):
        accelerator(path, frames=2)


def test_a_stream_that_is_not_frozen_is_refused(tmp_path):
    model = build_network("es-resnet-20", TINY).eval()
    with pytest.raises(ExportError, match=r"stages.0.0.bn: its slope isn't rounded for good; call model.freeze\(\)"):
        export(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layer", ["stem.conv", "head.linear"])
def test_weights_that_are_not_finite_are_refused(layer, tmp_path):
    model = build_network("es-resnet-20", TINY).freeze()
    with torch.no_grad():
        model.get_submodule(layer).weight.view(-1)[0] = float("nan")
    with pytest.raises(ExportError, match=f"{layer}: its weights aren't all finite; the training has diverged"):
        export(model, tmp_path / "model.onnx")
