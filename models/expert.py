"""Expert Binary Convolution: a gate picks one of N binary filter banks for each sample."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .binary import PAD_VALUES, BinaryWeights, PadMode, check_groups, check_padding
from .gate import ExpertGate, GateSource, integer_experts, spatial_mean
from .quant import BipolarWeight, binarize, qnn

__all__ = ["EXPERT_DOMAIN", "BlockOutput", "ExpertConv2d"]

#: ONNX domain of the exported node: the importable module that executes it.
EXPERT_DOMAIN = "bitexpert.flow.custom_op"


class BlockOutput:
    """What a binary block hands to the next one.

    Parameters
    ----------
    bits : Tensor
        Signs ``[B, C, H, W]``, pooled where the block pools.
    pre : Tensor or callable
        The tensor before the sign ``[B, C, H', W']``, which a gate reads in training, or what computes it then.
    acc : Tensor
        Integer accumulators ``[B, m, H', W']``, which a frozen gate reads.
    pre_mean : Tensor, optional
        The mean of ``pre`` over the map ``[B, C]``, where it is known without ``pre``.
    """

    def __init__(
        self, bits: Tensor, pre: Tensor | Callable[[], Tensor], acc: Tensor, pre_mean: Tensor | None = None
    ) -> None:
        self.bits, self.acc, self._pre, self._pre_mean = bits, acc, pre, pre_mean

    @property
    def pre(self) -> Tensor:
        """The tensor before the sign ``[B, C, H', W']``."""
        if not isinstance(self._pre, Tensor):
            self._pre = self._pre()
        return self._pre

    @property
    def pre_mean(self) -> Tensor:
        """The mean of ``pre`` over the map ``[B, C]``."""
        return spatial_mean(self.pre) if self._pre_mean is None else self._pre_mean


class _Mixture(torch.autograd.Function):
    """``choice @ bank(weight)`` for one-hot rows, where ``bank`` are the signs or the real weights themselves.

    The gradient of the choice is that of mixing the banks: what the loss would change by, to first order, with another
    one. Signs pass gradients straight through. Each bank gets the gradients of the samples that chose it and, as far as
    ``share`` says, the mean over all banks of those of every sample.
    """

    @staticmethod
    def forward(ctx, choice: Tensor, weight: Tensor, real: bool, share: float) -> Tensor:
        bank = weight if real else binarize(weight)
        ctx.save_for_backward(choice, bank)
        ctx.share = share
        return choice @ bank

    @staticmethod
    def backward(ctx, *grads: Tensor):
        choice, bank = ctx.saved_tensors
        grad = grads[0].to(bank.dtype)  # half of it under automatic mixed precision
        learns = torch.lerp(choice, torch.full_like(choice, 1 / choice.shape[1]), ctx.share) if ctx.share else choice
        return grad @ bank.t(), learns.t() @ grad, None, None


class _ExpertConv(torch.autograd.Function):
    """The frozen layer as one function, so that it exports as one node. Inference only."""

    @staticmethod
    def forward(ctx, x, g, bank, gate_weight, gate_bias, geometry):
        experts, out_channels, groups, kernel, stride, pad, pad_value, _ = geometry
        index = integer_experts(g, gate_weight, gate_bias)
        x = F.pad(x, (pad,) * 4, value=pad_value) if pad else x
        banks = bank.reshape(experts, out_channels, *bank.shape[1:])
        side = [(n - kernel) // stride + 1 for n in x.shape[2:]]
        y = x.new_zeros(x.shape[0], out_channels, *side)
        for e in torch.unique(index).tolist():
            rows = index == e
            y[rows] = F.conv2d(x[rows], banks[e], stride=stride, groups=groups)
        return y

    @staticmethod
    def symbolic(g, x, source, bank, gate_weight, gate_bias, geometry):
        experts, out_channels, groups, kernel, stride, pad, pad_value, reads_bits = geometry
        y = g.op(
            f"{EXPERT_DOMAIN}::ExpertConv",
            x,
            # A gate on the bits reads x. qonnx renames only the first of two equal inputs of a
            # node, so x must not be listed twice.
            *([] if reads_bits else [source]),
            bank,
            gate_weight,
            gate_bias,
            n_experts_i=experts,
            out_channels_i=out_channels,
            group_i=groups,
            kernel_shape_i=[kernel, kernel],
            strides_i=[stride, stride],
            pads_i=[pad] * 4,
            pad_value_f=pad_value,
        )
        sizes = x.type().sizes()
        if sizes is not None and None not in sizes:
            side = [(n + 2 * pad - kernel) // stride + 1 for n in sizes[2:]]
            y.setType(x.type().with_sizes([sizes[0], out_channels, *side]))
        return y


class ExpertConv2d(BinaryWeights, qnn.QuantConv2d):
    """Convolution with N binary filter banks and a gate that picks one for each sample.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and maps of the output (of one expert).
    kernel_size : int
        Side of the square kernel, pixels.
    experts : int
        Number of banks ``N``.
    stride, padding : int
        Pixels.
    pad_mode : {"zero", "minus_one", "none"}
        As in `BinaryConv2d`.
    groups : int
        Contiguous channel slices that are convolved apart from each other.
    gate_source : {"pre_sign", "sign"}
        What the gate reads, see `ExpertGate`.
    repeat : int
        Copies that the preceding block made of each map (``pre_sign`` only).
    gate_bits : int
        Width of the frozen gate weights.
    whiten : bool
        The gate's logits, see `ExpertGate`.

    Raises
    ------
    ValueError
        If groups, channels, padding or gate settings contradict each other.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), eq. 2. The banks lie behind each other in
    ``weight``, shape ``[N*out, in / groups, k, k]``. The paper mixes the real weights with the one-hot choice and
    binarizes then, which gives the same outputs as binarizing first, as here. But the gate's gradient differs: that of
    real weights says little about the bits that would be multiplied, and experts learn less by it (docs/results.md).
    """

    #: How much experts learn from the samples of all, 0 to 1, see `_Mixture`. Not part of a checkpoint.
    share: float = 0.0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        experts: int = 4,
        stride: int = 1,
        padding: int = 0,
        pad_mode: PadMode = "minus_one",
        groups: int = 1,
        gate_source: GateSource = "pre_sign",
        repeat: int = 1,
        gate_bits: int = 8,
        whiten: bool = False,
    ) -> None:
        check_groups(in_channels, out_channels, groups)
        check_padding(padding, pad_mode)
        gate = ExpertGate(experts, in_channels, source=gate_source, repeat=repeat, bits=gate_bits, whiten=whiten)
        super().__init__(
            in_channels,
            out_channels * experts,
            kernel_size,
            stride=stride,
            groups=groups,
            bias=False,
            weight_quant=BipolarWeight,
        )
        self.gate = gate
        self.maps = out_channels
        self.pad_mode, self.pad_amount = pad_mode, padding

    @torch.no_grad()
    def copy_first_expert(self) -> None:
        """Give all experts the weights of expert 0 (the paper's second training step)."""
        banks = self.weight.view(self.gate.experts, self.maps, *self.weight.shape[1:])
        banks.copy_(banks[:1].clone().expand_as(banks))

    def gate_means(self, source: BlockOutput) -> Tensor:
        """Means over the map of what a gate in training reads ``[B, C]``."""
        return spatial_mean(source.bits) if self.gate.source == "sign" else source.pre_mean

    def forward(self, source: BlockOutput) -> Tensor:
        """Convolve what the preceding block hands over; returns accumulators ``[B, out, OH, OW]``."""
        if self.gate.frozen:
            if self.real_weights:
                raise RuntimeError("a frozen layer has binary weights; call use_real_weights(model, False)")
            if self.training:
                raise RuntimeError("this layer's gate is frozen; call eval(), or train an unfrozen network")
            g = source.bits if self.gate.source == "sign" else source.acc
            self.gate.last_index = self.gate.index(g)
            k, s = self.kernel_size[0], self.stride[0]
            pad_value = PAD_VALUES[self.pad_mode]
            reads_bits = self.gate.source == "sign"
            geometry = (self.gate.experts, self.maps, self.groups, k, s, self.pad_amount, pad_value, reads_bits)
            bank = self.binary_weight()
            return _ExpertConv.apply(source.bits, g, bank, self.gate.weight_int, self.gate.bias_int, geometry)
        choice = self.gate(self.gate_means(source))
        return self._first(source.bits) if self.gate.single else self.mixed(source.bits, choice)

    def _padded(self, x: Tensor) -> tuple[Tensor, int]:
        """The padded input, and what is left to the convolution, which pads with zeros itself."""
        if self.pad_mode == "zero" or not self.pad_amount:
            return x, self.pad_amount
        return F.pad(x, (self.pad_amount,) * 4, value=PAD_VALUES[self.pad_mode]), 0

    def _first(self, x: Tensor) -> Tensor:
        """Convolve all samples with the bank of expert 0."""
        bank = self.weight[: self.maps]
        weight = bank if self.real_weights else binarize(bank)
        x, padding = self._padded(x)
        return F.conv2d(x, weight, stride=self.stride, padding=padding, groups=self.groups)

    def mixed(self, x: Tensor, choice: Tensor) -> Tensor:
        """Convolve each sample with its own mixture of banks.

        Parameters
        ----------
        x : Tensor
            ``[B, C, H, W]``.
        choice : Tensor
            One-hot rows ``[B, N]``.

        Returns
        -------
        Tensor
            ``[B, out, OH, OW]``.
        """
        b, c = x.shape[:2]
        x, padding = self._padded(x)
        banks = self.weight.reshape(self.gate.experts, -1)
        weight = _Mixture.apply(choice, banks, self.real_weights, self.share)
        # One grouped convolution for the whole batch: every sample is a set of groups.
        y = F.conv2d(
            x.reshape(1, b * c, *x.shape[2:]),
            weight.reshape(b * self.maps, *self.weight.shape[1:]),
            stride=self.stride,
            padding=padding,
            groups=b * self.groups,
        )
        return y.reshape(b, self.maps, *y.shape[2:])
