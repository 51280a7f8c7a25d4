"""A virtual board with a small network and the driver beside it."""

import json
from pathlib import Path

import numpy as np
from bitexpert.flow.emit import emit_rtl
from bitexpert.flow.emit_shell import emit_shell
from bitexpert.flow.package import package
from bitexpert.hw.graph import Dataflow
from bitexpert.sim.board import VirtualBoard, build_board
from emitnets import samples


def make_board(graph: Dataflow, folder: Path, word_bytes: int = 8) -> VirtualBoard:
    """Emit, compile; the package is ``folder / "deploy"``, with 20 golden samples."""
    emit_rtl(graph, folder / "rtl", "made by a test")
    emit_shell(graph, folder / "shell", "made by a test", word_bytes=word_bytes)
    deploy = folder / "deploy"
    package(graph, deploy, folder / "shell", samples(graph, 20))
    board = VirtualBoard(build_board(folder / "rtl", folder / "shell", folder / "work"), folder / "rtl")
    board.prepare(deploy)
    return board


def on_board(board: VirtualBoard, folder: Path, script: str, **arrays: np.ndarray) -> dict:
    """Run Python text beside the package: ``arrays`` are there by their names; gives what it stores in ``told``."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    lines = [
        "import json, numpy as np",
        "from bitexpert_accelerator import Accelerator, AcceleratorError",
        *(f"{name} = np.load('{name}.npy')" for name in arrays),
        "told = {}",
        script,
        "print(json.dumps(told))",
    ]
    (folder / "script.py").write_text("\n".join(lines) + "\n")
    done = board.run(folder, ["script.py"], timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
