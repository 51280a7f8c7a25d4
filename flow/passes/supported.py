"""Refuses what has no hardware, before any pass touches the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..model_file import ModelError, shown

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["CheckOperators", "supported", "unsupported"]

_REMEDIES = {
    "Softmax": "end the network at the scores; the decision is the same without it",
    "LogSoftmax": "end the network at the scores; the decision is the same without it",
    "ConvTranspose": "use a convolution",
    "Sigmoid": "leave it out in front of a sign, which it does not change; else quantize instead",
    "HardSigmoid": "leave it out in front of a sign, which it does not change; else quantize instead",
    "Tanh": "leave it out in front of a sign, which it does not change; else quantize instead",
    "Trunc": "average with AveragePool and quantize behind it with Quant",
    "FloatQuant": "quantize to integers: Quant or BipolarQuant",
    "QuantizeLinear": "export QONNX (brevitas.export.export_qonnx), not QCDQ",
    "DequantizeLinear": "export QONNX (brevitas.export.export_qonnx), not QCDQ",
    "Loop": "unroll it before the export",
    "If": "decide before the export",
    "Resize": "train at the size that the layer needs",
    "LSTM": "use convolutions and linear layers",
}


def supported() -> tuple[str, ...]:
    """Operators of an exported network that can become hardware."""
    from ..integers import RULES

    return tuple(sorted(RULES))


def unsupported(node: NodeProto, reason: str = "", remedy: str = "") -> ModelError:
    """The error for a node that cannot become hardware: its name, kind, what is supported, what to do."""
    text = f"{shown(node.name)} ({shown(node.op_type)}) cannot become hardware"
    text += f": {reason}" if reason else f"; supported: {', '.join(supported())}"
    remedy = remedy or _REMEDIES.get(node.op_type, "")
    return ModelError(f"{text}. What to do: {remedy or 'replace it in the network and export again'}")


@dataclass(frozen=True)
class CheckOperators:
    """Every node is of a supported kind, or ModelError names the first that is not."""

    name: str = "CheckOperators"

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        known = supported()
        for node in model.graph.node:
            if node.op_type not in known:
                raise unsupported(node)
        return model
