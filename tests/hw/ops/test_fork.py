import numpy as np
import pytest
from bitexpert.hw.ops.base import OperatorError
from bitexpert.hw.ops.fork import Fork
from bitexpert.hw.programs import process
from bitexpert.hw.timing import Channel, run
from bitexpert.hw.types import BIPOLAR, StreamType, int_t
from cellbench import check_cell


@pytest.mark.parametrize(("kind", "copies", "pe"), [(int_t(5), 3, 3), (BIPOLAR, 2, 1)])
def test_cells_match_reference_and_cycle_model(kind, copies, pe):
    stream = StreamType(kind, (2, 3, 6))
    codes = np.random.default_rng(0).integers(0, 1 << kind.bits, (4, 2, 3, 6))
    result = check_cell(Fork(stream, copies), {"PE": pe}, kind.decode(codes))
    assert result.interval == stream.beats(pe)


def test_a_copy_does_not_wait_for_the_other():
    """The copy that has room gets the beat at once; the beat after it waits until both have it."""
    op = Fork(StreamType(BIPOLAR, (1, 1, 3)), 2)
    source, quick, slow = Channel("source"), Channel("quick"), Channel("slow", 1)
    for cycle in (0, 1, 2):
        source.write(cycle)
    programs = op.programs({"PE": 1}, [source], [quick, slow])

    def drain():
        for cycle in (10, 20, 30):
            while slow.available() is None:
                yield slow
            slow.read(cycle)

    run([*(process(program, 1) for program in programs), drain()])
    assert (quick.writes, slow.writes, source.reads) == ([1, 2, 12], [1, 11, 21], [1, 11, 21])


def test_one_copy_is_refused():
    with pytest.raises(OperatorError, match="at least 2 copies, not 1"):
        Fork(StreamType(BIPOLAR, (1, 1, 3)), 1)


def test_copies_are_named_as_slices_of_the_vector_port():
    cell = Fork(StreamType(BIPOLAR, (1, 1, 4)), 3).rtl({"PE": 2})
    assert cell.outputs == ("m_axis[0]", "m_axis[1]", "m_axis[2]")
