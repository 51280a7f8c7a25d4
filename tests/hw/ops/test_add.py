import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from bitexpert.flow.emit import emit_hls
from bitexpert.flow.fold import fold
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.add import Add
from bitexpert.hw.ops.base import Operator, OperatorError
from bitexpert.hw.ops.fork import Fork
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.performance import DeadlockError, bottleneck, simulate
from bitexpert.hw.types import BIPOLAR, StreamType, int_t, uint_t
from bitexpert.sim.hls import write_golden
from bitexpert.sim.toolchain import CPP, ap_types, compiler
from cellbench import check_cell, check_graph, deepen
from emitnets import BOARD

BOUNDED = Path(__file__).parents[2] / "cpp"


def operator(first, second, gains=(1, 1), shape=(2, 3, 4)):
    return Add(StreamType(first, shape), StreamType(second, shape), gains)


def frames_for(op, n=4):
    rng = np.random.default_rng(1)
    frames = [s.element.decode(rng.integers(0, 1 << s.element.bits, (n, *s.shape))) for s in op.inputs]
    ends = [(s.element.min, s.element.max) for s in op.inputs]
    for pixel, (a, b) in enumerate((a, b) for a in (0, 1) for b in (0, 1)):
        frames[0][0, pixel // 3, pixel % 3], frames[1][0, pixel // 3, pixel % 3] = ends[0][a], ends[1][b]
    return frames


@pytest.mark.parametrize(
    ("first", "second", "gains", "result"),
    [
        (BIPOLAR, BIPOLAR, (1, 1), int_t(3)),
        (BIPOLAR, int_t(8), (1, 1), int_t(9)),
        (uint_t(8), uint_t(8), (1, 1), uint_t(9)),
        (uint_t(8), uint_t(8), (1, -1), int_t(9)),
        (int_t(8), uint_t(5), (3, -2), int_t(10)),
        (uint_t(1), uint_t(1), (1 << 15, 1 << 15), uint_t(17)),
    ],
)
def test_the_result_has_the_narrowest_element(first, second, gains, result):
    op = operator(first, second, gains)
    assert op.element == result
    sums = []
    for a in (first.min, first.max):
        for b in (second.min, second.max):
            (out,) = op.reference(np.full((1, 2, 3, 4), a), np.full((1, 2, 3, 4), b))
            assert np.all(out == gains[0] * a + gains[1] * b)
            sums.append(int(out[0, 0, 0, 0]))
    assert (min(sums), max(sums)) == op.range


CASES = {
    # first, second, gains, PE
    "bits and numbers": (BIPOLAR, int_t(8), (1, 1), 2),
    "gains": (int_t(8), uint_t(5), (3, -2), 4),
    "both negative": (uint_t(4), int_t(3), (-1, -4), 1),
}
FULL = {
    "bits": (BIPOLAR, BIPOLAR, (1, -1), 4),
    "bits with a gain": (BIPOLAR, int_t(6), (5, 7), 2),
    "largest gains": (int_t(8), uint_t(8), (1 << 15, -32767), 2),
}


def check(first, second, gains, pe):
    op = operator(first, second, gains)
    assert check_cell(op, {"PE": pe}, *frames_for(op)).interval == op.cycles({"PE": pe})


@pytest.mark.parametrize("case", CASES)
def test_cells_match_reference_and_cycle_model(case):
    check(*CASES[case])


@pytest.mark.full
@pytest.mark.parametrize("case", FULL)
def test_cells_more(case):
    check(*FULL[case])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gains": (1, 0)}, r"other than 0, not \(1, 0\)"),
        ({"gains": (1, -32769)}, "32769"),
        ({"gains": (1, 0.5)}, r"0\.5"),
        ({"gains": (1,)}, "2 integers"),
        ({"second": StreamType(int_t(4), (2, 2, 3))}, r"one shape, not \(2, 2, 4\) and \(2, 2, 3\)"),
        ({"second": StreamType(BIPOLAR, (2, 2, 4), masked=True)}, "second is masked"),
        ({"second": StreamType(uint_t(48), (2, 2, 4))}, r"sums of -8\.\.281474976710662 .*lower the gains"),
    ],
)
def test_bad_attributes_are_refused(changes, message):
    kind = StreamType(int_t(4), (2, 2, 4))
    with pytest.raises(OperatorError, match=message):
        Add(**{"first": kind, "second": kind, **changes})


