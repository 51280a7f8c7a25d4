"""Lowering: the streamlined model becomes a dataflow graph of integer operators."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BitexpertError
from ..hw.graph import Dataflow, Node
from ..hw.identifiers import identifier
from ..hw.ops.base import OperatorError
from ..hw.ops.fork import Fork
from ..hw.ops.topk import TopK
from ..hw.types import StreamType
from ..sim.streams import first_difference
from .execute import execute_tensors, to_nhwc
from .lowering import HANDLERS, Walk
from .lowering.layers import first_hold_depth
from .lowering.walk import Streamed
from .model_file import ModelError, hardware_input
from .passes.base import producer_of
from .passes.supported import unsupported
from .scores import OutputForm, largest

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["LOWERED", "LoweringError", "check_lowering", "first_hold_depth", "leaving", "lower", "wired"]

#: Kinds of nodes that a streamlined model may have.
LOWERED = tuple(HANDLERS)
_INPUT = "in_0"


class LoweringError(BitexpertError):
    """The dataflow graph computes something else than the streamlined model."""


def lower(model: ModelWrapper, *, top_k: int = 0) -> Dataflow:
    """Turn a streamlined model into hardware operators.

    Parameters
    ----------
    model : ModelWrapper
        From :func:`streamline`, or loaded again from its file.
    top_k : int
        0: the integer scores leave, or the decisions if the exported network ends in them; k > 0: the indices of
        the k largest.

    Returns
    -------
    Dataflow
        Unfolded. ``tensors`` says which tensor of the model each stream equals.

    Raises
    ------
    ModelError
        A node that has no operator, or attributes or weights that it cannot have.
    """
    source = hardware_input(model)
    if source.scale != 1.0 or source.offset != 0.0:
        raise ModelError(
            f"the input {source.name} is {source.scale:g} * integer + {source.offset:g}; streamline the model first"
        )
    walk = Walk(model)
    walk.define(source.name, Streamed(_INPUT, StreamType(source.element, source.shape)))
    for node in model.graph.node:
        if node.op_type not in HANDLERS:
            raise unsupported(node, f"a streamlined network may have {', '.join(LOWERED)}")
        try:
            HANDLERS[node.op_type](walk, node)
        except OperatorError as error:
            raise unsupported(node, str(error)) from None
    name = model.graph.output[0].name
    last = producer_of(model, name)
    assert last is not None
    result = walk.value(last, name)
    stream, form = result.stream, OutputForm.of(model)
    if form.top_k and top_k not in (0, form.top_k):
        raise ModelError(f"the network gives the {form.top_k} largest itself; top_k={top_k} does not fit that")
    if k := top_k or form.top_k:
        if result.order is not None:
            raise unsupported(last, "it decides over pixels", "decide over the classes of a vector")
        if form.scale.size > 1 or form.bias.size > 1:
            raise ModelError(
                f"top_k={k}: the scores are scaled or shifted class by class, which only the host does;"
                " build without top_k, the scores leave then"
            )
        try:
            (stream,) = walk.add("topk", TopK(result.type, k), (stream,), last)
        except OperatorError as error:
            raise ModelError(f"top_k={k} does not fit the network: {error}") from None
    nodes, tensors, outputs = _insert_forks(walk.nodes, walk.names, walk.tensors, (stream,))
    return Dataflow(nodes, (_INPUT,), outputs, tensors, _meta(walk, form, k, result.order))


def wired(graph: Dataflow, frames: np.ndarray) -> np.ndarray:
    """Frames (N, H, W, C) in the shape that the graph's first operator reads: a linear layer takes them flat."""
    return frames.reshape(len(frames), *graph.type_of(graph.inputs[0]).shape)


def leaving(graph: Dataflow, integers: np.ndarray) -> np.ndarray:
    """What the accelerator sends for a network's integers (N, elements) in the order of (C, H, W): (N, H, W, C)."""
    h, w, c = graph.type_of(graph.outputs[0]).shape
    places = graph.meta.get("output_places")
    if places is not None:
        return integers[:, places].reshape(len(integers), h, w, c)
    return integers.reshape(len(integers), c, h, w).transpose(0, 2, 3, 1)


