"""The networks of a search: what can be chosen, and the config that a choice gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ...models.ebnet import EBResNetConfig
from ...models.gate import GateSource
from ...models.network import ImageConfig, NetworkError
from ...models.networks import NETWORKS, explain
from ...models.recipe import NetworkConfig

if TYPE_CHECKING:
    from optuna import Trial

__all__ = ["EbresnetSpace", "Rejected", "Scale", "Space", "StageSpace", "Strict", "VggSpace", "image_settings", "solve"]

Positive = Annotated[int, Field(ge=1)]
Choice = dict[str, Any]
Scale = int | float


class Strict(BaseModel):
    """A mapping of the specification, without keys that nobody reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Rejected(Exception):
    """A candidate that is not evaluated; the text says why."""


class Space(Protocol):
    """A family of networks.

    One setting, the scale, says how large a network is as a whole: it is asked for last, or solved for where the
    operations are given.
    """

    @property
    def network(self) -> str:
        """Its name in the registry."""

    @property
    def scale_name(self) -> str:
        """What the scale is called among a trial's parameters."""

    def scales(self) -> Sequence[Scale]:
        """The scales that there are, ascending."""

    def ask(self, trial: Trial) -> Choice:
        """Let the sampler choose everything but the scale."""

    def ask_scale(self, trial: Trial) -> Scale:
        """Let the sampler choose the scale."""

    def config(self, choice: Choice, scale: Scale, base: NetworkConfig) -> dict[str, Any]:
        """The network's config; the image comes from the base recipe's network."""


def image_settings(base: NetworkConfig) -> dict[str, Any]:
    """The keys of a network's config that tell of its images and classes.

    Raises
    ------
    ValueError
        If the config is wrong; names the key.
    """
    try:
        config = NETWORKS[base.name][0].model_validate(base.config)
    except ValidationError as error:
        raise ValueError(f"recipe.network.config.{explain(error)}") from None
    return config.model_dump(mode="json", include=set(ImageConfig.model_fields))


def _pick(trial: Trial, name: str, choices: Sequence[Any]) -> Any:
    return choices[0] if len(choices) == 1 else trial.suggest_categorical(name, list(choices))


def solve(scales: Sequence[Scale], operations: Callable[[Scale], int], target: int, tolerance: float) -> Scale:
    """The scale whose operations are nearest to a target.

    Parameters
    ----------
    scales : sequence
        Ascending.
    operations : callable
        Operations at a scale, which grow with it; raises NetworkError where the network doesn't fit together.
    target : int
    tolerance : float
        Per cent.

    Raises
    ------
    Rejected
        None is within the tolerance.
    """
    found: list[tuple[int, Scale]] = []
    misfit = ""
    for scale in scales:
        try:
            found.append((operations(scale), scale))
        except NetworkError as error:
            misfit = str(error)
            continue
        if found[-1][0] >= target:
            break
    if not found:
        raise Rejected(misfit)
    nearest, scale = min(found, key=lambda pair: abs(pair[0] - target))
    off = 100 * (nearest / target - 1)
    if abs(off) > tolerance:
        raise Rejected(f"{nearest:,} binary operations at the nearest scale, {scale:g}: {off:+.1f} % of the target")
    return scale


class WidthRange(Strict):
    """Widths from ``low`` to ``high`` in steps of ``step``."""

    low: int = Field(ge=1, le=4096)
    high: int = Field(ge=1, le=4096)
    step: Positive = 8

    @model_validator(mode="after")
    def _ordered(self) -> WidthRange:
        if self.high < self.low:
            raise ValueError(f"high={self.high} is below low={self.low}")
        if len(self.values()) > 128:
            raise ValueError("these are more than 128 widths; use a larger step")
        return self

    def values(self) -> tuple[int, ...]:
        """All widths, ascending."""
        return tuple(range(self.low, self.high + 1, self.step))