def test_folding_and_saving():
    op = operator(int_t(4), BIPOLAR, (np.int64(3), -2))
    assert op.foldings() == {"PE": (1, 2, 4)}
    assert op.cycles({"PE": 2}) == 12
    assert op.resources({"PE": 4}).lut > op.resources({"PE": 1}).lut > 0
    again = Operator.from_dict(*op.to_dict())
    assert isinstance(again, Add)
    assert again.to_dict() == op.to_dict()


# -- a residual connection ----------------------------------------------------------------------------
def residual(folding, skip_first=True):
    """Fork -> (nothing, MatVec 1x1) -> Add, folded on a board."""
    rng = np.random.default_rng(3)
    x = StreamType(int_t(4), (3, 4, 8))
    matvec = MatVec(x, (2 * rng.integers(0, 2, (1, 1, 8, 8)) - 1).astype(np.int8))
    kinds, streams = (x, matvec.outputs[0]), ("skip_0", "work_1")
    order = slice(None, None, 1 if skip_first else -1)
    nodes = (
        Node("fork_0", Fork(x, 2), ("in_0",), ("skip_0", "work_0")),
        Node("matvec_0", matvec, ("work_0",), ("work_1",)),
        Node("add_0", Add(*kinds[order]), streams[order], ("out_0",)),
    )
    graph = fold(Dataflow(nodes, ("in_0",), ("out_0",)), BOARD, folding=folding)
    return graph, rng.integers(-8, 8, (6, 3, 4, 8))


@pytest.mark.parametrize(
    ("folding", "skip_first"),
    [
        ({"fork_0": {"PE": 8}, "matvec_0": {"PE": 8, "SIMD": 8}, "add_0": {"PE": 8}}, True),
        ({"fork_0": {"PE": 2}, "matvec_0": {"PE": 4, "SIMD": 4}, "add_0": {"PE": 4}}, False),
    ],
    ids=["beat a pixel", "width converters"],
)
def test_the_skip_connection_waits_for_the_layer_at_full_rate(folding, skip_first):
    graph, frames = residual(folding, skip_first)
    run, _ = check_graph(graph, frames, stalls=(0, 70))
    assert run.interval == bottleneck(graph)[1]
    try:
        assert simulate(deepen(graph, 2)).interval > run.interval
    except DeadlockError:
        return


@pytest.mark.parametrize("skip_first", [True, False])
def test_no_hls_cell_waits_for_ever_with_the_depths_of_the_streams(tmp_path, skip_first):
    """A thread a cell; the Fork there gives all copies of a beat away at once."""
    graph, frames = residual({}, skip_first)
    emit_hls(graph, tmp_path, "made by a test", part=BOARD.part, clock_ns=10.0)
    write_golden(graph, graph.run(frames), tmp_path / "golden")
    source = tmp_path / "accelerator.cpp"
    text, streams = re.subn(r"#pragma HLS STREAM variable = (\w+) depth", r"\1.depth", source.read_text())
    text = re.sub(r"^(\w+\.depth = \d+)$", r"\1;", text, flags=re.M)
    text, cells = re.subn(r"^  (bx::\w+<.*;)$", r"  threads.emplace_back([&] { \1 });", text, flags=re.M)
    assert (streams, cells) == (5, 5)
    text = text.replace("#pragma HLS DATAFLOW", "  std::vector<std::thread> threads;")
    text = re.sub(r"^}\n", "  for (std::thread& cell : threads) cell.join();\n}\n", text, flags=re.M)
    source.write_text("#include <thread>\n#include <vector>\n" + text)
    includes = [f"-I{folder}" for folder in (BOUNDED, CPP, ap_types())]
    units = [source, tmp_path / "tb" / "testbench.cpp"]
    command = [compiler(), "-std=c++14", "-O1", "-w", "-pthread", *includes, *units, "-o", tmp_path / "program"]
    subprocess.run(command, check=True)
    assert subprocess.run([tmp_path / "program", tmp_path / "golden", str(len(frames))], timeout=30).returncode == 0
