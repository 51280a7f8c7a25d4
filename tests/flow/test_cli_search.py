import json

import pytest
import yaml
from bitexpert.flow import api
from bitexpert.flow.cli import main
from bitexpert.flow.search import search
from rich.console import Console
from searchspecs import figures, spec


@pytest.fixture
def run(capsys):
    """Run the command in this process: (exit status, stdout, stderr)."""

    def go(*words) -> tuple[int, str, str]:
        status = main(["search", *map(str, words)])
        out, err = capsys.readouterr()
        return status, out, err

    return go


@pytest.fixture
def written(tmp_path):
    """A specification as a file."""

    def go(**changes):
        path = tmp_path / "spec.yaml"
        path.write_text(yaml.safe_dump(spec(**changes)))
        return path

    return go


@pytest.fixture
def quick(monkeypatch):
    """Figures without training; the words that the command gave are noted."""
    noted = {}

    def run_quickly(given, folder, *, trials, workers, data, on_trial):
        noted.update(workers=workers, data=data)
        return search(given, folder, trials=trials, on_trial=on_trial, evaluate=figures)

    monkeypatch.setattr(api, "search", run_quickly)
    return noted


def test_a_real_search_of_digits_and_its_continuation(run, written, tmp_path):
    """Two candidates, trained for an epoch and estimated; then a third one, beside the two."""
    out = tmp_path / "out"
    stages = [{"tau": [1, 2]}, {"depth": [1, 2]}]
    small = {"network": "vgg", "width": {"low": 4, "high": 8, "step": 4}, "stages": stages}
    path = written(space=small, trials=2, operations={"target": 30_000, "tolerance": 90})
    status, text, err = run(path, "-o", out, "--json")
    assert (status, err) == (0, "")
    found = json.loads(text)
    assert sum(found["trials"].values()) - found["trials"].get("rejected", 0) == 2
    table = (out / "trials.csv").read_text()
    status, text, err = run(path, "-o", out, "--trials", "3", "--json")
    assert (status, err) == (0, "")
    longer = json.loads(text)
    assert longer["trials"]["complete"] == 3
    first = [line.split(",")[3:] for line in table.splitlines()[1:]]
    assert [line.split(",")[3:] for line in (out / "trials.csv").read_text().splitlines()[1 : len(first) + 1]] == first
    for point in longer["front"]:
        assert 0 < point["accuracy"] < 1
        assert 0 < point["luts"] < 53_200
        assert 3_000 <= point["bops"] <= 57_000


def test_lines_and_summary(run, written, quick, tmp_path):
    out = tmp_path / "with [bold]odd[/] :x: name"
    status, text, err = run(written(), "-o", out, "--trials", 2, "--workers", "tcp://x:1", "--data", tmp_path)
    assert (status, err) == (0, "")
    lines = text.splitlines()
    assert lines[0].startswith("trial 0: 9")
    assert lines[0].endswith(" LUTs [1/2]")
    assert " BOPs, " in lines[0]
    assert lines[2] == "2 candidates: 2 complete; the best:"
    assert lines[3].startswith(f"  {out}/front/")
    assert lines[-1].startswith(f"all trials: {out}/trials.csv, picture: {out}/front.png")
    assert quick == {"workers": "tcp://x:1", "data": tmp_path}


def test_a_bar_on_a_terminal(run, written, quick, monkeypatch, tmp_path):
    monkeypatch.setattr("bitexpert.flow.cli.errors._force_terminal", True)
    assert Console(force_terminal=True).is_terminal
    status, text, err = run(written(), "-o", tmp_path / "out", "--trials", 2)
    assert status == 0
    assert text.splitlines()[0] == "2 candidates: 2 complete; the best:"
    assert "2/2" in err
    assert "ETA" in err


def test_what_is_refused(run, written, quick, tmp_path):
    for changes, words, message in [
        ({}, ["--trials", "0"], "Invalid value for '--trials'"),
        ({"objectives": ["speed"]}, [], "spec.yaml: objectives.0: "),
        (None, [], "cannot read the search"),
    ]:
        path = tmp_path / "none.yaml" if changes is None else written(**changes)
        status, out, err = run(path, "-o", tmp_path / "out", *words)
        assert (status, out) == (2, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert message in err
    assert not (tmp_path / "out").exists()
