import numpy as np
import pytest
import torch
import torch.nn.functional as F
from bitexpert.errors import BitexpertError
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.base import Operator, OperatorError
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.ops.sliding_window import SlidingWindow
from bitexpert.hw.ops.window_pool import WindowPool
from bitexpert.hw.performance import simulate
from bitexpert.hw.types import BIPOLAR, StreamType, int_t, uint_t
from cellbench import around, check_cell, check_graph

ELEMENTS = {"bipolar": BIPOLAR, "masked": BIPOLAR, "uint4": uint_t(4), "int3": int_t(3), "int1": int_t(1)}


def pool(kind, size, channels, taps, mode="max"):
    stream = StreamType(ELEMENTS[kind], (*size, taps * channels), kind == "masked")
    return WindowPool(stream, taps, mode)


def frames_for(op, n, seed=0):
    rng = np.random.default_rng(seed)
    element, shape = op.stream.element, op.stream.shape
    values = element.decode(rng.integers(0, 1 << element.bits, (n, *shape)))
    if op.stream.masked:
        values *= np.repeat(rng.random((n, *shape[:2], op.taps)) < 0.5, op.channels, axis=3)
    return values


def naive(op, frame):
    out = np.zeros((*frame.shape[:2], op.channels), int)
    for y, x, c in np.ndindex(*out.shape):
        taps = [int(frame[y, x, t * op.channels + c]) for t in range(op.taps)]
        if op.mode == "sum":
            out[y, x, c] = sum(taps)
        else:
            out[y, x, c] = max((t for t in taps if t or not op.stream.masked), default=-1)
    return out


@pytest.mark.parametrize("mode", ["max", "sum"])
@pytest.mark.parametrize("kind", ELEMENTS)
@pytest.mark.parametrize("taps", [1, 2, 6])
def test_reference_matches_a_plain_loop(kind, taps, mode):
    op = pool(kind, (3, 4), 3, taps, mode)
    frames = frames_for(op, 4)
    (out,) = op.reference(frames)
    assert out.shape == (4, *op.outputs[0].shape)
    assert all(np.array_equal(o, naive(op, f)) for o, f in zip(out, frames, strict=True))
    assert op.outputs[0].element.holds(out)
    assert not op.outputs[0].masked


def test_padding_is_no_value():
    frames = np.array([[0, 1], [0, -1], [0, 0], [-1, 1]]).reshape(4, 1, 1, 2)
    assert pool("masked", (1, 1), 1, 2, "max").reference(frames)[0].ravel().tolist() == [1, -1, -1, 1]
    assert pool("masked", (1, 1), 1, 2, "sum").reference(frames)[0].ravel().tolist() == [1, -1, 0, 0]


@pytest.mark.parametrize(
    ("kind", "taps", "mode", "result"),
    [
        ("bipolar", 9, "max", BIPOLAR),
        ("masked", 9, "max", BIPOLAR),
        ("bipolar", 4, "sum", int_t(4)),
        ("masked", 7, "sum", int_t(4)),
        ("masked", 1, "sum", int_t(2)),
        ("uint4", 4, "sum", uint_t(6)),
        ("int3", 4, "sum", int_t(5)),
        ("int3", 9, "max", int_t(3)),
    ],
)
def test_the_result_has_the_narrowest_element(kind, taps, mode, result):
    op = pool(kind, (1, 1), 2, taps, mode)
    assert op.element == op.outputs[0].element == result
    for extreme in (op.stream.element.min, op.stream.element.max):
        (out,) = op.reference(np.full((1, *op.stream.shape), extreme))
        assert result.holds(out)


# (operator, PE): what the graphs below have not: one tap, one word a tap, windows of nothing but padding
CASES = {
    "masked_maximum": (pool("masked", (2, 3), 4, 2), 2),
    "one_tap": (pool("int3", (3, 2), 6, 1, "sum"), 3),
    "unsigned_sum_of_single_words": (pool("uint4", (2, 2), 3, 5, "sum"), 3),
}


@pytest.mark.parametrize("name", CASES)
def test_cells_match_reference_and_cycle_model(name):
    op, pe = CASES[name]
    result = check_cell(op, {"PE": pe}, frames_for(op, 12, seed=4))
    assert result.interval == op.cycles({"PE": pe}) == op.stream.beats(pe)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(16))
