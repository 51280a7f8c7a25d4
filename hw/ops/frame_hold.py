"""Keeps a frame back until its expert is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cells import HlsCall, RtlCell
from ..resources import Terms, bits_for
from ..timing import Channel, Process
from ..types import StreamType, uint_t
from .base import Folding, Operator, divisors, require
from .fifo import Fifo

__all__ = ["FrameHold"]


@dataclass(frozen=True, eq=False)
class FrameHold(Operator):
    """Beats wait in a FIFO; those of frame f leave once token f has been taken.

    The token is passed on, one a frame, for the MatVec behind. Token f + 1 is taken while frame f
    leaves, so that there is no gap between frames. Any number of frames may be inside.

    Parameters
    ----------
    stream : StreamType
    experts : int
        Number of values of the token, at least 2.
    depth : int
        Beats of room, at least 2. ``hw.performance.size_fifos`` computes what a design needs.
    """

    stream: StreamType
    experts: int
    depth: int

    def __post_init__(self) -> None:
        require(self.experts >= 2, f"a FrameHold needs at least 2 experts, not {self.experts}")
        require(self.depth >= 2, f"a FrameHold needs a depth of at least 2 beats, not {self.depth}")

    @property
    def token(self) -> StreamType:
        """Type of the token: the index of the frame's expert."""
        return StreamType(uint_t((self.experts - 1).bit_length()), (1, 1, 1))

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.stream, self.token)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        return (self.stream, self.token)

    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        return values

    def foldings(self) -> dict[str, tuple[int, ...]]:
        return {"PE": divisors(self.stream.shape[2])}

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (folding["PE"], 1), (folding["PE"], 1)

    def cycles(self, folding: Folding) -> int:
        return self.stream.beats(folding["PE"])

    def processes(
        self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel], frames: int
    ) -> list[Process]:
        data_in, token_in = ins
        data_out, token_out = outs
        beats = self.stream.beats(folding["PE"])
        hold = Channel("hold", self.depth)

        def fill() -> Process:
            cycle = -1
            for _ in range(frames * beats):
                while (arrival := data_in.available()) is None:
                    yield data_in
                while (free := hold.room()) is None:
                    yield hold
                cycle = max(cycle + 1, arrival, free)
                data_in.read(cycle)
                hold.write(cycle)

        def tokens() -> Process:
            cycle = -1
            for f in range(frames):
                while (arrival := token_in.available()) is None:
                    yield token_in
                while (free := token_out.room()) is None:
                    yield token_out
                cycle = max(cycle + 1, arrival, free)
                if f >= 2:  # two frames are released at most: frame f - 2 has to be gone
                    gone = (f - 1) * beats
                    while len(data_out.writes) < gone:
                        yield data_out
                    cycle = max(cycle, data_out.writes[gone - 1] + 1)
                token_in.read(cycle)
                token_out.write(cycle)

        def release() -> Process:
            cycle = -1
            for f in range(frames):
                while len(token_out.writes) <= f:
                    yield token_out
                cycle = max(cycle, token_out.writes[f])
                for _ in range(beats):
                    while (arrival := hold.available()) is None:
                        yield hold
                    while (free := data_out.room()) is None:
                        yield data_out
                    cycle = max(cycle + 1, arrival, free)
                    hold.read(cycle)
                    data_out.write(cycle)

        return [fill(), tokens(), release()]

    def terms(self, folding: Folding) -> Terms:
        held = Fifo(self.stream, folding["PE"], self.depth).terms({})
        counter = {"counter bits": bits_for(self.stream.beats(folding["PE"]))}
        return Terms(lut={**held.lut, **counter}, ff={**held.ff, **counter}, rest=held.rest)

    def rtl(self, folding: Folding) -> RtlCell:
        pe = folding["PE"]
        return RtlCell(
            "bx_frame_hold",
            {
                "W": self.stream.beat_bits(pe),
                "TOKEN_W": self.token.element.bits,
                "BEATS": self.stream.beats(pe),
                "DEPTH": self.depth,
            },
            inputs=("s_axis", "s_token"),
            outputs=("m_axis", "m_token"),
            submodules=("bx_fifo",),
        )

    def hls(self, folding: Folding) -> HlsCall:
        pe, beats = folding["PE"], self.stream.beats(folding["PE"])
        # a whole frame: the RTL's depth counts on the last beat waiting in the Fork, which here writes its copies
        # in turn and would wait with it for ever
        return HlsCall(
            "frame_hold.hpp",
            "frame_hold",
            (self.stream.beat_bits(pe), self.token.element.bits, beats),
            extra_input_depth=(max(self.depth, beats), 0),
        )
