"""The cells that are built of LUTs and carry chains, as synthesis sees them, against the plain arithmetic."""

import shutil
import subprocess
from pathlib import Path

import pytest
from bitexpert.sim.toolchain import run_tool, verilator_root

HERE = Path(__file__).parent
CELLS = Path(__file__).parents[2] / "hw" / "rtl"
NAMES = ("bx_equal", "bx_equal_three", "bx_ones", "bx_sum_ones", "bx_add_ones", "bx_at_least")


def simulate(folder, *defines):
    """What the testbench prints."""
    root = verilator_root()
    arguments = ["--binary", "--timing", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--top-module", "primitives_tb"]
    arguments += ["-CFLAGS", "-O0", "-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_COROUTINES=-fcoroutines"]
    sources = [HERE / "primitives_tb.sv", HERE / "xilinx_cells.sv", *(folder / f"{n}.sv" for n in NAMES)]
    run_tool(
        ["perl", root / "bin" / "verilator", *arguments, *(f"+define+{d}" for d in defines), *sources],
        "a test",
        cwd=folder,
        env={"VERILATOR_ROOT": str(root)},
    )
    program = folder / "obj_dir" / "Vprimitives_tb"
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout


def copied(folder):
    for name in NAMES:
        shutil.copy(CELLS / f"{name}.sv", folder)
    return folder


@pytest.mark.parametrize("defines", [["SYNTHESIS"], ["SYNTHESIS", "BX_PORTABLE"]], ids=["xilinx", "portable"])
def test_cells_of_primitives(defines, tmp_path):
    assert simulate(copied(tmp_path), *defines).startswith("all right")


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "right", "wrong", "first"),
    [
        ("bx_equal_three", "init(1)", "init(0)", "bx_equal"),
        ("bx_ones", "g_group[g-1].sum + ", "", "bx_ones"),
        ("bx_add_ones", "CYINIT(c == 0 ? bits[5] : 1'b0)", "CYINIT(1'b0)", "bx_ones"),
        ("bx_at_least", "1'(swap)", "1'b0", "bx_at_least"),
    ],
)
def test_a_wrong_cell_is_seen(name, right, wrong, first, tmp_path):
    file = copied(tmp_path) / f"{name}.sv"
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong))
    assert simulate(tmp_path, "SYNTHESIS").startswith(first)
