"""A fault between the last stream and the port is found; the streams of the HLS design are deep enough."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from bitexpert.flow.emit import emit_hls
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.ops.sliding_window import SlidingWindow
from bitexpert.hw.ops.topk import TopK
from bitexpert.hw.types import StreamType, uint_t
from bitexpert.sim.hls import build_hls, run_hls, write_golden
from bitexpert.sim.toolchain import CPP, ap_types, compiler
from cellbench import around
from emitnets import BOARD, folded_net, samples

KIND = StreamType(uint_t(5), (2, 3, 2))
GRAPH = Dataflow((Node("fifo_0", Fifo(KIND, 2, 2), ("in_0",), ("q_0",)),), ("in_0",), ("q_0",))
BOUNDED = Path(__file__).parents[1] / "cpp"


@pytest.mark.parametrize(
    ("wrong", "places"), [("in.read()", []), ("in.read() ^ 32", [(0, 0, 1)]), ("in.read() | 1024", [(0, 0, 0)])]
)
def test_a_fault_between_the_last_stream_and_the_port_is_found(tmp_path, wrong, places):
    emit_hls(GRAPH, tmp_path / "hls", "made by a test", part=BOARD.part, clock_ns=10.0)
    cell = tmp_path / "hls" / "bx" / "axis.hpp"
    assert cell.read_text().count("beat.data = in.read();") == 1
    cell.write_text(cell.read_text().replace("beat.data = in.read();", f"beat.data = {wrong};"))
    found = run_hls(build_hls(tmp_path / "hls", tmp_path / "work"), GRAPH, GRAPH.run(samples(GRAPH)))
    assert [(d.frame, d.pixel, d.channel) for d in found] == places
    assert {d.operator for d in found} <= {"output"}


def in_threads(text: str) -> str:
    """The dataflow region with a thread a cell and streams of the depths that Vitis HLS is told."""
    text, streams = re.subn(r"#pragma HLS STREAM variable = (\w+) depth = (\d+)", r"  \1.depth = \2;", text)
    text, cells = re.subn(r"^  (bx::\w+<.*;)$", r"  threads.emplace_back([&] { \1 });", text, flags=re.M)
    assert streams > 10
    assert cells > 10
    text = text.replace("#pragma HLS DATAFLOW", "  std::vector<std::thread> threads;")
    text = re.sub(r"^}\n", "  for (std::thread& cell : threads) cell.join();\n}\n", text, flags=re.M)
    return "#include <thread>\n#include <vector>\n" + text


@pytest.mark.parametrize("lanes", [4, 1], ids=lambda n: f"PE={n}")
def test_no_cell_waits_for_ever_with_the_depths_of_the_streams(tmp_path, lanes):
    """A gate needs a frame's last beat before the FrameHold lets the first one go: the stream holds a frame."""
    graph = folded_net(**{name: {"PE": lanes} for name in ("fork_0", "gate_0", "frame_hold_0")})
    emit_hls(graph, tmp_path, "made by a test", part=BOARD.part, clock_ns=10.0)
    write_golden(graph, graph.run(samples(graph)), tmp_path / "golden")
    source = tmp_path / "accelerator.cpp"
    source.write_text(in_threads(source.read_text()))
    includes = [f"-I{folder}" for folder in (BOUNDED, CPP, ap_types())]
    units = [source, tmp_path / "tb" / "testbench.cpp"]
    command = [compiler(), "-std=c++14", "-O1", "-w", "-pthread", *includes, *units, "-o", tmp_path / "program"]
    subprocess.run(command, check=True)
    done = subprocess.run([tmp_path / "program", tmp_path / "golden", "4"], timeout=60)
    assert done.returncode == 0


COUNTER = """#pragma once
#include <cstdio>
#include <map>
#include <string>
struct Steps {
  std::map<std::string, long> of;
  ~Steps() {
    for (const auto& entry : of) std::printf("%s %ld\\n", entry.first.c_str(), entry.second);
  }
};
static Steps steps;
"""


def pipelined_steps(graph: Dataflow, folder: Path) -> dict[str, int]:
    """Iterations of the pipelined loops of each function in the C-simulation of one frame."""
    emit_hls(graph, folder, "made by a test", part=BOARD.part, clock_ns=10.0)
    write_golden(graph, graph.run(samples(graph, 1)), folder / "golden")
    (folder / "steps.hpp").write_text(COUNTER)
    for header in (folder / "bx").glob("*.hpp"):
        text = header.read_text().replace("#pragma HLS PIPELINE II = 1", "++steps.of[__func__];")
        header.write_text(text.replace("#pragma once", '#pragma once\n#include "../steps.hpp"'))
    program = build_hls(folder, folder / "work")
    done = subprocess.run([program, folder / "golden", "1"], capture_output=True, text=True, check=True)
    counts = (line.split() for line in done.stdout.splitlines() if re.fullmatch(r"\w+ \d+", line))
    return {name: int(count) for name, count in counts}


def test_the_cells_take_the_steps_that_their_operators_foresee(tmp_path):
    graph = folded_net()
    found = pipelined_steps(graph, tmp_path)
    foreseen = Counter()
    for node in graph.nodes:
        if call := node.op.hls(node.folding):
            name = {"matvec": "matvec_frame", "matvec_banks": "matvec_frame", "gate": "gate_sums"}.get(call.function)
            foreseen[name or call.function] += node.op.hls_steps(node.folding)
    del found["from_axis"], found["to_axis"]
    assert found.pop("gate_layer") <= found["gate_sums"]
    assert found == dict(foreseen)


X = StreamType(uint_t(2), (7, 5, 2))
WINDOWS = {
    "1x1": SlidingWindow(X, (1, 1)),
    "strides": SlidingWindow(X, (1, 2), stride=(3, 2)),
    "padding": SlidingWindow(X, (3, 3), padding=(2, 1, 0, 1)),
    "dilation": SlidingWindow(X, (2, 3), stride=(2, 1), padding=(0, 1, 1, 1), dilation=(2, 2)),
    "a frame a window": SlidingWindow(X, (7, 5)),
}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_a_window_takes_the_steps_that_it_foresees(tmp_path, window):
    found = pipelined_steps(around(window, {"SIMD": 1}), tmp_path)
    assert found["sliding_window"] == window.hls_steps({"SIMD": 1}) >= window.cycles({"SIMD": 1})


def test_topk_takes_the_steps_that_it_foresees(tmp_path):
    top = TopK(StreamType(uint_t(4), (1, 1, 9)), 3)
    assert pipelined_steps(around(top, {}), tmp_path)["topk"] == top.hls_steps({}) == 12
