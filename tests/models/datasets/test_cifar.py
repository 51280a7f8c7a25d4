import io
import os
import pickle
import tarfile

import numpy as np
import pytest
from bitexpert.models.datasets import DataError, load_dataset
from bitexpert.models.datasets.cifar import load_pickle
from smallsets import cifar10_files, cifar_batch, python2_pickle, random_images

FILES, IMAGES = cifar10_files()
FOLDER, ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, contents in files.items():
        (folder / name).write_bytes(contents)


def archive(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, contents in files.items():
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))


@pytest.mark.parametrize("place", [".", FOLDER, ARCHIVE])
def test_layouts(tmp_path, place):
    if place == ARCHIVE:
        archive(tmp_path / ARCHIVE, FILES)
    else:
        write(tmp_path / place, FILES)
    data = load_dataset("cifar-10", data=tmp_path)
    assert data.train_x.dtype == np.uint8
    assert np.array_equal(data.train_x, np.concatenate([IMAGES[f"data_batch_{i}"] for i in range(1, 6)]))
    assert np.array_equal(data.train_y, np.tile(np.arange(10), 10))
    assert np.array_equal(data.test_x, IMAGES["test_batch"])
    assert data.test_y.tolist() == list(range(10))
    assert data.class_names[:2] == ("airplane", "automobile")


def test_batches_that_python_3_has_written_anew(tmp_path):
    write(tmp_path, {name: pickle.dumps(pickle.loads(contents, encoding="latin1")) for name, contents in FILES.items()})
    assert np.array_equal(load_dataset("cifar-10", data=tmp_path).test_x, IMAGES["test_batch"])


def test_cifar_100_has_the_fine_labels(tmp_path):
    for name, count in (("train", 200), ("test", 100)):
        images, fine = random_images(0, count, 100, 32, 32, 3)
        batch = python2_pickle(cifar_batch(images, fine_labels=fine, coarse_labels=fine // 5))
        write(tmp_path / "cifar-100-python", {name: batch})
    data = load_dataset("cifar-100", data=tmp_path)
    assert np.bincount(data.train_y).tolist() == [2] * 100
    assert len(data.class_names) == 100
    assert data.class_names == tuple(sorted(data.class_names))


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_hostile_pickle_runs_nothing(tmp_path, protocol):
    trace = tmp_path / "trace"
    bad = pickle.dumps({"data": Hostile(f"touch {trace}")}, protocol=protocol)
    write(tmp_path, FILES | {"data_batch_3": bad})
    with pytest.raises(DataError, match=r"data_batch_3: this is no batch of cifar-10 \(it asks for \w+.system"):
        load_dataset("cifar-10", data=tmp_path)
    assert not trace.exists()
    pickle.loads(bad)
    assert trace.exists(), "the pickle of this test does nothing, so it shows nothing"


@pytest.mark.parametrize(
    "reference",
    ["builtins eval", "builtins getattr", "numpy load", "numpy.ndarray tofile", "functools partial", "_codecs encode"],
)
def test_only_arrays_can_be_made(reference):
    module, name = reference.split()
    with pytest.raises(pickle.UnpicklingError, match=f"it asks for {module}.{name}"):
        load_pickle(io.BytesIO(f"c{module}\n{name}\n.".encode()))


def changed(**changes):
    batch = cifar_batch(IMAGES["test_batch"], labels=np.arange(10)) | changes
    return python2_pickle({key: value for key, value in batch.items() if value is not None})


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"no pickle",
        FILES["test_batch"][:-100],
        python2_pickle([1, 2]),
        changed(data=None),
        changed(labels=None),
        changed(data=np.zeros((10, 3071), np.uint8)),
        changed(data=np.zeros((10, 3072), np.int64)),
        changed(data=np.zeros((0, 3072), np.uint8), labels=[]),
        changed(labels=list(range(9))),
        changed(labels=list(range(1, 11))),
        changed(labels=[-1] * 10),
        changed(labels=["0"] * 10),
    ],
    ids=[
        "empty",
        "text",
        "cut",
        "a list",
        "no pixels",
        "no labels",
        "other shape",
        "not bytes",
        "no images",
        "label missing",
        "label too large",
        "label negative",
        "label is text",
    ],
)
def test_bad_batches(tmp_path, contents):
    write(tmp_path, FILES | {"test_batch": contents})
    with pytest.raises(DataError, match=r"test_batch: this is no batch of cifar-10.*get it again"):
        load_dataset("cifar-10", data=tmp_path)


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(DataError, match=rf"cifar-10: its files aren't in .*{ARCHIVE}.*{FOLDER}.*--data DIR"):
        load_dataset("cifar-10", data=tmp_path)
    archive(tmp_path / ARCHIVE, {name: contents for name, contents in FILES.items() if name != "data_batch_2"})
    with pytest.raises(DataError, match=f"cifar-10: data_batch_2 isn't in .*{ARCHIVE}"):
        load_dataset("cifar-10", data=tmp_path)
    whole = (tmp_path / ARCHIVE).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no archive", whole[:1000] + bytes(1000) + whole[2000:]):
        (tmp_path / ARCHIVE).write_bytes(damaged)
        with pytest.raises(DataError, match=f"{ARCHIVE}.*get it again"):
            load_dataset("cifar-10", data=tmp_path)
