"""Binary convolution and linear layers: weights in {-1, +1}, integer accumulators, no scale, no bias."""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .quant import BipolarWeight, plain, qnn

__all__ = [
    "PAD_VALUES",
    "BinaryConv2d",
    "BinaryLinear",
    "BinaryWeights",
    "PadMode",
    "check_groups",
    "use_real_weights",
]

PadMode = Literal["zero", "minus_one", "none"]
PAD_VALUES: dict[str, float] = {"zero": 0.0, "minus_one": -1.0, "none": 0.0}


def check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    """Raise ValueError unless ``groups`` divides both channel counts."""
    if groups < 1 or in_channels % groups or out_channels % groups:
        raise ValueError(f"groups={groups} must divide the {in_channels} input and the {out_channels} output channels")


def check_padding(padding: int, pad_mode: str) -> None:
    """Raise ValueError for an unknown padding mode or one that contradicts the amount."""
    if pad_mode not in PAD_VALUES:
        raise ValueError(f"pad_mode={pad_mode!r} is unknown; use one of {', '.join(PAD_VALUES)}")
    if padding < 0 or (pad_mode == "none" and padding):
        raise ValueError(f"padding={padding} does not go with pad_mode={pad_mode!r}")


class _PadMinusOne(torch.autograd.Function):
    """Constant padding that exports as one ``Pad`` node of known shape."""

    @staticmethod
    def forward(ctx, x: Tensor, amount: int) -> Tensor:
        ctx.amount = amount
        return F.pad(x, (amount,) * 4, value=-1.0)

    @staticmethod
    def backward(ctx, *grads: Tensor):
        return F.pad(grads[0], (-ctx.amount,) * 4), None

    @staticmethod
    def symbolic(g, x, amount: int):
        pads = g.op("Constant", value_t=torch.tensor([0, 0, amount, amount] * 2, dtype=torch.int64))
        y = g.op("Pad", x, pads, g.op("Constant", value_t=torch.tensor(-1.0)), mode_s="constant")
        sizes = x.type().sizes()
        if sizes is not None and None not in sizes:
            y.setType(x.type().with_sizes([*sizes[:2], *(n + 2 * amount for n in sizes[2:])]))
        return y


class BinaryWeights:
    """What Brevitas layers with binary weights share."""

    weight: Tensor
    quant_weight: Callable[[], Any]
    #: Multiply with the real weights instead of their signs, see `use_real_weights`.
    real_weights: bool = False

    @property
    def fan_in(self) -> int:
        """Products summed into one accumulator."""
        return self.weight[0].numel()

    def binary_weight(self) -> Tensor:
        """The weights in {-1, +1}, in the shape of ``weight`` (an expert layer's banks one behind the other)."""
        return plain(self.quant_weight())

    def used_weight(self) -> Tensor:
        """What the layer multiplies with: the binary weights, or the real ones while it is told to."""
        return self.weight if self.real_weights else self.binary_weight()


def use_real_weights(model: nn.Module, real: bool) -> None:
    """Let all binary layers multiply with their real weights, or with their signs again.

    Parameters
    ----------
    model : nn.Module
    real : bool

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021) trains binary activations with real weights first (stage I) and
    binarizes the weights then (stage II). A checkpoint doesn't hold this switch: a network that is read has signs.
    """
    for layer in model.modules():
        if isinstance(layer, BinaryWeights):
            layer.real_weights = real


class BinaryConv2d(BinaryWeights, qnn.QuantConv2d):
    """2-D convolution with weights in {-1, +1}.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and maps of the output.
    kernel_size : int
        Side of the square kernel, pixels.
    stride : int
        Step, pixels.
    padding : int
        Border, pixels on each side.
    pad_mode : {"zero", "minus_one", "none"}
        ``zero`` adds zeros AFTER the sign: border taps count nothing and the input of the
        multiplication becomes ternary. ``minus_one`` adds the bit 0.
    groups : int
        Contiguous channel slices that are convolved apart from each other.

    Raises
    ------
    ValueError
        If the groups don't divide the channels, or padding and mode contradict each other.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), eq. 1, without the scale alpha: a batch
    normalization and a sign follow, which absorb it. The input may be bits {-1, +1} or, in the
    first layer, integers.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        padding: int = 0,
        pad_mode: PadMode = "zero",
        groups: int = 1,
    ) -> None:
        check_groups(in_channels, out_channels, groups)
        check_padding(padding, pad_mode)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding if pad_mode == "zero" else 0,
            groups=groups,
            bias=False,
            weight_quant=BipolarWeight,
        )
        self.pad_mode, self.pad_amount = pad_mode, padding

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``[B, C, H, W]``; returns integer accumulators ``[B, out, OH, OW]``."""
        if self.pad_mode == "minus_one" and self.pad_amount:
            x = _PadMinusOne.apply(x, self.pad_amount)
        if self.real_weights:
            return F.conv2d(x, self.weight, None, self.stride, self.padding, self.dilation, self.groups)
        return plain(super().forward(x))


class BinaryLinear(BinaryWeights, qnn.QuantLinear):
    """Fully connected layer with weights in {-1, +1}: integer scores, no bias, no scale.

    Parameters
    ----------
    in_features, out_features : int
        Widths.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False, weight_quant=BipolarWeight)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, in]`` to integer scores ``[B, out]``."""
        if self.real_weights:
            return F.linear(x, self.weight)
        return plain(super().forward(x))
