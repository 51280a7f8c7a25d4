"""LUTs of the binary dot product and of a MatVec with its thresholds, as Yosys synthesises them.

    python bench/luts.py [--json] [--family xc7|xcup]

A raw LUT is a LUT1 to LUT6 or a LUT6_2 as it comes out of synthesis; memories are counted apart. The peer, measured
in the same run, is the same dot product as a plain loop. Constant weights (random ones) are those of a layer that is
not folded at all. The MatVec has 576 columns and 64 rows, PE 16, SIMD 32, its weights in block RAM: 512
multiply-accumulates a cycle, with accumulators, thresholds and all control. The unfolded one has 64 columns and 16
rows, and no thresholds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bitexpert.flow.board import load_board
from bitexpert.flow.fold import fold
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.matvec import SLICE_BITS, MatVec
from bitexpert.hw.ops.threshold import Threshold
from bitexpert.hw.types import BIPOLAR, StreamType
from bitexpert.sim.usage import Usage
from bitexpert.sim.yosys import synthesise
from graphs import synthesise_graph, table

CELLS = Path(__file__).parents[1] / "hw" / "rtl"
DOT = ("bx_dot", "bx_equal", "bx_equal_three", "bx_ones", "bx_sum_ones", "bx_add_ones")
BITS = (36, 64, 128)
PE, SIMD, COLUMNS, ROWS = 16, 32, 576, 64
UNFOLDED_COLUMNS, UNFOLDED_ROWS = 64, 16
LOOP = """
module plain #(parameter int N = 36) (
    input wire clk, input wire [N-1:0] a, input wire [N-1:0] b, output logic [$clog2(N+1)-1:0] sum
);
  logic [$clog2(N+1)-1:0] count;
  always_comb begin
    count = '0;
    for (int i = 0; i < N; i++) count = count + (a[i] ~^ b[i]);
  end
  always_ff @(posedge clk) sum <= count;
endmodule
"""
# One row of weights that are known when the circuit is made; the input comes out of a register.
CONSTANT = """
module constant (input wire clk, input wire [{bits}-1:0] b, output wire [{sum_w}-1:0] sum);
  wire [{bits}-1:0] a = {bits}'h{word:x};
  logic [{bits}-1:0] x;
  always_ff @(posedge clk) x <= b;
  {dot}
