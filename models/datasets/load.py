"""Data sets by name, and the split for tuning."""

import hashlib
from pathlib import Path

import numpy as np

from .base import Dataset, DatasetSpec, Labelled
from .cifar import CIFAR_10, CIFAR_100
from .digits import DIGITS
from .errors import DataError
from .folder import FOLDER
from .idx import FASHION_MNIST, MNIST
from .image_files import ImageFiles
from .split import split_by_class, take

__all__ = ["DATASETS", "load_dataset"]

DATASETS: dict[str, DatasetSpec] = {
    spec.name: spec for spec in (DIGITS, MNIST, FASHION_MNIST, CIFAR_10, CIFAR_100, FOLDER)
}
#: Share that is kept apart of sets that have no test set of their own.
DEFAULT_HELD_OUT = 0.2
#: Image files that take less as arrays are decoded at once.
DECODE_BELOW_BYTES = 10**9


def load_dataset(
    name: str,
    *,
    data: str | Path | None = None,
    seed: int = 0,
    held_out: float | None = None,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> Dataset:
    """Load a data set by name.

    Parameters
    ----------
    name : str
        A key of `DATASETS`.
    data : path, optional
        Folder that has the files; nothing is downloaded or written there. None downloads the set into the cache
        (``BITEXPERT_DATA``, or the user's cache folder), if it isn't there yet.
    seed : int
        Chooses the split; the same seed gives the same split.
    held_out : float, optional
        Share of the training images, 0.01 to 0.9, that is kept apart and used as the test set, with every class in
        the same proportion; the set's own test images aren't read. None uses the set's own test set, or keeps 0.2
        apart if it has none.
    size : (int, int), optional
        For ``folder``: height and width that the images get, see `ImageFiles`.
    channels : int, optional
        For ``folder``: 3 for RGB (as by default), 1 for grey.

    Returns
    -------
    Dataset
        Of ``folder``, the images are `ImageFiles` where arrays would take 1 GB or more.

    Raises
    ------
    DataError
        If the name is unknown, a setting is out of range, or files are missing or damaged.
    """
    if name not in DATASETS:
        raise DataError(f"data set {name!r} is unknown; there are: {', '.join(sorted(DATASETS))}")
    if held_out is not None and not 0.01 <= held_out <= 0.9:
        raise DataError(f"held_out={held_out} must lie between 0.01 and 0.9")
    if not 0 <= seed < 2**32:
        raise DataError(f"seed={seed} must lie between 0 and 2**32 - 1")
    folder = None if data is None else Path(data)
    if folder is not None and not folder.is_dir():
        raise DataError(f"{name}: there is no folder {folder}; give the folder that has the data (--data DIR)")
    parts = DATASETS[name].open(folder, size, channels)
    train = parts.train()
    if held_out is None and parts.test is not None:
        test, how = parts.test(), "its own test set"
    else:
        share = DEFAULT_HELD_OUT if held_out is None else held_out
        images, labels = train
        stay, apart = split_by_class(labels, parts.class_names, share, seed, name)
        train, test = (take(images, stay), labels[stay]), (take(images, apart), labels[apart])
        how = f"held out of the training images with seed {seed}"
    (train_x, train_y), (test_x, test_y) = train, test
    if train_x.nbytes + test_x.nbytes < DECODE_BELOW_BYTES:
        train_x, test_x = train_x[:], test_x[:]  # decodes image files
    source = (
        f"{name} from {parts.origin}: {len(train_y)} training images, {len(test_y)} test images ({how}), "
        f"{_digest((train_x, train_y), (test_x, test_y))}"
    )
    return Dataset(train_x, train_y, test_x, test_y, parts.class_names, source)


def _digest(*parts: Labelled) -> str:
    """SHA-256 over the arrays; over names and sizes of files that aren't decoded."""
    sha = hashlib.sha256()
    what = "sha256"
    for images, labels in parts:
        if isinstance(images, ImageFiles):
            what = "sha256 of labels, file names and sizes"
            for file in images.names:
                sha.update(f"{file}\0{_file_bytes(images.root / file)}\0".encode("utf-8", "surrogateescape"))
        else:
            _update(sha, images)
        _update(sha, labels)
    return f"{what} {sha.hexdigest()}"


def _file_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:  # such as a link to nowhere
        raise DataError(f"{path}: this image can't be read ({error.strerror}); replace or remove the file") from error


def _update(sha: "hashlib._Hash", array: np.ndarray) -> None:
    sha.update(f"{array.dtype.str}{array.shape}".encode())
    sha.update(np.ascontiguousarray(array).data)
