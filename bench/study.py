"""Trains the variants of a study with several seeds, and prints mean and spread of their accuracy.

    python bench/study.py fashion-mnist --data DIR -o OUT [-j 2] [--only NAME ...] [--split N]

Each run is a run folder OUT/NAME-SEED. A study that is stopped goes on when the same command is run again; finished
runs are kept. The table of all finished runs goes to OUT/results.json and, as Markdown, to stdout; see docs/results.md.
"""

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from bitexpert.models.networks import network_cost
from bitexpert.models.recipe import Recipe, save_recipe
from study_recipes import STUDIES, Variant

#: How much a teacher's scores count beside the labels.
TEACHING = {"scores": 2.0, "temperature": 2.0}


def _run(variant: Variant, seed: int, split: int, data: Path | None, out: Path) -> None:
    """One training in a process of its own, unless it is finished."""
    folder = out / f"{variant.name}-{seed}"
    if not (folder / "model.pt").exists():
        chosen = variant.recipe(seed)
        chosen["dataset"]["seed"] = split
        if variant.teacher:
            checkpoint = out / f"{variant.teacher}-1" / "model.pt"
            if not checkpoint.exists():
                raise SystemExit(f"{folder.name}: its teacher isn't there yet; run --only {variant.teacher} --seeds 1")
            chosen["steps"][-1]["teacher"] = {"checkpoint": str(checkpoint.resolve()), **TEACHING}
        recipe = save_recipe(Recipe.model_validate(chosen), out / "recipes" / f"{folder.name}.yaml")
        command = [sys.executable, "-m", "bitexpert.flow.cli", "train", str(recipe), "-o", str(folder)]
        command += ["--accelerator", "cpu", *(["--data", str(data)] if data else [])]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{folder.name}: {done.stderr.strip()}")
        print(f"{folder.name}: {done.stdout.strip()}", file=sys.stderr, flush=True)


def _finished(variant: Variant, out: Path) -> dict[int, dict[str, Any]]:
    """Seed -> metrics of a variant's finished runs."""
    found = {}
    for path in out.glob(f"{variant.name}-*/model.pt"):
        seed = path.parent.name.removeprefix(f"{variant.name}-")
        if seed.isdecimal():  # else of another variant, whose name begins alike
            found[int(seed)] = json.loads((path.parent / "metrics.json").read_text(encoding="utf-8"))
    return dict(sorted(found.items()))


def _row(variant: Variant, finished: dict[int, dict[str, Any]]) -> dict[str, Any]:
    runs = list(finished.values())
    network = Recipe.model_validate(variant.recipe(0)).network
    cost = network_cost(network.name, network.config).as_dict()
    found = [100 * run["accuracy"] for run in runs]
    return {
        "variant": variant.name,
        "what": variant.what,
        "seeds": list(finished),
        "bops": cost["bops"],
        "macs": cost["macs"],
        "weight_bits": cost["binary_parameters"],
        "accuracy": found,
        "mean": mean(found),
        "spread": stdev(found) if len(found) > 1 else None,
        "usage": [run["expert_usage"] for run in runs],
        "seconds": sum(run["seconds"] for run in runs),
    }


def _markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| variant | seeds | accuracy, % | to plain | BOPs | pixel MACs | weight bits |",
        "|---|---|---|---|---|---|---|",
    ]
    plain = next((row["mean"] for row in rows if row["variant"] == "plain"), None)
    for row in rows:
        spread = "" if row["spread"] is None else f" ± {row['spread']:.2f}"
        gain = "" if plain is None else f"{row['mean'] - plain:+.2f}"
        seeds, cost = ", ".join(map(str, row["seeds"])), [f"{row[key]:,}" for key in ("bops", "macs", "weight_bits")]
        what = row["what"].replace("|", "\\|")
        lines.append(f"| {what} | {seeds} | {row['mean']:.2f}{spread} | {gain} | {' | '.join(cost)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=sorted(STUDIES))
    parser.add_argument("--data", type=Path, help="folder with the data set; default: download")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("-j", "--jobs", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--split", type=int, default=0, help="which images are held out, where some are")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these variants")
    args = parser.parse_args()
    names = [v.name for v in STUDIES[args.study]]
    if unknown := sorted(set(args.only) - set(names)):
        parser.error(f"{args.study} has no variant {unknown[0]!r}; it has {', '.join(names)}")
    variants = [v for v in STUDIES[args.study] if not args.only or v.name in args.only]
    for taught in (False, True):  # teachers first
        # seed by seed, so that a study that is stopped early has whole rounds
        jobs = [(variant, seed) for seed in args.seeds for variant in variants if bool(variant.teacher) == taught]
        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(lambda job: _run(*job, args.split, args.data, args.out), jobs))
    rows = [_row(v, finished) for v in STUDIES[args.study] if (finished := _finished(v, args.out))]
    (args.out / "results.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(_markdown(rows))
    print(f"\n{sum(row['seconds'] for row in rows) / 3600:.1f} hours of training")


if __name__ == "__main__":
    main()
