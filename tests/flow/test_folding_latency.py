import numpy as np
import pytest
from bitexpert.flow.board import load_board
from bitexpert.flow.fold import FoldingError, fold, fold_and_report
from bitexpert.flow.folding_search import Choice, cost
from bitexpert.flow.plumbing import insert_fifos, insert_width_converts
from bitexpert.hw.graph import Dataflow
from bitexpert.hw.ops.pool import Pool
from bitexpert.hw.ops.sliding_window import SlidingWindow
from bitexpert.hw.performance import ample_depths, simulate, size_fifos
from bitexpert.hw.resources import Resources
from bitexpert.hw.types import BIPOLAR, StreamType
from foldnets import diamond, every_folding, experts, padded_bits, residual

BOARD = load_board("pynq-z2")


def microseconds(cycles: float) -> float:
    return cycles / BOARD.clock_mhz


def latency(graph: Dataflow) -> int:
    return simulate(graph, 1).latency


def every_latency(graph: Dataflow) -> list[tuple[int, float]]:
    """Latency of every folding with deep FIFOs, and its cost with shallow ones."""
    found = []
    for folded in every_folding(graph):
        whole = insert_fifos(insert_width_converts(folded))
        need = [n.op.resources(n.folding) for n in whole.nodes]
        found.append((latency(ample_depths(whole)[0]), sum(map(cost, need))))
    return found


@pytest.mark.parametrize("make", [padded_bits, diamond])
def test_the_cost_is_near_the_least_of_all_foldings(make):
    graph = make()
    designs = every_latency(graph)
    targets = sorted({cycles for cycles, _ in designs})
    more = []
    for target in [t for t in targets if t > 1.1 * targets[0]][::4]:  # nearer the linear model may find none
        folded, report = fold_and_report(graph, BOARD, target_latency_us=microseconds(target))
        assert latency(folded) <= target
        more.append(report["search"]["cost"] / min(c for cycles, c in designs if cycles <= target))
    assert np.median(more) <= 1.001
    assert max(more) <= 1.3  # a cycle counts for much in graphs as small as these


@pytest.mark.parametrize("target", [27, 34, 42, 61, 102, 1000])
def test_with_experts(target):
    folded = fold(experts(), BOARD, target_latency_us=microseconds(target))
    assert latency(folded) <= target


def test_fifos_deep_enough_for_the_first_frame(monkeypatch):
    # sized for the steady state, the FIFOs of this folding delay the first frame
    folding = {
        "fork": {"PE": 4},
        "window0": {"SIMD": 2},
        "matvec0": {"PE": 4, "SIMD": 2},
        "add": {"PE": 2},
        "window1": {"SIMD": 1},
        "matvec1": {"PE": 1, "SIMD": 1},
    }
    plumbed = fold(residual(), BOARD, folding=folding)
    target = latency(ample_depths(plumbed)[0])
    assert latency(size_fifos(plumbed)) > target
    choice = Choice(folding, 1, Resources(), 0.0, 0.0)
    monkeypatch.setattr("bitexpert.flow.fold._in_time", lambda *_: (choice, {}))
    assert latency(fold(residual(), BOARD, target_latency_us=microseconds(target))) == target


def test_a_rate_beside_the_latency():
    graph = padded_bits()
    slow = fold(graph, BOARD, target_latency_us=microseconds(400))
    both = fold(graph, BOARD, target_latency_us=microseconds(400), target_fps=1e6)
    assert simulate(slow).interval > 100
    assert simulate(both).interval <= 100
    assert latency(both) <= 400


def test_what_is_out_of_reach():
    with pytest.raises(
        FoldingError, match=r"no folding was found for a latency of 0.1 us on .*: the quickest takes about 0.\d+ us"
    ):
        fold(padded_bits(), BOARD, target_latency_us=0.1)
    with pytest.raises(FoldingError, match=r"no folding was found for a latency of 0.1 us at 1000 frames/s on "):
        fold(padded_bits(), BOARD, target_latency_us=0.1, target_fps=1000)
    for wrong in (0, -1, float("inf"), float("nan")):
        with pytest.raises(FoldingError, match="positive number of microseconds"):
            fold(padded_bits(), BOARD, target_latency_us=wrong)


def test_the_same_every_time():
    first, second = (fold_and_report(experts(), BOARD, target_latency_us=0.4)[1] for _ in range(2))
    assert first == second
    assert first["objective"] == "least cost at 0.4 us (with a linear model of the latency)"


def brute_force_needed(op) -> list[int]:
    """Last input pixel that changes each output pixel; that rows come whole is left to the cell."""
    h, w, c = op.inputs[0].shape
    base = np.full((1, h, w, c), -1)
    before = op.reference(base)[0]
    last = np.zeros(before.shape[1:3], dtype=int)
    for pixel in range(h * w):
        changed = base.copy()
        changed[0, pixel // w, pixel % w] = 1
        differs = (op.reference(changed)[0] != before).any(axis=(0, 3))
        last[differs] = pixel
    return last.ravel().tolist()


@pytest.mark.parametrize("kernel", [(2, 2), (2, 3), (3, 1)])
def test_what_a_pool_waits_for(kernel):
    op = Pool(StreamType(BIPOLAR, (7, 6, 2)), kernel)
    assert op.needed().tolist() == brute_force_needed(op)


@pytest.mark.parametrize(
    ("stride", "padding"), [((1, 1), (0, 0, 0, 0)), ((2, 1), (1, 1, 1, 1)), ((1, 2), (2, 0, 1, 1))]
)
def test_what_a_window_waits_for(stride, padding):
    op = SlidingWindow(StreamType(BIPOLAR, (6, 5, 1)), (3, 3), stride, padding, pad_value=-1)
    wanted = np.array(brute_force_needed(op)).reshape(op.out_size)
    rows = wanted.max(axis=1) // 5  # a row of outputs begins when the rows it reads have come
    rows[-1] = 5
    assert (op.needed().reshape(op.out_size) == (rows[:, None] + 1) * 5 - 1).all()
