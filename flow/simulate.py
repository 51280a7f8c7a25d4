"""Simulate a build: the same frames through every rung, each compared with the exported model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BitexpertError
from ..hw.graph import Dataflow
from ..hw.ops.matvec import MatVec
from ..hw.ops.topk import TopK
from ..sim.board_rung import board_rung
from ..sim.fast import fast_rung
from ..sim.hls import write_golden
from ..sim.ladder import RungResult, chunks, hls_rung, merge, output_differences, rtl_rung, timed
from ..sim.netlist_rung import netlist_design
from ..sim.streams import Difference, compare_values, first_difference
from .build import BuildResult, open_build
from .execute import execute, execute_one_by_one, execute_tensors, to_nhwc
from .frames import FramesError, read_array, read_frames
from .lock import locked
from .lower import leaving, wired
from .model_file import HardwareInput, as_exported, hardware_input, load_model
from .scores import OutputForm, largest
from .synth import DEVICES, synthesise_build
from .templates import write_text
from .ties import undecided

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["RUNGS", "SimulationError", "SimulationReport", "simulate"]

RUNGS = ("torch", "qonnx", "streamlined", "reference", "fast", "hls", "rtl", "netlist", "board")
# Rungs that run only when they are named: the netlist takes minutes to make and to compile, the board simulates the
# RTL once more.
WHEN_NAMED = ("netlist", "board")
# The netlist takes so many frames unless the caller says how many.
NETLIST_FRAMES = 8
# Frames for the C-simulation of run_hls.tcl.
GOLDEN_FRAMES = 8


class SimulationError(BitexpertError):
    """A rung that does not exist or cannot run."""


@dataclass(frozen=True)
class SimulationReport:
    """What the ladder showed.

    Parameters
    ----------
    folder : Path
    samples : int
    rungs : list of RungResult
    accuracy : float or None
        Share of samples whose class is right, if labels were given; of the exported model, with which every
        rung without mismatches agrees.
    """

    folder: Path
    samples: int
    rungs: list[RungResult]
    accuracy: float | None = None

    @property
    def mismatches(self) -> int:
        """Over all rungs."""
        return sum(r.mismatches for r in self.rungs)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        result: dict[str, Any] = {"folder": str(self.folder), "samples": self.samples, "mismatches": self.mismatches}
        if self.accuracy is not None:
            result["accuracy"] = self.accuracy
        return {**result, "rungs": {r.rung: r.as_dict() for r in self.rungs}}


@dataclass(frozen=True)
class _Run:
    """What the rungs share."""

    build: BuildResult
    model: ModelWrapper
    streamlined: ModelWrapper
    source: HardwareInput
    frames: np.ndarray  # as the model's input has them, (N, H, W, C)
    wired: np.ndarray  # as the graph's first operator reads them
    form: OutputForm
    scores: np.ndarray  # of the exported model: integers (N, elements), in the order of (C, H, W)
    expected: np.ndarray  # what the accelerator must send, (N, H, W, C)
    netlist_frames: int

    @property
    def work(self) -> Path:
        return self.build.folder / "simulation"


def simulate(
    folder: Path,
    *,
    input_file: Path | None = None,
    rungs: list[str] | None = None,
    samples: int | None = None,
    labels: Path | None = None,
    on_rung: Callable[[RungResult], None] | None = None,
) -> SimulationReport:
    """Run frames through the ladder.

    Parameters
    ----------
    folder : Path
        A finished build.
    input_file : Path, optional
        Frames (.npy); default: those that the build was given.
    rungs : list of str, optional
        Out of ``RUNGS``; default: all but ``netlist`` and ``board``, ``torch`` only if the build holds a checkpoint.
    samples : int, optional
        Use the first so many frames. Default: all; the netlist rung takes the first 8 then.
    labels : Path, optional
        Class of each frame (.npy), for the accuracy.
    on_rung : callable, optional
        Called with each result as it comes.

    Raises
    ------
    SimulationError
        An unknown rung, or the torch rung without a checkpoint.
    FramesError
        Frames or labels that do not fit.
    """
    with locked(folder) if folder.is_dir() else nullcontext():
        return _simulate(open_build(folder), input_file, rungs, samples, labels, on_rung)


def _simulate(
    build: BuildResult,
    input_file: Path | None,
    rungs: list[str] | None,
    samples: int | None,
    labels: Path | None,
    on_rung: Callable[[RungResult], None] | None,
) -> SimulationReport:
    folder = build.folder
    chosen = _chosen(build, rungs)
    model = load_model(folder / "model.qonnx.onnx")
    source = hardware_input(model)
    if samples is not None and samples < 1:
        raise SimulationError(f"samples must be at least 1, not {samples}")
    given = read_frames(input_file or folder / "verification" / "input.npy", source)
    frames = given[:samples]
    streamlined = load_model(folder / "streamlined.onnx")
    form = OutputForm.of(streamlined)
    outputs = execute(model, frames)
    scores = form.integers(outputs)
    integers = execute(streamlined, frames)
    ours = form.real(integers).astype(np.int64) if form.top_k else OutputForm.plain_integers(integers)
    tied = _tied(model, frames, ours, scores)
    scores[tied] = ours[tied]
    decisions = outputs.reshape(len(outputs), -1) if form.top_k else form.real(scores)
    wanted = _labels(labels, len(given), decisions, form) if labels else None
    expected = _accelerator_output(build.graph, form, scores)
    in_netlist = len(frames) if samples is not None else min(len(frames), NETLIST_FRAMES)
    inputs = wired(build.graph, frames)
    run = _Run(build, model, streamlined, source, frames, inputs, form, scores, expected, in_netlist)
    results = []
    for rung in chosen:
        result = _WORK[rung](run)
        results.append(result)
        if on_rung:
            on_rung(result)
        if rung == "rtl":
            data = {"source": "simulated RTL", **result.as_dict()}
            write_text(folder / "report" / "rtlsim_performance.json", json.dumps(data, indent=1) + "\n")
    accuracy = None
    if wanted is not None:
        chosen_class = decisions[:, 0] if form.top_k else decisions.argmax(axis=1)
        accuracy = float(np.mean(chosen_class == wanted))
    report = SimulationReport(folder, len(frames), results, accuracy)
    write_text(folder / "verification" / "simulation.json", json.dumps(report.as_dict(), indent=1) + "\n")
    return report


def _chosen(build: BuildResult, rungs: list[str] | None) -> list[str]:
    checkpoint = (build.folder / "model.pt").exists()
    if rungs is None:
        return [r for r in RUNGS if r not in WHEN_NAMED and (r != "torch" or checkpoint)]
    names = [r.strip() for r in rungs]
    if not names:
        raise SimulationError(f"name at least one rung; rungs: {', '.join(RUNGS)}")
    for name in names:
        if name not in RUNGS:
            raise SimulationError(f"there is no rung {name!r}; rungs: {', '.join(RUNGS)}")
    if "torch" in names and not checkpoint:
        raise SimulationError("the torch rung needs the network: build again with --checkpoint model.pt")
    return [r for r in RUNGS if r in names]


def _labels(path: Path, given: int, decisions: np.ndarray, form: OutputForm) -> np.ndarray:
    """Class of each simulated frame; the file has one for each frame of the input, or for each simulated one."""
    labels = read_array(path)
    count, classes = decisions.shape
    if labels.ndim != 1 or len(labels) not in (given, count) or not np.issubdtype(labels.dtype, np.integer):
        raise FramesError(
            f"{path} must hold one integer for each of the {given} frames;"
            f" it has {labels.dtype} of shape {labels.shape}"
        )
    if labels.min() < 0 or (labels.max() >= classes and not form.top_k):
        raise FramesError(
            f"{path} has labels from {labels.min()} to {labels.max()}; the network has {classes} classes, from 0"
        )
    return labels[:count]


def _tied(model: ModelWrapper, frames: np.ndarray, found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Frames that differ, and may: their result hangs on the rounding of float32 sums."""
    differing = np.flatnonzero((found != wanted).any(axis=1))
    return differing[undecided(model, frames[differing])]


