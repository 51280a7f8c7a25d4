"""Stems and classifiers: the ends of a residual network, from the pixels to its width and to the scores."""

from typing import Literal

import torch
from torch import Tensor, nn

from .shrink import tile_channels
from .stream import IntegerConv2d, StreamQuantizer

__all__ = ["STEM_STRIDES", "Classifier", "DabnnStem", "Stem", "StemKind", "make_stem"]

StemKind = Literal["imagenet", "dabnn", "cifar"]

#: By how much each stem divides the sides of the image.
STEM_STRIDES = {"imagenet": 4, "dabnn": 4, "cifar": 1}


class Stem(nn.Module):
    """``conv -> copies -> batch normalization -> [ReLU] -> [quantizer] -> [max pool]``.

    Parameters
    ----------
    channels : int
        Of the image.
    width : int
        Maps of the convolution.
    kernel, stride : int
        Pixels.
    repeat : int
        Copies of each map; Expanding-and-Shrinking copies the first layer's ``tau*g`` times.
    relu : bool
        Whether a ReLU follows.
    pool : bool
        Whether a 3x3 max pooling with stride 2 follows.
    bits : int, optional
        Of the output, on a stream of integers; the weights have 8 then. Default: all is real.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: int,
        stride: int,
        *,
        repeat: int = 1,
        relu: bool = False,
        pool: bool = False,
        bits: int | None = None,
    ) -> None:
        super().__init__()
        self.repeat = repeat
        if bits is None:
            self.conv: nn.Conv2d = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
            self.quant: nn.Module = nn.Identity()
        else:
            self.conv, self.quant = IntegerConv2d(channels, width, kernel, stride), StreamQuantizer(bits)
        self.bn = nn.BatchNorm2d(width * repeat)
        self.relu = nn.ReLU() if relu else nn.Identity()
        self.pool = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels, H, W]`` to ``[B, width*repeat, H', W']``."""
        return self.pool(self.quant(self.relu(self.bn(tile_channels(self.conv(x), self.repeat)))))


class DabnnStem(nn.Module):
    """The stem of the released Expert Binary Network: stride 4 in small convolutions, 64 channels.

    A 3x3 convolution with stride 2; beside each other a max pooling and a 1x1 with a 3x3 convolution; a 1x1
    convolution on both. Batch normalization and ReLU follow each convolution.

    Parameters
    ----------
    channels : int
        Of the image.
    repeat : int
        Copies of the last convolution's maps, as in `Stem`.
    bits : int, optional
        Of what each convolution gives, as in `Stem`.
    """

    def __init__(self, channels: int, *, repeat: int = 1, bits: int | None = None) -> None:
        super().__init__()
        self.first = Stem(channels, 32, 3, 2, relu=True, bits=bits)
        self.narrow = nn.Sequential(Stem(32, 16, 1, 1, relu=True, bits=bits), Stem(16, 32, 3, 2, relu=True, bits=bits))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.last = Stem(64, 64, 1, 1, repeat=repeat, relu=True, bits=bits)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels, H, W]`` to ``[B, 64*repeat, H/4, W/4]``."""
        x = self.first(x)
        return self.last(torch.cat([self.narrow(x), self.pool(x)], 1))


def make_stem(
    kind: StemKind, channels: int, width: int, *, repeat: int = 1, relu: bool = True, bits: int | None = None
) -> nn.Module:
    """A stem by name: ``imagenet`` (7x7, stride 4), ``dabnn`` (64 channels, stride 4) or ``cifar`` (3x3, stride 1).

    Parameters
    ----------
    kind : {"imagenet", "dabnn", "cifar"}
    channels : int
        Of the image.
    width : int
        Channels that it makes, before they are copied.
    repeat : int
        Copies of each.
    relu : bool
        Whether a ReLU follows the convolution (``dabnn`` always has them).
    bits : int, optional
        Of the output, on a stream of integers, see `Stem`.

    Raises
    ------
    ValueError
        If ``dabnn`` is asked for another width than 64.
    """
    if kind == "dabnn":
        if width != 64:
            raise ValueError(f"the stem 'dabnn' makes 64 channels, not {width}; use 'imagenet' or 'cifar'")
        return DabnnStem(channels, repeat=repeat, bits=bits)
    if kind == "imagenet":
        return Stem(channels, width, 7, 2, repeat=repeat, relu=relu, pool=True, bits=bits)
    return Stem(channels, width, 3, 1, repeat=repeat, relu=relu, bits=bits)


class Classifier(nn.Module):
    """``first C channels -> [PReLU] -> mean over the map -> linear``.

    Parameters
    ----------
    channels : int
        Channels that count. Under Expanding-and-Shrinking these are the FIRST ``C`` of ``C*tau*g``, so that the
        linear layer keeps its size; the last layer's other copies have no effect.
    classes : int
    activation : bool
        Whether a PReLU comes first.
    """

    def __init__(self, channels: int, classes: int, *, activation: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.activation = nn.PReLU(channels) if activation else nn.Identity()
        self.linear = nn.Linear(channels, classes)

    @property
    def in_features(self) -> int:
        """Inputs of the linear layer."""
        return self.channels

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C*tau*g, H, W]`` to scores ``[B, classes]``."""
        return self.linear(self.activation(x[:, : self.channels]).mean((2, 3)))
