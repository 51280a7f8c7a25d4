import numpy as np
import pytest
from bitexpert.hw.ops.base import Operator, OperatorError
from bitexpert.hw.ops.slice import Slice
from bitexpert.hw.types import BIPOLAR, StreamType, int_t, uint_t
from cellbench import check_cell


def operator(element, channels, start, stop, size=(2, 3)):
    return Slice(StreamType(element, (*size, channels)), start, stop)


def frames_for(op, n=4):
    return op.stream.element.decode(
        np.random.default_rng(1).integers(0, 1 << op.stream.element.bits, (n, *op.stream.shape))
    )


def test_reference():
    (out,) = operator(uint_t(6), 6, 2, 5, (1, 2)).reference(np.arange(12).reshape(1, 1, 2, 6))
    assert out.tolist() == [[[[2, 3, 4], [8, 9, 10]]]]


CASES = {
    # element, channels, start, stop, PE
    "the middle": (int_t(5), 8, 2, 6, 2),
    "the first half": (BIPOLAR, 8, 0, 4, 4),
    "the last channel": (uint_t(3), 3, 2, 3, 1),
}
FULL = {
    "all, a beat a pixel": (int_t(2), 4, 0, 4, 4),
    "all": (int_t(2), 4, 0, 4, 1),
    "the first channel": (BIPOLAR, 5, 0, 1, 1),
}


def check(element, channels, start, stop, pe):
    op = operator(element, channels, start, stop)
    assert check_cell(op, {"PE": pe}, frames_for(op)).interval == op.cycles({"PE": pe})


@pytest.mark.parametrize("case", CASES)
def test_cells_match_reference_and_cycle_model(case):
    check(*CASES[case])


@pytest.mark.full
@pytest.mark.parametrize("case", FULL)
def test_cells_more(case):
    check(*FULL[case])


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 2), (3, 1), (0, 5), (0.5, 2), (0, np.nan)])
def test_a_range_outside_the_channels_is_refused(start, stop):
    with pytest.raises(OperatorError, match=rf"channels {start}\.\.{stop} .*within 0\.\.4"):
        operator(BIPOLAR, 4, start, stop)


def test_a_masked_stream_is_refused():
    with pytest.raises(OperatorError, match="masked"):
        Slice(StreamType(BIPOLAR, (2, 2, 4), masked=True), 0, 2)


def test_folding_and_saving():
    op = operator(int_t(4), 24, np.int64(6), np.int64(18))
    assert op.foldings() == {"PE": (1, 2, 3, 6)}
    assert op.cycles({"PE": 3}) == 6 * 8
    assert op.resources({"PE": 6}).ff > op.resources({"PE": 1}).ff > 0
    again = Operator.from_dict(*op.to_dict())
    assert isinstance(again, Slice)
    assert again.to_dict() == op.to_dict()
