"""The weighted sum of two streams: a residual connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from ...errors import BitexpertError
from ..cells import HlsCall, RtlCell
from ..programs import Program, Step
from ..resources import Resources, Terms, bits_for
from ..timing import Channel, Pipe
from ..types import BIPOLAR, Element, StreamType, int_for
from .base import Folding, Operator, OperatorError, divisors, require

__all__ = ["DSP_BITS", "KINDS", "LARGEST_GAIN", "Add", "product"]

LARGEST_GAIN = 1 << 15
DSP_BITS = 9  # of the narrowest product that Yosys makes a DSP
KINDS = {"bipolar": 0, "uint": 1, "int": 2}  # parameter of the RTL


def product(element: Element, factor: int) -> Resources:
    """LUTs or DSP of a product with a positive constant.

    Yosys makes it a DSP from 9 bits on, and otherwise an adder for each digit of the factor but one, its digits -1, 0
    and 1. (The cells ask for no DSP, which Vivado heeds.)
    """
    if element == BIPOLAR or factor & (factor - 1) == 0:
        return Resources()
    width = element.bits + factor.bit_length() + (element.kind == "int")  # the factor then has a sign, too
    if width >= DSP_BITS and element.bits > 1:
        return Resources(dsp=1)
    adders = (factor ^ 3 * factor).bit_count() - 1  # digits other than 0 of the non-adjacent form, but one
    return Resources(lut=adders * element.bits)


@dataclass(frozen=True, eq=False)
class Add(Operator):
    """``gains[0] * first + gains[1] * second``, element by element; bits count as +1 and -1.

    Parameters
    ----------
    first, second : StreamType
        Of equal shape, not masked.
    gains : tuple of int
        Two factors of -32768..32768, not 0.

    Raises
    ------
    OperatorError
        A masked stream, different shapes, a gain out of range, or sums that no element holds.
    """

    first: StreamType
    second: StreamType
    gains: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        for name, stream in (("first", self.first), ("second", self.second)):
            require(not stream.masked, f"Add: {name} is masked; add the streams before the SlidingWindow")
        shapes = self.first.shape, self.second.shape
        require(shapes[0] == shapes[1], f"Add needs streams of one shape, not {shapes[0]} and {shapes[1]}")
        require(
            len(self.gains) == 2
            and all(isinstance(g, Integral) and 0 < abs(int(g)) <= LARGEST_GAIN for g in self.gains),
            f"Add gains must be 2 integers of -{LARGEST_GAIN}..{LARGEST_GAIN} other than 0, not {self.gains!r}",
        )
        object.__setattr__(self, "gains", tuple(int(g) for g in self.gains))
        try:
            _ = self.element
        except BitexpertError as error:
            low, high = self.range
            raise OperatorError(f"Add: no element holds sums of {low}..{high} ({error}); lower the gains") from None

    @property
    def range(self) -> tuple[int, int]:
        """Least and largest reachable sum."""
        terms = [
            sorted((gain * stream.element.min, gain * stream.element.max))
            for gain, stream in zip(self.gains, self.inputs, strict=True)
        ]
        return terms[0][0] + terms[1][0], terms[0][1] + terms[1][1]

    @property
    def element(self) -> Element:
        """The narrowest element that holds every reachable sum."""
        return int_for(*self.range)

    @property
    def latency(self) -> int:
        """Cycles from a pair of beats to their sum: 2 if a number's gain is not a power of 2, else 1."""
        pairs = zip(self.gains, self.inputs, strict=True)
        return 2 if any(abs(g) & (abs(g) - 1) for g, stream in pairs if stream.element != BIPOLAR) else 1

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.first, self.second)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        return (StreamType(self.element, self.first.shape),)

    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        a, b = (gain * x.astype(np.int64) for gain, x in zip(self.gains, values, strict=True))
        return (a + b,)

    # -- hardware -------------------------------------------------------------------------------
    def foldings(self) -> dict[str, tuple[int, ...]]:
        return {"PE": divisors(self.first.shape[2])}

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (folding["PE"],) * 2, (folding["PE"],)

    def cycles(self, folding: Folding) -> int:
        return self.first.beats(folding["PE"])

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        return [[Step(tuple(ins), Pipe(outs[0], self.latency), count=self.first.beats(folding["PE"]))]]

    def _parameters(self, folding: Folding) -> dict[str, int]:
        a, b = self.first.element, self.second.element
        return {
            "PE": folding["PE"],
            "A_KIND": KINDS[a.kind],
            "A_W": a.bits,
            "A_GAIN": self.gains[0],
            "B_KIND": KINDS[b.kind],
            "B_W": b.bits,
            "B_GAIN": self.gains[1],
            "OUT_W": self.element.bits,
        }

    def terms(self, folding: Folding) -> Terms:
        pe, bits = folding["PE"], self.element.bits
        factors = [(stream.element, abs(gain)) for stream, gain in zip(self.inputs, self.gains, strict=True)]
        products = [product(x, factor) for x, factor in factors]
        registers = sum(
            x.bits + bits_for(factor)
            for (x, factor), p in zip(factors, products, strict=True)
            if x != BIPOLAR and not p.dsp
        )
        pairs = all(stream.element == BIPOLAR for stream in self.inputs)  # a sum has three values
        return Terms(
            lut={
                "sum bits": 0 if pairs else pe * bits,
                "negated sum bits": 0 if pairs or max(self.gains) > 0 else pe * bits,
                "sums of bits": pe if pairs else 0,
                "product bits": pe * sum(p.lut for p in products),
            },
            ff={"sum bits": pe * bits, "product bits": pe * registers if self.latency > 1 else 0},
            rest=Resources(dsp=pe * sum(p.dsp for p in products)),
        )

    def rtl(self, folding: Folding) -> RtlCell:
        return RtlCell("bx_add", self._parameters(folding), inputs=("s0_axis", "s1_axis"))

    def hls(self, folding: Folding) -> HlsCall:
        beats = self.first.beats(folding["PE"])
        # a beat of room more than in RTL, where a Fork gives one copy of a beat away while the other waits
        return HlsCall("add.hpp", "add", (*self._parameters(folding).values(), beats), extra_input_depth=(1, 1))
