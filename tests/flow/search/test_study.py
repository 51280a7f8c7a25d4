import csv
import json
import sqlite3

import pytest
from bitexpert.flow.lock import BusyError, locked
from bitexpert.flow.search import SearchError, search, study
from bitexpert.models.datasets import DataError
from bitexpert.models.recipe import Recipe, load_recipe, save_recipe
from searchspecs import STEPS, figures, spec


def configs(result) -> list[dict]:
    return [trial.config for trial in result.trials if trial.state != "lost"]


def rows(folder) -> list[dict[str, str]]:
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def rejecting(monkeypatch):
    """Rejects the networks of which a function says so, before their evaluation."""

    def go(is_bad):
        real = study.propose

        def propose(*args):
            candidate = real(*args)
            if is_bad(candidate):
                raise study.Rejected("not this one")
            return candidate

        monkeypatch.setattr(study, "propose", propose)

    return go


def test_what_a_search_leaves_behind(tmp_path):
    told = []
    result = search(spec(), tmp_path, evaluate=figures, on_trial=lambda *args: told.append(args))
    assert [(record.number, done, wanted) for record, done, wanted in told] == [(i, i + 1, 6) for i in range(6)]
    table = rows(tmp_path)
    assert [(row["trial"], row["state"]) for row in table] == [(str(i), "complete") for i in range(6)]
    for row, trial in zip(table, result.trials, strict=True):
        assert float(row["luts"]) == trial.figures["luts"]
        assert float(row["accuracy"]) == pytest.approx(trial.figures["accuracy"], rel=1e-9)
        assert row["stage0.depth"] == str(trial.parameters["stage0.depth"])
        assert row["width"] == str(trial.config["blocks"][0]["width"])
        assert int(row["on_front"]) == (trial in result.front)
    # of these figures the larger one is also the better one: all networks that differ are on the front
    assert {t.figures["luts"] for t in result.front} == {t.figures["luts"] for t in result.trials}
    accuracies = [t.figures["accuracy"] for t in result.front]
    assert accuracies == sorted(accuracies, reverse=True)
    assert {path.name for path in (tmp_path / "front").iterdir()} == {f"{t.number}.yaml" for t in result.front}
    base = load_recipe("digits")
    for trial in result.front:
        recipe = load_recipe(result.recipes[trial.number])
        assert (recipe.network.name, recipe.network.config) == ("vgg", trial.config)
        assert (recipe.name, recipe.training, recipe.dataset) == (f"small-{trial.number}", base.training, base.dataset)
    report = json.loads((tmp_path / "search.json").read_text())
    assert report["front"] == [t.number for t in result.front]
    assert len(report["trials"]) == 6
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert result.as_dict()["trials"] == {"complete": 6}


def test_the_seed_gives_the_trials(tmp_path):
    runs = [search(spec(seed=seed), tmp_path / str(i), evaluate=figures) for i, seed in enumerate((3, 3, 4))]
    assert configs(runs[0]) == configs(runs[1])
    assert configs(runs[0]) != configs(runs[2])


@pytest.mark.parametrize(("sampler", "trials"), [("tpe", 13), ("nsga2", 7), ("random", 7)])
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path, sampler, trials):
    settings = spec(sampler=sampler, trials=trials)
    whole = search(settings, tmp_path / "whole", evaluate=figures)
    calls = []

    def stopped(job):
        calls.append(job)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return figures(job)

    with pytest.raises(KeyboardInterrupt):
        search(settings, tmp_path / "parts", evaluate=stopped)
    assert [row["state"] for row in rows(tmp_path / "parts")].count("complete") >= 3
    search(settings, tmp_path / "parts", trials=5, evaluate=figures)
    parts = search(settings, tmp_path / "parts", evaluate=figures)
    assert configs(parts) == configs(whole)
    assert [t.state for t in parts.trials].count("lost") == 1

    def nothing_left(job):
        raise AssertionError("all trials are there")

    assert search(settings, tmp_path / "parts", evaluate=nothing_left).trials == parts.trials


def test_another_search_is_refused(tmp_path):
    search(spec(trials=1), tmp_path, evaluate=figures)
    search(spec(trials=2), tmp_path, evaluate=figures)  # more trials are the same search
    for changes, key in [
        ({"seed": 4}, "seed"),
        ({"training": {"epochs": 2}}, "training.epochs"),
        ({"recipe": {"name": "other", "steps": STEPS}}, "recipe.name"),
        ({"operations": {}}, "operations"),
    ]:
        with pytest.raises(SearchError, match=f"holds a search with another {key}; search into another folder"):
            search(spec(**changes), tmp_path, evaluate=figures)


def test_failed_trials_are_kept_and_do_not_stop_the_search(tmp_path):
    def moody(job):
        if "experts" in str(job["recipe"]["network"]["config"]):
            return {"state": "failed", "figures": {}, "reason": "the training, it diverged", "seconds": 2.0}
        return figures(job)

    result = search(spec(trials=8), tmp_path, evaluate=moody)
    states = [t.state for t in result.trials]
    assert states.count("failed") + states.count("complete") == 8
    assert min(states.count("failed"), states.count("complete")) > 0
    assert all(t.state == "complete" for t in result.front)
    failed = [row for row in rows(tmp_path) if row["state"] == "failed"]
    assert {row["reason"] for row in failed} == {"the training, it diverged"}
    assert {row["luts"] for row in failed} == {""}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_figure_that_is_no_number_is_a_failure(tmp_path, value):
    def evaluate(job):
        luts = {} if value is None else {"luts": value}
        return {"state": "complete", "figures": {"accuracy": 0.5, **luts}, "reason": "", "seconds": 0}

    with pytest.raises(SearchError, match=r"all 2 trials failed .*first reason: it gave no finite number for luts"):
        search(spec(trials=2), tmp_path, evaluate=evaluate)


