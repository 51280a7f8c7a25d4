"""CNV-1W1A with FINN's published folding: cycles in RTL, and resources beside those of FINN's model.

    python bench/cnv.py [--json] [--frames 4] [--no-synth]

The network is the one that the package brevitas_examples.bnn_pynq defines, with random weights. It is built twice:
with the folding that FINN publishes for it (finn-examples, cnv-w1a1), and with the fastest folding that is estimated
to take no more LUTs than FINN's model says of FINN's design. Both are simulated as RTL on parts of photographs, every
beat of every stream compared with the integer reference. FINN's LUTs and block RAMs are what FINN's own functions
return for its matrix-vector units; its other operators are left out, which is in its favour. Ours come from
synthesis with Yosys, of the whole accelerator.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bitexpert.flow.api import build
from bitexpert.flow.board import Board, load_board
from bitexpert.flow.emit import TOP, emit_rtl
from bitexpert.flow.fold import SHARES, estimate, fold
from bitexpert.flow.frames import as_frames
from bitexpert.flow.model_file import hardware_input, load_model
from bitexpert.flow.synth import rtl_sources
from bitexpert.hw.graph import Dataflow
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.performance import simulate
from bitexpert.sim.rtl import build_rtl, run_rtl
from bitexpert.sim.yosys import synthesise
from brevitas_cnv import export_network, network, photographs
from finn.custom_op.fpgadataflow.hls.matrixvectoractivation_hls import MVAU_hls
from graphs import table
from onnx import helper

# PE and SIMD of each layer: finn-examples, build/bnn-pynq/folding_config/cnv-w1a1_folding_config.json
FINN = ((16, 3), (32, 32), (16, 32), (16, 32), (4, 32), (1, 32), (1, 4), (1, 8), (5, 1))
CLOCK_MHZ = 100.0  # of FINN's PYNQ driver
CONVOLUTIONS = 6


def finns_folding() -> dict[str, dict[str, int]]:
    """FINN's folding for our operators: a window is as wide as its reader, thresholds and pools as what is in front."""
    folding = {f"matvec_{i}": {"PE": pe, "SIMD": simd} for i, (pe, simd) in enumerate(FINN)}
    folding |= {f"sliding_window_{i}": {"SIMD": FINN[i][1]} for i in range(CONVOLUTIONS)}
    folding |= {f"threshold_{i}": {"PE": pe} for i, (pe, _) in enumerate(FINN[:-1])}
    return folding | {"pool_0": {"PE": FINN[1][0]}, "pool_1": {"PE": FINN[3][0]}}


def finns_model(graph: Dataflow) -> dict[str, dict[str, int]]:
    """LUTs and block RAMs of each matrix-vector unit with its thresholds, as FINN estimates them."""
    found = {}
    layers = [(node, node.op) for node in graph.nodes if isinstance(node.op, MatVec)]
    for (node, op), (pe, simd) in zip(layers, FINN, strict=True):
        bits = op.stream.element.bits == 1
        last = node is layers[-1][0]
        unit = helper.make_node(
            "MVAU_hls",
            ["in", "weights", "thresholds"],
            ["out"],
            domain="finn.custom_op.fpgadataflow.hls",
            backend="fpgadataflow",
            MW=op.columns,
            MH=op.rows,
            PE=pe,
            SIMD=simd,
            inputDataType="BINARY" if bits else "INT8",
            weightDataType="BINARY" if bits else "BIPOLAR",
            outputDataType="INT16" if last else "BINARY",
            accDataType=f"INT{op.element.bits}",
            binaryXnorMode=int(bits),
            noActivation=int(last),
            numInputVectors=[1, *op.stream.shape[:2]],
            mem_mode="internal_decoupled",
            ram_style="auto",
            resType="lut",
        )
        model = MVAU_hls(unit)
        part = load_board("pynq-z2").part
        found[node.name] = {
            "lut": int(model.lut_estimation(part)),
            "bram18": int(model.bram_estimation(part)),
            "cycles": int(model.get_exp_cycles()),
        }
    return found


