import itertools

from bitexpert.hw import performance
from hypothesis import given
from hypothesis import strategies as st


@st.composite
def networks(draw):
    """Present depths, and minimal vectors of depths: enough is what is at least one of them everywhere."""
    count = draw(st.integers(1, 5))
    present = [draw(st.integers(3, 40)) for _ in range(count)]
    corners = draw(st.lists(st.tuples(*(st.integers(2, p) for p in present)), min_size=1, max_size=3))
    return dict(zip("abcde", present, strict=False)), corners


@given(networks())
def test_lowering_together_is_lowering_one_after_another(network):
    present, corners = network

    def enough(depths):
        depths = {**present, **depths}
        return any(all(depths[n] >= c for n, c in zip(present, corner, strict=True)) for corner in corners)

    depths = {}
    performance._lower_together(list(present), present, depths, enough)
    one_by_one = dict(present)
    for name in present:
        one_by_one[name] = next(d for d in itertools.count(2) if enough({**one_by_one, name: d}))
    assert depths == one_by_one


def test_shallow_fifos_take_one_look():
    looks = []
    present = dict.fromkeys("abcdefgh", 30)

    def enough(depths):
        looks.append(dict(depths))
        return {**present, **depths}["g"] >= 30

    depths = {}
    performance._lower_together(list(present), present, depths, enough)
    assert depths == {**dict.fromkeys("abcdefgh", 2), "g": 30}
    # all, half, the next quarter, g and h: g alone, just below it; h
    assert len(looks) == 6