class StageSpace(Strict):
    """What can be chosen for one stage of a VGG: each key has the list of its choices.

    Attributes
    ----------
    depth : tuple of int
        Blocks.
    experts : tuple of int
        Filter banks of a layer; 1: a plain binary layer. The block that sees the pixels is always plain.
    expansion : tuple of int
        Width expansion ``E`` of expert layers, in ``groups`` groups.
    groups : tuple of int
        Groups of an expanded layer; ``E**2``, which keeps the operations, where it is empty.
    tau, es_groups : tuple of int
        Expanding-and-Shrinking with groups, for layers that are not expanded.
    mixing : tuple of bool
        Whether a 1x1 block without groups follows each grouped one.
    pool : int
        Side of the max pooling that ends the stage, pixels; 0: none.
    """

    depth: tuple[Positive, ...] = Field(default=(1,), min_length=1)
    experts: tuple[Positive, ...] = Field(default=(1,), min_length=1)
    expansion: tuple[Positive, ...] = Field(default=(1,), min_length=1)
    groups: tuple[Positive, ...] = ()
    tau: tuple[Positive, ...] = Field(default=(1,), min_length=1)
    es_groups: tuple[Positive, ...] = Field(default=(1,), min_length=1)
    mixing: tuple[bool, ...] = Field(default=(False,), min_length=1)
    pool: int = Field(default=2, ge=0, le=8)

    @model_validator(mode="after")
    def _used(self) -> StageSpace:
        if max(self.expansion) > 1 and max(self.experts) == 1:
            raise ValueError(
                "expansion is for expert layers; add a number above 1 to experts, or use tau and es_groups"
            )
        if self.groups and max(self.expansion) == 1:
            raise ValueError("groups are those of an expanded layer; add a number above 1 to expansion")
        return self

    def ask(self, trial: Trial, prefix: str) -> Choice:
        """Let the sampler choose; settings that don't go together are not asked for."""

        def pick(key: str) -> Any:
            return _pick(trial, f"{prefix}.{key}", getattr(self, key))

        choice: Choice = {"depth": pick("depth"), "experts": pick("experts")}
        choice["expansion"] = pick("expansion") if choice["experts"] > 1 else 1
        if choice["expansion"] > 1:
            choice["groups"] = pick("groups") if self.groups else choice["expansion"] ** 2
            choice["tau"] = choice["es_groups"] = 1
        else:
            choice |= {"groups": 1, "tau": pick("tau"), "es_groups": pick("es_groups")}
        grouped = max(choice["groups"], choice["es_groups"]) > 1
        choice["mixing"] = pick("mixing") if grouped else False
        return choice


class VggSpace(Strict):
    """Chains of binary blocks (`VggConfig`); the scale is the width of the first stage.

    Attributes
    ----------
    width : WidthRange
        Channels of the first stage before expansion; solved for where the operations are given.
    growth : int
        Each stage is so many times as wide as the one before.
    stages : tuple of StageSpace
    gate : {"pre_sign", "sign"}
        What the gates read.
    """

    network: Literal["vgg"]
    width: WidthRange
    growth: int = Field(default=2, ge=1, le=8)
    stages: tuple[StageSpace, ...] = Field(min_length=1, max_length=8)
    gate: GateSource = "sign"

    @property
    def scale_name(self) -> str:
        return "width"

    def scales(self) -> tuple[int, ...]:
        """Widths of the first stage."""
        return self.width.values()

    def ask(self, trial: Trial) -> Choice:
        """Choose each stage."""
        return {"stages": [stage.ask(trial, f"stage{i}") for i, stage in enumerate(self.stages)]}

    def ask_scale(self, trial: Trial) -> int:
        """Choose the width."""
        widths = self.scales()
        return (
            widths[0] if len(widths) == 1 else trial.suggest_int("width", widths[0], widths[-1], step=self.width.step)
        )

    def config(self, choice: Choice, scale: Scale, base: NetworkConfig) -> dict[str, Any]:
        """A config of `VggConfig`."""
        blocks: list[dict[str, Any]] = []
        for number, (stage, chosen) in enumerate(zip(self.stages, choice["stages"], strict=True)):
            width = int(scale) * self.growth**number
            for _ in range(chosen["depth"]):
                blocks += self._blocks(chosen, width, first=not blocks)
            if stage.pool > 1:
                blocks[-1] |= {"pool": stage.pool}
        return {**image_settings(base), "blocks": blocks}

    def _blocks(self, chosen: Choice, width: int, *, first: bool) -> list[dict[str, Any]]:
        """A 3x3 block, and the 1x1 block that mixes its groups."""
        block: dict[str, Any] = {"width": width}
        if chosen["experts"] > 1 and not first:
            block |= {"kind": "expert", "experts": chosen["experts"], "gate": self.gate}
        if chosen["expansion"] == 1:
            shrink = {"tau": chosen["tau"], "es_groups": chosen["es_groups"]}
            mixed, grouped = {**block, **shrink, "es_groups": 1}, chosen["es_groups"] > 1
            block |= shrink
        elif first:  # it sees the pixels: as wide as an expanded one, without groups
            return [{"width": width * chosen["expansion"]}]
        else:
            block |= {"expansion": chosen["expansion"], "groups": chosen["groups"]}
            mixed, grouped = {**block, "groups": 1}, chosen["groups"] > 1
        # copies of the first layer, which has no groups, need no mixing
        return [block, {**mixed, "kernel": 1, "padding": 0}] if chosen["mixing"] and grouped and not first else [block]


