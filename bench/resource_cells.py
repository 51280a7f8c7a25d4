"""The cells that the resource model is fitted to: random operators of every kind, always the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from bitexpert.errors import BitexpertError
from bitexpert.hw.ops import Operator
from bitexpert.hw.ops.add import Add
from bitexpert.hw.ops.affine import Affine
from bitexpert.hw.ops.base import divisors
from bitexpert.hw.ops.concat import Concat
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.ops.fork import Fork
from bitexpert.hw.ops.frame_hold import FrameHold
from bitexpert.hw.ops.gate import Gate
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.ops.pool import Pool
from bitexpert.hw.ops.slice import Slice
from bitexpert.hw.ops.sliding_window import SlidingWindow
from bitexpert.hw.ops.threshold import Threshold
from bitexpert.hw.ops.topk import TopK
from bitexpert.hw.ops.width_convert import WidthConvert
from bitexpert.hw.ops.window_pool import WindowPool
from bitexpert.hw.types import BIPOLAR, Element, StreamType, int_for, int_t, uint_t

__all__ = ["Cell", "cells"]

Rng = np.random.Generator
Made = tuple[Operator, Mapping[str, int]]


@dataclass(frozen=True)
class Cell:
    """An operator with a folding.

    Parameters
    ----------
    op : Operator
    folding : mapping of str to int
    """

    op: Operator
    folding: Mapping[str, int]

    @property
    def kind(self) -> str:
        """Kind of the operator."""
        return self.op.kind

    @property
    def name(self) -> str:
        """Parameters of the RTL cell, which tell it from every other cell of its kind."""
        return " ".join(f"{name}={value}" for name, value in self.op.rtl(self.folding).parameters.items())


def cells() -> Iterator[Cell]:
    """Every cell of the sweep, the kinds mixed: a part of them is spread over all kinds too."""
    groups = [list(_of_kind(kind)) for kind in _KINDS]
    order = sorted(((i + 0.5) / len(group), k, i) for k, group in enumerate(groups) for i in range(len(group)))
    for _, k, i in order:
        yield groups[k][i]


def _of_kind(kind: str) -> Iterator[Cell]:
    draw, count = _KINDS[kind]
    rng = np.random.default_rng(sum(kind.encode()))
    seen: set[str] = set()
    while len(seen) < count:
        try:
            cell = Cell(*draw(rng))
        except BitexpertError:  # a kernel larger than its frame, and the like: another one
            continue
        if cell.name not in seen:
            seen.add(cell.name)
            yield cell


# -- what is drawn ------------------------------------------------------------------------------------
def _pick(rng: Rng, *values: int) -> int:
    return int(rng.choice(values))


def _fold(rng: Rng, *widths: int) -> int:
    """A divisor of all, at most 32."""
    return _pick(rng, *[d for d in divisors(int(np.gcd.reduce(widths))) if d <= 32])


def _signs(rng: Rng, *shape: int) -> np.ndarray:
    return (2 * rng.integers(0, 2, shape) - 1).astype(np.int8)


def _element(rng: Rng) -> Element:
    return (BIPOLAR, BIPOLAR, uint_t(_pick(rng, 2, 4, 8)), int_t(_pick(rng, 4, 8, 12, 16)))[_pick(rng, 0, 1, 2, 3)]


def _stream(rng: Rng, element: Element | None = None) -> StreamType:
    size = _pick(rng, 4, 6, 8, 14, 16, 32)
    return StreamType(element or _element(rng), (size, size, _pick(rng, 2, 3, 8, 12, 16, 32, 64)))


def _matvec(rng: Rng) -> Made:
    """Two thirds bits with weights +-1, as a binary network has them; the others with at most 64 products."""
    x, weight_bits = BIPOLAR, 1
    if rng.random() < 1 / 3:
        x = (BIPOLAR, uint_t(_pick(rng, 1, 2, 4, 8)), int_t(_pick(rng, 2, 4, 8)))[_pick(rng, 0, 1, 1, 2)]
        weight_bits = _pick(rng, 2, 4, 8) if x == BIPOLAR else _pick(rng, 1, 1, 4, 8)
    most = 512 if x == BIPOLAR and weight_bits == 1 else 64
    while True:
        pe = _pick(rng, 1, 2, 4, 8, 16, 32)
        simd = _pick(rng, 1, 2, 3, 4, 6, 8, 9, 12, 16, 24, 32, 36, 48, 64, 96, 128)
        if 4 <= pe * simd <= most:
            break
    tap = simd * _pick(rng, 1, 1, 2, 4)
    taps = _pick(rng, 1, 3, 9, 9, 25)
    banks, groups = _pick(rng, 1, 1, 1, 1, 2, 3, 4, 8), _pick(rng, 1, 1, 1, 2, 4)
    shape = (banks, groups, pe * _pick(rng, 1, 1, 2, 3, 4, 8), taps * tap)
    weights: np.ndarray = _signs(rng, *shape)
    if weight_bits > 1:
        weights = rng.integers(-(1 << (weight_bits - 1)), 1 << (weight_bits - 1), shape)
    masked = x == BIPOLAR and taps > 1 and rng.random() < 0.4
    size = _pick(rng, 1, 7, 8, 14, 32)
    stream = StreamType(x, (size, size, groups * taps * tap), masked)
    return MatVec(stream, weights, tap), {"PE": pe, "SIMD": simd}


def _few_words(rng: Rng) -> Made:
    """Bits with weights +-1 that lie in LUTs: at most 64 words."""
    while True:
        pe, simd = _pick(rng, 2, 4, 8, 16), _pick(rng, 4, 8, 9, 16, 18, 32)
        banks, nf, sf = _pick(rng, 1, 1, 2, 4), _pick(rng, 1, 2, 4, 6), _pick(rng, 1, 2, 4, 9, 18, 25)
        if 16 <= pe * simd <= 256 and 5 <= banks * nf * sf <= 64:
            break
    stream = StreamType(BIPOLAR, (8, 8, sf * simd), bool(rng.integers(2)))
    return MatVec(stream, _signs(rng, banks, 1, pe * nf, sf * simd), simd), {"PE": pe, "SIMD": simd}


def _unfolded(rng: Rng) -> Made:
    """Bits with weights +-1 that are constants of the circuit."""
    while True:
        pe, simd = _pick(rng, 2, 4, 8, 16, 32), _pick(rng, 4, 9, 16, 24, 36, 48, 64, 128)
        if 32 <= pe * simd <= 512:
            break
    stream = StreamType(BIPOLAR, (8, 8, simd), bool(rng.integers(2)))
    return MatVec(stream, _signs(rng, 1, 1, pe, simd), simd), {"PE": pe, "SIMD": simd}


def _folded(rng: Rng) -> Made:
    """Bits with weights +-1, mostly control: few products at once, windows of any length, the last ones dense."""
    pe, simd = _pick(rng, 1, 2, 4), _pick(rng, 1, 2, 3, 8, 16)
    banks, groups = _pick(rng, 1, 2, 4), _pick(rng, 1, 1, 4)
    sf, size = _pick(rng, 9, 18, 27, 36, 98, 144, 300, 784), _pick(rng, 1, 5, 10, 15)
    stream = StreamType(BIPOLAR, (size, size, groups * sf * simd), sf % 9 == 0 and bool(rng.integers(2)))
    weights = _signs(rng, banks, groups, pe * _pick(rng, 4, 6, 8, 10, 16, 24), sf * simd)
    return MatVec(stream, weights, simd), {"PE": pe, "SIMD": simd}


def _first_layer(rng: Rng) -> Made:
    """Pixels of one or three channels with weights +-1."""
    pe, simd, size = _pick(rng, 4, 8, 16), _pick(rng, 1, 3), _pick(rng, 15, 30)
    stream = StreamType(uint_t(8), (size, size, 9 * simd))
    return MatVec(stream, _signs(rng, 1, 1, pe * _pick(rng, 1, 2, 6, 8), 9 * simd), simd), {"PE": pe, "SIMD": simd}


def _deep_threshold(rng: Rng) -> Made:
    """Few thresholds at once, so that a ROM of them has many words."""
    pe, bits = _pick(rng, 1, 2, 4), _pick(rng, 8, 9, 10, 11)
    stream = StreamType(int_t(bits), (5, 5, pe * _pick(rng, 24, 32, 48, 64)))
    spread = 1 << (bits - _pick(rng, 3, 4))
    limits = rng.integers(-spread, spread + 1, (1, stream.shape[2]))
    return Threshold(stream, limits, rng.integers(0, 2, limits.shape).astype(bool)), {"PE": pe}


def _threshold(rng: Rng) -> Made:
    levels = _pick(rng, 1, 1, 1, 2, 3, 7, 15)
    element = (int_t, int_t, uint_t)[_pick(rng, 0, 1, 2)](_pick(rng, 4, 6, 8, 9, 10, 12, 16))
    pe = _pick(rng, 1, 2, 4, 8, 16, 32) if levels == 1 else _pick(rng, 1, 2, 4, 8)
    copies, channels = _pick(rng, 1, 1, 2, 3, 4), pe * _pick(rng, 1, 2, 4, 6, 8, 16)
    size = _pick(rng, 1, 4, 7, 14)
    stream = StreamType(element, (size, size, channels))
    middle, spread = (element.min + element.max) // 2, (element.max - element.min) // _pick(rng, 4, 16)
    limits = np.sort(middle + rng.integers(-spread, spread + 1, (copies, channels, levels)), axis=2)
    negate = rng.integers(0, 2, (copies, channels)).astype(bool)
    if levels == 1:
        return Threshold(stream, limits, negate), {"PE": pe}
    offset = _pick(rng, 0, -1, -((levels + 1) // 2))
    return Threshold(stream, limits, negate, int_for(offset, offset + levels), offset), {"PE": pe}


def _sliding_window(rng: Rng) -> Made:
    stream = _stream(rng)
    kernel = _pick(rng, 1, 2, 3, 3, 3, 5)
    stride, pad = _pick(rng, 1, 1, 2), _pick(rng, 0, kernel // 2)
    groups = _pick(rng, 1, 1, 1, *[g for g in (2, 4) if stream.shape[2] % g == 0])
    dilation = _pick(rng, 1, 1, 1, 1, 2)
    element = stream.element
    value = _pick(rng, 0, element.min) if element == BIPOLAR else 0
    op = SlidingWindow(stream, (kernel,) * 2, (stride,) * 2, (pad,) * 4, value, groups, (dilation,) * 2)
    return op, {"SIMD": _fold(rng, op.tap)}


def _gate(rng: Rng) -> Made:
    element = (BIPOLAR, BIPOLAR, uint_t(4), int_t(8))[_pick(rng, 0, 1, 2, 3)]
    size, channels = _pick(rng, 4, 7, 8, 14, 16), _pick(rng, 8, 16, 32, 64)
    experts, largest = _pick(rng, 2, 3, 4, 4, 8), _pick(rng, 1, 7, 127)
    weights = rng.integers(-largest, largest + 1, (experts, channels))
    op = Gate(StreamType(element, (size, size, channels)), weights, rng.integers(-100, 101, experts))
    return op, {"PE": _fold(rng, channels)}


def _deep_gate(rng: Rng) -> Made:
    """More steps of the layer than a ROM of LUTs has words."""
    element = (BIPOLAR, uint_t(4))[_pick(rng, 0, 0, 1)]
    size, channels = _pick(rng, 7, 8, 16), _pick(rng, 32, 64, 128, 256)
    experts, largest = _pick(rng, 3, 4, 8), _pick(rng, 1, 7, 60, 127)
    weights = rng.integers(-largest, largest + 1, (experts, channels))
    op = Gate(StreamType(element, (size, size, channels)), weights, rng.integers(-100, 101, experts))
    wanted = [pe for pe in op.foldings()["PE"] if pe <= 16 and op.steps({"PE": pe}) > 64]
    return op, {"PE": _pick(rng, *(wanted or [1]))}


def _frame_hold(rng: Rng) -> Made:
    stream = _stream(rng, BIPOLAR)
    folding = {"PE": _fold(rng, stream.shape[2])}
    return FrameHold(stream, _pick(rng, 2, 3, 4, 8), stream.beats(folding["PE"]) + _pick(rng, 2, 40)), folding


def _fifo(rng: Rng) -> Made:
    width = _pick(rng, 1, 2, 4, 8, 12, 16, 24, 32, 36, 48, 64, 96, 128)
    depth = _pick(rng, 2, 2, 3, 4, 6, 9, 17, 24, 33, 40, 65, 80, 129, 200, 257, 400, 513, 700, 1025, 1600, 2049)
    return Fifo(StreamType(BIPOLAR, (32, 32, width)), width, depth), {}


def _fork(rng: Rng) -> Made:
    stream = _stream(rng)
    return Fork(stream, _pick(rng, 2, 3, 4, 5)), {"PE": _fold(rng, stream.shape[2])}


def _width_convert(rng: Rng) -> Made:
    element, narrow = _element(rng), _pick(rng, 1, 2, 4, 8)
    ends = [narrow, narrow * _pick(rng, 2, 3, 4, 8, 16)]
    rng.shuffle(ends)
    return WidthConvert(StreamType(element, (8, 8, max(ends))), *ends), {}


def _pool(rng: Rng) -> Made:
    stream, mode = _stream(rng), ("max", "sum")[_pick(rng, 0, 1)]
    kernel = (stream.shape[0],) * 2 if mode == "sum" and rng.random() < 0.5 else (_pick(rng, 2, 2, 3),) * 2
    return Pool(stream, kernel, mode), {"PE": _fold(rng, stream.shape[2])}


def _window_pool(rng: Rng) -> Made:
    element, channels, taps = _element(rng), _pick(rng, 2, 8, 16, 32, 64, 128), _pick(rng, 4, 9, 16, 25)
    stream = StreamType(element, (7, 7, taps * channels), element == BIPOLAR and rng.random() < 0.5)
    return WindowPool(stream, taps, ("max", "sum")[_pick(rng, 0, 1)]), {"PE": _fold(rng, channels)}


def _gain(rng: Rng) -> int:
    return _pick(rng, 1, 1, 2, -1, 3, -5, 7, 11, 100, 181, -937)


def _add(rng: Rng) -> Made:
    first = _stream(rng)
    second = StreamType(_element(rng), first.shape)
    return Add(first, second, (_gain(rng), _gain(rng))), {"PE": _fold(rng, first.shape[2])}


def _affine(rng: Rng) -> Made:
    stream, spread = _stream(rng), _pick(rng, 3, 50, 900)
    offsets = rng.integers(-spread, spread + 1, stream.shape[2])
    return Affine(stream, _gain(rng), offsets), {"PE": _fold(rng, stream.shape[2])}


def _concat(rng: Rng) -> Made:
    first = _stream(rng)
    other = _element(rng) if rng.random() < 0.5 else first.element
    second = StreamType(other, (*first.shape[:2], _pick(rng, 2, 8, 16, 32)))
    return Concat(first, second), {"PE": _fold(rng, first.shape[2], second.shape[2])}


def _slice(rng: Rng) -> Made:
    stream = _stream(rng)
    start, stop = sorted(rng.choice(stream.shape[2] + 1, 2, replace=False).tolist())
    return Slice(stream, start, stop), {"PE": _fold(rng, *[n for n in (stream.shape[2], start, stop) if n])}


def _topk(rng: Rng) -> Made:
    element = (int_t, uint_t)[_pick(rng, 0, 1)](_pick(rng, 6, 8, 10, 12, 16))
    classes = _pick(rng, 2, 10, 10, 43, 100, 1000)
    return TopK(StreamType(element, (1, 1, classes)), min(classes, _pick(rng, 1, 1, 2, 3, 5))), {}


_KINDS: dict[str, tuple[Callable[[Rng], Made], int]] = {
    "MatVec": (_matvec, 64),
    "MatVec, few words": (_few_words, 16),
    "MatVec, unfolded": (_unfolded, 10),
    "MatVec, folded": (_folded, 12),
    "MatVec, first layer": (_first_layer, 6),
    "Threshold": (_threshold, 28),
    "Threshold, deep": (_deep_threshold, 8),
    "SlidingWindow": (_sliding_window, 28),
    "Gate": (_gate, 18),
    "Gate, more steps": (_deep_gate, 16),
    "FrameHold": (_frame_hold, 8),
    "Fifo": (_fifo, 32),
    "Fork": (_fork, 4),
    "WidthConvert": (_width_convert, 12),
    "Pool": (_pool, 14),
    "WindowPool": (_window_pool, 12),
    "Add": (_add, 14),
    "Affine": (_affine, 12),
    "Concat": (_concat, 8),
    "Slice": (_slice, 6),
    "TopK": (_topk, 8),
}
