"""Integers to signs or to few levels by thresholds for each channel; several sets make copies of a channel (ES)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike

from ..cells import HlsCall, Memory, RtlCell, pack_words
from ..memories import cell_rom, ram, rom_terms
from ..programs import Arrived, Program, Read, Repeat, Step, fill
from ..resources import Resources, Terms, bits_for
from ..timing import Channel, Pipe
from ..types import BIPOLAR, Element, StreamType, int_for
from .base import Folding, Operator, divisors, require

__all__ = ["Threshold", "sign_threshold"]

LARGEST = 255  # thresholds a channel: the files of the RTL cell go up to 8 bits
LARGEST_OFFSET = 1 << 30  # an int parameter holds it


def sign_threshold(scale: ArrayLike, bias: ArrayLike, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """The integer thresholds that equal ``sign(scale * acc + bias)``, with sign(0) = +1.

    Computed in exact rational arithmetic: a float is the number that it stores. s > 0: +1 iff
    acc >= ceil(-b/s); s < 0: +1 iff acc <= floor(-b/s); s == 0: the constant sign(b).

    Parameters
    ----------
    scale, bias : array_like of float, int or Fraction, same shape
        One affine function a channel.
    low, high : int
        Least and largest reachable accumulator.

    Returns
    -------
    thresholds : ndarray of int64, shape of ``scale``
        Clipped to ``low .. high + 1``.
    negate : ndarray of bool, shape of ``scale``
        The sign is +1 iff ``(acc >= threshold) != negate``.

    Raises
    ------
    OperatorError
        Shapes differ, low > high, or a number is not finite.
    """
    s, b = np.asarray(scale), np.asarray(bias)
    require(s.shape == b.shape, f"scale and bias must have the same shape, not {s.shape} and {b.shape}")
    require(low <= high, f"the reachable range {low}..{high} is empty")
    thresholds, negate = [], []
    for index, (slope, offset) in enumerate(zip(s.ravel().tolist(), b.ravel().tolist(), strict=True)):
        finite = math.isfinite(slope) and math.isfinite(offset)
        require(finite, f"scale and bias must be finite; channel {index} has {slope} and {offset}")
        slope, offset = Fraction(slope), Fraction(offset)
        if slope > 0:
            threshold = math.ceil(-offset / slope)
        elif slope < 0:
            threshold = math.floor(-offset / slope) + 1
        else:
            threshold = low if offset >= 0 else high + 1
        thresholds.append(min(max(threshold, low), high + 1))
        negate.append(slope < 0)
    return np.array(thresholds, dtype=np.int64).reshape(s.shape), np.array(negate, dtype=bool).reshape(s.shape)


@dataclass(frozen=True, eq=False)
class Threshold(Operator):
    """Output channel ``r*m + a`` tells how many of the L thresholds of copy r of channel a are reached.

    ``count`` is the number of l with ``x[a] >= thresholds[r, a, l]``, ``value`` is ``L - count`` where ``negate[r, a]``
    and else ``count``. The output is ``2*value - 1`` if ``out`` is bipolar, else ``offset + value``.

    Parameters
    ----------
    stream : StreamType
        Integers, shape (H, W, m).
    thresholds : ndarray of int64, shape (R, m, L) or (R, m)
        Ascending along L, which is 1..255; two dimensions are taken as L = 1. Kept with three dimensions and clipped
        to the element's min .. max + 1, which changes no output.
    negate : ndarray of bool, shape (R, m)
    out : Element
        Bipolar (L = 1 only) or an element that holds offset .. offset + L.
    offset : int
        The output where no value is above zero; 0 for bipolar.

    Raises
    ------
    OperatorError
        Bipolar stream, wrong shapes or dtypes, thresholds that fall, or an ``out`` that cannot hold the values.

    Notes
    -----
    R > 1 is the binarization of Expanding-and-Shrinking (arXiv:2503.23709): a pixel's accumulators are held
    in a two-pixel buffer and replayed against R sets of thresholds. Copy r of channel a is channel r*m + a, as
    torch's ``repeat`` orders them.

    The hardware finds the value by binary search, a stage for each of its bits, as FINN's thresholding does. The L
    thresholds are filled up to 2^bits - 1 with some that are always or never reached, so that a falling channel is
    the same search with its bits inverted.
    """

    stream: StreamType
    thresholds: np.ndarray
    negate: np.ndarray
    out: Element = BIPOLAR
    offset: int = 0

    def __post_init__(self) -> None:
        require(self.stream.element != BIPOLAR, "Threshold takes integers, not a bipolar stream")
        t, n, m = np.asarray(self.thresholds), np.asarray(self.negate), self.stream.shape[2]
        require(
            t.ndim in (2, 3) and t.shape[0] >= 1 and t.shape[1] == m,
            f"Threshold thresholds must have shape (copies, {m}) or (copies, {m}, levels), not {t.shape}",
        )
        require(np.issubdtype(t.dtype, np.integer), f"Threshold thresholds must be integers, not {t.dtype}")
        t = t.reshape(*t.shape[:2], -1).astype(np.int64)
        levels = t.shape[2]
        require(1 <= levels <= LARGEST, f"Threshold takes 1 to {LARGEST} thresholds a channel, not {levels}")
        require(
            n.shape == t.shape[:2],
            f"Threshold negate must have shape {t.shape[:2]} like the thresholds' copies and channels, not {n.shape}",
        )
        require(n.dtype == np.bool_, f"Threshold negate must be bool, not {n.dtype}")
        falls = np.argwhere(t[..., 1:] < t[..., :-1])
        if len(falls):
            copy, channel, _ = falls[0]
            require(False, f"Threshold thresholds must ascend; copy {copy} of channel {channel} does not: sort them")
        self._check_out(levels)
        object.__setattr__(self, "thresholds", np.clip(t, self.stream.element.min, self.stream.element.max + 1))
        object.__setattr__(self, "negate", n)
        object.__setattr__(self, "offset", int(self.offset))

    def _check_out(self, levels: int) -> None:
        require(
            isinstance(self.offset, Integral) and abs(int(self.offset)) <= LARGEST_OFFSET,
            f"Threshold offset must be an integer of -2^30..2^30, not {self.offset!r}",
        )
        if self.out == BIPOLAR:
            require(
                levels == 1 and self.offset == 0,
                f"a bipolar Threshold has one threshold a channel and offset 0, not {levels} and {self.offset}; "
                "give it an integer `out`",
            )
            return
        low, high = int(self.offset), int(self.offset) + levels
        require(
            self.out.min <= low and high <= self.out.max,
            f"Threshold out={self.out} does not hold its values {low}..{high}; use {int_for(low, high)}",
        )

    @property
    def copies(self) -> int:
        """Sets of thresholds (R)."""
        return int(self.thresholds.shape[0])

    @property
    def levels(self) -> int:
        """Thresholds of a copy of a channel (L): the output has L + 1 values."""
        return int(self.thresholds.shape[2])

    @property
    def channels(self) -> int:
        """Input channels (m)."""
        return self.stream.shape[2]

    @property
    def pixels(self) -> int:
        """Pixels of a frame."""
        return self.stream.shape[0] * self.stream.shape[1]

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.stream,)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        h, w, m = self.stream.shape
        return (StreamType(self.out, (h, w, self.copies * m)),)

    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        x = values[0]
        value = np.zeros((*x.shape[:3], *self.negate.shape), dtype=np.int64)
        for level in range(self.levels):
            value += x[..., None, :] >= self.thresholds[..., level]
        np.copyto(value, self.levels - value, where=self.negate)
        result = 2 * value - 1 if self.out == BIPOLAR else value + self.offset
        return (result.reshape(*x.shape[:3], -1),)

    # -- folding --------------------------------------------------------------------------------
    def foldings(self) -> dict[str, tuple[int, ...]]:
        return {"PE": divisors(self.channels)}

    def _beats(self, folding: Folding) -> int:
        """Input beats of a pixel."""
        return self.channels // folding["PE"]

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (folding["PE"],), (folding["PE"],)

    def cycles(self, folding: Folding) -> int:
        return self.pixels * self.copies * self._beats(folding)

    @property
    def bits(self) -> int:
        """Stages of the binary search: bits of L."""
        return self.levels.bit_length()

    @property
    def latency(self) -> int:
        """Cycles from a beat to its output beat: threshold memory and comparison, for each stage."""
        return 2 * self.bits

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        pixels, beats, pipe = self.pixels, self._beats(folding), Pipe(outs[0], self.latency)
        if self.copies == 1:
            return [[Step((ins[0],), pipe, count=pixels * beats)]]
        held = Channel("held", 2)  # the buffer, counted in pixels
        replay = Repeat(pixels, (Arrived(held), Step((), pipe, count=self.copies * beats), Read(held)))
        return [fill(ins[0], held, beats, pixels), [replay]]

    # -- hardware -------------------------------------------------------------------------------
    def terms(self, folding: Folding) -> Terms:
        pe, beats, bits = folding["PE"], self._beats(folding), self.stream.element.bits
        words = self.copies * beats
        first, lanes = cell_rom(words, pe * (bits + 1)), Resources()
        lane_luts = rom_terms(1, 0, "lane ROM")
        for stage in range(1, self.bits):
            lane = cell_rom(words << stage, bits + 1)
            lanes += Resources(ff=pe * lane.ff, bram18=pe * lane.bram18)
            more = rom_terms(words << stage, pe * lane.lut, "lane ROM")
            lane_luts = {name: luts + more[name] for name, luts in lane_luts.items()}
        values, pointers = Resources(ff=pe * bits), 0
        if self.copies > 1:
            values, pointers = ram(2 * beats, pe * bits), 2 * bits_for(2 * beats) + 3
        place, later = bits_for(words), self.bits - 1
        return Terms(
            lut={
                "compared pairs": pe * self.bits * ((bits + 1) // 2),
                **rom_terms(words, first.lut),
                **lane_luts,
                "buffer": values.lut,
                "pointer bits": pointers,
                "place bits": place,
                "offset bits": pe * self.out.bits if self.offset != self._lead else 0,
            },
            ff={
                "bits": pe * self.out.bits,
                "values": values.ff + 2 * later * pe * bits,
                "first ROM": first.ff,
                "lane ROMs": lanes.ff,
                "found bits": pe * later * self.bits,
                "pointer bits": pointers,
                "place bits": place * (2 * later + 1) + 2 * self.bits,
            },
            rest=Resources(lutram=values.lutram, bram18=values.bram18 + first.bram18 + lanes.bram18),
        )

    @property
    def _lead(self) -> int:
        """Values that the search starts above zero, so that what is added behind it has the most trailing zeros."""
        spare = (1 << self.bits) - 1 - self.levels

        def zeros(lead: int) -> float:
            rest = self.offset - lead
            return rest & -rest or np.inf

        return max(range(spare + 1), key=zeros)

    def _stage_fields(self, folding: Folding) -> list[np.ndarray]:
        """Of every stage, {flip, threshold} of shape (copy*BEATS + beat joined with the bits found, PE)."""
        element, full, negate = self.stream.element, (1 << self.bits) - 1, self.negate[..., None]
        # thresholds in front are always, those behind never reached; a falling channel swaps them
        front = np.where(negate, full - self.levels - self._lead, self._lead)
        column = np.arange(full) - front
        filled = np.take_along_axis(self.thresholds, np.clip(column, 0, self.levels - 1), axis=2)
        filled = np.where(column < 0, element.min, np.where(column < self.levels, filled, element.max + 1))
        # max + 1 does not fit the field: never is not-always
        never = filled > element.max
        fields = np.where(never, element.min, filled) & ((1 << element.bits) - 1)
        fields |= (negate != never).astype(np.int64) << element.bits
        stages = []
        for stage in range(self.bits):
            found = np.arange(1 << stage)
            reached = np.where(negate, found[::-1], found)  # a falling channel's bits are inverted
            place = (2 * reached + 1) * (1 << (self.bits - 1 - stage)) - 1
            chosen = np.take_along_axis(fields, place, axis=2).reshape(-1, folding["PE"], 1 << stage)
            stages.append(chosen.transpose(0, 2, 1).reshape(-1, folding["PE"]))
        return stages

    def rtl(self, folding: Folding) -> RtlCell:
        element = self.stream.element
        parameters = {
            "PE": folding["PE"],
            "BEATS": self._beats(folding),
            "COPIES": self.copies,
            "ACC_W": element.bits,
            "SIGNED": int(element.kind == "int"),
            "BITS": self.bits,
            "OUT_W": self.out.bits,
            "OFFSET": self.offset - self._lead,
        }
        width = element.bits + 1
        memories = {
            "THRESHOLDS" + (f"_{stage}" if stage else ""): Memory(folding["PE"] * width, pack_words(fields, width))
            for stage, fields in enumerate(self._stage_fields(folding))
        }
        submodules = ("bx_rom", "bx_lut_rom", "bx_at_least", *(("bx_lane_rom",) if self.bits > 1 else ()))
        return RtlCell("bx_threshold", parameters, memories, submodules=submodules)

    def hls(self, folding: Folding) -> HlsCall:
        element, beats = self.stream.element, self._beats(folding)
        sizes = (folding["PE"], beats, self.copies, self.pixels)
        types = (element.bits, int(element.kind == "int"), self.out.bits, self.offset - self._lead)
        width = element.bits + 1
        # a lane a word, so that no ap_uint gets wider than the tools allow
        tables = {
            f"thresholds_{stage}": Memory(width, pack_words(fields.reshape(-1, 1), width))
            for stage, fields in enumerate(self._stage_fields(folding))
        }
        # the function reads nothing while it replays: the next pixel waits in the stream
        return HlsCall("threshold.hpp", "threshold", (*sizes, *types), tables, (beats,) if self.copies > 1 else ())
