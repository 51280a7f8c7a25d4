"""Quantizers: constants become integers with a scale, tensors become integer thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...hw.types import int_for
from ..model_proto import shown
from ..passes.base import attribute
from ..passes.supported import unsupported
from .builder import FLOAT32_EXACT, Builder
from .levels import bisect
from .value import Base, Constant, Value, merge_bases

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["MOST_LEVELS", "RULES"]

#: Levels above the lowest of an activation of 8 bits.
MOST_LEVELS = 255


@dataclass(frozen=True)
class Quantizer:
    """What a quantizer computes.

    Parameters
    ----------
    level : callable
        float32 values (k, columns) to levels 0..steps, with parameters already chosen for the columns.
    steps : int
        Levels above the lowest.
    lowest : int
        Integer of level 0.
    bipolar : bool
        The integers are -1 and +1 instead of lowest and lowest + 1.
    scale, offset : ndarray of float32
        What the exported network has is ``scale * integer + offset``; of the tensor's shape.
    """

    level: Callable[[np.ndarray], np.ndarray]
    steps: int
    lowest: int
    bipolar: bool
    scale: np.ndarray
    offset: np.ndarray


def _columns(node: NodeProto, shape: tuple[int, ...], parameter: np.ndarray, what: str) -> np.ndarray:
    """A parameter of a quantizer as one number a channel (an element of a vector)."""
    parameter = np.asarray(parameter, dtype=np.float32)
    try:
        full = np.broadcast_to(parameter, (1, *shape))[0]
    except ValueError:
        raise unsupported(
            node, f"its {what} of shape {list(parameter.shape)} does not fit {list(shape)} channels, rows, columns"
        ) from None
    return _uniform(node, full, what)


def _uniform(node: NodeProto, full: np.ndarray, what: str) -> np.ndarray:
    """One number a channel of an array (C, H, W) or (F,); refuses one that differs from pixel to pixel."""
    rows = full.reshape(full.shape[0], -1)
    if (rows != rows[:, :1]).any():
        raise unsupported(node, f"its {what} differs from pixel to pixel", "use one value a channel")
    return np.ascontiguousarray(rows[:, 0])


def _parameter(b: Builder, node: NodeProto, position: int, what: str) -> np.ndarray:
    array = np.asarray(b.constant(node, position), dtype=np.float32)
    if not np.isfinite(array).all():
        raise unsupported(node, f"its {what} is not finite", "train again, then export again")
    return array


# -- what each kind of node computes ------------------------------------------------------------------
def _bipolar(b: Builder, node: NodeProto, shape: tuple[int, ...]) -> Quantizer:
    scale = _parameter(b, node, 1, "scale")
    if (scale == 0).any():
        raise unsupported(node, "its scale is 0", "train again, or give it a positive constant scale")
    full = np.broadcast_to(scale, (1, *shape))[0] if _fits(scale, shape) else None
    if full is None:
        raise unsupported(node, f"its scale of shape {list(scale.shape)} does not fit a tensor of {list(shape)}")
    _uniform(node, full, "scale")
    return Quantizer(lambda v: (v >= 0).astype(np.int64), 1, 0, True, full, np.zeros(shape, np.float32))


def _fits(parameter: np.ndarray, shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes((1, *shape), parameter.shape) == (1, *shape)
    except ValueError:
        return False


def _settings(b: Builder, node: NodeProto) -> tuple[np.ndarray, int, int, bool, bool, str]:
    """scale, zero point, bits, signed, narrow, rounding mode of a Quant node."""
    scale = _parameter(b, node, 1, "scale")
    zero, bits = _parameter(b, node, 2, "zero point"), _parameter(b, node, 3, "bit width")
    if (scale == 0).any():
        raise unsupported(node, "its scale is 0", "train again, or give it a positive constant scale")
    for what, array in (("zero point", zero), ("bit width", bits)):
        if np.unique(array).size != 1 or array.flat[0] != np.rint(array.flat[0]):
            raise unsupported(node, f"its {what} has to be one integer", f"quantize with one integer {what}")
    if abs(zero.flat[0]) >= FLOAT32_EXACT:
        raise unsupported(node, f"its zero point is {zero.flat[0]:g}", "use zero point 0")
    width = int(bits.flat[0])
    if not 1 <= width <= 8:
        raise unsupported(node, f"it has {width} bits", "quantize to 1..8 bits")
    mode = attribute(node, "rounding_mode", "ROUND")
    return (
        scale,
        int(zero.flat[0]),
        width,
        bool(attribute(node, "signed", 1)),
        bool(attribute(node, "narrow", 0)),
        mode,
    )


def _quantized(
    node: NodeProto, scale: np.ndarray, zero: int, bits: int, signed: bool, narrow: bool, mode: str
) -> tuple[Callable[[np.ndarray], np.ndarray], int, int]:
    """The integers that a Quant node makes of float32 values, the least and the largest of them."""
    from qonnx.custom_op.general.intquant import int_quant, max_int, min_int, resolve_rounding_mode

    try:
        resolve_rounding_mode(mode)
    except ValueError:
        raise unsupported(node, f"its rounding mode {shown(mode)!r} is unknown", "use ROUND") from None
    width, point = np.array(bits, np.float32), np.array(zero, np.float32)
    if bits == 1 and signed:
        low, high = -1 - zero, 1 - zero
    else:
        low, high = int(min_int(signed, narrow, bits)) - zero, int(max_int(signed, narrow, bits)) - zero

    def integers(values: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            out = int_quant(values, scale, point, width, signed, narrow, mode)
            return np.clip(np.rint(out / scale), low, high).astype(np.int64)

    return integers, low, high


def _quant(b: Builder, node: NodeProto, shape: tuple[int, ...]) -> Quantizer:
    scale, zero, bits, signed, narrow, mode = _settings(b, node)
    columns = _columns(node, shape, scale, "scale")
    integers, low, high = _quantized(node, columns, zero, bits, signed, narrow, mode)
    full = np.broadcast_to(scale, (1, *shape))[0]
    none = np.zeros(shape, np.float32)
    if bits == 1 and signed:
        if zero:
            raise unsupported(node, "it is bipolar with a zero point", "use zero point 0")
        return Quantizer(lambda v: (integers(v) > 0).astype(np.int64), 1, 0, True, full, none)
    return Quantizer(lambda v: integers(v) - low, high - low, low, False, full, none)


def _multi_threshold(b: Builder, node: NodeProto, shape: tuple[int, ...]) -> Quantizer:
    thresholds = _parameter(b, node, 1, "threshold")
    if thresholds.ndim != 2 or not 1 <= thresholds.shape[1] <= MOST_LEVELS:
        raise unsupported(node, f"its thresholds have shape {list(thresholds.shape)}", "use at most 255 a channel")
    scale, bias = np.float32(attribute(node, "out_scale", 1.0)), np.float32(attribute(node, "out_bias", 0.0))
    if scale == 0 or not np.isfinite((scale, bias)).all():
        raise unsupported(node, f"its out_scale is {scale:g}, its out_bias {bias:g}")
    last = attribute(node, "data_layout", "") in ("NHWC", "NWC") and len(shape) == 3
    if thresholds.shape[0] not in (1, shape[-1] if last else shape[0]) or (last and thresholds.shape[0] > 1):
        raise unsupported(node, f"its thresholds of shape {list(thresholds.shape)} do not fit the layout of its input")
    rows = np.sort(np.broadcast_to(thresholds, (shape[0], thresholds.shape[1])), axis=1)
    steps = rows.shape[1]

    def level(values: np.ndarray) -> np.ndarray:
        # in parts: 255 levels of a wide layer would fill the memory
        return sum((values >= rows[:, i]).astype(np.int64) for i in range(steps))  # type: ignore[return-value]

    if steps == 1 and bias == -scale / 2:
        return Quantizer(level, 1, 0, True, np.full(shape, scale / 2, np.float32), np.zeros(shape, np.float32))
    lowest = float(bias) / float(scale)
    whole = lowest == round(lowest) and abs(lowest) < FLOAT32_EXACT
    offset = np.full(shape, 0 if whole else bias, np.float32)
    return Quantizer(level, steps, round(lowest) if whole else 0, False, np.full(shape, scale, np.float32), offset)


def _sign(b: Builder, node: NodeProto, shape: tuple[int, ...]) -> Quantizer:
    """ONNX Sign: -1, 0, +1."""
    ones = np.ones(shape, np.float32)
    return Quantizer(lambda v: (v >= 0).astype(np.int64) + (v > 0), 2, -1, False, ones, ones * 0)


_KINDS: dict[str, Callable[[Builder, NodeProto, tuple[int, ...]], Quantizer]] = {
    "BipolarQuant": _bipolar,
    "Quant": _quant,
    "IntQuant": _quant,
    "MultiThreshold": _multi_threshold,
    "Sign": _sign,
}


# -- constants ----------------------------------------------------------------------------------------
def _constant(b: Builder, node: NodeProto, found: Constant) -> Constant:
    values = np.asarray(found.value, dtype=np.float32)
    if not np.isfinite(values).all():
        raise unsupported(node, "the weights that it quantizes are not finite", "train again, then export again")
    if node.op_type == "BipolarQuant":
        scale = _parameter(b, node, 1, "scale")
        integers = np.where(values >= 0, 1, -1)
    elif node.op_type in ("Quant", "IntQuant"):
        scale, zero, bits, signed, narrow, mode = _settings(b, node)
        quantize, _, _ = _quantized(node, scale, zero, bits, signed, narrow, mode)
        integers = quantize(values)
    else:
        raise unsupported(node, "it quantizes a constant", "use Quant or BipolarQuant for weights")
    try:
        spread = np.broadcast_to(scale, values.shape)
    except ValueError:
        raise unsupported(node, f"its scale of shape {list(scale.shape)} does not fit {list(values.shape)}") from None
    return Constant((integers.astype(np.float32) * spread).astype(np.float32), spread, integers)


# -- tensors ------------------------------------------------------------------------------------------
def _rule(b: Builder, node: NodeProto) -> None:
    found = b.get(node.input[0])
    if isinstance(found, Constant):
        b.values[node.output[0]] = _constant(b, node, found)
        return
    value = b.plain(node)
    quantizer = _KINDS[node.op_type](b, node, value.shape)
    made = _input_itself(b, node, value, quantizer) or _thresholds(b, node, value, quantizer)
    if (quantizer.scale != 1).any():
        made = made.step("Mul", quantizer.scale)
    if (quantizer.offset != 0).any():
        made = made.step("Add", quantizer.offset)
    b.values[node.output[0]] = made


def _input_itself(b: Builder, node: NodeProto, value: Value, quantizer: Quantizer) -> Value | None:
    """The input's integers, where the quantizer is the one that defines them."""
    name = b.model.graph.input[0].name
    if [base.tensor for base in value.bases] != [name] or b.model.get_tensor_datatype(name).is_integer():
        return None
    # hardware_input has checked it integer by integer
    return Value(value.bases, value.index)


