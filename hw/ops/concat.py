"""Joins the channels of two streams."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import BitexpertError
from ..cells import HlsCall, RtlCell
from ..programs import Program, Repeat, Step
from ..resources import Terms, bits_for
from ..timing import Channel, Pipe
from ..types import Element, StreamType, int_for
from .base import Folding, Operator, OperatorError, divisors, require

__all__ = ["Concat"]

_KINDS = {"bipolar": 0, "uint": 1, "int": 2}


@dataclass(frozen=True, eq=False)
class Concat(Operator):
    """Of every pixel the channels of ``first``, then those of ``second``.

    Equal elements stay as they are. Different ones become the narrowest integer that holds both; bits count as
    +1 and -1.

    Parameters
    ----------
    first, second : StreamType
        Of equal height and width, not masked.

    Raises
    ------
    OperatorError
        A masked stream, frames of different size, or elements that no common one holds.
    """

    first: StreamType
    second: StreamType

    def __post_init__(self) -> None:
        for name, stream in (("first", self.first), ("second", self.second)):
            require(not stream.masked, f"Concat: {name} is masked; join the streams before the SlidingWindow")
        a, b = (f"{h}x{w}" for h, w, _ in (self.first.shape, self.second.shape))
        require(a == b, f"Concat joins frames of equal height and width, not {a} pixels with {b}")
        try:
            _ = self.element
        except BitexpertError as error:
            kinds = f"{self.first.element} and {self.second.element}"
            raise OperatorError(f"Concat finds no element that holds {kinds} ({error}); narrow one of them") from None

    @property
    def element(self) -> Element:
        """Type of an output element."""
        a, b = self.first.element, self.second.element
        return a if a == b else int_for(min(a.min, b.min), max(a.max, b.max))

    @property
    def pixels(self) -> int:
        """Pixels of a frame."""
        return self.first.shape[0] * self.first.shape[1]

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.first, self.second)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        h, w, channels = self.first.shape
        return (StreamType(self.element, (h, w, channels + self.second.shape[2])),)

    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        return (np.concatenate(values, axis=3, dtype=np.int64),)

    # -- hardware -------------------------------------------------------------------------------
    def foldings(self) -> dict[str, tuple[int, ...]]:
        return {"PE": divisors(math.gcd(self.first.shape[2], self.second.shape[2]))}

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (folding["PE"],) * 2, (folding["PE"],)

    def _turns(self, folding: Folding) -> tuple[int, int]:
        """Beats of a pixel of each input."""
        return self.first.shape[2] // folding["PE"], self.second.shape[2] // folding["PE"]

    def cycles(self, folding: Folding) -> int:
        return self.outputs[0].beats(folding["PE"])

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        pipe = Pipe(outs[0], 1)
        turns = zip(ins, self._turns(folding), strict=True)
        return [[Repeat(self.pixels, tuple(Step((source,), pipe, count=beats) for source, beats in turns))]]

    def _parameters(self, folding: Folding) -> dict[str, int]:
        turns = self._turns(folding)
        return {
            "PE": folding["PE"],
            "FIRST_KIND": _KINDS[self.first.element.kind],
            "FIRST_W": self.first.element.bits,
            "FIRST_BEATS": turns[0],
            "SECOND_KIND": _KINDS[self.second.element.kind],
            "SECOND_W": self.second.element.bits,
            "SECOND_BEATS": turns[1],
            "OUT_W": self.element.bits,
        }

    def terms(self, folding: Folding) -> Terms:
        pe, streams = folding["PE"], (self.first.element, self.second.element)
        counter = bits_for(sum(self._turns(folding)))
        # the upper bits are a sign on both sides, or 0 on one
        bits = pe * min(self.element.bits, max(x.bits for x in streams) + 1)
        return Terms(
            lut={"chosen bits": bits, "counter bits": counter},
            ff={"bits": pe * self.element.bits, "counter bits": counter},
        )

    def rtl(self, folding: Folding) -> RtlCell:
        return RtlCell("bx_concat", self._parameters(folding), inputs=("s0_axis", "s1_axis"))

    def hls(self, folding: Folding) -> HlsCall:
        arguments = (*self._parameters(folding).values(), self.pixels)
        # a beat of room more than in RTL, where a Fork gives one copy of a beat away while the other waits
        return HlsCall("concat.hpp", "concat", arguments, extra_input_depth=(1, 1))
