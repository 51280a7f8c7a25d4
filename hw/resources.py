"""FPGA resources of an operator: its terms, counted by its structure, weighted with fitted factors.

A term is something that an operator has a countable amount of: bits of a popcount, of an accumulator, of counters.
How many LUTs and flip-flops one of it takes was fitted to synthesis by ``bench/resource_fit.py`` and stands in
``resource_factors.json``. Memories follow rules (hw/memories.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from ..errors import BitexpertError

__all__ = ["FACTORS", "Factors", "Resources", "Terms", "bits_for", "read_factors", "weighted", "wrapping_bits"]

#: Kind of operator, with its variant -> "lut" or "ff" -> term -> LUTs or flip-flops that one of it takes.
Factors = Mapping[str, Mapping[str, Mapping[str, float]]]

FACTORS = Path(__file__).with_name("resource_factors.json")


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


@dataclass(frozen=True)
class Terms:
    """What an operator consists of.

    Parameters
    ----------
    lut, ff : mapping of str to float
        Term -> how much there is of it; each has a factor in ``resource_factors.json``. The term ``cell``, one of
        which every operator has, is added.
    rest : Resources
        What needs no factor: LUTRAM, block RAM, DSPs.
    variant : str
        Tells cells of one kind apart that have factors of their own.
    """

    lut: Mapping[str, float] = field(default_factory=dict)
    ff: Mapping[str, float] = field(default_factory=dict)
    rest: Resources = Resources()
    variant: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lut", {"cell": 1, **self.lut})
        object.__setattr__(self, "ff", {"cell": 1, **self.ff})

    def model(self, kind: str) -> str:
        """Under which name the factors of an operator of this kind stand."""
        return f"{kind} {self.variant}".rstrip()


def bits_for(count: int) -> int:
    """Bits that number ``count`` things: 0 for one."""
    return (count - 1).bit_length()


def wrapping_bits(count: int) -> int:
    """Bits of a counter of ``count`` values that has to be compared with the last one: 0 where it wraps by itself."""
    return bits_for(count) if count & (count - 1) else 0


def read_factors(path: Path = FACTORS) -> Factors:
    """The fitted factors.

    Raises
    ------
    BitexpertError
        The file is missing or no JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BitexpertError(f"cannot read the resource model {path}: {error}; install bitexpert again") from None


_FACTORS = read_factors()


def weighted(kind: str, terms: Terms, factors: Factors = _FACTORS) -> Resources:
    """The resources of an operator.

    Parameters
    ----------
    kind : str
        Of the operator.
    terms : Terms
    factors : Factors
        Default: the fitted ones.

    Raises
    ------
    BitexpertError
        A term without a factor.
    """
    model = terms.model(kind)

    def total(resource: str, amounts: Mapping[str, float]) -> float:
        known = factors.get(model, {}).get(resource, {})
        missing = sorted(set(amounts) - set(known))
        if missing:
            raise BitexpertError(
                f"the resource model has no {resource} factor for {missing[0]} of {model}; fit it again with"
                " bench/resource_fit.py"
            )
        return sum(known[name] * amount for name, amount in amounts.items())

    return Resources(lut=total("lut", terms.lut), ff=total("ff", terms.ff)) + terms.rest
