"""Matrix-vector products of +-1 or integer weights: convolutions behind a SlidingWindow, and dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..cells import HlsCall, Memory, RtlCell, pack_words
from ..memories import LOGIC_ROM_WORDS, cell_rom, ram, rom_terms
from ..programs import Instruction, Program, Repeat, Skip, Step
from ..resources import Resources, Terms, bits_for, wrapping_bits
from ..timing import Channel, Pipe
from ..types import BIPOLAR, Element, StreamType, int_for, uint_t
from .base import Folding, Operator, OperatorError, divisors, require

__all__ = ["MatVec"]

# Products whose sum is formed in one cycle (parameter SLICE of the RTL); wider beats take one stage more.
SLICE_BITS = 36
SLICE_NUMBERS = 4
LUT_INPUTS = 6
# A window of at most this many beats is always read from its buffer.
WINDOW_DEPTH = 64
# Modules inside bx_matvec.
_PARTS = ("bx_rom", "bx_lut_rom", "bx_dot", "bx_equal", "bx_equal_three", "bx_ones", "bx_sum_ones", "bx_add_ones")
# Widest word of a table in Vitis HLS
HLS_WORD = 4096


def _equal_luts(pairs: int) -> int:
    """LUTs of bx_equal: two for three pairs, then six carry-chain LUTs for each six of the ones and twos."""
    triples = -(-pairs // 3)
    return pairs if pairs < 3 else 2 * triples + 6 * -(-(triples - 1) // 6)


@dataclass(frozen=True, eq=False)
class MatVec(Operator):
    """Accumulators ``weights @ window`` for every pixel and group, from the bank that the frame's token names.

    With +-1 weights: ``acc = 2 * popcount(xnor) - n`` over the n taps that are not padding, for bipolar inputs; the
    sum of ``+x`` and ``-x`` for numbers. With other weights: the sum of products. Padded taps are 0.

    Parameters
    ----------
    stream : StreamType
        Windows, shape (OH, OW, groups * columns), group-major; maybe masked. A dense layer has (1, 1, inputs).
    weights : ndarray of integers, shape (banks, groups, rows, columns)
        Each -32768..32767, of any integer or floating type; kept as int8 if that holds them, else as int16. The
        columns are in the order of the window.
    tap : int
        Channels of one tap of the window (the Cg of the SlidingWindow in front), which SIMD must divide;
        0 if there is no window. A masked stream needs it: its beats are all padding or none.

    Raises
    ------
    OperatorError
        A weight that is no integer of 16 bits, or shapes that do not fit.

    Notes
    -----
    With more than one bank a second input carries one token a frame, the index of the bank. The banks lie in
    one memory, so that experts cost depth and not width (the selection of Expert Binary Convolution,
    arXiv:2010.03558, as an address).

    A product of two numbers is a sum of terms, one for each digit of base 4 of the factor that has fewer (Booth's
    recoding): n bits of two's complement are ceil(n / 2) digits, a +-1 is one.
    """

    stream: StreamType
    weights: np.ndarray
    tap: int = 0

    def __post_init__(self) -> None:
        w = np.asarray(self.weights)
        require(w.ndim == 4 and w.size > 0, f"MatVec weights must be (banks, groups, rows, columns), not {w.shape}")
        require(w.dtype.kind in "iuf", f"MatVec weights must be integers, not {w.dtype}")
        wrong = ~((w >= -(1 << 15)) & (w < 1 << 15))
        if w.dtype.kind == "f":
            wrong |= w != np.rint(w)
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            require(False, f"MatVec weights must be integers of -32768..32767; weight {place} is {w[place]}")
        narrow = w.min() >= -128 and w.max() <= 127
        object.__setattr__(self, "weights", np.ascontiguousarray(w, dtype=np.int8 if narrow else np.int16))
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

    @cached_property
    def weight_bits(self) -> int:
        """Bits of a weight: 1 if all are +-1, else the narrowest two's complement of all, at least 2."""
        if bool(np.all(np.abs(self.weights) == 1)):
            return 1
        return max(2, int_for(min(-1, int(self.weights.min())), int(self.weights.max())).bits)

    @cached_property
    def _sums(self) -> list[tuple[int, int]]:
        """Sum of the positive weights of every row, and of the negated negative ones."""
        ups = np.maximum(self.weights, 0).sum(axis=3, dtype=np.int64)
        downs = ups - self.weights.sum(axis=3, dtype=np.int64)
        return list(zip(ups.ravel().tolist(), downs.ravel().tolist(), strict=True))

    @cached_property
    def element(self) -> Element:
        """The narrowest element that holds every reachable accumulator."""
        x = self.stream.element
        # padded taps add 0, which lies between the extremes of every product with a bipolar input
        low = min(up * x.min - down * x.max for up, down in self._sums)
        high = max(up * x.max - down * x.min for up, down in self._sums)
        return int_for(low, high)

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
        largest = max(abs(self.stream.element.min), self.stream.element.max) * max(map(sum, self._sums))
        # every partial sum of a row is an integer up to `largest`, so BLAS is exact in any order
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

    @property
    def _counts(self) -> bool:
        """Whether a product is an xnor and a sum counts bits."""
        return self.stream.element == BIPOLAR and self.weight_bits == 1

    def _slice(self) -> int:
        return SLICE_BITS if self._counts else SLICE_NUMBERS

    def _factors(self) -> tuple[int, int, int]:
        """Of a product: digits (base 4) and bits of the factor that is read by digits, bits of the other one."""
        x, bits = self.stream.element, self.weight_bits
        of_input = 1 if x == BIPOLAR else (x.bits + (2 if x.kind == "uint" else 1)) // 2
        of_weight = (bits + 1) // 2
        if bits > 1 and (x == BIPOLAR or of_input < of_weight):
            return of_input, x.bits, bits
        return of_weight, bits, x.bits

    def latency(self, folding: Folding) -> int:
        """Cycles from a window's last beat of work to its output beat."""
        return 4 + (folding["SIMD"] > self._slice()) + (self._factors()[0] > 1)

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        pipe = Pipe(outs[0], self.latency(folding))
        nf, sf = self._folds(folding)

        def window(sources: tuple[Channel, ...]) -> list[Instruction]:
            takes = (Step(sources, pipe, produces=False), Step((ins[0],), pipe, False, sf - 2)) if sf > 1 else ()
            last = Step((ins[0],) if sf > 1 else sources, pipe)
            again = Repeat(nf - 1, (Skip(pipe, sf),))  # the window, from its memory
            return [*takes, last, again]

        # the frame's first beat of work takes its token, too
        windows = Repeat(self.pixels * self.groups - 1, tuple(window((ins[0],))))
        return [[*window(tuple(ins)), windows]]

    # -- hardware -------------------------------------------------------------------------------
    def terms(self, folding: Folding) -> Terms:
        nf, sf = self._folds(folding)
        pe, simd = folding["PE"], folding["SIMD"]
        # sums of bits count in twos, unless padding takes out an odd number of them
        in_twos = self._counts and not (self.stream.masked and simd % 2)
        acc, beat = self.element.bits - in_twos, self.stream.beat_bits(simd)
        words = self.banks * self.groups * nf * sf
        weights = cell_rom(words, pe * simd * self.weight_bits)
        window = ram(sf, beat, one_port=sf > WINDOW_DEPTH) if nf > 1 and sf > 1 else Resources(ff=beat)
        arrives = 0 if nf > 1 and sf <= WINDOW_DEPTH else beat  # beside the window
        positions = (sf, nf, self.groups, self.pixels)
        counters = {
            "position bits": sum(bits_for(n) for n in positions),
            "wrapping position bits": sum(wrapping_bits(n) for n in positions),
            "address bits": bits_for(words),
            "bank bits": bits_for(words) if self.banks > 1 else 0,
        }
        in_luts = weights.lut if words <= LOGIC_ROM_WORDS else 0
        lut, ff = self._product_terms(folding)
        return Terms(
            lut={
                **{name: pe * amount for name, amount in lut.items()},
                "accumulator bits": pe * acc,
                # with banks, synthesis repeats the choice of the address for every bit
                **rom_terms(words, in_luts if self.banks == 1 else 0),
                **rom_terms(words, in_luts if self.banks > 1 else 0, "ROM of banks"),
                "block RAM rows": weights.lut - in_luts,
                "window": window.lut + (beat if nf > 1 and arrives else 0),
                **counters,
            },
            ff={
                **{name: pe * amount for name, amount in ff.items()},
                "accumulator bits": pe * acc,
                # the first register is the memory's own where that is block RAM
                "weights": 2 * weights.ff if words <= LOGIC_ROM_WORDS else pe * simd * self.weight_bits,
                "window": window.ff + (2 * arrives if nf > 1 else arrives),
                **counters,
            },
            rest=Resources(lutram=window.lutram + min(sf - 1, 2), bram18=window.bram18 + weights.bram18),
            variant="of bits" if self._counts else "of numbers",
        )

    def _product_terms(self, folding: Folding) -> tuple[dict[str, float], dict[str, float]]:
        """Terms of a row's products and their sum: LUTs, flip-flops."""
        simd, step = folding["SIMD"], self._slice()
        sizes = [min(step, simd - at) for at in range(0, simd, step)]
        terms, by, other = self._factors()
        popcount = constant = summed = products = 0
        if self._counts:
            part, total = sizes[0].bit_length(), simd.bit_length()
            if self.weights[..., 0].size == folding["PE"] and self.columns == simd:
                # one word of weights; rows of few bits are the same or each other's inverse
                constant = simd * min(1, 2 ** min(simd - 1, 30) / folding["PE"])
            else:
                popcount = sum(map(_equal_luts, sizes))
        else:
            part, total = by + other + bits_for(sizes[0]), by + other + bits_for(simd)
            # few bits in all: a LUT for each bit of the sum
            adders = [1 if terms == 1 and n * (by + other) <= LUT_INPUTS else n - (terms > 1) for n in sizes]
            summed = sum(adders) * part
            products = simd * (by + other) if terms > 1 else 0
        slices = len(sizes)
        lut: dict[str, float] = {
            "popcount": popcount,
            "popcount with constants": constant,
            "summed bits": summed,
            "digit bits": simd * terms * (other + 2) if terms > 1 else 0,
            "slice bits": (slices - 1) * total,
        }
        ff: dict[str, float] = {"part bits": slices * part + (total if slices > 1 else 0), "product bits": products}
        return lut, ff

    def _weight_memory(self, folding: Folding, rows: int) -> Memory:
        """Words of ``rows`` rows each: all PE of a fold, or one."""
        nf, sf = self._folds(folding)
        pe, simd = folding["PE"], folding["SIMD"]
        bits = self.weight_bits
        folded = self.weights.reshape(self.banks, self.groups, nf, pe, sf, simd).transpose(0, 1, 2, 4, 3, 5)
        fields = folded.reshape(-1, rows * simd)
        return Memory(rows * simd * bits, pack_words(fields > 0 if bits == 1 else fields, bits))

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
            "WEIGHT_BITS": self.weight_bits,
        }
        memories = {"WEIGHTS": self._weight_memory(folding, folding["PE"])}
        if self.banks == 1:
            return RtlCell("bx_matvec_single", parameters, memories, submodules=("bx_matvec", *_PARTS))
        parameters["BANKS"] = self.banks
        inputs = ("s_axis", "s_token")
        return RtlCell("bx_matvec", parameters, memories, inputs, submodules=_PARTS)

    def hls(self, folding: Folding) -> HlsCall:
        nf, sf = self._folds(folding)
        element = self.stream.element
        kind = {"bipolar": 0, "uint": 1, "int": 2}[element.kind]
        sizes = (folding["PE"], folding["SIMD"], sf, nf, self.groups, self.pixels)
        types = (kind, element.bits, int(self.stream.masked), self.element.bits, self.weight_bits)
        # a row a word, so that no ap_uint gets wider than the tools allow; HLS joins them again
        word = folding["SIMD"] * self.weight_bits
        if word > HLS_WORD:
            raise OperatorError(
                f"MatVec reads {word} bits of weights a row ({folding['SIMD']} of {self.weight_bits} bits), Vitis HLS "
                f"takes at most {HLS_WORD}; fold it with a smaller SIMD"
            )
        tables = {"weights": self._weight_memory(folding, 1)}
        if self.banks == 1:
            return HlsCall("matvec.hpp", "matvec", (*sizes, *types), tables)
        return HlsCall("matvec.hpp", "matvec_banks", (*sizes, *types, self.banks, self.token.element.bits), tables)

    def operations(self) -> int:
        return self.pixels * self.groups * self.rows * self.columns
