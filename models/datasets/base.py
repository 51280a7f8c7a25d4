"""What every data set is: its description before loading, its parts, and the arrays."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .image_files import ImageFiles

__all__ = ["Dataset", "DatasetSpec", "FixedSpec", "Images", "Labelled", "Parts"]

#: Pixels, NHWC: an array, or image files that are decoded when they are read.
Images = NDArray[np.uint8] | ImageFiles
#: Images and the class index of each.
Labelled = tuple[Images, NDArray[np.int64]]


class Dataset(NamedTuple):
    """Images and labels, split for training and for testing.

    Attributes
    ----------
    train_x, test_x : uint8 array or ImageFiles
        Pixels, NHWC.
    train_y, test_y : int64 array
        Class indices ``[N]``.
    class_names : tuple of str
        Name of each class.
    source : str
        One line: what was read, how it was split, and a SHA-256 over the arrays.
    """

    train_x: Images
    train_y: NDArray[np.int64]
    test_x: Images
    test_y: NDArray[np.int64]
    class_names: tuple[str, ...]
    source: str


class Parts(NamedTuple):
    """A data set that was found but not read yet.

    Attributes
    ----------
    origin : str
        Where it comes from.
    class_names : tuple of str
        Name of each class.
    train : callable
        Reads the training images.
    test : callable, optional
        Reads the test images; None if the set has none of its own.
    """

    origin: str
    class_names: tuple[str, ...]
    train: Callable[[], Labelled]
    test: Callable[[], Labelled] | None


@dataclass(frozen=True)
class DatasetSpec(ABC):
    """What is known of a data set before it is loaded.

    Attributes
    ----------
    name : str
        Its key in `DATASETS`.
    height, width, channels : int, optional
        Shape of an image; None where it is chosen when loading.
    class_names : tuple of str, optional
        Name of each class; None where the data tells.
    """

    name: str
    height: int | None
    width: int | None
    channels: int | None
    class_names: tuple[str, ...] | None

    @property
    def classes(self) -> int | None:
        """Number of classes, if known before loading."""
        return None if self.class_names is None else len(self.class_names)

    @abstractmethod
    def open(self, data: Path | None, size: tuple[int, int] | None, channels: int | None) -> Parts:
        """Find the files.

        Parameters
        ----------
        data : Path, optional
            The folder to search; None to take what is bundled, or to download when a part is read.
        size : (int, int), optional
            Height and width of the images.
        channels : int, optional
            1 for grey, 3 for RGB.

        Raises
        ------
        DataError
            If files are missing or a setting doesn't fit this set.
        """


@dataclass(frozen=True)
class FixedSpec(DatasetSpec):
    """A data set whose shape and classes are known before loading."""

    height: int
    width: int
    channels: int
    class_names: tuple[str, ...]

    def refuse_other_shapes(self, size: tuple[int, int] | None, channels: int | None) -> None:
        """Raise DataError if another shape is asked for than the set has."""
        if size not in (None, (self.height, self.width)) or channels not in (None, self.channels):
            raise DataError(
                f"{self.name}: its images have {self.height}x{self.width} pixels and {self.channels} channel(s); "
                "leave size and channels out (they are for 'folder')"
            )