def _thresholds(b: Builder, node: NodeProto, value: Value, quantizer: Quantizer) -> Value:
    if np.isnan(value.direction()).any():
        raise unsupported(
            node,
            "a PReLU with a negative slope in front makes two thresholds of one",
            "clamp the slopes of PReLU at 0",
        )
    operands = [(s, _uniform(node, s.operand, f"{s.kind} in front")) for s in value.steps]

    def level(columns: np.ndarray, integers: np.ndarray) -> np.ndarray:
        x = np.zeros((len(integers), value.shape[0]), np.float32)
        x[:, columns] = integers
        for step, operand in operands:
            x = step.apply(x, operand)
        if np.isnan(x[:, columns]).any():
            raise unsupported(
                node, "a scale in front of it makes numbers that float32 cannot hold", "train again, then export again"
            )
        return quantizer.level(x)[:, columns]

    if _changes_nothing(value, quantizer, level):
        return Value(value.bases, value.index)
    bases, (index,) = merge_bases([value])
    result_bases: list[Base] = []
    result = np.full(value.shape, -1, dtype=np.int64)
    first = room = 0
    for base in bases:
        lanes, ends = b.lanes(value, index, first, base)
        first += base.size
        if not lanes.any():
            continue
        columns = np.flatnonzero(lanes)
        source, channels = b.matched(base, value, node), ends[columns]
        start, stop = b.extent(channels, base, value)
        if np.bincount(channels - start, minlength=stop - start).all():
            source, channels = b.sliced(source, start, stop, node), channels - start
        levels = bisect(partial(level, columns), len(columns), source.low, source.high, quantizer.steps)
        made, places = _emit(b, node, source, channels, levels, quantizer, len(bases) == 1)
        pixels = made.size // made.shape[0]
        result[lanes] = (places[:, None] * pixels + np.arange(pixels)).reshape(len(columns), *value.shape[1:]) + room
        room += made.size
        result_bases.append(made)
    if (result < 0).any():
        raise unsupported(
            node, "it quantizes pixels in another order than they come", "put the quantizer in front of the transpose"
        )
    return Value(tuple(result_bases), result)


