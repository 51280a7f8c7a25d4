"""The binary block: convolution, copies, batch normalization, sign, pooling."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .binary import BinaryConv2d
from .expert import BlockOutput, ExpertConv2d
from .gate import spatial_mean
from .quant import BinaryActivation
from .shrink import tile_channels

__all__ = ["BinaryBlock", "batchnorm_affine", "snap_batchnorm"]


def _statistics(bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    if bn.running_mean is None or bn.running_var is None:
        raise ValueError("a batch normalization without running statistics can't become a threshold")
    return bn.running_mean, bn.running_var


def batchnorm_affine(bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale ``s`` and offset ``b`` (float64, ``[C]``) with ``bn(x) = s*x + b`` in eval mode."""
    mean, var = _statistics(bn)
    scale = bn.weight.double() / torch.sqrt(var.double() + bn.eps)
    return scale, bn.bias.double() - scale * mean.double()


@torch.no_grad()
def snap_batchnorm(bn: nn.BatchNorm2d, bound: int) -> None:
    """Move each channel's zero crossing to the middle between two integers, keeping every sign.

    The input is an integer in ``-bound..bound``, so batch normalization and sign are together one
    integer threshold. In the middle between two integers no rounding of any later tool can turn a bit.

    Parameters
    ----------
    bn : BatchNorm2d
        In eval mode semantics; changed in place to scale +-1 (running variance ``1 - eps``).
    bound : int
        Largest magnitude of an accumulator.

    Raises
    ------
    ValueError
        If a parameter isn't finite.
    """
    scale, offset = batchnorm_affine(bn)
    if not (torch.isfinite(scale).all() and torch.isfinite(offset).all()):
        raise ValueError("a batch normalization holds values that aren't finite; the training has diverged")
    mean, var = _statistics(bn)
    # Not -offset/scale: the offset is rounded already, and a crossing that is an integer would miss it.
    crossings = mean.double() - bn.bias.double() / scale
    middles, signs = [], []
    for s, b, crossing in zip(scale.tolist(), offset.tolist(), crossings.tolist(), strict=True):
        if s == 0:
            # A constant sign: a threshold that no accumulator, or every one, reaches.
            sign, middle = 1.0, (-bound - 0.5 if b >= 0 else bound + 0.5)
        elif s > 0:
            sign, middle = 1.0, min(max(crossing, -bound - 0.5), bound + 0.5)
            middle = math.ceil(middle) - 0.5  # +1 from ceil(-b/s) upwards
        else:
            sign, middle = -1.0, min(max(crossing, -bound - 0.5), bound + 0.5)
            middle = math.floor(middle) + 0.5  # +1 from floor(-b/s) downwards
        signs.append(sign)
        middles.append(middle)
    bn.weight.copy_(torch.tensor(signs))
    bn.bias.zero_()
    mean.copy_(torch.tensor(middles))
    var.fill_(1.0 - bn.eps)


