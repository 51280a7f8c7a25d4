"""Signs behind a layer go into its weights."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .base import attribute, bypass, consumers, producer_of

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["FoldSigns"]


@dataclass(frozen=True)
class FoldSigns:
    """A Mul by +1 and -1 a channel behind a Conv, ExpertConv or MatMul that nothing else reads: rows change sign."""

    name: str = "FoldSigns"

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        model = copy.deepcopy(model)
        for node in list(model.get_nodes_by_op_type("Mul")):
            signs = model.get_initializer(node.input[1])
            layer = producer_of(model, node.input[0])
            if signs is None or not np.isin(signs, (-1, 1)).all() or layer is None or signs.ndim == 0:
                continue
            if len(consumers(model, node.input[0])) == 1 and layer.op_type in ("Conv", "ExpertConv", "MatMul"):
                self._flip(model, layer, signs.reshape(-1))
                bypass(model, node)
        return model

    @staticmethod
    def _flip(model: ModelWrapper, layer: NodeProto, signs: np.ndarray) -> None:
        position = len(layer.input) - 3 if layer.op_type == "ExpertConv" else 1
        weights = model.get_initializer(layer.input[position])
        if layer.op_type == "MatMul":
            flipped = weights * signs
        else:
            banks = int(attribute(layer, "n_experts", 1))
            flipped = weights * np.tile(signs, banks).reshape(-1, *[1] * (weights.ndim - 1))
        model.set_initializer(layer.input[position], flipped.astype(np.float32))
