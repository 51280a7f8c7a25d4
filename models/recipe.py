"""Recipes: one YAML file says what is trained on what, and how."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import BitexpertError
from .datasets import DATASETS
from .files import write_atomically
from .networks import NETWORKS, NetworkError, explain
from .surrogate import Surrogate

__all__ = [
    "AugmentConfig",
    "DatasetConfig",
    "NetworkConfig",
    "OptimizerConfig",
    "Recipe",
    "RecipeError",
    "ScheduleConfig",
    "StepConfig",
    "TeacherConfig",
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
    """Which images, and how they are split.

    Attributes
    ----------
    name : str
        A key of `DATASETS`.
    held_out : float, optional
        Share of the training images that is kept apart and measured on; without it, the data set's own test images.
    seed : int
        Chooses which images are held out.
    """

    name: str = "digits"
    held_out: float | None = Field(default=None, ge=0.01, le=0.9)
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


class AugmentConfig(_Strict):
    """Random changes of the training images.

    Attributes
    ----------
    shift : int
        Largest shift in both directions, pixels; dark ones move in.
    flip : bool
        Mirror every other image, left to right.
    area : float
        Smallest share of the image that is cut out and scaled up to the whole; 1 for none.
    """

    shift: int = Field(default=0, ge=0, le=64)
    flip: bool = False
    area: float = Field(default=1.0, gt=0, le=1)


class OptimizerConfig(_Strict):
    """How weights follow gradients.

    Attributes
    ----------
    name : {"adam", "adamw", "sgd"}
    learning_rate : float
        Its peak.
    weight_decay : float
        Of all parameters.
    binary_weight_decay : float, optional
        Of the real values behind binary weights, where it is another.
    momentum : float
        Of ``sgd``.
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(default=0.005, gt=0, le=10)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    binary_weight_decay: float | None = Field(default=None, ge=0, le=1)
    momentum: float = Field(default=0.9, ge=0, lt=1)


class ScheduleConfig(_Strict):
    """The learning rate over a step.

    Attributes
    ----------
    kind : {"cosine", "multistep", "constant"}
    warmup : float
        Epochs over which it rises linearly from a hundredth of its peak.
    milestones : tuple of float
        Epochs at which ``multistep`` multiplies it with ``factor``.
    factor : float
    """

    kind: Literal["cosine", "multistep", "constant"] = "cosine"
    warmup: float = Field(default=0.0, ge=0)
    milestones: tuple[float, ...] = ()
    factor: float = Field(default=0.1, gt=0, lt=1)

    @model_validator(mode="after")
    def _milestones(self) -> Self:
        if (self.kind == "multistep") != bool(self.milestones):
            raise ValueError("milestones belong to the kind 'multistep', which needs them")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones must rise")
        return self


class TeacherConfig(_Strict):
    """A trained network whose answers are learned, too.

    Attributes
    ----------
    step : str, optional
        Name of an earlier step: the network as it was at its end.
    checkpoint : str, optional
        Or the ``model.pt`` of another run.
    scores : float
        Weight of the divergence between the scores' distributions (knowledge distillation).
    temperature : float
        Both scores are divided by it.
    attention : float
        Weight of the distance between the maps of attention behind each stage but the first (attention transfer).
    """

    step: str | None = None
    checkpoint: str | None = None
    scores: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=1.0, gt=0)
    attention: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.step is None) == (self.checkpoint is None):
            raise ValueError("a teacher is a step or a checkpoint; give one of both")
        return self


