"""The zoo's verbs: list the trained networks, get one as QONNX, count its accuracy again, add one."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import ValidationError

from .. import __version__
from ..models.checkpoint import load_checkpoint
from ..models.datasets import DataError, Images
from ..models.networks import explain
from ..models.zoo import (
    SHIPPED,
    Accuracy,
    Card,
    Entry,
    NetworkFacts,
    TestSet,
    ZooError,
    digest_of,
    load_test_set,
    names,
    open_entry,
    pack,
    unpack,
    write_entry,
)
from ..sim.fast import FastEngine, build_fast
from .emit_fast import emit_fast
from .export import export
from .frames import as_frames, read_array
from .lower import check_lowering, lower, wired
from .model_file import hardware_input, load_model
from .scores import OutputForm
from .streamline import streamline

__all__ = ["CheckResult", "count_right", "zoo_add", "zoo_check", "zoo_get", "zoo_list"]

Say = Callable[[str], None]

# Frames on which the passes and the lowering are checked on the way to the engine.
_SAMPLES = 4
# Images in the engine at once: between two of these the progress is told.
_BATCH = 1000
_PACKAGES = ("torch", "brevitas", "numpy")


def _silent(text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class CheckResult:
    """What checking an entry showed.

    Parameters
    ----------
    name, dataset : str
    status : {"equal", "differs", "not checked"}
        Whether as many images are right as the card says.
    total, expected : int
        Images of the test set, and how many are right according to the card.
    right : int or None
        How many are right; None if it was not checked.
    reason : str
        Why it was not checked.
    seconds : float
    """

    name: str
    dataset: str
    status: Literal["equal", "differs", "not checked"]
    total: int
    expected: int
    right: int | None = None
    reason: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def zoo_list(*, folder: str | Path = SHIPPED) -> list[dict[str, Any]]:
    """The cards of the zoo's networks.

    Parameters
    ----------
    folder : path
        With cards and networks; default: those that come with the package.

    Returns
    -------
    list of dict
        Sorted by name; keys as in :class:`bitexpert.models.zoo.Card`, for JSON.

    Raises
    ------
    ZooError
        The folder is missing or a card is wrong.
    """
    return [open_entry(name, Path(folder)).card.model_dump(mode="json") for name in names(Path(folder))]


def zoo_get(name: str, path: str | Path, *, folder: str | Path = SHIPPED) -> Path:
    """Export a network of the zoo to one QONNX file, and check that it computes the same scores.

    Parameters
    ----------
    name : str
    path : path
        The file to write.
    folder : path
        As in :func:`zoo_list`.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ZooError
        There is no such network, or its file is not that of the card.
    ExportError
        The exported file computes something else, or can't be written.
    """
    return export(open_entry(name, Path(folder)).network(), path)


def zoo_check(
    selection: str | Sequence[str] | None = None,
    *,
    data: str | Path | None = None,
    folder: str | Path = SHIPPED,
    on_result: Callable[[CheckResult], None] | None = None,
    say: Say = _silent,
) -> list[CheckResult]:
    """Count again how many test images each network gets right: exported to ONNX, in the fast engine.

    Parameters
    ----------
    selection : str or sequence of str, optional
        Names; default: all.
    data : path, optional
        Folder with the files of the data sets that don't come with a package; without it they are downloaded.
    folder : path
        As in :func:`zoo_list`.
    on_result : callable, optional
        Called with each result as it comes.
    say : callable
        Told what happens.

    Returns
    -------
    list of CheckResult
        An entry whose test images are missing, or are others than those of the card, is ``not checked``.

    Raises
    ------
    ZooError
        An unknown name, a damaged card or file.
    ToolError
        There is no C++ compiler.
    """
    if isinstance(selection, str):
        selection = [selection]
    chosen = names(Path(folder)) if selection is None else selection
    entries = [open_entry(name, Path(folder)) for name in chosen]  # a wrong name is told before the work
    results = []
    for entry in entries:
        result = _check(entry, Path(data) if data else None, say)
        results.append(result)
        if on_result:
            on_result(result)
    return results


def _check(entry: Entry, data: Path | None, say: Say) -> CheckResult:
    card, start = entry.card, time.perf_counter()
    name, source, accuracy = card.name, card.test_set.dataset, card.accuracy
    network = entry.network()
    try:
        images, labels = load_test_set(card.test_set, data)
    except DataError as error:
        return CheckResult(name, source, "not checked", accuracy.total, accuracy.right, reason=str(error))
    if digest_of(images, labels) != card.test_set.sha256:
        reason = f"these {len(images)} test images of {source} are not the {accuracy.total} that the card tells of"
        return CheckResult(name, source, "not checked", accuracy.total, accuracy.right, reason=reason)
    right = _measure(network, images, labels, lambda text: say(f"{name}: {text}"))
    return CheckResult(
        name,
        source,
        "equal" if right == accuracy.right else "differs",
        accuracy.total,
        accuracy.right,
        right,
        seconds=round(time.perf_counter() - start, 1),
    )


def _measure(network: Any, images: Images, labels: np.ndarray, say: Say) -> int:
    """Export a network, and count with the file."""
    with tempfile.TemporaryDirectory() as folder:
        say("export to ONNX")
        model = export(network, Path(folder) / "model.onnx")
        return count_right(model, images, labels, Path(folder), say=say)


def count_right(model: Path, images: Images, labels: np.ndarray, work: Path, *, say: Say = _silent) -> int:
    """Count the images whose largest score (lowest index first) is the label's, with the fast engine.

    Parameters
    ----------
    model : Path
        QONNX file of a classifier of images.
    images : uint8 array or ImageFiles
        ``[N, H, W, C]``.
    labels : int array
        ``[N]``.
    work : Path
        For the engine's source and program.
    say : callable
        Told what happens.

    Raises
    ------
    ModelError
        The file can't become hardware.
    ToolError
        There is no C++ compiler.
    FramesError
        The images don't fit the model.
    """
    proto = load_model(model)
    source = hardware_input(proto)

    def frames(start: int, stop: int) -> np.ndarray:
        # as the model has them: (H, W, C) could be mistaken for (C, H, W) where all three are equal
        part = images[start:stop].transpose(0, 3, 1, 2)
        return as_frames(part, source, f"the batch from image {start}")

    samples = frames(0, _SAMPLES)
    say("streamline and lower")
    streamlined, _ = streamline(proto, samples)
    graph = lower(streamlined)
    check_lowering(streamlined, graph, samples)
    say("compile the fast engine")
    emit_fast(graph, work / "fast", f"Made by bitexpert {__version__} from {model.name}.")
    engine = FastEngine(build_fast(work / "fast", work), work / "fast")
    form, right = OutputForm.of(streamlined), 0
    for start in range(0, len(images), _BATCH):
        say(f"{start} of {len(images)} images")
        scores = engine.run(wired(graph, frames(start, start + _BATCH)))
        decisions = form.real(scores.reshape(len(scores), -1)).argmax(axis=1)
        right += int(np.count_nonzero(decisions == labels[start : start + _BATCH]))
    return right


# -- adding ------------------------------------------------------------------------------------------
def zoo_add(
    run: str | Path,
    folder: str | Path,
    *,
    title: str,
    test_set: str,
    caveats: Sequence[str] = (),
    name: str | None = None,
    overwrite: bool = False,
    say: Say = _silent,
) -> Card:
    """Pack the network of a run folder, count its accuracy, and write card and file.

    Parameters
    ----------
    run : path
        What ``train`` wrote; its held-out images are the test set.
    folder : path
        Where ``NAME.yaml`` and ``NAME.npz`` go.
    title : str
        What a person reads.
    test_set : str
        What the held-out images are.
    caveats : sequence of str
        What a reader of the accuracy should know.
    name : str, optional
        Of the entry; default: that of the recipe.
    overwrite : bool
        Replace an entry of that name.
    say : callable
        Told what happens.

    Returns
    -------
    Card

    Raises
    ------
    ZooError
        The run folder isn't complete, its files don't belong together, or the entry exists already.
    """
    run, folder = Path(run), Path(folder)
    recipe, metrics = _mapping(run / "recipe.yaml", yaml.safe_load), _mapping(run / "metrics.json", json.loads)
    name = name or re.sub(r"[^a-z0-9]+", "-", str(recipe.get("name", "")).lower()).strip("-")
    if not name:
        raise ZooError(f"{run / 'recipe.yaml'}: the recipe has no name; name the entry with --name")
    if (folder / f"{name}.yaml").exists() and not overwrite:
        raise ZooError(f"{folder} has an entry {name!r} already; choose another --name, or allow --overwrite")
    network = load_checkpoint(run / "model.pt")
    images, labels = read_array(run / "heldout_inputs.npy"), read_array(run / "heldout_labels.npy")
    if images.dtype != np.uint8 or images.ndim != 4 or labels.shape != images.shape[:1]:
        raise ZooError(f"{run}: heldout_inputs.npy and heldout_labels.npy are no images with labels; train again")
    content = pack(network)
    packed = unpack(content, name)
    right = _measure(packed, images, labels, say)
    trained = _need(metrics, "accuracy", run / "metrics.json")
    if round(trained * len(images)) != right:
        raise ZooError(
            f"{run}: {right} of {len(images)} held-out images are right, but metrics.json says {trained:.4%}: its "
            "files are not of one training; train again"
        )
    dataset = _need(recipe, "dataset", run / "recipe.yaml")
    training = _need(recipe, "training", run / "recipe.yaml")
    try:
        card = Card(
            name=name,
            title=title,
            date=datetime.date.today(),
            sha256=hashlib.sha256(content).hexdigest(),
            network=NetworkFacts.of(packed),
            test_set=TestSet(
                dataset=_need(dataset, "name", run / "recipe.yaml"),
                held_out=dataset.get("held_out"),
                seed=dataset.get("seed", 0),
                sha256=digest_of(images, labels),
                description=test_set,
                caveats=list(caveats),
            ),
            accuracy=Accuracy(right=right, total=len(images)),
            seed=_need(training, "seed", run / "recipe.yaml"),
            recipe=recipe,
            versions={"bitexpert": __version__, "python": platform.python_version()}
            | {package: version(package) for package in _PACKAGES},
        )
    except ValidationError as error:
        raise ZooError(f"{run}: the card can't be made: {explain(error)}") from None
    write_entry(card, content, folder)
    return card


def _mapping(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    """A YAML or JSON file of a run folder."""
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ZooError(
            f"{path}: cannot be read: {error.strerror or error}; give a folder that `bitexpert train` made"
        ) from error
    except (ValueError, yaml.YAMLError) as error:
        raise ZooError(f"{path}: the file is damaged; train again") from error
    if not isinstance(content, dict):
        raise ZooError(f"{path}: this is no mapping; train again")
    return content


def _need(mapping: Mapping[str, Any], key: str, path: Path) -> Any:
    if not isinstance(mapping, Mapping) or key not in mapping:
        raise ZooError(f"{path}: {key!r} is missing; train again")
    return mapping[key]
