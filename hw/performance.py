"""Performance of a folded graph from the cycle model: interval, latency, and the FIFO depths it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from .graph import Dataflow, GraphError, Node
from .ops.fifo import Fifo
from .ops.frame_hold import FrameHold
from .timing import Channel, DeadlockError, Process, run

__all__ = ["Performance", "ample_depths", "bottleneck", "simulate", "size_fifos"]

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


@dataclass(frozen=True)
class _Execution:
    """The channels of a model run, by stream and by Fifo."""

    graph: Dataflow
    frames: int
    channels: Mapping[str, Channel]
    fifos: Mapping[str, Channel]

    def done(self) -> list[int]:
        """Cycle of the last output beat of each frame."""
        ends = [self.channels[s].reads for s in self.graph.outputs]
        return [max(end[(f + 1) * len(end) // self.frames - 1] for end in ends) for f in range(self.frames)]

    def interval(self) -> float:
        """Cycles between frames in the steady state."""
        done, warm = self.done(), min(WARM_UP, self.frames - 1)
        if self.frames - 1 > warm:
            return (done[-1] - done[warm]) / (self.frames - 1 - warm)
        return float(done[-1] - done[0])


def _execute(graph: Dataflow, frames: int, *, input_interval: int | None = None, unbounded: bool = False) -> _Execution:
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
    return _Execution(graph, frames, channels, fifos)


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
    execution = _execute(graph, frames, input_interval=input_interval, unbounded=unbounded)
    start = min(execution.channels[s].writes[0] for s in graph.inputs)
    beats: dict[str, Sequence[int]] = {}
    for node in graph.nodes:
        if isinstance(node.op, Fifo):
            channel = execution.fifos[node.name]
            beats[node.inputs[0]] = [t - start for t in channel.writes]
            beats[node.outputs[0]] = [t - start for t in channel.reads]
    return Performance(
        interval=execution.interval(),
        latency=execution.done()[0] - start,
        beats=beats,
        fills={name: channel.max_fill() for name, channel in execution.fifos.items()},
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

    Starts from :func:`ample_depths`. A wait for room does no harm where it does not reach the slowest operator, so
    each depth is then lowered as far as the interval and the slow run allow, the memories with the most bits first.

    With one beat less in any FrameHold the design would be slower, or would hang.

    Parameters
    ----------
    graph : Dataflow
        Folded, with Fifos of any depth.
    frames : int
        Frames of each model run.
    """
    graph, enough = ample_depths(graph, frames)
    deep = {n.name: n.op.depth for n in graph.nodes if isinstance(n.op, Fifo) and n.op.depth > 2}
    bits = {name: depth * graph.beat_bits(graph.node(name).inputs[0]) for name, depth in deep.items()}
    depths: dict[str, int] = {}
    _lower_together(sorted(deep, key=lambda name: -bits[name]), deep, depths, enough)
    for node in graph.nodes:
        if isinstance(node.op, FrameHold):
            _lower(node.name, 2, node.op.depth, depths, enough)
    return _with_depths(graph, depths)


def ample_depths(graph: Dataflow, frames: int = FRAMES) -> tuple[Dataflow, Callable[[Mapping[str, int]], bool]]:
    """Depths with which nothing ever waits for room, and a test of smaller ones.

    1. Frames are fed evenly at the interval of the slowest operator into a graph with endless FIFOs; what
       each then holds is a depth with which nothing ever waits for room, so the interval is reached. A
       faster source cannot make it worse: in a network of this kind an earlier beat never delays another.
    2. Where streams meet again, a beat that waits for its partner must find room however late that comes. Pipelines
       freeze as a whole, and one that froze between two beats holds fewer of them: so the graph is also run with
       beats so far apart that each finds all pipelines empty, and must not hang then.

    Parameters
    ----------
    graph : Dataflow
        Folded, with Fifos of any depth.
    frames : int
        Frames of each model run.

    Returns
    -------
    Dataflow
        With these depths.
    callable
        Takes depths of some of its nodes; tells whether with them the interval is kept, and nothing hangs.
    """
    _, interval = bottleneck(graph)
    holds = [n for n in graph.nodes if isinstance(n.op, FrameHold)]
    for hold in holds:
        beats = hold.op.inputs[0].beats(hold.op.beat_elements(hold.folding)[0][0])
        # a frame in it, a frame on the way in, and slack for any gate: surely enough to start from
        graph = _with_depths(graph, {hold.name: 2 * beats + interval})
    runs = [simulate(graph, frames, input_interval=interval, unbounded=True)]
    meets = any(len(n.inputs) > 1 for n in graph.nodes)
    apart = runs[0].latency * max(graph.type_of(s).beats(graph.per_beat(s)) for s in graph.inputs)
    if meets:
        runs.append(simulate(graph, 2, input_interval=apart, unbounded=True))
    fills = {name: max(run.fills[name] for run in runs) for name in runs[0].fills}
    ample = _with_depths(graph, {**fills, **{h.name: max(_hold_fill(h, run) for run in runs) for h in holds}})
    best = _execute(ample, frames).interval()

    def enough(depths: Mapping[str, int]) -> bool:
        changed = _with_depths(ample, depths)
        try:
            if _execute(changed, frames).interval() > best:
                return False
            if meets:
                _execute(changed, 2, input_interval=apart)
        except DeadlockError:
            return False
        return True

    return ample, enough


def _hold_fill(hold: Node, run: Performance) -> int:
    """The most beats that a FrameHold held."""
    entered, left = run.beats[hold.inputs[0]], run.beats[hold.outputs[0]]
    most = gone = 0
    for k, cycle in enumerate(entered):
        while gone < len(left) and left[gone] < cycle:
            gone += 1
        most = max(most, k + 1 - gone)
    return most


def _lower_together(
    names: Sequence[str],
    present: Mapping[str, int],
    depths: dict[str, int],
    enough: Callable[[Mapping[str, int]], bool],
    *,
    hopeless: bool = False,
) -> None:
    """Give each FIFO, one after another, the least depth that is enough; most take 2, so first many of them at once.

    Parameters
    ----------
    names : sequence of str
    present : mapping of str to int
        Depths that are enough.
    depths : dict of str to int
        Depths found so far; gets those of ``names``.
    enough : callable
        Whether given depths are enough.
    hopeless : bool
        It is known that 2 is not enough for all of them.
    """
    if not names:
        return
    if not hopeless:
        shallow = dict.fromkeys(names, 2)
        if enough({**depths, **shallow}):
            depths.update(shallow)
            return
    if len(names) == 1:
        _lower(names[0], 3, present[names[0]], depths, enough)
        return
    first, second = names[: len(names) // 2], names[len(names) // 2 :]
    _lower_together(first, present, depths, enough)
    _lower_together(second, present, depths, enough, hopeless=all(depths[name] == 2 for name in first))


def _lower(name: str, low: int, high: int, depths: dict[str, int], enough: Callable[[Mapping[str, int]], bool]) -> None:
    """Find the least depth of one node in ``low..high`` that is enough, where ``high`` is."""
    step = 1
    # the depth is near the least already, or far above it: look just below, then ever further down
    while low < high and enough({**depths, name: (middle := max(low, high - step))}):
        high, step = middle, 4 * step
    low = max(low, high - step + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough({**depths, name: middle}) else (middle + 1, high)
    depths[name] = high


def _with_depths(graph: Dataflow, depths: Mapping[str, int]) -> Dataflow:
    return graph.replace(
        replace(n, op=replace(n.op, depth=max(2, depths[n.name]))) if n.name in depths else n  # type: ignore[call-arg]
        for n in graph.nodes
    )
