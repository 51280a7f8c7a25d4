"""The scripts for Vivado and Vitis HLS, run against a stand-in that knows the commands, IPs and pins they use."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bitexpert.errors import BitexpertError
from bitexpert.flow.board import board_names, load_board
from bitexpert.flow.emit_shell import SHELL_CELLS
from bitexpert.flow.vivado import FILES, emit_vivado, processor
from bitexpert.hw.performance import bottleneck
from bitexpert.sim.board import PACKAGE
from bitexpert.sim.hls import write_golden
from csynth_report import report
from emitnets import BOARD, emit_project, folded_net
from vivado_report import SEVEN_SERIES, ULTRASCALE, utilization, write_alone, write_system

STAND_IN = Path(__file__).parents[1] / "tcl" / "stand_in.tcl"
TCLSH = shutil.which("tclsh")
needs_tclsh = pytest.mark.skipif(TCLSH is None, reason="tclsh is not installed (apt-get install tcl)")
OPERATORS = {"matvec_0": (210, 20, 0, 300, 0, 1, 0), "gate_0": (400, 30, 5, 120, 1, 0, 2)}


def emit_vivado_of(folder: Path, board=BOARD):
    return emit_vivado(folded_net(), folder / "vivado", folder / "rtl", folder / "shell", board, "made by a test")


def emit(folder: Path, board=BOARD) -> Path:
    emit_project(folder, board)
    write_system(folder / "system.rpt", OPERATORS, ULTRASCALE if board.processor == "zynqmp" else SEVEN_SERIES)
    write_alone(folder / "alone.rpt", OPERATORS)
    return folder


@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    # a space and Tcl's signs in the path must not matter
    return emit(tmp_path_factory.mktemp("a [puts x] $y {"))


@pytest.fixture
def build(emitted, tmp_path):
    folder = tmp_path / "build [oops] $x"
    shutil.copytree(emitted, folder)
    return folder


def tcl(script: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess:
    table = script.parents[1] / ("alone.rpt" if script.name == "ooc.tcl" else "system.rpt")
    env = {**os.environ, "BX_UTILIZATION": str(table), **env}
    return subprocess.run([TCLSH, STAND_IN, script, *arguments], capture_output=True, text=True, env=env, timeout=60)


def read_json(build: Path, name: str) -> dict:
    return json.loads((build / "report" / f"{name}.json").read_text())


def export_hls(build: Path) -> subprocess.CompletedProcess:
    return tcl(build / "hls" / "run_hls.tcl", BX_CSYNTH=str(report(folded_net(), build)))


# -- without tclsh ----------------------------------------------------------------------------------
def test_every_file_that_design_tcl_names_exists_and_no_cell_is_named_twice(emitted):
    text = (emitted / "vivado" / "design.tcl").read_text()
    names = {name: files.split() for name, files in re.findall(r"^set (\w+) \{([^}]*)\}$", text, re.M)}
    assert set(names) == {"rtl_cells", "shell_cells", "all_cells", "memories"}
    assert set(names["memories"]) == {p.name for p in (emitted / "rtl").glob("*.mem")}
    assert {*names["rtl_cells"], "rtl/accelerator.sv"} == {f"rtl/{p.name}" for p in (emitted / "rtl").glob("*.sv")}
    assert names["shell_cells"] == [f"shell/{cell}.sv" for cell in SHELL_CELLS]
    stems = [Path(name).name for name in names["all_cells"]]
    assert len(stems) == len(set(stems))
    assert "bx_fifo.sv" in stems
    assert set(stems) == {Path(name).name for name in (*names["rtl_cells"], *names["shell_cells"])}
    # each memory is replaced by its whole path exactly where the top names it
    top = (emitted / "rtl" / "accelerator.sv").read_text()
    assert set(re.findall(r'"([^"]+\.mem)"', top)) == set(names["memories"])


@pytest.mark.parametrize("name", FILES)
def test_every_file_says_what_made_it(emitted, name):
    assert "made by a test" in (emitted / "vivado" / name).read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("folder", "name"), [("rtl", "bx_rom.sv"), ("shell", "bx_pack.sv"), ("shell", "accelerator_shell.sv")]
)
def test_a_missing_source_is_named(build, folder, name):
    (build / folder / name).unlink()
    with pytest.raises(BitexpertError, match=rf"{folder} lacks {name}"):
        emit_vivado_of(build)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"processor": "versal"}, r"'versal'; use one of zynq, zynqmp"),
        ({"memory_port": "HP4"}, r"'HP4'; use one of HP0, HP1, HP2, HP3"),
        ({"dma_bits": 128}, r"S_AXI_HP0 cannot have 128 bits; set dma_bits to one of 32, 64"),
        ({"part": "x; exec rm"}, "part"),
        ({"board_part": "[exec rm]"}, "board_part"),
        ({"vivado": "2022.1; rm"}, "vivado"),
        ({"title": "a\nexec rm"}, "title"),
        ({"title": "$x"}, "title"),
    ],
)
def test_boards_that_cannot_be_scripted_are_refused(build, change, message):
    with pytest.raises(BitexpertError, match=message):
        emit_vivado_of(build, replace(BOARD, **change))


def test_the_constraints_name_the_clock_port_and_the_boards_period(emitted, tmp_path):
    name, period, port = re.search(
        r"^create_clock -name (\w+) -period ([\d.]+) \[get_ports (\w+)\]$",
        (emitted / "vivado" / "accelerator_ooc.xdc").read_text(),
        re.M,
    ).groups()
    assert (name, period) == (port, "10.0")
    assert re.search(rf"^ *input +wire +{port},", (emitted / "rtl" / "accelerator.sv").read_text(), re.M)
    shutil.copytree(emitted, tmp_path / "b")
    emit_vivado_of(tmp_path / "b", replace(BOARD, clock_mhz=150.0))
    assert "-period 6.667 " in (tmp_path / "b" / "vivado" / "accelerator_ooc.xdc").read_text()


def test_the_ports_of_every_processor_have_names_of_their_own():
    for base in ("pynq-z2", "zcu104"):
        found = [processor(replace(load_board(base), memory_port=f"HP{i}")) for i in range(4)]
        assert len({p.memory for p in found}) == len({p.clocks for p in found}) == 4


# -- with tclsh -------------------------------------------------------------------------------------
@needs_tclsh
@pytest.mark.parametrize(("handoff", "board", "maps"), [("gen", "1", "0"), ("srcs", "0", "1")])
def test_build_tcl_with_rtl(build, handoff, board, maps):
    done = tcl(build / "vivado" / "build.tcl", "rtl", BX_HANDOFF=handoff, BX_BOARD=board, BX_MAP=maps)
    assert done.returncode == 0, done.stderr
    assert (build / "deploy" / PACKAGE / "accelerator.bit").read_text() == "bits"
    assert (build / "deploy" / PACKAGE / "accelerator.hwh").read_text() == "handoff"
    assert ("board files" in done.stdout) == (board == "0")
    # the newest revision of the board
    assert ("CALL set_property board_part tul.com.tw:pynq-z2:part0:1.10" in done.stdout) == (board == "1")
    assert ("CALL ipx::add_memory_map" in done.stdout) == (maps == "0")
    assert "CALL create_bd_cell -type ip -vlnv bitexpert:rtl:accelerator_shell:1.0 accelerator\n" in done.stdout
    assert "axi_dma:7.1 dma\n" in done.stdout
    # a second run begins anew
    assert tcl(build / "vivado" / "build.tcl").returncode == 0


@needs_tclsh
@pytest.mark.parametrize("name", board_names())
def test_both_designs_on_every_board(tmp_path, name):
    board = load_board(name)
    build = emit(tmp_path / name, board)
    assert export_hls(build).returncode == 0
    for source in ("rtl", "hls"):
        done = tcl(build / "vivado" / "build.tcl", source)
        assert done.returncode == 0, done.stderr
        project = build / "vivado" / "work" / source / "project"
        assert f"CALL create_project -force bitexpert {project} -part {board.part}\n" in done.stdout


@needs_tclsh
@pytest.mark.parametrize("port", ["HP1", "HP3"])
@pytest.mark.parametrize("name", ["pynq-z2", "zcu104"])
def test_another_memory_port(tmp_path, name, port):
    build = emit(tmp_path, replace(load_board(name), memory_port=port, dma_bits=64))
    done = tcl(build / "vivado" / "build.tcl", "rtl")
    assert done.returncode == 0, done.stderr


@needs_tclsh
def test_the_packaged_accelerator_names_its_memories_by_whole_paths_that_exist(build):
    assert tcl(build / "vivado" / "build.tcl", "rtl").returncode == 0
    top = (build / "vivado" / "work" / "rtl" / "accelerator.sv").read_text()
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
    done = export_hls(build)
    assert done.returncode == 0, done.stderr
    assert "no golden frames" in done.stdout
    assert "csim_design" not in done.stdout
    assert f"CALL set_part {BOARD.part}" in done.stdout
    assert "CALL create_clock -period 10.0" in done.stdout
    done = tcl(script, "hls")
    assert done.returncode == 0, done.stderr
    assert (build / "deploy" / PACKAGE / "accelerator.bit").is_file()
    assert "-vlnv bitexpert:hls:accelerator_shell:1.0 accelerator\n" in done.stdout
    assert "-vlnv bitexpert:hls:accelerator_hls:1.0 core\n" in done.stdout
    assert "CALL connect_bd_net accelerator/core_rst_n core/ap_rst_n\n" in done.stdout
    # what HLS calls its functions is no operator
    assert set(read_json(build, "post_synth_resources")) == {"source", "(top)", "accelerator", "dma"}


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
    assert not (build / "deploy").exists()


@needs_tclsh
@pytest.mark.parametrize("script", ["build.tcl", "ooc.tcl"])
def test_a_device_that_is_not_installed_is_named_with_a_version_that_has_it(build, script):
    done = tcl(build / "vivado" / script, BX_PART="0")
    assert done.returncode == 1
    assert re.search(r"this Vivado 2022\.1 has no xc7z020clg400-1: .*2022\.1 is known to have it", done.stderr)


@needs_tclsh
def test_missed_timing_is_an_error_that_leaves_reports_but_no_bitfile(build):
    done = tcl(build / "vivado" / "build.tcl", BX_SLACK="-0.25")
    assert done.returncode == 1
    assert "timing is not met at 100.0 MHz: WNS -0.25 ns" in done.stderr
    assert not (build / "deploy").exists()
    assert read_json(build, "post_route_timing")["WNS"] == -0.25


@needs_tclsh
@pytest.mark.parametrize("name", ["bx_rom.sv", "gate_0_bias.mem", "accelerator.sv"])
def test_a_file_that_went_missing_is_an_error(build, name):
    (build / "rtl" / name).unlink()
    done = tcl(build / "vivado" / "build.tcl", "rtl")
    assert done.returncode == 1
    assert name in done.stderr


# -- reports ----------------------------------------------------------------------------------------
NAMES = ("LUT", "LUTRAM", "SRL", "FF", "BRAM_36K", "BRAM_18K", "URAM", "DSP")


def as_told(row):
    """What the JSON says of a row of `vivado_report`."""
    return dict(zip(NAMES, (*row[:6], 0, row[6]), strict=True))


@needs_tclsh
def test_the_reports_of_a_bitstream(build):
    assert tcl(build / "vivado" / "build.tcl", BX_SLACK="1.875").returncode == 0
    found = read_json(build, "post_synth_resources")
    assert found.pop("source") == "Vivado 2022.1, rtl, routed"
    assert found == {
        "(top)": as_told((2900, 300, 40, 3900, 3, 5, 2)),
        "accelerator": as_told((1700, 120, 0, 2100, 1, 5, 2)),
        "dma": as_told((1200, 180, 40, 1800, 2, 0, 0)),
        **{name: as_told(row) for name, row in OPERATORS.items()},
    }
    assert read_json(build, "post_route_timing") == {
        "source": "Vivado 2022.1, rtl, routed",
        "clk_period_ns": 10.0,
        "WNS": 1.875,
        "WHS": 1.875,
        "fmax_mhz": 123.077,
    }
    assert (build / "report" / "post_synth_resources.rpt").read_text() == (build / "system.rpt").read_text()
    assert (build / "report" / "post_route_timing.rpt").is_file()


@needs_tclsh
def test_out_of_context(build):
    done = tcl(build / "vivado" / "ooc.tcl", BX_SLACK="2.0")
    assert done.returncode == 0, done.stderr
    found = read_json(build, "ooc_synth_and_timing")
    assert found["source"] == "Vivado 2022.1, out of context, routed"
    assert found["operators"] == {name: as_told(row) for name, row in OPERATORS.items()}
    assert {name: found[name] for name in NAMES} == as_told((1500, 120, 0, 1800, 1, 5, 2))
    assert (found["part"], found["clk_period_ns"], found["WNS"], found["fmax_mhz"]) == (BOARD.part, 10.0, 2.0, 125.0)
    assert found["estimated_throughput_fps"] == pytest.approx(125e6 / bottleneck(folded_net())[1], rel=1e-5)
    assert (build / "report" / "ooc_timing.rpt").is_file()
    assert not (build / "deploy").exists()


@needs_tclsh
@pytest.mark.parametrize(
    ("headings", "uram"),
    [(ULTRASCALE, True), ((*SEVEN_SERIES[:-1], "DSP48 Blocks"), False), ((*ULTRASCALE[:-1], "DSPs"), True)],
)
def test_the_headings_of_all_families_and_versions_are_understood(build, headings, uram):
    write_alone(build / "alone.rpt", OPERATORS, headings)
    assert ("URAM" in (build / "alone.rpt").read_text()) == uram
    assert tcl(build / "vivado" / "ooc.tcl").returncode == 0
    assert read_json(build, "ooc_synth_and_timing")["operators"]["gate_0"] == as_told(OPERATORS["gate_0"])


ONE = {"accelerator": (12, 0, 0, 1, 0, 0, 0)}


@needs_tclsh
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no table of instances"),
        (utilization(ONE).replace("RAMB36", "RAMB72"), "no column RAMB36"),
        (utilization(ONE).replace("DSP Blocks", "Blocks"), "no column DSP Blocks or DSP48 Blocks or DSPs"),
        (utilization(ONE).replace("|         12 |", "|       many |", 1), "many for LUT of accelerator"),
    ],
)
def test_a_report_that_is_not_understood_is_an_error(build, text, message):
    (build / "alone.rpt").write_text(text)
    done = tcl(build / "vivado" / "ooc.tcl")
    assert done.returncode == 1
    assert message in done.stderr
    assert not (build / "report" / "ooc_synth_and_timing.json").exists()


@needs_tclsh
def test_a_bitstream_without_the_accelerators_instance_is_an_error(build):
    (build / "system.rpt").write_text(utilization({"system_wrapper": (1, 0, 0, 1, 0, 0, 0)}))
    done = tcl(build / "vivado" / "build.tcl")
    assert done.returncode == 1
    assert "no core in system_wrapper/system_i/accelerator" in done.stderr


# -- the stand-in can fail ----------------------------------------------------------------------------
@needs_tclsh
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("save_bd_design", "save_bd_desing", "invalid command"),
        ("-norecurse", "-norecursive", "no option"),
        ("c_include_sg 0", "c_includes_sg 0", "no property"),
        ("c_include_sg 0", "c_include_sg 1", "M_AXI_SG"),
        ("c_sg_length_width 26", "c_sg_length_width 27", "cannot be 27"),
        ("c_m_axis_mm2s_tdata_width 64", "c_m_axis_mm2s_tdata_width 32", "has 32 bits"),
        ("dma/axi_resetn", "dma/aresetn", "no pin"),
        ("dma/m_axi_s2mm_aclk", "", "not connected"),
        ("join_interfaces memory/M00_AXI ps/S_AXI_HP0\n", "\n", "not connected"),
        ("join_interfaces control/M01_AXI accelerator/s_axi_control\n", "\n", "not connected"),
        ("NUM_SI 1 CONFIG.NUM_MI 2", "NUM_SI 1 CONFIG.NUM_MI 1", "no pin M01_AXI"),
        ("ps/S_AXI_HP0_ACLK", "", "not connected"),
        ("    CONFIG.PCW_USE_M_AXI_GP1 0 \\\n", "", "M_AXI_GP1_ACLK is not connected"),
        ("    CONFIG.PCW_USE_S_AXI_HP0 1 \\\n", "", "no pin S_AXI_HP0"),
        ("{s_axis m_axis s_axi_control} :", "{s_axis maxis} :", "no interface"),
        ("range 4096", "size 4096", "no property"),
        ("set_property slave_memory_map_ref", "# set_property", "no memory map"),
        ("$top.v]", "$top.sv]", "Verilog top"),
        ("[list $file]", "$file", "no file"),
        ("whole_paths $all_cells", "whole_paths [concat $all_cells $shell_cells]", "already"),
        ("whole_paths $all_cells", "whole_paths $rtl_cells", "no file of the project has module bx_shell"),
        ("set_property name accelerator_shell", "set_property name shell", "not bitexpert:rtl:accelerator_shell:1.0"),
        ("bd_rule:processing_system7", "bd_rule:zynq_ultra_ps_e", "no rule"),
        ("part0:*", "part0:1.0", "one revision"),
        ("add_ip axi_dma", "add_ip axi_dna", "this Vivado has no IP axi_dna"),
        ("wait_on_run impl_1\n", "\n", "the implementation failed: see"),
        ("foreach kind {srcs gen}", "foreach kind {srcs}", "Vivado left no system.hwh"),
        ("set_property board_part", "# set_property", "no board whose preset"),
        ("open_run impl_1", "", "no routed design"),
        ("create_project -force bitexpert", "list", "make_wrapper: no project is open"),
        ("[get_bd_pins $source]", "[lmap pin $source {get_bd_pins $pin}]", "invalid command"),
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


def statements(script: str) -> list[str]:
    """A script's lines, those that go on in the next one joined with it."""
    return re.findall(r"(?:.*\\\n)*.*\n", script)


