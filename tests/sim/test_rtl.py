"""A reset in the middle of a frame leaves nothing behind, and a fault between the last stream and the port is found."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from bitexpert.flow.emit import emit_rtl
from bitexpert.hw.performance import simulate
from bitexpert.sim.rtl import ProtocolError, SimulationHang, build_rtl, run_rtl
from emitnets import folded_net, samples


@pytest.fixture(scope="module")
def graph():
    return folded_net()


@pytest.fixture(scope="module")
def values(graph):
    return graph.run(samples(graph))


@pytest.fixture(scope="module")
def design(graph, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rtl") / "rtl"
    emit_rtl(graph, folder, "made by a test")
    return folder, build_rtl(folder, folder.parent / "work")


@pytest.fixture
def planted(design, tmp_path):
    """Replaces text in a copy of the design and compiles it."""

    def plant(file: str, old: str, new: str) -> tuple[Path, Path]:
        folder = Path(shutil.copytree(design[0], tmp_path / "rtl"))
        text = (folder / file).read_text()
        assert text.count(old) == 1, text.count(old)
        (folder / file).write_text(text.replace(old, new))
        return folder, build_rtl(folder, tmp_path / "work")

    return plant


def run(design, graph, values, reset, stall=0):
    folder, program = design
    return run_rtl(
        program, folder, graph, values, stall_percent=stall, cycle_frames=4, idle_limit=10_000, reset_cycle=reset
    )


def resets(graph):
    """Cycles all over a run of four frames."""
    performance = simulate(graph, 4)
    return [int(c) for c in np.linspace(1, performance.latency + 3 * performance.interval, 23)]


def late(again, fresh):
    """The streams on which a beat moves in another cycle."""
    return [s for s, cycles in again.cycles.items() if not np.array_equal(cycles, fresh.cycles[s])]


def test_after_a_reset_everything_is_as_after_power_up(design, graph, values):
    fresh = run(design, graph, values, 0)
    assert not fresh.differences
    assert all(len(c) for c in fresh.cycles.values())
    for reset in resets(graph):
        again = run(design, graph, values, reset)
        assert not again.differences, f"reset in cycle {reset}: {again.differences[0]}"
        assert not late(again, fresh), f"reset in cycle {reset}"
        assert np.array_equal(again.done, fresh.done), f"reset in cycle {reset}"
        stalled = run(design, graph, values, reset, stall=40)
        assert not stalled.differences, f"reset in cycle {reset}, with stalls: {stalled.differences[0]}"


@pytest.mark.parametrize(
    ("file", "register"),
    [("bx_frame_hold.sv", "      released <= 2'd0;\n"), ("bx_gate.sv", "      pixel <= '0;\n")],
)
def test_a_register_that_the_reset_forgets_is_found(planted, graph, values, file, register):
    broken = planted(file, register, "")
    fresh = run(broken, graph, values, 0)
    assert not fresh.differences  # Verilator's registers begin with 0
    found = 0
    for reset in resets(graph):
        try:
            again = run(broken, graph, values, reset)
            found += bool(again.differences or late(again, fresh))
        except (SimulationHang, ProtocolError):
            found += 1
    assert found


@pytest.mark.parametrize("wrong", ["~matvec_1_out_q_tdata", "matvec_1_out_q_tdata << 8"])
def test_a_fault_between_the_last_stream_and_the_port_is_found(planted, graph, values, wrong):
    right = "assign m_axis_tdata = matvec_1_out_q_tdata;"
    broken = planted("accelerator.sv", right, f"assign m_axis_tdata = {wrong};")
    (found,) = run(broken, graph, values, 0).differences
    assert (found.rung, found.operator, found.stream, found.frame) == ("rtl", "output", graph.outputs[0], 0)
