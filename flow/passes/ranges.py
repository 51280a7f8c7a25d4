"""Which tensors hold integers, and how large these can get."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .base import attribute
from .pad import pad_value

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["FLOAT32_EXACT", "integer_ranges"]

#: Integers up to this magnitude are exact in the float32 that qonnx computes with.
FLOAT32_EXACT = 1 << 24
_SAME = ("Tile", "Flatten", "Reshape", "Identity", "Transpose", "Squeeze", "Unsqueeze", "Expand")

Range = tuple[int, int]


def integer_ranges(model: ModelWrapper) -> dict[str, Range]:
    """Least and largest value of every tensor that holds integers only, whatever the input.

    Returns
    -------
    dict of tensor to (low, high); real-valued tensors are absent.

    Notes
    -----
    Computed from the weights themselves: per output channel sum(max(w*low, w*high)), and the largest over
    all channels. Tighter than the bit widths that qonnx annotates, and never less than what can be reached.
    """
    ranges: dict[str, Range] = {}
    source = model.graph.input[0].name
    kind = model.get_tensor_datatype(source)
    if kind.is_integer():
        ranges[source] = (int(kind.min()), int(kind.max()))
    for node in model.graph.node:
        found = _range(model, node, ranges)
        if found is not None:
            ranges[node.output[0]] = found
    return ranges


def _range(model: ModelWrapper, node: NodeProto, ranges: dict[str, Range]) -> Range | None:
    kind = node.op_type
    if kind == "MultiThreshold":
        return _levels(model, node)
    if not node.input or node.input[0] not in ranges:
        return None
    low, high = ranges[node.input[0]]
    if kind in _SAME:
        return low, high
    if kind == "MaxPool":
        return low, high
    if kind == "Pad":
        value = pad_value(model, node)
        if value is None or value != int(value):
            return None
        return min(low, int(value)), max(high, int(value))
    if kind in ("Conv", "ExpertConv", "MatMul"):
        return _products(model, node, low, high)
    if kind == "Mul":
        constant = model.get_initializer(node.input[1]) if len(node.input) == 2 else None
        if constant is None or not np.isin(constant, (-1, 1)).all():
            return None
        return (-max(-low, high), max(-low, high)) if (constant < 0).any() else (low, high)
    return None


def _levels(model: ModelWrapper, node: NodeProto) -> Range | None:
    thresholds = model.get_initializer(node.input[1])
    scale, bias = attribute(node, "out_scale", 1.0), attribute(node, "out_bias", 0.0)
    if thresholds is None or scale != int(scale) or bias != int(bias):
        return None
    ends = int(bias), int(bias + scale * thresholds.shape[1])
    return min(ends), max(ends)


def _products(model: ModelWrapper, node: NodeProto, low: int, high: int) -> Range | None:
    if node.op_type == "ExpertConv":
        weights = model.get_initializer(node.input[2 if len(node.input) == 5 else 1])
        if any(attribute(node, "pads", [0])):
            border = int(attribute(node, "pad_value", 0.0))
            low, high = min(low, border), max(high, border)
    else:
        weights = model.get_initializer(node.input[1])
        if node.op_type == "Conv" and any(attribute(node, "pads", [0])):
            low, high = min(low, 0), max(high, 0)
        if node.op_type == "Conv" and len(node.input) > 2:
            return None  # a bias; FINN makes an Add of it
    if weights is None or not np.array_equal(weights, np.rint(weights)):
        return None
    if node.op_type == "MatMul":
        weights = weights.T
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    least = np.minimum(rows * low, rows * high).sum(axis=1).min()
    most = np.maximum(rows * low, rows * high).sum(axis=1).max()
    return int(least), int(most)
