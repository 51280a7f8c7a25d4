"""Checkpoints: a network's name, config and weights in one file, read without running any code from it."""

import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import BitexpertError
from .files import write_atomically
from .networks import NetworkError, build_network

__all__ = ["FORMAT", "VERSION", "CheckpointError", "load_checkpoint", "save_checkpoint"]

FORMAT = "bitexpert-checkpoint"
VERSION = 1


class CheckpointError(BitexpertError):
    """A checkpoint can't be read; the message names the file and what to do."""


def save_checkpoint(model: nn.Module, path: str | Path) -> Path:
    """Write a network to one file, atomically.

    Parameters
    ----------
    model : nn.Module
        A network of the registry (it has ``name`` and ``config``).
    path : path
        The file.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    CheckpointError
        If the model isn't one of the registry.
    OSError
        If the file can't be written.
    """
    name, config = getattr(model, "name", None), getattr(model, "config", None)
    if not isinstance(name, str) or config is None:
        raise CheckpointError("only networks made by build_network() can be saved: name or config is missing")
    content = {
        "format": FORMAT,
        "version": VERSION,
        "network": name,
        "config": config.model_dump(mode="json"),
        "state_dict": model.state_dict(),
    }
    return write_atomically(path, lambda temporary: torch.save(content, temporary))


def _read(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise CheckpointError(f"{path}: this is a folder; give the network in it, as in {path / 'model.pt'}")
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file; train a network first, or correct the path")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path}: the file is empty; train again")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (OSError, pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: this is not a checkpoint, or it is truncated; train again, or copy the file again"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: this is not a bitexpert checkpoint; make one with `bitexpert train`")
    if content.get("version") != VERSION:
        raise CheckpointError(
            f"{path}: format version {content.get('version')!r}, but this bitexpert reads version {VERSION}; "
            "train again, or use the bitexpert that wrote it"
        )
    missing = {"network", "config", "state_dict"} - set(content)
    if missing:
        raise CheckpointError(f"{path}: {', '.join(sorted(missing))} missing in the checkpoint; train again")
    return content


def load_checkpoint(path: str | Path) -> nn.Module:
    """Read a network from a file.

    Parameters
    ----------
    path : path
        What `save_checkpoint` wrote.

    Returns
    -------
    nn.Module
        In eval mode.

    Raises
    ------
    CheckpointError
        If the file is missing, empty, truncated, no checkpoint, of another version, of an unknown
        network, or its weights don't fit that network.
    """
    path = Path(path)
    content = _read(path)
    try:
        # The random start is overwritten: leave the caller's generator alone.
        with torch.random.fork_rng(devices=[]):
            model = build_network(content["network"], content["config"])
    except NetworkError as error:
        raise CheckpointError(f"{path}: {error}") from error
    try:
        model.load_state_dict(content["state_dict"])
    except (RuntimeError, TypeError, AttributeError) as error:
        line = " ".join(str(error).split())
        raise CheckpointError(f"{path}: the weights don't fit the network: {line[:400]}") from error
    return model.eval()
