"""From a QONNX file to a folder with a complete accelerator, step by step, each step once."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import yaml

from .. import __version__
from ..errors import BitexpertError
from ..hw.graph import Dataflow
from ..models.files import PART, write_atomically
from .board import Board, load_board
from .config import BuildConfig
from .emit import emit_hls, emit_rtl
from .emit_fast import emit_fast
from .emit_shell import emit_shell
from .fold import fold_and_report, folding_config, read_folding
from .frames import random_frames, read_frames
from .lock import locked
from .lower import check_lowering, lower, wired
from .model_file import hardware_input, load_model, model_bytes
from .package import BITFILES, package
from .reports import ESTIMATES, write_estimates
from .streamline import streamline
from .templates import write_text
from .vivado import emit_vivado
from .vivado_reports import VIVADO_REPORTS

__all__ = ["BuildError", "BuildResult", "build", "open_build"]

RECORD = "build.json"
RECORD_FORMAT = 1
PACKAGE = Path(__file__).parents[1]
# What simulate, synth, report and AMD's tools leave in a build. They tell of its design, so they go when that is made
# anew; no step reads them or is responsible for them.
FINDINGS = (
    "report/rtlsim_performance.json",
    "report/accelerator.svg",
    "report/accelerator.png",
    "report/synth_xc7z020.json",
    "report/synth_xczu3eg.json",
    "report/synth_ecp5-85k.json",
    *(f"report/{name}" for name in VIVADO_REPORTS),
    "synth",
    "verification/simulation.json",
    "verification/board.json",
    "verification/hls",
    "hls/project",
    "hls/vitis_hls.log",
    "vivado/work",
    "vivado/vivado.log",
    "vivado/vivado.jou",
    "vivado/.Xil",
    *(f"deploy/{name}" for name in BITFILES),
)
# Packages whose results a build holds, or that its checks rest on.
TOOLS = ("numpy", "onnx", "onnxruntime", "qonnx", "finn-plus", "ortools", "jinja2")


class BuildError(BitexpertError):
    """A build folder that cannot be used."""


@dataclass(frozen=True)
class BuildResult:
    """A finished build.

    Parameters
    ----------
    folder : Path
    board : Board
        With the clock of this build.
    graph : Dataflow
        Folded.
    steps : dict of str to float
        Seconds of each step that ran; a step whose inputs had not changed is absent.
    """

    folder: Path
    board: Board
    graph: Dataflow
    steps: dict[str, float]


@dataclass(frozen=True)
class _Job:
    """What the steps share."""

    folder: Path
    model: Path
    content: bytes  # of the model file
    config: BuildConfig
    board: Board

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)

    @property
    def made_by(self) -> str:
        sha = hashlib.sha256(self.path("model.qonnx.onnx").read_bytes()).hexdigest()[:12]
        return f"Made by bitexpert {__version__} from model {sha}. Do not edit: build again."

    def lowered(self) -> Dataflow:
        return Dataflow.load(self.path("dataflow.json"), self.path("weights.npz"))

    def folded(self) -> Dataflow:
        return Dataflow.load(self.path("folded.json"), self.path("weights.npz"))


@dataclass(frozen=True)
class _Step:
    """A step: what it reads (files and settings), what it leaves behind (files, folders), what it does."""

    name: str
    files: tuple[str, ...]
    settings: tuple[str, ...]
    results: tuple[str, ...]
    run: Callable[[_Job], None]


def _step_load(job: _Job) -> None:
    """Copy the model, and the inputs for the checks, into the build."""
    source = hardware_input(load_model(job.model))
    given, checkpoint = job.config.verify_input_npy, job.config.checkpoint
    frames = read_frames(given, source) if given else random_frames(source, max(16, job.config.verify_samples))
    if checkpoint:
        from ..models.checkpoint import load_checkpoint

        load_checkpoint(checkpoint)
    write_atomically(job.path("model.qonnx.onnx"), lambda part: part.write_bytes(job.content))
    write_atomically(job.path("verification", "input.npy"), lambda part: np.save(part, frames))
    _remove(job.path("model.pt"))
    if checkpoint:
        weights = checkpoint.read_bytes()
        write_atomically(job.path("model.pt"), lambda part: part.write_bytes(weights))


def _step_streamline(job: _Job) -> None:
    """FINN's and our passes; the network is run after each."""
    frames = _first_frames(job)
    model = load_model(job.path("model.qonnx.onnx"))
    result, records = streamline(model, frames, failure_folder=job.path("verification"))
    write_atomically(job.path("streamlined.onnx"), lambda part: result.save(str(part)))
    _save_json(job.path("report", "passes.json"), [asdict(r) for r in records])


