"""The ONNX node of an expert convolution. This module's import path is the node's domain."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import NodeProto
from onnx.helper import make_node
from qonnx.core.datatype import DataType
from qonnx.custom_op.base import CustomOp

__all__ = ["DOMAIN", "ExpertConv", "custom_op", "expert_conv", "expert_inputs", "experts"]

#: Domain of the node; qonnx imports the module of this name to execute it.
DOMAIN = "bitexpert.flow.custom_op"


def experts(g: NDArray, gw: NDArray, gb: NDArray) -> NDArray[np.int64]:
    """Choose the expert of each sample, in integers.

    Parameters
    ----------
    g : array
        Integer gate source ``[B, Cg, H, W]``.
    gw, gb : array
        Integer weights ``[N, Cg]`` and bias ``[N]``.

    Returns
    -------
    int64 array
        ``[B]``: the lowest index with the largest ``gw @ sum_hw(g) + gb``.

    Raises
    ------
    ValueError
        If a value isn't an integer or the channel counts differ.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), eq. 3 and eq. 5, with 1/(H*W) and the batch
    normalization folded into the integers.
    """
    sums, weight, bias = (np.asarray(a, dtype=np.float64) for a in (np.sum(g, (2, 3), np.float64), gw, gb))
    for name, a in (("gate source", sums), ("gate weight", weight), ("gate bias", bias)):
        if not np.array_equal(a, np.rint(a)):
            raise ValueError(f"the {name} of an expert convolution holds values that aren't integers")
    if weight.ndim != 2 or sums.shape[1] != weight.shape[1] or bias.reshape(-1).shape[0] != weight.shape[0]:
        raise ValueError(
            f"gate source with {sums.shape[1]} channels, gate weight {weight.shape} and bias {bias.shape} "
            "don't fit together"
        )
    z = sums.astype(np.int64) @ weight.astype(np.int64).T + bias.reshape(-1).astype(np.int64)
    return z.argmax(axis=1)


def expert_inputs(node: NodeProto) -> tuple[str, str, str, str, str]:
    """Names of a node's tensors ``(x, g, W, gw, gb)``; where the node has no ``g``, the gate reads ``x``.

    Raises
    ------
    ValueError
        If the node has another number of inputs.
    """
    if len(node.input) == 5:
        x, g, bank, gw, gb = node.input
    elif len(node.input) == 4:
        x, bank, gw, gb = node.input
        g = x
    else:
        raise ValueError(f"{node.name}: needs inputs (x, g, W, gw, gb) or (x, W, gw, gb), has {len(node.input)}")
    return x, g, bank, gw, gb


def expert_conv(
    x: NDArray,
    bank: NDArray,
    index: NDArray,
    *,
    group: int = 1,
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    pad_value: float = 0.0,
) -> NDArray[np.float32]:
    """Convolve each sample with its own filter bank.

    Parameters
    ----------
    x : array
        ``[B, C, H, W]``.
    bank : array
        ``[N, O, C / group, kh, kw]``.
    index : int array
        Bank of each sample ``[B]``.
    group, strides, pads, pad_value
        As in ONNX Conv (``pads`` is top, left, bottom, right), with a border value.

    Returns
    -------
    float32 array
        ``[B, O, OH, OW]``.
    """
    t, left, b, r = pads
    _, out, depth, kh, kw = bank.shape
    x = np.pad(x.astype(np.float32), ((0, 0), (0, 0), (t, b), (left, r)), constant_values=pad_value)
    windows = sliding_window_view(x, (kh, kw), axis=(2, 3))[:, :, :: strides[0], :: strides[1]]
    n, _, oh, ow = windows.shape[:4]
    # [B, C, OH, OW, kh, kw] -> [B, group, C/group * kh * kw, OH * OW]
    columns = windows.reshape(n, group, depth, oh, ow, kh, kw).transpose(0, 1, 2, 5, 6, 3, 4)
    columns = columns.reshape(n, group, depth * kh * kw, oh * ow)
    weight = bank[index].astype(np.float32).reshape(n, group, out // group, depth * kh * kw)
    return np.matmul(weight, columns).reshape(n, out, oh, ow)


class ExpertConv(CustomOp):
    """``y = conv(pad(x), W[e])`` with ``e`` the lowest argmax of ``gw @ sum_hw(g) + gb``, for each sample.

    Inputs: ``x[B,C,H,W]`` bits, ``g[B,Cg,Hg,Wg]`` integers, ``W[N*O,C/group,kh,kw]`` bits (all banks
    behind each other), ``gw[N,Cg]`` and ``gb[N]`` integers. Output: ``y[B,O,OH,OW]`` integers.
    A gate that reads ``x`` itself leaves ``g`` out (four inputs): qonnx loses track of a tensor that
    one node lists twice. `expert_inputs` gives the five names in both cases.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), eq. 2.
    """

    def get_nodeattr_types(self) -> dict[str, Any]:
        """Attributes: type, required, default."""
        return {
            "n_experts": ("i", True, 0),
            "out_channels": ("i", True, 0),
            "group": ("i", False, 1),
            "kernel_shape": ("ints", True, []),
            "strides": ("ints", False, [1, 1]),
            "pads": ("ints", False, [0, 0, 0, 0]),
            "pad_value": ("f", False, 0.0),
        }

    def _attribute(self, name: str) -> Any:
        return self.get_nodeattr(name)

    def output_shape(self, shape: list[int]) -> list[int]:
        """Shape of ``y`` for a shape of ``x``."""
        t, left, b, r = self._attribute("pads")
        (kh, kw), (sh, sw) = self._attribute("kernel_shape"), self._attribute("strides")
        oh, ow = (shape[2] + t + b - kh) // sh + 1, (shape[3] + left + r - kw) // sw + 1
        return [shape[0], self._attribute("out_channels"), oh, ow]

    def make_shape_compatible_op(self, model):
        """A constant of the right shape; weights are not looked at, their shapes may be unknown still.

        Where the input's shape is unknown, too, a node of which ONNX knows nothing: the next inference finds more.
        """
        shape = model.get_tensor_shape(self.onnx_node.input[0])
        known = model.get_tensor_shape(self.onnx_node.output[0])
        if not shape and not known:
            return make_node("Unknown", [self.onnx_node.input[0]], [self.onnx_node.output[0]], domain=DOMAIN)
        return super().make_const_shape_op(self.output_shape(shape) if shape else known)

    def infer_node_datatype(self, model) -> None:
        """Integer range of the accumulators, from the input's range and the kernel's size."""
        node = self.onnx_node
        kind = model.get_tensor_datatype(node.input[0])
        shape = model.get_tensor_shape(expert_inputs(node)[2])
        if not kind.is_integer() or not shape:
            model.set_tensor_datatype(node.output[0], DataType["FLOAT32"])
            return
        largest = max(abs(kind.min()), abs(kind.max())) * int(np.prod(shape[1:]))
        model.set_tensor_datatype(node.output[0], DataType.get_smallest_possible(-largest - 1))

    def execute_node(self, context, graph) -> None:
        """Compute the output from the inputs in ``context``."""
        node = self.onnx_node
        x, g, bank, gw, gb = (context[name] for name in expert_inputs(node))
        n = self._attribute("n_experts")
        if bank.shape[0] != n * self._attribute("out_channels"):
            raise ValueError(
                f"{node.name}: {bank.shape[0]} filters aren't n_experts*out_channels = "
                f"{n}*{self._attribute('out_channels')}"
            )
        context[node.output[0]] = expert_conv(
            x,
            bank.reshape(n, -1, *bank.shape[1:]),
            experts(g, gw, gb),
            group=self._attribute("group"),
            strides=tuple(self._attribute("strides")),
            pads=tuple(self._attribute("pads")),
            pad_value=self._attribute("pad_value"),
        )

    def verify_node(self) -> list[str]:
        """Messages about what is wrong with the node; empty if nothing is."""
        node, messages = self.onnx_node, []
        if len(node.input) not in (4, 5):
            messages.append(f"{node.name}: needs inputs (x, g, W, gw, gb) or (x, W, gw, gb), has {len(node.input)}")
        if self._attribute("pad_value") not in (0.0, -1.0):
            messages.append(f"{node.name}: pad_value must be 0 or -1, is {self._attribute('pad_value')}")
        if self._attribute("n_experts") < 1 or self._attribute("out_channels") % self._attribute("group"):
            messages.append(f"{node.name}: group must divide out_channels, and n_experts be at least 1")
        return messages


custom_op = {"ExpertConv": ExpertConv}
