"""The compiled machine of the cycle model, ``cpp/cycles.cpp``: gives what `hw.programs.interpret` gives, faster."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..hw import programs as language
from ..hw.programs import Machine, Program, Repeat, Times, interpret
from ..hw.timing import Channel, Pipe
from .toolchain import CPP, ToolError, cache_folder, compiler, digest, run_tool

__all__ = ["build_machine", "compiled_machine", "fastest_machine"]

FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-Wall")
# In the order of the machine's enum.
INSTRUCTIONS = {
    kind: number
    for number, kind in enumerate(
        (
            language.Step,
            language.Skip,
            language.Take,
            language.Give,
            language.Move,
            language.Arrived,
            language.Room,
            language.Written,
            language.Gone,
            language.Read,
            language.Write,
            language.Copy,
            language.Share,
            language.Repeat,
        )
    )
}


class _Numbers:
    """Numbers for the channels and pipes of programs, in the order in which they are met."""

    def __init__(self) -> None:
        self.channels: dict[Channel, int] = {}
        self.pipes: dict[Pipe, int] = {}

    def of(self, value: Any) -> Iterator[int]:
        """A field of an instruction as numbers."""
        if isinstance(value, Channel):
            yield self.channels.setdefault(value, len(self.channels))
        elif isinstance(value, Pipe):
            self.channels.setdefault(value.out, len(self.channels))
            yield self.pipes.setdefault(value, len(self.pipes))
        elif isinstance(value, tuple):
            yield len(value)
            for part in value:
                yield from self.of(part)
        else:
            yield int(value)

    def code(self, program: Program) -> list[int]:
        """A program as numbers."""
        found: list[int] = []
        for instruction in program:
            found.append(INSTRUCTIONS[type(instruction)])
            if isinstance(instruction, Repeat):
                body = self.code(instruction.body)
                found += [instruction.times, len(body), *body]
            else:
                for value in vars(instruction).values():
                    found += self.of(value)
        return found


class _Network:
    """Programs in the compiled machine, and the times of their last run."""

    def __init__(self, library: ctypes.CDLL, programs: Sequence[Program]) -> None:
        self._library = library
        self._numbers = _Numbers()
        codes = [self._numbers.code(program) for program in programs]
        words = [len(self._numbers.pipes)]
        for pipe in self._numbers.pipes:
            words += [self._numbers.channels[pipe.out], pipe.latency]
        words.append(len(codes))
        for code in codes:
            words += [len(code), *code]
        self._words = np.asarray(words, dtype=np.int64)
        self._network = ctypes.c_void_p(library.cycles_new(_pointer(self._words)))

    def __del__(self) -> None:
        self._library.cycles_delete(self._network)

    def __call__(self, frames: int) -> Times:
        depths = np.array([-1 if c.depth is None else c.depth for c in self._numbers.channels], dtype=np.int64)
        self._library.cycles_run(self._network, _pointer(depths), ctypes.c_int64(len(depths)), ctypes.c_int64(frames))
        return self

    def writes(self, channel: Channel) -> Sequence[int]:
        return self._times(channel, 0)

    def reads(self, channel: Channel) -> Sequence[int]:
        return self._times(channel, 1)

    def _times(self, channel: Channel, reads: int) -> Any:
        found, number = ctypes.POINTER(ctypes.c_int64)(), self._numbers.channels[channel]
        count = self._library.cycles_of(self._network, ctypes.c_int64(number), reads, ctypes.byref(found))
        return np.ctypeslib.as_array(found, (count,)) if count else np.empty(0, dtype=np.int64)


def _pointer(words: np.ndarray) -> ctypes.c_void_p:
    return words.ctypes.data_as(ctypes.c_void_p)


def build_machine(work: Path) -> Path:
    """Compile the machine into a shared library; one of the same source is used again.

    Raises
    ------
    ToolError
        The compiler is missing or fails.
    """
    source = CPP / "cycles.cpp"
    library = work.resolve() / f"cycles-{digest([source], platform.machine(), *FLAGS)[:16]}.so"
    if not library.exists():
        part = library.with_suffix(f".{os.getpid()}.part")
        run_tool([compiler(), *FLAGS, source, "-o", part], "compiling the cycle model")
        part.replace(library)
    return library


def compiled_machine(library: Path) -> Machine:
    """The machine in a library from :func:`build_machine`; what it gives is not to be used by two threads at once."""
    loaded = ctypes.CDLL(str(library))
    loaded.cycles_new.restype = ctypes.c_void_p
    loaded.cycles_of.restype = ctypes.c_int64
    return lambda programs: _Network(loaded, programs)


@cache
def fastest_machine() -> Machine:
    """The compiled machine or, where it cannot be compiled or loaded, the one in Python."""
    try:
        return compiled_machine(build_machine(cache_folder()))
    except (ToolError, OSError):
        return interpret
