import itertools

import numpy as np
import pytest
from bitexpert.flow.board import load_board
from bitexpert.flow.fold import fold
from bitexpert.hw import performance
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.add import Add
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.ops.fork import Fork
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.ops.threshold import Threshold
from bitexpert.hw.performance import ample_depths, bottleneck, simulate, size_fifos
from bitexpert.hw.types import BIPOLAR, StreamType, uint_t
from hypothesis import given
from hypothesis import strategies as st


@st.composite
def networks(draw):
    """Present depths, and minimal vectors of depths: enough is what is at least one of them everywhere."""
    count = draw(st.integers(1, 5))
    present = [draw(st.integers(3, 40)) for _ in range(count)]
    corners = draw(st.lists(st.tuples(*(st.integers(2, p) for p in present)), min_size=1, max_size=3))
    return dict(zip("abcde", present, strict=False)), corners


@given(networks())
def test_lowering_together_is_lowering_one_after_another(network):
    present, corners = network

    def enough(depths):
        depths = {**present, **depths}
        return any(all(depths[n] >= c for n, c in zip(present, corner, strict=True)) for corner in corners)

    depths = {}
    performance._lower_together(list(present), present, depths, enough)
    one_by_one = dict(present)
    for name in present:
        one_by_one[name] = next(d for d in itertools.count(2) if enough({**one_by_one, name: d}))
    assert depths == one_by_one


def test_shallow_fifos_take_one_look():
    looks = []
    present = dict.fromkeys("abcdefgh", 30)

    def enough(depths):
        looks.append(dict(depths))
        return {**present, **depths}["g"] >= 30

    depths = {}
    performance._lower_together(list(present), present, depths, enough)
    assert depths == {**dict.fromkeys("abcdefgh", 2), "g": 30}
    # all, half, the next quarter, g and h: g alone, just below it; h
    assert len(looks) == 6


def residual(folding) -> Dataflow:
    """Numbers through a layer, added to themselves."""
    x = StreamType(uint_t(2), (3, 3, 4))
    layer = MatVec(x, np.ones((1, 1, 4, 4), dtype=np.int8))
    nodes = (
        Node("fork", Fork(x, 2), ("a",), ("b", "c")),
        Node("layer", layer, ("b",), ("d",)),
        Node("add", Add(layer.outputs[0], x), ("d", "c"), ("e",)),
    )
    return fold(Dataflow(nodes, ("a",), ("e",)), load_board("pynq-z2"), folding=folding)


def bursts(folding) -> Dataflow:
    """Two dense layers; the second takes in a burst what the first makes slowly."""
    x = StreamType(BIPOLAR, (1, 1, 8))
    first = MatVec(x, np.ones((1, 1, 8, 8), dtype=np.int8))
    bits = Threshold(first.outputs[0], np.zeros((1, 8), dtype=np.int64), np.zeros((1, 8), dtype=bool))
    second = MatVec(bits.outputs[0], np.ones((1, 1, 8, 8), dtype=np.int8))
    nodes = (
        Node("first", first, ("a",), ("b",)),
        Node("bits", bits, ("b",), ("c",)),
        Node("second", second, ("c",), ("d",)),
    )
    return fold(Dataflow(nodes, ("a",), ("d",)), load_board("pynq-z2"), folding=folding)


@pytest.mark.parametrize(
    "graph",
    [
        residual({"layer": {"PE": 2, "SIMD": 1}}),
        residual({"layer": {"PE": 4, "SIMD": 1}, "fork": {"PE": 4}}),
        bursts({}),
        bursts({"first": {"PE": 2}, "second": {"SIMD": 2}}),
    ],
)
def test_sized_fifos_have_the_least_total_of_bits(graph):
    ample, enough = ample_depths(graph)
    most = {n.name: n.op.depth for n in ample.nodes if isinstance(n.op, Fifo)}
    sized = {n.name: n.op.depth for n in size_fifos(graph).nodes if isinstance(n.op, Fifo)}
    assert enough(sized)
    assert simulate(size_fifos(graph)).interval == bottleneck(graph)[1]

    def bits(depths):
        return sum(depth * graph.beat_bits(graph.node(name).inputs[0]) for name, depth in depths.items())

    smaller = (
        dict(zip(most, depths, strict=True)) for depths in itertools.product(*(range(2, d + 1) for d in most.values()))
    )
    assert not any(enough(depths) for depths in smaller if bits(depths) < bits(sized))
    assert any(depth > 2 for depth in sized.values())
