"""Regroups the elements of a stream into narrower or wider beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..cells import HlsCall, RtlCell
from ..programs import Program, Repeat, Step
from ..resources import Terms, bits_for
from ..timing import Channel, Pipe
from ..types import StreamType
from .base import Folding, Operator, require

__all__ = ["WidthConvert"]


@dataclass(frozen=True, eq=False)
class WidthConvert(Operator):
    """Beats of ``source`` elements to beats of ``target`` elements; one divides the other.

    Parameters
    ----------
    stream : StreamType
        Not masked.
    source, target : int
        Elements in an input and in an output beat; each divides a frame's elements.
    """

    stream: StreamType
    source: int
    target: int
    plumbing: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(not self.stream.masked, "WidthConvert cannot regroup a masked stream; fold both ends alike")
        require(
            self.source != self.target and max(self.source, self.target) % min(self.source, self.target) == 0,
            f"WidthConvert from {self.source} to {self.target} elements: one must divide the other",
        )
        for per_beat in (self.source, self.target):
            self.stream.beats(per_beat)

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.stream,)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        return (self.stream,)

    @property
    def ratio(self) -> int:
        """Narrow beats in a wide one."""
        return max(self.source, self.target) // min(self.source, self.target)

    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        return values

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (self.source,), (self.target,)

    def cycles(self, folding: Folding) -> int:
        return self.stream.beats(min(self.source, self.target))

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        takes, pipe = (ins[0],), Pipe(outs[0], 1)
        if self.target > self.source:
            wide = Step(takes, pipe, False, self.ratio - 1), Step(takes, pipe)
        else:
            wide = Step(takes, pipe), Step((), pipe, True, self.ratio - 1)
        return [[Repeat(self.stream.beats(max(self.source, self.target)), wide)]]

    def terms(self, folding: Folding) -> Terms:
        wide, counter = self.stream.beat_bits(max(self.source, self.target)), bits_for(self.ratio)
        # widening is an enable for each part, narrowing a shift register that is loaded
        if self.target > self.source:
            logic: dict[str, float] = {"enables": self.ratio, "shifted bits": 0}
        else:
            logic = {"enables": 0, "shifted bits": wide}
        return Terms(lut={**logic, "counter bits": counter}, ff={"bits": wide, "counter bits": counter})

    def rtl(self, folding: Folding) -> RtlCell:
        bits = self.stream.element.bits
        return RtlCell("bx_width_convert", {"IN_W": self.source * bits, "OUT_W": self.target * bits})

    def hls(self, folding: Folding) -> HlsCall:
        bits = self.stream.element.bits
        beats = self.stream.beats(max(self.source, self.target))
        return HlsCall("width_convert.hpp", "width_convert", (self.source * bits, self.target * bits, beats))
