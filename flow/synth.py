"""Synthesise a build with open tools: how many LUTs, flip-flops and block RAMs each operator takes."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BitexpertError
from ..hw.graph import Dataflow
from ..hw.resources import Resources
from ..sim.nextpnr import route_ecp5
from ..sim.usage import Usage
from ..sim.yosys import NETLIST, synthesise, yosys_digest
from .build import BuildResult, open_build
from .emit import TOP
from .fold import estimate
from .lock import locked
from .templates import write_text

__all__ = ["DEVICES", "Device", "SynthesisError", "rtl_sources", "synth", "synthesise_build"]

COLUMNS = {
    "LUT": "LUTs of logic as they come out of mapping (LUT1 to LUT6, inverters); a LUT4 on ECP5",
    "LC_estimate": "Yosys' estimate of LUTs after packing pairs of small ones into one",
    "LUTRAM": "LUTs used as memory or as shift registers",
    "SRL": "those of them that are shift registers",
    "FF": "flip-flops",
    "BRAM_18K": "block RAMs of 18 Kbit",
    "BRAM_36K": "block RAMs of 36 Kbit",
    "URAM": "UltraRAMs",
    "DSP": "DSP slices; on ECP5 multipliers and ALUs",
    "CARRY": "CARRY4, CARRY8 or CCU2C",
}


class SynthesisError(BitexpertError):
    """A device that cannot be synthesised for."""


@dataclass(frozen=True)
class Device:
    """A device that open tools synthesise for.

    Parameters
    ----------
    name : str
        As given on the command line; Xilinx' part names begin with it.
    family : str
        Of :data:`bitexpert.sim.yosys.FAMILIES`.
    capacity : Resources
        What it has.
    """

    name: str
    family: str
    capacity: Resources


DEVICES = {
    device.name: device
    for device in (
        Device("xc7z020", "xc7", Resources(lut=53200, ff=106400, lutram=17400, bram18=280, dsp=220)),
        Device("xczu3eg", "xcup", Resources(lut=70560, ff=141120, lutram=28800, bram18=432, dsp=360)),
        Device("ecp5-85k", "ecp5", Resources(lut=83640, ff=83640, lutram=41820, bram18=208, dsp=156)),
    )
}


def rtl_sources(folder: Path) -> list[Path]:
    """The files of an emitted RTL design that synthesis reads."""
    return sorted(path for path in folder.iterdir() if path.suffix in (".sv", ".mem"))


def synth(folder: Path, device: str | None = None) -> dict[str, Any]:
    """Synthesise a finished build with Yosys; for ECP5 also place and route it.

    Parameters
    ----------
    folder : Path
        A finished build. Receives ``report/synth_<device>.json`` and, in ``synth/<device>``, the netlist and logs.
    device : {"xc7z020", "xczu3eg", "ecp5-85k"}, optional
        Default: the one on the build's board.

    Returns
    -------
    dict
        What the report holds: ``operators`` and ``total``, each with the ``synthesis`` and, but for ECP5, the
        ``estimate`` of the resource model; ``capacity``; ``routed`` for ECP5. Where nothing has changed since the
        last time, that report.

    Raises
    ------
    SynthesisError
        No such device.
    ToolError
        A tool is missing or failed.
    """
    with locked(folder) if folder.is_dir() else nullcontext():
        build = open_build(folder)
        return synthesise_build(build, _device(device, build))


def _device(name: str | None, build: BuildResult) -> Device:
    known = ", ".join(DEVICES)
    if name is None:
        found = [device for device in DEVICES.values() if build.board.part.startswith(device.name)]
        if not found:
            raise SynthesisError(f"open tools know no device like {build.board.part}; give --device, one of {known}")
        return found[0]
    if name not in DEVICES:
        raise SynthesisError(f"there is no device {name!r}; devices: {known}")
    return DEVICES[name]


def synthesise_build(build: BuildResult, device: Device) -> dict[str, Any]:
    """As :func:`synth`, for a build that is open and locked."""
    target = build.folder / "synth" / device.name
    report = build.folder / "report" / f"synth_{device.name}.json"
    sources = rtl_sources(build.folder / "rtl")
    key = yosys_digest(sources, device.family)
    if report.exists() and (target / NETLIST).exists():
        known = json.loads(report.read_text())
        if known["key"] == key:
            return known
    started = time.perf_counter()
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    result = synthesise(sources, TOP, device.family, keep_instances=True, folder=part)
    data: dict[str, Any] = {
        "source": f"synthesis ({result.tool}), before placement; not Vivado's figures",
        "device": device.name,
        "family": device.family,
        "columns": COLUMNS,
        "capacity": device.capacity.rounded(),
        "operators": _operators(build.graph, result.instances, with_estimate=device.family != "ecp5"),
        "total": _entry(result.usage, None if device.family == "ecp5" else estimate(build.graph)),
    }
    if device.family == "ecp5":
        data["routed"] = route_ecp5(sources, TOP, result.ports, folder=part).as_dict()
    data |= {"seconds": round(time.perf_counter() - started, 1), "key": key}
    shutil.rmtree(target, ignore_errors=True)
    part.replace(target)
    write_text(report, json.dumps(data, indent=1) + "\n")
    return data


def _operators(graph: Dataflow, instances: Mapping[str, Usage], with_estimate: bool) -> dict[str, Any]:
    """Each instance of the top module: first the graph's nodes, then what wires them to the ports."""
    entries = {}
    for node in graph.nodes:
        need = node.op.resources(node.folding) if with_estimate else None
        about = {"kind": node.op.kind, "folding": dict(node.folding), "plumbing": node.op.plumbing}
        entries[node.name] = about | _entry(instances[node.name], need)
    for name, usage in instances.items():
        if name not in entries:
            entries[name] = {"kind": "FrameLast", "folding": {}, "plumbing": True} | _entry(usage, None)
    return entries


def _entry(usage: Usage, need: Resources | None) -> dict[str, Any]:
    return {"estimate": need.rounded() if need else None, "synthesis": usage.as_dict()}
