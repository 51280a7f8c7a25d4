"""Each rule of the check of HLS sources finds what breaks it, and nothing else; our cells and designs break none."""

import re
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from bitexpert.flow.emit import HW, emit_hls
from bitexpert.flow.hls_check import check_cells, check_design, stream_depths
from bitexpert.flow.hls_check.__main__ import main
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.types import BIPOLAR, StreamType
from bitexpert.sim.toolchain import ToolError
from emitnets import BOARD, folded_net, joined_net

SAMPLES = Path(__file__).parents[1] / "hls"
BROKEN = SAMPLES / "broken.hpp"
EXPECTED = [
    (number, rule.strip())
    for number, line in enumerate(BROKEN.read_text().splitlines(), 1)
    for rule in re.findall(r"// breaks: (\w[\w -]*\w)", line)
]
RULES = {
    *("dynamic memory", "recursion", "virtual", "exception", "run-time type", "library", "function pointer", "goto"),
    *("static state", "loop bound", "pipeline", "pragma", "dataflow", "stream depth"),
}
WIRE = StreamType(BIPOLAR, (1, 2, 8))
GRAPH = Dataflow((Node("fifo_0", Fifo(WIRE, 8, 5), ("in_0",), ("out_0",)),), ("in_0",), ("out_0",))

TO_AXIS = "  bx::to_axis<8, 8, 2>(in_0, m_axis);\n"


@cache
def found_in_broken() -> dict[tuple[int, str], str]:
    return {(f.line, f.rule): str(f) for f in check_cells([BROKEN])}


def test_the_samples_break_every_rule():
    assert {rule for _, rule in EXPECTED} == RULES


@pytest.mark.parametrize(("line", "rule"), EXPECTED, ids=lambda x: str(x).replace(" ", "_"))
def test_what_breaks_a_rule_is_found_where_it_does(line, rule):
    assert (line, rule) in found_in_broken()
    assert found_in_broken()[line, rule].startswith(f"{BROKEN}:{line}: {rule}: ")


def test_nothing_else_is_found():
    assert {k: v for k, v in found_in_broken().items() if k not in EXPECTED} == {}
    assert check_cells([SAMPLES / "sound.hpp"]) == []


def test_our_cells_break_no_rule():
    assert check_cells(sorted((HW / "hls").glob("*.hpp"))) == []


@pytest.mark.parametrize("net", [folded_net, joined_net], ids=["experts", "joins"])
def test_a_design_breaks_no_rule_and_has_the_depths_of_its_graph(tmp_path, net):
    graph = net()
    emit_hls(graph, tmp_path, "made by a test", part=BOARD.part, clock_ns=10.0)
    assert check_design(tmp_path, stream_depths(graph)) == []
    deeper = graph.replace(
        replace(n, op=replace(n.op, depth=n.op.depth + 1)) if isinstance(n.op, Fifo) else n for n in graph.nodes
    )
    fifos = [n for n in graph.nodes if isinstance(n.op, Fifo)]
    found = check_design(tmp_path, stream_depths(deeper))
    assert len(found) == len(fifos)
    assert {f.rule for f in found} == {"stream depth"}


@pytest.mark.parametrize(
    ("old", "new", "rule", "text"),
    [
        ("#pragma HLS DATAFLOW\n", "", "top", "no DATAFLOW"),
        ("#pragma HLS INTERFACE axis port = m_axis\n", "", "top", "port m_axis is no AXI4-Stream"),
        ("INTERFACE axis port = s_axis", "INTERFACE ap_fifo port = s_axis", "top", "port s_axis is no AXI4-Stream"),
        ("#pragma HLS INTERFACE ap_ctrl_none port = return\n", "", "top", "waits for a start signal"),
        ("variable = in_0 depth = 5", "variable = in_0 depth = 4", "stream depth", "depth 4, the graph asks for 5"),
        ("#pragma HLS STREAM variable = in_0 depth = 5\n", "", "stream depth", "in_0 has no STREAM"),
        (TO_AXIS, "", "dataflow", "no process reads in_0"),
        (TO_AXIS, 2 * TO_AXIS, "dataflow", "2 processes read in_0"),
        ("void accelerator(", "void other(", "top", "no function accelerator"),
        ("bx::to_axis", "bx::to_axes", "parse", "no member named 'to_axes'"),
    ],
)
def test_a_fault_in_a_design_is_found(tmp_path, old, new, rule, text):
    emit_hls(GRAPH, tmp_path, "made by a test", part=BOARD.part, clock_ns=10.0)
    source = tmp_path / "accelerator.cpp"
    assert source.read_text().count(old) == 1
    source.write_text(source.read_text().replace(old, new))
    found = [f for f in check_design(tmp_path, stream_depths(GRAPH)) if f.rule == rule and text in f.text]
    assert len(found) == 1
    assert Path(found[0].file) == source
    assert found[0].remedy


def test_the_command(tmp_path, capsys):
    build = tmp_path / "build"
    emit_hls(GRAPH, build / "hls", "made by a test", part=BOARD.part, clock_ns=10.0)
    GRAPH.save(build / "folded.json", build / "weights.npz")
    assert main([str(HW / "hls" / "fork.hpp"), str(build / "hls")]) == 0
    source = build / "hls" / "accelerator.cpp"
    source.write_text(source.read_text().replace("depth = 5", "depth = 3"))
    assert main([str(build / "hls")]) == 1
    line = 1 + source.read_text()[: source.read_text().index("depth = 3")].count("\n")
    wanted = (
        f"{source}:{line}: stream depth: in_0 has depth 3, the graph asks for 5 in accelerator; emit the design again"
    )
    assert capsys.readouterr().out == wanted + "\n"
    assert main([]) == 2
    assert main([str(tmp_path / "none.hpp")]) == 2


def test_a_missing_libclang_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "clang", None)
    with pytest.raises(ToolError, match=r"pip install libclang=="):
        check_cells([BROKEN])