def check_lowering(model: ModelWrapper, graph: Dataflow, frames: np.ndarray) -> int:
    """Run both on frames and compare every stream that equals a tensor, and the outputs.

    Parameters
    ----------
    model : ModelWrapper
        The streamlined model.
    graph : Dataflow
        What :func:`lower` made of it, folded or not.
    frames : ndarray of int, shape (N, H, W, C)

    Returns
    -------
    int
        The number of streams compared.

    Raises
    ------
    LoweringError
        Names stream, frame, pixel, channel, the value expected (the model's) and found.
    """
    values = graph.run(wired(graph, frames))
    tensors = execute_tensors(model, frames)
    producers = graph.producers()
    out = graph.outputs[0]
    expected = {s: to_nhwc(tensors[t]).reshape(values[s].shape) for s, t in graph.tensors.items() if s in values}
    if out not in expected:
        scores = tensors[model.graph.output[0].name].reshape(len(frames), -1)
        if graph.meta["top_k"]:
            expected[out] = largest(scores, graph.meta["top_k"]).reshape(values[out].shape)
        else:
            expected[out] = leaving(graph, scores)
    for stream in graph.streams():
        if stream not in expected:
            continue
        operator = producers[stream][0].name if stream in producers else "input"
        difference = first_difference("lowering", operator, stream, expected[stream], values[stream])
        if difference:
            raise LoweringError(f"{difference}. Please report this")
    return len(expected)


def _meta(walk: Walk, form: OutputForm, top_k: int, places: np.ndarray | None) -> dict[str, Any]:
    model = walk.model
    properties = {p.key: p.value for p in model.graph.metadata_props}
    source = hardware_input(model)
    classes = properties.pop("class_names", None)
    scale, offset = (
        float(properties.pop(f"input_{key}", default)) for key, default in (("scale", 1.0), ("offset", 0.0))
    )
    for key in ("output_scale", "output_bias", "output_order", "top_k", "input_element", "input_low", "input_high"):
        properties.pop(key, None)
    return {
        "model": properties.get("network") or model.graph.name or "model",
        "input_layout": properties.pop("input_layout", source.layout),
        "input_element": str(source.element),
        "input_scale": scale,
        "input_offset": offset,
        "output_scale": _number_or_list(form.scale),
        "output_bias": _number_or_list(form.bias),
        "output_places": None if places is None else places.tolist(),
        "output_order": None if form.order is None else form.order.tolist(),
        "top_k": top_k,
        "class_names": _class_names(classes),
        "experts": walk.experts,
        "gate_source": walk.gate_sources,
        "properties": properties,
    }


def _number_or_list(numbers: np.ndarray) -> float | list[float]:
    return float(numbers[0]) if numbers.size == 1 else [float(n) for n in numbers]


def _class_names(text: str | None) -> list[str]:
    try:
        names = json.loads(text) if text else []
    except ValueError:
        return []
    return [str(n) for n in names] if isinstance(names, list) else []


def _insert_forks(
    nodes: Sequence[Node], names: set[str], tensors: dict[str, str], outputs: tuple[str, ...]
) -> tuple[tuple[Node, ...], dict[str, str], tuple[str, ...]]:
    """Give each reader of a stream a copy of its own."""
    readers: dict[str, int] = {}
    for stream in [s for n in nodes for s in n.inputs] + list(outputs):
        readers[stream] = readers.get(stream, 0) + 1
    types = {s: t for n in nodes for s, t in zip(n.outputs, n.op.outputs, strict=True)}
    types[_INPUT] = next((t for n in nodes for s, t in zip(n.inputs, n.op.inputs, strict=True) if s == _INPUT), None)  # type: ignore[assignment]
    copies: dict[str, list[str]] = {}
    tensors, taken = dict(tensors), set(names)

    def fork(stream: str, origin: str) -> list[Node]:
        if readers.get(stream, 0) < 2:
            return []
        name = identifier("fork", taken)
        taken.add(name)
        copies[stream] = [f"{name}_out{i}" for i in range(readers[stream])]
        for copy in copies[stream]:
            if stream in tensors:
                tensors[copy] = tensors[stream]
        op = Fork(types[stream], readers[stream])
        made = Node(name, op, (stream,), tuple(copies[stream]), {}, origin)
        copies[stream].reverse()
        return [made]

    result = fork(_INPUT, "")
    for node in nodes:
        inputs = tuple(copies[s].pop() if s in copies else s for s in node.inputs)
        result.append(replace(node, inputs=inputs))
        for stream in node.outputs:
            result += fork(stream, node.origin)
    return tuple(result), tensors, tuple(copies[s].pop() if s in copies else s for s in outputs)
