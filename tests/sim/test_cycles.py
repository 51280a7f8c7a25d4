"""The compiled machine of the cycle model gives what the one in Python gives."""

import numpy as np
import pytest
from bitexpert.flow.fold import fold
from bitexpert.hw.ops.base import operator_kinds
from bitexpert.hw.performance import DeadlockError, simulate, size_fifos
from bitexpert.hw.programs import (
    Arrived,
    Copy,
    Give,
    Gone,
    Move,
    Read,
    Repeat,
    Share,
    Skip,
    Step,
    Take,
    Written,
    channels,
    fill,
    interpret,
)
from bitexpert.hw.timing import Channel, Pipe
from bitexpert.sim import cycles
from bitexpert.sim.cycles import build_machine, compiled_machine, fastest_machine
from cellbench import deepen
from emitnets import BOARD, expert_net, folded_net, joined_net
from foldnets import residual
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return compiled_machine(build_machine(tmp_path_factory.mktemp("machine")))


def same(programs, frames, machine):
    """Both machines, as they come to a halt: every handshake in the same cycle."""
    named = list(dict.fromkeys(c for program in programs for c in channels(program)))
    slow, fast = interpret(programs)(frames), machine(programs)(frames)
    for channel in named:
        assert list(fast.writes(channel)) == list(slow.writes(channel)), channel.name
        assert list(fast.reads(channel)) == list(slow.reads(channel)), channel.name
    return sum(len(slow.reads(channel)) for channel in named)


class Maker:
    """Draws a network of programs: each part reads the last channel and makes the next one."""

    def __init__(self, draw):
        self.draw, self.programs = draw, []
        self.beats = self.number(1, 8)
        self.last = self.channel()
        self.programs.append([Give(self.last, self.beats, draw(st.sampled_from([0, 0, 30])))])

    def number(self, low, high):
        return self.draw(st.integers(low, high))

    def channel(self):
        return Channel(f"c{len(self.programs)}", self.draw(st.sampled_from([None, 1, 2, 2, 3, 7])))

    def pipe(self, out):
        return Pipe(out, self.number(1, 4))

    def step(self):
        out = self.channel()
        self.programs.append([Step((self.last,), self.pipe(out), count=self.beats)])
        self.last = out

    def window(self):
        """Each beat is used again, as in a MatVec, or left out."""
        out, again = self.channel(), self.number(1, 3)
        pipe, produces = self.pipe(out), self.draw(st.booleans())
        body = Step((self.last,), pipe, produces), Repeat(again, (Skip(pipe, self.number(1, 4)),))
        self.programs.append([Repeat(self.beats, body)])
        self.beats, self.last = self.beats * (again + produces), out

    def best(self):
        """One beat of each frame, as in a TopK."""
        out, beats = self.channel(), self.beats
        self.programs.append([Take(self.last, beats - 1), Written(out, 1, -1, earlier=1), Take(self.last)])
        self.programs.append([Gone(self.last, beats, beats - 1), Give(out, 1)])
        self.beats, self.last = 1, out

    def ring(self):
        """Rows of a buffer, as in a SlidingWindow."""
        places, out = Channel("places", self.number(1, 3)), self.channel()
        rows = Repeat(self.beats, (Arrived(places), Step((), self.pipe(out), count=2), Read(places)))
        self.programs += [fill(self.last, places, 1, self.beats), [Written(places, self.beats, 0), rows]]
        self.beats, self.last = 2 * self.beats, out

    def fork(self):
        left, right, moved, out = (self.channel() for _ in range(4))
        self.programs += [[Copy(self.last, side, self.beats)] for side in (left, right)]
        self.programs += [[Share(self.last, (left, right), self.beats)], [Move(left, moved, self.beats)]]
        self.programs.append([Step((moved, right), self.pipe(out), count=self.beats)])
        self.last = out


@st.composite
def networks(draw):
    maker = Maker(draw)
    for part in draw(st.lists(st.sampled_from(["step", "window", "best", "ring", "fork"]), min_size=1, max_size=5)):
        getattr(maker, part)()
        if maker.beats > 64:
            maker.best()
    maker.programs.append([Take(maker.last, maker.beats)])
    return maker.programs


@given(programs=networks(), frames=st.integers(1, 4))
def test_any_programs_take_the_same_cycles(programs, frames, machine):
    assert same(programs, frames, machine) > 0


@pytest.mark.parametrize("settings", [{}, {"unbounded": True, "input_interval": 500}], ids=["", "endless"])
def test_every_operator_has_the_same_cycles(settings, machine):
    graphs = folded_net(), joined_net()
    assert {type(node.op) for graph in graphs for node in graph.nodes} == set(operator_kinds().values())
    for graph in graphs:
        slow = simulate(graph, 5, **settings)
        fast = simulate(graph, 5, **settings, machine=machine)
        assert (fast.interval, fast.latency, fast.fills) == (slow.interval, slow.latency, slow.fills)
        assert all(np.array_equal(fast.beats[stream], slow.beats[stream]) for stream in slow.beats)


def test_depths_may_change_between_runs(machine):
    first, second = Channel("first", 1), Channel("second", 4)
    programs = [[Give(first, 6)], [Move(first, second, 6)], [Take(second, 6)]]
    execute = machine(programs)
    for depth in (1, 3, None, 2):
        first.depth = depth
        assert list(execute(3).reads(second)) == list(interpret(programs)(3).reads(second))


def test_a_deadlock_is_named(machine):
    shallow = deepen(fold(residual(), BOARD, target_fps=1.0), 2)
    messages = []
    for runs in (interpret, machine):
        with pytest.raises(DeadlockError, match="the design would deadlock: full FIFOs: fifo_") as error:
            simulate(shallow, machine=runs)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("network", [expert_net, residual])
def test_depths_are_the_same(network, machine):
    graph = fold(network(), BOARD)
    assert [n.op.depth for n in size_fifos(graph, machine=machine).nodes if hasattr(n.op, "depth")] == [
        n.op.depth for n in size_fifos(graph).nodes if hasattr(n.op, "depth")
    ]


def test_without_a_compiler_python_runs_the_model(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fastest_machine.cache_clear()
    try:
        assert fastest_machine() is interpret
    finally:
        fastest_machine.cache_clear()


def test_a_machine_is_compiled_once(monkeypatch, tmp_path):
    library = build_machine(tmp_path)
    monkeypatch.setattr(cycles, "run_tool", None)
    assert build_machine(tmp_path) == library
    assert [path.name for path in tmp_path.iterdir()] == [library.name]
