"""Threshold: exact thresholds of affine functions, reference, validation, and its cells against the cycle model."""

import json
from fractions import Fraction

import numpy as np
import pytest
from bitexpert.errors import BitexpertError
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.base import Operator
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.ops.threshold import Threshold, sign_threshold
from bitexpert.hw.performance import simulate
from bitexpert.hw.types import BIPOLAR, StreamType, int_for, int_t, uint_t
from cellbench import around, check_cell, check_graph
from hypothesis import given, settings
from hypothesis import strategies as st

rng = np.random.default_rng(5)


def naive(x, thresholds, negate, out=BIPOLAR, offset=0):
    """The definition, one comparison at a time."""
    copies, m, levels = thresholds.shape
    result = np.zeros((*x.shape[:3], copies * m), dtype=np.int64)
    for (f, h, w, a), r in ((i, r) for i in np.ndindex(x.shape) for r in range(copies)):
        count = sum(int(x[f, h, w, a]) >= int(t) for t in thresholds[r, a])
        value = levels - count if negate[r, a] else count
        result[f, h, w, r * m + a] = 2 * value - 1 if out == BIPOLAR else offset + value
    return result


def operator(element, size, m, copies, levels=1, out=BIPOLAR, offset=0, rng=rng):
    """Random thresholds, with the ends of the range and beyond among them."""
    shape = (copies, m, levels)
    t = rng.integers(element.min, element.max + 1, shape, endpoint=True)
    special = [element.min, element.max, element.max + 1, element.min - 5, element.max + 9]
    where = rng.random(shape) < rng.choice([0.1, 0.5], (copies, m, 1))
    t[where] = rng.choice(special, np.count_nonzero(where))
    negate = rng.random((copies, m)) < 0.5
    return Threshold(StreamType(element, (*size, m)), np.sort(t, axis=2), negate, out, offset)


def frames_for(op, n, rng=rng):
    """Random values, many of them at a threshold, one below it, or at the ends of the range."""
    element, shape = op.stream.element, (n, *op.stream.shape)
    x = rng.integers(element.min, element.max, shape, endpoint=True)
    sets, level = rng.integers(0, op.copies, shape), rng.integers(0, op.levels, shape)
    near = op.thresholds[sets, np.arange(op.channels), level] - rng.integers(0, 2, shape)
    x = np.where(rng.random(shape) < 0.6, np.clip(near, element.min, element.max), x)
    ends = rng.choice([element.min, element.max], shape)
    return np.where(rng.random(shape) < 0.2, ends, x)


# -- sign_threshold -------------------------------------------------------------------------------
numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-4, 4),
    st.integers(-50, 50).map(float),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 0.1, -0.1, 1e308, -1e308]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=4), st.integers(-40, 20), st.integers(0, 40))
def test_sign_threshold_is_exact_everywhere(functions, low, width):
    high = low + width
    scale, bias = (np.array(v) for v in zip(*functions, strict=True))
    thresholds, negate = sign_threshold(scale, bias, low, high)
    assert thresholds.dtype == np.int64
    assert negate.dtype == np.bool_
    assert np.all((low <= thresholds) & (thresholds <= high + 1))
    for (s, b), t, n in zip(functions, thresholds, negate, strict=True):
        for acc in range(low, high + 1):
            assert ((acc >= t) != n) == (Fraction(s) * acc + Fraction(b) >= 0), (s, b, acc)


@settings(max_examples=100, deadline=None)
@given(st.floats(-3, 3).filter(bool), st.integers(-30, 30))
def test_sign_threshold_where_the_function_is_zero(scale, zero):
    """The bias is the rounded -scale * zero: just at, above or below a zero at an integer."""
    bias = np.nextafter(-scale * zero, rng.choice([-np.inf, 0.0, np.inf]))
    thresholds, negate = sign_threshold([scale], [bias], -30, 30)
    for acc in range(-30, 31):
        assert ((acc >= thresholds[0]) != negate[0]) == (Fraction(scale) * acc + Fraction(bias) >= 0)


def test_sign_threshold_takes_floats_of_any_kind():
    exact = [Fraction(1, 3), Fraction(-1, 3)], [Fraction(-1), Fraction(1)]
    assert sign_threshold(*exact, -9, 9)[0].tolist() == [3, 4]
    narrow = np.array([[0.1]], dtype=np.float32)
    assert sign_threshold(narrow, -narrow * 3, -9, 9)[0].shape == (1, 1)
    thresholds, _ = sign_threshold(rng.normal(size=(4, 512)), rng.normal(size=(4, 512)), -1000, 1000)
    assert thresholds.shape == (4, 512)


