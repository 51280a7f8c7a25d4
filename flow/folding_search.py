"""The choice of a folding as a constraint problem, solved by OR-Tools' CP-SAT.

Every operator takes one of its legal foldings. A stream whose ends then disagree on the elements in a beat gets
WidthConverts, which cost LUTs and may be slow; where it cannot have them, its ends must agree. So the choices hang
together along the streams. Resources are counted with shallow FIFOs on all streams, which is what a design has
before `size_fifos` deepens a few of them, and a frame in each FrameHold.

The latency is bounded through a linear model of it: of every operator, the first output follows the share of the
input that it needs, and the last one both its own cycles and what is left to do when the last input has come.

The results are optimal, or say how far from it they may be. They depend on the graph and the limits alone: one
worker, a fixed seed, and an effort that is counted in the solver's deterministic time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from ortools.sat.python import cp_model

from ..hw.graph import Dataflow
from ..hw.ops.base import Operator
from ..hw.ops.frame_hold import FrameHold
from ..hw.ops.sliding_window import SlidingWindow
from ..hw.resources import Resources
from ..hw.types import StreamType
from .plumbing import FoldingError, converters, fifo_resources

__all__ = ["KINDS", "Budget", "Choice", "FoldingSpace", "amount", "cheapest", "cost", "fastest", "options", "quickest"]

#: Kinds of resources that a budget may limit. LUTs used as memory are LUTs, too.
KINDS = ("lut", "bram18", "dsp", "uram")
Budget = Mapping[str, float]

# Memories and multipliers weighed by their share of a 7-series device: 190 LUTs come with each BRAM18. A URAM holds
# as many bits as 16 BRAM18.
WEIGHTS = {"lut": 1, "bram18": 190, "dsp": 240, "uram": 16 * 190}
# The solver counts in integers: hundredths of a LUT, of a BRAM18 ...
UNIT = 100
# Deterministic time of one solution, about seconds.
EFFORT = 10.0
# Shares of a frame are counted in such parts.
PARTS = 1 << 12
NOT_FOUND = "no folding was found in the time that the search may take; give one with --folding"


def amount(need: Resources, kind: str) -> float:
    """How much of a limited kind."""
    return need.lut + need.lutram if kind == "lut" else getattr(need, kind)


def cost(need: Resources) -> float:
    """Resources as one number, in LUTs."""
    return sum(weight * amount(need, kind) for kind, weight in WEIGHTS.items())


@dataclass(frozen=True)
class Option:
    """One way to fold an operator.

    Parameters
    ----------
    folding : dict of str to int
    cycles : int
        A frame.
    need : Resources
        With the FIFOs at the inputs, and at those outputs that leave the graph.
    takes, sends : tuple of int
        Elements in a beat of each input and output.
    """

    folding: dict[str, int]
    cycles: int
    need: Resources
    takes: tuple[int, ...]
    sends: tuple[int, ...]


def options(op: Operator, leaving: Sequence[int] = ()) -> list[Option]:
    """All options of an operator, of whose outputs those numbered ``leaving`` leave the graph.

    None is left out: PE and SIMD show at the ends of every operator, so that no option can take the place of
    another one without a look at the neighbours.
    """
    legal, found = op.foldings(), []
    for values in itertools.product(*legal.values()):
        folding = dict(zip(legal, values, strict=True))
        takes, sends = op.beat_elements(folding)
        planned = op
        if isinstance(op, FrameHold):  # a frame waits in it for the gate, which has to see all of it
            planned = replace(op, depth=max(2, op.cycles(folding)))
        need = planned.resources(folding)
        for kind, per_beat in (*zip(op.inputs, takes, strict=True), *((op.outputs[i], sends[i]) for i in leaving)):
            need += fifo_resources(kind, per_beat)
        found.append(Option(folding, op.cycles(folding), need, takes, sends))
    return found


@dataclass(frozen=True)
class Link:
    """A stream between two operators: output ``source`` of a node, input ``target`` of another.

    Both ends must have the same elements in a beat if ``rigid``: the stream is masked, or its windows are made for
    their reader. ``lead`` is the share of a frame that the reader's first output needs, ``tail`` the share of its
    work that needs all of the frame.
    """

    source: tuple[str, int]
    target: tuple[str, int]
    kind: StreamType
    rigid: bool
    lead: float
    tail: float

    def conversion(self, have: int, want: int) -> tuple[int, Resources]:
        """Cycles a frame and resources of what must stand between ``have`` and ``want`` elements a beat."""
        ops = converters(self.kind, have, want)
        need = sum((op.resources({}) + fifo_resources(self.kind, op.source) for op in ops), Resources())
        return max((op.cycles({}) for op in ops), default=0), need


@dataclass(frozen=True)
class Entry:
    """An input of the graph: port ``target[1]`` of a node, with the ``lead`` of a Link."""

    target: tuple[str, int]
    kind: StreamType
    lead: float


@dataclass(frozen=True)
class FoldingSpace:
    """All foldings of a graph.

    Parameters
    ----------
    options : mapping
        Node -> its options, in the order of the graph.
    links : tuple of Link
    entries : tuple of Entry
    """

    options: Mapping[str, Sequence[Option]]
    links: tuple[Link, ...]
    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, graph: Dataflow) -> FoldingSpace:
        """The foldings of a graph without plumbing."""
        ways = {}
        for node in graph.nodes:
            leaving = [i for i, stream in enumerate(node.outputs) if stream in graph.outputs]
            ways[node.name] = options(node.op, leaving)
        consumers = graph.consumers()
        links = []
        for stream, (source, i) in graph.producers().items():
            if stream in consumers:
                target, j = consumers[stream]
                kind = graph.type_of(stream)
                rigid = kind.masked or isinstance(source.op, SlidingWindow)
                links.append(Link((source.name, i), (target.name, j), kind, rigid, *_reach(target.op, j)))
        entries = []
        for stream in graph.inputs:
            target, j = consumers[stream]
            entries.append(Entry((target.name, j), graph.type_of(stream), _reach(target.op, j)[0]))
        return cls(ways, tuple(links), tuple(entries))

    @cached_property
    def conversions(self) -> list[dict[tuple[int, int], tuple[int, Resources]]]:
        """Of every link that is not rigid: (elements sent, elements taken) -> cycles, resources."""
        tables = []
        for link in self.links:
            sent = {o.sends[link.source[1]] for o in self.options[link.source[0]]}
            taken = {o.takes[link.target[1]] for o in self.options[link.target[0]]}
            pairs = [] if link.rigid else itertools.product(sorted(sent), sorted(taken))
            tables.append({pair: link.conversion(*pair) for pair in pairs})
        return tables

    @cached_property
    def levels(self) -> list[int]:
        """The cycles a frame that a design may have, ascending."""
        least = max(min(o.cycles for o in ways) for ways in self.options.values())
        cycles = {o.cycles for ways in self.options.values() for o in ways}
        cycles |= {slow for table in self.conversions for slow, _ in table.values()}
        return sorted(c for c in cycles if c >= least)


def _reach(op: Operator, port: int) -> tuple[float, float]:
    """Of an operator's input: ``lead`` and ``tail`` of a Link."""
    needed = op.needed(port)
    pixels = op.inputs[port].shape[0] * op.inputs[port].shape[1]
    return (int(needed[0]) + 1) / pixels, float((needed == needed.max()).mean())


