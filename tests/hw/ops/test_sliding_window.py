import time

import numpy as np
import pytest
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops import sliding_window
from bitexpert.hw.ops.base import Operator, OperatorError
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.ops.sliding_window import SlidingWindow
from bitexpert.hw.ops.threshold import Threshold
from bitexpert.hw.performance import simulate
from bitexpert.hw.types import BIPOLAR, StreamType, int_t, uint_t
from cellbench import around, check_cell, check_graph


def window(element, shape, kernel, *, stride=(1, 1), padding=(0, 0, 0, 0), pad_value=0, groups=1, dilation=(1, 1)):
    return SlidingWindow(StreamType(element, shape), kernel, stride, padding, pad_value, groups, dilation)


def frames_for(op, n, seed=0):
    element, shape = op.stream.element, op.stream.shape
    return element.decode(np.random.default_rng(seed).integers(0, 1 << element.bits, (n, *shape)))


def naive(op, frame):
    h, w, _ = frame.shape
    oh, ow = op.out_size
    out = []
    for oy in range(oh):
        for ox in range(ow):
            for g in range(op.groups):
                for ky in range(op.kernel[0]):
                    for kx in range(op.kernel[1]):
                        y = oy * op.stride[0] + ky * op.dilation[0] - op.padding[0]
                        x = ox * op.stride[1] + kx * op.dilation[1] - op.padding[1]
                        for c in range(op.tap):
                            inside = 0 <= y < h and 0 <= x < w
                            out.append(int(frame[y, x, g * op.tap + c]) if inside else op.pad_value)
    return np.array(out).reshape(oh, ow, -1)


def random_window(rng, largest=8):
    """A random operator with every attribute in play."""
    while True:
        element = [BIPOLAR, BIPOLAR, uint_t(3), int_t(4)][rng.integers(4)]
        groups = int(rng.integers(1, 4))
        shape = (*rng.integers(1, largest + 1, 2).tolist(), groups * int(rng.integers(1, 4)))
        padding = rng.integers(0, 4, 4) * (rng.random(4) < 0.6) * (rng.random() < 0.7)
        try:
            return window(
                element,
                shape,
                tuple(rng.integers(1, 5, 2).tolist()),
                stride=tuple(rng.integers(1, 4, 2).tolist()),
                padding=tuple(padding.tolist()),
                pad_value=int(rng.integers(element.min, element.max, endpoint=True)),
                groups=groups,
                dilation=tuple(rng.integers(1, 3, 2).tolist()),
            )
        except OperatorError:
            continue  # the kernel did not fit


def intervals(op, folding, frames=24):
    beats = op.outputs[0].beats(folding["SIMD"])
    return np.diff(simulate(around(op, folding), frames).beats["out_0"][beats - 1 :: beats])


@pytest.mark.parametrize("seed", range(40))
def test_reference_matches_a_plain_loop(seed):
    op = random_window(np.random.default_rng(seed), 6)
    frames = frames_for(op, 2, seed)
    (windows,) = op.reference(frames)
    kind = op.outputs[0]
    assert windows.shape == (2, *kind.shape)
    assert all(np.array_equal(w, naive(op, f)) for w, f in zip(windows, frames, strict=True))
    assert kind.masked == (op.stream.element == BIPOLAR and op.pad_value == 0 and any(op.padding))
    assert kind.masked or kind.element.holds(windows)
    for simd in op.foldings()["SIMD"]:
        assert np.array_equal(kind.unpack(kind.pack(windows, simd), simd), windows)


def test_reference_is_fast():
    op = window(BIPOLAR, (32, 32, 128), (3, 3), padding=(1, 1, 1, 1))
    frames = np.ones((4, 32, 32, 128), np.int8)
    start = time.perf_counter()
    (windows,) = op.reference(frames)
    assert time.perf_counter() - start < 1.0
    assert windows.dtype == np.int8


