"""Folding: how much hardware each operator gets, and the plumbing between operators."""

from __future__ import annotations

import importlib.metadata
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..hw.graph import Dataflow
from ..hw.performance import ample_depths, bottleneck, simulate, size_fifos
from ..hw.resources import Resources
from ..sim.cycles import fastest_machine
from .board import Board
from .folding_search import (
    KINDS,
    Budget,
    Choice,
    FoldingSpace,
    amount,
    cheapest,
    cost,
    fastest,
    options,
    quickest,
)
from .plumbing import FoldingError, insert_fifos, insert_width_converts

__all__ = ["FoldingError", "estimate", "fold", "fold_and_report", "folding_config", "read_folding"]

# Shares of a board that automatic folding may plan with; the rest is for DMA, interconnect, routing and deep FIFOs.
SHARES = {"lut": 0.6, "bram18": 0.8, "dsp": 1.0, "uram": 1.0}
# Choices that are tried for a latency, and the share of the target that is near enough.
LATENCY_ROUNDS = 8
LATENCY_NEAR = 0.97
# Attributes of FINN's folding files that need nothing done here: memories and FIFOs are chosen by bitexpert.
FINN_ATTRIBUTES = (
    "ram_style",
    "ram_style_thresholds",
    "resType",
    "mem_mode",
    "runtime_writeable_weights",
    "pumpedCompute",
    "pumpedMemory",
    "parallel_window",
    "impl_style",
    "depth",
    "depth_trigger_uram",
    "depth_trigger_bram",
    "inFIFODepths",
    "outFIFODepths",
)


def read_folding(path: Path) -> dict[str, dict[str, int]]:
    """Read a folding file in FINN's JSON form: ``{"Defaults": {}, "matvec_0": {"PE": 4, "SIMD": 8}}``.

    Attributes that FINN has and bitexpert does not need (``ram_style``, ``resType``, ``mem_mode``) are ignored.
    Defaults for all nodes of a kind are not supported.

    Raises
    ------
    FoldingError
        The file is missing, is not JSON, or is not of that form; or an attribute is unknown or no whole number.
    """
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise FoldingError(f"cannot read the folding file {path}: {error.strerror}") from None
    except ValueError as error:
        raise FoldingError(f"{path} is not JSON: {error}") from None
    if not isinstance(data, dict) or not all(isinstance(v, dict) for v in data.values()):
        raise FoldingError(f'{path}: expected {{"Defaults": {{}}, "<node>": {{"PE": 1, "SIMD": 1}}}}')
    result = {}
    for name, attributes in data.items():
        unknown = sorted(set(attributes) - {"PE", "SIMD", *FINN_ATTRIBUTES})
        if unknown:
            raise FoldingError(f"{path}: {name} has the unknown attribute {unknown[0]!r}; known: PE, SIMD")
        if name == "Defaults":
            if {"PE", "SIMD"} & set(attributes):
                raise FoldingError(f"{path}: defaults for PE and SIMD are not supported; give them node by node")
            continue
        numbers = {k: v for k, v in attributes.items() if k in ("PE", "SIMD")}
        for key, value in numbers.items():
            if not isinstance(value, int) or isinstance(value, bool):
                raise FoldingError(f"{path}: {name}.{key} must be a whole number, not {value!r}")
        result[name] = numbers
    return result


def folding_config(graph: Dataflow) -> dict[str, Any]:
    """The folding of a graph in the form that :func:`read_folding` reads."""
    return {"Defaults": {}, **{n.name: dict(n.folding) for n in graph.nodes if n.folding}}


def estimate(graph: Dataflow) -> Resources:
    """Estimated resources of a graph, plumbing included."""
    return sum((n.op.resources(n.folding) for n in graph.nodes), Resources())


def fold(
    graph: Dataflow,
    board: Board,
    *,
    target_fps: float | None = None,
    target_latency_us: float | None = None,
    folding: Mapping[str, Mapping[str, int]] | None = None,
) -> Dataflow:
    """Fold a graph: choose PE and SIMD, insert WidthConverts and FIFOs, compute the FIFO depths.

    Parameters
    ----------
    graph : Dataflow
        As lowered.
    board : Board
        Its clock turns frames a second into cycles; its resources bound automatic folding.
    target_fps : float, optional
        Frames a second to reach with the least hardware.
    target_latency_us : float, optional
        Microseconds from a frame's first beat to its result, into an idle accelerator, to reach with the least
        hardware; maybe together with ``target_fps``. Without both and without ``folding``: the fastest folding that is
        estimated to fit the board.
    folding : mapping, optional
        Node -> attributes, as :func:`read_folding` returns; wins over the targets.

    Raises
    ------
    FoldingError
        An illegal value (the legal ones are named), a target that no folding reaches (the best is named), or
        one that needs more than the device has. A given ``folding`` is taken however large.
    """
    return fold_and_report(graph, board, target_fps=target_fps, target_latency_us=target_latency_us, folding=folding)[0]


