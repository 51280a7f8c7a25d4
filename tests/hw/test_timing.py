import pytest
from bitexpert.hw.timing import Channel, DeadlockError, Pipe, pipeline, run


def feed(channel, cycles):
    for c in cycles:
        while (room := channel.room()) is None:
            yield channel
        channel.write(max(c, room))


def drink(channel, cycles):
    for c in cycles:
        while (arrival := channel.available()) is None:
            yield channel
        channel.read(max(c, arrival))


def test_a_channel_delays_by_one_and_frees_room_one_later():
    channel = Channel("c", 2)
    run([feed(channel, range(4)), drink(channel, [10, 11, 12, 13])], lambda: len(channel.reads) == 4, lambda: "")
    assert channel.writes == [0, 1, 11, 12]
    assert channel.reads == [10, 11, 12, 13]
    assert channel.max_fill() == 2


def test_a_pipeline_keeps_one_beat_a_cycle():
    source, out = Channel("in"), Channel("out")
    cells = pipeline(source, out, lambda: [(True, True)] * 5, latency=3, frames=2)
    run([feed(source, range(10)), *cells, drink(out, [0] * 10)], lambda: len(out.reads) == 10, lambda: "")
    assert source.reads == list(range(1, 11))
    assert out.writes == list(range(4, 14))


def test_a_frozen_pipeline_freezes_all_its_stages():
    source, out = Channel("in"), Channel("out", 2)
    cells = pipeline(source, out, lambda: [(True, True)] * 6, latency=2, frames=1)
    run([feed(source, range(6)), *cells, drink(out, [20] * 6)], lambda: len(out.reads) == 6, lambda: "")
    # outputs valid in cycles 3, 4 find room, the third (valid in 5) waits for the read in 20; the firing of
    # cycle 5 waits with it
    assert out.writes[:3] == [3, 4, 21]
    assert source.reads[:4] == [1, 2, 3, 4]
    assert source.reads[4] == 21


def test_an_old_stall_does_not_move_later_firings():
    out = Channel("out", 1)
    pipe = Pipe(out, 1)
    out.writes.append(0)
    pipe.push(1)
    assert pipe.settle(5) is None
    out.read(9)
    assert pipe.settle(5) == 10
    assert pipe.settle(12) == 12


def test_a_deadlock_is_named():
    channel = Channel("c", 1)
    with pytest.raises(DeadlockError, match="somewhere"):
        run([feed(channel, range(3))], lambda: False, lambda: "somewhere")
