import numpy as np
import pytest
from bitexpert.flow.integers.levels import bisect
from hypothesis import given
from hypothesis import strategies as st


def count(levels, integers):
    """Levels of integers (k,) as thresholds give them: (k, channels)."""
    signed = np.where(levels.falling, -integers[:, None], integers[:, None])
    return (signed[..., None] >= levels.thresholds).sum(axis=-1)


@given(
    low=st.integers(-40, 10),
    span=st.integers(0, 60),
    steps=st.integers(1, 9),
    slopes=st.lists(st.floats(-3, 3), min_size=1, max_size=5),
    offset=st.floats(-20, 20),
)
def test_equals_the_quantizer_for_every_integer(low, span, steps, slopes, offset):
    slope, high = np.array(slopes), low + span

    def level(x):
        return np.clip(np.floor(slope * x + offset), 0, steps).astype(np.int64)

    levels = bisect(level, len(slopes), low, high, steps)
    everything = np.arange(low, high + 1)
    assert np.array_equal(count(levels, everything), level(everything[:, None]))
    assert (np.diff(levels.thresholds, axis=1) >= 0).all()


@pytest.mark.parametrize(("slope", "never", "always"), [(1, 11, -10), (-1, 11, -10)])
def test_thresholds_beyond_the_range(slope, never, always):
    levels = bisect(lambda x: (slope * x >= 1000).astype(np.int64), 1, -10, 10, 1)
    assert levels.thresholds.tolist() == [[never]]
    levels = bisect(lambda x: (slope * x >= -1000).astype(np.int64), 1, -10, 10, 1)
    assert levels.thresholds.tolist() == [[always]]


def test_halves_are_rounded_as_the_quantizer_rounds_them():
    levels = bisect(lambda x: np.clip(np.round(x * 0.5), 0, 3).astype(np.int64), 1, 0, 8, 3)
    # 1 -> 0.5 -> 0, 3 -> 1.5 -> 2, 5 -> 2.5 -> 2: to even
    assert levels.thresholds.tolist() == [[2, 3, 6]]


def test_a_wide_range_takes_few_evaluations():
    calls = []

    def level(x):
        calls.append(x.size)
        return (x >= 123_457).astype(np.int64)

    levels = bisect(level, 3, -(2**24), 2**24, 1)
    assert levels.thresholds.tolist() == [[123_457]] * 3
    assert len(calls) < 30
