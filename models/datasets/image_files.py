"""Images that stay in their files until they are used."""

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .errors import DataError

__all__ = ["ImageFiles"]

#: What Pillow raises on files that are broken, besides OSError.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


class ImageFiles:
    """Image files that read like an array ``[N, H, W, C]``; what is indexed is decoded.

    An image is scaled (bilinear, with anti-aliasing) until it just covers H x W, and its centre is cut out.
    It can be pickled, so the workers of a torch DataLoader can have it.

    Parameters
    ----------
    root : path
        The folder that the names start from.
    names : sequence of str
        File names, relative to ``root``.
    size : (int, int)
        H and W, pixels.
    channels : int
        1 for grey, 3 for RGB.

    Raises
    ------
    DataError
        If size or channels are out of range.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, root: str | Path, names: Sequence[str], size: tuple[int, int], channels: int = 3) -> None:
        if len(size) != 2 or min(size) < 1:
            raise DataError(f"size={size!r}: give height and width, each at least 1")
        if channels not in (1, 3):
            raise DataError(f"channels={channels!r}: use 1 (grey) or 3 (RGB)")
        self.root = Path(root)
        # One array of bytes: a million str objects would be copied, page by page, into every worker.
        self._names = np.array([os.fsencode(name) for name in names], dtype=np.bytes_)
        self.shape = (len(names), *size, channels)

    @property
    def names(self) -> list[str]:
        """File names, relative to ``root``."""
        return [os.fsdecode(name) for name in self._names]

    @property
    def nbytes(self) -> int:
        """Bytes of all images as an array."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def subset(self, rows: NDArray[np.int64]) -> "ImageFiles":
        """Some of the images, in the given order, still not decoded."""
        return ImageFiles(self.root, [os.fsdecode(name) for name in self._names[rows]], self.shape[1:3], self.shape[3])

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        """Decode some images.

        Parameters
        ----------
        index : int, slice or array
            As for the first axis of an array.

        Returns
        -------
        uint8 array
            ``[n, H, W, C]``, or ``[H, W, C]`` for an int.

        Raises
        ------
        DataError
            If a file is missing, broken, or has more than 8 bits a channel.
        """
        names = self._names[index]
        if names.ndim == 0:
            return self._decode(os.fsdecode(names))
        images = np.empty((len(names), *self.shape[1:]), np.uint8)
        for row, name in enumerate(names):
            images[row] = self._decode(os.fsdecode(name))
        return images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Decode all images."""
        if copy is False:
            raise ValueError("decoding image files always makes a new array")
        return self[:].astype(dtype or np.uint8, copy=False)

    def _decode(self, name: str) -> NDArray[np.uint8]:
        path = self.root / name
        _, height, width, channels = self.shape
        try:
            with Image.open(path) as image:
                deep = image.mode in ("I", "F") or image.mode.startswith("I;")
                if not deep:
                    pixels = image.convert("L" if channels == 1 else "RGB")
                    fitted = ImageOps.fit(pixels, (width, height), Image.Resampling.BILINEAR)
                    return np.array(fitted).reshape(height, width, channels)
        except BROKEN as error:
            raise DataError(f"{path}: this image can't be read ({error}); replace or remove the file") from error
        raise DataError(f"{path}: the image has more than 8 bits a channel; convert it to 8 bits")
