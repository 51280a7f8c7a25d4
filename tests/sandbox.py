"""Builds a file that may be hostile in a process of its own, with bounds on memory and time, and says what came of it.

Run as a program, it imports bitexpert once, then takes one line of JSON a case, forks, and answers with one line.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MEMORY", "SECONDS", "Sandbox", "Verdict"]

#: Beside what the imported libraries take.
MEMORY = 4 << 30
SECONDS = 180
_FRAMES = 12


@dataclass(frozen=True)
class Verdict:
    """What came of a build.

    Parameters
    ----------
    kind : {"built", "refused", "raised", "died", "hung"}
        Finished, and equal to the file; BitexpertError; any other exception, or something else that is wrong;
        killed by a signal; out of time.
    error : str
        The name of the error's class.
    text : str
        Its message.
    trace : str
    seconds : float
    """

    kind: str
    error: str = ""
    text: str = ""
    trace: str = ""
    seconds: float = 0.0


class Sandbox:
    """A process that is ready to fork."""

    def __init__(self) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads},
            text=True,
        )

    def run(self, model: Path, out: Path, *, doctor: bool = False, seconds: int = SECONDS) -> Verdict:
        """Build a model into a folder, and hold the build against the file.

        Parameters
        ----------
        model, out : Path
        doctor : bool
            Run ``bitexpert doctor`` as well.
        seconds : int
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        case = {"model": str(model), "out": str(out), "doctor": doctor, "seconds": seconds}
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        return Verdict(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


# -- in the process that forks -------------------------------------------------------------------------
def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    import bitexpert.flow
    import onnxruntime  # noqa: F401
    import qonnx.core.onnx_exec  # noqa: F401
    from bitexpert.flow.passes import pipeline

    for module in pkgutil.walk_packages(bitexpert.flow.__path__, "bitexpert.flow."):
        importlib.import_module(module.name)
    for step in pipeline():  # FINN's modules
        if hasattr(step, "make"):
            step.make()
    for line in sys.stdin:
        answers.write(json.dumps(_forked(json.loads(line))) + "\n")
        answers.flush()


def _forked(case: dict) -> dict:
    start = time.monotonic()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os._exit(_child(case, writing))
    os.close(writing)
    ended, status = False, 0
    while not ended and time.monotonic() - start < case["seconds"]:
        done, status = os.waitpid(child, os.WNOHANG)
        ended = done == child
        time.sleep(0.003)
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    seconds = round(time.monotonic() - start, 2)
    if not ended:
        return {"kind": "hung", "text": f"more than {case['seconds']} s", "seconds": seconds}
    if not answer:
        return {"kind": "died", "text": f"wait status {status}", "seconds": seconds}
    return {**json.loads(answer), "seconds": seconds}


def _child(case: dict, pipe: int) -> int:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(Path(case["model"]).parent)
    os.environ["TMPDIR"] = str(Path(case["model"]).parent.parent / "tmp")
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    from bitexpert.errors import BitexpertError

    try:
        answer = _verdict(case)
    except BitexpertError as error:
        answer = {"kind": "refused", "error": type(error).__name__, "text": str(error)}
    except BaseException as error:
        answer = {"kind": "raised", "error": type(error).__name__, "text": str(error)[:2000]}
        answer["trace"] = "".join(traceback.format_exception(error))[-6000:]
    data = json.dumps(answer).encode()
    while data:
        data = data[os.write(pipe, data) :]
    return 0


# -- in the process of one case ------------------------------------------------------------------------
def _verdict(case: dict) -> dict:
    from bitexpert.errors import BitexpertError
    from bitexpert.flow import api
    from bitexpert.flow.build import BuildError, open_build

    model, out = Path(case["model"]), Path(case["out"])
    if case["doctor"]:
        told = _doctor(model)
    try:
        api.build(model, out)
    except BitexpertError as error:
        with contextlib.suppress(BuildError):
            open_build(out)
            raise AssertionError("open_build takes what a failed build left") from error
        raise
    open_build(out)
    _compare(model, out)
    if case["doctor"]:
        assert told == 0, f"doctor ended with {told}, but the network was built"
    return {"kind": "built"}


def _doctor(model: Path) -> int:
    from bitexpert.flow.cli import app
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["doctor", str(model)])
    text = result.output
    assert "Traceback" not in text, text
    bad = sorted({c for c in text if not c.isprintable() and c != "\n"})
    assert not bad, f"doctor prints {bad}"
    return result.exit_code


def _compare(path: Path, out: Path) -> None:
    """The graph that was emitted computes what qonnx computes from the file."""
    import numpy as np
    from bitexpert.flow.frames import random_frames
    from bitexpert.flow.lower import leaving, wired
    from bitexpert.flow.model_file import hardware_input, load_model
    from bitexpert.flow.quiet import quiet
    from bitexpert.flow.scores import OutputForm
    from bitexpert.flow.ties import undecided
    from bitexpert.hw.graph import Dataflow

    graph = Dataflow.load(out / "folded.json", out / "weights.npz")
    model = load_model(path)
    source = hardware_input(model)
    count = _FRAMES if len(model.graph.node) < 200 else 1  # qonnx's time grows with the square of the nodes
    frames = random_frames(source, count, seed=7)
    form = OutputForm.of(load_model(out / "streamlined.onnx"))
    with quiet():
        expected = form.integers(_by_qonnx(path, source.to_model(frames)))
    expected = (expected if form.top_k else leaving(graph, expected)).reshape(count, -1)
    found = graph.run(wired(graph, frames))[graph.outputs[0]].reshape(count, -1)
    differing = np.flatnonzero((found != expected).any(axis=1))
    differing = differing[~undecided(model, frames[differing])]
    assert not len(differing), f"{len(differing)} of {count} frames differ from what qonnx computes from the file"


def _by_qonnx(path: Path, inputs):
    """The file as it is, run by qonnx; as bitexpert reads it, if qonnx does not take it."""
    import numpy as np
    import onnx
    from bitexpert.flow.execute import execute_one_by_one
    from bitexpert.flow.model_file import as_exported
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    try:
        proto = onnx.load(str(path))
        del proto.graph.value_info[:]  # on some, onnx ends the process
        source = next(i for i in proto.graph.input if i.name not in {t.name for t in proto.graph.initializer})
        source.type.tensor_type.shape.dim[0].dim_value = 1
        model = ModelWrapper(proto).transform(InferShapes())
        name = model.graph.output[0].name
        return np.concatenate([execute_onnx(model, {source.name: row[None]})[name] for row in inputs])
    except Exception:  # the file is an odd one that qonnx does not take
        return execute_one_by_one(as_exported(path), inputs)


if __name__ == "__main__":
    _serve()
