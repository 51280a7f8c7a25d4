"""Time of a training step beside the same network of plain torch layers with real weights and activations.

    python bench/training_step.py [--threads 1] [--repeats 30]

The plain network has the same shapes: convolution, copies, batch normalization, clamp, max pooling; where there are
experts, it has one convolution. Steps of both alternate, so that both meet the same load; medians are compared. Goal:
at most 1.5.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from bitexpert.models.networks import Vgg, build_network
from bitexpert.models.quant import clip_latent_weights
from study_recipes import STUDIES

BATCH = 128


class PlainBlock(nn.Module):
    """A block as one writes it in torch."""

    def __init__(self, conv: nn.Conv2d, repeat: int, pool: int) -> None:
        super().__init__()
        self.conv, self.repeat = conv, repeat
        self.bn = nn.BatchNorm2d(conv.out_channels * repeat)
        self.pool = nn.MaxPool2d(pool) if pool > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.repeat > 1:
            x = x.repeat(1, self.repeat, 1, 1)
        return self.pool(F.hardtanh(self.bn(x)))


def plain_twin(network: Vgg) -> nn.Sequential:
    """The same shapes in plain torch."""
    layers: list[nn.Module] = []
    for block in network.blocks:
        binary = block.conv
        conv = nn.Conv2d(
            binary.in_channels,
            block.out_channels // block.repeat,
            binary.kernel_size[0],
            stride=binary.stride,
            padding=binary.pad_amount,
            groups=binary.groups,
            bias=False,
        )
        layers.append(PlainBlock(conv, block.repeat, block.pool_size))
    head = nn.Linear(network.head.in_features, network.head.out_features, bias=False)
    return nn.Sequential(*layers, nn.Flatten(), head)


class Stepper:
    """Trains one network on made-up images."""

    def __init__(self, network: nn.Module, images: Tensor, labels: Tensor) -> None:
        self.network, self.images, self.labels = network.train(), images, labels
        self.optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        loss = F.cross_entropy(self.network(self.images) * 0.01, self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        clip_latent_weights(self.network)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print(f"{'study':14} {'network':24} {'plain, ms':>10} {'ours, ms':>9} {'ratio':>6}")
    for study, variants in STUDIES.items():
        for variant in variants:
            if variant.name not in ("plain", "es", "es-g", "experts", "es-g-experts", "minus"):
                continue
            config = variant.recipe(1)["network"]["config"]
            network = build_network("vgg", config)
            assert isinstance(network, Vgg)
            shape = (BATCH, config["channels"], config["height"], config["width"])
            images = torch.randint(0, 256, shape).float()
            labels = torch.randint(0, len(config["class_names"]), (BATCH,))
            ours, plain = (Stepper(n, images, labels) for n in (network, plain_twin(network)))
            for stepper in (ours, plain):
                stepper.step()
            times = [(plain.step(), ours.step()) for _ in range(args.repeats)]
            base, own = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
            print(f"{study:14} {variant.name:24} {base:10.1f} {own:9.1f} {own / base:6.2f}", flush=True)


if __name__ == "__main__":
    main()
