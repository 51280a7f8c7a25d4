"""The plumbing between folded operators: width converters and FIFOs, what they cost and where they go."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

from ..errors import BitexpertError
from ..hw.graph import Dataflow, Node
from ..hw.ops.fifo import Fifo
from ..hw.ops.width_convert import WidthConvert
from ..hw.resources import Resources
from ..hw.types import StreamType

__all__ = ["FoldingError", "converters", "fifo_resources", "insert_fifos", "insert_width_converts"]

# Beats of a FIFO until `size_fifos` knows better: the least, and what most streams need.
SHALLOW = 2


class FoldingError(BitexpertError):
    """A folding that is illegal, unreachable or does not fit its neighbour."""


def converters(kind: StreamType, have: int, want: int) -> list[WidthConvert]:
    """The WidthConverts that turn beats of ``have`` elements into beats of ``want``: none, one or two.

    A WidthConvert's widths divide one another; where these do not, two meet at their greatest common divisor.

    Raises
    ------
    OperatorError
        The stream is masked, and the widths differ.
    """
    if have == want:
        return []
    if max(have, want) % min(have, want) == 0:
        return [WidthConvert(kind, have, want)]
    common = math.gcd(have, want)
    return [WidthConvert(kind, have, common), WidthConvert(kind, common, want)]


def fifo_resources(kind: StreamType, per_beat: int) -> Resources:
    """What a stream's FIFO needs while it is shallow."""
    return Fifo(kind, per_beat, SHALLOW).resources({})


def insert_width_converts(graph: Dataflow) -> Dataflow:
    """Insert WidthConverts where the ends of a stream disagree on the elements in a beat.

    Raises
    ------
    FoldingError
        The stream is zero-padded: its beats cannot be regrouped.
    """
    producers = graph.producers()
    nodes: list[Node] = []
    count = itertools.count()
    for node in graph.nodes:
        inputs = list(node.inputs)
        for i, stream in enumerate(node.inputs):
            want = node.op.beat_elements(node.folding)[0][i]
            have = graph.per_beat(stream) if stream in producers else want
            if have == want:
                continue
            kind = graph.type_of(stream)
            if kind.masked:
                source = producers[stream][0].name
                raise FoldingError(
                    f"{source} and {node.name} share a zero-padded stream and must have the same SIMD:"
                    f" {source} has {have}, {node.name} has {want}"
                )
            for op in converters(kind, have, want):
                out = f"{stream}_x{op.target}"
                nodes.append(Node(f"width_convert_{next(count)}", op, (inputs[i],), (out,)))
                inputs[i] = out
        nodes.append(replace(node, inputs=tuple(inputs)))
    return graph.replace(nodes)


def insert_fifos(graph: Dataflow) -> Dataflow:
    """Put a Fifo on every stream, on the inputs and the outputs too."""
    nodes: list[Node] = []
    count = itertools.count()

    def fifo(kind: StreamType, per_beat: int, source: str, target: str) -> Node:
        return Node(f"fifo_{next(count)}", Fifo(kind, per_beat, SHALLOW), (source,), (target,))

    for node in graph.nodes:
        wanted = node.op.beat_elements(node.folding)[0]
        for stream, kind, per_beat in zip(node.inputs, node.op.inputs, wanted, strict=True):
            nodes.append(fifo(kind, per_beat, stream, f"{stream}_q"))
        nodes.append(replace(node, inputs=tuple(f"{s}_q" for s in node.inputs)))
    for stream in graph.outputs:
        nodes.append(fifo(graph.type_of(stream), graph.per_beat(stream), stream, f"{stream}_q"))
    tensors = {s: t for stream, t in graph.tensors.items() for s in (stream, f"{stream}_q")}
    result = graph.replace(nodes, outputs=tuple(f"{s}_q" for s in graph.outputs), tensors=tensors)
    result.validate_folding()
    return result