@needs_tclsh
@pytest.mark.parametrize("name", ["pynq-z2", "zcu104"])
def test_no_statement_that_makes_the_design_can_be_left_out(tmp_path, name):
    build = emit(tmp_path, load_board(name))
    assert export_hls(build).returncode == 0
    script = build / "vivado" / "build.tcl"
    lines = statements(script.read_text())
    first, last = (next(i for i, line in enumerate(lines) if word in line) for word in ("package_ip", "open_run"))
    left_out, missed = 0, []
    for i in range(first, last + 1):
        line = lines[i].strip()
        if not line or line.startswith(("#", "}", "error", "puts")) or line.endswith("{"):
            continue
        left_out += 1
        script.write_text("".join(lines[:i] + lines[i + 1 :]))
        if not any(tcl(script, source).returncode for source in ("rtl", "hls")):
            missed.append(line)
    assert left_out > 60
    assert missed == []


@needs_tclsh
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("join_interfaces accelerator/core_in core/s_axis\n", "\n", "not connected"),
        ("join_pins accelerator/core_rst_n core/ap_rst_n\n", "\n", "core/ap_rst_n is not connected"),
        ("accelerator/core_in core/s_axis", "accelerator/core_out core/s_axis", "cannot be joined"),
        ("    lappend repositories $hls_ip\n", "\n", "not bitexpert:hls:accelerator_hls:1.0"),
    ],
)
def test_the_stand_in_catches_mistakes_around_the_hls_ip(build, old, new, message):
    assert export_hls(build).returncode == 0
    script = build / "vivado" / "build.tcl"
    text = script.read_text()
    assert old in text
    script.write_text(text.replace(old, new))
    done = tcl(script, "hls")
    assert done.returncode == 1
    assert message in done.stderr


