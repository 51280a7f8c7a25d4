"""The Tcl scripts for Vivado and Vitis HLS, run against a stand-in that knows the commands and pins they use."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bitexpert.errors import BitexpertError
from bitexpert.flow.emit import emit_hls, emit_rtl
from bitexpert.flow.vivado import Link, emit_vivado
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.types import BIPOLAR, StreamType
from bitexpert.sim.hls import write_golden
from csynth_report import report
from emitnets import BOARD, folded_net

STAND_IN = Path(__file__).parents[1] / "tcl" / "stand_in.tcl"
TCLSH = shutil.which("tclsh")
needs_tclsh = pytest.mark.skipif(TCLSH is None, reason="tclsh is not installed (apt-get install tcl)")


def emit(folder: Path, graph: Dataflow) -> Path:
    emit_rtl(graph, folder / "rtl", "made by a test")
    emit_hls(graph, folder / "hls", "made by a test", part=BOARD.part, clock_ns=10.0)
    emit_vivado(graph, folder / "vivado", folder / "rtl", BOARD, "made by a test")
    return folder


@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    # a space and Tcl's signs in the path must not matter
    return emit(tmp_path_factory.mktemp("a [puts x] $y {"), folded_net())


@pytest.fixture
def build(emitted, tmp_path):
    folder = tmp_path / "build [oops] $x"
    shutil.copytree(emitted, folder)
    return folder


def tcl(script: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [TCLSH, STAND_IN, script, *arguments], capture_output=True, text=True, env={**os.environ, **env}, timeout=60
    )


def wire(width: int) -> Dataflow:
    """A Fifo with ``width`` bits a beat."""
    kind = StreamType(BIPOLAR, (1, 2, width))
    return Dataflow((Node("fifo_0", Fifo(kind, width, 2), ("in_0",), ("out_0",)),), ("in_0",), ("out_0",))


# -- without tclsh ----------------------------------------------------------------------------------
def test_every_file_that_build_tcl_names_exists(emitted):
    text = (emitted / "vivado" / "build.tcl").read_text()
    lists = re.findall(r"foreach name \{ ([^}]*) \}", text)
    assert len(lists) == 2
    memories, cells = (names.split() for names in lists)
    rtl = emitted / "rtl"
    assert set(memories) == {p.name for p in rtl.glob("*.mem")}
    assert {*cells, "accelerator.sv"} == {p.name for p in rtl.glob("*.sv")}
    # each memory is replaced by its whole path exactly where the top names it
    assert set(re.findall(r'"([^"]+\.mem)"', (rtl / "accelerator.sv").read_text())) == set(memories)


@pytest.mark.parametrize(
    ("bits", "accelerator", "dma"),
    [(1, 1, 1), (8, 1, 1), (9, 2, 2), (17, 3, 8), (32, 4, 4), (56, 7, 8), (64, 8, 8), (65, 9, 8), (128, 16, 8)],
)
def test_a_converter_stands_only_where_the_dma_cannot_have_the_width(tmp_path, bits, accelerator, dma):
    graph = wire(bits)
    emit_rtl(graph, tmp_path / "rtl", "x")
    project = emit_vivado(graph, tmp_path / "vivado", tmp_path / "rtl", BOARD, "x")
    assert project.input == project.output == Link(accelerator, dma)
    text = (tmp_path / "vivado" / "build.tcl").read_text()
    assert ("axis_dwidth_converter width_in" in text) == (accelerator != dma)
    assert ("CONFIG.HAS_MI_TKEEP 1" in text) == (accelerator < dma)
    assert f"CONFIG.c_m_axis_mm2s_tdata_width {8 * dma} " in text
    assert f"CONFIG.c_s_axis_s2mm_tdata_width {8 * dma} " in text


def test_widths_that_no_converter_joins_are_refused(tmp_path):
    graph = wire(8 * 67)
    emit_rtl(graph, tmp_path / "rtl", "x")
    with pytest.raises(BitexpertError, match=r"67 bytes.*fold"):
        emit_vivado(graph, tmp_path / "vivado", tmp_path / "rtl", BOARD, "x")


def test_a_missing_source_is_named(build):
    (build / "rtl" / "bx_rom.sv").unlink()
    with pytest.raises(BitexpertError, match=r"lacks bx_rom\.sv"):
        emit_vivado(folded_net(), build / "vivado", build / "rtl", BOARD, "x")


def test_several_inputs_are_refused(build):
    kind = StreamType(BIPOLAR, (1, 1, 8))
    nodes = tuple(Node(f"fifo_{i}", Fifo(kind, 8, 2), (f"in_{i}",), (f"out_{i}",)) for i in range(2))
    graph = Dataflow(nodes, ("in_0", "in_1"), ("out_0", "out_1"))
    with pytest.raises(BitexpertError, match=r"one input and one output.*2 and 2"):
        emit_vivado(graph, build / "vivado", build / "rtl", BOARD, "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"processor": "zynqmp"}, "family zynqmp"),
        ({"part": "x; exec rm"}, "part"),
        ({"board_part": "[exec rm]"}, "board_part"),
        ({"title": "a\nexec rm"}, "title"),
        ({"title": "$x"}, "title"),
    ],
)
def test_boards_that_cannot_be_scripted_are_refused(build, change, message):
    with pytest.raises(BitexpertError, match=message):
        emit_vivado(folded_net(), build / "vivado", build / "rtl", replace(BOARD, **change), "x")


# -- with tclsh -------------------------------------------------------------------------------------
@needs_tclsh
@pytest.mark.parametrize(("handoff", "board"), [("gen", "1"), ("srcs", "0")])
def test_build_tcl_with_rtl(build, handoff, board):
    done = tcl(build / "vivado" / "build.tcl", "rtl", BX_HANDOFF=handoff, BX_BOARD=board)
    assert done.returncode == 0, done.stderr
    assert (build / "vivado" / "bitfile" / "accelerator.bit").is_file()
    assert (build / "vivado" / "bitfile" / "accelerator.hwh").is_file()
    assert {p.name for p in (build / "vivado" / "reports").iterdir()} == {"utilization_rtl.rpt", "timing_rtl.rpt"}
    assert ("board files" in done.stdout) == (board == "0")
    assert ("CALL set_property board_part" in done.stdout) == (board == "1")
    # a second run begins anew
    assert tcl(build / "vivado" / "build.tcl").returncode == 0


@needs_tclsh
def test_the_packaged_top_names_its_memories_by_whole_paths_that_exist(build):
    assert tcl(build / "vivado" / "build.tcl", "rtl").returncode == 0
    top = (build / "vivado" / "work_rtl" / "accelerator.v").read_text()
    named = re.findall(r'"([^"]+\.mem)"', top)
    assert len(named) == len(list((build / "rtl").glob("*.mem")))
    assert all(Path(name).is_absolute() and Path(name).is_file() for name in named)
    source = (build / "rtl" / "accelerator.sv").read_text()
    for name in named:
        top = top.replace(name, Path(name).name)
    assert top == source


@needs_tclsh
def test_hls_needs_its_ip_first_then_both_scripts_run(build):
    script = build / "vivado" / "build.tcl"
    done = tcl(script, "hls")
    assert done.returncode == 1
    assert "run_hls.tcl" in done.stderr
    done = tcl(build / "hls" / "run_hls.tcl", BX_CSYNTH=str(report(folded_net(), build)))
    assert done.returncode == 0, done.stderr
    assert "no golden frames" in done.stdout
    assert "csim_design" not in done.stdout
    assert f"CALL set_part {BOARD.part}" in done.stdout
    assert "CALL create_clock -period 10.0" in done.stdout
    done = tcl(script, "hls")
    assert done.returncode == 0, done.stderr
    assert (build / "vivado" / "bitfile" / "accelerator.bit").is_file()
    assert "bitexpert:hls:accelerator_hls:1.0" in done.stdout


@needs_tclsh
def test_run_hls_simulates_where_golden_frames_lie(build):
    golden = build / "verification" / "hls"
    graph = folded_net()
    frames = np.random.default_rng(0).integers(0, 8, (3, *graph.type_of(graph.inputs[0]).shape))
    write_golden(graph, graph.run(frames), golden)
    done = tcl(build / "hls" / "run_hls.tcl", BX_CSYNTH=str(report(graph, build)))
    assert done.returncode == 0, done.stderr
    assert re.search(r"CALL csim_design -argv .*verification/hls 3", done.stdout)


@needs_tclsh
@pytest.mark.parametrize("argument", ["verilog", "", "rtl hls", "[exit]"])
def test_a_wrong_argument_is_an_error(build, argument):
    done = tcl(build / "vivado" / "build.tcl", argument)
    assert done.returncode == 1
    assert "the argument must be rtl or hls" in done.stderr
    assert not (build / "vivado" / "bitfile").exists()


@needs_tclsh
def test_missed_timing_is_an_error_and_leaves_no_bitfile(build):
    done = tcl(build / "vivado" / "build.tcl", BX_SLACK="-0.25")
    assert done.returncode == 1
    assert "timing (setup) is not met at 100.0 MHz: slack -0.25 ns" in done.stderr
    assert not (build / "vivado" / "bitfile").exists()


@needs_tclsh
@pytest.mark.parametrize("name", ["bx_rom.sv", "gate_0_bias.mem", "accelerator.sv"])
def test_a_file_that_went_missing_is_an_error(build, name):
    (build / "rtl" / name).unlink()
    done = tcl(build / "vivado" / "build.tcl", "rtl")
    assert done.returncode == 1
    assert name in done.stderr


@needs_tclsh
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("save_bd_design", "save_bd_desing", "invalid command"),
        ("-norecurse", "-norecursive", "no option"),
        ("c_include_sg", "c_includes_sg", "no property"),
        ("dma/axi_resetn", "dma/aresetn", "no pin"),
        ("dma/m_axi_s2mm_aclk", "", "not connected"),
        ("join_interfaces memory/M00_AXI ps/S_AXI_HP0\n", "\n", "not connected"),
        ("-busif m_axis", "-busif maxis", "no interface"),
        ("accelerator.v]", "accelerator.sv]", "Verilog top"),
        ("[list $top_file]", "$top_file", "no file"),
    ],
)
def test_the_stand_in_catches_mistakes(build, old, new, message):
    script = build / "vivado" / "build.tcl"
    text = script.read_text()
    assert old in text
    script.write_text(text.replace(old, new))
    done = tcl(script, "rtl")
    assert done.returncode == 1
    assert message in done.stderr


@needs_tclsh
@pytest.mark.parametrize("bits", [8, 17, 65, 128])
def test_build_tcl_with_and_without_converters(tmp_path, bits):
    done = tcl(emit(tmp_path, wire(bits)) / "vivado" / "build.tcl", "rtl")
    assert done.returncode == 0, done.stderr
