"""Small ONNX files made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), **attributes) -> NodeProto:
    """A node; quantizers are in qonnx's domain."""
    domain = QONNX if kind in ("Quant", "BipolarQuant", "IntQuant", "MultiThreshold") else ""
    attributes.setdefault("domain", domain)
    return helper.make_node(kind, list(inputs), list(outputs), **attributes)


def net(
    nodes: Sequence[NodeProto],
    constants: dict | None = None,
    shape: Sequence = (1, 2, 3, 3),
    kind: int = TensorProto.FLOAT,
    opset: int = 13,
) -> ModelProto:
    """A model from ``x`` to ``y``; plain numbers among the constants are float32."""
    tensors = []
    for name, value in (constants or {}).items():
        if not isinstance(value, TensorProto):
            array = value if isinstance(value, np.ndarray) else np.array(value, dtype=np.float32)
            value = numpy_helper.from_array(array, name)
        tensors.append(value)
    source = helper.make_tensor_value_info("x", kind, list(shape))
    target = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph(list(nodes), "net", [source], [target], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(QONNX, 1)])


def integers(*values: int) -> np.ndarray:
    """A shape, axes, and so on."""
    return np.array(values, dtype=np.int64)


def save(folder: Path, model: ModelProto) -> Path:
    """Write a model as model.onnx."""
    path = folder / "model.onnx"
    onnx.save(model, str(path))
    return path
