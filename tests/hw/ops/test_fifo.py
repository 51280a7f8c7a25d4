import numpy as np
import pytest
from bitexpert.hw.ops.base import OperatorError
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.ops.width_convert import WidthConvert
from bitexpert.hw.types import BIPOLAR, StreamType
from cellbench import around, check_graph, deepen


@pytest.mark.parametrize("depth", [2, 3, 64])
def test_any_depth_keeps_order_and_rate(depth):
    kind = StreamType(BIPOLAR, (4, 4, 8))
    frames = np.random.default_rng(1).choice([-1, 1], (6, 4, 4, 8))
    graph = deepen(around(WidthConvert(kind, 8, 2), {}), depth)
    run, model = check_graph(graph, frames)
    assert run.interval == model.interval == 64
    assert max(model.fills.values()) <= depth


def test_a_depth_below_two_is_refused():
    with pytest.raises(OperatorError, match="at least 2"):
        Fifo(StreamType(BIPOLAR, (1, 1, 8)), 8, 1)
