"""The Expert Binary Network: units, blocks and networks by the paper's notation."""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from .arithmetic import ChannelScale, Product, RisingPReLU, SqueezeExcite, Sum
from .block import batchnorm_affine, snap_batchnorm
from .expert import ExpertConv2d
from .gate import GateSource
from .network import BinaryNetwork, ImageConfig, NetworkError, check_sides, class_numbers
from .quant import InputQuantizer
from .sign_conv import SignConv2d
from .stems import STEM_STRIDES, Classifier, StemKind, make_stem
from .stream import SUM_LIMIT, IntegerClassifier, IntegerConv2d, StreamKind, StreamQuantizer

__all__ = ["Downsample", "EBResNet", "EBResNetConfig", "ExpertBlock", "ExpertUnit", "Structure"]

_NOTATION = re.compile(r"([1-9]{4})-(\d{1,2}(?:\.\d+)?)-([1-9]\d*):([1-9]\d*):([1-9]\d*):([1-9]\d*)")
#: What a wrong notation is answered with.
NOTATION = (
    "N0N1N2N3-E-G0:G1:G2:G3 (blocks of each stage, 1 to 9; width expansion, below 100; groups of each stage, at least "
    "1), e.g. 1262-2-4:8:8:16"
)


@dataclass(frozen=True)
class Structure:
    """What the paper's notation ``N0N1N2N3-E-G0:G1:G2:G3`` says.

    Attributes
    ----------
    blocks : tuple of int
        Blocks of each of the four stages.
    expansion : float
        Width expansion ``E``: stage ``s`` has ``int(64 * 2**s * E)`` channels. With ``E**2`` groups the number of
        binary operations stays.
    groups : tuple of int
        Groups of the 3x3 convolutions of each stage.
    """

    blocks: tuple[int, ...]
    expansion: float
    groups: tuple[int, ...]

    @classmethod
    def matches(cls, text: str) -> bool:
        """Whether a text is in the notation."""
        try:
            cls.parse(text)
        except ValueError:
            return False
        return True

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the notation; raises ValueError that explains it."""
        found = _NOTATION.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not of the form {NOTATION}")
        blocks, expansion, *groups = found.groups()
        structure = cls(tuple(map(int, blocks)), float(expansion), tuple(map(int, groups)))
        if structure.widths[0] < 1:
            raise ValueError(f"{text!r} leaves no channels; its width expansion has to be at least 1/64 ({NOTATION})")
        return structure

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(int(64 * 2**stage * self.expansion) for stage in range(len(self.blocks)))


class Downsample(nn.Sequential):
    """The shortcut where the size or the width changes; not binary.

    ``average pool -> 1x1 conv -> batch normalization``, or decomposed into two 1x1 convolutions by way of ``in/ratio``
    channels, each with batch normalization and PReLU.

    Parameters
    ----------
    in_channels, out_channels : int
    stride : int
        Pixels.
    ratio : int
        1, or by how much narrower the middle is; ``E**2`` keeps the operations of the network without expansion.
    bits : int, optional
        On a stream of integers, of what each convolution gives; the weights have 8 then. Default: all is real.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), figure 4. It has one filter bank and no channel factors.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, ratio: int, *, bits: int | None = None
    ) -> None:
        if in_channels % ratio:
            raise ValueError(f"downsample_ratio={ratio} must divide the {in_channels} channels that are downsampled")
        widths = [in_channels, out_channels] if ratio == 1 else [in_channels, in_channels // ratio, out_channels]
        layers: list[nn.Module] = []
        if stride > 1:
            layers.append(nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False))
        if bits is not None:
            layers.append(StreamQuantizer(8, SUM_LIMIT))
        for a, b in pairwise(widths):
            layers.append(nn.Conv2d(a, b, 1, bias=False) if bits is None else IntegerConv2d(a, b, 1))
            layers.append(nn.BatchNorm2d(b))
            if ratio > 1:
                layers.append(nn.PReLU(b) if bits is None else RisingPReLU(b))
            if bits is not None:
                layers.append(StreamQuantizer(bits))
        super().__init__(*layers)


