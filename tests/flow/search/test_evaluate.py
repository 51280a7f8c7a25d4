import json

import pytest
import torch
from bitexpert.flow import api
from bitexpert.flow.export import export
from bitexpert.flow.search import evaluate as module
from bitexpert.flow.search.evaluate import evaluate, hardware_figures
from bitexpert.flow.search.space import Rejected
from bitexpert.flow.search.spec import HardwareSettings, TrainingSettings
from bitexpert.flow.search.training import held_out_accuracy, with_network
from bitexpert.models.networks import build_network
from bitexpert.models.recipe import NetworkConfig, load_recipe

CONFIG = {
    "channels": 1,
    "height": 8,
    "width": 8,
    "blocks": [
        {"width": 4, "tau": 2, "pool": 2},
        {"width": 4, "kind": "expert", "experts": 2, "gate": "sign", "pool": 2},
    ],
}
NETWORK = NetworkConfig(name="vgg", config=CONFIG)


def job(**changes):
    recipe = with_network(load_recipe("digits"), "candidate", "vgg", CONFIG)
    parts = {"recipe": recipe.model_dump(mode="json"), "training": {"epochs": 1}, "hardware": {"target_fps": 1000}}
    return json.loads(json.dumps({**parts, "data": None, **changes}))


def test_hardware_figures_are_those_of_a_build(tmp_path):
    found = hardware_figures(NETWORK, HardwareSettings(target_fps=20_000))
    torch.manual_seed(0)
    model = export(build_network("vgg", CONFIG).freeze(), tmp_path / "m.onnx")
    api.build(model, tmp_path / "build", target_fps=20_000)
    reports = tmp_path / "build" / "report"
    total = json.loads((reports / "estimate_layer_resources.json").read_text())["total"]
    performance = json.loads((reports / "estimate_network_performance.json").read_text())
    assert found == {
        "luts": total["lut"] + total["lutram"],
        "bram18": total["bram18"],
        "fps": performance["estimated_throughput_fps"],
    }
    assert hardware_figures(NETWORK, HardwareSettings())["fps"] > found["fps"] >= 20_000
    limits = [
        ({"luts": 100}, "luts, of which the limit is 100"),
        ({"fps": 1e6}, "fps, of which there must be 1,000,000"),
    ]
    for limit, message in limits:
        with pytest.raises(Rejected, match=message):
            hardware_figures(NETWORK, HardwareSettings(target_fps=20_000, limits=limit))
    with pytest.raises(Rejected, match="out of reach"):
        hardware_figures(NETWORK, HardwareSettings(target_fps=1e7))


def test_a_candidate_becomes_figures():
    state = torch.random.get_rng_state()
    outcome = evaluate(job())
    assert (outcome["state"], outcome["reason"]) == ("complete", "")
    assert set(outcome["figures"]) == {"luts", "bram18", "fps", "accuracy"}
    assert 0.1 < outcome["figures"]["accuracy"] < 1
    assert evaluate(job())["figures"] == outcome["figures"]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert json.loads(json.dumps(outcome)) == outcome


def test_epochs_and_experts_are_trained():
    recipe = with_network(load_recipe("digits"), "candidate", "vgg", CONFIG)
    few, more = (held_out_accuracy(recipe, TrainingSettings(epochs=epochs), None) for epochs in (1, 6))
    assert more > few


def test_what_does_not_fit_is_rejected_without_training(monkeypatch):
    monkeypatch.setattr(module, "held_out_accuracy", lambda *_: pytest.fail("it was trained"))
    outcome = evaluate(job(hardware={"target_fps": 1e7}))
    assert (outcome["state"], outcome["figures"]) == ("rejected", {})
    assert "out of reach" in outcome["reason"]


def test_failures_have_a_reason(monkeypatch, tmp_path):
    wrong = job()
    wrong["recipe"]["network"]["config"] = {**CONFIG, "class_names": ["a", "b"]}
    outcome = evaluate({**wrong, "hardware": None})
    assert outcome["state"] == "failed"
    assert "class_names: 2 names, but the data has 10 classes" in outcome["reason"]
    assert "leave out --data" in evaluate(job(hardware=None, data=str(tmp_path)))["reason"]

    def mess(*_):
        raise RuntimeError("what\na mess")

    monkeypatch.setattr(module, "held_out_accuracy", mess)
    assert evaluate(job(hardware=None))["reason"] == "RuntimeError: what a mess"
