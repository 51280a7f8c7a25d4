"""CIFAR's format: pickled batches, in a folder or in the archive that is downloaded."""

import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from .base import FixedSpec, Labelled, Parts
from .download import RemoteFile, fetch
from .errors import DataError

__all__ = ["CIFAR_10", "CIFAR_100", "CifarSpec", "load_pickle"]

_ARRAY_MAKER = np.empty(0).__reduce__()[0]
#: All that a batch may name: what makes arrays, in numpy 1 and 2.
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _ARRAY_MAKER,
    ("numpy._core.multiarray", "_reconstruct"): _ARRAY_MAKER,
}
#: What unpickling raises on damaged files.
_DAMAGED = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
    struct.error,
)


class _Unpickler(pickle.Unpickler):
    """Makes arrays and Python's plain values, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which a batch has no need of")
        return _ALLOWED[module, name]


def load_pickle(file: IO[bytes]) -> Any:
    """Unpickle without running foreign code.

    Parameters
    ----------
    file : binary file
        Pickle of arrays, strings, numbers, lists, tuples and dicts. Strings of Python 2 become bytes.

    Raises
    ------
    pickle.UnpicklingError
        If it names any other class or function.
    """
    return _Unpickler(file, encoding="bytes").load()


@dataclass(frozen=True)
class CifarSpec(FixedSpec):
    """A data set of pickled batches.

    Attributes
    ----------
    folder : str
        Folder of the batches, in the user's folder and in the archive.
    archive : RemoteFile
        The ``.tar.gz``.
    train, test : tuple of str
        Files of the batches.
    label_key : str
        Key of the labels in a batch.
    """

    folder: str
    archive: RemoteFile
    train: tuple[str, ...]
    test: tuple[str, ...]
    label_key: str

    @property
    def remedy(self) -> str:
        """What to do where the files aren't found."""
        return f"give the folder that has {self.archive.name}, or {self.folder} with the files of it: --data DIR"

    def open(self, data: Path | None, size: tuple[int, int] | None, channels: int | None) -> Parts:
        """See `DatasetSpec.open`."""
        self.refuse_other_shapes(size, channels)
        if data is None:
            return self._parts("download", lambda: fetch(self.archive, self.name, self.remedy))
        folders = (data / self.folder, data)
        found = [f for f in folders if any((f / name).is_file() for name in (*self.train, *self.test))]
        if (data / self.archive.name).is_file():
            found.append(data / self.archive.name)
        if not found:
            raise DataError(f"{self.name}: its files aren't in {data}; {self.remedy}")
        return self._parts(str(found[0]), lambda: found[0])

    def _parts(self, origin: str, locate: Callable[[], Path]) -> Parts:
        train, test = (partial(self._read, locate, names) for names in (self.train, self.test))
        return Parts(origin, self.class_names, train, test)

    def _read(self, locate: Callable[[], Path], names: tuple[str, ...]) -> Labelled:
        place = locate()
        batches: dict[str, Labelled] = {}
        try:
            for name, file in self._files(place, names):
                batches[name] = self._batch(file, f"{place}: {name}")
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise DataError(f"{place}: can't be read or is damaged ({error}); get it again") from error
        missing = [name for name in names if name not in batches]
        if missing:
            raise DataError(f"{self.name}: {', '.join(missing)} isn't in {place}; {self.remedy}")
        images, labels = zip(*(batches[name] for name in names), strict=True)
        return np.concatenate(images), np.concatenate(labels)

    def _files(self, place: Path, names: tuple[str, ...]) -> Iterator[tuple[str, IO[bytes]]]:
        """The batches that are there, opened; nothing is unpacked to disk."""
        if place.is_dir():
            for name in names:
                if (place / name).is_file():
                    with open(place / name, "rb") as file:
                        yield name, file
            return
        with tarfile.open(place, "r:gz") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if path.name in names and path.parent.name == self.folder:
                    opened = archive.extractfile(member)
                    if opened is not None:
                        yield path.name, opened

    def _batch(self, file: IO[bytes], where: str) -> Labelled:
        try:
            batch = load_pickle(file)
        except _DAMAGED as error:
            raise DataError(f"{where}: this is no batch of {self.name} ({error}); get it again") from error
        entries = batch if isinstance(batch, dict) else {}
        # bytes as Python 2 wrote them; str if Python 3 has written them anew
        entries = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in entries.items()}
        pixels, labels = entries.get("data"), entries.get(self.label_key)
        values = self.height * self.width * self.channels
        if not (
            isinstance(pixels, np.ndarray)
            and pixels.dtype == np.uint8
            and pixels.shape[1:] == (values,)
            and isinstance(labels, list)
            and 0 < len(labels) == len(pixels)
            and all(isinstance(label, int) and 0 <= label < len(self.class_names) for label in labels)
        ):
            raise DataError(
                f"{where}: this is no batch of {self.name}: it needs 'data', bytes [n, {values}], and "
                f"{self.label_key!r}, n numbers from 0 to {len(self.class_names) - 1}; get it again"
            )
        images = pixels.reshape(-1, self.channels, self.height, self.width).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(images), np.array(labels, np.int64)


_CLASSES_100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle
bowl boy bridge bus butterfly camel can castle caterpillar cattle
chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree
plain plate poppy porcupine possum rabbit raccoon ray road rocket
rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

CIFAR_10 = CifarSpec(
    "cifar-10",
    height=32,
    width=32,
    channels=3,
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    folder="cifar-10-batches-py",
    archive=RemoteFile("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
    train=tuple(f"data_batch_{i}" for i in range(1, 6)),
    test=("test_batch",),
    label_key="labels",
)

CIFAR_100 = CifarSpec(
    "cifar-100",
    height=32,
    width=32,
    channels=3,
    class_names=tuple(_CLASSES_100.split()),
    folder="cifar-100-python",
    archive=RemoteFile("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
    train=("train",),
    test=("test",),
    label_key="fine_labels",
)
