import gzip
import re

import numpy as np
import pytest
from bitexpert.models.datasets import DATASETS, DataError, load_dataset
from smallsets import mnist_files


@pytest.fixture
def mnist(tmp_path):
    """A folder with MNIST's files, compressed."""
    for name, contents in mnist_files()[0].items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(contents))
    return tmp_path


def test_digits():
    data = load_dataset("digits")
    assert data.train_x.shape == (1437, 8, 8, 1)
    assert data.test_x.shape == (360, 8, 8, 1)
    assert data.train_x.dtype == np.uint8
    assert data.train_y.dtype == data.test_y.dtype == np.int64
    assert data.class_names == tuple("0123456789")
    # 17 grey levels, from 0 to 255
    levels = np.unique(np.concatenate([data.train_x, data.test_x]))
    assert levels.tolist() == [int(v * 255 / 16 + 0.5) for v in range(17)]


def test_split_is_stratified_repeatable_and_complete():
    a, b, c = (load_dataset("digits", seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(a.test_x, b.test_x)
    assert a.source == b.source
    assert not np.array_equal(a.test_x, c.test_x)
    whole = np.bincount(np.concatenate([a.train_y, a.test_y]))
    assert np.abs(np.bincount(a.test_y) - 0.2 * whole).max() <= 1


def test_what_is_known_before_loading():
    shapes = {name: (spec.height, spec.width, spec.channels, spec.classes) for name, spec in DATASETS.items()}
    assert shapes == {
        "digits": (8, 8, 1, 10),
        "mnist": (28, 28, 1, 10),
        "fashion-mnist": (28, 28, 1, 10),
        "cifar-10": (32, 32, 3, 10),
        "cifar-100": (32, 32, 3, 100),
        "folder": (None, None, None, None),
    }
    for spec in DATASETS.values():
        assert spec.class_names is None or len(set(spec.class_names)) == spec.classes


def test_held_out_images_come_from_the_training_images(mnist):
    for path in mnist.glob("t10k-*"):
        path.unlink()
    data = load_dataset("mnist", data=mnist, held_out=0.25, seed=1)
    assert np.bincount(data.train_y).tolist() == [3] * 10
    assert np.bincount(data.test_y).tolist() == [1] * 10
    both = np.concatenate([data.train_x, data.test_x])[..., 0]
    assert {image.tobytes() for image in both} == {image.tobytes() for image in mnist_files()[1][0]}
    with pytest.raises(DataError, match=r"mnist: t10k-images-idx3-ubyte.gz isn't in .*--data DIR"):
        load_dataset("mnist", data=mnist)


def test_the_source_tells_pixels_apart(mnist):
    first = load_dataset("mnist", data=mnist).source
    assert re.fullmatch(
        rf"mnist from {re.escape(str(mnist))}: 40 training images, 20 test images "
        r"\(its own test set\), sha256 [0-9a-f]{64}",
        first,
    )
    for path in mnist.glob("*.gz"):
        path.unlink()
    for name, contents in mnist_files()[0].items():
        if name == "t10k-images-idx3-ubyte":
            contents = contents[:-1] + bytes([contents[-1] ^ 1])
        (mnist / name).write_bytes(contents)
    second = load_dataset("mnist", data=mnist).source
    assert first[:-64] == second[:-64]
    assert first[-64:] != second[-64:]


def test_nothing_is_written_to_the_users_folder(mnist):
    before = {path: path.stat().st_mtime_ns for path in [mnist, *mnist.rglob("*")]}
    load_dataset("mnist", data=mnist)
    assert {path: path.stat().st_mtime_ns for path in [mnist, *mnist.rglob("*")]} == before


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"name": "svhn"}, "'svhn' is unknown; there are: cifar-10, cifar-100, digits"),
        ({"name": "digits", "held_out": 1.5}, "held_out=1.5"),
        ({"name": "digits", "held_out": float("nan")}, "held_out=nan"),
        ({"name": "digits", "seed": -1}, "seed=-1"),
        ({"name": "digits", "size": (16, 16)}, "digits: its images have 8x8 pixels and 1 channel"),
        ({"name": "mnist", "channels": 3}, "mnist: its images have 28x28 pixels and 1 channel"),
        ({"name": "digits", "data": "."}, "digits: this set comes with scikit-learn"),
        ({"name": "mnist", "data": "no/such/folder"}, "mnist: there is no folder no/such/folder"),
    ],
)
def test_wrong_settings(kwargs, words):
    with pytest.raises(DataError, match=words):
        load_dataset(**kwargs)


def test_a_share_too_small_for_the_classes(mnist):
    with pytest.raises(DataError, match=r"mnist: held_out=0.01 can't split 40 images"):
        load_dataset("mnist", data=mnist, held_out=0.01)
