"""Padding around rows and columns waits for the layer behind it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..model_proto import shown
from ..passes.base import attribute
from ..passes.supported import unsupported
from .builder import Builder
from .value import Border

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["RULES"]


def _pad(b: Builder, node: NodeProto) -> None:
    value = b.value(node)
    mode = attribute(node, "mode", "constant")
    if mode != "constant":
        raise unsupported(node, f"it pads by {shown(mode)!r}", "pad with a constant")
    amounts = b.optional(node, 1)
    given = attribute(node, "pads") if amounts is None else [int(a) for a in amounts.reshape(-1)]
    number = b.optional(node, 2)
    padded_with = float(attribute(node, "value", 0.0)) if number is None else float(np.asarray(number).reshape(-1)[0])
    axes = b.optional(node, 3)
    rank = len(value.shape) + 1
    full = [0] * (2 * rank)
    chosen = range(rank) if axes is None else [int(a) % rank for a in axes.reshape(-1)]
    if given is None or len(given) != 2 * len(chosen):
        raise unsupported(node, f"its padding {given} does not fit a tensor of {rank} dimensions")
    for place, axis in enumerate(chosen):
        full[axis], full[axis + rank] = given[place], given[place + len(chosen)]
    if not any(full):
        b.values[node.output[0]] = value
        return
    if rank != 4 or any(full[i] for i in (0, 1, 4, 5)) or min(full) < 0 or not np.isfinite(padded_with):
        raise unsupported(
            node, f"it pads {full} with {padded_with:g}", "pad rows and columns only, with a finite number"
        )
    top, left, bottom, right = full[2], full[3], full[6], full[7]
    if value.border is not None:
        if value.border.value != padded_with:
            raise unsupported(node, "it pads what is padded with another number already", "pad once")
        before = value.border.amounts
        top, left, bottom, right = (a + b_ for a, b_ in zip((top, left, bottom, right), before, strict=True))
    b.values[node.output[0]] = replace(value, border=Border((top, left, bottom, right), padded_with))


RULES = {"Pad": _pad}
