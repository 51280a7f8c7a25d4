"""Runs the proofs: `python -m bitexpert.formal [--mutants] [--keep FOLDER] [NAME ...]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from ..errors import BitexpertError
from .mutants import MUTANTS
from .proofs import PROOFS, Proof
from .runner import FAIL, PASS, Result, check_paths, prove, reach_covers


def main(arguments: list[str] | None = None) -> int:
    """Runs what is asked for and prints a line for each; the exit status is 1 if something is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m bitexpert.formal", description=__doc__)
    parser.add_argument("names", nargs="*", default=["*"], metavar="NAME", help="proofs to run; * stands for anything")
    parser.add_argument("--mutants", action="store_true", help="plant bugs, which these proofs must find")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep logs and traces there")
    parser.add_argument("--list", action="store_true", help="only tell what there is")
    options = parser.parse_args(arguments)

    proofs = {proof.name: proof for proof in PROOFS if any(fnmatch(proof.name, name) for name in options.names)}
    if not proofs:
        parser.error(f"no proof is called {' or '.join(options.names)}; --list names them")
    if options.list:
        for proof in proofs.values():
            print(f"{proof.name:24} {_extent(proof):12} {dict(proof.parameters)}")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        runs = (_mutants if options.mutants else _proofs)(proofs, options.keep or Path(scratch))
        try:
            good = [_report(run, kept=options.keep is not None) for run in runs]
        except BitexpertError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
    return int(not all(good))


def _extent(proof: Proof) -> str:
    return f"{proof.depth} cycles" if proof.bounded else "unbounded"


@dataclass(frozen=True)
class Run:
    """Something to run, and how it has to end."""

    name: str
    start: Callable[[], Result]
    wanted: str


def _proofs(proofs: dict[str, Proof], folder: Path) -> Iterator[Run]:
    for proof in proofs.values():
        yield Run(f"{proof.name}, {_extent(proof)}", partial(prove, proof, folder / proof.name), PASS)
        if proof.cover_depth:
            yield Run(f"{proof.name}, covers", partial(reach_covers, proof, folder / proof.name), PASS)
        if proof.streams:
            yield Run(f"{proof.name}, paths", partial(check_paths, proof, folder / proof.name), PASS)


def _mutants(proofs: dict[str, Proof], folder: Path) -> Iterator[Run]:
    for mutant in MUTANTS:
        if mutant.proof in proofs:
            place = folder / mutant.name.replace(" ", "_")
            yield Run(mutant.name, partial(prove, proofs[mutant.proof], place, mutant), FAIL)


def _report(run: Run, kept: bool) -> bool:
    """Runs something, prints how it ended, and tells whether it ended as wanted."""
    print(f"{run.name:44} ", end="", flush=True)
    result = run.start()
    good = result.status == run.wanted
    status = result.status if good else f"{result.status}, not {run.wanted}"
    print(f"{status} {result.seconds:.1f} s  {'; '.join(result.causes)}")
    if result.trace and kept:
        print(f"    {result.trace}")
    return good


if __name__ == "__main__":
    sys.exit(main())
