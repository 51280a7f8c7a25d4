"""First-in first-out buffer between two operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..cells import HlsCall, RtlCell
from ..memories import ram
from ..programs import Program
from ..resources import Resources, Terms, bits_for, wrapping_bits
from ..timing import Channel
from ..types import StreamType
from .base import Folding, Operator, require

__all__ = ["Fifo"]


@dataclass(frozen=True, eq=False)
class Fifo(Operator):
    """A FIFO; it also cuts every path between the handshakes of its two neighbours.

    In the cycle model it is a channel (hw/timing.py): a beat written in cycle t can be read in t + 1.

    Parameters
    ----------
    stream : StreamType
    per_beat : int
        Elements in a beat.
    depth : int
        Beats of room, at least 2 (1 would halve the rate).
    """

    stream: StreamType
    per_beat: int
    depth: int
    plumbing: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.stream.beats(self.per_beat)
        require(self.depth >= 2, f"a Fifo needs a depth of at least 2, not {self.depth}")

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.stream,)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        return (self.stream,)

    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        return values

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (self.per_beat,), (self.per_beat,)

    def cycles(self, folding: Folding) -> int:
        return self.stream.beats(self.per_beat)

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        raise TypeError("a Fifo is a Channel in the cycle model")

    def terms(self, folding: Folding) -> Terms:
        width, words = self.stream.beat_bits(self.per_beat), self.depth - 1
        storage = ram(words, width)
        inside = {"pointer bits": 2 * bits_for(words), "count bits": self.depth.bit_length()}
        return Terms(
            lut={
                "chosen bits": width,
                "storage": storage.lut,
                "wrapping pointer bits": 2 * wrapping_bits(words),
                **inside,
            },
            ff={"bits": width, "storage": storage.ff, **inside},
            rest=Resources(lutram=storage.lutram, bram18=storage.bram18),
        )

    def rtl(self, folding: Folding) -> RtlCell:
        return RtlCell("bx_fifo", {"W": self.stream.beat_bits(self.per_beat), "DEPTH": self.depth})

    def hls(self, folding: Folding) -> HlsCall | None:
        return None
