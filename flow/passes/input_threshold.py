"""The input quantizer does nothing to integers: it goes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..model_file import HardwareInput, hardware_input
from .base import attribute, bypass, consumers, scalar_of
from .supported import unsupported

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["AnnotateInput", "RemoveInputThreshold"]


@dataclass(frozen=True)
class AnnotateInput:
    """Write down what integers enter, while the input quantizer still says it.

    Metadata ``input_element`` and ``input_scale``.
    """

    name: str = "AnnotateInput"

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        model = copy.deepcopy(model)
        source = hardware_input(model)
        model.set_metadata_prop("input_element", str(source.element))
        if model.get_metadata_prop("input_scale") is None:
            model.set_metadata_prop("input_scale", repr(source.scale))
        return model


@dataclass(frozen=True)
class RemoveInputThreshold:
    """Remove the input's MultiThreshold after checking, integer by integer, that it maps each to itself.

    The input is annotated with its integers from here on, and takes them unscaled. An input threshold that
    makes bits of integers stays: it is a layer.
    """

    name: str = "RemoveInputThreshold"

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        from qonnx.core.datatype import DataType

        model = copy.deepcopy(model)
        name = model.graph.input[0].name
        readers = consumers(model, name)
        if len(readers) == 1 and readers[0].op_type == "MultiThreshold":
            node = readers[0]
            source = hardware_input(model)
            if self._is_identity(model, node, source):
                bypass(model, node)
                kind = {"bipolar": "BIPOLAR"}.get(source.element.kind, str(source.element).upper())
                model.set_tensor_datatype(name, DataType[kind])
            elif not model.get_tensor_datatype(name).is_integer() or attribute(node, "out_dtype") != "BIPOLAR":
                raise unsupported(
                    node,
                    f"the input quantizer changes its integers ({source.element}, scale {source.scale:g})",
                    "quantize the input once, with one scale and zero point 0",
                )
        model.cleanup()
        return model

    @staticmethod
    def _is_identity(model: ModelWrapper, node: NodeProto, source: HardwareInput) -> bool:
        low, high = source.element.min, source.element.max
        integers = np.array([-1, 1]) if source.element.kind == "bipolar" else np.arange(low, high + 1)
        thresholds = model.get_initializer(node.input[1])
        if thresholds is None or (
            thresholds.shape[0] != 1 and any(scalar_of(thresholds[:, i]) is None for i in range(thresholds.shape[1]))
        ):
            return False
        values = integers.astype(np.float32) * np.float32(source.scale)
        levels = (values[:, None] >= thresholds[0][None, :]).sum(axis=1)
        found = attribute(node, "out_bias", 0.0) + attribute(node, "out_scale", 1.0) * levels
        return np.array_equal(found, integers)