class StepConfig(_Strict):
    """One of the steps of a training, each of which starts from the network that the one before it left.

    Attributes
    ----------
    name : str
    epochs : int
        Passes over the training images.
    experts : {"all", "first"}
        Let the gates choose, or use expert 0 for every image.
    expand : bool
        Begin with copies of expert 0 in all experts.
    normalize_gates : bool
        Begin with gates whose logits have mean 0 and deviation 1, so that no expert starts unused.
    gate_epochs : int, optional
        Epochs of this step after which the weights of gates stay as they are, so that experts get images of one kind to
        the end; none: they learn as long as the step goes on.
    weights, activations : {"binary", "real"}
        Signs, or the real values behind them (activations: clamped to -1..1).
    surrogate : {"clip", "wide", "polynomial", "identity"}
        The gradient of signs, see `surrogate_sign`.
    optimizer, schedule, teacher
    loss : {"cross_entropy", "squared_hinge"}
    label_smoothing : float
        Share of the target that is spread over all classes.
    mixup : float
        Images and labels are mixed in pairs with a share from the distribution ``Beta(mixup, mixup)``; 0 for none.
    clip_gradient : float, optional
        Largest norm of a gradient.
    share : float
        How much all experts learn from each image, 0 to 1: a share of its gradient goes to all of them alike, the rest
        to the chosen one. It falls with the learning rate: copies of one expert learn as one first, and grow apart.
    balance : float
        Weight of the loss that keeps all experts in use.
    balance_rate : float
        How far, after each batch, a gate's bias moves against an expert that got twice its fair share of the images: it
        keeps all experts in use without a part in the loss. It falls with the learning rate.
    """

    name: str = Field(min_length=1, max_length=60, pattern=r"^[^/\\]+$")
    epochs: int = Field(ge=0, le=100000)
    experts: Literal["all", "first"] = "all"
    expand: bool = False
    normalize_gates: bool = False
    gate_epochs: int | None = Field(default=None, ge=0, le=100000)
    weights: Literal["binary", "real"] = "binary"
    activations: Literal["binary", "real"] = "binary"
    surrogate: Surrogate = "clip"
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    teacher: TeacherConfig | None = None
    loss: Literal["cross_entropy", "squared_hinge"] = "cross_entropy"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    mixup: float = Field(default=0.0, ge=0, le=10)
    clip_gradient: float | None = Field(default=None, gt=0)
    share: float = Field(default=0.0, ge=0, le=1)
    balance: float = Field(default=0.0, ge=0, le=10)
    balance_rate: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        chosen = self.expand, self.normalize_gates, self.share, self.balance, self.balance_rate
        if self.experts == "first" and (any(chosen) or self.gate_epochs is not None):
            raise ValueError(
                "expand, normalize_gates, gate_epochs, share and balance need gates that choose: set experts to 'all'"
            )
        for key, at in [("warmup", self.schedule.warmup), *(("milestones", m) for m in self.schedule.milestones)]:
            if at > self.epochs > 0:
                raise ValueError(f"schedule.{key}: {at:g} is beyond the step's {self.epochs} epochs")
        if self.loss == "squared_hinge" and self.label_smoothing:
            raise ValueError("label_smoothing belongs to the loss 'cross_entropy'")
        return self


def _word(value: object) -> object:
    """YAML reads a bare 32 as a number."""
    return str(value) if isinstance(value, int) else value


class TrainingConfig(_Strict):
    """What all steps share.

    Attributes
    ----------
    seed : int
        The same seed gives the same weights.
    batch_size : int
        Images at a time, over all processes.
    evaluate_every : int
        Epochs between two measurements on held-out images; the last epoch of a step always has one.
    augment : AugmentConfig
    precision : {"32", "bf16-mixed", "16-mixed"}
        Automatic mixed precision in training; measurements are made in 32 bits.
    threads : int
        Threads that torch uses; part of what makes two runs equal.
    workers : int
        Processes that read and change images ahead of the training; 0 for none.
    """

    seed: int = Field(default=1, ge=0, lt=2**32)
    batch_size: int = Field(default=64, ge=2, le=65536)
    evaluate_every: int = Field(default=1, ge=1)
    augment: AugmentConfig = AugmentConfig()
    precision: Annotated[Literal["32", "bf16-mixed", "16-mixed"], BeforeValidator(_word)] = "32"
    threads: int = Field(default=2, ge=1, le=256)
    workers: int = Field(default=0, ge=0, le=256)


class Recipe(_Strict):
    """Everything a training run depends on."""

    name: str = Field(min_length=1, max_length=100)
    dataset: DatasetConfig = DatasetConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    steps: tuple[StepConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _steps(self) -> Self:
        last = self.steps[-1]
        if "real" in (last.weights, last.activations):
            raise ValueError(f"the last step, {last.name!r}, has to train binary weights and activations")
        seen: set[str] = set()
        for step in self.steps:
            if step.name in seen:
                raise ValueError(f"two steps are named {step.name!r}; give each its own name")
            if step.teacher is not None and step.teacher.step is not None and step.teacher.step not in seen:
                raise ValueError(f"the teacher {step.teacher.step!r} of step {step.name!r} is no earlier step")
            seen.add(step.name)
        return self

    @property
    def epochs(self) -> int:
        """Of all steps."""
        return sum(step.epochs for step in self.steps)


def shipped_recipes() -> dict[str, Path]:
    """Names and files of the recipes that come with the package."""
    folder = Path(str(resources.files(__package__))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _read(path: str | Path, file: Path, shipped: dict[str, Path]) -> dict[str, Any]:
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
    # keys like "x-adam" hold what is used several times (YAML anchors)
    return {key: value for key, value in raw.items() if not str(key).startswith("x-")}


def load_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path : path or str
        A YAML file, or the name of a shipped recipe such as ``digits``. Top-level keys that begin with ``x-`` are
        left out: a place for parts that are used several times, by YAML's anchors.

    Returns
    -------
    Recipe

    Raises
    ------
    RecipeError
        If the file is missing, no YAML, or a key is wrong.
    """
    shipped = shipped_recipes()
    raw = _read(path, shipped.get(str(path), Path(path)), shipped)
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
