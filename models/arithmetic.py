"""Real arithmetic between the binary layers: factors, biases and mixtures of channels, sums, squeeze-and-excitation."""

import torch
from torch import Tensor, nn

from .shrink import tile_channels

__all__ = [
    "ELEMENTWISE",
    "ChannelBias",
    "ChannelMix",
    "ChannelScale",
    "Product",
    "RPReLU",
    "RisingPReLU",
    "SqueezeExcite",
    "Sum",
]


class ChannelScale(nn.Module):
    """A learned factor for each channel, which starts at 1: alpha of a binary convolution.

    Parameters
    ----------
    channels : int

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), eq. 1. All experts share it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Scale ``[B, C, H, W]``."""
        return x * self.weight


class ChannelBias(nn.Module):
    """A learned offset for each channel, which starts at 0: before a sign it moves the threshold.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Shift ``[B, C, H, W]``."""
        return x + self.bias


class ChannelMix(nn.Module):
    """``s*a + (1-s)*b`` with a learned ``s`` in 0..1 for each channel, which starts at 1/2.

    Parameters
    ----------
    channels : int

    Notes
    -----
    The share is a sigmoid, so it stays in 0..1 without clamping, in training and in evaluation alike.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Mix two tensors ``[B, C, H, W]``."""
        return torch.lerp(b, a, torch.sigmoid(self.logit))


class Sum(nn.Module):
    """The sum of two tensors, as a module so that it is counted."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Add two tensors of one shape."""
        return a + b


class Product(nn.Module):
    """The product of two tensors, as a module so that it is counted."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Multiply two tensors; the second may be ``[B, C, 1, 1]``."""
        return a * b


class RPReLU(nn.Sequential):
    """``PReLU(x + a) + b`` with all three learned for each channel (ReActNet).

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__(ChannelBias(channels), nn.PReLU(channels), ChannelBias(channels))


class RisingPReLU(nn.PReLU):
    """A PReLU whose slopes `clip_latent_weights` keeps at 0 or above, so that a quantizer behind it has thresholds."""


class SqueezeExcite(nn.Module):
    """A factor in 0..1 for each map, from the spatial means of a tensor.

    ``sigmoid(tile(W2 @ relu(tile(W1 @ mean(x)))))``

    Parameters
    ----------
    channels : int
        Of the tensor that is averaged.
    hidden, maps : int
        Outputs of the two layers, before they are copied.
    repeat : int
        Copies of both (Expanding-and-Shrinking).
    bias : bool
        Whether the two layers have biases.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021) takes it from Real-to-Binary networks, without biases. BNext has
    biases; under Expanding-and-Shrinking both layers are shrunk and copied.
    """

    def __init__(self, channels: int, hidden: int, maps: int, *, repeat: int = 1, bias: bool = False) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(
                f"the {channels} channels are too few for squeeze-and-excitation; take more, or do without"
            )
        self.repeat = repeat
        self.squeeze = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.relu = nn.ReLU()
        self.excite = nn.Conv2d(hidden * repeat, maps, 1, bias=bias)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Factors ``[B, maps*repeat, 1, 1]`` from ``[B, channels, H, W]``."""
        hidden = self.relu(tile_channels(self.squeeze(x.mean((2, 3), keepdim=True)), self.repeat))
        return self.sigmoid(tile_channels(self.excite(hidden), self.repeat))


#: Modules that compute one thing for each element of their output.
ELEMENTWISE = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.PReLU,
    nn.ReLU,
    nn.Sigmoid,
    ChannelScale,
    ChannelBias,
    ChannelMix,
    Sum,
    Product,
)
