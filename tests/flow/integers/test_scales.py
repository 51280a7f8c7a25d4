import numpy as np
import pytest
from bitexpert.flow.integers.scales import common_scale, integer_rows


def test_equal_scales_have_factor_1():
    scale, factors = common_scale(np.array([0.1, 0.1, -0.1, 0.0]))
    assert scale == 0.1
    assert factors.tolist() == [1, 1, -1, 0]


@pytest.mark.parametrize(
    ("scales", "expected"),
    [
        ([0.5, 0.25, 1.0], (0.25, [2, 1, 4])),
        ([0.3, 0.2], (0.1, [3, 2])),  # neither is a multiple of the other
        ([np.float32(0.1), np.float32(0.3)], (0.1, [1, 3])),  # rounded once each
        ([7.0], (7.0, [1])),
    ],
)
def test_multiples_of_one(scales, expected):
    scale, factors = common_scale(np.array(scales, dtype=np.float64))
    assert scale == pytest.approx(expected[0], rel=1e-6)
    assert factors.tolist() == expected[1]


def test_no_common_scale():
    assert common_scale(np.array([1.0, np.sqrt(2)])) is None
    assert common_scale(np.array([1.0, 5000.0])) is None
    assert common_scale(np.array([1.0, 5000.0]), largest_exact=4999) is None
    # so near to 2 that it could be taken for it
    assert common_scale(np.array([1.0, 2.0001])) is None


def test_binary_fractions_have_one_however_large_their_ratio_may_be():
    scale, factors = common_scale(np.array([0.5, 33 / 256]))
    assert (scale, factors.tolist()) == (1 / 256, [128, 33])
    scale, factors = common_scale(np.array([-0.5, 0.0, 5001 / 2**15]), largest_exact=2**15)
    assert (scale, factors.tolist()) == (2**-15, [-(2**14), 0, 5001])


def test_zeros_only():
    scale, factors = common_scale(np.zeros(3))
    assert scale == 1.0
    assert not factors.any()


def test_rows_of_integers_stay_as_they_are():
    values = np.array([[2.0, -4.0], [0.0, 6.0]])
    scales, integers = integer_rows(values)
    assert scales.tolist() == [1.0, 1.0]
    assert integers.tolist() == values.tolist()


def test_rows_with_a_scale_each():
    rng = np.random.default_rng(0)
    integers = rng.integers(-3, 4, (6, 20))
    integers[:, 0] = 1  # no common divisor
    scales = rng.random(6) + 0.01
    found, rows = integer_rows(np.float32(scales)[:, None] * integers.astype(np.float32))
    assert np.allclose(found, scales)
    assert np.array_equal(rows, integers)


def test_real_numbers_are_no_integers():
    assert integer_rows(np.random.default_rng(0).normal(size=(2, 9))) is None
