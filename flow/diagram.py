"""A picture of the accelerator: its operators, streams, folding, and how busy each operator is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..hw.graph import Dataflow, Node
from ..hw.ops.fifo import Fifo
from ..hw.ops.frame_hold import FrameHold
from ..hw.performance import bottleneck
from ..models.files import write_atomically
from .reports import operators

__all__ = ["draw"]

COLOURS = {
    "SlidingWindow": "#d7e3f4",
    "MatVec": "#f6d5c3",
    "Threshold": "#dcefd5",
    "Pool": "#e4dcf1",
    "Gate": "#fbe7a8",
    "FrameHold": "#fbe7a8",
    "Fork": "#eeeeee",
    "TopK": "#d3ecec",
    "WindowPool": "#e4dcf1",
    "Concat": "#eeeeee",
    "Slice": "#eeeeee",
    "Add": "#f3e3d3",
    "Affine": "#f3e3d3",
}
BOX_W, BOX_H, ROW, LANE = 3.5, 0.72, 1.22, 4.3


@dataclass(frozen=True)
class _Edge:
    source: str  # "" is the input
    target: str  # "" is the output
    text: str


def _edges(graph: Dataflow) -> list[_Edge]:
    """Streams between operators, with their type and the FIFO between them."""
    consumers = graph.consumers()
    edges = []
    starts = [("", s) for s in graph.inputs]
    starts += [(n.name, s) for n in operators(graph) for s in n.outputs]
    for source, start in starts:
        stream, depth = start, 0
        while stream in consumers and consumers[stream][0].op.plumbing:
            node = consumers[stream][0]
            depth += node.op.depth if isinstance(node.op, Fifo) else 0
            stream = node.outputs[0]
        target = consumers[stream][0].name if stream in consumers else ""
        kind = graph.type_of(start)
        text = f"{kind}   {graph.per_beat(start)} a beat, FIFO {depth}"
        edges.append(_Edge(source, target, text))
    return edges


def _levels(graph: Dataflow, edges: list[_Edge]) -> dict[str, int]:
    """Row of each operator: one below the lowest of those that feed it."""
    level: dict[str, int] = {}
    for node in operators(graph):
        above = [level[e.source] for e in edges if e.target == node.name and e.source]
        level[node.name] = 1 + max(above, default=0)
    return level


def _caption(graph: Dataflow, node: Node) -> tuple[str, str]:
    folding = "  ".join(f"{k}={v}" for k, v in node.folding.items())
    head = f"{node.name}   {folding}"
    cycles = node.op.cycles(node.folding)
    share = cycles / bottleneck(graph)[1]
    detail = f"{cycles:,} cycles/frame, {share:.0%} busy"
    if isinstance(node.op, FrameHold):
        detail = f"holds {node.op.depth} beats until the expert is known"
    return head, detail


def _draw_edge(axes: Any, edge: _Edge, start: tuple[float, float], end: tuple[float, float]) -> None:
    """One stream: straight down where nothing is between, else around the boxes; tokens are dashed."""
    (x0, y0), (x1, y1) = start, end
    below = y0 - (BOX_H / 2 if edge.source else 0.22)
    above = y1 + (BOX_H / 2 if edge.target else 0.22)
    side = BOX_W / 2
    token = edge.text.startswith("uint") and " 1x1x1 " in edge.text
    if x0 == x1 and y0 - y1 < 1.5 * ROW:
        points = [(x0, below), (x1, above)]
        axes.text(x0 + 0.12, (below + above) / 2, edge.text, fontsize=6, color="#444444", va="center")
    elif x0 < x1:  # into a side branch
        points = [(x0 + side, y0), (x1, y0), (x1, above)]
    elif x0 > x1:  # back from it
        points = [(x0, below), (x0, y1), (x1 + side, y1)]
    elif token:  # past the window, on the right
        points = [(x0 + side, y0 - 0.18), (x0 + side + 0.5, y0 - 0.18), (x0 + side + 0.5, y1), (x1 + side, y1)]
    else:  # past a side branch, on the left
        points = [(x0 - side, y0), (x0 - side - 0.2, y0), (x0 - side - 0.2, y1), (x1 - side, y1)]
    xs, ys = zip(*points, strict=True)
    style = {"color": "#b8860b" if token else "#555555", "lw": 1.0, "zorder": 1}
    axes.plot(xs, ys, linestyle="--" if token else "-", **style)
    axes.annotate(
        "", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", "color": style["color"], "lw": 0}, zorder=1
    )


def draw(graph: Dataflow, title: str, *paths: Path) -> None:
    """Draw a folded graph.

    Parameters
    ----------
    graph : Dataflow
    title : str
        Above the picture.
    *paths : Path
        Files to write; the ending chooses the format (.svg, .png, .pdf).
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    edges = _edges(graph)
    level = _levels(graph, edges)
    used: dict[int, int] = {}
    place: dict[str, tuple[float, float]] = {}
    for node in operators(graph):
        # side branches (the gates) stand to the right of the main path
        lane = 1 if node.op.kind == "Gate" else used.get(level[node.name], 0)
        used[level[node.name]] = max(used.get(level[node.name], 0), 1 if lane == 0 else lane + 1)
        place[node.name] = (lane * LANE, -level[node.name] * ROW)
    rows = max(level.values()) + 1
    place_in, place_out = (0.0, 0.0), (0.0, -rows * ROW)
    figure, axes = plt.subplots(figsize=(8.6, 0.62 * rows + 1.2))
    axes.set_xlim(-BOX_W / 2 - 0.4, LANE + BOX_W / 2 + 0.2)
    axes.set_ylim(-rows * ROW - 0.4, 0.4)
    axes.axis("off")
    axes.set_title(title, fontsize=10, loc="left")
    for edge in edges:
        start = place[edge.source] if edge.source else place_in
        end = place[edge.target] if edge.target else place_out
        _draw_edge(axes, edge, start, end)
    for name, (x, y) in place.items():
        node = graph.node(name)
        head, detail = _caption(graph, node)
        axes.add_patch(
            FancyBboxPatch(
                (x - BOX_W / 2, y - BOX_H / 2),
                BOX_W,
                BOX_H,
                boxstyle="round,pad=0,rounding_size=0.1",
                facecolor=COLOURS.get(node.op.kind, "#ffffff"),
                edgecolor="#555555",
                linewidth=0.8,
            )
        )
        axes.text(x, y + 0.13, head, ha="center", va="center", fontsize=7.5, fontweight="bold")
        axes.text(x, y - 0.16, detail, ha="center", va="center", fontsize=6.5)
    if any(n.op.kind == "Gate" for n in graph.nodes):
        note = "dashed: one expert index a frame"
        axes.text(LANE, place_out[1], note, ha="center", va="center", fontsize=7, color="#b8860b")
    axes.text(*place_in, "input (AXI4-Stream)", ha="center", va="center", fontsize=8)
    axes.text(*place_out, "output (AXI4-Stream)", ha="center", va="center", fontsize=8)
    for path in paths:
        undated = {"Date": None} if path.suffix == ".svg" else None
        write_atomically(path, partial(figure.savefig, bbox_inches="tight", dpi=150, metadata=undated))
    plt.close(figure)