class BinaryBlock(nn.Module):
    """``conv -> [tile] -> batch normalization -> sign -> [max pool on bits]``.

    Parameters
    ----------
    conv : BinaryConv2d or ExpertConv2d
        The convolution, with integer accumulators as output.
    repeat : int
        Copies ``R`` of each map before the batch normalization (Expanding-and-Shrinking).
    pool : int
        Side of the max pooling on bits, pixels; 0 or 1 for none.
    input_max : int
        Largest magnitude of one input element: 1 for bits, 255 for pixels.
    spread : float
        The copies' biases start evenly over ``-spread..spread``. With equal biases all copies
        would be equal until the next layer's weights pull them apart.

    Notes
    -----
    Expanding-and-Shrinking Binary Neural Networks (2025), figure 2 (c), without a shortcut.
    """

    def __init__(
        self,
        conv: BinaryConv2d | ExpertConv2d,
        *,
        repeat: int = 1,
        pool: int = 0,
        input_max: int = 1,
        spread: float = 1.0,
    ) -> None:
        super().__init__()
        if repeat < 1 or pool < 0 or input_max < 1:
            raise ValueError(f"repeat={repeat}, pool={pool} or input_max={input_max} is out of range")
        self.conv, self.repeat, self.pool_size = conv, repeat, pool
        maps = conv.maps if isinstance(conv, ExpertConv2d) else conv.out_channels
        self.out_channels = maps * repeat
        self.input_max = input_max
        self.bound = conv.fan_in * input_max
        self.bn = nn.BatchNorm2d(self.out_channels)
        if repeat > 1:
            with torch.no_grad():
                self.bn.bias.copy_(torch.linspace(-spread, spread, repeat).repeat_interleave(maps))
        self.sign = BinaryActivation()
        self.pool = nn.MaxPool2d(pool) if pool > 1 else nn.Identity()

    def forward(self, source: Tensor | BlockOutput) -> BlockOutput:
        """Run the block.

        Parameters
        ----------
        source : Tensor or BlockOutput
            ``[B, C, H, W]``, or what the preceding block handed over (an expert needs the latter).

        Returns
        -------
        BlockOutput
        """
        if isinstance(self.conv, ExpertConv2d):
            if not isinstance(source, BlockOutput):
                raise TypeError("an expert layer needs a binary block in front of it, whose output its gate reads")
            acc = self.conv(source)
        else:
            acc = self.conv(source.bits if isinstance(source, BlockOutput) else source)
        if self.training and self.repeat > 1 and self.pool_size > 1:
            return self._pooled_first(acc)
        pre = self.bn(tile_channels(acc, self.repeat))
        # The largest bit is the bit of the largest value: on fewer elements, and the gradient goes to that value.
        bits = self.sign(self.pool(pre)) if self.training else self.pool(self.sign(pre))
        return BlockOutput(bits, pre, acc)

    def _pooled_first(self, acc: Tensor) -> BlockOutput:
        """The same numbers as ``bn``, ``sign`` and ``pool``, normalized and pooled before the maps are copied.

        The copies of a map have the same mean and variance, and the largest value behind a scale is the scaled largest
        or, if that is negative, the scaled smallest one.
        """
        bn, r, m = self.bn, self.repeat, acc.shape[1]
        mean, var = (stat[:m].clone() for stat in _statistics(bn))
        normal = F.batch_norm(acc, mean, var, training=True, momentum=bn.momentum or 0.0, eps=bn.eps)
        with torch.no_grad():
            for kept, new in zip(_statistics(bn), (mean, var), strict=True):
                kept.copy_(new.repeat(r))
            if bn.num_batches_tracked is not None:
                bn.num_batches_tracked += 1
        scale, offset = (p.to(acc.dtype).reshape(r, m, 1, 1) for p in (bn.weight, bn.bias))

        def copies(x: Tensor) -> Tensor:
            return torch.addcmul(offset, x, scale).flatten(1, 2)

        ends = self.pool(normal)[:, None]
        if bool((bn.weight < 0).any()):
            ends = torch.where(scale < 0, -self.pool(-normal)[:, None], ends)
        middle = (spatial_mean(normal)[:, None] * bn.weight.reshape(r, m) + bn.bias.reshape(r, m)).flatten(1)
        return BlockOutput(self.sign(copies(ends)), lambda: copies(normal[:, None]), acc, middle)

    def freeze_gate(self, positions: int, preceding: "BinaryBlock") -> None:
        """Freeze the expert gate of this block, if it has one.

        Parameters
        ----------
        positions : int
            ``H*W`` of the tensor that the gate sums: the bits that enter for ``sign``, the
            unpooled accumulators of the preceding block for ``pre_sign``.
        preceding : BinaryBlock
            The block in front, its batch normalization not yet snapped.
        """
        if not isinstance(self.conv, ExpertConv2d):
            return
        if self.conv.gate.source == "sign":
            self.conv.gate.freeze(positions)
        else:
            scale, offset = batchnorm_affine(preceding.bn)
            mean = _statistics(preceding.bn)[0][: preceding.out_channels // preceding.repeat]
            self.conv.gate.freeze(positions, scale=scale, offset=offset, mean=mean, largest=preceding.bound)

    def snap(self) -> None:
        """Turn batch normalization and sign into exact thresholds, see `snap_batchnorm`."""
        snap_batchnorm(self.bn, self.bound)
