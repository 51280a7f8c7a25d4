import numpy as np
import pytest
import torch
from bitexpert.models.recipe import AugmentConfig
from bitexpert.models.training.augment import Batches, augment, shift


def test_shifted_images_are_moved_whole():
    x = np.zeros((50, 8, 8, 1), np.uint8)
    x[:, 4, 4, 0] = 9
    moved = shift(x, 1, np.random.default_rng(0))
    where = {(int(r), int(c)) for _, r, c, _ in np.argwhere(moved)}
    assert where == {(r, c) for r in (3, 4, 5) for c in (3, 4, 5)}
    assert (moved.sum((1, 2, 3)) == 9).all()


def test_half_of_the_images_are_mirrored():
    x = np.zeros((200, 4, 6, 3), np.uint8)
    x[:, 1, 0] = 7
    flipped = augment(x, AugmentConfig(flip=True), np.random.default_rng(0))
    left, right = flipped[:, 1, 0, 0] == 7, flipped[:, 1, 5, 0] == 7
    assert (left ^ right).all()
    assert 70 < right.sum() < 130


def test_parts_are_cut_out_and_scaled_up():
    ramp = np.broadcast_to(np.arange(0, 240, 15, dtype=np.uint8)[None, None, :, None], (40, 16, 16, 2))
    cut = augment(ramp, AugmentConfig(area=0.25), np.random.default_rng(0))
    assert (cut.shape, cut.dtype) == (ramp.shape, np.uint8)
    spans = cut[:, 8, -1, 0].astype(int) - cut[:, 8, 0, 0]
    assert spans.min() < 140  # a part of the ramp fills the image
    assert (spans > 70).all()
    assert (np.diff(cut[:, 8, :, 0].astype(int), axis=1) >= 0).all()


def test_nothing_changes_by_default():
    x = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), dtype=np.uint8)
    assert augment(x, AugmentConfig(), np.random.default_rng(0)) is x


def batches(count=30, size=8, key=(1, 0, 0), **kwargs):
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    return Batches(images, np.arange(count), AugmentConfig(shift=1), size, key, **kwargs)


def test_an_epoch_can_be_entered_at_any_batch_and_with_workers():
    whole = list(batches().loader(0, 0))
    assert len(whole) == 3
    for first, workers in ((1, 0), (0, 1), (2, 1)):
        rest = list(batches().loader(first, workers))
        assert len(rest) == 3 - first
        for (x, y), (wx, wy) in zip(rest, whole[first:], strict=True):
            assert torch.equal(x, wx)
            assert torch.equal(y, wy)


def test_no_image_comes_twice_and_epochs_differ():
    labels = torch.cat([y for _, y in batches().loader(0, 0)]).tolist()
    assert len(set(labels)) == 24
    assert labels != torch.cat([y for _, y in batches(key=(1, 0, 1)).loader(0, 0)]).tolist()


def test_processes_share_each_batch():
    parts = [list(batches(rank=rank, world=2).loader(0, 0)) for rank in (0, 1)]
    whole = [y for _, y in batches().loader(0, 0)]
    for a, b, y in zip(*parts, whole, strict=True):
        assert torch.equal(torch.stack([a[1], b[1]], 1).flatten(), y)


@pytest.mark.parametrize("count", [3, 8])
def test_fewer_images_than_a_batch_are_one_batch(count):
    assert [len(y) for _, y in batches(count=count).loader(0, 0)] == [count]
