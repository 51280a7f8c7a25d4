"""Puts one operator between FIFOs, renders RTL and HLS, and holds both against its reference and its cycle model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from bitexpert.flow.emit import emit_hls, emit_rtl
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.base import Operator
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.performance import Performance, simulate
from bitexpert.sim.hls import build_hls, run_hls
from bitexpert.sim.rtl import RtlRun, build_rtl, lint_rtl, run_rtl

CYCLE_FRAMES = 4


def around(op: Operator, folding: Mapping[str, int], depth: int = 2) -> Dataflow:
    """A graph of one operator with a Fifo of ``depth`` on each of its streams."""
    folding = op.check_folding("dut_0", folding)
    per_in, per_out = op.beat_elements(folding)
    ins = [f"in_{i}" for i in range(len(op.inputs))]
    outs = [f"out_{i}" for i in range(len(op.outputs))]
    nodes = [
        Node(f"fifo_in_{i}", Fifo(kind, n, depth), (s,), (f"{s}_q",))
        for i, (s, kind, n) in enumerate(zip(ins, op.inputs, per_in, strict=True))
    ]
    nodes.append(Node("dut_0", op, tuple(f"{s}_q" for s in ins), tuple(outs), folding))
    nodes += [
        Node(f"fifo_out_{i}", Fifo(kind, n, depth), (s,), (f"{s}_q",))
        for i, (s, kind, n) in enumerate(zip(outs, op.outputs, per_out, strict=True))
    ]
    return Dataflow(tuple(nodes), tuple(ins), tuple(f"{s}_q" for s in outs))


def check_graph(
    graph: Dataflow, *inputs: np.ndarray, hls: bool = True, stalls: tuple[int, ...] = (0, 30, 70)
) -> tuple[RtlRun, Performance]:
    """Render a folded graph, run RTL and HLS on ``inputs``; every beat must be right, in the cycle foreseen.

    The RTL runs once more for each of ``stalls`` with a reset of one cycle in the middle, which must leave nothing.

    Returns the unstalled RTL run and the cycle model's result.
    """
    values = graph.run(*inputs)
    frames = len(inputs[0])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        emit_rtl(graph, folder / "rtl", "made by a test")
        lint_rtl(folder / "rtl")
        program = build_rtl(folder / "rtl", folder / "work")

        def run(stall: int, reset: int) -> RtlRun:
            result = run_rtl(
                program,
                folder / "rtl",
                graph,
                values,
                stall_percent=stall,
                seed=7 + stall,
                cycle_frames=min(frames, CYCLE_FRAMES) if stall == 0 else 0,
                idle_limit=20_000,
                reset_cycle=reset,
            )
            where = f"stalls {stall} %, reset in cycle {reset}"
            assert not result.differences, f"{where}: {result.differences[0]}"
            return result

        runs = [(stall, run(stall, 0)) for stall in stalls]
        if hls:
            emit_hls(graph, folder / "hls", "made by a test", part="xc7z020clg400-1", clock_ns=10.0)
            differences = run_hls(build_hls(folder / "hls", folder / "work"), graph, values)
            assert not differences, str(differences[0])
        model = simulate(graph, frames)
        middle = max(model.beats[s][-1] for s in graph.outputs) // 2 + 1
        runs += [(stall, run(stall, middle)) for stall in stalls]
    for cycles_of in (result.cycles for stall, result in runs if stall == 0):
        for stream, cycles in cycles_of.items():
            assert len(cycles), f"{stream}: no cycles were recorded"
            foreseen = np.asarray(model.beats[stream][: len(cycles)])
            wrong = np.flatnonzero(foreseen != cycles)
            assert not len(wrong), (
                f"{stream}: beat {wrong[0]} moved in cycle {cycles[wrong[0]]}, the model says {foreseen[wrong[0]]}"
            )
    return runs[0][1], model


def check_cell(op: Operator, folding: Mapping[str, int], *inputs: np.ndarray, hls: bool = True) -> RtlRun:
    """Hold one operator's cells against its reference and its cycle model.

    Parameters
    ----------
    op : Operator
    folding : mapping of str to int
    inputs : ndarray of int, shape (N, H, W, C), one per input of the operator; at least 3 frames
    hls : bool
        Run the HLS cell too.
    """
    graph = around(op, folding)
    run, _ = check_graph(graph, *inputs, hls=hls)
    return run


def deepen(graph: Dataflow, depth: int) -> Dataflow:
    """The same graph with Fifos of another depth."""
    nodes = (replace(n, op=replace(n.op, depth=depth)) if isinstance(n.op, Fifo) else n for n in graph.nodes)
    return graph.replace(nodes)
