"""The search: candidates are asked of Optuna, evaluated here or by workers, and told to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.train import load_images
from ..lock import locked
from ..quiet import quiet
from .evaluate import evaluate as evaluate_here
from .results import front, write_results, write_table
from .space import Rejected
from .spec import DIRECTIONS, SearchError, SearchSpec, load_spec
from .training import with_network
from .trials import Candidate, TrialRecord, operations_target, propose
from .workers import Evaluate, Workers, workers

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage

__all__ = ["STORAGE", "SearchResult", "search"]

STORAGE = "study.db"
# So many candidates in a row that are rejected end a search.
MOST_REJECTED = 100
OnTrial = Callable[[TrialRecord, int, int], None]


@dataclass(frozen=True)
class SearchResult:
    """What a search has found.

    Parameters
    ----------
    folder : Path
    spec : SearchSpec
    trials : tuple of TrialRecord
        All, the rejected and failed ones too.
    front : tuple of TrialRecord
        The best trial, or the Pareto front in the order of the first objective.
    recipes : dict of int to Path
        Trial -> its recipe, for those of the front.
    """

    folder: Path
    spec: SearchSpec
    trials: tuple[TrialRecord, ...]
    front: tuple[TrialRecord, ...]
    recipes: dict[int, Path]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        points = [
            {"trial": t.number, "recipe": str(self.recipes[t.number]), **t.figures, "parameters": t.parameters}
            for t in self.front
        ]
        states = [trial.state for trial in self.trials]
        counts = {state: states.count(state) for state in sorted(set(states))}
        return {"folder": str(self.folder), "objectives": list(self.spec.objectives), "trials": counts, "front": points}


def search(
    spec: str | Path | Mapping[str, Any] | SearchSpec,
    folder: str | Path,
    *,
    trials: int | None = None,
    workers_at: str | None = None,
    data: str | Path | None = None,
    on_trial: OnTrial | None = None,
    evaluate: Evaluate = evaluate_here,
) -> SearchResult:
    """Search for networks; goes on where an earlier search with the same specification has stopped.

    Parameters
    ----------
    spec : path, mapping or SearchSpec
    folder : path
        Receives ``study.db`` (Optuna's storage), ``trials.csv``, ``search.json``, the recipes (``best.yaml``, or
        ``front/<trial>.yaml`` where there are several objectives) and a picture, ``front.png``.
    trials : int, optional
        Candidates that are evaluated in all, earlier ones counted; default: the specification's.
    workers_at : str, optional
        Address of a Dask scheduler, whose workers evaluate the trials; default: this process.
    data : path, optional
        The data set's folder, on the machines that evaluate.
    on_trial : callable, optional
        Called after each trial, a rejected one too, with its record, the number of trials evaluated, and how many
        there are to be.
    evaluate : callable
        Job -> outcome, see :func:`bitexpert.flow.search.evaluate.evaluate`.

    Raises
    ------
    SearchError
        The specification, the folder or the workers can't be used; all trials failed (names the first reason); or
        no candidate is left that is not rejected.
    DataError
        The data set isn't there and can't be downloaded.
    """
    spec, folder = load_spec(spec), Path(folder)
    wanted = spec.trials if trials is None else trials
    if wanted < 1:
        raise SearchError(f"the number of trials must be at least 1, not {wanted}")
    if spec.training is not None and workers_at is None and evaluate is evaluate_here:
        load_images(spec.recipe, None if data is None else Path(data))  # else each trial would fail by them
    _check_folder(folder)
    with workers(workers_at, evaluate) as pool, locked(_made(folder)):
        study, storage = _open(folder, spec)
        loop = _Loop(study, spec, folder, wanted, pool, None if data is None else str(data), on_trial)
        try:
            loop.run()
        finally:
            storage.remove_session()
        records = loop.records()
        complete = [r for r in records if r.state == "complete"]
        write_table(folder / "trials.csv", records, spec)
        if not complete:
            reason = next((r.reason for r in records if r.state == "failed"), loop.last_rejection)
            raise SearchError(
                f"all {len(records)} trials failed or were rejected; the first reason: {reason}. They count: once that"
                " is mended, search into another folder, or for more --trials"
            )
        recipes = write_results(folder, records, spec)
        if loop.exhausted:
            raise SearchError(
                f"{MOST_REJECTED} candidates in a row were rejected; the last reason: {loop.last_rejection}. Widen the"
                f" space or the constraints; what was found is in {folder}"
            )
        return SearchResult(folder, spec, tuple(records), tuple(front(records, spec)), recipes)


def _check_folder(folder: Path) -> None:
    try:
        if folder.exists() and not folder.is_dir():
            raise SearchError(f"the output {folder} is a file; choose a folder")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / STORAGE).exists():
            raise SearchError(f"the output folder {folder} is not empty and holds no search; choose another")
    except OSError as error:
        raise SearchError(f"cannot read the output folder {folder}: {error.strerror}") from None


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SearchError(f"cannot write to the output folder {folder}: {error.strerror}") from None
    return folder


def _identity(spec: SearchSpec) -> dict[str, Any]:
    """What a search must have in common with the one it goes on with."""
    return json.loads(spec.model_dump_json(exclude={"trials"}))


def _open(folder: Path, spec: SearchSpec) -> tuple[Study, RDBStorage]:
    """The study of the folder, new or with earlier trials; those that a kill has cut off are put away."""
    import optuna
    from sqlalchemy import URL
    from sqlalchemy.exc import SQLAlchemyError

    url = URL.create("sqlite", database=str(folder / STORAGE)).render_as_string()
    try:
        with quiet():
            storage = optuna.storages.RDBStorage(url)
            study = optuna.create_study(
                storage=storage,
                study_name="search",
                directions=[DIRECTIONS[name] for name in spec.objectives],
                load_if_exists=True,
            )
            earlier = study.user_attrs.get("spec")
            if earlier is None:
                study.set_user_attr("spec", _identity(spec))
            lost = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    except (SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError) as error:
        text = str(error).splitlines()[0]
        raise SearchError(f"{folder / STORAGE} can't be used ({text}); search into a new folder") from None
    if earlier is not None and earlier != _identity(spec):
        raise SearchError(
            f"{folder} holds a search with another {_difference(earlier, _identity(spec))}; search into another folder"
        )
    for trial in lost:
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study, storage


def _difference(old: Any, new: Any, key: str = "") -> str:
    """The first key in which two specifications differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(n for n in new if n not in old)]:
            if old.get(name) != new.get(name):
                return _difference(old.get(name), new.get(name), f"{key}.{name}".lstrip("."))
    return key or "specification"


