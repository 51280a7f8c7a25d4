"""What a synthesised netlist is made of, counted in the terms of the FPGA's data sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..hw.resources import Resources
from .toolchain import ToolError

__all__ = ["Usage"]

# Primitive -> what one of them takes. A LUT6_2 is one LUT with two outputs; an inverter takes a LUT unless
# placement pushes it into another one.
_LUT = {"INV": 1, **{f"LUT{n}": 1 for n in range(1, 7)}, "LUT6_2": 1}
_FF = dict.fromkeys(("FDRE", "FDSE", "FDCE", "FDPE", "TRELLIS_FF"), 1)
_SRL = dict.fromkeys(("SRL16E", "SRLC16E", "SRLC32E"), 1)
# LUTs of a SLICEM (7-series and UltraScale+); a TRELLIS_DPR16X4 takes four for its bits.
_LUTRAM = {
    cell: luts
    for luts, cells in (
        (1, ("RAM32X1S", "RAM64X1S")),
        (2, ("RAM128X1S", "RAM32X1D", "RAM64X1D")),
        (4, ("RAM256X1S", "RAM128X1D", "RAM32M", "RAM64M", "TRELLIS_DPR16X4")),
        (8, ("RAM512X1S", "RAM256X1D", "RAM32M16", "RAM64M8", "RAM32X16DR8", "RAM64X8SW")),
    )
    for cell in cells
}
_BRAM18 = dict.fromkeys(("RAMB18E1", "RAMB18E2", "DP16KD", "PDPW16KD"), 1)
_BRAM36 = dict.fromkeys(("RAMB36E1", "RAMB36E2"), 1)
_URAM = {"URAM288": 1}
_DSP = dict.fromkeys(("DSP48E1", "DSP48E2", "MULT18X18D", "ALU54B"), 1)
_CARRY = dict.fromkeys(("CARRY4", "CARRY8", "CCU2C"), 1)
_FREE = {"MUXF7", "MUXF8", "MUXF9", "PFUMX", "L6MUX21", "VCC", "GND", "$scopeinfo"}
_KNOWN = {*_LUT, *_FF, *_SRL, *_LUTRAM, *_BRAM18, *_BRAM36, *_URAM, *_DSP, *_CARRY, *_FREE}


@dataclass(frozen=True)
class Usage:
    """Primitives of a netlist or of a part of it.

    Parameters
    ----------
    cells : mapping of str to int
        Primitive, e.g. ``LUT6`` or ``RAMB18E1``, and how many of it.
    lc : int, optional
        Yosys' estimate of logic cells: LUTs after pairs of small ones have been packed into one. None where
        Yosys gives none (ECP5).

    Raises
    ------
    ToolError
        A primitive that is not known here: it would be counted as nothing.
    """

    cells: Mapping[str, int] = field(default_factory=dict)
    lc: int | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.cells) - _KNOWN)
        if unknown:
            raise ToolError(f"Yosys used {', '.join(unknown)}, which sim/usage.py cannot count; add it there")

    def _count(self, weights: Mapping[str, int]) -> int:
        return sum(n * weights.get(cell, 0) for cell, n in self.cells.items())

    @property
    def lut(self) -> int:
        """LUTs of logic: LUT1 to LUT6 and inverters, as they come out of mapping."""
        return self._count(_LUT)

    @property
    def ff(self) -> int:
        """Flip-flops."""
        return self._count(_FF)

    @property
    def srl(self) -> int:
        """LUTs used as shift registers."""
        return self._count(_SRL)

    @property
    def lutram(self) -> int:
        """LUTs used as memory, shift registers among them."""
        return self._count(_LUTRAM) + self.srl

    @property
    def bram18(self) -> int:
        """Block RAMs of 18 Kbit."""
        return self._count(_BRAM18)

    @property
    def bram36(self) -> int:
        """Block RAMs of 36 Kbit."""
        return self._count(_BRAM36)

    @property
    def uram(self) -> int:
        """URAM288."""
        return self._count(_URAM)

    @property
    def dsp(self) -> int:
        """DSP slices, or multipliers and ALUs on ECP5."""
        return self._count(_DSP)

    @property
    def carry(self) -> int:
        """Carry primitives: CARRY4 or CARRY8, or CCU2C, which also holds two LUT4."""
        return self._count(_CARRY)

    @property
    def primitives(self) -> dict[str, int]:
        """The cells of the device, by name: what ``cells`` holds without Yosys' own markers."""
        return {cell: n for cell, n in sorted(self.cells.items()) if not cell.startswith("$")}

    def resources(self) -> Resources:
        """In the terms of the estimates, where a 36 Kbit RAM is two BRAM18."""
        bram18 = self.bram18 + 2 * self.bram36
        return Resources(lut=self.lut, ff=self.ff, lutram=self.lutram, bram18=bram18, uram=self.uram, dsp=self.dsp)

    def as_dict(self) -> dict[str, object]:
        """For JSON, under FINN's names where it has them; ``LUT`` is logic only, ``LUTRAM`` holds ``SRL``."""
        return {
            "LUT": self.lut,
            "LC_estimate": self.lc,
            "LUTRAM": self.lutram,
            "SRL": self.srl,
            "FF": self.ff,
            "BRAM_18K": self.bram18,
            "BRAM_36K": self.bram36,
            "URAM": self.uram,
            "DSP": self.dsp,
            "CARRY": self.carry,
            "primitives": self.primitives,
        }

    @classmethod
    def of_module(cls, module: str, modules: Mapping[str, Mapping]) -> Usage:
        """Count a module and everything below it, from the ``modules`` of Yosys' ``stat -json``."""

        def count(name: str) -> Counter[str]:
            total: Counter[str] = Counter()
            for cell, n in modules[name]["num_cells_by_type"].items():
                if cell in modules:
                    total.update({part: n * m for part, m in count(cell).items()})
                else:
                    total[cell] += n
            return total

        return cls(dict(count(module)), modules[module].get("estimated_num_lc"))
