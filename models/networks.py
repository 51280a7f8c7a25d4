"""Networks by name: a VGG-like chain of binary blocks, described by a validated config."""

from collections.abc import Iterator
from typing import Any, Literal, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn

from ..errors import BitexpertError
from .binary import BinaryConv2d, BinaryLinear, PadMode
from .block import BinaryBlock
from .expert import BlockOutput, ExpertConv2d
from .gate import GateSource
from .quant import InputQuantizer
from .shrink import ExpandShrink

__all__ = ["NETWORKS", "BlockConfig", "NetworkError", "Vgg", "VggConfig", "build_network", "explain"]


class NetworkError(BitexpertError):
    """A network's name or config is wrong; the message names the key and what to do."""


class BlockConfig(BaseModel):
    """One binary block of a `Vgg`.

    Attributes
    ----------
    kind : {"binary", "expert"}
        A single filter bank, or N banks and a gate.
    width : int
        Channels of the layer before expansion.
    tau, es_groups : int
        Expanding-and-Shrinking with groups (``binary`` only), see `ExpandShrink`.
    expansion : int
        Width expansion ``E`` (``expert`` only): ``width*E`` maps.
    groups : int, optional
        Groups of the convolution; default ``E**2``, which keeps the number of binary products
        (High-Capacity Expert Binary Networks, ICLR 2021, section on width expansion).
    experts, gate, gate_bits
        As in `ExpertConv2d`.
    kernel, padding, pad_mode, pool
        Pixels; see `BinaryConv2d` and `BinaryBlock`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["binary", "expert"] = "binary"
    width: int = Field(ge=1, le=4096)
    kernel: int = Field(default=3, ge=1, le=15)
    padding: int = Field(default=1, ge=0, le=7)
    pad_mode: PadMode = "zero"
    pool: int = Field(default=0, ge=0, le=8)
    tau: int = Field(default=1, ge=1, le=8)
    es_groups: int = Field(default=1, ge=1, le=64)
    expansion: int = Field(default=1, ge=1, le=8)
    groups: int | None = Field(default=None, ge=1)
    experts: int = Field(default=4, ge=1, le=64)
    gate: GateSource = "pre_sign"
    gate_bits: int = Field(default=8, ge=2, le=16)

    @model_validator(mode="after")
    def _one_kind(self) -> "BlockConfig":
        if self.kind == "expert" and (self.tau > 1 or self.es_groups > 1):
            raise ValueError("tau and es_groups belong to blocks of kind 'binary'; remove them here")
        if self.kind == "binary" and (self.expansion > 1 or self.groups is not None):
            raise ValueError("expansion and groups belong to blocks of kind 'expert'; use tau and es_groups")
        if self.pad_mode == "none" and self.padding:
            raise ValueError("pad_mode 'none' needs padding 0")
        return self


def _digits_blocks() -> tuple[BlockConfig, ...]:
    return (
        BlockConfig(width=16, tau=2, es_groups=2),
        BlockConfig(width=32, tau=2, es_groups=2, pool=2),
        BlockConfig(kind="expert", width=64, expansion=2, pad_mode="minus_one", gate="pre_sign"),
        BlockConfig(kind="expert", width=32, expansion=2, pad_mode="minus_one", gate="sign", pool=2),
    )


class VggConfig(BaseModel):
    """A chain of binary blocks and a binary classifier. The defaults are a network for 8x8 digits.

    Attributes
    ----------
    channels, height, width : int
        The input image; pixels are the integers 0..255.
    blocks : tuple of BlockConfig
        The first one sees the pixels and has to be of kind ``binary`` with zero padding.
    class_names : tuple of str
        One for each score.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: int = Field(default=1, ge=1, le=64)
    height: int = Field(default=8, ge=1, le=1024)
    width: int = Field(default=8, ge=1, le=1024)
    blocks: tuple[BlockConfig, ...] = Field(default_factory=_digits_blocks, min_length=1)
    class_names: tuple[str, ...] = Field(default=tuple("0123456789"), min_length=2)

    @model_validator(mode="after")
    def _first_block(self) -> "VggConfig":
        first = self.blocks[0]
        if first.kind != "binary" or first.pad_mode == "minus_one":
            raise ValueError("the first block sees pixels: it must be of kind 'binary' with pad_mode 'zero'")
        return self