class ExpertUnit(nn.Module):
    """``PReLU(SE(alpha * EBConv(sign(BN(x))))) + shortcut(x)``.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel, stride : int
        Pixels.
    groups, experts, gate, whiten
        As in `SignConv2d`; the gate reads the tensor behind the batch normalization.
    squeeze_excite : bool
        Whether a `SqueezeExcite` on that same tensor weighs the maps.
    downsample_ratio : int
        Of the shortcut, where one is needed, see `Downsample`.
    bits : int, optional
        On a stream of integers, of what the PReLU gives; then ``alpha`` starts at ``1/sqrt(n)`` for sums of ``n`` bits,
        whose deviation is then about 1, and the PReLU's slopes stay at 0 or above. Default: real numbers.

    Raises
    ------
    ValueError
        If groups or ratio don't divide the channels, or squeeze-and-excitation should become integers.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), eq. 1 to 5. No batch normalization follows the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        groups: int = 1,
        experts: int = 4,
        gate: GateSource = "pre_sign",
        whiten: bool = False,
        squeeze_excite: bool = False,
        downsample_ratio: int = 1,
        bits: int | None = None,
    ) -> None:
        super().__init__()
        if bits is not None and squeeze_excite:
            raise ValueError("squeeze_excite multiplies with a sigmoid, which has no integers; take stream 'real'")
        self.bn = nn.BatchNorm2d(in_channels)
        self.conv = SignConv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            groups=groups,
            experts=experts,
            gate=gate,
            whiten=whiten,
        )
        self.alpha = ChannelScale(out_channels)
        self.excite = SqueezeExcite(in_channels, out_channels // 8, out_channels) if squeeze_excite else None
        self.product = Product() if squeeze_excite else None
        self.quant: StreamQuantizer | None = None
        if bits is None:
            self.activation = nn.PReLU(out_channels)
        else:
            nn.init.constant_(self.alpha.weight, self.conv.conv.fan_in**-0.5)
            self.activation, self.quant = RisingPReLU(out_channels), StreamQuantizer(bits)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            self.shortcut = Downsample(in_channels, out_channels, stride, downsample_ratio, bits=bits)
        self.sum = Sum()

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in, H, W]`` to ``[B, out, H/stride, W/stride]``."""
        integers = x if self.quant is None else x / self.quant.step
        pre = self.bn(integers)
        y = self.alpha(self.conv(pre, integers))
        if self.excite is not None and self.product is not None:
            y = self.product(y, self.excite(pre))
        y = self.activation(y)
        return self.sum(y if self.quant is None else self.quant(y), self.shortcut(x))

    def freeze(self, positions: int, bound: int) -> tuple[int, int]:
        """Bring the gate and the normalization on a stream of integers into their integer forms.

        Parameters
        ----------
        positions : int
            ``H*W`` of the input.
        bound : int
            Largest magnitude of an input, in steps of the stream.

        Returns
        -------
        positions, bound : int
            The same of the output.

        Raises
        ------
        ValueError
            If the stream is real, a value isn't finite, or the gate's integers would not stay exact.
        """
        if self.quant is None:
            raise ValueError("a unit on a stream of real numbers has no integer form; give it bits")
        conv = self.conv.conv
        if isinstance(conv, ExpertConv2d) and not conv.gate.frozen:
            scale, offset = batchnorm_affine(self.bn)
            conv.gate.freeze(positions, scale=scale, offset=offset, mean=self.bn.running_mean, largest=bound)
        snap_batchnorm(self.bn, bound)
        kept = bound if isinstance(self.shortcut, nn.Identity) else self.quant.largest
        return positions // conv.stride[0] ** 2, kept + self.quant.largest


