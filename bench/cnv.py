"""CNV-1W1A, the field's reference network: how long its build takes, and how fast its engine is.

    python bench/cnv.py [--json] [--network cnv_1w1a] [--images 2000]

The network is the one that the package brevitas_examples.bnn_pynq defines, with random weights and statistics:
nothing is downloaded. All three are measured in this run, with one thread each: the fast engine (images a second,
as `simulate` runs it), qonnx' executor on the exported file, and the Brevitas model itself in eval mode at batch 100.
"""

from __future__ import annotations

import argparse
import configparser
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy, torch and onnxruntime are loaded

import brevitas_examples.bnn_pynq
import torch
from bitexpert.flow.api import build
from bitexpert.flow.execute import execute
from bitexpert.flow.frames import random_frames
from bitexpert.flow.model_file import as_exported, hardware_input, load_model
from bitexpert.flow.quiet import quiet
from bitexpert.flow.scores import OutputForm
from bitexpert.sim.fast import FastEngine, build_fast
from brevitas.export import export_qonnx
from brevitas_examples.bnn_pynq.models.CNV import cnv
from graphs import table
from qonnx.core.onnx_exec import execute_onnx

BATCH = 100
SHAPE = (3, 32, 32)


def network(name: str) -> torch.nn.Module:
    """The network of a configuration file of brevitas_examples, with random weights and batch norms."""
    config = configparser.ConfigParser()
    config.read(Path(brevitas_examples.bnn_pynq.__file__).parent / "cfg" / f"{name}.ini")
    torch.manual_seed(0)
    model = cnv(config).train()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
                module.weight.copy_(torch.randn_like(module.weight))
                module.bias.copy_(torch.randn_like(module.bias) * 0.3)
        for _ in range(3):  # settles the statistics
            model(torch.rand(BATCH, *SHAPE))
    return model.eval()


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
    """Build time, and images a second of the three, in this process."""
    torch.set_num_threads(1)
    model = network(name)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = folder / "model.onnx"
        with quiet(), torch.no_grad():
            export_qonnx(model, torch.zeros(1, *SHAPE), export_path=str(path), dynamo=False, opset_version=13)
        begin = time.perf_counter()
        result = build(path, folder / "build")
        seconds = time.perf_counter() - begin
        loaded = load_model(path)
        source = hardware_input(loaded)
        frames = random_frames(source, images)
        begin = time.perf_counter()
        library = build_fast(folder / "build" / "fast", folder / "work")
        compiled = time.perf_counter() - begin
        engine = FastEngine(library, folder / "build" / "fast")
        found = engine.run(frames)
        form = OutputForm.of(load_model(folder / "build" / "streamlined.onnx"))
        expected = form.integers(execute(loaded, frames[:50])).reshape(50, 1, 1, -1)
        inputs = torch.from_numpy(source.to_model(frames[:BATCH]))
        exported, single = as_exported(path), source.to_model(frames[:1])
        with quiet(), torch.no_grad():
            rates = {
                "engine": per_second(lambda: engine.run(frames), images),
                "qonnx": per_second(lambda: execute_onnx(exported, {source.name: single}), 1),
                "brevitas": per_second(lambda: model(inputs), BATCH),
            }
    return {
        "network": name,
        "mac_per_frame": sum(n.op.operations() for n in result.graph.nodes),
        "build_seconds": round(seconds, 1),
        "build_steps": result.steps,
        "engine_compile_seconds": round(compiled, 1),
        "mismatches": int((found[:50] != expected).sum()),
        "images_per_second": {k: round(v, 1) for k, v in rates.items()},
        "engine_over_qonnx": round(rates["engine"] / rates["qonnx"], 1),
        "engine_over_brevitas": round(rates["engine"] / rates["brevitas"], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="cnv_1w1a", choices=["cnv_1w1a", "cnv_1w2a", "cnv_2w2a"])
    parser.add_argument("--images", type=int, default=2000, help="images a run of the engine (2000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    result = measure(args.network, args.images)
    if args.json:
        print(json.dumps(result, indent=1))
        return
    rows = [[key, f"{value:,}"] for key, value in result.items() if isinstance(value, (int, float))]
    rows += [[f"{key}, images/s", f"{value:,}"] for key, value in result["images_per_second"].items()]
    print(table(f"{result['network']}, one thread each", ["figure", "value"], rows))


if __name__ == "__main__":
    main()
