import csv
import json

import numpy as np
import pytest
import torch
from bitexpert.models.checkpoint import load_checkpoint
from bitexpert.models.networks import NetworkError
from bitexpert.models.recipe import Recipe, load_recipe
from bitexpert.models.train import RUN_FILES, RunFolderError, evaluate, expert_usage, train


def small(**training):
    """A network that learns something in seconds."""
    settings = {"epochs_single": 5, "epochs_experts": 4, "learning_rate": 0.01, "threads": 1, **training}
    blocks = [
        {"width": 4, "tau": 2, "pool": 2},
        {"kind": "expert", "width": 8, "experts": 3, "pad_mode": "minus_one", "gate": "pre_sign"},
        {"kind": "expert", "width": 8, "experts": 2, "pad_mode": "minus_one", "gate": "sign", "pool": 2},
    ]
    return Recipe.model_validate(
        {"name": "small", "network": {"name": "vgg", "config": {"blocks": blocks}}, "training": settings}
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(small(), tmp_path_factory.mktemp("train") / "run", progress=False)


def test_run_folder(run):
    assert sorted(p.name for p in run.run_dir.iterdir()) == sorted(RUN_FILES)
    inputs, labels = (np.load(run.run_dir / f"heldout_{n}.npy") for n in ("inputs", "labels"))
    assert (inputs.shape, inputs.dtype, labels.shape) == ((360, 8, 8, 1), np.uint8, (360,))
    assert load_recipe(run.run_dir / "recipe.yaml") == small()
    with (run.run_dir / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == ["one expert"] * 5 + ["all experts"] * 4
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    metrics = json.loads((run.run_dir / "metrics.json").read_text())
    assert metrics["accuracy"] == run.accuracy
    assert metrics["expert_usage"] == run.expert_usage


def test_the_checkpoint_is_what_was_measured(run):
    model = load_checkpoint(run.checkpoint)
    inputs, labels = (np.load(run.run_dir / f"heldout_{n}.npy") for n in ("inputs", "labels"))
    assert model.frozen
    assert evaluate(model, inputs, labels) == run.accuracy
    assert expert_usage(model, inputs) == run.expert_usage
    assert [sum(counts) for counts in run.expert_usage.values()] == [360, 360]
    assert run.accuracy > 0.2  # guessing gives 0.1


def test_two_runs_are_equal_and_another_seed_is_not(run, tmp_path):
    torch.rand(17)  # the state of the global generator must not matter
    again = train(small(), tmp_path / "again", progress=False)
    other = train(small(seed=2), tmp_path / "other", progress=False)
    a, b, c = (load_checkpoint(r.checkpoint).state_dict() for r in (run, again, other))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not all(torch.equal(a[key], c[key]) for key in a)


def test_training_leaves_torch_as_it_was(tmp_path):
    threads = torch.get_num_threads()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train(small(epochs_single=0, epochs_experts=0), tmp_path / "run", progress=False)
    assert torch.equal(torch.rand(2), expected)
    assert torch.get_num_threads() == threads


def test_experts_are_copies_of_the_first_and_start_balanced(tmp_path):
    result = train(small(epochs_experts=0), tmp_path / "run", progress=False)
    model = load_checkpoint(result.checkpoint)
    for _, layer in model.experts():
        banks = layer.weight.reshape(layer.gate.experts, -1)
        assert torch.equal(banks, banks[:1].expand_as(banks))
    for counts in result.expert_usage.values():
        assert min(counts) > 0.05 * sum(counts)


def test_a_folder_in_use_is_refused_or_overwritten(run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="isn't empty"):
        train(small(), tmp_path, progress=False)
    quick = small(epochs_single=0, epochs_experts=0)
    train(quick, tmp_path, progress=False, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "model.pt").exists()
    with pytest.raises(RunFolderError, match="is a file"):
        train(small(), tmp_path / "notes.txt", progress=False)


@pytest.mark.parametrize(
    ("config", "words"),
    [({"height": 16}, "don't fit the images"), ({"class_names": ["a", "b"]}, "2 names, but the data has 10")],
)
def test_a_network_that_does_not_fit_the_data(tmp_path, config, words):
    recipe = Recipe.model_validate({"name": "x", "network": {"config": config}})
    with pytest.raises(NetworkError, match=words):
        train(recipe, tmp_path / "run", progress=False)


def test_shifted_images_are_moved_whole():
    from bitexpert.models.train import _shifted

    x = torch.zeros(50, 1, 8, 8)
    x[:, 0, 4, 4] = 9.0
    moved = _shifted(x, 1, torch.Generator().manual_seed(0))
    where = {(int(r), int(c)) for _, _, r, c in torch.nonzero(moved)}
    assert where == {(r, c) for r in (3, 4, 5) for c in (3, 4, 5)}
    assert torch.equal(moved.sum((1, 2, 3)), x.sum((1, 2, 3)))
    assert _shifted(x, 0, torch.Generator()) is x
