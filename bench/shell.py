"""What the shell costs: cycles from DMA to DMA beside those of the accelerator alone.

    python bench/shell.py [NETWORK ...]

Networks of the zoo, on the virtual board, whose DMA gives and takes a word in every cycle. Goals: an interval within
0.5 % of the accelerator's own, and at most 100 cycles more latency.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from bitexpert.flow.build import build, open_build
from bitexpert.flow.config import BuildConfig
from bitexpert.flow.zoo import zoo_get
from bitexpert.sim.board import PACKAGE, VirtualBoard, build_board
from bitexpert.sim.rtl import build_rtl, run_rtl

FRAMES = 60
PROGRAM = f"""
import json
from board_process import the_board
import numpy as np
from bitexpert_accelerator import Accelerator, golden

with Accelerator(batch_size={FRAMES}, timeout_s=600) as accelerator:
    frames, told = golden()[0], []
    for count in (1, {FRAMES} // 2, {FRAMES}):
        accelerator.execute(np.resize(frames, (count, *frames.shape[1:])))
        told.append(the_board().ask("<c", "<Q", b"T"))
print(json.dumps(told))
"""


def measure(name: str, folder: Path) -> str:
    """One row of the table."""
    zoo_get(name, folder / f"{name}.onnx")
    build(folder / f"{name}.onnx", folder / name, BuildConfig())
    made = open_build(folder / name)
    graph, rtl, shell = made.graph, made.folder / "rtl", made.folder / "shell"
    golden = np.load(made.folder / "deploy" / PACKAGE / "golden" / "input.npy").astype(np.int64)
    values = graph.run(np.resize(golden, (6, *golden.shape[1:])))
    alone = run_rtl(build_rtl(rtl, folder / "rtl"), rtl, graph, values, scratch=folder)
    board = VirtualBoard(build_board(rtl, shell, folder / "work"), rtl)
    board.prepare(made.folder / "deploy")
    (made.folder / "deploy" / "measure.py").write_text(PROGRAM)
    done = board.run(made.folder / "deploy", ["measure.py"])
    if done.returncode:
        raise SystemExit(done.stderr)
    first, half, whole = json.loads(done.stdout)
    interval = (whole - half) / (FRAMES - FRAMES // 2)
    return (
        f"| {name} | {alone.interval:,.1f} | {interval:,.1f} | {100 * (interval / alone.interval - 1):+.2f} % "
        f"| {alone.latency:,} | {first:,} | {first - alone.latency:+} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["digits", "mnist-es-g", "cifar-10-es-g"])
    args = parser.parse_args()
    print("| network | interval alone | DMA to DMA | more | latency alone | DMA to DMA | more |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as scratch:
        for name in args.networks:
            print(measure(name, Path(scratch)), flush=True)


if __name__ == "__main__":
    main()
