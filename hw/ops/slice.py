"""Some of the channels of a stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from ..cells import HlsCall, RtlCell
from ..programs import Program, Repeat, Step
from ..resources import Terms, bits_for
from ..timing import Channel, Pipe
from ..types import StreamType
from .base import Folding, Operator, divisors, require

__all__ = ["Slice"]


@dataclass(frozen=True, eq=False)
class Slice(Operator):
    """Channels ``start .. stop - 1`` of every pixel; the others are dropped.

    Parameters
    ----------
    stream : StreamType
        Not masked.
    start, stop : int
        ``0 <= start < stop <= C``.

    Raises
    ------
    OperatorError
        A masked stream, or a range that is not inside the channels.
    """

    stream: StreamType
    start: int
    stop: int

    def __post_init__(self) -> None:
        require(not self.stream.masked, "Slice takes no masked stream; it belongs before the SlidingWindow")
        channels = self.stream.shape[2]
        require(
            isinstance(self.start, Integral)
            and isinstance(self.stop, Integral)
            and 0 <= self.start < self.stop <= channels,
            f"Slice: channels {self.start}..{self.stop} (end left out) are not a range within 0..{channels}",
        )
        object.__setattr__(self, "start", int(self.start))
        object.__setattr__(self, "stop", int(self.stop))

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.stream,)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        h, w, _ = self.stream.shape
        return (StreamType(self.stream.element, (h, w, self.stop - self.start)),)

    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        return (values[0][..., self.start : self.stop],)

    # -- hardware -------------------------------------------------------------------------------
    def foldings(self) -> dict[str, tuple[int, ...]]:
        return {"PE": divisors(math.gcd(self.stream.shape[2], self.start, self.stop))}

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (folding["PE"],), (folding["PE"],)

    def cycles(self, folding: Folding) -> int:
        return self.stream.beats(folding["PE"])

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        (h, w, channels), pe = self.stream.shape, folding["PE"]
        takes, pipe = (ins[0],), Pipe(outs[0], 1)
        parts = (self.start, False), (self.stop - self.start, True), (channels - self.stop, False)
        return [[Repeat(h * w, tuple(Step(takes, pipe, produces, part // pe) for part, produces in parts))]]

    def _parameters(self, folding: Folding) -> dict[str, int]:
        pe = folding["PE"]
        return {
            "W": self.stream.beat_bits(pe),
            "BEATS": self.stream.shape[2] // pe,
            "START": self.start // pe,
            "STOP": self.stop // pe,
        }

    def terms(self, folding: Folding) -> Terms:
        bits, counter = self.stream.beat_bits(folding["PE"]), bits_for(self.stream.shape[2] // folding["PE"])
        return Terms(lut={"counter bits": counter}, ff={"bits": bits, "counter bits": counter})

    def rtl(self, folding: Folding) -> RtlCell:
        return RtlCell("bx_slice", self._parameters(folding))

    def hls(self, folding: Folding) -> HlsCall:
        pixels = self.stream.shape[0] * self.stream.shape[1]
        return HlsCall("slice.hpp", "slice", (*self._parameters(folding).values(), pixels))
