"""The example as it is, and a residual network through its training."""

import json
from pathlib import Path

import pytest
from bitexpert.flow.search import load_spec, search
from searchspecs import EBRESNET, STEPS

EXAMPLE = Path(__file__).parents[3] / "examples" / "search_digits.yaml"


@pytest.mark.full
def test_the_example_finds_a_front(tmp_path):
    result = search(EXAMPLE, tmp_path)
    assert sum(trial.state == "complete" for trial in result.trials) == load_spec(EXAMPLE).trials
    best = result.front[0].figures
    assert best["accuracy"] > 0.9
    for trial in result.front:
        assert 270_000 <= trial.figures["bops"] <= 330_000
        assert trial.figures["fps"] >= 5000


def test_residual_networks_are_trained(tmp_path):
    image = {"channels": 1, "height": 8, "width": 8, "class_names": list("0123456789")}
    config = {**image, "stem": "cifar", "downsample_ratio": 1, "structure": "1111-0.25-1:1:1:1"}
    recipe = {
        "name": "base",
        "network": {"name": "ebresnet", "config": config},
        "training": {"threads": 1, "batch_size": 512},
        "steps": STEPS,
    }
    space = {**EBRESNET["space"], "blocks": [[1]] * 4, "groups": [[1], [1], [1, 2], [1]], "expansion": [0.125, 0.25]}
    changes = {"recipe": recipe, "space": space, "objectives": ["accuracy", "bops"], "operations": None}
    result = search({**EBRESNET, **changes, "training": {"epochs": 1}, "trials": 1}, tmp_path)
    assert [trial.state for trial in result.trials] == ["complete"]
    report = json.loads((tmp_path / "search.json").read_text())
    structures = [trial["config"]["structure"] for trial in report["trials"]]
    assert all(text.startswith("1111-0.") for text in structures)
