"""Sign with the gradient of another function: the straight-through estimators."""

from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = ["SURROGATES", "Surrogate", "surrogate_sign"]

Surrogate = Literal["clip", "wide", "polynomial", "identity"]
SURROGATES: tuple[str, ...] = get_args(Surrogate)

# BNext passes gradients a little beyond the values that its latent weights may have.
_WIDE = 1.5


class _SurrogateSign(torch.autograd.Function):
    """A few passes over memory each way; the quantizer of Brevitas, which is exported, takes five times as many."""

    @staticmethod
    def forward(ctx, x: Tensor, surrogate: str) -> Tensor:
        ctx.surrogate = surrogate
        ctx.save_for_backward(x)
        # torch.sign gives 0 at 0; half a step up, it is +1
        return torch.sign(x).add_(0.5).sign_()

    @staticmethod
    def backward(ctx, *grads: Tensor):
        (x,) = ctx.saved_tensors
        (grad,) = grads
        if ctx.surrogate == "identity":
            return grad, None
        limit = _WIDE if ctx.surrogate == "wide" else 1.0
        # zero from the limits outwards
        passed = torch.ops.aten.hardtanh_backward(grad, x, -limit, limit)
        if ctx.surrogate == "polynomial":
            passed = passed.mul_(x.abs().mul_(-2.0).add_(2.0))
        return passed, None


def surrogate_sign(x: Tensor, surrogate: Surrogate = "clip") -> Tensor:
    """``+1`` where ``x >= 0``, else ``-1``, with a surrogate's gradient.

    Parameters
    ----------
    x : Tensor
        Any shape.
    surrogate : {"clip", "wide", "polynomial", "identity"}
        The derivative that stands in for the sign's: ``clip`` 1 where ``-1 < x < 1``, else 0 (both papers' layers);
        ``wide`` the same where ``-1.5 < x < 1.5`` (BNext); ``polynomial`` ``2 - 2|x|`` where ``-1 < x < 1``
        (Bi-Real-Net); ``identity`` 1 everywhere.

    Returns
    -------
    Tensor
        The same shape.
    """
    return _SurrogateSign.apply(x, surrogate)