def fold_and_report(
    graph: Dataflow,
    board: Board,
    *,
    target_fps: float | None = None,
    target_latency_us: float | None = None,
    folding: Mapping[str, Mapping[str, int]] | None = None,
) -> tuple[Dataflow, dict[str, Any]]:
    """Fold a graph as :func:`fold` does, and tell what is known of the choice.

    Returns
    -------
    Dataflow
        The folded graph.
    dict
        ``objective``; ``bottlenecks``: the slowest operators, with the next faster folding of each and what it takes
        more; unless the folding was given, ``search`` too: the proved bounds and, of a fastest design, ``binding``.
    """
    choice: Choice | None = None
    limits: Budget = {}
    if folding is not None:
        objective, chosen = "given", folding
    else:
        targets = [f"{target_fps:g} frames/s"] if target_fps is not None else []
        targets += [f"{target_latency_us:g} us"] if target_latency_us is not None else []
        model = " (with a linear model of the latency)" if target_latency_us is not None else ""
        objective = f"least cost at {' and '.join(targets)}{model}" if targets else "fastest within the board's shares"
        if target_latency_us is not None:
            choice, limits = _in_time(graph, board, target_fps, target_latency_us)
        elif target_fps is not None:
            choice, limits = _cheapest(graph, board, target_fps)
        else:
            choice, limits = _fastest(graph, board)
        chosen = choice.folding
    plumbed = _plumbed(graph, chosen)
    machine = fastest_machine()
    result = size_fifos(plumbed, machine=machine)
    if target_latency_us is not None and choice:
        reached = simulate(result, 1, machine=machine).latency / board.clock_mhz
        if reached > target_latency_us:  # a first frame may wait where the steady state does not
            result = ample_depths(plumbed, machine=machine)[0]
    if choice:
        _refuse_too_large(result, board)
    report = {"source": "estimate: resource model", "objective": objective, "bottlenecks": _bottlenecks(result)}
    return result, report | ({"search": _proved(choice, limits)} if choice else {})


def _plumbed(graph: Dataflow, folding: Mapping[str, Mapping[str, int]]) -> Dataflow:
    """The folded graph with WidthConverts and shallow FIFOs."""
    return insert_fifos(insert_width_converts(_apply(graph, folding)))


def _at_rate(graph: Dataflow, space: FoldingSpace, board: Board, target_fps: float) -> tuple[int, Choice]:
    """Cycles a frame of a rate, and the choice of the least cost for it on a device without limits."""
    if not target_fps > 0 or math.isinf(target_fps):
        raise FoldingError(f"the target must be a positive number of frames a second, not {target_fps}")
    hertz = board.clock_mhz * 1e6
    cycles = int(min(hertz / target_fps, 1e18))
    choice = cheapest(space, cycles, {})
    if choice is None:
        best = fastest(space, {})
        assert best is not None
        name, cycles = bottleneck(insert_width_converts(_apply(graph, best.folding)))
        raise FoldingError(
            f"{target_fps:g} frames/s at {board.clock_mhz:g} MHz is out of reach: {name} needs {cycles} cycles"
            f" fully unfolded, at most {hertz / cycles:.0f} frames/s"
        )
    return cycles, choice


def _in_time(
    graph: Dataflow, board: Board, target_fps: float | None, target_latency_us: float
) -> tuple[Choice, Budget]:
    """The choice of the least cost for a latency, and maybe a rate, on the device.

    The search bounds its linear model of the latency. What a choice really has says the cycle model, from which the
    bound is mended.
    """
    if not target_latency_us > 0 or math.isinf(target_latency_us):
        raise FoldingError(f"the latency must be a positive number of microseconds, not {target_latency_us}")
    space = FoldingSpace.of(graph)
    cycles = space.levels[-1] if target_fps is None else _at_rate(graph, space, board, target_fps)[0]
    device = {kind: float(getattr(board, kind)) for kind in KINDS}
    target = int(min(target_latency_us * board.clock_mhz, 1e15))
    best: Choice | None = None
    bound, below, above = target, 0, 4 * target + 4  # nothing is to be gained at `below`; `above` is too much
    for attempt in range(LATENCY_ROUNDS):
        choice = cheapest(space, cycles, device, latency=bound)
        latency = _latency(graph, choice) if choice else None
        if choice is None or latency is None:
            below = bound
        elif latency > target:
            above = bound
        else:
            best = choice if best is None or choice.cost < best.cost else best
            if latency >= LATENCY_NEAR * target:
                break
            below = bound
        # the model is wrong by about the same share a little further on; else the bracket is halved
        bound = bound * target // latency if latency and attempt < 2 else (below + above) // 2
        bound = min(max(bound, below + 1), above - 1)
        if bound <= below:
            break
    if best is None:
        choice = quickest(space, cycles, device)
        least = _latency(graph, choice) if choice else None
        if choice is None or least is None or least > target:
            reached = (
                f"the quickest takes about {least / board.clock_mhz:.4g} us" if least else "no folding fits the device"
            )
            rate = f" at {target_fps:g} frames/s" if target_fps is not None else ""
            raise FoldingError(
                f"no folding was found for a latency of {target_latency_us:g} us{rate} on {board.title} at"
                f" {board.clock_mhz:g} MHz: {reached}"
            )
        best = choice
    return best, device


