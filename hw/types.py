"""What travels on a stream: element types, frame shapes and the packing of beats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import BitexpertError

__all__ = ["BIPOLAR", "Element", "StreamType", "int_for", "int_t", "uint_t"]


@dataclass(frozen=True, order=True)
class Element:
    """The type of one element of a stream.

    Parameters
    ----------
    kind : {"bipolar", "uint", "int"}
        ``bipolar`` is one bit, 1 = +1 and 0 = -1; ``int`` is two's complement.
    bits : int
        Width on the wire, 1 for ``bipolar``.
    """

    kind: str
    bits: int

    def __post_init__(self) -> None:
        if self.kind not in ("bipolar", "uint", "int"):
            raise BitexpertError(f"element kind must be bipolar, uint or int, not {self.kind!r}")
        if not 1 <= self.bits <= 48 or (self.kind == "bipolar" and self.bits != 1):
            raise BitexpertError(f"{self.kind} elements cannot be {self.bits!r} bits wide (1 for bipolar, else 1..48)")

    def __str__(self) -> str:
        return "bipolar" if self.kind == "bipolar" else f"{self.kind}{self.bits}"

    @classmethod
    def parse(cls, text: str) -> Element:
        """Inverse of ``str``: ``bipolar``, ``uint8``, ``int12``."""
        if text == "bipolar":
            return BIPOLAR
        kind = text.rstrip("0123456789")
        return cls(kind, int(text[len(kind) :] or 0))

    @property
    def min(self) -> int:
        return {"bipolar": -1, "uint": 0, "int": -(1 << (self.bits - 1))}[self.kind]

    @property
    def max(self) -> int:
        return {"bipolar": 1, "uint": (1 << self.bits) - 1, "int": (1 << (self.bits - 1)) - 1}[self.kind]

    def holds(self, values: np.ndarray) -> bool:
        """Whether every value is representable."""
        if values.size == 0:
            return True
        inside = bool(values.min() >= self.min and values.max() <= self.max)
        return inside and (self.kind != "bipolar" or bool(np.all(values != 0)))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Values to their unsigned codes on the wire (same shape, uint64)."""
        if self.kind == "bipolar":
            return (values > 0).astype(np.uint64)
        return values.astype(np.int64).view(np.uint64) & np.uint64((1 << self.bits) - 1)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Unsigned codes on the wire to values (same shape, int64)."""
        values = codes.astype(np.int64)
        if self.kind == "bipolar":
            return 2 * values - 1
        if self.kind == "int":
            return values - ((values >> (self.bits - 1)) << self.bits)
        return values


BIPOLAR = Element("bipolar", 1)


def uint_t(bits: int) -> Element:
    """Unsigned element of ``bits`` bits."""
    return Element("uint", bits)


def int_t(bits: int) -> Element:
    """Two's complement element of ``bits`` bits."""
    return Element("int", bits)


def int_for(low: int, high: int) -> Element:
    """The narrowest integer element that holds ``low..high``."""
    if low >= 0:
        return uint_t(max(1, int(high).bit_length()))
    return int_t(max((-low - 1).bit_length(), max(0, int(high)).bit_length()) + 1)


@dataclass(frozen=True)
class StreamType:
    """One frame of a stream: element type, shape and order.

    Elements travel row-major by pixel, channel innermost (NHWC); the first element of a
    beat lies in its low bits.

    Parameters
    ----------
    element : Element
    shape : tuple of int
        (H, W, C).
    masked : bool
        Bipolar only: every beat carries one more bit above its elements; 0 says that the
        beat's elements are zero padding. Values are then in {-1, 0, +1}.
    """

    element: Element
    shape: tuple[int, int, int]
    masked: bool = False

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or any(int(d) < 1 for d in self.shape):
            raise BitexpertError(f"a stream's shape is three positive numbers (H, W, C), not {self.shape!r}")
        if self.masked and self.element != BIPOLAR:
            raise BitexpertError(f"only bipolar streams carry a padding mask, not {self.element}")

    def __str__(self) -> str:
        h, w, c = self.shape
        return f"{self.element}{'+mask' if self.masked else ''} {h}x{w}x{c}"

    @property
    def elements(self) -> int:
        """Elements in one frame."""
        h, w, c = self.shape
        return h * w * c

    def same_wire(self, other: StreamType) -> bool:
        """Whether both put the same elements in the same order on the wire (shapes may differ)."""
        return (self.element, self.masked, self.elements) == (other.element, other.masked, other.elements)

    def beats(self, per_beat: int) -> int:
        """Beats in one frame with ``per_beat`` elements a beat."""
        if self.elements % per_beat:
            raise BitexpertError(f"{per_beat} elements a beat do not divide the {self.elements} of a frame")
        return self.elements // per_beat

    def beat_bits(self, per_beat: int) -> int:
        """Width in bits of a beat with ``per_beat`` elements."""
        return per_beat * self.element.bits + int(self.masked)

    def pack(self, frames: np.ndarray, per_beat: int) -> np.ndarray:
        """Frames to beats.

        Parameters
        ----------
        frames : ndarray of int, shape (N, H, W, C)
        per_beat : int
            Elements a beat; divides H*W*C.

        Returns
        -------
        ndarray of uint8, shape (N * beats, ceil(beat_bits / 8)), little-endian.
        """
        values = np.asarray(frames).reshape(-1, per_beat)
        codes = self.element.encode(values)
        if self.masked:
            present = values != 0
            codes = np.where(present, codes, 0).astype(np.uint64)
            if not np.array_equal(present.all(axis=1), present.any(axis=1)):
                raise BitexpertError("a masked beat must be all padding or none")
        shifts = np.arange(self.element.bits, dtype=np.uint64)
        bits = ((codes[:, :, None] >> shifts) & np.uint64(1)).astype(np.uint8).reshape(len(values), -1)
        if self.masked:
            bits = np.concatenate([bits, present.all(axis=1)[:, None].astype(np.uint8)], axis=1)
        return np.packbits(bits, axis=1, bitorder="little")

    def unpack(self, beats: np.ndarray, per_beat: int) -> np.ndarray:
        """Inverse of :meth:`pack`; returns int64 of shape (N, H, W, C)."""
        bits = np.unpackbits(beats, axis=1, bitorder="little", count=self.beat_bits(per_beat))
        data = bits[:, : per_beat * self.element.bits].reshape(len(beats), per_beat, self.element.bits)
        codes = (data.astype(np.uint64) << np.arange(self.element.bits, dtype=np.uint64)).sum(axis=2, dtype=np.uint64)
        values = self.element.decode(codes)
        if self.masked:
            values = values * bits[:, -1:].astype(np.int64)
        return values.reshape(-1, *self.shape)
