"""The virtual board as a rung of the ladder: it is equal, sees what is wrong, and tells what it cannot do."""

import json
import shutil

import pytest
from bitexpert.sim.board import PACKAGE, VirtualBoard, build_board
from bitexpert.sim.board_rung import board_rung
from bitexpert.sim.toolchain import ToolError
from boards import make_board
from emitnets import folded_net, samples

GRAPH = folded_net()
FRAMES = samples(GRAPH, 9)
EXPECTED = GRAPH.run(FRAMES)[GRAPH.outputs[0]]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    make_board(GRAPH, folder)
    return folder


def rung(folder, package="deploy", expected=EXPECTED):
    return board_rung(
        GRAPH,
        folder / "rtl",
        folder / "shell",
        folder / package,
        folder / "work",
        FRAMES,
        expected=expected,
        model_interval=648,
    )


def test_the_board_is_equal_and_as_fast_as_the_accelerator_alone(made):
    result = rung(made)
    assert (result.rung, result.samples, result.mismatches) == ("board", 9, 0)
    assert result.extra["cycles_per_frame"] == 648
    assert sum(result.extra["experts_used"]["gate_0"]) == 9


def test_a_wrong_result_is_told_with_its_place(made):
    wrong = EXPECTED.copy()
    wrong[4, 0, 1, 2] += 1
    (difference,) = rung(made, expected=wrong).differences
    assert (difference.rung, difference.frame, difference.pixel, difference.channel) == ("board", 4, 1, 2)
    assert difference.found == difference.expected - 1


def test_a_driver_that_packs_wrongly_is_seen(made):
    shutil.copytree(made / "deploy", made / "wrong", dirs_exist_ok=True)
    packing = made / "wrong" / PACKAGE / "packing.py"
    packing.write_text(packing.read_text().replace("first, shift = divmod(i", "first, shift = divmod(i + 1"))
    assert rung(made, "wrong").mismatches > 0


def test_a_package_of_another_design_is_told(made):
    shutil.copytree(made / "deploy", made / "other", dirs_exist_ok=True)
    interface = json.loads((made / "other" / PACKAGE / "shell.json").read_text())
    interface["design_hash"] = "0" * 32
    (made / "other" / PACKAGE / "shell.json").write_text(json.dumps(interface))
    with pytest.raises(ToolError, match="the bitfile is of another design"):
        rung(made, "other")


@pytest.mark.parametrize(
    ("cell", "old", "new"),
    [
        ("bx_unpack", "assign m_axis_last = beat ==", "assign m_axis_last = beat !="),
        ("bx_pack", "count > CW'(i)", "count >= CW'(i)"),
        ("bx_shell", "packet_end == left", "packet_end != left"),
    ],
)
def test_a_broken_shell_is_seen(cell, old, new, made, tmp_path):
    shell = tmp_path / "shell"
    shutil.copytree(made / "shell", shell)
    text = (shell / f"{cell}.sv").read_text()
    assert old in text
    (shell / f"{cell}.sv").write_text(text.replace(old, new))
    board = VirtualBoard(build_board(made / "rtl", shell, tmp_path / "work", optimise="-O0"), made / "rtl")
    folder = tmp_path / "package"
    shutil.copytree(made / "deploy", folder)
    board.prepare(folder)
    done = board.run(
        folder, ["-m", "bitexpert_accelerator.validate", "--timeout", "1", "--batch-size", "7"], timeout=60
    )
    assert done.returncode in (1, 2), done.stdout


def test_a_program_that_takes_too_long_is_told(made):
    board = VirtualBoard(build_board(made / "rtl", made / "shell", made / "work"), made / "rtl")
    with pytest.raises(ToolError, match="didn't end within 1 s"):
        board.run(made, ["-c", "import time; time.sleep(5)"], timeout=1)


def test_a_simulation_that_ends_is_told(made, tmp_path):
    program = tmp_path / "ends"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    board = VirtualBoard(program, made / "rtl")
    done = board.run(
        made / "deploy", ["-c", "from board_process import the_board; print(the_board().cycles())"], timeout=10
    )
    assert "the virtual board has ended with exit code 7" in done.stderr


def test_memory_is_given_back(made):
    board = VirtualBoard(build_board(made / "rtl", made / "shell", made / "work"), made / "rtl")
    script = """
import pynq
size = 100 << 20
for _ in range(5):
    first, second = pynq.allocate((size,), "u1"), pynq.allocate((size,), "u1")
    assert first.device_address != second.device_address
    first.freebuffer(), second.freebuffer(), second.freebuffer()
try:
    pynq.allocate((300 << 20,), "u1")
except RuntimeError as error:
    print(error)
"""
    done = board.run(made, ["-c", script], timeout=60)
    assert done.stdout == "Failed to allocate memory!\n", done.stderr