class Vgg(nn.Module):
    """``pixels -> blocks -> flatten -> binary linear -> integer scores``.

    Parameters
    ----------
    config : VggConfig
        The layout.

    Attributes
    ----------
    name : str
        Its name in the registry.
    macs : int
        Binary products for one image (experts don't multiply them).

    Raises
    ------
    NetworkError
        If the layout doesn't fit together; the message names the block.
    """

    name = "vgg"

    def __init__(self, config: VggConfig) -> None:
        super().__init__()
        self.config = config
        self.quant = InputQuantizer()
        self.blocks = nn.ModuleList()
        self._positions: list[int] = []  # H*W that the gate of block i would sum
        channels, repeat, area = config.channels, 1, 0
        h, w = config.height, config.width
        self.macs = 0
        for i, cfg in enumerate(config.blocks):
            try:
                block = self._block(cfg, channels, repeat, first=i == 0)
            except ValueError as error:
                raise NetworkError(f"blocks.{i}: {error}") from None
            is_pre = cfg.kind == "expert" and cfg.gate == "pre_sign"
            self._positions.append(area if is_pre else h * w)
            h, w = (n + 2 * cfg.padding - cfg.kernel + 1 for n in (h, w))
            if min(h, w) < max(cfg.pool, 1):
                raise NetworkError(f"blocks.{i}: nothing is left of the image; use fewer blocks or more padding")
            area = h * w
            self.macs += area * (block.out_channels // block.repeat) * block.conv.fan_in
            if cfg.pool > 1:
                if h % cfg.pool or w % cfg.pool:
                    raise NetworkError(f"blocks.{i}.pool: {cfg.pool} doesn't divide the map of {h} x {w} pixels")
                h, w = h // cfg.pool, w // cfg.pool
            self.blocks.append(block)
            channels, repeat = block.out_channels, block.repeat
        self.flatten = nn.Flatten()
        self.head = BinaryLinear(channels * h * w, len(config.class_names))
        self.macs += self.head.weight.numel()

    @staticmethod
    def _block(cfg: BlockConfig, channels: int, repeat: int, *, first: bool) -> BinaryBlock:
        if cfg.kind == "expert":
            expert = ExpertConv2d(
                channels,
                cfg.width * cfg.expansion,
                cfg.kernel,
                experts=cfg.experts,
                padding=cfg.padding,
                pad_mode=cfg.pad_mode,
                groups=cfg.expansion**2 if cfg.groups is None else cfg.groups,
                gate_source=cfg.gate,
                repeat=repeat,
                gate_bits=cfg.gate_bits,
            )
            return BinaryBlock(expert, pool=cfg.pool)
        es = ExpandShrink(cfg.width, tau=cfg.tau, groups=cfg.es_groups, first=first)
        conv = BinaryConv2d(
            channels,
            es.maps,
            cfg.kernel,
            padding=cfg.padding,
            pad_mode=cfg.pad_mode,
            groups=es.conv_groups,
        )
        return BinaryBlock(conv, repeat=es.repeat, pool=cfg.pool, input_max=255 if first else 1)

    def forward(self, x: Tensor) -> Tensor:
        """Score images.

        Parameters
        ----------
        x : Tensor
            Pixels 0..255 as floats, ``[B, C, H, W]``.

        Returns
        -------
        Tensor
            Integer scores ``[B, classes]``; the largest one (lowest index first) is the decision.
        """
        signal: Any = self.quant(x)
        for block in self.blocks:
            signal = block(signal)
        return self.head(self.flatten(signal.bits))

    def experts(self) -> Iterator[tuple[str, ExpertConv2d]]:
        """Name and layer of every expert convolution, in order."""
        for name, module in self.named_modules():
            if isinstance(module, ExpertConv2d):
                yield name, module

    @torch.no_grad()
    def normalize_gates(self, x: Tensor) -> None:
        """Shift and scale the logits of every gate so that on these images no expert is left out.

        Parameters
        ----------
        x : Tensor
            Pixels ``[B, C, H, W]``.
        """
        was_training = self.training
        self.eval()
        # Front to back: which expert an image gets decides what the next gate sees.
        for _, layer in self.experts():
            means: list[Tensor] = []

            def note(layer: ExpertConv2d, args: tuple[BlockOutput], means: list[Tensor] = means) -> None:
                means.append(layer.gate_input(args[0]).mean((2, 3)))

            handle = layer.register_forward_pre_hook(note)
            try:
                for part in x.split(256):
                    self(part)
            finally:
                handle.remove()
            layer.gate.normalize(torch.cat(means))
        self.train(was_training)

    @property
    def frozen(self) -> bool:
        """Whether the network is in the integer form that can be exported."""
        return all(layer.gate.frozen for _, layer in self.experts())

    def freeze(self) -> "Vgg":
        """Bring the network into its final integer form, in place, and set it to eval mode.

        Gates become integer, and every batch normalization becomes an exact threshold. There is no
        way back to training from here.

        Raises
        ------
        NetworkError
            If a value isn't finite or a gate's integers would not stay exact; the message names the block.
        """
        self.eval()
        blocks = cast(list[BinaryBlock], list(self.blocks))
        gates = not (self.frozen and list(self.experts()))
        i = 0
        try:
            # all gates first: they need the batch normalizations as they were trained
            for i in range(1, len(blocks) if gates else 0):
                blocks[i].freeze_gate(self._positions[i], blocks[i - 1])
            for i in range(len(blocks)):
                blocks[i].snap()
        except ValueError as error:
            raise NetworkError(f"blocks.{i}: {error}") from None
        return self


#: Name -> (config class, model class).
NETWORKS: dict[str, tuple[type[BaseModel], type[nn.Module]]] = {"vgg": (VggConfig, Vgg)}


def explain(error: ValidationError) -> str:
    """One line of text for pydantic's first complaint: the key, what is wrong, what to do."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "(top level)"
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        text = "this key is unknown; remove it or correct its spelling"
    elif first["type"] == "missing":
        text = "this key is required; add it"
    elif first["loc"]:
        text = f"{text} (found {first['input']!r})" if len(repr(first["input"])) < 60 else text
    return f"{key}: {text}"


def build_network(name: str, config: dict[str, Any] | BaseModel | None = None) -> nn.Module:
    """Make a network by name.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.
    config : dict or config object, optional
        Settings; the defaults of the config class where absent.

    Returns
    -------
    nn.Module
        With random weights from torch's global generator.

    Raises
    ------
    NetworkError
        If the name is unknown or the config is wrong.
    """
    if name not in NETWORKS:
        raise NetworkError(f"network {name!r} is unknown; there are: {', '.join(sorted(NETWORKS))}")
    config_class, model_class = NETWORKS[name]
    if not isinstance(config, config_class):
        raw = config.model_dump() if isinstance(config, BaseModel) else (config or {})
        try:
            config = config_class.model_validate(raw)
        except ValidationError as error:
            raise NetworkError(explain(error)) from None
    return model_class(config)