# (operator, SIMD); bipolar and numbers, every kind of padding, rows that no window reads, SIMD 1 and full
CASES = {
    "groups_masked": (window(BIPOLAR, (5, 4, 6), (3, 3), padding=(1, 1, 1, 1), groups=2), 3),
    "asymmetric_strided_ints": (
        window(int_t(3), (7, 6, 2), (3, 2), stride=(2, 3), padding=(0, 2, 1, 0), pad_value=-3),
        1,
    ),
    "leftover_rows": (window(uint_t(4), (6, 5, 3), (1, 1), stride=(4, 2)), 3),
    "larger_than_frame": (
        window(BIPOLAR, (2, 3, 3), (2, 4), padding=(3, 1, 2, 5), pad_value=-1, dilation=(3, 2), groups=3),
        1,
    ),
    "unpadded_one_row_at_a_time": (window(BIPOLAR, (4, 5, 5), (3, 3)), 5),
    "single_words": (window(BIPOLAR, (1, 1, 4), (1, 1), padding=(1, 0, 0, 0), pad_value=1), 4),
    # the code of a padded element has more bits than an integer of Verilog
    "wide_numbers": (window(int_t(48), (2, 3, 2), (2, 2), padding=(0, 1, 1, 0), pad_value=-0x123456789ABC), 2),
}


@pytest.mark.parametrize("name", CASES)
def test_cells_match_reference_and_cycle_model(name):
    op, simd = CASES[name]
    result = check_cell(op, {"SIMD": simd}, frames_for(op, 12, seed=4))
    assert result.interval == op.cycles({"SIMD": simd})


@pytest.mark.full
@pytest.mark.parametrize("seed", range(12))
def test_random_cells_match_reference_and_cycle_model(seed):
    rng = np.random.default_rng(100 + seed)
    op = random_window(rng)
    check_cell(op, {"SIMD": int(rng.choice(op.foldings()["SIMD"]))}, frames_for(op, 10, seed))


@pytest.mark.parametrize("seed", range(30))
def test_the_ring_is_as_small_as_the_full_rate_allows(seed, monkeypatch):
    rng = np.random.default_rng(1000 + seed)
    op = random_window(rng, 7)
    folding = {"SIMD": int(rng.choice(op.foldings()["SIMD"]))}
    rows, cycles = op.rows, op.cycles(folding)
    assert set(intervals(op, folding)[-8:]) == {cycles}
    if rows > max(1, *(need - first for first, need, _ in op.steps)):
        monkeypatch.setattr(sliding_window, "_rows_for_full_rate", lambda *_: rows - 1)
        assert intervals(op, folding)[-8:].mean() > cycles


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "rows"),
    [(3, 1, 1, 4), (3, 1, 0, 6), (3, 2, 1, 5), (1, 1, 0, 2), (5, 1, 2, 6), (2, 2, 0, 4)],
)
def test_ring_rows_of_common_kernels(kernel, stride, pad, rows):
    op = window(BIPOLAR, (32, 32, 8), (kernel, kernel), stride=(stride, stride), padding=(pad,) * 4)
    assert op.rows == rows


def test_the_reader_never_pauses_between_frames():
    op = window(BIPOLAR, (8, 8, 4), (3, 3), padding=(1, 1, 1, 1))
    beats = simulate(around(op, {"SIMD": 2}), 4).beats["out_0"]
    assert len(beats) == 4 * 64 * 9 * 2
    assert set(np.diff(beats)) == {1}


