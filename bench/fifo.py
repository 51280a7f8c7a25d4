"""FIFO depths: do they keep the rate in RTL, and could they be smaller?

    python bench/fifo.py [--json] [--frames 6]

Small graphs with several foldings. Of each, the interval of the cycle model with its FIFOs is compared with RTL
simulation, and with the interval that the slowest operator alone allows. Then each FIFO and FrameHold of more than two
beats is made one beat smaller, alone, in the model; and the largest FIFO in RTL, too. Last, the least total of bits is
searched over the depths of all FIFOs and FrameHolds together, up to the depths that they fill; it is proved to
be the least with which the model keeps the rate.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bitexpert.hw.graph import Dataflow
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.ops.frame_hold import FrameHold
from bitexpert.hw.performance import ample_depths, bottleneck, simulate
from bitexpert.sim.rtl import SimulationHang
from cycle_model import FOLDINGS
from graphs import dense_network, random_frames, residual_block, simulate_rtl, small_network, table
from ortools.sat.python import cp_model

RESIDUALS: dict[str, dict[str, dict[str, int]]] = {
    "fully folded": {},
    "balanced": {
        "fork_0": {"PE": 2},
        "window_0": {"SIMD": 2},
        "matvec_0": {"PE": 4, "SIMD": 2},
        "add_0": {"PE": 2},
    },
    "uneven": {
        "fork_0": {"PE": 4},
        "window_0": {"SIMD": 4},
        "matvec_0": {"PE": 1, "SIMD": 4},
        "add_0": {"PE": 4},
        "window_1": {"SIMD": 2},
        "matvec_1": {"PE": 4, "SIMD": 2},
    },
}
DENSE: dict[str, dict[str, dict[str, int]]] = {
    "one wide beat, then narrow ones": {
        "matvec_0": {"PE": 2, "SIMD": 64},
        "matvec_1": {"PE": 1, "SIMD": 2},
        "threshold_1": {"PE": 2},
        "matvec_2": {"PE": 2, "SIMD": 1},
        "threshold_2": {"PE": 32},
        "matvec_3": {"PE": 10, "SIMD": 8},
    },
    "fast in front": {
        "matvec_0": {"PE": 8, "SIMD": 64},
        "threshold_0": {"PE": 64},
        "matvec_1": {"PE": 8, "SIMD": 1},
        "threshold_1": {"PE": 2},
        "matvec_2": {"PE": 8, "SIMD": 1},
        "matvec_3": {"PE": 2, "SIMD": 2},
    },
    "slow in the middle": {
        "matvec_0": {"PE": 8, "SIMD": 2},
        "threshold_0": {"PE": 8},
        "matvec_1": {"PE": 1, "SIMD": 2},
        "matvec_2": {"PE": 4, "SIMD": 1},
        "threshold_2": {"PE": 64},
        "matvec_3": {"PE": 1, "SIMD": 2},
    },
}
Depths = Mapping[str, int]


def with_depths(graph: Dataflow, depths: Depths) -> Dataflow:
    """The graph with other depths of some FIFOs and FrameHolds."""
    return graph.replace(
        replace(n, op=replace(n.op, depth=depths[n.name])) if n.name in depths else n for n in graph.nodes
    )


def least_total(bits: Mapping[str, int], most: Depths, enough: Callable[[Depths], bool]) -> tuple[dict[str, int], int]:
    """The depths of the fewest bits that are enough, and the number of looks that proved it.

    Depths that are not enough are raised as far as they stay so. Then any that are enough are greater in at least one
    of them: a constraint for the next proposal, which is the cheapest that meets all constraints so far.

    Parameters
    ----------
    bits : mapping of str to int
        Of a beat.
    most : mapping of str to int
        Depths that are enough.
    enough : callable
        Monotone.
    """
    model = cp_model.CpModel()
    depth = {name: model.new_int_var(2, top, name) for name, top in most.items()}
    model.minimize(sum(bits[name] * d for name, d in depth.items()))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers, solver.parameters.random_seed = 1, 0
    looks = 0
    while True:
        assert solver.solve(model) == cp_model.OPTIMAL
        proposal = {name: solver.value(d) for name, d in depth.items()}
        looks += 1
        if enough(proposal):
            return proposal, looks
        for name, top in most.items():
            low, high = proposal[name], top + 1  # low is not enough
            while low + 1 < high:
                middle = top if high > top else (low + high) // 2
                looks += 1
                low, high = (low, middle) if enough({**proposal, name: middle}) else (middle, high)
            proposal[name] = low
        raised = []
        for name, low in proposal.items():
            if low < most[name]:
                greater = model.new_bool_var("")
                model.add(depth[name] > low).only_enforce_if(greater)
                raised.append(greater)
        model.add_bool_or(raised)


def measure(name: str, graph: Dataflow, frames: int) -> dict[str, Any]:
    """Of a folded graph with its FIFOs sized."""
    stores = {n.name: n.op.depth for n in graph.nodes if isinstance(n.op, (Fifo, FrameHold))}
    bits = {name: graph.beat_bits(graph.node(name).inputs[0]) for name in stores}
    ample, enough = ample_depths(graph)
    most = {n.name: n.op.depth for n in ample.nodes if n.name in stores}  # type: ignore[attr-defined]
    assert enough(stores)
    deep = [s for s in stores if stores[s] > 2]
    spare = [s for s in deep if enough({**stores, s: stores[s] - 1})]
    least, looks = least_total(bits, most, enough)
    model = simulate(graph, frames)
    inputs = random_frames(graph, frames)
    run = simulate_rtl(graph, inputs)
    fifos = [s for s in deep if isinstance(graph.node(s).op, Fifo)]
    largest = max(fifos, key=lambda s: stores[s] * bits[s], default="")
    smaller: float | str | None = None
    if largest:
        try:
            smaller = simulate_rtl(with_depths(graph, {largest: stores[largest] - 1}), inputs).interval
        except SimulationHang:
            smaller = "hangs"
    total, minimum = (sum(bits[s] * depths[s] for s in stores) for depths in (stores, least))
    return {
        "design": name,
        "operators_cycles": bottleneck(graph)[1],
        "interval_model": model.interval,
        "interval_rtl": run.interval,
        "deep": {s: stores[s] for s in deep},
        "can_be_one_smaller": spare,
        "largest": largest,
        "interval_rtl_with_largest_one_smaller": smaller,
        "bits": total,
        "least_bits": minimum,
        "above_least_percent": round(100 * (total / minimum - 1), 2),
        "looks": looks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=6, help="frames in model and RTL (6)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    if args.frames < 4:
        parser.error("the steady state needs at least 4 frames")
    designs = {f"expert network, {name}": small_network(folding) for name, folding in FOLDINGS.items()}
    designs |= {f"residual block, {name}": residual_block(folding) for name, folding in RESIDUALS.items()}
    designs |= {f"dense layers, {name}": dense_network(folding) for name, folding in DENSE.items()}
    results = [measure(name, graph, args.frames) for name, graph in designs.items()]
    if args.json:
        print(json.dumps(results, indent=1))
    else:
        columns = ["design", "slowest operator", "interval: model", "RTL", "RTL, largest FIFO - 1", "deep", "spare"]
        columns += ["bits", "least", "above, %"]
        keys = ["design", "operators_cycles", "interval_model", "interval_rtl", "interval_rtl_with_largest_one_smaller"]
        rows = []
        for r in results:
            counts = [
                len(r["deep"]),
                len(r["can_be_one_smaller"]),
                r["bits"],
                r["least_bits"],
                r["above_least_percent"],
            ]
            rows.append([*(r[k] for k in keys), *counts])
        print(table("FIFO depths (cycles a frame; deep: FIFOs and FrameHolds of more than 2 beats)", columns, rows))
    bad = [r["design"] for r in results if r["interval_model"] != r["interval_rtl"] or r["can_be_one_smaller"]]
    if bad:
        raise SystemExit(f"the model differs from RTL, or a FIFO is larger than it must be: {', '.join(bad)}")


if __name__ == "__main__":
    main()