def _latency(graph: Dataflow, choice: Choice) -> int:
    """Cycles from the first input beat to the last output beat of a frame, into an idle accelerator."""
    machine = fastest_machine()
    return simulate(ample_depths(_plumbed(graph, choice.folding), machine=machine)[0], 1, machine=machine).latency


def _cheapest(graph: Dataflow, board: Board, target_fps: float) -> tuple[Choice, Budget]:
    """The choice of the least cost for a rate, and the limits that were set to it."""
    space = FoldingSpace.of(graph)
    cycles, choice = _at_rate(graph, space, board, target_fps)
    device = {kind: float(getattr(board, kind)) for kind in KINDS}
    if any(amount(choice.need, kind) > limit for kind, limit in device.items()):
        smaller = cheapest(space, cycles, device)
        if smaller is not None:
            return smaller, device
    return choice, {}


def _fastest(graph: Dataflow, board: Board) -> tuple[Choice, Budget]:
    """The fastest choice within the board's shares, and these."""
    space = FoldingSpace.of(graph)
    shares = {kind: SHARES[kind] * getattr(board, kind) for kind in KINDS}
    choice = fastest(space, shares)
    if choice is None:
        least = cheapest(space, space.levels[-1], {})
        assert least is not None
        need = {kind: math.ceil(amount(least.need, kind)) for kind in KINDS}
        raise FoldingError(
            f"the network does not fit {board.name} even fully folded: it needs about {need['lut']} LUTs and"
            f" {need['bram18']} BRAM18, and may take {shares['lut']:.0f} of {board.lut} and {shares['bram18']:.0f} of"
            f" {board.bram18}; choose a larger board or a smaller network"
        )
    return choice, shares


def _proved(choice: Choice, limits: Budget) -> dict[str, Any]:
    """What the search proved, for the report; the same in every run."""
    return {
        "solver": f"CP-SAT {importlib.metadata.version('ortools')}",
        "status": "feasible" if choice.cost_gap or choice.cycles_gap else "optimal",
        "cycles": choice.cycles,
        "cycles_gap_percent": round(100 * choice.cycles_gap, 3),
        "cost": round(choice.cost, 1),
        "cost_gap_percent": round(100 * choice.cost_gap, 3),
        "effort": round(choice.effort, 3),
        "planned": {kind: math.ceil(amount(choice.need, kind)) for kind in KINDS},
        "limits": {kind: math.floor(limit) for kind, limit in limits.items()},
        "binding": [list(kinds) for kinds in choice.binding],
    }


def _bottlenecks(graph: Dataflow) -> list[dict[str, Any]]:
    """The slowest operators, and for each its next faster folding with what that takes more."""
    cycles = bottleneck(graph)[1]
    slowest = [n for n in graph.nodes if n.op.cycles(n.folding) == cycles]
    found = []
    for node in [n for n in slowest if not n.op.plumbing] or slowest:
        entry: dict[str, Any] = {"node": node.name, "folding": dict(node.folding), "cycles": cycles, "faster": None}
        ways = [o for o in options(node.op) if o.cycles < cycles]
        if ways:
            best = min(ways, key=lambda o: (-o.cycles, cost(o.need)))
            now, then = node.op.resources(node.folding), node.op.resources(best.folding)
            more = {kind: math.ceil(amount(then, kind) - amount(now, kind)) for kind in KINDS}
            entry["faster"] = {"folding": best.folding, "cycles": best.cycles, "more": more}
        found.append(entry)
    return found


def _refuse_too_large(graph: Dataflow, board: Board) -> None:
    """Refuse a design that is estimated to need more than the whole device."""
    need = estimate(graph).rounded()
    for key, name in (("lut", "LUTs"), ("bram18", "BRAM18"), ("dsp", "DSPs")):
        wanted, there = need[key] + (need["lutram"] if key == "lut" else 0), getattr(board, key)
        if wanted > there:
            raise FoldingError(
                f"this takes about {wanted:,} {name} (estimate), {board.title} has {there:,}; lower --target-fps,"
                " leave it out for the fastest design that fits, or give --folding to insist"
            )


def _apply(graph: Dataflow, folding: Mapping[str, Mapping[str, int]]) -> Dataflow:
    names = {n.name for n in graph.nodes}
    for name in folding:
        if name not in names:
            raise FoldingError(f"the folding names {name!r}, which is no node; nodes: {', '.join(sorted(names))}")
    nodes = [replace(n, folding=n.op.check_folding(n.name, folding.get(n.name, {}))) for n in graph.nodes]
    return graph.replace(nodes)
