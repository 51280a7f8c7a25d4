"""How near the resource model is to synthesis, on networks that it was not fitted to.

    python bench/resources.py [--json] [--only dense]

Each network is emitted and synthesised as a whole by Yosys for xc7, its operators kept apart. An error is
|estimate - synthesis| / synthesis, of raw LUTs (LUT1 to LUT6 and inverters, memories not counted), of flip-flops and
of BRAM18. The errors of operators are those of the instances with at least 50 LUTs (flip-flops, or 1 BRAM18) in
synthesis, the errors of networks those of all operators together. Takes about 10 minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bitexpert.flow.board import load_board
from bitexpert.flow.emit import emit_rtl
from bitexpert.flow.fold import fold
from bitexpert.flow.synth import rtl_sources
from bitexpert.hw.graph import Dataflow
from bitexpert.hw.resources import Resources
from bitexpert.sim.yosys import synthesise
from graphs import dense_network, expert_layer, random_network, residual_block, small_network, table

FAMILY = "xc7"
# Least size of an operator, in synthesis, whose error counts.
LEAST = {"lut": 50, "ff": 50, "bram18": 1}
GOAL = {"median": 0.10, "worst": 0.25}
RATES = {9: 2000.0, 10: 6000.0, 11: 500.0, 12: 1000.0}  # seed of a random network -> frames a second


def _random(seed: int, rate: float) -> Callable[[], Dataflow]:
    return lambda: fold(random_network(seed), load_board("pynq-z2"), target_fps=rate)


NETWORKS: dict[str, Callable[[], Dataflow]] = {
    "expert layer": lambda: expert_layer(4, 8, 32, 8, 16),
    "plain layer": lambda: expert_layer(1, 14, 64, 16, 32),
    "expert network": lambda: small_network(
        {"window_0": {"SIMD": 2}, "matvec_0": {"PE": 4, "SIMD": 2}, "matvec_1": {"PE": 4, "SIMD": 8}}
        | {"window_1": {"SIMD": 8}, "gate_0": {"PE": 4}, "frame_hold_0": {"PE": 4}, "threshold_0": {"PE": 4}}
    ),
    "residual block": lambda: residual_block(
        {"window_0": {"SIMD": 2}, "matvec_0": {"PE": 2, "SIMD": 2}, "add_0": {"PE": 2}, "window_1": {"SIMD": 2}}
        | {"matvec_1": {"PE": 4, "SIMD": 2}}
    ),
    "dense layers": lambda: dense_network({f"matvec_{i}": {"PE": 8, "SIMD": 16} for i in range(3)}),
    **{f"random {seed}": _random(seed, rate) for seed, rate in RATES.items()},
}


@dataclass(frozen=True)
class Compared:
    """Estimate and synthesis of an operator, or of all operators of a network.

    Parameters
    ----------
    network, name, kind : str
        ``name`` and ``kind`` are empty for a network.
    estimate, synthesis : Resources
    """

    network: str
    name: str
    kind: str
    estimate: Resources
    synthesis: Resources

    def error(self, resource: str) -> float:
        """Relative error; 0 where both are 0."""
        found = getattr(self.synthesis, resource)
        wrong = abs(getattr(self.estimate, resource) - found)
        return wrong / found if found else float(wrong > 0)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "network": self.network,
            "operator": self.name,
            "kind": self.kind,
            "estimate": self.estimate.rounded(),
            "synthesis": self.synthesis.rounded(),
        }


def compare(network: str) -> list[Compared]:
    """Every operator of a network, then all together; the frames' markers at its outputs are left out."""
    graph = NETWORKS[network]()
    with tempfile.TemporaryDirectory() as name:
        emit_rtl(graph, Path(name), "Made by a benchmark of bitexpert.")
        found = synthesise(rtl_sources(Path(name)), "accelerator", FAMILY, keep_instances=True).instances
    rows = [
        Compared(network, n.name, n.op.kind, n.op.resources(n.folding), found[n.name].resources()) for n in graph.nodes
    ]
    totals = [sum((getattr(r, side) for r in rows), Resources()) for side in ("estimate", "synthesis")]
    return [*rows, Compared(network, "", "", *totals)]


