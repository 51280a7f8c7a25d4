import numpy as np
import pytest
from bitexpert.flow.frames import FramesError, as_frames, random_frames, read_array, read_frames
from bitexpert.flow.model_file import HardwareInput
from bitexpert.hw.types import BIPOLAR, int_t, uint_t

IMAGE = HardwareInput("x", uint_t(8), (2, 3, 4), "NCHW", 1.0)
SIGNED = HardwareInput("x", int_t(4), (2, 2, 1), "NCHW", 0.25)
FLAT = HardwareInput("x", BIPOLAR, (1, 1, 6), "flat", 1.0)


def test_both_orders_are_the_same_frames():
    frames = np.arange(48).reshape(2, 2, 3, 4)
    for array in (frames, frames.transpose(0, 3, 1, 2), frames.astype(np.uint8), frames.astype(np.float32)):
        found = as_frames(array, IMAGE)
        assert found.dtype == np.int64
        assert found.flags.c_contiguous
        assert np.array_equal(found, frames)


def test_where_both_orders_fit_the_models_own_counts():
    source = HardwareInput("x", uint_t(8), (3, 3, 3), "NCHW", 1.0)
    array = np.arange(27).reshape(1, 3, 3, 3)
    assert np.array_equal(as_frames(array, source), array.transpose(0, 2, 3, 1))


def test_flat_input():
    array = np.array([[1, -1, 1, 1, -1, -1]])
    assert np.array_equal(as_frames(array, FLAT), array.reshape(1, 1, 1, 6))
    assert np.array_equal(as_frames(array.reshape(1, 1, 1, 6), FLAT), array.reshape(1, 1, 1, 6))


def test_floats_are_integers_times_the_scale():
    array = np.array([-8, 0, 3, 7]).reshape(1, 1, 2, 2)
    assert np.array_equal(as_frames(array * 0.25, SIGNED).ravel(), [-8, 0, 3, 7])
    assert np.array_equal(as_frames(array, SIGNED).ravel(), [-8, 0, 3, 7])
    assert np.array_equal(SIGNED.to_model(as_frames(array, SIGNED)), (array * 0.25).astype(np.float32))


@pytest.mark.parametrize(
    ("array", "source", "message"),
    [
        (np.zeros((1, 4, 3, 2)), IMAGE, r"has shape \(1, 4, 3, 2\); the model takes \(N, 4, 2, 3\), or \(N, 2, 3, 4\)"),
        (np.zeros((2, 3, 4)), IMAGE, r"has shape \(2, 3, 4\)"),
        (np.zeros(()), IMAGE, r"has shape \(\)"),
        (np.zeros((1, 7)), FLAT, r"has shape \(1, 7\); the model takes \(N, 6\)"),
        (np.zeros((0, 2, 3, 4)), IMAGE, "holds no frames"),
        (np.zeros((1, 2, 3, 4), bool), IMAGE, "has dtype bool; use uint8 values"),
        (np.zeros((1, 2, 3, 4), complex), IMAGE, "has dtype complex128"),
        (np.full((1, 2, 3, 4), 256), IMAGE, r"values from 256 to 256; the model takes uint8: 0\.\.255"),
        (np.full((1, 2, 3, 4), -1), IMAGE, "values from -1 to -1"),
        (np.full((1, 2, 2, 1), 8), SIGNED, r"the model takes int4: -8\.\.7"),
        (np.zeros((1, 6), int), FLAT, r"the model takes bipolar: -1 and \+1"),
        (np.full((1, 2, 2, 1), 0.3), SIGNED, r"holds 0\.3, which is not on the input's grid \(integers times 0\.25\)"),
        (np.full((1, 2, 3, 4), np.nan), IMAGE, "holds nan, which is not on"),
        (np.full((1, 2, 3, 4), np.inf), IMAGE, "holds inf, which is not on"),
        (np.full((1, 2, 3, 4), 1e30), IMAGE, "the model takes uint8"),
        (np.full((1, 2, 3, 4), 2**64 - 1, np.uint64), IMAGE, "the model takes uint8"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_does_not_fit_is_named(array, source, message):
    with pytest.raises(FramesError, match=message) as caught:
        as_frames(array, source, "f.npy")
    assert str(caught.value).startswith("f.npy ")


def test_files(tmp_path):
    path = tmp_path / "x.npy"
    with pytest.raises(FramesError, match=r"cannot read .*No such file"):
        read_array(path)
    with pytest.raises(FramesError, match=r"cannot read .*Is a directory"):
        read_array(tmp_path)
    for content in (b"", b"text", b"\x93NUMPY\x01\x00\x76\x00{'descr'"):
        path.write_bytes(content)
        with pytest.raises(FramesError, match=r"is not a \.npy file of numbers; write it with numpy\.save"):
            read_array(path)
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FramesError, match=r"is not a \.npy file"):
        read_array(path)
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(FramesError, match=r"holds several arrays \(\.npz\)"):
        read_array(path)
    frames = np.arange(24).reshape(1, 2, 3, 4)
    np.save(path, frames)
    data = path.read_bytes()
    assert np.array_equal(read_frames(path, IMAGE), frames)
    path.write_bytes(data[:-5])
    with pytest.raises(FramesError, match=r"is not a \.npy file"):
        read_array(path)


@pytest.mark.parametrize("source", [IMAGE, SIGNED, FLAT])
def test_random_frames_fill_the_range(source):
    frames = random_frames(source, 300)
    assert frames.shape == (300, *source.shape)
    assert (frames.min(), frames.max()) == (source.element.min, source.element.max)
    assert source.element.holds(frames)
    assert np.array_equal(frames, random_frames(source, 300))
    assert not np.array_equal(frames, random_frames(source, 300, seed=1))