endmodule
"""


def dot_parameters(bits: int) -> dict[str, int]:
    """Parameters of bx_dot for +-1 x +-1, as bx_matvec sets them."""
    signs = {"A_KIND": 0, "A_BITS": 1, "B_KIND": 0, "B_BITS": 1, "HALF": 1}
    return {"N": bits, "SLICE": SLICE_BITS, "SUM_W": bits.bit_length(), **signs}


def dot(bits: int, family: str, folder: Path) -> tuple[Usage, Usage]:
    """The cell with one sum a cycle, and a plain loop."""
    ours = synthesise([CELLS / f"{name}.sv" for name in DOT], "bx_dot", family, parameters=dot_parameters(bits))
    loop = folder / "loop.sv"
    loop.write_text(LOOP)
    return ours.usage, synthesise([loop], "plain", family, parameters={"N": bits}).usage


def constant(bits: int, family: str, folder: Path) -> tuple[Usage, Usage]:
    """The same where the weights are constant."""
    word = int.from_bytes(np.random.default_rng(0).bytes(bits // 8 + 1)) >> 8 - bits % 8
    chosen = ", ".join(f".{name}({value})" for name, value in dot_parameters(bits).items())
    ours = f"bx_dot #({chosen}, .CONSTANT(1)) dot (.clk(clk), .enable(1'b1), .a(a), .b(x), .zero(1'b0), .sum(sum));"
    loop = f"plain #(.N({bits})) dot (.clk(clk), .a(a), .b(x), .sum(sum));"
    found = []
    for name, instance, sources in (
        ("ours", ours, [CELLS / f"{part}.sv" for part in DOT]),
        ("plain", loop, [folder / "loop.sv"]),
    ):
        top = folder / f"constant_{name}.sv"
        top.write_text(CONSTANT.format(bits=bits, sum_w=bits.bit_length(), word=word, dot=instance))
        found.append(synthesise([top, *sources], "constant", family).usage)
    return found[0], found[1]


def unfolded(family: str, folder: Path) -> int:
    """LUTs of a MatVec that works on a window in one cycle."""
    weights = 2 * np.random.default_rng(0).integers(0, 2, (1, 1, UNFOLDED_ROWS, UNFOLDED_COLUMNS)) - 1
    layer = MatVec(StreamType(BIPOLAR, (4, 4, UNFOLDED_COLUMNS)), weights)
    rtl = layer.rtl({"PE": UNFOLDED_ROWS, "SIMD": UNFOLDED_COLUMNS})
    words = folder / "weights.mem"
    words.write_text(rtl.memories["WEIGHTS"].readmemh())
    sources = [CELLS / f"{name}.sv" for name in (*rtl.submodules, rtl.module)]
    parameters = {**rtl.parameters, "WEIGHTS": words.name}
    return synthesise([*sources, words], rtl.module, family, parameters=parameters).usage.lut


def matvec(family: str) -> dict[str, Any]:
    """The emitted MatVec and Threshold; FIFOs around them are left out."""
    rng = np.random.default_rng(0)
    weights = 2 * rng.integers(0, 2, (1, 1, ROWS, COLUMNS)) - 1
    layer = MatVec(StreamType(BIPOLAR, (8, 8, COLUMNS)), weights)
    limits = rng.integers(-60, 61, (1, ROWS))
    signs = Threshold(layer.outputs[0], limits, rng.integers(0, 2, (1, ROWS)).astype(bool))
    nodes = (
        Node("matvec_0", layer, ("in_0",), ("sums_0",)),
        Node("threshold_0", signs, ("sums_0",), ("out_0",)),
    )
    folding = {"matvec_0": {"PE": PE, "SIMD": SIMD}, "threshold_0": {"PE": PE}}
    graph = fold(Dataflow(nodes, ("in_0",), ("out_0",)), load_board("pynq-z2"), folding=folding)
    found = synthesise_graph(graph, family)
    parts = {name: found[name] for name in ("matvec_0", "threshold_0")}
    return {
        "luts": {name: usage.lut for name, usage in parts.items()},
        "lut_per_mac": sum(usage.lut for usage in parts.values()) / (PE * SIMD),
        "ff": sum(usage.ff for usage in parts.values()),
        "lutram": sum(usage.lutram for usage in parts.values()),
        "bram18": sum(usage.bram18 + 2 * usage.bram36 for usage in parts.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="xc7", choices=["xc7", "xcup"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    result: dict[str, Any] = {"family": args.family}
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for key, title, measure in (("dot", "xnor", dot), ("constant", "xnor with constant weights", constant)):
            for bits in BITS:
                ours, loop = measure(bits, args.family, folder)
                result[f"{key}_{bits}"], result[f"{key}_{bits}_loop"] = ours.lut / bits, loop.lut / bits
                result[f"{key}_{bits}_lc"], result[f"{key}_{bits}_loop_lc"] = ours.lc / bits, loop.lc / bits
                figures = [ours.lut, ours.lut / bits, ours.lc / bits, loop.lut, loop.lut / bits, loop.lc / bits]
                rows.append([f"{title}, {bits} bits", *figures])
        whole = unfolded(args.family, folder)
    cell = matvec(args.family)
    result["unfolded_16x64"] = whole / (UNFOLDED_ROWS * UNFOLDED_COLUMNS)
    result["matvec_16x32"], result["matvec"] = cell["lut_per_mac"], cell
    if args.json:
        print(json.dumps(result, indent=1))
        return
    columns = ["popcount of", "LUT", "a bit", "LC a bit", "loop: LUT", "a bit", "LC a bit"]
    print(table(f"{args.family}; LC: Yosys' estimate of LUTs after packing pairs of small ones", columns, rows))
    print(f"\nMatVec PE={PE} SIMD={SIMD}: {cell['luts']}, {cell['lut_per_mac']:.2f} LUT a MAC;")
    print(f"besides {cell['ff']} FF, {cell['lutram']} LUTs of memory, {cell['bram18']} BRAM18")
    size = f"{UNFOLDED_COLUMNS} columns and {UNFOLDED_ROWS} rows"
    print(f"MatVec of {size}, unfolded: {whole} LUTs, {result['unfolded_16x64']:.2f} a MAC")


if __name__ == "__main__":
    main()
