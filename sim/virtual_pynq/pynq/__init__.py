"""A stand-in for the package ``pynq`` on a PC: its documented interfaces, on top of the virtual board.

Only what a bitexpert driver uses: `Overlay` with `ip_dict` and an object with ``read`` and ``write`` for each IP, and
`allocate` for buffers with ``device_address``, ``flush``, ``invalidate`` and ``freebuffer``. What stands behind it is
said in the JSON file that the environment variable BITEXPERT_BOARD names (see bitexpert/sim/board.py).
"""

import atexit
import json
import mmap
import os
import struct
import subprocess
import tempfile

import numpy as np

__all__ = ["Overlay", "PynqBuffer", "allocate"]
__version__ = "3.1.2"

_PAGE = 4096
_DMA, _SHELL, _RANGE = 0x40400000, 0x43C00000, 0x1000


class _Board:
    """The process that simulates, its memory, and what of that is allocated."""

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


_board = None


def _the_board():
    global _board
    if _board is None:
        _board = _Board()
    return _board


class PynqBuffer(np.ndarray):
    """Memory that the device sees, too."""

    def __new__(cls, shape, dtype):
        board = _the_board()
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        offset = board.take(size)
        self = super().__new__(cls, shape, dtype=dtype, buffer=board.memory, offset=offset)
        self._place = (offset, size)
        self.device_address = self.physical_address = board.base + offset
        return self

    def __array_finalize__(self, other):
        self._place = None
        self.device_address = self.physical_address = getattr(other, "device_address", None)

    def flush(self):
        """Write the cache back: there is none."""

    def invalidate(self):
        """Forget the cache: there is none."""

    sync_to_device = flush
    sync_from_device = invalidate

    def freebuffer(self):
        """Give the memory back."""
        if self._place is not None:
            _the_board().give(*self._place)
            self._place = None


def allocate(shape, dtype="u4", target=None, **_):
    """A buffer that the device sees, too."""
    return PynqBuffer(shape, dtype)


class _Ip:
    """Registers of one IP."""

    def __init__(self, offset):
        self._offset = offset

    def read(self, offset=0, length=4):
        """A register of 32 bits."""
        return _the_board().ask("<cI", "<I", b"R", self._offset + offset)

    def write(self, offset, value):
        """Set a register of 32 bits."""
        _the_board().ask("<cII", "<I", b"W", self._offset + offset, value)


class Overlay:
    """A bitstream: here, the design that the virtual board simulates."""

    def __init__(self, bitfile_name, dtbo=None, download=True, ignore_version=False, device=None, gen_cache=False):
        stem = os.path.splitext(bitfile_name)[0]
        for name in (bitfile_name, stem + ".hwh"):
            if not os.path.isfile(name):
                raise FileNotFoundError(f"No such file or directory: {name}")
        self.bitfile_name = bitfile_name
        self.ip_dict = {
            "dma": {"type": "xilinx.com:ip:axi_dma:7.1", "phys_addr": _DMA, "addr_range": _RANGE},
            "accelerator": {"type": _the_board().config["vlnv"], "phys_addr": _SHELL, "addr_range": _RANGE},
        }
        self.dma, self.accelerator = _Ip(0), _Ip(_RANGE)