@needs_tclsh
@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("ooc.tcl", "route_design\n", "\n", "no routed design"),
        ("ooc.tcl", "opt_design\n", "\n", "place_design before opt"),
        ("ooc.tcl", "read_verilog -sv", "read_verilog", "SystemVerilog"),
        ("ooc.tcl", "read_xdc -mode out_of_context", "# read_xdc", "no path (setup): the design has no clock"),
        (
            "ooc.tcl",
            "synth_design -mode out_of_context",
            "synth_design -mode default",
            "constraints for out_of_context",
        ),
        ("ooc.tcl", "-hierarchical ", "", "without instances"),
        ("ooc.tcl", "$rtl_cells", "{rtl/bx_fifo.sv}", "has module"),
        ("accelerator_ooc.xdc", "get_ports ap_clk", "get_ports clk", "no port clk"),
        ("accelerator_ooc.xdc", "-period", "-perod", "no option"),
    ],
)
def test_the_stand_in_catches_mistakes_out_of_context(build, file, old, new, message):
    path = build / "vivado" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    done = tcl(build / "vivado" / "ooc.tcl")
    assert done.returncode == 1
    assert message in done.stderr


@needs_tclsh
@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "shell/accelerator_shell.sv",
            "input  wire         s_axi_control_rready",
            "input  wire         rready",
            "lacks rready",
        ),
        ("shell/accelerator_shell.sv", "[63:0] m_axis_tdata", "[31:0] m_axis_tdata", "m_axis 32"),
        (
            "shell/accelerator_shell.sv",
            "    output wire         m_axis_tlast",
            "    output wire spare,\n    output wire m_axis_tlast",
            "spare belongs",
        ),
        ("shell/accelerator_shell_alone.sv", "signal:reset:1.0 core_rst_n", "signal:data:1.0 core_rst_n", "core_rst_n"),
    ],
)
def test_the_stand_in_reads_the_shells_ports(build, file, old, new, message):
    assert export_hls(build).returncode == 0
    path = build / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    done = tcl(build / "vivado" / "build.tcl", "hls" if "alone" in file else "rtl")
    assert done.returncode == 1
    assert message in done.stderr
