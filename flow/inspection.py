"""What a model file is made of and what becomes of it, before anything is built."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..hw.graph import Dataflow
from ..hw.graph import Node as Operation
from ..hw.ops.matvec import MatVec
from ..hw.ops.threshold import Threshold
from .frames import random_frames
from .lower import check_lowering, lower
from .model_file import ModelError, hardware_input, load_model, shown
from .passes.supported import supported, unsupported
from .streamline import streamline

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["ModelReport", "NodeReport", "inspect_model"]

# Frames on which the passes are checked here; a build takes more.
_FRAMES = 2
_QUANTIZERS = ("Quant", "BipolarQuant", "IntQuant", "MultiThreshold")
_VIEWS = ("Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Expand", "Identity", "Dropout", "Cast")


@dataclass(frozen=True)
class NodeReport:
    """One node of the file.

    Parameters
    ----------
    name, kind : str
    becomes : str
        The operators that it is, or where its numbers go.
    output : str
        What leaves: element and shape, where it is a stream of the accelerator.
    macs : int
        Multiply-accumulates a frame.
    weights, weight_bits : int
        How many, and bits of each.
    thresholds : int
        Integer thresholds.
    """

    name: str
    kind: str
    becomes: str
    output: str = ""
    macs: int = 0
    weights: int = 0
    weight_bits: int = 0
    thresholds: int = 0


@dataclass(frozen=True)
class ModelReport:
    """What :func:`inspect_model` found.

    Parameters
    ----------
    model : Path
    input, output : str
        What enters and what leaves; "" where that is not known.
    nodes : list of NodeReport
        In the order of the file.
    problems : list of str
        Why no accelerator can be built, each with what the user can do; empty if one can.
    notes : list of str
        What is worth knowing.
    """

    model: Path
    input: str
    output: str
    nodes: list[NodeReport]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def totals(self) -> dict[str, int]:
        """Sums over the nodes; ``weight_memory`` in bits."""
        return {
            "macs": sum(n.macs for n in self.nodes),
            "weights": sum(n.weights for n in self.nodes),
            "weight_memory": sum(n.weights * n.weight_bits for n in self.nodes),
            "thresholds": sum(n.thresholds for n in self.nodes),
        }

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "model": str(self.model),
            "supported": not self.problems,
            "input": self.input,
            "output": self.output,
            "totals": self.totals,
            "problems": self.problems,
            "notes": self.notes,
            "nodes": [asdict(n) for n in self.nodes],
        }


def inspect_model(path: Path) -> ModelReport:
    """Say what each node of a QONNX file becomes, and what stands in the way.

    The passes are run, and checked on two random frames; nothing is written.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ModelError
        The file cannot be read.
    """
    model = load_model(path)
    known = supported()
    strangers = [n for n in model.graph.node if n.op_type not in known]
    if strangers:
        problems = [str(unsupported(n)) for n in strangers]
        nodes = [
            NodeReport(shown(n.name), n.op_type, "not supported" if n in strangers else "") for n in model.graph.node
        ]
        return ModelReport(path, "", "", nodes, problems)
    try:
        source = hardware_input(model)
        frames = random_frames(source, _FRAMES)
        after, records = streamline(model, frames)
        graph = lower(after)
        check_lowering(after, graph, frames)
    except ModelError as error:
        return ModelReport(
            path, "", "", [NodeReport(shown(n.name), n.op_type, "") for n in model.graph.node], [str(error)]
        )
    left_out = "FINN's pass {} was left out; its work is done without it. The reason: {}"
    notes = [left_out.format(r.name, r.skipped) for r in records if r.skipped]
    enters = f"{graph.type_of(graph.inputs[0])}"
    if source.scale != 1 or source.offset:
        enters += f" (the file computes with {source.scale:g} * integer" + (
            f" + {source.offset:g})" if source.offset else ")"
        )
    leaves = str(graph.type_of(graph.outputs[0]))
    if graph.meta["top_k"]:
        leaves += f" (indices of the {graph.meta['top_k']} largest scores)"
    elif (graph.meta["output_scale"], graph.meta["output_bias"]) != (1.0, 0.0):
        leaves += " (the host scales and shifts them)"
    return ModelReport(path, enters, leaves, _nodes(model, graph), [], notes)


def _nodes(model: ModelWrapper, graph: Dataflow) -> list[NodeReport]:
    made: dict[str, list[Operation]] = {}
    names = {n.name for n in model.graph.node}
    for operation in graph.nodes:
        made.setdefault(_origin(operation.origin, names), []).append(operation)
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for tensor in dict.fromkeys(node.input):
            readers.setdefault(tensor, []).append(node)
    ends = _ends(model, made, readers)
    constants = {t.name for t in model.graph.initializer} | {""}
    return [
        _node(n, made.get(n.name, []), readers.get(n.output[0], []), constants, ends[n.name]) for n in model.graph.node
    ]


def _origin(name: str, names: set[str]) -> str:
    """The node of the file that an operator comes from; helpers are called ``<node>/<kind>``."""
    while name and name not in names:
        name = name.rpartition("/")[0]
    return name


def _node(
    node: NodeProto, operations: list[Operation], readers: list[NodeProto], constants: set[str], end: str
) -> NodeReport:
    if not operations:
        becomes = _folded(node, readers, constants) or end
        return NodeReport(shown(node.name), node.op_type, becomes)
    products = [o.op for o in operations if isinstance(o.op, MatVec)]
    return NodeReport(
        shown(node.name),
        node.op_type,
        " + ".join(o.op.kind for o in operations),
        str(operations[-1].op.outputs[0]),
        sum(o.op.operations() for o in operations),
        sum(int(p.weights.size) for p in products),
        max((p.weight_bits for p in products), default=0),
        sum(int(o.op.thresholds.size) for o in operations if isinstance(o.op, Threshold)),
    )


def _folded(node: NodeProto, readers: list[NodeProto], constants: set[str]) -> str:
    """Where the numbers of a node without hardware of its own go; "" if that depends on what lies behind it."""
    if constants.issuperset(node.input):
        return f"weights of {', '.join(shown(r.name) for r in readers)}"
    if node.op_type in _QUANTIZERS:
        return "defines the integers that enter"
    if node.op_type in _VIEWS:
        return "an order of the stream"
    if node.op_type in ("Concat", "Tile", "Split", "Slice", "Gather"):
        return "a choice of channels for what reads it"
    if node.op_type in ("ArgMax", "TopK"):
        return "TopK"
    if node.op_type == "Pad":
        return f"padding of {', '.join(shown(r.name) for r in readers)}"
    return ""


def _ends(model: ModelWrapper, made: dict[str, list[Operation]], readers: dict[str, list[NodeProto]]) -> dict[str, str]:
    """Of each node, what the first quantizer behind it makes of its numbers."""
    last = "behind the output, left to the host"
    ends: dict[str, str] = {}
    for node in reversed(model.graph.node):
        found = last
        for reader in (r for t in node.output for r in readers.get(t, [])):
            operations = made.get(reader.name, [])
            if any(isinstance(o.op, Threshold) for o in operations):
                found = f"thresholds of {shown(reader.name)}"
            elif reader.op_type in _QUANTIZERS and not operations:
                found = "in front of the input, left to the host"
            else:
                found = ends[reader.name]
            if found != last:
                break
        ends[node.name] = found
    return ends
