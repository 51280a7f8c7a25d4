"""The shell, Verilated, with cocotb and cocotbext-axi: packets, resets, faults, counters, registers under load."""

import json
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from bitexpert.sim.toolchain import verilator_root
from cocotb_tools.runner import get_runner

HERE = Path(__file__).parent / "shell"
RTL = Path(__file__).parents[2] / "hw" / "rtl"
CELLS = ("axilite", "expert_meter", "fifo", "meter", "pack", "shell", "shell_registers", "unpack")
BASE = {
    "IN_BYTES": 8,
    "OUT_BYTES": 8,
    "CORE_IN_BYTES": 1,
    "CORE_OUT_BYTES": 1,
    "IN_BEATS": 12,
    "OUT_BEATS": 3,
    "LAYERS": 2,
    "EXPERTS": 4,
    "PACKETS": 4,
    "FRAMES_W": 32,
    "CYCLES_W": 48,
    "EARLY": 0,
    "WEDGED": 0,
}


def run(folder, monkeypatch, only="", **parameters):
    """Build and run; every test that isn't skipped has to pass."""
    chosen = BASE | parameters
    root = verilator_root()
    monkeypatch.setenv("VERILATOR_ROOT", str(root))
    monkeypatch.setenv("PATH", f"{root / 'bin'}:{os.environ['PATH']}")
    monkeypatch.syspath_prepend(str(HERE))  # handed on to the simulator, which imports shell_bench
    runner = get_runner("verilator")
    runner.build(
        sources=[*(RTL / f"bx_{cell}.sv" for cell in CELLS), HERE / "toy_core.sv", HERE / "shell_tb.sv"],
        hdl_toplevel="shell_tb",
        parameters=chosen,
        build_dir=folder,
        build_args=["-Wno-fatal", "-MAKEFLAGS", "OPT_FAST=-O1 CFG_CXXFLAGS_PCH_I=-include"],
        log_file=folder / "build.log",
    )
    report = runner.test(
        test_module="shell_bench",
        hdl_toplevel="shell_tb",
        build_dir=folder,
        test_dir=folder,
        test_filter=only or None,
        extra_env={"BITEXPERT_SHELL": json.dumps(chosen)},
        results_xml=str(folder / "results.xml"),
        log_file=folder / "test.log",
    )
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    ran = [case.get("name") for case in cases if case.find("skipped") is None]
    assert ran
    assert not failed, (folder / "test.log").read_text()[-6000:]
    return ran


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        # beats as wide as words; beats that don't divide words, nor words beats; one-beat frames; words of one byte
        {"CORE_IN_BYTES": 8, "CORE_OUT_BYTES": 8, "EARLY": 1},
        {"CORE_IN_BYTES": 3, "CORE_OUT_BYTES": 5, "IN_BEATS": 7, "OUT_BEATS": 4},
        {"CORE_IN_BYTES": 25, "CORE_OUT_BYTES": 16, "IN_BEATS": 4, "OUT_BEATS": 1, "LAYERS": 0},
        {"IN_BYTES": 4, "OUT_BYTES": 16, "CORE_IN_BYTES": 6, "IN_BEATS": 1, "OUT_BEATS": 1, "EXPERTS": 3},
        {"IN_BYTES": 1, "OUT_BYTES": 1, "CORE_IN_BYTES": 2, "CORE_OUT_BYTES": 3, "IN_BEATS": 5, "LAYERS": 1},
    ],
    ids=lambda p: "_".join(f"{k.lower()}{v}" for k, v in p.items()) or "default",
)
def test_the_shell(parameters, tmp_path, monkeypatch):
    assert len(run(tmp_path, monkeypatch, **parameters)) >= 11


def test_full_counters(tmp_path, monkeypatch):
    assert run(tmp_path, monkeypatch, "full_counter", FRAMES_W=4) == ["a_full_counter_stays_and_says_so"]


@pytest.mark.parametrize(
    ("wedged", "name"), [(1, "a_core_that_never_answers_can_be_reset"), (2, "a_result_without_a_frame_is_an_error")]
)
def test_a_broken_core(wedged, name, tmp_path, monkeypatch):
    assert run(tmp_path, monkeypatch, name, WEDGED=wedged) == [name]
