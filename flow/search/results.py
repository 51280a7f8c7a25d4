"""What a search leaves behind: a table, recipes of the best networks, a picture."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ...models.files import write_atomically
from ...models.recipe import save_recipe
from ..templates import write_text
from .spec import DIRECTIONS, SearchSpec
from .training import with_network
from .trials import TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LABELS", "front", "write_results", "write_table"]

#: Figures as they are called in pictures and on the terminal.
LABELS = {
    "accuracy": "accuracy on held-out training images",
    "bops": "binary operations an image",
    "luts": "LUTs (estimate)",
    "bram18": "BRAM18 (estimate)",
    "fps": "frames/s (estimate)",
}


def _losses(record: TrialRecord, spec: SearchSpec) -> tuple[float, ...]:
    """The objectives, smaller being better."""
    return tuple(
        -record.figures[name] if DIRECTIONS[name] == "maximize" else record.figures[name] for name in spec.objectives
    )


def front(records: Sequence[TrialRecord], spec: SearchSpec) -> list[TrialRecord]:
    """The trials that no other one beats: at least as good in all objectives and better in one.

    Parameters
    ----------
    records : sequence of TrialRecord
    spec : SearchSpec

    Returns
    -------
    list of TrialRecord
        In the order of the first objective. Of trials with the same figures only the first; with one objective
        therefore a single one.
    """
    points: dict[tuple[float, ...], TrialRecord] = {}
    for record in records:
        if record.state == "complete":
            points.setdefault(_losses(record, spec), record)
    best = [a for a in points if not any(b != a and all(x <= y for x, y in zip(b, a, strict=True)) for b in points)]
    return [points[losses] for losses in sorted(best)]


def write_table(path: Path, records: Sequence[TrialRecord], spec: SearchSpec) -> None:
    """Write all trials as CSV, one a row: state, figures, what was chosen, why it was rejected or failed."""
    figures = [name for name in DIRECTIONS if any(name in r.figures for r in records)]
    parameters = sorted({name for r in records for name in r.parameters})
    best = {r.number for r in front(records, spec)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "on_front", *figures, *parameters, "seconds", "same_as", "reason"])
    for r in records:
        numbers = [format(r.figures[name], ".10g") if name in r.figures else "" for name in figures]
        chosen = [r.parameters.get(name, "") for name in parameters]
        same = "" if r.same_as is None else r.same_as
        writer.writerow([r.number, r.state, int(r.number in best), *numbers, *chosen, r.seconds, same, r.reason])
    write_text(path, text.getvalue())


def write_results(folder: Path, records: Sequence[TrialRecord], spec: SearchSpec) -> dict[int, Path]:
    """Write ``search.json``, the recipes and the picture.

    Parameters
    ----------
    folder : Path
    records : sequence of TrialRecord
        One of them complete at least.
    spec : SearchSpec

    Returns
    -------
    dict of int to Path
        Trial -> recipe, for those of the front.
    """
    best = front(records, spec)
    single = len(spec.objectives) == 1
    recipes = {r.number: folder / ("best.yaml" if single else f"front/{r.number}.yaml") for r in best}
    for record in best:
        recipe = with_network(spec.recipe, f"{spec.name}-{record.number}", spec.space.network, record.config)
        save_recipe(recipe, recipes[record.number])
    for earlier in folder.glob("front/*.yaml"):
        if earlier not in recipes.values():
            earlier.unlink()
    report = {
        "spec": spec.model_dump(mode="json"),
        "front": [r.number for r in best],
        "trials": [asdict(r) for r in records],
    }
    write_text(folder / "search.json", json.dumps(report, indent=1) + "\n")
    write_atomically(folder / "front.png", lambda part: _draw(part, records, best, spec))
    return recipes


def _draw(path: Path, records: Sequence[TrialRecord], best: Sequence[TrialRecord], spec: SearchSpec) -> None:
    """The first objective against each other one; with a single objective, over the trials."""
    from matplotlib.figure import Figure

    done = [r for r in records if r.state == "complete"]
    others = spec.objectives[1:] or ("trial",)
    figure = Figure(figsize=(5.2 * len(others), 3.9), layout="constrained")
    for axes, other in zip(figure.subplots(1, len(others), squeeze=False)[0], others, strict=True):
        _scatter(axes, done, best, other, spec)
    figure.suptitle(f"{spec.name}: {len(done)} of {len(records)} candidates evaluated", fontsize=10)
    figure.savefig(path, dpi=110, format="png")


def _scatter(
    axes: Axes, done: Sequence[TrialRecord], best: Sequence[TrialRecord], other: str, spec: SearchSpec
) -> None:
    def places(records: Sequence[TrialRecord]) -> tuple[list[float], list[float]]:
        xs = [float(r.number) if other == "trial" else r.figures[other] for r in records]
        return xs, [r.figures[spec.objectives[0]] for r in records]

    axes.scatter(*places(done), s=22, color="0.6", label="evaluated")
    style = "o-" if len(spec.objectives) == 2 else "o"  # with more objectives the front is no line
    axes.plot(*places(best), style, color="tab:red", markersize=6, linewidth=1, label="best")
    for record, x, y in zip(best, *places(best), strict=True):
        axes.annotate(str(record.number), (x, y), textcoords="offset points", xytext=(5, -10), fontsize=8)
    axes.set_xlabel(LABELS.get(other, other))
    axes.set_ylabel(LABELS[spec.objectives[0]])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
