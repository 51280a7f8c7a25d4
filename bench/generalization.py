"""What trained networks know of their training images, and what of that holds for new ones.

    python bench/generalization.py RUN [RUN ...] --data DIR

A RUN is a run folder of `bitexpert train`. Its network is looked at before it is frozen, on 10,000 of its training
images, taken as they are, and on its held-out images: accuracy, and cross-entropy by the best scale of the scores.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from bitexpert.models.recipe import load_recipe
from bitexpert.models.train import load_images
from bitexpert.models.training.augment import pixels
from bitexpert.models.training.losses import calibrated_scale
from numpy.typing import NDArray
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from gates import unfrozen_network

IMAGES = 10_000


def measure(scores: Tensor, labels: Tensor) -> tuple[float, float]:
    """Accuracy in percent and cross-entropy in nats of scores ``[images, classes]``."""
    right = float((scores.argmax(1) == labels).float().mean())
    return 100 * right, float(F.cross_entropy(scores * calibrated_scale(scores, labels), labels))


def scores_of(model: nn.Module, images: NDArray[np.uint8]) -> Tensor:
    """Scores ``[images, classes]`` in evaluation."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(pixels(images[i : i + 256])) for i in range(0, len(images), 256)])


def look_at(run: Path, data: Path | None) -> dict[str, tuple[float, float]]:
    """`measure` on training images and on held-out ones."""
    model = unfrozen_network(run)
    images = load_images(load_recipe(run / "recipe.yaml"), data)
    some = np.sort(np.random.default_rng(0).permutation(len(images.train_y))[:IMAGES])
    parts = {"training": (images.train_x[some], images.train_y[some]), "held-out": (images.test_x, images.test_y)}
    return {name: measure(scores_of(model, x), torch.from_numpy(y)) for name, (x, y) in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--data", type=Path, help="folder with the data set; default: download")
    args = parser.parse_args()
    print("| run | training, % | held-out, % | difference | loss, training | loss, held-out |")
    print("|---|---:|---:|---:|---:|---:|")
    for run in args.runs:
        found = look_at(run, args.data)
        (known, known_loss), (new, new_loss) = found["training"], found["held-out"]
        print(f"| {run.name} | {known:.2f} | {new:.2f} | {known - new:.2f} | {known_loss:.3f} | {new_loss:.3f} |")


if __name__ == "__main__":
    main()
