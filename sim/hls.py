"""The HLS rung: C-simulation of the emitted Vitis HLS design with an ordinary C++ compiler."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..hw.graph import Dataflow
from ..hw.ops.fifo import Fifo
from .streams import Difference, compare_beats, write_beats
from .toolchain import CPP, ap_types, compiler, digest, run_tool

__all__ = ["build_hls", "hls_streams", "run_hls", "write_golden"]

FLAGS = ("-std=c++14", "-O2", "-w")


def hls_streams(graph: Dataflow) -> list[str]:
    """The streams that the HLS design has: those that no Fifo writes (there a Fifo is a stream's depth)."""
    behind = {n.outputs[0] for n in graph.nodes if isinstance(n.op, Fifo)}
    return [s for s in graph.streams() if s not in behind]


def _ports(graph: Dataflow) -> list[str]:
    """The streams that the outputs' ports have in the HLS design."""
    before = {n.outputs[0]: n.inputs[0] for n in graph.nodes if isinstance(n.op, Fifo)}
    ports = []
    for stream in graph.outputs:
        while stream in before:
            stream = before[stream]
        ports.append(stream)
    return ports


def build_hls(folder: Path, work: Path) -> Path:
    """Compile an emitted HLS design and its testbench.

    Parameters
    ----------
    folder : Path
        What ``emit_hls`` wrote.
    work : Path
        For the compiled program; one of the same sources is used again.
    """
    folder = folder.resolve()
    sources = [p for p in folder.rglob("*") if p.suffix in (".cpp", ".hpp")]
    program = work.resolve() / f"csim-{digest([*sources, *CPP.glob('*.h')], *FLAGS)[:16]}"
    if program.exists():
        return program
    work.mkdir(parents=True, exist_ok=True)
    part = program.with_suffix(".part")
    includes = [f"-I{CPP}", f"-I{ap_types()}", f"-I{folder}"]
    units = [folder / "accelerator.cpp", folder / "tb" / "testbench.cpp"]
    run_tool([compiler(), *FLAGS, *includes, *units, "-o", part], "compiling the HLS C-simulation")
    part.replace(program)
    return program


def run_hls(
    program: Path, graph: Dataflow, values: Mapping[str, np.ndarray], *, scratch: Path | None = None
) -> list[Difference]:
    """Run frames through the C-simulation and compare every stream with the reference.

    Parameters
    ----------
    program : Path
        From :func:`build_hls`.
    graph : Dataflow
        The folded graph that was emitted.
    values : mapping of str to ndarray
        The reference, as ``graph.run`` returns it; its inputs are the stimulus.
    scratch : Path, optional
        Folder for the beats; a temporary one by default.
    """
    frames = len(values[graph.inputs[0]])
    with tempfile.TemporaryDirectory(prefix="hls-", dir=scratch) as name:
        beats = Path(name).resolve()
        for stream in graph.inputs:
            write_beats(graph, stream, values[stream], beats / f"in_{stream}.bin")
        run_tool([program, beats, str(frames)], "HLS C-simulation", env={"BX_RECORD": str(beats)})
        differences = compare_beats("hls", graph, hls_streams(graph), values, beats)
        inside = {d.stream for d in differences}
        ports = [s for s in _ports(graph) if s not in inside]
        return differences + compare_beats("hls", graph, ports, values, beats, file="out_{}.bin", operator="output")


def write_golden(graph: Dataflow, values: Mapping[str, np.ndarray], folder: Path) -> None:
    """Write what the emitted testbench reads: ``in_<stream>.bin`` and ``expected_<stream>.bin``.

    Parameters
    ----------
    graph : Dataflow
        The folded graph that was emitted.
    values : mapping of str to ndarray
        The reference, as ``graph.run`` returns it.
    folder : Path
        Created if missing; ``run_hls.tcl`` looks in ``verification/hls`` of the build.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stream in graph.inputs:
        write_beats(graph, stream, values[stream], folder / f"in_{stream}.bin")
    for stream in _ports(graph):
        write_beats(graph, stream, values[stream], folder / f"expected_{stream}.bin")
