import numpy as np
import pytest
from bitexpert.hw.ops.base import OperatorError
from bitexpert.hw.ops.width_convert import WidthConvert
from bitexpert.hw.types import BIPOLAR, StreamType, int_t
from cellbench import check_cell


@pytest.mark.parametrize(("source", "target"), [(2, 12), (12, 1), (3, 6)])
def test_cells_match_reference_and_cycle_model(source, target):
    kind = StreamType(int_t(5), (2, 3, 12))
    frames = np.random.default_rng(0).integers(-16, 16, (5, 2, 3, 12))
    run = check_cell(WidthConvert(kind, source, target), {}, frames)
    # full rate: one narrow beat a cycle, frames back to back
    assert run.interval == kind.beats(min(source, target))


@pytest.mark.parametrize(("source", "target"), [(4, 4), (2, 3), (5, 10)])
def test_illegal_widths_are_refused(source, target):
    with pytest.raises(ValueError, match="elements"):
        WidthConvert(StreamType(BIPOLAR, (1, 1, 12)), source, target)


def test_masked_streams_are_refused():
    with pytest.raises(OperatorError, match="masked"):
        WidthConvert(StreamType(BIPOLAR, (1, 1, 12), masked=True), 2, 4)
