"""Any folder of images, one folder a class."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from .base import DatasetSpec, Labelled, Parts
from .errors import DataError
from .image_files import ImageFiles

__all__ = ["FOLDER", "SUFFIXES", "FolderSpec"]

#: Endings of the files that count as images.
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TEST_FOLDERS = ("test", "val")


@dataclass(frozen=True)
class FolderSpec(DatasetSpec):
    """``DIR/train/CLASS/*`` with ``DIR/test/CLASS/*`` or ``DIR/val/CLASS/*``, or ``DIR/CLASS/*`` alone."""

    def open(self, data: Path | None, size: tuple[int, int] | None, channels: int | None) -> Parts:
        """See `DatasetSpec.open`."""
        if data is None:
            raise DataError(f"{self.name}: give the folder of the images: --data DIR, with DIR/train/CLASS/*.png")
        if size is None:
            raise DataError(f"{self.name}: give size, the height and width that the images get")
        train = "train" if (data / "train").is_dir() else "."
        class_names = tuple(_class_folders(data / train))
        if len(class_names) < 2:
            raise DataError(
                f"{self.name}: {data / train} has {len(class_names)} folder(s); it needs one folder of images for "
                "each of two or more classes"
            )
        read = partial(_read, data, class_names=class_names, size=size, channels=3 if channels is None else channels)
        # a test folder without folders of classes is one without labels, such as ImageNet's
        tests = [name for name in TEST_FOLDERS if train != "." and _class_folders(data / name)]
        return Parts(str(data), class_names, partial(read, train), partial(read, tests[0]) if tests else None)


def _class_folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _images_of(folder: Path) -> list[Path]:
    """Images in a folder and the folders in it, sorted."""
    return sorted(
        Path(root) / name
        for root, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    )


def _read(data: Path, part: str, *, class_names: tuple[str, ...], size: tuple[int, int], channels: int) -> Labelled:
    strangers = set(_class_folders(data / part)) - set(class_names)
    if strangers:
        raise DataError(
            f"folder: {data / part} has {', '.join(sorted(strangers))}, which training has not; the folders of both "
            "must have the same names"
        )
    names: list[str] = []
    labels: list[int] = []
    for label, class_name in enumerate(class_names):
        images = _images_of(data / part / class_name)
        if not images:
            raise DataError(
                f"folder: {data / part / class_name} has no images ({' '.join(SUFFIXES)}); add some, or remove "
                "the class"
            )
        names += [str(image.relative_to(data)) for image in images]
        labels += [label] * len(images)
    return ImageFiles(data, names, size, channels), np.array(labels, np.int64)


FOLDER = FolderSpec("folder", height=None, width=None, channels=None, class_names=None)
