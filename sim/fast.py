"""The fast rung: the network compiled for this processor, one thread, bit for bit what the accelerator computes."""

from __future__ import annotations

import ctypes
import json
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..hw.graph import Dataflow
from ..hw.types import Element
from .ladder import RungResult, chunks, timed
from .streams import Difference, first_difference
from .toolchain import ToolError, compiler, digest, run_tool

__all__ = ["TRACED_FRAMES", "FastEngine", "build_fast", "fast_rung"]

FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-Wall", "-Wno-psabi")
NATIVE = ("-march=native",)
TRACED_FRAMES = 8


def _processor() -> str:
    """What ``-march=native`` depends on: a program of one machine is not taken for that of another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())


def build_fast(folder: Path, work: Path, *, arch: tuple[str, ...] = NATIVE) -> Path:
    """Compile an emitted fast engine into a shared library.

    Parameters
    ----------
    folder : Path
        What ``emit_fast`` wrote.
    work : Path
        For the library; one of the same sources is used again. The weights are not part of it.
    arch : tuple of str
        The compiler's flags for the processor.

    Raises
    ------
    ToolError
        The compiler is missing or fails.
    """
    folder = folder.resolve()
    sources = [folder / "engine.cpp", folder / "fast_kernels.hpp"]
    words = (*FLAGS, *arch, _processor() if arch == NATIVE else "")
    library = work.resolve() / f"fast-{digest(sources, *words)[:16]}.so"
    if library.exists():
        return library
    work.mkdir(parents=True, exist_ok=True)
    part = library.with_suffix(".part")
    run_tool([compiler(), *FLAGS, *arch, sources[0], "-o", part], "compiling the fast engine")
    part.replace(library)
    return library


class FastEngine:
    """A compiled engine with its weights; not to be used by two threads at once.

    Parameters
    ----------
    library : Path
        From :func:`build_fast`.
    folder : Path
        What ``emit_fast`` wrote; its ``weights.bin`` and ``engine.json`` are read.

    Raises
    ------
    ToolError
        The library and the weights do not belong together.
    """

    def __init__(self, library: Path, folder: Path) -> None:
        self._handle = None
        text = json.loads((folder / "engine.json").read_text())
        self.inputs: list[dict[str, Any]] = text["inputs"]
        self.outputs: list[dict[str, Any]] = text["outputs"]
        self._traced: list[dict[str, Any]] = text["traced"]
        self._streams: dict[str, dict[str, Any]] = text["streams"]
        self._steps: list[str] = text["steps"]
        code = ctypes.CDLL(str(library.resolve()))
        code.bx_create.restype = ctypes.c_void_p
        code.bx_create.argtypes = [ctypes.c_char_p]
        code.bx_destroy.argtypes = [ctypes.c_void_p]
        code.bx_destroy.restype = None
        code.bx_run.argtypes = [*[ctypes.c_void_p] * 4, ctypes.c_int64]
        code.bx_run.restype = ctypes.c_int
        self._code = code
        weights = folder / "weights.bin"
        self._handle = code.bx_create(str(weights).encode())
        if not self._handle:
            raise ToolError(f"{weights} is missing or not of the engine {library.name}; emit and build it again")

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._code.bx_destroy(self._handle)
            self._handle = None

    @property
    def streams(self) -> list[str]:
        """Streams that a trace holds: all but windows, which are not made, and those of Fifo and WidthConvert."""
        return list(self._streams)

    def run(self, *frames: np.ndarray) -> np.ndarray:
        """The first output.

        Parameters
        ----------
        frames : ndarray of int, shape (N, H, W, C), one per input

        Returns
        -------
        ndarray of int64, shape (N, H, W, C).
        """
        return self.values(*frames)[self.outputs[0]["stream"]]

    def values(self, *frames: np.ndarray, trace: bool = False) -> dict[str, np.ndarray]:
        """All outputs and, with ``trace``, all streams that the engine has.

        Parameters
        ----------
        frames : ndarray of int, shape (N, H, W, C), one per input
        trace : bool

        Returns
        -------
        dict of stream name to ndarray of shape (N, H, W, C); outputs are int64, traced streams some integer type.

        Raises
        ------
        ToolError
            Number, shape or range of the inputs does not fit, or a token names no bank.
        """
        if len(frames) != len(self.inputs):
            raise ToolError(f"the engine has {len(self.inputs)} inputs, {len(frames)} were given")
        ins = [self._input(port, np.asarray(x)) for port, x in zip(self.inputs, frames, strict=True)]
        n = len(ins[0])
        if any(len(x) != n for x in ins):
            raise ToolError(f"the inputs have {', '.join(str(len(x)) for x in ins)} frames; they must have the same")
        outs = {p["stream"]: np.empty((n, *p["shape"]), np.int64) for p in self.outputs}
        kept = [np.empty((n, t["elements"]), t["dtype"]) for t in self._traced] if trace else []
        wrong = self._code.bx_run(
            self._handle, _pointers(ins), _pointers(list(outs.values())), _pointers(kept) if trace else None, n
        )
        if wrong:
            raise ToolError(f"a token names no bank in step {wrong}: {self._steps[wrong - 1]}")
        if trace:
            traced = {s: kept[t["trace"]].reshape(n, *t["shape"]) for s, t in self._streams.items()}
            return traced | outs
        return outs

    def _input(self, port: Mapping[str, Any], frames: np.ndarray) -> np.ndarray:
        shape, element = tuple(port["shape"]), Element.parse(port["element"])
        if frames.ndim != 4 or frames.shape[1:] != shape or not np.issubdtype(frames.dtype, np.integer):
            want = f"integers of shape (N, {', '.join(map(str, shape))})"
            raise ToolError(f"input {port['stream']} must be {want}, not {frames.dtype} of {frames.shape}")
        dtype = np.dtype(port["dtype"])
        whole = frames.dtype == dtype and element.bits == 8 * dtype.itemsize
        if not whole and not port["masked"] and not element.holds(frames):
            raise ToolError(f"input {port['stream']} has values outside {element} ({element.min}..{element.max})")
        return np.ascontiguousarray(frames, dtype=dtype)


def _pointers(arrays: list[np.ndarray]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * max(1, len(arrays)))(*(a.ctypes.data for a in arrays))


def fast_rung(
    graph: Dataflow,
    folder: Path,
    work: Path,
    frames: np.ndarray,
    *,
    expected: np.ndarray | None = None,
    traced_frames: int = TRACED_FRAMES,
) -> RungResult:
    """All frames through the fast engine; outputs compared on all, streams on the first ``traced_frames``.

    Parameters
    ----------
    graph : Dataflow
        The graph that was emitted.
    folder : Path
        The emitted fast engine.
    work : Path
        For compiled programs.
    frames : ndarray of int, shape (N, H, W, C)
    expected : ndarray of int, shape (N, H, W, C), optional
        What the first output must be; by default the integer reference runs on all frames.
    traced_frames : int
    """

    def go() -> tuple[int, list[Difference], Mapping[str, Any]]:
        engine = FastEngine(build_fast(folder, work), folder)
        out = graph.outputs[0]
        start = time.perf_counter()
        found = engine.run(frames)
        milliseconds = 1e3 * (time.perf_counter() - start) / max(1, len(frames))
        few = frames[:traced_frames]
        want, have = graph.run(few), engine.values(few, trace=True)
        producers = graph.producers()
        differences: list[Difference] = []
        for stream in engine.streams:
            operator = producers[stream][0].name if stream in producers else "input"
            difference = first_difference("fast", operator, stream, want[stream], have[stream])
            differences += [difference] if difference else []
        operator = producers[out][0].name
        first = len(few)
        if expected is None:
            rest = [graph.run(part)[out] for part in chunks(graph, frames[first:])]
            reference = np.concatenate([want[out], *rest]) if len(frames) else want[out]
        else:
            reference = np.asarray(expected).reshape(found.shape)
        difference = first_difference("fast", operator, out, reference, found)
        if difference:  # over all frames: it takes the place of that over the traced ones
            differences = [d for d in differences if d.stream != out] + [difference]
        extra = {"ms_per_frame": round(milliseconds, 4), "traced_frames": first}
        return len(engine.streams), differences, extra

    return timed("fast", len(frames), go)