def _accelerator_output(graph: Dataflow, form: OutputForm, scores: np.ndarray) -> np.ndarray:
    """What the accelerator must send for these scores: the scores pixel by pixel, or the indices of the largest."""
    h, w, c = graph.type_of(graph.outputs[0]).shape
    top = [n.op for n in graph.nodes if isinstance(n.op, TopK)]
    if top:
        return (scores if form.top_k else largest(scores, top[0].k)).reshape(len(scores), h, w, c)
    return leaving(graph, scores)


def _scores_differ(rung: str, run: _Run, found: np.ndarray) -> list[Difference]:
    """Against the integers (N, elements) of a rung that computes what the exported model does."""
    n = len(found)
    difference = first_difference(rung, "output", "scores", run.scores.reshape(n, 1, 1, -1), found.reshape(n, 1, 1, -1))
    return [difference] if difference else []


# -- the rungs ---------------------------------------------------------------------------------------
def _torch(run: _Run) -> RungResult:
    """The network in torch: its scores, and every bit after sign, against the exported model."""
    from .torch_rung import activations

    def go() -> tuple[int, list[Difference], Mapping[str, Any]]:
        outputs, bits = activations(run.build.folder / "model.pt", run.source.to_model(run.frames))
        differences = _scores_differ("torch", run, run.form.integers(outputs))
        tensors = execute_tensors(run.model, run.frames)
        names = [
            n.output[0]
            for n in run.model.graph.node
            if n.op_type == "BipolarQuant" and run.model.get_initializer(n.input[0]) is None
        ]
        if len(names) != len(bits):
            raise SimulationError(
                f"the checkpoint has {len(bits)} sign activations, the model {len(names)}: not the same network"
            )
        for name, found in zip(names, bits, strict=True):
            want = to_nhwc(tensors[name])
            if want.shape != to_nhwc(found).shape:
                raise SimulationError("the checkpoint and the model differ in shape: they are not the same network")
            difference = first_difference("torch", "sign", name, want, to_nhwc(found))
            differences += [difference] if difference else []
        return len(names), differences, {}

    return timed("torch", len(run.frames), go)


