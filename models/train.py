"""Training in the paper's stages: one expert, copies of it, all experts with the gate, frozen integers."""

import csv
import io
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn

from ..errors import BitexpertError
from .checkpoint import save_checkpoint
from .datasets import Dataset, Images, load_dataset
from .files import write_atomically
from .networks import NetworkError, build_network
from .quant import clip_latent_weights
from .recipe import Recipe, save_recipe

__all__ = ["RUN_FILES", "RunFolderError", "TrainResult", "TrainingError", "evaluate", "expert_usage", "train"]

#: Files of a run folder; ``model.pt`` is written last, so where it exists the run is complete.
RUN_FILES = (
    "recipe.yaml",
    "metrics.csv",
    "metrics.json",
    "heldout_inputs.npy",
    "heldout_labels.npy",
    "model.pt",
)


class TrainingError(BitexpertError):
    """A training that came to nothing."""


class RunFolderError(BitexpertError):
    """The run folder can't be used; the message says what to do."""


@dataclass(frozen=True)
class TrainResult:
    """Outcome of a training run.

    Attributes
    ----------
    run_dir : Path
        The run folder.
    accuracy_float, accuracy : float
        Share of held-out images that are classified right, before and after freezing, 0..1.
    expert_usage : dict
        Layer name -> held-out images that went to each expert (frozen gate).
    seconds : float
        Wall-clock time of the training.
    epochs : int
        Passes over the training images.
    """

    run_dir: Path
    accuracy_float: float
    accuracy: float
    expert_usage: dict[str, list[int]]
    seconds: float
    epochs: int

    @property
    def checkpoint(self) -> Path:
        """The trained network."""
        return self.run_dir / "model.pt"


def _tensor(images: Images) -> Tensor:
    """NHWC pixels to a float NCHW tensor."""
    return torch.from_numpy(np.ascontiguousarray(np.asarray(images).transpose(0, 3, 1, 2))).float()


@torch.no_grad()
def evaluate(model: nn.Module, images: Images, labels: NDArray[np.int64]) -> float:
    """Share of images whose largest score (lowest index first) is the label's, 0..1.

    Parameters
    ----------
    model : nn.Module
        A network of the registry; evaluated in eval mode.
    images : uint8 array
        ``[N, H, W, C]``.
    labels : int array
        ``[N]``.
    """
    was_training = model.training
    model.eval()
    right = sum(
        int((model(_tensor(images[i : i + 256])).argmax(1).numpy() == labels[i : i + 256]).sum())
        for i in range(0, len(images), 256)
    )
    model.train(was_training)
    return right / len(images)


@torch.no_grad()
def expert_usage(model: Any, images: Images) -> dict[str, list[int]]:
    """How many of the images each expert of each layer gets.

    Parameters
    ----------
    model : nn.Module
        A network with ``experts()``.
    images : uint8 array
        ``[N, H, W, C]``.

    Returns
    -------
    dict
        Layer name -> counts ``[N experts]``.
    """
    was_training = model.training
    model.eval()
    usage = {name: np.zeros(layer.gate.experts, dtype=np.int64) for name, layer in model.experts()}
    for i in range(0, len(images), 256):
        model(_tensor(images[i : i + 256]))
        for name, layer in model.experts():
            usage[name] += np.bincount(layer.gate.last_index.numpy(), minlength=layer.gate.experts)
    model.train(was_training)
    return {name: counts.tolist() for name, counts in usage.items()}


