"""Frames that a user gives: read, checked, and brought to the integers that the hardware takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import BitexpertError
from ..hw.types import BIPOLAR
from .model_file import HardwareInput

__all__ = ["FramesError", "as_frames", "random_frames", "read_array", "read_frames"]


class FramesError(BitexpertError):
    """Frames with a wrong shape, dtype or range."""


def read_array(path: Path) -> np.ndarray:
    """Read a .npy file.

    Raises
    ------
    FramesError
        It is missing, or holds no plain array.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise FramesError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, EOFError):
        raise FramesError(f"{path} is not a .npy file of numbers; write it with numpy.save") from None
    if not isinstance(array, np.ndarray):
        raise FramesError(f"{path} holds several arrays (.npz); write one with numpy.save")
    return array


def read_frames(path: Path, source: HardwareInput) -> np.ndarray:
    """Read frames from a .npy file; see :func:`as_frames`."""
    return as_frames(read_array(path), source, str(path))


def as_frames(array: np.ndarray, source: HardwareInput, name: str = "the input") -> np.ndarray:
    """Bring an array to integer frames as the accelerator takes them.

    Parameters
    ----------
    array : ndarray
        (N, C, H, W) for a model whose input is NCHW, (N, F) for a flat one. The hardware's own order
        (N, H, W, C) is taken too, where it cannot be mistaken for the other. Integers are what the hardware
        receives; floats are what the model takes: such an integer times its input scale, plus its input offset.
    source : HardwareInput
    name : str
        For messages.

    Returns
    -------
    ndarray of int64, shape (N, H, W, C).

    Raises
    ------
    FramesError
        Names the shape, dtype or value, and what is expected.
    """
    h, w, c = source.shape
    wanted = {"NCHW": f"(N, {c}, {h}, {w})", "NHWC": f"(N, {h}, {w}, {c})"}.get(source.layout, f"(N, {c})")
    if not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)):
        raise FramesError(f"{name} has dtype {array.dtype}; use {source.element} values as an integer or float array")
    if source.layout == "NCHW" and array.shape[1:] == (c, h, w):
        frames = array.transpose(0, 2, 3, 1)
    elif array.shape[1:] == (h, w, c):
        frames = array
    elif source.layout == "flat" and array.shape[1:] == (c,):
        frames = array.reshape(-1, 1, 1, c)
    else:
        raise FramesError(f"{name} has shape {array.shape}; the model takes {wanted}, or (N, {h}, {w}, {c})")
    if not len(frames):
        raise FramesError(f"{name} holds no frames")
    if np.issubdtype(array.dtype, np.floating):
        scaled = (frames - source.offset) / source.scale
        values = np.rint(scaled)
        with np.errstate(invalid="ignore"):
            bad = ~np.isfinite(scaled) | (np.abs(scaled - values) > 1e-3)
        if bad.any():
            raise FramesError(
                f"{name} holds {frames[bad][0]:g}, which is not on the input's grid (integers times {source.scale:g}"
                f"{f' plus {source.offset:g}' if source.offset else ''}); quantize it first, or give the integers"
            )
        frames = values
    low, high = int(frames.min()), int(frames.max())
    if not source.element.holds(frames) or low < source.low or high > source.high:
        legal = "-1 and +1" if source.element == BIPOLAR else f"{source.low}..{source.high}"
        raise FramesError(f"{name} has values from {low} to {high}; the model takes {source.element}: {legal}")
    return np.ascontiguousarray(frames, dtype=np.int64)


def random_frames(source: HardwareInput, count: int, seed: int = 0) -> np.ndarray:
    """Random frames in the range of the input: int64, shape (count, H, W, C)."""
    rng = np.random.default_rng(seed)
    if source.element == BIPOLAR:
        return rng.choice(np.array([-1, 1], dtype=np.int64), (count, *source.shape))
    return rng.integers(source.low, source.high, (count, *source.shape), endpoint=True)
