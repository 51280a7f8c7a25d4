"""How fast a MatVec cell can be clocked: placed and routed for an ECP5, whose tools are open.

    python bench/fmax.py [--json] [--pe 16] [--simd 32] [--banks 1 4] [--seeds 1]

The cell is that of a 3x3 convolution of 32 channels of bits to 64 channels. One bank of its weights is 36 words,
which are LUTs; four banks, an expert layer, are block RAM. The frequency is that of an ECP5 (LFE5U-85F, speed grade
8), routed: a trend, not a Zynq frequency. It depends on the seed of the placement.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.ops.sliding_window import SlidingWindow
from bitexpert.hw.types import BIPOLAR, StreamType
from bitexpert.sim.nextpnr import route_ecp5
from bitexpert.sim.yosys import synthesise
from graphs import table

RTL = Path(__file__).parents[1] / "hw" / "rtl"
SIZE, CHANNELS, OUTPUTS = 16, 32, 64
GOAL_MHZ = 130.0


def cell(folder: Path, pe: int, simd: int, banks: int) -> tuple[list[Path], str, dict[str, int | str]]:
    """Sources, top module and parameters of the cell; its weights are random."""
    rng = np.random.default_rng(0)
    window = SlidingWindow(StreamType(BIPOLAR, (SIZE, SIZE, CHANNELS)), (3, 3), padding=(1, 1, 1, 1))
    weights = (2 * rng.integers(0, 2, (banks, 1, OUTPUTS, 9 * CHANNELS)) - 1).astype(np.int8)
    rtl = MatVec(window.outputs[0], weights, tap=window.tap).rtl({"PE": pe, "SIMD": simd})
    sources = [RTL / f"{module}.sv" for module in (*rtl.submodules, rtl.module)]
    parameters: dict[str, int | str] = dict(rtl.parameters)
    for parameter, memory in rtl.memories.items():
        file = folder / f"{parameter.lower()}.mem"
        file.write_text(memory.readmemh())
        sources.append(file)
        parameters[parameter] = file.name
    return sources, rtl.module, parameters


def measure(pe: int, simd: int, banks: int, seeds: int, target_mhz: float) -> dict[str, Any]:
    """Synthesise and route one cell with each seed."""
    with tempfile.TemporaryDirectory() as name:
        sources, top, parameters = cell(Path(name), pe, simd, banks)
        made = synthesise(sources, top, "ecp5", parameters=parameters)
        routed = [
            route_ecp5(sources, top, made.ports, clock="clk", parameters=parameters, target_mhz=target_mhz, seed=seed)
            for seed in range(1, seeds + 1)
        ]
    slowest = min(routed, key=lambda r: r.mhz)
    return {
        "pe": pe,
        "simd": simd,
        "banks": banks,
        "synthesis": made.usage.as_dict(),
        "mhz": [r.mhz for r in routed],
        "slowest": slowest.as_dict(),
    }


def path_of(routed: dict[str, Any]) -> str:
    """The critical path, in a few words."""
    steps = routed["critical_path"]
    levels = sum(step["kind"] == "logic" for step in steps)
    ends = f"{steps[0]['at']} -> {steps[-1]['at']}"
    return f"{routed['logic_ns']:.2f} ns logic ({levels} levels), {routed['routing_ns']:.2f} ns routing: {ends}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pe", type=int, default=16, help="rows worked on at once (16)")
    parser.add_argument("--simd", type=int, default=32, help="columns worked on at once (32)")
    parser.add_argument("--banks", type=int, nargs="+", default=[1, 4], help="experts; one run each (1 4)")
    parser.add_argument("--seeds", type=int, default=1, help="placements of each (1)")
    parser.add_argument("--target-mhz", type=float, default=200.0, help="what place and route aim at (200)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    results = [measure(args.pe, args.simd, banks, args.seeds, args.target_mhz) for banks in args.banks]
    if args.json:
        print(
            json.dumps({"source": results[0]["slowest"]["source"], "goal_mhz": GOAL_MHZ, "results": results}, indent=1)
        )
        return
    rows = [
        [
            f"{r['banks']} banks",
            f"{min(r['mhz']):.1f}" + (f" to {max(r['mhz']):.1f}" if len(r["mhz"]) > 1 else ""),
            "yes" if min(r["mhz"]) >= GOAL_MHZ else "no",
            *(r["synthesis"][key] for key in ("LUT", "FF", "LUTRAM", "BRAM_18K")),
        ]
        for r in results
    ]
    layer = f"MatVec PE={args.pe} SIMD={args.simd}, 3x3x{CHANNELS} -> {OUTPUTS}, {results[0]['slowest']['source']}"
    columns = ["", "MHz", f">= {GOAL_MHZ:g}", "LUT4", "FF", "LUTRAM", "EBR"]
    print(table(layer, columns, rows))
    for r in results:
        print(f"\n{r['banks']} banks, critical path: {path_of(r['slowest'])}")


if __name__ == "__main__":
    main()
