"""The exported network becomes one of integers: what its real numbers did is in thresholds, weights and metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import BitexpertError
from ...hw.types import BIPOLAR
from ..model_file import HardwareInput, first_line, hardware_input
from .supported import unsupported

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

    from ..integers.builder import Builder

__all__ = ["IntegerForm"]


@dataclass(frozen=True)
class IntegerForm:
    """Walk the network once and write down each tensor as integers with arithmetic still to be done on them.

    Scales, offsets, normalizations and activations wait until a quantizer makes integer thresholds of them, a layer
    takes over their scale, or the output's metadata keeps them; views, copies, splits and concats are an index (see
    ``flow/integers/value.py``). The thresholds are found with the very float32 operations that the exported
    network executes, by bisection over the whole range of the accumulator, so that each decision is the same for
    every integer that can occur, ties included, and not only for the samples that a build tries.
    """

    name: str = "IntegerForm"

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        from ..integers import RULES, Builder
        from ..integers.output import finish

        builder = Builder(model)
        _enter(builder, hardware_input(model))
        for node in model.graph.node:
            if node.op_type not in RULES:
                raise unsupported(node)
            try:
                RULES[node.op_type](builder, node)
            except BitexpertError:
                raise
            except Exception as error:  # a number or a shape that no rule expects
                raise unsupported(node, first_line(error), "look at its attributes and constants") from error
        return finish(builder)


def _enter(builder: Builder, source: HardwareInput) -> None:
    """Declare the input: integers in, the network's own numbers as steps on them."""
    h, w, c = source.shape
    shape = (c,) if source.layout == "flat" else (c, h, w)
    value = builder.input(source.name, shape, source.low, source.high, source.element == BIPOLAR)
    if source.layout == "NHWC":
        value = value.rearranged(lambda x: x.transpose(1, 2, 0))
    if source.scale != 1:
        value = value.step("Mul", np.float32(source.scale))
    if source.offset != 0:
        value = value.step("Add", np.float32(source.offset))
    builder.values[source.name] = value
