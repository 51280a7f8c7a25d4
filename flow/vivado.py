"""Emit the Vivado projects: one that makes the bitstream, one that synthesises the accelerator alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import BitexpertError
from ..hw.graph import Dataflow
from ..hw.performance import bottleneck
from ..sim.board import PACKAGE
from .board import Board
from .emit import TOP
from .emit_shell import SHELL, SHELL_ALONE, SHELL_CELLS
from .templates import render, write_text

__all__ = ["Processor", "VivadoProject", "emit_vivado", "processor"]

FILES = ("design.tcl", "build.tcl", "ooc.tcl", "reports.tcl", "accelerator_ooc.xdc", "Makefile")
MEMORY_PORTS = ("HP0", "HP1", "HP2", "HP3")
_WORD = re.compile(r"[A-Za-z0-9._:+-]+")


@dataclass(frozen=True)
class Processor:
    """A processing system as Vivado knows it.

    Attributes
    ----------
    ip : str
        Name of the IP and of its rule for automatic connections.
    rule : str
        Settings of that rule, beside that for the board's preset.
    properties : tuple of (str, str)
        Switch on what is used, and off what a board's preset may have switched on beside it.
    control, memory : str
        Interfaces: of the processor's accesses to registers, and of the DMA's to memory.
    clock, reset : str
        Outputs.
    clocks : tuple of str
        Inputs: the clocks of both interfaces.
    address_bits : int
        Of the memory.
    port_bits : tuple of int
        Widths that the memory port can have.
    """

    ip: str
    rule: str
    properties: tuple[tuple[str, str], ...]
    control: str
    memory: str
    clock: str
    reset: str
    clocks: tuple[str, ...]
    address_bits: int
    port_bits: tuple[int, ...]


@dataclass(frozen=True)
class VivadoProject:
    """Context of templates/vivado; files are named by their paths within the build."""

    made_by: str
    title: str
    part: str
    board_part: str
    vivado: str
    clock_mhz: float
    period_ns: float
    dma_bits: int
    processor: Processor
    top: str
    shell: str
    shell_alone: str
    rtl_cells: tuple[str, ...]
    shell_cells: tuple[str, ...]
    all_cells: tuple[str, ...]
    memories: tuple[str, ...]
    max_cycles: int
    package: str


def _zynq(board: Board) -> Processor:
    """Zynq-7000: processing_system7 (PG082)."""
    others = ("M_AXI_GP1", "S_AXI_GP0", "S_AXI_GP1", "S_AXI_ACP")
    return Processor(
        ip="processing_system7",
        rule='make_external "FIXED_IO, DDR" Master Disable Slave Disable',
        properties=(
            ("PCW_USE_M_AXI_GP0", "1"),
            *((f"PCW_USE_S_AXI_{port}", str(int(port == board.memory_port))) for port in MEMORY_PORTS),
            *((f"PCW_USE_{port}", "0") for port in others),
            (f"PCW_S_AXI_{board.memory_port}_DATA_WIDTH", str(board.dma_bits)),
            ("PCW_EN_CLK0_PORT", "1"),
            ("PCW_EN_RST0_PORT", "1"),
            ("PCW_FPGA0_PERIPHERAL_FREQMHZ", str(board.clock_mhz)),
        ),
        control="M_AXI_GP0",
        memory=f"S_AXI_{board.memory_port}",
        clock="FCLK_CLK0",
        reset="FCLK_RESET0_N",
        clocks=("M_AXI_GP0_ACLK", f"S_AXI_{board.memory_port}_ACLK"),
        address_bits=32,
        port_bits=(32, 64),
    )


def _zynqmp(board: Board) -> Processor:
    """Zynq UltraScale+ and Kria: zynq_ultra_ps_e (PG201), in whose properties HP0 to HP3 are S_AXI_GP2 to GP5."""
    number = MEMORY_PORTS.index(board.memory_port) + 2
    port = board.memory_port
    return Processor(
        ip="zynq_ultra_ps_e",
        rule="",
        properties=(
            ("PSU__USE__M_AXI_GP0", "1"),
            ("PSU__USE__M_AXI_GP1", "0"),
            ("PSU__USE__M_AXI_GP2", "0"),
            *((f"PSU__USE__S_AXI_GP{i}", str(int(i == number))) for i in range(7)),
            (f"PSU__SAXIGP{number}__DATA_WIDTH", str(board.dma_bits)),
            ("PSU__FPGA_PL0_ENABLE", "1"),
            ("PSU__USE__FABRIC__RST", "1"),
            ("PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ", str(board.clock_mhz)),
        ),
        control="M_AXI_HPM0_FPD",
        memory=f"S_AXI_{port}_FPD",
        clock="pl_clk0",
        reset="pl_resetn0",
        clocks=("maxihpm0_fpd_aclk", f"saxi{port.lower()}_fpd_aclk"),
        address_bits=40,
        port_bits=(32, 64, 128),
    )


_PROCESSORS = {"zynq": _zynq, "zynqmp": _zynqmp}


def processor(board: Board) -> Processor:
    """The processing system of a board.

    Raises
    ------
    BitexpertError
        A processor, a memory port or a width that does not exist.
    """
    if board.processor not in _PROCESSORS:
        raise BitexpertError(
            f"board {board.name}: no Vivado project for processor {board.processor!r}; use one of "
            f"{', '.join(_PROCESSORS)}"
        )
    if board.memory_port not in MEMORY_PORTS:
        raise BitexpertError(
            f"board {board.name}: no memory port {board.memory_port!r}; use one of {', '.join(MEMORY_PORTS)}"
        )
    found = _PROCESSORS[board.processor](board)
    if board.dma_bits not in found.port_bits:
        raise BitexpertError(
            f"board {board.name}: {found.memory} cannot have {board.dma_bits} bits; set dma_bits to one of "
            f"{', '.join(map(str, found.port_bits))}"
        )
    return found


def _check_names(board: Board) -> None:
    """Raise unless what a board's file says may stand in a script."""
    for key in ("part", "board_part", "vivado"):
        if not _WORD.fullmatch(str(getattr(board, key))):
            raise BitexpertError(f"board {board.name}: {key} {getattr(board, key)!r} is no name of Vivado's")
    if not re.fullmatch(r"[\w .,()+/-]+", board.title):
        raise BitexpertError(f"board {board.name}: title {board.title!r} must be letters, digits and plain signs")