def _step_lower(job: _Job) -> None:
    """To integer operators; every stream is compared with the streamlined model."""
    model = load_model(job.path("streamlined.onnx"))
    graph = lower(model, top_k=job.config.top_k)
    check_lowering(model, graph, _first_frames(job))
    graph.save(job.path("dataflow.json"), job.path("weights.npz"))


def _step_fold(job: _Job) -> None:
    """Choose PE and SIMD, compute FIFO depths."""
    given = job.config.folding_config_file
    graph, report = fold_and_report(
        job.lowered(),
        job.board,
        target_fps=job.config.target_fps,
        target_latency_us=job.config.target_latency_us,
        folding=read_folding(given) if given else None,
    )
    graph.save(job.path("folded.json"))
    _save_json(job.path("final_hw_config.json"), folding_config(graph))
    _save_json(job.path("report", "folding.json"), report)


def _step_estimate(job: _Job) -> None:
    """Cycle model and resource model."""
    write_estimates(job.folded(), job.board, job.path("report"))


def _step_rtl(job: _Job) -> None:
    """SystemVerilog."""
    _whole_folder(job.path("rtl"), lambda folder: emit_rtl(job.folded(), folder, job.made_by))


def _step_hls(job: _Job) -> None:
    """Vitis HLS C++."""
    period = 1e3 / job.board.clock_mhz
    _whole_folder(
        job.path("hls"),
        lambda folder: emit_hls(job.folded(), folder, job.made_by, part=job.board.part, clock_ns=period),
    )


def _step_fast(job: _Job) -> None:
    """The C++ engine of the fast rung."""
    _whole_folder(job.path("fast"), lambda folder: emit_fast(job.folded(), folder, job.made_by))


def _step_shell(job: _Job) -> None:
    """What stands between the accelerator and the board."""
    word_bytes = job.board.dma_bits // 8
    _whole_folder(
        job.path("shell"), lambda folder: emit_shell(job.folded(), folder, job.made_by, word_bytes=word_bytes)
    )


def _step_vivado(job: _Job) -> None:
    """The Vivado projects."""
    rtl, shell = job.path("rtl"), job.path("shell")
    _whole_folder(
        job.path("vivado"), lambda folder: emit_vivado(job.folded(), folder, rtl, shell, job.board, job.made_by)
    )


def _step_package(job: _Job) -> None:
    """What travels to the board."""
    graph = job.folded()
    source = hardware_input(load_model(job.path("model.qonnx.onnx")))
    frames = wired(graph, read_frames(job.path("verification", "input.npy"), source))
    _whole_folder(job.path("deploy"), lambda folder: package(graph, folder, job.path("shell"), frames))


