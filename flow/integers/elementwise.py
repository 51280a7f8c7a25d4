"""Scales, offsets, normalizations and activations become steps; sums of two tensors become an Add of integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ...hw.ops.add import LARGEST_GAIN
from ..passes.base import attribute
from ..passes.supported import unsupported
from .builder import Builder
from .scales import common_scale
from .value import Affine, Base, Constant, Value, whole

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["RULES"]


def _step(b: Builder, node: NodeProto, value: Value, kind: str, constant: ArrayLike) -> None:
    """Give a node's output one step more; the constant has the shape of a tensor with batch."""
    operand = np.asarray(constant, dtype=np.float32)
    if not np.isfinite(operand).all() and kind not in ("Max", "Min"):
        raise unsupported(node, "one of its constants is not finite", "train again, then export again")
    if kind == "Div" and (operand == 0).any():
        raise unsupported(node, "it divides by 0", "train again, then export again")
    full = (1, *value.shape)
    try:
        if np.broadcast_shapes(full, operand.shape) != full:
            raise ValueError
    except ValueError:
        raise unsupported(
            node, f"its constant of shape {list(operand.shape)} does not fit a tensor of shape {list(full)}"
        ) from None
    b.values[node.output[0]] = value.step(kind, np.broadcast_to(operand, full)[0])


def _arithmetic(b: Builder, node: NodeProto) -> None:
    """Mul, Div, Add, Sub with a constant on either side; Add and Sub of two tensors."""
    kind = node.op_type
    left, right = b.get(node.input[0]), b.get(node.input[1])
    if isinstance(left, Constant) and isinstance(right, Constant):
        operation = {"Mul": np.multiply, "Div": np.divide, "Add": np.add, "Sub": np.subtract}[kind]
        with np.errstate(all="ignore"):
            b.values[node.output[0]] = Constant(operation(left.value, right.value))
        return
    if isinstance(right, Constant):
        _step(b, node, b.plain(node, 0), kind, right.value)
        return
    if isinstance(left, Constant):
        value = b.plain(node, 1)
        if kind == "Div":
            raise unsupported(node, "it divides a constant by the tensor", "divide the tensor by a constant instead")
        if kind == "Sub":
            value = value.step("Mul", np.float32(-1))
        _step(b, node, value, "Add" if kind == "Sub" else kind, left.value)
        return
    if kind in ("Mul", "Div"):
        raise unsupported(node, "it multiplies two streams", "multiply by constants only")
    _sum_of_two(b, node)


def _sum_of_two(b: Builder, node: NodeProto) -> None:
    values = [b.plain(node, 0), b.plain(node, 1)]
    if values[0].shape != values[1].shape:
        raise unsupported(node, f"it adds shapes {list(values[0].shape)} and {list(values[1].shape)}")
    forms = [scale_and_offset(node, v) for v in values]
    if node.op_type == "Sub":
        forms[1] = Affine(-forms[1].scale, -forms[1].offset)
    remedy = "give both branches one power-of-two scale (a quantizer shared by both)"
    ratios = []
    for form in forms:
        if (form.scale == 0).any():
            raise unsupported(node, "one of the tensors that it adds is scaled by 0", remedy)
        ratios.append(np.unique(np.float32(form.scale / forms[0].scale)))
    if any(len(r) != 1 for r in ratios):
        raise unsupported(node, "the tensors that it adds are scaled differently, channel by channel", remedy)
    starts = np.array([float(form.scale.flat[0]) for form in forms])
    found = common_scale(starts, LARGEST_GAIN)
    if found is None or not found[1].all():
        raise unsupported(node, f"the scales of the tensors that it adds differ by {float(ratios[1][0]):g}", remedy)
    unit, gains = found[0] / starts[0], found[1]
    bases = [b.materialized(v, node) for v in values]
    names, low, high = [], 0, 0
    for base, gain in zip(bases, gains.tolist(), strict=True):
        ends = sorted((base.low * gain, base.high * gain))
        low, high = low + ends[0], high + ends[1]
        name = base.tensor
        if gain != 1:
            factor = b.initializer(f"{base.tensor}_gain", np.array(gain, dtype=np.float32))
            scaled = Base("", base.shape, *ends)
            name = b.emit("Mul", [base.tensor, factor], f"{base.tensor}_scaled", scaled, node).tensor
        names.append(name)
    value = whole(b.emit("Add", names, node.output[0], Base("", bases[0].shape, low, high), node))
    b.values[node.output[0]] = with_affine(value, forms[0].scale * unit, forms[0].offset + forms[1].offset)