@dataclass(frozen=True)
class Choice:
    """A folding of every operator, and what is proved of it.

    Parameters
    ----------
    folding : dict
        Node -> attributes.
    cycles : int
        Of the slowest operator or WidthConvert, a frame.
    need : Resources
        As the search counts them.
    cost_gap : float
        The share of the cost by which, at most, another folding with the cycles allowed may be cheaper; 0: none is.
    cycles_gap : float
        The share of the cycles by which, at most, another one may be faster; of a fastest choice only.
    effort : float
        The solver's deterministic time.
    binding : tuple of tuple of str
        Each a set of kinds of resources that, without limits, would allow fewer cycles; the smallest such sets, of
        a fastest choice only. Empty: no resources make it faster.
    """

    folding: dict[str, dict[str, int]]
    cycles: int
    need: Resources
    cost_gap: float
    effort: float
    cycles_gap: float = 0.0
    binding: tuple[tuple[str, ...], ...] = ()

    @property
    def cost(self) -> float:
        """In LUTs, see :func:`cost`."""
        return cost(self.need)


@dataclass(frozen=True)
class _Answer:
    """What the solver said: a choice or, without one, whether it proved that there is none."""

    choice: Choice | None
    impossible: bool
    effort: float


def cheapest(space: FoldingSpace, cycles: int, budget: Budget, *, latency: int | None = None) -> Choice | None:
    """The folding of the least cost with at most so many cycles a frame.

    Parameters
    ----------
    space : FoldingSpace
    cycles : int
    budget : mapping of str to float
        Limits of some of the KINDS; the others are not limited.
    latency : int, optional
        Most cycles from the first input beat of a frame to its last output beat, in the linear model, which is near
        the cycle model but not the same.

    Returns
    -------
    Choice or None
        None if there is no such folding.

    Raises
    ------
    FoldingError
        The effort was spent before one was found.
    """
    answer = _solve(space, cycles, budget, latency=latency)
    if answer.choice is None and not answer.impossible:
        raise FoldingError(NOT_FOUND)
    return answer.choice


