"""The dataflow graph: operators joined by streams."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BitexpertError
from .ops.base import Operator
from .types import StreamType

__all__ = ["Dataflow", "GraphError", "Node"]

FORMAT = 1


class GraphError(BitexpertError):
    """A graph whose streams do not fit together."""


@dataclass(frozen=True, eq=False)
class Node:
    """An operator at its place in the graph.

    Parameters
    ----------
    name : str
        Unique; a safe identifier (hw/identifiers.py).
    op : Operator
    inputs, outputs : tuple of str
        Names of the streams, in the order of ``op.inputs`` and ``op.outputs``.
    folding : mapping of str to int
        Empty until the graph is folded.
    origin : str
        Name of the ONNX node it was made from, as the user's file spells it; "" for plumbing.
    """

    name: str
    op: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    folding: Mapping[str, int] = field(default_factory=dict)
    origin: str = ""


@dataclass(frozen=True, eq=False)
class Dataflow:
    """A network as operators and streams, in topological order.

    Parameters
    ----------
    nodes : tuple of Node
    inputs : tuple of str
        The streams that enter; a network has one, a part of one may have more.
    outputs : tuple of str
        The streams that leave.
    tensors : mapping of str to str
        Stream -> ONNX tensor that holds the same values (NCHW), where there is one.
    meta : mapping
        What reports need and the hardware does not: model name, input scale, class names ...
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.validate()

    # -- structure ------------------------------------------------------------------------------
    def node(self, name: str) -> Node:
        """The node of that name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise GraphError(f"there is no node {name!r}; nodes: {', '.join(n.name for n in self.nodes)}")

    def producers(self) -> dict[str, tuple[Node, int]]:
        """Stream -> (node that writes it, output index)."""
        return {s: (n, i) for n in self.nodes for i, s in enumerate(n.outputs)}

    def consumers(self) -> dict[str, tuple[Node, int]]:
        """Stream -> (node that reads it, input index)."""
        return {s: (n, i) for n in self.nodes for i, s in enumerate(n.inputs)}

    def streams(self) -> list[str]:
        """All streams: the inputs, then outputs in the order of the nodes."""
        return [*self.inputs, *(s for n in self.nodes for s in n.outputs)]

    def type_of(self, stream: str) -> StreamType:
        """Type of a stream, as its producer (for an input: its consumer) declares it."""
        if stream in self.inputs:
            node, i = self.consumers()[stream]
            return node.op.inputs[i]
        node, i = self.producers()[stream]
        return node.op.outputs[i]

    def per_beat(self, stream: str) -> int:
        """Elements in a beat of a stream, from the folding of the node at its end."""
        if stream in self.inputs:
            node, i = self.consumers()[stream]
            return node.op.beat_elements(node.folding)[0][i]
        node, i = self.producers()[stream]
        return node.op.beat_elements(node.folding)[1][i]

    def beat_bits(self, stream: str) -> int:
        """Width of a beat of a stream in bits."""
        return self.type_of(stream).beat_bits(self.per_beat(stream))

    def validate(self) -> None:
        """Check names, order, types, and that each stream has one writer and one reader.

        Raises
        ------
        GraphError
        """
        names: set[str] = set()
        written: dict[str, StreamType] = {}
        read: set[str] = set()
        for node in self.nodes:
            if node.name in names:
                raise GraphError(f"two nodes are called {node.name!r}")
            names.add(node.name)
            if len(node.inputs) != len(node.op.inputs) or len(node.outputs) != len(node.op.outputs):
                raise GraphError(f"{node.name} ({node.op.kind}) has the wrong number of streams")
            for stream, want in zip(node.inputs, node.op.inputs, strict=True):
                if stream in read:
                    raise GraphError(f"stream {stream} is read twice; a Fork must split it")
                read.add(stream)
                if stream in self.inputs and stream not in written:
                    written[stream] = want
                if stream not in written:
                    raise GraphError(f"{node.name} reads stream {stream}, which nothing before it writes")
                if not written[stream].same_wire(want):
                    raise GraphError(f"{node.name} wants {want} on stream {stream}, which carries {written[stream]}")
            for stream, have in zip(node.outputs, node.op.outputs, strict=True):
                if stream in written:
                    raise GraphError(f"stream {stream} is written twice")
                written[stream] = have
        if not set(self.inputs) <= read or not set(self.outputs) <= set(written) - read:
            raise GraphError("an input of the graph is not read, or an output is not written or is read again")
        loose = set(written) - read - set(self.outputs)
        if loose:
            raise GraphError(f"nothing reads the streams {', '.join(sorted(loose))}")

    def validate_folding(self) -> None:
        """Check that both ends of each stream agree on the elements in a beat."""
        producers = self.producers()
        for stream, (node, i) in self.consumers().items():
            want = node.op.beat_elements(node.folding)[0][i]
            if stream in producers and self.per_beat(stream) != want:
                source = producers[stream][0].name
                raise GraphError(f"{source} sends {self.per_beat(stream)} elements a beat, {node.name} takes {want}")

    def replace(self, nodes: Iterable[Node], **changes: Any) -> Dataflow:
        """A graph with other nodes (and other fields, if given)."""
        return replace(self, nodes=tuple(nodes), **changes)

    # -- values ---------------------------------------------------------------------------------
    def run(self, *frames: np.ndarray) -> dict[str, np.ndarray]:
        """The integer reference: the values of every stream.

        Parameters
        ----------
        frames : ndarray of int, shape (N, H, W, C), one per input

        Returns
        -------
        dict of stream name to int64 ndarray of shape (N, H, W, C).

        Raises
        ------
        GraphError
            Shape or range of an input does not fit, or an operator left the range of its type.
        """
        if len(frames) != len(self.inputs):
            raise GraphError(f"the graph has {len(self.inputs)} inputs, {len(frames)} were given")
        values = {s: self._check_input(s, np.asarray(x)) for s, x in zip(self.inputs, frames, strict=True)}
        for node in self.nodes:
            arguments = [values[s].reshape(-1, *t.shape) for s, t in zip(node.inputs, node.op.inputs, strict=True)]
            for stream, kind, out in zip(node.outputs, node.op.outputs, node.op.reference(*arguments), strict=True):
                if out.shape[1:] != kind.shape:
                    raise GraphError(f"{node.name} made shape {out.shape[1:]} on {stream}, declared {kind.shape}")
                if not kind.masked and not kind.element.holds(out):
                    raise GraphError(f"{node.name} made a value outside {kind.element} on {stream}")
                values[stream] = out.astype(np.int64, copy=False)
        return values

    def _check_input(self, stream: str, frames: np.ndarray) -> np.ndarray:
        want = self.type_of(stream)
        if frames.ndim != 4 or frames.shape[1:] != want.shape:
            raise GraphError(f"the input must have shape (N, {', '.join(map(str, want.shape))}), not {frames.shape}")
        if not np.issubdtype(frames.dtype, np.integer):
            raise GraphError(f"the input must be integers, not {frames.dtype}")
        values = frames.astype(np.int64)
        if not want.masked and not want.element.holds(values):
            raise GraphError(f"the input has values outside {want.element} ({want.element.min}..{want.element.max})")
        return values

    # -- files ----------------------------------------------------------------------------------
    def _parts(self) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
        """All nodes as JSON values, and their weights by ``<node>.<name>``."""
        nodes: list[dict[str, Any]] = []
        arrays: dict[str, np.ndarray] = {}
        for node in self.nodes:
            scalars, tables = node.op.to_dict()
            arrays.update({f"{node.name}.{key}": value for key, value in tables.items()})
            nodes.append(
                {
                    "name": node.name,
                    "op": scalars,
                    "inputs": list(node.inputs),
                    "outputs": list(node.outputs),
                    "folding": dict(node.folding),
                }
            )
        return nodes, arrays

    def digest(self) -> str:
        """A SHA-256, in hex, over all that the hardware is made of: operators, weights, streams and folding."""
        nodes, arrays = self._parts()
        text = json.dumps([list(self.inputs), list(self.outputs), nodes], sort_keys=True)
        found = hashlib.sha256(text.encode())
        for name, values in sorted(arrays.items()):
            found.update(f"{name} {values.shape} ".encode() + np.ascontiguousarray(values, dtype="<i8").tobytes())
        return found.hexdigest()

    def save(self, json_path: Path, npz_path: Path | None = None) -> None:
        """Write the graph and, unless ``npz_path`` is None, its weights; each file is complete or absent.

        A folded graph has the weights of the graph that was folded, so it needs no file of its own.
        """
        nodes, arrays = self._parts()
        for entry, node in zip(nodes, self.nodes, strict=True):
            entry["origin"] = node.origin
        head = {
            "format": FORMAT,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "tensors": dict(self.tensors),
            "meta": dict(self.meta),
        }
        if npz_path is not None:
            part = npz_path.with_name(npz_path.name + ".part")
            with part.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
            part.replace(npz_path)
        part = json_path.with_name(json_path.name + ".part")
        part.write_text(json.dumps({**head, "nodes": nodes}, indent=1) + "\n")
        part.replace(json_path)

    @classmethod
    def load(cls, json_path: Path, npz_path: Path) -> Dataflow:
        """Read what :meth:`save` wrote.

        Raises
        ------
        GraphError
            Another format version.
        """
        data = json.loads(json_path.read_text())
        if data.get("format") != FORMAT:
            raise GraphError(f"{json_path}: graph format {data.get('format')!r}, expected {FORMAT}; build again")
        with np.load(npz_path) as tables:
            arrays = dict(tables)
        nodes = []
        for item in data["nodes"]:
            prefix = item["name"] + "."
            own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            nodes.append(
                Node(
                    item["name"],
                    Operator.from_dict(item["op"], own),
                    tuple(item["inputs"]),
                    tuple(item["outputs"]),
                    item["folding"],
                    item["origin"],
                )
            )
        return cls(tuple(nodes), tuple(data["inputs"]), tuple(data["outputs"]), data["tensors"], data["meta"])
