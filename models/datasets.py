"""Data sets that come with the Python packages: nothing is downloaded."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["DATASETS", "Dataset", "load_dataset", "load_digits"]


class Dataset(NamedTuple):
    """Images and labels, split for training and for testing.

    Attributes
    ----------
    train_x, test_x : uint8 array
        Pixels, NHWC.
    train_y, test_y : int64 array
        Class indices ``[N]``.
    class_names : tuple of str
        Name of each class.
    """

    train_x: NDArray[np.uint8]
    train_y: NDArray[np.int64]
    test_x: NDArray[np.uint8]
    test_y: NDArray[np.int64]
    class_names: tuple[str, ...]


def load_digits(*, seed: int = 0, held_out: float = 0.2) -> Dataset:
    """Handwritten digits of 8x8 pixels (1797 images), as they come with scikit-learn.

    Parameters
    ----------
    seed : int
        Chooses the split; the same seed gives the same split.
    held_out : float
        Share of the images that training never sees, with every class in the same proportion.

    Returns
    -------
    Dataset
        Pixels 0..16 scaled to 0..255 by rounding ``v*255/16``; shape ``[N, 8, 8, 1]``.

    Raises
    ------
    ValueError
        If ``held_out`` or ``seed`` is out of range.
    """
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    if not 0.01 <= held_out <= 0.9:
        raise ValueError(f"held_out={held_out} must lie between 0.01 and 0.9")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed} must lie between 0 and 2**32 - 1")
    raw = sklearn_digits()
    # floor(v + 1/2), not numpy's half-to-even, so that the scaling is monotone and plain.
    images = np.floor(raw.images * 255.0 / 16.0 + 0.5).astype(np.uint8)[..., None]
    labels = raw.target.astype(np.int64)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=held_out, random_state=seed, stratify=labels
    )
    return Dataset(train_x, train_y, test_x, test_y, tuple(str(name) for name in raw.target_names))


DATASETS = {"digits": load_digits}


def load_dataset(name: str, *, seed: int = 0, held_out: float = 0.2) -> Dataset:
    """Load a data set by name.

    Parameters
    ----------
    name : str
        A key of `DATASETS`.
    seed, held_out
        As in `load_digits`.

    Raises
    ------
    ValueError
        If the name is unknown or a setting is out of range.
    """
    if name not in DATASETS:
        raise ValueError(f"data set {name!r} is unknown; there are: {', '.join(sorted(DATASETS))}")
    return DATASETS[name](seed=seed, held_out=held_out)
