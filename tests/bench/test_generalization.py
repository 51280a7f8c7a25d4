import math
import sys
from pathlib import Path

import pytest
import torch
from bitexpert.models.train import train
from recipes import small_recipe, two_steps

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
import generalization


def test_measure_finds_the_scale_of_scores_itself():
    labels = torch.arange(400) % 4
    assert generalization.measure(1000.0 * torch.eye(4)[labels], labels) == pytest.approx((100, 0), abs=1e-3)
    # half of the images say nothing: the least loss is that of a guess among four on these
    scores = torch.eye(4)[labels] * (torch.arange(400) < 200)[:, None]
    right, loss = generalization.measure(scores, labels)
    assert right == pytest.approx(50 + 50 / 4)
    assert loss == pytest.approx(math.log(4) / 2, abs=1e-3)


def test_a_run_folder(tmp_path, capsys, monkeypatch):
    result = train(small_recipe(steps=two_steps(1, 1)), tmp_path / "run", progress=False)
    monkeypatch.setattr(sys, "argv", ["x", str(result.run_dir)])
    generalization.main()
    row = capsys.readouterr().out.splitlines()[2].split(" | ")
    known, new, difference = map(float, row[1:4])
    assert difference == pytest.approx(known - new, abs=0.02)
    assert new == pytest.approx(100 * result.accuracy_float, abs=0.01)
    with pytest.raises(SystemExit, match="no run folder with finished steps"):
        generalization.look_at(tmp_path, None)
