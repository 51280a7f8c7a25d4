"""The package on the virtual board, with the real pynq: its Overlay, DMA, registers and buffers."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from bitexpert.sim.board import PACKAGE, STAND_IN, BoardFault
from boards import make_board
from emitnets import folded_net

# pynq's lib imports a module that pycparser 3 no longer has; its installer imports pkg_resources
PYNQ = ("pynq==3.1.2", "pycparser<3", "setuptools<81")


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with pynq."""
    folder = tmp_path_factory.mktemp("pynq") / "venv"
    uv = Path(sys.executable).with_name("uv")
    for words in (["venv", "--python", sys.executable, folder], ["pip", "install", "--python", folder, *PYNQ]):
        done = subprocess.run([uv, "--quiet", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return make_board(folded_net(), folder), folder / "deploy"


def run(python, made, program, *words, **changes):
    board, folder = made
    variables = replace(board, **changes).environment(folder / "board.json")
    return subprocess.run(
        [python, "-W", "ignore", "-m", f"{PACKAGE}.{program}", *words],
        cwd=folder,
        env={**os.environ, **variables, "PYTHONPATH": str(STAND_IN / "real")},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.full
def test_every_result_is_right(python, made):
    for stall in (0, 60):
        done = run(python, made, "validate", "--batch-size", "3", stall=stall)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "golden samples: 20 frames, 0 elements differ\n"
        assert "Traceback" not in done.stderr


@pytest.mark.full
def test_programs(python, made):
    assert run(python, made, "throughput", "--latencies", "5").returncode == 0
    done = run(python, made, "experts")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("20 frames; of each expert layer")


@pytest.mark.full
def test_faults(python, made):
    done = run(python, made, "validate", fault=BoardFault.WRONG_HASH)
    assert done.returncode == 2
    assert "the bitfile is of another design" in done.stderr
    done = run(python, made, "validate", "--timeout", "1", fault=BoardFault.DEAF)
    assert done.returncode == 2
    assert "isn't finished after 1.0 s" in done.stderr
