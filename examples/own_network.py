"""A network of your own, from its blocks to a verified accelerator, in Python.

    .venv/bin/python examples/own_network.py OUT

The weights are random here; train the network with your own loop, or with a recipe (models/recipes/digits.yaml).
"""

from __future__ import annotations

import sys
from pathlib import Path

import bitexpert
import torch
from bitexpert.flow.export import export
from bitexpert.models.networks import BlockConfig, VggConfig, build_network


def main(out: Path) -> int:
    """Build and simulate; the return value is the number of mismatches."""
    config = VggConfig(
        channels=3,
        height=12,
        width=12,
        blocks=(
            # the pixels: 8 maps, each copied 4 times with a threshold of its own
            BlockConfig(width=8, tau=2, es_groups=2),
            # expanding-and-shrinking in two groups, bits padded with zeros, then 2x2 max-pooling
            BlockConfig(width=16, tau=2, es_groups=2, pool=2),
            # four experts; the gate reads the bits; unpadded
            BlockConfig(kind="expert", width=16, gate="sign", pad_mode="none", padding=0),
        ),
        class_names=("cat", "dog", "frog"),
    )
    torch.manual_seed(0)
    network = build_network("vgg", config).eval()
    network.freeze()
    out.mkdir(parents=True, exist_ok=True)
    model = export(network, out / "model.onnx")
    result = bitexpert.build(model, out / "build", target_fps=2000, top_k=1)
    for node in result.graph.nodes:
        if not node.op.plumbing:
            print(f"{node.name:<18} {dict(node.folding)!s:<28} {node.op.cycles(node.folding):>7} cycles a frame")
    report = bitexpert.simulate(out / "build", rungs=["reference", "fast", "hls", "rtl"], samples=8)
    for rung in report.rungs:
        print(f"{rung.rung:<10} {rung.samples} samples, {rung.streams} streams, {rung.mismatches} mismatches")
    return report.mismatches


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "own_network")))
