"""Small graphs whose every folding can be tried."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.add import Add
from bitexpert.hw.ops.fork import Fork
from bitexpert.hw.ops.frame_hold import FrameHold
from bitexpert.hw.ops.gate import Gate
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.ops.sliding_window import SlidingWindow
from bitexpert.hw.ops.threshold import Threshold
from bitexpert.hw.types import BIPOLAR, StreamType, uint_t

RNG = np.random.default_rng(0)


def signs(*shape):
    return (2 * RNG.integers(0, 2, shape) - 1).astype(np.int8)


def threshold(stream):
    m = stream.shape[2]
    return Threshold(stream, RNG.integers(-3, 4, (1, m)), np.zeros((1, m), dtype=bool))


def padded_bits() -> Dataflow:
    """A masked window, then a dense layer whose SIMD need not fit the PE in front of it."""
    x = StreamType(BIPOLAR, (3, 3, 4))
    window = SlidingWindow(x, (2, 2), stride=(2, 2), padding=(1, 1, 0, 0))
    matvec = MatVec(window.outputs[0], signs(1, 1, 6, 16), tap=window.tap)
    bits = threshold(matvec.outputs[0])
    dense = MatVec(StreamType(BIPOLAR, (1, 1, 24)), signs(1, 1, 2, 24))
    nodes = (
        Node("window", window, ("a",), ("b",)),
        Node("matvec", matvec, ("b",), ("c",)),
        Node("threshold", bits, ("c",), ("d",)),
        Node("dense", dense, ("d",), ("e",)),
    )
    return Dataflow(nodes, ("a",), ("e",))


def diamond() -> Dataflow:
    """A sum of two copies, one of which went through a dense layer."""
    x = StreamType(uint_t(2), (2, 2, 6))
    layer = MatVec(x, signs(1, 1, 6, 6))
    add = Add(layer.outputs[0], x)
    nodes = (
        Node("fork", Fork(x, 2), ("a",), ("b", "c")),
        Node("layer", layer, ("b",), ("d",)),
        Node("add", add, ("d", "c"), ("e",)),
    )
    return Dataflow(nodes, ("a",), ("e",))


def experts() -> Dataflow:
    """Two banks, chosen by a gate."""
    x = StreamType(BIPOLAR, (2, 2, 6))
    gate = Gate(x, RNG.integers(-3, 4, (2, 6)), np.zeros(2, dtype=np.int64))
    matvec = MatVec(x, signs(2, 1, 2, 6))
    nodes = (
        Node("fork", Fork(x, 2), ("a",), ("b", "c")),
        Node("gate", gate, ("b",), ("t",)),
        Node("hold", FrameHold(x, 2, 32), ("c", "t"), ("d", "u")),
        Node("matvec", matvec, ("d", "u"), ("e",)),
    )
    return Dataflow(nodes, ("a",), ("e",))


def residual() -> Dataflow:
    """A window and a dense layer, added to the numbers themselves, and a second window."""
    x = StreamType(uint_t(4), (6, 6, 4))
    window0 = SlidingWindow(x, (3, 3), padding=(1, 1, 1, 1))
    matvec0 = MatVec(window0.outputs[0], signs(1, 1, 4, 36), tap=window0.tap)
    add = Add(matvec0.outputs[0], x)
    window1 = SlidingWindow(add.outputs[0], (2, 2), stride=(2, 2))
    matvec1 = MatVec(window1.outputs[0], signs(1, 1, 8, 16), tap=window1.tap)
    nodes = (
        Node("fork", Fork(x, 2), ("a",), ("kept", "seen")),
        Node("window0", window0, ("seen",), ("b",)),
        Node("matvec0", matvec0, ("b",), ("c",)),
        Node("add", add, ("c", "kept"), ("d",)),
        Node("window1", window1, ("d",), ("e",)),
        Node("matvec1", matvec1, ("e",), ("f",)),
    )
    return Dataflow(nodes, ("a",), ("f",))


def every_folding(graph: Dataflow) -> Iterator[Dataflow]:
    """The graph with each of its foldings; a window is as wide as its reader."""
    ways = [
        [dict(zip(n.op.foldings(), v, strict=True)) for v in itertools.product(*n.op.foldings().values())]
        for n in graph.nodes
    ]
    for foldings in itertools.product(*ways):
        nodes = [replace(n, folding=f) for n, f in zip(graph.nodes, foldings, strict=True)]
        chosen = {n.name: n.folding for n in nodes}
        if "window" not in chosen or chosen["window"]["SIMD"] == chosen["matvec"]["SIMD"]:
            yield graph.replace(nodes)
