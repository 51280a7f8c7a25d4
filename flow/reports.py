"""Reports: what a build is estimated to need and to do, under FINN's file names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..hw.graph import Dataflow, Node
from ..hw.ops.fifo import Fifo
from ..hw.ops.frame_hold import FrameHold
from ..hw.ops.gate import Gate
from ..hw.ops.matvec import MatVec
from ..hw.performance import Performance, bottleneck, simulate
from ..sim.cycles import fastest_machine
from .board import Board
from .fold import estimate
from .templates import write_text
from .vivado_reports import vivado_findings

__all__ = ["ESTIMATES", "expert_costs", "network_performance", "operators", "summary", "write_estimates"]


#: Names of the reports that :func:`write_estimates` writes.
ESTIMATES = (
    "estimate_layer_cycles",
    "estimate_layer_resources",
    "op_and_param_counts",
    "estimate_experts",
    "fifo_depths",
    "estimate_network_performance",
)


def operators(graph: Dataflow) -> list[Node]:
    """The nodes that compute: all but FIFOs and width converters."""
    return [n for n in graph.nodes if not n.op.plumbing]


def network_performance(graph: Dataflow, board: Board, model: Performance) -> dict[str, Any]:
    """Interval, throughput and latency; all of it is an estimate of the cycle model."""
    name, cycles = bottleneck(graph)
    hertz = board.clock_mhz * 1e6
    return {
        "source": "estimate: cycle model",
        "clock_mhz": board.clock_mhz,
        "max_cycles": cycles,
        "max_cycles_node_name": name,
        "interval_cycles": model.interval,
        "latency_cycles": model.latency,
        "estimated_throughput_fps": hertz / model.interval,
        "estimated_latency_ns": model.latency * 1e9 / hertz,
    }


def expert_costs(graph: Dataflow, model: Performance) -> list[dict[str, Any]]:
    """What each expert layer costs beside the same layer with one expert.

    Returns
    -------
    list of dict
        Per expert layer: its MatVec, the experts, what the gate reads, the gate's LUTs, the bits of FrameHold
        and of all banks, the cycles that a frame waits for its token, and the throughput lost in per cent.
    """
    producers = graph.producers()

    def behind_plumbing(stream: str) -> str:
        while stream in producers and producers[stream][0].op.plumbing:
            stream = producers[stream][0].inputs[0]
        return stream

    costs = []
    slowest = bottleneck(graph)[1]
    for node in graph.nodes:
        if not isinstance(node.op, MatVec) or len(node.inputs) < 2:
            continue
        hold = producers[behind_plumbing(node.inputs[1])][0]
        gate = producers[behind_plumbing(hold.inputs[1])][0]
        assert isinstance(hold.op, FrameHold)
        assert isinstance(gate.op, Gate)
        waiting = int(model.beats[hold.outputs[0]][0] - model.beats[hold.inputs[0]][0])
        need = gate.op.resources(gate.folding).rounded()
        costs.append(
            {
                "node": node.name,
                "experts": len(node.op.weights),
                "gate_reads": "bits" if gate.op.inputs[0].element.kind == "bipolar" else "values",
                "gate": gate.name,
                "gate_lut": need["lut"] + need["lutram"],
                "gate_dsp": need["dsp"],
                "frame_hold_bits": hold.op.depth * graph.beat_bits(hold.inputs[0]),
                "bank_bits": int(node.op.weights.size) * node.op.weight_bits,
                "latency_added_cycles": waiting,
                "throughput_lost_percent": round(100 * (model.interval / slowest - 1), 3),
            }
        )
    return costs


def write_estimates(graph: Dataflow, board: Board, folder: Path) -> None:
    """Write the estimate reports as JSON.

    Parameters
    ----------
    graph : Dataflow
        Folded.
    board : Board
    folder : Path
        ``report/`` of the build.
    """
    model = simulate(graph, machine=fastest_machine())
    layers = {n.name: n.op.resources(n.folding).rounded() for n in graph.nodes}
    total = estimate(graph).rounded()
    reports: dict[str, Any] = {
        "estimate_layer_cycles": {n.name: n.op.cycles(n.folding) for n in graph.nodes},
        "estimate_layer_resources": {"source": "estimate: resource model", **layers, "total": total},
        "op_and_param_counts": {
            n.name: {
                "multiply_accumulates": n.op.operations(),
                "weight_bits": int(n.op.weights.size) * n.op.weight_bits if isinstance(n.op, MatVec) else 0,
            }
            for n in operators(graph)
        },
        "estimate_experts": expert_costs(graph, model),
        "fifo_depths": {n.name: n.op.depth for n in graph.nodes if isinstance(n.op, (Fifo, FrameHold))},
        "estimate_network_performance": network_performance(graph, board, model),
    }
    for name in ESTIMATES:
        write_text(folder / f"{name}.json", json.dumps(reports[name], indent=1) + "\n")


def summary(folder: Path) -> dict[str, Any]:
    """What a build is made of, needs and does; also draws ``report/accelerator.svg`` and ``.png``.

    Parameters
    ----------
    folder : Path
        A finished build.

    Returns
    -------
    dict
        ``model``, ``board``, ``device`` (what the board has), ``nodes``, ``cycles``, ``resources``,
        ``performance``, ``experts`` (all estimates), ``folding`` (what limits the rate, and what the search for the
        folding proved), ``fold_seconds``, ``rtlsim`` (measured in RTL simulation; empty before the first
        ``simulate``), and ``vivado`` (of :func:`vivado_findings`; empty before Vivado ran).
    """
    from .build import open_build
    from .diagram import draw

    build = open_build(folder)
    reports = folder / "report"

    def read(name: str) -> Any:
        path = reports / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else {}

    graph, board = build.graph, build.board
    model = str(graph.meta.get("network") or graph.meta.get("model") or "model")
    performance = read("estimate_network_performance")
    title = (
        f"{model} on {board.title}: {performance['interval_cycles']:,.0f} cycles/frame,"
        f" about {performance['estimated_throughput_fps']:,.0f} frames/s at {board.clock_mhz:g} MHz (estimate)"
    )
    draw(graph, title, reports / "accelerator.svg", reports / "accelerator.png")
    return {
        "model": model,
        "board": board.title,
        "device": {k: getattr(board, k) for k in ("lut", "lutram", "ff", "bram18", "dsp")},
        "nodes": [{"name": n.name, "kind": n.op.kind, "folding": dict(n.folding)} for n in operators(graph)],
        "cycles": read("estimate_layer_cycles"),
        "resources": read("estimate_layer_resources"),
        "performance": performance,
        "experts": read("estimate_experts"),
        "folding": read("folding"),
        "fold_seconds": build.steps["fold"],
        "rtlsim": read("rtlsim_performance"),
        "vivado": vivado_findings(graph, board, reports),
    }
