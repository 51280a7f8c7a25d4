"""Runs a QONNX model, with qonnx, on many frames at once."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .model_file import ModelError, first_line, hardware_input
from .model_proto import called
from .passes.base import tensor_shapes
from .quiet import quiet

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = [
    "activations",
    "execute",
    "execute_one_by_one",
    "execute_tensors",
    "to_nhwc",
]

# All tensors of a chunk take about this many bytes at most, thresholds' comparisons counted in.
CHUNK_BYTES = 1 << 28


def execute(model: ModelWrapper, frames: np.ndarray) -> np.ndarray:
    """What the model gives for each frame.

    Parameters
    ----------
    model : ModelWrapper
        As :func:`load_model` returns it, at any stage of streamlining.
    frames : ndarray of int, shape (N, H, W, C)
        The integers that enter the accelerator (see :func:`hardware_input`).

    Returns
    -------
    ndarray of float32, shape (N, ...)

    Raises
    ------
    ModelError
        The frames have another shape, or a node cannot be executed.
    """
    out = model.graph.output[0].name
    return np.concatenate([part[out] for part in _chunks(model, frames)])


def execute_one_by_one(model: ModelWrapper, values: np.ndarray) -> np.ndarray:
    """What a model gives for inputs in its own form, float32 of shape (N, ...), each executed by itself."""
    out = model.graph.output[0].name
    with quiet():
        return np.concatenate([_run(model, row[None])[out] for row in values])


def execute_tensors(model: ModelWrapper, frames: np.ndarray) -> dict[str, np.ndarray]:
    """As :func:`execute`, all activations: tensor name to float32 ndarray of shape (N, ...)."""
    names = activations(model)
    parts = [{n: part[n] for n in names} for part in _chunks(model, frames)]
    return {n: np.concatenate([part[n] for part in parts]) for n in names}


def activations(model: ModelWrapper) -> list[str]:
    """Tensors that depend on the input, in the order of computation."""
    names = [model.graph.input[0].name]
    known = set(names)
    for node in model.graph.node:
        if not known.isdisjoint(node.input):
            fresh = [t for t in node.output if t]
            known.update(fresh)
            names += fresh
    return names


def to_nhwc(tensor: np.ndarray) -> np.ndarray:
    """A tensor (N, C, H, W) or (N, C) in the order of the streams: (N, H, W, C)."""
    return tensor.transpose(0, 2, 3, 1) if tensor.ndim == 4 else tensor.reshape(len(tensor), 1, 1, -1)


def _chunks(model: ModelWrapper, frames: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    source = hardware_input(model)
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[1:] != source.shape or not len(frames):
        shape = ", ".join(map(str, source.shape))
        raise ModelError(f"the model takes frames of shape (N, {shape}), not {frames.shape}")
    size = max(1, min(len(frames), CHUNK_BYTES // max(1, _bytes_per_frame(model))))
    shapes = tensor_shapes(model)
    if any(shapes[name][:1] != [1] for name in activations(model)):
        size = 1  # a tensor whose first dimension is not the batch would mix the frames
    batched: ModelWrapper | None = None
    for start in range(0, len(frames), size):
        part = source.to_model(frames[start : start + size])
        with quiet():
            if batched is None or len(part) != size:
                batched = _with_batch(model, len(part))
            yield _run(batched, part)


def _run(model: ModelWrapper, part: np.ndarray) -> dict[str, np.ndarray]:
    """All tensors, each node executed by qonnx, which sees the types of the tensors at hand only: it searches all."""
    from onnx import GraphProto, numpy_helper
    from qonnx.core.onnx_exec import execute_node

    graph, opsets = model.graph, model.get_opset_imports()
    types = {i.name: i for i in (*graph.output, *graph.value_info, *graph.input)}
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    tensors |= {graph.input[0].name: part, "": None}  # "" stands for what is left out
    for node in graph.node:
        around = GraphProto()
        around.value_info.extend(types[t] for t in sorted({*node.input, *node.output}) if t in types)
        # qonnx compares the shape of a result with that of what lies there
        tensors.update((t, np.empty(0, np.float32)) for t in node.output if t)
        try:
            execute_node(node, tensors, around, opsets.get(node.domain, opsets[""]))
        except Exception as error:  # onnxruntime and qonnx raise what they like
            raise ModelError(
                f"{called(node)} cannot be executed: {first_line(error)}."
                " What to do: look at the shapes of what it reads, and export again"
            ) from error
    return tensors


def _bytes_per_frame(model: ModelWrapper) -> int:
    shapes = tensor_shapes(model)
    total = sum(4 * math.prod(shapes[name]) for name in activations(model))
    for node in model.get_nodes_by_op_type("MultiThreshold"):
        total += sum(shapes[node.input[1]][-1:]) * math.prod(shapes[node.output[0]])
    return total


def _with_batch(model: ModelWrapper, size: int) -> ModelWrapper:
    """A copy whose activations have ``size`` frames (qonnx's ChangeBatchSize forgets all shapes)."""
    if size == 1:
        return model
    model = copy.deepcopy(model)
    names = set(activations(model))
    graph = model.graph
    for info in (*graph.input, *graph.output, *graph.value_info):
        if info.name in names:
            info.type.tensor_type.shape.dim[0].dim_value = size
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[0] in names:
            target = model.get_initializer(node.input[1])
            if target is not None and target.size and target[0] == 1:
                target = target.copy()
                target[0] = size
                model.set_initializer(node.input[1], target)
    return model
