"""Parts of the fast engine's emission: the template's context, number types, and the layout of constants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import BitexpertError
from ..hw.ops.sliding_window import SlidingWindow
from ..hw.ops.threshold import Threshold
from ..hw.types import BIPOLAR, StreamType

__all__ = [
    "BITS",
    "VECTOR",
    "WORD",
    "WORD_LANES",
    "Buffer",
    "FastDesign",
    "Port",
    "Step",
    "Table",
    "Tensor",
    "Token",
    "View",
    "blocks_of",
    "ctype_of",
    "dtype_of",
    "geometry",
    "pack_bits",
    "store_of",
    "template",
    "threshold_tables",
    "words_of",
]

WORD, WORD_LANES = 64, 8  # as in fast_kernels.hpp
VECTOR = 64  # bytes
BITS = "bits"


# -- context of templates/fast ----------------------------------------------------------------------
@dataclass(frozen=True)
class Buffer:
    """A frame of one tensor in the engine."""

    name: str
    ctype: str
    count: int
    text: str


@dataclass(frozen=True)
class Table:
    """A constant array in weights.bin."""

    name: str
    ctype: str
    offset: int


@dataclass(frozen=True)
class Token:
    """The check of a bank index: the step returns ``code`` if the token names none."""

    buffer: str
    banks: int
    code: int


@dataclass(frozen=True)
class Step:
    """What one operator, or a fused group of operators, does."""

    name: str
    text: str
    sizes: tuple[tuple[str, int], ...]
    calls: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    token: Token | None = None


@dataclass(frozen=True)
class Port:
    """A tensor that crosses the engine's border."""

    index: int
    buffer: str
    ctype: str
    elements: int
    function: str
    text: str


@dataclass(frozen=True)
class FastDesign:
    """Context of templates/fast."""

    made_by: str
    summary: str
    buffers: tuple[Buffer, ...]
    steps: tuple[Step, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    traced: tuple[Port, ...]
    table_bytes: int
    signature: str


# -- values while the graph is lowered --------------------------------------------------------------
@dataclass(frozen=True)
class Tensor:
    """Where a stream's frame lies; ``store`` is ``bits`` (packed) or a numpy integer type."""

    buffer: str
    store: str
    kind: StreamType


@dataclass(frozen=True)
class View:
    """The windows of a tensor, not made."""

    source: Tensor
    op: SlidingWindow


def store_of(kind: StreamType) -> str:
    """How a frame is kept: packed bits, or numbers of the narrowest type (a masked one as -1, 0, +1)."""
    if kind.masked:
        return "int8"
    if kind.element.kind == "bipolar":
        return BITS
    bits = kind.element.bits
    if kind.element.kind == "uint":
        if bits <= 8:
            return "uint8"
        bits += 1
    return next(f"int{n}" for n in (8, 16, 32, 64) if bits <= n)


def ctype_of(store: str) -> str:
    """C++ type of a word or number."""
    return "u64" if store == BITS else f"std::{store}_t"


def dtype_of(port: Port) -> str:
    """Numpy type of the numbers that cross a border."""
    return port.ctype.removeprefix("std::").removesuffix("_t")


def words_of(channels: int) -> int:
    """Words of a pixel."""
    return -(-channels // WORD)


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """The last axis to words, element 0 in bit 0, spare bits 0."""
    padded = np.zeros((*bits.shape[:-1], words_of(bits.shape[-1]) * WORD), np.uint8)
    padded[..., : bits.shape[-1]] = bits
    return np.ascontiguousarray(np.packbits(padded, axis=-1, bitorder="little")).view("<u8")


def blocks_of(values: np.ndarray, axis: int, lanes: int) -> np.ndarray:
    """Split an axis into (blocks, lanes), filled up with zeros."""
    missing = -values.shape[axis] % lanes
    widths = [(0, missing if i == axis else 0) for i in range(values.ndim)]
    padded = np.pad(values, widths)
    shape = padded.shape
    return padded.reshape(*shape[:axis], -1, lanes, *shape[axis + 1 :])


def threshold_tables(op: Threshold, groups: int, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds [copy][group][block][lane] and their negations, one word of bits a block."""
    if op.levels > 1 or op.out != BIPOLAR:
        raise BitexpertError(f"the fast engine has Threshold to signs alone, not {op.levels} levels as {op.out}")
    element, thresholds = op.stream.element, op.thresholds[..., 0]
    never = thresholds > element.max  # max + 1 may not fit the lane: never is not-always
    limits = np.where(never, element.min, thresholds).reshape(op.copies, groups, -1)
    negate = (op.negate != never).reshape(op.copies, groups, -1).astype(np.uint8)
    return blocks_of(limits, 2, lanes), pack_bits(blocks_of(negate, 2, lanes))[..., 0]


def template(function: str, *arguments: object) -> str:
    """A kernel with its template arguments."""
    return f"bx::{function}<{', '.join(map(str, arguments))}>"


def geometry(window: SlidingWindow) -> dict[str, int]:
    """Sizes that every kernel with a window needs."""
    (h, w, _), (oh, ow) = window.stream.shape, window.out_size
    sizes = {"in_height": h, "in_width": w, "out_height": oh, "out_width": ow, "groups": window.groups}
    for name, (rows, columns) in (("kernel", window.kernel), ("stride", window.stride), ("dilation", window.dilation)):
        sizes |= {f"{name}_h": rows, f"{name}_w": columns}
    return sizes | {"top": window.padding[0], "left": window.padding[1]}
