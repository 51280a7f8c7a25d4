"""Performance of a folded graph from the cycle model: interval, latency, and the FIFO depths it needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import BitexpertError
from .graph import Dataflow, GraphError
from .ops.fifo import Fifo
from .ops.frame_hold import FrameHold
from .programs import Give, Machine, Program, Take, Times, channels, interpret
from .timing import Channel, most_held

__all__ = ["DeadlockError", "Performance", "ample_depths", "bottleneck", "simulate", "size_fifos"]

# Frames of a model run: the first fill the pipeline, the last show the steady state.
WARM_UP = 2
FRAMES = 6


class DeadlockError(BitexpertError):
    """The design would hang: nothing can move, and not all has come out."""


@dataclass(frozen=True)
class Performance:
    """What the cycle model says of a graph.

    Parameters
    ----------
    interval : float
        Cycles between frames in the steady state.
    latency : int
        Cycles from the first input beat of the first frame to its last output beat.
    beats : mapping of str to int64 ndarray
        Stream -> cycle of each beat's handshake; cycle 0 is the first input beat.
    fills : mapping of str to int
        Fifo node -> the most beats it held.
    """

    interval: float
    latency: int
    beats: Mapping[str, np.ndarray]
    fills: Mapping[str, int]


def bottleneck(graph: Dataflow) -> tuple[str, int]:
    """The slowest operator and its cycles a frame."""
    slowest = max(graph.nodes, key=lambda n: n.op.cycles(n.folding))
    return slowest.name, slowest.op.cycles(slowest.folding)


class _Model:
    """A folded graph's channels and programs, to be run with one set of depths after another."""

    def __init__(self, graph: Dataflow, frames: int, machine: Machine, *, input_interval: int = 0) -> None:
        self.frames = frames
        self.channels: dict[str, Channel] = {}  # by stream, both sides of a Fifo name the same channel
        self.rooms: dict[str, Channel] = {}  # of Fifos and FrameHolds
        for node in graph.nodes:
            if isinstance(node.op, Fifo):
                channel = Channel(node.name, node.op.depth)
                self.rooms[node.name] = self.channels[node.inputs[0]] = self.channels[node.outputs[0]] = channel
        programs: list[Program] = []
        for node in graph.nodes:
            if isinstance(node.op, Fifo):
                continue
            missing = [s for s in (*node.inputs, *node.outputs) if s not in self.channels]
            if missing:
                raise GraphError(f"stream {missing[0]} of {node.name} has no Fifo")
            ins, outs = ([self.channels[s] for s in streams] for streams in (node.inputs, node.outputs))
            cell = node.op.programs(node.folding, ins, outs)
            if isinstance(node.op, FrameHold):
                (self.rooms[node.name],) = set(itertools.chain.from_iterable(map(channels, cell))) - {*ins, *outs}
            programs += cell
        beats = {s: graph.type_of(s).beats(graph.per_beat(s)) for s in (*graph.inputs, *graph.outputs)}
        programs += [[Give(self.channels[s], beats[s], input_interval)] for s in graph.inputs]
        programs += [[Take(self.channels[s], beats[s])] for s in graph.outputs]
        self.execute = machine(programs)
        self.due = {self.channels[s]: frames * beats[s] for s in graph.outputs}

    def run(self, depths: Mapping[str, int | None]) -> _Run:
        """Run it with other depths of some of its Fifos and FrameHolds; None: endless.

        Raises
        ------
        DeadlockError
            Not all that was to come out did.
        """
        before = {name: self.rooms[name].depth for name in depths}
        for name, depth in depths.items():
            self.rooms[name].depth = depth if depth is None else max(2, depth)
        try:
            times = self.execute(self.frames)
            if any(len(times.reads(channel)) < beats for channel, beats in self.due.items()):
                raise DeadlockError(f"the design would deadlock: full FIFOs: {', '.join(self._full(times)) or 'none'}")
        finally:
            for name, depth in before.items():
                self.rooms[name].depth = depth
        return _Run(self, times)

    def _full(self, times: Times) -> list[str]:
        held = {name: len(times.writes(channel)) - len(times.reads(channel)) for name, channel in self.rooms.items()}
        return [name for name, beats in held.items() if 0 < (self.rooms[name].depth or 0) <= beats]


