"""Real numbers as integers times a scale: weights, and the scales of tensors that meet."""

from __future__ import annotations

from fractions import Fraction
from math import gcd

import numpy as np

__all__ = ["common_scale", "integer_rows"]

# Ratios of scales are products of a few float32 numbers, each rounded once.
TOLERANCE = 2.0**-20
LARGEST_RATIO = 1 << 10


def common_scale(scales: np.ndarray, largest_exact: int = LARGEST_RATIO) -> tuple[float, np.ndarray] | None:
    """The largest scale of which all given ones are small integer multiples.

    Parameters
    ----------
    scales : ndarray of float64
        Finite; zeros are multiples of any scale.
    largest_exact : int
        Largest factor where no scale was rounded, so that no chance hit has to be feared; else it is 1024.

    Returns
    -------
    scale : float
        Positive.
    factors : ndarray of int64, shape of ``scales``
        ``scales == scale * factors``, up to the rounding of float32 numbers.
    None if there is no such scale.
    """
    sizes = np.unique(np.abs(scales[scales != 0]))
    if not len(sizes):
        return 1.0, np.zeros(scales.shape, np.int64)
    exact = [Fraction(size) for size in sizes.tolist()]
    denominator = max(size.denominator for size in exact)  # all are powers of two
    numerators = [int(size * denominator) for size in exact]
    divisor = gcd(*numerators)
    if numerators[-1] // divisor <= largest_exact:
        common = float(Fraction(divisor, denominator))
        return common, np.rint(scales / common).astype(np.int64)
    unit = float(sizes[0])
    for denominator in range(1, 17):
        factors = scales * (denominator / unit)
        integers = np.rint(factors)
        if np.abs(integers).max() > LARGEST_RATIO:
            return None
        if (np.abs(factors - integers) <= np.abs(integers) * TOLERANCE).all():
            scale = Fraction(unit) / denominator
            return float(scale), integers.astype(np.int64)
    return None


def integer_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """A matrix of real numbers as integers with one scale a row.

    Parameters
    ----------
    values : ndarray, shape (rows, columns)

    Returns
    -------
    scales : ndarray of float64, shape (rows,)
    integers : ndarray of int64, shape (rows, columns)
    None if a row is made of numbers that are no multiples of one.
    """
    values = np.asarray(values, dtype=np.float64)
    scales, integers = np.ones(len(values)), np.zeros(values.shape, np.int64)
    if np.abs(values).max(initial=0.0) <= LARGEST_RATIO and np.array_equal(values, np.rint(values)):
        return scales, values.astype(np.int64)
    for row, numbers in enumerate(values):
        found = common_scale(numbers)
        if found is None:
            return None
        scales[row], integers[row] = found
    return scales, integers
