"""Streamlining: pass after pass, and the network is run after each."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BitexpertError
from .execute import activations, execute, execute_tensors
from .model_file import ModelError, first_line, shown
from .model_proto import called
from .passes import LibraryPass, Pass, pipeline
from .passes.base import check_graph, name_new, tensor_names
from .quiet import quiet
from .scores import RESULTS, OutputForm
from .ties import undecided

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["PassRecord", "StreamlineError", "streamline"]

# Scores are sums of many scaled bits: float noise is far below this part of the largest, one changed bit above.
TOLERANCE = 1e-5
# The time of FINN's and qonnx's passes grows with the square.
MOST_NODES = 500


class StreamlineError(BitexpertError):
    """A pass that changed what the network computes, or could not be carried out."""


@dataclass(frozen=True)
class PassRecord:
    """What one pass did.

    Parameters
    ----------
    name : str
    seconds : float
        Its own time and that of the check.
    nodes_before, nodes_after : int
    changed : bool
        Whether it changed the model at all.
    skipped : str
        Why a pass of FINN was left out; "" if it was not.
    """

    name: str
    seconds: float
    nodes_before: int
    nodes_after: int
    changed: bool
    skipped: str = ""


def streamline(
    model: ModelWrapper,
    samples: np.ndarray,
    *,
    on_pass: Callable[[str, int, int], None] | None = None,
    failure_folder: Path | None = None,
    passes: Sequence[Pass] | None = None,
) -> tuple[ModelWrapper, list[PassRecord]]:
    """Turn quantizers, scales and batch normalization into integer thresholds.

    After each pass that changed anything the graph is checked for validity and run on the samples. A pass of ours that
    changes what the network computes stops the build; one of FINN's is left out. Samples whose result hangs on the
    rounding of float32 sums (``flow/ties.py``) may change.

    Parameters
    ----------
    model : ModelWrapper
        From :func:`load_model`.
    samples : ndarray of int, shape (N, H, W, C)
        Frames to check on.
    on_pass : callable, optional
        Called before each pass with its name, its number from 1, and how many there are.
    failure_folder : Path, optional
        Where the models before and after a wrong pass, and the samples, are written.
    passes : sequence of Pass, optional
        Default: :func:`bitexpert.flow.passes.pipeline`.

    Returns
    -------
    model : ModelWrapper
        Streamlined; its scores are integers, see :class:`bitexpert.flow.scores.OutputForm`.
    records : list of PassRecord

    Raises
    ------
    ModelError
        A node that cannot become hardware.
    StreamlineError
        A pass changed an output; names the pass and the first node that differs.
    """
    passes = pipeline() if passes is None else passes
    model = _without_results(model)
    outputs = execute(model, samples)
    if not np.isfinite(outputs).all():
        raise _not_finite(model, samples)
    records, exported = [], model
    for number, step in enumerate(passes, 1):
        if on_pass:
            on_pass(step.name, number, len(passes))
        start = time.perf_counter()
        after, changed, skipped = model, False, ""
        try:
            if isinstance(step, LibraryPass) and len(model.graph.node) > MOST_NODES:
                raise ModelError(f"the network has more than {MOST_NODES} nodes, which take it minutes")
            after = _apply(step, model)
            changed = _bytes(after) != _bytes(model)
            if changed:
                _compare(step, exported, model, after, samples, outputs, failure_folder)
        except BitexpertError as error:
            if not isinstance(step, LibraryPass):
                raise
            after, changed, skipped = model, False, str(error)
        seconds = round(time.perf_counter() - start, 4)
        records.append(PassRecord(step.name, seconds, len(model.graph.node), len(after.graph.node), changed, skipped))
        model = after
    return model, records


def _without_results(model: ModelWrapper) -> ModelWrapper:
    """A copy without the metadata that streamlining writes: in a file that is given, they tell of another network."""
    model = copy.deepcopy(model)
    kept = [p for p in model.graph.metadata_props if p.key not in RESULTS]
    del model.graph.metadata_props[:]
    model.graph.metadata_props.extend(kept)
    return model


def _not_finite(model: ModelWrapper, samples: np.ndarray) -> ModelError:
    tensors = execute_tensors(model, samples)
    bad = next(n for n in model.graph.node for t in n.output if t in tensors and not np.isfinite(tensors[t]).all())
    return ModelError(f"{called(bad)} makes numbers that are not finite. What to do: train again, then export again")


def _bytes(model: ModelWrapper) -> bytes:
    return bytes(model.model.SerializeToString(deterministic=True))


def _apply(step: Pass, model: ModelWrapper) -> ModelWrapper:
    known = tensor_names(model)
    former = {t: n.name for n in model.graph.node for t in n.output}
    with quiet():
        try:
            after = step.apply(model)
            name_new(after, known, former)
        except BitexpertError:
            raise
        except Exception as error:  # FINN and qonnx raise what they like
            if isinstance(step, LibraryPass):
                raise ModelError(first_line(error)) from error
            raise ModelError(
                f"pass {step.name} cannot handle this network: {first_line(error)};"
                " simplify the layer it names, or report this"
            ) from error
    try:
        check_graph(after)
    except ModelError as error:
        raise StreamlineError(f"pass {step.name} left the graph invalid: {error}. Please report this") from None
    return after


def _compare(
    step: Pass,
    exported: ModelWrapper,
    before: ModelWrapper,
    after: ModelWrapper,
    samples: np.ndarray,
    expected: np.ndarray,
    folder: Path | None,
) -> None:
    """Raise StreamlineError if the outputs differ from those of the network as exported."""
    form = OutputForm.of(after)
    found = execute(after, samples)
    expected = expected.reshape(len(samples), -1).astype(np.float64)
    real = form.real(found)
    if expected.shape == real.shape:
        exact = form.top_k or (form.plain and np.array_equal(expected, np.rint(expected)))
        limit = 0.01 if exact else TOLERANCE * float(np.abs(expected).max(initial=0.0))
        wrong = ~(np.abs(expected - real) <= limit)
        differing = np.flatnonzero(wrong.any(axis=1))
        wrong[differing[undecided(exported, samples[differing])]] = False
        if not wrong.any():
            return
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        what = f"frame {place[0]}, score {place[1]}: expected {expected[place]:g}, found {real[place]:g}"
        what += f" ({int(wrong.sum())} of {wrong.size} differ)"
    else:
        what = f"the output has {real.shape[1]} numbers instead of {expected.shape[1]}"
    first = _first_difference(before, after, samples)
    kept = ""
    if folder is not None and not isinstance(step, LibraryPass):
        place_of_files = folder / f"failed_{re.sub(r'[^A-Za-z0-9]+', '_', step.name)}"
        place_of_files.mkdir(parents=True, exist_ok=True)
        before.save(str(place_of_files / "before.onnx"))
        after.save(str(place_of_files / "after.onnx"))
        np.save(place_of_files / "input.npy", samples)
        kept = f"; both models and the input are in {place_of_files}"
    raise StreamlineError(f"pass {step.name} changed the network: {what}; {first}{kept}. Please report this")


def _first_difference(before: ModelWrapper, after: ModelWrapper, samples: np.ndarray) -> str:
    """The first node of ``after`` whose result is not among those of ``before``.

    A tensor of the same name comes first; but a pass may rename, or move a factor to the other side of a
    node, so a tensor counts as known if any old one equals it up to a factor and an offset a channel.
    """
    old, new = (execute_tensors(m, samples) for m in (before, after))
    for name in activations(after):
        node = next((n for n in after.graph.node if name in n.output), None)
        if node is None:
            continue
        candidates = [old[name]] if name in old else []
        candidates += [v for k, v in old.items() if k != name]
        if any(_same_up_to_affine(a, new[name]) for a in candidates if a.shape == new[name].shape):
            continue
        text = f"first node that differs: {called(node)}, tensor {shown(name)}"
        if name in old and old[name].shape == new[name].shape:
            place = tuple(int(i) for i in np.argwhere(old[name] != new[name])[0])
            was, now = old[name][place], new[name][place]
            text += f", frame {place[0]}, at {place[1:]}: {was:g} before, {now:g} after"
        return text
    return "no single tensor differs"


def _same_up_to_affine(a: np.ndarray, b: np.ndarray) -> bool:
    if np.array_equal(a, b):
        return True
    if a.ndim < 2 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return False
    x = np.moveaxis(a, 1, 0).reshape(a.shape[1], -1).astype(np.float64)
    y = np.moveaxis(b, 1, 0).reshape(b.shape[1], -1).astype(np.float64)
    for u, v in zip(x, y, strict=True):
        low, high = u.argmin(), u.argmax()
        if u[low] == u[high]:
            if v.min() != v.max():
                return False
            continue
        slope = (v[high] - v[low]) / (u[high] - u[low])
        if slope == 0 or np.abs(v[low] + slope * (u - u[low]) - v).max() > 1e-4 * np.abs(v).max():
            return False
    return True
