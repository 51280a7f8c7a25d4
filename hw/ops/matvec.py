"""Matrix-vector products of +-1 weights: convolutions behind a SlidingWindow, and dense layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..cells import HlsCall, Memory, RtlCell, pack_words
from ..resources import Resources, memory
from ..timing import Channel, Pipe, Process
from ..types import BIPOLAR, Element, StreamType, int_for, uint_t
from .base import Folding, Operator, divisors, require

__all__ = ["MatVec"]

# Elements whose sum is formed in one cycle (parameter SLICE of the RTL); wider beats take one stage more.
SLICE_BITS = 32
SLICE_NUMBERS = 4


@dataclass(frozen=True, eq=False)
class MatVec(Operator):
    """Accumulators ``weights @ window`` for every pixel and group, from the bank that the frame's token names.

    ``acc = 2 * popcount(xnor) - n`` over the n taps that are not padding, for bipolar inputs; the sum of ``+x``
    and ``-x`` for numbers.

    Parameters
    ----------
    stream : StreamType
        Windows, shape (OH, OW, groups * columns), group-major; maybe masked. A dense layer has (1, 1, inputs).
    weights : ndarray of int8, shape (banks, groups, rows, columns)
        Each -1 or +1; the columns are in the order of the window.
    tap : int
        Channels of one tap of the window (the Cg of the SlidingWindow in front), which SIMD must divide;
        0 if there is no window. A masked stream needs it: its beats are all padding or none.

    Raises
    ------
    OperatorError
        A weight other than +-1, or shapes that do not fit.

    Notes
    -----
    With more than one bank a second input carries one token a frame, the index of the bank. The banks lie in
    one memory, so that experts cost depth and not width (the selection of Expert Binary Convolution,
    arXiv:2010.03558, as an address).
    """

    stream: StreamType
    weights: np.ndarray
    tap: int = 0

    def __post_init__(self) -> None:
        w = np.asarray(self.weights)
        require(w.ndim == 4 and w.size > 0, f"MatVec weights must be (banks, groups, rows, columns), not {w.shape}")
        wrong = (w != 1) & (w != -1)
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            require(False, f"MatVec weights must be -1 or +1; weight {place} is {w[place]}")
        object.__setattr__(self, "weights", np.ascontiguousarray(w, dtype=np.int8))
        channels = self.stream.shape[2]
        require(
            channels == self.groups * self.columns,
            f"MatVec weights of {self.groups} groups x {self.columns} columns do not fit {channels} stream channels",
        )
        require(
            self.tap >= 0 and (self.tap == 0 or self.columns % self.tap == 0),
            f"MatVec tap={self.tap} must divide the {self.columns} columns (0: no window in front)",
        )
        require(self.tap > 0 or not self.stream.masked, "MatVec on a masked stream needs the window's tap")
        _ = self.element  # refuses accumulators that no element holds

    # -- sizes ----------------------------------------------------------------------------------
    @property
    def banks(self) -> int:
        """Weight sets, one an expert."""
        return int(self.weights.shape[0])

    @property
    def groups(self) -> int:
        """Groups of the convolution."""
        return int(self.weights.shape[1])

    @property
    def rows(self) -> int:
        """Output channels of a group."""
        return int(self.weights.shape[2])

    @property
    def columns(self) -> int:
        """Inputs of a group's window."""
        return int(self.weights.shape[3])

    @property
    def pixels(self) -> int:
        """Windows of a frame."""
        return self.stream.shape[0] * self.stream.shape[1]

    @property
    def element(self) -> Element:
        """The narrowest element that holds every reachable accumulator."""
        x = self.stream.element
        ups = np.count_nonzero(self.weights == 1, axis=3)
        downs = self.columns - ups
        # padded taps add 0, which lies between the extremes of a bipolar row
        low, high = ups * x.min - downs * x.max, ups * x.max - downs * x.min
        return int_for(int(low.min()), int(high.max()))

    @property
    def token(self) -> StreamType:
        """Type of the token stream (used if there is more than one bank)."""
        return StreamType(uint_t(max(1, (self.banks - 1).bit_length())), (1, 1, 1))

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.stream, self.token) if self.banks > 1 else (self.stream,)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        h, w, _ = self.stream.shape
        return (StreamType(self.element, (h, w, self.groups * self.rows)),)

    # -- values ---------------------------------------------------------------------------------
    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        x = values[0]
        frames, (h, w, _) = len(x), self.stream.shape
        largest = max(abs(self.stream.element.min), self.stream.element.max) * self.columns
        # every partial sum is an integer up to `largest`, so BLAS is exact in any order
        exact = np.float32 if largest < 1 << 24 else np.float64
        out = np.empty((frames, h, w, self.groups * self.rows), dtype=np.int64)
        if self.banks == 1:
            out[:] = self._products(x.astype(exact), 0)
            return (out,)
        tokens = values[1].reshape(frames)
        bad = tokens[(tokens < 0) | (tokens >= self.banks)]
        require(bad.size == 0, f"MatVec has {self.banks} banks; token {bad[0] if bad.size else ''} names none")
        for bank in np.unique(tokens):
            chosen = tokens == bank
            out[chosen] = self._products(x[chosen].astype(exact), int(bank))
        return (out,)

    def _products(self, x: np.ndarray, bank: int) -> np.ndarray:
        weights = self.weights[bank].astype(x.dtype)
        if self.groups == 1:
            result = x.reshape(-1, self.columns) @ weights[0].T
        else:
            windows = x.reshape(-1, self.groups, self.columns).transpose(1, 0, 2)
            result = np.matmul(windows, weights.transpose(0, 2, 1)).transpose(1, 0, 2)
        return result.reshape(*x.shape[:3], self.groups * self.rows)

    # -- folding --------------------------------------------------------------------------------
    def foldings(self) -> dict[str, tuple[int, ...]]:
        return {"PE": divisors(self.rows), "SIMD": divisors(self.tap or self.columns)}

    def _folds(self, folding: Folding) -> tuple[int, int]:
        """Row folds NF and beats of a window SF."""
        return self.rows // folding["PE"], self.columns // folding["SIMD"]

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (folding["SIMD"], 1)[: len(self.inputs)], (folding["PE"],)

    def cycles(self, folding: Folding) -> int:
        nf, sf = self._folds(folding)
        return self.pixels * self.groups * nf * sf

    def _slice(self) -> int:
        return SLICE_BITS if self.stream.element == BIPOLAR else SLICE_NUMBERS

    def latency(self, folding: Folding) -> int:
        """Cycles from a window's last beat of work to its output beat."""
        return 5 if folding["SIMD"] > self._slice() else 4

    def _steps(self, folding: Folding) -> Iterator[tuple[bool, bool]]:
        nf, sf = self._folds(folding)
        window = [(fold == 0, beat == sf - 1) for fold in range(nf) for beat in range(sf)]
        for _ in range(self.pixels * self.groups):
            yield from window

    def processes(
        self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel], frames: int
    ) -> list[Process]:
        pipe = Pipe(outs[0], self.latency(folding))

        def fire() -> Process:
            cycle = -1
            for _ in range(frames):
                sources = list(ins)  # the frame's first beat of work takes its token, too
                for takes, produces in self._steps(folding):
                    cycle += 1
                    if takes:
                        for source in sources:
                            while (arrival := source.available()) is None:
                                yield source
                            cycle = max(cycle, arrival)
                    while (free := pipe.settle(cycle)) is None:
                        yield outs[0]
                    cycle = free
                    if takes:
                        for source in sources:
                            source.read(cycle)
                        sources = [ins[0]]
                    if produces:
                        pipe.push(cycle)

        return [fire(), pipe.drain()]

    # -- hardware -------------------------------------------------------------------------------
    def resources(self, folding: Folding) -> Resources:
        """Estimate, fitted to the LCs that Yosys 0.70 counts for this cell (within 6 % at PE 4..8, SIMD 3..64)."""
        nf, sf = self._folds(folding)
        pe, simd, bits = folding["PE"], folding["SIMD"], self.stream.element.bits
        acc, beat = self.element.bits, self.stream.beat_bits(simd)
        slices = -(-simd // self._slice())
        part = bits + min(simd, self._slice()).bit_length()  # width of a slice's sum
        total = bits + simd.bit_length()  # width of a beat's sum
        signed_sums = 1.1 * simd * (bits + 1) + total * (slices - 1)
        products = 1.45 * simd if self.stream.element == BIPOLAR else signed_sums  # 1.45: xnor and popcount
        counters = sf.bit_length() + nf.bit_length() + self.groups.bit_length()
        logic = Resources(
            lut=pe * (products + acc) + (beat / 2 if nf > 1 else 0) + 2 * counters + 20,
            ff=pe * (slices * part + (total if slices > 1 else 0) + acc) + 2 * beat + 2 * counters + 20,
        )
        weights = memory(self.banks * self.groups * nf * sf, pe * simd)
        window = memory(sf, beat) if nf > 1 else Resources()
        # the second register of the weights is block RAM's own
        return logic + weights + window + Resources(ff=0 if weights.bram18 else pe * simd)

    def _weight_memory(self, folding: Folding, rows: int) -> Memory:
        """Words of ``rows`` rows each: all PE of a fold, or one."""
        nf, sf = self._folds(folding)
        pe, simd = folding["PE"], folding["SIMD"]
        folded = self.weights.reshape(self.banks, self.groups, nf, pe, sf, simd).transpose(0, 1, 2, 4, 3, 5)
        return Memory(rows * simd, pack_words(folded.reshape(-1, rows * simd) > 0, 1))

    def rtl(self, folding: Folding) -> RtlCell:
        nf, sf = self._folds(folding)
        element = self.stream.element
        parameters = {
            "PE": folding["PE"],
            "SIMD": folding["SIMD"],
            "SF": sf,
            "NF": nf,
            "GROUPS": self.groups,
            "PIXELS": self.pixels,
            "IN_BITS": element.bits,
            "BIPOLAR": int(element == BIPOLAR),
            "SIGNED": int(element.kind == "int"),
            "MASKED": int(self.stream.masked),
            "SLICE": self._slice(),
            "ACC_W": self.element.bits,
        }
        memories = {"WEIGHTS": self._weight_memory(folding, folding["PE"])}
        if self.banks == 1:
            return RtlCell("bx_matvec_single", parameters, memories, submodules=("bx_rom", "bx_matvec"))
        parameters["BANKS"] = self.banks
        return RtlCell("bx_matvec", parameters, memories, inputs=("s_axis", "s_token"), submodules=("bx_rom",))

    def hls(self, folding: Folding) -> HlsCall:
        nf, sf = self._folds(folding)
        element = self.stream.element
        kind = {"bipolar": 0, "uint": 1, "int": 2}[element.kind]
        sizes = (folding["PE"], folding["SIMD"], sf, nf, self.groups, self.pixels)
        types = (kind, element.bits, int(self.stream.masked), self.element.bits)
        # a row a word, so that no ap_uint gets wider than the tools allow; HLS joins them again
        tables = {"weights": self._weight_memory(folding, 1)}
        if self.banks == 1:
            return HlsCall("matvec.hpp", "matvec", (*sizes, *types), tables)
        return HlsCall("matvec.hpp", "matvec_banks", (*sizes, *types, self.banks, self.token.element.bits), tables)

    def operations(self) -> int:
        return self.pixels * self.groups * self.rows * self.columns
