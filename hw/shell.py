"""The shell around an accelerator: its registers, and how a frame lies in memory.

`hw/rtl/bx_shell.sv` is the hardware; a test holds both against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

__all__ = [
    "COUNTERS_BASE",
    "COUNTERS_STRIDE",
    "MAGIC",
    "MAX_EXPERTS",
    "MAX_LAYERS",
    "REGISTERS",
    "VERSION",
    "Control",
    "Fault",
    "Register",
    "Status",
    "counter_address",
]

#: What MAGIC reads as: "BEXP".
MAGIC = 0x42455850
#: What VERSION reads as: of these registers and of how frames lie in packets.
VERSION = 1
#: Byte address of the first counter of experts, and bytes from one layer's counters to the next one's.
COUNTERS_BASE, COUNTERS_STRIDE = 0x400, 0x100
#: As many expert layers and experts of a layer have counters.
MAX_LAYERS, MAX_EXPERTS = 12, 64


class Control(IntFlag):
    """Bits of CONTROL. RUN stays; the others act once."""

    RUN = 1
    RESET = 2
    CLEAR = 4


class Status(IntFlag):
    """Bits of STATUS."""

    BUSY = 1
    RESETTING = 2


class Fault(IntFlag):
    """Bits of ERRORS, which stay until a 1 is written to them or a soft reset."""

    PACKET_END = 1
    KEEP = 2
    OVERFLOW = 4
    OUTPUT = 8


@dataclass(frozen=True)
class Register:
    """One register of 32 bits, or two for a counter of cycles.

    Attributes
    ----------
    address : int
        In bytes.
    what : str
    words : int
        2: the low half lies first and is to be read first, which keeps the upper half of the same moment.
    writable : bool
    """

    address: int
    what: str
    words: int = 1
    writable: bool = False


#: Name -> register.
REGISTERS: dict[str, Register] = {
    "MAGIC": Register(0x00, "0x42455850, BEXP"),
    "VERSION": Register(0x04, "version of this interface"),
    "HASH_0": Register(0x08, "the design's hash, lowest word"),
    "HASH_1": Register(0x0C, "the design's hash"),
    "HASH_2": Register(0x10, "the design's hash"),
    "HASH_3": Register(0x14, "the design's hash, highest word"),
    "BUILD": Register(0x18, "bit 0: HLS design; bits 15..8: expert layers counted; bits 23..16: experts of each"),
    "CONTROL": Register(0x20, "bit 0: run; bit 1: soft reset; bit 2: clear counters", writable=True),
    "STATUS": Register(0x24, "bit 0: frames are inside; bit 1: the soft reset goes on"),
    "ERRORS": Register(
        0x28,
        "bit 0: a packet ended within a frame; bit 1: TKEEP with gaps, or before the packet's end; bit 2: a counter "
        "is full; bit 3: a result without a frame. Write a 1 to clear",
        writable=True,
    ),
    "FRAMES_IN": Register(0x40, "frames that have gone in"),
    "FRAMES_OUT": Register(0x44, "frames that have come out"),
    "INTERVAL": Register(0x48, "cycles between the last two frames of one packet that came out"),
    "INTERVAL_MIN": Register(0x4C, "the smallest so far; 0: none yet"),
    "INTERVAL_MAX": Register(0x50, "the largest so far"),
    "LATENCY": Register(0x54, "cycles from a frame's first beat in to its last beat out, last measured"),
    "LATENCY_MIN": Register(0x58, "the smallest so far; 0: none yet"),
    "LATENCY_MAX": Register(0x5C, "the largest so far"),
    "CYCLES": Register(0x80, "cycles since the last reset or clear", 2),
    "CYCLES_BUSY": Register(0x88, "cycles with frames inside", 2),
    "CYCLES_STARVED": Register(0x90, "of these, cycles in which the accelerator waited for the DMA's data", 2),
    "CYCLES_REFUSED": Register(0x98, "cycles in which data waited for the accelerator", 2),
    "CYCLES_BLOCKED": Register(0xA0, "cycles in which results waited for the DMA", 2),
}


def counter_address(layer: int, expert: int) -> int:
    """Byte address of how often an expert layer, by its place among them, has used an expert.

    Raises
    ------
    ValueError
        Beyond the layers and experts that have counters.
    """
    if not (0 <= layer < MAX_LAYERS and 0 <= expert < MAX_EXPERTS):
        raise ValueError(f"no counter for expert {expert} of layer {layer}: {MAX_LAYERS} layers, {MAX_EXPERTS} experts")
    return COUNTERS_BASE + COUNTERS_STRIDE * layer + 4 * expert
