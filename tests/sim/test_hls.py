"""A fault between the last stream and the port is found; the streams of the HLS design are deep enough."""

import re
import subprocess
from pathlib import Path

import pytest
from bitexpert.flow.emit import emit_hls
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.types import StreamType, uint_t
from bitexpert.sim.hls import build_hls, run_hls, write_golden
from bitexpert.sim.toolchain import CPP, ap_types, compiler
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
