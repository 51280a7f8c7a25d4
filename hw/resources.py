"""FPGA resources of an operator, and the rules for memories."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

__all__ = ["Resources", "memory", "srl_or_memory"]

# Depth x width shapes of one 18 Kbit block RAM (7-series and UltraScale+, simple dual port).
BRAM18_SHAPES = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))
# A memory of at most this many words goes to LUTRAM: a RAM32M holds 32 x 6 bits in 4 LUTs, a RAM64M 64 x 3.
LUTRAM_DEPTH = 64


@dataclass(frozen=True)
class Resources:
    """Estimated resources: 6-input LUTs (LUTRAM not counted), flip-flops, LUTs used as RAM, BRAM18, URAM, DSP."""

    lut: float = 0
    ff: float = 0
    lutram: float = 0
    bram18: float = 0
    uram: float = 0
    dsp: float = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def rounded(self) -> dict[str, int]:
        """Whole numbers, for reports."""
        return {f.name: math.ceil(getattr(self, f.name)) for f in fields(self)}


def memory(depth: int, width: int) -> Resources:
    """A memory with one write and one registered read port (or a ROM).

    Parameters
    ----------
    depth : int
        Words.
    width : int
        Bits a word.
    """
    if depth <= LUTRAM_DEPTH:
        per_lut = 1.5 if depth <= 32 else 0.75  # bits of width a LUT holds
        return Resources(lutram=math.ceil(width / per_lut), ff=width)
    return Resources(bram18=min(math.ceil(depth / d) * math.ceil(width / w) for d, w in BRAM18_SHAPES))


def srl_or_memory(depth: int, width: int) -> Resources:
    """A FIFO's storage: shift registers up to 32 words, else a memory."""
    if depth <= 32:
        return Resources(lutram=width * (1 if depth > 1 else 0), ff=width)
    return memory(depth, width)
