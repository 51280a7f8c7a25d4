"""Emit the Vivado script that builds the bitstream."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import BitexpertError
from ..hw.graph import Dataflow
from .board import Board
from .emit import TOP
from .templates import render, write_text

__all__ = ["emit_vivado"]

# axis_dwidth_converter (PG085): widest stream, and the widest word that it works on when neither width divides
# the other.
WIDEST_BYTES = 512
_WORD = re.compile(r"[A-Za-z0-9._:+-]+")


@dataclass(frozen=True)
class Link:
    """Between one stream of the DMA and one of the accelerator."""

    accelerator_bytes: int
    stream_bytes: int

    @property
    def stream_bits(self) -> int:
        """Width of the DMA's stream."""
        return 8 * self.stream_bytes

    @property
    def converted(self) -> bool:
        """Whether a width converter stands between them."""
        return self.accelerator_bytes != self.stream_bytes

    @property
    def widened(self) -> bool:
        """Whether the accelerator's stream is the narrower one."""
        return self.accelerator_bytes < self.stream_bytes


@dataclass(frozen=True)
class VivadoProject:
    """Context of templates/vivado."""

    made_by: str
    title: str
    part: str
    board_part: str
    clock_mhz: float
    dma_bits: int
    input: Link
    output: Link
    top: str
    cells: tuple[str, ...]
    memories: tuple[str, ...]


def _link(graph: Dataflow, stream: str, dma_bits: int) -> Link:
    """The DMA takes the accelerator's width where it can: 8, 16, 32 ... bits, up to that of its memory side."""
    width, widest = -(-graph.beat_bits(stream) // 8), dma_bits // 8
    if width <= widest and width & (width - 1) == 0:
        return Link(width, width)
    if math.lcm(width, widest) > WIDEST_BYTES:
        raise BitexpertError(
            f"a beat of {stream} has {width} bytes, which no converter joins to the DMA's {widest}; "
            "fold the node at that end of the network to fewer elements a beat"
        )
    return Link(width, widest)


def emit_vivado(graph: Dataflow, folder: Path, rtl: Path, board: Board, made_by: str) -> VivadoProject:
    """Write ``build.tcl``.

    Parameters
    ----------
    graph : Dataflow
        Folded; one input and one output.
    folder : Path
        Created if missing.
    rtl : Path
        The emitted RTL design; its files are listed in the script by name.
    board : Board
    made_by : str
        Goes into the head of the file.

    Raises
    ------
    BitexpertError
        A board family without a script, a graph with several inputs or outputs, a beat that cannot be joined
        to the DMA, or a file named in ``sources.f`` that does not exist.
    """
    if board.processor != "zynq":
        raise BitexpertError(f"no Vivado script for boards of family {board.processor} yet; known: zynq")
    for key in ("part", "board_part"):
        if not _WORD.fullmatch(getattr(board, key)):
            raise BitexpertError(f"board {board.name}: {key} {getattr(board, key)!r} is no name of Vivado's")
    if not re.fullmatch(r"[\w .,()+/-]+", board.title):
        raise BitexpertError(f"board {board.name}: title {board.title!r} must be letters, digits and plain signs")
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise BitexpertError(
            f"the Vivado script joins one input and one output to a DMA; the network has {len(graph.inputs)} and "
            f"{len(graph.outputs)}"
        )
    files = [f for f in (rtl / "sources.f").read_text().splitlines() if f and not f.startswith("//")]
    missing = [f for f in files if not (rtl / f).is_file()]
    if missing:
        raise BitexpertError(f"{rtl} lacks {', '.join(missing)}")
    project = VivadoProject(
        made_by=made_by,
        title=board.title,
        part=board.part,
        board_part=board.board_part,
        clock_mhz=board.clock_mhz,
        dma_bits=board.dma_bits,
        input=_link(graph, graph.inputs[0], board.dma_bits),
        output=_link(graph, graph.outputs[0], board.dma_bits),
        top=TOP,
        cells=tuple(f for f in files if f != f"{TOP}.sv"),
        memories=tuple(sorted(p.name for p in rtl.glob("*.mem"))),
    )
    write_text(folder / "build.tcl", render("vivado/build.tcl.j2", project))
    return project
