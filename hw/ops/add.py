"""The weighted sum of two streams: a residual connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from ...errors import BitexpertError
from ..cells import HlsCall, RtlCell
from ..resources import Resources
from ..timing import Channel, Pipe, Process
from ..types import BIPOLAR, Element, StreamType, int_for
from .base import Folding, Operator, OperatorError, divisors, require

__all__ = ["KINDS", "LARGEST_GAIN", "Add", "product"]

LARGEST_GAIN = 1 << 15
KINDS = {"bipolar": 0, "uint": 1, "int": 2}  # parameter of the RTL


def product(element: Element, gain: int) -> Resources:
    """A product with a constant and its register: an adder for each digit of the gain but one, its digits -1, 0, 1."""
    if element == BIPOLAR:
        return Resources(ff=1)
    factor = abs(gain)
    adders = (factor ^ 3 * factor).bit_count() - 1  # digits other than 0 of the non-adjacent form, but one
    return Resources(lut=adders * element.bits, ff=element.bits + (factor - 1).bit_length())


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

    def processes(
        self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel], frames: int
    ) -> list[Process]:
        pipe = Pipe(outs[0], self.latency)

        def fire() -> Process:
            cycle = -1
            for _ in range(frames * self.first.beats(folding["PE"])):
                cycle += 1
                for source in ins:  # both beats go in the same cycle, so each waits for the other
                    while (arrival := source.available()) is None:
                        yield source
                    cycle = max(cycle, arrival)
                while (free := pipe.settle(cycle)) is None:
                    yield outs[0]
                cycle = free
                for source in ins:
                    source.read(cycle)
                pipe.push(cycle)

        return [fire()]

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

    def resources(self, folding: Folding) -> Resources:
        """Estimate: an adder and the products; LUTs within 35 %, FFs within 5 % of Yosys 0.70 at PE 8."""
        adders = 2 if max(self.gains) < 0 else 1  # two negated terms take one more
        total = Resources(lut=4, ff=self.latency)
        for _ in range(folding["PE"]):
            total += Resources(lut=adders * self.element.bits, ff=self.element.bits)
            if self.latency > 1:
                total += product(self.first.element, self.gains[0]) + product(self.second.element, self.gains[1])
        return total

    def rtl(self, folding: Folding) -> RtlCell:
        return RtlCell("bx_add", self._parameters(folding), inputs=("s0_axis", "s1_axis"))

    def hls(self, folding: Folding) -> HlsCall:
        beats = self.first.beats(folding["PE"])
        # a beat of room more than in RTL, where a Fork gives one copy of a beat away while the other waits
        return HlsCall("add.hpp", "add", (*self._parameters(folding).values(), beats), extra_input_depth=(1, 1))
