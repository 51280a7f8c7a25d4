"""Indices of the k largest elements of a vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cells import HlsCall, RtlCell
from ..programs import Give, Gone, Program, Take, Written
from ..resources import Terms
from ..timing import Channel
from ..types import StreamType, uint_t
from .base import Folding, Operator, require

__all__ = ["TopK"]


@dataclass(frozen=True, eq=False)
class TopK(Operator):
    """The indices of the ``k`` largest elements, largest first; of equal ones the lowest index first.

    One element a beat enters, one index a beat leaves. ``k = 1`` is argmax.

    Parameters
    ----------
    stream : StreamType
        Integers of shape (1, 1, C).
    k : int
        1..C.
    """

    stream: StreamType
    k: int

    def __post_init__(self) -> None:
        kind = self.stream.element.kind
        require(kind in ("int", "uint"), f"TopK ranks integers, not {self.stream.element}")
        require(self.stream.shape[:2] == (1, 1), f"TopK takes a vector of shape (1, 1, C), not {self.stream.shape}")
        require(1 <= self.k <= self.stream.elements, f"TopK: k={self.k} is not in 1..{self.stream.elements}")

    @property
    def _index_bits(self) -> int:
        return max(1, (self.stream.elements - 1).bit_length())

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.stream,)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        return (StreamType(uint_t(self._index_bits), (1, 1, self.k)),)

    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        scores = values[0].reshape(len(values[0]), -1).astype(np.int64)
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self.k]
        return (order.reshape(-1, 1, 1, self.k),)

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (1,), (1,)

    def cycles(self, folding: Folding) -> int:
        return self.stream.elements

    def hls_steps(self, folding: Folding) -> int:
        # one loop after the other
        return self.stream.elements + self.k

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        source, out = ins[0], outs[0]
        elements, k = self.stream.elements, self.k
        return [
            # the output registers are free in the cycle in which the earlier frame's last index leaves
            [Take(source, elements - 1), Written(out, k, -1, earlier=1), Take(source)],
            [Gone(source, elements, elements - 1), Give(out, k)],
        ]

    def terms(self, folding: Folding) -> Terms:
        value, index, count = self.k * self.stream.element.bits, self.k * self._index_bits, self.k.bit_length()
        # the first slot chooses between two values, the others between three
        lower = (self.k - 1) * (self.stream.element.bits + self._index_bits)
        shifted = (self.k - 1) * self._index_bits
        return Terms(
            lut={
                "value bits": value,
                "lower slots": lower,
                "shifted": shifted,
                "index": self._index_bits,
                "count": count,
            },
            ff={"value bits": value, "index bits": 2 * index, "index": self._index_bits, "count": count + self.k},
        )

    def rtl(self, folding: Folding) -> RtlCell:
        element = self.stream.element
        parameters = {
            "W": element.bits,
            "SIGNED": int(element.kind == "int"),
            "C": self.stream.elements,
            "K": self.k,
            "INDEX_W": self._index_bits,
        }
        return RtlCell("bx_topk", parameters)

    def hls(self, folding: Folding) -> HlsCall:
        element = self.stream.element
        signed = int(element.kind == "int")
        return HlsCall("topk.hpp", "topk", (element.bits, signed, self.stream.elements, self.k, self._index_bits))
