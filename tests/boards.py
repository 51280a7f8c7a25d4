"""A virtual board with a small network and the driver beside it."""

import json
import shutil
from pathlib import Path

import numpy as np
from bitexpert.flow.emit import emit_rtl
from bitexpert.flow.emit_shell import emit_shell
from bitexpert.hw.graph import Dataflow
from bitexpert.sim.board import VirtualBoard, build_board

DRIVER = Path(__file__).parents[1] / "templates" / "pynq"


def make_board(graph: Dataflow, folder: Path, word_bytes: int = 8) -> VirtualBoard:
    """Emit, compile; the driver's folder is ``folder / "deploy"``."""
    emit_rtl(graph, folder / "rtl", "made by a test")
    emit_shell(graph, folder / "shell", "made by a test", word_bytes=word_bytes)
    deploy = folder / "deploy"
    deploy.mkdir()
    for path in DRIVER.glob("*.py"):
        shutil.copy(path, deploy)
    shutil.copy(folder / "shell" / "shell.json", deploy)
    board = VirtualBoard(build_board(folder / "rtl", folder / "shell", folder / "work"), folder / "rtl")
    board.prepare(deploy)
    return board


def on_board(board: VirtualBoard, folder: Path, script: str, **arrays: np.ndarray) -> dict:
    """Run Python text beside the driver: ``arrays`` are there by their names; gives what it stores in ``told``."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    lines = [
        "import json, numpy as np",
        "from driver import Accelerator, AcceleratorError",
        *(f"{name} = np.load('{name}.npy')" for name in arrays),
        "told = {}",
        script,
        "print(json.dumps(told))",
    ]
    (folder / "script.py").write_text("\n".join(lines) + "\n")
    done = board.run(folder, ["script.py"], timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
