"""The folder that travels to the board: driver, programs, what they have to know, golden samples."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from ..hw.graph import Dataflow
from ..sim.board import PACKAGE
from .emit import fresh
from .templates import FOLDER as TEMPLATES

__all__ = ["BITFILES", "GOLDEN_FRAMES", "package", "save_frames"]

#: What Vivado leaves in the package.
BITFILES = (f"{PACKAGE}/accelerator.bit", f"{PACKAGE}/accelerator.hwh")
#: Frames that the package's `validate` sends, at most.
GOLDEN_FRAMES = 256


def package(graph: Dataflow, folder: Path, shell: Path, frames: np.ndarray) -> None:
    """Write all of the package but the bitfile, which Vivado makes.

    Parameters
    ----------
    graph : Dataflow
        Folded.
    folder : Path
        Created if missing; what an earlier call wrote there is replaced.
    shell : Path
        What `emit_shell` wrote.
    frames : ndarray of int, shape (N, H, W, C)
        As the graph's first operator reads them; the first 256 become golden samples.
    """
    fresh(folder)
    shutil.copytree(TEMPLATES / "pynq", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    inner = folder / PACKAGE
    shutil.copyfile(shell / "shell.json", inner / "shell.json")
    golden = frames[:GOLDEN_FRAMES]
    (inner / "golden").mkdir()
    save_frames(graph, inner / "golden" / "input.npy", golden)
    np.save(inner / "golden" / "output.npy", graph.run(golden)[graph.outputs[0]].astype(np.int32))


def save_frames(graph: Dataflow, path: Path, frames: np.ndarray) -> None:
    """Write frames (N, H, W, C) as the driver takes them: in the smallest integer type that holds all values."""
    kind = graph.type_of(graph.inputs[0]).element
    np.save(path, frames.astype(np.min_scalar_type(kind.max if kind.min >= 0 else kind.min)))
