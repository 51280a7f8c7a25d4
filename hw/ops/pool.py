"""Maximum or sum over the pixels of tiles that do not overlap."""

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

__all__ = ["Pool"]


@dataclass(frozen=True, eq=False)
class Pool(Operator):
    """One result a channel for each kernel-sized tile of the frame; the stride is the kernel.

    Rows and columns that fill no whole tile are left out, as in ONNX MaxPool and AveragePool with
    ``ceil_mode`` 0. The maximum of bits is OR. The sum of bits counts +1 and -1; an average is the sum, its
    factor 1/(kh*kw) belongs to the thresholds behind it.

    Parameters
    ----------
    stream : StreamType
        Not masked.
    kernel : tuple of int
        (rows, columns), at least 1 and at most the frame's.
    mode : {"max", "sum"}
        A maximum keeps the element; a sum has the narrowest integer that holds every sum.

    Raises
    ------
    OperatorError
        An attribute out of range.
    """

    stream: StreamType
    kernel: tuple[int, int]
    mode: str = "max"

    def __post_init__(self) -> None:
        require(not self.stream.masked, "Pool takes no masked stream; it belongs before the SlidingWindow")
        require(self.mode in ("max", "sum"), f"Pool mode must be max or sum, not {self.mode!r}")
        require(
            len(self.kernel) == 2 and all(int(k) == k and k >= 1 for k in self.kernel),
            f"Pool kernel must be 2 integers of at least 1, not {self.kernel!r}",
        )
        object.__setattr__(self, "kernel", tuple(int(k) for k in self.kernel))
        (h, w, _), (kh, kw) = self.stream.shape, self.kernel
        require(kh <= h and kw <= w, f"Pool: a kernel of {kh}x{kw} does not fit a frame of {h}x{w}")
        _ = self.element  # refuses sums that no element holds

    @property
    def element(self) -> Element:
        """Type of a result."""
        x, taps = self.stream.element, self.kernel[0] * self.kernel[1]
        return x if self.mode == "max" else int_for(taps * x.min, taps * x.max)

    @property
    def out_size(self) -> tuple[int, int]:
        """(OH, OW)."""
        return self.stream.shape[0] // self.kernel[0], self.stream.shape[1] // self.kernel[1]

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.stream,)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        return (StreamType(self.element, (*self.out_size, self.stream.shape[2])),)

    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        (x,), (kh, kw), (oh, ow) = values, self.kernel, self.out_size
        tiles = x[:, : oh * kh, : ow * kw].reshape(len(x), oh, kh, ow, kw, -1)
        if self.mode == "max":
            return (tiles.max(axis=(2, 4)),)
        return (tiles.sum(axis=(2, 4), dtype=np.int64),)

    # -- hardware -------------------------------------------------------------------------------
    def foldings(self) -> dict[str, tuple[int, ...]]:
        return {"PE": divisors(self.stream.shape[2])}

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (folding["PE"],), (folding["PE"],)

    def cycles(self, folding: Folding) -> int:
        return self.stream.beats(folding["PE"])

    def needed(self, port: int = 0) -> np.ndarray:
        (kh, kw), (oh, ow) = self.kernel, self.out_size
        rows, columns = np.arange(1, oh + 1) * kh - 1, np.arange(1, ow + 1) * kw - 1
        return (rows[:, None] * self.stream.shape[1] + columns).ravel()

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        (height, width, channels), (kh, kw), (oh, ow) = self.stream.shape, self.kernel, self.out_size
        words = channels // folding["PE"]
        takes, pipe = (ins[0],), Pipe(outs[0], 1)

        def silent(pixels: int) -> Step:
            return Step(takes, pipe, False, pixels * words)

        window = Repeat(ow, (silent(kw - 1), Step(takes, pipe, count=words)))  # in the last of its rows
        windows = Repeat(oh, (silent((kh - 1) * width), window, silent(width - ow * kw)))
        return [[windows, silent((height - oh * kh) * width)]]

    def _parameters(self, folding: Folding) -> dict[str, int]:
        height, width, channels = self.stream.shape
        return {
            "PE": folding["PE"],
            "IN_W": self.stream.element.bits,
            "OUT_W": self.element.bits,
            "HEIGHT": height,
            "WIDTH": width,
            "WORDS": channels // folding["PE"],
            "KH": self.kernel[0],
            "KW": self.kernel[1],
            "SUM": int(self.mode == "sum"),
            "BIPOLAR": int(self.stream.element.kind == "bipolar"),
            "SIGNED": int(self.stream.element.kind == "int"),
        }

    def terms(self, folding: Folding) -> Terms:
        pe, bits = folding["PE"], self.element.bits
        words, (kh, kw) = self.stream.shape[2] // pe, self.kernel
        depth = words * (self.out_size[1] if kh > 1 else 1) if kh * kw > 1 else 0
        positions = (words, kh, kw, *self.stream.shape[:2], max(depth, 1))
        counters = sum(bits_for(n) for n in positions)
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
        return RtlCell("bx_pool", self._parameters(folding))

    def hls(self, folding: Folding) -> HlsCall:
        return HlsCall("pool.hpp", "pool", tuple(self._parameters(folding).values()))
