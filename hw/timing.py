"""The cycle model: when every beat of a dataflow graph moves, without simulating logic.

Each cell is described by *processes* (generators) that know in which cycle they take a beat and in
which they offer one. Processes are joined by channels, the FIFOs of the design. The network is
deterministic (a Kahn network with bounded channels), so each process runs at its own local time and
only waits for the times it depends on. The result is exact to the cycle where the processes are.

Cycles are counted from 0. A *handshake* in cycle t is a beat moving at the clock edge that ends t.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence

from ..errors import BitexpertError

__all__ = ["Channel", "DeadlockError", "Pipe", "Process", "Waitable", "fill", "pipeline", "run"]


class DeadlockError(BitexpertError):
    """The design would hang: no process can move, and the run is not finished."""


class Waitable:
    """Something whose change wakes the processes that wait for it."""

    __slots__ = ("waiters",)

    def __init__(self) -> None:
        self.waiters: list[Process] = []


Process = Generator[Waitable, None, None]
_ready: deque[Process] = deque()


def _wake(thing: Waitable) -> None:
    _ready.extend(thing.waiters)
    thing.waiters.clear()


class Channel(Waitable):
    """A FIFO: a beat written in cycle t can be read from cycle t + 1 on.

    Parameters
    ----------
    name : str
    depth : int or None
        Beats of room; None is unbounded. Room freed by a read in cycle t can be written from t + 1 on.

    Attributes
    ----------
    writes, reads : list of int
        Cycles of the handshakes so far.
    feeder : Pipe or None
        The pipeline whose outputs are written here; every read may let one go.
    """

    __slots__ = ("depth", "feeder", "name", "reads", "writes")

    def __init__(self, name: str, depth: int | None = None) -> None:
        super().__init__()
        self.name, self.depth = name, depth
        self.writes: list[int] = []
        self.reads: list[int] = []
        self.feeder: Pipe | None = None

    def available(self) -> int | None:
        """First cycle in which the next unread beat can be read; None while that is unknown."""
        k = len(self.reads)
        return self.writes[k] + 1 if k < len(self.writes) else None

    def room(self) -> int | None:
        """First cycle in which the next beat can be written; None while that is unknown."""
        depth = self.depth
        if depth is None or (k := len(self.writes) - depth) < 0:
            return 0
        return self.reads[k] + 1 if k < len(self.reads) else None

    def read(self, cycle: int) -> None:
        """Record that the next beat is read in ``cycle``."""
        self.reads.append(cycle)
        if self.feeder is not None and self.feeder.fired:
            self.feeder.advance()
        if self.waiters:
            _wake(self)

    def write(self, cycle: int) -> None:
        """Record that the next beat is written in ``cycle``."""
        self.writes.append(cycle)
        if self.waiters:
            _wake(self)

    def max_fill(self) -> int:
        """The most beats held at once: what the depth must be for the same timing."""
        fill = most = 0
        reads, r = self.reads, 0
        for k, w in enumerate(self.writes):
            # a read in cycle t makes room for a write in t + 1
            while r < len(reads) and reads[r] < w:
                r += 1
            fill = k + 1 - r
            most = max(most, fill)
        return most


class Pipe:
    """A rigid pipeline in front of a channel: all stages freeze while a due output finds no room.

    RTL: ``enable = !m_axis_tvalid || m_axis_tready`` for every register of the cell.

    Parameters
    ----------
    out : Channel
    latency : int
        Cycles from a firing to the cycle in which its output is valid (the number of register
        stages; at least 1).
    """

    __slots__ = ("_stalls", "fired", "latency", "out")

    def __init__(self, out: Channel, latency: int) -> None:
        self.out, self.latency = out, latency
        out.feeder = self
        self.fired: deque[int] = deque()  # firings whose output has not been handshaked yet
        self._stalls: deque[tuple[int, int]] = deque()  # frozen cycles [from, to)

    def _valid(self) -> int:
        """Cycle in which the oldest output in the pipeline becomes valid."""
        f = self.fired[0]
        cycle = f + self.latency
        for start, end in self._stalls:
            if start > f:
                cycle += end - start
        return cycle

    def settle(self, cycle: int) -> int | None:
        """First cycle >= ``cycle`` in which the pipeline is not frozen; None while unknown."""
        if self.fired and self._valid() <= cycle:
            return None
        for start, end in self._stalls:
            if start <= cycle < end:
                cycle = end
        return cycle

    def skip(self, cycle: int, firings: int) -> int | None:
        """Cycle of the last of so many firings after ``cycle``, one in every cycle that is not frozen.

        None while unknown. All but the last push nothing.
        """
        last = cycle + firings
        for start, end in self._stalls:
            if end > cycle + 1 and start <= last:
                last += end - max(start, cycle + 1)
        return None if self.fired and self._valid() <= last else last

    def push(self, cycle: int) -> None:
        """Record that the firing in ``cycle`` produces an output beat."""
        fired, stalls = self.fired, self._stalls
        oldest = fired[0] if fired else cycle
        while stalls and stalls[0][1] <= oldest:  # a stall that ended before a firing cannot touch it
            stalls.popleft()
        if fired:  # which waits for room, and this one behind it
            fired.append(cycle)
        elif not stalls and (room := self.out.room()) is not None and room <= cycle + self.latency:
            self.out.write(cycle + self.latency)  # the usual case, without the queue
        else:
            fired.append(cycle)
            self.advance()

    def advance(self) -> None:
        """Hand over the outputs for which there is room."""
        fired, out, stalls = self.fired, self.out, self._stalls
        while fired and (room := out.room()) is not None:
            valid = self._valid() if stalls else fired[0] + self.latency
            if room > valid:
                stalls.append((valid, room))
                valid = room
            fired.popleft()
            out.write(valid)


def pipeline(
    source: Channel, out: Channel, steps: Callable[[], Iterable[tuple[bool, bool]]], latency: int, frames: int
) -> list[Process]:
    """Processes of a cell that is one rigid pipeline between one input and one output.

    Parameters
    ----------
    source, out : Channel
    steps : callable
        Returns the firings of one frame, one a cycle: (takes an input beat, produces an output beat).
    latency : int
        Register stages between a firing and its output.
    frames : int
    """
    pipe = Pipe(out, latency)

    def fire() -> Process:
        cycle = -1
        for _ in range(frames):
            for takes, produces in steps():
                cycle += 1
                if takes:
                    while (arrival := source.available()) is None:
                        yield source
                    cycle = max(cycle, arrival)
                while (free := pipe.settle(cycle)) is None:
                    yield out
                cycle = free
                if takes:
                    source.read(cycle)
                if produces:
                    pipe.push(cycle)

    return [fire()]


def fill(source: Channel, places: Channel, beats: int, times: int) -> Process:
    """The process that takes beats into places: rows of a ring, halves of a buffer, sets of sums.

    Parameters
    ----------
    source : Channel
    places : Channel
        A place is written with its last beat, and is free again once it has been read.
    beats : int
        Beats of a place, one a cycle.
    times : int
        Places to fill.
    """
    cycle = -1
    for _ in range(times):
        while (free := places.room()) is None:
            yield places
        cycle = max(cycle, free - 1)
        for _ in range(beats):
            while (arrival := source.available()) is None:
                yield source
            cycle = max(cycle + 1, arrival)
            source.read(cycle)
        places.write(cycle)


def run(processes: Sequence[Process], finished: Callable[[], bool], describe: Callable[[], str]) -> None:
    """Run processes until none can move.

    Parameters
    ----------
    processes : sequence of generators
    finished : callable
        Whether all that was wanted has happened.
    describe : callable
        What stands where, for the error message.

    Raises
    ------
    DeadlockError
        No process can move and the run is not finished.
    """
    _ready.clear()
    _ready.extend(processes)
    while _ready:
        process = _ready.popleft()
        thing = next(process, None)
        if thing is not None:
            thing.waiters.append(process)
    if not finished():
        raise DeadlockError(f"the design would deadlock: {describe()}")
