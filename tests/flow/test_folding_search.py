import itertools
from dataclasses import dataclass, replace

import pytest
from bitexpert.flow import folding_search
from bitexpert.flow.fold import estimate
from bitexpert.flow.folding_search import KINDS, FoldingSpace, Link, amount, cheapest, cost, fastest
from bitexpert.flow.plumbing import FoldingError, insert_fifos, insert_width_converts
from bitexpert.hw.graph import Dataflow
from bitexpert.hw.ops.frame_hold import FrameHold
from bitexpert.hw.performance import bottleneck
from bitexpert.hw.resources import Resources
from foldnets import diamond, every_folding, experts, padded_bits


@dataclass(frozen=True)
class Design:
    cycles: int
    need: Resources


def every_design(graph: Dataflow) -> list[Design]:
    """Every folding of a graph, with its plumbing really put in."""
    designs = []
    for folded in every_folding(graph):
        nodes = [
            replace(n, op=replace(n.op, depth=max(2, n.op.cycles(n.folding)))) if n.name == "hold" else n
            for n in folded.nodes
        ]
        whole = insert_fifos(insert_width_converts(graph.replace(nodes)))
        designs.append(Design(bottleneck(whole)[1], estimate(whole)))
    return designs


GRAPHS = [padded_bits, diamond, experts]


@pytest.fixture(scope="module", params=GRAPHS, ids=lambda make: make.__name__)
def case(request) -> tuple[Dataflow, list[Design]]:
    graph = request.param()
    return graph, every_design(graph)


def least_cost(designs, cycles, budget=None):
    costs = [cost(d.need) for d in designs if d.cycles <= cycles and within(d, budget or {})]
    return min(costs) if costs else None


def within(design, budget):
    return all(amount(design.need, kind) <= limit for kind, limit in budget.items())


def test_no_design_is_cheaper(case):
    graph, designs = case
    space = FoldingSpace.of(graph)
    for cycles in sorted({d.cycles for d in designs}):
        choice = cheapest(space, cycles, {})
        assert choice.cost == pytest.approx(least_cost(designs, cycles), abs=0.1)
        assert choice.cycles <= cycles
        assert choice.cost_gap == 0
    assert cheapest(space, min(d.cycles for d in designs) - 1, {}) is None


def test_the_choice_needs_what_was_counted(case):
    graph, designs = case
    for cycles in (max(d.cycles for d in designs), min(d.cycles for d in designs)):
        choice = cheapest(FoldingSpace.of(graph), cycles, {})
        nodes = [replace(n, folding=choice.folding[n.name]) for n in graph.nodes]
        whole = insert_fifos(insert_width_converts(graph.replace(nodes)))
        whole.validate_folding()
        assert bottleneck(whole)[1] == choice.cycles
        if not any(isinstance(n.op, FrameHold) for n in graph.nodes):
            assert cost(estimate(whole)) == pytest.approx(choice.cost)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_no_design_within_a_budget_is_faster_or_as_fast_and_cheaper(case, share):
    graph, designs = case
    luts = [amount(d.need, "lut") for d in designs]
    budget = {"lut": min(luts) + share * (max(luts) - min(luts)), "bram18": 9.0, "dsp": 9.0, "uram": 0.0}
    choice = fastest(FoldingSpace.of(graph), budget)
    best = min(d.cycles for d in designs if within(d, budget))
    assert choice.cycles == best
    assert choice.cost == pytest.approx(least_cost(designs, best, budget), abs=0.1)
    assert (choice.cycles_gap, choice.cost_gap) == (0, 0)
    assert within(Design(choice.cycles, choice.need), budget)
    if best == min(d.cycles for d in designs):
        assert choice.binding == ()
    else:
        assert choice.binding == (("lut",),)


def test_what_binds_are_the_smallest_sets_of_limits_that_hold_it_back(case):
    graph, designs = case
    space = FoldingSpace.of(graph)
    least = cheapest(space, space.levels[-1], {})
    budget = {kind: amount(least.need, kind) + 0.5 for kind in KINDS}
    choice = fastest(space, budget)

    def faster_without(kinds):
        rest = {k: v for k, v in budget.items() if k not in kinds}
        return any(d.cycles < choice.cycles and within(d, rest) for d in designs)

    sets = [[kinds for kinds in itertools.combinations(KINDS, n) if faster_without(kinds)] for n in range(1, 5)]
    assert choice.binding == tuple(next(found for found in sets if found))


def test_a_budget_that_nothing_meets(case):
    graph, _ = case
    space = FoldingSpace.of(graph)
    assert fastest(space, {"lut": 1.0}) is None
    assert cheapest(space, space.levels[-1], {"lut": 1.0}) is None


def test_forgetting_the_converters_would_be_seen(monkeypatch):
    graph = padded_bits()
    designs = every_design(graph)
    honest = FoldingSpace.of(graph)
    wrong = [c for c in {d.cycles for d in designs} if cheapest(honest, c, {}).cost - least_cost(designs, c) > 0.1]
    assert not wrong
    monkeypatch.setattr(Link, "conversion", lambda self, have, want: (0, Resources()))
    blind = FoldingSpace.of(graph)
    assert any(least_cost(designs, c) - cheapest(blind, c, {}).cost > 0.1 for c in {d.cycles for d in designs})


def test_the_same_question_has_the_same_answer():
    graph = padded_bits()
    first, second = (fastest(FoldingSpace.of(graph), {"lut": 600.0}) for _ in range(2))
    assert first == second


def test_a_search_that_is_cut_short_does_not_pretend(monkeypatch):
    graph = padded_bits()
    monkeypatch.setattr(folding_search, "EFFORT", 0.0)
    space = FoldingSpace.of(graph)
    with pytest.raises(FoldingError, match="no folding was found in the time that the search may take; give one"):
        cheapest(space, space.levels[-1], {})
    with pytest.raises(FoldingError, match="no folding was found"):
        fastest(space, {"lut": 600.0})
