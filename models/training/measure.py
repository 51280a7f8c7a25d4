"""Measurements on images: accuracy, and which experts they use."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..network import BinaryNetwork
from .augment import pixels

__all__ = ["count_right", "evaluate", "expert_usage", "expert_usage_by_class"]

_BATCH = 256


@contextmanager
def _measuring(model: nn.Module) -> Iterator[torch.device]:
    """Eval mode and no gradients for a while; gives the network's device."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield next((p.device for p in model.parameters()), torch.device("cpu"))
    finally:
        model.train(was_training)


def count_right(model: nn.Module, images: Any, labels: NDArray[np.int64]) -> int:
    """Images whose largest score (lowest index first) is the label's; arguments as in `evaluate`."""
    with _measuring(model) as device:
        return sum(
            int(
                (
                    model(pixels(images[i : i + _BATCH]).to(device)).argmax(1).cpu().numpy() == labels[i : i + _BATCH]
                ).sum()
            )
            for i in range(0, len(labels), _BATCH)
        )


def evaluate(model: nn.Module, images: Any, labels: NDArray[np.int64]) -> float:
    """Share of images that `count_right` counts, 0..1.

    Parameters
    ----------
    model : nn.Module
        A network of the registry; evaluated in eval mode.
    images : uint8 array
        ``[N, H, W, C]``, or what gives such on access.
    labels : int array
        ``[N]``.
    """
    return count_right(model, images, labels) / len(labels)


def expert_usage_by_class(
    model: BinaryNetwork, images: Any, labels: NDArray[np.int64], classes: int
) -> dict[str, list[list[int]]]:
    """How many images of each class each expert of each layer gets.

    Parameters
    ----------
    model : BinaryNetwork
    images : uint8 array
        ``[N, H, W, C]``.
    labels : int array
        ``[N]``.
    classes : int

    Returns
    -------
    dict
        Layer name -> counts ``[classes][N experts]``.
    """
    with _measuring(model) as device:
        usage = {name: np.zeros((classes, layer.gate.experts), dtype=np.int64) for name, layer in model.experts()}
        for i in range(0, len(labels) if usage else 0, _BATCH):
            model(pixels(images[i : i + _BATCH]).to(device))
            for name, layer in model.experts():
                chosen = layer.gate.last_index
                assert chosen is not None
                np.add.at(usage[name], (labels[i : i + _BATCH], chosen.cpu().numpy()), 1)
    return {name: counts.tolist() for name, counts in usage.items()}


def expert_usage(model: BinaryNetwork, images: Any) -> dict[str, list[int]]:
    """How many of the images each expert of each layer gets.

    Parameters
    ----------
    model : BinaryNetwork
    images : uint8 array
        ``[N, H, W, C]``.

    Returns
    -------
    dict
        Layer name -> counts ``[N experts]``.
    """
    by_class = expert_usage_by_class(model, images, np.zeros(len(images), dtype=np.int64), 1)
    return {name: counts[0] for name, counts in by_class.items()}
