import numpy as np
import pytest
from bitexpert.models.datasets import load_dataset, load_digits


def test_digits():
    data = load_digits()
    assert data.train_x.shape == (1437, 8, 8, 1)
    assert data.test_x.shape == (360, 8, 8, 1)
    assert data.train_x.dtype == np.uint8
    assert data.class_names == tuple("0123456789")
    # 17 grey levels, from 0 to 255
    levels = np.unique(np.concatenate([data.train_x, data.test_x]))
    assert levels.tolist() == [int(v * 255 / 16 + 0.5) for v in range(17)]


def test_split_is_stratified_repeatable_and_complete():
    a, b, c = load_digits(seed=3), load_digits(seed=3), load_digits(seed=4)
    assert np.array_equal(a.test_x, b.test_x)
    assert not np.array_equal(a.test_x, c.test_x)
    whole = np.bincount(np.concatenate([a.train_y, a.test_y]))
    assert np.abs(np.bincount(a.test_y) - 0.2 * whole).max() <= 1


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"name": "mnist"}, "'mnist' is unknown; there are: digits"),
        ({"name": "digits", "held_out": 1.5}, "held_out=1.5"),
        ({"name": "digits", "seed": -1}, "seed=-1"),
    ],
)
def test_wrong_settings(kwargs, words):
    with pytest.raises(ValueError, match=words):
        load_dataset(**kwargs)
