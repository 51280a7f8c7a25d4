"""What a memory becomes on 7-series and UltraScale+ devices: logic, LUTRAM or block RAM.

The choice is that of Yosys 0.70 (``memory_libmap``): the cheapest of several shapes, in units of an eighth of a
RAM32M's four LUTs. Vivado's rules of thumb end at about the same depths. No memory becomes URAM: on UltraScale+ a URAM
has no initial contents, so that it could not hold a ROM.
"""

from __future__ import annotations

import math
from functools import cache

from .resources import Resources, bits_for

__all__ = ["LOGIC_ROM_WORDS", "block_rom", "cell_rom", "line", "logic_rom", "multiplexer", "ram", "rom", "rom_terms"]

# LUTRAM with one write and one read port: address bits, width, LUTs, and whether it narrows with the width in use.
# RAM32M, RAM64M; RAM32X1D, RAM64X1D, RAM128X1D.
DUAL_PORT = ((5, 6, 4, False), (6, 3, 4, False), (5, 4, 8, True), (6, 2, 4, True), (7, 1, 4, True))
# With one port for both: RAM32X1S to RAM256X1S.
SINGLE_PORT = ((5, 8, 8, True), (6, 4, 4, True), (7, 2, 4, True), (8, 1, 4, True))
# What Yosys counts: a LUTRAM, the share of it that narrows, and an input of a multiplexer.
LUTRAM_COST, LUTRAM_SHARE, MUX_COST = 8, 7, 0.5
UNREGISTERED_COST = 6  # of a read that is not registered
BLOCKS = ((1, 14, 129), (2, 15, 257))  # BRAM18, address bits at one bit of width, cost
BLOCK_WIDTHS = (1, 2, 4, 9, 18, 36, 72)
LOGIC_ROM_COST = 1 / 64  # a bit
LOGIC_ROM_WORDS = 64  # of bx_rom
ROM_KNOTS = (16, 32)  # words, where the LUTs that one bit of a ROM takes begin to grow
MUX_INPUTS = 4  # of a multiplexer in one LUT


def multiplexer(inputs: int) -> int:
    """LUTs of a multiplexer of one bit; its upper levels are MUXF7 and MUXF8."""
    return -(-inputs // MUX_INPUTS) if inputs > 1 else 0


@cache
def _blocks(depth: int, width: int, writable: bool) -> tuple[float, Resources]:
    """Least cost in block RAM, and what it takes: with several rows of them, a multiplexer and its register too."""
    best: tuple[float, Resources] = (math.inf, Resources())
    for bram18, address_bits, cost in BLOCKS:
        for log, data in enumerate(BLOCK_WIDTHS[: 5 + bram18]):
            rows = -(-depth // (1 << (address_bits - log)))
            padded = -(-width // min(data, 9)) * min(data, 9) if writable else width
            count = -(-rows * padded // data)
            total = cost * count + MUX_COST * (rows - 1) * width
            if total < best[0]:
                enables = rows if rows > 1 and writable else 0
                logic = width * multiplexer(rows) + enables
                best = total, Resources(lut=logic, ff=bits_for(rows), bram18=bram18 * count)
    return best


@cache
def _lutram(depth: int, width: int, one_port: bool = False) -> tuple[float, Resources]:
    """Least cost in LUTRAM with a write and a read port, or one port for both, and what it takes."""
    best: tuple[float, Resources] = (math.inf, Resources())
    for address_bits, data, luts, narrows in SINGLE_PORT if one_port else DUAL_PORT:
        rows = -(-depth // (1 << address_bits))
        count = rows * -(-width // data)
        share = LUTRAM_COST if narrows else LUTRAM_SHARE
        cost: float = (LUTRAM_COST - share) * count + share * rows * width // data
        demultiplexer = rows if rows > 1 else 0
        cost += MUX_COST * ((rows - 1) * width + demultiplexer)
        if cost < best[0]:
            used = luts * rows * width / data if narrows else luts * count
            best = cost, Resources(lut=width * multiplexer(rows) + demultiplexer, lutram=used)
    return best


@cache
def ram(depth: int, width: int, one_port: bool = False) -> Resources:
    """A memory with one write and one registered read port.

    Parameters
    ----------
    depth : int
        Words.
    width : int
        Bits a word.
    one_port : bool
        Both have the same address.
    """
    block_cost, blocks = _blocks(depth, width, True)
    lutram_cost, lutram = _lutram(depth, width, one_port)
    if depth * width <= min(block_cost, lutram_cost):
        return Resources(lut=_selects(depth, width), ff=(depth + 1) * width)
    if block_cost < lutram_cost:
        return blocks
    return lutram + Resources(ff=width)  # its read is not registered by itself


def line(depth: int, width: int) -> Resources:
    """A memory with one write port and a read port that is not registered: never block RAM. Sizes as :func:`ram`."""
    cost, inside = _lutram(depth, width)
    if depth * width <= cost + UNREGISTERED_COST:
        return Resources(lut=_selects(depth, width), ff=depth * width)
    return inside


def _selects(depth: int, width: int) -> int:
    """LUTs around words that are registers: enables and a multiplexer."""
    return width * multiplexer(depth) + (depth if depth > 1 else 0)


def distinct_columns(words: int, width: int) -> float:
    """How many different columns that are not constant are expected among ``width`` random ones of ``words`` bits."""
    kinds = 2.0 ** min(words, 60) - 2
    return -kinds * math.expm1(width * math.log1p(-1 / (kinds + 2))) if kinds > 0 else 0.0


def logic_rom(words: int, width: int) -> Resources:
    """A registered ROM in LUTs: one for 64 words of a column, joined by MUXF7 and MUXF8; equal columns only once."""
    columns = distinct_columns(words, width)
    # of two words a column is the address or its inverse
    return Resources(lut=columns * -(-words // 64) if words > 2 else 0, ff=columns)


def rom_terms(words: int, luts: float, name: str = "ROM") -> dict[str, float]:
    """A ROM's LUTs as terms: with more address bits, synthesis takes several LUTs where one would do."""
    beyond = {knot: luts * min(max(0, words - knot), 2 * knot) / knot for knot in ROM_KNOTS}
    return {name: luts, **{f"{name}, words beyond {knot}": share for knot, share in beyond.items()}}


def block_rom(words: int, width: int) -> Resources:
    """A ROM that has to be block RAM."""
    return _blocks(words, width, False)[1]


def rom(words: int, width: int) -> Resources:
    """A registered ROM whose kind is left to synthesis; one word is constants."""
    if words == 1:
        return Resources()
    if words * width * LOGIC_ROM_COST <= _blocks(words, width, False)[0]:
        return logic_rom(words, width)
    return block_rom(words, width)


def cell_rom(words: int, width: int) -> Resources:
    """What ``bx_rom`` and a lane of ``bx_lane_rom`` become: constants, LUTs up to 64 words, block RAM beyond."""
    if words == 1:
        return Resources()
    return logic_rom(words, width) if words <= LOGIC_ROM_WORDS else block_rom(words, width)
