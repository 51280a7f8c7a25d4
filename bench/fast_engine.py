"""How fast the fast engine is: CNV-1W1A, against qonnx' executor and the Brevitas model itself.

    python bench/fast_engine.py [--json] [--network cnv_1w1a] [--images 2000]

The network has random weights: nothing is downloaded. All three are measured in this run, with one thread each: the
fast engine (images a second, as `simulate` runs it), qonnx' executor on the exported file (an image at a time), and
the Brevitas model in eval mode at batch 100. The images are parts of photographs.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy, torch and onnxruntime are loaded

import torch
from bitexpert.flow.api import build
from bitexpert.flow.execute import execute
from bitexpert.flow.frames import as_frames
from bitexpert.flow.model_file import as_exported, hardware_input, load_model
from bitexpert.flow.quiet import quiet
from bitexpert.flow.scores import OutputForm
from bitexpert.sim.fast import FastEngine, build_fast
from brevitas_cnv import NETWORKS, export_network, network, photographs
from graphs import table
from qonnx.core.onnx_exec import execute_onnx

BATCH = 100
COMPARED = 50


def per_second(work, images: int, seconds: float = 3.0) -> float:
    """Images a second of the fastest of several runs over about so many seconds."""
    work()
    best, start = 0.0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        work()
        best = max(best, images / (time.perf_counter() - begin))
    return best


def measure(name: str, images: int) -> dict[str, Any]:
    """Images a second of the three, in this process."""
    torch.set_num_threads(1)
    model = network(name)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = folder / "model.onnx"
        export_network(model, path)
        result = build(path, folder / "build", target_fps=100)
        loaded = load_model(path)
        source = hardware_input(loaded)
        frames = as_frames(photographs(images), source)
        begin = time.perf_counter()
        library = build_fast(folder / "build" / "fast", folder / "work")
        compiled = time.perf_counter() - begin
        engine = FastEngine(library, folder / "build" / "fast")
        found = engine.run(frames)[:COMPARED]
        form = OutputForm.of(load_model(folder / "build" / "streamlined.onnx"))
        expected = form.integers(execute(loaded, frames[:COMPARED])).reshape(found.shape)
        inputs = torch.from_numpy(source.to_model(frames[:BATCH]))
        exported, single = as_exported(path), source.to_model(frames[:1])
        with quiet(), torch.no_grad():
            rates = {
                "fast engine": per_second(lambda: engine.run(frames), images),
                "qonnx": per_second(lambda: execute_onnx(exported, {source.name: single}), 1),
                "Brevitas": per_second(lambda: model(inputs), BATCH),
            }
    return {
        "network": name,
        "mac_per_frame": sum(n.op.operations() for n in result.graph.nodes),
        "images_per_s": round(rates["fast engine"], 1),
        "ratio_to_qonnx": round(rates["fast engine"] / rates["qonnx"], 1),
        "ratio_to_brevitas_eval": round(rates["fast engine"] / rates["Brevitas"], 1),
        "rates": {key: round(value, 1) for key, value in rates.items()},
        "scores_compared": int(found.size),
        "mismatches": int((found != expected).sum()),
        "engine_compile_seconds": round(compiled, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="cnv_1w1a", choices=NETWORKS)
    parser.add_argument("--images", type=int, default=2000, help="images a run of the engine (2000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    result = measure(args.network, max(args.images, BATCH))
    if args.json:
        print(json.dumps(result, indent=1))
        return
    mine = result["images_per_s"]
    rows = [[name, rate, mine / rate] for name, rate in result["rates"].items()]
    print(table(f"{result['network']}, one thread each", ["", "images/s", "fast engine's multiple"], rows))
    print(f"\n{result['mismatches']} of {result['scores_compared']} scores differ from the exported file's")


if __name__ == "__main__":
    main()
