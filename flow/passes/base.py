"""What a pass is, and what holds before and after each."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..model_file import ModelError
from ..model_proto import called, shown

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = [
    "LibraryPass",
    "Pass",
    "attribute",
    "bypass",
    "channel_vector",
    "check_graph",
    "consumers",
    "name_new",
    "producer_of",
    "scalar_of",
    "tensor_names",
    "tensor_shapes",
]


class Pass(Protocol):
    """A step of streamlining: a model in, a model out that computes the same.

    The graph is valid before and after. A pass works on its own copy, and raises on what it cannot handle.
    """

    @property
    def name(self) -> str:
        """Shown in messages and reports."""
        ...

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        """The changed model."""
        ...


@dataclass(frozen=True)
class LibraryPass:
    """A transformation of FINN or qonnx, applied until it finds nothing more to do.

    It may do nothing: if it raises, or changes what the network computes, :func:`bitexpert.flow.streamline.streamline`
    goes on without it and says so in the record.

    Parameters
    ----------
    name : str
        Its class name there.
    make : callable
        Returns the transformation.
    """

    name: str
    make: Callable[[], Any]

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        return model.transform(self.make())


# -- looking at a graph ------------------------------------------------------------------------------
def producer_of(model: ModelWrapper, tensor: str) -> NodeProto | None:
    """The node that writes a tensor."""
    return next((n for n in model.graph.node if tensor in n.output), None)


def consumers(model: ModelWrapper, tensor: str) -> list[NodeProto]:
    """The nodes that read a tensor, each once."""
    return [n for n in model.graph.node if tensor in n.input]


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """Value of an ONNX attribute: number, text, or list of ints."""
    from onnx import AttributeProto, helper

    for a in node.attribute:
        if a.name == name:
            value = helper.get_attribute_value(a)
            if a.type == AttributeProto.STRING:
                return value.decode()
            return list(value) if a.type == AttributeProto.INTS else value
    return default


def scalar_of(constant: np.ndarray | None) -> float | None:
    """The one value of a constant whose elements are all equal; None for any other."""
    if constant is None or constant.size == 0 or not (constant == constant.flat[0]).all():
        return None
    return float(constant.flat[0])


def channel_vector(constant: np.ndarray, rank: int, channels: int) -> np.ndarray | None:
    """A constant operand of a tensor (N, C, ...) as one value a channel, shape (C,); None if it has none."""
    shape = (1,) * (rank - constant.ndim) + constant.shape
    if len(shape) != rank or any(d != 1 for i, d in enumerate(shape) if i != 1) or shape[1] not in (1, channels):
        return None
    return np.broadcast_to(constant.reshape(-1), (channels,)).copy()


def tensor_names(model: ModelWrapper) -> set[str]:
    """All tensors that nodes read or write."""
    return {t for n in model.graph.node for t in (*n.input, *n.output)}


def tensor_shapes(model: ModelWrapper) -> dict[str, list[int]]:
    """Shapes of all tensors that have one; qonnx's ``get_tensor_shape`` looks through all of them for each."""
    graph = model.graph
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    for info in (*graph.value_info, *graph.output, *graph.input):
        if info.type.tensor_type.HasField("shape"):
            shapes[info.name] = [d.dim_value for d in info.type.tensor_type.shape.dim]
    return shapes


# -- changing a graph --------------------------------------------------------------------------------
def bypass(model: ModelWrapper, node: NodeProto) -> None:
    """Remove a node of one input; whoever read its output reads its input."""
    source, gone = node.input[0], node.output[0]
    model.graph.node.remove(node)
    if gone == model.graph.output[0].name:
        producer = producer_of(model, source)
        if producer is None:
            raise ModelError(f"{called(node)} is all that lies between the input and the output")
        producer.output[list(producer.output).index(source)] = gone
        source, gone = gone, source
    for reader in model.graph.node:
        for i, name in enumerate(reader.input):
            if name == gone:
                reader.input[i] = source


def name_new(model: ModelWrapper, known: Container[str], former: Mapping[str, str] | None = None) -> None:
    """Give nodes without a name, and tensors not in ``known``, names that are the same in every run.

    A node that writes the tensor of a node that is gone takes over its name: so FINN's MultiThreshold is called
    like the quantizer in the user's file. ``former`` says which node wrote which tensor.
    """
    taken = {n.name for n in model.graph.node if n.name}
    seen: set[str] = set()
    for node in model.graph.node:
        heir = (former or {}).get(node.output[0], "")
        if not node.name and heir and heir not in taken:
            node.name = heir
            taken.add(heir)
        elif not node.name or node.name in seen:
            number = 0
            while f"{node.op_type}_{number}" in taken:
                number += 1
            node.name = f"{node.op_type}_{number}"
            taken.add(node.name)
        seen.add(node.name)
    fixed = {model.graph.input[0].name, model.graph.output[0].name}
    present = tensor_names(model)
    for node in model.graph.node:
        for names, suffix in ((node.output, "out"), (node.input, "param")):
            for i, tensor in enumerate(list(names)):
                if not tensor or tensor in known or tensor in fixed:
                    continue
                if suffix == "param" and model.get_initializer(tensor) is None:
                    continue  # named by the node that writes it
                base, new, number = f"{node.name}_{suffix}{i}", f"{node.name}_{suffix}{i}", 1
                while new != tensor and new in present:
                    new, number = f"{base}_{number}", number + 1
                if new != tensor:
                    _rename(model, tensor, new)
                    present.add(new)


def _rename(model: ModelWrapper, old: str, new: str) -> None:
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            for i, tensor in enumerate(names):
                if tensor == old:
                    names[i] = new
    for items in (graph.value_info, graph.initializer):
        for item in items:
            if item.name == old:
                item.name = new
    for note in graph.quantization_annotation:
        if note.tensor_name == old:
            note.tensor_name = new


def check_graph(model: ModelWrapper) -> None:
    """Raise ModelError unless each tensor is written once, before it is read, and has a known shape."""
    graph, shapes = model.graph, tensor_shapes(model)
    written = {t.name for t in (*graph.input, *graph.initializer)}
    names: set[str] = set()
    for node in graph.node:
        if not node.name or node.name in names:
            raise ModelError(f"two nodes are called {shown(node.name)!r}, or a {shown(node.op_type)} has no name")
        names.add(node.name)
        for tensor in node.input:
            if tensor and tensor not in written:
                raise ModelError(f"{called(node)} reads {shown(tensor)}, which nothing before it writes")
        for tensor in filter(None, node.output):
            if tensor in written:
                raise ModelError(f"{called(node)} writes {shown(tensor)}, which is written already")
            written.add(tensor)
            if not shapes.get(tensor):
                raise ModelError(f"the shape of {shown(tensor)}, written by {called(node)}, is unknown")
    if graph.output[0].name not in written:
        raise ModelError(f"nothing writes the output {shown(graph.output[0].name)}")