@dataclass(frozen=True)
class _Run:
    """A model, and the times of its last run."""

    model: _Model
    times: Times

    def done(self) -> list[int]:
        """Cycle of the last output beat of each frame."""
        frames = self.model.frames
        ends = [self.times.reads(channel) for channel in self.model.due]
        return [max(int(end[(f + 1) * len(end) // frames - 1]) for end in ends) for f in range(frames)]

    def interval(self) -> float:
        """Cycles between frames in the steady state."""
        done, warm = self.done(), min(WARM_UP, self.model.frames - 1)
        if self.model.frames - 1 > warm:
            return (done[-1] - done[warm]) / (self.model.frames - 1 - warm)
        return float(done[-1] - done[0])


def simulate(
    graph: Dataflow,
    frames: int = FRAMES,
    *,
    input_interval: int = 0,
    unbounded: bool = False,
    machine: Machine = interpret,
) -> Performance:
    """Run the cycle model.

    Parameters
    ----------
    graph : Dataflow
        Folded, with a Fifo on every stream between operators and at every input and output.
    frames : int
        Frames to run.
    input_interval : int
        Beats of a frame arrive evenly over this many cycles; 0: as fast as they are taken.
    unbounded : bool
        Give every Fifo endless room, to see how much it uses.
    machine : callable
        What runs the model; all machines give the same.

    Raises
    ------
    DeadlockError
        The design would hang.
    """
    model = _Model(graph, frames, machine, input_interval=input_interval)
    fifos = [node for node in graph.nodes if isinstance(node.op, Fifo)]
    run = model.run(dict.fromkeys((node.name for node in fifos), None) if unbounded else {})
    start = min(int(run.times.writes(model.channels[s])[0]) for s in graph.inputs)
    beats: dict[str, np.ndarray] = {}
    fills: dict[str, int] = {}
    for node in fifos:
        channel = model.rooms[node.name]
        entered, left = (np.asarray(times(channel), dtype=np.int64) for times in (run.times.writes, run.times.reads))
        fills[node.name] = most_held(entered, left)
        beats[node.inputs[0]], beats[node.outputs[0]] = entered - start, left - start
    return Performance(interval=run.interval(), latency=run.done()[0] - start, beats=beats, fills=fills)


def size_fifos(graph: Dataflow, frames: int = FRAMES, machine: Machine = interpret) -> Dataflow:
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
    machine : callable
        As of :func:`simulate`.
    """
    graph, enough = ample_depths(graph, frames, machine)
    deep = {n.name: n.op.depth for n in graph.nodes if isinstance(n.op, Fifo) and n.op.depth > 2}
    bits = {name: depth * graph.beat_bits(graph.node(name).inputs[0]) for name, depth in deep.items()}
    depths: dict[str, int] = {}
    _lower_together(sorted(deep, key=lambda name: -bits[name]), deep, depths, enough)
    for node in graph.nodes:
        if isinstance(node.op, FrameHold):
            _lower(node.name, 2, node.op.depth, depths, enough)
    return _with_depths(graph, depths)


def ample_depths(
    graph: Dataflow, frames: int = FRAMES, machine: Machine = interpret
) -> tuple[Dataflow, Callable[[Mapping[str, int]], bool]]:
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
    machine : callable
        As of :func:`simulate`.

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
    runs = [simulate(graph, frames, input_interval=interval, unbounded=True, machine=machine)]
    meets = any(len(n.inputs) > 1 for n in graph.nodes)
    apart = runs[0].latency * max(graph.type_of(s).beats(graph.per_beat(s)) for s in graph.inputs)
    if meets:
        runs.append(simulate(graph, 2, input_interval=apart, unbounded=True, machine=machine))
    fills = {name: max(run.fills[name] for run in runs) for name in runs[0].fills}
    for hold in holds:
        entry, exit_ = hold.inputs[0], hold.outputs[0]
        fills[hold.name] = max(most_held(run.beats[entry], run.beats[exit_]) for run in runs)
    ample = _with_depths(graph, fills)
    steady, slow = _Model(ample, frames, machine), _Model(ample, 2, machine, input_interval=apart)
    best = steady.run({}).interval()

    def enough(depths: Mapping[str, int]) -> bool:
        try:
            if steady.run(depths).interval() > best:
                return False
            if meets:
                slow.run(depths)
        except DeadlockError:
            return False
        return True

    return ample, enough


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
