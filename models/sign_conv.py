"""A sign and a binary convolution with one or several experts, on a real-valued tensor."""

from torch import Tensor, nn

from .binary import BinaryConv2d
from .expert import BlockOutput, ExpertConv2d
from .gate import GateSource
from .quant import BinaryActivation

__all__ = ["SignConv2d"]


class SignConv2d(nn.Module):
    """``sign -> convolution`` with zero padding that keeps the size, for networks with a real-valued residual stream.

    Parameters
    ----------
    in_channels, maps : int
        Channels of the input and maps of the output.
    kernel : int
        Side of the square kernel, pixels; odd.
    stride : int
        Pixels.
    groups : int
        Of the convolution.
    experts : int
        Filter banks; with 1 there is no gate, and the layer is a `BinaryConv2d`.
    gate : {"pre_sign", "sign"}
        What the gate reads: the input before the sign as in the paper, or its bits.
    whiten : bool
        The gate's logits, see `ExpertGate`.

    Raises
    ------
    ValueError
        If the groups don't divide the channels.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), eq. 2. Both papers pad with zeros after the sign.
    """

    def __init__(
        self,
        in_channels: int,
        maps: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        groups: int = 1,
        experts: int = 1,
        gate: GateSource = "pre_sign",
        whiten: bool = False,
    ) -> None:
        super().__init__()
        self.sign = BinaryActivation()
        if experts == 1:
            self.conv: BinaryConv2d | ExpertConv2d = BinaryConv2d(
                in_channels, maps, kernel, stride=stride, padding=kernel // 2, groups=groups
            )
        else:
            self.conv = ExpertConv2d(
                in_channels,
                maps,
                kernel,
                experts=experts,
                stride=stride,
                padding=kernel // 2,
                pad_mode="zero",
                groups=groups,
                gate_source=gate,
                whiten=whiten,
            )

    def forward(self, x: Tensor, integers: Tensor | None = None) -> Tensor:
        """Real ``[B, C, H, W]`` to accumulators ``[B, maps, OH, OW]``.

        ``integers`` is what ``x`` was made of, for a frozen gate that reads it (default: ``x``).
        """
        bits = self.sign(x)
        if not isinstance(self.conv, ExpertConv2d):
            return self.conv(bits)
        return self.conv(BlockOutput(bits, x, x if integers is None else integers))
