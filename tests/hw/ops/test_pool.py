import numpy as np
import pytest
from bitexpert.errors import BitexpertError
from bitexpert.hw.ops.base import Operator, OperatorError
from bitexpert.hw.ops.pool import Pool
from bitexpert.hw.types import BIPOLAR, StreamType, int_t, uint_t
from cellbench import check_cell


def pool(element, shape, kernel, mode="max"):
    return Pool(StreamType(element, shape), kernel, mode)


def frames_for(op, n, seed=0):
    element, shape = op.stream.element, op.stream.shape
    return element.decode(np.random.default_rng(seed).integers(0, 1 << element.bits, (n, *shape)))


def naive(op, frame):
    (kh, kw), (oh, ow) = op.kernel, op.out_size
    out = np.zeros((oh, ow, frame.shape[2]), int)
    for y, x, c in np.ndindex(*out.shape):
        taps = [int(frame[y * kh + i, x * kw + j, c]) for i in range(kh) for j in range(kw)]
        out[y, x, c] = max(taps) if op.mode == "max" else sum(taps)
    return out


@pytest.mark.parametrize("mode", ["max", "sum"])
@pytest.mark.parametrize("element", [BIPOLAR, uint_t(5), int_t(4)])
@pytest.mark.parametrize(("shape", "kernel"), [((4, 4, 3), (2, 2)), ((5, 7, 2), (2, 3)), ((3, 3, 1), (3, 1))])
def test_reference_matches_a_plain_loop(element, shape, kernel, mode):
    op = pool(element, shape, kernel, mode)
    frames = frames_for(op, 3)
    (out,) = op.reference(frames)
    assert out.shape == (3, *op.outputs[0].shape)
    assert all(np.array_equal(o, naive(op, f)) for o, f in zip(out, frames, strict=True))
    assert op.outputs[0].element.holds(out)


@pytest.mark.parametrize(
    ("element", "mode", "kernel", "result"),
    [
        (BIPOLAR, "max", (2, 2), BIPOLAR),
        (BIPOLAR, "sum", (2, 2), int_t(4)),
        (BIPOLAR, "sum", (1, 1), int_t(2)),
        (uint_t(4), "sum", (2, 2), uint_t(6)),
        (int_t(4), "sum", (2, 2), int_t(6)),
        (int_t(4), "sum", (1, 3), int_t(6)),
        (int_t(4), "max", (3, 3), int_t(4)),
    ],
)
def test_the_result_has_the_narrowest_element(element, mode, kernel, result):
    op = pool(element, (3, 3, 2), kernel, mode)
    assert op.element == result
    for extreme in (element.min, element.max):
        (out,) = op.reference(np.full((1, 3, 3, 2), extreme))
        assert result.holds(out)


# (operator, PE): odd sizes with rows and columns left over, one row or column of taps, no taps, one word a pixel
CASES = {
    "bits": (pool(BIPOLAR, (5, 7, 6), (2, 3)), 2),
    "signed_maximum": (pool(int_t(4), (4, 5, 3), (2, 2)), 1),
    "unsigned_maximum_of_a_row": (pool(uint_t(3), (3, 5, 4), (1, 2)), 2),
    "sum_of_bits": (pool(BIPOLAR, (3, 4, 5), (3, 4), "sum"), 5),
    "signed_sum": (pool(int_t(5), (5, 3, 6), (2, 1), "sum"), 3),
    "unsigned_sum": (pool(uint_t(2), (4, 4, 2), (2, 2), "sum"), 2),
}


@pytest.mark.parametrize("name", CASES)
def test_cells_match_reference_and_cycle_model(name):
    op, pe = CASES[name]
    result = check_cell(op, {"PE": pe}, frames_for(op, 12, seed=4))
    assert result.interval == op.cycles({"PE": pe}) == op.stream.beats(pe)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(12))
def test_random_cells_match_reference_and_cycle_model(seed):
    rng = np.random.default_rng(seed)
    element = [BIPOLAR, uint_t(3), int_t(4), int_t(1)][seed % 4]
    kernel = tuple(rng.integers(1, 4, 2).tolist())
    shape = tuple(int(k * rng.integers(1, 4) + rng.integers(k)) for k in kernel)
    op = pool(element, (*shape, int(rng.integers(1, 7))), kernel, ["max", "sum"][int(rng.integers(2))])
    check_cell(op, {"PE": int(rng.choice(op.foldings()["PE"]))}, frames_for(op, 10, seed))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": (2,)}, "2 integers"),
        ({"kernel": (0, 2)}, "at least 1"),
        ({"kernel": (2, 1.5)}, "2 integers"),
        ({"kernel": (5, 2)}, "5x2 does not fit a frame of 4x4"),
        ({"mode": "average"}, "max or sum, not 'average'"),
        ({"stream": StreamType(BIPOLAR, (4, 4, 2), masked=True)}, "masked"),
    ],
)
def test_bad_attributes_are_refused(changes, message):
    with pytest.raises(OperatorError, match=message):
        Pool(**{"stream": StreamType(BIPOLAR, (4, 4, 2)), "kernel": (2, 2), **changes})


def test_sums_that_no_element_holds_are_refused():
    with pytest.raises(BitexpertError, match="48"):
        pool(uint_t(48), (2, 2, 1), (2, 2), "sum")


def test_it_survives_saving():
    op = pool(int_t(3), (4, 5, 6), (2, 3), "sum")
    again = Operator.from_dict(*op.to_dict())
    assert isinstance(again, Pool)
    assert again.to_dict()[0] == op.to_dict()[0]
