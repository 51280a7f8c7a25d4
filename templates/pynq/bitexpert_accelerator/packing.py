"""Frames of integers to the bytes that the accelerator reads, and back.

A frame of H x W x C integers is cut into beats of some elements each, channel innermost; the first element lies in a
beat's low bits, and a beat is filled up with zeros to whole bytes. Beats lie behind each other, little-endian, and
frames behind each other. This is done here, in software, for all frames at once; the hardware cuts bytes into beats.

Needs numpy only, and Python 3.8 or later.
"""

import numpy as np

__all__ = ["Layout"]

_WHOLE = {8: np.uint8, 16: np.uint16, 32: np.uint32}


class Layout:
    """How the frames of one side of an accelerator lie in memory.

    Parameters
    ----------
    side : dict
        ``input`` or ``output`` of ``shell.json``.
    """

    def __init__(self, side):
        self.element = side["element"]
        self.shape = tuple(side["shape"])
        self.bits = side["bits_per_element"]
        self.per_beat = side["elements_per_beat"]
        self.beats = side["beats"]
        self.beat_bytes = side["beat_bytes"]
        self.frame_bytes = self.beats * self.beat_bytes
        self.signed = self.element.startswith("int")
        self.bipolar = self.element == "bipolar"

    @property
    def low(self):
        """The least value of an element."""
        return -1 if self.bipolar else -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self):
        """The largest value of an element."""
        return 1 if self.bipolar else (1 << (self.bits - self.signed)) - 1

    @property
    def dtype(self):
        """The narrowest numpy type that holds all elements."""
        return np.min_scalar_type(self.low if self.low < 0 else self.high)

    def check(self, frames):
        """Raise TypeError or ValueError unless ``frames`` are integers of this shape and range."""
        if not isinstance(frames, np.ndarray) or not (np.issubdtype(frames.dtype, np.integer)):
            kind = frames.dtype if isinstance(frames, np.ndarray) else type(frames).__name__
            raise TypeError(
                f"the accelerator takes integers ({self.element}), not {kind}; "
                f"convert them, e.g. with .astype(numpy.{self.dtype})"
            )
        if frames.ndim != 4 or frames.shape[1:] != self.shape:
            raise ValueError(
                "the accelerator takes frames of shape (N, {}, {}, {}), not {}".format(*self.shape, frames.shape)
            )
        limits = np.iinfo(frames.dtype)
        if frames.size and (limits.min < self.low or limits.max > self.high):
            low, high = int(frames.min()), int(frames.max())
            if low < self.low or high > self.high or (self.bipolar and np.count_nonzero(frames) < frames.size):
                values = "-1 and +1" if self.bipolar else f"{self.low}..{self.high}"
                raise ValueError(f"the accelerator takes values of {values}, these are {low}..{high}")

    def pack(self, frames, out):
        """Write frames as bytes.

        Parameters
        ----------
        frames : ndarray of int, shape (N, H, W, C)
        out : ndarray of uint8, at least N * frame_bytes
        """
        rows = len(frames) * self.beats
        target = out[: rows * self.beat_bytes].reshape(rows, self.beat_bytes)
        if self.bits in _WHOLE:  # beats have no filling then
            kind = _WHOLE[self.bits]
            target.reshape(-1).view(kind)[:] = frames.reshape(-1).astype(kind, copy=False)
        elif self.bits == 1:
            elements = frames.reshape(rows, self.per_beat)
            bits = elements > 0 if self.bipolar else elements != 0
            if self.per_beat % 8:
                target[:] = np.packbits(bits, axis=1, bitorder="little")
            else:
                target.reshape(-1)[:] = np.packbits(bits.reshape(-1), bitorder="little")
        else:
            elements = frames.reshape(rows, self.per_beat)
            target[:] = 0
            for i in range(self.per_beat):
                codes = elements[:, i].astype(np.int64) & ((1 << self.bits) - 1)
                first, shift = divmod(i * self.bits, 8)
                codes = codes << shift
                for j in range(self._reach(shift)):
                    target[:, first + j] |= (codes >> (8 * j)).astype(np.uint8)

    def _reach(self, shift):
        """Bytes over which an element spreads that begins at this bit of the first."""
        return -(-(shift + self.bits) // 8)

    def unpack(self, data, count):
        """Frames from bytes.

        Parameters
        ----------
        data : ndarray of uint8, at least count * frame_bytes
        count : int

        Returns
        -------
        ndarray of `dtype`, shape (count, H, W, C)
        """
        rows = count * self.beats
        data = np.asarray(data)[: rows * self.beat_bytes].reshape(rows, self.beat_bytes)
        shape = (count, *self.shape)
        if self.bits in _WHOLE:
            return data.reshape(-1).view(_WHOLE[self.bits]).view(self.dtype).reshape(shape).copy()
        if self.bits == 1 and not self.signed:
            bits = np.unpackbits(data, axis=1, bitorder="little", count=self.per_beat)
            return (2 * bits.view(np.int8) - 1 if self.bipolar else bits).reshape(shape)
        codes = np.zeros((rows, self.per_beat), dtype=np.int64)
        for i in range(self.per_beat):
            first, shift = divmod(i * self.bits, 8)
            for j in range(self._reach(shift)):
                codes[:, i] |= data[:, first + j].astype(np.int64) << (8 * j)
            codes[:, i] >>= shift
        codes &= (1 << self.bits) - 1
        if self.signed:
            codes -= (codes >> (self.bits - 1)) << self.bits
        return codes.astype(self.dtype).reshape(shape)
