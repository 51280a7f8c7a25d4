"""Training by a recipe: its steps, one after the other, then frozen integers; all in a run folder."""

import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

with warnings.catch_warnings():
    # Fabric imports pkg_resources, which announces its end.
    warnings.simplefilter("ignore")
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

from .checkpoint import save_checkpoint
from .datasets import DATASETS, Dataset, hold_out, load_dataset
from .networks import NETWORKS, BinaryNetwork, NetworkError, build_network
from .recipe import Recipe
from .training.measure import evaluate, expert_usage_by_class
from .training.pictures import draw_curves, draw_experts
from .training.progress import Bar
from .training.run_folder import EXPERT_PICTURE, RunFolder
from .training.trainer import Trainer, TrainingError

__all__ = ["ACCELERATORS", "TrainResult", "load_images", "train"]

ACCELERATORS = ("auto", "cpu", "cuda")


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
    expert_usage_by_class : dict
        The same for each class: ``[classes][N experts]``.
    seconds : float
        Wall-clock time since the command began; after a resumption, of the last part.
    epochs : int
        Passes over the training images.
    """

    run_dir: Path
    accuracy_float: float
    accuracy: float
    expert_usage: dict[str, list[int]]
    expert_usage_by_class: dict[str, list[list[int]]]
    seconds: float
    epochs: int

    @property
    def checkpoint(self) -> Path:
        """The trained network."""
        return self.run_dir / "model.pt"


@contextmanager
def _reproducible(seed: int, threads: int) -> Iterator[None]:
    """Seeded generators, a fixed number of threads, no choice of kernels by speed; all put back afterwards."""
    before = torch.get_num_threads(), torch.backends.cudnn.deterministic
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.backends.cudnn.deterministic = True
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.backends.cudnn.deterministic = before[1]


def _fabric(precision: str, accelerator: str) -> Fabric:
    """One process, or the processes that torchrun has started."""
    if accelerator not in ACCELERATORS:
        raise TrainingError(f"the accelerator {accelerator!r} is unknown; use {', '.join(ACCELERATORS)}")
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise TrainingError("torch finds no CUDA device here; use the accelerator auto or cpu")
    world, local = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    # gates have no part in a step that trains one expert
    strategy: Any = DDPStrategy(find_unused_parameters=True) if world > 1 else "auto"
    # it tells which precision it uses, which the recipe says
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fabric = Fabric(
            accelerator=accelerator,
            strategy=strategy,
            devices=local,
            num_nodes=world // local,
            precision=precision,  # type: ignore[arg-type]
        )
    fabric.launch()
    return fabric


def _network(recipe: Recipe, data: Dataset) -> BinaryNetwork:
    network = build_network(recipe.network.name, recipe.network.config)
    config = network.config
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
    return network


def load_images(recipe: Recipe, data: Path | None = None) -> Dataset:
    """The images of a recipe.

    Parameters
    ----------
    recipe : Recipe
    data : Path, optional
        Where the data set lies; without it, it is downloaded, unless it is bundled.

    Raises
    ------
    DataError
        If the data set isn't there and can't be downloaded.
    """
    wanted = recipe.dataset
    settings: dict[str, Any] = {}
    if DATASETS[wanted.name].height is None:  # the images get the size that the network takes
        config = NETWORKS[recipe.network.name][0].model_validate(recipe.network.config)
        settings = {"size": (config.height, config.width), "channels": config.channels}
    return load_dataset(wanted.name, data=data, seed=wanted.seed, held_out=wanted.held_out, **settings)


def _finish(trainer: Trainer, recipe: Recipe, data: Dataset, folder: RunFolder, started: float) -> TrainResult:
    """Freeze, measure and write; ``model.pt`` comes last."""
    network = trainer.network
    before = trainer.rows[-1]["accuracy"] if trainer.rows else evaluate(network, data.test_x, data.test_y)
    network.freeze()
    by_class = expert_usage_by_class(network, data.test_x, data.test_y, len(data.class_names))
    result = TrainResult(
        run_dir=folder.path,
        accuracy_float=before,
        accuracy=evaluate(network, data.test_x, data.test_y),
        expert_usage={name: np.sum(counts, axis=0).tolist() for name, counts in by_class.items()},
        expert_usage_by_class=by_class,
        seconds=round(time.perf_counter() - started, 2),
        epochs=recipe.epochs,
    )
    if trainer.fabric.is_global_zero:
        summary = {k: v for k, v in asdict(result).items() if k != "run_dir"}
        summary |= {"macs": network.macs, "heldout_images": len(data.test_y), "recipe": recipe.name}
        folder.write_metrics(trainer.rows)
        folder.write_summary(summary)
        draw_curves(trainer.rows, folder.path / "curves.png")
        if by_class:
            draw_experts(by_class, data.class_names, folder.path / EXPERT_PICTURE)
        save_checkpoint(network.cpu(), folder.model)
        folder.drop_state()
    return result


def train(
    recipe: Recipe,
    run_dir: str | Path,
    *,
    data: Path | None = None,
    progress: bool = True,
    overwrite: bool = False,
    accelerator: str = "auto",
    tuning: float | None = None,
) -> TrainResult:
    """Train a network, freeze it to integers and write a run folder.

    A run that was killed goes on where it was when it is started again with the same recipe and folder, and comes to
    the same result. Under ``torchrun`` all its processes train one network.

    Parameters
    ----------
    recipe : Recipe
        What to train, see `load_recipe`.
    run_dir : path
        The folder to write; empty, absent, or with an unfinished run of the same recipe on the same images, unless
        ``overwrite``.
    data : Path, optional
        Where the data set lies; without it, it is downloaded, unless it is bundled.
    progress : bool
        Show a progress bar, if stderr is a terminal.
    overwrite : bool
        Replace an earlier run in that folder.
    accelerator : {"auto", "cpu", "cuda"}
        ``auto`` takes a GPU where there is one.
    tuning : float, optional
        Measure on this share of the training images, held out of them, instead of on the test images: for choices
        between networks or settings.

    Returns
    -------
    TrainResult

    Raises
    ------
    RunFolderError
        If the folder holds something else, an unfinished run on other images, or can't be made.
    NetworkError
        If the network doesn't fit together or doesn't fit the data.
    DataError
        If the data set isn't there and can't be downloaded.
    TrainingError
        If the accelerator isn't there, a teacher can't be used, or the training diverges.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), training in steps: train one expert, copy it to all, train all
    with the gate; with real weights first, then with their signs.
    """
    started = time.perf_counter()
    training = recipe.training
    fabric = _fabric(training.precision, accelerator)
    folder = RunFolder(Path(run_dir))
    unfinished = fabric.broadcast(fabric.is_global_zero and folder.check(recipe, overwrite=overwrite))
    with fabric.rank_zero_first(local=True):
        # one process of a machine downloads
        images = load_images(recipe, data)
    if tuning is not None:
        images = hold_out(images, tuning, seed=recipe.dataset.seed)
    if unfinished:
        folder.check_images(images)
    with _reproducible(training.seed, training.threads):
        network = _network(recipe, images)
        trainer = Trainer(fabric, recipe, images, network, folder)
        trainer.check_teachers()
        state = fabric.broadcast(folder.load_state() if unfinished and fabric.is_global_zero else None)
        if fabric.is_global_zero and state is None:
            folder.begin(recipe, images, fabric.device, fabric.world_size)
        with Bar(trainer.batches, progress and fabric.is_global_zero) as bar:
            trainer.train(state, bar)
        result = _finish(trainer, recipe, images, folder, started)
        fabric.barrier()
    return result
