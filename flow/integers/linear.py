"""Convolutions and linear layers of integer weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..passes.base import attribute
from ..passes.supported import unsupported
from .builder import Builder, pads_of
from .elementwise import scale_and_offset, with_affine
from .scales import common_scale, integer_rows
from .value import Base, Constant, Value, whole

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["RULES", "Input", "bordered", "layer_input"]

_LARGEST_WEIGHT = 1 << 15


@dataclass(frozen=True)
class Input:
    """What a layer reads: ``scale[group] * factors * integers + offsets``, one number a channel.

    Parameters
    ----------
    factors : ndarray of int64, shape (channels,)
    scales : ndarray of float64, shape (groups,)
    offsets : ndarray of float64, shape (channels,)
    border : int
        The integer that stands for the padding's value; 0 if there is none.
    """

    factors: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray
    border: int


def layer_input(node: NodeProto, value: Value, groups: int, padded_with: float | None) -> Input:
    """The steps in front of a layer, one number a channel.

    Parameters
    ----------
    padded_with : float or None
        The real number that stands around the tensor; None without padding.

    Raises
    ------
    ModelError
        They differ from pixel to pixel, or channels of a group are scaled by numbers that have no common scale.
    """
    form = scale_and_offset(node, value)
    rows = []
    for what, full in (("scale", form.scale), ("offset", form.offset)):
        flat = full.reshape(full.shape[0], -1)
        if (flat != flat[:, :1]).any():
            raise unsupported(node, f"the {what} of what it reads differs from pixel to pixel")
        rows.append(flat[:, 0])
    scale, offset = rows
    factors, scales = np.zeros(len(scale), np.int64), np.zeros(groups)
    for g, part in enumerate(np.split(np.arange(len(scale)), groups)):
        found = common_scale(scale[part])
        if found is None:
            raise unsupported(
                node,
                "the channels that it reads are scaled by numbers that have no common scale",
                "quantize all its inputs with one scale",
            )
        scales[g], factors[part] = found
    border = 0
    if padded_with is not None:
        with np.errstate(all="ignore"):
            numbers = (padded_with - offset) / scale
        whole_numbers = np.rint(numbers)
        if not (
            np.isfinite(numbers).all()
            and (whole_numbers == whole_numbers[0]).all()
            and (np.abs(numbers - whole_numbers) <= 1e-6 * np.maximum(1, np.abs(whole_numbers))).all()
        ):
            raise unsupported(
                node,
                f"its padding of {padded_with:g} is none of the values that the tensor can have",
                "pad right behind a quantizer, with 0 or with its least value",
            )
        border = int(whole_numbers[0])
    return Input(factors, scales, offset, border)


def bordered(b: Builder, node: NodeProto, value: Value, pads: tuple[int, int, int, int], own: float = 0.0):
    """Join a layer's own padding with that of a Pad node in front of it: amounts, and the real number there."""
    if value.border is None or not any(value.border.amounts):
        return pads, own if any(pads) else None
    if any(pads) and value.border.value != own:
        raise unsupported(node, f"it pads with {own:g} what is padded with {value.border.value:g} already", "pad once")
    return tuple(p + q for p, q in zip(pads, value.border.amounts, strict=True)), value.border.value


def emit_padded(
    b: Builder, node: NodeProto, base: Base, pads: tuple[int, ...], border: int
) -> tuple[str, tuple[int, ...], int, int]:
    """A Pad node for a border that is not 0; tensor, remaining pads, range with the border."""
    if not any(pads):
        return base.tensor, tuple(pads), base.low, base.high
    low, high = min(base.low, border), max(base.high, border)
    if border == 0:
        return base.tensor, tuple(pads), low, high
    if not base.low <= border <= base.high:
        raise unsupported(
            node, f"its padding stands for the integer {border}, outside {base.low}..{base.high}", "pad with 0"
        )
    top, left, bottom, right = pads
    amounts = b.initializer(f"{base.tensor}_pads", np.array([0, 0, top, left, 0, 0, bottom, right], dtype=np.int64))
    number = b.initializer(f"{base.tensor}_border", np.array(border, dtype=np.float32))
    channels, height, width = base.shape
    shape = (channels, height + top + bottom, width + left + right)
    padded = Base("", shape, low, high, base.bipolar)
    made = b.emit("Pad", [base.tensor, amounts, number], f"{base.tensor}_padded", padded, node, mode="constant")
    return made.tensor, (0, 0, 0, 0), low, high


