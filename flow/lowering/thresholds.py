"""Thresholds, with the copies and signs in front of them taken in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...hw.ops.affine import Affine
from ...hw.ops.threshold import Threshold
from ...hw.types import BIPOLAR, int_for
from ..passes.base import attribute, channel_vector, producer_of
from ..passes.supported import unsupported
from .walk import Streamed, Walk

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["HANDLERS", "signs_of", "tile_repeats"]


def tile_repeats(walk: Walk, node: NodeProto) -> int:
    """Copies of the channels that a Tile makes; it may repeat nothing else."""
    repeats = walk.constant(node, 1).reshape(-1)
    if repeats.size < 2 or any(r != 1 for i, r in enumerate(repeats) if i != 1):
        raise unsupported(node, "it repeats other than the channels", "repeat channels only: x.repeat(1, R, 1, 1)")
    return int(repeats[1])


def signs_of(walk: Walk, node: NodeProto) -> np.ndarray | None:
    """The factors of a Mul by +1 and -1 a channel, shape (C,); None for any other node."""
    if node.op_type != "Mul":
        return None
    factors = walk.model.get_initializer(node.input[1])
    shape = walk.model.get_tensor_shape(node.output[0])
    vector = None if factors is None or not factors.ndim else channel_vector(factors, len(shape), shape[1])
    return None if vector is None or not np.isin(vector, (-1, 1)).all() else vector.astype(np.int64)


def _threshold(walk: Walk, node: NodeProto) -> None:
    limits = walk.integers(node, 1, "thresholds")
    scale, bias = attribute(node, "out_scale", 1.0), attribute(node, "out_bias", 0.0)
    steps = limits.shape[1]
    bits = (scale, bias, steps) == (2.0, -1.0, 1)
    if not bits and (scale != 1.0 or bias != round(bias)):
        raise unsupported(node, f"its levels are {scale:g} apart, from {bias:g}", "streamline the model first")
    shape = walk.model.get_tensor_shape(node.output[0])
    channels, repeats, source = shape[1], 1, node.input[0]
    falling = np.zeros(channels, dtype=bool)
    above = producer_of(walk.model, source)
    if above is not None and source not in walk.values and (signs := signs_of(walk, above)) is not None:
        falling, source = signs < 0, above.input[0]
        above = producer_of(walk.model, source)
    if above is not None and above.op_type == "Tile":
        repeats, source = tile_repeats(walk, above), above.input[0]
    x = _numbers(walk, node, walk.value(node, source))
    limits = np.broadcast_to(limits, (channels, steps))
    # -x >= t is not x >= 1 - t
    limits = np.where(falling[:, None], (1 - limits)[:, ::-1], limits)
    order = np.arange(channels // repeats) if x.order is None else x.order
    out = BIPOLAR if bits else int_for(round(bias), round(bias) + steps)
    op = Threshold(
        x.type,
        limits.reshape(repeats, -1, steps)[:, order],
        falling.reshape(repeats, -1)[:, order],
        out,
        0 if bits else round(bias),
    )
    (stream,) = walk.add("threshold", op, (x.stream,), node)
    tiled = None
    if x.order is not None:
        tiled = (np.arange(repeats)[:, None] * len(order) + order).reshape(-1)
    walk.define(node.output[0], Streamed(stream, op.outputs[0], tiled))


def _numbers(walk: Walk, node: NodeProto, x: Streamed) -> Streamed:
    """Bits as the numbers -1 and +1, which thresholds compare."""
    if x.type.element != BIPOLAR:
        return x
    op = Affine(x.type, 1, np.zeros(x.type.shape[2], dtype=np.int64))
    (out,) = walk.add("numbers", op, (x.stream,), node)
    return Streamed(out, op.outputs[0], x.order)


def _tile(walk: Walk, node: NodeProto) -> None:
    """Part of the thresholds behind it."""
    tile_repeats(walk, node)


HANDLERS = {"MultiThreshold": _threshold, "Tile": _tile}
