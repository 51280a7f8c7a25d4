"""Maximum or sum over the taps of windows, which may overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cells import HlsCall, RtlCell
from ..memories import line
from ..programs import Program, Repeat, Step
from ..resources import Resources, Terms, bits_for
from ..timing import Channel, Pipe
from ..types import Element, StreamType, int_for
from .base import Folding, Operator, divisors, require

__all__ = ["WindowPool"]


@dataclass(frozen=True, eq=False)
class WindowPool(Operator):
    """One result a channel for each window of a SlidingWindow with ``groups`` 1.

    The maximum of bits is OR. The sum of bits counts +1 and -1; an average is the sum, its factor 1/taps belongs to
    what stands behind it. Padded taps of a masked stream add 0 to a sum and are left out of a maximum; the maximum
    of a window that is nothing but padding is -1. Padding of other streams counts as the value that it has.

    Parameters
    ----------
    stream : StreamType
        Windows, shape (OH, OW, taps * C), tap-major; maybe masked.
    taps : int
        Pixels of a window, at least 1; divides the channels of ``stream``.
    mode : {"max", "sum"}
        A maximum keeps the element; a sum has the narrowest integer that holds ``taps`` times every value.

    Raises
    ------
    OperatorError
        An attribute out of range.
    BitexpertError
        Sums wider than any element.
    """

    stream: StreamType
    taps: int
    mode: str = "max"

    def __post_init__(self) -> None:
        require(self.mode in ("max", "sum"), f"WindowPool mode must be max or sum, not {self.mode!r}")
        channels = self.stream.shape[2]
        require(
            self.taps in divisors(channels),
            f"WindowPool taps={self.taps!r} must be an integer that divides the {channels} channels of the windows",
        )
        object.__setattr__(self, "taps", int(self.taps))
        _ = self.element  # refuses sums that no element holds

    @property
    def channels(self) -> int:
        """Channels of a tap, and of the result."""
        return self.stream.shape[2] // self.taps

    @property
    def element(self) -> Element:
        """Type of a result."""
        x = self.stream.element
        return x if self.mode == "max" else int_for(self.taps * x.min, self.taps * x.max)

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.stream,)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        return (StreamType(self.element, (*self.stream.shape[:2], self.channels)),)

    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        windows = values[0].reshape(*values[0].shape[:3], self.taps, self.channels)
        if self.mode == "sum":
            return (windows.sum(axis=3, dtype=np.int64),)
        largest = windows.max(axis=3)
        # a 0 is padding, with no +1 beside it
        return (np.where(largest > 0, 1, -1) if self.stream.masked else largest,)

    # -- hardware -------------------------------------------------------------------------------
    def foldings(self) -> dict[str, tuple[int, ...]]:
        return {"PE": divisors(self.channels)}

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (folding["PE"],), (folding["PE"],)

    def cycles(self, folding: Folding) -> int:
        return self.stream.beats(folding["PE"])

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        height, width, _ = self.stream.shape
        words = self.channels // folding["PE"]
        pipe = Pipe(outs[0], 1)
        takes = (Step((ins[0],), pipe, False, (self.taps - 1) * words), Step((ins[0],), pipe, count=words))
        return [[Repeat(height * width, takes)]]

    def _parameters(self, folding: Folding) -> dict[str, int]:
        return {
            "PE": folding["PE"],
            "IN_W": self.stream.element.bits,
            "OUT_W": self.element.bits,
            "WORDS": self.channels // folding["PE"],
            "TAPS": self.taps,
            "SUM": int(self.mode == "sum"),
            "BIPOLAR": int(self.stream.element.kind == "bipolar"),
            "SIGNED": int(self.stream.element.kind == "int"),
            "MASKED": int(self.stream.masked),
        }

    def terms(self, folding: Folding) -> Terms:
        pe, bits = folding["PE"], self.element.bits
        words = self.channels // pe
        depth = words if self.taps > 1 else 0
        counters = bits_for(words) + bits_for(self.taps)
        results = line(depth, pe * bits) if depth else Resources()
        # OR and add take a LUT a bit with the choice of the first tap; a maximum compares and then chooses
        compared = self.mode == "max" and bits > 1
        return Terms(
            lut={
                "compared bits": pe * bits if compared else 0,
                "combined bits": 0 if compared else pe * bits,
                "results so far": results.lut,
                "counter bits": counters,
            },
            ff={"bits": pe * bits, "results so far": results.ff, "counter bits": counters},
            rest=Resources(lutram=results.lutram),
        )

    def rtl(self, folding: Folding) -> RtlCell:
        return RtlCell("bx_window_pool", self._parameters(folding))

    def hls(self, folding: Folding) -> HlsCall:
        pixels = self.stream.shape[0] * self.stream.shape[1]
        return HlsCall("window_pool.hpp", "window_pool", (*self._parameters(folding).values(), pixels))
