"""The resource model is the fit of the committed sweep, and stays near it."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
from bitexpert.hw.ops.fork import Fork
from bitexpert.hw.resources import read_factors
from bitexpert.hw.types import BIPOLAR, StreamType

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(BENCH))
    try:
        import resource_fit
        import resource_sweep
    finally:
        sys.path.remove(str(BENCH))
    return resource_fit, resource_sweep


@pytest.fixture(scope="module")
def measured(bench):
    return bench[0].samples()


def all_errors(bench, measured, factors, resource="lut"):
    return np.concatenate(list(bench[0].errors(measured, factors, resource).values()))


def test_every_cell_has_been_measured(bench, measured):
    wanted = {(cell.kind, cell.name) for cell in bench[0].cells()}
    assert {(cell.kind, cell.name) for cell, _ in measured} == wanted == set(bench[1].read())


def test_the_factors_are_the_fit_of_the_sweep(bench, measured):
    fitted, known = bench[0].fit(measured), read_factors()
    assert fitted.keys() == known.keys()
    for model, resources in known.items():
        for resource, factors in resources.items():
            assert fitted[model][resource] == pytest.approx(factors, abs=2e-3), (model, resource)


def test_the_model_is_near_the_cells_that_it_was_fitted_to(bench, measured):
    lut, ff = (all_errors(bench, measured, read_factors(), resource) for resource in ("lut", "ff"))
    assert np.median(lut) < 0.06
    assert np.max(lut) < 0.30
    assert np.median(ff) < 0.04
    assert np.max(ff) < 0.33


def test_a_wrong_factor_shows(bench, measured):
    wrong = copy.deepcopy(read_factors())
    wrong["MatVec of bits"]["lut"]["popcount"] = 1.6
    assert np.max(all_errors(bench, measured, wrong)) > 0.35


def test_memories_and_dsps_follow_the_rules(bench, measured):
    wrong = {resource: len(names) for resource, names in bench[0].memories_differ(measured).items()}
    # LUTRAM: shapes and shift registers that only Yosys knows; block RAM: one Threshold with two more
    assert wrong["lutram"] <= len(measured) * 0.03
    assert wrong["bram18"] <= len(measured) * 0.01
    assert wrong["dsp"] == 0


def test_a_cell_is_measured_again_when_its_rtl_changes(bench, monkeypatch, tmp_path):
    fit, sweep = bench
    cell = next(c for c in fit.cells() if c.kind == "Fork")
    before = sweep.key(cell)
    assert before == sweep.key(cell)
    (tmp_path / "bx_fork.sv").write_text((sweep.RTL / "bx_fork.sv").read_text() + "// changed\n")
    monkeypatch.setattr(sweep, "RTL", tmp_path)
    assert sweep.key(cell) != before


def test_a_measured_cell_is_what_synthesis_finds(bench):
    sweep = bench[1]
    from resource_cells import Cell

    usage = sweep.measure(Cell(Fork(StreamType(BIPOLAR, (4, 4, 8)), 2), {"PE": 8}))
    assert usage.ff == 2
    assert 0 < usage.lut < 10
