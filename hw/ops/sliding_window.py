"""Turns a feature map into the windows of a convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real

import numpy as np

from ..cells import HlsCall, RtlCell
from ..memories import ram
from ..programs import Instruction, Program, Read, Step, Written, fill
from ..resources import Resources, Terms, bits_for, wrapping_bits
from ..timing import Channel, Pipe
from ..types import StreamType
from .base import Folding, Operator, divisors, require

__all__ = ["SlidingWindow"]

_NAMES = ("top", "left", "bottom", "right")
# Bits of the padded element's code in the RTL's first parameter; an integer of Verilog has 32, a code up to 48.
PAD_SPLIT = 24


@lru_cache(maxsize=1024)
def _rows_for_full_rate(
    steps: tuple[tuple[int, int, int], ...], height: int, write_row: int, read_row: int, least: int
) -> int:
    """The fewest ring rows with which a frame takes only max(write time, read time).

    Parameters
    ----------
    steps : tuple of (first row held, rows that must be complete, first row held afterwards), one an output row
    height : int
        Rows of a frame.
    write_row, read_row : int
        Cycles to write a row, and to read the windows of an output row.
    least : int
        Rows without which the reader would wait for ever.

    Notes
    -----
    A schedule that repeats every ``period`` cycles exists if, and only if, the start times of the rows of
    one frame can be raised until every one respects those it waits for, the times of the frame before being
    ``period`` earlier (no circuit of waits is longer than the periods it spans). The cell starts everything
    as early as it can and so is never later than any such schedule.
    """
    out_rows = len(steps)
    period = max(height * write_row, out_rows * read_row)
    freed_by: list[int] = []  # row -> the output row after which it is free
    for o, (first, _, then) in enumerate(steps):
        freed_by += [o] * (then - first)
    rows = least
    while True:
        write, read = [0] * height, [0] * out_rows
        changed, rounds = True, 0
        while changed and rounds <= height + out_rows:
            changed, rounds = False, rounds + 1
            for r in range(height):
                frames, row = divmod(r - rows, height)
                start = read[freed_by[row]] + read_row + frames * period
                start = max(start, write[r - 1] + write_row - (0 if r else period), write[r])
                changed |= start != write[r]
                write[r] = start
            for o, (_, complete, _) in enumerate(steps):
                start = read[o - 1] + read_row - (0 if o else period)
                start = max(start, write[complete - 1] + write_row, read[o])
                changed |= start != read[o]
                read[o] = start
        if not changed:
            return rows
        rows += 1


@dataclass(frozen=True, eq=False)
class SlidingWindow(Operator):
    """The window of every output pixel, from a ring of rows.

    Inside an output pixel the order is [group][kernel row][kernel column][channel of the group], so that
    each group's MatVec finds its columns together. Output size as in ONNX Conv with explicit padding:
    OH = floor((H + top + bottom - dilation * (kh - 1) - 1) / stride) + 1.

    The ring keeps whole rows and goes on from frame to frame. An output row begins when the rows it reads
    have come (at least one of the frame's; for the last output row all of them), and at its end gives up
    the rows that no later one reads. The number of ring rows, :attr:`rows`, is the smallest with which the
    cell reaches :meth:`cycles` when source and sink never wait. For a 3x3 kernel it is 4 with stride 1 and
    padding 1: the windows of a frame's last row hold one row less than others, and the next frame's begin with
    one row less. Without padding it is 6: three rows of the next frame come while the last three are held.

    Parameters
    ----------
    stream : StreamType
        Not masked.
    kernel, stride : tuple of int
        (rows, columns), at least 1.
    padding : tuple of int
        (top, left, bottom, right), at least 0.
    pad_value : int
        What every padded element is: a value of the stream's element, or 0 for a bipolar stream. A padded 0 of a
        bipolar stream is neither bit: the output stream is then masked, one flag a beat.
    groups : int
        Divides C.
    dilation : tuple of int
        Distance between the kernel's taps, (rows, columns), at least 1.

    Raises
    ------
    OperatorError
        An attribute out of range, or a kernel larger than the padded frame.
    """

    stream: StreamType
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: int = 0
    groups: int = 1
    dilation: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        for name, length, least in (("kernel", 2, 1), ("stride", 2, 1), ("padding", 4, 0), ("dilation", 2, 1)):
            value = getattr(self, name)
            require(
                len(value) == length and all(int(v) == v and v >= least for v in value),
                f"SlidingWindow {name} must be {length} integers of at least {least}, not {value!r}",
            )
            object.__setattr__(self, name, tuple(int(v) for v in value))
        require(not self.stream.masked, "SlidingWindow takes no masked stream")
        element, pad = self.stream.element, self.pad_value
        require(
            # every element holds 0, but for bipolar ones, where it is a mask
            isinstance(pad, Real) and element.min <= pad <= element.max and int(pad) == pad,
            f"SlidingWindow pad_value on {element} must be an integer of {element.min}..{element.max}, not {pad!r}",
        )
        object.__setattr__(self, "pad_value", int(pad))
        channels = self.stream.shape[2]
        require(
            self.groups >= 1 and channels % self.groups == 0,
            f"SlidingWindow groups={self.groups!r} must divide the {channels} channels",
        )
        (height, width, _), (top, left, bottom, right) = self.stream.shape, self.padding
        padded = height + top + bottom, width + left + right
        require(
            self.extent[0] <= padded[0] and self.extent[1] <= padded[1],
            f"SlidingWindow: a kernel that spans {self.extent[0]}x{self.extent[1]} does not fit the padded frame"
            f" of {padded[0]}x{padded[1]}",
        )

    # -- sizes ----------------------------------------------------------------------------------
    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns that the kernel spans, its dilation included."""
        return (self.kernel[0] - 1) * self.dilation[0] + 1, (self.kernel[1] - 1) * self.dilation[1] + 1

    @property
    def out_size(self) -> tuple[int, int]:
        """(OH, OW)."""
        (h, w, _), (top, left, bottom, right) = self.stream.shape, self.padding
        eh, ew = self.extent
        return (h + top + bottom - eh) // self.stride[0] + 1, (w + left + right - ew) // self.stride[1] + 1

    @property
    def masked(self) -> bool:
        """Whether the output carries a flag a beat that is 0 on padding."""
        return self.stream.element.kind == "bipolar" and self.pad_value == 0 and any(self.padding)

    @property
    def tap(self) -> int:
        """Channels of a group: the elements of one tap."""
        return self.stream.shape[2] // self.groups

    @property
    def steps(self) -> tuple[tuple[int, int, int], ...]:
        """For every output row: the first row held, the rows that must be complete, the first row held afterwards."""
        height, top, stride = self.stream.shape[0], self.padding[0], self.stride[0]
        out_rows = self.out_size[0]

        def clip(row: int) -> int:
            return min(max(row - top, 0), height)

        firsts = [clip(o * stride) for o in range(out_rows)] + [height]
        needs = [max(1, clip(o * stride + max(self.extent[0], stride))) for o in range(out_rows - 1)] + [height]
        return tuple(zip(firsts[:-1], needs, firsts[1:], strict=True))

    @property
    def rows(self) -> int:
        """Rows of the ring: the fewest that reach :meth:`cycles`, whatever the folding."""
        steps, (height, width, _) = self.steps, self.stream.shape
        least = max(1, *(need - first for first, need, _ in steps))
        # in units of one word a pixel; SIMD and groups scale writing and reading alike
        return _rows_for_full_rate(steps, height, width, self.out_size[1] * self.kernel[0] * self.kernel[1], least)

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.stream,)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        channels = self.stream.shape[2] * self.kernel[0] * self.kernel[1]
        return (StreamType(self.stream.element, (*self.out_size, channels), self.masked),)

    # -- values ---------------------------------------------------------------------------------
    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        (x,) = values
        top, left, bottom, right = self.padding
        if any(self.padding):
            x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=self.pad_value)
        (kh, kw), (sh, sw), (dh, dw), (oh, ow) = self.kernel, self.stride, self.dilation, self.out_size
        n, s_row, s_col, s_channel = x.strides
        view = np.lib.stride_tricks.as_strided(
            x,
            (len(x), oh, ow, self.groups, kh, kw, self.tap),
            (n, sh * s_row, sw * s_col, self.tap * s_channel, dh * s_row, dw * s_col, s_channel),
            writeable=False,
        )
        return (view.reshape(len(x), oh, ow, -1),)

    # -- hardware -------------------------------------------------------------------------------
    def foldings(self) -> dict[str, tuple[int, ...]]:
        return {"SIMD": divisors(self.tap)}

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (folding["SIMD"],), (folding["SIMD"],)

    def cycles(self, folding: Folding) -> int:
        return max(self.stream.beats(folding["SIMD"]), self.outputs[0].beats(folding["SIMD"]))

    def needed(self, port: int = 0) -> np.ndarray:
        complete = np.array([rows for _, rows, _ in self.steps])
        return np.repeat(complete * self.stream.shape[1] - 1, self.out_size[1])

    def hls_steps(self, folding: Folding) -> int:
        # a call takes nothing of the next frame, so the rows before its first window are read on their own
        height, width, channels = self.stream.shape
        line = width * channels // folding["SIMD"]
        row = self.outputs[0].beats(folding["SIMD"]) // self.out_size[0]
        steps = written = 0
        for first, need, _ in self.steps:
            missing = max(0, need * line - written)
            steps += missing + row
            written = min(written + missing + row, min(height, first + self.rows) * line)
        return steps

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        height, width, channels = self.stream.shape
        write_row = width * channels // folding["SIMD"]
        read_row = self.outputs[0].beats(folding["SIMD"]) // self.out_size[0]
        ring = Channel("rows", self.rows)
        pipe = Pipe(outs[0], 2)
        rows: list[Instruction] = []
        for first, need, then in self.steps:
            rows += [Written(ring, height, need - 1), Step((), pipe, count=read_row), Read(ring, then - first)]
        return [fill(ins[0], ring, write_row, height), rows]

    @property
    def _pad_code(self) -> int:
        """A padded element on the wire; 0 of a masked stream too."""
        return int(self.stream.element.encode(np.array(self.pad_value)))

    def _parameters(self, folding: Folding) -> dict[str, int]:
        height, width, channels = self.stream.shape
        return {
            "SIMD": folding["SIMD"],
            "BITS": self.stream.element.bits,
            "HEIGHT": height,
            "WIDTH": width,
            "WORDS": channels // folding["SIMD"],
            "GROUPS": self.groups,
            "KH": self.kernel[0],
            "KW": self.kernel[1],
            "SH": self.stride[0],
            "SW": self.stride[1],
            "DH": self.dilation[0],
            "DW": self.dilation[1],
            **{f"PAD_{name.upper()}": pad for name, pad in zip(_NAMES, self.padding, strict=True)},
            "MASKED": int(self.masked),
            "ROWS": self.rows,
        }

    def terms(self, folding: Folding) -> Terms:
        height, width, channels = self.stream.shape
        bits, rows, padded = folding["SIMD"] * self.stream.element.bits, self.rows, any(self.padding)
        words = width * channels // folding["SIMD"]
        ring, address = ram(rows * words, bits), bits_for(rows * words)
        zeros = (words & -words).bit_length() - 1  # low bits of the address of every row
        positions = (self.tap // folding["SIMD"], *self.kernel, self.groups, *self.out_size[::-1])
        places = (width + sum(self.padding[1::2]) + 1, height + sum(self.padding[::2]) + 1)
        held, freed = ({last - first for first, last in pairs} for pairs in self._row_counts())
        amounts = {
            "address bits": address,
            "row address bits": address - zeros,
            "position bits": sum(bits_for(n) for n in positions),
            "line bits": bits_for(words),
            "row count bits": rows.bit_length(),
            "place bits": sum(bits_for(n) for n in places) if padded else 0,
        }
        code = self._pad_code if padded else 0
        return Terms(
            lut={
                **amounts,
                "wrapping address bits": address if wrapping_bits(rows * words) else 0,
                "wrapping row address bits": address - zeros if wrapping_bits(rows * words) else 0,
                "row table": bits_for(len(held)) + bits_for(len(freed)),
                "ring": ring.lut,
                "padding bits": folding["SIMD"] * code.bit_count(),
            },
            ff={**amounts, "ring": ring.ff, "bits": bits + self.masked},
            rest=Resources(lutram=ring.lutram, bram18=ring.bram18),
        )

    def _row_counts(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """For every output row, from where to where the rows that it holds and those that it frees."""
        steps = self.steps
        return [(first, need) for first, need, _ in steps], [(first, then) for first, _, then in steps]

    def rtl(self, folding: Folding) -> RtlCell:
        high, low = divmod(self._pad_code, 1 << PAD_SPLIT)
        return RtlCell("bx_sliding_window", {**self._parameters(folding), "PAD": low, "PAD_HIGH": high})

    def hls(self, folding: Folding) -> HlsCall:
        sizes = self._parameters(folding).values()
        return HlsCall("sliding_window.hpp", "sliding_window", (*sizes, self.hls_steps(folding), self._pad_code))