def summary(rows: Iterable[Compared], resource: str, least: float) -> dict[str, Any]:
    """Median and worst error of those that are large enough, and which is the worst."""
    large = [row for row in rows if getattr(row.synthesis, resource) >= least]
    if not large:
        return {"count": 0, "median": None, "worst": None, "at": None}
    worst = max(large, key=lambda row: row.error(resource))
    return {
        "count": len(large),
        "median": float(np.median([row.error(resource) for row in large])),
        "worst": worst.error(resource),
        "at": " ".join(filter(None, (worst.network, worst.name))),
    }


def report(rows: list[Compared]) -> dict[str, Any]:
    """All errors, for JSON."""
    operators, networks = [r for r in rows if r.kind], [r for r in rows if not r.kind]
    result: dict[str, Any] = {"source": "synthesis (Yosys)", "family": FAMILY, "least": LEAST, "goal": GOAL}
    for resource, least in LEAST.items():
        of_operators, of_networks = summary(operators, resource, least), summary(networks, resource, least)
        result |= {
            f"{resource}_error_median": of_operators["median"],
            f"{resource}_error_worst": of_operators["worst"],
            f"{resource}_error_worst_at": of_operators["at"],
            f"{resource}_operators": of_operators["count"],
            f"{resource}_design_error_median": of_networks["median"],
            f"{resource}_design_error_worst": of_networks["worst"],
        }
    return result | {"rows": [row.as_dict() for row in rows]}


def show(rows: list[Compared], result: dict[str, Any]) -> None:
    """Print the tables."""
    operators, networks = [r for r in rows if r.kind], [r for r in rows if not r.kind]
    percent = "{:.1f}".format
    lines = []
    for kind in sorted({r.kind for r in operators}):
        of_kind = summary([r for r in operators if r.kind == kind], "lut", LEAST["lut"])
        every = [r for r in operators if r.kind == kind]
        lut = [sum(getattr(r, side).lut for r in every) for side in ("estimate", "synthesis")]
        errors = [percent(100 * of_kind[key]) if of_kind["count"] else "" for key in ("median", "worst")]
        lines.append([kind, len(every), round(lut[0]), lut[1], of_kind["count"], *errors])
    columns = ["kind", "instances", "LUT, estimate", "synthesis", "of 50 LUT and more", "error %, median", "worst"]
    print(table("operators", columns, lines))
    lines = []
    for r in networks:
        pairs = [
            f"{round(getattr(r.estimate, key)):,} / {getattr(r.synthesis, key):,}"
            for key in ("lut", "ff", "lutram", "bram18", "dsp")
        ]
        lines.append([r.network, *pairs, percent(100 * r.error("lut"))])
    print()
    print(table("networks, estimate / synthesis", ["", "LUT", "FF", "LUTRAM", "BRAM18", "DSP", "LUT error %"], lines))
    print()
    for resource in LEAST:
        median, worst, at = (result[f"{resource}_error_{key}"] for key in ("median", "worst", "worst_at"))
        print(f"{resource}: {result[f'{resource}_operators']} operators,", end=" ")
        print(f"median {percent(100 * median)} %, worst {percent(100 * worst)} % ({at});", end=" ")
        print(f"networks: worst {percent(100 * result[f'{resource}_design_error_worst'])} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="networks with this in their names")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    rows: list[Compared] = []
    for network in NETWORKS:
        if args.only is None or args.only in network:
            rows += compare(network)
            print(f"{network}: LUT error {100 * rows[-1].error('lut'):.1f} %", file=sys.stderr, flush=True)
    result = report(rows)
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        show(rows, result)


if __name__ == "__main__":
    main()