def _sampler(spec: SearchSpec, index: int) -> BaseSampler:
    """A sampler for one trial: a search that is stopped and goes on asks for the same as one that isn't."""
    from optuna import samplers

    seed = int(np.random.SeedSequence([spec.seed, index]).generate_state(1)[0])
    if spec.sampler == "nsga2":
        return samplers.NSGAIISampler(seed=seed)
    return samplers.TPESampler(seed=seed) if spec.sampler == "tpe" else samplers.RandomSampler(seed=seed)


class _Loop:
    """Asks, submits and tells until enough trials are evaluated."""

    def __init__(
        self,
        study: Study,
        spec: SearchSpec,
        folder: Path,
        wanted: int,
        pool: Workers,
        data: str | None,
        on_trial: OnTrial | None,
    ) -> None:
        self._study, self._spec, self._folder, self._wanted = study, spec, folder, wanted
        self._pool, self._data, self._on_trial = pool, data, on_trial
        self._target = operations_target(spec)
        self._rejected = 0
        self.last_rejection = ""
        earlier = self.records()
        self._evaluated = sum(r.state in ("complete", "failed") for r in earlier)
        self._asked = sum(r.state != "lost" for r in earlier)
        self._running: dict[int, Any] = {}  # number -> Optuna's trial

    def records(self) -> list[TrialRecord]:
        """All trials so far."""
        trials = self._study.get_trials(deepcopy=False)
        return [TrialRecord.of(trial, self._spec.space.scale_name) for trial in trials]

    @property
    def exhausted(self) -> bool:
        """Whether the sampler finds nothing that is not rejected."""
        return self._rejected >= MOST_REJECTED

    def run(self) -> None:
        """Evaluate trials until there are enough, or too many in a row were rejected."""
        while (self._evaluated < self._wanted and not self.exhausted) or self._running:
            while self._evaluated + len(self._running) < self._wanted and not self.exhausted and self._pool.free():
                self._start()
            if self._running:
                for number, outcome in self._pool.wait():
                    self._tell(self._running.pop(number), outcome)

    def _start(self) -> None:
        """Ask for a candidate, and submit it unless its figures are known or it is rejected."""
        self._study.sampler = _sampler(self._spec, self._asked)
        self._asked += 1
        with quiet():
            trial = self._study.ask()
        try:
            candidate = propose(trial, self._spec, self._target)
        except Rejected as error:
            self._tell(trial, {"state": "rejected", "figures": {}, "reason": str(error), "seconds": 0.0})
            return
        trial.set_user_attr("scale", candidate.scale)
        trial.set_user_attr("config", candidate.config)
        trial.set_user_attr("bops", candidate.bops)
        known = [r for r in self.records() if r.state in ("complete", "rejected") and r.same_as is None]
        twin = next((r for r in known if r.config == candidate.config), None)
        if twin is not None:
            trial.set_user_attr("same_as", twin.number)
            self._tell(trial, {"state": twin.state, "figures": twin.figures, "reason": twin.reason, "seconds": 0.0})
            return
        self._running[trial.number] = trial
        self._pool.submit(trial.number, self._job(trial.number, candidate))

    def _job(self, number: int, candidate: Candidate) -> dict[str, Any]:
        spec = self._spec
        recipe = with_network(spec.recipe, f"{spec.name}-{number}", spec.space.network, candidate.config)
        parts = {
            "recipe": recipe,
            "training": spec.training,
            "hardware": spec.hardware,
        }
        job = {key: None if part is None else part.model_dump(mode="json") for key, part in parts.items()}
        return {**job, "data": self._data}

    def _tell(self, trial: Any, outcome: dict[str, Any]) -> None:
        """Keep an outcome in the study; Optuna's state comes last, so that a kill leaves a trial that is lost."""
        from optuna.trial import TrialState

        state = outcome["state"]
        figures = {key: float(value) for key, value in outcome["figures"].items()}
        if "bops" in trial.user_attrs:
            figures["bops"] = float(trial.user_attrs["bops"])
        missing = [name for name in self._spec.objectives if not np.isfinite(figures.get(name, np.nan))]
        if state == "complete" and missing:
            state, outcome = "failed", {**outcome, "reason": f"it gave no finite number for {missing[0]}"}
        told = {"state": state, "figures": figures, "reason": outcome["reason"], "seconds": outcome["seconds"]}
        for key, value in told.items():
            trial.set_user_attr(key, value)
        with quiet():
            match state:
                case "complete":
                    self._study.tell(trial, [figures[name] for name in self._spec.objectives])
                case "rejected":
                    self._study.tell(trial, state=TrialState.PRUNED)
                case _:
                    self._study.tell(trial, state=TrialState.FAIL)
        if state == "rejected":
            self._rejected += 1
            self.last_rejection = outcome["reason"]
        else:
            self._rejected = 0
            self._evaluated += 1
        records = self.records()
        write_table(self._folder / "trials.csv", records, self._spec)
        if self._on_trial:
            self._on_trial(records[trial.number], self._evaluated, self._wanted)
