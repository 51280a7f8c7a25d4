import numpy as np
import pytest
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.types import StreamType, uint_t
from bitexpert.sim import ladder
from bitexpert.sim.ladder import chunks, merge, output_differences, timed
from bitexpert.sim.streams import Difference

KIND = StreamType(uint_t(8), (2, 2, 4))
GRAPH = Dataflow((Node("fifo_0", Fifo(KIND, 1, 2), ("a_0",), ("b_0",)),), ("a_0",), ("b_0",))


def difference(stream="s", frame=0, count=1):
    return Difference("rtl", "op", stream, frame, 1, 2, 3, 4, count)


def test_chunks_are_all_frames_in_order(monkeypatch):
    frames = np.arange(10 * 16).reshape(10, 2, 2, 4)
    assert [len(part) for part in chunks(GRAPH, frames)] == [10]
    monkeypatch.setattr(ladder, "CHUNK_BYTES", 8 * 2 * 16 * 4)  # both streams of 4 frames
    parts = list(chunks(GRAPH, frames))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert np.array_equal(np.concatenate(parts), frames)
    monkeypatch.setattr(ladder, "CHUNK_BYTES", 1)
    assert len(list(chunks(GRAPH, frames))) == 10


def test_merge_keeps_the_first_place_and_adds_the_counts():
    first = merge([], [difference("s", 2, 5), difference("t", 0, 1)], 0)
    both = merge(first, [difference("s", 1, 7), difference("u", 3, 2)], 10)
    assert {d.stream: (d.frame, d.count) for d in both} == {"s": (2, 12), "t": (0, 1), "u": (13, 2)}


def test_timed_counts_every_difference():
    result = timed("rtl", 4, lambda: (7, [difference(count=3), difference("t", count=2)], {"cycles_per_frame": 9.0}))
    assert (result.rung, result.samples, result.streams, result.mismatches) == ("rtl", 4, 7, 5)
    assert result.seconds >= 0
    data = result.as_dict()
    assert data["cycles_per_frame"] == 9.0
    assert data["differences"][0]["stream"] == "s"


def test_outputs():
    values = np.zeros((2, 2, 2, 4), int)
    assert output_differences("fast", GRAPH, values, values) == []
    wrong = values.copy()
    wrong[1, 1, 1, 3] = 9
    (found,) = output_differences("fast", GRAPH, values, wrong)
    assert (found.operator, found.stream, found.frame, found.pixel, found.channel) == ("output", "b_0", 1, 3, 3)


@pytest.mark.parametrize("frames_a_piece", [100, 2])
def test_rtl_rung_of_one_fifo(tmp_path, monkeypatch, frames_a_piece):
    from bitexpert.flow.emit import emit_rtl

    monkeypatch.setattr(ladder, "CHUNK_BYTES", 8 * 2 * 16 * frames_a_piece)
    frames = np.random.default_rng(0).integers(0, 256, (5, 2, 2, 4))
    emit_rtl(GRAPH, tmp_path / "rtl", "made by a test")
    found = ladder.rtl_rung(GRAPH, tmp_path / "rtl", tmp_path / "work", frames, model_interval=16, model_latency=17)
    assert (found.mismatches, found.samples, found.streams) == (0, 5, 2)
    assert found.extra["model_latency_cycles"] == 17
    assert found.extra.get("cycles_per_frame") == (16 if frames_a_piece > 3 else None)  # it takes a steady state
