"""The RTL rung: the emitted SystemVerilog, simulated with Verilator."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..hw.graph import Dataflow
from .streams import Difference, compare_beats, write_beats
from .toolchain import CPP, ToolError, cache_folder, compiler, digest, run_tool, verilator_root

__all__ = ["ProtocolError", "RtlRun", "SimulationHang", "build_rtl", "lint_cells", "lint_rtl", "run_rtl", "verilate"]

RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
FLAGS = ("-std=c++17", "-DVL_IGNORE_UNKNOWN_ARCH", "-w")


class SimulationHang(ToolError):
    """Nothing moved in the simulated design for a long time."""

    exit_code = 1


class ProtocolError(ToolError):
    """The simulated design breaks AXI4-Stream: TLAST is not on a frame's last beat."""

    exit_code = 1


@dataclass(frozen=True)
class RtlRun:
    """What one run of the RTL showed.

    Parameters
    ----------
    differences : list of Difference
        Empty if every beat of every stream is right.
    done : ndarray of int
        Cycle of the last output beat of each frame; cycle 0 is the first input beat.
    cycles : mapping of str to ndarray of int
        Stream -> cycle of each beat of the first frames.
    streams : int
        Streams compared.
    """

    differences: list[Difference]
    done: np.ndarray
    cycles: Mapping[str, np.ndarray]
    streams: int

    @property
    def latency(self) -> int:
        """Cycles from the first input beat to the last output beat of the first frame."""
        return int(self.done[0])

    @property
    def interval(self) -> float:
        """Cycles between frames, mean over the steady state."""
        warm = min(2, len(self.done) - 1)
        return float(self.done[-1] - self.done[warm]) / max(1, len(self.done) - 1 - warm)


def _verilator(arguments: list[str | Path], purpose: str, cwd: Path) -> None:
    root = verilator_root()
    run_tool([root / "bin" / "verilator_bin", *arguments], purpose, cwd=cwd, env={"VERILATOR_ROOT": str(root)})


def lint_rtl(folder: Path, top: str = "accelerator") -> None:
    """Lint an emitted design with all of Verilator's warnings on; any warning is an error.

    Raises
    ------
    ToolError
    """
    _verilator(["--lint-only", "-Wall", "--top-module", top, "-f", "sources.f"], "Verilator lint", folder.resolve())


def lint_cells(cells: list[Path]) -> None:
    """Lint cells one by one, each with its default parameters and the others of its folder at hand.

    Raises
    ------
    ToolError
    """
    for cell in cells:
        arguments: list[str | Path] = ["--lint-only", "-Wall", "-Wno-DECLFILENAME", "-y", cell.parent.resolve()]
        _verilator([*arguments, "--top-module", cell.stem, cell.resolve()], f"lint of {cell.name}", cell.parent)


def _runtime() -> list[Path]:
    """Verilator's run-time library, compiled once for all designs."""
    include = verilator_root() / "include"
    sources = [include / name for name in RUNTIME]
    key = digest(sources, compiler(), "-O2", *FLAGS)[:16]
    objects = []
    for source in sources:
        target = cache_folder() / f"{source.stem}-{key}.o"
        if not target.exists():
            part = target.with_suffix(f".{os.getpid()}.part")
            run_tool(
                [compiler(), "-O2", *FLAGS, f"-I{include}", f"-I{include}/vltstd", "-c", source, "-o", part],
                "compiling Verilator's run-time library",
            )
            part.replace(target)
        objects.append(target)
    return objects


def build_rtl(folder: Path, work: Path, *, optimise: str = "-O2") -> Path:
    """Compile an emitted RTL design, or its netlist, into a simulator.

    Parameters
    ----------
    folder : Path
        What ``emit_rtl`` or ``netlist_design`` wrote.
    work : Path
        For the compiled files; a simulator of the same sources is used again.
    optimise : str
        Of the C++ compiler.

    Returns
    -------
    Path of the program.
    """
    folder = folder.resolve()
    main = CPP / "rtl_testbench.cpp"
    sources = [*folder.glob("*.sv"), *folder.glob("*.v"), *(folder / "sim").iterdir(), main]
    program = work.resolve() / f"simulate-{digest(sources, optimise, *FLAGS)[:16]}"
    if not program.exists():
        files: list[str | Path] = [folder / "sim" / "public.vlt", "-f", "sources.f"]
        verilate(files, "accelerator", main, program, cwd=folder, includes=[folder / "sim"], optimise=optimise)
    return program


