"""How long ``bitexpert demo`` takes, fresh and repeated, part by part.

    python bench/demo.py [--json] [--out FOLDER]

Times are those of the demo's own ``--json`` report, but ``process``, which is measured around the command.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from graphs import table


def demo(folder: Path) -> dict[str, float]:
    """Run the demo once; seconds by part, in the order of the parts."""
    fresh = not (folder / "run").exists()
    command = [sys.executable, "-c", "from bitexpert.flow.cli import main; raise SystemExit(main())"]
    start = time.perf_counter()
    done = subprocess.run([*command, "demo", "--out", str(folder), "--json"], capture_output=True, text=True)
    wall = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"the demo ended with status {done.returncode}: {done.stderr.strip()[-500:]}")
    report = json.loads(done.stdout)
    # a repeated demo reports the seconds of the training that it takes over
    parts = {"train": float(report["training"]["seconds"]) if fresh else 0.0}
    rungs = {f"rung {name}": float(rung["seconds"]) for name, rung in report["simulation"]["rungs"].items()}
    parts["export, build, report"] = report["seconds"] - parts["train"] - sum(rungs.values())
    return {**parts, **rungs, "all of it": report["seconds"], "process": wall}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder that does not exist yet (a temporary one)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    if args.out and args.out.exists():
        parser.error(f"{args.out} exists; a fresh demo needs a new folder")
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.out or Path(scratch) / "demo"
        runs: dict[str, dict[str, float]] = {"fresh": demo(folder), "repeated": demo(folder)}
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    if args.json:
        rounded: dict[str, Any] = {k: {p: round(s, 2) for p, s in v.items()} for k, v in runs.items()}
        print(json.dumps({"machine": machine, "seconds": rounded}, indent=1))
        return
    rows = [[part, *(f"{run.get(part, 0.0):.1f}" for run in runs.values())] for part in runs["fresh"]]
    print(table(f"bitexpert demo, seconds, measured on {machine}", ["part", *runs], rows))


if __name__ == "__main__":
    main()
