"""What Vitis HLS must report of an emitted design: numbers for the script that synthesises it."""

from __future__ import annotations

from dataclasses import dataclass

from ..hw.graph import Dataflow
from ..hw.ops.fifo import Fifo
from ..hw.performance import bottleneck
from .fold import estimate

__all__ = ["Bound", "Promise", "promise"]

# An HLS function fills its pipeline anew for each frame, and starts and ends in a few cycles more.
SLACK_CYCLES = 64
SLACK_PERCENT = 2
# Vitis estimates before logic optimization, we estimate the RTL cells: a factor that either may be off by, and an
# amount that is left out of account. Beyond it, a memory or a cell has become something else than was meant.
TOLERANCE = {"LUT": (3, 2000), "FF": (3, 4000), "BRAM_18K": (2, 8), "DSP": (2, 4)}


@dataclass(frozen=True)
class Bound:
    """The least and the most that may be found of something that was estimated."""

    name: str
    estimate: int
    least: int
    most: int


@dataclass(frozen=True)
class Promise:
    """What must be found in the report of a synthesis.

    Parameters
    ----------
    cycles : int
        Between frames, as the cycle model has it for the RTL cells.
    interval : Bound
        Cycles between frames of the HLS functions. A window there reads the first rows of each frame alone.
    latency : Bound
        Cycles of a frame: between those of the slowest function and those of all, one after the other.
    pipelines : int
        The fewest loops that are pipelined: one in each function that is called with template arguments of its own.
    resources : tuple of Bound
    """

    cycles: int
    interval: Bound
    latency: Bound
    pipelines: int
    resources: tuple[Bound, ...]


def _with_slack(cycles: int, functions: int = 1) -> int:
    return cycles + cycles * SLACK_PERCENT // 100 + functions * SLACK_CYCLES


def promise(graph: Dataflow, pipelines: int) -> Promise:
    """Foresee the report of a synthesis.

    Parameters
    ----------
    graph : Dataflow
        Folded.
    pipelines : int
        The fewest loops that are pipelined.
    """
    ports = [graph.type_of(s).beats(graph.per_beat(s)) for s in (*graph.inputs, *graph.outputs)]
    steps = ports + [n.op.hls_steps(n.folding) for n in graph.nodes if not isinstance(n.op, Fifo)]
    slowest, total = max(steps), sum(steps)
    need = estimate(graph).rounded()
    found = {"LUT": need["lut"] + need["lutram"], "FF": need["ff"], "BRAM_18K": need["bram18"], "DSP": need["dsp"]}
    return Promise(
        cycles=bottleneck(graph)[1],
        interval=Bound("interval", slowest, slowest, _with_slack(slowest)),
        latency=Bound("latency", slowest, slowest, _with_slack(total, len(steps))),
        pipelines=pipelines,
        resources=tuple(
            Bound(name, n, max(0, n // factor - slack), n * factor + slack)
            for (name, n), (factor, slack) in zip(found.items(), TOLERANCE.values(), strict=True)
        ),
    )
