"""The run folder: what it holds, who may write there, and the state from which a killed run goes on."""

import csv
import io
import json
import platform
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import BitexpertError
from ..datasets import Dataset
from ..files import PART, write_atomically
from ..recipe import Recipe, RecipeError, load_recipe, save_recipe

__all__ = ["RUN_FILES", "Row", "RunFolder", "RunFolderError"]

#: Files of a finished run; ``model.pt`` is written last, so where it exists the run is complete.
RUN_FILES = (
    "recipe.yaml",
    "environment.json",
    "metrics.csv",
    "metrics.json",
    "curves.png",
    "heldout_inputs.npy",
    "heldout_labels.npy",
    "model.pt",
)
#: Present where the network has experts.
EXPERT_PICTURE = "experts.png"
_STATE = "state.pt"
_COLUMNS = ("step", "epoch", "loss", "accuracy", "learning_rate")

Row = dict[str, Any]


class RunFolderError(BitexpertError):
    """The run folder can't be used; the message says what to do."""


def _environment(data: Dataset, device: torch.device, world: int) -> dict[str, Any]:
    """What, beside the recipe, a run depended on."""

    def release(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    packages = ("bitexpert", "torch", "brevitas", "lightning-fabric", "numpy")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: release(name) for name in packages},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": world,
        "data": data.source,
        "images": {"train": len(data.train_y), "held_out": len(data.test_y)},
    }


class RunFolder:
    """The files of one training run.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def model(self) -> Path:
        """The trained network."""
        return self.path / "model.pt"

    @property
    def tensorboard(self) -> Path:
        """Folder of the event files."""
        return self.path / "tensorboard"

    def step_file(self, number: int) -> Path:
        """The network at the end of a step."""
        return self.path / "steps" / f"{number}.pt"

    def prepare(self, recipe: Recipe, *, overwrite: bool) -> bool:
        """Make the folder ready.

        Parameters
        ----------
        recipe : Recipe
        overwrite : bool
            Remove an earlier run first.

        Returns
        -------
        bool
            Whether an unfinished run of the same recipe is there, to go on with.

        Raises
        ------
        RunFolderError
            If it is a file, can't be made, or holds something else than an unfinished run of this recipe.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunFolderError(f"{self.path} is a file; choose a folder")
        if self.path.is_dir() and overwrite:
            self._clear()
        elif self.path.is_dir() and any(self.path.iterdir()):
            return self._unfinished(recipe)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"cannot make {self.path}: {error.strerror or error}") from error
        save_recipe(recipe, self.path / "recipe.yaml")
        return False

    def _clear(self) -> None:
        """Remove what a run makes, and what one that was killed left beside it; nothing else."""
        own = [*RUN_FILES, EXPERT_PICTURE, _STATE]
        found = [self.path / name for name in own]
        for name in map(Path, own):
            found += self.path.glob(f".{name.stem}.*{PART}{name.suffix}")
        found += [*self.path.glob("steps/*.pt"), *self.path.glob("steps/.*.pt")]
        found += self.tensorboard.glob("events.out.tfevents.*")
        for path in found:
            path.unlink(missing_ok=True)

    def _unfinished(self, recipe: Recipe) -> bool:
        file = self.path / "recipe.yaml"
        another = "choose another folder, or allow overwriting (--overwrite)"
        if not file.exists():
            raise RunFolderError(f"{self.path} isn't empty and holds no run; {another}")
        if self.model.exists():
            raise RunFolderError(f"{self.path} holds a finished run; {another}")
        try:
            earlier = load_recipe(file)
        except RecipeError as error:
            raise RunFolderError(f"{self.path} holds a run whose recipe can't be read ({error}); {another}") from None
        if earlier != recipe:
            raise RunFolderError(f"{self.path} holds an unfinished run of another recipe; {another}")
        return True

    def begin(self, data: Dataset, device: torch.device, world: int) -> None:
        """Write what is known before the training: the environment and the held-out images."""
        self._text("environment.json", json.dumps(_environment(data, device, world), indent=2) + "\n")
        for name, array in (("heldout_inputs", data.test_x), ("heldout_labels", data.test_y)):
            write_atomically(self.path / f"{name}.npy", partial(np.save, arr=np.asarray(array[:])))

    def save_state(self, state: dict[str, Any]) -> None:
        """Keep all that the rest of the run depends on."""
        write_atomically(self.path / _STATE, partial(torch.save, state))

    def load_state(self) -> dict[str, Any] | None:
        """What `save_state` kept; None if the run was killed before it kept anything."""
        path = self.path / _STATE
        return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None

    def drop_state(self) -> None:
        """A finished run needs it no longer."""
        (self.path / _STATE).unlink(missing_ok=True)

    def write_metrics(self, rows: list[Row]) -> None:
        """The table of epochs so far."""
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self._text("metrics.csv", text.getvalue())

    def write_summary(self, summary: dict[str, Any]) -> None:
        """The result."""
        self._text("metrics.json", json.dumps(summary, indent=2) + "\n")

    def _text(self, name: str, text: str) -> None:
        write_atomically(self.path / name, partial(Path.write_text, data=text, encoding="utf-8"))
