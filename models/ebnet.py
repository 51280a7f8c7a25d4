"""The Expert Binary Network: units, blocks and networks by the paper's notation."""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from pydantic import Field, field_validator
from torch import Tensor, nn

from .arithmetic import ChannelScale, Product, SqueezeExcite, Sum
from .gate import GateSource
from .network import BinaryNetwork, ImageConfig, NetworkError, class_numbers
from .sign_conv import SignConv2d
from .stems import Classifier, StemKind, make_stem

__all__ = ["Downsample", "EBResNet", "EBResNetConfig", "ExpertBlock", "ExpertUnit", "Structure"]

_NOTATION = re.compile(r"([1-9]{4})-(\d{1,2}(?:\.\d+)?)-([1-9]\d*):([1-9]\d*):([1-9]\d*):([1-9]\d*)")
#: What a wrong notation is answered with.
NOTATION = "N0N1N2N3-E-G0:G1:G2:G3 (blocks of each stage, width expansion, groups of each stage), e.g. 1262-2-4:8:8:16"


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
    """The real-valued shortcut where the size or the width changes.

    ``average pool -> 1x1 conv -> batch normalization``, or decomposed into two 1x1 convolutions by way of ``in/ratio``
    channels, each with batch normalization and PReLU.

    Parameters
    ----------
    in_channels, out_channels : int
    stride : int
        Pixels.
    ratio : int
        1, or by how much narrower the middle is; ``E**2`` keeps the operations of the network without expansion.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), figure 4. It has one filter bank and no channel factors.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, ratio: int) -> None:
        if in_channels % ratio:
            raise ValueError(f"downsample_ratio={ratio} must divide the {in_channels} channels that are downsampled")
        widths = [in_channels, out_channels] if ratio == 1 else [in_channels, in_channels // ratio, out_channels]
        layers: list[nn.Module] = [nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)]
        for a, b in pairwise(widths):
            layers += [nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b)]
            layers += [nn.PReLU(b)] if ratio > 1 else []
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
    ) -> None:
        super().__init__()
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
        self.activation = nn.PReLU(out_channels)
        changes = stride > 1 or in_channels != out_channels
        self.shortcut = Downsample(in_channels, out_channels, stride, downsample_ratio) if changes else nn.Identity()
        self.sum = Sum()

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in, H, W]`` to ``[B, out, H/stride, W/stride]``."""
        pre = self.bn(x)
        y = self.alpha(self.conv(pre))
        if self.excite is not None and self.product is not None:
            y = self.product(y, self.excite(pre))
        return self.sum(self.activation(y), self.shortcut(x))


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

    @field_validator("structure")
    @classmethod
    def _notation(cls, value: str) -> str:
        Structure.parse(value)
        return value


class EBResNet(BinaryNetwork):
    """``stem -> four stages of blocks -> mean -> linear``; stem, shortcuts and classifier are real.

    Parameters
    ----------
    config : EBResNetConfig

    Raises
    ------
    NetworkError
        If groups or ratios don't divide the channels; the message names the stage.
    """

    name = "ebresnet"

    def __init__(self, config: EBResNetConfig) -> None:
        super().__init__(config)
        structure = Structure.parse(config.structure)
        self.stem = make_stem(config.stem, config.channels, 64)
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
                        )
                    )
                except ValueError as error:
                    raise NetworkError(f"structure: stage {stage} of {config.structure!r}: {error}") from None
                channels = width
            stages.append(nn.Sequential(*parts))
        self.stages = nn.Sequential(*stages)
        self.head = Classifier(channels, len(config.class_names))

    def forward(self, x: Tensor) -> Tensor:
        """Score pixels ``[B, C, H, W]``: ``[B, classes]``."""
        return self.head(self.stages(self.stem(x)))