_CLOCK = ("board", "synth_clk_period_ns")
STEPS = (
    _Step(
        "load_model",
        ("<model>", "<verify_input_npy>", "<checkpoint>"),
        ("verify_samples",),
        ("model.qonnx.onnx", "verification/input.npy"),
        _step_load,
    ),
    _Step(
        "streamline",
        ("model.qonnx.onnx", "verification/input.npy"),
        ("verify_samples",),
        ("streamlined.onnx", "report/passes.json"),
        _step_streamline,
    ),
    _Step("lower", ("streamlined.onnx",), ("top_k", "verify_samples"), ("dataflow.json", "weights.npz"), _step_lower),
    _Step(
        "fold",
        ("dataflow.json", "weights.npz", "<folding_config_file>"),
        ("target_fps", "target_latency_us", *_CLOCK),
        ("folded.json", "final_hw_config.json", "report/folding.json"),
        _step_fold,
    ),
    _Step(
        "estimate",
        ("folded.json", "weights.npz"),
        _CLOCK,
        tuple(f"report/{name}.json" for name in ESTIMATES),
        _step_estimate,
    ),
    _Step("emit_rtl", ("folded.json", "weights.npz"), (), ("rtl",), _step_rtl),
    _Step("emit_hls", ("folded.json", "weights.npz"), _CLOCK, ("hls",), _step_hls),
    _Step("emit_fast", ("folded.json", "weights.npz"), (), ("fast",), _step_fast),
    _Step("emit_shell", ("folded.json", "weights.npz"), ("board",), ("shell",), _step_shell),
    _Step("emit_vivado", ("folded.json", "weights.npz"), _CLOCK, ("vivado",), _step_vivado),
    _Step(
        "package",
        ("folded.json", "weights.npz", "model.qonnx.onnx", "verification/input.npy", "shell/shell.json"),
        (),
        ("deploy",),
        _step_package,
    ),
)
_RESULTS = tuple(name for step in STEPS for name in step.results)
# All that a build consists of, its record last; what lies in a step's folder goes with it.
_BUILD = (
    *_RESULTS,
    "model.pt",
    *(name for name in FINDINGS if not any(name.startswith(f"{result}/") for result in _RESULTS)),
    RECORD,
)


def build(
    model: Path, folder: Path, config: BuildConfig, *, on_step: Callable[[str, int, int, bool], None] | None = None
) -> BuildResult:
    """Build an accelerator.

    A build that is started again in the same folder redoes the first step whose inputs, settings, results or
    program have changed and all that follow. If one of them fails, the finished build that was there is given back.

    Parameters
    ----------
    model : Path
        QONNX file.
    folder : Path
        Output; absent, empty, or an earlier build.
    config : BuildConfig
    on_step : callable, optional
        Called before each step with its name, its number from 1, the number of steps, and whether it runs.

    Raises
    ------
    BitexpertError
        Anything that the user can mend: the file, the folder, the network, the folding.
    """
    content = model_bytes(model)
    board = load_board(config.board)
    if config.synth_clk_period_ns:
        board = replace(board, clock_mhz=1e3 / config.synth_clk_period_ns)
    if config.folding_config_file:
        read_folding(config.folding_config_file)
    _make_folder(folder)
    with locked(folder):
        record = _prepare(folder)
        job = _Job(folder, model, content, config, board)
        seconds = _run_steps(job, record, on_step)
        _save_json(
            folder / "report" / "time_per_step.json",
            {name: entry["seconds"] for name, entry in record["steps"].items()},
        )
        return BuildResult(folder, board, job.folded(), seconds)


def _run_steps(job: _Job, record: dict, on_step: Callable[[str, int, int, bool], None] | None) -> dict[str, float]:
    """Run the steps that are stale, and write down in the record what they did; returns their seconds."""
    code, stale, earlier = _code_digest(), False, None
    seconds: dict[str, float] = {}
    try:
        for number, step in enumerate(STEPS, 1):
            key = _key(job, step, code)
            stale = stale or not _is_whole(job, step, record, key)
            if on_step:
                on_step(step.name, number, len(STEPS), stale)
            if not stale:
                continue
            if not seconds:
                earlier = _set_aside(job, record)
                for name in FINDINGS:
                    _remove(job.path(name))
            for later in STEPS[number - 1 :]:
                record["steps"].pop(later.name, None)
            _save_json(job.path(RECORD), record)
            start = time.perf_counter()
            step.run(job)
            seconds[step.name] = round(time.perf_counter() - start, 3)
            results = _digests(job.folder, step, job.config.checkpoint is not None)
            record["steps"][step.name] = {"key": key, "results": results, "seconds": seconds[step.name]}
            record["config"] = json.loads(job.config.model_dump_json())
            record["version"], record["tools"] = __version__, _tool_versions()
            record["clock_mhz"] = job.board.clock_mhz
            _save_json(job.path(RECORD), record)
    except Exception:  # not Ctrl-C: the same command is to go on from here
        if earlier is not None:
            _give_back(job, earlier)
        raise
    if earlier is not None:
        _remove(earlier)
    return seconds


