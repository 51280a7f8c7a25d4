"""Fits the factors of the resource model to the sweep.

    python bench/resource_fit.py            how well the model fits the sweep
    python bench/resource_fit.py --fit      fit it again and write hw/resource_factors.json

A factor is never negative, and the sum of the squared relative errors is the least that is possible; an error of a few
LUTs does not count as large on a cell that has only a few.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence

import numpy as np
from bitexpert.flow.templates import write_text
from bitexpert.hw.resources import FACTORS, Factors, read_factors, weighted
from graphs import table
from resource_cells import Cell, cells
from resource_sweep import read
from scipy.optimize import nnls

# An error counts as a share of what synthesis finds, but of at least this many LUTs or flip-flops.
FLOOR = 30
DIGITS = 4

Sample = tuple[Cell, dict[str, str]]


def samples() -> list[Sample]:
    """The cells that have been measured."""
    rows = read()
    return [(cell, rows[place]) for cell in cells() if (place := (cell.kind, cell.name)) in rows]


def fit(measured: Sequence[Sample]) -> dict[str, dict[str, dict[str, float]]]:
    """The factors of every model."""
    factors: dict[str, dict[str, dict[str, float]]] = {}
    terms = [(cell.op.terms(cell.folding), row) for cell, row in measured]
    models = [each.model(cell.kind) for (cell, _), (each, _) in zip(measured, terms, strict=True)]
    for model in sorted(set(models)):
        of_model = [pair for name, pair in zip(models, terms, strict=True) if name == model]
        factors[model] = {
            resource: _solve([getattr(each, resource) for each, _ in of_model], [int(r[resource]) for _, r in of_model])
            for resource in ("lut", "ff")
        }
    return factors


def _solve(amounts: Sequence[Mapping[str, float]], found: Sequence[int]) -> dict[str, float]:
    """Factors of the terms."""
    names = sorted(amounts[0])
    matrix = np.array([[terms[name] for name in names] for terms in amounts], dtype=float)
    target = np.array(found, dtype=float)
    scale = np.maximum(target, FLOOR)
    solved, _ = nnls(matrix / scale[:, None], target / scale)
    return {name: round(float(value), DIGITS) for name, value in zip(names, solved, strict=True)}


def errors(measured: Sequence[Sample], factors: Factors, resource: str = "lut") -> dict[str, np.ndarray]:
    """Of every model the relative errors of its cells that are at least as large as FLOOR."""
    found: dict[str, list[float]] = {}
    for cell, row in measured:
        of_kind, there = found.setdefault(cell.op.terms(cell.folding).model(cell.kind), []), int(row[resource])
        if there >= FLOOR:
            estimate = weighted(cell.kind, cell.op.terms(cell.folding), factors)
            of_kind.append(abs(getattr(estimate, resource) / there - 1))
    return {model: np.array(values) for model, values in found.items()}


def memories_differ(measured: Sequence[Sample]) -> dict[str, list[str]]:
    """Of "lutram", "bram18" and "dsp" the cells that are estimated wrong: rules make these, no factors."""
    wrong: dict[str, list[str]] = {"lutram": [], "bram18": [], "dsp": []}
    for cell, row in measured:
        estimate = cell.op.terms(cell.folding).rest
        there = {"lutram": row["lutram"], "bram18": int(row["bram18"]) + 2 * int(row["bram36"]), "dsp": row["dsp"]}
        for resource, names in wrong.items():
            if round(getattr(estimate, resource)) != int(there[resource]):
                names.append(f"{cell.kind} {cell.name}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="fit and write the factors")
    args = parser.parse_args()
    measured = samples()
    if args.fit:
        write_text(FACTORS, json.dumps(fit(measured), indent=1) + "\n")
    factors = read_factors()
    of_lut, of_ff = errors(measured, factors), errors(measured, factors, "ff")
    rows = [
        [model, sum(c.op.terms(c.folding).model(c.kind) == model for c, _ in measured)]
        + [f"{100 * f(of[model]):.1f}" if len(of[model]) else "" for of in (of_lut, of_ff) for f in (np.median, np.max)]
        for model in sorted(of_lut)
    ]
    columns = ["kind", "cells", "LUT error %, median", "worst", "FF error %, median", "worst"]
    print(table(f"cells that the model was fitted to; errors of those with {FLOOR} and more", columns, rows))
    for resource, names in memories_differ(measured).items():
        print(f"{resource}: {len(names)} of {len(measured)} cells are estimated wrong")


if __name__ == "__main__":
    main()
