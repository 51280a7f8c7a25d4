"""The CNV networks of the package brevitas_examples.bnn_pynq, and frames for them."""

from __future__ import annotations

import configparser
from pathlib import Path

import brevitas_examples.bnn_pynq
import numpy as np
import torch
from bitexpert.flow.quiet import quiet
from brevitas.export import export_qonnx
from brevitas_examples.bnn_pynq.models.CNV import cnv
from sklearn.datasets import load_sample_images

__all__ = ["NETWORKS", "export_network", "network", "photographs"]

NETWORKS = ("cnv_1w1a", "cnv_1w2a", "cnv_2w2a")
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
            model(torch.rand(100, *SHAPE))
    return model.eval()


def export_network(model: torch.nn.Module, path: Path) -> None:
    """Write the network as QONNX, as Brevitas exports it."""
    with quiet(), torch.no_grad():
        export_qonnx(model, torch.zeros(1, *SHAPE), export_path=str(path), dynamo=False, opset_version=13)


def photographs(count: int) -> np.ndarray:
    """Parts of the two photographs that come with scikit-learn, as the network takes them.

    Returns
    -------
    ndarray of float32, shape (count, 3, 32, 32)
        In steps of 1/256.
    """
    pictures = load_sample_images().images
    rng = np.random.default_rng(0)
    parts = np.empty((count, *SHAPE), dtype=np.float32)
    for i in range(count):
        picture = pictures[i % len(pictures)]
        y, x = (int(rng.integers(0, size - 32)) for size in picture.shape[:2])
        parts[i] = picture[y : y + 32, x : x + 32].transpose(2, 0, 1).astype(np.float32) / 256
    return parts
