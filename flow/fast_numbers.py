"""The fast engine's steps for numbers of more than one bit, and for joining and parting tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..hw.graph import Node
from ..hw.ops.add import Add
from ..hw.ops.affine import Affine
from ..hw.ops.concat import Concat
from ..hw.ops.slice import Slice
from ..hw.ops.threshold import Threshold
from ..hw.ops.window_pool import WindowPool
from ..hw.types import StreamType, int_t
from .fast_parts import BITS, Tensor, View, geometry, template, words_of

if TYPE_CHECKING:
    from .emit_fast import Emitter

__all__ = ["HANDLERS", "as_numbers", "levels"]

# Numbers that stand for bits: -1 and +1.
_SIGNS = int_t(2)


def as_numbers(e: Emitter, source: Tensor) -> Tensor:
    """A tensor of packed bits as one of -1 and +1."""
    if source.store != BITS:
        return source
    h, w, c = source.kind.shape
    kind = StreamType(_SIGNS, source.kind.shape)
    result = e.new_tensor(kind, "signs as numbers")
    e.step(
        f"{source.kind} as numbers", {}, [f"{template('unpack_signs', h * w, c)}(e.{source.buffer}, e.{result.buffer})"]
    )
    return result


def _finish(e: Emitter, node: Node, kind: StreamType) -> tuple[Tensor, Tensor, list[str]]:
    """The result, the numbers to write into, and what packs them if the result is bits."""
    result = e.new_tensor(kind, node.name)
    e.values[node.outputs[0]] = result
    if result.store != BITS:
        return result, result, []
    h, w, c = kind.shape
    numbers = e.new_tensor(StreamType(_SIGNS, kind.shape), f"{node.name}, one sign a byte")
    return result, numbers, [f"{template('pack_signs', h * w, c)}(e.{numbers.buffer}, e.{result.buffer})"]


def levels(e: Emitter, node: Node) -> None:
    """A Threshold of several levels, or whose result is a number."""
    op: Threshold = node.op  # type: ignore[assignment]
    source = e.tensor(node.inputs[0], op.stream.shape)
    result = e.new_tensor(op.outputs[0], node.name)
    e.values[node.outputs[0]] = result
    lane = "int32" if op.stream.element.bits < 31 else "int64"
    limits = e.table("thresholds", op.thresholds.transpose(0, 2, 1), lane)
    falling = e.table("falling", op.negate.astype(np.int8), "int8")
    sizes = {"pixels": op.pixels, "channels": op.channels, "copies": op.copies, "levels": op.levels}
    sizes["offset"] = op.offset
    call = f"bx::levels<{{}}>(e.{source.buffer}, thresholds, falling, e.{result.buffer})"
    e.step(f"{node.name}: {source.kind} to {result.kind}", sizes, [call], [limits, falling])


def _window_pool(e: Emitter, node: Node) -> None:
    op: WindowPool = node.op  # type: ignore[assignment]
    view = e.values[node.inputs[0]]
    result, numbers, packing = _finish(e, node, op.outputs[0])
    if not isinstance(view, View):
        raise AssertionError(f"{node.name} reads no window")
    window = view.op
    source = as_numbers(e, view.source)
    masked = window.masked
    least = 0 if op.mode == "sum" else op.element.min
    sizes = {**geometry(window), "channels": op.outputs[0].shape[2], "pad_value": window.pad_value}
    sizes |= {"masked": int(masked), "sum": int(op.mode == "sum"), "least": least}
    call = f"bx::window_pool<{{}}>(e.{source.buffer}, e.{numbers.buffer})"
    e.step(f"{node.name}: {source.kind} to {result.kind}", sizes, [call, *packing])


def _concat(e: Emitter, node: Node) -> None:
    op: Concat = node.op  # type: ignore[assignment]
    first, second = (e.tensor(s, k.shape) for s, k in zip(node.inputs, op.inputs, strict=True))
    (h, w, a), b = first.kind.shape, second.kind.shape[2]
    result = e.new_tensor(op.outputs[0], node.name)
    e.values[node.outputs[0]] = result
    if result.store == BITS:
        calls = [f"{template('clear_bits', h * w * words_of(a + b))}(e.{result.buffer})"]
        for source, count, place in ((first, a, 0), (second, b, a)):
            copy = template("copy_bits", h * w, count, 0, count, a + b, place)
            calls.append(f"{copy}(e.{source.buffer}, e.{result.buffer})")
    else:
        first, second = as_numbers(e, first), as_numbers(e, second)
        calls = [f"{template('concat', h * w, a, b)}(e.{first.buffer}, e.{second.buffer}, e.{result.buffer})"]
    e.step(f"{node.name}: {first.kind} and {second.kind}", {}, calls)


def _slice(e: Emitter, node: Node) -> None:
    op: Slice = node.op  # type: ignore[assignment]
    source = e.tensor(node.inputs[0], op.stream.shape)
    h, w, c = source.kind.shape
    count = op.stop - op.start
    result = e.new_tensor(op.outputs[0], node.name)
    e.values[node.outputs[0]] = result
    calls = [f"{template('slice', h * w, c, op.start, count)}(e.{source.buffer}, e.{result.buffer})"]
    if result.store == BITS:
        copy = template("copy_bits", h * w, c, op.start, count, count, 0)
        calls = [f"{template('clear_bits', h * w * words_of(count))}(e.{result.buffer})"]
        calls.append(f"{copy}(e.{source.buffer}, e.{result.buffer})")
    e.step(f"{node.name}: {source.kind} to {result.kind}", {}, calls)


def _add(e: Emitter, node: Node) -> None:
    op: Add = node.op  # type: ignore[assignment]
    first, second = (as_numbers(e, e.tensor(s, k.shape)) for s, k in zip(node.inputs, op.inputs, strict=True))
    result = e.new_tensor(op.outputs[0], node.name)
    e.values[node.outputs[0]] = result
    function = template("add", result.kind.elements, *op.gains)
    call = f"{function}(e.{first.buffer}, e.{second.buffer}, e.{result.buffer})"
    e.step(f"{node.name}: {first.kind} and {second.kind}", {}, [call])


def _affine(e: Emitter, node: Node) -> None:
    op: Affine = node.op  # type: ignore[assignment]
    source = as_numbers(e, e.tensor(node.inputs[0], op.stream.shape))
    h, w, c = source.kind.shape
    result = e.new_tensor(op.outputs[0], node.name)
    e.values[node.outputs[0]] = result
    offsets = e.table("offsets", op.offsets, "int64")
    call = f"{template('affine', h * w, c, op.gain)}(e.{source.buffer}, offsets, e.{result.buffer})"
    e.step(f"{node.name}: {source.kind} to {result.kind}", {}, [call], [offsets])


HANDLERS = {"WindowPool": _window_pool, "Concat": _concat, "Slice": _slice, "Add": _add, "Affine": _affine}
