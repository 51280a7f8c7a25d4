"""The board rung: the driver that travels to the board, on the Verilated accelerator in its shell.

The driver's files run unchanged, in a Python of their own. They find a package ``pynq`` (sim/virtual_pynq) whose
registers and memory belong to a process that simulates the shell, the accelerator and the DMA.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path

from .rtl import verilate
from .toolchain import CPP, ToolError, digest

__all__ = ["PACKAGE", "BoardFault", "VirtualBoard", "build_board"]

STAND_IN = Path(__file__).parent / "virtual_pynq"
TOP = "accelerator_shell"
VLNV = f"bitexpert:rtl:{TOP}:1.0"
#: The Python package that the driver is part of.
PACKAGE = "bitexpert_accelerator"
MEMORY_BASE, MEMORY_BYTES = 0x10000000, 256 << 20


class BoardFault(IntFlag):
    """What can go wrong on purpose; the same bits as in sim/cpp/board.cpp."""

    DMA_ERROR = 1
    DEAF = 2
    WRONG_HASH = 4


def build_board(rtl: Path, shell: Path, work: Path, *, optimise: str = "-O2") -> Path:
    """Compile an accelerator in its shell into a virtual board.

    Parameters
    ----------
    rtl, shell : Path
        What ``emit_rtl`` and ``emit_shell`` wrote.
    work : Path
        For the compiled files; a board of the same sources is used again.
    optimise : str
        Of the C++ compiler.

    Returns
    -------
    Path of the program.
    """
    rtl, shell = rtl.resolve(), shell.resolve()
    main = CPP / "board.cpp"
    cells = {path.name: path for path in (*rtl.glob("*.sv"), *shell.glob("*.sv"))}  # both have bx_fifo
    cells.pop(f"{TOP}_alone.sv")
    sources = [cells[name] for name in sorted(cells)]
    program = work.resolve() / f"board-{digest([*sources, main], optimise)[:16]}"
    if not program.exists():
        verilate(sources, TOP, main, program, cwd=rtl, optimise=optimise)
    return program


@dataclass(frozen=True)
class VirtualBoard:
    """A board to run Python programs on.

    Parameters
    ----------
    program : Path
        Of `build_board`.
    rtl : Path
        The emitted design, whose memories are read when the board starts.
    stall : int
        Of 100 cycles, those in which a channel of the DMA does nothing, at random.
    seed : int
        Of the stalls.
    access : int
        Cycles that an access to a register takes.
    fault : BoardFault or 0
    """

    program: Path
    rtl: Path
    stall: int = 0
    seed: int = 1
    access: int = 50
    fault: int = 0

    def prepare(self, folder: Path) -> None:
        """Make what Vivado would have left in a package: a bitfile, here an empty one, and its handoff."""
        for name in ("accelerator.bit", "accelerator.hwh"):
            (folder / PACKAGE / name).touch()

    def environment(self, settings: Path) -> dict[str, str]:
        """Variables with which any Python has this board.

        Parameters
        ----------
        settings : Path
            File to write, which the stand-in for ``pynq`` reads.

        Returns
        -------
        dict
            To be added to the environment of the process.
        """
        data = {
            "program": str(self.program),
            "folder": str(self.rtl.resolve()),
            "memory_base": MEMORY_BASE,
            "memory_bytes": MEMORY_BYTES,
            "stall": self.stall,
            "seed": self.seed,
            "access": self.access,
            "fault": int(self.fault),
            "vlnv": VLNV,
        }
        settings.write_text(json.dumps(data, indent=1) + "\n")
        return {"BITEXPERT_BOARD": str(settings.resolve()), "PYTHONPATH": str(STAND_IN)}

    def run(
        self, folder: Path, arguments: Sequence[str], *, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a Python program on the board.

        Parameters
        ----------
        folder : Path
            Where it runs: that of the driver.
        arguments : sequence of str
            The program and its arguments.
        timeout : float, optional
            Seconds.

        Raises
        ------
        ToolError
            It took longer.
        """
        environment = {**os.environ, **self.environment(folder / "board.json")}
        try:
            return subprocess.run(
                [shutil.which(sys.executable) or sys.executable, *arguments],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            raise ToolError(f"{arguments[0]} didn't end within {timeout:g} s on the virtual board") from error
