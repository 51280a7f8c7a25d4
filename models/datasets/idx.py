"""MNIST's format: idx files, plain or with gzip."""

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .base import FixedSpec, Labelled, Parts
from .download import RemoteFile, fetch
from .errors import DataError

__all__ = ["FASHION_MNIST", "MNIST", "IdxSpec", "read_idx"]

#: CRC-32 of the labels for training and testing. Both sets have files of the same names and sizes.
_OFFICIAL_LABELS = {
    0xBA07E8EF: "mnist",
    0xEE8604D9: "mnist",
    0x2ED6E46A: "fashion-mnist",
    0x242BC73F: "fashion-mnist",
}


def read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """Read an idx file of bytes.

    Parameters
    ----------
    path : Path
        The file; gzip if its name ends with ``.gz``.
    ndim : int
        Number of axes that it must have.

    Returns
    -------
    uint8 array

    Raises
    ------
    DataError
        If the file can't be read, is none of these, or is longer or shorter than its header says.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    header_bytes = 4 + 4 * ndim
    try:
        with opener(path, "rb") as file:
            header = file.read(header_bytes)
            if len(header) < header_bytes or header[:4] != bytes([0, 0, 8, ndim]):
                raise DataError(
                    f"{path}: the file doesn't begin with 00 00 08 {ndim:02}, as an idx file of bytes with {ndim} axes "
                    "does; get it again"
                )
            shape = tuple(int(n) for n in np.frombuffer(header, ">u4", offset=4))
            count = int(np.prod(shape, dtype=object))
            values = file.read(count + 1)
    # a damaged header may ask for more memory than there is
    except (OSError, EOFError, zlib.error, MemoryError, OverflowError) as error:
        raise DataError(f"{path}: the file can't be read or is damaged ({error}); get it again") from error
    if len(values) != count:
        relation = "fewer" if len(values) < count else "more"
        raise DataError(f"{path}: the file has {relation} than the {count} bytes its header tells of; get it again")
    return np.frombuffer(values, np.uint8).reshape(shape).copy()  # writable, as torch wants it


@dataclass(frozen=True)
class IdxSpec(FixedSpec):
    """A data set of four idx files.

    Attributes
    ----------
    folders : tuple of str
        Where the files may lie in the user's folder, besides that folder itself and its ``raw``.
    train, test : (RemoteFile, RemoteFile)
        Images and labels.
    """

    folders: tuple[str, ...]
    train: tuple[RemoteFile, RemoteFile]
    test: tuple[RemoteFile, RemoteFile]

    @property
    def remedy(self) -> str:
        """What to do where the files aren't found."""
        names = ", ".join(file.name for file in (*self.train, *self.test))
        return (
            f"give the folder that has {names} (with or without .gz), in it or in {', '.join(self.folders)} or raw: "
            "--data DIR"
        )

    def open(self, data: Path | None, size: tuple[int, int] | None, channels: int | None) -> Parts:
        """See `DatasetSpec.open`."""
        self.refuse_other_shapes(size, channels)
        if data is None:
            return self._parts("download", partial(fetch, dataset=self.name, remedy=self.remedy))
        for folder in [data / name for name in (*self.folders, ".", "raw")]:
            if any(_spellings(folder, file) for file in (*self.train, *self.test)):
                return self._parts(str(folder), partial(self._in_folder, folder))
        raise DataError(f"{self.name}: its files aren't in {data}; {self.remedy}")

    def _parts(self, origin: str, locate: Callable[[RemoteFile], Path]) -> Parts:
        return Parts(
            origin, self.class_names, partial(self._read, locate, self.train), partial(self._read, locate, self.test)
        )

    def _in_folder(self, folder: Path, remote: RemoteFile) -> Path:
        found = _spellings(folder, remote)
        if not found:
            raise DataError(f"{self.name}: {remote.name} isn't in {folder}; {self.remedy}")
        return found[0]

    def _read(self, locate: Callable[[RemoteFile], Path], files: tuple[RemoteFile, RemoteFile]) -> Labelled:
        images_path, labels_path = (locate(file) for file in files)
        images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
        if images.shape[1:] != (self.height, self.width):
            raise DataError(
                f"{images_path}: the images have {images.shape[1]}x{images.shape[2]} pixels, those of {self.name} "
                f"{self.height}x{self.width}; get the file again"
            )
        if len(images) != len(labels) or not len(labels):
            raise DataError(f"{labels_path}: {len(labels)} labels for {len(images)} images; get both files again")
        if labels.max() >= len(self.class_names):
            raise DataError(
                f"{labels_path}: label {labels.max()} is none of the {len(self.class_names)} classes; get it again"
            )
        owner = _OFFICIAL_LABELS.get(zlib.crc32(labels.tobytes()), self.name)
        if owner != self.name:
            raise DataError(f"{labels_path}: this is a file of {owner}; give the folder of {self.name}, or use {owner}")
        return images[..., None], labels.astype(np.int64)


def _spellings(folder: Path, remote: RemoteFile) -> list[Path]:
    """The files of this name that are there: plain or with gzip, with ``-idx`` or ``.idx``."""
    plain = remote.name.removesuffix(".gz")
    names = [name + end for end in ("", ".gz") for name in (plain, plain.replace("-idx", ".idx"))]
    return [folder / name for name in names if (folder / name).is_file()]


def _remote(base: str, *files: tuple[str, str]) -> tuple[RemoteFile, RemoteFile]:
    images, labels = (RemoteFile(f"{base}/{name}-ubyte.gz", md5) for name, md5 in files)
    return images, labels


_MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist"
_FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"

MNIST = IdxSpec(
    "mnist",
    height=28,
    width=28,
    channels=1,
    class_names=tuple("0123456789"),
    folders=("MNIST/raw", "MNIST", "mnist/raw", "mnist"),
    train=_remote(
        _MNIST_URL,
        ("train-images-idx3", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1", "d53e105ee54ea40749a09fcbcd1e9432"),
    ),
    test=_remote(
        _MNIST_URL,
        ("t10k-images-idx3", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1", "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
)

FASHION_MNIST = IdxSpec(
    "fashion-mnist",
    height=28,
    width=28,
    channels=1,
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    folders=("FashionMNIST/raw", "FashionMNIST", "fashion-mnist/raw", "fashion-mnist"),
    train=_remote(
        _FASHION_URL,
        ("train-images-idx3", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1", "25c81989df183df01b3e8a0aad5dffbe"),
    ),
    test=_remote(
        _FASHION_URL,
        ("t10k-images-idx3", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1", "bb300cfdad3c16e7a12a480ee83cd310"),
    ),
)
