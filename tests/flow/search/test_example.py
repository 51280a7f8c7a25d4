"""The examples as they are, and a residual network through its training and its hardware."""

import json
from pathlib import Path

import pytest
from bitexpert.flow.search import load_spec, search
from bitexpert.models.networks import network_cost
from bitexpert.models.recipe import load_recipe
from searchspecs import EBRESNET, STEPS

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.full
def test_the_example_finds_a_front(tmp_path):
    example = EXAMPLES / "search_digits.yaml"
    result = search(example, tmp_path)
    assert sum(trial.state == "complete" for trial in result.trials) == load_spec(example).trials
    best = result.front[0].figures
    assert best["accuracy"] > 0.9
    for trial in result.front:
        assert 270_000 <= trial.figures["bops"] <= 330_000
        assert trial.figures["fps"] >= 5000


@pytest.mark.full
def test_the_example_of_residual_networks_finds_some(tmp_path):
    result = search(EXAMPLES / "search_ebnet.yaml", tmp_path, trials=3)
    found = [trial.figures for trial in result.trials if trial.state == "complete"]
    assert len(found) == 3
    target = network_cost("ebresnet", load_recipe("ebnet-digits").network.config).as_dict()["bops"]
    for figures in found:
        assert figures["accuracy"] > 0.8
        assert abs(figures["bops"] / target - 1) <= 0.15
        assert figures["fps"] >= 1000


def test_residual_networks_are_trained_and_estimated(tmp_path):
    image = {"channels": 1, "height": 8, "width": 8, "class_names": list("0123456789")}
    config = {**image, "stem": "cifar", "downsample_ratio": 1, "structure": "1111-0.25-1:1:1:1", "stream": "integer"}
    recipe = {
        "name": "base",
        "network": {"name": "ebresnet", "config": config},
        "training": {"threads": 1, "batch_size": 512},
        "steps": STEPS,
    }
    space = {**EBRESNET["space"], "blocks": [[1]] * 4, "groups": [[1], [1], [1, 2], [1]], "expansion": [0.125, 0.25]}
    changes = {"recipe": recipe, "space": space, "objectives": ["accuracy", "luts"], "operations": None}
    changes["hardware"] = {"target_fps": 1000}
    result = search({**EBRESNET, **changes, "training": {"epochs": 1}, "trials": 1}, tmp_path)
    assert [trial.state for trial in result.trials] == ["complete"]
    assert result.trials[0].figures["fps"] >= 1000
    assert result.trials[0].figures["luts"] > 1000
    report = json.loads((tmp_path / "search.json").read_text())
    structures = [trial["config"]["structure"] for trial in report["trials"]]
    assert all(text.startswith("1111-0.") for text in structures)
