"""A stand-in for the package ``pynq`` on a PC: its documented interfaces, on top of the virtual board.

Only what a bitexpert driver uses: `Overlay` with `ip_dict` and an object with ``read`` and ``write`` for each IP, and
`allocate` for buffers with ``device_address``, ``flush``, ``invalidate`` and ``freebuffer``.
"""

import os

import numpy as np
from board_process import the_board

__all__ = ["Overlay", "PynqBuffer", "allocate"]
__version__ = "3.1.2"

_DMA, _SHELL, _RANGE = 0x40400000, 0x43C00000, 0x1000


class PynqBuffer(np.ndarray):
    """Memory that the device sees, too."""

    def __new__(cls, shape, dtype):
        board = the_board()
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
            the_board().give(*self._place)
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
        return the_board().read(self._offset + offset)

    def write(self, offset, value):
        """Set a register of 32 bits."""
        the_board().write(self._offset + offset, value)


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
            "accelerator": {"type": the_board().config["vlnv"], "phys_addr": _SHELL, "addr_range": _RANGE},
        }
        self.dma, self.accelerator = _Ip(0), _Ip(_RANGE)
