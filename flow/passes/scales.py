"""Real-valued scales moved out of the way of the integers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .base import bypass, channel_vector, consumers, producer_of, scalar_of
from .pad import pad_value
from .ranges import integer_ranges
from .supported import unsupported

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["MoveMonotonePastMaxPool", "MoveScalePastPad", "RecordOutputScale", "SplitBipolarScale"]


@dataclass(frozen=True)
class SplitBipolarScale:
    """A binarization to -s and +s becomes one to -1 and +1, and a Mul by s. FINN takes no other s than 1."""

    name: str = "SplitBipolarScale"

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        from onnx import helper

        model = copy.deepcopy(model)
        for node in model.get_nodes_by_op_type("BipolarQuant"):
            if model.get_initializer(node.input[0]) is not None:
                continue  # weights: FINN moves their scale behind the layer
            scale = scalar_of(model.get_initializer(node.input[1]))
            if scale is None or scale <= 0:
                raise unsupported(node, "it needs one positive, constant scale", "use BinaryActivation")
            if scale == 1.0:
                continue
            out = node.output[0]
            middle, factor, one = f"{out}_bits", f"{out}_scale", f"{out}_one"
            node.output[0], node.input[1] = middle, one
            model.set_tensor_shape(middle, model.get_tensor_shape(out))
            model.set_initializer(factor, np.array(scale, dtype=np.float32))
            model.set_initializer(one, np.array(1.0, dtype=np.float32))
            position = list(model.graph.node).index(node) + 1
            model.graph.node.insert(position, helper.make_node("Mul", [middle, factor], [out]))
        model.cleanup()
        return model


@dataclass(frozen=True)
class MoveScalePastPad:
    """Swap a Mul by one positive number with the Pad behind it; the border's value is divided by it."""

    name: str = "MoveScalePastPad"

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        return _swap_all(model, "Pad", self._may)

    @staticmethod
    def _may(model: ModelWrapper, step: NodeProto, pad: NodeProto) -> bool:
        factor = scalar_of(model.get_initializer(step.input[1])) if step.op_type == "Mul" else None
        value = pad_value(model, pad)
        if factor is None or factor <= 0 or value is None:
            return False
        if value:
            constant = model.get_initializer(pad.input[2])
            model.set_initializer(pad.input[2], (constant / np.float32(factor)).astype(constant.dtype))
        return True


@dataclass(frozen=True)
class MoveMonotonePastMaxPool:
    """Swap what never falls, channel by channel (Mul by no negative number, Add, PReLU), with the MaxPool behind it.

    Exact, rounding included: the largest of f(x) is f of the largest x.
    """

    name: str = "MoveMonotonePastMaxPool"

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        return _swap_all(model, "MaxPool", self._may)

    @staticmethod
    def _may(model: ModelWrapper, step: NodeProto, pool: NodeProto) -> bool:
        if step.op_type == "Relu":
            return True
        if step.op_type not in ("Mul", "Div", "Add", "Sub", "PRelu"):
            return False
        shape = model.get_tensor_shape(step.output[0])
        constant = model.get_initializer(step.input[1])
        vector = None if constant is None else channel_vector(constant, len(shape), shape[1])
        if vector is None:
            return False
        if step.op_type in ("Add", "Sub"):
            return True
        return bool((vector > 0).all() if step.op_type == "Div" else (vector >= 0).all())


def _swap_all(
    model: ModelWrapper, kind: str, may: Callable[[ModelWrapper, NodeProto, NodeProto], bool]
) -> ModelWrapper:
    """Swap nodes of a kind with the node in front of them as long as ``may`` allows it for a pair."""
    model = copy.deepcopy(model)
    moved = True
    while moved:
        moved = False
        for node in model.get_nodes_by_op_type(kind):
            step = producer_of(model, node.input[0])
            if step is None or len(consumers(model, step.output[0])) > 1 or not may(model, step, node):
                continue
            source, middle, out = step.input[0], step.output[0], node.output[0]
            node.input[0], node.output[0] = source, middle
            step.input[0], step.output[0] = middle, out
            model.set_tensor_shape(middle, model.get_tensor_shape(out))
            behind = next(i for i, n in enumerate(model.graph.node) if n.name == node.name)
            model.graph.node.remove(step)
            model.graph.node.insert(behind, step)
            moved = True
            break
    return model


@dataclass(frozen=True)
class RecordOutputScale:
    """The last layer's scores become integers; a positive scale and an offset are kept in the metadata.

    ``output_scale`` and ``output_bias``: what the exported network gives is ``scale * integer + bias``.
    """

    name: str = "RecordOutputScale"

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        model = copy.deepcopy(model)
        out = model.graph.output[0].name
        scale, bias = 1.0, 0.0
        while (node := producer_of(model, out)) is not None and node.op_type in ("Mul", "Div", "Add", "Sub"):
            constant = model.get_initializer(node.input[1]) if len(node.input) > 1 else None
            value = scalar_of(constant)
            if value is None:
                raise unsupported(
                    node, "it scales or shifts the scores class by class", "end the network with BinaryLinear"
                )
            if node.op_type in ("Mul", "Div"):
                factor = value if node.op_type == "Mul" else 1 / value if value else 0.0
                if factor <= 0:
                    raise unsupported(node, f"it multiplies the scores by {factor:g}", "scores need a positive scale")
                scale *= factor
            else:
                bias += scale * (value if node.op_type == "Add" else -value)
            bypass(model, node)
        if (scale, bias) != (1.0, 0.0):
            model.set_metadata_prop("output_scale", repr(scale))
            model.set_metadata_prop("output_bias", repr(bias))
        if out not in integer_ranges(model):
            node = producer_of(model, out)
            assert node is not None
            raise unsupported(node, "its results are not integers", "all weights and activations need quantizers")
        return model
