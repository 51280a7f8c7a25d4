import pytest
from bitexpert.hw.resources import Resources
from bitexpert.sim.toolchain import ToolError
from bitexpert.sim.usage import Usage


def test_primitives_are_counted_in_the_terms_of_the_data_sheet():
    cells = {"LUT2": 3, "LUT6": 5, "INV": 1, "LUT6_2": 2, "FDRE": 7, "FDSE": 1, "RAM32M": 2, "RAM64X1D": 1, "SRL16E": 3}
    cells |= {"RAMB18E1": 1, "RAMB36E1": 2, "DSP48E1": 1, "CARRY4": 4, "MUXF7": 9, "$scopeinfo": 6, "URAM288": 1}
    usage = Usage(cells, lc=8)
    assert (usage.lut, usage.ff, usage.srl, usage.lutram) == (11, 8, 3, 13)
    assert (usage.bram18, usage.bram36, usage.uram, usage.dsp, usage.carry) == (1, 2, 1, 1, 4)
    assert usage.resources() == Resources(lut=11, ff=8, lutram=13, bram18=5, uram=1, dsp=1)
    report = usage.as_dict()
    assert (report["LUT"], report["LC_estimate"], report["BRAM_36K"], report["SRL"]) == (11, 8, 2, 3)
    assert "$scopeinfo" not in report["primitives"]


def test_the_cells_of_an_ecp5_are_counted():
    usage = Usage(
        {"LUT4": 10, "TRELLIS_FF": 4, "TRELLIS_DPR16X4": 2, "DP16KD": 3, "CCU2C": 5, "MULT18X18D": 1, "PFUMX": 7}
    )
    assert (usage.lut, usage.ff, usage.lutram, usage.bram18, usage.carry, usage.dsp) == (10, 4, 8, 3, 5, 1)


def test_a_primitive_that_would_count_as_nothing_is_refused():
    with pytest.raises(ToolError, match=r"Yosys used FIFO36E2, LDXX, which sim/usage.py cannot count"):
        Usage({"LUT6": 1, "LDXX": 2, "FIFO36E2": 1})


def test_a_module_counts_what_is_below_it():
    modules = {
        "top": {"num_cells_by_type": {"part": 2, "LUT3": 1}, "estimated_num_lc": 7},
        "part": {"num_cells_by_type": {"leaf": 3, "FDRE": 1}},
        "leaf": {"num_cells_by_type": {"LUT6": 1}},
    }
    assert Usage.of_module("top", modules) == Usage({"LUT3": 1, "FDRE": 2, "LUT6": 6}, 7)
    assert Usage.of_module("part", modules) == Usage({"FDRE": 1, "LUT6": 3}, None)
