"""The cycle model against RTL simulation: interval, latency and the cycle of every beat.

    python bench/cycle_model.py [--json] [--build FOLDER ...] [--frames 10]

Always measures several foldings of a small hand-made network; each ``--build`` adds the design of a build folder,
fed with random frames.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from bitexpert.errors import BitexpertError
from bitexpert.flow.build import open_build
from bitexpert.hw.graph import Dataflow
from bitexpert.hw.performance import simulate
from graphs import random_frames, simulate_rtl, small_network, table

FOLDINGS: dict[str, dict[str, dict[str, int]]] = {
    "fully folded": {},
    "balanced": {
        "window_0": {"SIMD": 2},
        "matvec_0": {"PE": 4, "SIMD": 2},
        "threshold_0": {"PE": 2},
        "pool_0": {"PE": 2},
        "window_1": {"SIMD": 8},
        "matvec_1": {"PE": 3, "SIMD": 8},
    },
    "uneven": {
        "window_0": {"SIMD": 1},
        "matvec_0": {"PE": 8, "SIMD": 1},
        "threshold_0": {"PE": 1},
        "pool_0": {"PE": 16},
        "fork_0": {"PE": 4},
        "gate_0": {"PE": 2},
        "frame_hold_0": {"PE": 8},
        "window_1": {"SIMD": 4},
        "matvec_1": {"PE": 2, "SIMD": 4},
    },
    "wide": {
        "window_0": {"SIMD": 2},
        "matvec_0": {"PE": 8, "SIMD": 2},
        "threshold_0": {"PE": 8},
        "pool_0": {"PE": 16},
        "fork_0": {"PE": 16},
        "gate_0": {"PE": 16},
        "frame_hold_0": {"PE": 16},
        "window_1": {"SIMD": 16},
        "matvec_1": {"PE": 12, "SIMD": 16},
    },
}
CYCLE_FRAMES = 3


def compare(name: str, graph: Dataflow, frames: int, rtl: Path | None = None) -> dict[str, Any]:
    """What the model says of a folded graph and what the RTL does."""
    model = simulate(graph, frames)
    run = simulate_rtl(graph, random_frames(graph, frames), min(frames, CYCLE_FRAMES), rtl)
    beats, worst = 0, 0
    for stream, cycles in run.cycles.items():
        error = np.abs(np.asarray(model.beats[stream][: len(cycles)]) - cycles)
        beats, worst = beats + len(cycles), max(worst, int(error.max(initial=0)))
    return {
        "design": name,
        "interval_model": model.interval,
        "interval_rtl": run.interval,
        "latency_model": model.latency,
        "latency_rtl": run.latency,
        "beats_compared": beats,
        "worst_beat_error_cycles": worst,
        "interval_error_percent": 100 * abs(model.interval - run.interval) / run.interval,
        "latency_error_percent": 100 * abs(model.latency - run.latency) / run.latency,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, nargs="+", default=[], metavar="FOLDER", help="finished builds")
    parser.add_argument("--frames", type=int, default=10, help="frames in both (10)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    if args.frames < 4:
        parser.error("the steady state needs at least 4 frames")
    results = [compare(name, small_network(folding), args.frames) for name, folding in FOLDINGS.items()]
    for folder in args.build:
        try:
            graph = open_build(folder).graph
        except BitexpertError as error:
            raise SystemExit(str(error)) from None
        results.append(compare(f"build {folder.name}", graph, args.frames, folder / "rtl"))
    worst = {
        key: max(r[key] for r in results)
        for key in ("interval_error_percent", "latency_error_percent", "worst_beat_error_cycles")
    }
    if args.json:
        print(json.dumps({"results": results, "worst": worst}, indent=1))
        return
    columns = ["design", "interval: model", "RTL", "latency: model", "RTL", "beats compared", "worst beat error"]
    keys = (
        "interval_model",
        "interval_rtl",
        "latency_model",
        "latency_rtl",
        "beats_compared",
        "worst_beat_error_cycles",
    )
    rows = [[r["design"], *(r[k] for k in keys)] for r in results]
    print(table("cycles, cycle model against RTL simulation", columns, rows))
    print(
        f"worst error: interval {worst['interval_error_percent']:.3f} %, latency"
        f" {worst['latency_error_percent']:.3f} %, a single beat {worst['worst_beat_error_cycles']} cycles"
    )


if __name__ == "__main__":
    main()
