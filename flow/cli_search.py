"""The command ``bitexpert search``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .terminal import Json, errors, print_json, say

if TYPE_CHECKING:
    from .search import SearchResult, TrialRecord
    from .search.study import OnTrial

__all__ = ["search"]

# How figures are written.
FORMATS = {"accuracy": "{:.2%} right", "bops": "{:,.0f} BOPs", "luts": "{:,.0f} LUTs", "bram18": "{:.0f} BRAM18"}
FORMATS["fps"] = "{:,.0f} frames/s"


def search(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="What is searched, and how (YAML).")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder; an earlier search there goes on.")],
    trials: Annotated[
        int | None, typer.Option(min=1, help="Candidates to evaluate in all; default: as SPEC says.")
    ] = None,
    workers: Annotated[
        str | None, typer.Option(help="Dask scheduler whose workers evaluate, e.g. tcp://host:8786.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set, where candidates are trained.")] = None,
    as_json: Json = False,
) -> None:
    """Search for networks at equal operations, by accuracy and by what they cost on a board."""
    from . import api

    with _progress(as_json) as on_trial:
        result = api.search(spec, out, trials=trials, workers=workers, data=data, on_trial=on_trial)
    if as_json:
        print_json(result.as_dict())
        return
    for line in _summary(result):
        say(line)


@contextmanager
def _progress(silent: bool) -> Iterator[OnTrial | None]:
    """A bar on a terminal, a line for each trial elsewhere, nothing when silent."""
    if silent:
        yield None
        return
    if not errors.is_terminal:
        yield lambda record, done, wanted: say(f"{_line(record)} \\[{done}/{wanted}]")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("ETA"), TimeRemainingColumn(), console=errors, redirect_stdout=False) as bar:
        task = bar.add_task("searching", total=None)

        def show(record: TrialRecord, done: int, wanted: int) -> None:
            bar.update(task, completed=done, total=wanted, description=_line(record))

        yield show


def _figures(record: TrialRecord) -> str:
    return ", ".join(text.format(record.figures[key]) for key, text in FORMATS.items() if key in record.figures)


def _line(record: TrialRecord) -> str:
    """One line of markup about a trial."""
    if record.reason:
        return f"trial {record.number}: {record.state}: {escape(record.reason)}"
    same = "" if record.same_as is None else f" (same network as trial {record.same_as})"
    return f"trial {record.number}: {_figures(record)}{same}"


def _summary(result: SearchResult) -> Iterator[str]:
    counts = result.as_dict()["trials"]
    yield f"{len(result.trials)} candidates: {', '.join(f'{n} {state}' for state, n in counts.items())}; the best:"
    for record in result.front:
        yield f"  {escape(str(result.recipes[record.number]))}: {_figures(record)}"
    folder = escape(str(result.folder))
    yield f"all trials: {folder}/trials.csv, picture: {folder}/front.png. Next: bitexpert train RECIPE -o run"