def _qonnx(run: _Run) -> RungResult:
    """The exported file as it is, by qonnx, one sample at a time.

    Its float32 sums are rounded, so that a tie may fall otherwise than among integers: such samples are counted.
    """

    def go() -> tuple[int, list[Difference], Mapping[str, Any]]:
        model = as_exported(run.build.folder / "model.qonnx.onnx")
        rows = execute_one_by_one(model, run.source.to_model(run.frames))
        found = run.form.integers(rows)
        tied = _tied(run.model, run.frames, found, run.scores)
        found[tied] = run.scores[tied]
        return 0, _scores_differ("qonnx", run, found), {"ties": len(tied)} if len(tied) else {}

    return timed("qonnx", len(run.frames), go)


def _streamlined(run: _Run) -> RungResult:
    """The model after all passes, by qonnx."""

    def go() -> tuple[int, list[Difference], Mapping[str, Any]]:
        output = execute(run.streamlined, run.frames)
        # the streamlined model keeps the scores of a network that ends in decisions
        found = run.form.real(output).astype(np.int64) if run.form.top_k else OutputForm.plain_integers(output)
        return 0, _scores_differ("streamlined", run, found), {}

    return timed("streamlined", len(run.frames), go)


def _reference(run: _Run) -> RungResult:
    """The integer reference: outputs, and every stream that a tensor of the streamlined model equals.

    Tells how many frames chose each expert: a bank that no frame chose has not been looked at by any rung.
    """

    def go() -> tuple[int, list[Difference], Mapping[str, Any]]:
        graph = run.build.graph
        differences: list[Difference] = []
        expected: dict[str, np.ndarray] = {}
        experts = {
            n.name: (n.inputs[1], len(n.op.weights))
            for n in graph.nodes
            if isinstance(n.op, MatVec) and len(n.inputs) > 1
        }
        chosen = {name: np.zeros(count, np.int64) for name, (_, count) in experts.items()}
        first = 0
        for part in chunks(graph, run.wired):
            values = graph.run(part)
            for name, (token, count) in experts.items():
                chosen[name] += np.bincount(values[token].reshape(-1), minlength=count)
            stop = first + len(part)
            tensors = execute_tensors(run.streamlined, run.frames[first:stop])
            expected = {s: to_nhwc(tensors[tensor]).reshape(values[s].shape) for s, tensor in graph.tensors.items()}
            found = output_differences("reference", graph, run.expected[first:stop], values[graph.outputs[0]])
            differences = merge(differences, found + compare_values("reference", graph, expected, values), first)
            first = stop
        return len(expected), differences, {"experts_chosen": {n: c.tolist() for n, c in chosen.items()}}

    return timed("reference", len(run.frames), go)


