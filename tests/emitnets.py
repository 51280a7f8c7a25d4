"""Hand-made folded graphs for the emitters' tests: every operator, and names that want to do harm."""

from pathlib import Path

import numpy as np
from bitexpert.flow.board import Board, load_board
from bitexpert.flow.emit import emit_hls, emit_rtl
from bitexpert.flow.emit_shell import emit_shell
from bitexpert.flow.fold import fold
from bitexpert.flow.vivado import emit_vivado
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.add import Add
from bitexpert.hw.ops.affine import Affine
from bitexpert.hw.ops.concat import Concat
from bitexpert.hw.ops.fork import Fork
from bitexpert.hw.ops.frame_hold import FrameHold
from bitexpert.hw.ops.gate import Gate
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.ops.pool import Pool
from bitexpert.hw.ops.slice import Slice
from bitexpert.hw.ops.sliding_window import SlidingWindow
from bitexpert.hw.ops.threshold import Threshold
from bitexpert.hw.ops.topk import TopK
from bitexpert.hw.ops.window_pool import WindowPool
from bitexpert.hw.types import BIPOLAR, StreamType, uint_t

HOSTILE = [
    "'; rm -rf ~ #",
    'a"b\nmodule evil;',
    "$[exec touch /tmp/evil]${::env(HOME)}",
    "x;puts evil",
    "/../../evil",
    "endmodule",
    "proc",
    "*/ #include <evil.h>",
    "`evil`\\",
    "evil" * 2500,
]
BOARD = load_board("pynq-z2")
# stands in for a network's real folding: the same elements a beat nowhere, so that WidthConverts are needed
FOLDING = {
    "window_0": {"SIMD": 1},
    "matvec_0": {"PE": 4, "SIMD": 1},
    "threshold_0": {"PE": 2},
    "pool_0": {"PE": 8},
    "fork_0": {"PE": 4},
    "gate_0": {"PE": 4},
    "frame_hold_0": {"PE": 4},
    "window_1": {"SIMD": 2},
    "matvec_1": {"PE": 3, "SIMD": 2},
}


def signs(rng, *shape):
    return (2 * rng.integers(0, 2, shape) - 1).astype(np.int8)


def expert_net(pixel_bits: int = 3, channels: int = 2) -> Dataflow:
    """First layer, ES thresholds, pool, gate and a padded convolution with three banks; hostile origins."""
    rng = np.random.default_rng(1)
    x = StreamType(uint_t(pixel_bits), (6, 4, channels))
    window0 = SlidingWindow(x, (3, 1), padding=(1, 0, 1, 0))
    matvec0 = MatVec(window0.outputs[0], signs(rng, 1, 1, 4, 3 * channels), tap=window0.tap)
    acc = matvec0.outputs[0]
    limits = rng.integers(acc.element.min, acc.element.max, (2, 4))
    threshold = Threshold(acc, limits, rng.integers(0, 2, (2, 4)).astype(bool))
    pool = Pool(threshold.outputs[0], (2, 2), "max")
    bits = pool.outputs[0]
    gate = Gate(bits, rng.integers(-7, 8, (3, 8)), np.array([-27, 8, 61]))
    hold = FrameHold(bits, 3, 64)
    window1 = SlidingWindow(bits, (3, 3), padding=(1, 1, 1, 1))
    matvec1 = MatVec(window1.outputs[0], signs(rng, 3, 1, 9, 72), tap=window1.tap)
    nodes = (
        Node("window_0", window0, ("in_0",), ("window_0_out",), origin=HOSTILE[0]),
        Node("matvec_0", matvec0, ("window_0_out",), ("matvec_0_out",), origin=HOSTILE[1]),
        Node("threshold_0", threshold, ("matvec_0_out",), ("threshold_0_out",), origin=HOSTILE[2]),
        Node("pool_0", pool, ("threshold_0_out",), ("pool_0_out",), origin=HOSTILE[3]),
        Node("fork_0", Fork(bits, 2), ("pool_0_out",), ("kept_0", "seen_0"), origin=HOSTILE[4]),
        Node("gate_0", gate, ("seen_0",), ("gate_0_out",), origin=HOSTILE[5]),
        Node("frame_hold_0", hold, ("kept_0", "gate_0_out"), ("held_0", "token_0"), origin=HOSTILE[6]),
        Node("window_1", window1, ("held_0",), ("window_1_out",), origin=HOSTILE[7]),
        Node("matvec_1", matvec1, ("window_1_out", "token_0"), ("matvec_1_out",), origin=HOSTILE[9]),
    )
    meta = {"network": HOSTILE[1], "model": HOSTILE[2], "classes": HOSTILE}
    return Dataflow(nodes, ("in_0",), ("matvec_1_out",), {"in_0": HOSTILE[0], "matvec_1_out": HOSTILE[1]}, meta)


def folded_net(**folding: dict[str, int]) -> Dataflow:
    """:func:`expert_net`, folded."""
    return fold(expert_net(), BOARD, folding={**FOLDING, **folding})


def emit_project(folder: Path, board: Board = BOARD) -> Path:
    """All that Vivado and Vitis HLS read, of :func:`folded_net`."""
    graph = folded_net()
    emit_rtl(graph, folder / "rtl", "made by a test")
    emit_hls(graph, folder / "hls", "made by a test", part=board.part, clock_ns=10.0)
    emit_shell(graph, folder / "shell", "made by a test", word_bytes=board.dma_bits // 8)
    emit_vivado(graph, folder / "vivado", folder / "rtl", folder / "shell", board, "made by a test")
    return folder


def joined_net() -> Dataflow:
    """The operators that :func:`expert_net` lacks: two ways that meet twice, a pool over windows, and the largest."""
    x = StreamType(uint_t(4), (4, 4, 4))
    low, high = Slice(x, 0, 2), Slice(x, 2, 4)
    concat = Concat(low.outputs[0], high.outputs[0])
    affine = Affine(x, -3, np.array([5, 0, -7, 30]))
    add = Add(concat.outputs[0], affine.outputs[0])
    window = SlidingWindow(add.outputs[0], (4, 4))
    pool = WindowPool(window.outputs[0], 16, "sum")
    top = TopK(pool.outputs[0], 2)
    nodes = (
        Node("fork_0", Fork(x, 3), ("in_0",), ("a_0", "b_0", "c_0")),
        Node("slice_0", low, ("a_0",), ("low_0",)),
        Node("slice_1", high, ("b_0",), ("high_0",)),
        Node("concat_0", concat, ("low_0", "high_0"), ("concat_0_out",)),
        Node("affine_0", affine, ("c_0",), ("affine_0_out",)),
        Node("add_0", add, ("concat_0_out", "affine_0_out"), ("add_0_out",)),
        Node("window_0", window, ("add_0_out",), ("window_0_out",)),
        Node("window_pool_0", pool, ("window_0_out",), ("window_pool_0_out",)),
        Node("topk_0", top, ("window_pool_0_out",), ("topk_0_out",)),
    )
    return fold(Dataflow(nodes, ("in_0",), ("topk_0_out",)), BOARD, folding={"add_0": {"PE": 2}})


def samples(graph: Dataflow, frames: int = 4) -> np.ndarray:
    kind = graph.type_of(graph.inputs[0])
    rng = np.random.default_rng(2)
    if kind.element == BIPOLAR:
        return 2 * rng.integers(0, 2, (frames, *kind.shape)) - 1
    return rng.integers(kind.element.min, kind.element.max + 1, (frames, *kind.shape))
