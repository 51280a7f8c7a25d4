"""The process that simulates a board: its registers, its memory, and what of that is allocated.

Needs numpy only; for Python 3.8 and later.
"""

import atexit
import json
import mmap
import os
import struct
import subprocess
import tempfile

__all__ = ["Board", "the_board"]

_PAGE = 4096


class Board:
    """What the JSON file describes that the environment variable BITEXPERT_BOARD names (see bitexpert/sim/board.py)."""

    def __init__(self):
        with open(os.environ["BITEXPERT_BOARD"], encoding="utf-8") as file:
            self.config = json.load(file)
        self.base, size = self.config["memory_base"], self.config["memory_bytes"]
        memory = tempfile.NamedTemporaryFile(prefix="bitexpert-board-")  # noqa: SIM115 - lives as long as the board
        memory.truncate(size)
        self.memory, self._file = mmap.mmap(memory.fileno(), size), memory
        self._free = [(0, size)]
        arguments = [memory.name, self.base, size, self.config["seed"], self.config["stall"], self.config["access"]]
        self._process = subprocess.Popen(
            [self.config["program"], *map(str, arguments)],
            cwd=self.config["folder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        atexit.register(self.close)
        if self.config.get("fault"):
            self.ask("<cI", "<I", b"F", self.config["fault"])

    def ask(self, request, reply, *values):
        """One request to the simulation, and its answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        try:
            stdin.write(struct.pack(request, *values))
            stdin.flush()
            data = stdout.read(struct.calcsize(reply))
        except BrokenPipeError:
            data = b""
        if len(data) != struct.calcsize(reply):
            raise RuntimeError(f"the virtual board has ended with exit code {self._process.wait()}")
        return struct.unpack(reply, data)[0]

    def cycles(self):
        """Cycles since the board was started."""
        return self.ask("<c", "<Q", b"C")

    def take(self, size):
        """Offset of so many free bytes."""
        size = -(-size // _PAGE) * _PAGE
        for i, (offset, room) in enumerate(self._free):
            if room >= size:
                self._free[i] = (offset + size, room - size)
                return offset
        raise RuntimeError("Failed to allocate memory!")  # the words of pynq

    def give(self, offset, size):
        """Take bytes back; neighbours are joined."""
        self._free.append((offset, -(-size // _PAGE) * _PAGE))
        joined = []
        for start, room in sorted(self._free):
            if joined and sum(joined[-1]) == start:
                joined[-1] = (joined[-1][0], joined[-1][1] + room)
            else:
                joined.append((start, room))
        self._free = joined

    def close(self):
        """End the simulation."""
        if self._process.poll() is None:
            self._process.stdin.close()
            self._process.wait(10)

    def read(self, address):
        """A register of 32 bits."""
        return self.ask("<cI", "<I", b"R", address)

    def write(self, address, value):
        """Set a register of 32 bits."""
        self.ask("<cII", "<I", b"W", address, value)


_board = None


def the_board():
    """The one board of this process, started when it is first asked for."""
    global _board
    if _board is None:
        _board = Board()
    return _board
