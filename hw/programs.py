"""The language of the cycle model: what a cell does with its channels, cycle after cycle, as instructions.

A program is a sequence of instructions for one frame. It keeps a local time ``cycle``, -1 at the start, and runs once
for each frame. `interpret` runs programs with Python; ``sim.cycles`` compiles a machine that does the same, faster.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from .timing import Channel, Pipe, Process, run

__all__ = [
    "Arrived",
    "Copy",
    "Give",
    "Gone",
    "Instruction",
    "Machine",
    "Move",
    "Program",
    "Read",
    "Repeat",
    "Room",
    "Share",
    "Skip",
    "Step",
    "Take",
    "Times",
    "Write",
    "Written",
    "channels",
    "fill",
    "interpret",
    "process",
]

#: An instruction at work: waits for channels, and returns the local time.
Work = Generator[Channel, None, int]


class Instruction(ABC):
    """One of the classes below; their fields are channels, pipes, numbers and sequences of these."""

    @abstractmethod
    def work(self, cycle: int, frame: int) -> Work:
        """Do it in a frame, from a local time on."""


Program = Sequence[Instruction]


@dataclass(frozen=True)
class Step(Instruction):
    """Firings of a rigid pipeline, at most one a cycle: each takes a beat of all sources, and may produce one."""

    sources: tuple[Channel, ...]
    pipe: Pipe
    produces: bool = True
    count: int = 1

    def work(self, cycle: int, frame: int) -> Work:
        sources, pipe, produces = self.sources, self.pipe, self.produces
        for _ in range(self.count):
            cycle += 1
            for source in sources:  # all beats go in the same cycle, so each waits for the others
                while (arrival := source.available()) is None:
                    yield source
                cycle = max(cycle, arrival)
            while (free := pipe.settle(cycle)) is None:
                yield pipe.out
            cycle = free
            for source in sources:
                source.read(cycle)
            if produces:
                pipe.push(cycle)
        return cycle


@dataclass(frozen=True)
class Skip(Instruction):
    """Firings of a pipeline that take nothing, of which the last one produces a beat."""

    pipe: Pipe
    firings: int

    def work(self, cycle: int, frame: int) -> Work:
        while (free := self.pipe.skip(cycle, self.firings)) is None:
            yield self.pipe.out
        self.pipe.push(free)
        return free


@dataclass(frozen=True)
class Take(Instruction):
    """Reads beats, at most one a cycle."""

    source: Channel
    count: int = 1

    def work(self, cycle: int, frame: int) -> Work:
        source = self.source
        for _ in range(self.count):
            while (arrival := source.available()) is None:
                yield source
            cycle = max(cycle + 1, arrival)
            source.read(cycle)
        return cycle


@dataclass(frozen=True)
class Give(Instruction):
    """Writes beats, at most one a cycle; or evenly over so many cycles, frame after frame."""

    out: Channel
    count: int
    interval: int = 0

    def work(self, cycle: int, frame: int) -> Work:
        out, interval = self.out, self.interval
        for beat in range(self.count):
            while (room := out.room()) is None:
                yield out
            cycle = max(cycle + 1, room, frame * interval + beat * interval // self.count)
            out.write(cycle)
        return cycle


@dataclass(frozen=True)
class Move(Instruction):
    """Hands beats on in the cycle in which it reads them."""

    source: Channel
    out: Channel
    count: int = 1

    def work(self, cycle: int, frame: int) -> Work:
        source, out = self.source, self.out
        for _ in range(self.count):
            while (arrival := source.available()) is None:
                yield source
            while (room := out.room()) is None:
                yield out
            cycle = max(cycle + 1, arrival, room)
            source.read(cycle)
            out.write(cycle)
        return cycle


@dataclass(frozen=True)
class Arrived(Instruction):
    """Waits until the next beat has been written; the local time is that cycle at least."""

    channel: Channel

    def work(self, cycle: int, frame: int) -> Work:
        while (arrival := self.channel.available()) is None:
            yield self.channel
        return max(cycle, arrival - 1)


@dataclass(frozen=True)
class Room(Instruction):
    """Waits until there is room; the local time is the cycle in which the last beat left, at least."""

    channel: Channel

    def work(self, cycle: int, frame: int) -> Work:
        while (room := self.channel.room()) is None:
            yield self.channel
        return max(cycle, room - 1)


@dataclass(frozen=True)
class Written(Instruction):
    """Waits for beat ``per_frame*frame + first`` to be written, if there is one of that number.

    The local time is ``earlier`` cycles before that one at least.
    """

    channel: Channel
    per_frame: int
    first: int
    earlier: int = 0

    def work(self, cycle: int, frame: int) -> Work:
        beat, writes = self.per_frame * frame + self.first, self.channel.writes
        if beat < 0:
            return cycle
        while len(writes) <= beat:
            yield self.channel
        return max(cycle, writes[beat] - self.earlier)


@dataclass(frozen=True)
class Gone(Instruction):
    """Waits for beat ``per_frame*frame + first`` to be read; the local time is that cycle at least."""

    channel: Channel
    per_frame: int
    first: int

    def work(self, cycle: int, frame: int) -> Work:
        beat, reads = self.per_frame * frame + self.first, self.channel.reads
        while len(reads) <= beat:
            yield self.channel
        return max(cycle, reads[beat])


@dataclass(frozen=True)
class Read(Instruction):
    """Reads beats that have arrived, all at the local time: frees places."""

    channel: Channel
    count: int = 1

    def work(self, cycle: int, frame: int) -> Work:
        yield from ()
        for _ in range(self.count):
            self.channel.read(cycle)
        return cycle


@dataclass(frozen=True)
class Write(Instruction):
    """Writes a beat, for which there is room, at the local time."""

    channel: Channel

    def work(self, cycle: int, frame: int) -> Work:
        yield from ()
        self.channel.write(cycle)
        return cycle


@dataclass(frozen=True)
class Copy(Instruction):
    """Offers an output the beats of a source that it shares with others; a beat stands there until all have it."""

    source: Channel
    out: Channel
    count: int

    def work(self, cycle: int, frame: int) -> Work:
        source, out = self.source, self.out
        for _ in range(self.count):
            # the next beat stands at the input once the one before has been taken
            while len(source.reads) < len(out.writes) or (arrival := source.available()) is None:
                yield source
            while (room := out.room()) is None:
                yield out
            cycle = max(arrival, room, source.reads[-1] + 1 if source.reads else 0)
            out.write(cycle)
        return cycle


@dataclass(frozen=True)
class Share(Instruction):
    """Takes the beats of a source in the cycle in which the last of the outputs gets its copy."""

    source: Channel
    outs: tuple[Channel, ...]
    count: int

    def work(self, cycle: int, frame: int) -> Work:
        source = self.source
        for _ in range(self.count):
            beat = len(source.reads)
            for out in self.outs:
                while len(out.writes) <= beat:
                    yield out
            cycle = max(out.writes[beat] for out in self.outs)
            source.read(cycle)
        return cycle


@dataclass(frozen=True)
class Repeat(Instruction):
    """Instructions, done again and again."""

    times: int
    body: tuple[Instruction, ...]

    def work(self, cycle: int, frame: int) -> Work:
        for _ in range(self.times):
            for instruction in self.body:
                cycle = yield from instruction.work(cycle, frame)
        return cycle


def fill(source: Channel, places: Channel, beats: int, times: int) -> Program:
    """Takes beats into places: rows of a ring, halves of a buffer, sets of sums.

    Parameters
    ----------
    source : Channel
    places : Channel
        A place is written with its last beat, and is free again once it has been read.
    beats : int
        Beats of a place, one a cycle.
    times : int
        Places to fill, a frame.
    """
    return [Repeat(times, (Room(places), Take(source, beats), Write(places)))]


class Times(Protocol):
    """In which cycles the beats of a run moved."""

    def writes(self, channel: Channel) -> Sequence[int]:
        """The cycles in which beats were written."""

    def reads(self, channel: Channel) -> Sequence[int]:
        """The cycles in which beats were read."""


#: Takes programs, and gives what runs them for some frames, until none can move. The times hold until it runs again;
#: between two runs the channels' depths may be changed.
Machine = Callable[[Sequence[Program]], Callable[[int], Times]]


def channels(programs: Iterable[Instruction]) -> Iterator[Channel]:
    """All channels in a program, again for each place where they are named."""
    for instruction in programs:
        for value in vars(instruction).values():
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Channel):
                    yield part
                elif isinstance(part, Pipe):
                    yield part.out
                elif isinstance(part, Instruction):
                    yield from channels((part,))


class _Here:
    """The times that are in the channels themselves."""

    def writes(self, channel: Channel) -> Sequence[int]:
        return channel.writes

    def reads(self, channel: Channel) -> Sequence[int]:
        return channel.reads


def process(program: Program, frames: int) -> Process:
    """A program at work for some frames."""
    cycle = -1
    for frame in range(frames):
        for instruction in program:
            cycle = yield from instruction.work(cycle, frame)


def interpret(programs: Sequence[Program]) -> Callable[[int], Times]:
    """The machine in Python."""
    named = set(itertools.chain.from_iterable(map(channels, programs)))

    def execute(frames: int) -> Times:
        for channel in named:
            channel.clear()
        run(process(program, frames) for program in programs)
        return _Here()

    return execute
