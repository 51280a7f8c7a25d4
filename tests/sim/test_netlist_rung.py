"""The netlist's block RAMs against plain memories, and faults in a netlist."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from bitexpert.flow.board import load_board
from bitexpert.flow.emit import emit_rtl
from bitexpert.flow.fold import fold
from bitexpert.flow.synth import rtl_sources
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.types import BIPOLAR, StreamType
from bitexpert.sim.netlist_rung import netlist_design, primitives
from bitexpert.sim.rtl import build_rtl, run_rtl, verilate
from bitexpert.sim.toolchain import ToolError, run_tool
from bitexpert.sim.yosys import synthesise
from emitnets import folded_net, samples

# Width of a port of a block RAM, parity included -> words of the 18 Kbit and of the 36 Kbit one.
SHAPES = {1: (16384, 32768), 2: (8192, 16384), 4: (4096, 8192), 9: (2048, 4096), 18: (1024, 2048), 36: (512, 1024)}
CASES = [(width, words) for width, both in SHAPES.items() for words in both] + [(72, 512)]

MEMORIES = """
module rom_ #(parameter W = 1, N = 2, parameter FILE = "") (
    input wire clk, en, reset, input wire [$clog2(N)-1:0] a, output reg [W-1:0] q);
  (* rom_style = "block" *) reg [W-1:0] words[0:N-1];
  initial $readmemh(FILE, words);
  always @(posedge clk) if (en) q <= reset ? {W{1'b1}} : words[a];
endmodule
// one port writes, one reads; a word that is read while it is written comes as it was
module sdp_ #(parameter W = 1, N = 2, parameter FILE = "") (
    input wire clk, write, en, input wire [$clog2(N)-1:0] wa, a, input wire [W-1:0] d, output reg [W-1:0] q);
  (* ram_style = "block" *) reg [W-1:0] words[0:N-1];
  initial $readmemh(FILE, words);
  always @(posedge clk) if (write) words[wa] <= d;
  always @(posedge clk) if (en) q <= words[a];
endmodule
// one port for both, bytes written apart; MODE 0 read first, 1 write first, 2 no change
module sp_ #(parameter W = 18, N = 1024, B = 9, MODE = 0, parameter FILE = "") (
    input wire clk, en, input wire [W/B-1:0] write, input wire [$clog2(N)-1:0] a, input wire [W-1:0] d,
    output reg [W-1:0] q);
  (* ram_style = "block" *) reg [W-1:0] words[0:N-1];
  integer i;
  initial $readmemh(FILE, words);
  always @(posedge clk) if (en) begin
    for (i = 0; i < W/B; i = i + 1) if (write[i]) words[a][i*B +: B] <= d[i*B +: B];
    if (MODE == 0 || (MODE == 2 && write == 0)) q <= words[a];
    if (MODE == 1) for (i = 0; i < W/B; i = i + 1) q[i*B +: B] <= write[i] ? d[i*B +: B] : words[a][i*B +: B];
  end
