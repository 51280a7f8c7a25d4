"""Recipes: one YAML file says what is trained on what, and how."""

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..errors import BitexpertError
from .datasets import DATASETS
from .files import write_atomically
from .networks import NETWORKS, NetworkError, explain

__all__ = [
    "DatasetConfig",
    "NetworkConfig",
    "Recipe",
    "RecipeError",
    "TrainingConfig",
    "load_recipe",
    "save_recipe",
    "shipped_recipes",
]


class RecipeError(BitexpertError):
    """A recipe is wrong; the message names the file, the key and what to do."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetConfig(_Strict):
    """Which images, and how they are split."""

    name: str = "digits"
    held_out: float = Field(default=0.2, ge=0.01, le=0.9)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in DATASETS:
            raise ValueError(f"unknown data set; use one of {', '.join(sorted(DATASETS))}")
        return value


class NetworkConfig(_Strict):
    """Which network, and the settings of its config class."""

    name: str = "vgg"
    config: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in NETWORKS:
            raise ValueError(f"unknown network; use one of {', '.join(sorted(NETWORKS))}")
        return value


class TrainingConfig(_Strict):
    """How to train.

    Attributes
    ----------
    seed : int
        The same seed gives the same weights.
    epochs_single, epochs_experts : int
        Passes over the data with expert 0 alone, then with copies of it and the gate.
    batch_size : int
        Images a step.
    learning_rate : float
        Adam's, at the start of each stage; falls to 0 along a cosine.
    shift : int
        Random shift of the training images, pixels.
    balance : float
        Weight of the loss that keeps all experts in use.
    threads : int
        Threads that torch uses; part of what makes two runs equal.
    """

    seed: int = Field(default=1, ge=0, lt=2**32)
    epochs_single: int = Field(default=20, ge=0, le=10000)
    epochs_experts: int = Field(default=20, ge=0, le=10000)
    batch_size: int = Field(default=64, ge=2, le=4096)
    learning_rate: float = Field(default=0.005, gt=0, le=1)
    shift: int = Field(default=1, ge=0, le=4)
    balance: float = Field(default=0.1, ge=0, le=10)
    threads: int = Field(default=2, ge=1, le=64)


class Recipe(_Strict):
    """Everything a training run depends on."""

    name: str = Field(min_length=1, max_length=100)
    dataset: DatasetConfig = DatasetConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()


def shipped_recipes() -> dict[str, Path]:
    """Names and files of the recipes that come with the package."""
    folder = Path(str(resources.files(__package__))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path : path or str
        A YAML file, or the name of a shipped recipe such as ``digits``.

    Returns
    -------
    Recipe

    Raises
    ------
    RecipeError
        If the file is missing, no YAML, or a key is wrong.
    """
    shipped = shipped_recipes()
    file = shipped.get(str(path), Path(path))
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such recipe; give a YAML file or one of {', '.join(shipped)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: this is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise RecipeError(f"{path}: a recipe is a mapping with the keys {', '.join(Recipe.model_fields)}")
    try:
        recipe = Recipe.model_validate(raw)
        config_class = NETWORKS[recipe.network.name][0]
        try:
            config_class.model_validate(recipe.network.config)
        except ValidationError as error:
            raise NetworkError(f"network.config.{explain(error)}") from None
    except ValidationError as error:
        raise RecipeError(f"{path}: {explain(error)}") from None
    except NetworkError as error:
        raise RecipeError(f"{path}: {error}") from None
    return recipe


def save_recipe(recipe: Recipe, path: str | Path) -> Path:
    """Write a recipe as YAML, atomically."""
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
