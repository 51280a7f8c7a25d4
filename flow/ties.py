"""Frames whose result hangs on the rounding of float32 sums.

float32 addition rounds, and in which order a library adds is its own choice: where a sum should be exactly 0, or two
scores equal, noise decides what the exported network says. The accelerator adds integers, so it can differ there, and
only there. Such frames are found and told, and are no mismatches. Where float32 holds each partial sum exactly (small
integers times a power of two), there is no noise, and nothing is excused.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .execute import execute_tensors
from .passes.base import attribute, producer_of
from .quiet import quiet

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["undecided"]

# Rounding noise of float32 sums, as a part of the largest number on the way to a decision.
NOISE = 2e-6
_QUANTIZERS = ("BipolarQuant", "Quant", "IntQuant", "MultiThreshold", "Sign")
_DECISIONS = (*_QUANTIZERS, "ArgMax", "TopK")
_SUMS = ("Conv", "Gemm", "MatMul", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum")
_MANTISSA = 24


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
    # of each tensor, one a frame: the largest number since the last decision, once a sum was rounded; else 0
    noise = {name: np.zeros(len(frames)) for name in tensors}
    for node in model.graph.node:
        read = [t for t in node.input if t in tensors]
        if not read:
            continue
        before = np.max([noise[t] for t in read], axis=0)
        if node.op_type in _DECISIONS:
            values = tensors[node.input[0]]
            band = (NOISE * noise[node.input[0]]).reshape(-1, *[1] * (values.ndim - 1))
            other = _other_level if node.op_type in _QUANTIZERS else _other_class
            found |= (before > 0) & other(model, node, values, band)
            continue
        rounded = (before > 0) | _rounds(model, node, tensors)
        sizes = [_largest(tensors[t]) for t in (*read, *node.output) if t in tensors]
        for name in filter(None, node.output):
            noise[name] = np.where(rounded, np.max([before, *sizes], axis=0), 0.0)
    return found


def _largest(values: np.ndarray) -> np.ndarray:
    sizes = np.abs(values.reshape(len(values), -1)).max(axis=1, initial=0.0)
    return np.nan_to_num(sizes, posinf=0.0)


def _unit(values: np.ndarray) -> float:
    """The largest power of two that all float32 values are multiples of."""
    values = values[np.isfinite(values) & (values != 0)]
    if not values.size:
        return 1.0
    mantissas, exponents = np.frexp(values.astype(np.float64))
    whole = (mantissas * 2.0**_MANTISSA).astype(np.int64)
    return float(np.min((whole & -whole) * np.exp2(exponents - _MANTISSA)))


def _rounds(model: ModelWrapper, node: NodeProto, tensors: dict[str, np.ndarray]) -> bool:
    """Whether some order of adding what a node adds is not exact in float32."""
    if node.op_type not in _SUMS:
        return False  # one operation a number: rounded the same everywhere
    values = tensors.get(node.input[0])
    if values is None:
        return True
    unit, bound = _unit(values), float(np.abs(values).max(initial=0.0))
    if node.op_type in ("Conv", "Gemm", "MatMul"):
        weights = _constant(model, node.input[1])
        if weights is None:
            return True
        rows = weights.reshape(len(weights), -1)
        transposed = node.op_type == "MatMul" or (node.op_type == "Gemm" and not attribute(node, "transB", 0))
        bound *= float(np.abs(rows).sum(axis=0 if transposed else 1).max(initial=0.0))
        unit *= _unit(weights)
        if len(node.input) > 2 and node.input[2]:
            bias = _constant(model, node.input[2])
            if bias is None or attribute(node, "alpha", 1.0) != 1 or attribute(node, "beta", 1.0) != 1:
                return True
            bound, unit = bound + float(np.abs(bias).max(initial=0.0)), min(unit, _unit(bias))
    else:
        sizes = [tensors[t].size for t in node.output if t in tensors]
        kernel = attribute(node, "kernel_shape")
        count = math.prod(kernel) if kernel else values.size // max(1, min(sizes, default=1))
        bound *= count
        if node.op_type != "ReduceSum" and count & (count - 1):
            return True  # divided, or multiplied by what the division rounds to
    return not bound < unit * 2.0**_MANTISSA


def _constant(model: ModelWrapper, tensor: str) -> np.ndarray | None:
    """A constant, or what a quantizer of weights makes of one."""
    from qonnx.core.onnx_exec import execute_node

    value = model.get_initializer(tensor)
    maker = producer_of(model, tensor)
    if value is not None or maker is None:
        return value
    context = {t: model.get_initializer(t) for t in maker.input}
    if any(v is None for v in context.values()):
        return None
    context[tensor] = np.zeros(model.get_tensor_shape(tensor), np.float32)
    with quiet():
        execute_node(maker, context, model.graph, model.get_opset_imports().get(maker.domain, 1))
    return context[tensor]


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
    close: np.ndarray = -np.diff(ordered, axis=1)[:, :count] <= step
    return np.asarray(close.any(axis=1))