def test_sign_threshold_refuses():
    with pytest.raises(BitexpertError, match=r"must be finite; channel 1 has inf and 0\.0"):
        sign_threshold([1.0, np.inf], [0.0, 0.0], -1, 1)
    with pytest.raises(BitexpertError, match=r"must be finite; channel 0 has 1\.0 and nan"):
        sign_threshold([1.0], [np.nan], -1, 1)
    with pytest.raises(BitexpertError, match=r"same shape, not \(2,\) and \(1,\)"):
        sign_threshold([1.0, 2.0], [0.0], -1, 1)
    with pytest.raises(BitexpertError, match=r"2\.\.1 is empty"):
        sign_threshold([1.0], [0.0], 2, 1)


# -- the operator ---------------------------------------------------------------------------------
@pytest.mark.parametrize("element", [uint_t(1), uint_t(5), int_t(1), int_t(7), int_t(48), uint_t(48)])
@pytest.mark.parametrize("copies", [1, 3])
def test_reference_is_the_definition(element, copies):
    op = operator(element, (2, 3), 5, copies)
    x = frames_for(op, 2)
    (out,) = op.reference(x)
    assert out.shape == (2, *op.outputs[0].shape)
    assert np.array_equal(out, naive(x, op.thresholds, op.negate))


LEVELS = st.one_of(st.sampled_from([1, 2, 3, 7, 15, 255]), st.integers(1, 255))
SEEDS = st.integers(0, 1 << 32)
ELEMENTS = st.one_of(st.builds(uint_t, st.integers(1, 48)), st.builds(int_t, st.integers(1, 48)))


@settings(max_examples=60, deadline=None)
@given(ELEMENTS, LEVELS, st.integers(1, 3), st.integers(-300, 300), SEEDS)
def test_levels_are_counted(element, levels, copies, offset, seed):
    rng = np.random.default_rng(seed)
    op = operator(element, (1, 2), 3, copies, levels, int_for(offset, offset + levels), offset, rng)
    x = frames_for(op, 2, rng)
    (out,) = op.reference(x)
    assert np.array_equal(out, naive(x, op.thresholds, op.negate, op.out, offset))
    assert op.out.holds(out)
    assert op.outputs[0] == StreamType(op.out, (1, 2, copies * 3))


