import csv
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from bitexpert.models.checkpoint import load_checkpoint, save_checkpoint
from bitexpert.models.datasets import load_dataset
from bitexpert.models.expert import ExpertConv2d
from bitexpert.models.gate import ExpertGate
from bitexpert.models.networks import NetworkError, build_network
from bitexpert.models.recipe import Recipe, load_recipe, save_recipe
from bitexpert.models.train import train
from bitexpert.models.training import trainer
from bitexpert.models.training.augment import pixels
from bitexpert.models.training.measure import evaluate, expert_usage
from bitexpert.models.training.run_folder import EXPERT_PICTURE, RUN_FILES, RUN_NAMES, RunFolderError
from bitexpert.models.training.trainer import TrainingError
from recipes import small_recipe, two_steps


def state_of(result):
    return load_checkpoint(result.checkpoint).state_dict()


def equal(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(small_recipe(), tmp_path_factory.mktemp("train") / "run", progress=False)


def test_run_folder(run):
    names = {p.name for p in run.run_dir.iterdir()}
    assert names == {*RUN_FILES, EXPERT_PICTURE, "steps", "tensorboard"}
    assert names < set(RUN_NAMES)
    inputs, labels = (np.load(run.run_dir / f"heldout_{n}.npy") for n in ("inputs", "labels"))
    assert (inputs.shape, inputs.dtype, labels.shape) == ((360, 8, 8, 1), np.uint8, (360,))
    assert load_recipe(run.run_dir / "recipe.yaml") == small_recipe()
    with (run.run_dir / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["one expert"] * 5 + ["all experts"] * 4
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    metrics = json.loads((run.run_dir / "metrics.json").read_text())
    assert metrics["accuracy"] == run.accuracy
    assert metrics["expert_usage"] == run.expert_usage
    environment = json.loads((run.run_dir / "environment.json").read_text())
    assert environment["images"] == {"train": 1437, "held_out": 360}
    assert "sha256" in environment["data"]
    assert environment["processor"].endswith(f", {torch.backends.cpu.get_cpu_capability()}")


def test_curves_go_to_tensorboard(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.run_dir / "tensorboard")).Reload()
    with (run.run_dir / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for tag, column in (("loss/training", "loss"), ("accuracy/held-out", "accuracy")):
        values = [event.value for event in events.Scalars(tag)]
        assert values == pytest.approx([float(row[column]) for row in rows])


def test_the_checkpoint_is_what_was_measured(run):
    model = load_checkpoint(run.checkpoint)
    inputs, labels = (np.load(run.run_dir / f"heldout_{n}.npy") for n in ("inputs", "labels"))
    assert model.frozen
    assert evaluate(model, inputs, labels) == run.accuracy
    assert expert_usage(model, inputs) == run.expert_usage
    assert [sum(counts) for counts in run.expert_usage.values()] == [360, 360]
    for name, table in run.expert_usage_by_class.items():
        assert np.sum(table, axis=0).tolist() == run.expert_usage[name]
        assert np.sum(table, axis=1).tolist() == np.bincount(labels).tolist()
    assert run.accuracy > 0.2  # guessing gives 0.1


def test_the_statistics_of_batch_normalization_are_those_of_the_last_weights(run):
    """Weights whose signs flip to the end leave running averages behind."""
    model = load_checkpoint(run.run_dir / "steps" / "1.pt")
    data = load_dataset("digits", held_out=0.2)
    # of the first block, whose input depends on no other statistics
    first = model.train().blocks[0]
    with torch.no_grad():
        acc = first.conv(pixels(data.train_x))
    off = (first.bn.running_mean[: acc.shape[1]] - acc.mean((0, 2, 3))) / acc.std((0, 2, 3))
    assert off.abs().max() < 0.01  # 0.04 with running averages


def test_two_runs_are_equal_and_another_seed_is_not(run, tmp_path):
    torch.rand(17)  # the state of the global generator must not matter
    again = train(small_recipe(), tmp_path / "again", progress=False)
    other = train(small_recipe(seed=2), tmp_path / "other", progress=False)
    assert equal(state_of(run), state_of(again))
    assert not equal(state_of(run), state_of(other))


class Killed(Exception):
    pass


# in the first epoch, within an epoch, at an epoch's first and last batch, at the start of the second step and in it
@pytest.mark.parametrize("batch", [3, 40, 44, 65, 22 * 5, 22 * 7 + 4])
def test_a_killed_run_goes_on_to_the_same_result(run, tmp_path, monkeypatch, batch):
    monkeypatch.setattr(trainer, "KEEP_SECONDS", 0.0)  # keep the state after every batch
    real = trainer.Trainer._batch
    count = 0

    def killing(self, *args):
        nonlocal count
        count += 1
        if count > batch:
            raise Killed
        return real(self, *args)

    monkeypatch.setattr(trainer.Trainer, "_batch", killing)
    with pytest.raises(Killed):
        train(small_recipe(), tmp_path / "run", progress=False)
    monkeypatch.setattr(trainer.Trainer, "_batch", real)
    result = train(small_recipe(), tmp_path / "run", progress=False)
    assert equal(state_of(result), state_of(run))
    for name in ("metrics.csv", "recipe.yaml"):
        assert (result.run_dir / name).read_text() == (run.run_dir / name).read_text()
    assert not (result.run_dir / "state.pt").exists()


def test_a_process_that_is_killed_hard_goes_on_to_the_same_result(run, tmp_path):
    recipe, folder = save_recipe(small_recipe(), tmp_path / "recipe.yaml"), tmp_path / "run"
    command = [sys.executable, "-m", "bitexpert.flow.cli", "train", str(recipe), "-o", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (folder / "state.pt").exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (folder / "model.pt").exists()
    subprocess.run(command, check=True, capture_output=True)
    assert equal(torch.load(folder / "model.pt", weights_only=True)["state_dict"], state_of(run))


def test_processes_of_torchrun_train_one_network(tmp_path):
    recipe, folder = save_recipe(small_recipe(), tmp_path / "recipe.yaml"), tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "bitexpert.flow.cli", "train", str(recipe), "-o", str(folder), "--accelerator", "cpu", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"] > 0.2  # one of both speaks
    assert json.loads((folder / "environment.json").read_text())["processes"] == 2
    assert load_checkpoint(folder / "model.pt").frozen


def test_training_leaves_torch_as_it_was(tmp_path):
    threads = torch.get_num_threads()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train(small_recipe(steps=two_steps(0, 0)), tmp_path / "run", progress=False)
    assert torch.equal(torch.rand(2), expected)
    assert torch.get_num_threads() == threads


def test_experts_are_copies_of_the_first_and_start_balanced(tmp_path):
    result = train(small_recipe(steps=two_steps(5, 0)), tmp_path / "run", progress=False)
    model = load_checkpoint(result.checkpoint)
    for _, layer in model.experts():
        banks = layer.weight.reshape(layer.gate.experts, -1)
        assert torch.equal(banks, banks[:1].expand_as(banks))
    for counts in result.expert_usage.values():
        assert min(counts) > 0.05 * sum(counts)


def test_all_steps_of_the_paper(tmp_path):
    """Real network, binary activations with attention transfer and expansion, binary weights with a teacher."""
    adam = {"epochs": 2, "optimizer": {"learning_rate": 0.005}, "clip_gradient": 5.0}
    learn = {"scores": 1.0, "attention": 10.0}
    steps = [
        {"name": "real", "weights": "real", "activations": "real", "experts": "first", "label_smoothing": 0.1, **adam},
        {"name": "bits", "weights": "real", "experts": "first", "teacher": {"step": "real", **learn}, **adam},
        {"name": "experts", "weights": "real", "expand": True, "normalize_gates": True, "balance": 0.1, **adam},
        {"name": "binary", "mixup": 0.2, "teacher": {"step": "experts", **learn}, **adam},
    ]
    result = train(small_recipe(steps=steps), tmp_path / "run", progress=False)
    assert result.accuracy > 0.2
    assert [p.name for p in sorted((result.run_dir / "steps").iterdir())] == ["0.pt", "1.pt", "2.pt", "3.pt"]
    again = {"name": "student", "teacher": {"checkpoint": str(result.checkpoint)}, **adam}
    assert train(small_recipe(steps=[again]), tmp_path / "student", progress=False).epochs == 2


def test_evened_out_gates_use_all_experts(tmp_path):
    def least(rate):
        start = {"name": "all", "epochs": 4, "balance_rate": rate, "optimizer": {"learning_rate": 0.01}}
        recipe = small_recipe(steps=[start]).model_dump()
        for block in recipe["network"]["config"]["blocks"][1:]:
            block["whiten"] = False
        result = train(Recipe.model_validate(recipe), tmp_path / str(rate), progress=False)
        return min(min(counts) / (sum(counts) / len(counts)) for counts in result.expert_usage.values())

    assert least(0.0) < 0.1  # from random gates
    assert least(0.1) > 0.3


def test_gates_are_evened_out_by_steps_that_fall_with_the_learning_rate(tmp_path, monkeypatch):
    rates = []
    monkeypatch.setattr(ExpertGate, "even_out", lambda gate, share, rate: rates.append(rate))
    step = {"name": "all", "epochs": 3, "balance_rate": 0.05, "schedule": {"kind": "cosine", "warmup": 1}}
    train(small_recipe(steps=[step]), tmp_path / "run", progress=False)
    peak = rates.index(max(rates))
    assert rates[peak] == pytest.approx(0.05, rel=1e-3)
    assert rates[0] < 0.01
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] < 0.001


def test_gates_learn_for_as_many_epochs_as_the_step_says(tmp_path, monkeypatch):
    weights, usual = [], trainer.Trainer._end_of_epoch

    def noting(running, *args):
        weights.append([layer.gate.linear.weight.detach().clone() for _, layer in running.network.experts()])
        return usual(running, *args)

    monkeypatch.setattr(trainer.Trainer, "_end_of_epoch", noting)
    adam = {"epochs": 3, "optimizer": {"learning_rate": 0.01}}
    steps = [{"name": "settle", "gate_epochs": 1, **adam}, {"name": "learn", **adam}]
    train(small_recipe(steps=steps), tmp_path / "run", progress=False)
    moved = [any(not torch.equal(a, b) for a, b in zip(*pair, strict=True)) for pair in pairwise(weights)]
    assert moved == [False, False, True, True, True]


def test_experts_share_as_far_as_the_learning_rate_has_to_fall(tmp_path, monkeypatch):
    shares, usual = [], ExpertConv2d.mixed

    def noting(layer, x, choice):
        if layer.training:
            shares.append(layer.share)
        return usual(layer, x, choice)

    monkeypatch.setattr(ExpertConv2d, "mixed", noting)
    adam = {"learning_rate": 0.01}
    steps = [
        {"name": "all", "epochs": 2, "share": 0.8, "optimizer": adam},
        {"name": "apart", "epochs": 1, "optimizer": adam},
    ]
    train(small_recipe(steps=steps), tmp_path / "run", progress=False)
    assert max(shares) == pytest.approx(0.8)
    together, apart = shares[: len(shares) // 2], shares[-10:]
    assert together == sorted(together, reverse=True)
    assert together[-1] < 0.1
    assert apart == [0.0] * 10


def test_residual_networks_train_too(tmp_path):
    config = {"channels": 1, "height": 8, "width": 8, "blocks": [1, 1], "base_width": 8, "experts": 2}
    steps = two_steps(1, 1)
    recipe = small_recipe(steps=steps).model_dump()
    recipe["network"] = {"name": "es-resnet-20", "config": config}
    result = train(Recipe.model_validate(recipe), tmp_path / "run", progress=False)
    assert 0 < result.accuracy <= 1
    assert len(result.expert_usage) == 4


@pytest.mark.parametrize("precision", ["bf16-mixed"])
def test_mixed_precision(tmp_path, precision):
    result = train(small_recipe(precision=precision), tmp_path / "run", progress=False)
    assert result.accuracy > 0.2
    assert state_of(result)["blocks.0.conv.weight"].dtype == torch.float32


def test_a_training_that_diverges_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer.Trainer, "_batch", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(TrainingError, match=r"lower optimizer.learning_rate of step 'one expert'"):
        train(small_recipe(), tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "model.pt").exists()


def test_an_unfinished_run_goes_on_with_its_own_images_only(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer.Trainer, "_batch", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(TrainingError):
        train(small_recipe(), tmp_path / "run", progress=False, tuning=0.25)
    monkeypatch.undo()
    kept = (tmp_path / "run" / "environment.json").read_bytes()
    with pytest.raises(
        RunFolderError, match=r"an unfinished run on other images \({'train': 1077, .*; give the same data"
    ):
        train(small_recipe(), tmp_path / "run", progress=False)
    assert (tmp_path / "run" / "environment.json").read_bytes() == kept
    assert train(small_recipe(), tmp_path / "run", progress=False, tuning=0.25).accuracy > 0.2


def test_a_folder_in_use_is_refused_or_overwritten(run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="isn't empty"):
        train(small_recipe(), tmp_path, progress=False)
    quick = small_recipe(steps=two_steps(0, 0))
    train(quick, tmp_path, progress=False, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(RunFolderError, match="holds a finished run"):
        train(quick, tmp_path, progress=False)
    (tmp_path / "model.pt").unlink()
    with pytest.raises(RunFolderError, match="unfinished run of another recipe"):
        train(small_recipe(), tmp_path, progress=False)
    train(quick, tmp_path, progress=False)
    assert (tmp_path / "model.pt").exists()
    with pytest.raises(RunFolderError, match="is a file"):
        train(small_recipe(), tmp_path / "notes.txt", progress=False)


@pytest.mark.parametrize(
    ("config", "words"),
    [({"height": 16}, "don't fit the images"), ({"class_names": ["a", "b"]}, "2 names, but the data has 10")],
)
def test_a_network_that_does_not_fit_the_data_leaves_no_files(tmp_path, config, words):
    steps = [{"name": "x", "epochs": 1}]
    recipe = Recipe.model_validate({"name": "x", "network": {"config": config}, "steps": steps})
    with pytest.raises(NetworkError, match=words):
        train(recipe, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("accelerator", "words"),
    [("tpu", "'tpu' is unknown; use auto, cpu, cuda"), ("CPU", "unknown"), ("cuda", "no CUDA device here")],
)
def test_an_accelerator_that_is_not_there_is_told_of_before_anything_is_made(tmp_path, monkeypatch, accelerator, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match=words):
        train(small_recipe(), tmp_path / "run", progress=False, accelerator=accelerator)
    assert not (tmp_path / "run").exists()


def test_teachers_of_other_runs_are_looked_at_before_anything_is_trained(tmp_path):
    def taught_by(checkpoint):
        steps = two_steps(1, 1)
        return small_recipe(steps=[*steps[:-1], {**steps[-1], "teacher": {"checkpoint": str(checkpoint)}}])

    with pytest.raises(TrainingError, match=r"teacher.checkpoint of step 'all experts': .*nope.pt: there is no such"):
        train(taught_by(tmp_path / "nope.pt"), tmp_path / "run", progress=False)
    blocks = {"blocks": [{"width": 4}]}
    for name, config, words in (
        ("classes", {"class_names": ["a", "b"]}, "has other classes than the data"),
        ("shape", {"height": 9}, r"is for images .* of \(9, 8, 1\), but the data's are \(8, 8, 1\)"),
    ):
        file = save_checkpoint(build_network("vgg", blocks | config), tmp_path / f"{name}.pt")
        with pytest.raises(TrainingError, match=words):
            train(taught_by(file), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
