"""Synthesises the cells that the resource model is fitted to.

    python bench/resource_sweep.py [--only MatVec] [--all] [-j 1]

Writes ``bench/resource_sweep.csv``, a line a cell, as they come: a run that was stopped goes on where it was. A cell
is measured again if its RTL, Yosys or the commands have changed since. One cell takes 3 to 30 seconds of one core.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from bitexpert.flow.templates import write_text
from bitexpert.sim.usage import Usage
from bitexpert.sim.yosys import synthesise, yosys_digest
from resource_cells import Cell, cells

DATA = Path(__file__).with_name("resource_sweep.csv")
RTL = Path(__file__).parents[1] / "hw" / "rtl"
FAMILY = "xc7"
COLUMNS = ("kind", "cell", "lut", "lc", "ff", "lutram", "srl", "bram18", "bram36", "dsp", "key")

Rows = dict[tuple[str, str], dict[str, str]]


def read(path: Path = DATA) -> Rows:
    """Lines of the data file by kind and cell; none if there is no file."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {(row["kind"], row["cell"]): row for row in csv.DictReader(file)}


def _sources(cell: Cell) -> list[Path]:
    rtl = cell.op.rtl(cell.folding)
    return [RTL / f"{module}.sv" for module in (*rtl.submodules, rtl.module)]


def key(cell: Cell) -> str:
    """Changes when the cell may come out otherwise."""
    return yosys_digest(_sources(cell), FAMILY)[:12]


def measure(cell: Cell) -> Usage:
    """Synthesise one cell alone."""
    rtl, sources = cell.op.rtl(cell.folding), _sources(cell)
    parameters: dict[str, int | str] = dict(rtl.parameters)
    with tempfile.TemporaryDirectory() as name:
        for parameter, memory in rtl.memories.items():
            file = Path(name) / f"{parameter.lower()}.mem"
            file.write_text(memory.readmemh())
            sources.append(file)
            parameters[parameter] = file.name
        return synthesise(sources, rtl.module, FAMILY, parameters=parameters).usage


def write(rows: Rows) -> None:
    """The data file, in order of its cells."""
    lines = [",".join(COLUMNS), *(",".join(rows[place][c] for c in COLUMNS) for place in sorted(rows))]
    write_text(DATA, "\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="kind of operator, such as MatVec")
    parser.add_argument("--all", action="store_true", help="measure again what has been measured")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="syntheses at once (1)")
    args = parser.parse_args()
    known, wanted = read(), list(cells())
    if args.only is not None and args.only not in {cell.kind for cell in wanted}:
        parser.error(f"--only: there is no kind {args.only!r}; kinds: {', '.join(sorted({c.kind for c in wanted}))}")
    rows = {place: known[place] for c in wanted if (place := (c.kind, c.name)) in known}
    due = [
        cell
        for cell in wanted
        if args.only in (None, cell.kind) and (args.all or rows.get((cell.kind, cell.name), {}).get("key") != key(cell))
    ]
    with ThreadPoolExecutor(args.jobs) as pool:
        started = {pool.submit(measure, cell): cell for cell in due}
        for number, done in enumerate(as_completed(started), 1):
            cell, usage = started[done], done.result()
            counts = {column: str(getattr(usage, column)) for column in COLUMNS[2:-1]}
            rows[cell.kind, cell.name] = {"kind": cell.kind, "cell": cell.name, **counts, "key": key(cell)}
            write(rows)
            print(f"{number}/{len(due)} {cell.kind} {cell.name}: {usage.lut} LUT", file=sys.stderr, flush=True)
    write(rows)


if __name__ == "__main__":
    main()