def _changes_nothing(value: Value, quantizer: Quantizer, level) -> bool:
    """Whether the quantizer maps each integer that can occur to itself."""
    bipolar = all(base.bipolar for base in value.bases)
    if bipolar != quantizer.bipolar or value.high - value.low > MOST_LEVELS:
        return False
    integers = np.array([-1, 1]) if bipolar else np.arange(value.low, value.high + 1)
    columns = np.arange(value.shape[0])
    levels = level(columns, np.repeat(integers[:, None], len(columns), axis=1))
    found = 2 * levels - 1 if bipolar else levels + quantizer.lowest
    return bool((found == integers[:, None]).all())


def _emit(b: Builder, node: NodeProto, base: Base, channels: np.ndarray, levels, quantizer: Quantizer, only: bool):
    """[Tile] -> [Mul +-1] -> MultiThreshold; returns its base and the channel at which each column lies there.

    Copy r of channel a is channel r*m + a, where m are the channels of ``base``.
    """
    m = base.shape[0]
    order = np.argsort(channels, kind="stable")
    copy = np.empty(len(channels), dtype=np.int64)
    counts = np.bincount(channels, minlength=m)
    copy[order] = np.concatenate([np.arange(n) for n in counts])
    copies = int(counts.max())
    places = copy * m + channels
    thresholds = np.full((copies * m, quantizer.steps), base.high + 1, dtype=np.int64)
    falling = np.zeros(copies * m, dtype=bool)
    thresholds[places], falling[places] = levels.thresholds, levels.falling
    out, source = node.output[0], base
    if copies > 1:
        repeats = b.initializer(f"{out}_repeats", np.array([1, copies] + [1] * (len(base.shape) - 1), dtype=np.int64))
        tiled = Base("", (copies * m, *base.shape[1:]), base.low, base.high, base.bipolar)
        source = b.emit("Tile", [base.tensor, repeats], f"{out}_tiled", tiled, node)
    if falling.any():
        source = b.negated(source, np.where(falling, -1, 1), node)
    limits = b.initializer(f"{out}_thresholds", thresholds.astype(np.float32))
    low, high = quantizer.lowest, quantizer.lowest + quantizer.steps
    if quantizer.bipolar:
        low, high, scale, bias, kind = -1, 1, 2.0, -1.0, "BIPOLAR"
    else:
        scale, bias = 1.0, float(low)
        kind = str(int_for(low, high)).upper()
    result = Base("", source.shape, low, high, quantizer.bipolar)
    made = b.emit(
        "MultiThreshold",
        [source.tensor, limits],
        out if only else f"{out}_{len(b.nodes)}",
        result,
        node,
        out_scale=scale,
        out_bias=bias,
        out_dtype=kind,
    )
    return made, places


RULES = dict.fromkeys(_KINDS, _rule)
