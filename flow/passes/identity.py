"""Removes nodes that hand on what they get."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .base import bypass

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["RemoveDeadNodes", "RemoveIdentities"]

_SHAPE_ONLY = ("Expand", "Reshape", "Flatten", "Squeeze", "Unsqueeze")


@dataclass(frozen=True)
class RemoveIdentities:
    """Remove Identity, and Expand, Reshape, Transpose, Tile, Pad that change neither shape nor values.

    FINN's passes look at neighbours: what does nothing may not stand between them.
    """

    name: str = "RemoveIdentities"

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        model = copy.deepcopy(model)
        for node in list(model.graph.node):
            if model.get_initializer(node.input[0]) is None and self._is_identity(model, node):
                bypass(model, node)
        return model

    @staticmethod
    def _is_identity(model: ModelWrapper, node: NodeProto) -> bool:
        if node.op_type == "Identity":
            return True
        same_shape = model.get_tensor_shape(node.input[0]) == model.get_tensor_shape(node.output[0])
        if node.op_type in (*_SHAPE_ONLY, "Tile", "Pad"):
            return same_shape and len(node.output) == 1
        if node.op_type == "Transpose":
            order = next((list(a.ints) for a in node.attribute if a.name == "perm"), [])
            shape = model.get_tensor_shape(node.input[0])
            moved = [i for i in order if shape[i] != 1]
            return same_shape and moved == sorted(moved) and bool(order)
        return False


@dataclass(frozen=True)
class RemoveDeadNodes:
    """Remove nodes whose results nobody reads."""

    name: str = "RemoveDeadNodes"

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        model = copy.deepcopy(model)
        needed = {model.graph.output[0].name}
        for node in reversed(list(model.graph.node)):
            if needed.isdisjoint(node.output):
                model.graph.node.remove(node)
            else:
                needed.update(node.input)
        model.cleanup()
        return model
