"""Progress of a training on the terminal, with the time that is left."""

import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["Bar"]


class Bar:
    """A bar on stderr; silent when that isn't a terminal or nobody wants it. Use it in a ``with`` statement.

    Parameters
    ----------
    total : int
        Batches in all.
    show : bool
    """

    def __init__(self, total: int, show: bool) -> None:
        self._progress: Progress | None = None
        if show and sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("left:"),
                TimeRemainingColumn(),
            )
            self._progress = Progress(*columns, console=Console(stderr=True))
            self._task = self._progress.add_task("training", total=total)

    def __enter__(self) -> "Bar":
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def advance(self, batches: int = 1) -> None:
        """So many more batches are done."""
        if self._progress is not None:
            self._progress.update(self._task, advance=batches)

    def say(self, text: str) -> None:
        """What is going on."""
        if self._progress is not None:
            self._progress.update(self._task, description=text)
