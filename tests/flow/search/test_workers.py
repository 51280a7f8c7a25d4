"""Trials on a Dask cluster on this machine; inner functions, as modules of tests are unknown to its workers."""

import os
import sys

import pytest
from bitexpert.flow.search import SearchError, search, workers
from searchspecs import figures, spec

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes, which come back when they die."""
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(processes=True, **settings) as found:
        yield found


def test_trials_run_in_the_workers(cluster, tmp_path):
    def traced(job):
        outcome = figures(job)
        return {**outcome, "figures": {**outcome["figures"], "fps": os.getpid()}}

    result = search(spec(trials=8), tmp_path, workers_at=cluster.scheduler_address, evaluate=traced)
    assert [t.state for t in result.trials] == ["complete"] * 8
    processes = {t.figures["fps"] for t in result.trials if t.same_as is None}
    assert len(processes) == 2
    assert os.getpid() not in processes
    for trial in result.trials:
        job = {"recipe": {"network": {"config": trial.config}}}
        assert trial.figures["luts"] == figures(job)["figures"]["luts"]


def test_a_worker_that_dies_fails_its_trial_and_no_other(cluster, tmp_path):
    def deadly(job):
        if job["recipe"]["name"] == "small-1":
            os._exit(1)
        return figures(job)

    result = search(spec(trials=6), tmp_path, workers_at=cluster.scheduler_address, evaluate=deadly)
    states = [t.state for t in result.trials]
    assert states == ["complete", "failed", *["complete"] * 4]
    assert "died, or left the cluster, during the trial" in result.trials[1].reason


def test_what_a_worker_cannot_do_is_a_failure(cluster, tmp_path):
    def impossible(job):
        raise ModuleNotFoundError("No module named 'bitexpert'")

    with pytest.raises(SearchError, match="the worker could not do it: ModuleNotFoundError: No module named"):
        search(spec(trials=2), tmp_path, workers_at=cluster.scheduler_address, evaluate=impossible)


def test_a_worker_with_another_version_is_refused(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "__version__", "9.9")
    with pytest.raises(SearchError, match=r"the worker tcp://.* has bitexpert .*, and this is 9\.9; install the same"):
        search(spec(), tmp_path, workers_at=cluster.scheduler_address, evaluate=figures)


def test_a_scheduler_that_goes_ends_the_search(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_PATIENCE", 1)
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as own:
        address = own.scheduler_address
        with pytest.raises(SearchError, match=r"the scheduler is gone|the cluster has no workers"):
            search(spec(), tmp_path, workers_at=address, evaluate=figures, on_trial=lambda *_: own.close())
    result = search(spec(), tmp_path, evaluate=figures)
    assert [t.state for t in result.trials if t.state != "lost"] == ["complete"] * 6


def test_no_scheduler_no_workers_no_dask(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_PATIENCE", 1)
    with pytest.raises(SearchError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9 .*dask scheduler"):
        search(spec(), tmp_path / "a", workers_at="tcp://127.0.0.1:9", evaluate=figures)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty,
        pytest.raises(SearchError, match="the cluster has no workers"),
    ):
        search(spec(), tmp_path / "b", workers_at=empty.scheduler_address, evaluate=figures)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SearchError, match=r"pip install 'bitexpert\[cluster\]'"):
        search(spec(), tmp_path / "c", workers_at="tcp://127.0.0.1:9", evaluate=figures)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "c").exists()
