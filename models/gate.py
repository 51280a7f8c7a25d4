"""The gate of an expert layer: a linear classifier on spatial means, exact in integers once frozen."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .whitening import Whitening, products, simplex

__all__ = ["ExpertGate", "GateSource", "integer_experts", "spatial_mean", "winner_take_all"]

GateSource = Literal["sign", "pre_sign"]

# Integers up to this are exact in float64, in which they are summed.
_FLOAT64_EXACT = 2**53


def winner_take_all(z: Tensor) -> Tensor:
    """One-hot choice of the largest logit, with the gradient of a softmax.

    Parameters
    ----------
    z : Tensor
        Logits ``[B, N]``.

    Returns
    -------
    Tensor
        ``[B, N]``, exactly one 1 in a row; among equal logits the lowest index wins.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), eq. 3 (forward) and eq. 4 (backward, evaluated
    with the softmax values: with the one-hot values the Jacobian would be zero).
    """
    p = torch.softmax(z, dim=1)
    # p - p.detach() is exactly 0, so the sum is exactly one-hot.
    return F.one_hot(z.argmax(1), z.shape[1]).to(p.dtype) + (p - p.detach())


def integer_experts(g: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Choose the expert of each sample with integer arithmetic only.

    Parameters
    ----------
    g : Tensor
        Integer gate source ``[B, C, H, W]``.
    weight, bias : Tensor
        Integers ``[N, C]`` and ``[N]``.

    Returns
    -------
    Tensor
        int64 ``[B]``: the lowest index with the largest ``weight @ sum(g) + bias``.
    """
    sums = g.double().sum((2, 3))
    return (sums @ weight.double().t() + bias.double()).argmax(1)


def spatial_mean(x: Tensor) -> Tensor:
    """``[B, C, H, W]`` to its mean over the map ``[B, C]``, in 32 bits also under automatic mixed precision."""
    return x.mean((2, 3), dtype=torch.float32)


