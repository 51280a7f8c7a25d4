"""Expanding-and-Shrinking: a convolution makes few maps, which are copied in tile order."""

import torch
from torch import Tensor, nn

__all__ = ["ExpandShrink", "tile_channels"]


class _Tile(torch.autograd.Function):
    """``x.repeat(1, R, 1, 1)`` that exports as one ``Tile`` node with constant repeats.

    The exporter turns ``repeat`` itself into Expand + Tile, and the Expand has no hardware.
    """

    @staticmethod
    def forward(ctx, x: Tensor, repeats: int) -> Tensor:
        ctx.repeats = repeats
        return x.repeat(1, repeats, 1, 1)

    @staticmethod
    def backward(ctx, *grads: Tensor):
        (grad,) = grads
        b, c, h, w = grad.shape
        return grad.reshape(b, ctx.repeats, c // ctx.repeats, h, w).sum(1), None

    @staticmethod
    def symbolic(g, x, repeats: int):
        counts = g.op("Constant", value_t=torch.tensor([1, repeats, 1, 1], dtype=torch.int64))
        sizes = x.type().sizes()
        y = g.op("Tile", x, counts)
        if sizes is not None and None not in sizes:
            y.setType(x.type().with_sizes([sizes[0], sizes[1] * repeats, *sizes[2:]]))
        return y


def tile_channels(x: Tensor, repeats: int) -> Tensor:
    """Copy all channels ``repeats`` times: copy ``r`` of map ``a`` becomes channel ``r*m + a``.

    Parameters
    ----------
    x : Tensor
        ``[B, m, H, W]``.
    repeats : int
        Copies, at least 1.

    Returns
    -------
    Tensor
        ``[B, repeats*m, H, W]``; the tensor itself when ``repeats`` is 1.
    """
    return x if repeats == 1 else _Tile.apply(x, repeats)


class ExpandShrink(nn.Module):
    """Shape arithmetic and copying of an Expanding-and-Shrinking layer with groups (ES+G).

    Parameters
    ----------
    channels : int
        Output channels ``co`` of the layer before the transform.
    tau : int
        Expansion.
    groups : int
        Groups ``g`` added to the convolution.
    first : bool
        The first layer isn't shrunk: it makes all ``co`` maps and copies them ``tau*g`` times.

    Attributes
    ----------
    maps : int
        Maps ``m`` that the convolution has to make: ``co/tau``, first layer ``co``.
    repeat : int
        Copies ``R`` of each map: ``tau**2 * g``, first layer ``tau*g``.
    out_channels : int
        ``m*R = co*tau*g``.
    conv_groups : int
        Groups of the convolution in front: ``g``, first layer 1.

    Raises
    ------
    ValueError
        If ``tau*g`` doesn't divide ``channels``.

    Notes
    -----
    Expanding-and-Shrinking Binary Neural Networks (2025), figure 2. The copies stay in tile order,
    not interleaved, so that every group of the next convolution sees all ``m`` maps and no channel
    shuffle is needed. The binary products are as many as without the transform.
    """

    def __init__(self, channels: int, *, tau: int = 1, groups: int = 1, first: bool = False) -> None:
        super().__init__()
        if channels < 1 or tau < 1 or groups < 1:
            raise ValueError(f"channels={channels}, tau={tau} and groups={groups} must be at least 1")
        if not first and channels % (tau * groups):
            raise ValueError(
                f"tau*groups={tau}*{groups} must divide the {channels} channels of the layer; "
                f"take {-(-channels // (tau * groups)) * tau * groups} channels, or a smaller tau"
            )
        self.maps = channels if first else channels // tau
        self.repeat = tau * groups if first else tau * tau * groups
        self.out_channels = self.maps * self.repeat
        self.conv_groups = 1 if first else groups

    def forward(self, x: Tensor) -> Tensor:
        """Copy ``[B, m, H, W]`` to ``[B, m*R, H, W]``; a wrong channel count raises ValueError."""
        if x.shape[1] != self.maps:
            raise ValueError(f"expected {self.maps} maps to copy, got {x.shape[1]}")
        return tile_channels(x, self.repeat)