def weights_of(b: Builder, node: NodeProto, position: int = 1) -> Constant:
    """The weights of a layer.

    Raises
    ------
    ModelError
        They depend on the network's input.
    """
    found = b.get(node.input[position])
    if not isinstance(found, Constant):
        raise unsupported(node, "its weights are not constant", "export the network with constant weights")
    return found


def integer_weights(node: NodeProto, found: Constant) -> tuple[np.ndarray, np.ndarray]:
    """Weights, rows first, as integers and one scale a row.

    Raises
    ------
    ModelError
        They are not finite, or no multiples of one scale a row.
    """
    shape = found.value.shape
    if not np.isfinite(found.value).all():
        raise unsupported(node, "its weights are not finite", "train again, then export again")
    if found.integers is not None and found.scale is not None:
        rows = found.scale.reshape(shape[0], -1)
        if (rows == rows[:, :1]).all():
            return found.integers.astype(np.int64), rows[:, 0].astype(np.float64)
    split = integer_rows(found.value.reshape(shape[0], -1))
    if split is None or np.abs(split[1]).max(initial=0) >= _LARGEST_WEIGHT:
        raise unsupported(node, "its weights are real numbers", "quantize them: BipolarQuant, or Quant of 2..8 bits")
    return split[1].reshape(shape), split[0]


def _bias(b: Builder, node: NodeProto, position: int, rows: int) -> np.ndarray:
    found = b.optional(node, position)
    if found is None:
        return np.zeros(rows)
    if not np.isfinite(found).all():
        raise unsupported(node, "its bias is not finite", "train again, then export again")
    try:
        return np.broadcast_to(found.reshape(-1).astype(np.float64), (rows,))
    except ValueError:
        raise unsupported(node, f"its bias of shape {list(found.shape)} does not fit {rows} outputs") from None


def _range(weights: np.ndarray, low: int, high: int) -> tuple[int, int]:
    """Least and largest product of rows of integer weights with integers of a range."""
    rows = weights.reshape(len(weights), -1)
    least = np.minimum(rows * low, rows * high).sum(axis=1).min()
    most = np.maximum(rows * low, rows * high).sum(axis=1).max()
    return int(least), int(most)


def _finished(b: Builder, node: NodeProto, base: Base, scales, offsets, bias) -> None:
    """The layer's output with its scale and offset a channel."""
    shape = (-1, *[1] * (len(base.shape) - 1))
    b.values[node.output[0]] = with_affine(
        whole(base), np.asarray(scales).reshape(shape), (offsets + bias).reshape(shape)
    )


