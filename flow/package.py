"""The folder that travels to the board: driver, programs, what they have to know, golden samples."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from ..hw.graph import Dataflow
from .emit import fresh
from .templates import FOLDER as TEMPLATES

__all__ = ["BITFILE", "DRIVER_FILES", "GOLDEN_FRAMES", "package", "save_frames"]

#: Python files that run on the board.
DRIVER_FILES = ("driver.py", "packing.py", "common.py", "validate.py", "throughput.py", "experts.py")
#: What Vivado makes and is put beside them.
BITFILE = ("accelerator.bit", "accelerator.hwh")
#: Frames that `validate.py` sends, at most.
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
    for name in DRIVER_FILES:
        shutil.copyfile(TEMPLATES / "pynq" / name, folder / name)
    shutil.copyfile(shell / "shell.json", folder / "shell.json")
    golden = frames[:GOLDEN_FRAMES]
    (folder / "golden").mkdir()
    save_frames(graph, folder / "golden" / "input.npy", golden)
    np.save(folder / "golden" / "output.npy", graph.run(golden)[graph.outputs[0]].astype(np.int32))


def save_frames(graph: Dataflow, path: Path, frames: np.ndarray) -> None:
    """Write frames (N, H, W, C) as the driver takes them: in the smallest integer type that holds all values."""
    kind = graph.type_of(graph.inputs[0]).element
    np.save(path, frames.astype(np.min_scalar_type(kind.max if kind.min >= 0 else kind.min)))
