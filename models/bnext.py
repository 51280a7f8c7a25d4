"""BNext, plain and with Expanding-and-Shrinking."""

from itertools import pairwise

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .arithmetic import ChannelBias, ChannelMix, Product, SqueezeExcite, Sum
from .network import BinaryNetwork, ImageConfig, NetworkError, class_numbers
from .shrink import ExpandShrink
from .sign_conv import SignConv2d
from .stems import Classifier, Stem

__all__ = ["BNext", "BNextBlock", "BNextConfig", "BNextUnit", "ESBNextTConfig"]


class BNextUnit(nn.Module):
    """One binary convolution of BNext at the wide width ``W = C*tau``.

    With ``v = PReLU(BN1(copies(conv(sign(x + bias)))))`` and ``p`` the input, pooled where the stride is 2::

        v = v * SE(mix(p, v))
        plain:      BN2(v)              + p
        attention:  BN2(v * a) + a,     a = PReLU(x), pooled likewise

    Parameters
    ----------
    channels : int
        ``C``, before the transform; of input and output.
    kernel : int
        3 or 1, pixels.
    stride : int
        1 or 2, pixels.
    tau : int
        Expansion.
    attention : bool
        Which of the two.

    Notes
    -----
    Expanding-and-Shrinking Binary Neural Networks (2025), as its authors code it. Weights are signs from the start on:
    the authors' code anneals them from real to binary, and with an ES network never gets there.
    """

    def __init__(self, channels: int, kernel: int, *, stride: int = 1, tau: int = 1, attention: bool = False) -> None:
        super().__init__()
        es = ExpandShrink(channels, tau=tau)
        if channels % (8 * tau):
            raise ValueError(f"8*tau={8 * tau} must divide the {channels} channels, for squeeze-and-excitation")
        wide = es.out_channels
        self.bias = ChannelBias(wide)
        self.conv = SignConv2d(wide, es.maps, kernel, stride=stride)
        self.tile = es
        self.bn1 = nn.BatchNorm2d(wide)
        self.activation = nn.PReLU(wide)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.mix = ChannelMix(wide)
        self.excite = SqueezeExcite(wide, channels // (8 * tau), es.maps, repeat=es.repeat, bias=True)
        self.product = Product()
        self.attention = nn.PReLU(wide) if attention else None
        self.attend = Product() if attention else None
        self.bn2 = nn.BatchNorm2d(wide)
        self.sum = Sum()

    def forward(self, x: Tensor) -> Tensor:
        """``[B, W, H, W']`` to the same, halved in size by stride 2."""
        shortcut = self.pool(x)
        v = self.activation(self.bn1(self.tile(self.conv(self.bias(x)))))
        v = self.product(v, self.excite(self.mix(shortcut, v)))
        if self.attention is not None and self.attend is not None:
            shortcut = self.pool(self.attention(x))
            v = self.attend(v, shortcut)
        return self.sum(self.bn2(v), shortcut)


class BNextBlock(nn.Module):
    """A 3x3 unit, then a 1x1 unit, or two beside each other where the width doubles.

    Parameters
    ----------
    in_channels, out_channels : int
        Before the transform; equal, or the second twice the first.
    stride, tau, attention
        As in `BNextUnit`; stride and attention are the 3x3 unit's.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, tau: int, attention: bool) -> None:
        super().__init__()
        self.spatial = BNextUnit(in_channels, 3, stride=stride, tau=tau, attention=attention)
        self.pointwise = nn.ModuleList(BNextUnit(in_channels, 1, tau=tau) for _ in range(out_channels // in_channels))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in*tau, H, W]`` to ``[B, out*tau, H/stride, W/stride]``."""
        x = self.spatial(x)
        return torch.cat([unit(x) for unit in self.pointwise], 1)


class BNextConfig(ImageConfig):
    """A BNext; the defaults are BNext-T for ImageNet.

    Attributes
    ----------
    widths : tuple of int
        Channels of the stem and of each block, before the transform. Each is the one before it, or twice that; the
        map is halved where the width doubles, the first time apart.
    tau : int
        Expansion of Expanding-and-Shrinking.
    """

    height: int = Field(default=224, ge=1, le=1024)
    width: int = Field(default=224, ge=1, le=1024)
    class_names: tuple[str, ...] = Field(default=class_numbers(1000), min_length=2)
    widths: tuple[int, ...] = Field(default=(32, 64, *[128] * 2, *[256] * 2, *[512] * 6, *[1024] * 2), min_length=2)
    tau: int = Field(default=1, ge=1, le=8)

    @model_validator(mode="after")
    def _doubles(self) -> "BNextConfig":
        for a, b in pairwise(self.widths):
            if a < 1 or b not in (a, 2 * a):
                raise ValueError(f"widths: {b} follows {a}; each width is the one before it or twice that")
        if self.tau > 1 and self.widths[-1] != self.widths[-2]:
            # the first C channels would be those of the first of two units
            raise ValueError("widths: the last one has to be the one before it, or the classifier would see half of it")
        return self


class ESBNextTConfig(BNextConfig):
    """BNext-T with Expanding-and-Shrinking."""

    tau: int = Field(default=2, ge=1, le=8)


class BNext(BinaryNetwork):
    """``stem -> blocks -> first channels -> PReLU -> mean -> linear``.

    Parameters
    ----------
    config : BNextConfig

    Raises
    ------
    NetworkError
        If tau doesn't divide the channels; the message names the block.
    """

    name = "bnext-t"

    def __init__(self, config: BNextConfig) -> None:
        super().__init__(config)
        widths = config.widths
        self.stem = Stem(config.channels, widths[0], 3, 2, repeat=config.tau)
        blocks: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(widths)):
            try:
                stride = 2 if b > a > widths[0] else 1
                blocks.append(BNextBlock(a, b, stride=stride, tau=config.tau, attention=i % 2 == 0))
            except ValueError as error:
                raise NetworkError(f"widths.{i + 1}: {error}") from None
        self.blocks = nn.Sequential(*blocks)
        self.head = Classifier(widths[-1], len(config.class_names), activation=True)

    def stage_modules(self) -> list[nn.Module]:
        """The blocks."""
        return list(self.blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Score pixels ``[B, C, H, W]``: ``[B, classes]``."""
        return self.head(self.blocks(self.stem(x)))
