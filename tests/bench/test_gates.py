import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from bitexpert.models.expert import ExpertConv2d
from bitexpert.models.train import train
from recipes import small_recipe, two_steps

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
import gates

LABELS = np.arange(4000) % 4


def test_gates_that_tell_classes_apart():
    logits = torch.eye(4)[LABELS] + 0.01 * torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))
    found = gates.measure(logits, LABELS)
    assert found["used"] == 0.25
    assert found["experts"] == pytest.approx(4)
    assert found["margin"] > 2
    assert found["correlation"] == pytest.approx(1 / 3, abs=0.01)
    assert found["classes"] == pytest.approx(np.log(4))


def test_gates_whose_logits_lie_on_a_line():
    x = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    found = gates.measure(x * torch.tensor([1.0, 1.0, -1.0, -1.0]), LABELS)
    assert found["used"] == 0
    assert found["experts"] == pytest.approx(2, abs=0.01)
    assert found["margin"] == 0
    assert found["correlation"] == pytest.approx(1)
    assert found["classes"] < 0.01


def test_experts_that_are_alike():
    layer = ExpertConv2d(4, 2, experts=3)
    layer.copy_first_expert()
    assert gates.alike(layer) == 1
    with torch.no_grad():
        layer.weight[:2] *= -1  # one of three against the two others
    assert gates.alike(layer) == pytest.approx(1 / 3)


def test_a_run_folder(tmp_path, capsys, monkeypatch):
    train(small_recipe(steps=two_steps(1, 1)), tmp_path / "run", progress=False)
    monkeypatch.setattr(gates.sys, "argv", ["gates", str(tmp_path / "run")])
    gates.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == ["blocks.1.conv", "blocks.2.conv"]
    with pytest.raises(SystemExit, match="no run folder with finished steps"):
        gates.look_at(tmp_path)
