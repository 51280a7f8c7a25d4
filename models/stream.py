"""Integers on the residual stream: layers whose outputs are multiples of one power of two, so that sums stay exact."""

import warnings
from typing import Literal, cast

import torch
from torch import Tensor, nn

from .quant import plain, qnn
from .shrink import tile_channels

with warnings.catch_warnings():
    # Brevitas names optional packages that it would like to have.
    warnings.simplefilter("ignore")
    from brevitas.function.ops_ste import round_ste
    from brevitas.quant.fixed_point import Int8ActPerTensorFixedPoint, Int8WeightPerTensorFixedPoint

__all__ = [
    "STREAM_LIMIT",
    "SUM_LIMIT",
    "IntegerClassifier",
    "IntegerConv2d",
    "StreamKind",
    "StreamNorm",
    "StreamQuantizer",
]

#: What runs along the shortcuts of a residual network.
StreamKind = Literal["real", "integer"]

#: What is put on the stream spans as many deviations of a normalized tensor on each side; its sums are as wide as
#: this when 8 bits of them are multiplied by weights.
STREAM_LIMIT, SUM_LIMIT = 4.0, 16.0


class StreamNorm(nn.BatchNorm2d):
    """Batch normalization of integers with ONE slope for all channels, on a grid; behind it copies may start.

    ``(S*x + B[c]) / 2**fraction_bits`` with integers ``S`` and ``B``, rounded in training as in evaluation. Hardware
    multiplies by a constant and adds a number, and the result can be summed with others of its kind exactly.

    Parameters
    ----------
    maps : int
        Channels of the input.
    repeat : int
        Copies of each map, in tile order; each copy has offsets of its own.
    fraction_bits : int
        Bits behind the binary point, 1 to 16.
    spread : float
        The copies' offsets start evenly over ``-spread..spread``.

    Raises
    ------
    ValueError
        If a count is out of range.

    Notes
    -----
    One slope for all channels makes the scale of the sum the same in all of them. The mean is taken channel by
    channel; the slope comes from the mean variance of all channels. It is at least one step of the grid.
    """

    frozen_flag: Tensor

    def __init__(self, maps: int, *, repeat: int = 1, fraction_bits: int = 8, spread: float = 1.0) -> None:
        if repeat < 1 or not 1 <= fraction_bits <= 16:
            raise ValueError(f"repeat={repeat} or fraction_bits={fraction_bits} is out of range (at least 1; 1 to 16)")
        super().__init__(maps)
        self.repeat, self.fraction_bits = repeat, fraction_bits
        self.register_buffer("frozen_flag", torch.zeros((), dtype=torch.bool))
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.linspace(-spread, spread, repeat).repeat_interleave(maps) * (repeat > 1))

    @property
    def frozen(self) -> bool:
        """Whether slope and offsets are fixed numbers on the grid."""
        return not self.frozen_flag.is_meta and bool(self.frozen_flag)

    def _grid(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Slope ``[1]`` and offsets ``[C*repeat]`` on the grid, with straight-through gradients."""
        steps = 2.0**self.fraction_bits
        units = self.weight / torch.sqrt(variance.mean() + self.eps) * steps
        slope = (units + (torch.round(units).clamp_min(1.0) - units).detach()) / steps
        offset = self.bias - slope * mean.repeat(self.repeat)
        return slope, round_ste(offset * steps) / steps

    def forward(self, input: Tensor) -> Tensor:
        """``[B, maps, H, W]`` to ``[B, maps*repeat, H, W]``."""
        slope, offset = self.weight, self.bias
        if not self.frozen:
            slope, offset = self._grid(*self._moments(input))
        return tile_channels(input * slope, self.repeat) + offset.reshape(-1, 1, 1)

    def _moments(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance ``[maps]``: of this batch in training, which moves the running ones; else the latter."""
        running = cast(Tensor, self.running_mean), cast(Tensor, self.running_var)
        if not self.training:
            return running
        variance, mean = torch.var_mean(input.float(), (0, 2, 3), correction=0)
        count = input.numel() // len(mean)
        with torch.no_grad():
            for kept, seen in zip(running, (mean, variance * (count / max(count - 1, 1))), strict=True):
                kept.lerp_(seen, cast(float, self.momentum))
        return mean, variance

    @torch.no_grad()
    def freeze(self) -> None:
        """Keep slope and offsets as they are now, on the grid, instead of what they come from; again is no change.

        Raises
        ------
        ValueError
            If a value isn't finite.
        """
        if self.frozen:
            return
        slope, offset = self._grid(cast(Tensor, self.running_mean), cast(Tensor, self.running_var))
        if not (torch.isfinite(slope).all() and torch.isfinite(offset).all()):
            raise ValueError("a normalization holds values that aren't finite; the training has diverged")
        self.weight.copy_(slope)
        self.bias.copy_(offset)
        self.frozen_flag.fill_(True)


class StreamQuantizer(nn.Module):
    """Rounds and clips to signed integers of some bits times a power of two; exported as one ``Quant`` node.

    Parameters
    ----------
    bits : int
        2 to 8.
    limit : float
        A power of two: the values are multiples of ``limit / 2**(bits - 1)`` from ``-limit`` to just below ``limit``.

    Attributes
    ----------
    step : float
        Between two values.
    largest : int
        Steps from 0 to the value that is farthest from it.
    """

    def __init__(self, bits: int, limit: float = STREAM_LIMIT) -> None:
        super().__init__()
        self.largest = 2 ** (bits - 1)
        self.step = limit / self.largest
        self.quant = qnn.QuantIdentity(
            act_quant=Int8ActPerTensorFixedPoint, bit_width=bits, scaling_impl_type="const", scaling_init=limit
        )

    def forward(self, x: Tensor) -> Tensor:
        """Quantize a tensor of any shape."""
        return plain(self.quant(x))


class IntegerConv2d(qnn.QuantConv2d):
    """Convolution without bias, with weights of 8 bits and one power of two as their scale.

    Its input has 8 bits at most, so that sums over a thousand channels stay exact in float32.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel, stride : int
        Pixels; ``kernel // 2`` rows and columns of zeros are padded.
    groups : int
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=kernel // 2,
            groups=groups,
            bias=False,
            weight_quant=Int8WeightPerTensorFixedPoint,
        )

    def forward(self, input: Tensor) -> Tensor:
        """``[B, in, H, W]`` to ``[B, out, OH, OW]``."""
        return plain(super().forward(input))


class IntegerClassifier(nn.Module):
    """``first C channels -> mean over the map -> quantizer -> linear layer with weights of 8 bits``.

    Parameters
    ----------
    channels : int
        Channels that count, see `Classifier`.
    classes : int
    bits : int
        Of the quantizer, whose range is -16..16.
    wide : bool
        The integers that come are wide: another such quantizer in front of the mean keeps its sums exact.
    """

    def __init__(self, channels: int, classes: int, *, bits: int = 8, wide: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.narrow: nn.Module = StreamQuantizer(bits, SUM_LIMIT) if wide else nn.Identity()
        self.quant = StreamQuantizer(bits, SUM_LIMIT)
        self.linear = qnn.QuantLinear(channels, classes, bias=False, weight_quant=Int8WeightPerTensorFixedPoint)

    @property
    def in_features(self) -> int:
        """Inputs of the linear layer."""
        return self.channels

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C*tau*g, H, W]`` to scores ``[B, classes]``."""
        return plain(self.linear(self.quant(self.narrow(x[:, : self.channels]).mean((2, 3)))))
