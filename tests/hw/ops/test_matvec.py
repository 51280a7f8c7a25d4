"""MatVec: reference, validation, and its cells against the cycle model."""

import time
from itertools import product

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


def draw(bits, *shape):
    """Random weights of ``bits`` bits, the least one among them; 1: signs, 1.5: -1, 0 and 1."""
    if bits == 1:
        return signs(*shape)
    limit = 1 << int(bits - 1 if bits > 1.5 else 0)
    w = rng.integers(-limit, limit if bits > 1.5 else 2, shape)
    w.flat[0] = -limit
    return w


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
    x[2] = np.where(row < 0, stream.element.max, stream.element.min)
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
@pytest.mark.parametrize("bits", [1, 1.5, 4])
@pytest.mark.parametrize(("banks", "groups", "masked"), [(1, 1, False), (3, 2, False), (1, 3, True), (4, 1, True)])
def test_reference_is_the_definition(element, bits, banks, groups, masked):
    masked = masked and element == BIPOLAR
    weights = draw(bits, banks, groups, 5, 6)
    stream = StreamType(element, (2, 3, groups * 6), masked)
    op = MatVec(stream, weights, tap=3)
    x, tokens = extremes(stream, weights, 3), np.array([banks - 1, 0, banks // 2])
    inputs = (x, tokens.reshape(3, 1, 1, 1)) if banks > 1 else (x,)
    (out,) = op.reference(*inputs)
    assert out.dtype == np.int64
    assert np.array_equal(out, naive(x, weights, tokens))
    assert op.outputs[0].element.holds(out)
    assert op.outputs[0].shape == (2, 3, groups * 5)


@pytest.mark.parametrize("element", [BIPOLAR, uint_t(8), int_t(8), int_t(20)])
def test_reference_is_exact_at_the_ends(element):
    """Odd sums beyond 2^24, which single precision does not hold, and the largest products there are."""
    weights = np.array([[32767, -32768, 1, 0], [-32768] * 4, [32767] * 4, [0] * 4], dtype=np.int64)
    weights = np.tile(weights, 300).reshape(1, 1, 4, 1200)
    stream = StreamType(element, (1, 1, 1200))
    op = MatVec(stream, weights)
    x = extremes(stream, weights)
    (out,) = op.reference(x)
    exact = x.reshape(3, 1200).astype(object) @ weights[0, 0].T.astype(object)
    assert out.reshape(3, 4).tolist() == exact.tolist()
    assert op.element.holds(out)


@pytest.mark.parametrize("kind", [BIPOLAR, uint_t(8), int_t(8), uint_t(1)])
@pytest.mark.parametrize(
    "weight", [[1, 1, 1], [-1, -1, -1], [1, -1, 1], [1], [0, 0], [0, -1], [3, 0, -7], [-32768, 0], [-32768, 32767]]
)
def test_element_is_the_narrowest(kind, weight):
    weights = np.array(weight, dtype=np.int16).reshape(1, 1, 1, -1)
    op = MatVec(StreamType(kind, (1, 1, len(weight))), weights)
    reached = [sum(p) for p in product(*([int(w) * x for x in (kind.min, kind.max)] for w in weight))]
    low, high = min(reached), max(reached)
    element = op.outputs[0].element
    assert element.min <= low
    assert high <= element.max
    assert element.kind == ("uint" if low >= 0 else "int")
    if element.bits > 1:
        narrower = type(element)(element.kind, element.bits - 1)
        assert not narrower.min <= low or not high <= narrower.max


def test_element_of_padding():
    """Every row sums |w| at most, with any taps missing: the extremes are those without padding."""
    weights = np.array([5, -3, 4, 1]).reshape(1, 1, 1, 4)
    op = MatVec(StreamType(BIPOLAR, (1, 1, 4), masked=True), weights, tap=1)
    reached = [int(np.dot(x, weights[0, 0, 0])) for x in product((-1, 0, 1), repeat=4)]
    assert (min(reached), max(reached)) == (-13, 13)
    assert op.element == int_t(5)


@pytest.mark.parametrize(
    ("values", "bits", "dtype"),
    [
        ([1, -1], 1, "int8"),
        ([0, 1], 2, "int8"),
        ([0, 0], 2, "int8"),
        ([-1, 0], 2, "int8"),
        ([-2, 1], 2, "int8"),
        ([2, 0], 3, "int8"),
        ([-128, 127], 8, "int8"),
        ([128, 0], 9, "int16"),
        ([-129, 0], 9, "int16"),
        ([-32768, 32767], 16, "int16"),
    ],
)
def test_weight_bits(values, bits, dtype):
    for given in (np.int64, np.int16, np.float32, *([np.uint16] if min(values) >= 0 else [])):
        op = MatVec(StreamType(BIPOLAR, (1, 1, 2)), np.array(values, dtype=given).reshape(1, 1, 1, 2))
        assert op.weight_bits == bits
        assert op.weights.dtype == dtype
        assert op.weights.ravel().tolist() == values
        assert op.rtl({"PE": 1, "SIMD": 2}).parameters["WEIGHT_BITS"] == bits


def test_validation():
    stream = StreamType(BIPOLAR, (2, 2, 6))
    for value, text in (
        (0.5, "0.5"),
        (np.nan, "nan"),
        (np.inf, "inf"),
        (-32769, "-32769"),
        (32768, "32768"),
        (2**64 - 1, "18446744073709551615"),
    ):
        bad = signs(1, 1, 2, 6).astype(np.int64 if isinstance(value, int) else float)
        if value == 2**64 - 1:
            bad = np.ones((1, 1, 2, 6), dtype=np.uint64)
        bad[0, 0, 1, 4] = value
        with pytest.raises(BitexpertError, match=rf"integers of -32768..32767; weight \(0, 0, 1, 4\) is {text}"):
            MatVec(stream, bad)
    with pytest.raises(BitexpertError, match="weights must be integers, not bool"):
        MatVec(stream, np.ones((1, 1, 2, 6), dtype=bool))
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
    with pytest.raises(BitexpertError, match="cannot be 51 bits wide"):
        MatVec(StreamType(int_t(34), (2, 2, 6)), np.full((1, 1, 2, 6), -16384))
    wide = MatVec(StreamType(uint_t(1), (1, 1, 512)), np.full((1, 1, 1, 512), 128))
    assert wide.hls({"PE": 1, "SIMD": 256}).tables["weights"].width == 256 * 9
    with pytest.raises(BitexpertError, match=r"4608 bits of weights a row \(512 of 9 bits\).*4096.*smaller SIMD"):
        wide.hls({"PE": 1, "SIMD": 512})
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


def test_weight_words():
    """Word ((bank*groups + group)*NF + fold)*SF + sf; row p in the bits from p*SIMD on."""
    weights = signs(2, 3, 4, 6)
    op = MatVec(StreamType(BIPOLAR, (1, 1, 18)), weights)
    words = op.rtl({"PE": 2, "SIMD": 3}).memories["WEIGHTS"].words
    for bank, group, fold, sf, p, s in np.ndindex(2, 3, 2, 2, 2, 3):
        word = words[((bank * 3 + group) * 2 + fold) * 2 + sf]
        assert word >> (p * 3 + s) & 1 == (weights[bank, group, fold * 2 + p, sf * 3 + s] > 0)


def test_weight_words_of_integers():
    """The same with fields of two's complement, in RTL all rows of a fold in a word, in HLS one row."""
    weights = draw(4, 2, 3, 4, 6)
    op = MatVec(StreamType(int_t(3), (1, 1, 18)), weights)
    words = op.rtl({"PE": 2, "SIMD": 3}).memories["WEIGHTS"].words
    rows = op.hls({"PE": 2, "SIMD": 3}).tables["weights"].words
    for bank, group, fold, sf, p, s in np.ndindex(2, 3, 2, 2, 2, 3):
        at = ((bank * 3 + group) * 2 + fold) * 2 + sf
        code = weights[bank, group, fold * 2 + p, sf * 3 + s] % 16
        assert words[at] >> 4 * (p * 3 + s) & 15 == code
        assert rows[at * 2 + p] >> 4 * s & 15 == code


@pytest.mark.parametrize("bits", [1, 4, 16])
def test_survives_a_file(bits):
    op = MatVec(StreamType(BIPOLAR, (2, 2, 12), masked=True), draw(bits, 2, 2, 3, 6), tap=2)
    again = Operator.from_dict(*op.to_dict())
    assert isinstance(again, MatVec)
    assert (again.stream, again.tap) == (op.stream, op.tap)
    assert np.array_equal(again.weights, op.weights)
    assert again.weight_bits == bits


def test_reference_is_fast():
    """A layer of 784 windows x 576 x 64 (29 million MACs a frame) takes milliseconds, not seconds."""
    op = MatVec(StreamType(BIPOLAR, (28, 28, 576)), signs(1, 1, 64, 576))
    x = windows(op.stream, 4)
    op.reference(x)
    start = time.perf_counter()
    op.reference(x)
    assert (time.perf_counter() - start) / 4 < 0.1


CASES = {
    # element, (h, w), banks, groups, rows, columns, tap, masked, PE, SIMD, bits of the weights (1 if not said)
    "bits": (BIPOLAR, (3, 2), 1, 2, 6, 15, 0, False, 2, 5),
    "experts, padding by odd taps": (BIPOLAR, (2, 2), 3, 1, 4, 27, 3, True, 1, 3),
    "experts, padding in slices, one word a bank": (BIPOLAR, (2, 1), 2, 1, 3, 34, 34, True, 3, 34),
    "unfolded, padding, in slices": (BIPOLAR, (2, 2), 1, 1, 3, 39, 39, True, 3, 39),
    "bytes": (uint_t(8), (2, 2), 1, 1, 4, 27, 3, False, 2, 3),
    "signed numbers in slices": (int_t(5), (1, 3), 5, 2, 3, 18, 0, False, 1, 9),
    "ternary, experts, padding by odd taps": (BIPOLAR, (2, 2), 3, 1, 4, 27, 3, True, 2, 3, 1.5),
    "4 bits, signed bytes in slices, groups": (int_t(8), (1, 2), 1, 2, 6, 12, 0, False, 3, 6, 4),
    "8 bits, 2-bit inputs, experts, groups": (int_t(2), (2, 1), 2, 3, 4, 10, 0, False, 2, 5, 8),
}
FULL = {
    "one by one": (BIPOLAR, (1, 1), 1, 1, 1, 1, 0, False, 1, 1),
    "one beat a window, experts": (BIPOLAR, (1, 1), 2, 1, 6, 7, 0, False, 2, 7),
    "padding, even taps, groups": (BIPOLAR, (2, 3), 4, 3, 4, 18, 2, True, 2, 2),
    "wide": (BIPOLAR, (2, 2), 1, 1, 32, 288, 96, True, 16, 96),
    "one positive weight": (uint_t(3), (2, 2), 1, 1, 1, 1, 0, False, 1, 1),
    "signed bytes unfolded": (int_t(8), (2, 2), 2, 1, 3, 9, 9, False, 3, 9),
    "dense": (BIPOLAR, (1, 1), 1, 1, 10, 64, 0, False, 5, 8),
    "ternary, padding in slices, groups": (BIPOLAR, (2, 2), 1, 3, 4, 18, 6, True, 2, 6, 1.5),
    "ternary, bytes in slices, groups": (uint_t(8), (2, 1), 1, 2, 2, 10, 0, False, 1, 10, 1.5),
    "ternary, 2-bit inputs": (int_t(2), (2, 2), 1, 1, 4, 12, 0, False, 4, 6, 1.5),
    "2 bits, signed bytes": (int_t(8), (2, 2), 1, 1, 3, 9, 9, False, 1, 3, 2),
    "4 bits, bipolar, experts": (BIPOLAR, (1, 1), 4, 1, 6, 20, 0, False, 3, 10, 4),
    "8 bits, bytes, one by one": (uint_t(8), (3, 1), 1, 1, 7, 11, 0, False, 1, 1, 8),
    "8 bits, signed bytes in slices, at once": (int_t(8), (2, 3), 3, 1, 7, 11, 11, False, 7, 11, 8),
    "8 bits, 3-bit inputs in slices": (uint_t(3), (1, 2), 1, 1, 4, 14, 0, False, 2, 7, 8),
    "16 bits, bytes, experts": (uint_t(8), (2, 2), 2, 2, 3, 5, 0, False, 3, 5, 16),
    "16 bits, 0 or 1": (uint_t(1), (2, 2), 1, 1, 2, 6, 0, False, 1, 6, 16),
    "16 bits, 16 bits": (int_t(16), (1, 1), 1, 1, 2, 8, 0, False, 2, 8, 16),
}


def unpack(element, size, banks, groups, rows, columns, tap, masked, pe, simd, bits=1):
    """A case's operator and folding; a single sign is +1."""
    stream = StreamType(element, (*size, groups * columns), masked)
    weights = draw(bits, banks, groups, rows, columns) if columns > 1 else np.ones((1, 1, 1, 1), np.int8)
    return MatVec(stream, weights, tap=tap), {"PE": pe, "SIMD": simd}


def check(case):
    op, folding = unpack(*case)
    x = np.concatenate([extremes(op.stream, op.weights, op.tap), windows(op.stream, 4, op.tap)])
    tokens = rng.integers(0, op.banks, (len(x), 1, 1, 1))
    tokens[: op.banks, 0, 0, 0] = np.arange(op.banks)[::-1][: len(x)]
    check_cell(op, folding, *((x, tokens) if op.banks > 1 else (x,)))


@pytest.mark.parametrize("case", CASES)
def test_cells(case):
    check(CASES[case])


@pytest.mark.parametrize(
    ("element", "weight_bits"), [(int_t(4), 4), pytest.param(uint_t(5), 8, marks=pytest.mark.full)]
)
def test_every_product(element, weight_bits):
    """Each number times each weight, once with the weights and once with the inputs read digit by digit."""
    weights = np.arange(-(1 << weight_bits - 1), 1 << weight_bits - 1).reshape(1, 1, -1, 1)
    op = MatVec(StreamType(element, (1, 4, 1)), weights)
    x = np.arange(element.min, element.max + 1).reshape(-1, 1, 4, 1)
    check_cell(op, {"PE": 16, "SIMD": 1}, x)


@pytest.mark.full
@pytest.mark.parametrize("rows", [[1], [0, 1, 2]])
def test_rows_of_zeros(rows):
    """Rows without a weight, and nothing but such rows: 0, then in one bit."""
    weights = draw(4, 2, 1, 3, 4)
    weights[:, :, rows] = 0
    stream = StreamType(uint_t(4), (1, 2, 4))
    op = MatVec(stream, weights)
    x, tokens = windows(stream, 4), np.array([1, 0, 0, 1]).reshape(4, 1, 1, 1)
    assert not op.reference(x, tokens)[0][..., rows].any()
    assert (op.element == uint_t(1)) == (len(rows) == 3)
    check_cell(op, {"PE": 3, "SIMD": 2}, x, tokens)


@pytest.mark.full
@pytest.mark.parametrize("case", FULL)
def test_cells_more(case):
    check(FULL[case])


@pytest.mark.parametrize("case", [*CASES, *FULL])
def test_no_bubble(case):
    """In the model, which the cells meet to the cycle, frames follow each other without a bubble."""
    op, folding = unpack(*{**CASES, **FULL}[case])
    assert simulate(around(op, folding), frames=12).interval == op.cycles(folding)
