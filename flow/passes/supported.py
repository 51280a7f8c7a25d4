"""Refuses what has no hardware, before any pass touches the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..model_file import ModelError, shown

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["SUPPORTED", "CheckOperators", "unsupported"]

#: Operators of an exported network that can become hardware.
SUPPORTED = (
    "Add",
    "BatchNormalization",
    "BipolarQuant",
    "Conv",
    "Div",
    "Expand",
    "ExpertConv",
    "Flatten",
    "Gemm",
    "Identity",
    "MatMul",
    "MaxPool",
    "Mul",
    "MultiThreshold",
    "PRelu",
    "Pad",
    "Quant",
    "Relu",
    "Reshape",
    "Squeeze",
    "Sub",
    "Tile",
    "Transpose",
    "Unsqueeze",
)
_REMEDIES = {
    "Sign": "ONNX Sign makes 0 of 0; use the BinaryActivation layer, where sign(0) = +1",
    "Softmax": "end the network at the scores; the decision is the same without it",
    "LogSoftmax": "end the network at the scores; the decision is the same without it",
    "ArgMax": "end the network at the scores and build with top_k=1",
    "TopK": "end the network at the scores and build with top_k",
    "AveragePool": "use max pooling on the bits",
    "GlobalAveragePool": "use max pooling on the bits, or Flatten",
    "ReduceMean": "use max pooling on the bits, or Flatten",
    "Concat": "use Expanding-and-Shrinking (a Tile) for copies of channels",
    "Dropout": "export the network in eval mode",
    "ConvTranspose": "use a convolution",
    "Sigmoid": "use the BinaryActivation layer",
    "HardTanh": "leave it out: a sign follows, which it does not change",
    "Clip": "leave it out: a sign follows, which it does not change",
    "Tanh": "leave it out: a sign follows, which it does not change",
}


def unsupported(node: NodeProto, reason: str = "", remedy: str = "") -> ModelError:
    """The error for a node that cannot become hardware: its name, kind, what is supported, what to do."""
    text = f"{shown(node.name)} ({shown(node.op_type)}) cannot become hardware"
    text += f": {reason}" if reason else f"; supported: {', '.join(SUPPORTED)}"
    remedy = remedy or _REMEDIES.get(node.op_type, "")
    return ModelError(f"{text}. What to do: {remedy or 'replace it in the network and export again'}")


@dataclass(frozen=True)
class CheckOperators:
    """Every node is of a supported kind, or ModelError names the first that is not."""

    name: str = "CheckOperators"

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        for node in model.graph.node:
            if node.op_type not in SUPPORTED:
                raise unsupported(node)
            dynamic = [t for t in node.input if t and model.get_initializer(t) is None]
            if node.op_type in ("Add", "Sub", "Mul", "Div") and len(set(dynamic)) > 1:
                what = "it joins two streams"
                raise unsupported(node, what, "residual connections are not supported yet; use a chain of layers")
        return model
