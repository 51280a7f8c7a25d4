import numpy as np
import pytest
from bitexpert.models.datasets import DataError, ImageFiles, load, load_dataset
from PIL import Image

GREYS = {"cat": 10, "dog": 200}


def write(folder, count, classes=GREYS, ending=".png"):
    """Images of 4x6 pixels, each class in its grey plus the image's number."""
    for name, grey in classes.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("L", (6, 4), grey + i).save(folder / name / f"{i}{ending}")


def greys(images):
    return sorted(images[:, 0, 0, 0].tolist())


@pytest.mark.parametrize("part", ["test", "val"])
def test_training_and_test_folders(tmp_path, part):
    write(tmp_path / "train", 3)
    write(tmp_path / part, 2)
    (tmp_path / "train/dog/notes.txt").write_text("no image")
    (tmp_path / "train/.cache").mkdir()
    data = load_dataset("folder", data=tmp_path, size=(4, 4))
    assert data.class_names == ("cat", "dog")
    assert data.train_x.shape == (6, 4, 4, 3)
    assert data.train_x.dtype == np.uint8
    assert data.train_y.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.train_x[:, 0, 0, 2].tolist() == [10, 11, 12, 200, 201, 202]
    assert data.test_x[:, 0, 0, 2].tolist() == [10, 11, 200, 201]
    assert data.test_y.tolist() == [0, 0, 1, 1]


def test_a_test_folder_without_classes_is_passed_over(tmp_path):
    write(tmp_path / "train", 3)
    write(tmp_path / "val", 1)
    (tmp_path / "test").mkdir()
    Image.new("L", (6, 4)).save(tmp_path / "test/0.png")
    assert load_dataset("folder", data=tmp_path, size=(4, 4)).test_x[:, 0, 0, 0].tolist() == [10, 200]


@pytest.mark.parametrize("place", [".", "train"])
def test_a_folder_without_test_images_is_split(tmp_path, place):
    write(tmp_path / place, 10, ending=".JPG")
    data = load_dataset("folder", data=tmp_path, size=(4, 6), channels=1)
    assert data.train_x.shape == (16, 4, 6, 1)
    assert np.bincount(data.test_y).tolist() == [2, 2]
    assert len(set(greys(data.train_x)) | set(greys(data.test_x))) == 20
    half = load_dataset("folder", data=tmp_path, size=(4, 6), held_out=0.5)
    assert np.bincount(half.test_y).tolist() == [5, 5]


def test_large_sets_stay_in_their_files(tmp_path, monkeypatch):
    write(tmp_path, 5)
    small = load_dataset("folder", data=tmp_path, size=(4, 4))
    monkeypatch.setattr(load, "DECODE_BELOW_BYTES", small.train_x.nbytes + small.test_x.nbytes)
    large = load_dataset("folder", data=tmp_path, size=(4, 4))
    assert isinstance(small.train_x, np.ndarray)
    assert isinstance(large.train_x, ImageFiles)
    assert isinstance(large.test_x, ImageFiles)
    assert np.array_equal(large.train_x[:], small.train_x)
    assert np.array_equal(large.test_x[:], small.test_x)
    assert np.array_equal(large.test_y, small.test_y)
    assert "sha256 of labels, file names and sizes" in large.source
    with open(tmp_path / "cat/0.png", "ab") as file:
        file.write(b"more")
    assert load_dataset("folder", data=tmp_path, size=(4, 4)).source != large.source
    (tmp_path / "cat/1.png").unlink()
    (tmp_path / "cat/1.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match=r"cat/1.png: this image can't be read \(No such file"):
        load_dataset("folder", data=tmp_path, size=(4, 4))


def test_a_broken_image_is_named(tmp_path):
    write(tmp_path, 5)
    (tmp_path / "dog/3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"dog/3.png: this image can't be read"):
        load_dataset("folder", data=tmp_path, size=(4, 4))


def test_unusable_folders(tmp_path):
    with pytest.raises(DataError, match="folder: give the folder of the images: --data DIR"):
        load_dataset("folder", size=(4, 4))
    with pytest.raises(DataError, match="folder: give size"):
        load_dataset("folder", data=tmp_path)
    with pytest.raises(DataError, match=r"has 0 folder\(s\); it needs one folder of images"):
        load_dataset("folder", data=tmp_path, size=(4, 4))
    write(tmp_path / "train", 1)
    with pytest.raises(DataError, match="folder: class 'cat' has 1 training image"):
        load_dataset("folder", data=tmp_path, size=(4, 4))
    write(tmp_path / "test", 1, GREYS | {"bird": 99})
    with pytest.raises(DataError, match="test has bird, which training has not"):
        load_dataset("folder", data=tmp_path, size=(4, 4))
    (tmp_path / "train/bird").mkdir()
    with pytest.raises(DataError, match="train/bird has no images"):
        load_dataset("folder", data=tmp_path, size=(4, 4))
