"""The cycle model: when every beat of a dataflow graph moves, without simulating logic.

Each cell is described by *programs* (hw/programs.py) that know in which cycle they take a beat and in
which they offer one. Programs are joined by channels, the FIFOs of the design. The network is
deterministic (a Kahn network with bounded channels), so each program runs at its own local time and
only waits for the times it depends on. The result is exact to the cycle where the programs are.

Cycles are counted from 0. A *handshake* in cycle t is a beat moving at the clock edge that ends t.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Channel", "Pipe", "Process", "most_held", "run"]

#: A program under way; it gives the channel whose change it waits for.
Process = Generator["Channel", None, None]
_ready: deque[Process] = deque()


class Channel:
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
    waiters : list of generator
        The processes that wait for a read or a write.
    """

    __slots__ = ("depth", "feeder", "name", "reads", "waiters", "writes")

    def __init__(self, name: str, depth: int | None = None) -> None:
        self.name, self.depth = name, depth
        self.feeder: Pipe | None = None
        self.clear()

    def clear(self) -> None:
        """Forget all handshakes."""
        self.writes: list[int] = []
        self.reads: list[int] = []
        self.waiters: list[Process] = []
        if self.feeder is not None:
            self.feeder.clear()

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
            self._wake()

    def write(self, cycle: int) -> None:
        """Record that the next beat is written in ``cycle``."""
        self.writes.append(cycle)
        if self.waiters:
            self._wake()

    def _wake(self) -> None:
        _ready.extend(self.waiters)
        self.waiters.clear()


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
        self.clear()

    def clear(self) -> None:
        """Forget all firings."""
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


def most_held(entered: ArrayLike, left: ArrayLike) -> int:
    """The most beats between two points at once, from the cycles in which they pass them: the depth for that timing."""
    times = np.asarray(entered, dtype=np.int64)
    # what leaves in cycle t makes room for what enters in t + 1
    gone = np.searchsorted(np.asarray(left, dtype=np.int64), times, side="left")
    return int((np.arange(1, len(times) + 1) - gone).max(initial=0))


def run(processes: Iterable[Process]) -> None:
    """Run processes until none can move."""
    _ready.clear()
    _ready.extend(processes)
    while _ready:
        process = _ready.popleft()
        channel = next(process, None)
        if channel is not None:
            channel.waiters.append(process)
