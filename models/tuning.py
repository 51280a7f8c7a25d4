"""Splits for tuning, which leave the test images alone."""

import numpy as np

from .datasets import Dataset, ImageFiles, Images

__all__ = ["hold_out"]


def hold_out(data: Dataset, share: float, *, seed: int = 0) -> Dataset:
    """Hold out a share of the training images in place of the test images, which are dropped.

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
    ValueError
        If the share leaves a side without an image of a class, or isn't between 0 and 1.
    """
    from sklearn.model_selection import train_test_split

    if not 0 < share < 1:
        raise ValueError(f"share={share} must lie between 0 and 1")
    kept, held = train_test_split(
        np.arange(len(data.train_y)), test_size=share, random_state=seed, stratify=data.train_y
    )
    return data._replace(
        train_x=_rows(data.train_x, kept),
        train_y=data.train_y[kept],
        test_x=_rows(data.train_x, held),
        test_y=data.train_y[held],
    )


def _rows(images: Images, rows: np.ndarray) -> Images:
    # image files stay files
    return images.subset(rows) if isinstance(images, ImageFiles) else images[rows]