def test_a_search_of_which_everything_fails_ends_with_the_first_reason(tmp_path):
    count = iter(range(10))

    def broken(job):
        return {"state": "failed", "figures": {}, "reason": f"reason {next(count)}", "seconds": 0}

    with pytest.raises(SearchError, match="all 3 trials failed or were rejected; the first reason: reason 0"):
        search(spec(trials=3), tmp_path, evaluate=broken)
    assert [row["reason"] for row in rows(tmp_path)] == ["reason 0", "reason 1", "reason 2"]


def test_rejected_candidates_are_not_evaluated_and_do_not_count(tmp_path, rejecting):
    rejecting(lambda candidate: "expert" in str(candidate.config))
    seen = []

    def evaluate(job):
        seen.append(job["recipe"]["network"]["config"])
        return figures(job)

    result = search(spec(), tmp_path, evaluate=evaluate)
    states = [t.state for t in result.trials]
    assert states.count("complete") == 6
    assert states.count("rejected") > 0
    assert not any("expert" in str(config) for config in seen)
    assert {t.reason for t in result.trials if t.state == "rejected"} == {"not this one"}


def test_a_search_that_finds_only_rejected_candidates_ends(tmp_path, rejecting, monkeypatch):
    monkeypatch.setattr(study, "MOST_REJECTED", 5)
    evaluated = []

    def evaluate(job):
        evaluated.append(job)
        return figures(job)

    rejecting(lambda candidate: len(evaluated) == 2)
    with pytest.raises(SearchError, match=r"5 candidates in a row .*; the last reason: not this one\. Widen"):
        search(spec(), tmp_path / "some", evaluate=evaluate)
    assert (tmp_path / "some" / "front.png").exists()
    evaluated.clear()
    rejecting(lambda candidate: True)
    with pytest.raises(SearchError, match="all 5 trials failed or were rejected; the first reason: not this one"):
        search(spec(), tmp_path / "none", evaluate=evaluate)


def test_a_network_is_evaluated_once(tmp_path):
    seen = []

    def evaluate(job):
        seen.append(str(job["recipe"]["network"]["config"]))
        return figures(job)

    small = {"network": "vgg", "width": {"low": 4, "high": 4}, "stages": [{"depth": [1, 2], "tau": [1, 2]}]}
    result = search(spec(space=small, trials=10), tmp_path, evaluate=evaluate)
    assert len(set(seen)) == len(seen) <= 4
    copies = [t for t in result.trials if t.same_as is not None]
    assert len(copies) == 10 - len(seen)
    for copy in copies:
        assert copy.figures == result.trials[copy.same_as].figures
        assert copy.config == result.trials[copy.same_as].config
    assert not {t.number for t in copies} & set(result.recipes)


def test_one_objective_has_one_best_recipe(tmp_path):
    settings = spec(objectives=["bops"], training=None, hardware=None)
    result = search(settings, tmp_path, evaluate=figures)
    (best,) = result.front
    assert best.figures["bops"] == min(t.figures["bops"] for t in result.trials)
    assert load_recipe(tmp_path / "best.yaml").network.config == best.config
    assert not (tmp_path / "front").exists()
    assert (tmp_path / "front.png").exists()


def test_recipes_that_are_beaten_leave_the_front(tmp_path):
    def worse_and_worse(job):
        rank = 10 - int(job["recipe"]["name"].rpartition("-")[2])
        return {"state": "complete", "figures": {"accuracy": 1 / rank, "luts": rank}, "reason": "", "seconds": 0}

    first = search(spec(trials=1), tmp_path, evaluate=worse_and_worse)
    assert [p.name for p in (tmp_path / "front").iterdir()] == ["0.yaml"]
    then = search(spec(trials=3), tmp_path, evaluate=worse_and_worse)
    assert [p.name for p in (tmp_path / "front").iterdir()] == ["2.yaml"]
    assert [t.number for t in (*first.front, *then.front)] == [0, 2]


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(SearchError, match="is not empty and holds no search"):
        search(spec(), tmp_path / "mine", evaluate=figures)
    with pytest.raises(SearchError, match="is a file"):
        search(spec(), tmp_path / "mine" / "thesis.tex", evaluate=figures)
    with pytest.raises(SearchError, match="number of trials must be at least 1, not 0"):
        search(spec(), tmp_path / "none", trials=0, evaluate=figures)
    odd = tmp_path / "an odd?%20 [name]#"
    search(spec(trials=1), odd, evaluate=figures)
    assert (odd / "study.db").exists()
    with locked(odd), pytest.raises(BusyError):
        search(spec(trials=2), odd, evaluate=figures)
    (odd / "study.db").write_bytes(b"no database" * 100)
    with pytest.raises(SearchError, match=r"study\.db can't be used .*; search into a new folder"):
        search(spec(trials=2), odd, evaluate=figures)
    (tmp_path / "foreign").mkdir()
    sqlite3.connect(tmp_path / "foreign" / "study.db").execute("create table trials (a int)").connection.close()
    with pytest.raises(SearchError, match=r"study\.db can't be used"):
        search(spec(trials=2), tmp_path / "foreign", evaluate=figures)


def test_missing_data_ends_a_search_before_its_first_trial(tmp_path):
    recipe = load_recipe("digits").model_dump(mode="json")
    recipe["dataset"] |= {"name": "mnist"}
    file = save_recipe(Recipe.model_validate(recipe), tmp_path / "mnist.yaml")
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match="MNIST"):
        search(spec(recipe=str(file)), tmp_path / "found", data=tmp_path / "data")
    assert not (tmp_path / "found").exists()