def verilate(
    files: Sequence[str | Path],
    top: str,
    main: Path,
    program: Path,
    *,
    cwd: Path,
    includes: Sequence[Path] = (),
    optimise: str = "-O2",
) -> None:
    """Compile Verilog and a C++ main program into a simulator.

    Parameters
    ----------
    files : sequence of str or Path
        Verilog and Verilator's control files, or options, as ``cwd`` sees them.
    top : str
        Top module; the main program includes ``V<top>.h``.
    main : Path
    program : Path
        To make; its folder is created.
    cwd : Path
    includes : sequence of Path
        Folders of what the main program includes.
    optimise : str
        Of the C++ compiler.

    Raises
    ------
    ToolError
    """
    program.parent.mkdir(parents=True, exist_ok=True)
    include = verilator_root() / "include"
    with tempfile.TemporaryDirectory(prefix="verilate-", dir=program.parent) as scratch:
        target = Path(scratch).resolve()
        arguments: list[str | Path] = ["--cc", "--top-module", top, "-O3", "--x-assign", "fast"]
        # warnings are for `make lint`, but what the design itself calls an error is one
        arguments += ["-Wno-fatal", "-Werror-USERERROR", "-Werror-USERFATAL"]
        _verilator([*arguments, "--Mdir", target, *files], "Verilator", cwd)
        unit = target / "all.cpp"
        parts = [*sorted(target.glob(f"V{top}*.cpp")), main.resolve()]
        unit.write_text("".join(f'#include "{part}"\n' for part in parts))
        flags = [f"-I{folder}" for folder in (target, *includes, include, include / "vltstd")]
        run_tool(
            [compiler(), optimise, *FLAGS, *flags, unit, *_runtime(), "-o", target / "program", "-lpthread"],
            "compiling the simulation",
        )
        (target / "program").replace(program)


def run_rtl(
    program: Path,
    folder: Path,
    graph: Dataflow,
    values: Mapping[str, np.ndarray],
    *,
    stall_percent: int = 0,
    seed: int = 1,
    cycle_frames: int = 0,
    idle_limit: int = 1_000_000,
    reset_cycle: int = 0,
    scratch: Path | None = None,
    rung: str = "rtl",
) -> RtlRun:
    """Run frames through the simulator and compare every stream with the reference.

    Parameters
    ----------
    program : Path
        From :func:`build_rtl`.
    folder : Path
        The emitted design (its memories are read from there).
    graph : Dataflow
        The folded graph that was emitted.
    values : mapping of str to ndarray
        The reference, as ``graph.run`` returns it; its inputs are the stimulus.
    stall_percent : int
        Chance in every cycle that an input offers nothing new and that an output is not ready.
    seed : int
        Of the stalls.
    cycle_frames : int
        Frames whose beats' cycles are recorded.
    idle_limit : int
        Cycles without any beat after which the design counts as hung.
    reset_cycle : int
        Cycle in which ``ap_rst_n`` is low once more; the frames then start anew, and only what follows is
        compared. 0: never.
    scratch : Path, optional
        Folder for the beats; a temporary one by default.
    rung : str
        Name that differences carry.

    Raises
    ------
    SimulationHang
        The message says where it stands still.
    ProtocolError
        TLAST comes with a wrong beat.
    """
    frames = len(values[graph.inputs[0]])
    with tempfile.TemporaryDirectory(prefix="rtl-", dir=scratch) as name:
        beats = Path(name).resolve()
        for stream in graph.inputs:
            write_beats(graph, stream, values[stream], beats / f"in_{stream}.bin")
        command = [program, beats, frames, stall_percent, seed, cycle_frames, idle_limit, reset_cycle]
        done = run_tool([str(w) for w in command], f"{rung.upper()} simulation", cwd=folder, ok=(0, 3, 5))
        differences = compare_beats(rung, graph, graph.streams(), values, beats)
        inside = {d.stream for d in differences}
        ports = [s for s in graph.outputs if s not in inside]
        differences += compare_beats(rung, graph, ports, values, beats, file="{}.port.bin", operator="output")
        if done.returncode == 5:
            raise ProtocolError(f"{rung.upper()} simulation: {done.stderr.strip()}")
        if done.returncode == 3:
            raise SimulationHang(
                f"{rung.upper()} simulation hangs: {done.stderr.strip()}{_where(graph, frames, differences)}"
            )
        cycles = {s: np.fromfile(beats / f"{s}.cycles", dtype=np.uint32).astype(np.int64) for s in graph.streams()}
        finished = np.loadtxt(beats / "done.txt", dtype=np.int64, ndmin=1)
    return RtlRun(differences, finished, cycles, len(graph.streams()))


def _where(graph: Dataflow, frames: int, differences: list[Difference]) -> str:
    """The stream that a hang starts at: the first of those that got least far."""

    def progress(d: Difference) -> float:
        return 1 - d.count / (graph.type_of(d.stream).beats(graph.per_beat(d.stream)) * frames)

    missing = [d for d in differences if d.found == "missing"]
    return f"; it stands still at {min(missing, key=progress)}" if missing else ""


if __name__ == "__main__":  # python -m bitexpert.sim.rtl CELL.sv ... : what `make lint` runs
    import sys

    try:
        lint_cells([Path(name) for name in sys.argv[1:]])
    except ToolError as error:
        sys.exit(str(error))
    print(f"{len(sys.argv) - 1} cells pass Verilator's lint")