def test_the_first_word_follows_its_last_row_by_three_cycles():
    op = window(BIPOLAR, (4, 4, 2), (3, 3))
    run = simulate(around(op, {"SIMD": 1}), 3)
    assert run.beats["out_0"][0] == run.beats["in_0_q"][3 * 4 * 2 - 1] + 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": (3,)}, "kernel must be 2 integers"),
        ({"kernel": (0, 3)}, "at least 1"),
        ({"stride": (1, 0)}, "stride"),
        ({"padding": (1, 1, 1)}, "padding must be 4"),
        ({"padding": (1, 1, -1, 1)}, "at least 0"),
        ({"dilation": (1, 1.5)}, "dilation"),
        ({"pad_value": 2}, "pad_value on bipolar must be an integer of -1..1, not 2"),
        ({"pad_value": 0.5}, "-1..1, not 0.5"),
        ({"pad_value": None}, "-1..1, not None"),
        ({"stream": StreamType(uint_t(2), (4, 4, 6)), "pad_value": -1}, "on uint2 must be an integer of 0..3, not -1"),
        ({"stream": StreamType(int_t(4), (4, 4, 6)), "pad_value": 8}, "on int4 must be an integer of -8..7, not 8"),
        ({"stream": StreamType(int_t(4), (4, 4, 6)), "pad_value": float("nan")}, "-8..7, not nan"),
        ({"groups": 4}, "divide the 6 channels"),
        ({"kernel": (5, 3)}, "5x3 does not fit the padded frame of 4x4"),
        ({"dilation": (2, 1), "padding": (0, 0, 0, 1)}, "5x3 does not fit the padded frame of 4x5"),
        ({"stream": StreamType(BIPOLAR, (4, 4, 6), masked=True)}, "masked"),
    ],
)
def test_bad_attributes_are_refused(changes, message):
    with pytest.raises(OperatorError, match=message):
        SlidingWindow(**{"stream": StreamType(BIPOLAR, (4, 4, 6)), "kernel": (3, 3), **changes})


def test_only_simd_that_divides_a_groups_channels_is_legal():
    op = window(BIPOLAR, (4, 4, 12), (3, 3), groups=2)
    assert op.check_folding("w", {"SIMD": 3}) == {"SIMD": 3}
    with pytest.raises(OperatorError, match="SIMD=4"):
        op.check_folding("w", {"SIMD": 4})


def test_the_ring_counts_as_block_ram():
    op = window(BIPOLAR, (32, 32, 128), (3, 3), padding=(1, 1, 1, 1))
    assert op.resources({"SIMD": 16}).bram18 == 1  # 4 rows x 256 words of 16 bits
    assert op.resources({"SIMD": 128}).bram18 == 4  # 128 words of 128 bits


def test_it_survives_saving():
    changes = {"stride": (1, 2), "padding": (0, 1, 2, 3), "pad_value": -4, "groups": 3, "dilation": (1, 2)}
    op = window(int_t(3), (4, 5, 6), (3, 2), **changes)
    again = Operator.from_dict(*op.to_dict())
    assert isinstance(again, SlidingWindow)
    assert again.to_dict()[0] == op.to_dict()[0]
    assert again.rows == op.rows


def test_stalls_that_overlap_in_the_pipeline():
    """A reader slower than the window: a stall still counts for a beat that was on its way when it began."""
    x = StreamType(BIPOLAR, (1, 1, 1))
    window = SlidingWindow(x, (1, 1), padding=(1, 0, 0, 1), pad_value=-1)
    product = MatVec(window.outputs[0], np.array([1, -1]).reshape(1, 1, 2, 1), 1)
    signs = Threshold(product.outputs[0], np.array([[0, 0], [1, 1]]), np.zeros((2, 2), bool))
    one = {"PE": 1, "SIMD": 1}
    ops = [("window_0", window, {"SIMD": 1}), ("matvec_0", product, one), ("signs_0", signs, {"PE": 1})]
    nodes, at = [Node("fifo_0", Fifo(x, 1, 2), ("in_0",), ("in_0_q",))], "in_0_q"
    for name, op, folding in ops:
        nodes.append(Node(name, op, (at,), (f"{name}_out",), folding))
        nodes.append(Node(f"{name}_fifo", Fifo(op.outputs[0], 1, 2), (f"{name}_out",), (f"{name}_q",)))
        at = f"{name}_q"
    check_graph(Dataflow(tuple(nodes), ("in_0",), (at,)), np.array([1, -1, 1, 1, -1]).reshape(5, 1, 1, 1), hls=False)
