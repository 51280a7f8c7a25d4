"""Whitening: features of deviation 1 that don't correlate."""

import torch
from torch import Tensor, nn

__all__ = ["Whitening", "products", "simplex"]

#: Of the mean variance: added to each, so that what is left of features on one line isn't blown up to full size.
RIDGE = 1e-3


def products(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b.T``, as sums of products, which automatic mixed precision leaves in 32 bits: half of them make ties."""
    return (a.float()[:, None] * b).sum(2)


def simplex(corners: int) -> Tensor:
    """Corners of a regular simplex around 0, ``[corners, corners - 1]``, with columns of length 1 at right angles."""
    # a Helmert matrix: column k sets corner k + 1 against the mean of those before it
    rows = torch.arange(corners, dtype=torch.float64)[:, None]
    columns = torch.arange(1, corners, dtype=torch.float64)
    found = (rows < columns).double() - columns * (rows == columns)
    return (found / torch.sqrt(columns * (columns + 1))).float()


class Whitening(nn.Module):
    """Brings features to mean 0 and covariance 1 over a batch, in evaluation by running statistics.

    Parameters
    ----------
    features : int
    momentum : float
        Of the running statistics, as in torch's batch normalization.

    Notes
    -----
    The idea is that of Decorrelated Batch Normalization (Huang et al., CVPR 2018), here by the inverse of the
    covariance's Cholesky factor. The gradient takes the statistics in, so nothing is learned that they undo.
    """

    running_mean: Tensor
    running_covariance: Tensor

    def __init__(self, features: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_covariance", torch.eye(features))

    def forward(self, x: Tensor) -> Tensor:
        """Whiten ``[B, features]``; a batch of one sample, which has no deviation, by the running statistics."""
        if not self.training or len(x) == 1:
            matrix, offset = self.affine()
            return products(x, matrix) + offset
        mean, covariance = self._statistics(x)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_covariance.lerp_(covariance, self.momentum)
        return torch.linalg.solve_triangular(self._factor(covariance), (x - mean).t(), upper=False).t()

    def affine(self) -> tuple[Tensor, Tensor]:
        """Matrix ``[features, features]`` and offset ``[features]`` of the evaluation."""
        factor = self._factor(self.running_covariance)
        matrix = torch.linalg.solve_triangular(factor, torch.eye(len(factor), device=factor.device), upper=False)
        return matrix, -products(matrix, self.running_mean[None])[:, 0]

    @torch.no_grad()
    def measure(self, x: Tensor) -> None:
        """Take the statistics of these samples ``[samples, features]``."""
        for kept, seen in zip((self.running_mean, self.running_covariance), self._statistics(x), strict=True):
            kept.copy_(seen)

    @staticmethod
    def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean(0)
        centered = (x - mean).t()
        return mean, products(centered, centered) / len(x)

    @staticmethod
    def _factor(covariance: Tensor) -> Tensor:
        ridge = RIDGE * covariance.diagonal().mean() + 1e-12
        # "ex": what isn't finite passes as such, to be told of as a training that has diverged
        return torch.linalg.cholesky_ex(covariance + ridge * torch.eye(len(covariance), device=covariance.device)).L