def test_random_cells_match_reference_and_cycle_model(seed):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 4, 2).tolist())
    mode = ["max", "sum"][seed // len(ELEMENTS) % 2]
    op = pool(list(ELEMENTS)[seed % len(ELEMENTS)], size, int(rng.integers(1, 7)), int(rng.integers(1, 8)), mode)
    check_cell(op, {"PE": int(rng.choice(op.foldings()["PE"]))}, frames_for(op, 10, seed))


def window_and_pool(element, shape, kernel, pe, mode, **window):
    """Frames -> SlidingWindow -> WindowPool, ``pe`` elements a beat."""
    first = SlidingWindow(StreamType(element, shape), kernel, **window)
    second = WindowPool(first.outputs[0], kernel[0] * kernel[1], mode)
    nodes = (
        Node("fifo_0", Fifo(first.stream, pe, 2), ("in_0",), ("frames_0",)),
        Node("window_0", first, ("frames_0",), ("made_0",), {"SIMD": pe}),
        Node("fifo_1", Fifo(second.stream, pe, 2), ("made_0",), ("windows_0",)),
        Node("pool_0", second, ("windows_0",), ("pooled_0",), {"PE": pe}),
        Node("fifo_2", Fifo(second.outputs[0], pe, 2), ("pooled_0",), ("out_0",)),
    )
    return Dataflow(nodes, ("in_0",), ("out_0",))


def pooled_by_torch(frames, window, mode, *, masked):
    """What torch makes of the frames; a masked border is -infinity to a maximum."""
    top, left, bottom, right = window.padding
    border = float("-inf") if masked and mode == "max" else window.pad_value
    x = F.pad(torch.from_numpy(frames).double().permute(0, 3, 1, 2), (left, right, top, bottom), value=border)
    if mode == "max":
        y = F.max_pool2d(x, window.kernel, window.stride)
    else:
        y = F.avg_pool2d(x, window.kernel, window.stride, divisor_override=1)
    return y.permute(0, 2, 3, 1).numpy()


AROUND = {"padding": (1, 1, 1, 1), "stride": (2, 2)}
GRAPHS = {
    "maximum_of_bits": window_and_pool(BIPOLAR, (5, 6, 4), (3, 3), 2, "max", pad_value=-1, **AROUND),
    "maximum_of_masked_bits": window_and_pool(BIPOLAR, (4, 4, 2), (3, 2), 1, "max", padding=(2, 0, 1, 1)),
    "maximum_of_uint4": window_and_pool(uint_t(4), (6, 5, 3), (3, 3), 1, "max", pad_value=0, **AROUND),
    "maximum_of_int4": window_and_pool(int_t(4), (5, 5, 6), (3, 3), 3, "max", pad_value=-8, **AROUND),
    "sum_of_masked_bits": window_and_pool(BIPOLAR, (4, 5, 4), (3, 3), 2, "sum", padding=(1, 1, 1, 1)),
    "sum_of_int5_in_a_border": window_and_pool(
        int_t(5), (4, 5, 2), (2, 3), 2, "sum", padding=(0, 2, 1, 1), stride=(1, 2), pad_value=-7
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_windows_are_pooled_as_torch_does(name):
    graph = GRAPHS[name]
    window, op = graph.node("window_0").op, graph.node("pool_0").op
    element = window.stream.element
    frames = element.decode(np.random.default_rng(5).integers(0, 1 << element.bits, (8, *window.stream.shape)))
    want = pooled_by_torch(frames, window, op.mode, masked=op.stream.masked)
    assert np.array_equal(graph.run(frames)["out_0"], want)
    run, model = check_graph(graph, frames)
    assert run.interval == model.interval == window.cycles({"SIMD": graph.per_beat("in_0")})


def test_results_leave_while_the_last_tap_comes():
    op = pool("uint4", (2, 3), 6, 4)
    beats = simulate(around(op, {"PE": 2}), 3).beats
    assert set(np.diff(beats["in_0_q"])) == {1}
    last_taps = np.reshape(beats["in_0_q"], (-1, 4, 3))[:, 3]
    assert np.array_equal(beats["out_0"], last_taps.ravel() + 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "average"}, "max or sum, not 'average'"),
        ({"taps": 5}, "taps=5 must be an integer that divides the 18 channels"),
        ({"taps": 0}, "taps=0"),
        ({"taps": -9}, "taps=-9"),
        ({"taps": 4.5}, "taps=4.5"),
    ],
)
def test_bad_attributes_are_refused(changes, message):
    with pytest.raises(OperatorError, match=message):
        WindowPool(**{"stream": StreamType(BIPOLAR, (4, 4, 18)), "taps": 9, **changes})


def test_sums_that_no_element_holds_are_refused():
    with pytest.raises(BitexpertError, match="49"):
        WindowPool(StreamType(uint_t(48), (2, 2, 2)), 2, "sum")


def test_only_pe_that_divides_a_taps_channels_is_legal():
    op = pool("bipolar", (2, 2), 6, 9)
    assert op.check_folding("p", {"PE": 3}) == {"PE": 3}
    with pytest.raises(OperatorError, match="PE=9"):
        op.check_folding("p", {"PE": 9})


def test_it_survives_saving():
    op = pool("masked", (4, 5), 2, 9, "sum")
    again = Operator.from_dict(*op.to_dict())
    assert isinstance(again, WindowPool)
    assert again.to_dict()[0] == op.to_dict()[0]
