"""Removes nodes that hand on what they get."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .base import attribute, bypass, tensor_shapes

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto
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
        shapes, constants = tensor_shapes(model), {t.name: t for t in model.graph.initializer}
        for node in list(model.graph.node):
            if node.input[0] not in constants and self._is_identity(node, shapes, constants):
                bypass(model, node)
        return model

    @staticmethod
    def _is_identity(node: NodeProto, shapes: dict[str, list[int]], constants: dict[str, TensorProto]) -> bool:
        if node.op_type == "Identity":
            return True
        shape = shapes[node.input[0]]
        if len(node.output) != 1 or shape != shapes[node.output[0]]:
            return False
        if node.op_type == "Transpose":
            order = next((list(a.ints) for a in node.attribute if a.name == "perm"), [])
            moved = [i for i in order if shape[i] != 1]
            return moved == sorted(moved) and bool(order)
        if node.op_type == "Pad":  # what it cuts off on one side it may add on the other
            from onnx import numpy_helper

            given = attribute(node, "pads")
            if len(node.input) > 1 and node.input[1] in constants:
                given = numpy_helper.to_array(constants[node.input[1]])
            return given is not None and not np.any(given)
        return node.op_type in (*_SHAPE_ONLY, "Tile")


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