def quickest(space: FoldingSpace, cycles: int, budget: Budget) -> Choice | None:
    """The folding of the least latency, in the linear model, with at most so many cycles a frame.

    Parameters, result and errors are those of :func:`cheapest`.
    """
    answer = _solve(space, cycles, budget, objective="latency")
    if answer.choice is None and not answer.impossible:
        raise FoldingError(NOT_FOUND)
    return answer.choice


def fastest(space: FoldingSpace, budget: Budget) -> Choice | None:
    """The folding with the fewest cycles a frame within a budget, and of these the one of the least cost.

    Parameters
    ----------
    space : FoldingSpace
    budget : mapping of str to float
        As for :func:`cheapest`.

    Returns
    -------
    Choice or None
        None if no folding is within the budget.

    Raises
    ------
    FoldingError
        The effort was spent before one was found.
    """
    levels = space.levels
    answer = _solve(space, levels[-1], budget, objective="none")
    if answer.choice is None:
        if not answer.impossible:
            raise FoldingError(NOT_FOUND)
        return None
    best, effort = answer.choice, answer.effort
    low, high, proved = 0, levels.index(best.cycles), 0  # below `proved` nothing is, below `low` nothing was found
    while low < high:
        middle = (low + high) // 2
        answer = _solve(space, levels[middle], budget, objective="none")
        effort += answer.effort
        if answer.choice:
            best, high = answer.choice, levels.index(answer.choice.cycles)
        else:
            low = middle + 1
            proved = low if answer.impossible else proved
    answer = _solve(space, levels[high], budget)
    best, effort = answer.choice or best, effort + answer.effort
    binding, tried = _binding(space, levels[high - 1], budget) if high else ((), 0.0)
    gap = 1 - levels[proved] / best.cycles
    return replace(best, effort=effort + tried, cycles_gap=gap, binding=binding)


def _binding(space: FoldingSpace, cycles: int, budget: Budget) -> tuple[tuple[tuple[str, ...], ...], float]:
    """The smallest sets of limits without which a folding has at most so many cycles, and the effort to find them."""
    answer = _solve(space, cycles, {}, objective="none")
    effort = answer.effort
    for size in range(1, len(budget) + 1) if answer.choice else ():
        found = []
        for kinds in itertools.combinations(budget, size):
            rest = {k: v for k, v in budget.items() if k not in kinds}
            answer = _solve(space, cycles, rest, objective="none")
            effort += answer.effort
            found += [kinds] * (answer.choice is not None)
        if found:
            return tuple(found), effort
    return (), effort


