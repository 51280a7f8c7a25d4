import numpy as np
import pytest
from bitexpert.errors import BitexpertError
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.types import StreamType, uint_t
from bitexpert.sim.streams import compare_beats, compare_values, first_difference, read_beats, write_beats

KIND = StreamType(uint_t(5), (2, 3, 4))
GRAPH = Dataflow((Node("fifo_0", Fifo(KIND, 2, 2), ("a",), ("b",)),), ("a",), ("b",))
BEATS = KIND.beats(2)


@pytest.fixture
def values():
    frames = np.random.default_rng(0).integers(0, 32, (3, *KIND.shape))
    return {"a": frames, "b": frames}


@pytest.fixture
def recorded(values, tmp_path):
    for stream in ("a", "b"):
        write_beats(GRAPH, stream, values[stream], tmp_path / f"{stream}.bin")
    return tmp_path


def compare(values, folder):
    return compare_beats("rtl", GRAPH, ["a", "b"], values, folder)


def test_what_was_written_is_read_and_equal(values, recorded):
    assert read_beats(GRAPH, "a", recorded / "a.bin").shape == (3 * BEATS, 2)  # 10 bits are 2 bytes
    assert compare(values, recorded) == []


@pytest.mark.parametrize("place", [(0, 0, 0, 0), (1, 1, 2, 3), (2, 0, 1, 2)])
def test_a_wrong_element_is_placed(values, recorded, place):
    wrong = values["b"].copy()
    wrong[place] ^= 16
    write_beats(GRAPH, "b", wrong, recorded / "b.bin")
    (found,) = compare(values, recorded)
    f, y, x, c = place
    assert (found.rung, found.operator, found.stream) == ("rtl", "fifo_0", "b")
    assert (found.frame, found.pixel, found.channel) == (f, 3 * y + x, c)
    assert (found.expected, found.found, found.count) == (values["b"][place], wrong[place], 1)
    text = f"rtl: fifo_0, stream b, frame {f}, pixel {3 * y + x}, channel {c}: expected {found.expected}, found"
    assert str(found).startswith(text)


def test_missing_beats_are_counted(values, recorded):
    data = (recorded / "b.bin").read_bytes()
    (recorded / "b.bin").write_bytes(data[: 2 * (BEATS + 5)])  # a frame and two and a half pixels
    (found,) = compare(values, recorded)
    assert (found.frame, found.pixel, found.found, found.count) == (1, 2, "missing", 2 * BEATS - 5)
    (recorded / "b.bin").unlink()
    (found,) = compare(values, recorded)
    assert (found.frame, found.pixel, found.count) == (0, 0, 3 * BEATS)


def test_a_wrong_beat_in_a_frame_that_never_ends(values, recorded):
    data = bytearray((recorded / "a.bin").read_bytes()[:8])
    data[6] ^= 1
    (recorded / "a.bin").write_bytes(data)
    (found,) = compare(values, recorded)
    assert (found.operator, found.frame, found.pixel) == ("input", 0, 1)
    assert found.expected != found.found


def test_wrong_padding_bits_count(values, recorded):
    data = bytearray((recorded / "b.bin").read_bytes())
    data[1] |= 0x80
    (recorded / "b.bin").write_bytes(data)
    assert len(compare(values, recorded)) == 1


def test_beats_of_a_further_frame_are_no_difference(values, recorded):
    data = (recorded / "b.bin").read_bytes()
    (recorded / "b.bin").write_bytes(data + data[:3])
    assert compare(values, recorded) == []


def test_values(values):
    assert compare_values("reference", GRAPH, values, values) == []
    wrong = {**values, "b": values["b"] + (np.arange(3) == 1)[:, None, None, None]}
    (found,) = compare_values("reference", GRAPH, wrong, values)
    assert (found.operator, found.frame, found.pixel, found.channel, found.count) == ("fifo_0", 1, 0, 0, 24)
    flat = {"b": values["b"].reshape(3, 1, 1, -1)}
    assert compare_values("reference", GRAPH, values, {**values, **flat}) == []
    assert compare_values("reference", GRAPH, flat, values) == []


@pytest.mark.parametrize("shape", [(0, 2, 2, 2), (3, 2, 2, 2), (1, 1, 1, 8)])
def test_frames_that_are_not_there_are_not_equal(shape):
    """numpy compares an array of no frames with one of one frame, and finds nothing."""
    with pytest.raises(BitexpertError, match="shape"):
        first_difference("r", "o", "s", np.zeros((1, 2, 2, 2), int), np.zeros(shape, int))
    first_difference("r", "o", "s", np.zeros(shape, int), np.zeros(shape, int))


def test_first_difference_is_the_first_on_the_wire():
    a = np.zeros((2, 2, 2, 2), int)
    b = a.copy()
    b[1, 0, 0, 0] = b[0, 1, 0, 1] = 7
    found = first_difference("r", "o", "s", a, b)
    assert (found.frame, found.pixel, found.channel, found.found, found.count) == (0, 2, 1, 7, 2)
    assert first_difference("r", "o", "s", a, a) is None
