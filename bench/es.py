"""Expanding-and-Shrinking against the plain layer at the same number of products: cycles and resources.

    python bench/es.py [--json] [--size 8] [--channels 64] [--pe 8] [--simd 32]

Cycles come from RTL simulation, every beat compared with the integer reference; LUTs, LUTs used as memory and block
RAMs from synthesis with Yosys for 7-series.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from graphs import plain_or_copied_layer, random_frames, simulate_rtl, synthesise_graph, table

# name, tau, groups
LAYERS = (("plain", 1, 1), ("ES, tau 2", 2, 1), ("ES+G, tau 2, g 2", 2, 2))
OPERATORS = {"window": "window_0", "MatVec": "matvec_0", "thresholds": "threshold_0"}


def measure(tau: int, groups: int, size: int, channels: int, pe: int, simd: int, frames: int) -> dict[str, Any]:
    """One layer."""
    graph = plain_or_copied_layer(tau, groups, size, channels, pe, simd)
    run, found = simulate_rtl(graph, random_frames(graph, frames)), synthesise_graph(graph)
    fifos = [found[node.name] for node in graph.nodes if node.op.plumbing]
    parts = {name: [found[node]] for name, node in OPERATORS.items()} | {"FIFOs": fifos}
    return {
        "macs": sum(n.op.operations() for n in graph.nodes),
        "interval_cycles": run.interval,
        **{
            name: {
                "lut": sum(u.lut for u in used),
                "lutram": sum(u.lutram for u in used),
                "bram18": sum(u.bram18 + 2 * u.bram36 for u in used),
            }
            for name, used in parts.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=8, help="rows and columns of a frame (8)")
    parser.add_argument("--channels", type=int, default=64, help="channels of the plain layer (64)")
    parser.add_argument("--pe", type=int, default=8, help="rows worked on at once (8)")
    parser.add_argument("--simd", type=int, default=32, help="columns worked on at once (32)")
    parser.add_argument("--frames", type=int, default=4, help="frames in RTL simulation (4)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    sizes = (args.size, args.channels, args.pe, args.simd, args.frames)
    results = {name: measure(tau, groups, *sizes) for name, tau, groups in LAYERS}
    plain = results["plain"]["MatVec"]["lut"]
    ratios = {name: r["MatVec"]["lut"] / plain for name, r in results.items()}
    if args.json:
        print(json.dumps({"matvec_lut_ratio": ratios["ES, tau 2"], "matvec_lut_ratios": ratios, **results}, indent=1))
        return
    rows: list[list[Any]] = []
    for name, r in results.items():
        rows.append([name, r["interval_cycles"], "", "", "", ""])
        for part in (*OPERATORS, "FIFOs"):
            ratio = f"{ratios[name]:.3f}" if part == "MatVec" else ""
            rows.append([f"  {part}", "", r[part]["lut"], ratio, r[part]["lutram"], r[part]["bram18"]])
    columns = ["", "cycles/frame", "LUT", "of plain", "LUTRAM", "BRAM18"]
    layer = f"3x3 convolution, {args.size}x{args.size} pixels, {args.channels} channels, PE={args.pe} SIMD={args.simd}"
    print(table(f"{layer}: {results['plain']['macs']:,} products each", columns, rows))


if __name__ == "__main__":
    main()
