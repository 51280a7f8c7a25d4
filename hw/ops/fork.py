"""Copies a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cells import HlsCall, RtlCell
from ..programs import Copy, Program, Share
from ..resources import Terms
from ..timing import Channel
from ..types import StreamType
from .base import Folding, Operator, divisors, require

__all__ = ["Fork"]


@dataclass(frozen=True, eq=False)
class Fork(Operator):
    """Equal copies of a stream.

    Eager: each copy gets a beat as soon as it has room, whatever the others do; the beat is taken
    from the input when the last copy has it. No register, so no latency.

    Parameters
    ----------
    stream : StreamType
    copies : int
        At least 2.
    """

    stream: StreamType
    copies: int

    def __post_init__(self) -> None:
        require(self.copies >= 2, f"a Fork needs at least 2 copies, not {self.copies}")

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.stream,)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        return (self.stream,) * self.copies

    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        return (values[0],) * self.copies

    def foldings(self) -> dict[str, tuple[int, ...]]:
        return {"PE": divisors(self.stream.shape[2])}

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (folding["PE"],), (folding["PE"],) * self.copies

    def cycles(self, folding: Folding) -> int:
        return self.stream.beats(folding["PE"])

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        source, beats = ins[0], self.stream.beats(folding["PE"])
        copies: list[Program] = [[Copy(source, out, beats)] for out in outs]
        return [*copies, [Share(source, tuple(outs), beats)]]

    def terms(self, folding: Folding) -> Terms:
        return Terms(lut={"copies": self.copies}, ff={"copies": self.copies})

    def rtl(self, folding: Folding) -> RtlCell:
        parameters = {"W": self.stream.beat_bits(folding["PE"]), "COPIES": self.copies}
        return RtlCell("bx_fork", parameters, outputs=tuple(f"m_axis[{i}]" for i in range(self.copies)))

    def hls(self, folding: Folding) -> HlsCall:
        pe = folding["PE"]
        return HlsCall("fork.hpp", "fork_stream", (self.stream.beat_bits(pe), self.stream.beats(pe)))
