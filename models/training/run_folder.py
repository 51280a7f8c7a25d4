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

__all__ = ["EXPERT_PICTURE", "RUN_FILES", "RUN_NAMES", "Row", "RunFolder", "RunFolderError"]

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
#: All that may lie in a run folder.
RUN_NAMES = (*RUN_FILES, EXPERT_PICTURE, _STATE, "steps", "tensorboard")
_COLUMNS = ("step", "epoch", "loss", "accuracy", "learning_rate")

Row = dict[str, Any]


class RunFolderError(BitexpertError):
    """The run folder can't be used; the message says what to do."""


def _processor() -> str:
    """The processor and the instructions that torch uses of it: in bfloat16 the accuracy depends on them."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


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
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": world,
        **_images(data),
    }


def _images(data: Dataset) -> dict[str, Any]:
    """Which images a run trains on and is measured on."""
    return {"data": data.source, "images": {"train": len(data.train_y), "held_out": len(data.test_y)}}


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

    def check(self, recipe: Recipe, *, overwrite: bool) -> bool:
        """See whether a run may be made here; nothing is written.

        Parameters
        ----------
        recipe : Recipe
        overwrite : bool
            Whatever run is here may be replaced.

        Returns
        -------
        bool
            Whether an unfinished run of the same recipe is here, to go on with.

        Raises
        ------
        RunFolderError
            If it is a file, or holds something else than an unfinished run of this recipe.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunFolderError(f"{self.path} is a file; choose a folder")
        if overwrite or not self.path.exists() or not any(self.path.iterdir()):
            return False
        if self.unfinished(recipe):
            return True
        found = "isn't empty"
        if self.model.exists():
            found = "holds a finished run"
        elif (self.path / "recipe.yaml").exists():
            found = "holds an unfinished run of another recipe"
        raise RunFolderError(f"{self.path} {found}; choose another folder, or allow overwriting (--overwrite)")

    def unfinished(self, recipe: Recipe) -> bool:
        """Whether a run of this recipe has begun here, and isn't finished."""
        file = self.path / "recipe.yaml"
        if self.model.exists() or not file.exists():
            return False
        try:
            return load_recipe(file) == recipe
        except RecipeError:
            return False

    def check_images(self, data: Dataset) -> None:
        """See that the unfinished run that is here began with these images; another raises RunFolderError."""
        path = self.path / "environment.json"
        if not path.exists():
            return  # killed before anything was trained
        begun = json.loads(path.read_text(encoding="utf-8"))
        for key, now in _images(data).items():
            if begun.get(key) != now:
                raise RunFolderError(
                    f"{self.path} holds an unfinished run on other images ({begun.get(key)}, now {now}); give the same "
                    "data, choose another folder, or allow overwriting (--overwrite)"
                )

    def begin(self, recipe: Recipe, data: Dataset, device: torch.device, world: int) -> None:
        """Remove an earlier run, and write what is known before the training.

        Raises
        ------
        RunFolderError
            If the folder can't be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"cannot make {self.path}: {error.strerror or error}") from error
        self._clear()
        save_recipe(recipe, self.path / "recipe.yaml")
        self._text("environment.json", json.dumps(_environment(data, device, world), indent=2) + "\n")
        for name, array in (("heldout_inputs", data.test_x), ("heldout_labels", data.test_y)):
            write_atomically(self.path / f"{name}.npy", partial(np.save, arr=np.asarray(array[:])))

    def _clear(self) -> None:
        """Remove what a run makes, and what one that was killed left beside it; nothing else."""
        files = [name for name in RUN_NAMES if "." in name]
        found = [self.path / name for name in files]
        for name in map(Path, files):
            found += self.path.glob(f".{name.stem}.*{PART}{name.suffix}")
        found += [*self.path.glob("steps/*.pt"), *self.path.glob(f"steps/.*{PART}.pt")]
        found += self.tensorboard.glob("events.out.tfevents.*")
        for path in found:
            path.unlink(missing_ok=True)

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