def scale_and_offset(node: NodeProto, value: Value) -> Affine:
    """The steps in front of a layer that needs integers, as scales and offsets.

    Raises
    ------
    ModelError
        An activation that is no quantizer stands among them.
    """
    form = value.affine()
    if form is None:
        raise unsupported(
            node,
            "what it reads went through ReLU, PReLU or Clip and no quantizer",
            "put BinaryActivation or QuantIdentity in front of the layer",
        )
    if not (np.isfinite(form.scale).all() and np.isfinite(form.offset).all()):
        raise unsupported(node, "a scale in front of it is not finite", "train again, then export again")
    return form


def with_affine(value: Value, scale: np.ndarray, offset: np.ndarray) -> Value:
    """A value with a Mul and an Add behind it, where they do something."""
    if (scale != 1).any():
        value = value.step("Mul", np.asarray(scale, dtype=np.float32))
    if (offset != 0).any():
        value = value.step("Add", np.asarray(offset, dtype=np.float32))
    return value


def _batch_norm(b: Builder, node: NodeProto) -> None:
    """``A*x + B`` with A and B made in float32, as onnxruntime and qonnx make them."""
    if attribute(node, "training_mode", 0):
        raise unsupported(node, "it is in training mode", "export the network in eval mode")
    value = b.plain(node)
    scale, bias, mean, variance = (np.asarray(b.constant(node, i), np.float32) for i in range(1, 5))
    with np.errstate(all="ignore"):
        slope = scale / np.sqrt(np.float32(attribute(node, "epsilon", 1e-5)) + variance)
        offset = bias - slope * mean
    if not (np.isfinite(slope).all() and np.isfinite(offset).all()):
        raise unsupported(
            node, "its statistics are not finite, or its variance is negative", "train again, then export again"
        )
    shape = (1, -1, *[1] * (len(value.shape) - 1))
    _step(b, node, value, "Mul", slope.reshape(shape))
    value = b.values[node.output[0]]  # type: ignore[assignment]
    _step(b, node, value, "Add", offset.reshape(shape))


def _prelu(b: Builder, node: NodeProto) -> None:
    _step(b, node, b.plain(node), "PRelu", b.constant(node, 1))


def _leaky_relu(b: Builder, node: NodeProto) -> None:
    _step(b, node, b.plain(node), "PRelu", np.float32(attribute(node, "alpha", 0.01)))


def _relu(b: Builder, node: NodeProto) -> None:
    _step(b, node, b.plain(node), "Max", np.float32(0))


def _clip(b: Builder, node: NodeProto) -> None:
    given = b.optional(node, 1), b.optional(node, 2)
    value = b.plain(node)
    b.values[node.output[0]] = value
    for kind, key, constant in (("Max", "min", given[0]), ("Min", "max", given[1])):
        limit = attribute(node, key) if constant is None else np.asarray(constant)
        if limit is not None:
            if np.isnan(limit).any():
                raise unsupported(node, "one of its limits is not a number", "export again with finite limits")
            _step(b, node, b.values[node.output[0]], kind, np.asarray(limit))  # type: ignore[arg-type]


def _negate(b: Builder, node: NodeProto) -> None:
    _step(b, node, b.plain(node), "Mul", np.float32(-1))


RULES = {
    **dict.fromkeys(("Mul", "Div", "Add", "Sub"), _arithmetic),
    "BatchNormalization": _batch_norm,
    "PRelu": _prelu,
    "LeakyRelu": _leaky_relu,
    "Relu": _relu,
    "Clip": _clip,
    "Neg": _negate,
}
