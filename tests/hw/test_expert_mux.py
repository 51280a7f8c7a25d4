"""The expert-mux unit: Fork, Gate, FrameHold and a MatVec with a bank of weights an expert."""

from dataclasses import replace

import numpy as np
import pytest
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.ops.fork import Fork
from bitexpert.hw.ops.frame_hold import FrameHold
from bitexpert.hw.ops.gate import Gate
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.performance import DeadlockError, simulate, size_fifos
from bitexpert.hw.types import BIPOLAR, StreamType
from bitexpert.sim.rtl import SimulationHang
from cellbench import check_graph

SHAPE = (3, 3, 6)
EXPERTS = 4
# (elements a beat, rows, PE of the MatVec): as fast as the input, and three times as slow
FOLDINGS = [(2, 5, 5), (2, 6, 2)]
FRAMES = 12


def full_rate_depth(beats: int, token_latency: int, fifo: int = 2) -> int:
    """Beats of room a FrameHold needs so that a frame a frame time flows through it for ever.

    Beats enter a Fork in cycles 0, 1, 2, ... The Gate takes the frame's last beat in cycle ``beats``
    (the FIFO before it costs one) and offers the token ``token_latency`` cycles later; the FIFO of
    the token and the release stage cost one cycle each, so beat m leaves in cycle X + m with
    X = beats + token_latency + 2. The room of beat m can be written two cycles later (the hold's own
    FIFO, then the one before it). Beat n arrives in cycle n and finds room when beat
    m = n - (depth + fifo) has left: n >= X + m + 2, or depth + fifo >= X + 2.

    This is the case that the producer sends a beat in every cycle and the consumer takes one in every
    cycle. A slower neighbour can do with less; the cycle model finds that number.

    Parameters
    ----------
    beats : int
        Beats in a frame.
    token_latency : int
        Cycles from the last beat's handshake at the Gate to the token's (``Gate.latency``).
    fifo : int
        Depth of the FIFO between Fork and FrameHold.

    Returns
    -------
    int, beats.
    """
    return max(2, beats + token_latency + 4 - fifo)


def connect(nodes, outputs):
    """A graph of these nodes with a Fifo of 2 beats on every stream, the input included."""
    graph = Dataflow(tuple(nodes), ("x_0",), outputs)
    fifos = {
        s: Node(f"fifo_{s}", Fifo(graph.type_of(s), graph.per_beat(s), 2), (s,), (f"{s}_q",)) for s in graph.streams()
    }
    everything = [fifos["x_0"]]
    for node in nodes:
        everything.append(replace(node, inputs=tuple(f"{s}_q" for s in node.inputs)))
        everything += [fifos[s] for s in node.outputs]
    return Dataflow(tuple(everything), ("x_0",), tuple(f"{s}_q" for s in outputs))


def weights(banks, rows):
    return (2 * np.random.default_rng(banks).integers(0, 2, (banks, 1, rows, SHAPE[2])) - 1).astype(np.int8)


def unit(per_beat, rows, pe, depth=64):
    """Input -> Fork -> (FrameHold, Gate) -> MatVec, folded."""
    kind = StreamType(BIPOLAR, SHAPE)
    rng = np.random.default_rng(5)
    gate = Gate(kind, rng.integers(-7, 8, (EXPERTS, SHAPE[2])), rng.integers(-9, 10, EXPERTS))
    bits = {"PE": per_beat}
    nodes = (
        Node("fork_0", Fork(kind, 2), ("x_0",), ("kept_0", "seen_0"), bits),
        Node("gate_0", gate, ("seen_0",), ("expert_0",), bits),
        Node("hold_0", FrameHold(kind, EXPERTS, depth), ("kept_0", "expert_0"), ("bits_0", "bank_0"), bits),
        Node(
            "matvec_0",
            MatVec(kind, weights(EXPERTS, rows)),
            ("bits_0", "bank_0"),
            ("y_0",),
            {"PE": pe, "SIMD": per_beat},
        ),
    )
    return connect(nodes, ("y_0",))


def plain(per_beat, rows, pe):
    """The same layer with one bank and no gate."""
    op = MatVec(StreamType(BIPOLAR, SHAPE), weights(1, rows))
    return connect([Node("matvec_0", op, ("x_0",), ("y_0",), {"PE": pe, "SIMD": per_beat})], ("y_0",))


def with_hold(graph, depth):
    return graph.replace(
        replace(n, op=replace(n.op, depth=depth)) if isinstance(n.op, FrameHold) else n for n in graph.nodes
    )


def with_fifos(graph, depth):
    nodes = (replace(n, op=replace(n.op, depth=depth)) if isinstance(n.op, Fifo) else n for n in graph.nodes)
    return graph.replace(nodes)


def hold_depth(graph):
    return graph.node("hold_0").op.depth