def _signed_scales(integers: np.ndarray, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move the sign of a negative scale into the weights."""
    negative = scales < 0
    shape = (-1, *[1] * (integers.ndim - 1))
    return np.where(negative.reshape(shape), -integers, integers), np.abs(scales)


def _folded(integers: np.ndarray, factors: np.ndarray, places: np.ndarray, depth: int) -> np.ndarray:
    """Weights (rows, columns, ...) for the channels of the base that the columns read."""
    scaled = integers * factors.reshape(1, -1, *[1] * (integers.ndim - 2))
    if np.array_equal(places, np.arange(depth)):
        return scaled
    result = np.zeros((integers.shape[0], depth, *integers.shape[2:]), dtype=np.int64)
    for place, column in zip(places.tolist(), np.moveaxis(scaled, 1, 0), strict=True):
        result[:, place] += column
    return result


def _checked(node: NodeProto, weights: np.ndarray) -> np.ndarray:
    if np.abs(weights).max(initial=0) >= _LARGEST_WEIGHT:
        raise unsupported(node, f"a weight becomes the integer {int(np.abs(weights).max())}", "use one scale a layer")
    return weights.astype(np.float32)


def _conv(b: Builder, node: NodeProto) -> None:
    value = b.value(node)
    integers, weight_scales = integer_weights(node, weights_of(b, node))
    if integers.ndim != 4 or len(value.shape) != 3:
        raise unsupported(node, "only convolutions over rows and columns are supported", "use Conv2d")
    groups = int(attribute(node, "group", 1))
    rows, depth, *kernel = integers.shape
    channels = value.shape[0]
    if groups < 1 or rows % groups or channels != depth * groups or not integers.size:
        raise unsupported(
            node, f"{groups} groups of {depth} channels do not fit {channels} channels and {rows} filters"
        )
    own = pads_of(node, kernel, value.shape[1:])
    pads, padded_with = bordered(b, node, value, own)
    source = layer_input(node, value, groups, padded_with)
    if groups == 1:
        base, places = b.gathered(value, node)
        weights = _folded(integers, source.factors, places, base.shape[0])
    else:
        base = b.materialized(value, node)
        lanes = source.factors.reshape(groups, 1, depth, 1, 1)
        weights = (integers.reshape(groups, -1, *integers.shape[1:]) * lanes).reshape(integers.shape)
    own_scales = weight_scales.copy()
    weights, weight_scales = _signed_scales(weights, weight_scales)
    real = integers * own_scales.reshape(-1, 1, 1, 1)
    per_group = source.offsets.reshape(groups, 1, depth, 1, 1)
    offsets = (real.reshape(groups, -1, *integers.shape[1:]) * per_group).reshape(rows, -1).sum(axis=1)
    tensor, pads, low, high = emit_padded(b, node, base, pads, source.border)
    stride, dilation = attribute(node, "strides", [1, 1]), attribute(node, "dilations", [1, 1])
    name = b.initializer(f"{node.output[0]}_weights", _checked(node, weights))
    shape = (rows, *b.shape(node.output[0])[2:])
    made = b.emit(
        "Conv",
        [tensor, name],
        node.output[0],
        Base("", shape, *_range(weights, low, high)),
        node,
        kernel_shape=[int(k) for k in kernel],
        strides=[int(s) for s in stride],
        dilations=[int(d) for d in dilation],
        pads=[int(p) for p in pads],
        group=groups,
    )
    scales = weight_scales * np.repeat(source.scales, rows // groups)
    _finished(b, node, made, scales, offsets, _bias(b, node, 2, rows))


def _dense(b: Builder, node: NodeProto, integers: np.ndarray, weight_scales: np.ndarray, bias: np.ndarray) -> None:
    """A linear layer with weights (outputs, inputs)."""
    value = b.plain(node)
    if len(value.shape) != 1 or integers.ndim != 2:
        raise unsupported(
            node, "only a vector times a constant matrix is supported", "put Flatten in front of the linear layer"
        )
    if integers.shape[1] != value.shape[0]:
        raise unsupported(node, f"{integers.shape[1]} inputs do not fit a vector of {value.shape[0]}")
    source = layer_input(node, value, 1, None)
    base, places = b.gathered(value, node)
    offsets = (integers * weight_scales[:, None] * source.offsets).sum(axis=1)
    weights, scales = _signed_scales(_folded(integers, source.factors, places, base.shape[0]), weight_scales)
    name = b.initializer(f"{node.output[0]}_weights", np.ascontiguousarray(_checked(node, weights).T))
    result = Base("", (len(weights),), *_range(weights, base.low, base.high))
    made = b.emit("MatMul", [base.tensor, name], node.output[0], result, node)
    _finished(b, node, made, scales * source.scales[0], offsets, bias)


def _columns(b: Builder, node: NodeProto, transposed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Weights (outputs, inputs) of a linear layer, stored that way (``transposed``) or as (inputs, outputs)."""
    found = weights_of(b, node)
    if found.value.ndim != 2:
        raise unsupported(node, f"its weights of shape {list(found.value.shape)} are no matrix", "use Linear layers")
    return integer_weights(node, found if transposed else found.rearranged(lambda x: np.ascontiguousarray(x.T)))


def _matmul(b: Builder, node: NodeProto) -> None:
    integers, scales = _columns(b, node, transposed=False)
    _dense(b, node, integers, scales, np.zeros(len(integers)))


def _gemm(b: Builder, node: NodeProto) -> None:
    if attribute(node, "transA", 0):
        raise unsupported(node, "it transposes the batch", "use Linear layers")
    integers, scales = _columns(b, node, transposed=bool(attribute(node, "transB", 0)))
    alpha, beta = float(attribute(node, "alpha", 1.0)), float(attribute(node, "beta", 1.0))
    if not alpha or not np.isfinite((alpha, beta)).all():
        raise unsupported(node, f"its alpha is {alpha:g}, its beta {beta:g}", "use Linear layers")
    _dense(b, node, integers, scales * alpha, _bias(b, node, 2, len(integers)) * beta)


RULES = {"Conv": _conv, "MatMul": _matmul, "Gemm": _gemm}