def _outputs_first(rung: str, run: _Run, result: RungResult) -> RungResult:
    """Add the comparison of the reference's outputs, which the rung was held against, with the exported model."""
    graph = run.build.graph
    n = result.samples
    found = np.concatenate([graph.run(part)[graph.outputs[0]] for part in chunks(graph, run.wired[:n])])
    differences = output_differences(rung, graph, run.expected[:n], found) + result.differences
    mismatches = sum(d.count for d in differences)
    return RungResult(rung, n, mismatches, result.seconds, result.streams, differences, result.extra)


def _fast(run: _Run) -> RungResult:
    """The network compiled to C++."""
    return fast_rung(run.build.graph, run.build.folder / "fast", run.work, run.wired, expected=run.expected)


def _hls(run: _Run) -> RungResult:
    """C-simulation of the HLS design; also leaves golden frames for Vitis' own C-simulation."""
    graph = run.build.graph
    write_golden(graph, graph.run(run.wired[:GOLDEN_FRAMES]), run.build.folder / "verification" / "hls")
    result = hls_rung(graph, run.build.folder / "hls", run.work, run.wired)
    return _outputs_first("hls", run, result)


def _rtl(run: _Run) -> RungResult:
    """RTL simulation, without and with random stalls."""
    result = rtl_rung(run.build.graph, run.build.folder / "rtl", run.work, run.wired, **_promise(run))
    return _outputs_first("rtl", run, result)


def _netlist(run: _Run) -> RungResult:
    """What synthesis for the 7-series makes of the RTL, simulated as the RTL is."""
    start = time.perf_counter()
    build = run.build
    device = DEVICES["xc7z020"]
    cells = synthesise_build(build, device)["total"]["synthesis"]["primitives"]
    design = run.work / "netlist"
    netlist_design(build.folder / "synth" / device.name, build.folder / "rtl", cells, design)
    making = time.perf_counter() - start
    frames = run.wired[: run.netlist_frames]
    result = rtl_rung(build.graph, design, run.work, frames, **_promise(run), rung="netlist", optimise="-O1")
    extra = {**result.extra, "primitives": sum(cells.values())}
    return _outputs_first("netlist", run, replace(result, seconds=result.seconds + making, extra=extra))


def _board(run: _Run) -> RungResult:
    """The driver that travels to the board, on the accelerator in its shell; the DMA pauses at random."""
    build = run.build
    rtl, shell, deploy = (build.folder / name for name in ("rtl", "shell", "deploy"))
    interval = _promise(run)["model_interval"]
    return board_rung(
        build.graph, rtl, shell, deploy, run.work, run.wired, expected=run.expected, model_interval=interval
    )


def _promise(run: _Run) -> dict[str, Any]:
    """What the cycle model said of the design."""
    said = json.loads((run.build.folder / "report" / "estimate_network_performance.json").read_text())
    return {"model_interval": said["interval_cycles"], "model_latency": said["latency_cycles"]}


_WORK: dict[str, Callable[[_Run], RungResult]] = {
    "torch": _torch,
    "qonnx": _qonnx,
    "streamlined": _streamlined,
    "reference": _reference,
    "fast": _fast,
    "hls": _hls,
    "rtl": _rtl,
    "netlist": _netlist,
    "board": _board,
}