def samples(n=FRAMES):
    return BIPOLAR.decode(np.random.default_rng(8).integers(0, 2, (n, *SHAPE)))


@pytest.mark.parametrize("folding", FOLDINGS)
def test_with_the_computed_depth_experts_cost_no_throughput(folding):
    graph = size_fifos(unit(*folding))
    assert simulate(graph, FRAMES).interval == simulate(plain(*folding), FRAMES).interval
    assert simulate(graph, FRAMES).interval == graph.node("matvec_0").op.cycles(graph.node("matvec_0").folding)


@pytest.mark.parametrize("folding", FOLDINGS)
def test_with_one_beat_less_it_stalls(folding):
    graph = size_fifos(unit(*folding))
    best = simulate(graph, FRAMES).interval
    try:
        worse = simulate(with_hold(graph, hold_depth(graph) - 1), FRAMES).interval
    except DeadlockError:
        return
    assert worse > best


@pytest.mark.parametrize("fifo", [2, 5])
def test_the_closed_form_is_the_least_depth_at_full_rate(fifo):
    graph = with_fifos(unit(*FOLDINGS[0]), fifo)
    gate = graph.node("gate_0")
    beats = gate.op.stream.beats(gate.folding["PE"])
    depth = full_rate_depth(beats, gate.op.latency(gate.folding), fifo)
    assert simulate(with_hold(graph, depth), FRAMES).interval == beats
    assert simulate(with_hold(graph, depth - 1), FRAMES).interval > beats


def test_the_smallest_hold_is_a_fifo_of_two(monkeypatch):
    """Frames of one beat and a MatVec much slower than the Gate."""
    monkeypatch.setitem(globals(), "SHAPE", (1, 1, 6))
    graph = size_fifos(unit(6, 30, 1))
    assert hold_depth(graph) == 2
    assert simulate(graph, FRAMES).interval == 30


def test_a_hold_that_cannot_take_a_frame_deadlocks():
    """The Gate needs the whole frame; what FrameHold and its Fifo cannot take stays before the Fork."""
    graph = unit(*FOLDINGS[0])
    beats = 27
    # room of a frame: the hold and the Fifo before it; the last beat may stand at the Fork, its copy already given
    needed = beats - 1 - 2
    simulate(with_hold(graph, needed), FRAMES)
    with pytest.raises(DeadlockError, match="deadlock"):
        simulate(with_hold(graph, needed - 1), FRAMES)


@pytest.mark.parametrize("folding", FOLDINGS)
def test_rtl_and_hls_agree_with_reference_and_model_while_experts_change(folding):
    graph = size_fifos(unit(*folding))
    frames = samples()
    values = graph.run(frames)
    tokens = values["expert_0"].ravel()
    assert len(set(tokens.tolist())) >= 3
    assert np.count_nonzero(np.diff(tokens)) >= FRAMES // 2
    run, model = check_graph(graph, frames)
    assert run.interval == model.interval == graph.node("matvec_0").op.cycles(graph.node("matvec_0").folding)
    # several frames in flight: a frame enters before the last beat of the frame before it has left
    beats = 27
    assert model.beats["x_0"][2 * beats] < model.beats["y_0_q"][len(model.beats["y_0_q"]) // FRAMES - 1]


@pytest.mark.parametrize("folding", FOLDINGS)
def test_rtl_with_one_beat_less_does_what_the_model_says(folding):
    """It stalls, right in every value and in every cycle, or it hangs."""
    graph = size_fifos(unit(*folding))
    best = simulate(graph, FRAMES).interval
    less = with_hold(graph, hold_depth(graph) - 1)
    try:
        simulate(less, FRAMES)
    except DeadlockError:
        with pytest.raises(SimulationHang, match="hangs"):
            check_graph(less, samples(), hls=False, stalls=(0,))
    else:
        run, _ = check_graph(less, samples(), hls=False, stalls=(0,))
        assert run.interval > best


def test_rtl_hangs_where_the_model_does():
    less = with_hold(unit(*FOLDINGS[0]), 27 - 1 - 2 - 1)
    with pytest.raises(SimulationHang, match="hangs"):
        check_graph(less, samples(4), hls=False, stalls=(0,))


@pytest.mark.parametrize("depth", [28, 150])
def test_rtl_is_exact_while_everything_waits(depth, monkeypatch):
    """A short hold stops the Fork; a long one fills up with frames until untaken tokens stop the Gate."""
    monkeypatch.setattr("cellbench.CYCLE_FRAMES", FRAMES)
    graph = unit(*FOLDINGS[1], depth=depth)
    _, model = check_graph(graph, samples(), hls=False, stalls=(0,))
    taken = np.asarray(model.beats["seen_0_q"])
    assert np.diff(taken).max() > 1
