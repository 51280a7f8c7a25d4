"""The specification of a search: one YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from ...errors import BitexpertError
from ...models.networks import explain
from ...models.recipe import Recipe, load_recipe, shipped_recipes
from ..board import board_names
from .space import EbresnetSpace, Strict, VggSpace, image_settings

__all__ = [
    "DIRECTIONS",
    "HARDWARE_FIGURES",
    "HardwareSettings",
    "OperationsSettings",
    "SearchError",
    "SearchSpec",
    "TrainingSettings",
    "load_spec",
]

#: What can be an objective, and which way is better.
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {
    "accuracy": "maximize",
    "bops": "minimize",
    "luts": "minimize",
    "bram18": "minimize",
    "fps": "maximize",
}
#: Those that are estimated for a board.
HARDWARE_FIGURES = ("luts", "bram18", "fps")


class SearchError(BitexpertError):
    """A search that cannot be done; the message names the key, the folder or the workers and what to do."""


class OperationsSettings(Strict):
    """Binary operations that every candidate has to have.

    Attributes
    ----------
    target : int or "recipe"
        Binary multiply-accumulates an image; ``recipe``: those of the base recipe's network.
    tolerance : float
        Per cent of the target by which a candidate may be off.
    """

    target: Annotated[int, Field(ge=1)] | Literal["recipe"] = "recipe"
    tolerance: float = Field(default=10, gt=0, le=100)


class TrainingSettings(Strict):
    """The short training that gives a candidate's accuracy.

    Attributes
    ----------
    epochs : int
        Passes over the training images.
    held_out : float
        Share of the training images on which the accuracy is measured, and which are not trained on. The recipe's
        test images are not looked at.
    """

    epochs: int = Field(ge=1, le=10000)
    held_out: float = Field(default=0.2, ge=0.01, le=0.9)


class Limits(Strict):
    """What a candidate may need at most, and frames/s at least, by the estimates."""

    luts: int | None = Field(default=None, ge=1)
    bram18: int | None = Field(default=None, ge=0)
    fps: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class HardwareSettings(Strict):
    """The board for which every candidate is estimated, and on which it has to fit.

    Attributes
    ----------
    board : str
    target_fps : float, optional
        Frames/s that every candidate is folded for, with the least hardware. Without it: the fastest folding that
        fits.
    limits : Limits
    """

    board: str = "pynq-z2"
    target_fps: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    limits: Limits = Limits()

    @field_validator("board")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in board_names():
            raise ValueError(f"unknown board; use one of {', '.join(board_names())}")
        return value


class SearchSpec(Strict):
    """What is searched, by which objectives, and how.

    Attributes
    ----------
    name : str
        Recipes of the result are called ``<name>-<trial>``.
    recipe : Recipe
        Data set and training of every candidate, and the image that its network takes. In the file: a recipe's name,
        its path (seen from the file), or the recipe itself.
    seed : int
        The same specification and seed give the same trials in one process.
    trials : int
        Candidates that are evaluated in all.
    sampler : {"tpe", "nsga2", "random"}
        How candidates are proposed.
    objectives : tuple of str
        Keys of `DIRECTIONS`. With several the result is a Pareto front.
    operations : OperationsSettings, optional
        Equal operations for all candidates.
    training : TrainingSettings, optional
        Needed for the objective ``accuracy``.
    hardware : HardwareSettings, optional
        Needed for the objectives ``luts``, ``bram18`` and ``fps``; without these it keeps out what does not fit.
    space : VggSpace or EbresnetSpace
        The networks.
    """

    name: str = Field(min_length=1, max_length=80)
    recipe: Recipe
    seed: int = Field(default=0, ge=0, lt=2**32)
    trials: int = Field(default=20, ge=1, le=100_000)
    sampler: Literal["tpe", "nsga2", "random"] = "tpe"
    objectives: tuple[Literal["accuracy", "bops", "luts", "bram18", "fps"], ...] = Field(min_length=1)
    operations: OperationsSettings | None = None
    training: TrainingSettings | None = None
    hardware: HardwareSettings | None = None
    space: Annotated[VggSpace | EbresnetSpace, Field(discriminator="network")]

    @model_validator(mode="after")
    def _complete(self) -> SearchSpec:
        if len(set(self.objectives)) < len(self.objectives):
            raise ValueError("objectives names one twice; remove it")
        if "accuracy" in self.objectives and self.training is None:
            raise ValueError("the objective 'accuracy' needs training; add `training: {epochs: N}`")
        if "accuracy" not in self.objectives and self.training is not None:
            raise ValueError("training is for the objective 'accuracy'; add that to the objectives, or remove training")
        wanted = [name for name in self.objectives if name in HARDWARE_FIGURES]
        image_settings(self.recipe.network)
        if isinstance(self.space, EbresnetSpace):
            network = self.recipe.network
            if network.name != "ebresnet":
                raise ValueError(
                    f"the space is of ebresnet, the recipe's network is {network.name}; give a recipe with"
                    " an ebresnet, whose stem and other settings are kept"
                )
            if (wanted or self.hardware) and network.config.get("stream") != "integer":
                raise ValueError(
                    "a residual network whose stream is real has no hardware estimates; set `stream: integer` in the"
                    " recipe's network, or use the objectives accuracy and bops, and remove hardware"
                )
        if wanted and self.hardware is None:
            raise ValueError(
                f"the objective '{wanted[0]}' needs a board; add `hardware: {{board: {HardwareSettings().board}}}`"
            )
        if self.hardware and self.hardware.target_fps is not None and "fps" in self.objectives:
            raise ValueError("fps is an objective, and hardware.target_fps sets it; remove one of them")
        return self


def load_spec(spec: str | Path | Mapping[str, Any] | SearchSpec) -> SearchSpec:
    """Read and check the specification of a search.

    Parameters
    ----------
    spec : path, mapping or SearchSpec
        A YAML file, or what it would hold.

    Raises
    ------
    SearchError
        The file is missing or no YAML, or a key is wrong; names it.
    RecipeError
        The recipe that it names can't be read.
    """
    if isinstance(spec, SearchSpec):
        return spec
    if isinstance(spec, Mapping):
        raw, place, folder = dict(spec), "search", Path()
    else:
        raw, place, folder = _read(Path(spec)), str(spec), Path(spec).parent
    recipe = raw.get("recipe")
    if isinstance(recipe, str | Path):
        raw["recipe"] = load_recipe(recipe if str(recipe) in shipped_recipes() else folder / recipe)
    try:
        return SearchSpec.model_validate(raw)
    except ValidationError as error:
        raise SearchError(f"{place}: {explain(error, raw)}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SearchError(f"cannot read the search {path}: {error.strerror}; give a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SearchError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise SearchError(f"{path}: a search is a mapping with the keys {', '.join(SearchSpec.model_fields)}")
    return raw
