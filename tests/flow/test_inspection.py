import json

import pytest
import torch
from bitexpert.flow import cli
from bitexpert.flow.cli import app
from bitexpert.flow.inspection import inspect_model
from bitexpert.flow.model_file import load_model
from flownets import Dense, Padded, Scaled, export_module
from torch import nn
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def scaled(tmp_path_factory):
    torch.manual_seed(0)
    return export_module(Scaled(), tmp_path_factory.mktemp("net") / "scaled.onnx")


def test_every_node_has_a_place(scaled):
    report = inspect_model(scaled)
    assert not report.problems
    assert [n.name for n in report.nodes] == [n.name for n in load_model(scaled).graph.node]
    assert all(n.becomes for n in report.nodes)
    becomes = {n.name: n.becomes for n in report.nodes}
    assert becomes["/conv1/Conv"] == "SlidingWindow + MatVec"
    assert becomes["/bn1/BatchNormalization"] == "thresholds of /sign1/act_quant/export_handler/BipolarQuant"
    assert becomes["/sign1/act_quant/export_handler/BipolarQuant"] == "Threshold"
    assert becomes["/pool/MaxPool"] == "Pool"
    assert becomes["/Pad"] == "padding of /conv2/Conv"
    assert becomes["/Flatten"] == "an order of the stream"
    assert becomes["/quant/act_quant/export_handler/Quant"] == "defines the integers that enter"
    assert becomes["/conv2/weight_quant/export_handler/BipolarQuant"] == "weights of /conv2/Conv"
    assert "behind the output, left to the host" in becomes.values()


def test_figures(scaled):
    report = inspect_model(scaled)
    conv = next(n for n in report.nodes if n.name == "/conv2/Conv")
    # 4x3 pixels with 2 + 1 rows and 0 + 1 columns around, kernel 3x2, 6 filters on 4 of 8 channels
    assert (conv.macs, conv.weights, conv.weight_bits) == (5 * 3 * 6 * 24, 6 * 24, 1)
    assert conv.output == "int6 5x3x6"
    assert report.totals["weights"] == 8 * 27 + 6 * 24 + 10 * 90 + 4 * 10
    assert report.totals["weight_memory"] == report.totals["weights"]
    assert report.totals["thresholds"] == 8 + 6 + 10
    assert report.input == "int8 8x6x3 (the file computes with 0.0078125 * integer)"
    assert report.output.endswith("(the host scales and shifts them)")


def test_all_strangers_are_named_at_once(tmp_path):
    class Odd(Dense):
        def forward(self, x):
            return torch.erf(torch.tanh(super().forward(x)))

    report = inspect_model(export_module(Odd(), tmp_path / "odd.onnx"))
    assert len(report.problems) == 2
    assert report.problems[0].startswith("/Tanh (Tanh) cannot become hardware")
    assert report.problems[1].startswith("/Erf (Erf) cannot become hardware")
    assert [n.becomes for n in report.nodes if n.kind in ("Tanh", "Erf")] == ["not supported"] * 2


def test_on_the_command_line(scaled, tmp_path, monkeypatch):
    monkeypatch.setattr(cli.console, "width", 160)
    result = CliRunner().invoke(app, ["doctor", str(scaled)])
    assert result.exit_code == 0, result.output
    assert "SlidingWindow + MatVec" in result.output
    assert "`bitexpert build` can make it" in result.output
    data = json.loads(CliRunner().invoke(app, ["doctor", str(scaled), "--json"]).stdout)
    assert data["supported"]
    assert data["totals"]["thresholds"] == 24

    class Slope(Padded):
        def forward(self, x):
            y = nn.functional.leaky_relu(self.conv1(self.quant(x)).repeat(1, 3, 1, 1), -0.5)
            return self.sign2(self.bn2(self.conv2(self.sign1(self.bn1(y)))))

    path = export_module(Slope(), tmp_path / "slope.onnx")
    result = CliRunner().invoke(app, ["doctor", str(path)])
    assert result.exit_code == 2
    flat = " ".join(result.output.split())
    assert "a PReLU with a negative slope in front makes two thresholds of one" in flat
    assert "No accelerator can be built from this file as it is." in flat
