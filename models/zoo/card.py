"""The card of an entry: what the network is, how it was trained, and how well it does on what."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..block import BinaryBlock
from ..expert import ExpertConv2d
from ..network import BinaryNetwork
from ..networks import explain
from ..sign_conv import SignConv2d
from .pack import ZooError

__all__ = ["Accuracy", "Card", "NetworkFacts", "TestSet", "card_text", "read_card"]

_DIGEST = r"^[0-9a-f]{64}$"
_WIDTH = 120


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TestSet(_Strict):
    """Which images the accuracy is of.

    Attributes
    ----------
    dataset : str
        A name that `load_dataset` knows.
    held_out : float or None
        The share of the training images that was kept apart; None: the data set's own test set.
    seed : int
        Chooses the images that are kept apart.
    sha256 : str
        Of images and labels, see `digest_of`.
    description : str
        What these images are.
    caveats : list of str
        What a reader of the accuracy should know, e.g. that it was looked at while the recipe was made.
    """

    __test__ = False  # pytest: this is no test

    dataset: str = Field(min_length=1)
    held_out: float | None = Field(default=None, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    sha256: str = Field(pattern=_DIGEST)
    description: str = Field(min_length=1)
    caveats: list[str] = []


class Accuracy(_Strict):
    """How many images of the test set are classified right."""

    right: int = Field(ge=0)
    total: int = Field(ge=1)

    @model_validator(mode="after")
    def _part(self) -> Accuracy:
        if self.right > self.total:
            raise ValueError(f"{self.right} of {self.total} images can't be right")
        return self

    @property
    def share(self) -> float:
        """0..1."""
        return self.right / self.total


class NetworkFacts(_Strict):
    """What a network is and costs for one image; computed from the network, see `NetworkFacts.of`.

    Attributes
    ----------
    name : str
        In the registry of networks.
    summary : str
        One sentence.
    input : list of int
        Height, width and channels of the image.
    classes : int
    experts, copies : list of int
        Filter banks of each block or binary convolution, and its copies of each map (Expanding-and-Shrinking).
    bops, macs : int
        Multiply-accumulates of two bits, and those of which an operand has more bits; see `bitexpert.models.cost`.
    weight_bits : int
        Weights of one bit, of all experts.
    """

    name: str
    summary: str
    input: list[int]
    classes: int
    experts: list[int]
    copies: list[int]
    bops: int
    macs: int
    weight_bits: int

    @classmethod
    def of(cls, model: BinaryNetwork) -> NetworkFacts:
        """The facts of a network made of binary blocks, or of a residual one with a stream of integers."""
        layers = [m for m in model.modules() if isinstance(m, BinaryBlock | SignConv2d)]
        experts = [m.conv.gate.experts if isinstance(m.conv, ExpertConv2d) else 1 for m in layers]
        cost, config = model.cost().as_dict(), model.config
        everywhere = getattr(config, "tau", 1) * getattr(config, "es_groups", 1)
        copies = [m.repeat if isinstance(m, BinaryBlock) else everywhere for m in layers]
        parts = [f"{len(layers)} binary block{'s' * (len(layers) > 1)} and a binary classifier"]
        if getattr(config, "stream", None) == "integer":
            parts = [f"{len(layers)} binary convolutions along a residual stream of integers"]
        if max(experts) > 1:
            parts.append(f"{sum(n > 1 for n in experts)} of them choose among up to {max(experts)} experts")
        if max(copies) > 1:
            parts.append(f"maps are copied up to {max(copies)} times (Expanding-and-Shrinking)")
        return cls(
            name=model.name,
            summary="; ".join(parts),
            input=[config.height, config.width, config.channels],
            classes=len(config.class_names),
            experts=experts,
            copies=copies,
            bops=cost["bops"],
            macs=cost["macs"],
            weight_bits=cost["binary_parameters"],
        )


class Card(_Strict):
    """What is known of an entry of the zoo.

    Attributes
    ----------
    name, title : str
        Under which it is found, and what a person reads.
    date : date
        When it was added.
    sha256 : str
        Of the packed network's file.
    network : NetworkFacts
    test_set : TestSet
    accuracy : Accuracy
        Counted with the exported ONNX file in the fast engine.
    recipe : dict
        The whole recipe, so that the training can be repeated.
    seed : int
        Of the training.
    versions : dict
        Of the packages with which the entry was made.
    """

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)
    title: str = Field(min_length=1, max_length=200)
    date: datetime.date
    sha256: str = Field(pattern=_DIGEST)
    network: NetworkFacts
    test_set: TestSet
    accuracy: Accuracy
    seed: int = Field(ge=0)
    recipe: dict[str, Any] = Field(min_length=1)
    versions: dict[str, str] = Field(min_length=1)


def card_text(card: Card) -> str:
    """A card as YAML."""
    return yaml.safe_dump(card.model_dump(), sort_keys=False, width=_WIDTH, allow_unicode=True)


def read_card(path: Path) -> Card:
    """Read and check a card.

    Raises
    ------
    ZooError
        If the file can't be read, isn't YAML, a key is wrong, or the name isn't that of the file.
    """
    try:
        card = Card.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ZooError(f"{path}: cannot be read: {error.strerror or error}; get the card again") from error
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ZooError(f"{path}: this is not YAML; get the card again") from error
    except ValidationError as error:
        raise ZooError(f"{path}: {explain(error)}; correct the card, or get it again") from None
    if card.name != path.stem:
        raise ZooError(f"{path}: the card's name is {card.name!r}; file and card must have the same name")
    return card
