"""Emit the Vivado script that builds the bitstream."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import BitexpertError
from ..hw.graph import Dataflow
from .board import Board
from .emit import TOP
from .templates import render, write_text

__all__ = ["emit_vivado"]


@dataclass(frozen=True)
class VivadoProject:
    """Context of templates/vivado."""

    made_by: str
    title: str
    part: str
    board_part: str
    clock_mhz: float
    dma_bits: int
    stream_bits: int
    stream_bytes: int
    input_bytes: int
    output_bytes: int
    top: str
    files: tuple[str, ...]
    memories: tuple[str, ...]


def emit_vivado(graph: Dataflow, folder: Path, rtl: Path, board: Board, made_by: str) -> VivadoProject:
    """Write ``build.tcl``.

    Parameters
    ----------
    graph : Dataflow
        Folded.
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
        A board family without a script, or a file named in ``sources.f`` that does not exist.
    """
    if board.processor != "zynq":
        raise BitexpertError(f"no Vivado script for boards of family {board.processor} yet; known: zynq")
    files = tuple((rtl / "sources.f").read_text().split())
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
        stream_bits=board.dma_bits,
        stream_bytes=board.dma_bits // 8,
        input_bytes=-(-graph.beat_bits(graph.inputs[0]) // 8),
        output_bytes=-(-graph.beat_bits(graph.outputs[0]) // 8),
        top=TOP,
        files=files,
        memories=tuple(sorted(p.name for p in rtl.glob("*.mem"))),
    )
    write_text(folder / "build.tcl", render("vivado/build.tcl.j2", project))
    return project
