"""Binary residual networks: Bi-Real and ReActNet on ResNet, with Expanding-and-Shrinking, groups and experts."""

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from .arithmetic import ChannelBias, RPReLU, Sum
from .expert import ExpertConv2d
from .gate import GateSource
from .network import BinaryNetwork, ImageConfig, NetworkError, check_sides, class_numbers
from .quant import InputQuantizer
from .shrink import ExpandShrink, tile_channels
from .sign_conv import SignConv2d
from .stems import STEM_STRIDES, Classifier, StemKind, make_stem
from .stream import SUM_LIMIT, IntegerClassifier, IntegerConv2d, StreamKind, StreamNorm, StreamQuantizer

__all__ = ["ResNet", "ResNetConfig", "ResidualUnit", "Shortcut", "ShortcutKind", "UnitStyle"]

UnitStyle = Literal["bireal", "react"]
ShortcutKind = Literal["conv", "copy"]


class Shortcut(nn.Module):
    """The way around a unit that changes the size or the width, at the wide width ``C*tau*g``.

    ``average pool -> 1x1 conv -> copies -> batch normalization``, or ``average pool -> copies`` without parameters.

    Parameters
    ----------
    in_channels : int
        Of the input, copies included.
    es : ExpandShrink
        Of the unit around which it leads.
    stride : int
        Pixels.
    kind : {"conv", "copy"}
        The real 1x1 convolution is shrunk and copied as the unit's own, so that its cost doesn't depend on tau and g
        either; the paper doesn't tell how it treats it.
    bits : int, optional
        Of what ``conv`` gives, on a stream of integers; its weights have 8 then, and so has what is left of the mean,
        whose sums would else grow by two bits with each shortcut. Default: all is real.

    Raises
    ------
    ValueError
        If ``copy`` would have to make a part of a copy.
    """

    def __init__(
        self, in_channels: int, es: ExpandShrink, *, stride: int, kind: ShortcutKind, bits: int | None = None
    ) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
        self.narrow: nn.Module = nn.Identity() if bits is None else StreamQuantizer(8, SUM_LIMIT)
        self.quant: nn.Module = nn.Identity()
        if kind == "copy":
            if es.out_channels % in_channels:
                raise ValueError(f"shortcut 'copy' can't make {es.out_channels} channels of {in_channels}; use 'conv'")
            self.conv: nn.Module = nn.Identity()
            self.repeat = es.out_channels // in_channels
            self.bn: nn.Module = nn.Identity()
        else:
            if bits is None:
                self.conv = nn.Conv2d(in_channels, es.maps, 1, groups=es.conv_groups, bias=False)
            else:
                self.conv = IntegerConv2d(in_channels, es.maps, 1, groups=es.conv_groups)
                self.quant = StreamQuantizer(bits)
            self.repeat = es.repeat
            self.bn = nn.BatchNorm2d(es.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in, H, W]`` to ``[B, out, H/stride, W/stride]``."""
        return self.quant(self.bn(tile_channels(self.conv(self.narrow(self.pool(x))), self.repeat)))


class ResidualUnit(nn.Module):
    """A binary convolution and its shortcut: ``[bias] -> sign -> conv -> copies -> BN -> + shortcut -> [RPReLU]``.

    Parameters
    ----------
    in_channels : int
        Of the input, copies included.
    channels : int
        Of the output, before the transform.
    stride : int
        Pixels.
    tau, es_groups : int
        Expanding-and-Shrinking with groups, see `ExpandShrink`.
    style : {"bireal", "react"}
        ``react`` adds the learned offset before the sign and the RPReLU behind the sum.
    shortcut : {"conv", "copy"}
        See `Shortcut`; where neither size nor width changes, the input is added as it is.
    experts, gate, whiten
        As in `SignConv2d`.
    fraction_bits, stream_bits : int, optional
        Of a stream of integers: the normalization is a `StreamNorm`, a learned shortcut gives ``stream_bits``. Default:
        real numbers.

    Notes
    -----
    Expanding-and-Shrinking Binary Neural Networks (2025), figure 2: everything but the convolution works at the wide
    width ``channels*tau*es_groups``.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int = 1,
        tau: int = 1,
        es_groups: int = 1,
        style: UnitStyle = "bireal",
        shortcut: ShortcutKind = "conv",
        experts: int = 1,
        gate: GateSource = "pre_sign",
        whiten: bool = False,
        fraction_bits: int | None = None,
        stream_bits: int | None = None,
    ) -> None:
        super().__init__()
        es = ExpandShrink(channels, tau=tau, groups=es_groups)
        react = style == "react"
        self.bias = ChannelBias(in_channels) if react else nn.Identity()
        self.conv = SignConv2d(
            in_channels,
            es.maps,
            stride=stride,
            groups=es.conv_groups,
            experts=experts,
            gate=gate,
            whiten=whiten,
        )
        if fraction_bits is None:
            self.tile: nn.Module = es
            self.bn = nn.BatchNorm2d(es.out_channels)
        else:
            self.tile = nn.Identity()  # the copies are made behind the product, of which there is one for all
            self.bn = StreamNorm(es.maps, repeat=es.repeat, fraction_bits=fraction_bits)
        changes = stride > 1 or in_channels != es.out_channels
        self.shortcut: nn.Module = nn.Identity()
        if changes:
            self.shortcut = Shortcut(in_channels, es, stride=stride, kind=shortcut, bits=stream_bits)
        self.sum = Sum()
        self.activation = RPReLU(es.out_channels) if react else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in, H, W]`` to ``[B, channels*tau*es_groups, H/stride, W/stride]``."""
        y = self.bn(self.tile(self.conv(self.bias(x))))
        return self.activation(self.sum(y, self.shortcut(x)))


class ResNetConfig(ImageConfig):
    """A binary ResNet of basic blocks; the defaults are Bi-Real ResNet-18 for ImageNet.

    Attributes
    ----------
    blocks : tuple of int
        Blocks of each stage; a block is two units. The first block of every later stage halves the map and doubles
        the width.
    base_width : int
        Channels of the first stage, before the transform.
    stem : {"imagenet", "dabnn", "cifar"}
        See `make_stem`.
    tau, es_groups, style, shortcut, experts, gate, whiten
        As in `ResidualUnit`.
    stream : {"real", "integer"}
        What runs along the shortcuts. With integers the network becomes an accelerator: weights of the stem and the
        classifier have 8 bits, normalizations in front of sums have one slope for all channels.
    fraction_bits : int
        Bits behind the binary point of a stream of integers, see `StreamNorm`.
    stream_bits : int
        Of what the stem and learned shortcuts put on a stream of integers.
    """

    height: int = Field(default=224, ge=1, le=1024)
    width: int = Field(default=224, ge=1, le=1024)
    class_names: tuple[str, ...] = Field(default=class_numbers(1000), min_length=2)
    blocks: tuple[int, ...] = Field(default=(2, 2, 2, 2), min_length=1)
    base_width: int = Field(default=64, ge=1, le=1024)
    stem: StemKind = "imagenet"
    tau: int = Field(default=1, ge=1, le=8)
    es_groups: int = Field(default=1, ge=1, le=64)
    style: UnitStyle = "bireal"
    shortcut: ShortcutKind = "conv"
    experts: int = Field(default=1, ge=1, le=64)
    gate: GateSource = "pre_sign"
    whiten: bool = False
    stream: StreamKind = "real"
    fraction_bits: int = Field(default=8, ge=1, le=16)
    stream_bits: int = Field(default=4, ge=2, le=8)

    @model_validator(mode="after")
    def _integers(self) -> Self:
        if self.stream == "integer":
            wanted = {"style": "bireal"}
            wanted |= {"gate": "sign"} if self.experts > 1 else {}
            for key, value in wanted.items():
                if getattr(self, key) != value:
                    raise ValueError(f"stream 'integer' needs {key} {value!r}, not {getattr(self, key)!r}")
            check_sides(self, STEM_STRIDES[self.stem] * 2 ** (len(self.blocks) - 1))
        return self


class ReActNet18Config(ResNetConfig):
    """ReActNet on ResNet-18, for ImageNet."""

    style: UnitStyle = "react"


class ESReActNet18Config(ReActNet18Config):
    """`ReActNet18Config` with Expanding-and-Shrinking."""

    tau: int = Field(default=2, ge=1, le=8)


class _CifarConfig(ResNetConfig):
    """CIFAR's images: a small stem, and shortcuts without parameters."""

    height: int = Field(default=32, ge=1, le=1024)
    width: int = Field(default=32, ge=1, le=1024)
    class_names: tuple[str, ...] = Field(default=class_numbers(10), min_length=2)
    stem: StemKind = "cifar"
    shortcut: ShortcutKind = "copy"


