"""A factor and an offset for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from ...errors import BitexpertError
from ..cells import HlsCall, Memory, RtlCell, pack_words
from ..memories import cell_rom, rom_terms
from ..programs import Program, Step
from ..resources import Resources, Terms, bits_for
from ..timing import Channel, Pipe
from ..types import BIPOLAR, Element, StreamType, int_for
from .add import KINDS, LARGEST_GAIN, product
from .base import Folding, Operator, OperatorError, divisors, require

__all__ = ["Affine"]

LATENCY = 2  # product and offset memory, sum


@dataclass(frozen=True, eq=False)
class Affine(Operator):
    """``gain * x + offsets[c]`` for every element of channel c; bits count as +1 and -1.

    Parameters
    ----------
    stream : StreamType
        Not masked.
    gain : int
        -32768..32768, not 0.
    offsets : ndarray of int, shape (C,)
        Kept as int64.

    Raises
    ------
    OperatorError
        A masked stream, a gain out of range, offsets of another shape or that are no integers, or results that no
        element holds.
    """

    stream: StreamType
    gain: int
    offsets: np.ndarray

    def __post_init__(self) -> None:
        require(not self.stream.masked, "Affine takes no masked stream; it belongs before the SlidingWindow")
        require(
            isinstance(self.gain, Integral) and 0 < abs(int(self.gain)) <= LARGEST_GAIN,
            f"Affine gain must be an integer of -{LARGEST_GAIN}..{LARGEST_GAIN} other than 0, not {self.gain!r}",
        )
        object.__setattr__(self, "gain", int(self.gain))
        offsets, channels = np.asarray(self.offsets), self.stream.shape[2]
        require(offsets.shape == (channels,), f"Affine offsets must have shape ({channels},), not {offsets.shape}")
        require(np.issubdtype(offsets.dtype, np.integer), f"Affine offsets must be integers, not {offsets.dtype}")
        low, high = self.range
        try:
            int_for(low, high)
        except BitexpertError as error:
            raise OperatorError(
                f"Affine: no element holds results of {low}..{high} ({error}); lower the gain or the offsets"
            ) from None
        object.__setattr__(self, "offsets", offsets.astype(np.int64))

    @property
    def range(self) -> tuple[int, int]:
        """Least and largest reachable result."""
        x = self.stream.element
        products = sorted((self.gain * x.min, self.gain * x.max))
        return products[0] + int(np.min(self.offsets)), products[1] + int(np.max(self.offsets))

    @property
    def element(self) -> Element:
        """The narrowest element that holds every reachable result."""
        return int_for(*self.range)

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.stream,)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        return (StreamType(self.element, self.stream.shape),)

    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        return (self.gain * values[0].astype(np.int64) + self.offsets,)

    # -- hardware -------------------------------------------------------------------------------
    def foldings(self) -> dict[str, tuple[int, ...]]:
        return {"PE": divisors(self.stream.shape[2])}

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (folding["PE"],), (folding["PE"],)

    def cycles(self, folding: Folding) -> int:
        return self.stream.beats(folding["PE"])

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        return [[Step((ins[0],), Pipe(outs[0], LATENCY), count=self.cycles(folding))]]

    @property
    def _offset_bits(self) -> int:
        """Bits of an offset in two's complement, at most those of a result: sums are modulo 2^bits."""
        bits = int_for(min(-1, int(self.offsets.min())), int(self.offsets.max())).bits
        return min(bits, self.element.bits)

    def _parameters(self, folding: Folding) -> dict[str, int]:
        element = self.stream.element
        return {
            "PE": folding["PE"],
            "BEATS": self.stream.shape[2] // folding["PE"],
            "KIND": KINDS[element.kind],
            "IN_W": element.bits,
            "GAIN": self.gain,
            "OFFSET_W": self._offset_bits,
            "OUT_W": self.element.bits,
        }

    def terms(self, folding: Folding) -> Terms:
        pe, bits, x = folding["PE"], self.element.bits, self.stream.element
        words, factor = self.stream.shape[2] // pe, abs(self.gain)
        made, offsets = product(x, factor), cell_rom(words, pe * self._offset_bits)
        counter = bits_for(words)
        term = 0 if made.dsp else pe * (1 if x == BIPOLAR else x.bits + bits_for(factor))
        return Terms(
            lut={
                "sum bits": pe * bits if words > 1 else 0,
                "sum bits, constant offset": 0 if words > 1 else pe * bits,
                "product bits": pe * made.lut,
                **rom_terms(words, offsets.lut),
                "counter bits": counter,
            },
            ff={"sum bits": pe * bits, "product bits": term, "offset ROM": offsets.ff, "counter bits": counter},
            rest=Resources(bram18=offsets.bram18, dsp=pe * made.dsp),
        )

    def _offset_memory(self, folding: Folding) -> Memory:
        """A word for each beat of a pixel."""
        pe, bits = folding["PE"], self._offset_bits
        return Memory(pe * bits, pack_words(self.offsets.reshape(-1, pe), bits))

    def rtl(self, folding: Folding) -> RtlCell:
        memories = {"OFFSETS": self._offset_memory(folding)}
        return RtlCell("bx_affine", self._parameters(folding), memories, submodules=("bx_rom", "bx_lut_rom"))

    def hls(self, folding: Folding) -> HlsCall:
        pixels = self.stream.shape[0] * self.stream.shape[1]
        tables = {"offsets": self._offset_memory(folding)}
        return HlsCall("affine.hpp", "affine", (*self._parameters(folding).values(), pixels), tables)
