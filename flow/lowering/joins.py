"""Views, joins and parts of streams, sums of two, and factors in front of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...hw.ops.add import Add
from ...hw.ops.affine import Affine
from ...hw.ops.concat import Concat
from ...hw.ops.matvec import MatVec
from ...hw.ops.slice import Slice
from ..passes.base import attribute, producer_of, scalar_of
from ..passes.supported import unsupported
from .thresholds import signs_of
from .walk import Streamed, Walk

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["HANDLERS"]


def _view(walk: Walk, node: NodeProto) -> None:
    """Another shape for the same numbers, in the order of NCHW; the stream stays as it is."""
    x = walk.value(node, node.input[0])
    before, after = (walk.model.get_tensor_shape(t) for t in (node.input[0], node.output[0]))
    h, w, c = x.type.shape
    if len(after) == 2 and after[0] == 1:
        order = x.order
        if order is None and h * w > 1:
            order = np.arange(c * h * w).reshape(c, h, w).transpose(1, 2, 0).reshape(-1)
        kind = replace(x.type, shape=(1, 1, x.type.elements))
    elif len(after) == 4 and (after == before or (after[2:] == [1, 1] and h * w == 1)):
        order, kind = x.order, x.type
    else:
        raise unsupported(node, f"it turns {before} into {after}", "flatten all but the batch, once, at the end")
    walk.values[node.output[0]] = Streamed(x.stream, kind, order)


def _concat(walk: Walk, node: NodeProto) -> None:
    if attribute(node, "axis", 1) != 1:
        raise unsupported(node, f"it joins along axis {attribute(node, 'axis')}", "join channels")
    values = [walk.value(node, t) for t in node.input]
    joined = values[0]
    for value in values[1:]:
        order = None
        if joined.order is not None or value.order is not None:
            first, second = (_order(v) for v in (joined, value))
            order = np.concatenate([first, second + len(first)])
        op = Concat(joined.type, value.type)
        (stream,) = walk.add("concat", op, (joined.stream, value.stream), node)
        joined = Streamed(stream, op.outputs[0], order)
    walk.define(node.output[0], joined)


def _order(value: Streamed) -> np.ndarray:
    return np.arange(value.type.elements) if value.order is None else value.order


def _slice(walk: Walk, node: NodeProto) -> None:
    x = walk.image(node, node.input[0])
    start, stop, axis = (int(walk.constant(node, i).reshape(-1)[0]) for i in (1, 2, 3))
    if axis != 1 or any(walk.constant(node, i).size != 1 for i in (1, 2, 3)) or len(node.input) > 4:
        raise unsupported(node, "it slices more than the channels", "slice channels only")
    op = Slice(x.type, start, stop)
    (out,) = walk.add("slice", op, (x.stream,), node)
    walk.define(node.output[0], Streamed(out, op.outputs[0]))


def _gain(walk: Walk, tensor: str) -> tuple[str, int]:
    """A summand without the factor that an Add takes over."""
    maker = producer_of(walk.model, tensor)
    if maker is None or maker.op_type != "Mul" or tensor in walk.values:
        return tensor, 1
    return maker.input[0], int(walk.integers(maker, 1, "factor").reshape(-1)[0])


def _add(walk: Walk, node: NodeProto) -> None:
    (first, gain), (second, other) = (_gain(walk, t) for t in node.input)
    a, b = walk.value(node, first), walk.value(node, second)
    if (a.order is None) != (b.order is None) or (a.order is not None and (a.order != b.order).any()):
        raise unsupported(node, "it adds tensors of different order", "add before Flatten")
    op = Add(a.type, b.type, (gain, other))
    (out,) = walk.add("add", op, (a.stream, b.stream), node)
    walk.define(node.output[0], Streamed(out, op.outputs[0], a.order))


def _mul(walk: Walk, node: NodeProto) -> None:
    """Signs belong to the thresholds behind them, a factor to the sum; what is left is an operator of its own."""
    signs = signs_of(walk, node)
    behind = "MultiThreshold" if signs is not None else "Add"
    if not walk.is_output(node) and all(r.op_type == behind for r in walk.readers(node)):
        return
    x = walk.value(node, node.input[0])
    if signs is not None:
        flipped = signs if x.order is None else signs[x.order]
        op: MatVec | Affine = MatVec(x.type, flipped.reshape(1, -1, 1, 1))
    else:
        factor = scalar_of(walk.integers(node, 1, "factor"))
        if factor is None:
            raise unsupported(node, "only one factor, or signs a channel, are supported", "streamline the model first")
        op = Affine(x.type, int(factor), np.zeros(x.type.shape[2], dtype=np.int64))
    (out,) = walk.add("mul", op, (x.stream,), node)
    walk.define(node.output[0], Streamed(out, op.outputs[0], x.order))


HANDLERS = {
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _view),
    "Concat": _concat,
    "Slice": _slice,
    "Add": _add,
    "Mul": _mul,
}
