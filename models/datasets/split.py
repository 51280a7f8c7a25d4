"""Images that are kept apart: each class in the same proportion."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .image_files import ImageFiles

if TYPE_CHECKING:
    from .base import Dataset, Images

__all__ = ["hold_out", "split_by_class", "take"]


def take(images: "Images", rows: NDArray[np.int64]) -> "Images":
    """Some of the images; image files stay files."""
    return images.subset(rows) if isinstance(images, ImageFiles) else images[rows]


def split_by_class(
    labels: NDArray[np.int64], class_names: tuple[str, ...], share: float, seed: int, name: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose images to keep apart.

    Parameters
    ----------
    labels : int array
        ``[N]``.
    class_names : tuple of str
    share : float
        Of each class that is kept apart, above 0 and below 1.
    seed : int
        Chooses them.
    name : str
        Of the data set, for messages.

    Returns
    -------
    stay, apart : int arrays
        Indices.

    Raises
    ------
    DataError
        If a class has less than two images, or the share leaves a side without an image of a class.
    """
    from sklearn.model_selection import train_test_split

    if not 0 < share < 1:
        raise DataError(f"{name}: a share of {share} can't be held out; it must lie between 0 and 1")
    counts = np.bincount(labels, minlength=len(class_names))
    if counts.min() < 2:
        raise DataError(
            f"{name}: class {class_names[counts.argmin()]!r} has {counts.min()} training image(s), and a part of each "
            "class is to be held out; it needs 2 at least"
        )
    try:
        stay, apart = train_test_split(np.arange(len(labels)), test_size=share, random_state=seed, stratify=labels)
    except ValueError as error:
        raise DataError(f"{name}: held_out={share} can't split {len(labels)} images: {error}") from error
    return stay, apart


def hold_out(data: "Dataset", share: float, *, seed: int = 0) -> "Dataset":
    """Hold out a share of the training images in place of the test images, which are dropped: a split for tuning.

    Parameters
    ----------
    data : Dataset
    share : float
        Of the training images, above 0 and below 1; each class in the same proportion.
    seed : int
        Chooses the split.

    Returns
    -------
    Dataset
        ``test_x`` and ``test_y`` are training images of ``data``.

    Raises
    ------
    DataError
        As in `split_by_class`.
    """
    kept, held = split_by_class(data.train_y, data.class_names, share, seed, data.source)
    return data._replace(
        train_x=take(data.train_x, kept),
        train_y=data.train_y[kept],
        test_x=take(data.train_x, held),
        test_y=data.train_y[held],
    )
