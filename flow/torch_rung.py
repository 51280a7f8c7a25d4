"""The torch rung: a checkpoint run on frames, with every bit after a sign."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..models.checkpoint import load_checkpoint
from ..models.quant import BinaryActivation

__all__ = ["activations"]


def activations(checkpoint: Path, frames: np.ndarray, batch: int = 128) -> tuple[np.ndarray, list[np.ndarray]]:
    """Run a trained network.

    Parameters
    ----------
    checkpoint : Path
    frames : ndarray of float32
        As the network takes them.
    batch : int
        Frames at once.

    Returns
    -------
    scores : ndarray, shape (N, classes)
    bits : list of ndarray
        The +-1 output of each BinaryActivation, in the order in which they are computed.
    """
    import torch

    model = load_checkpoint(checkpoint)
    seen: list[np.ndarray] = []
    hooks = [
        module.register_forward_hook(lambda _m, _i, out: seen.append(out.detach().numpy().copy()))
        for module in model.modules()
        if isinstance(module, BinaryActivation)
    ]
    scores, layers = [], []
    with torch.no_grad():
        for start in range(0, len(frames), batch):
            seen.clear()
            scores.append(model(torch.from_numpy(frames[start : start + batch])).numpy())
            layers.append(list(seen))
    for hook in hooks:
        hook.remove()
    bits = [np.concatenate([part[i] for part in layers]) for i in range(len(layers[0]))]
    return np.concatenate(scores), bits
