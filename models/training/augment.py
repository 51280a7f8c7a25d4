"""Random changes of training images, and the batches in which the network sees them."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ..recipe import AugmentConfig

__all__ = ["Batches", "augment", "pixels", "shift"]


def pixels(images: NDArray[np.uint8]) -> Tensor:
    """NHWC pixels to a float NCHW tensor."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float()


def shift(images: NDArray[np.uint8], reach: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Shift each image by up to ``reach`` pixels in both directions, dark pixels moving in.

    Parameters
    ----------
    images : uint8 array
        ``[N, H, W, C]``.
    reach : int
    rng : Generator
    """
    n, h, w, _ = images.shape
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    dy, dx = rng.integers(0, 2 * reach + 1, (2, n))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (h, w), axis=(1, 2))
    return windows[np.arange(n), dy, dx].transpose(0, 2, 3, 1)


def _cut_out(images: NDArray[np.uint8], smallest: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Scale a part of each image up to the whole: its area ``smallest``..1, its shape 3:4 to 4:3."""
    n, h, w, _ = images.shape
    area = rng.uniform(smallest, 1, n)
    shape = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3), n))
    sides = np.minimum(np.stack([np.sqrt(area * shape), np.sqrt(area / shape)]), 1)
    middles = rng.uniform(-1, 1, (2, n)) * (1 - sides)
    matrix = np.zeros((n, 2, 3), dtype=np.float32)
    matrix[:, 0, 0], matrix[:, 1, 1] = sides
    matrix[:, :, 2] = middles.T
    grid = F.affine_grid(torch.from_numpy(matrix), [n, images.shape[3], h, w], align_corners=False)
    cut = F.grid_sample(pixels(images), grid, padding_mode="border", align_corners=False)
    return cut.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def augment(images: NDArray[np.uint8], config: AugmentConfig, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change images at random.

    Parameters
    ----------
    images : uint8 array
        ``[N, H, W, C]``.
    config : AugmentConfig
    rng : Generator

    Returns
    -------
    uint8 array
        ``[N, H, W, C]``.
    """
    if config.area < 1:
        images = _cut_out(images, config.area, rng)
    if config.shift:
        images = shift(images, config.shift, rng)
    if config.flip:
        mirrored = rng.random(len(images)) < 0.5
        images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    return images


class Batches(TorchDataset):
    """The batches of one epoch; each depends on the seed, the step, the epoch and its own number only.

    So an epoch can be entered at any batch, in any number of worker processes, with the same images.

    Parameters
    ----------
    images, labels : arrays
        ``[N, H, W, C]`` (an array, or what reads images on access) and ``[N]``.
    config : AugmentConfig
    batch_size : int
        Over all processes.
    key : tuple of int
        Seed, step and epoch.
    rank, world : int
        Which of how many processes this is; each gets its own part of every batch.
    """

    def __init__(
        self,
        images: Any,
        labels: NDArray[np.int64],
        config: AugmentConfig,
        batch_size: int,
        key: tuple[int, ...],
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.images, self.labels, self.config, self.key = images, labels, config, key
        self.rank, self.world = rank, world
        # A last batch could hold a single image, which batch normalization can't take: what remains is left out.
        self.count = max(len(labels) // batch_size, 1)
        self.batch_size = min(batch_size, len(labels))
        self.order = np.random.default_rng(key).permutation(len(labels))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Pixels ``[B, C, H, W]`` and labels ``[B]`` of this process' part of batch ``number``."""
        rows = self.order[number * self.batch_size : (number + 1) * self.batch_size][self.rank :: self.world]
        rng = np.random.default_rng((*self.key, number, self.rank))
        return pixels(augment(self.images[rows], self.config, rng)), torch.from_numpy(self.labels[rows])

    def loader(self, first: int, workers: int) -> DataLoader:
        """Batches ``first``, ``first + 1``, ... to the epoch's last."""
        return DataLoader(self, batch_size=None, sampler=range(first, self.count), num_workers=workers)
