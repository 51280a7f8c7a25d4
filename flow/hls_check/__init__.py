"""A check of Vitis HLS sources: the synthesizable subset, II = 1, and DATAFLOW in canonical form.

No open tool synthesises HLS C++. This reads it with clang, as Vitis does (``__SYNTHESIS__`` defined), and reports what
Vitis would refuse, or would take in silence and make slower than the cycle model says.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...hw.graph import Dataflow
from ...hw.ops.fifo import Fifo
from ..emit import TOP
from .language import language_findings
from .pipelines import loop_findings
from .regions import pragma_findings, region_findings, top_findings
from .source import Finding, parse

__all__ = ["Finding", "check_cells", "check_design", "stream_depths"]


def check_cells(files: list[Path]) -> list[Finding]:
    """Check header files of cells.

    Parameters
    ----------
    files : list of Path
        What they include from their own folder is checked too.

    Raises
    ------
    ToolError
        libclang or the C++ compiler is missing.
    """
    return _check(files, [], None, None)


def check_design(folder: Path, depths: Mapping[str, int] | None = None, *, top: str = TOP) -> list[Finding]:
    """Check an emitted design.

    Parameters
    ----------
    folder : Path
        What ``emit_hls`` wrote.
    depths : mapping of str to int, optional
        Beats that each stream must have room for; see :func:`stream_depths`.
    top : str
        Name of the top function.

    Raises
    ------
    ToolError
        libclang or the C++ compiler is missing.
    """
    return _check([folder / f"{top}.cpp"], [folder], top, depths)


def _check(files: list[Path], include: list[Path], top: str | None, depths: Mapping[str, int] | None) -> list[Finding]:
    source = parse(files, include)
    if source.findings:
        return source.findings
    found = [*language_findings(source), *loop_findings(source), *pragma_findings(source), *region_findings(source)]
    if top is not None:
        found += top_findings(source, top, depths)
    return sorted(set(found))


def stream_depths(graph: Dataflow) -> dict[str, int]:
    """Room of each stream of the HLS design: the FIFO's, and what its reader keeps waiting in it.

    Parameters
    ----------
    graph : Dataflow
        Folded.
    """
    depths = {}
    for stream in graph.streams():
        writer, reader = graph.producers().get(stream), graph.consumers().get(stream)
        if writer is not None and isinstance(writer[0].op, Fifo):
            continue
        room = 2
        if reader is not None and isinstance(reader[0].op, Fifo):
            room = reader[0].op.depth
            reader = graph.consumers().get(reader[0].outputs[0])
        if reader is not None and (call := reader[0].op.hls(reader[0].folding)):
            room += dict(enumerate(call.extra_input_depth)).get(reader[1], 0)
        depths[stream] = room
    return depths
