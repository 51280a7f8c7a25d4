"""The baseline of bench/folding.py: foldings chosen operator by operator along the streams, as bitexpert once did."""

from __future__ import annotations

import math
from dataclasses import replace

from bitexpert.flow.folding_search import FoldingSpace, Option, cost
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.sliding_window import SlidingWindow

__all__ = ["greedy"]


def greedy(graph: Dataflow, space: FoldingSpace, cycles: int) -> Dataflow:
    """Fold a graph: every operator takes what is cheapest behind those before it, or fastest if all are too slow.

    A window is chosen together with its reader. The cost of an operator includes its FIFOs and WidthConverts.
    """
    consumers = graph.consumers()
    links = {(link.target, link.source): link for link in space.links}
    producers = graph.producers()
    chosen: dict[str, Option] = {}

    def plumbing(node: Node, option: Option) -> float:
        total = 0.0
        for i, stream in enumerate(node.inputs):
            source, j = producers.get(stream, (None, 0))
            if source is None:
                continue
            have, want = chosen[source.name].sends[j], option.takes[i]
            link = links[(node.name, i), (source.name, j)]
            if have != want:
                total += math.inf if link.kind.masked else cost(link.conversion(have, want)[1])
        return total

    def rank(node: Node, candidate: dict[str, Option]) -> tuple[float, float, int]:
        slowest = max(o.cycles for o in candidate.values())
        price = sum(cost(o.need) for o in candidate.values()) + plumbing(node, candidate[node.name])
        return (slowest if slowest > cycles else 0, price, slowest)

    for node in graph.nodes:
        if node.name in chosen:
            continue
        candidates = [{node.name: o} for o in space.options[node.name]]
        if isinstance(node.op, SlidingWindow) and node.outputs[0] in consumers:
            reader = consumers[node.outputs[0]][0]
            windows = {o.sends[0]: o for o in space.options[node.name]}
            readers = [o for o in space.options[reader.name] if o.takes[0] in windows]
            candidates = [{node.name: windows[o.takes[0]], reader.name: o} for o in readers]
        chosen.update(min(candidates, key=lambda c, node=node: rank(node, c)))
    return graph.replace(replace(n, folding=chosen[n.name].folding) for n in graph.nodes)