class ESResNet18Config(_CifarConfig):
    """ResNet-18 for CIFAR with Expanding-and-Shrinking and groups."""

    tau: int = Field(default=2, ge=1, le=8)
    es_groups: int = Field(default=2, ge=1, le=64)


class ESResNet20Config(ESResNet18Config):
    """ResNet-20 for CIFAR with Expanding-and-Shrinking and groups."""

    blocks: tuple[int, ...] = Field(default=(3, 3, 3), min_length=1)
    base_width: int = Field(default=16, ge=1, le=1024)


class ResNet(BinaryNetwork):
    """``stem -> stages of units -> first channels -> mean -> linear``.

    Stem, residual stream and classifier are real or, with ``stream="integer"``, integers.

    Parameters
    ----------
    config : ResNetConfig

    Raises
    ------
    NetworkError
        If tau and groups don't divide the channels; the message names the stage.
    """

    name = "resnet"
    config: ResNetConfig

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__(config)
        copies = config.tau * config.es_groups
        stages: list[nn.Module] = []
        channels = config.base_width
        integer = config.stream == "integer"
        bits = config.stream_bits if integer else None
        self.input = InputQuantizer() if integer else nn.Identity()
        try:
            relu = config.style == "react"
            self.stem = make_stem(config.stem, config.channels, channels, repeat=copies, relu=relu, bits=bits)
        except ValueError as error:
            raise NetworkError(f"stem: {error}") from None
        for stage, blocks in enumerate(config.blocks):
            units: list[nn.Module] = []
            for unit in range(2 * blocks):
                first = stage > 0 and unit == 0
                wide = channels * copies
                channels *= 2 if first else 1
                try:
                    units.append(
                        ResidualUnit(
                            wide,
                            channels,
                            stride=2 if first else 1,
                            tau=config.tau,
                            es_groups=config.es_groups,
                            style=config.style,
                            shortcut=config.shortcut,
                            experts=config.experts,
                            gate=config.gate,
                            whiten=config.whiten,
                            fraction_bits=config.fraction_bits if integer else None,
                            stream_bits=bits,
                        )
                    )
                except ValueError as error:
                    raise NetworkError(f"blocks: stage {stage}: {error}") from None
            stages.append(nn.Sequential(*units))
        self.stages = nn.Sequential(*stages)
        classes = len(config.class_names)
        self.head = IntegerClassifier(channels, classes, wide=True) if integer else Classifier(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score pixels ``[B, C, H, W]``: ``[B, classes]``."""
        return self.head(self.stages(self.stem(self.input(x))))

    def freeze(self) -> Self:
        """Set the network to eval mode and, if its stream is one of integers, to its integer form, in place.

        Raises
        ------
        NetworkError
            If a value isn't finite; the message names the layer.
        """
        self.eval()
        if self.config.stream == "real":
            return self
        area = self.config.height * self.config.width // STEM_STRIDES[self.config.stem] ** 2
        for name, layer in self.stages.named_modules():
            try:
                if isinstance(layer, StreamNorm):
                    layer.freeze()
                elif isinstance(layer, ExpertConv2d):
                    if not layer.gate.frozen:
                        layer.gate.freeze(area)
                    area //= layer.stride[0] ** 2
            except ValueError as error:
                raise NetworkError(f"stages.{name}: {error}") from None
        return self
