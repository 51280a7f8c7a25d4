import gzip
import zlib

import numpy as np
import pytest
from bitexpert.models.datasets import DATASETS, DataError, idx, load_dataset
from smallsets import idx_bytes, mnist_files

FILES, TRAIN, TEST = mnist_files()
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, contents in files.items():
        (folder / name).write_bytes(gzip.compress(contents) if name.endswith(".gz") else contents)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-idx", ".idx"])
@pytest.mark.parametrize(
    ("name", "place"),
    [
        *(("mnist", place) for place in (".", "raw", "MNIST/raw", "mnist")),
        *(("fashion-mnist", place) for place in (".", "raw", "FashionMNIST/raw", "fashion-mnist")),
    ],
)
def test_layouts(tmp_path, name, place, separator, ending):
    write(tmp_path / place, {name.replace("-idx", separator) + ending: contents for name, contents in FILES.items()})
    data = load_dataset(name, data=tmp_path)
    assert data.train_x.dtype == np.uint8
    assert data.train_y.dtype == np.int64
    assert np.array_equal(data.train_x, TRAIN[0][..., None])
    assert np.array_equal(data.train_y, TRAIN[1])
    assert np.array_equal(data.test_x, TEST[0][..., None])
    assert np.array_equal(data.test_y, TEST[1])
    assert data.train_x.flags.writeable
    assert data.class_names == DATASETS[name].class_names


def test_each_set_is_read_from_its_own_folder(tmp_path):
    write(tmp_path / "MNIST/raw", FILES)
    write(tmp_path / "FashionMNIST/raw", FILES | {LABELS: idx_bytes(np.zeros(40, np.uint8))})
    assert load_dataset("mnist", data=tmp_path).train_y.max() == 9
    assert load_dataset("fashion-mnist", data=tmp_path).train_y.max() == 0


def test_the_files_of_the_other_set_are_refused(tmp_path, monkeypatch):
    write(tmp_path, FILES)
    monkeypatch.setitem(idx._OFFICIAL_LABELS, zlib.crc32(TRAIN[1].astype(np.uint8)), "fashion-mnist")
    with pytest.raises(DataError, match=f"{LABELS}: this is a file of fashion-mnist; give the folder of mnist"):
        load_dataset("mnist", data=tmp_path)
    assert len(load_dataset("fashion-mnist", data=tmp_path).train_x) == 40


GZIPPED = gzip.compress(FILES[IMAGES])


@pytest.mark.parametrize(
    ("name", "contents", "words"),
    [
        (IMAGES, FILES[IMAGES][:-1], "fewer than the 31360 bytes its header tells of"),
        (IMAGES, FILES[IMAGES] + b"x", "more than the 31360 bytes its header tells of"),
        (IMAGES, FILES[IMAGES][:10], "doesn't begin with 00 00 08 03"),
        (IMAGES, b"", "doesn't begin with"),
        (IMAGES, bytes([0, 0, 8, 3]) + b"\xff" * 12, "damaged|fewer"),
        (IMAGES, FILES[LABELS], "doesn't begin with 00 00 08 03"),
        (LABELS, FILES[IMAGES], "doesn't begin with 00 00 08 01"),
        (IMAGES, idx_bytes(np.zeros((40, 27, 28), np.uint8)), "the images have 27x28 pixels, those of mnist 28x28"),
        (LABELS, idx_bytes(np.zeros(39, np.uint8)), "39 labels for 40 images"),
        (LABELS, idx_bytes(np.full(40, 10, np.uint8)), "label 10 is none of the 10 classes"),
        (IMAGES + ".gz", GZIPPED[:-20], "damaged"),
        (IMAGES + ".gz", b"PK" + GZIPPED, "damaged"),
        (IMAGES + ".gz", GZIPPED[:200] + bytes(200) + GZIPPED[400:], "damaged"),
    ],
    ids=[
        "shorter",
        "longer",
        "header cut",
        "empty",
        "huge header",
        "labels as images",
        "images as labels",
        "other shape",
        "label missing",
        "label too large",
        "gzip cut",
        "no gzip",
        "gzip damaged",
    ],
)
def test_bad_files(tmp_path, name, contents, words):
    write(tmp_path, FILES)
    (tmp_path / name.removesuffix(".gz")).unlink()
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(DataError, match=f"{name}: .*({words})"):
        load_dataset("mnist", data=tmp_path)


def test_missing_files(tmp_path):
    with pytest.raises(DataError, match=r"mnist: its files aren't in .*train-images-idx3-ubyte.gz.*MNIST/raw.*--data"):
        load_dataset("mnist", data=tmp_path)
    write(tmp_path, FILES)
    (tmp_path / LABELS).unlink()
    with pytest.raises(DataError, match=f"mnist: {LABELS}.gz isn't in"):
        load_dataset("mnist", data=tmp_path)
