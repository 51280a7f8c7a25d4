"""The fast engine against the integer reference: outputs and every stream that it has."""

import platform
from dataclasses import replace

import numpy as np
import pytest
from bitexpert.errors import BitexpertError
from bitexpert.flow.emit_fast import emit_fast
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops import base
from bitexpert.hw.ops.add import Add
from bitexpert.hw.ops.affine import Affine
from bitexpert.hw.ops.concat import Concat
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.ops.fork import Fork
from bitexpert.hw.ops.frame_hold import FrameHold
from bitexpert.hw.ops.gate import Gate
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.ops.pool import Pool
from bitexpert.hw.ops.slice import Slice
from bitexpert.hw.ops.sliding_window import SlidingWindow
from bitexpert.hw.ops.threshold import Threshold
from bitexpert.hw.ops.topk import TopK
from bitexpert.hw.ops.window_pool import WindowPool
from bitexpert.hw.types import BIPOLAR, StreamType, int_t, uint_t
from bitexpert.sim.fast import NATIVE, FastEngine, build_fast, fast_rung
from bitexpert.sim.toolchain import ToolError

PORTABLE = ("-march=x86-64",) if platform.machine() == "x86_64" else ()


class Net:
    """Builds a graph operator by operator; `at` is the stream where it goes on."""

    def __init__(self, seed, *inputs):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.kinds = [], {}
        self.inputs = tuple(f"in_{i}" for i in range(len(inputs)))
        self.kinds.update(zip(self.inputs, inputs, strict=True))
        self.at = "in_0"

    @property
    def kind(self):
        return self.kinds[self.at]

    def add(self, op, *inputs):
        n = len(self.nodes)
        outs = tuple(f"s_{n}_{i}" for i in range(len(op.outputs)))
        self.nodes.append(Node(f"{op.kind.lower()}_{n}", op, inputs or (self.at,), outs))
        self.kinds.update(zip(outs, op.outputs, strict=True))
        self.at = outs[0]
        return outs

    def weights(self, banks, groups, rows, columns):
        return self.rng.choice([-1, 1], (banks, groups, rows, columns)).astype(np.int8)

    def conv(self, rows, kernel=(3, 3), groups=1, banks=1, token=None, **window):
        """`rows` output channels in each group; the accumulators."""
        self.add(SlidingWindow(self.kind, kernel, groups=groups, **window))
        tap = self.nodes[-1].op.tap
        weights = self.weights(banks, groups, rows, kernel[0] * kernel[1] * tap)
        self.add(MatVec(self.kind, weights, tap=tap), *((self.at, token) if token else ()))

    def dense(self, rows, groups=1):
        kind = replace(self.kind, shape=(1, 1, self.kind.elements))
        self.add(MatVec(kind, self.weights(1, groups, rows, kind.elements // groups)))

    def sign(self, copies=1):
        kind, m = self.kind, self.kind.shape[2]
        spread = max(2, min(kind.element.max // 4, 4 * int(kind.element.max**0.5)))
        limits = self.rng.integers(-spread, spread + 1, (copies, m))
        if kind.element.kind == "uint":
            limits += kind.element.max // 2
        limits[0, 0], limits[-1, -1] = kind.element.max + 1, kind.element.min
        self.add(Threshold(kind, limits, self.rng.random((copies, m)) < 0.3))

    def gate(self, experts):
        return Gate(
            self.kind, self.rng.integers(-9, 10, (experts, self.kind.shape[2])), self.rng.integers(-50, 50, experts)
        )

    def graph(self, *outputs):
        return Dataflow(tuple(self.nodes), self.inputs, outputs or (self.at,))

    def frames(self, n):
        arrays = []
        for stream in self.inputs:
            kind = self.kinds[stream]
            e = kind.element
            x = self.rng.integers(e.min, e.max + 1, (n, *kind.shape))
            arrays.append(np.where(x > 0, 1, -1) if e == BIPOLAR else x)
        return arrays


def odd(seed=1):
    """Channels that fill no words, groups, both paddings, stride, several thresholds, pool, dense, top-k."""
    net = Net(seed, StreamType(uint_t(8), (11, 10, 3)))
    net.conv(15, padding=(1, 1, 1, 1))
    net.sign()
    net.conv(7, groups=3, padding=(1, 1, 1, 1))  # 5 channels a group
    net.sign(copies=3)
    net.conv(9, groups=7, padding=(1, 0, 2, 1), pad_value=-1, stride=(2, 1))
    net.sign(copies=2)
    net.add(Pool(net.kind, (2, 3)))
    net.conv(21, kernel=(1, 1), groups=2)
    net.sign()
    net.dense(37)
    net.sign()
    net.dense(10)
    net.add(TopK(net.kind, 4))
    return net, net.graph()


def words(seed=2):
    """Channels that fill words or nearly, uneven padding, dilation, a window wholly in the padding."""
    net = Net(seed, StreamType(BIPOLAR, (7, 9, 128)))
    net.conv(65, groups=2, padding=(2, 1, 0, 3), stride=(1, 2))
    net.sign()
    net.conv(64, padding=(1, 1, 1, 1), pad_value=-1)
    net.sign()
    net.conv(10, padding=(3, 3, 3, 3), dilation=(2, 3))
    net.sign(copies=20)
    net.conv(8, kernel=(1, 1), padding=(1, 1, 0, 0), stride=(2, 2), groups=2)
    net.sign()
    net.conv(3, kernel=(1, 2), padding=(0, 2, 0, 2), groups=4)
    return net, net.graph()


def experts(seed=3):
    """Gates on accumulators and on bits, banks behind FrameHold, sums of bits into a layer on numbers."""
    net = Net(seed, StreamType(int_t(8), (6, 6, 2)))
    net.conv(40, padding=(1, 1, 1, 1))
    left, right = net.add(Fork(net.kind, 2))
    (token,) = net.add(net.gate(3), right)
    net.at = left
    net.sign()
    data, token = net.add(FrameHold(net.kind, 3, 8), net.at, token)
    net.at = data
    net.conv(30, banks=3, token=token, padding=(1, 1, 1, 1))
    net.add(Fifo(net.kind, net.kind.shape[2], 2))
    net.sign(copies=2)
    left, right = net.add(Fork(net.kind, 2))
    (token,) = net.add(net.gate(5), right)
    data, token = net.add(FrameHold(net.kinds[left], 5, 8), left, token)
    net.at = data
    net.conv(33, groups=2, banks=5, token=token, pad_value=-1, padding=(1, 1, 1, 1))
    net.sign()
    net.add(Pool(net.kind, (2, 2), "sum"))
    net.conv(20, kernel=(2, 2), groups=3)
    net.add(Pool(net.kind, (2, 1), "max"))
    net.dense(11)
    return net, net.graph()


def rest(seed=4):
    """What networks rarely have: windows that are read by others, masked inputs, wide numbers, reshaped bits."""
    net = Net(
        seed,
        StreamType(BIPOLAR, (4, 5, 6)),
        StreamType(int_t(20), (3, 3, 5)),
        StreamType(uint_t(30), (2, 2, 4)),
        StreamType(uint_t(8), (3, 3, 70)),
    )
    one, two = net.add(Fork(net.kind, 2), "in_0")
    net.at = one
    net.add(SlidingWindow(net.kind, (2, 2), padding=(1, 0, 0, 1)))
    both = net.add(Fork(net.kind, 2))
    masked = both[1]
    net.add(MatVec(net.kinds[both[0]], net.weights(1, 1, 5, 24), tap=6), both[0])
    first = net.at
    net.at = two
    (window,) = net.add(SlidingWindow(net.kind, (2, 3), padding=(0, 1, 0, 0), pad_value=-1))
    net.at = "in_1"
    net.conv(9, groups=5, padding=(1, 1, 1, 1))
    net.sign()
    net.dense(8, groups=9)  # bits packed anew
    third = net.at
    net.at = "in_2"
    net.add(SlidingWindow(net.kind, (1, 2)))
    net.sign(copies=3)  # a window of numbers, made for its reader
    net.dense(3)
    fourth = net.at
    net.at = "in_3"
    net.add(Pool(net.kind, (2, 2), "sum"))
    net.sign(copies=2)
    return net, net.graph(masked, first, window, third, fourth, net.at)


def masked_input(seed=5):
    net = Net(seed, StreamType(BIPOLAR, (3, 2, 36), masked=True), StreamType(uint_t(8), (3, 3, 70)))
    net.add(MatVec(net.kind, net.weights(1, 2, 9, 18), tap=6), "in_0")
    first = net.at
    net.at = "in_1"
    net.sign(copies=2)
    return net, net.graph(first, net.at)


def numbers(seed=6):
    """Integer weights, levels, pools of windows, joins, parts and sums; bits among them."""
    net = Net(seed, StreamType(uint_t(8), (7, 6, 3)), StreamType(BIPOLAR, (5, 5, 70)))
    weights = net.rng.integers(-3, 4, (1, 1, 9, 27))
    net.add(SlidingWindow(net.kind, (3, 3), padding=(1, 1, 1, 1), pad_value=5))
    net.add(MatVec(net.kind, weights, tap=3))
    limits = np.sort(net.rng.integers(-900, 900, (2, 9, 3)), axis=2)
    net.add(Threshold(net.kind, limits, net.rng.random((2, 9)) < 0.4, int_t(3), -2))
    net.add(SlidingWindow(net.kind, (3, 2), (2, 1), (1, 0, 1, 1), -4))
    net.add(WindowPool(net.kind, 6, "max"))
    one, two, three = net.add(Fork(net.kind, 3))
    net.add(Slice(net.kinds[one], 5, 14), one)
    net.add(Affine(net.kind, -3, net.rng.integers(-20, 20, 9)))
    part = net.at
    net.at = two
    net.conv(9, kernel=(1, 1), groups=2)
    net.add(Slice(net.kind, 0, 9))
    net.add(Add(net.kind, net.kinds[part], (2, -5)), net.at, part)
    net.add(Concat(net.kind, net.kinds[three]), net.at, three)
    first = net.at
    net.at = "in_1"
    net.add(SlidingWindow(net.kind, (2, 2), padding=(1, 0, 0, 1)))
    net.add(WindowPool(net.kind, 4, "sum"))
    net.sign(copies=2)
    net.add(SlidingWindow(net.kind, (2, 3), padding=(0, 1, 1, 0), pad_value=1))
    bits, same, last = net.add(Fork(net.kind, 3))
    net.add(MatVec(net.kinds[bits], net.weights(1, 1, 4, 840), tap=140), bits)
    second = net.at
    net.add(WindowPool(net.kinds[same], 6, "max"), same)
    left, right = net.add(Fork(net.kind, 2))
    net.add(Slice(net.kinds[left], 3, 70), left)
    net.add(Concat(net.kind, net.kinds[right]), net.at, right)
    third = net.at
    net.add(MatVec(net.kinds[last], net.rng.integers(-9, 9, (1, 1, 3, 840)), tap=140), last)
    return net, net.graph(first, second, third, net.at)


def random_chain(seed):
    """Convolutions of random shapes and a dense layer."""
    rng = np.random.default_rng(seed)
    net = Net(seed, StreamType(int_t(int(rng.integers(2, 9))), (8, 9, int(rng.integers(1, 5)))))
    net.conv(2 * int(rng.integers(3, 40)), padding=tuple(int(p) for p in rng.integers(0, 2, 4)))
    net.sign()
    for _ in range(3):
        groups = int(rng.choice([g for g in (1, 2, 3, 4) if net.kind.shape[2] % g == 0]))
        padding = tuple(int(p) for p in rng.integers(0, 3, 4))
        room = (net.kind.shape[0] + padding[0] + padding[2], net.kind.shape[1] + padding[1] + padding[3])
        kernel = (min(int(rng.integers(1, 4)), room[0]), min(int(rng.integers(1, 4)), room[1]))
        stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
        net.conv(2 * int(rng.integers(1, 20)), kernel, groups, padding=padding, stride=stride,
                 pad_value=-int(rng.integers(0, 2)))  # fmt: skip
        net.sign(copies=int(rng.integers(1, 4)))
    net.dense(10)
    return net, net.graph()


def check(net, graph, folder, arch=NATIVE, frames=5, inputs=None):
    emit_fast(graph, folder / "fast", "made by a test")
    engine = FastEngine(build_fast(folder / "fast", folder / "work", arch=arch), folder / "fast")
    inputs = net.frames(frames) if inputs is None else inputs
    want, have = graph.run(*inputs), engine.values(*inputs, trace=True)
    assert set(graph.outputs) | set(graph.inputs) <= set(have)
    for stream, values in have.items():
        wrong = np.argwhere(want[stream] != values)
        assert not len(wrong), f"{stream}: first {wrong[0]}, {len(wrong)} of {values.size} differ"
    assert np.array_equal(engine.run(*inputs), want[graph.outputs[0]])
    return engine


@pytest.mark.parametrize("arch", [NATIVE, PORTABLE], ids=["native", "portable"])
@pytest.mark.parametrize("make", [odd, words, experts, rest, numbers])
def test_streams_are_equal(make, arch, tmp_path):
    net, graph = make()
    engine = check(net, graph, tmp_path, arch)
    made = {s for n in graph.nodes if not n.op.plumbing and n.op.kind != "SlidingWindow" for s in n.outputs}
    if make not in (rest, numbers):  # there a Fork copies a window
        assert made <= set(engine.streams)


@pytest.mark.parametrize("seed", range(11, 15))
def test_random_networks(seed, tmp_path):
    check(*random_chain(seed), tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 160))
def test_many_random_networks(seed, tmp_path):
    check(*random_chain(seed), tmp_path)


def test_masked_input(tmp_path):
    net, graph = masked_input()
    _, numbers = net.frames(4)
    taps = net.rng.integers(-1, 2, (4, 3, 2, 36))
    check(net, graph, tmp_path, inputs=[taps, numbers])


def test_rung_passes_and_finds_a_flipped_weight(tmp_path):
    net, graph = odd()
    frames = net.frames(20)[0]
    folder = tmp_path / "fast"
    design = emit_fast(graph, folder, "made by a test")
    result = fast_rung(graph, folder, tmp_path, frames)
    assert (result.rung, result.samples, result.mismatches) == ("fast", 20, 0)
    assert result.streams > 10
    assert result.extra["ms_per_frame"] > 0

    node = graph.nodes[4]  # the grouped convolution
    step = next(s for s in design.steps if s.text.startswith(f"{node.name} +"))
    weights = next(t for t in step.tables if t.name == "weights")
    data = bytearray((folder / "weights.bin").read_bytes())
    data[64 + weights.offset] ^= 1
    (folder / "weights.bin").write_bytes(data)
    result = fast_rung(graph, folder, tmp_path, frames)
    assert result.mismatches > 0
    first = result.differences[0]
    assert (first.operator, first.stream, first.channel) == (node.name, node.outputs[0], 0)

    expected = graph.run(frames)[graph.outputs[0]]
    expected[17, 0, 0, 2] += 1
    emit_fast(graph, folder, "made by a test")
    result = fast_rung(graph, folder, tmp_path, frames, expected=expected)
    assert [(d.stream, d.frame, d.channel, d.count) for d in result.differences] == [(graph.outputs[0], 17, 2, 1)]


def test_a_fault_of_the_traced_run_alone_is_found(tmp_path, monkeypatch):
    net, graph = odd()
    emit_fast(graph, tmp_path / "fast", "made by a test")
    frames = net.frames(4)[0]
    assert fast_rung(graph, tmp_path / "fast", tmp_path, frames).mismatches == 0
    right = FastEngine.values

    def wrong(self, *frames, trace=False):
        values = right(self, *frames, trace=trace)
        values[graph.outputs[0]][3, 0, 0, 1] += trace
        return values

    monkeypatch.setattr(FastEngine, "values", wrong)
    (found,) = fast_rung(graph, tmp_path / "fast", tmp_path, frames).differences
    assert (found.stream, found.frame, found.channel, found.count) == (graph.outputs[0], 3, 1, 1)


def test_a_program_serves_all_weights_of_its_shape(tmp_path):
    libraries = set()
    for seed in (1, 8):
        net, graph = odd(seed)
        check(net, graph, tmp_path)
        libraries.add(build_fast(tmp_path / "fast", tmp_path / "work"))
    assert len(libraries) == 1
    (library,) = libraries
    _, other = words()
    emit_fast(other, tmp_path / "other", "made by a test")
    with pytest.raises(ToolError, match="not of the engine"):
        FastEngine(library, tmp_path / "other")


def test_bad_inputs_are_refused(tmp_path):
    net = Net(6, StreamType(BIPOLAR, (1, 1, 9)), StreamType(uint_t(2), (1, 1, 1)))
    net.add(MatVec(net.kind, net.weights(3, 1, 4, 9)), "in_0", "in_1")
    graph = net.graph()
    emit_fast(graph, tmp_path / "fast", "made by a test")
    engine = FastEngine(build_fast(tmp_path / "fast", tmp_path), tmp_path / "fast")
    x, token = net.frames(3)
    assert engine.run(x, token * 0 + 2).shape == (3, 1, 1, 4)
    with pytest.raises(ToolError, match=r"names no bank in step 1: matvec_0"):
        engine.run(x, token * 0 + 3)
    with pytest.raises(ToolError, match="2 inputs, 1"):
        engine.run(x)
    with pytest.raises(ToolError, match="outside bipolar"):
        engine.run(x * 0, token)
    with pytest.raises(ToolError, match="shape"):
        engine.run(x[..., :8], token)
    with pytest.raises(ToolError, match="integers"):
        engine.run(x.astype(np.float32), token)
    with pytest.raises(ToolError, match="the same"):
        engine.run(x, token[:2])


def test_an_operator_without_a_kernel_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "_KINDS", dict(base._KINDS))

    class Odd(TopK):
        """A kind that no kernel knows."""

    net = Net(7, StreamType(int_t(4), (1, 1, 5)))
    net.add(Odd(net.kind, 1))
    with pytest.raises(BitexpertError, match=r"no kernel for odd_0 \(Odd\)"):
        emit_fast(net.graph(), tmp_path / "fast", "made by a test")
