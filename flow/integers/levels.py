"""Quantizers as integer thresholds: the integers at which a level begins, found by bisection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Levels", "bisect"]


@dataclass(frozen=True)
class Levels:
    """What a quantizer makes of integers, one row a channel.

    Parameters
    ----------
    thresholds : ndarray of int64, shape (channels, L)
        Ascending. The level is the number of thresholds reached by the integer, or by minus the integer where
        ``falling``.
    falling : ndarray of bool, shape (channels,)
    """

    thresholds: np.ndarray
    falling: np.ndarray


def bisect(level: Callable[[np.ndarray], np.ndarray], channels: int, low: int, high: int, steps: int) -> Levels:
    """Find where each level of each channel begins.

    Parameters
    ----------
    level : callable
        Takes integers of shape (k, channels), gives their levels 0..steps, same shape. For every channel it
        never falls or never rises. It is what the exported network computes, in its own float32 operations, so that
        ties fall as they do there.
    channels : int
    low, high : int
        The range of the integers.
    steps : int
        Levels above the lowest.

    Returns
    -------
    Levels
        A threshold that no integer of the range reaches is high + 1 (-low + 1 where falling), one that all
        reach is low (-high).
    """
    ends = level(np.array([[low] * channels, [high] * channels], dtype=np.int64))
    falling = ends[1] < ends[0]
    # `position` runs from the end with the lowest level to the other: low.. for rising, high.. downwards for falling
    span = high - low

    def at(position: np.ndarray) -> np.ndarray:
        return level(np.where(falling, high - position, low + position))

    wanted = np.arange(1, steps + 1)[:, None]
    # the first position that reaches a level lies in (left, right]; -1 and span + 1 stand outside
    left = np.full((steps, channels), -1, dtype=np.int64)
    right = np.where(np.maximum(ends[0], ends[1]) >= wanted, span, span + 1)
    left = np.where(right > span, span, left)
    while (right - left > 1).any():
        middle = (left + right) // 2
        open_ = right - left > 1
        reached = at(np.where(open_, middle, 0)) >= wanted
        right = np.where(open_ & reached, middle, right)
        left = np.where(open_ & ~reached, middle, left)
    thresholds = np.where(falling, right - high, right + low)
    return Levels(np.ascontiguousarray(thresholds.T), falling)
