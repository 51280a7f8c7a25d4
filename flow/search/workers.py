"""Where trials are evaluated: in this process, or by the workers of a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from ... import __version__
from .spec import SearchError

__all__ = ["ClusterWorkers", "Evaluate", "LocalWorker", "Workers", "workers"]

Job = dict[str, Any]
Outcome = dict[str, Any]
Evaluate = Callable[[Job], Outcome]

# Seconds: to reach a scheduler, and between two looks at who is still there.
_PATIENCE = 20
_LOOK = 1.0


class Workers(Protocol):
    """Evaluates jobs."""

    def free(self) -> int:
        """How many more jobs can be started now."""

    def submit(self, number: int, job: Job) -> None:
        """Start a job."""

    def wait(self) -> list[tuple[int, Outcome]]:
        """Wait until jobs have ended; their numbers and outcomes."""


def _failed(reason: str) -> Outcome:
    return {"state": "failed", "figures": {}, "reason": " ".join(reason.split()), "seconds": 0.0}


def _scheduler_is_gone(error: BaseException) -> SearchError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return SearchError(f"the scheduler is gone ({reason}); start it, and the same search again to go on")


class LocalWorker:
    """This process: one job at a time."""

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate
        self._job: tuple[int, Job] | None = None

    def free(self) -> int:
        """1, or 0 while a job is there."""
        return 0 if self._job else 1

    def submit(self, number: int, job: Job) -> None:
        """Keep a job until `wait` does it."""
        self._job = number, job

    def wait(self) -> list[tuple[int, Outcome]]:
        """Do the job."""
        assert self._job is not None
        number, job = self._job
        self._job = None
        return [(number, self._evaluate(job))]


class ClusterWorkers:
    """Workers of a Dask cluster: one job at a time each, also those that join later.

    A job is bound to its worker. When that is gone, the job has failed: Dask's own way would be to
    give it to the next worker, which it might take down too, or to wait for ever where there is none.

    Parameters
    ----------
    client : distributed.Client
    evaluate : callable
        A function that the workers can import.
    """

    def __init__(self, client: Any, evaluate: Evaluate) -> None:
        self._client, self._evaluate = client, evaluate
        self._running: dict[Any, tuple[int, str]] = {}  # future -> number, address of the worker
        self._checked: set[str] = set()

    def _addresses(self) -> list[str]:
        try:
            found = sorted(self._client.nthreads())
            self._check([address for address in found if address not in self._checked])
            return [address for address in found if address in self._checked]
        except (OSError, TimeoutError) as error:
            raise _scheduler_is_gone(error) from None

    def _check(self, addresses: list[str]) -> None:
        """Refuse workers with another bitexpert, or none: a job would take these down."""

        def version() -> str:  # an inner function travels as its code, not as a name of ours
            from importlib import metadata

            try:
                return metadata.version("bitexpert")
            except metadata.PackageNotFoundError:
                return ""

        if not addresses:
            return
        answers = self._client.run(version, workers=addresses, on_error="ignore")  # some may have just died
        for address, found in answers.items():
            if found != __version__:
                raise SearchError(
                    f"the worker {address} has {f'bitexpert {found}' if found else 'no bitexpert'}, and this is"
                    f" {__version__}; install the same there"
                )
        self._checked.update(answers)

    def _idle(self) -> list[str]:
        busy = {address for _, address in self._running.values()}
        return [address for address in self._addresses() if address not in busy]

    def free(self) -> int:
        """Workers without a job.

        Raises
        ------
        SearchError
            There is no worker at all, or no scheduler.
        """
        if not self._idle() and not self._running:  # one that died may be coming back
            with suppress(TimeoutError):
                self._client.wait_for_workers(1, timeout=_PATIENCE)
            if not self._idle():
                raise SearchError(
                    "the cluster has no workers (left); start some (`dask worker ADDRESS --nthreads 1`), and the same"
                    " search again to go on"
                )
        return len(self._idle())

    def submit(self, number: int, job: Job) -> None:
        """Send a job to a worker that has none."""
        idle = self._idle()
        if not idle:
            raise SearchError("a worker left the cluster; start the same search again to go on")
        future = self._client.submit(self._evaluate, job, workers=[idle[0]], allow_other_workers=False, pure=False)
        self._running[future] = number, idle[0]

    def wait(self) -> list[tuple[int, Outcome]]:
        """Wait until a job has ended, or its worker is gone."""
        from distributed import CancelledError, wait

        while True:
            try:
                with suppress(TimeoutError), self._client.as_current():  # nothing has ended: look who is still there
                    wait(list(self._running), timeout=_LOOK, return_when="FIRST_COMPLETED")
            except CancelledError as error:  # of all jobs, as nobody else cancels those that are waited for
                raise _scheduler_is_gone(error) from None
            present = set(self._addresses())
            ended = []
            for future, (number, address) in list(self._running.items()):
                if future.done():
                    ended.append((number, self._outcome(future)))
                elif address not in present:
                    future.cancel()
                    ended.append((number, _failed(f"the worker {address} died, or left the cluster, during the trial")))
                else:
                    continue
                del self._running[future]
            if ended:
                return ended

    @staticmethod
    def _outcome(future: Any) -> Outcome:
        if future.status == "finished":
            return future.result()
        error = future.exception() if future.status == "error" else None
        return _failed(f"the worker could not do it: {type(error).__name__}: {error}" if error else future.status)


@contextmanager
def _silent(*loggers: str) -> Iterator[None]:
    """Keep tracebacks about lost connections off the terminal; the errors here say what has happened."""
    levels = {name: logging.getLogger(name).level for name in loggers}
    try:
        for name in loggers:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def workers(address: str | None, evaluate: Evaluate) -> Iterator[Workers]:
    """This process, or the cluster of a scheduler.

    Parameters
    ----------
    address : str or None
        Of a Dask scheduler, such as ``tcp://host:8786``.
    evaluate : callable
        Job -> outcome.

    Raises
    ------
    SearchError
        Dask is not installed, or the scheduler can't be reached or has no workers.
    """
    if address is None:
        yield LocalWorker(evaluate)
        return
    try:
        from distributed import Client
    except ImportError:
        raise SearchError(
            "--workers needs Dask, which is not installed; install it with: pip install 'bitexpert[cluster]'"
        ) from None
    with _silent("distributed", "distributed.client"):
        try:
            client = Client(address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise SearchError(
                f"no scheduler answers at {address} ({' '.join(str(error).split())}); start one with `dask scheduler`"
                " and give its address, such as tcp://host:8786"
            ) from None
        with client:
            yield ClusterWorkers(client, evaluate)
