"""What an operator hands to the templates: one RTL instance and one HLS call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import BitexpertError

__all__ = ["HlsCall", "Memory", "RtlCell", "pack_words"]


@dataclass(frozen=True)
class Memory:
    """Initial contents of a read-only memory: one unsigned integer a word, word 0 first."""

    width: int
    words: Sequence[int]

    def __post_init__(self) -> None:
        if not self.words or any(not 0 <= w < (1 << self.width) for w in self.words):
            raise BitexpertError(f"a memory needs words of 0..2^{self.width}-1")

    def readmemh(self) -> str:
        """Text of a file for ``$readmemh``."""
        digits = -(-self.width // 4)
        return "".join(f"{w:0{digits}x}\n" for w in self.words)


@dataclass(frozen=True)
class RtlCell:
    """One instance of a cell of ``hw/rtl``.

    Parameters
    ----------
    module : str
        Module name; the file is ``hw/rtl/<module>.sv``.
    parameters : mapping of str to int
    memories : mapping of str to Memory
        File-name parameter of the module -> contents. The emitter names the file.
    inputs, outputs : sequence of str
        Port prefixes in the order of the operator's inputs and outputs: prefix ``s_axis`` means
        the ports ``s_axis_tdata``, ``s_axis_tvalid`` and ``s_axis_tready``.
        Prefixes ``m_axis[0]``, ``m_axis[1]`` ... are slices of the vector ports ``m_axis_*``; stream i
        is slice i, stream 0 in the low bits. They stand in ascending order (Fork).
    submodules : sequence of str
        Further modules of ``hw/rtl`` that the module instantiates.
    """

    module: str
    parameters: Mapping[str, int] = field(default_factory=dict)
    memories: Mapping[str, Memory] = field(default_factory=dict)
    inputs: Sequence[str] = ("s_axis",)
    outputs: Sequence[str] = ("m_axis",)
    submodules: Sequence[str] = ()


@dataclass(frozen=True)
class HlsCall:
    """One call of a function template of ``hw/hls``.

    Rendered as ``bx::function<template_args>(inputs..., outputs..., tables...)`` where the
    inputs and outputs are the operator's streams in order.

    Parameters
    ----------
    header : str
        File of ``hw/hls`` that declares the function.
    function : str
        Name in namespace ``bx``.
    template_args : sequence of int
    tables : mapping of str to Memory
        Constant arrays ``const ap_uint<width> name[len(words)]``, passed last, in order.
    extra_input_depth : sequence of int
        Beats of room that the input streams need on top of their FIFOs (FrameHold keeps its
        frame in the stream before it). Empty means none.
    """

    header: str
    function: str
    template_args: Sequence[int] = ()
    tables: Mapping[str, Memory] = field(default_factory=dict)
    extra_input_depth: Sequence[int] = ()


def pack_words(fields: np.ndarray, bits: int) -> list[int]:
    """Rows of fields to memory words.

    Parameters
    ----------
    fields : ndarray of int, shape (words, fields per word)
        Field 0 lands in the low bits; negative values in two's complement.
    bits : int
        Width of one field.

    Returns
    -------
    list of int, one a row.
    """
    codes = np.asarray(fields, dtype=np.int64).view(np.uint64) & np.uint64((1 << bits) - 1)
    planes = ((codes[:, :, None] >> np.arange(bits, dtype=np.uint64)) & np.uint64(1)).astype(np.uint8)
    rows = np.packbits(planes.reshape(len(codes), -1), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in rows]
