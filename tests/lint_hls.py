"""clang-tidy over every HLS cell, in designs that use them, and over their testbenches."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from bitexpert.flow.emit import HW, emit_hls
from bitexpert.sim.toolchain import CPP, ap_types
from emitnets import BOARD, folded_net, joined_net

ROOT = Path(__file__).parents[1]


def tidy(folder: Path) -> subprocess.CompletedProcess:
    """Run clang-tidy on an emitted design; what it finds in the design's files is in the output."""
    flags = ["-std=c++14", f"-isystem{CPP}", f"-isystem{ap_types()}", "-Wno-unknown-pragmas"]
    command = [
        Path(sysconfig.get_path("scripts")) / "clang-tidy",
        *("--quiet", f"--config-file={ROOT / '.clang-tidy'}", f"--header-filter={folder}/.*"),
        *(folder / "accelerator.cpp", folder / "tb" / "testbench.cpp"),
        *("--", *flags),
    ]
    return subprocess.run(command, capture_output=True, text=True)


def main() -> int:
    used: set[str] = set()
    with tempfile.TemporaryDirectory() as name:
        for number, graph in enumerate((folded_net(), joined_net())):
            folder = Path(name).resolve() / str(number)
            emit_hls(graph, folder, "made by lint_hls.py", part=BOARD.part, clock_ns=10.0)
            used |= {path.name for path in (folder / "bx").iterdir()}
            done = tidy(folder)
            if done.returncode:
                print(done.stdout, done.stderr, sep="\n")
                return 1
    if missing := {path.name for path in (HW / "hls").iterdir()} - used:
        print(f"no design of emitnets.py uses {', '.join(sorted(missing))}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
