"""What a Pad node does. Borders stay nodes until lowering puts them into the SlidingWindow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import attribute, scalar_of

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["border", "pad_value"]


def border(model: ModelWrapper, node: NodeProto) -> list[int] | None:
    """[top, left, bottom, right] of a Pad node of NCHW; None if it pads anything else."""
    if attribute(node, "mode", "constant") != "constant":
        return None
    amounts = attribute(node, "pads")
    if amounts is None:
        constant = model.get_initializer(node.input[1])
        if constant is None:
            return None
        amounts = [int(v) for v in constant.reshape(-1)]
    if len(amounts) != 8 or any(amounts[i] for i in (0, 1, 4, 5)) or min(amounts) < 0:
        return None
    return [amounts[i] for i in (2, 3, 6, 7)]


def pad_value(model: ModelWrapper, node: NodeProto) -> float | None:
    """The constant that a Pad node puts around; None if it is not known or the mode is not ``constant``."""
    if attribute(node, "mode", "constant") != "constant":
        return None
    if len(node.input) < 3 or not node.input[2]:
        return float(attribute(node, "value", 0.0))
    return scalar_of(model.get_initializer(node.input[2]))