class _Criterion(nn.Module):
    """Cross-entropy on integer scores times a learned positive scale, which stays out of the network."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-0.5 * float(np.log(inputs))))

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(scores * self.log_scale.exp(), labels)


def _balance(model: Any) -> Tensor:
    """Loss that is smallest (1) when all experts get equally many samples, summed over the layers."""
    total = torch.zeros(())
    for _, layer in model.experts():
        p = layer.gate.probabilities
        if p is not None:
            share = F.one_hot(p.argmax(1), p.shape[1]).float().mean(0)
            total = total + p.shape[1] * (share * p.mean(0)).sum()
    return total


def _shifted(x: Tensor, reach: int, rng: torch.Generator) -> Tensor:
    """Shift each image by up to ``reach`` pixels in both directions, dark pixels moving in."""
    if reach == 0:
        return x
    n, c, h, w = x.shape
    padded = F.pad(x, (reach,) * 4)
    dy, dx = torch.randint(0, 2 * reach + 1, (2, n), generator=rng)
    rows = (dy[:, None] + torch.arange(h))[:, None, :, None]
    cols = (dx[:, None] + torch.arange(w))[:, None, None, :]
    return padded[torch.arange(n)[:, None, None, None], torch.arange(c)[None, :, None, None], rows, cols]


class _Bar:
    """Progress on stderr; silent when it isn't a terminal or nobody wants it."""

    def __init__(self, total: int, show: bool) -> None:
        self.show = show and sys.stderr.isatty()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, console=Console(stderr=True), disable=not self.show)
        self.task = self.progress.add_task("training", total=total)

    def step(self, text: str) -> None:
        self.progress.update(self.task, advance=1, description=text)


