import numpy as np
import pytest
from bitexpert.errors import BitexpertError
from bitexpert.hw.types import BIPOLAR, Element, StreamType, int_for, int_t, uint_t
from hypothesis import given
from hypothesis import strategies as st

ELEMENTS = st.one_of(st.just(BIPOLAR), st.integers(1, 40).map(uint_t), st.integers(1, 40).map(int_t))


@given(ELEMENTS, st.integers(1, 3), st.sampled_from([1, 2, 3, 6]), st.integers(0, 2**32))
def test_pack_and_unpack_are_inverse(element, frames, per_beat, seed):
    kind = StreamType(element, (2, 1, 6))
    rng = np.random.default_rng(seed)
    if element == BIPOLAR:
        values = rng.choice([-1, 1], (frames, *kind.shape))
    else:
        values = rng.integers(element.min, element.max, (frames, *kind.shape), endpoint=True)
    beats = kind.pack(values, per_beat)
    assert beats.shape == (frames * kind.beats(per_beat), -(-kind.beat_bits(per_beat) // 8))
    assert np.array_equal(kind.unpack(beats, per_beat), values)


def test_element_zero_lies_in_the_low_bits():
    kind = StreamType(uint_t(4), (1, 1, 4))
    assert kind.pack(np.array([1, 2, 3, 4]).reshape(1, 1, 1, 4), 4).tolist() == [[0x21, 0x43]]


def test_bit_one_is_plus_one():
    kind = StreamType(BIPOLAR, (1, 1, 8))
    values = np.array([1, -1, -1, -1, -1, -1, -1, 1]).reshape(1, 1, 1, 8)
    assert kind.pack(values, 8).tolist() == [[0x81]]


def test_the_mask_is_the_top_bit_and_padding_is_zero():
    kind = StreamType(BIPOLAR, (1, 2, 4), masked=True)
    values = np.array([0, 0, 0, 0, 1, -1, 1, 1]).reshape(1, 1, 2, 4)
    beats = kind.pack(values, 4)
    assert beats.tolist() == [[0b00000], [0b11101]]
    assert np.array_equal(kind.unpack(beats, 4), values)


def test_a_beat_half_padding_is_refused():
    kind = StreamType(BIPOLAR, (1, 1, 4), masked=True)
    with pytest.raises(BitexpertError, match="all padding or none"):
        kind.pack(np.array([0, 1, 1, 1]).reshape(1, 1, 1, 4), 4)


@given(st.integers(-(2**30), 2**30), st.integers(0, 2**30))
def test_int_for_is_the_narrowest(low, span):
    high = low + span
    element = int_for(low, high)
    assert element.min <= low
    assert high <= element.max
    if element.bits > 1:
        narrower = Element(element.kind, element.bits - 1)
        assert low < narrower.min or high > narrower.max


@pytest.mark.parametrize("element", [BIPOLAR, uint_t(8), int_t(12)])
def test_parse_is_the_inverse_of_str(element):
    assert Element.parse(str(element)) == element


@pytest.mark.parametrize("args", [("float", 8), ("bipolar", 2), ("uint", 0), ("int", 49)])
def test_illegal_elements_are_refused(args):
    with pytest.raises(BitexpertError):
        Element(*args)


def test_illegal_shapes_are_refused():
    with pytest.raises(BitexpertError, match="three positive"):
        StreamType(BIPOLAR, (1, 0, 4))
    with pytest.raises(BitexpertError, match="only bipolar"):
        StreamType(uint_t(8), (1, 1, 4), masked=True)
