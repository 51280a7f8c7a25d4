from bitexpert.hw.programs import Step, process
from bitexpert.hw.timing import Channel, Pipe, most_held, run
from hypothesis import given
from hypothesis import strategies as st


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
    run([feed(channel, range(4)), drink(channel, [10, 11, 12, 13])])
    assert channel.writes == [0, 1, 11, 12]
    assert channel.reads == [10, 11, 12, 13]
    assert most_held(channel.writes, channel.reads) == 2


def test_a_beat_that_leaves_makes_room_one_cycle_later():
    assert most_held([0, 1, 2], [1, 2, 3]) == 2
    assert most_held([0, 2, 4], [1, 3, 5]) == 1
    assert most_held([0, 1, 2], []) == 3
    assert most_held([], []) == 0


def test_a_pipeline_keeps_one_beat_a_cycle():
    source, out = Channel("in"), Channel("out")
    cell = [Step((source,), Pipe(out, 3), count=5)]
    run([feed(source, range(10)), process(cell, frames=2), drink(out, [0] * 10)])
    assert source.reads == list(range(1, 11))
    assert out.writes == list(range(4, 14))


def test_a_frozen_pipeline_freezes_all_its_stages():
    source, out = Channel("in"), Channel("out", 2)
    cell = [Step((source,), Pipe(out, 2), count=6)]
    run([feed(source, range(6)), process(cell, frames=1), drink(out, [20] * 6)])
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


def clocked(produces, latency, depth, wanted):
    """The same pipeline and FIFO, clock by clock: cycles of the firings, and of the writes into the FIFO."""
    stages, fifo, fired, written, reads = [False] * latency, [], [], [], list(wanted)
    cycle = 0
    while len(written) < sum(produces):
        full = len(fifo) == depth
        leaves = stages[-1] and not full
        enable = not stages[-1] or leaves
        if fifo and reads and cycle >= reads[0]:
            fifo.pop(0)
            reads.pop(0)
        if leaves:
            fifo.append(cycle)
            written.append(cycle)
        if enable:
            fires = cycle >= 1 and len(fired) < len(produces)  # the first beat is there in cycle 1
            stages = [fires and produces[len(fired)], *stages[:-1]]
            fired += [cycle] * fires
        cycle += 1
    return fired, written


@given(
    produces=st.lists(st.booleans(), min_size=1, max_size=30),
    latency=st.integers(1, 5),
    depth=st.integers(1, 4),
    gaps=st.lists(st.integers(0, 7), min_size=30, max_size=30),
)
def test_a_frozen_pipeline_equals_registers_clock_by_clock(produces, latency, depth, gaps):
    source, out = Channel("in"), Channel("out", depth)
    wanted = [sum(gaps[: i + 1]) for i in range(sum(produces))]
    pipe = Pipe(out, latency)
    cell = [Step((source,), pipe, produced) for produced in produces]
    run([feed(source, [0] * len(produces)), process(cell, frames=1), drink(out, wanted)])
    assert len(out.reads) == sum(produces)
    fired, written = clocked(produces, latency, depth, wanted)
    assert out.writes == written
    assert source.reads[: len(fired)] == fired


@given(
    groups=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    latency=st.integers(1, 5),
    depth=st.integers(1, 4),
    gaps=st.lists(st.integers(0, 7), min_size=12, max_size=12),
)
def test_firings_that_are_skipped_take_the_time_of_those_that_are_not(groups, latency, depth, gaps):
    def cell(out, at_once):
        pipe, cycle = Pipe(out, latency), -1
        for firings in groups:
            for _ in range(1 if at_once else firings):
                while (free := pipe.skip(cycle, firings) if at_once else pipe.settle(cycle + 1)) is None:
                    yield out
                cycle = free
            pipe.push(cycle)

    traces = []
    for at_once in (True, False):
        out = Channel("out", depth)
        wanted = [sum(gaps[: i + 1]) for i in range(len(groups))]
        run([cell(out, at_once), drink(out, wanted)])
        assert len(out.reads) == len(groups)
        traces.append((out.writes, out.reads))
    assert traces[0] == traces[1]
