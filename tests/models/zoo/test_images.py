import re

import numpy as np
import pytest
from bitexpert.models.datasets import DataError, load_dataset
from bitexpert.models.zoo import TestSet, digest_of, load_test_set

DIGITS = TestSet(dataset="digits", held_out=0.25, seed=5, sha256="0" * 64, description="some")


def test_the_digest_depends_on_every_image_and_label():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1500, 4, 3, 1)).astype(np.uint8)
    labels = rng.integers(0, 10, 1500)
    digest = digest_of(images, labels)
    assert digest == digest_of(images.copy(), labels.astype(np.int32))
    assert digest != digest_of(images.reshape(1500, 3, 4, 1), labels)
    assert digest != digest_of(images[::-1], labels[::-1])
    labels[1499] += 1
    assert digest != digest_of(images, labels)
    labels[1499] -= 1
    images[1499, 3, 2, 0] ^= 1
    assert digest != digest_of(images, labels)


@pytest.mark.parametrize("folder", [False, True], ids=["without a folder", "with a folder"])
def test_the_test_set_is_that_of_the_card(folder, tmp_path):
    images, labels = load_test_set(DIGITS, tmp_path if folder else None)
    expected = load_dataset("digits", seed=5, held_out=0.25)
    assert np.array_equal(images, expected.test_x)
    assert np.array_equal(labels, expected.test_y)


def test_a_set_that_is_read_from_a_folder(tmp_path):
    mnist = DIGITS.model_copy(update={"dataset": "mnist", "held_out": None})
    with pytest.raises(DataError, match=re.escape(str(tmp_path))):
        load_test_set(mnist, tmp_path)


def test_an_unknown_data_set():
    with pytest.raises(DataError, match="'nothing' is unknown"):
        load_test_set(DIGITS.model_copy(update={"dataset": "nothing"}))
