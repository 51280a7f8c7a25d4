"""Convolutions, expert convolutions and linear layers: SlidingWindow, Gate, FrameHold and MatVec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...hw.ops.frame_hold import FrameHold
from ...hw.ops.gate import Gate
from ...hw.ops.matvec import MatVec
from ...hw.ops.pool import Pool
from ...hw.ops.sliding_window import SlidingWindow
from ...hw.ops.window_pool import WindowPool
from ...hw.types import BIPOLAR, StreamType
from ..custom_op import expert_inputs
from ..passes.base import attribute
from ..passes.supported import unsupported
from .walk import Streamed, Walk, border_of

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["HANDLERS", "first_hold_depth"]


def first_hold_depth(stream: StreamType) -> int:
    """Beats of room of a FrameHold before folding: one frame of single elements, and some for the Gate.

    Folding replaces it with the depth that the design needs (``hw.performance.size_fifos``).
    """
    return stream.elements + 8


def _conv(walk: Walk, node: NodeProto) -> None:
    source, pads, border = border_of(walk, node)
    weights = walk.integers(node, 1, "weights")
    if weights.ndim != 4:
        raise unsupported(node, "only 2-D convolutions are supported")
    if len(node.input) > 2:
        raise unsupported(node, "it has a bias", "streamline the model first")
    x = walk.image(node, source)
    if _sums(node, weights):
        _sum_pool(walk, node, x, pads, border, weights.shape[2:])
        return
    _window_and_matvec(walk, node, x, (x.stream,), weights[None], pads, border)


def _sums(node: NodeProto, weights: np.ndarray) -> bool:
    """Whether a convolution adds up the pixels of each channel: a pooling."""
    rows, depth, kh, kw = weights.shape
    return depth == 1 and rows == attribute(node, "group", 1) and kh * kw > 1 and bool((weights == 1).all())


def _sum_pool(walk: Walk, node: NodeProto, x: Streamed, pads: list[int], border: int, kernel: Sequence[int]) -> None:
    kh, kw = (int(k) for k in kernel)
    strides = tuple(int(s) for s in attribute(node, "strides", [1, 1]))
    dilations = tuple(int(d) for d in attribute(node, "dilations", [1, 1]))
    if (strides == (kh, kw) or (kh, kw) == x.type.shape[:2]) and dilations == (1, 1) and not any(pads):
        op: Pool | WindowPool = Pool(x.type, (kh, kw), "sum")
        stream = x.stream
    else:
        window = SlidingWindow(x.type, (kh, kw), strides, tuple(pads), border, 1, dilations)  # type: ignore[arg-type]
        (stream,) = walk.add("sliding_window", window, (x.stream,), node)
        op = WindowPool(window.outputs[0], kh * kw, "sum")
    (out,) = walk.add("pool", op, (stream,), node)
    walk.define(node.output[0], Streamed(out, op.outputs[0]))


def _expert_conv(walk: Walk, node: NodeProto) -> None:
    names = expert_inputs(node)
    at = [list(node.input).index(n) for n in names]
    experts = int(attribute(node, "n_experts"))
    bank = walk.integers(node, at[2], "weights")
    weights, bias = walk.integers(node, at[3], "gate's weights"), walk.integers(node, at[4], "gate's biases")
    bank = bank.reshape(experts, -1, *bank.shape[1:])
    x = walk.image(node, names[0])
    inputs: tuple[str, ...] = (x.stream,)
    if experts > 1:
        g = walk.image(node, names[1])
        gate = Gate(g.type, weights, bias.reshape(-1))
        (token,) = walk.add("gate", gate, (g.stream,), node)
        hold = FrameHold(x.type, experts, first_hold_depth(x.type))
        inputs = walk.add("frame_hold", hold, (x.stream, token), node)
        walk.also(inputs[0], x.stream)
    pads = [int(p) for p in attribute(node, "pads", [0, 0, 0, 0])]
    name = _window_and_matvec(walk, node, x, inputs, bank, pads, int(attribute(node, "pad_value", 0.0)))
    walk.experts[name] = experts
    if experts > 1:
        walk.gate_sources[name] = "sign bits" if g.type.element == BIPOLAR else "values before sign"


def _window_and_matvec(
    walk: Walk,
    node: NodeProto,
    x: Streamed,
    inputs: tuple[str, ...],
    weights: np.ndarray,
    pads: Sequence[int],
    border: int,
) -> str:
    """Add the operators of a convolution with weights (banks, out, C/group, kh, kw); returns MatVec's name."""
    banks, rows, depth, kh, kw = weights.shape
    group = int(attribute(node, "group", 1))
    stride_y, stride_x = attribute(node, "strides", [1, 1])
    dilation_y, dilation_x = attribute(node, "dilations", [1, 1])
    strides, dilations = (stride_y, stride_x), (dilation_y, dilation_x)
    # [kernel row][kernel column][channel of the group], as SlidingWindow orders a window
    table = weights.reshape(banks, group, rows // group, depth, kh, kw).transpose(0, 1, 2, 4, 5, 3)
    table = np.ascontiguousarray(table.reshape(banks, group, rows // group, depth * kh * kw))
    stream, kind, tap = inputs[0], x.type, 0
    if (kh, kw) != (1, 1) or strides != (1, 1) or any(pads):
        top, left, bottom, right = (int(p) for p in pads)
        window = SlidingWindow(x.type, (kh, kw), strides, (top, left, bottom, right), border, group, dilations)
        (stream,) = walk.add("sliding_window", window, (stream,), node)
        kind, tap = window.outputs[0], depth
    op = MatVec(kind, table, tap)
    (out,) = walk.add("matvec", op, (stream, *inputs[1:]), node)
    walk.define(node.output[0], Streamed(out, op.outputs[0]))
    return walk.nodes[-1].name


def _matmul(walk: Walk, node: NodeProto) -> None:
    x = walk.value(node, node.input[0])
    weights = walk.integers(node, 1, "weights")
    if weights.ndim != 2 or len(walk.model.get_tensor_shape(node.input[0])) != 2:
        raise unsupported(node, "only vectors times a constant matrix are supported", "Flatten in front of it")
    if x.order is not None:
        weights = weights[x.order]
    op = MatVec(replace(x.type, shape=(1, 1, x.type.elements)), np.ascontiguousarray(weights.T)[None, None])
    (out,) = walk.add("matvec", op, (x.stream,), node)
    walk.define(node.output[0], Streamed(out, op.outputs[0]))


HANDLERS = {"Conv": _conv, "ExpertConv": _expert_conv, "MatMul": _matmul}
