"""MatVec: reference, validation, and its cells against the cycle model."""

import time

import numpy as np
import pytest
from bitexpert.errors import BitexpertError
from bitexpert.hw.ops.base import Operator
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.performance import simulate
from bitexpert.hw.types import BIPOLAR, StreamType, int_t, uint_t
from cellbench import around, check_cell

rng = np.random.default_rng(3)


def signs(*shape):
    return np.where(rng.random(shape) < 0.5, -1, 1).astype(np.int8)


def windows(stream, frames, tap=0):
    """Random frames of a stream; of a masked one some taps are padding."""
    element = stream.element
    if element != BIPOLAR:
        return rng.integers(element.min, element.max, (frames, *stream.shape), endpoint=True)
    x = signs(frames, *stream.shape).astype(np.int64)
    if stream.masked:
        h, w, c = stream.shape
        present = rng.random((frames, h, w, c // tap)) < 0.7
        x *= np.repeat(present, tap, axis=3)
    return x


def extremes(stream, weights, tap=0):
    """Three frames: random ones, and the largest and least accumulator of the first row in every bank."""
    x = windows(stream, 3, tap)
    groups, columns = weights.shape[1], weights.shape[3]
    row = weights[0, :, 0, :].reshape(groups * columns)
    x[1] = np.where(row > 0, stream.element.max, stream.element.min)
    x[2] = np.where(row > 0, stream.element.min, stream.element.max)
    return x


def naive(x, weights, tokens):
    """The definition, one multiplication at a time."""
    banks, groups, rows, columns = weights.shape
    frames, h, w, _ = x.shape
    out = np.zeros((frames, h, w, groups * rows), dtype=np.int64)
    for f, y, i, g, r in np.ndindex(frames, h, w, groups, rows):
        total = 0
        for c in range(columns):
            total += int(x[f, y, i, g * columns + c]) * int(weights[tokens[f] if banks > 1 else 0, g, r, c])
        out[f, y, i, g * rows + r] = total
    return out


@pytest.mark.parametrize("element", [BIPOLAR, uint_t(8), int_t(8), uint_t(24), int_t(40)])
@pytest.mark.parametrize(("banks", "groups", "masked"), [(1, 1, False), (3, 2, False), (1, 3, True), (4, 1, True)])
def test_reference_is_the_definition(element, banks, groups, masked):
    masked = masked and element == BIPOLAR
    weights = signs(banks, groups, 5, 6)
    stream = StreamType(element, (2, 3, groups * 6), masked)
    op = MatVec(stream, weights, tap=3)
    x, tokens = extremes(stream, weights, 3), np.array([banks - 1, 0, banks // 2])
    inputs = (x, tokens.reshape(3, 1, 1, 1)) if banks > 1 else (x,)
    (out,) = op.reference(*inputs)
    assert out.dtype == np.int64
    assert np.array_equal(out, naive(x, weights, tokens))
    assert op.outputs[0].element.holds(out)
    assert op.outputs[0].shape == (2, 3, groups * 5)


@pytest.mark.parametrize("kind", [BIPOLAR, uint_t(8), int_t(8), uint_t(1)])
@pytest.mark.parametrize("weight", [[1, 1, 1], [-1, -1, -1], [1, -1, 1], [1]])
def test_element_is_the_narrowest(kind, weight):
    weights = np.array(weight, dtype=np.int8).reshape(1, 1, 1, -1)
    op = MatVec(StreamType(kind, (1, 1, len(weight))), weights)
    ends = [np.where(weights[0, 0] > 0, a, b) for a, b in ((kind.max, kind.min), (kind.min, kind.max))]
    high, low = (int((x * weights[0, 0]).sum()) for x in ends)
    element = op.outputs[0].element
    assert element.min <= low
    assert high <= element.max
    assert element.kind == ("uint" if low >= 0 else "int")
    if element.bits > 1:
        narrower = type(element)(element.kind, element.bits - 1)
        assert not narrower.min <= low or not high <= narrower.max


def test_validation():
    stream = StreamType(BIPOLAR, (2, 2, 6))
    bad = signs(1, 1, 2, 6)
    bad[0, 0, 1, 4] = 0
    with pytest.raises(BitexpertError, match=r"weight \(0, 0, 1, 4\) is 0"):
        MatVec(stream, bad)
    with pytest.raises(BitexpertError, match=r"must be -1 or \+1; weight \(0, 0, 0, 0\) is nan"):
        MatVec(stream, np.full((1, 1, 2, 6), np.nan))
    with pytest.raises(BitexpertError, match=r"\(banks, groups, rows, columns\), not \(2, 6\)"):
        MatVec(stream, signs(2, 6))
    with pytest.raises(BitexpertError, match="2 groups x 6 columns do not fit 6 stream channels"):
        MatVec(stream, signs(1, 2, 2, 6))
    with pytest.raises(BitexpertError, match="tap=4 must divide the 6 columns"):
        MatVec(stream, signs(1, 1, 2, 6), tap=4)
    with pytest.raises(BitexpertError, match="masked stream needs the window's tap"):
        MatVec(StreamType(BIPOLAR, (2, 2, 6), masked=True), signs(1, 1, 2, 6))
    with pytest.raises(BitexpertError, match="cannot be 51 bits wide"):
        MatVec(StreamType(uint_t(48), (2, 2, 6)), np.ones((1, 1, 2, 6)))
    op = MatVec(stream, signs(2, 1, 2, 6))
    with pytest.raises(BitexpertError, match="2 banks; token 2 names none"):
        op.reference(windows(stream, 1), np.full((1, 1, 1, 1), 2))
    with pytest.raises(BitexpertError, match="SIMD=4 is illegal; legal values: 1, 2, 3, 6"):
        op.check_folding("matvec_0", {"SIMD": 4})


def test_foldings_cycles_and_operations():
    op = MatVec(StreamType(BIPOLAR, (4, 5, 2 * 18), masked=True), signs(2, 2, 8, 18), tap=6)
    assert op.foldings() == {"PE": (1, 2, 4, 8), "SIMD": (1, 2, 3, 6)}
    assert op.cycles({"PE": 4, "SIMD": 6}) == 20 * 2 * 2 * 3
    assert op.operations() == 20 * 2 * 8 * 18
    assert op.beat_elements({"PE": 4, "SIMD": 6}) == ((6, 1), (4,))
    small, large = op.resources({"PE": 1, "SIMD": 1}), op.resources({"PE": 8, "SIMD": 6})
    assert large.lut > small.lut > 0


@pytest.mark.parametrize(
    ("element", "columns", "banks", "tap", "pe", "simd", "cells", "bram18"),
    [
        (BIPOLAR, 288, 1, 0, 4, 32, 267, 4),
        (BIPOLAR, 288, 4, 32, 4, 32, 270, 8),  # four experts and padding: 3 LCs more
        (BIPOLAR, 576, 1, 0, 8, 64, 893, 15),
        (uint_t(8), 27, 1, 3, 8, 3, 399, 1),
    ],
)
def test_estimate_near_synthesis(element, columns, banks, tap, pe, simd, cells, bram18):
    """LCs and block RAMs of Yosys 0.70, `synth_xilinx -family xc7`, 64 rows and 14 x 14 pixels."""
    stream = StreamType(element, (14, 14, columns), masked=banks > 1)
    estimate = MatVec(stream, signs(banks, 1, 64, columns), tap=tap).resources({"PE": pe, "SIMD": simd})
    assert estimate.lut == pytest.approx(cells, rel=0.06)
    assert estimate.bram18 == bram18


def test_weight_words():
    """Word ((bank*groups + group)*NF + fold)*SF + sf; row p in the bits from p*SIMD on."""
    weights = signs(2, 3, 4, 6)
    op = MatVec(StreamType(BIPOLAR, (1, 1, 18)), weights)
    words = op.rtl({"PE": 2, "SIMD": 3}).memories["WEIGHTS"].words
    for bank, group, fold, sf, p, s in np.ndindex(2, 3, 2, 2, 2, 3):
        word = words[((bank * 3 + group) * 2 + fold) * 2 + sf]
        assert word >> (p * 3 + s) & 1 == (weights[bank, group, fold * 2 + p, sf * 3 + s] > 0)


def test_survives_a_file():
    op = MatVec(StreamType(BIPOLAR, (2, 2, 12), masked=True), signs(2, 2, 3, 6), tap=2)
    again = Operator.from_dict(*op.to_dict())
    assert isinstance(again, MatVec)
    assert (again.stream, again.tap) == (op.stream, op.tap)
    assert np.array_equal(again.weights, op.weights)


def test_reference_is_fast():
    """A layer of 784 windows x 576 x 64 (29 million MACs a frame) takes milliseconds, not seconds."""
    op = MatVec(StreamType(BIPOLAR, (28, 28, 576)), signs(1, 1, 64, 576))
    x = windows(op.stream, 4)
    op.reference(x)
    start = time.perf_counter()
    op.reference(x)
    assert (time.perf_counter() - start) / 4 < 0.1


CASES = {
    # element, (h, w), banks, groups, rows, columns, tap, masked, PE, SIMD
    "bits": (BIPOLAR, (3, 2), 1, 2, 6, 15, 0, False, 2, 5),
    "experts, padding by odd taps": (BIPOLAR, (2, 2), 3, 1, 4, 27, 3, True, 1, 3),
    "experts, padding in slices, one word a bank": (BIPOLAR, (2, 1), 2, 1, 3, 34, 34, True, 3, 34),
    "bytes": (uint_t(8), (2, 2), 1, 1, 4, 27, 3, False, 2, 3),
    "signed numbers in slices": (int_t(5), (1, 3), 5, 2, 3, 18, 0, False, 1, 9),
}
FULL = {
    "one by one": (BIPOLAR, (1, 1), 1, 1, 1, 1, 0, False, 1, 1),
    "one beat a window, experts": (BIPOLAR, (1, 1), 2, 1, 6, 7, 0, False, 2, 7),
    "padding, even taps, groups": (BIPOLAR, (2, 3), 4, 3, 4, 18, 2, True, 2, 2),
    "wide": (BIPOLAR, (2, 2), 1, 1, 32, 288, 96, True, 16, 96),
    "one positive weight": (uint_t(3), (2, 2), 1, 1, 1, 1, 0, False, 1, 1),
    "signed bytes unfolded": (int_t(8), (2, 2), 2, 1, 3, 9, 9, False, 3, 9),
    "dense": (BIPOLAR, (1, 1), 1, 1, 10, 64, 0, False, 5, 8),
}


def check(case):
    element, size, banks, groups, rows, columns, tap, masked, pe, simd = case
    stream = StreamType(element, (*size, groups * columns), masked)
    weights = signs(banks, groups, rows, columns) if columns > 1 else np.ones((1, 1, 1, 1), np.int8)
    op = MatVec(stream, weights, tap=tap)
    x = np.concatenate([extremes(stream, weights, tap), windows(stream, 4, tap)])
    tokens = rng.integers(0, banks, (len(x), 1, 1, 1))
    tokens[:banks, 0, 0, 0] = np.arange(banks)[::-1][: len(x)]
    check_cell(op, {"PE": pe, "SIMD": simd}, *((x, tokens) if banks > 1 else (x,)))


@pytest.mark.parametrize("case", CASES)
def test_cells(case):
    check(CASES[case])


@pytest.mark.full
@pytest.mark.parametrize("case", FULL)
def test_cells_more(case):
    check(FULL[case])


@pytest.mark.parametrize("case", [*CASES, *FULL])
def test_no_bubble(case):
    """In the model, which the cells meet to the cycle, frames follow each other without a bubble."""
    element, size, banks, groups, rows, columns, tap, masked, pe, simd = {**CASES, **FULL}[case]
    weights = np.ones((banks, groups, rows, columns), np.int8)
    op = MatVec(StreamType(element, (*size, groups * columns), masked), weights, tap=tap)
    folding = {"PE": pe, "SIMD": simd}
    assert simulate(around(op, folding), frames=12).interval == op.cycles(folding)
