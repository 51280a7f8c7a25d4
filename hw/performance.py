"""Performance of a folded graph from the cycle model: interval, latency, and the FIFO depths it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .graph import Dataflow, GraphError, Node
from .ops.fifo import Fifo
from .ops.frame_hold import FrameHold
from .timing import Channel, DeadlockError, Process, run

__all__ = ["Performance", "bottleneck", "simulate", "size_fifos"]

# Frames of a model run: the first fill the pipeline, the last show the steady state.
WARM_UP = 2
FRAMES = 6


@dataclass(frozen=True)
class Performance:
    """What the cycle model says of a graph.

    Parameters
    ----------
    interval : float
        Cycles between frames in the steady state.
    latency : int
        Cycles from the first input beat of the first frame to its last output beat.
    beats : mapping of str to sequence of int
        Stream -> cycle of each beat's handshake; cycle 0 is the first input beat.
    fills : mapping of str to int
        Fifo node -> the most beats it held.
    """

    interval: float
    latency: int
    beats: Mapping[str, Sequence[int]]
    fills: Mapping[str, int]


def bottleneck(graph: Dataflow) -> tuple[str, int]:
    """The slowest operator and its cycles a frame."""
    slowest = max(graph.nodes, key=lambda n: n.op.cycles(n.folding))
    return slowest.name, slowest.op.cycles(slowest.folding)


def simulate(
    graph: Dataflow, frames: int = FRAMES, *, input_interval: int | None = None, unbounded: bool = False
) -> Performance:
    """Run the cycle model.

    Parameters
    ----------
    graph : Dataflow
        Folded, with a Fifo on every stream between operators and at every input and output.
    frames : int
        Frames to run.
    input_interval : int, optional
        Beats of a frame arrive evenly over this many cycles; default: as fast as they are taken.
    unbounded : bool
        Give every Fifo endless room, to see how much it uses.

    Raises
    ------
    DeadlockError
        The design would hang.
    """
    channels: dict[str, Channel] = {}  # by stream, both sides of a Fifo name the same channel
    fifos: dict[str, Channel] = {}
    for node in graph.nodes:
        if isinstance(node.op, Fifo):
            channel = Channel(node.name, None if unbounded else node.op.depth)
            fifos[node.name] = channel
            channels[node.inputs[0]] = channels[node.outputs[0]] = channel
    processes: list[Process] = []
    for node in graph.nodes:
        if isinstance(node.op, Fifo):
            continue
        missing = [s for s in (*node.inputs, *node.outputs) if s not in channels]
        if missing:
            raise GraphError(f"stream {missing[0]} of {node.name} has no Fifo")
        ins, outs = [channels[s] for s in node.inputs], [channels[s] for s in node.outputs]
        processes += node.op.processes(node.folding, ins, outs, frames)
    for stream in graph.inputs:
        beats = graph.type_of(stream).beats(graph.per_beat(stream))
        processes.append(_source(channels[stream], beats, frames, input_interval))
    expected = {}
    for stream in graph.outputs:
        expected[stream] = frames * graph.type_of(stream).beats(graph.per_beat(stream))
        processes.append(_sink(channels[stream], expected[stream]))

    def finished() -> bool:
        return all(len(channels[s].reads) == n for s, n in expected.items())

    def describe() -> str:
        full = [c.name for c in fifos.values() if c.depth is not None and len(c.writes) - len(c.reads) >= c.depth]
        return f"full FIFOs: {', '.join(full) or 'none'}"

    run(processes, finished, describe)
    beats_at: dict[str, Sequence[int]] = {}
    for node in graph.nodes:
        if isinstance(node.op, Fifo):
            beats_at[node.inputs[0]] = fifos[node.name].writes
            beats_at[node.outputs[0]] = fifos[node.name].reads
    start = min(beats_at[s][0] for s in graph.inputs)
    done = [max(beats_at[s][(f + 1) * expected[s] // frames - 1] for s in graph.outputs) for f in range(frames)]
    warm = min(WARM_UP, frames - 1)
    interval = (done[-1] - done[warm]) / (frames - 1 - warm) if frames - 1 > warm else float(done[-1] - done[0])
    return Performance(
        interval=interval,
        latency=done[0] - start,
        beats={s: [t - start for t in times] for s, times in beats_at.items()},
        fills={name: channel.max_fill() for name, channel in fifos.items()},
    )


def _source(channel: Channel, beats: int, frames: int, interval: int | None) -> Process:
    cycle = -1
    for frame in range(frames):
        for beat in range(beats):
            while (room := channel.room()) is None:
                yield channel
            cycle = max(cycle + 1, room)
            if interval is not None:
                cycle = max(cycle, frame * interval + beat * interval // beats)
            channel.write(cycle)


def _sink(channel: Channel, beats: int) -> Process:
    cycle = -1
    for _ in range(beats):
        while (arrival := channel.available()) is None:
            yield channel
        cycle = max(cycle + 1, arrival)
        channel.read(cycle)


def size_fifos(graph: Dataflow, frames: int = FRAMES) -> Dataflow:
    """Set the depth of every Fifo and FrameHold.

    Frames are fed evenly at the interval of the slowest operator into a graph with endless FIFOs; what
    each then holds is the depth with which nothing ever waits for room, so the interval is reached. A
    faster source cannot make it worse: in a network of this kind an earlier beat never delays another.
    The room of each FrameHold, which has to wait for its token, is then lowered to the least that keeps
    the interval (a search over the model; with one beat less the design stalls or hangs).

    Parameters
    ----------
    graph : Dataflow
        Folded, with Fifos of any depth.
    frames : int
        Frames of each model run.
    """
    _, interval = bottleneck(graph)
    holds = [n for n in graph.nodes if isinstance(n.op, FrameHold)]
    for hold in holds:
        beats = hold.op.inputs[0].beats(hold.op.beat_elements(hold.folding)[0][0])
        # a frame in it, a frame on the way in, and slack for any gate: surely enough to start from
        graph = _with_depth(graph, hold, 2 * beats + interval)
    fills = simulate(graph, frames, input_interval=interval, unbounded=True).fills
    graph = graph.replace(
        replace(n, op=replace(n.op, depth=max(2, fills[n.name]))) if isinstance(n.op, Fifo) else n for n in graph.nodes
    )
    best = simulate(graph, frames).interval
    for hold in holds:
        low, high = 2, graph.node(hold.name).op.depth  # type: ignore[attr-defined]
        while low < high:
            middle = (low + high) // 2
            try:
                enough = simulate(_with_depth(graph, hold, middle), frames).interval <= best
            except DeadlockError:
                enough = False
            low, high = (low, middle) if enough else (middle + 1, high)
        graph = _with_depth(graph, hold, high)
    return graph


def _with_depth(graph: Dataflow, node: Node, depth: int) -> Dataflow:
    return graph.replace(
        replace(n, op=replace(n.op, depth=depth)) if n.name == node.name else n  # type: ignore[call-arg]
        for n in graph.nodes
    )
