"""What memories become; the numbers are those of Yosys 0.70, synth_xilinx for xc7."""

import pytest
from bitexpert.hw.memories import cell_rom, line, logic_rom, multiplexer, ram, rom, rom_terms
from bitexpert.hw.resources import Resources


@pytest.mark.parametrize(
    ("depth", "width", "lutram", "bram18"),
    [
        (5, 16, 12, 0),  # RAM32M: 6 bits in 4 LUTs
        (64, 4, 8, 0),  # RAM64M: 3 bits
        (79, 8, 24, 0),  # two rows of them
        (399, 1, 28, 0),  # one bit: deep, and still not worth a block RAM
        (199, 12, 0, 1),
        (512, 64, 0, 2),  # one RAMB36
        (2048, 24, 0, 3),
    ],
)
def test_a_ram_is_lutram_or_block_ram(depth, width, lutram, bram18):
    found = ram(depth, width)
    assert (found.lutram, found.bram18) == (lutram, bram18)
    assert found.ff == (0 if bram18 else width)  # block RAM registers its read by itself


@pytest.mark.parametrize(("depth", "width", "lutram"), [(800, 2, 28), (98, 8, 16), (100, 6, 12)])
def test_one_address_for_both_ports_takes_less(depth, width, lutram):
    assert ram(depth, width, one_port=True).lutram == lutram < ram(depth, width).lutram


def test_a_ram_of_one_word_is_registers():
    assert ram(1, 24) == Resources(ff=48)


def test_a_line_of_a_few_bits_is_registers_and_never_block_ram():
    assert line(2, 8) == Resources(lut=8 + 2, ff=16)
    assert line(4, 16) == Resources(lutram=12)
    assert line(2048, 32).bram18 == 0


@pytest.mark.parametrize(("words", "width", "bram18"), [(1200, 384, 32), (600, 512, 29), (128, 32, 1), (96, 4, 1)])
def test_a_deep_rom_of_a_cell_is_block_ram(words, width, bram18):
    assert cell_rom(words, width).bram18 == bram18


def test_rows_of_block_rams_are_joined_in_luts():
    assert cell_rom(1200, 384).lut == 384  # three rows of 512 words
    assert cell_rom(512, 384).lut == 0


def test_a_rom_of_a_cell_in_luts_up_to_64_words():
    assert cell_rom(1, 99) == Resources()
    assert cell_rom(64, 32).lut == pytest.approx(32)
    assert cell_rom(64, 32).bram18 == 0
    assert cell_rom(65, 32).lut == 0


def test_equal_columns_of_a_rom_are_made_once():
    # 4 words: 16 different columns, of which two are constant
    assert logic_rom(4, 1000).ff == pytest.approx(14, abs=0.01)
    assert logic_rom(2, 1000) == Resources(lut=0, ff=pytest.approx(2))


def test_a_rom_without_a_rule_is_what_is_cheaper():
    assert rom(128, 8).lut == pytest.approx(16)  # two LUTs a column, joined by MUXF7
    assert rom(128, 8).bram18 == 0
    assert rom(4096, 8).bram18 == 2


def test_what_a_rom_takes_more_where_it_is_deep():
    assert rom_terms(16, 40) == {"ROM": 40, "ROM, words beyond 16": 0, "ROM, words beyond 32": 0}
    assert rom_terms(48, 40) == {"ROM": 40, "ROM, words beyond 16": 80, "ROM, words beyond 32": 20}


def test_a_multiplexer_has_four_inputs_a_lut():
    assert [multiplexer(n) for n in (1, 2, 4, 5, 8, 9)] == [0, 1, 1, 2, 2, 3]
