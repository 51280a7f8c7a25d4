"""Integers to signs by a threshold for each channel; several thresholds make copies of a channel (ES)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from ..cells import HlsCall, Memory, RtlCell, pack_words
from ..resources import Resources, memory
from ..timing import Channel, Pipe, Process, fill, pipeline
from ..types import BIPOLAR, StreamType
from .base import Folding, Operator, divisors, require

__all__ = ["Threshold", "sign_threshold"]

LATENCY = 2  # threshold memory, comparison


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
    """Output channel ``r*m + a`` is +1 iff ``(x[a] >= thresholds[r, a]) != negate[r, a]``.

    Parameters
    ----------
    stream : StreamType
        Integers, shape (H, W, m).
    thresholds : ndarray of int64, shape (R, m)
        Clipped to the element's min .. max + 1, which changes no output.
    negate : ndarray of bool, shape (R, m)

    Raises
    ------
    OperatorError
        Bipolar stream, wrong shapes or dtypes.

    Notes
    -----
    R > 1 is the binarization of Expanding-and-Shrinking (arXiv:2503.23709): a pixel's accumulators are held
    in a two-pixel buffer and replayed against R sets of thresholds. Copy r of channel a is channel r*m + a, as
    torch's ``repeat`` orders them.
    """

    stream: StreamType
    thresholds: np.ndarray
    negate: np.ndarray

    def __post_init__(self) -> None:
        require(self.stream.element != BIPOLAR, "Threshold takes integers, not a bipolar stream")
        t, n, m = np.asarray(self.thresholds), np.asarray(self.negate), self.stream.shape[2]
        require(
            t.ndim == 2 and t.shape[0] >= 1 and t.shape[1] == m,
            f"Threshold thresholds must have shape (copies, {m}), not {t.shape}",
        )
        require(np.issubdtype(t.dtype, np.integer), f"Threshold thresholds must be integers, not {t.dtype}")
        require(n.shape == t.shape, f"Threshold negate must have shape {t.shape} like the thresholds, not {n.shape}")
        require(n.dtype == np.bool_, f"Threshold negate must be bool, not {n.dtype}")
        clipped = np.clip(t.astype(np.int64), self.stream.element.min, self.stream.element.max + 1)
        object.__setattr__(self, "thresholds", clipped)
        object.__setattr__(self, "negate", n)

    @property
    def copies(self) -> int:
        """Thresholds a channel (R)."""
        return int(self.thresholds.shape[0])

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
        return (StreamType(BIPOLAR, (h, w, self.copies * m)),)

    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        x = values[0]
        plus = (x[..., None, :] >= self.thresholds) != self.negate
        return (np.where(plus, 1, -1).reshape(*x.shape[:3], -1),)

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

    def processes(
        self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel], frames: int
    ) -> list[Process]:
        pixels, beats = self.pixels, self._beats(folding)
        if self.copies == 1:
            return pipeline(ins[0], outs[0], lambda: [(True, True)] * (pixels * beats), LATENCY, frames)
        held = Channel("held", 2)  # the buffer, counted in pixels
        pipe = Pipe(outs[0], LATENCY)

        def replay() -> Process:
            cycle = -1
            for _ in range(frames * pixels):
                while (arrival := held.available()) is None:
                    yield held
                cycle = max(cycle, arrival - 1)
                for _ in range(self.copies * beats):
                    while (free := pipe.settle(cycle + 1)) is None:
                        yield outs[0]
                    cycle = free
                    pipe.push(cycle)
                held.read(cycle)

        return [fill(ins[0], held, beats, frames * pixels), replay(), pipe.drain()]

    # -- hardware -------------------------------------------------------------------------------
    def resources(self, folding: Folding) -> Resources:
        """Estimate: a carry-chain comparison a lane, the memories, counters."""
        pe, beats, bits = folding["PE"], self._beats(folding), self.stream.element.bits
        words = self.copies * beats
        counter = words.bit_length()
        logic = Resources(lut=pe * (bits / 2 + 1) + 2 * counter + 4, ff=pe + counter + 2)
        if self.copies > 1:
            pointer = beats.bit_length() + 1
            values = memory(2 * beats, pe * bits) + Resources(lut=4 * pointer + 6, ff=2 * pointer + 3)
        else:
            values = Resources(ff=pe * bits)
        logic += values
        return logic + (memory(words, pe * (bits + 1)) if words > 1 else Resources())

    def _threshold_memory(self, folding: Folding) -> Memory:
        pe, bits = folding["PE"], self.stream.element.bits
        # max + 1 does not fit the field: never is not-always
        never = self.thresholds > self.stream.element.max
        fields = np.where(never, self.stream.element.min, self.thresholds) & ((1 << bits) - 1)
        fields |= (self.negate != never).astype(np.int64) << bits
        return Memory(pe * (bits + 1), pack_words(fields.reshape(-1, pe), bits + 1))

    def rtl(self, folding: Folding) -> RtlCell:
        element = self.stream.element
        parameters = {
            "PE": folding["PE"],
            "BEATS": self._beats(folding),
            "COPIES": self.copies,
            "ACC_W": element.bits,
            "SIGNED": int(element.kind == "int"),
        }
        memories = {"THRESHOLDS": self._threshold_memory(folding)}
        return RtlCell("bx_threshold", parameters, memories, submodules=("bx_rom",))

    def hls(self, folding: Folding) -> HlsCall:
        element, beats = self.stream.element, self._beats(folding)
        args = (folding["PE"], beats, self.copies, self.pixels, element.bits, int(element.kind == "int"))
        tables = {"thresholds": self._threshold_memory(folding)}
        # the function reads nothing while it replays: the next pixel waits in the stream
        return HlsCall("threshold.hpp", "threshold", args, tables, (beats,) if self.copies > 1 else ())
