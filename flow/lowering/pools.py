"""Maximum pooling; and padding, which is part of the layer behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...hw.ops.pool import Pool
from ...hw.ops.sliding_window import SlidingWindow
from ...hw.ops.window_pool import WindowPool
from ...hw.types import BIPOLAR
from ..passes.base import attribute, producer_of
from ..passes.supported import unsupported
from .walk import Streamed, Walk, border_of

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["HANDLERS"]


def _max_pool(walk: Walk, node: NodeProto) -> None:
    kernel = tuple(int(k) for k in attribute(node, "kernel_shape"))
    strides = tuple(int(s) for s in attribute(node, "strides", [1, 1]))
    dilations = tuple(int(d) for d in attribute(node, "dilations", [1, 1]))
    if len(kernel) != 2:
        raise unsupported(node, "only pooling over rows and columns is supported", "use MaxPool2d")
    pad = producer_of(walk.model, node.input[0])
    source, pads, border = border_of(walk, node)
    x = walk.image(node, source)
    if pad is None or pad.op_type != "Pad":
        border = -1 if x.type.element == BIPOLAR else x.type.element.min  # never the largest
    h, w, _ = x.type.shape
    # windows that hang over at the end (ceil_mode) are written as strides that reach beyond the frame
    oh, ow = walk.model.get_tensor_shape(node.output[0])[2:]
    bottom = (oh - 1) * strides[0] + (kernel[0] - 1) * dilations[0] + 1 - h - pads[0]
    right = (ow - 1) * strides[1] + (kernel[1] - 1) * dilations[1] + 1 - w - pads[1]
    pads = [pads[0], pads[1], max(0, bottom), max(0, right)]
    whole = kernel == (h, w)
    if (strides == kernel or whole) and dilations == (1, 1) and not any(pads):
        op: Pool | WindowPool = Pool(x.type, (kernel[0], kernel[1]), "max")
        stream = x.stream
    else:
        window = SlidingWindow(x.type, kernel, strides, tuple(pads), border, 1, dilations)  # type: ignore[arg-type]
        (stream,) = walk.add("sliding_window", window, (x.stream,), node)
        op = WindowPool(window.outputs[0], kernel[0] * kernel[1], "max")
    (out,) = walk.add("pool", op, (stream,), node)
    walk.define(node.output[0], Streamed(out, op.outputs[0]))


def _pad(walk: Walk, node: NodeProto) -> None:
    """Part of the layer behind it."""
    for reader in walk.readers(node):
        if reader.op_type not in ("Conv", "MaxPool"):
            raise unsupported(node, f"{reader.name} ({reader.op_type}) reads it", "pad in front of a layer only")


HANDLERS = {"MaxPool": _max_pool, "Pad": _pad}
