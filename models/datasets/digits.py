"""The digits that come with scikit-learn."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .base import FixedSpec, Labelled, Parts
from .errors import DataError

__all__ = ["DIGITS", "load_digits"]


def load_digits() -> Labelled:
    """Handwritten digits of 8x8 pixels, all 1797.

    Returns
    -------
    images : uint8 array
        ``[1797, 8, 8, 1]``; the values 0..16 scaled to 0..255 by rounding ``v*255/16``.
    labels : int64 array
        ``[1797]``.
    """
    from sklearn.datasets import load_digits as sklearn_digits

    raw = sklearn_digits()
    # floor(v + 1/2), not numpy's half-to-even, so that the scaling is monotone and plain.
    images = np.floor(raw.images * 255.0 / 16.0 + 0.5).astype(np.uint8)[..., None]
    return images, raw.target.astype(np.int64)


@dataclass(frozen=True)
class DigitsSpec(FixedSpec):
    """scikit-learn's digits, which have no test set of their own."""

    def open(self, data: Path | None, size: tuple[int, int] | None, channels: int | None) -> Parts:
        """See `DatasetSpec.open`."""
        self.refuse_other_shapes(size, channels)
        if data is not None:
            raise DataError(
                f"{self.name}: this set comes with scikit-learn and is read from no folder; leave out --data"
            )
        return Parts("scikit-learn", self.class_names, load_digits, None)


DIGITS = DigitsSpec("digits", height=8, width=8, channels=1, class_names=tuple("0123456789"))
