"""Vivado's findings on a build, beside its estimates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import BitexpertError
from ..hw.graph import Dataflow
from .board import Board
from .fold import estimate

__all__ = ["VIVADO_REPORTS", "vivado_findings"]

#: What the scripts of ``vivado/`` leave in ``report/``; names of FINN's where it has them.
VIVADO_REPORTS = (
    "ooc_synth_and_timing.json",
    "ooc_utilization.rpt",
    "ooc_timing.rpt",
    "post_synth_resources.json",
    "post_synth_resources.rpt",
    "post_route_timing.json",
    "post_route_timing.rpt",
)


def vivado_findings(graph: Dataflow, board: Board, reports: Path) -> dict[str, Any]:
    """What Vivado found out.

    Parameters
    ----------
    graph : Dataflow
        Folded.
    board : Board
    reports : Path
        ``report/`` of the build.

    Returns
    -------
    dict
        Of what has been run: ``alone`` (after ``make ooc``: ``source``, ``timing``, and in the form of
        ``bitexpert synth`` ``operators``, ``total``, ``device``, ``capacity``), ``bitstream`` (after
        ``make bitstream``: ``source``, ``timing``, ``total`` of the whole design).

    Raises
    ------
    BitexpertError
        A damaged report.
    """
    found: dict[str, Any] = {}
    try:
        if (alone := _read(reports, "ooc_synth_and_timing")) is not None:
            found["alone"] = _alone(graph, board, alone)
        resources, timing = _read(reports, "post_synth_resources"), _read(reports, "post_route_timing")
        if resources is not None and timing is not None:
            found["bitstream"] = {
                "source": resources["source"],
                "timing": _timing(timing),
                "total": _used(resources["(top)"]),
            }
    except (ValueError, KeyError, TypeError):
        raise BitexpertError(f"a report of Vivado in {reports} is damaged; make it again in vivado/") from None
    return found


def _read(reports: Path, name: str) -> Any:
    path = reports / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _alone(graph: Dataflow, board: Board, report: dict[str, Any]) -> dict[str, Any]:
    """Out of context: each operator of the graph that kept an instance of its own, then what wires them."""
    operators = {}
    known = {node.name: node for node in graph.nodes}
    for name in [*(n for n in known if n in report["operators"]), *(n for n in report["operators"] if n not in known)]:
        node = known.get(name)
        operators[name] = {
            "kind": node.op.kind if node else "FrameLast",
            "folding": dict(node.folding) if node else {},
            "plumbing": node.op.plumbing if node else True,
            "estimate": node.op.resources(node.folding).rounded() if node else None,
            "synthesis": _used(report["operators"][name]),
        }
    return {
        "source": report["source"],
        "device": board.part,
        "capacity": {kind: getattr(board, kind) for kind in ("lut", "lutram", "ff", "bram18", "uram", "dsp")},
        "operators": operators,
        "total": {"estimate": estimate(graph).rounded(), "synthesis": _used(report)},
        "timing": {**_timing(report), "estimated_throughput_fps": float(report["estimated_throughput_fps"])},
    }


def _used(row: dict[str, Any]) -> dict[str, Any]:
    """A row in the columns of ``bitexpert synth``: Vivado counts LUTs used as memory among all LUTs."""
    memory = int(row["LUTRAM"]) + int(row["SRL"])
    rest = {name: int(row[name]) for name in ("SRL", "FF", "BRAM_18K", "BRAM_36K", "URAM", "DSP")}
    return {"LUT": int(row["LUT"]) - memory, "LUTRAM": memory, **rest, "LC_estimate": None}


def _timing(report: dict[str, Any]) -> dict[str, float]:
    return {name: float(report[name]) for name in ("clk_period_ns", "WNS", "WHS", "fmax_mhz")}
