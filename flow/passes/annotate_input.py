"""What enters the accelerator is written down while the file still says it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..model_file import hardware_input

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["AnnotateInput"]


@dataclass(frozen=True)
class AnnotateInput:
    """Write down what integers enter, while the input quantizer still says it.

    Metadata ``input_element``, ``input_low``, ``input_high``, ``input_layout``, ``input_scale``, ``input_offset``.
    """

    name: str = "AnnotateInput"

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        model = copy.deepcopy(model)
        source = hardware_input(model)
        model.set_metadata_prop("input_element", str(source.element))
        model.set_metadata_prop("input_low", str(source.low))
        model.set_metadata_prop("input_high", str(source.high))
        model.set_metadata_prop("input_scale", repr(source.scale))
        model.set_metadata_prop("input_layout", source.layout)
        model.set_metadata_prop("input_offset", repr(source.offset))
        return model
