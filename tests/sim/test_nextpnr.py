"""The harness around a design that is routed, and a routed frequency."""

import pytest
from bitexpert.sim.nextpnr import OUTPUTS, harness, route_ecp5
from bitexpert.sim.rtl import verilate
from bitexpert.sim.toolchain import ToolError
from bitexpert.sim.yosys import Port

COUNTER = """
module counter #(parameter W = 8) (input wire clk, input wire [W-1:0] step, output reg [W-1:0] sum);
  always @(posedge clk) sum <= sum + step;
endmodule
"""
PORTS = [Port("clk", "input", 1), Port("step", "input", 24), Port("sum", "output", 24)]


def test_a_harness_connects_every_port(tmp_path):
    text = harness("counter", PORTS, "clk", {"W": 24})
    assert "counter #(.W(24)) dut (.clk(clk), .step(fed[23:0]), .sum(result[23:0]));" in text
    assert '.FILE("x.mem")' in harness("counter", PORTS, "clk", {"FILE": "x.mem"})
    (tmp_path / "counter.v").write_text(COUNTER)
    (tmp_path / "harness.v").write_text(text)
    (tmp_path / "main.cpp").write_text('#include "Vharness.h"\nint main() { Vharness top; return 0; }\n')
    files = ["harness.v", "counter.v"]
    verilate(files, "harness", tmp_path / "main.cpp", tmp_path / "program", cwd=tmp_path, optimise="-O0")


@pytest.mark.parametrize(
    "ports", [PORTS[1:], [PORTS[0], PORTS[2]], PORTS[:2]], ids=["no clock", "no other input", "no output"]
)
def test_a_design_that_cannot_be_routed_is_refused(ports):
    with pytest.raises(ToolError, match="counter needs a clock clk, another input and an output, to be routed"):
        harness("counter", ports, "clk")


@pytest.mark.full
def test_a_longer_carry_chain_is_slower(tmp_path):
    (tmp_path / "counter.v").write_text(COUNTER)
    routed = {}
    for width in (8, 64):
        ports = [Port("clk", "input", 1), Port("step", "input", width), Port("sum", "output", width)]
        out = tmp_path / f"out{width}"
        routed[width] = route_ecp5(
            [tmp_path / "counter.v"], "counter", ports, clock="clk", parameters={"W": width}, folder=out
        )
        assert sorted(path.name for path in out.iterdir()) == sorted(OUTPUTS)
        assert all((out / name).stat().st_size for name in OUTPUTS)
        result = routed[width]
        assert result.cells["TRELLIS_FF"] >= 4 * width
        path_ns = sum(step.delay_ns for step in result.critical_path)
        assert path_ns == pytest.approx(1000 / result.mhz, abs=0.02)
        assert result.logic_ns + result.routing_ns == pytest.approx(path_ns, abs=0.01)
        assert result.as_dict()["source"] == "ECP5 routed, a trend, not a Zynq frequency"
    assert routed[64].mhz < routed[8].mhz


@pytest.mark.full
def test_a_design_that_does_not_fit_is_told(tmp_path):
    (tmp_path / "counter.v").write_text(COUNTER)
    ports = [Port("clk", "input", 1), Port("step", "input", 30000), Port("sum", "output", 30000)]
    with pytest.raises(ToolError, match="place and route of counter failed"):
        route_ecp5([tmp_path / "counter.v"], "counter", ports, clock="clk", parameters={"W": 30000})