@settings(max_examples=60, deadline=None)
@given(ELEMENTS, LEVELS, st.integers(-300, 300), st.sampled_from([1, 3]), SEEDS)
def test_searching_the_memories_finds_the_level(element, levels, offset, pe, seed):
    """What the RTL does, in Python: the words of every stage, walked with the bits found so far."""
    rng = np.random.default_rng(seed)
    op = operator(element, (1, 1), 3, 2, levels, int_for(offset, offset + levels), offset, rng)
    cell, width = op.rtl({"PE": pe}), element.bits + 1
    assert len(cell.memories) == cell.parameters["BITS"] == levels.bit_length()
    x = frames_for(op, 4, rng)
    result = np.zeros((4, 6), dtype=np.int64)
    for frame, place, lane in np.ndindex(4, 2 * (3 // pe), pe):
        value, found = int(x[frame, 0, 0, (place * pe + lane) % 3]), 0
        for stage, memory in enumerate(cell.memories.values()):
            field = memory.words[(place << stage) + found] >> (lane * width) & ((1 << width) - 1)
            limit = int(element.decode(np.array([field & ((1 << element.bits) - 1)]))[0])
            found = 2 * found + ((value >= limit) ^ (field >> element.bits))
        result[frame, place * pe + lane] = found + cell.parameters["OFFSET"]
    assert np.array_equal(result, op.reference(x)[0].reshape(4, 6))


def test_words_of_signs():
    """One stage of {negate, threshold}; never is not-always."""
    stream = StreamType(int_t(4), (1, 1, 2))
    negate = np.array([[False, True], [True, False]])
    cell = Threshold(stream, np.array([[-3, 5], [8, -8]]), negate).rtl({"PE": 2})
    assert cell.memories["THRESHOLDS"].words == [0b1_0101_0_1101, 0b0_1000_0_1000]
    assert (cell.parameters["BITS"], cell.parameters["OUT_W"], cell.parameters["OFFSET"]) == (1, 1, 0)
    assert cell.submodules == ("bx_rom", "bx_lut_rom", "bx_at_least")


@pytest.mark.parametrize(("levels", "out", "offset", "added"), [(2, int_t(2), -1, -2), (254, int_t(8), -127, -128)])
def test_a_signed_level_costs_its_top_bit_alone(levels, out, offset, added):
    """The search starts above zero, so that no carry comes behind the last comparison."""
    cell = operator(int_t(9), (1, 1), 3, 1, levels, out, offset).rtl({"PE": 3})
    assert cell.parameters["OFFSET"] == added


def test_clipping_changes_no_output():
    stream = StreamType(int_t(4), (1, 1, 2))
    op = Threshold(stream, np.array([[-1000, 1 << 40]]), np.zeros((1, 2), bool))
    assert op.thresholds.tolist() == [[[-8], [8]]]
    (out,) = op.reference(np.array([[-8, 7]]).reshape(1, 1, 1, 2))
    assert out.ravel().tolist() == [1, -1]


def test_validation():
    stream, zeros = StreamType(int_t(4), (1, 1, 2)), np.zeros((1, 2), int)
    with pytest.raises(BitexpertError, match="not a bipolar stream"):
        Threshold(StreamType(BIPOLAR, (1, 1, 2)), zeros, zeros > 0)
    with pytest.raises(BitexpertError, match=r"shape \(copies, 2\) or \(copies, 2, levels\), not \(1, 3\)"):
        Threshold(stream, np.zeros((1, 3), int), zeros > 0)
    with pytest.raises(BitexpertError, match="must be integers, not float64"):
        Threshold(stream, zeros + 0.5, zeros > 0)
    with pytest.raises(BitexpertError, match=r"negate must have shape \(1, 2\)"):
        Threshold(stream, zeros, np.zeros((2, 2), bool))
    with pytest.raises(BitexpertError, match="negate must be bool, not int64"):
        Threshold(stream, zeros, zeros)
    with pytest.raises(BitexpertError, match="PE=3 is illegal; legal values: 1, 2"):
        Threshold(stream, zeros, zeros > 0).check_folding("threshold_0", {"PE": 3})


def test_validation_of_levels():
    stream, zeros = StreamType(int_t(4), (1, 1, 2)), np.zeros((1, 2, 3), int)
    rising = zeros[..., 0] > 0
    with pytest.raises(BitexpertError, match=r"must ascend; copy 0 of channel 1 does not"):
        Threshold(stream, np.array([[[1, 1, 2], [1, 3, 2]]]), rising, uint_t(2))
    with pytest.raises(BitexpertError, match="1 to 255 thresholds a channel, not 256"):
        Threshold(stream, np.zeros((1, 2, 256), int), rising, uint_t(9))
    with pytest.raises(BitexpertError, match="1 to 255 thresholds a channel, not 0"):
        Threshold(stream, np.zeros((1, 2, 0), int), rising, uint_t(1))
    with pytest.raises(BitexpertError, match="one threshold a channel and offset 0, not 3 and 0"):
        Threshold(stream, zeros, rising)
    with pytest.raises(BitexpertError, match="one threshold a channel and offset 0, not 1 and 2"):
        Threshold(stream, zeros[..., :1], rising, BIPOLAR, 2)
    with pytest.raises(BitexpertError, match=r"out=int2 does not hold its values -1\.\.2; use int3"):
        Threshold(stream, zeros, rising, int_t(2), -1)
    with pytest.raises(BitexpertError, match=r"out=uint2 does not hold its values -1\.\.2; use int3"):
        Threshold(stream, zeros, rising, uint_t(2), -1)
    with pytest.raises(BitexpertError, match=r"offset must be an integer of -2\^30\.\.2\^30, not 0\.5"):
        Threshold(stream, zeros, rising, uint_t(4), 0.5)
    with pytest.raises(BitexpertError, match="offset must be an integer of"):
        Threshold(stream, zeros, rising, uint_t(40), 1 << 31)


def test_cycles_and_files():
    op = operator(int_t(6), (3, 4), 6, 4)
    assert op.cycles({"PE": 2}) == 12 * 3 * 4
    assert op.foldings() == {"PE": (1, 2, 3, 6)}
    assert op.resources({"PE": 6}).lut > op.resources({"PE": 1}).lut > 0


@pytest.mark.parametrize(
    ("levels", "out", "offset"), [(1, BIPOLAR, 0), (1, uint_t(1), 0), (15, int_t(4), np.int64(-8))]
)
def test_saving_keeps_all_fields(levels, out, offset):
    op = operator(int_t(6), (3, 4), 6, 4, levels, out, offset)
    scalars, arrays = op.to_dict()
    again = Operator.from_dict(json.loads(json.dumps(scalars)), arrays)
    assert isinstance(again, Threshold)
    assert np.array_equal(again.thresholds, op.thresholds)
    assert np.array_equal(again.negate, op.negate)
    assert (again.stream, again.out, again.offset) == (op.stream, out, offset)


def test_a_stage_of_the_search_adds_its_cost():
    cells = [operator(int_t(12), (3, 4), 6, 1, levels, uint_t(8)) for levels in (1, 2, 3, 255)]
    used = [op.resources({"PE": 2}) for op in cells]
    assert [op.latency for op in cells] == [2, 4, 4, 16]
    assert used[0].lut < used[1].lut == used[2].lut < used[3].lut
    assert used[2].bram18 == 0
    assert used[3].bram18 == 2 * 3  # stages of 96, 192 and 384 words, a memory a lane


CASES = {
    # element, (h, w), m, copies, PE, levels, out, offset
    "straight": (int_t(7), (2, 3), 6, 1, 2, 1, BIPOLAR, 0),
    "five copies of one beat": (uint_t(4), (3, 1), 3, 5, 3, 1, BIPOLAR, 0),
    "ternary": (int_t(6), (2, 2), 6, 1, 2, 2, int_t(2), -1),
    "two bits, two copies": (uint_t(6), (2, 2), 6, 2, 2, 3, uint_t(2), 0),
    "eight bits": (int_t(12), (2, 2), 4, 1, 2, 255, int_t(8), -128),
}
FULL = {
    "two copies": (int_t(5), (2, 2), 9, 2, 3, 1, BIPOLAR, 0),
    "uint1": (int_t(6), (2, 2), 4, 1, 2, 1, uint_t(1), 0),
    "constants": (uint_t(3), (2, 2), 5, 1, 5, 1, BIPOLAR, 0),
    "one bit": (uint_t(1), (1, 1), 1, 1, 1, 1, BIPOLAR, 0),
    "one bit, two copies": (int_t(1), (2, 2), 1, 2, 1, 1, BIPOLAR, 0),
    "three copies, one at a time": (int_t(9), (2, 3), 7, 3, 1, 1, BIPOLAR, 0),
    "wide": (int_t(12), (2, 2), 64, 4, 16, 1, BIPOLAR, 0),
    "more levels than values": (uint_t(1), (2, 2), 2, 1, 1, 7, uint_t(3), 0),
    "three bits, one word": (uint_t(8), (2, 2), 5, 1, 5, 7, uint_t(3), 0),
    "seventeen levels far from zero": (int_t(9), (2, 2), 6, 3, 2, 17, uint_t(9), 333),
    "four bits, copies": (int_t(10), (2, 2), 6, 3, 3, 15, int_t(4), -8),
    "eight bits of a narrow range": (int_t(48), (1, 2), 6, 2, 3, 254, int_t(8), -127),
    "eight bits, unsigned": (uint_t(11), (2, 2), 24, 1, 8, 255, uint_t(8), 0),
}


@pytest.mark.parametrize("case", [*CASES, *(pytest.param(case, marks=pytest.mark.full) for case in FULL)])
def test_cells(case):
    element, size, m, copies, pe, levels, out, offset = {**CASES, **FULL}[case]
    op = operator(element, size, m, copies, levels, out, offset)
    check_cell(op, {"PE": pe}, frames_for(op, 5))


@pytest.mark.parametrize("case", [*CASES, *FULL])
def test_no_bubble(case):
    element, size, m, copies, pe, levels, out, offset = {**CASES, **FULL}[case]
    op = operator(element, size, m, copies, levels, out, offset)
    assert simulate(around(op, {"PE": pe}), frames=12).interval == op.cycles({"PE": pe})


def behind_matvec(copies):
    """A MatVec of 4 cycles a pixel and a beat in each second cycle, and Threshold copies of its 2 beats."""
    weights = np.where(rng.random((1, 1, 4, 6)) < 0.5, -1, 1)
    matvec = MatVec(StreamType(BIPOLAR, (3, 3, 6)), weights)
    kind = matvec.outputs[0]
    threshold = Threshold(kind, rng.integers(-6, 8, (copies, 4)), rng.random((copies, 4)) < 0.5)
    return Dataflow(
        (
            Node("fifo_0", Fifo(matvec.inputs[0], 3, 2), ("s_0",), ("s_1",)),
            Node("matvec_0", matvec, ("s_1",), ("s_2",), {"PE": 2, "SIMD": 3}),
            Node("fifo_1", Fifo(kind, 2, 2), ("s_2",), ("s_3",)),
            Node("threshold_0", threshold, ("s_3",), ("s_4",), {"PE": 2}),
            Node("fifo_2", Fifo(threshold.outputs[0], 2, 2), ("s_4",), ("s_5",)),
        ),
        ("s_0",),
        ("s_5",),
    )


@pytest.mark.parametrize("copies", [1, 2])
def test_copies_never_stall_the_matvec(copies):
    """R * m / PE at most the MatVec's cycles a pixel: it works in every cycle."""
    model = simulate(behind_matvec(copies), frames=12)
    assert model.interval == 9 * 4
    outputs = np.array(model.beats["s_2"])
    assert np.all(np.diff(outputs) == 2)


def test_copies_and_matvec_in_rtl():
    graph = behind_matvec(2)
    run, model = check_graph(graph, np.where(rng.random((5, 3, 3, 6)) < 0.5, -1, 1))
    assert np.all(np.diff(run.cycles["s_2"]) == 2)
    assert model.interval == 9 * 4


def test_more_copies_than_the_matvec_has_cycles_set_the_pace():
    assert simulate(behind_matvec(3), frames=12).interval == 9 * 6
