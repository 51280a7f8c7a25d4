"""Chooses the expert of a frame: spatial sums, a small integer layer, argmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cells import HlsCall, Memory, RtlCell, pack_words
from ..memories import line, multiplexer, rom, rom_terms
from ..programs import Arrived, Program, Read, Skip, fill
from ..resources import Resources, Terms, bits_for, wrapping_bits
from ..timing import Channel, Pipe
from ..types import StreamType, uint_t
from .add import DSP_BITS
from .base import Folding, Operator, divisors, require

__all__ = ["Gate"]


def _signed_bits(low: int, high: int) -> int:
    """Bits of a two's complement number that holds ``low..high``."""
    return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length() if high > 0 else 0) + 1


@dataclass(frozen=True, eq=False)
class Gate(Operator):
    """One expert index a frame: the lowest e with the largest z[e] = sum_c w[e,c] * S[c] + b[e].

    S[c] is the sum of channel c over the frame (bits count as +1 and -1). The gate of Expert Binary
    Convolution (arXiv:2010.03558, equations 3 and 5) is the average over the frame, a linear
    layer and the argmax; 1/(H*W) and a BatchNorm before it are folded into integer w and b at export.

    The sums of one frame are read by the layer while the next frame is summed, so a frame never
    waits for the layer unless tokens are not taken.

    Parameters
    ----------
    stream : StreamType
        Not masked.
    weights : ndarray of int, shape (experts, C)
    bias : ndarray of int, shape (experts,)
    """

    stream: StreamType
    weights: np.ndarray
    bias: np.ndarray

    def __post_init__(self) -> None:
        require(not self.stream.masked, "a Gate cannot sum a masked stream; it belongs before the SlidingWindow")
        for name, array in (("weights", self.weights), ("bias", self.bias)):
            require(np.issubdtype(array.dtype, np.integer), f"Gate {name} must be integers, not {array.dtype}")
        channels = self.stream.shape[2]
        require(
            self.weights.ndim == 2 and self.weights.shape[1] == channels,
            f"Gate weights must have shape (experts, {channels}), not {self.weights.shape}",
        )
        require(len(self.weights) >= 2, f"a Gate needs at least 2 experts, not {len(self.weights)}")
        require(
            self.bias.shape == (len(self.weights),),
            f"Gate bias must have shape ({len(self.weights)},), not {self.bias.shape}",
        )
        bits = self._layer_bits
        require(bits <= 62, f"a Gate calculates in at most 62 bits, not {bits}; use smaller weights")

    # -- numbers --------------------------------------------------------------------------------
    @property
    def experts(self) -> int:
        """Number of experts."""
        return len(self.weights)

    @property
    def _pixels(self) -> int:
        return self.stream.shape[0] * self.stream.shape[1]

    @property
    def _bipolar(self) -> bool:
        return self.stream.element.kind == "bipolar"

    @property
    def sum_bits(self) -> int:
        """Bits of a sum in hardware, where bits are counted: S = 2 * ones - H*W."""
        element, n = self.stream.element, self._pixels
        if self._bipolar:
            return n.bit_length()
        if element.kind == "uint":
            return (n * element.max).bit_length()
        return _signed_bits(n * element.min, n * element.max)

    @property
    def weight_bits(self) -> int:
        """Bits of a weight, two's complement."""
        return _signed_bits(int(self.weights.min()), int(self.weights.max()))

    @property
    def score_bits(self) -> int:
        """Bits of z, two's complement, for every input there is."""
        element, n = self.stream.element, self._pixels
        lows, highs = [], []
        for row, b in zip(self.weights.tolist(), self.bias.tolist(), strict=True):
            ends = [(w * n * element.min, w * n * element.max) for w in row]
            lows.append(b + sum(map(min, ends)))
            highs.append(b + sum(map(max, ends)))
        return _signed_bits(min(lows), max(highs))

    @property
    def _layer_bits(self) -> int:
        """Bits in which the layer calculates: those of z, and with few channels those of one product."""
        return max(self.score_bits, self.sum_bits + 1 + self.weight_bits)

    @property
    def inputs(self) -> tuple[StreamType, ...]:
        return (self.stream,)

    @property
    def outputs(self) -> tuple[StreamType, ...]:
        return (StreamType(uint_t((self.experts - 1).bit_length()), (1, 1, 1)),)

    def scores(self, values: np.ndarray) -> np.ndarray:
        """z of every frame.

        Parameters
        ----------
        values : ndarray of int, shape (N, H, W, C)

        Returns
        -------
        ndarray of int64, shape (N, experts).
        """
        sums = values.astype(np.int64).sum(axis=(1, 2))
        return sums @ self.weights.T.astype(np.int64) + self.bias.astype(np.int64)

    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        return (self.scores(values[0]).argmax(axis=1).reshape(-1, 1, 1, 1),)

    # -- hardware -------------------------------------------------------------------------------
    def foldings(self) -> dict[str, tuple[int, ...]]:
        return {"PE": divisors(self.stream.shape[2])}

    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (folding["PE"],), (1,)

    def cycles(self, folding: Folding) -> int:
        return self.stream.beats(folding["PE"])

    def layer_folding(self, folding: Folding) -> tuple[int, int]:
        """Experts and elements that the layer handles at once.

        The fewest multipliers with which the layer takes at most a frame's beats; of equal choices
        the one with fewer experts. One always exists: all of them need C/PE cycles.

        Returns
        -------
        tuple (experts, elements); their product is the number of multipliers.
        """
        pe, channels = folding["PE"], self.stream.shape[2]
        legal = [
            (e * q, e, q)
            for e in divisors(self.experts)
            for q in divisors(pe)
            if (self.experts // e) * (channels // q) <= self.stream.beats(pe)
        ]
        _, lanes, elements = min(legal)
        return lanes, elements

    def steps(self, folding: Folding) -> int:
        """Steps of the layer a frame: the words of its weights."""
        lanes, elements = self.layer_folding(folding)
        return (self.experts // lanes) * (self.stream.shape[2] // elements)

    def _stages(self, folding: Folding) -> int:
        """Registers between the layer's last step and the token: two of operands, product, adder tree, sum, argmax."""
        lanes, elements = self.layer_folding(folding)
        return 4 + (elements - 1).bit_length() + lanes

    def latency(self, folding: Folding) -> int:
        """Cycles from the handshake of a frame's last beat to the one in which its token is offered."""
        return self.steps(folding) + self._stages(folding)

    def operations(self) -> int:
        return int(self.weights.size)

    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        beats = self.stream.beats(folding["PE"])
        sums = Channel("sums", 2)  # two sets: a frame's set is free again after the layer's last step on it
        layer = [Arrived(sums), Skip(Pipe(outs[0], self._stages(folding)), self.steps(folding)), Read(sums)]
        return [fill(ins[0], sums, beats, 1), layer]

    def terms(self, folding: Folding) -> Terms:
        pe = folding["PE"]
        words = self.stream.shape[2] // pe
        lanes, elements = self.layer_folding(folding)
        steps, z, sums = self.steps(folding), self._layer_bits, pe * self.sum_bits
        sets = line(words, sums)
        passes = self.experts // lanes
        weights, biases = rom(steps, lanes * elements * self.weight_bits), rom(passes, lanes * z)
        is_dsp = min(self.sum_bits, self.weight_bits) > 1 and self.sum_bits + self.weight_bits >= DSP_BITS
        product = self.sum_bits + self.weight_bits
        parts = pe // elements
        # shift registers: the first and the last step of a pass and, if it travels far, its number
        flags = 2 + (bits_for(passes) if elements > 1 else 0)
        positions = (words, self._pixels, parts, passes, steps)
        counters = sum(bits_for(n) for n in positions)
        # a multiplier and its registers are a DSP; the block RAM's output register is its own
        read = elements * self.sum_bits
        tree = lanes * (elements - 1) * min(z, product + bits_for(elements))
        return Terms(
            lut={
                "sum bits": sums,
                "sets": 2 * sets.lut,
                "chosen bits": elements * self.sum_bits * multiplexer(parts),
                "product bits": 0 if is_dsp else lanes * elements * product,
                "tree bits": tree,
                "score bits": lanes * z,
                "chain bits": (lanes - 1) * z,
                "best bits": z if passes > 1 else 0,
                **rom_terms(steps, weights.lut),
                "bias ROM": biases.lut,
                "counter bits": counters,
                "wrapping counter bits": sum(wrapping_bits(n) for n in positions),
            },
            ff={
                "sets": 2 * sets.ff,
                "tree bits": tree,
                "score bits": lanes * z,
                "chain bits": lanes * (lanes - 1) / 2 * z,
                "best bits": z if passes > 1 else 0,
                "operand bits": read + (0 if is_dsp else read + lanes * elements * (product + self.weight_bits)),
                "tables": weights.ff + biases.ff,
                "counter bits": counters,
                "stages": self._stages(folding) * (2 + bits_for(passes)),
            },
            rest=Resources(
                lutram=2 * sets.lutram + flags,
                bram18=weights.bram18 + biases.bram18,
                dsp=lanes * elements if is_dsp else 0,
            ),
        )

    def _tables(self, folding: Folding) -> tuple[Memory, Memory]:
        """Weights, a word a step (element innermost, then expert), and biases, a word a group of experts."""
        lanes, elements = self.layer_folding(folding)
        n = self._pixels
        steps = self.weights.reshape(self.experts // lanes, lanes, -1, elements).transpose(0, 2, 1, 3)
        weights = pack_words(steps.reshape(-1, lanes * elements), self.weight_bits)
        # bits are counted: w * S = 2 * w * ones - w * H*W
        bias = self.bias.astype(np.int64)
        if self._bipolar:
            bias = bias - n * self.weights.sum(axis=1, dtype=np.int64)
        groups = pack_words(bias.reshape(-1, lanes), self._layer_bits)
        return Memory(lanes * elements * self.weight_bits, weights), Memory(lanes * self._layer_bits, groups)

    def _parameters(self, folding: Folding) -> dict[str, int]:
        pe, element = folding["PE"], self.stream.element
        lanes, elements = self.layer_folding(folding)
        return {
            "PE": pe,
            "IN_W": element.bits,
            "SIGNED": int(element.kind == "int"),
            "DOUBLE": int(self._bipolar),
            "PIXELS": self._pixels,
            "WORDS": self.stream.shape[2] // pe,
            "EXPERTS": self.experts,
            "LANES": lanes,
            "ELEMENTS": elements,
            "SUM_W": self.sum_bits,
            "WEIGHT_W": self.weight_bits,
            "Z_W": self._layer_bits,
            "TOKEN_W": self.outputs[0].element.bits,
        }

    def rtl(self, folding: Folding) -> RtlCell:
        weights, bias = self._tables(folding)
        return RtlCell("bx_gate", self._parameters(folding), {"WEIGHTS": weights, "BIAS": bias})

    def hls(self, folding: Folding) -> HlsCall:
        weights, bias = self._tables(folding)
        arguments = tuple(self._parameters(folding).values())
        return HlsCall("gate.hpp", "gate", arguments, {"weights": weights, "bias": bias})
