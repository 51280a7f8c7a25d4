import numpy as np
import pytest
from bitexpert.hw.ops.base import OperatorError
from bitexpert.hw.ops.frame_hold import FrameHold
from bitexpert.hw.types import BIPOLAR, StreamType, int_t
from cellbench import check_cell


@pytest.mark.parametrize(
    ("kind", "shape", "pe", "experts", "depth"),
    [(BIPOLAR, (2, 3, 6), 2, 3, 23), (int_t(4), (1, 1, 3), 3, 2, 2), (BIPOLAR, (3, 1, 5), 1, 5, 7)],
)
def test_cells_match_reference_and_cycle_model(kind, shape, pe, experts, depth):
    """Depths below a frame work too here: the tokens of this bench do not depend on the data."""
    rng = np.random.default_rng(depth)
    frames = kind.decode(rng.integers(0, 1 << kind.bits, (6, *shape)))
    tokens = rng.integers(0, experts, (6, 1, 1, 1))
    stream = StreamType(kind, shape)
    result = check_cell(FrameHold(stream, experts, depth), {"PE": pe}, frames, tokens)
    assert result.interval == stream.beats(pe)


@pytest.mark.parametrize(("experts", "depth", "message"), [(1, 9, "experts"), (2, 1, "depth")])
def test_bad_attributes_are_refused(experts, depth, message):
    with pytest.raises(OperatorError, match=message):
        FrameHold(StreamType(BIPOLAR, (2, 2, 4)), experts, depth)


def test_the_token_type_follows_the_experts():
    for experts, bits in ((2, 1), (3, 2), (4, 2), (5, 3), (8, 3)):
        assert FrameHold(StreamType(BIPOLAR, (1, 1, 4)), experts, 2).token.element.bits == bits
