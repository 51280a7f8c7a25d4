"""Boards: one YAML file each in hw/boards."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from ..errors import BitexpertError

__all__ = ["Board", "BoardError", "board_names", "load_board"]

FOLDER = Path(__file__).parents[1] / "hw" / "boards"


class BoardError(BitexpertError):
    """A board that is not known or whose file is wrong."""


@dataclass(frozen=True)
class Board:
    """A PYNQ board.

    Parameters
    ----------
    name : str
        As given on the command line.
    title : str
    part : str
        Vivado's part name.
    board_part : str
        Vivado's board part without its revision; needs the vendor's board files.
    vivado : str
        A version of Vivado that has the part.
    processor : {"zynq", "zynqmp"}
        Processing system: that of Zynq-7000, or of Zynq UltraScale+ and Kria.
    memory_port : {"HP0", "HP1", "HP2", "HP3"}
        Where the DMA reaches the processing system's memory.
    clock_mhz : float
        Clock of the accelerator.
    dma_bits : int
        Width of the memory port, and of the DMA on both of its sides.
    lut, ff, lutram, bram18, uram, dsp : int
        What the device has.
    """

    name: str
    title: str
    part: str
    board_part: str
    vivado: str
    processor: str
    memory_port: str
    clock_mhz: float
    dma_bits: int
    lut: int
    ff: int
    lutram: int
    bram18: int
    uram: int
    dsp: int


def board_names() -> list[str]:
    """Names of the known boards."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_board(name: str) -> Board:
    """Load a board by name.

    Raises
    ------
    BoardError
        Unknown (the known ones are named), or a file that lacks a field or has one too many.
    """
    if name not in board_names():
        raise BoardError(f"unknown board {name!r}; known: {', '.join(board_names())}")
    data = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    wanted = {f.name for f in fields(Board)} - {"name"}
    if set(data) != wanted:
        raise BoardError(f"boards/{name}.yaml: missing or unknown fields: {', '.join(sorted(set(data) ^ wanted))}")
    return Board(name=name, **data)