class ExpertBlock(nn.Sequential):
    """Two 3x3 units and, in the deep block, an ungrouped 1x1 unit that mixes the groups.

    Parameters
    ----------
    in_channels, out_channels, stride, groups
        Of the 3x3 units; the first one has the stride.
    mixing : bool
        Whether the 1x1 unit follows; it does only where there are groups to mix.
    **unit
        The rest of `ExpertUnit`'s settings.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, groups: int, mixing: bool, **unit) -> None:
        super().__init__(
            ExpertUnit(in_channels, out_channels, stride=stride, groups=groups, **unit),
            ExpertUnit(out_channels, out_channels, groups=groups, **unit),
            *([ExpertUnit(out_channels, out_channels, 1, **unit)] if mixing and groups > 1 else []),
        )


class EBResNetConfig(ImageConfig):
    """An Expert Binary Network; the defaults are the paper's final network for ImageNet, without the SE head.

    Attributes
    ----------
    structure : str
        In the paper's notation, see `Structure`.
    experts : int
        Filter banks of every binary convolution.
    gate : {"pre_sign", "sign"}
        What the gates read.
    whiten : bool
        The gates' logits, see `ExpertGate`; the paper's are not.
    squeeze_excite : bool
        The released network has it; the paper's text doesn't tell whether its tables do.
    mixing : bool
        Whether blocks with groups have the 1x1 unit.
    downsample_ratio : int
        See `Downsample`.
    stem : {"dabnn", "imagenet", "cifar"}
        See `make_stem`.
    stream : {"real", "integer"}
        What runs along the shortcuts. With integers the network becomes an accelerator: stem, shortcuts and classifier
        have weights of 8 bits, and PReLUs are quantized behind their rising slopes.
    stream_bits : int
        Of what a unit, a stem or a shortcut puts on a stream of integers.
    """

    height: int = Field(default=224, ge=1, le=1024)
    width: int = Field(default=224, ge=1, le=1024)
    class_names: tuple[str, ...] = Field(default=class_numbers(1000), min_length=2)
    structure: str = "1262-2-4:8:8:16"
    experts: int = Field(default=4, ge=1, le=64)
    gate: GateSource = "pre_sign"
    whiten: bool = False
    squeeze_excite: bool = False
    mixing: bool = True
    downsample_ratio: int = Field(default=4, ge=1, le=64)
    stem: StemKind = "dabnn"
    stream: StreamKind = "real"
    stream_bits: int = Field(default=4, ge=2, le=8)

    @field_validator("structure")
    @classmethod
    def _notation(cls, value: str) -> str:
        Structure.parse(value)
        return value

    @model_validator(mode="after")
    def _integers(self) -> Self:
        if self.stream == "integer":
            if self.squeeze_excite:
                raise ValueError("stream 'integer' needs squeeze_excite false: its sigmoid has no integers")
            check_sides(self, STEM_STRIDES[self.stem] * 2 ** (len(Structure.parse(self.structure).blocks) - 1))
        return self


class EBResNet(BinaryNetwork):
    """``stem -> four stages of blocks -> mean -> linear``; stem, shortcuts and classifier are not binary.

    Parameters
    ----------
    config : EBResNetConfig

    Raises
    ------
    NetworkError
        If groups or ratios don't divide the channels; the message names the stage.
    """

    name = "ebresnet"
    config: EBResNetConfig

    def __init__(self, config: EBResNetConfig) -> None:
        super().__init__(config)
        structure = Structure.parse(config.structure)
        integer = config.stream == "integer"
        bits = config.stream_bits if integer else None
        self.input = InputQuantizer() if integer else nn.Identity()
        self.stem = make_stem(config.stem, config.channels, 64, bits=bits)
        stages: list[nn.Module] = []
        channels = 64
        for stage, (blocks, width, groups) in enumerate(
            zip(structure.blocks, structure.widths, structure.groups, strict=True)
        ):
            parts: list[nn.Module] = []
            for block in range(blocks):
                try:
                    parts.append(
                        ExpertBlock(
                            channels,
                            width,
                            stride=2 if stage and not block else 1,
                            groups=groups,
                            mixing=config.mixing,
                            experts=config.experts,
                            gate=config.gate,
                            whiten=config.whiten,
                            squeeze_excite=config.squeeze_excite,
                            downsample_ratio=config.downsample_ratio,
                            bits=bits,
                        )
                    )
                except ValueError as error:
                    raise NetworkError(f"structure: stage {stage} of {config.structure!r}: {error}") from None
                channels = width
            stages.append(nn.Sequential(*parts))
        self.stages = nn.Sequential(*stages)
        self.head = (IntegerClassifier if integer else Classifier)(channels, len(config.class_names))

    def forward(self, x: Tensor) -> Tensor:
        """Score pixels ``[B, C, H, W]``: ``[B, classes]``."""
        return self.head(self.stages(self.stem(self.input(x))))

    def freeze(self) -> Self:
        """Set the network to eval mode and, if its stream is one of integers, to its integer form, in place.

        Raises
        ------
        NetworkError
            If a value isn't finite or a gate's integers would not stay exact; the message names the unit.
        """
        self.eval()
        config = self.config
        if config.stream == "real":
            return self
        positions = config.height * config.width // STEM_STRIDES[config.stem] ** 2
        bound = 2 ** (config.stream_bits - 1)
        for name, unit in self.stages.named_modules():
            if isinstance(unit, ExpertUnit):
                try:
                    positions, bound = unit.freeze(positions, bound)
                except ValueError as error:
                    raise NetworkError(f"stages.{name}: {error}") from None
        return self