def _check_files(folder: Path, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise BitexpertError(f"{folder} lacks {', '.join(missing)}; emit it again")


def emit_vivado(graph: Dataflow, folder: Path, rtl: Path, shell: Path, board: Board, made_by: str) -> VivadoProject:
    """Write the scripts, the constraints and the ``Makefile``.

    They name the build's files by paths relative to ``folder``: ``../rtl``, ``../shell``, ``../hls``.

    Parameters
    ----------
    graph : Dataflow
        Folded; one input and one output.
    folder : Path
        Created if missing.
    rtl, shell : Path
        What `emit_rtl` and `emit_shell` wrote.
    board : Board
    made_by : str
        Goes into the head of every file.

    Raises
    ------
    BitexpertError
        A board that no script can be made for, or a design that lacks one of its files.
    """
    _check_names(board)
    ps = processor(board)
    sources = tuple(f for f in (rtl / "sources.f").read_text().splitlines() if f and not f.startswith("//"))
    _check_files(rtl, sources)
    rtl_cells = tuple(f"rtl/{f}" for f in sources if f != f"{TOP}.sv")
    shell_cells = tuple(f"{cell}.sv" for cell in SHELL_CELLS)
    _check_files(shell, (*shell_cells, f"{SHELL}.sv", f"{SHELL_ALONE}.sv"))
    project = VivadoProject(
        made_by=made_by,
        title=board.title,
        part=board.part,
        board_part=board.board_part,
        vivado=board.vivado,
        clock_mhz=board.clock_mhz,
        period_ns=round(1e3 / board.clock_mhz, 3),
        dma_bits=board.dma_bits,
        processor=ps,
        top=TOP,
        shell=SHELL,
        shell_alone=SHELL_ALONE,
        rtl_cells=rtl_cells,
        shell_cells=tuple(f"shell/{f}" for f in shell_cells),
        all_cells=(*rtl_cells, *(f"shell/{f}" for f in shell_cells if f not in sources)),
        memories=tuple(sorted(p.name for p in rtl.glob("*.mem"))),
        max_cycles=bottleneck(graph)[1],
        package=PACKAGE,
    )
    for name in FILES:
        write_text(folder / name, render(f"vivado/{name}.j2", project))
    return project
