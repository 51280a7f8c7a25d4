"""The board rung of the ladder: every frame through the driver, on the virtual board."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..hw.graph import Dataflow
from .board import PACKAGE, VirtualBoard, build_board
from .ladder import STALL_PERCENT, RungResult, output_differences, timed
from .streams import Difference
from .toolchain import ToolError

__all__ = ["board_rung"]

BATCH = 64
# What runs on the board: like a user's program, but for the files it reads and writes.
PROGRAM = """
import json, numpy as np
from bitexpert_accelerator import Accelerator
with Accelerator(batch_size={batch}, timeout_s={timeout}) as accelerator:
    np.save("found.npy", accelerator.execute(np.load("frames.npy")))
    told = {{"counters": accelerator.counters(), "faults": accelerator.faults()}}
    if accelerator.interface["expert_layers"]:
        told["experts_used"] = accelerator.expert_use()
with open("told.json", "w") as file:
    json.dump(told, file)
"""
# Simulated cycles are slow: a batch may take this long.
TIMEOUT = 3600.0


def board_rung(
    graph: Dataflow,
    rtl: Path,
    shell: Path,
    deploy: Path,
    work: Path,
    frames: np.ndarray,
    *,
    expected: np.ndarray,
    model_interval: float,
) -> RungResult:
    """All frames through the package's driver, once without pauses of the DMA and once with random ones.

    Parameters
    ----------
    graph : Dataflow
        Folded.
    rtl, shell, deploy : Path
        The emitted design, its shell, and the package for the board.
    work : Path
        For compiled programs.
    frames : ndarray of int, shape (N, H, W, C)
    expected : ndarray of int
        What the accelerator must send.
    model_interval : float
        Cycles between two frames that the cycle model promised.
    """

    def go() -> tuple[int, list[Difference], Mapping[str, Any]]:
        program = build_board(rtl, shell, work)
        told: dict[str, Any] = {}
        differences: list[Difference] = []
        for stall in (STALL_PERCENT, 0):
            found, told = _run(VirtualBoard(program, rtl, stall=stall), deploy, work, frames)
            if told["faults"]:
                raise ToolError(f"the accelerator on the virtual board tells of {', '.join(told['faults'])}")
            differences = differences or output_differences("board", graph, expected, found)
        told.pop("faults")
        counters = told.pop("counters")
        figures = {"cycles_per_frame": counters["interval"], "model_cycles_per_frame": model_interval}
        return 0, differences, {**(figures if counters["interval"] else {}), "counters": counters, **told}

    return timed("board", len(frames), go)


def _run(board: VirtualBoard, deploy: Path, work: Path, frames: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Results of all frames, and what the driver tells, from a copy of the package."""
    with tempfile.TemporaryDirectory(prefix="board-", dir=work) as scratch:
        folder = Path(scratch)
        shutil.copytree(deploy / PACKAGE, folder / PACKAGE)
        board.prepare(folder)
        np.save(folder / "frames.npy", frames)
        (folder / "program.py").write_text(PROGRAM.format(batch=BATCH, timeout=TIMEOUT))
        done = board.run(folder, ["program.py"])
        if done.returncode:
            raise ToolError(f"the driver failed on the virtual board: {done.stderr.strip().splitlines()[-1]}")
        return np.load(folder / "found.npy"), json.loads((folder / "told.json").read_text())