endmodule
"""
# A third of the reads meets a write in the same cycle, a third looks at what the cycle before has written.
BENCH = """
module bench(input wire clk, output wire wrong);
  reg [{last}:0] address, write_address, fresh;
  reg [71:0] data;
  reg [7:0] write;
  reg en, reset;
  wire [{bits}:0] expected, found;
  memories plain (clk, en, reset, write, address, write_address, data, expected);
  netlist mapped (clk, en, reset, write, address, write_address, data, found);
  always @(posedge clk) begin
    en <= $urandom % 4 != 0;
    reset <= $urandom % 16 == 0;
    write <= $urandom % 2 != 0 ? 0 : 8'($urandom);
    fresh = $urandom;
    write_address <= fresh;
    case ($urandom % 3)
      0: address <= fresh;
      1: address <= write_address;
      default: address <= $urandom;
    endcase
    data <= {{8'($urandom), $urandom, $urandom}};
  end
  assign wrong = expected != found;
endmodule
"""
MAIN = """
#include "Vbench.h"
#include "verilated.h"
#include <cstdio>
int main(int argc, char** argv) {
  VerilatedContext context;
  context.commandArgs(argc, argv);
  Vbench top{&context};
  unsigned long wrong = 0;
  for (int cycle = 0; cycle < 40000; ++cycle) {
    top.clk = 1; top.eval();
    top.clk = 0; top.eval();
    if (cycle > 100) wrong += top.wrong;
  }
  std::printf("%lu\\n", wrong);
}
"""


def memories(folder: Path) -> Path:
    """A module with a memory of every shape and kind; writes it and the contents of the ROMs."""
    rng = np.random.default_rng(3)
    lines, outputs = [], []

    def add(module: str, width: int, words: int, ports: str, extra: str = "") -> None:
        name, file, high = f"q{len(outputs)}", f"{width}x{words}.mem", words.bit_length() - 2
        contents = (int.from_bytes(rng.bytes(9)) >> (72 - width) for _ in range(words))
        (folder / file).write_text("\n".join(f"{word:x}" for word in contents) + "\n")
        lines.append(f"  wire [{width - 1}:0] {name};")
        lines.append(f'  {module} #(.W({width}), .N({words}), .FILE("{file}"){extra}) m_{name} (')
        lines.append(f"      .clk(clk), .en(en), .a(a[{high}:0]), {ports.format(high=high)}, .q({name}));")
        outputs.append((name, width))

    for width, words in CASES:
        add("rom_", width, words, ".reset(reset)")
        add("sdp_", width, words, f".write(write[0]), .wa(wa[{{high}}:0]), .d(d[{width - 1}:0])")
    for width, words in ((4, 4096), (9, 2048), (18, 1024), (36, 1024)):
        byte = min(width, 9)
        for mode in (0, 1, 2):
            ports = f".write(write[{width // byte - 1}:0]), .d(d[{width - 1}:0])"
            add("sp_", width, words, ports, f", .B({byte}), .MODE({mode})")
    bits = sum(width for _, width in outputs)
    head = "module memories(input wire clk, en, reset, input wire [7:0] write, input wire [14:0] a, wa,\n"
    head += f"    input wire [71:0] d, output wire [{bits - 1}:0] q);\n"
    body = "\n".join(lines) + f"\n  assign q = {{{', '.join(name for name, _ in outputs)}}};\nendmodule\n"
    path = folder / "memories.v"
    path.write_text(MEMORIES + head + body)
    (folder / "bench.v").write_text(BENCH.format(last=14, bits=bits - 1))
    (folder / "main.cpp").write_text(MAIN)
    return path


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """The memories, and the netlist that Yosys makes of them."""
    folder = tmp_path_factory.mktemp("memories")
    path = memories(folder)
    result = synthesise([path, *folder.glob("*.mem")], "memories", "xc7", folder=folder)
    change(folder / "netlist.v", "module memories(", "module netlist(")
    (folder / "primitives.v").write_text(primitives(result.usage.primitives))
    return folder


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) >= 1, old
    path.write_text(text.replace(old, new))


def mismatches(folder: Path) -> int:
    """Cycles, of 40000, in which a memory of the netlist differs from the plain one."""
    files = ["bench.v", "memories.v", "netlist.v", "primitives.v"]
    verilate(files, "bench", folder / "main.cpp", folder / "compare", cwd=folder, optimise="-O1")
    return int(run_tool([folder / "compare"], "comparison", cwd=folder).stdout)


@pytest.mark.full
def test_block_rams_are_plain_memories_in_every_shape_that_yosys_maps(mapped):
    instances = re.findall(r"^  (RAMB\w+) #\((.*?)\n  \)", (mapped / "netlist.v").read_text(), re.M | re.S)
    used = set()
    for cell, parameters in instances:
        values = dict(re.findall(r"\.(\w+)\(32's?d(\d+)\)", parameters))
        used |= {(cell, port, int(values[port])) for port in values if port.startswith(("READ_WIDTH", "WRITE_WIDTH"))}
        used |= {(cell, mode) for mode in re.findall(r'\.WRITE_MODE_A\("(\w+)"\)', parameters)}
    for width in SHAPES:
        assert {("RAMB18E1", "READ_WIDTH_A", width), ("RAMB36E1", "READ_WIDTH_A", width)} <= used
    assert {
        ("RAMB18E1", "WRITE_WIDTH_B", 36),
        ("RAMB36E1", "READ_WIDTH_A", 72),
        ("RAMB36E1", "WRITE_WIDTH_B", 72),
    } <= used
    for mode in ("READ_FIRST", "WRITE_FIRST", "NO_CHANGE"):
        assert {("RAMB18E1", mode), ("RAMB36E1", mode)} <= used
    assert mismatches(mapped) == 0


@pytest.mark.full
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(row >> (start(address, bits) / 8))", "row"),
        ('meet && WRITE_MODE_B != "READ_FIRST"', "meet"),
        ('WRITE_MODE_A != "NO_CHANGE" || enabled_a == 0', "1"),
        ('WRITE_MODE_A == "WRITE_FIRST" ? mask_a', "0 ? mask_a"),
        ("if (reset_a) out_a <= word_value(SRVAL_A, RA)", "if (reset_a) out_a <= 0"),
        ("written_bits[i] = write[i/8]", "written_bits[i] = write[0]"),
    ],
)
def test_a_wrong_model_of_a_block_ram_is_found(mapped, tmp_path, old, new):
    folder = Path(shutil.copytree(mapped, tmp_path / "m"))
    change(folder / "primitives.v", old, new)
    assert mismatches(folder) > 0


@pytest.mark.full
def test_one_wrong_bit_in_a_block_ram_is_found(mapped, tmp_path):
    folder = Path(shutil.copytree(mapped, tmp_path / "m"))
    netlist = (folder / "netlist.v").read_text()
    word = re.search(r"\.INIT_3F\(256'h([0-9a-f]+)\)", netlist).group(1)
    change(folder / "netlist.v", word, f"{int(word, 16) ^ 8:0{len(word)}x}")
    assert mismatches(folder) > 0


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (".DOA_REG(1)", "RAMB36E1: output registers have no model"),
        ('.RAM_EXTENSION_A("LOWER")', "cascaded block RAMs have no model"),
        (".WRITE_WIDTH_A(9), .WRITE_WIDTH_B(9)", "only one port may write"),
    ],
)
def test_a_block_ram_without_a_model_is_refused(tmp_path, parameter, message):
    (tmp_path / "primitives.v").write_text(primitives(["RAMB36E1"]))
    (tmp_path / "top.v").write_text(f"module top(input wire clk); RAMB36E1 #({parameter}) ram (); endmodule\n")
    with pytest.raises(ToolError, match=message):
        verilate(["top.v", "primitives.v"], "top", tmp_path / "main.cpp", tmp_path / "program", cwd=tmp_path)


def test_a_primitive_without_a_model_is_refused():
    with pytest.raises(ToolError, match="the netlist uses URAM288, of which there is no simulation model"):
        primitives(["LUT6", "URAM288"])


def unfolded_net() -> Dataflow:
    """Signs times weights that are constants of the circuit, wide enough for two slices of a popcount."""
    rng = np.random.default_rng(0)
    x = StreamType(BIPOLAR, (4, 4, 64))
    layer = MatVec(x, 2 * rng.integers(0, 2, (1, 1, 5, 64)) - 1)
    graph = Dataflow((Node("matvec_0", layer, ("in_0",), ("out_0",)),), ("in_0",), ("out_0",))
    return fold(graph, load_board("pynq-z2"), folding={"matvec_0": {"PE": 5, "SIMD": 64}})


@pytest.fixture(scope="module", params=[folded_net, unfolded_net], ids=["experts", "constant_weights"])
def design(request, tmp_path_factory):
    """A network, its values and its netlist: every part of an expert layer, or a layer that is not folded."""
    folder = tmp_path_factory.mktemp("netlist")
    graph = request.param()
    emit_rtl(graph, folder / "rtl", "made by a test")
    sources = rtl_sources(folder / "rtl")
    result = synthesise(sources, "accelerator", "xc7", keep_instances=True, folder=folder / "synth")
    netlist_design(folder / "synth", folder / "rtl", result.usage.primitives, folder / "design")
    return graph, graph.run(samples(graph)), folder / "design"


def run(design, folder: Path, stall: int = 0):
    graph, values, _ = design
    program = build_rtl(folder, folder.parent / "work", optimise="-O1")
    return run_rtl(program, folder, graph, values, stall_percent=stall, idle_limit=20_000, rung="netlist")


@pytest.mark.full
@pytest.mark.parametrize("stall", [0, 40])
def test_a_netlist_streams_what_the_reference_does(design, stall):
    result = run(design, design[2], stall)
    assert not result.differences
    assert result.streams == len(design[0].streams())


@pytest.mark.full
def test_one_wrong_lut_in_a_netlist_is_found(design, tmp_path):
    folder = Path(shutil.copytree(design[2], tmp_path / "design"))
    netlist = (folder / "netlist.v").read_text()
    # one that makes data, not control
    lut = r"\.INIT\(\d+'h([0-9a-f]+)\)\n  \) \S+ \((?:\n    \.I\d\(.*\),)+\n    \.O\(m_axis_tdata\["
    init = re.search(lut, netlist)
    wrong = "".join(f"{15 - int(digit, 16):x}" for digit in init.group(1))
    (folder / "netlist.v").write_text(netlist[: init.start(1)] + wrong + netlist[init.end(1) :])
    (first, *_) = run(design, folder).differences
    assert first.rung == "netlist"
