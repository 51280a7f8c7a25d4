import numpy as np
import pytest
from bitexpert.hw.ops.base import Operator, OperatorError
from bitexpert.hw.ops.gate import Gate
from bitexpert.hw.performance import simulate
from bitexpert.hw.types import BIPOLAR, StreamType, int_t, uint_t
from cellbench import around, check_cell


def gate(element, shape, experts, seed=0, high=7):
    rng = np.random.default_rng(seed)
    weights = rng.integers(-high, high + 1, (experts, shape[2]))
    # centred, so that frames of random values choose different experts
    middle = weights.sum(axis=1) * shape[0] * shape[1] * (element.min + element.max) // 2
    return Gate(StreamType(element, shape), weights, rng.integers(-high, high + 1, experts) - middle)


def frames_for(op, n, seed=0):
    element, shape = op.stream.element, op.stream.shape
    return element.decode(np.random.default_rng(seed).integers(0, 1 << element.bits, (n, *shape)))


def naive(op, frame):
    best, index = None, 0
    for e in range(op.experts):
        z = int(op.bias[e])
        for y, x, c in np.ndindex(*frame.shape):
            z += int(op.weights[e, c]) * int(frame[y, x, c])
        if best is None or z > best:
            best, index = z, e
    return index


@pytest.mark.parametrize("element", [BIPOLAR, uint_t(8), int_t(5)])
def test_reference_matches_a_plain_loop(element):
    op = gate(element, (3, 2, 5), 4)
    frames = frames_for(op, 20)
    (tokens,) = op.reference(frames)
    assert tokens.shape == (20, 1, 1, 1)
    assert tokens.ravel().tolist() == [naive(op, f) for f in frames]
    assert len(set(tokens.ravel().tolist())) > 1


def test_the_lowest_index_wins_a_tie():
    op = Gate(StreamType(uint_t(2), (1, 2, 2)), np.array([[0, 1], [1, 0], [1, 0], [0, 1]]), np.zeros(4, int))
    frames = np.array([[[[1, 1], [1, 1]]], [[[3, 0], [0, 0]]], [[[0, 3], [0, 0]]]])
    assert op.reference(frames)[0].ravel().tolist() == [0, 1, 0]


@pytest.mark.parametrize("element", [BIPOLAR, uint_t(3), int_t(4)])
def test_widths_hold_the_extremes_and_no_more(element):
    op = gate(element, (2, 3, 4), 3)
    low, high = np.full((1, 2, 3, 4), element.min), np.full((1, 2, 3, 4), element.max)
    worst = []
    for row in op.weights:
        top = np.where(row > 0, high, low)
        worst += [op.scores(top)[0].max(), op.scores(np.where(row > 0, low, high))[0].min()]
    bits = op.score_bits
    assert -(1 << (bits - 1)) <= min(worst)
    assert max(worst) < 1 << (bits - 1)
    assert min(worst) < -(1 << (bits - 2)) or max(worst) >= 1 << (bits - 2)


# (element, shape, experts, PE): layer with 1 multiplier, several elements, several experts, one word, one beat
CASES = [
    (BIPOLAR, (3, 3, 10), 3, 2),
    (uint_t(4), (1, 3, 6), 4, 6),
    (int_t(5), (1, 2, 6), 6, 3),
    (BIPOLAR, (1, 1, 5), 5, 5),
    (uint_t(3), (2, 2, 3), 2, 1),
]


@pytest.mark.parametrize(("element", "shape", "experts", "pe"), CASES)
def test_cells_match_reference_and_cycle_model(element, shape, experts, pe):
    op = gate(element, shape, experts, seed=3)
    frames = frames_for(op, 24, seed=4)
    frames[5], frames[6] = element.min, element.max
    frames[7] = frames[8]
    result = check_cell(op, {"PE": pe}, frames)
    assert result.interval == op.cycles({"PE": pe}) == op.stream.beats(pe)
    assert len(np.unique(op.reference(frames)[0])) > 1


def test_the_cases_cover_every_shape_of_the_layer():
    foldings = [gate(e, s, n).layer_folding({"PE": pe}) for e, s, n, pe in CASES]
    assert foldings == [(1, 1), (4, 2), (3, 3), (5, 5), (1, 1)]


@pytest.mark.parametrize("pe", [1, 2, 3, 6, 12])
@pytest.mark.parametrize("shape", [(1, 1, 12), (2, 1, 12), (3, 3, 12), (7, 7, 12)])
def test_the_layer_has_the_fewest_multipliers_that_keep_up(shape, pe):
    op = gate(BIPOLAR, shape, 6)
    lanes, elements = op.layer_folding({"PE": pe})
    beats = op.stream.beats(pe)
    assert 6 % lanes == 0
    assert pe % elements == 0
    assert lanes * elements * beats >= 6 * 12
    for e in (1, 2, 3, 6):
        for q in range(1, pe + 1):
            assert pe % q or e * q >= lanes * elements or e * q * beats < 6 * 12


def test_frames_flow_without_a_gap_and_the_token_comes_after_the_stated_latency():
    op = gate(int_t(5), (1, 2, 6), 6)
    graph = around(op, {"PE": 3})
    run = simulate(graph, 6)
    taken, tokens = run.beats["in_0_q"], run.beats["out_0"]
    assert list(taken) == list(range(1, 25))
    assert [t - taken[4 * f + 3] for f, t in enumerate(tokens)] == [op.latency({"PE": 3})] * 6


@pytest.mark.parametrize(
    ("weights", "bias", "message"),
    [
        (np.ones((2, 3), int), np.zeros(2, int), r"shape \(experts, 4\)"),
        (np.ones((1, 4), int), np.zeros(1, int), "2 experts"),
        (np.ones((2, 4), int), np.zeros(3, int), "bias"),
        (np.ones((2, 4)), np.zeros(2, int), "integers"),
        (np.full((2, 4), 1 << 60), np.zeros(2, int), "62"),
    ],
)
def test_bad_attributes_are_refused(weights, bias, message):
    with pytest.raises(OperatorError, match=message):
        Gate(StreamType(BIPOLAR, (2, 2, 4)), weights, bias)


def test_masked_streams_are_refused():
    with pytest.raises(OperatorError, match="masked"):
        Gate(StreamType(BIPOLAR, (2, 2, 4), masked=True), np.ones((2, 4), int), np.zeros(2, int))


def test_it_survives_saving():
    op = gate(BIPOLAR, (2, 2, 4), 3)
    again = Operator.from_dict(*op.to_dict())
    assert isinstance(again, Gate)
    assert np.array_equal(again.weights, op.weights)
    assert np.array_equal(again.bias, op.bias)
    assert again.stream == op.stream
