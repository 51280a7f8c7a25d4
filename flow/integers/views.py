"""Views, transposes, copies, parts and concats: only the index of a tensor changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..passes.base import attribute
from ..passes.supported import unsupported
from .builder import Builder
from .value import Constant, Value, concatenated

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["RULES"]

Move = Callable[[np.ndarray], np.ndarray]


def _moved(b: Builder, node: NodeProto, move: Move) -> None:
    """Apply a move of an array with batch to the tensor; the batch has to stay in front."""
    found = b.get(node.input[0])
    if isinstance(found, Constant):
        b.values[node.output[0]] = found.rearranged(move)
        return
    value = b.plain(node)

    def inner(array: np.ndarray) -> np.ndarray:
        result = move(np.ascontiguousarray(array)[None])
        if result.ndim < 2 or result.shape[0] != 1:
            raise unsupported(node, "it mixes the batch with other dimensions", "keep the batch in front")
        return result[0]

    try:
        b.values[node.output[0]] = value.rearranged(inner)
    except (ValueError, IndexError) as error:
        raise unsupported(node, f"its shapes do not fit: {error}") from None


def _reshape(b: Builder, node: NodeProto) -> None:
    shape = b.shape(node.output[0])
    _moved(b, node, lambda x: x.reshape(shape))


def _transpose(b: Builder, node: NodeProto) -> None:
    order = attribute(node, "perm")
    _moved(b, node, lambda x: x.transpose(order if order is not None else range(x.ndim)[::-1]))


def _expand(b: Builder, node: NodeProto) -> None:
    shape = b.shape(node.output[0])
    _moved(b, node, lambda x: np.broadcast_to(x, shape))


def _tile(b: Builder, node: NodeProto) -> None:
    repeats = [int(r) for r in b.constant(node, 1).reshape(-1)]
    if any(r < 1 for r in repeats):
        raise unsupported(node, f"it repeats {repeats} times")
    _moved(b, node, lambda x: np.tile(x, repeats))


def _concat(b: Builder, node: NodeProto) -> None:
    axis = int(attribute(node, "axis", 1))
    found = [b.get(t) for t in node.input]
    if all(isinstance(f, Constant) for f in found):
        b.values[node.output[0]] = Constant(np.concatenate([f.value for f in found], axis=axis))  # type: ignore[union-attr]
        return
    values = [b.plain(node, i) for i in range(len(node.input))]
    rank = len(values[0].shape) + 1
    axis += rank if axis < 0 else 0
    if axis < 1 or len({(len(v.shape), *np.delete(v.shape, axis - 1)) for v in values}) != 1:
        raise unsupported(node, f"it joins shapes {[list(v.shape) for v in values]} along axis {axis}")
    b.values[node.output[0]] = concatenated(values, axis - 1)


def _split(b: Builder, node: NodeProto) -> None:
    value = b.plain(node)
    axis = int(attribute(node, "axis", 0))
    axis += len(value.shape) + 1 if axis < 0 else 0
    if axis < 1:
        raise unsupported(node, "it splits the batch", "split channels only")
    start = 0
    for name in node.output:
        length = b.shape(name)[axis]
        part = [slice(None)] * len(value.shape)
        part[axis - 1] = slice(start, start + length)
        b.values[name] = value.rearranged(lambda x, part=tuple(part): x[part])
        start += length


def _slice(b: Builder, node: NodeProto) -> None:
    value = b.plain(node)
    rank = len(value.shape) + 1
    starts = b.optional(node, 1)
    stops = b.optional(node, 2)
    axes = b.optional(node, 3)
    steps = b.optional(node, 4)
    starts = np.array(attribute(node, "starts", [])) if starts is None else starts.reshape(-1)
    stops = np.array(attribute(node, "ends", [])) if stops is None else stops.reshape(-1)
    axes = np.array(attribute(node, "axes", range(len(starts)))) if axes is None else axes.reshape(-1)
    steps = np.ones(len(starts), dtype=np.int64) if steps is None else steps.reshape(-1)
    part = [slice(None)] * rank
    for start, stop, axis, step in zip(starts, stops, axes, steps, strict=True):
        if step < 1:
            raise unsupported(node, "it slices backwards", "slice forwards")
        part[int(axis) % rank] = slice(int(start), int(stop), int(step))
    _moved(b, node, lambda x: x[tuple(part)])


def _gather(b: Builder, node: NodeProto) -> None:
    places = b.constant(node, 1)
    axis = int(attribute(node, "axis", 0))
    _moved(b, node, lambda x: np.take(x, places.astype(np.int64), axis=axis))


def _same(b: Builder, node: NodeProto) -> None:
    found = b.get(node.input[0])
    if found is None:
        raise unsupported(node, "it reads nothing")
    b.values[node.output[0]] = found


def _cast(b: Builder, node: NodeProto) -> None:
    from onnx import TensorProto

    if attribute(node, "to") not in (TensorProto.FLOAT, TensorProto.DOUBLE):
        raise unsupported(node, "it casts to a type that is not float", "leave the cast out: quantizers round")
    _same(b, node)


def _value_only(rule: Callable[[Builder, NodeProto], None]) -> Callable[[Builder, NodeProto], None]:
    """A rule of a node whose further outputs (the mask of a Dropout) nobody may read."""

    def checked(b: Builder, node: NodeProto) -> None:
        extra = [t for t in node.output[1:] if t]
        if any(t in n.input for n in b.model.graph.node for t in extra):
            raise unsupported(node, "its mask is read", "export the network in eval mode")
        rule(b, node)

    return checked


def is_view(value: Value) -> bool:
    """Whether every element of the bases occurs exactly once."""
    size = sum(base.size for base in value.bases)
    return value.index.size == size and len(np.unique(value.index)) == size


RULES = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    "Transpose": _transpose,
    "Expand": _expand,
    "Tile": _tile,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Identity": _same,
    "Dropout": _value_only(_same),
    "Cast": _cast,
}
