"""The folding that CP-SAT chooses, against the greedy choice that bitexpert made before.

    python bench/folding.py [--json] [--network cnv_1w1a ...] [--build FOLDER ...]

Networks of the package brevitas_examples.bnn_pynq with random weights, and the networks of build folders. At each of
several rates the greedy choice is made first. Then CP-SAT is asked for the cheapest design at the same cycles a frame,
and for the fastest one with the same LUTs, BRAM18 and DSPs. Resources are estimates, with FIFOs of two beats and a
frame in each FrameHold.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from bitexpert.flow.board import load_board
from bitexpert.flow.export import export
from bitexpert.flow.fold import SHARES, estimate
from bitexpert.flow.folding_search import KINDS, FoldingSpace, amount, cheapest, cost, fastest
from bitexpert.flow.frames import random_frames
from bitexpert.flow.lower import lower
from bitexpert.flow.model_file import hardware_input, load_model
from bitexpert.flow.plumbing import insert_fifos, insert_width_converts
from bitexpert.flow.quiet import quiet
from bitexpert.flow.streamline import streamline
from bitexpert.hw.graph import Dataflow
from bitexpert.hw.ops.frame_hold import FrameHold
from bitexpert.hw.performance import bottleneck
from bitexpert.hw.resources import Resources
from bitexpert.models.networks import build_network
from bitexpert.models.recipe import load_recipe
from brevitas.export import export_qonnx
from graphs import table
from greedy_folding import greedy

NETWORKS = [f"{size}_{bits}" for size in ("tfc", "sfc", "lfc", "cnv") for bits in ("1w1a", "1w2a", "2w2a")]
NETWORKS.remove("lfc_2w2a")  # not in the package
RATES = 8
# A budget of CP-SAT counts each item in hundredths, rounded up.
SLACK = 1.0


def reference(name: str) -> Dataflow:
    """A network of bnn_pynq as integer operators."""
    with tempfile.TemporaryDirectory() as place, quiet():
        from brevitas_examples.bnn_pynq.models import model_with_cfg

        torch.manual_seed(0)
        model = model_with_cfg(name, pretrained=False)[0].eval()
        shape = (1, 3, 32, 32) if name.startswith("cnv") else (1, 1, 28, 28)
        path = Path(place) / "model.onnx"
        export_qonnx(model, torch.zeros(shape), export_path=str(path), dynamo=False, opset_version=13)
        return lowered(path)


def digits() -> Dataflow:
    """The network of the demo, untrained."""
    torch.manual_seed(0)
    network = load_recipe("digits").network
    with tempfile.TemporaryDirectory() as place:
        model = build_network(network.name, network.config).eval().freeze()
        return lowered(export(model, Path(place) / "model.onnx"))


def lowered(path: Path) -> Dataflow:
    """A QONNX file as integer operators."""
    model = load_model(path)
    frames = random_frames(hardware_input(model), 2)
    return lower(streamline(model, frames, failure_folder=path.parent)[0], top_k=0)


def measured(chosen: Dataflow) -> tuple[int, Resources]:
    """Cycles a frame and resources of a graph with a folding, with its plumbing and a frame in each FrameHold."""
    held = [
        replace(n, op=replace(n.op, depth=n.op.cycles(n.folding))) if isinstance(n.op, FrameHold) else n
        for n in chosen.nodes
    ]
    whole = insert_fifos(insert_width_converts(chosen.replace(held)))
    return bottleneck(whole)[1], estimate(whole)


def compare(name: str, graph: Dataflow) -> dict[str, Any]:
    """The greedy choice and CP-SAT's at several rates, and the fastest design for a PYNQ-Z2."""
    space, rows = FoldingSpace.of(graph), []
    steps = [space.levels[round(i * (len(space.levels) - 1) / (RATES - 1))] for i in range(RATES)]
    for target in dict.fromkeys(steps):
        cycles, need = measured(greedy(graph, space, target))
        begin = time.perf_counter()
        cheap = cheapest(space, cycles, {})
        middle = time.perf_counter()
        fast = fastest(space, {kind: amount(need, kind) + SLACK for kind in KINDS})
        assert cheap
        assert fast
        rows.append(
            {
                "greedy_cycles": cycles,
                "greedy_cost": round(cost(need)),
                "cost": round(cheap.cost),
                "cost_saved_percent": round(100 * (1 - cheap.cost / cost(need)), 2),
                "cycles": fast.cycles,
                "times_as_fast": round(cycles / fast.cycles, 3),
                "proved_optimal": not (cheap.cost_gap or fast.cost_gap or fast.cycles_gap),
                "seconds_cheapest": round(middle - begin, 2),
                "seconds_fastest": round(time.perf_counter() - middle, 2),
            }
        )
    board = load_board("pynq-z2")
    begin = time.perf_counter()
    best = fastest(space, {kind: SHARES[kind] * getattr(board, kind) for kind in KINDS})
    return {
        "network": name,
        "operators": len(graph.nodes),
        "rates": rows,
        "least_cost_saved_percent": min(r["cost_saved_percent"] for r in rows),
        "mean_cost_saved_percent": round(sum(r["cost_saved_percent"] for r in rows) / len(rows), 2),
        "least_times_as_fast": min(r["times_as_fast"] for r in rows),
        "most_times_as_fast": max(r["times_as_fast"] for r in rows),
        "all_proved_optimal": all(r["proved_optimal"] for r in rows),
        "fastest_on_pynq_z2_cycles": best.cycles if best else None,
        "fastest_on_pynq_z2_binding": [list(kinds) for kinds in best.binding] if best else None,
        "fastest_on_pynq_z2_seconds": round(time.perf_counter() - begin, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="*", default=NETWORKS, choices=NETWORKS, metavar="NAME", help="of bnn_pynq")
    parser.add_argument("--build", type=Path, nargs="+", default=[], metavar="FOLDER", help="finished builds")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    results = [compare("digits, four experts", digits())]
    results += [compare(name, reference(name)) for name in args.network]
    for folder in args.build:
        results.append(compare(folder.name, Dataflow.load(folder / "dataflow.json", folder / "weights.npz")))
    if args.json:
        print(json.dumps(results, indent=1))
    else:
        columns = ["network", "operators", "cost saved, %: least", "mean", "times as fast: least", "most", "optimal"]
        columns += ["cycles on PYNQ-Z2", "s"]
        keys = ["network", "operators", "least_cost_saved_percent", "mean_cost_saved_percent", "least_times_as_fast"]
        keys += ["most_times_as_fast", "all_proved_optimal", "fastest_on_pynq_z2_cycles", "fastest_on_pynq_z2_seconds"]
        print(table("CP-SAT against the greedy choice", columns, [[r[k] for k in keys] for r in results]))
    worse = [r["network"] for r in results if r["least_cost_saved_percent"] < 0 or r["least_times_as_fast"] < 1]
    if worse:
        raise SystemExit(f"CP-SAT was worse than the greedy choice on {', '.join(worse)}")


if __name__ == "__main__":
    main()
