import json
import sys
from pathlib import Path

import pytest
from bitexpert.models.networks import network_cost
from bitexpert.models.recipe import Recipe, load_recipe

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
import study
from study_recipes import STUDIES

TFC = 784 * 64 + 2 * 64 * 64 + 64 * 10
EVERY = [(name, variant) for name, variants in STUDIES.items() for variant in variants]


@pytest.mark.parametrize(("name", "variant"), EVERY, ids=[f"{n}-{v.name}" for n, v in EVERY])
def test_variants_are_compared_at_equal_operations(name, variant):
    recipe = Recipe.model_validate(variant.recipe(3))
    plain = Recipe.model_validate(STUDIES[name][0].recipe(3))
    assert recipe.epochs == plain.epochs
    assert recipe.training == plain.training
    cost, base = (network_cost(r.network.name, r.network.config).as_dict() for r in (recipe, plain))
    if variant.wider > 1:
        experts = next(v for v in STUDIES[name] if v.name == "experts").recipe(3)["network"]["config"]
        assert cost["binary_parameters"] >= network_cost("vgg", experts).as_dict()["binary_parameters"]
    elif variant.blocks:  # the pixels' products, too, fit into TFC's operations
        assert cost["bops"] + cost["macs"] <= TFC < base["bops"] + base["macs"]
    else:
        assert cost["bops"] == base["bops"]


def test_a_study_keeps_what_is_finished(tmp_path, capsys, monkeypatch):
    started = []

    def fake(command, **_):
        folder = command[command.index("-o") + 1]
        started.append(folder)
        path = tmp_path / "out" / folder.rsplit("/", 1)[1]
        path.mkdir()
        usage = {"accuracy": 0.5 + 0.01 * int(folder[-1]), "expert_usage": {}, "seconds": 2.0}
        (path / "metrics.json").write_text(json.dumps(usage))
        (path / "model.pt").write_text("")
        return type("Done", (), {"returncode": 0, "stdout": "done", "stderr": ""})

    monkeypatch.setattr(study.subprocess, "run", fake)
    words = ["study", "fashion-mnist", "-o", str(tmp_path / "out"), "--only", "plain", "es"]
    for _ in range(2):
        monkeypatch.setattr(study.sys, "argv", words)
        study.main()
    assert len(started) == 6
    monkeypatch.setattr(study.sys, "argv", [*words[:-2], "es-g", "--seeds", "4"])
    study.main()
    assert len(started) == 7
    rows = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["variant"] for row in rows] == ["plain", "es", "es-g"]
    assert rows[0]["accuracy"] == pytest.approx([51, 52, 53])
    out = capsys.readouterr().out
    assert "| plain | 1, 2, 3 | 52.00 ± 1.00 | +0.00 |" in out
    assert "| ES + G, tau = 2, g = 2 | 4 | 54.00 | +2.00 |" in out


def test_teachers_come_first(tmp_path, monkeypatch):
    started = []

    def fake(command, **_):
        folder = Path(command[command.index("-o") + 1])
        recipe = load_recipe(command[command.index("train") + 1])
        teacher = recipe.steps[-1].teacher
        if teacher is not None:
            assert Path(teacher.checkpoint).exists()
        started.append((folder.name, teacher is not None))
        folder.mkdir()
        (folder / "metrics.json").write_text(json.dumps({"accuracy": 0.5, "expert_usage": {}, "seconds": 2.0}))
        (folder / "model.pt").write_text("")
        return type("Done", (), {"returncode": 0, "stdout": "done", "stderr": ""})

    monkeypatch.setattr(study.subprocess, "run", fake)
    words = ["study", "cifar-10", "-o", str(tmp_path / "out"), "--seeds", "1", "2", "--only", "experts-taught"]
    monkeypatch.setattr(study.sys, "argv", words)
    with pytest.raises(SystemExit, match="its teacher isn't there yet; run --only wide --seeds 1"):
        study.main()
    assert not started
    monkeypatch.setattr(study.sys, "argv", [*words, "wide"])
    study.main()
    names = ["wide-1", "wide-2", "experts-taught-1", "experts-taught-2"]
    assert started == [(name, name.startswith("experts")) for name in names]


def test_a_variant_that_is_not_there_is_named(monkeypatch, capsys):
    monkeypatch.setattr(study.sys, "argv", ["study", "mnist", "-o", "x", "--only", "plain", "narrow"])
    with pytest.raises(SystemExit):
        study.main()
    assert "mnist has no variant 'narrow'; it has plain, es," in capsys.readouterr().err
