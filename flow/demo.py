"""The main job, once through: train, export, build, and verify on every held-out sample."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BitexpertError
from ..models.checkpoint import load_checkpoint
from ..models.recipe import Recipe, RecipeError, load_recipe
from ..models.training.run_folder import RUN_FILES, RUN_NAMES, RunFolder
from ..sim.ladder import RungResult
from . import api
from .lock import locked
from .simulate import SimulationReport

__all__ = ["DemoResult", "run_demo"]

RECIPE = "digits"
TARGET_FPS = 10_000


@dataclass(frozen=True)
class DemoResult:
    """What the demo did.

    Parameters
    ----------
    folder : Path
    training : dict
        As ``train`` returns it.
    simulation : SimulationReport
    report : dict
        As ``report`` returns it.
    seconds : float
    """

    folder: Path
    training: dict[str, Any]
    simulation: SimulationReport
    report: dict[str, Any]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "folder": str(self.folder),
            "training": self.training,
            "simulation": self.simulation.as_dict(),
            "performance": self.report["performance"],
            "experts": self.report["experts"],
            "resources": self.report["resources"]["total"],
            "seconds": round(self.seconds, 1),
        }


def run_demo(
    folder: Path,
    *,
    fresh: bool = False,
    quiet: bool = False,
    say: Callable[[str], None] = lambda text: None,
    on_step: Callable[[str, int, int, bool], None] | None = None,
    on_rung: Callable[[RungResult], None] | None = None,
) -> DemoResult:
    """Run the main job on scikit-learn's handwritten digits.

    Parameters
    ----------
    folder : Path
        Receives ``run/``, ``model.onnx`` and ``build/``.
    fresh : bool
        Train again even if ``run/`` holds a network trained with the same recipe.
    quiet : bool
        No progress bar.
    say, on_step, on_rung : callable
        Told what happens.
    """
    _check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        return _demo(folder, fresh, quiet, say, on_step, on_rung)


def _demo(
    folder: Path,
    fresh: bool,
    quiet: bool,
    say: Callable[[str], None],
    on_step: Callable[[str, int, int, bool], None] | None,
    on_rung: Callable[[RungResult], None] | None,
) -> DemoResult:
    start = time.perf_counter()
    run, model, build = folder / "run", folder / "model.onnx", folder / "build"
    training = None if fresh else _trained(run)
    if training:
        say(f"1/4 train: {run} holds a network trained with this recipe")
    else:
        say("1/4 train: an expert network on 8x8 handwritten digits")
        goes_on = not fresh and RunFolder(run).unfinished(load_recipe(RECIPE))
        training = api.train(RECIPE, run, overwrite=not goes_on, progress=not quiet)
    say(f"    held-out accuracy {training['accuracy']:.2%}; samples per expert {training['expert_usage']}")
    say("2/4 export: to QONNX, compared with torch")
    api.export(run / "model.pt", model)
    say("3/4 build: to RTL and HLS; the network is run after each pass")
    api.build(
        model,
        build,
        target_fps=TARGET_FPS,
        verify_input_npy=run / "heldout_inputs.npy",
        checkpoint=run / "model.pt",
        on_step=on_step,
    )
    count = len(np.load(run / "heldout_labels.npy"))
    say(f"4/4 simulate: all {count} held-out digits through every rung")
    simulation = api.simulate(build, labels=run / "heldout_labels.npy", on_rung=on_rung)
    return DemoResult(folder, training, simulation, api.report(build), time.perf_counter() - start)


def _check_folder(folder: Path) -> None:
    """Refuse a folder with anything that is not from an earlier demo: training replaces what is in ``run/``."""
    if folder.exists() and not folder.is_dir():
        raise BitexpertError(f"{folder} is a file; choose a folder with --out")
    run = folder / "run"
    inside = [p for p in folder.glob("*") if p.name not in ("run", "model.onnx", "build") and p.name[0] != "."]
    inside += [p for p in run.glob("*") if p.name not in RUN_NAMES and p.name[0] != "."]
    if inside:
        name = inside[0].relative_to(folder)
        raise BitexpertError(f"{folder} is not empty and not from an earlier demo ({name}); choose another with --out")
    recipe = _recipe(run)
    if recipe is not None and recipe.name != load_recipe(RECIPE).name:
        raise BitexpertError(f"{run} holds a network of the recipe {recipe.name!r}; choose another folder with --out")


def _recipe(run: Path) -> Recipe | None:
    try:
        return load_recipe(run / "recipe.yaml")
    except RecipeError:
        return None


def _trained(run: Path) -> dict[str, Any] | None:
    """What an earlier training with the same recipe gave, or None."""
    if not all((run / name).is_file() for name in RUN_FILES) or _recipe(run) != load_recipe(RECIPE):
        return None
    try:
        load_checkpoint(run / "model.pt")
        data = json.loads((run / "metrics.json").read_text())
        figures = {key: data[key] for key in ("accuracy", "seconds", "expert_usage")}
    except (ValueError, KeyError, TypeError):  # damaged
        return None
    return {"checkpoint": str(run / "model.pt"), **figures}
