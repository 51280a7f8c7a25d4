import pickle

import numpy as np
import pytest
from bitexpert.models.datasets import DataError, ImageFiles
from PIL import Image
from smallsets import random_images


@pytest.fixture
def images(tmp_path):
    """Five random images of 6x8 pixels in files, and their pixels."""
    pixels, _ = random_images(0, 5, 2, 6, 8, 3)
    names = [f"bild-ä{i}.png" for i in range(5)]
    for name, image in zip(names, pixels, strict=True):
        Image.fromarray(image).save(tmp_path / name)
    return ImageFiles(tmp_path, names, (6, 8)), pixels


@pytest.mark.parametrize(
    "index",
    [
        slice(None),
        slice(1, 3),
        slice(None, None, -2),
        np.array([4, 0, 0]),
        np.array([-1]),
        np.array([True, False, True, False, False]),
        np.array([], int),
        [2, 1],
        3,
    ],
)
def test_it_reads_like_an_array(images, index):
    files, pixels = images
    got = files[index]
    assert got.dtype == files.dtype == np.uint8
    assert np.array_equal(got, pixels[index])
    assert got.flags.writeable  # as torch wants it


def test_its_shape(images):
    files, pixels = images
    assert (files.shape, len(files), files.ndim, files.nbytes) == (pixels.shape, 5, 4, pixels.nbytes)
    assert np.array_equal(np.asarray(files), pixels)
    with pytest.raises(IndexError):
        files[5]


def test_subsets_and_copies_for_other_processes(images):
    files, pixels = images
    files = pickle.loads(pickle.dumps(files)).subset(np.array([3, 1]))
    assert files.names == ["bild-ä3.png", "bild-ä1.png"]
    assert np.array_equal(files[:], pixels[[3, 1]])


def test_the_centre_is_cut_out_and_scaled(tmp_path):
    pixels = np.zeros((4, 12, 3), np.uint8)
    pixels[:, 4:8] = (10, 20, 30)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(pixels.transpose(1, 0, 2)).save(tmp_path / "high.png")
    for size in ((4, 4), (2, 2), (8, 8)):
        got = ImageFiles(tmp_path, ["wide.png", "high.png"], size)[:]
        assert got.shape == (2, *size, 3)
        assert (got[:, 1:-1, 1:-1] == (10, 20, 30)).all()
    assert (ImageFiles(tmp_path, ["wide.png"], (4, 12))[0] == pixels).all()


def test_grey_and_colour(tmp_path):
    Image.new("L", (3, 2), 77).save(tmp_path / "grey.png")
    Image.new("RGBA", (3, 2), (255, 0, 0, 255)).save(tmp_path / "red.png")
    Image.new("RGB", (3, 2), (0, 0, 255)).convert("P").save(tmp_path / "blue.gif")
    names = ["grey.png", "red.png", "blue.gif"]
    assert ImageFiles(tmp_path, names, (2, 3))[:][:, 0, 0].tolist() == [[77] * 3, [255, 0, 0], [0, 0, 255]]
    grey = ImageFiles(tmp_path, names, (2, 3), 1)[:]
    assert grey.shape == (3, 2, 3, 1)
    assert grey[0].max() == grey[0].min() == 77


def test_bad_files(images):
    files, _ = images
    path = files.root / files.names[2]
    whole = path.read_bytes()
    for contents in (b"", b"no image", whole[: len(whole) // 2], whole[:40] + b"\xff" * 20 + whole[60:]):
        path.write_bytes(contents)
        assert len(files[:2]) == 2
        with pytest.raises(DataError, match=r"bild-ä2.png: this image can't be read.*replace or remove"):
            files[1:3]
    path.unlink()
    with pytest.raises(DataError, match=r"bild-ä2.png: this image can't be read"):
        files[2]
    Image.fromarray(np.full((6, 8), 40_000, np.uint16)).save(path)
    with pytest.raises(DataError, match=r"bild-ä2.png: the image has more than 8 bits"):
        files[2]


@pytest.mark.parametrize(
    ("size", "channels", "words"),
    [((0, 8), 3, r"size=\(0, 8\)"), ((8,), 3, r"size=\(8,\)"), ((8, 8), 4, "channels=4")],
)
def test_wrong_settings(size, channels, words):
    with pytest.raises(DataError, match=words):
        ImageFiles(".", [], size, channels)
