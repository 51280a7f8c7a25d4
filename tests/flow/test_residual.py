"""Residual networks with a stream of integers, the whole way: file, integers, HLS and RTL simulation."""

import pytest
import torch
from bitexpert.flow.export import ExportError, export
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


def exported(path, **changes):
    torch.manual_seed(0)
    model = build_network("es-resnet-20", {**TINY, **changes})
    x = torch.randint(0, 256, (32, 3, 8, 8), generator=torch.Generator().manual_seed(1)).float()
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
    ],
    ids=["plain", "ES", "ES + G, experts", "three stages"],
)
def test_integers_equal_the_file(changes, tmp_path):
    accelerator(exported(tmp_path, **changes))


def test_in_hardware(tmp_path):
    """One stage with experts; the second one halves the map and copies the stream."""
    graph, inputs = accelerator(
        exported(tmp_path, tau=2, es_groups=1, base_width=2, height=4, width=4, experts=2), frames=6
    )
    assert {"Add", "FrameHold", "Concat"} <= {type(node.op).__name__ for node in graph.nodes}
    in_hardware(graph, inputs)


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
