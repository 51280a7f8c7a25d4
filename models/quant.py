"""Quantizers with a scale of exactly 1.0: signs for weights and activations, integers for the input."""

import warnings

import torch
from torch import Tensor, nn

with warnings.catch_warnings():
    # Brevitas names optional packages that it would like to have.
    warnings.simplefilter("ignore")
    import brevitas.nn as qnn
    from brevitas.function.ops_ste import binary_sign_ste
    from brevitas.quant.binary import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst
    from brevitas.quant.fixed_point import Uint8ActPerTensorFixedPoint

__all__ = [
    "BinaryActivation",
    "BipolarWeight",
    "InputQuantizer",
    "binarize",
    "clip_latent_weights",
    "plain",
]


class BipolarWeight(SignedBinaryWeightPerTensorConst):
    """Weights in {-1, +1} with scale 1.0, straight-through gradient, latent weights clipped to [-1, 1].

    The Brevitas default scale is 0.1, which no later step could fold away.
    """

    scaling_const = 1.0


class _BipolarAct(SignedBinaryActPerTensorConst):
    min_val = -1.0
    max_val = 1.0


class _Uint8Input(Uint8ActPerTensorFixedPoint):
    scaling_impl_type = "const"
    scaling_init = 255.0
    restrict_scaling_type = "fp"


def plain(value) -> Tensor:
    """The plain tensor behind what a Brevitas quantizer returns."""
    return value if isinstance(value, Tensor) else value.value


def binarize(x: Tensor) -> Tensor:
    """Sign with ``sign(0) = +1`` and a straight-through gradient.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        The same shape, values in {-1, +1}.
    """
    return binary_sign_ste(x)


class BinaryActivation(nn.Module):
    """Sign activation: ``+1`` where ``x >= 0``, else ``-1``; exported as one ``BipolarQuant`` node.

    The gradient passes where ``-1 <= x <= 1`` (clamped straight-through estimator).

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), eq. 1. ``torch.sign`` gives 0 at 0, which one
    bit cannot say; integer accumulators do reach 0, so the difference is real.
    """

    def __init__(self) -> None:
        super().__init__()
        self.quant = qnn.QuantIdentity(act_quant=_BipolarAct)

    def forward(self, x: Tensor) -> Tensor:
        """Binarize a tensor of any shape."""
        return plain(self.quant(x))


class InputQuantizer(nn.Module):
    """Rounds and clips the network's input to the integers 0..255, with scale 1.0.

    The network's input IS the pixel, not pixel/255, so that every accumulator behind it is an
    exact integer. Exported as one 8-bit unsigned ``Quant`` node.
    """

    def __init__(self) -> None:
        super().__init__()
        self.quant = qnn.QuantIdentity(act_quant=_Uint8Input)

    def forward(self, x: Tensor) -> Tensor:
        """Quantize float pixels of any shape to 0..255 (still a float tensor)."""
        return plain(self.quant(x))


@torch.no_grad()
def clip_latent_weights(model: nn.Module) -> None:
    """Clip the real-valued weights behind every binary layer to [-1, 1]; call it after each optimizer step.

    A latent weight far outside would need many steps before its sign could change.
    """
    for module in model.modules():
        if isinstance(module, (qnn.QuantConv2d, qnn.QuantLinear)):
            module.weight.clamp_(-1.0, 1.0)
