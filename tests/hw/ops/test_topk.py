import numpy as np
import pytest
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.base import OperatorError
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.ops.topk import TopK
from bitexpert.hw.types import BIPOLAR, StreamType, int_t, uint_t
from cellbench import check_cell, check_graph


def stream(element, n):
    return StreamType(element, (1, 1, n))


def naive(row, k):
    """Selection by repeated search, lowest index first among equals."""
    left, order = list(row), []
    for _ in range(k):
        best = max(v for v in left if v is not None)
        order.append(left.index(best))
        left[order[-1]] = None
    return order


def test_reference_matches_repeated_search():
    rng = np.random.default_rng(1)
    for _ in range(20):
        n = int(rng.integers(1, 12))
        k = int(rng.integers(1, n + 1))
        scores = rng.integers(-3, 4, (9, 1, 1, n))
        (found,) = TopK(stream(int_t(3), n), k).reference(scores)
        assert found.shape == (9, 1, 1, k)
        assert found.reshape(9, k).tolist() == [naive(s, k) for s in scores.reshape(9, n).tolist()]


@pytest.mark.parametrize(
    ("element", "n", "k"), [(int_t(4), 7, 3), (uint_t(2), 5, 5), (int_t(9), 6, 1), (uint_t(3), 1, 1)]
)
def test_cells_match_reference_and_cycle_model(element, n, k):
    rng = np.random.default_rng(n)
    frames = rng.integers(element.min, element.max + 1, (9, 1, 1, n))
    frames[0] = element.min  # the smallest value everywhere: indices in order
    frames[1, 0, 0] = np.sort(frames[1, 0, 0])  # each element goes to the top
    frames[2] = element.max
    result = check_cell(TopK(stream(element, n), k), {}, frames)
    assert result.interval == n


@pytest.mark.parametrize(
    ("kind", "k", "message"),
    [
        (stream(BIPOLAR, 4), 1, "bipolar"),
        (StreamType(int_t(4), (2, 1, 4)), 1, "vector"),
        (stream(int_t(4), 4), 5, "k=5"),
        (stream(int_t(4), 4), 0, "k=0"),
    ],
)
def test_bad_attributes_are_refused(kind, k, message):
    with pytest.raises(OperatorError, match=message):
        TopK(kind, k)


def test_a_slow_reader_makes_only_the_last_element_wait(monkeypatch):
    """Behind it a layer that needs more cycles than the frame has elements."""
    monkeypatch.setattr("cellbench.CYCLE_FRAMES", 8)
    rng = np.random.default_rng(3)
    op = TopK(stream(int_t(5), 6), 4)
    slow = MatVec(op.outputs[0], (2 * rng.integers(0, 2, (1, 1, 5, 4)) - 1).astype(np.int8))
    kinds = (op.inputs[0], op.outputs[0], slow.outputs[0])
    nodes = [Node(f"fifo_{i}", Fifo(kind, 1, 2), (f"s_{i}",), (f"q_{i}",)) for i, kind in enumerate(kinds)]
    nodes[1:1] = [Node("topk_0", op, ("q_0",), ("s_1",))]
    nodes[3:3] = [Node("slow_0", slow, ("q_1",), ("s_2",), {"PE": 1, "SIMD": 1})]
    graph = Dataflow(tuple(nodes), ("s_0",), ("q_2",))
    _, model = check_graph(graph, rng.integers(-16, 16, (8, 1, 1, 6)), hls=False, stalls=(0, 50))
    steps = np.diff(model.beats["q_0"])
    waits = np.flatnonzero(steps > 1) + 1
    assert len(waits)
    assert set(waits % 6) == {5}
