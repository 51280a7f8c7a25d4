"""The boards: what their files say, and that a new one is one file."""

from pathlib import Path

import pytest
import yaml
from bitexpert.flow import board as boards
from bitexpert.flow.board import BoardError, board_names, load_board
from bitexpert.flow.build import build, open_build
from bitexpert.flow.config import BuildConfig
from bitexpert.flow.simulate import simulate
from bitexpert.flow.synth import DEVICES
from bitexpert.flow.vivado import processor

NEW = """\
title: A board of ours
part: xczu5ev-sfvc784-1-e
board_part: ours.org:ours:part0
vivado: "2022.1"
processor: zynqmp
memory_port: HP2
clock_mhz: 125.0
dma_bits: 32
lut: 117120
ff: 234240
lutram: 57600
bram18: 288
uram: 64
dsp: 1248
"""


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Path:
    """A folder of boards with one that is new."""
    monkeypatch.setattr(boards, "FOLDER", tmp_path / "boards")
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "ours.yaml").write_text(NEW)
    return tmp_path / "boards"


def test_the_boards():
    assert board_names() == ["kv260", "pynq-z1", "pynq-z2", "ultra96-v2", "zcu104"]


@pytest.mark.parametrize("name", board_names())
def test_a_boards_figures_agree_with_each_other(name):
    board = load_board(name)
    assert (board.processor == "zynq") == board.part.startswith("xc7z")
    assert board.dma_bits == max(processor(board).port_bits)
    assert board.ff == 2 * board.lut  # two flip-flops a LUT, in both families
    assert board.lutram < board.lut
    for device in DEVICES.values():
        if board.part.startswith(device.name):
            assert {k: getattr(board, k) for k in device.capacity.rounded()} == device.capacity.rounded()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dsp": None}, "missing or unknown fields: dsp"),
        ({"ram": 5}, "missing or unknown fields: ram"),
    ],
)
def test_a_file_with_other_fields_is_refused(shelf, change, message):
    data = {k: v for k, v in {**yaml.safe_load(NEW), **change}.items() if v is not None}
    (shelf / "ours.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(BoardError, match=rf"boards/ours\.yaml: {message}"):
        load_board("ours")


def test_a_new_board_is_one_file(shelf, tiny, own_build):
    build(tiny.model, own_build, BuildConfig(board="ours", target_fps=tiny.fps, checkpoint=tiny.checkpoint))
    text = (own_build / "vivado" / "build.tcl").read_text()
    assert "ps/S_AXI_HP2_FPD" in text
    assert "ps/saxihp2_fpd_aclk" in text
    assert "CONFIG.PSU__SAXIGP4__DATA_WIDTH 32 " in text
    assert "[31:0] s_axis_tdata" in (own_build / "shell" / "accelerator_shell.sv").read_text()


@pytest.mark.parametrize("name", [name for name in board_names() if name != "pynq-z2"])
def test_a_build_for_each_board(tiny, own_build, name):
    config = BuildConfig(board=name, target_fps=tiny.fps, checkpoint=tiny.checkpoint)
    result = build(tiny.model, own_build, config)
    assert result.board == load_board(name) == open_build(own_build).board
    assert f"set part {result.board.part}\n" in (own_build / "vivado" / "design.tcl").read_text()
    assert f"set_part {result.board.part}\n" in (own_build / "hls" / "run_hls.tcl").read_text()
    word = f"[{result.board.dma_bits - 1}:0] s_axis_tdata"
    assert word in (own_build / "shell" / "accelerator_shell.sv").read_text()


@pytest.mark.full
def test_the_driver_on_a_board_with_words_of_16_bytes(tiny, own_build):
    build(tiny.model, own_build, BuildConfig(board="kv260", target_fps=tiny.fps, checkpoint=tiny.checkpoint))
    report = simulate(own_build, rungs=("board",))
    assert not report.mismatches
