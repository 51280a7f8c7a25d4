"""Keeps a frame back until its expert is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cells import HlsCall, RtlCell
from ..programs import Move, Program, Written
from ..resources import Terms, bits_for
from ..timing import Channel
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

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        data_in, token_in = ins
        data_out, token_out = outs
        beats = self.stream.beats(folding["PE"])
        hold = Channel("hold", self.depth)
        return [
            [Move(data_in, hold, beats)],
            # two frames are released at most: of the frame before the last one, all beats have to be gone
            [Written(data_out, beats, -beats - 1), Move(token_in, token_out)],
            [Written(token_out, 1, 0), Move(hold, data_out, beats)],
        ]

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
