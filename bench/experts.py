"""Four experts against one bank of weights: what the same layer costs with and without them.

    python bench/experts.py [--json] [--experts 4] [--size 8] [--channels 64] [--folding PE,SIMD ...]

Intervals come from the cycle model and from RTL simulation. LUTs and block RAMs are estimates of the resource
model; nothing is synthesized.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from bitexpert.flow.fold import estimate
from bitexpert.hw.performance import simulate
from graphs import expert_layer, random_frames, simulate_rtl, table


def measure(experts: int, size: int, channels: int, pe: int, simd: int, frames: int) -> dict[str, Any]:
    """One folding: the layer with one bank, with ``experts`` banks, and the ratios."""
    result: dict[str, Any] = {"pe": pe, "simd": simd}
    for name, banks in (("one_bank", 1), ("experts", experts)):
        graph = expert_layer(banks, size, channels, pe, simd)
        inputs = random_frames(graph, frames)
        model, run = simulate(graph, frames), simulate_rtl(graph, inputs)
        need = estimate(graph)
        result[name] = {
            "interval_model": model.interval,
            "interval_rtl": run.interval,
            "latency_rtl": run.latency,
            "lut_estimate": round(need.lut + need.lutram),
            "bram18_estimate": round(need.bram18),
            "dsp_estimate": round(need.dsp),
        }
        if banks > 1:
            result["experts_chosen"] = len(set(graph.run(inputs)["choice_0"].ravel().tolist()))
    one, many = result["one_bank"], result["experts"]
    for key in ("interval_model", "interval_rtl", "lut_estimate", "bram18_estimate"):
        result[f"{key}_ratio"] = many[key] / one[key] if one[key] else None
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
    parser.add_argument("--folding", type=_folding, nargs="+", default=[(4, 16), (8, 32), (16, 64)], metavar="PE,SIMD")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    results = [measure(args.experts, args.size, args.channels, *f, args.frames) for f in args.folding]
    if args.json:
        print(
            json.dumps(
                {"experts": args.experts, "size": args.size, "channels": args.channels, "results": results}, indent=1
            )
        )
        return
    keys = ("interval_model", "interval_rtl", "latency_rtl", "lut_estimate", "bram18_estimate")
    rows: list[list[Any]] = []
    for r in results:
        folding = f"PE={r['pe']} SIMD={r['simd']}"
        rows.append([f"{folding}, one bank", *(r["one_bank"][key] for key in keys)])
        rows.append([f"{folding}, {args.experts} experts", *(r["experts"][key] for key in keys)])
        ratios = [r["experts"][key] / r["one_bank"][key] if r["one_bank"][key] else None for key in keys]
        rows.append(["  ratio", *(f"{x:.3f}" if x is not None else "-" for x in ratios)])
    columns = ["", "cycles/frame (model)", "cycles/frame (RTL)", "latency (RTL)", "LUT (estimate)", "BRAM18 (estimate)"]
    layer = f"3x3 convolution, {args.size}x{args.size}x{args.channels} bits, {args.channels} outputs"
    print(table(layer, columns, rows))


if __name__ == "__main__":
    main()
