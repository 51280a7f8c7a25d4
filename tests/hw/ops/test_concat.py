import numpy as np
import pytest
from bitexpert.errors import BitexpertError
from bitexpert.flow.fold import fold
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.base import Operator
from bitexpert.hw.ops.concat import Concat
from bitexpert.hw.ops.fork import Fork
from bitexpert.hw.ops.threshold import Threshold
from bitexpert.hw.performance import DeadlockError, bottleneck, simulate
from bitexpert.hw.types import BIPOLAR, StreamType, int_t, uint_t
from cellbench import check_cell, check_graph, deepen
from emitnets import BOARD


def concat(first, second, size=(2, 3)):
    """A Concat of two (element, channels)."""
    return Concat(*(StreamType(element, (*size, channels)) for element, channels in (first, second)))


def frames_for(op, n=4):
    rng = np.random.default_rng(1)
    return [s.element.decode(rng.integers(0, 1 << s.element.bits, (n, *s.shape))) for s in op.inputs]


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        (BIPOLAR, BIPOLAR, BIPOLAR),
        (BIPOLAR, int_t(2), int_t(2)),
        (BIPOLAR, uint_t(1), int_t(2)),
        (uint_t(8), int_t(4), int_t(9)),
        (uint_t(3), uint_t(6), uint_t(6)),
        (int_t(1), BIPOLAR, int_t(2)),
        (int_t(7), int_t(7), int_t(7)),
    ],
)
def test_the_result_has_the_common_element_or_the_narrowest_that_holds_both(first, second, result):
    op = concat((first, 2), (second, 3))
    assert op.element == result
    for low, high in ((first.min, second.max), (first.max, second.min)):
        (out,) = op.reference(np.full((1, 2, 3, 2), low), np.full((1, 2, 3, 3), high))
        assert result.holds(out)
        assert out[0, 1, 2].tolist() == [low] * 2 + [high] * 3


CASES = {
    # first, second, PE
    "bits and two-bit numbers": ((BIPOLAR, 4), (int_t(2), 2), 2),
    "unsigned and signed, more of the second": ((uint_t(8), 3), (int_t(4), 6), 1),
    "bits only": ((BIPOLAR, 6), (BIPOLAR, 3), 3),
}
FULL = {
    "signed and bits": ((int_t(1), 5), (BIPOLAR, 5), 5),
    "bits and unsigned": ((BIPOLAR, 2), (uint_t(1), 8), 1),
    "unsigned, wider second": ((uint_t(3), 8), (uint_t(6), 4), 4),
}


def check(first, second, pe):
    op = concat(first, second)
    assert check_cell(op, {"PE": pe}, *frames_for(op)).interval == op.cycles({"PE": pe})


@pytest.mark.parametrize("case", CASES)
def test_cells_match_reference_and_cycle_model(case):
    check(*CASES[case])


@pytest.mark.full
@pytest.mark.parametrize("case", FULL)
def test_cells_more(case):
    check(*FULL[case])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (StreamType(BIPOLAR, (2, 2, 3)), StreamType(BIPOLAR, (2, 3, 3)), "not 2x2 pixels with 2x3"),
        (StreamType(BIPOLAR, (2, 2, 3)), StreamType(BIPOLAR, (2, 2, 3), masked=True), "second is masked"),
        (StreamType(uint_t(48), (2, 2, 3)), StreamType(int_t(5), (2, 2, 3)), "uint48 and int5 .*narrow one"),
    ],
)
def test_bad_streams_are_refused(first, second, message):
    with pytest.raises(BitexpertError, match=message):
        Concat(first, second)


def test_folding_and_saving():
    op = concat((BIPOLAR, 12), (int_t(2), 8))
    assert op.foldings() == {"PE": (1, 2, 4)}
    assert op.cycles({"PE": 4}) == 6 * 5
    assert op.resources({"PE": 4}).lut > op.resources({"PE": 1}).lut > 0
    again = Operator.from_dict(*op.to_dict())
    assert isinstance(again, Concat)
    assert again.to_dict() == op.to_dict()


# -- two branches of a Fork ---------------------------------------------------------------------------
NODES = ("fork_0", "threshold_0", "threshold_1", "concat_0")


def branches(folding, channels=8):
    """Fork -> two Thresholds -> Concat, folded on a board."""
    rng = np.random.default_rng(2)
    x = StreamType(int_t(5), (3, 4, channels))
    left, right = (Threshold(x, rng.integers(-16, 16, (1, channels)), rng.random((1, channels)) < 0.5) for _ in "lr")
    nodes = (
        Node("fork_0", Fork(x, 2), ("in_0",), ("left_0", "right_0")),
        Node("threshold_0", left, ("left_0",), ("left_1",)),
        Node("threshold_1", right, ("right_0",), ("right_1",)),
        Node("concat_0", Concat(left.outputs[0], right.outputs[0]), ("left_1", "right_1"), ("out_0",)),
    )
    graph = fold(Dataflow(nodes, ("in_0",), ("out_0",)), BOARD, folding=folding)
    return graph, rng.integers(-16, 16, (8, 3, 4, channels))


@pytest.mark.parametrize(
    "folding",
    [{name: {"PE": 2} for name in NODES}, {"fork_0": {"PE": 4}, "threshold_1": {"PE": 4}, "concat_0": {"PE": 2}}],
    ids=["equal", "with width converters"],
)
def test_branches_of_a_fork_meet_at_full_rate(folding):
    graph, frames = branches(folding)
    run, _ = check_graph(graph, frames, stalls=(0, 70))
    assert run.interval == bottleneck(graph)[1]


def test_the_second_branch_needs_room_for_the_turn_of_the_first():
    graph, _ = branches({})
    assert simulate(graph).interval == bottleneck(graph)[1]
    with pytest.raises(DeadlockError, match="deadlock"):
        simulate(deepen(graph, 2))


def test_branches_of_a_fork_survive_a_slow_source():
    graph, frames = branches({})
    check_graph(graph, frames, hls=False, stalls=(70,))
