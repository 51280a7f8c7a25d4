"""A VGG-like chain of binary blocks, integers throughout; CNV is one."""

from typing import Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from .binary import BinaryConv2d, BinaryLinear, PadMode
from .block import BinaryBlock
from .expert import ExpertConv2d
from .gate import GateSource
from .network import BinaryNetwork, ImageConfig, NetworkError
from .quant import InputQuantizer
from .shrink import ExpandShrink

__all__ = ["BlockConfig", "CnvConfig", "EsEbCnvConfig", "Vgg", "VggConfig"]


class BlockConfig(BaseModel):
    """One binary block of a `Vgg`.

    Attributes
    ----------
    kind : {"binary", "expert"}
        A single filter bank, or N banks and a gate.
    width : int
        Channels of the layer before expansion.
    tau, es_groups : int
        Expanding-and-Shrinking with groups, see `ExpandShrink`.
    copies : int, optional
        Copies of each map; default ``tau**2 * es_groups``, in the first block ``tau * es_groups``. In the last block,
        ``tau`` leaves ``width`` channels to the classifier, whose operations then don't depend on tau and es_groups
        (Expanding-and-Shrinking's "ops" variant).
    expansion : int
        Width expansion ``E`` (``expert`` only): ``width*E`` maps.
    groups : int, optional
        Groups of the convolution; default ``E**2``, which keeps the number of binary products
        (High-Capacity Expert Binary Networks, ICLR 2021, section on width expansion).
    experts, gate, gate_bits, whiten
        As in `ExpertConv2d`.
    kernel, stride, padding, pad_mode, pool
        Pixels; see `BinaryConv2d` and `BinaryBlock`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["binary", "expert"] = "binary"
    width: int = Field(ge=1, le=4096)
    kernel: int = Field(default=3, ge=1, le=15)
    stride: int = Field(default=1, ge=1, le=8)
    padding: int = Field(default=1, ge=0, le=7)
    pad_mode: PadMode = "zero"
    pool: int = Field(default=0, ge=0, le=8)
    tau: int = Field(default=1, ge=1, le=8)
    es_groups: int = Field(default=1, ge=1, le=64)
    copies: int | None = Field(default=None, ge=1, le=4096)
    expansion: int = Field(default=1, ge=1, le=8)
    groups: int | None = Field(default=None, ge=1)
    experts: int = Field(default=4, ge=1, le=64)
    gate: GateSource = "pre_sign"
    gate_bits: int = Field(default=8, ge=2, le=16)
    whiten: bool = True

    @model_validator(mode="after")
    def _one_kind(self) -> "BlockConfig":
        expands = self.expansion > 1 or self.groups is not None
        if expands and (self.tau > 1 or self.es_groups > 1):
            raise ValueError("a block takes tau and es_groups, or expansion and groups; remove one pair")
        if self.kind == "binary" and expands:
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


class VggConfig(ImageConfig):
    """A chain of binary blocks and a binary classifier. The defaults are a network for 8x8 digits.

    Attributes
    ----------
    blocks : tuple of BlockConfig
        The first one sees the pixels and has to be of kind ``binary`` with zero padding.
    """

    channels: int = Field(default=1, ge=1, le=64)
    height: int = Field(default=8, ge=1, le=1024)
    width: int = Field(default=8, ge=1, le=1024)
    blocks: tuple[BlockConfig, ...] = Field(default_factory=_digits_blocks, min_length=1)

    @model_validator(mode="after")
    def _first_block(self) -> "VggConfig":
        first = self.blocks[0]
        if first.kind != "binary" or first.pad_mode == "minus_one":
            raise ValueError("the first block sees pixels: it must be of kind 'binary' with pad_mode 'zero'")
        return self


def _unpadded(width: int, **settings: Any) -> BlockConfig:
    return BlockConfig(width=width, padding=0, pad_mode="none", **settings)


def _cnv_blocks() -> tuple[BlockConfig, ...]:
    convolutions = [_unpadded(width, pool=pool) for width in (64, 128) for pool in (0, 2)]
    convolutions += [_unpadded(256), _unpadded(256)]
    # of the map one pixel is left, on which a 1x1 convolution is a linear layer
    return (*convolutions, _unpadded(512, kernel=1), _unpadded(512, kernel=1))


class CnvConfig(VggConfig):
    """CNV (FINN, 2017) for CIFAR-10: six unpadded convolutions, two binary linear layers, a binary classifier."""

    channels: int = Field(default=3, ge=1, le=64)
    height: int = Field(default=32, ge=1, le=1024)
    width: int = Field(default=32, ge=1, le=1024)
    blocks: tuple[BlockConfig, ...] = Field(default_factory=_cnv_blocks, min_length=1)


def _es_eb_cnv_blocks() -> tuple[BlockConfig, ...]:
    shrink = {"tau": 2, "es_groups": 2}
    expert = {"kind": "expert", "experts": 4, "gate": "sign", **shrink}
    convolutions = [_unpadded(width, pool=pool, **shrink) for width in (32, 64) for pool in (0, 2)]
    convolutions += [_unpadded(128, **expert), _unpadded(128, **expert)]
    return (*convolutions, _unpadded(256, kernel=1, **shrink), _unpadded(256, kernel=1, **shrink))


class EsEbCnvConfig(CnvConfig):
    """CNV at half its widths, for small boards, with both papers' ideas.

    Expanding-and-Shrinking with ``tau=2, g=2`` in every layer, and four experts in the last two convolutions, where a
    bank is dear in memory but the map is small; their gates read the bits. The classifier reads every copy.
    """

    blocks: tuple[BlockConfig, ...] = Field(default_factory=_es_eb_cnv_blocks, min_length=1)


class Vgg(BinaryNetwork):
    """``pixels -> blocks -> flatten -> binary linear -> integer scores``.

    Parameters
    ----------
    config : VggConfig
        The layout.

    Raises
    ------
    NetworkError
        If the layout doesn't fit together; the message names the block.
    """

    name = "vgg"

    def __init__(self, config: VggConfig) -> None:
        super().__init__(config)
        self.quant = InputQuantizer()
        self.blocks = nn.ModuleList()
        self._positions: list[int] = []  # H*W that the gate of block i would sum
        channels, repeat, area = config.channels, 1, 0
        h, w = config.height, config.width
        for i, cfg in enumerate(config.blocks):
            try:
                block = self._block(cfg, channels, repeat, first=i == 0)
            except ValueError as error:
                raise NetworkError(f"blocks.{i}: {error}") from None
            is_pre = cfg.kind == "expert" and cfg.gate == "pre_sign"
            self._positions.append(area if is_pre else h * w)
            h, w = ((n + 2 * cfg.padding - cfg.kernel) // cfg.stride + 1 for n in (h, w))
            if min(h, w) < max(cfg.pool, 1):
                raise NetworkError(f"blocks.{i}: nothing is left of the image; use fewer blocks or more padding")
            area = h * w
            if cfg.pool > 1:
                if h % cfg.pool or w % cfg.pool:
                    raise NetworkError(f"blocks.{i}.pool: {cfg.pool} doesn't divide the map of {h} x {w} pixels")
                h, w = h // cfg.pool, w // cfg.pool
            self.blocks.append(block)
            channels, repeat = block.out_channels, block.repeat
        self.flatten = nn.Flatten()
        self.head = BinaryLinear(channels * h * w, len(config.class_names))

    @staticmethod
    def _block(cfg: BlockConfig, channels: int, repeat: int, *, first: bool) -> BinaryBlock:
        es = ExpandShrink(cfg.width * cfg.expansion, tau=cfg.tau, groups=cfg.es_groups, first=first)
        copies = es.repeat if cfg.copies is None else cfg.copies
        window: dict[str, Any] = {"stride": cfg.stride, "padding": cfg.padding, "pad_mode": cfg.pad_mode}
        if cfg.kind == "expert":
            expert = ExpertConv2d(
                channels,
                es.maps,
                cfg.kernel,
                experts=cfg.experts,
                groups=es.conv_groups * (cfg.expansion**2 if cfg.groups is None else cfg.groups),
                gate_source=cfg.gate,
                repeat=repeat,
                gate_bits=cfg.gate_bits,
                whiten=cfg.whiten,
                **window,
            )
            return BinaryBlock(expert, repeat=copies, pool=cfg.pool)
        conv = BinaryConv2d(channels, es.maps, cfg.kernel, groups=es.conv_groups, **window)
        return BinaryBlock(conv, repeat=copies, pool=cfg.pool, input_max=255 if first else 1)

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

    def stage_modules(self) -> list[nn.Module]:
        """The blocks."""
        return list(self.blocks)

    def head_scale(self) -> float:
        """Integer scores grow with the number of bits that they sum."""
        return self.head.in_features**-0.5

    def freeze(self) -> Self:
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
