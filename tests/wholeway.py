"""The whole way of a model file, in one process: streamlined, lowered, folded, and every rung held against the file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from bitexpert.flow.board import load_board
from bitexpert.flow.emit import emit_hls
from bitexpert.flow.emit_fast import emit_fast
from bitexpert.flow.execute import execute_one_by_one
from bitexpert.flow.fold import fold
from bitexpert.flow.frames import random_frames
from bitexpert.flow.hls_check import check_design, stream_depths
from bitexpert.flow.lower import check_lowering, leaving, lower, wired
from bitexpert.flow.model_file import as_exported, hardware_input, load_model
from bitexpert.flow.scores import OutputForm
from bitexpert.flow.streamline import streamline
from bitexpert.flow.ties import undecided
from bitexpert.hw.graph import Dataflow
from bitexpert.sim.fast import FastEngine, build_fast
from cellbench import check_graph

BOARD = load_board("pynq-z2")


def accelerator(path: Path, frames: int = 30, seed: int = 0) -> tuple[Dataflow, np.ndarray]:
    """Take a file to the integer reference; every output must be what qonnx computes from the file as it is.

    Returns the lowered graph, and the frames in the shape that it takes.
    """
    model = load_model(path)
    source = hardware_input(model)
    inputs = random_frames(source, frames, seed)
    after, _ = streamline(model, inputs[:4])
    graph = lower(after)
    check_lowering(after, graph, inputs)
    form = OutputForm.of(after)
    expected = form.integers(execute_one_by_one(as_exported(path), source.to_model(inputs)))
    expected = (expected if form.top_k else leaving(graph, expected)).reshape(frames, -1)
    found = graph.run(wired(graph, inputs))[graph.outputs[0]].reshape(frames, -1)
    differing = np.flatnonzero((found != expected).any(axis=1))
    tied = differing[undecided(model, inputs[differing])]
    expected[tied] = found[tied]
    wrong = np.argwhere(found != expected)
    assert not len(wrong), f"{len(wrong)} of {found.size} integers differ, first {wrong[0]}"
    return graph, wired(graph, inputs)


def in_hardware(
    graph: Dataflow, inputs: np.ndarray, *, target_fps: float = 1.0, stalls: tuple[int, ...] = (0, 40)
) -> None:
    """Fold a graph and hold RTL (stalled and not), HLS and the cycle model against the reference, beat by beat.

    The HLS design must also keep the rules of Vitis HLS.
    """
    folded = fold(graph, BOARD, target_fps=target_fps)
    check_graph(folded, inputs, stalls=stalls)
    with tempfile.TemporaryDirectory() as name:
        emit_hls(folded, Path(name), "made by a test", part=BOARD.part, clock_ns=10.0)
        assert check_design(Path(name), stream_depths(folded)) == []


def in_the_fast_engine(graph: Dataflow, inputs: np.ndarray) -> None:
    """Compile the engine of a lowered graph and hold its outputs against the reference."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        emit_fast(graph, folder / "fast", "made by a test")
        engine = FastEngine(build_fast(folder / "fast", folder / "work"), folder / "fast")
        found = engine.run(inputs)
    assert np.array_equal(found, graph.run(inputs)[graph.outputs[0]])
