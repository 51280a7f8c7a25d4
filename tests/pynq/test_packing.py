"""Frames as bytes: against a plain definition, bit by bit, for every kind of element and any number in a beat."""

import sys
from pathlib import Path

import numpy as np
import pytest
from bitexpert.hw.types import Element
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "templates" / "pynq" / "bitexpert_accelerator"))
from packing import Layout


@st.composite
def sides(draw):
    """A side of an accelerator as shell.json tells of it, with its element."""
    kind = draw(st.sampled_from(["bipolar", "uint", "int"]))
    element = Element(kind, 1 if kind == "bipolar" else draw(st.integers(1, 33)))
    per_beat = draw(st.integers(1, 9))
    shape = [draw(st.integers(1, 3)), draw(st.integers(1, 3)), per_beat * draw(st.integers(1, 3))]
    beats = int(np.prod(shape)) // per_beat
    return element, {
        "element": str(element),
        "shape": shape,
        "elements_per_beat": per_beat,
        "bits_per_element": element.bits,
        "beats": beats,
        "beat_bytes": -(-per_beat * element.bits // 8),
    }


def plain(element, side, frames):
    """The same bytes, element by element."""
    data = bytearray()
    for beat in frames.reshape(-1, side["elements_per_beat"]):
        word = sum(int(code) << (i * element.bits) for i, code in enumerate(element.encode(beat)))
        data += word.to_bytes(side["beat_bytes"], "little")
    return bytes(data)


@settings(max_examples=200, deadline=None)
@given(sides(), st.integers(0, 4), st.randoms(use_true_random=False))
def test_bytes_are_those_of_the_wire_and_come_back(side_of, count, random):
    element, side = side_of
    layout = Layout(side)
    size = int(np.prod(side["shape"])) * count
    values = [
        random.choice([-1, 1]) if layout.bipolar else random.randint(element.min, element.max) for _ in range(size)
    ]
    assert (layout.low, layout.high) == (element.min, element.max)
    frames = np.array(values, dtype=np.int64).reshape(count, *side["shape"])
    layout.check(frames)
    out = np.full(count * layout.frame_bytes + 5, 0xA5, dtype=np.uint8)
    layout.pack(frames, out)
    assert out[: count * layout.frame_bytes].tobytes() == plain(element, side, frames)
    assert (out[count * layout.frame_bytes :] == 0xA5).all()
    back = layout.unpack(out, count)
    assert back.dtype == layout.dtype
    assert np.array_equal(back, frames)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64])
def test_the_type_of_the_frames_does_not_matter(kind):
    element, per_beat = Element("uint", 8), 3
    side = {"element": "uint8", "shape": [2, 2, 3], "elements_per_beat": per_beat, "bits_per_element": 8}
    side |= {"beats": 4, "beat_bytes": 3}
    frames = np.random.default_rng(0).integers(0, 256, (5, 2, 2, 3)).astype(kind)
    out = np.zeros(60, np.uint8)
    Layout(side).pack(frames, out)
    assert out.tobytes() == plain(element, side, frames)


@pytest.mark.parametrize(
    ("element", "values", "message"),
    [
        ("bipolar", [-1, 0], r"-1 and \+1"),
        ("bipolar", [1, 2], r"-1 and \+1, these are 1..2"),
        ("int3", [-5, 3], r"-4..3, these are -5..3"),
        ("uint4", [0, 16], r"0..15, these are 0..16"),
    ],
)
def test_values_out_of_range_are_refused(element, values, message):
    kind = Element.parse(element)
    side = {"element": element, "shape": [1, 1, 2], "elements_per_beat": 2, "bits_per_element": kind.bits}
    layout = Layout(side | {"beats": 1, "beat_bytes": 1})
    with pytest.raises(ValueError, match=message):
        layout.check(np.array(values).reshape(1, 1, 1, 2))
