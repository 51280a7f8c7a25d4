"""Hand-made networks for the benchmarks, and what is common to them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bitexpert.flow.board import load_board
from bitexpert.flow.emit import TOP, emit_rtl
from bitexpert.flow.fold import fold
from bitexpert.flow.synth import rtl_sources
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.add import Add
from bitexpert.hw.ops.base import Operator
from bitexpert.hw.ops.fork import Fork
from bitexpert.hw.ops.frame_hold import FrameHold
from bitexpert.hw.ops.gate import Gate
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.ops.pool import Pool
from bitexpert.hw.ops.sliding_window import SlidingWindow
from bitexpert.hw.ops.threshold import Threshold
from bitexpert.hw.ops.topk import TopK
from bitexpert.hw.types import BIPOLAR, StreamType, uint_t
from bitexpert.sim.rtl import RtlRun, build_rtl, run_rtl
from bitexpert.sim.usage import Usage
from bitexpert.sim.yosys import synthesise

__all__ = [
    "dense_network",
    "expert_layer",
    "plain_or_copied_layer",
    "random_frames",
    "random_network",
    "residual_block",
    "simulate_rtl",
    "small_network",
    "synthesise_graph",
    "table",
]

MADE_BY = "Made by a benchmark of bitexpert."

Folding = Mapping[str, Mapping[str, int]]


def _signs(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (2 * rng.integers(0, 2, shape) - 1).astype(np.int8)


def expert_layer(experts: int, size: int, channels: int, pe: int, simd: int) -> Dataflow:
    """A zero-padded 3x3 convolution of bits with its thresholds, folded.

    Parameters
    ----------
    experts : int
        Banks of weights; with more than one a gate, a FrameHold and a Fork stand in front.
    size : int
        Rows and columns of a frame.
    channels : int
        At the input and at the output.
    pe, simd : int
        Rows and columns that the MatVec works on at once.
    """
    rng = np.random.default_rng(0)
    x = StreamType(BIPOLAR, (size, size, channels))
    window = SlidingWindow(x, (3, 3), padding=(1, 1, 1, 1))
    matvec = MatVec(window.outputs[0], _signs(rng, experts, 1, channels, 9 * channels), tap=window.tap)
    acc = matvec.outputs[0]
    spread = acc.element.max // 8
    limits = rng.integers(-spread, spread + 1, (1, channels))
    threshold = Threshold(acc, limits, rng.integers(0, 2, (1, channels)).astype(bool))
    folding = {"window_0": {"SIMD": simd}, "matvec_0": {"PE": pe, "SIMD": simd}, "threshold_0": {"PE": pe}}
    nodes: list[Node] = []
    source: tuple[str, ...] = ("in_0",)
    if experts > 1:
        gate = Gate(x, rng.integers(-7, 8, (experts, channels)), np.zeros(experts, dtype=np.int64))
        nodes += [
            Node("fork_0", Fork(x, 2), ("in_0",), ("kept_0", "seen_0")),
            Node("gate_0", gate, ("seen_0",), ("choice_0",)),
            Node("frame_hold_0", FrameHold(x, experts, 2), ("kept_0", "choice_0"), ("held_0", "bank_0")),
        ]
        folding |= {name: {"PE": simd} for name in ("fork_0", "gate_0", "frame_hold_0")}
        source = ("held_0", "bank_0")
    nodes += [
        Node("window_0", window, source[:1], ("window_0_out",)),
        Node("matvec_0", matvec, ("window_0_out", *source[1:]), ("matvec_0_out",)),
        Node("threshold_0", threshold, ("matvec_0_out",), ("threshold_0_out",)),
    ]
    return fold(Dataflow(tuple(nodes), ("in_0",), ("threshold_0_out",)), load_board("pynq-z2"), folding=folding)


def plain_or_copied_layer(tau: int, groups: int, size: int, channels: int, pe: int, simd: int) -> Dataflow:
    """A zero-padded 3x3 convolution of bits with its thresholds, plain or expanded and shrunk, folded.

    Parameters
    ----------
    tau, groups : int
        The convolution reads ``channels * tau * groups`` bits in groups and makes ``channels / tau`` sums, of which
        the thresholds make ``tau^2 * groups`` copies (arXiv:2503.23709). 1 and 1: the plain layer. The number of
        products is the same for all.
    size : int
        Rows and columns of a frame.
    channels : int
        Of the plain layer, at the input and at the output.
    pe, simd : int
        Rows and columns that the MatVec works on at once.
    """
    rng = np.random.default_rng(0)
    x = StreamType(BIPOLAR, (size, size, channels * tau * groups))
    window = SlidingWindow(x, (3, 3), padding=(1, 1, 1, 1), groups=groups)
    rows, columns, copies = channels // (tau * groups), 9 * channels * tau, tau * tau * groups
    matvec = MatVec(window.outputs[0], _signs(rng, 1, groups, rows, columns), tap=window.tap)
    acc = matvec.outputs[0]
    spread = acc.element.max // 8
    limits = rng.integers(-spread, spread + 1, (copies, groups * rows))
    threshold = Threshold(acc, limits, rng.integers(0, 2, limits.shape).astype(bool))
    folding = {"window_0": {"SIMD": simd}, "matvec_0": {"PE": pe, "SIMD": simd}, "threshold_0": {"PE": pe}}
    nodes = (
        Node("window_0", window, ("in_0",), ("window_0_out",)),
        Node("matvec_0", matvec, ("window_0_out",), ("matvec_0_out",)),
        Node("threshold_0", threshold, ("matvec_0_out",), ("threshold_0_out",)),
    )
    return fold(Dataflow(nodes, ("in_0",), ("threshold_0_out",)), load_board("pynq-z2"), folding=folding)


def small_network(folding: Folding) -> Dataflow:
    """Pixels -> window -> MatVec -> two thresholds a channel -> pool -> gate -> window -> MatVec of three banks."""
    rng = np.random.default_rng(1)
    x = StreamType(uint_t(4), (8, 8, 2))
    window0 = SlidingWindow(x, (3, 3), padding=(1, 1, 1, 1))
    matvec0 = MatVec(window0.outputs[0], _signs(rng, 1, 1, 8, 18), tap=window0.tap)
    threshold = Threshold(matvec0.outputs[0], rng.integers(-15, 16, (2, 8)), rng.integers(0, 2, (2, 8)).astype(bool))
    pool = Pool(threshold.outputs[0], (2, 2))
    bits = pool.outputs[0]
    gate = Gate(bits, rng.integers(-7, 8, (3, 16)), rng.integers(-9, 10, 3))
    window1 = SlidingWindow(bits, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    matvec1 = MatVec(window1.outputs[0], _signs(rng, 3, 1, 12, 144), tap=window1.tap)
    nodes = (
        Node("window_0", window0, ("in_0",), ("window_0_out",)),
        Node("matvec_0", matvec0, ("window_0_out",), ("matvec_0_out",)),
        Node("threshold_0", threshold, ("matvec_0_out",), ("threshold_0_out",)),
        Node("pool_0", pool, ("threshold_0_out",), ("pool_0_out",)),
        Node("fork_0", Fork(bits, 2), ("pool_0_out",), ("kept_0", "seen_0")),
        Node("gate_0", gate, ("seen_0",), ("choice_0",)),
        Node("frame_hold_0", FrameHold(bits, 3, 2), ("kept_0", "choice_0"), ("held_0", "bank_0")),
        Node("window_1", window1, ("held_0",), ("window_1_out",)),
        Node("matvec_1", matvec1, ("window_1_out", "bank_0"), ("matvec_1_out",)),
    )
    return fold(Dataflow(nodes, ("in_0",), ("matvec_1_out",)), load_board("pynq-z2"), folding=folding)


def residual_block(folding: Folding) -> Dataflow:
    """Numbers -> window -> MatVec, added to the numbers themselves -> window -> MatVec."""
    rng = np.random.default_rng(3)
    x = StreamType(uint_t(4), (6, 6, 4))
    window0 = SlidingWindow(x, (3, 3), padding=(1, 1, 1, 1))
    matvec0 = MatVec(window0.outputs[0], _signs(rng, 1, 1, 4, 36), tap=window0.tap)
    add = Add(matvec0.outputs[0], x)
    window1 = SlidingWindow(add.outputs[0], (2, 2), stride=(2, 2))
    matvec1 = MatVec(window1.outputs[0], _signs(rng, 1, 1, 8, 16), tap=window1.tap)
    nodes = (
        Node("fork_0", Fork(x, 2), ("in_0",), ("kept_0", "seen_0")),
        Node("window_0", window0, ("seen_0",), ("window_0_out",)),
        Node("matvec_0", matvec0, ("window_0_out",), ("matvec_0_out",)),
        Node("add_0", add, ("matvec_0_out", "kept_0"), ("add_0_out",)),
        Node("window_1", window1, ("add_0_out",), ("window_1_out",)),
        Node("matvec_1", matvec1, ("window_1_out",), ("matvec_1_out",)),
    )
    return fold(Dataflow(nodes, ("in_0",), ("matvec_1_out",)), load_board("pynq-z2"), folding=folding)


def dense_network(folding: Folding) -> Dataflow:
    """Bits -> three MatVecs of 64 rows, each with its thresholds -> MatVec of 10 rows."""
    rng = np.random.default_rng(4)
    kind, stream, nodes = StreamType(BIPOLAR, (1, 1, 64)), "in_0", []
    for i in range(3):
        matvec = MatVec(kind, _signs(rng, 1, 1, 64, 64))
        threshold = Threshold(
            matvec.outputs[0], rng.integers(-9, 10, (1, 64)), rng.integers(0, 2, (1, 64)).astype(bool)
        )
        nodes += [
            Node(f"matvec_{i}", matvec, (stream,), (f"matvec_{i}_out",)),
            Node(f"threshold_{i}", threshold, (f"matvec_{i}_out",), (f"threshold_{i}_out",)),
        ]
        kind, stream = threshold.outputs[0], f"threshold_{i}_out"
    nodes.append(Node("matvec_3", MatVec(kind, _signs(rng, 1, 1, 10, 64)), (stream,), ("matvec_3_out",)))
    return fold(Dataflow(tuple(nodes), ("in_0",), ("matvec_3_out",)), load_board("pynq-z2"), folding=folding)


def random_network(seed: int) -> Dataflow:
    """A network like those that are trained, not folded: convolutions of bits, some with experts, groups or copies.

    Pixels -> 2 to 4 convolutions with their thresholds and pools -> MatVec -> the largest. Sizes are random.
    """
    rng = np.random.default_rng(seed)
    size, stream = int(rng.choice([16, 24, 32])), "in_0"
    kind = StreamType(uint_t(8), (size, size, int(rng.choice([1, 3]))))
    nodes: list[Node] = []

    def then(op: Operator, name: str, *more: str) -> str:
        nodes.append(Node(name, op, (stream, *more), (f"{name}_out",)))
        return f"{name}_out"

    for i in range(int(rng.integers(2, 5))):
        bits, size = kind.element == BIPOLAR, kind.shape[0]
        experts = int(rng.choice([1, 2, 4])) if bits else 1
        token: tuple[str, ...] = ()
        if experts > 1:
            gate = Gate(kind, rng.integers(-15, 16, (experts, kind.shape[2])), rng.integers(-50, 51, experts))
            nodes += [
                Node(f"fork_{i}", Fork(kind, 2), (stream,), (f"kept_{i}", f"seen_{i}")),
                Node(f"gate_{i}", gate, (f"seen_{i}",), (f"choice_{i}",)),
                Node(
                    f"hold_{i}", FrameHold(kind, experts, 2), (f"kept_{i}", f"choice_{i}"), (f"held_{i}", f"bank_{i}")
                ),
            ]
            stream, token = f"held_{i}", (f"bank_{i}",)
        groups = int(rng.choice([1, 1, 4])) if bits else 1
        pad = (1, 1, 1, 1) if rng.random() < 0.7 or size < 6 else (0, 0, 0, 0)
        window = SlidingWindow(kind, (3, 3), padding=pad, groups=groups)
        rows = int(rng.choice([16, 24, 32, 48, 64]))
        weights = _signs(rng, experts, groups, rows // groups, 9 * kind.shape[2] // groups)
        stream = then(window, f"window_{i}")
        matvec = MatVec(window.outputs[0], weights, tap=window.tap)
        stream = then(matvec, f"matvec_{i}", *token)
        sums, copies = matvec.outputs[0], int(rng.choice([1, 1, 2]))
        spread = int(4 * np.sqrt(weights.shape[3])) if bits else sums.element.max // 4
        limits = rng.integers(-spread, spread + 1, (copies, rows)).clip(sums.element.min, sums.element.max)
        threshold = Threshold(sums, limits, rng.integers(0, 2, (copies, rows)).astype(bool))
        stream, kind = then(threshold, f"threshold_{i}"), threshold.outputs[0]
        if kind.shape[0] >= 8:
            pool = Pool(kind, (2, 2))
            stream, kind = then(pool, f"pool_{i}"), pool.outputs[0]
    flat = StreamType(kind.element, (1, 1, kind.elements))
    scores = MatVec(flat, _signs(rng, 1, 1, 10, kind.elements))
    stream = then(scores, "matvec_9")
    stream = then(TopK(scores.outputs[0], 1), "topk_0")
    return Dataflow(tuple(nodes), ("in_0",), (stream,))


def random_frames(graph: Dataflow, count: int) -> np.ndarray:
    """Frames over the whole range of the input, bits with another mean in each channel of each frame."""
    kind = graph.type_of(graph.inputs[0])
    rng = np.random.default_rng(2)
    if kind.element != BIPOLAR:
        return rng.integers(kind.element.min, kind.element.max + 1, (count, *kind.shape))
    chance = rng.random((count, 1, 1, kind.shape[2]))
    return np.where(rng.random((count, *kind.shape)) < chance, 1, -1)


def simulate_rtl(graph: Dataflow, frames: np.ndarray, cycle_frames: int = 0, rtl: Path | None = None) -> RtlRun:
    """Emit (unless ``rtl`` holds the design), compile and run the RTL; stop if a beat differs from the reference."""
    with tempfile.TemporaryDirectory() as name:
        folder = rtl or Path(name) / "rtl"
        if rtl is None:
            emit_rtl(graph, folder, MADE_BY)
        program = build_rtl(folder, Path(name) / "work")
        run = run_rtl(program, folder, graph, graph.run(frames), cycle_frames=cycle_frames)
    if run.differences:
        raise SystemExit(f"the RTL differs from the reference: {run.differences[0]}")
    return run


def synthesise_graph(graph: Dataflow, family: str = "xc7") -> dict[str, Usage]:
    """What each operator of an accelerator takes, synthesised by Yosys; "" is all of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        emit_rtl(graph, folder, MADE_BY)
        result = synthesise(rtl_sources(folder), TOP, family, keep_instances=True)
    return {"": result.usage, **result.instances}


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table of text, numbers to the right."""
    cells = [list(columns), *[[_shown(value) for value in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = []
    for row in cells:
        padded = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(padded).rstrip())
    return "\n".join([title, lines[0], "-" * len(lines[0]), *lines[1:]])


def _shown(value: Any) -> str:
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.2f}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)
