"""Gives the real package ``pynq`` the virtual board as its device, before a program runs. For a Python that has pynq.

pynq's own `Overlay`, `allocate`, `MMIO` and `lib.dma.DMA` run unchanged on top of it. What is not pynq's: reading the
``.hwh``, for which a table of the design's blocks stands.
"""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pynq.pl_server.device
from pynq.buffer import PynqBuffer

_spec = importlib.util.spec_from_file_location("board_process", Path(__file__).parents[1] / "board_process.py")
_process = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_process)

_BLOCKS = {"dma": 0x40400000, "accelerator": 0x43C00000}
_RANGE = 0x1000
# of the IP in simple mode, as Vivado writes them to the handoff file
_DMA_PARAMETERS = {
    "C_INCLUDE_SG": "0",
    "c_include_sg": "0",
    "c_include_mm2s": "1",
    "c_include_s2mm": "1",
    "c_m_axi_mm2s_data_width": "64",
    "c_m_axi_s2mm_data_width": "64",
    "c_sg_length_width": "26",
}


def _entry(name, vlnv, parameters):
    return {
        "type": vlnv,
        "phys_addr": _BLOCKS[name],
        "addr_range": _RANGE,
        "fullpath": name,
        "parameters": parameters,
        "registers": {},
        "state": None,
        "interrupts": {},
        "gpio": {},
        "driver": None,
        "mem_id": None,
        "device": None,
    }


class _Blocks:
    """What pynq knows of a bitstream."""

    def __init__(self, vlnv):
        self.ip_dict = {
            "dma": _entry("dma", "xilinx.com:ip:axi_dma:7.1", _DMA_PARAMETERS),
            "accelerator": _entry("accelerator", vlnv, {}),
        }
        self.gpio_dict, self.interrupt_controllers, self.interrupt_pins = {}, {}, {}
        self.hierarchy_dict, self.clock_dict, self.mem_dict = {}, {}, {}
        self.nets, self.pins, self.systemgraph = {}, {}, None


class VirtualDevice(pynq.pl_server.device.Device):
    """The virtual board."""

    _probe_priority_ = 1

    @classmethod
    def _probe_(cls):
        return [cls()] if "BITEXPERT_BOARD" in os.environ else []

    def __init__(self):
        super().__init__("virtual")
        self.name = "virtual board"
        self.capabilities = {"REGISTER_RW": True}

    def get_bitfile_metadata(self, bitfile, partial=False):
        self.parser = _Blocks(_process.the_board().config["vlnv"])
        return self.parser

    def download(self, bitstream, parser=None):
        """Nothing to load: the design is what is simulated."""

    @staticmethod
    def _place(address):
        for number, base in enumerate(_BLOCKS.values()):
            if base <= address < base + _RANGE:
                return _RANGE * number + address - base
        raise RuntimeError(f"nothing answers at {address:#x}")

    def read_registers(self, address, length):
        return _process.the_board().read(self._place(address)).to_bytes(4, "little")[:length]

    def write_registers(self, address, data):
        _process.the_board().write(self._place(address), int.from_bytes(bytes(data), "little"))

    def allocate(self, shape, dtype, **_):
        board, dtype = _process.the_board(), np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        offset = board.take(size)
        memory = memoryview(board.memory)[offset : offset + size]
        address = board.base + offset
        buffer = PynqBuffer(shape, dtype=dtype, buffer=memory, device=self, device_address=address, coherent=True)
        # what pynq's freebuffer() hands back
        buffer.memory, buffer.pointer, buffer.return_to, buffer.freed = self, (offset, size), self, True
        return buffer

    def return_pointer(self, place):
        """Take a buffer's memory back."""
        _process.the_board().give(*place)

    def flush(self, *_):
        """There is no cache."""

    invalidate = flush

    def close(self):
        """The board ends with the process."""
