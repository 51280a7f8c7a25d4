"""What each node of a streamlined model becomes in hardware."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import joins, layers, pools, thresholds
from .walk import Walk

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["HANDLERS", "Walk"]

#: Kinds of nodes that a streamlined model may have.
HANDLERS: dict[str, Callable[[Walk, NodeProto], None]] = {}
for _room in (joins, layers, pools, thresholds):
    HANDLERS.update(_room.HANDLERS)
