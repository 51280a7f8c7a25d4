"""Data sets of images: bundled, downloaded with a checksum, or from a folder."""

from .base import Dataset, DatasetSpec, Images
from .errors import DataError
from .image_files import ImageFiles
from .load import DATASETS, load_dataset
from .split import hold_out

__all__ = [
    "DATASETS",
    "DataError",
    "Dataset",
    "DatasetSpec",
    "ImageFiles",
    "Images",
    "hold_out",
    "load_dataset",
]