def _is_whole(job: _Job, step: _Step, record: dict, key: str | None = None) -> bool:
    """Whether a step's results are as it left them; with a key, also whether it would make the same again.

    What others put beside them, such as Vivado its projects and the bitfile, does not matter.
    """
    done = record["steps"].get(step.name)
    if done is None or key not in (None, done.get("key")):
        return False
    left = done.get("results")
    return isinstance(left, dict) and all(_sha256(job.folder / name) == digest for name, digest in left.items())


def _set_aside(job: _Job, record: dict) -> Path | None:
    """Keep a finished build while it is made anew, as links: its files are replaced, never written to."""
    if not all(_is_whole(job, step, record) for step in STEPS):
        return None
    kept = job.path("earlier" + PART)
    for name in _BUILD:
        place = job.path(name)
        for path in [p for p in place.rglob("*") if p.is_file()] if place.is_dir() else [place]:
            if path.exists():
                target = kept / path.relative_to(job.folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(path, target)
                except OSError:  # a file system without links
                    shutil.copy2(path, target)
    return kept


def _give_back(job: _Job, kept: Path) -> None:
    """Put what was set aside in its place; the record comes last, so that a kill leaves no false one."""
    for name in _BUILD:
        _remove(job.path(name))
        if (kept / name).exists():
            os.replace(kept / name, job.path(name))
    _remove(kept)


def open_build(folder: Path) -> BuildResult:
    """Open a finished build.

    Raises
    ------
    BuildError
        There is no build, or it is not finished.
    """
    record_path = folder / RECORD
    if not record_path.is_file():
        raise BuildError(f"{folder} is not a build folder; make one with `bitexpert build MODEL -o {folder}`")
    record = _read_record(record_path)
    missing = [s.name for s in STEPS if s.name not in record["steps"]]
    if missing:
        raise BuildError(f"the build in {folder} stopped before step {missing[0]}; run `bitexpert build` again")
    results = [name for s in STEPS for name in _results(s, bool(record["config"].get("checkpoint")))]
    lost = [name for name in results if not (folder / name).exists()]
    if lost:
        raise BuildError(f"the build in {folder} lacks {lost[0]}; run `bitexpert build` again")
    board = replace(load_board(record["config"]["board"]), clock_mhz=record["clock_mhz"])
    try:
        graph = Dataflow.load(folder / "folded.json", folder / "weights.npz")
    except BitexpertError:
        raise
    except (ValueError, KeyError, TypeError, EOFError, BadZipFile):
        raise BuildError(f"folded.json or weights.npz in {folder} is damaged; run `bitexpert build` again") from None
    return BuildResult(folder, board, graph, {name: s["seconds"] for name, s in record["steps"].items()})


def _make_folder(folder: Path) -> None:
    """Check or make the output folder."""
    try:
        if folder.exists() and not folder.is_dir():
            raise BuildError(f"the output {folder} is a file; choose a folder")
        others = [p for p in folder.iterdir() if not _is_part(p)] if folder.is_dir() else []
        if others and not (folder / RECORD).exists():
            raise BuildError(f"the output folder {folder} is not empty and holds no build; choose another or empty it")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(f"cannot write to the output folder {folder}: {error.strerror}") from None


def _prepare(folder: Path) -> dict:
    """Remove what a killed command left behind; return the record."""
    path = folder / RECORD
    record = _read_record(path) if path.exists() else {"format": RECORD_FORMAT, "steps": {}}
    try:
        # simulation/ holds finished programs; folders in it are the scratch of a simulation that was killed
        parts = [p for p in [*folder.glob("*"), *folder.glob("*/*")] if _is_part(p)]
        for left in [*parts, *folder.glob("simulation/*/")]:
            _remove(left)
        _save_json(path, record)
    except OSError as error:
        raise BuildError(f"cannot write to the output folder {folder}: {error.strerror or error}") from None
    return record


def _is_part(path: Path) -> bool:
    """Whether a file or folder is one that a kill left half-done."""
    return path.suffix == PART or (path.name.startswith(".") and PART in path.suffixes)


def _read_record(path: Path) -> dict:
    try:
        record = json.loads(path.read_text())
        steps, told = record.get("steps"), {"config", "clock_mhz"} <= set(record)
    except (ValueError, AttributeError):
        raise BuildError(f"{path} is damaged; build into a new folder") from None
    if record.get("format") != RECORD_FORMAT:
        raise BuildError(f"{path.parent} was built by another version; build into a new folder")
    if not isinstance(steps, dict) or (steps and not told):
        raise BuildError(f"{path} is damaged; build into a new folder")
    return record


def _key(job: _Job, step: _Step, code: str) -> str:
    h = hashlib.sha256(code.encode())
    for name in step.files:
        h.update(b"\0" + name.encode())
        if name == "<model>":
            h.update(job.content)
            continue
        path = getattr(job.config, name.strip("<>")) if name.startswith("<") else job.path(name)
        if path is not None:  # one that is missing differs from one that was not given: the step says so
            h.update(b"=" + (path.read_bytes() if path.is_file() else b""))
    for name in step.settings:
        h.update(f"\0{name}={getattr(job.config, name)!r}".encode())
    if "board" in step.settings:
        h.update(yaml.safe_dump(asdict(job.board)).encode())
    return h.hexdigest()


def _results(step: _Step, checkpoint: bool) -> tuple[str, ...]:
    """What a step leaves behind in a build with or without a checkpoint."""
    return (*step.results, "model.pt") if checkpoint and step is STEPS[0] else step.results


def _digests(folder: Path, step: _Step, checkpoint: bool) -> dict[str, str | None]:
    """Digest of each file that a step left behind, by its name in the build."""
    places = [folder / name for name in _results(step, checkpoint)]
    files = [p for place in places for p in ([place] if not place.is_dir() else sorted(place.rglob("*")))]
    return {str(path.relative_to(folder)): _sha256(path) for path in files if not path.is_dir()}


def _sha256(path: Path) -> str | None:
    """Of a file; None if there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _code_digest() -> str:
    """Digest of the program and its tools, so that a new version does not take over what an old one made."""
    h = hashlib.sha256(json.dumps([__version__, _tool_versions()]).encode())
    for room in ("flow", "hw", "models", "sim", "templates"):
        for path in sorted((PACKAGE / room).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                h.update(str(path.relative_to(PACKAGE)).encode() + b"\0" + path.read_bytes())
    return h.hexdigest()


def _tool_versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in TOOLS}


def _first_frames(job: _Job) -> np.ndarray:
    frames = np.load(job.path("verification", "input.npy"))
    return frames[: job.config.verify_samples]


def _whole_folder(folder: Path, fill: Callable[[Path], object]) -> None:
    """Fill a folder beside its place, then move it there."""
    part = folder.with_name(folder.name + PART)
    _remove(part)
    fill(part)
    _remove(folder)
    os.replace(part, folder)


def _save_json(path: Path, data: object) -> None:
    write_text(path, json.dumps(data, indent=1) + "\n")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