def run(graph: Dataflow, frames: np.ndarray, folder: Path, synth: bool) -> dict[str, Any]:
    """Simulate an accelerator as RTL, every stream compared, and synthesise it."""
    emit_rtl(graph, folder, "Made by a benchmark of bitexpert.")
    values = graph.run(frames)
    program = build_rtl(folder, folder.parent / "work")
    begin = time.perf_counter()
    done = run_rtl(program, folder, graph, values)
    seconds = time.perf_counter() - begin
    need = estimate(graph)
    result = {
        "interval_cycles": done.interval,
        "ideal_cycles": max(n.op.cycles(n.folding) for n in graph.nodes if isinstance(n.op, MatVec)),
        "latency_cycles": done.latency,
        "model_interval_cycles": simulate(graph, len(frames)).interval,
        "fps": CLOCK_MHZ * 1e6 / done.interval,
        "streams_compared": done.streams,
        "mismatches": sum(d.count for d in done.differences),
        "rtl_cycles_per_second": round(int(done.done[-1]) / seconds),
        "estimate": {"lut": round(need.lut), "lutram": round(need.lutram), "bram18": round(need.bram18)},
    }
    if synth:
        usage = synthesise(rtl_sources(folder), TOP, "xc7", keep_instances=True).usage
        result["synthesis"] = {
            "lut": usage.lut,
            "lutram": usage.lutram,
            "ff": usage.ff,
            "bram18": usage.bram18 + 2 * usage.bram36,
        }
    return result


def with_luts(board: Board, luts: float) -> Board:
    """The board, with so many LUTs for automatic folding to plan with, logic and memories together."""
    return replace(board, lut=round(luts / SHARES["lut"]))


def measure(count: int, synth: bool) -> dict[str, Any]:
    """Both designs, and FINN's model."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path, given = folder / "model.onnx", folder / "folding.json"
        export_network(network("cnv_1w1a"), path)
        given.write_text(json.dumps({"Defaults": {}, **finns_folding()}))
        begin = time.perf_counter()
        same = build(path, folder / "build", folding_config_file=given, synth_clk_period_ns=1e3 / CLOCK_MHZ)
        seconds = time.perf_counter() - begin
        frames = as_frames(photographs(count), hardware_input(load_model(path)))
        finn = finns_model(same.graph)
        finns_luts = sum(layer["lut"] for layer in finn.values())
        lowered = Dataflow.load(same.folder / "dataflow.json", same.folder / "weights.npz")
        fastest = fold(lowered, with_luts(same.board, finns_luts))
        ours = run(same.graph, frames, folder / "same" / "rtl", synth)
        equal = run(fastest, frames, folder / "equal" / "rtl", synth)
    finns_cycles = max(layer["cycles"] for layer in finn.values())
    return {
        "build_seconds": round(seconds, 1),
        **ours,
        "finn": {
            "cycles": finns_cycles,
            "fps": CLOCK_MHZ * 1e6 / finns_cycles,
            "lut": finns_luts,
            "bram18": sum(layer["bram18"] for layer in finn.values()),
            "layers": finn,
        },
        "equal_luts": equal | {"fps_ratio_to_finn": finns_cycles / equal["interval_cycles"]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=4, help="frames simulated as RTL (4)")
    parser.add_argument("--no-synth", action="store_true", help="leave synthesis out, which takes minutes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    result = measure(max(args.frames, 3), not args.no_synth)
    if args.json:
        print(json.dumps(result, indent=1))
        return
    finn, equal = result["finn"], result["equal_luts"]
    rows: list[list[Any]] = [
        ["FINN's folding, FINN's model", finn["cycles"], finn["fps"], finn["lut"], "", finn["bram18"]]
    ]
    for name, design in (("FINN's folding, ours", result), ("FINN's LUTs, ours", equal)):
        for source in ("estimate", "synthesis"):
            if source in design:
                need = [design[source][key] for key in ("lut", "lutram", "bram18")]
                rows.append([f"{name}, {source}", design["interval_cycles"], design["fps"], *need])
    columns = ["", "cycles/frame", f"frames/s at {CLOCK_MHZ:g} MHz", "LUT", "LUTRAM", "BRAM18"]
    print(table("CNV-1W1A (our cycles: RTL simulation)", columns, rows))
    print(f"\nideal: {result['ideal_cycles']:,} cycles; built in {result['build_seconds']} s")
    for name, design in (("FINN's folding", result), ("FINN's LUTs", equal)):
        print(
            f"{name}: {design['mismatches']} mismatches in {design['streams_compared']} streams; "
            f"RTL simulation {design['rtl_cycles_per_second']:,} cycles/s, streams compared"
        )


if __name__ == "__main__":
    main()
