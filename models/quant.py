"""Quantizers with a scale of exactly 1.0: signs for weights and activations, integers for the input."""

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .arithmetic import RisingPReLU
from .surrogate import SURROGATES, Surrogate, surrogate_sign

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
    "use_real_activations",
    "use_surrogate",
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

    In training the gradient is that of `surrogate`, a name of `surrogate_sign`. With `real` the activation is the clamp
    to -1..1, whose derivative ``clip`` is.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), eq. 1. ``torch.sign`` gives 0 at 0, which one
    bit cannot say; integer accumulators do reach 0, so the difference is real.
    """

    def __init__(self) -> None:
        super().__init__()
        self.quant = qnn.QuantIdentity(act_quant=_BipolarAct)
        self.surrogate: Surrogate = "clip"
        self.real = False

    def forward(self, x: Tensor) -> Tensor:
        """Binarize a tensor of any shape."""
        if self.real:
            return F.hardtanh(x)
        return surrogate_sign(x, self.surrogate) if self.training else plain(self.quant(x))


def use_surrogate(model: nn.Module, surrogate: Surrogate) -> None:
    """Choose the gradient of all signs of a network; an unknown name raises ValueError. Not part of a checkpoint."""
    if surrogate not in SURROGATES:
        raise ValueError(f"surrogate {surrogate!r} is unknown; use one of {', '.join(SURROGATES)}")
    for layer in model.modules():
        if isinstance(layer, BinaryActivation):
            layer.surrogate = surrogate


def use_real_activations(model: nn.Module, real: bool) -> None:
    """Let all signs of a network clamp to -1..1 instead, or be signs again. Not part of a checkpoint.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), appendix A.5: the network with real weights and activations is
    the first teacher.
    """
    for layer in model.modules():
        if isinstance(layer, BinaryActivation):
            layer.real = real


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
    """Clip the real-valued weights behind every quantized layer to [-1, 1]; call it after each optimizer step.

    A latent weight far outside would need many steps before its sign could change. The slopes of every `RisingPReLU`
    are kept at 0 or above.
    """
    for module in model.modules():
        if isinstance(module, (qnn.QuantConv2d, qnn.QuantLinear)):
            module.weight.clamp_(-1.0, 1.0)
        elif isinstance(module, RisingPReLU):
            module.weight.clamp_(min=0.0)
