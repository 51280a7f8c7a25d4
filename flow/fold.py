"""Folding: how much hardware each operator gets, and the plumbing between operators."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import BitexpertError
from ..hw.graph import Dataflow, Node
from ..hw.ops.base import Operator
from ..hw.ops.fifo import Fifo
from ..hw.ops.sliding_window import SlidingWindow
from ..hw.ops.width_convert import WidthConvert
from ..hw.performance import bottleneck, size_fifos
from ..hw.resources import Resources
from ..hw.types import StreamType
from .board import Board

__all__ = ["FoldingError", "estimate", "fold", "folding_config", "read_folding"]

# Share of a board's LUTs that automatic folding may plan with; the rest is for DMA, interconnect and routing.
LUT_SHARE = 0.6
BRAM_SHARE = 0.8
# Attributes of FINN's folding files that need nothing done here: memories and FIFOs are chosen by bitexpert.
FINN_ATTRIBUTES = (
    "ram_style",
    "ram_style_thresholds",
    "resType",
    "mem_mode",
    "runtime_writeable_weights",
    "pumpedCompute",
    "pumpedMemory",
    "parallel_window",
    "impl_style",
    "depth",
    "depth_trigger_uram",
    "depth_trigger_bram",
    "inFIFODepths",
    "outFIFODepths",
)


class FoldingError(BitexpertError):
    """A folding that is illegal, unreachable or does not fit its neighbour."""


def read_folding(path: Path) -> dict[str, dict[str, int]]:
    """Read a folding file in FINN's JSON form: ``{"Defaults": {}, "matvec_0": {"PE": 4, "SIMD": 8}}``.

    Attributes that FINN has and bitexpert does not need (``ram_style``, ``resType``, ``mem_mode``) are ignored.
    Defaults for all nodes of a kind are not supported.

    Raises
    ------
    FoldingError
        The file is missing, is not JSON, or is not of that form; or an attribute is unknown or no whole number.
    """
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise FoldingError(f"cannot read the folding file {path}: {error.strerror}") from None
    except ValueError as error:
        raise FoldingError(f"{path} is not JSON: {error}") from None
    if not isinstance(data, dict) or not all(isinstance(v, dict) for v in data.values()):
        raise FoldingError(f'{path}: expected {{"Defaults": {{}}, "<node>": {{"PE": 1, "SIMD": 1}}}}')
    result = {}
    for name, attributes in data.items():
        unknown = sorted(set(attributes) - {"PE", "SIMD", *FINN_ATTRIBUTES})
        if unknown:
            raise FoldingError(f"{path}: {name} has the unknown attribute {unknown[0]!r}; known: PE, SIMD")
        if name == "Defaults":
            if {"PE", "SIMD"} & set(attributes):
                raise FoldingError(f"{path}: defaults for PE and SIMD are not supported; give them node by node")
            continue
        numbers = {k: v for k, v in attributes.items() if k in ("PE", "SIMD")}
        for key, value in numbers.items():
            if not isinstance(value, int) or isinstance(value, bool):
                raise FoldingError(f"{path}: {name}.{key} must be a whole number, not {value!r}")
        result[name] = numbers
    return result


def folding_config(graph: Dataflow) -> dict[str, Any]:
    """The folding of a graph in the form that :func:`read_folding` reads."""
    return {"Defaults": {}, **{n.name: dict(n.folding) for n in graph.nodes if n.folding}}


def estimate(graph: Dataflow) -> Resources:
    """Estimated resources of a graph, plumbing included."""
    return sum((n.op.resources(n.folding) for n in graph.nodes), Resources())


def fold(
    graph: Dataflow,
    board: Board,
    *,
    target_fps: float | None = None,
    folding: Mapping[str, Mapping[str, int]] | None = None,
) -> Dataflow:
    """Fold a graph: choose PE and SIMD, insert WidthConverts and FIFOs, compute the FIFO depths.

    Parameters
    ----------
    graph : Dataflow
        As lowered.
    board : Board
        Its clock turns frames a second into cycles; its resources bound automatic folding.
    target_fps : float, optional
        Frames a second to reach with the least hardware. Without it and without ``folding``: the fastest
        folding that is estimated to fit the board.
    folding : mapping, optional
        Node -> attributes, as :func:`read_folding` returns; wins over ``target_fps``.

    Raises
    ------
    FoldingError
        An illegal value (the legal ones are named), a target that no folding reaches (the best is named), or
        one that needs more than the device has. A given ``folding`` is taken however large.
    """
    if folding is not None:
        chosen: Dataflow | None = _apply(graph, folding)
    elif target_fps is not None:
        if not target_fps > 0 or math.isinf(target_fps):
            raise FoldingError(f"the target must be a positive number of frames a second, not {target_fps}")
        chooser = _Chooser(graph)
        chosen = chooser.choose(int(min(board.clock_mhz * 1e6 / target_fps, 1e18)), strict=True)
        if chosen is None:
            best = chooser.choose(1, strict=False)
            assert best is not None
            name, cycles = bottleneck(best)
            raise FoldingError(
                f"{target_fps:g} frames/s at {board.clock_mhz:g} MHz is out of reach: {name} needs {cycles} cycles"
                f" fully unfolded, at most {board.clock_mhz * 1e6 / cycles:.0f} frames/s"
            )
    else:
        chosen = _fastest(graph, board)
    assert chosen is not None
    result = size_fifos(_with_fifos(_with_width_converts(chosen)))
    if folding is None:
        _refuse_too_large(result, board)
    return result


def _refuse_too_large(graph: Dataflow, board: Board) -> None:
    """Refuse a design that is estimated to need more than the whole device."""
    need = estimate(graph).rounded()
    for key, name in (("lut", "LUTs"), ("bram18", "BRAM18"), ("dsp", "DSPs")):
        wanted, there = need[key] + (need["lutram"] if key == "lut" else 0), getattr(board, key)
        if wanted > there:
            raise FoldingError(
                f"this takes about {wanted:,} {name} (estimate), {board.title} has {there:,}; lower --target-fps,"
                " leave it out for the fastest design that fits, or give --folding to insist"
            )


def _apply(graph: Dataflow, folding: Mapping[str, Mapping[str, int]]) -> Dataflow:
    names = {n.name for n in graph.nodes}
    for name in folding:
        if name not in names:
            raise FoldingError(f"the folding names {name!r}, which is no node; nodes: {', '.join(sorted(names))}")
    nodes = [replace(n, folding=n.op.check_folding(n.name, folding.get(n.name, {}))) for n in graph.nodes]
    return graph.replace(nodes)


@dataclass(frozen=True)
class _Option:
    """One way to fold an operator, with what it costs and the elements in a beat at its ends."""

    folding: dict[str, int]
    cycles: int
    cost: float
    takes: tuple[int, ...]
    sends: tuple[int, ...]


def _cost(need: Resources) -> float:
    # memories and multipliers weighed by their share of a 7-series device: 190 LUTs come with each BRAM18
    return need.lut + need.lutram + 190 * need.bram18 + 240 * need.dsp


def _options(op: Operator) -> list[_Option]:
    legal = op.foldings()
    options = []
    for values in itertools.product(*legal.values()):
        folding = dict(zip(legal, values, strict=True))
        takes, sends = op.beat_elements(folding)
        options.append(_Option(folding, op.cycles(folding), _cost(op.resources(folding)), takes, sends))
    return options


def _edge_cost(kind: StreamType, have: int | None, want: int) -> float:
    """What a stream costs between ``have`` elements a beat and ``want``: its FIFOs and width converters."""
    cost = _cost(Fifo(kind, want, 2).resources({}))
    if have is None or have == want:
        return cost
    if kind.masked:
        return math.inf
    for source, target in _conversions(have, want):
        cost += _cost(WidthConvert(kind, source, target).resources({})) + _cost(Fifo(kind, source, 2).resources({}))
    return cost


def _conversions(have: int, want: int) -> list[tuple[int, int]]:
    """Steps of WidthConverts from ``have`` to ``want`` elements: each divides or is divided."""
    if have == want:
        return []
    if max(have, want) % min(have, want) == 0:
        return [(have, want)]
    common = math.gcd(have, want)
    return [(have, common), (common, want)]


class _Chooser:
    """Chooses the cheapest folding for a number of cycles a frame, operator by operator along the streams."""

    def __init__(self, graph: Dataflow) -> None:
        self.graph = graph
        self.options = {n.name: _options(n.op) for n in graph.nodes}
        consumers = graph.consumers()
        # a window and the MatVec or WindowPool behind it are chosen together: they share the elements of a beat
        self.behind = {
            n.name: consumers[n.outputs[0]][0]
            for n in graph.nodes
            if isinstance(n.op, SlidingWindow) and n.outputs[0] in consumers
        }

    def choose(self, cycles: int, *, strict: bool) -> Dataflow | None:
        """The cheapest folding with at most ``cycles`` a frame; the fastest, or None if strict, if there is none."""
        chosen: dict[str, _Option] = {}
        sent: dict[str, int] = {}
        for node in self.graph.nodes:
            if node.name not in chosen:
                best = self._best(node, sent, cycles, strict=strict)
                if best is None:
                    return None
                chosen.update(best)
            sent.update(zip(node.outputs, chosen[node.name].sends, strict=True))
        return self.graph.replace(replace(n, folding=chosen[n.name].folding) for n in self.graph.nodes)

    def _best(self, node: Node, sent: dict[str, int], cycles: int, *, strict: bool) -> dict[str, _Option] | None:
        def key(candidate: dict[str, _Option]) -> tuple[float, ...]:
            slowest = max(o.cycles for o in candidate.values())
            first = candidate[node.name]
            cost = sum(o.cost for o in candidate.values())
            for stream, kind, want in zip(node.inputs, node.op.inputs, first.takes, strict=True):
                cost += _edge_cost(kind, sent.get(stream), want)
            late = slowest if slowest > cycles else 0
            return (late, cost, slowest)

        candidates = self._candidates(node)
        best = min(candidates, key=key)
        return None if strict and key(best)[0] else best

    def _candidates(self, node: Node) -> list[dict[str, _Option]]:
        options = self.options[node.name]
        if node.name not in self.behind:
            return [{node.name: o} for o in options]
        reader = self.behind[node.name]
        sending = {o.sends[0]: o for o in options}
        return [
            {node.name: sending[o.takes[0]], reader.name: o} for o in self.options[reader.name] if o.takes[0] in sending
        ]


def _fastest(graph: Dataflow, board: Board) -> Dataflow:
    chooser = _Chooser(graph)
    slowest, fastest = chooser.choose(1 << 60, strict=False), chooser.choose(1, strict=False)
    assert slowest is not None
    assert fastest is not None
    low, high, best = bottleneck(fastest)[1], bottleneck(slowest)[1], slowest
    if not _fits(slowest, board):
        need = estimate(slowest).rounded()
        raise FoldingError(
            f"the network does not fit {board.name} even fully folded: it needs about {need['lut']} LUTs and"
            f" {need['bram18']} BRAM18 of {board.lut} and {board.bram18}; choose a larger board or a smaller network"
        )
    while low < high:
        middle = (low + high) // 2
        candidate = chooser.choose(middle, strict=False)
        assert candidate is not None
        if _fits(candidate, board):
            best, high = candidate, middle
        else:
            low = middle + 1
    return best


def _fits(graph: Dataflow, board: Board) -> bool:
    need = estimate(graph)
    return (
        need.lut + need.lutram <= LUT_SHARE * board.lut
        and need.bram18 <= BRAM_SHARE * board.bram18
        and need.dsp <= board.dsp
    )


def _with_width_converts(graph: Dataflow) -> Dataflow:
    """Insert WidthConverts where the ends of a stream disagree on the elements in a beat."""
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
            for source_width, target in _conversions(have, want):
                name, out = f"width_convert_{next(count)}", f"{stream}_x{target}"
                nodes.append(Node(name, WidthConvert(kind, source_width, target), (inputs[i],), (out,)))
                inputs[i] = out
        nodes.append(replace(node, inputs=tuple(inputs)))
    return graph.replace(nodes)


def _with_fifos(graph: Dataflow) -> Dataflow:
    """Put a Fifo on every stream, on the inputs and the outputs too."""
    nodes: list[Node] = []
    count = itertools.count()

    def fifo(kind: StreamType, per_beat: int, source: str, target: str) -> Node:
        return Node(f"fifo_{next(count)}", Fifo(kind, per_beat, 2), (source,), (target,))

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