class EbresnetSpace(Strict):
    """Expert Binary Networks by the paper's notation ``N0N1N2N3-E-G0:G1:G2:G3``; the scale is ``E``.

    Attributes
    ----------
    blocks, groups : tuple of tuple of int
        Choices of ``N0..N3`` and of ``G0..G3``.
    expansion : tuple of float
        Choices of ``E``; solved for where the operations are given.
    mixing : tuple of bool
        Whether blocks with groups have a 1x1 unit.
    experts : tuple of int
        Filter banks.
    """

    network: Literal["ebresnet"]
    blocks: tuple[tuple[Annotated[int, Field(ge=1, le=9)], ...], ...] = Field(min_length=4, max_length=4)
    groups: tuple[tuple[Positive, ...], ...] = Field(min_length=4, max_length=4)
    expansion: tuple[Annotated[float, Field(gt=0, lt=100)], ...] = Field(min_length=1, max_length=64)
    mixing: tuple[bool, ...] = Field(default=(True,), min_length=1)
    experts: tuple[Positive, ...] = Field(default=(4,), min_length=1)

    @field_validator("blocks", "groups")
    @classmethod
    def _filled(cls, value: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
        if not all(value):
            raise ValueError("each of the four stages needs a choice at least")
        return value

    @property
    def scale_name(self) -> str:
        return "expansion"

    def scales(self) -> tuple[float, ...]:
        """Width expansions."""
        return tuple(sorted(set(self.expansion)))

    def ask(self, trial: Trial) -> Choice:
        """Choose blocks, groups, mixing and experts."""
        return {
            "blocks": [_pick(trial, f"stage{i}.blocks", choices) for i, choices in enumerate(self.blocks)],
            "groups": [_pick(trial, f"stage{i}.groups", choices) for i, choices in enumerate(self.groups)],
            "mixing": _pick(trial, "mixing", self.mixing),
            "experts": _pick(trial, "experts", self.experts),
        }

    def ask_scale(self, trial: Trial) -> float:
        """Choose ``E``."""
        return _pick(trial, "expansion", self.scales())

    def config(self, choice: Choice, scale: Scale, base: NetworkConfig) -> dict[str, Any]:
        """A config of `EBResNetConfig`; what the space doesn't choose stays as in the base recipe."""
        kept = EBResNetConfig.model_validate(base.config).model_dump(mode="json")
        blocks = "".join(map(str, choice["blocks"]))
        structure = f"{blocks}-{scale:g}-{':'.join(map(str, choice['groups']))}"
        return {**kept, "structure": structure, "mixing": choice["mixing"], "experts": choice["experts"]}