def _stage(
    model: Any,
    criterion: _Criterion,
    data: Dataset,
    recipe: Recipe,
    stage: str,
    epochs: int,
    rng: torch.Generator,
) -> Iterator[dict[str, Any]]:
    """Train for some epochs; gives one row of metrics after each."""
    cfg = recipe.training
    x, labels = _tensor(data.train_x), torch.from_numpy(data.train_y)
    optimizer = torch.optim.Adam([*model.parameters(), *criterion.parameters()], lr=cfg.learning_rate)
    # The last batch may hold a single image, which batch normalization can't take.
    steps = max(len(x) // cfg.batch_size, 1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(epochs * steps, 1))
    for epoch in range(epochs):
        model.train()
        order = torch.randperm(len(x), generator=rng)
        total = 0.0
        for i in range(steps):
            rows = order[i * cfg.batch_size : (i + 1) * cfg.batch_size]
            scores = model(_shifted(x[rows], cfg.shift, rng))
            loss = criterion(scores, labels[rows])
            total += float(loss.detach())
            if cfg.balance:
                loss = loss + cfg.balance * _balance(model)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            clip_latent_weights(model)
        if not np.isfinite(total):
            raise TrainingError("the training has diverged (the loss isn't finite); lower training.learning_rate")
        accuracy = evaluate(model, data.test_x, data.test_y)
        yield {"stage": stage, "epoch": epoch + 1, "loss": total / steps, "accuracy": accuracy}


@contextmanager
def _reproducible(seed: int, threads: int) -> Iterator[torch.Generator]:
    """Seeded generators and a fixed number of threads; torch's global state is put back afterwards."""
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        try:
            yield torch.Generator().manual_seed(seed)
        finally:
            torch.set_num_threads(before)


def _prepare(run_dir: Path, overwrite: bool) -> None:
    if run_dir.exists() and not run_dir.is_dir():
        raise RunFolderError(f"{run_dir} is a file; choose a folder")
    if run_dir.is_dir() and any(run_dir.iterdir()):
        if not overwrite:
            raise RunFolderError(f"{run_dir} isn't empty; choose another folder, or allow overwriting (--overwrite)")
        for name in map(Path, RUN_FILES):
            # and what a run that was killed left beside them
            for path in [run_dir / name, *run_dir.glob(f".{name.stem}.*{name.suffix}")]:
                path.unlink(missing_ok=True)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot make {run_dir}: {error.strerror or error}") from error


def _table(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["stage", "epoch", "loss", "accuracy"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _train_model(recipe: Recipe, data: Dataset, bar: _Bar) -> tuple[Any, list[dict[str, Any]], float]:
    """The trained and frozen network, the metrics of each epoch, and the accuracy before freezing."""
    cfg = recipe.training
    with _reproducible(cfg.seed, cfg.threads) as rng:
        model: Any = build_network(recipe.network.name, recipe.network.config)
        config = model.config
        if (config.height, config.width, config.channels) != data.train_x.shape[1:]:
            raise NetworkError(
                f"network.config: height, width and channels {config.height}, {config.width}, "
                f"{config.channels} don't fit the images {data.train_x.shape[1:]} of {recipe.dataset.name!r}"
            )
        if len(config.class_names) != len(data.class_names):
            raise NetworkError(
                f"network.config.class_names: {len(config.class_names)} names, but the data has "
                f"{len(data.class_names)} classes"
            )
        criterion = _Criterion(model.head.in_features)
        rows: list[dict[str, Any]] = []

        def run(stage: str, epochs: int) -> None:
            for row in _stage(model, criterion, data, recipe, stage, epochs, rng):
                rows.append(row)
                bar.step(f"{stage}: {100 * row['accuracy']:.1f} % right")

        for _, layer in model.experts():
            layer.gate.single = True
        run("one expert", cfg.epochs_single)
        for _, layer in model.experts():
            layer.copy_first_expert()
            layer.gate.single = False
        model.normalize_gates(_tensor(data.train_x))
        run("all experts", cfg.epochs_experts)
        accuracy_float = evaluate(model, data.test_x, data.test_y)
        model.freeze()
    return model, rows, accuracy_float


def train(recipe: Recipe, run_dir: str | Path, *, progress: bool = True, overwrite: bool = False) -> TrainResult:
    """Train a network, freeze it to integers and write a run folder.

    Parameters
    ----------
    recipe : Recipe
        What to train, see `load_recipe`.
    run_dir : path
        The folder to write; must be empty or absent unless ``overwrite``.
    progress : bool
        Show a progress bar, if stderr is a terminal.
    overwrite : bool
        Replace the run files of a folder that isn't empty.

    Returns
    -------
    TrainResult

    Raises
    ------
    RunFolderError
        If the folder isn't empty or can't be made.
    NetworkError
        If the network doesn't fit together or doesn't fit the data.
    TrainingError
        If the training diverges.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), training in steps: train one expert, copy it
    to all, train all with the gate. Unlike there, weights are binary from the first step on, which
    a network this small takes without loss.
    """
    run_dir = Path(run_dir)
    _prepare(run_dir, overwrite)
    started = time.perf_counter()
    data = load_dataset(recipe.dataset.name, seed=recipe.dataset.seed, held_out=recipe.dataset.held_out)
    epochs = recipe.training.epochs_single + recipe.training.epochs_experts
    bar = _Bar(epochs, progress)
    with bar.progress if bar.show else nullcontext():  # a disabled one still prints an empty line
        model, rows, accuracy_float = _train_model(recipe, data, bar)
    result = TrainResult(
        run_dir=run_dir,
        accuracy_float=accuracy_float,
        accuracy=evaluate(model, data.test_x, data.test_y),
        expert_usage=expert_usage(model, data.test_x),
        seconds=round(time.perf_counter() - started, 2),
        epochs=epochs,
    )
    summary = {k: v for k, v in asdict(result).items() if k != "run_dir"}
    summary |= {"macs": model.macs, "heldout_images": len(data.test_x), "recipe": recipe.name}
    texts = {"metrics.csv": _table(rows), "metrics.json": json.dumps(summary, indent=2) + "\n"}
    save_recipe(recipe, run_dir / "recipe.yaml")
    for name, text in texts.items():
        write_atomically(run_dir / name, partial(Path.write_text, data=text, encoding="utf-8"))
    for name, array in (("heldout_inputs", data.test_x), ("heldout_labels", data.test_y)):
        write_atomically(run_dir / f"{name}.npy", partial(np.save, arr=array))
    save_checkpoint(model, run_dir / "model.pt")
    return result