class ExpertGate(nn.Module):
    """Chooses one of N experts for each sample.

    Parameters
    ----------
    experts : int
        Number of experts ``N``.
    channels : int
        Channels of the tensor that enters the expert layer.
    source : {"pre_sign", "sign"}
        What the gate reads. ``pre_sign`` is the paper's choice: the tensor after the batch
        normalization and before the sign of the preceding block. ``sign`` reads the bits.
    repeat : int
        Copies that the preceding block made of each map (``pre_sign`` only).
    bits : int
        Width of the frozen integer weights, 2 to 16.
    whiten : bool
        Bring the differences between the logits to mean 0 and covariance 1 over the batch, see `Whitening`; the frozen
        gate takes it up. Without it the logits come to lie on a line in training: images are told apart in two ways
        only, and which of several experts with equal logits they get is left to chance (docs/results.md).

    Raises
    ------
    ValueError
        For an unknown source, or counts that don't fit each other.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), eq. 5: ``z = mean_hw(x) @ omega``, here with
    a bias as in the authors' code. Whitened logits are ours, and have no trained bias.
    """

    weight_int: Tensor
    bias_int: Tensor
    frozen_flag: Tensor
    shift: Tensor
    corners: Tensor

    def __init__(
        self,
        experts: int,
        channels: int,
        *,
        source: GateSource = "pre_sign",
        repeat: int = 1,
        bits: int = 8,
        whiten: bool = False,
    ) -> None:
        super().__init__()
        if source not in ("sign", "pre_sign"):
            raise ValueError(f"gate source {source!r} is unknown; use 'pre_sign' or 'sign'")
        if experts < 1:
            raise ValueError(f"experts={experts} must be at least 1")
        if source == "sign":
            repeat = 1
        if repeat < 1 or channels % repeat:
            raise ValueError(f"repeat={repeat} must divide the {channels} channels the gate reads")
        if not 2 <= bits <= 16:
            raise ValueError(f"bits={bits} for the gate's weights must lie between 2 and 16")
        self.experts, self.channels, self.source = experts, channels, source
        self.repeat, self.bits = repeat, bits
        whiten = whiten and experts > 1  # one expert is never chosen among others
        self.linear = nn.Linear(channels, experts, bias=not whiten)
        self.whitening = Whitening(experts - 1) if whiten else None
        if whiten:
            self.register_buffer("shift", torch.zeros(experts))
            self.register_buffer("corners", simplex(experts), persistent=False)
        self.single = False  # training's first stage: expert 0 for everyone
        self.learns = True  # whether the weights get gradients
        self.probabilities: Tensor | None = None
        self.last_index: Tensor | None = None
        self.register_buffer("weight_int", torch.zeros(experts, channels // repeat))
        self.register_buffer("bias_int", torch.zeros(experts))
        self.register_buffer("frozen_flag", torch.zeros((), dtype=torch.bool))

    @property
    def frozen(self) -> bool:
        """Whether the gate computes with its integer weights."""
        return not self.frozen_flag.is_meta and bool(self.frozen_flag)

    def logits(self, means: Tensor) -> Tensor:
        """Real-valued logits ``[B, N]`` of the gate's source, averaged over the map: ``[B, C]``."""
        if self.whitening is None:
            bias = self.linear.bias
            return products(means, self._weight()) + (bias if self.learns else bias.detach())
        return products(self.whitening(products(means, self._differences())), self.corners) + self.shift

    def _weight(self) -> Tensor:
        weight = self.linear.weight
        return weight if self.learns else weight.detach()

    def _differences(self) -> Tensor:
        """Weights ``[N-1, C]`` of what differs between the logits; what they share changes no choice."""
        return products(self.corners.t(), self._weight().t())

    def _affine(self) -> tuple[Tensor, Tensor]:
        """Weights ``[N, C]`` and biases ``[N]`` of the logits in evaluation."""
        if self.whitening is None:
            return self.linear.weight, self.linear.bias
        matrix, offset = self.whitening.affine()
        matrix = products(self.corners, matrix.t())
        return products(matrix, self._differences().t()), products(self.corners, offset[None])[:, 0] + self.shift

    def forward(self, means: Tensor) -> Tensor:
        """One-hot choice ``[B, N]`` with the softmax gradient, from the source's means ``[B, C]`` (not frozen)."""
        if self.frozen:
            raise RuntimeError("this gate is frozen: train an unfrozen network and freeze it again")
        if self.single:
            choice = means.new_zeros(means.shape[0], self.experts)
            choice[:, 0] = 1.0
            self.probabilities = None
        else:
            z = self.logits(means)
            choice = winner_take_all(z)
            self.probabilities = torch.softmax(z, dim=1)
        self.last_index = choice.detach().argmax(1)
        return choice

    @torch.no_grad()
    def normalize(self, means: Tensor) -> None:
        """Shift and scale the logits to mean 0 and deviation 1 over samples, so that no expert starts unused.

        Parameters
        ----------
        means : Tensor
            Spatial means of the gate's source ``[samples, C]``.
        """
        if self.whitening is not None:
            self.whitening.measure(products(means, self._differences()))
            return
        z = self.logits(means)
        gain = 1.0 / z.std(0).clamp_min(1e-6)
        self.linear.weight.mul_(gain[:, None])
        self.linear.bias.sub_(z.mean(0)).mul_(gain)

    @torch.no_grad()
    def even_out(self, share: Tensor, rate: float) -> None:
        """Move the bias against experts that get more than their fair share of the samples.

        Parameters
        ----------
        share : Tensor
            Of the samples that each expert got ``[N]``, in sum 1.
        rate : float
            By how much the bias of an expert with twice its fair share falls.
        """
        bias = self.linear.bias if self.whitening is None else self.shift
        bias.sub_(rate * (self.experts * share - 1).to(bias))

    @torch.no_grad()
    def freeze(
        self,
        positions: int,
        *,
        scale: Tensor | None = None,
        offset: Tensor | None = None,
        mean: Tensor | None = None,
        largest: int = 1,
    ) -> None:
        """Round the gate once to integers that act on integer spatial sums.

        With ``S[a]`` the sum over all positions, ``z = omega @ (scale*tile(S)/positions + offset) + b``
        becomes ``weight_int @ S + bias_int``, up to one positive factor and one number common to all
        experts, neither of which can change the argmax.

        Parameters
        ----------
        positions : int
            ``H*W`` of the tensor the gate sums.
        scale, offset : Tensor, optional
            Affine ``[R*m]`` of the preceding batch normalization; needed for ``pre_sign``.
        mean : Tensor, optional
            What the summed tensor's maps ``[m]`` are on average, where it is known: the bias takes up what rounding the
            weights changes there, which is much where the mean is large beside the differences between images.
        largest : int
            Largest magnitude of one element of the summed tensor.

        Raises
        ------
        ValueError
            If the affine is missing, a value isn't finite, or the integers would leave the range in
            which floats are exact.
        """
        w, b = (x.double() for x in self._affine())
        if self.source == "pre_sign":
            if scale is None or offset is None:
                raise ValueError("a gate that reads 'pre_sign' needs scale and offset of the batch norm")
            b = b + w @ offset.double()
            w = (w * scale.double()).reshape(self.experts, self.repeat, -1).sum(1)
        # What all experts share can't change the argmax; without it the rounding is finer.
        w, b = w - w.mean(0), (b - b.mean()) * positions
        if not (torch.isfinite(w).all() and torch.isfinite(b).all()):
            raise ValueError("the gate's weights aren't finite; the training has diverged")
        peak = float(w.abs().max()) or float(b.abs().max())
        step = (2 ** (self.bits - 1) - 1) / peak if peak > 0 else 1.0
        weight = torch.round(w * step)
        lost = 0.0 if mean is None else (w * step - weight) @ mean.double() * positions
        # Beyond 2**24 the bias keeps the 24 leading bits that float32 holds: it is an integer still.
        bias = torch.round(b * step + lost).float().double()
        worst = float((weight.abs().sum(1) * (positions * largest) + bias.abs()).max())
        if worst >= _FLOAT64_EXACT:
            raise ValueError(
                f"the gate's integers don't stay exact (logits up to {worst:.3g}); lower its bits, now {self.bits}"
            )
        self.weight_int.copy_(weight)
        self.bias_int.copy_(bias)
        self.frozen_flag.fill_(True)

    def index(self, g: Tensor) -> Tensor:
        """Frozen choice ``[B]`` from the integer gate source ``[B, Cg, H, W]``."""
        if not self.frozen:
            raise RuntimeError("this gate isn't frozen yet: call freeze() on the network")
        return integer_experts(g, self.weight_int, self.bias_int)
