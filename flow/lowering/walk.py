"""The state of a walk over a streamlined model, tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...hw.graph import Node
from ...hw.identifiers import identifier
from ...hw.ops.base import Operator
from ...hw.types import StreamType
from ..model_proto import called, shown
from ..passes.base import attribute, consumers, producer_of, scalar_of
from ..passes.supported import unsupported

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["Streamed", "Walk", "border_of"]


@dataclass(frozen=True, eq=False)
class Streamed:
    """A tensor as a stream; ``order[i]`` is the tensor's element at place i, None where they are the same."""

    stream: str
    type: StreamType
    order: np.ndarray | None = None


class Walk:
    """Collects the operators; every tensor that is a stream gets a Streamed.

    Parameters
    ----------
    model : ModelWrapper
        Streamlined.

    Attributes
    ----------
    nodes : list of Node
        The operators so far.
    tensors : dict of str to str
        Stream -> tensor that it equals.
    experts : dict of str to int
        MatVec of an expert layer -> its experts.
    gate_sources : dict of str to str
        MatVec of an expert layer -> what its gate reads.
    """

    def __init__(self, model: ModelWrapper) -> None:
        self.model = model
        self.nodes: list[Node] = []
        self.names: set[str] = set()
        self.values: dict[str, Streamed] = {}
        self.tensors: dict[str, str] = {}
        self.experts: dict[str, int] = {}
        self.gate_sources: dict[str, str] = {}

    def define(self, tensor: str, value: Streamed) -> None:
        """Say which stream carries a tensor."""
        self.values[tensor] = value
        if value.order is None and value.stream not in self.tensors:
            self.tensors[value.stream] = tensor

    def value(self, node: NodeProto, tensor: str) -> Streamed:
        """The stream of a tensor that a node reads."""
        if tensor not in self.values:
            maker = producer_of(self.model, tensor)
            what = called(maker) if maker is not None else shown(tensor)
            raise unsupported(node, f"it reads {what}, which is no stream of integers by itself")
        return self.values[tensor]

    def image(self, node: NodeProto, tensor: str) -> Streamed:
        """As :meth:`value`; refuses a flattened feature map."""
        x = self.value(node, tensor)
        if x.order is not None:
            raise unsupported(node, "it reads a flattened tensor", "flatten behind the convolutions only")
        return x

    def add(self, base: str, op: Operator, inputs: tuple[str, ...], origin: NodeProto) -> tuple[str, ...]:
        """Put an operator into the graph; returns its output streams."""
        name = identifier(base, self.names)
        self.names.add(name)
        suffixes = ("out", "token")[: len(op.outputs)]
        outputs = tuple(f"{name}_{suffix}" for suffix in suffixes)
        self.nodes.append(Node(name, op, inputs, outputs, {}, origin.name))
        return outputs

    def also(self, stream: str, like: str) -> None:
        """A stream that carries what another one does."""
        if like in self.tensors:
            self.tensors[stream] = self.tensors[like]

    def constant(self, node: NodeProto, position: int) -> np.ndarray:
        """A constant input."""
        array = self.model.get_initializer(node.input[position]) if position < len(node.input) else None
        if array is None:
            raise unsupported(node, f"its input {position} is not constant")
        return np.asarray(array)

    def integers(self, node: NodeProto, position: int, what: str) -> np.ndarray:
        """A constant input that holds integers: int64."""
        array = self.constant(node, position)
        if not np.array_equal(array, np.rint(array)):
            place = tuple(int(i) for i in np.argwhere(array != np.rint(array))[0])
            raise unsupported(
                node, f"its {what} are not integers: {place} is {array[place]:g}", "streamline the model first"
            )
        return array.astype(np.int64)

    def readers(self, node: NodeProto) -> list[NodeProto]:
        """The nodes that read a node's result."""
        return consumers(self.model, node.output[0])

    def is_output(self, node: NodeProto) -> bool:
        """Whether a node's result leaves the network."""
        return node.output[0] == self.model.graph.output[0].name


def border_of(walk: Walk, node: NodeProto) -> tuple[str, list[int], int]:
    """What a layer reads, with the Pad node in front of it taken in.

    Returns
    -------
    tensor : str
    pads : list of int
        (top, left, bottom, right).
    value : int
        What stands there.
    """
    source, pads = node.input[0], [int(p) for p in attribute(node, "pads", [0, 0, 0, 0])]
    if attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise unsupported(node, "it pads automatically", "streamline the model first")
    if len(pads) != 4:
        raise unsupported(node, f"its padding is {pads}", "use layers over rows and columns")
    pad = producer_of(walk.model, source)
    if pad is None or pad.op_type != "Pad":
        return source, pads, 0
    amounts = [int(a) for a in walk.constant(pad, 1).reshape(-1)]
    number = scalar_of(walk.constant(pad, 2)) if len(pad.input) > 2 else 0.0
    bad = len(amounts) != 8 or any(amounts[i] for i in (0, 1, 4, 5)) or min(amounts) < 0
    if bad or number is None or number != round(number) or any(pads):
        raise unsupported(pad, "only a border of one integer around rows and columns, for one layer, is supported")
    return pad.input[0], [amounts[i] for i in (2, 3, 6, 7)], round(number)
