"""Four experts against one bank of weights: what the same layer costs with and without them.

    python bench/experts.py [--json] [--experts 4] [--size 8] [--channels 64] [--folding PE,SIMD ...]

Cycles come from RTL simulation, every beat compared with the integer reference; LUTs and block RAMs from synthesis
with Yosys for 7-series. The ratios are those of what both have: window, MatVec and thresholds. What chooses the
expert and holds the frame meanwhile (Gate, FrameHold, Fork) is stated apart.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from bitexpert.hw.graph import Dataflow
from bitexpert.hw.performance import simulate
from bitexpert.sim.usage import Usage
from graphs import expert_layer, random_frames, simulate_rtl, synthesise_graph, table

SHARED = ("window_0", "matvec_0", "threshold_0")
CHOICE = ("gate_0", "frame_hold_0", "fork_0")


def bram18(usage: Usage) -> int:
    """Block RAMs in units of 18 Kbit."""
    return usage.bram18 + 2 * usage.bram36


def part(graph: Dataflow, found: dict[str, Usage], names: tuple[str, ...]) -> dict[str, int]:
    """Resources of some operators, and the block RAMs that were foreseen for them."""
    used = [found[name] for name in names if name in found]
    foreseen = [n.op.resources(n.folding).bram18 for n in graph.nodes if n.name in names]
    return {
        "lut": sum(u.lut for u in used),
        "lutram": sum(u.lutram for u in used),
        "ff": sum(u.ff for u in used),
        "bram18": sum(map(bram18, used)),
        "bram18_foreseen": round(sum(foreseen)),
    }


def measure(experts: int, size: int, channels: int, pe: int, simd: int, frames: int) -> dict[str, Any]:
    """One folding: the layer with one bank, with ``experts`` banks, and the ratios."""
    result: dict[str, Any] = {"pe": pe, "simd": simd}
    for name, banks in (("one_bank", 1), ("experts", experts)):
        graph = expert_layer(banks, size, channels, pe, simd)
        inputs = random_frames(graph, frames)
        run, found = simulate_rtl(graph, inputs), synthesise_graph(graph)
        result[name] = {
            "interval_cycles": run.interval,
            "interval_of_model": simulate(graph, frames).interval,
            "latency_cycles": run.latency,
            **part(graph, found, SHARED),
        }
        if banks > 1:
            result["choice"] = part(graph, found, CHOICE)
            result["experts_chosen"] = len(set(graph.run(inputs)["choice_0"].ravel().tolist()))
    one, many = result["one_bank"], result["experts"]
    result["interval_ratio"] = many["interval_cycles"] / one["interval_cycles"]
    result["lut_ratio"] = (many["lut"] + many["lutram"]) / (one["lut"] + one["lutram"])
    result["bram_ratio"] = many["bram18"] / one["bram18"] if one["bram18"] else None
    return result


def _folding(text: str) -> tuple[int, int]:
    pe, simd = text.split(",")
    return int(pe), int(simd)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experts", type=int, default=4, help="banks of weights (4)")
    parser.add_argument("--size", type=int, default=8, help="rows and columns of a frame (8)")
    parser.add_argument("--channels", type=int, default=64, help="channels at the input and at the output (64)")
    parser.add_argument("--frames", type=int, default=12, help="frames in RTL simulation (12)")
    parser.add_argument(
        "--folding",
        type=_folding,
        nargs="+",
        default=[(16, 32), (4, 16), (8, 32)],
        metavar="PE,SIMD",
        help="the ratios in front are those of the first (16,32 4,16 8,32)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    results = [measure(args.experts, args.size, args.channels, *f, args.frames) for f in args.folding]
    ratios = {key: results[0][key] for key in ("interval_ratio", "lut_ratio", "bram_ratio")}
    if args.json:
        about = {"experts": args.experts, "size": args.size, "channels": args.channels}
        print(json.dumps(ratios | about | {"results": results}, indent=1))
        return
    keys = ("interval_cycles", "latency_cycles", "lut", "lutram", "ff", "bram18", "bram18_foreseen")
    rows: list[list[Any]] = []
    for r in results:
        folding = f"PE={r['pe']} SIMD={r['simd']}"
        rows.append([f"{folding}, one bank", *(r["one_bank"][key] for key in keys)])
        rows.append([f"{folding}, {args.experts} experts", *(r["experts"][key] for key in keys)])
        shown = [r["interval_ratio"], "", r["lut_ratio"], "", "", r["bram_ratio"], ""]
        rows.append(["  ratio", *(f"{x:.3f}" if isinstance(x, float) else x or "" for x in shown)])
        rows.append(["  Gate, FrameHold, Fork", "", "", *(r["choice"][key] for key in keys[2:])])
    columns = ["", "cycles/frame", "latency", "LUT", "LUTRAM", "FF", "BRAM18", "BRAM18 foreseen"]
    layer = f"3x3 convolution, {args.size}x{args.size}x{args.channels} bits, {args.channels} outputs"
    print(table(layer, columns, rows))


if __name__ == "__main__":
    main()
