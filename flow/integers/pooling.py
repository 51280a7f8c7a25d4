"""Pooling on integers: a maximum commutes with what never falls, an average is a sum and a division."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..passes.base import attribute
from ..passes.supported import unsupported
from .builder import Builder, pads_of
from .elementwise import with_affine
from .linear import bordered, emit_padded, layer_input
from .value import Base, Step, Value

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["RULES"]

_REMEDY = "put the quantizer in front of the pooling"


def _geometry(node: NodeProto, value: Value) -> tuple[list[int], list[int], list[int], tuple[int, int, int, int]]:
    """Kernel, strides, dilations and own padding."""
    if len(value.shape) != 3:
        raise unsupported(node, f"it pools a tensor of shape {list(value.shape)}", "use pooling over rows and columns")
    kernel = [int(k) for k in attribute(node, "kernel_shape", [])]
    strides = [int(s) for s in attribute(node, "strides", [1, 1])]
    dilations = [int(d) for d in attribute(node, "dilations", [1, 1])]
    if len(kernel) != 2 or len(strides) != 2 or len(dilations) != 2 or min(*kernel, *strides, *dilations) < 1:
        raise unsupported(node, "only pooling over rows and columns is supported", "use MaxPool2d")
    return kernel, strides, dilations, pads_of(node, kernel, value.shape[1:])


def _reach(size: int, out: int, kernel: int, stride: int, dilation: int, before: int) -> int:
    """Padding behind that gives ``out`` positions."""
    return (out - 1) * stride + (kernel - 1) * dilation + 1 - size - before


def _channelwise(node: NodeProto, value: Value) -> np.ndarray:
    """The direction of the steps of each channel, which must be the same for all pixels."""
    for step in value.steps:
        rows = step.operand.reshape(value.shape[0], -1)
        if (rows != rows[:, :1]).any():
            raise unsupported(node, f"the {step.kind} in front of it differs from pixel to pixel", _REMEDY)
    direction = value.direction().reshape(value.shape[0], -1)[:, 0]
    if np.isnan(direction).any():
        raise unsupported(node, "a PReLU with a negative slope stands in front of it", _REMEDY)
    return direction


def _max_pool(b: Builder, node: NodeProto) -> None:
    if any(t for t in node.output[1:]):
        raise unsupported(node, "it gives indices, too", "use MaxPool2d without return_indices")
    value = b.value(node)
    kernel, strides, dilations, own = _geometry(node, value)
    _, out_h, out_w = b.shape(node.output[0])[1:]
    top, left, bottom, right = own
    # ceil_mode: windows that hang over are cut off, as if padded with what is never the largest
    bottom = max(bottom, _reach(value.shape[1], out_h, kernel[0], strides[0], dilations[0], top))
    right = max(right, _reach(value.shape[2], out_w, kernel[1], strides[1], dilations[1], left))
    if attribute(node, "ceil_mode", 0) == 0:
        top, left, bottom, right = own
    _pool_max(b, node, value, kernel, strides, dilations, (top, left, bottom, right))


def _pool_max(b: Builder, node: NodeProto, value: Value, kernel, strides, dilations, pads) -> None:
    shape = b.shape(node.output[0])[1:]
    direction = _channelwise(node, value)
    amounts, border = (0, 0, 0, 0), 0
    if value.border is not None and any(value.border.amounts):
        source = layer_input(node, value, value.shape[0], value.border.value)
        amounts, border = value.border.amounts, source.border
    base, places = b.gathered(Value(value.bases, value.index), node)
    signs = np.ones(base.shape[0], dtype=np.int64)
    falling = direction < 0
    signs[places[falling]] = -1
    if (signs[places[~falling & (direction > 0)]] < 0).any():
        # copies of one channel, some rising, some falling: its largest and its smallest are both wanted
        double = b.joined(
            [(base, 0, base.shape[0]), (b.negated(base, -np.ones(base.shape[0]), node), 0, base.shape[0])], node
        )
        places = np.where(falling, places + base.shape[0], places)
        base, signs = double, np.ones(2 * base.shape[0], dtype=np.int64)
    elif falling.any():
        base = b.negated(base, signs, node)
    if any(amounts) and falling.any():
        raise unsupported(
            node, "it pools a padded tensor behind a negative scale", "pad right in front of a convolution"
        )
    tensor, rest, low, high = emit_padded(b, node, base, amounts, border)
    if any(rest):  # padded with zeros, which count
        tensor, low, high = _zero_bordered(b, node, base, rest)
    made = b.emit(
        "MaxPool",
        [tensor],
        node.output[0],
        Base("", (base.shape[0], *shape[1:]), low, high, base.bipolar),
        node,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        pads=list(pads),
    )
    pixels = made.size // made.shape[0]
    index = (places[:, None] * pixels + np.arange(pixels)).reshape(value.shape[0], *shape[1:])
    steps = [Step(s.kind, np.broadcast_to(s.operand[:, :1, :1], index.shape)) for s in value.steps]
    if falling.any():
        flips = np.where(falling, np.float32(-1), np.float32(1)).reshape(-1, 1, 1)
        steps.insert(0, Step("Mul", np.broadcast_to(flips, index.shape)))
    b.values[node.output[0]] = Value((made,), index, tuple(steps))


def _zero_bordered(b: Builder, node: NodeProto, base: Base, pads) -> tuple[str, int, int]:
    """A Pad node with zeros."""
    if base.bipolar:
        raise unsupported(node, "it pools bits that are padded with 0", "pad with the least value of the quantizer")
    top, left, bottom, right = pads
    amounts = b.initializer(f"{base.tensor}_pads", np.array([0, 0, top, left, 0, 0, bottom, right], dtype=np.int64))
    zero = b.initializer(f"{base.tensor}_border", np.array(0, dtype=np.float32))
    channels, height, width = base.shape
    low, high = min(base.low, 0), max(base.high, 0)
    padded = Base("", (channels, height + top + bottom, width + left + right), low, high)
    made = b.emit("Pad", [base.tensor, amounts, zero], f"{base.tensor}_padded", padded, node, mode="constant")
    return made.tensor, low, high


def _average_pool(b: Builder, node: NodeProto) -> None:
    value = b.value(node)
    kernel, strides, dilations, own = _geometry(node, value)
    if attribute(node, "ceil_mode", 0):
        floor = [
            (n + before + after - (k - 1) * d - 1) // s + 1
            for n, before, after, k, s, d in zip(
                value.shape[1:], own[:2], own[2:], kernel, strides, dilations, strict=True
            )
        ]
        if floor != list(b.shape(node.output[0])[2:]):
            raise unsupported(node, "its last windows hang over the border", "use ceil_mode=False")
    if any(own) and not attribute(node, "count_include_pad", 0):
        raise unsupported(
            node, "windows at the border average fewer pixels", "use count_include_pad=True, or no padding"
        )
    _pool_sum(b, node, value, kernel, strides, dilations, own, kernel[0] * kernel[1])


def _pool_sum(b: Builder, node: NodeProto, value: Value, kernel, strides, dilations, own, divisor: int) -> None:
    shape = b.shape(node.output[0])[1:]
    size = (value.shape[0], shape[1], shape[2]) if len(shape) == 3 else (value.shape[0], 1, 1)
    pads, padded_with = bordered(b, node, value, own)
    channels = value.shape[0]
    source = layer_input(node, value, channels, padded_with)
    base, places = b.gathered(Value(value.bases, value.index), node)
    tensor, pads, low, high = emit_padded(b, node, base, pads, source.border)
    taps = kernel[0] * kernel[1]
    ones = np.ones((base.shape[0], 1, *kernel), dtype=np.float32)
    made = b.emit(
        "Conv",
        [tensor, b.initializer(f"{node.output[0]}_ones", ones)],
        node.output[0],
        Base("", (base.shape[0], *size[1:]), taps * low, taps * high),
        node,
        kernel_shape=list(kernel),
        strides=list(strides),
        dilations=list(dilations),
        pads=list(pads),
        group=base.shape[0],
    )
    pixels = made.size // made.shape[0]
    index = (places[:, None] * pixels + np.arange(pixels)).reshape(size)
    result = Value((made,), index)
    if divisor != 1:
        result = result.step("Div", np.float32(divisor))
    scale = (source.scales * source.factors).reshape(-1, 1, 1)
    offset = (source.offsets * taps / divisor).reshape(-1, 1, 1)
    b.values[node.output[0]] = with_affine(result, scale, offset).rearranged(lambda x: x.reshape(shape))


def _global(b: Builder, node: NodeProto) -> None:
    value = b.value(node)
    if len(value.shape) != 3 or value.border is not None:
        raise unsupported(node, "it pools no feature map", "use it behind convolutions")
    kernel = [int(n) for n in value.shape[1:]]
    if node.op_type == "GlobalMaxPool":
        _pool_max(b, node, value, kernel, [1, 1], [1, 1], (0, 0, 0, 0))
    else:
        _pool_sum(b, node, value, kernel, [1, 1], [1, 1], (0, 0, 0, 0), kernel[0] * kernel[1])


def _reduce(b: Builder, node: NodeProto) -> None:
    """ReduceMean and ReduceSum over rows and columns."""
    value = b.value(node)
    axes = b.optional(node, 1)
    chosen = attribute(node, "axes") if axes is None else [int(a) for a in axes.reshape(-1)]
    if len(value.shape) != 3 or chosen is None or sorted(a % 4 for a in chosen) != [2, 3]:
        raise unsupported(node, f"it reduces the axes {chosen}", "reduce rows and columns only (axes 2 and 3)")
    kernel = [int(n) for n in value.shape[1:]]
    divisor = kernel[0] * kernel[1] if node.op_type == "ReduceMean" else 1
    _pool_sum(b, node, value, kernel, [1, 1], [1, 1], (0, 0, 0, 0), divisor)


RULES = {
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global),
    **dict.fromkeys(("ReduceMean", "ReduceSum"), _reduce),
}
