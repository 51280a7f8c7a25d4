"""Check HLS sources: ``python -m bitexpert.flow.hls_check HEADER.hpp... DESIGN...``.

A design is a folder that ``emit_hls`` wrote; in a build its streams must have the depths of that build's graph.
Exit 1 if something is found, 3 if a tool is missing.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ...errors import BitexpertError
from ...hw.graph import Dataflow
from ..emit import TOP
from . import check_cells, check_design, stream_depths


def main(arguments: list[str]) -> int:
    """Check headers and designs; returns the exit status."""
    paths = [Path(a) for a in arguments]
    designs = [p for p in paths if (p / f"{TOP}.cpp").is_file()]
    headers = [p for p in paths if p.suffix == ".hpp" and p.is_file()]
    others = [p for p in paths if p not in designs and p not in headers]
    if others or not paths:
        print(f"{others[0]} is neither a header nor a design" if others else "name headers (.hpp) or designs (DIR/hls)")
        return 2
    try:
        found = check_cells(headers) if headers else []
        for design in designs:
            graph, weights = design.parent / "folded.json", design.parent / "weights.npz"
            depths = stream_depths(Dataflow.load(graph, weights)) if graph.is_file() else None
            found += check_design(design, depths)
    except BitexpertError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for finding in found:
        print(finding)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
