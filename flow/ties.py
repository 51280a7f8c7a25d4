"""Frames whose result hangs on the rounding of float32 sums.

float32 addition rounds, and in which order a library adds is its own choice: where a sum should be exactly 0, or two
scores equal, noise decides what the exported network says. The accelerator adds integers, so it can differ there, and
only there. Such frames are found and told, and are no mismatches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .execute import execute_tensors
from .passes.base import attribute
from .quiet import quiet

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["undecided"]

# Rounding noise of float32 sums, as a part of the largest number on the way to a decision.
NOISE = 2e-6
_QUANTIZERS = ("BipolarQuant", "Quant", "IntQuant", "MultiThreshold", "Sign")


def undecided(model: ModelWrapper, frames: np.ndarray) -> np.ndarray:
    """Which frames lead some quantizer or decision of a network to within rounding noise of another result.

    Parameters
    ----------
    model : ModelWrapper
        As :func:`load_model` returns it.
    frames : ndarray of int, shape (N, H, W, C)

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    found = np.zeros(len(frames), dtype=bool)
    if not len(frames):
        return found
    tensors = execute_tensors(model, frames)
    largest = np.zeros(len(frames))  # since the last decision, one a frame
    for node in model.graph.node:
        if node.op_type in (*_QUANTIZERS, "ArgMax", "TopK") and node.input[0] in tensors:
            values = tensors[node.input[0]]
            noise = (NOISE * largest).reshape(-1, *[1] * (values.ndim - 1))
            if node.op_type in _QUANTIZERS:
                found |= _other_level(model, node, values, noise)
            else:
                found |= _other_class(model, node, values, noise)
            largest[:] = 0
        for name in node.output:
            if name in tensors:
                sizes = np.abs(tensors[name].reshape(len(frames), -1)).max(axis=1, initial=0.0)
                largest = np.maximum(largest, np.nan_to_num(sizes, posinf=0.0))
    return found


def _other_level(model: ModelWrapper, node: NodeProto, values: np.ndarray, noise: np.ndarray) -> np.ndarray:
    from qonnx.core.onnx_exec import execute_node

    results = []
    for moved in (values - noise, values + noise):
        context = {t: model.get_initializer(t) for t in node.input[1:]}
        context |= {node.input[0]: moved.astype(np.float32), node.output[0]: np.zeros_like(values)}
        with quiet():
            execute_node(node, context, model.graph, model.get_opset_imports().get(node.domain, 1))
        results.append(context[node.output[0]])
    return (results[0] != results[1]).reshape(len(values), -1).any(axis=1)


def _other_class(model: ModelWrapper, node: NodeProto, values: np.ndarray, noise: np.ndarray) -> np.ndarray:
    rows, step = values.reshape(len(values), -1), 2 * noise.reshape(-1, 1)
    count = 1
    if node.op_type == "TopK":
        given = model.get_initializer(node.input[1]) if len(node.input) > 1 else attribute(node, "k", 1)
        count = int(np.reshape(given, -1)[0])
    ordered = -np.sort(-rows, axis=1)
    return (-np.diff(ordered, axis=1)[:, :count] <= step).any(axis=1)