def _solve(
    space: FoldingSpace,
    cycles: int,
    budget: Budget,
    *,
    latency: int | None = None,
    objective: Literal["cost", "latency", "none"] = "cost",
) -> _Answer:
    """The folding of the least cost or latency, or any, within a budget and at most so many cycles and latency."""
    model = cp_model.CpModel()
    picks = {
        name: [(o, model.new_bool_var("")) for o in options if o.cycles <= cycles]
        for name, options in space.options.items()
    }
    if not all(picks.values()):
        return _Answer(None, True, 0.0)
    taken: list[tuple[Resources, int, Any]] = []  # (resources, cycles, whether they are used)
    for pick in picks.values():
        model.add_exactly_one(used for _, used in pick)
        taken += [(o.need, o.cycles, used) for o, used in pick]
    for link, table in zip(space.links, space.conversions, strict=True):
        taken += _linked(model, link, table, picks, cycles)
    for kind, limit in budget.items():
        model.add(sum(math.ceil(UNIT * amount(need, kind)) * used for need, _, used in taken) <= int(UNIT * limit))
    if objective == "cost":
        model.minimize(sum(round(UNIT * cost(need)) * used for need, _, used in taken))
    if latency is not None or objective == "latency":
        done = _latency(model, space, picks)
        if latency is not None:
            model.add(done <= latency)
        if objective == "latency":
            model.minimize(done)

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.linearization_level = 2  # without limits of resources the linear relaxation is near exact
    solver.parameters.max_deterministic_time = EFFORT
    status = solver.solve(model)
    effort = solver.response_proto.deterministic_time
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return _Answer(None, status == cp_model.INFEASIBLE, effort)
    chosen = [(need, slow) for need, slow, used in taken if solver.value(used)]
    need = sum((n for n, _ in chosen), Resources())
    least = solver.best_objective_bound if objective == "cost" else 0.0
    choice = Choice(
        folding={name: next(o.folding for o, used in pick if solver.value(used)) for name, pick in picks.items()},
        cycles=max(slow for _, slow in chosen),
        need=need,
        cost_gap=_gap(least, solver.objective_value) if objective == "cost" else 1.0,
        effort=effort,
    )
    return _Answer(choice, False, effort)


def _gap(bound: float, value: float) -> float:
    return 1 - bound / value if value else 0.0


def _latency(model: cp_model.CpModel, space: FoldingSpace, picks: Mapping[str, list[tuple[Option, Any]]]) -> Any:
    """The cycle in which the last operator is done with the first frame, in the linear model."""
    own = {name: sum(o.cycles * used for o, used in pick) for name, pick in picks.items()}
    horizon = 2 * sum(max(o.cycles for o, _ in pick) for pick in picks.values())
    first = {name: model.new_int_var(0, horizon, "") for name in picks}  # output of the first pixel ...
    last = {name: model.new_int_var(0, horizon, "") for name in picks}  # ... and of the last one
    for name in picks:
        model.add(last[name] >= first[name])
    for entry in space.entries:
        name, port = entry.target
        comes = sum(entry.kind.beats(o.takes[port]) * used for o, used in picks[name])
        lead = math.ceil(PARTS * entry.lead)
        model.add(PARTS * first[name] >= lead * comes)
        # what comes before the first output need not wait for the operator's own work
        model.add(PARTS * last[name] >= PARTS * first[name] + (PARTS - lead) * own[name])
    for link in space.links:
        source, name = link.source[0], link.target[0]
        lead, tail = math.ceil(PARTS * link.lead), math.ceil(PARTS * link.tail)
        model.add(PARTS * first[name] >= (PARTS - lead) * first[source] + lead * last[source])
        model.add(PARTS * last[name] >= PARTS * last[source] + tail * own[name])
        model.add(PARTS * last[name] >= PARTS * first[name] + (PARTS - lead) * own[name])
    done = model.new_int_var(0, horizon, "")
    for name in picks:
        model.add(done >= last[name])
    return done


def _linked(
    model: cp_model.CpModel,
    link: Link,
    table: Mapping[tuple[int, int], tuple[int, Resources]],
    picks: Mapping[str, list[tuple[Option, Any]]],
    cycles: int,
) -> list[tuple[Resources, int, Any]]:
    """Tie the ends of a stream together; returns the conversions that may be used."""
    sends: dict[int, list] = {}
    takes: dict[int, list] = {}
    for option, used in picks[link.source[0]]:
        sends.setdefault(option.sends[link.source[1]], []).append(used)
    for option, used in picks[link.target[0]]:
        takes.setdefault(option.takes[link.target[1]], []).append(used)
    if link.rigid:
        for width in {**sends, **takes}:
            model.add(sum(sends.get(width, [])) == sum(takes.get(width, [])))
        return []
    # one unit flows from the width that is sent to the one that is taken
    flows = {
        pair: model.new_bool_var("")
        for pair, (slow, _) in table.items()
        if pair[0] in sends and pair[1] in takes and slow <= cycles
    }
    for end, widths in enumerate((sends, takes)):
        for width, users in widths.items():
            model.add(sum(flow for pair, flow in flows.items() if pair[end] == width) == sum(users))
    return [(table[pair][1], table[pair][0], flow) for pair, flow in flows.items() if pair[0] != pair[1]]
