"""Sums of products without rounding, for the nodes that add up many numbers.

float32 addition rounds, and in which order a library adds is its own choice: where a sum should be exactly 0, or two
scores equal, noise decides. The accelerator adds integers. It is therefore held against the exported network with its
sums done in float64, where products of float32 numbers add up exactly, and each result rounded to float32 once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .passes.base import attribute

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["run_exactly", "undecided"]

# Rounding noise of a float32 sum, as a part of the largest number on the way to it.
_NOISE = 1e-5
_DECIDE = ("BipolarQuant", "Quant", "IntQuant", "MultiThreshold", "Sign", "ArgMax", "TopK")


def run_exactly(model: ModelWrapper, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Execute a model with qonnx, but Conv, Gemm and MatMul with exact sums.

    Parameters
    ----------
    model : ModelWrapper
    inputs : dict of str to ndarray of float32

    Returns
    -------
    dict of str to ndarray, all tensors.
    """
    from qonnx.core.onnx_exec import execute_node

    context = model.make_empty_exec_context()
    context.update(inputs)
    opsets = model.get_opset_imports()
    for node in model.graph.node:
        if node.op_type in _SUMS and not (node.op_type == "Conv" and context[node.input[1]].ndim != 4):
            context[node.output[0]] = _SUMS[node.op_type](node, [context[t] for t in node.input if t])
        else:
            execute_node(node, context, model.graph, opsets.get(node.domain, opsets.get("", 13)))
    return context


def _conv(node: NodeProto, arrays: list[np.ndarray]) -> np.ndarray:
    from .integers.builder import pads_of

    x, weights = (a.astype(np.float64) for a in arrays[:2])
    group = int(attribute(node, "group", 1))
    (sh, sw), (dh, dw) = attribute(node, "strides", [1, 1]), attribute(node, "dilations", [1, 1])
    rows, depth, kh, kw = weights.shape
    top, left, bottom, right = pads_of(node, (kh, kw), x.shape[2:])
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = sliding_window_view(x, ((kh - 1) * dh + 1, (kw - 1) * dw + 1), axis=(2, 3))
    windows = windows[:, :, ::sh, ::sw, ::dh, ::dw]
    n, _, oh, ow = windows.shape[:4]
    # [N, group, depth * kh * kw, OH * OW]
    columns = windows.reshape(n, group, depth, oh, ow, kh, kw).transpose(0, 1, 2, 5, 6, 3, 4)
    columns = columns.reshape(n, group, depth * kh * kw, oh * ow)
    sums = np.matmul(weights.reshape(group, rows // group, -1), columns).reshape(n, rows, oh, ow)
    if len(arrays) > 2:
        sums = sums + arrays[2].astype(np.float64).reshape(1, -1, 1, 1)
    return sums.astype(np.float32)


def _gemm(node: NodeProto, arrays: list[np.ndarray]) -> np.ndarray:
    a, b = (x.astype(np.float64) for x in arrays[:2])
    a = a.T if attribute(node, "transA", 0) else a
    b = b.T if attribute(node, "transB", 0) else b
    sums = attribute(node, "alpha", 1.0) * (a @ b)
    if len(arrays) > 2:
        sums = sums + attribute(node, "beta", 1.0) * arrays[2].astype(np.float64)
    return sums.astype(np.float32)


def _matmul(_node: NodeProto, arrays: list[np.ndarray]) -> np.ndarray:
    return np.matmul(arrays[0].astype(np.float64), arrays[1].astype(np.float64)).astype(np.float32)


_SUMS: dict[str, Any] = {"Conv": _conv, "Gemm": _gemm, "MatMul": _matmul}


def undecided(model: ModelWrapper, frames: np.ndarray, which: np.ndarray) -> np.ndarray:
    """The frames in which rounding noise alone makes the float32 network decide otherwise than exact sums.

    Parameters
    ----------
    model : ModelWrapper
        As exported.
    frames : ndarray of int, shape (N, H, W, C)
    which : ndarray of int
        Frames to look at.

    Returns
    -------
    ndarray of int
        Those of ``which`` in which the first quantizer or decision that differs reads numbers that differ by noise
        only.
    """
    from .execute import execute_tensors

    # one by one: how a library rounds may hang on the batch
    both = ([execute_tensors(model, frames[i : i + 1], exact=exact) for exact in (False, True)] for i in which)
    return which[np.array([_tied(model, rounded, exact) for rounded, exact in both], dtype=bool)]


def _tied(model: ModelWrapper, rounded: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> bool:
    """Whether the first decision that differs reads numbers that differ by noise only."""
    largest = 0.0  # since the last decision: what is summed, and what becomes of it
    for node in model.graph.node:
        decides = node.op_type in _DECIDE and node.input[0] in exact
        if decides and not np.array_equal(rounded[node.output[-1]], exact[node.output[-1]]):
            error = np.abs(rounded[node.input[0]].astype(np.float64) - exact[node.input[0]]).max()
            return bool(error <= _NOISE * largest)
        values = [float(np.abs(exact[t]).max(initial=0.0)) for t in node.output if t in exact]
        largest = max([0.0 if decides else largest, *values])
    return False
