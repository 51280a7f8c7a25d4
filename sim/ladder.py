"""The ladder: the same samples through every rung, compared at the outputs and at every stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..hw.graph import Dataflow
from .hls import build_hls, hls_streams, run_hls
from .rtl import RtlRun, build_rtl, run_rtl
from .streams import Difference, first_difference

__all__ = ["CHUNK_BYTES", "RungResult", "chunks", "hls_rung", "merge", "output_differences", "rtl_rung", "timed"]

# Frames are simulated in pieces whose streams take at most this much memory in the reference.
CHUNK_BYTES = 1 << 30
STALL_PERCENT = 30


@dataclass(frozen=True)
class RungResult:
    """What one rung showed.

    Parameters
    ----------
    rung : str
    samples : int
        Frames that went through it.
    mismatches : int
        Elements that differ, over the outputs and all streams compared.
    seconds : float
        Run time, compilation included.
    streams : int
        Streams (or tensors) compared besides the outputs.
    differences : list of Difference
        The first of each stream.
    extra : mapping
        Further figures, e.g. ``cycles_per_frame``.
    """

    rung: str
    samples: int
    mismatches: int
    seconds: float
    streams: int
    differences: list[Difference] = field(default_factory=list)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "rung": self.rung,
            "samples": self.samples,
            "mismatches": self.mismatches,
            "seconds": round(self.seconds, 3),
            "streams": self.streams,
            **self.extra,
            "differences": [asdict(d) for d in self.differences],
        }


def timed(rung: str, samples: int, work: Callable[[], tuple[int, list[Difference], Mapping[str, Any]]]) -> RungResult:
    """Run a rung's work, which returns (streams compared, differences, further figures), and time it."""
    start = time.perf_counter()
    streams, differences, extra = work()
    mismatches = sum(d.count for d in differences)
    return RungResult(rung, samples, mismatches, time.perf_counter() - start, streams, differences, extra)


def chunks(graph: Dataflow, frames: np.ndarray) -> Iterator[np.ndarray]:
    """Frames in pieces that fit into memory with all their streams."""
    elements = sum(graph.type_of(s).elements for s in graph.streams())
    size = max(1, CHUNK_BYTES // (8 * elements))
    for start in range(0, len(frames), size):
        yield frames[start : start + size]


def output_differences(rung: str, graph: Dataflow, expected: np.ndarray, found: np.ndarray) -> list[Difference]:
    """Compare a rung's outputs, shape (N, H, W, C), with what the exported model gave."""
    stream = graph.outputs[0]
    difference = first_difference(rung, "output", stream, expected, found)
    return [difference] if difference else []


def merge(known: list[Difference], new: list[Difference], first: int) -> list[Difference]:
    """One difference a stream, the first, with the counts added; ``new`` counts its frames from ``first``."""
    merged = {d.stream: d for d in known}
    for d in new:
        old = merged.get(d.stream)
        merged[d.stream] = replace(old, count=old.count + d.count) if old else replace(d, frame=d.frame + first)
    return list(merged.values())


def hls_rung(graph: Dataflow, folder: Path, work: Path, frames: np.ndarray) -> RungResult:
    """HLS C-simulation of all frames, every stream compared with the integer reference.

    Parameters
    ----------
    graph : Dataflow
        Folded.
    folder : Path
        The emitted HLS design.
    work : Path
        For compiled programs and beats.
    frames : ndarray of int, shape (N, H, W, C)
    """

    def go() -> tuple[int, list[Difference], Mapping[str, Any]]:
        program = build_hls(folder, work)
        differences: list[Difference] = []
        first = 0
        for part in chunks(graph, frames):
            found = run_hls(program, graph, graph.run(part), scratch=work)
            differences = merge(differences, found, first)
            first += len(part)
        return len(hls_streams(graph)), differences, {}

    return timed("hls", len(frames), go)


def rtl_rung(
    graph: Dataflow,
    folder: Path,
    work: Path,
    frames: np.ndarray,
    *,
    model_interval: float,
    model_latency: int,
    seed: int = 1,
    rung: str = "rtl",
    optimise: str = "-O2",
) -> RungResult:
    """RTL simulation of all frames, once without stalls and once with random ones, every stream compared.

    Parameters
    ----------
    graph : Dataflow
        Folded.
    folder : Path
        The emitted RTL design, or the netlist that stands for it.
    work : Path
        For compiled programs and beats.
    frames : ndarray of int, shape (N, H, W, C)
    model_interval, model_latency : float, int
        The cycle model's promise, put beside what was measured.
    seed : int
        Of the stalls.
    rung : str
        Name of the result.
    optimise : str
        Of the C++ compiler.
    """

    idle = 1000 + 20 * (model_latency + int(model_interval))

    def run(program: Path, values: Mapping[str, np.ndarray], stall: int) -> RtlRun:
        return run_rtl(
            program, folder, graph, values, stall_percent=stall, seed=seed, idle_limit=idle, scratch=work, rung=rung
        )

    def go() -> tuple[int, list[Difference], Mapping[str, Any]]:
        program = build_rtl(folder, work, optimise=optimise)
        differences: list[Difference] = []
        first = 0
        steady: RtlRun | None = None
        for part in chunks(graph, frames):
            with ThreadPoolExecutor() as pool:  # each run is a process of its own
                runs = list(pool.map(partial(run, program, graph.run(part)), (0, STALL_PERCENT)))
            for done in runs:
                differences = merge(differences, done.differences, first)
            steady = steady or runs[0]
            first += len(part)
        assert steady is not None
        extra: dict[str, Any] = {
            "latency_cycles": steady.latency,
            "model_latency_cycles": model_latency,
            "model_cycles_per_frame": model_interval,
            "stall_percent": [0, STALL_PERCENT],
        }
        if len(steady.done) > 3:
            extra = {"cycles_per_frame": steady.interval, **extra}
        return len(graph.streams()), differences, extra

    return timed(rung, len(frames), go)
