"""How the gates of trained networks choose: are all experts used, and do the gates tell images apart?

    python bench/gates.py RUN [RUN ...] [--json]

A RUN is a run folder of `bitexpert train`. Its gates are looked at before they are frozen, on its held-out images:

used        share of the images of the expert that gets the least; a fourth would be fair for four
experts     effective number: exp of the entropy of the choices
margin      median distance of the largest logit from the second, in deviations of the logits (less what all share)
correlation mean magnitude of the correlation of two such logits; at 1 all lie on a line, and no more than two
            experts are told apart
classes     information in nats that the choice carries about the class
alike       share of the weights in which two experts have the same sign, on average over the pairs; 1/2 by chance
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bitexpert.models.checkpoint import load_checkpoint
from bitexpert.models.expert import BlockOutput, ExpertConv2d
from bitexpert.models.network import BinaryNetwork
from bitexpert.models.training.augment import pixels
from numpy.typing import NDArray
from torch import Tensor

COLUMNS = ("used", "experts", "margin", "correlation", "classes", "alike")


def logits_of(model: BinaryNetwork, images: NDArray[np.uint8]) -> dict[str, Tensor]:
    """Logits ``[images, N]`` of every gate."""
    found: dict[str, list[Tensor]] = {}
    for name, layer in model.experts():
        found[name] = []

        def note(layer: ExpertConv2d, args: tuple[BlockOutput], name: str = name) -> None:
            found[name].append(layer.gate.logits(layer.gate_means(args[0])))

        layer.register_forward_pre_hook(note)
    model.eval()
    with torch.no_grad():
        for i in range(0, len(images), 256):
            model(pixels(images[i : i + 256]))
    return {name: torch.cat(parts) for name, parts in found.items()}


def measure(logits: Tensor, labels: NDArray[np.int64]) -> dict[str, float]:
    """What the header of this file tells of, for logits ``[images, N]`` and classes ``[images]``."""
    chosen = logits.argmax(1).numpy()
    counts = np.zeros((logits.shape[1], int(labels.max()) + 1))
    np.add.at(counts, (chosen, labels), 1)
    joint = counts / counts.sum()
    experts, classes = joint.sum(1, keepdims=True), joint.sum(0, keepdims=True)
    some, apart = joint > 0, experts * classes
    shares = experts[experts > 0]
    centered = (logits - logits.mean(1, keepdim=True)).double()
    scaled = centered / centered.std(0).clamp_min(1e-12)
    top = logits.double().topk(2).values
    pairs = np.triu_indices(logits.shape[1], 1)
    return {
        "used": float(experts.min()),
        "experts": float(np.exp(-(shares * np.log(shares)).sum())),
        "margin": float((top[:, 0] - top[:, 1]).median() / centered.std(0).mean().clamp_min(1e-12)),
        "correlation": float(np.abs(np.corrcoef(scaled.T.numpy())[pairs]).mean()),
        "classes": float((joint[some] * np.log(joint[some] / apart[some])).sum()),
    }


def alike(layer: ExpertConv2d) -> float:
    """Mean share of weights of the same sign, over all pairs of experts."""
    with torch.no_grad():
        banks = layer.binary_weight().reshape(layer.gate.experts, -1).numpy()
    first, second = np.triu_indices(len(banks), 1)
    return float((banks[first] == banks[second]).mean())


def unfrozen_network(run: Path) -> BinaryNetwork:
    """The network of a run folder as its last step left it."""
    steps = sorted((run / "steps").glob("*.pt"), key=lambda path: int(path.stem))
    if not steps:
        raise SystemExit(f"{run}: no run folder with finished steps; make one with bitexpert train")
    return load_checkpoint(steps[-1])


def look_at(run: Path) -> dict[str, dict[str, float]]:
    """Layer -> measures, of a run folder."""
    model = unfrozen_network(run)
    images, labels = (np.load(run / f"heldout_{what}.npy") for what in ("inputs", "labels"))
    layers = dict(model.experts())
    return {name: measure(z, labels) | {"alike": alike(layers[name])} for name, z in logits_of(model, images).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found: dict[str, Any] = {run.name: look_at(run) for run in args.runs}
    if args.json:
        json.dump(found, sys.stdout, indent=1)
        return
    print(f"| run | layer | {' | '.join(COLUMNS)} |\n|---|---|{'---:|' * len(COLUMNS)}")
    for run, layers in found.items():
        for layer, row in layers.items():
            print(f"| {run} | {layer} | {' | '.join(f'{row[key]:.2f}' for key in COLUMNS)} |")


if __name__ == "__main__":
    main()
