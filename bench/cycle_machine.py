"""The compiled machine of the cycle model beside the one in Python.

    python bench/cycle_machine.py [--json] [--build FOLDER ...] [--repeats 5]

A hand-made network, and the designs of build folders. Each runs six frames on both machines, in turns; every handshake
must come in the same cycle. Times are medians, and what computing all FIFO depths takes with the compiled machine.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from bitexpert.errors import BitexpertError
from bitexpert.flow.build import open_build
from bitexpert.hw.graph import Dataflow
from bitexpert.hw.performance import simulate, size_fifos
from bitexpert.hw.programs import interpret
from bitexpert.sim.cycles import build_machine, compiled_machine
from bitexpert.sim.toolchain import cache_folder
from cycle_model import FOLDINGS
from graphs import small_network, table


def compare(name: str, graph: Dataflow, repeats: int) -> dict[str, Any]:
    """Seconds of both machines for a folded graph."""
    machines = {"python": interpret, "compiled": compiled_machine(build_machine(cache_folder()))}
    seconds: dict[str, list[float]] = {kind: [] for kind in machines}
    for _ in range(repeats):
        found = []
        for kind, machine in machines.items():
            start = time.perf_counter()
            found.append(simulate(graph, machine=machine))
            seconds[kind].append(time.perf_counter() - start)
        first, second = (run.beats for run in found)
        differing = [stream for stream in first if not np.array_equal(first[stream], second[stream])]
        if differing:
            raise SystemExit(f"{name}: the machines differ at {differing[0]}")
    start = time.perf_counter()
    size_fifos(graph, machine=machines["compiled"])
    return {
        "design": name,
        "operators": len(graph.nodes),
        "handshakes": sum(map(len, first.values())),
        **{kind: median(times) for kind, times in seconds.items()},
        "ratio": median(seconds["python"]) / median(seconds["compiled"]),
        "fifo_depths": time.perf_counter() - start,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, nargs="+", default=[], metavar="FOLDER", help="finished builds")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    designs = {"small expert network": small_network(FOLDINGS["balanced"])}
    for folder in args.build:
        try:
            designs[f"build {folder.name}"] = open_build(folder).graph
        except BitexpertError as error:
            raise SystemExit(str(error)) from None
    results = [compare(name, graph, args.repeats) for name, graph in designs.items()]
    if args.json:
        print(json.dumps(results, indent=1))
        return
    columns = ["design", "nodes", "handshakes", "Python, s", "compiled, s", "ratio", "all FIFO depths, s"]
    rows = [
        [
            r["design"],
            r["operators"],
            r["handshakes"],
            *(f"{r[k]:.3f}" for k in ("python", "compiled")),
            f"{r['ratio']:.0f}",
            f"{r['fifo_depths']:.1f}",
        ]
        for r in results
    ]
    print(table("six frames in the cycle model", columns, rows))


if __name__ == "__main__":
    main()
