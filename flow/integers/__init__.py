"""The integer form of a network: what every tensor is in terms of integers that hardware computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import elementwise, experts, linear, output, padding, pooling, quantizers, views
from .builder import Builder

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["RULES", "Builder"]

#: What becomes of each kind of node of an exported network.
RULES: dict[str, Callable[[Builder, NodeProto], None]] = {}
for _room in (elementwise, experts, linear, output, padding, pooling, quantizers, views):
    RULES.update(_room.RULES)
