import numpy as np
import pytest
from bitexpert.hw.ops.affine import Affine
from bitexpert.hw.ops.base import Operator, OperatorError
from bitexpert.hw.types import BIPOLAR, StreamType, int_t, uint_t
from cellbench import check_cell


def operator(element, gain, offsets, size=(2, 3)):
    return Affine(StreamType(element, (*size, len(offsets))), gain, np.array(offsets))


def frames_for(op, n=4):
    element, shape = op.stream.element, op.stream.shape
    frames = element.decode(np.random.default_rng(1).integers(0, 1 << element.bits, (n, *shape)))
    frames[0, 0, 0], frames[0, 0, 1] = element.min, element.max
    return frames


@pytest.mark.parametrize(
    ("element", "gain", "offsets", "result"),
    [
        (uint_t(8), 1, [0, 0], uint_t(8)),
        (uint_t(8), -1, [255, 256], uint_t(9)),
        (int_t(8), 1, [128, 128], uint_t(8)),
        (int_t(8), -1, [0, 0], int_t(9)),
        (BIPOLAR, 1, [1, 1], uint_t(2)),
        (BIPOLAR, -5, [3, -3], int_t(5)),
        (int_t(4), 1, [1000, 1000], uint_t(10)),
        (uint_t(1), 1 << 15, [0, 0], uint_t(16)),
    ],
)
def test_the_result_has_the_narrowest_element(element, gain, offsets, result):
    op = operator(element, gain, offsets, (1, 1))
    assert op.element == result
    outs = [op.reference(np.full((1, 1, 1, 2), x))[0] for x in (element.min, element.max)]
    for x, out in zip((element.min, element.max), outs, strict=True):
        assert out.ravel().tolist() == [gain * x + offset for offset in offsets]
        assert result.holds(out)
    assert (np.min(outs), np.max(outs)) == op.range


CASES = {
    # element, gain, offsets, PE
    "negative gain": (int_t(8), -3, [0, 5, -200, 17], 2),
    "bits, one word": (BIPOLAR, 7, [0, 5, -2], 3),
    "unsigned, large gain, small offsets": (uint_t(4), 173, [1, -2, 0, 1, 0, -1], 1),
}
FULL = {
    "offsets as wide as the result": (uint_t(1), 1, [0, 254, 17, 128], 2),
    "a shift down the negative side": (int_t(5), -(1 << 15), [99, -1 << 30], 1),
    "offsets far from 0": (int_t(4), 1, [1000, 1023, 999], 1),
}


def check(element, gain, offsets, pe):
    op = operator(element, gain, offsets)
    assert check_cell(op, {"PE": pe}, frames_for(op)).interval == op.cycles({"PE": pe})


@pytest.mark.parametrize("case", CASES)
def test_cells_match_reference_and_cycle_model(case):
    check(*CASES[case])


@pytest.mark.full
@pytest.mark.parametrize("case", FULL)
def test_cells_more(case):
    check(*FULL[case])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gain": 0}, "other than 0, not 0"),
        ({"gain": 32769}, "32769"),
        ({"gain": 1.5}, r"1\.5"),
        ({"offsets": np.zeros(3, int)}, r"shape \(2,\), not \(3,\)"),
        ({"offsets": np.zeros(2)}, "integers, not float64"),
        ({"offsets": np.array([1 << 47, 0])}, "no element holds results of -24..140737488355349 .*lower"),
        ({"offsets": np.array([1 << 63, 0], dtype=np.uint64)}, "no element holds"),
        ({"stream": StreamType(BIPOLAR, (1, 1, 2), masked=True)}, "masked"),
    ],
)
def test_bad_attributes_are_refused(changes, message):
    given = {"stream": StreamType(int_t(4), (1, 1, 2)), "gain": 3, "offsets": np.array([0, -9]), **changes}
    with pytest.raises(OperatorError, match=message):
        Affine(**given)


def test_folding_and_saving():
    op = operator(int_t(4), np.int64(-3), [3, 1, 4, -1, 5, 9])
    assert op.foldings() == {"PE": (1, 2, 3, 6)}
    assert op.cycles({"PE": 3}) == 6 * 2
    assert op.resources({"PE": 6}).lut > op.resources({"PE": 1}).lut > 0
    again = Operator.from_dict(*op.to_dict())
    assert isinstance(again, Affine)
    assert again.to_dict()[0] == op.to_dict()[0]
    assert np.array_equal(again.offsets, op.offsets)
    assert again.offsets.dtype == np.int64
