"""From a QONNX file to a folder with a complete accelerator, step by step, each step once."""

from __future__ import annotations

import hashlib
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
from .board import Board, load_board
from .config import BuildConfig
from .emit import emit_hls, emit_rtl
from .emit_fast import emit_fast
from .fold import fold, folding_config, read_folding
from .frames import random_frames, read_frames
from .lower import check_lowering, lower
from .model_file import hardware_input, load_model, model_bytes
from .reports import ESTIMATES, write_estimates
from .streamline import streamline
from .templates import write_text
from .vivado import emit_vivado

__all__ = ["BuildError", "BuildResult", "build", "open_build"]

RECORD = "build.json"
RECORD_FORMAT = 1
PACKAGE = Path(__file__).parents[1]
# Files that a step leaves half-done when it is killed end so; the next build removes them.
PART = ".part"


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
    _save_bytes(job.path("model.qonnx.onnx"), job.content)
    _save_array(job.path("verification", "input.npy"), frames)
    _remove(job.path("model.pt"))
    if checkpoint:
        _save_bytes(job.path("model.pt"), checkpoint.read_bytes())


def _step_streamline(job: _Job) -> None:
    """FINN's and our passes; the network is run after each."""
    frames = _first_frames(job)
    model = load_model(job.path("model.qonnx.onnx"))
    result, records = streamline(model, frames, failure_folder=job.path("verification"))
    target = job.path("streamlined.onnx")
    part = target.with_name(target.name + PART)
    result.save(str(part))
    part.replace(target)
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
    graph = fold(
        job.lowered(),
        job.board,
        target_fps=job.config.target_fps,
        folding=read_folding(given) if given else None,
    )
    graph.save(job.path("folded.json"))
    _save_json(job.path("final_hw_config.json"), folding_config(graph))


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


def _step_vivado(job: _Job) -> None:
    """Scripts that build the bitstream."""
    _whole_folder(
        job.path("vivado"), lambda folder: emit_vivado(job.folded(), folder, job.path("rtl"), job.board, job.made_by)
    )


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
        ("target_fps", *_CLOCK),
        ("folded.json", "final_hw_config.json"),
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
    _Step("emit_vivado", ("folded.json", "weights.npz"), _CLOCK, ("vivado",), _step_vivado),
)


def build(
    model: Path, folder: Path, config: BuildConfig, *, on_step: Callable[[str, int, int, bool], None] | None = None
) -> BuildResult:
    """Build an accelerator.

    A build that is started again in the same folder redoes the first step whose inputs, settings, results or
    program have changed and all that follow.

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
    record = _prepare(folder)
    job = _Job(folder, model, content, config, board)
    code = _code_digest()
    seconds: dict[str, float] = {}
    stale = False
    for number, step in enumerate(STEPS, 1):
        key = _key(job, step, code)
        done = record["steps"].get(step.name, {})
        stale = stale or done.get("key") != key or done.get("results") != _digest(job, step)
        if on_step:
            on_step(step.name, number, len(STEPS), stale)
        if not stale:
            continue
        for later in STEPS[number - 1 :]:
            record["steps"].pop(later.name, None)
        _save_json(folder / RECORD, record)
        start = time.perf_counter()
        step.run(job)
        seconds[step.name] = round(time.perf_counter() - start, 3)
        record["steps"][step.name] = {"key": key, "results": _digest(job, step), "seconds": seconds[step.name]}
        record["config"] = json.loads(config.model_dump_json())
        record["version"] = __version__
        record["clock_mhz"] = board.clock_mhz
        _save_json(folder / RECORD, record)
    _save_json(
        folder / "report" / "time_per_step.json", {name: entry["seconds"] for name, entry in record["steps"].items()}
    )
    return BuildResult(folder, board, job.folded(), seconds)


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
    lost = [name for s in STEPS for name in s.results if not (folder / name).exists()]
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


def _prepare(folder: Path) -> dict:
    """Check or make the output folder; return its record."""
    record_path = folder / RECORD
    try:
        if folder.exists() and not folder.is_dir():
            raise BuildError(f"the output {folder} is a file; choose a folder")
        others = [p for p in folder.iterdir() if p.name != RECORD + PART] if folder.is_dir() else []
        if others and not record_path.exists():
            raise BuildError(f"the output folder {folder} is not empty and holds no build; choose another or empty it")
        folder.mkdir(parents=True, exist_ok=True)
        record = _read_record(record_path) if record_path.exists() else {"format": RECORD_FORMAT, "steps": {}}
        # simulation/ holds finished programs; folders in it are the scratch of a simulation that was killed
        for left in [*folder.glob(f"*{PART}"), *folder.glob(f"*/*{PART}"), *folder.glob("simulation/*/")]:
            _remove(left)
        _save_json(record_path, record)
    except OSError as error:
        raise BuildError(f"cannot write to the output folder {folder}: {error.strerror}") from None
    return record


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


def _digest(job: _Job, step: _Step) -> str | None:
    """Digest of what a step left behind; None if some of it is missing."""
    h = hashlib.sha256()
    for name in step.results:
        place = job.path(name)
        if not place.exists():
            return None
        for path in sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]:
            h.update(str(path.relative_to(job.folder)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return h.hexdigest()


def _code_digest() -> str:
    """Digest of the program itself, so that a new version does not take over what an old one made."""
    h = hashlib.sha256(__version__.encode())
    for room in ("flow", "hw", "templates"):
        for path in sorted((PACKAGE / room).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                h.update(str(path.relative_to(PACKAGE)).encode() + b"\0" + path.read_bytes())
    return h.hexdigest()


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


def _save_bytes(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + PART)
    part.write_bytes(content)
    part.replace(path)


def _save_array(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + PART)
    with part.open("wb") as file:
        np.save(file, array)
    part.replace(path)


def _save_json(path: Path, data: object) -> None:
    write_text(path, json.dumps(data, indent=1) + "\n")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
