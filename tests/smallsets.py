"""Small made-up data sets in the ordinary formats."""

import io
import pickle
import struct

import numpy as np


def random_images(seed, count, classes, *shape):
    """Random images ``[count, *shape]``, and labels that take every class in turn."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *shape), dtype=np.uint8), np.arange(count) % classes


def idx_bytes(values):
    """An idx file of bytes."""
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def mnist_files():
    """Name -> contents of MNIST's four files, and (images, labels) of 40 for training and 20 for testing."""
    parts = {"train": random_images(0, 40, 10, 28, 28), "t10k": random_images(1, 20, 10, 28, 28)}
    files = {}
    for part, (images, labels) in parts.items():
        files[f"{part}-images-idx3-ubyte"] = idx_bytes(images)
        files[f"{part}-labels-idx1-ubyte"] = idx_bytes(labels.astype(np.uint8))
    return files, parts["train"], parts["t10k"]


class _Python2Pickler(pickle._Pickler):
    """Writes strings and bytes as Python 2 did."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_string(self, value):
        text = value.encode("latin1") if isinstance(value, str) else value
        self.write(b"T" + struct.pack("<I", len(text)) + text)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def python2_pickle(value):
    """A pickle as the official batches are: protocol 2, with the names of numpy 1."""
    file = io.BytesIO()
    _Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def cifar_batch(images, **labels):
    """What a batch holds: pixels ``[n, 3072]``, plane after plane, and labels."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)
    return {"data": planes, **{key: value.tolist() for key, value in labels.items()}}


def cifar10_files():
    """Name -> contents of CIFAR-10's batches, and their images NHWC: five of 20, and 10 for testing."""
    files, images = {}, {}
    for seed, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        images[name], labels = random_images(seed, 10 if name == "test_batch" else 20, 10, 32, 32, 3)
        files[name] = python2_pickle({"batch_label": name, **cifar_batch(images[name], labels=labels)})
    return files, images
