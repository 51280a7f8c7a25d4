"""The images on which an entry's accuracy is counted."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..datasets import Images, load_dataset

if TYPE_CHECKING:
    from .card import TestSet

__all__ = ["digest_of", "load_test_set"]

_CHUNK = 1024
# Comes with a Python package and is read from no folder.
_BUNDLED = frozenset({"digits"})


def digest_of(images: Images, labels: NDArray[np.int64]) -> str:
    """SHA-256 of images and labels, in hexadecimal.

    Parameters
    ----------
    images : uint8 array or ImageFiles
        ``[N, H, W, C]``.
    labels : int array
        ``[N]``.
    """
    found = hashlib.sha256(repr(tuple(int(n) for n in images.shape)).encode())
    for start in range(0, len(images), _CHUNK):
        found.update(np.ascontiguousarray(images[start : start + _CHUNK], dtype=np.uint8).tobytes())
    found.update(np.ascontiguousarray(labels, dtype="<i8").tobytes())
    return found.hexdigest()


def load_test_set(test_set: TestSet, data: Path | None = None) -> tuple[Images, NDArray[np.int64]]:
    """Images ``[N, H, W, C]`` and labels ``[N]`` of a card's test set.

    Parameters
    ----------
    test_set : TestSet
    data : Path, optional
        Folder with the data set's files, for sets that don't come with a package; without it they are downloaded
        into the cache of `load_dataset`.

    Raises
    ------
    DataError
        If the data set is unknown, or its files are missing or damaged.
    """
    folder = None if test_set.dataset in _BUNDLED else data
    loaded = load_dataset(test_set.dataset, data=folder, seed=test_set.seed, held_out=test_set.held_out)
    return loaded.test_x, loaded.test_y
