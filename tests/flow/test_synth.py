"""Synthesis of a build, its report, and the netlist rung on it."""

import json
import re
from dataclasses import replace

import pytest
from bitexpert.flow import synth as module
from bitexpert.flow.build import FINDINGS, open_build
from bitexpert.flow.cli import main
from bitexpert.flow.present import synthesis_tables
from bitexpert.flow.simulate import simulate
from bitexpert.flow.synth import DEVICES, SynthesisError, synth
from rich.console import Console


def test_an_unknown_device_is_refused(tiny_build, capsys):
    with pytest.raises(SynthesisError, match="there is no device 'xc7z045'; devices: xc7z020, xczu3eg, ecp5-85k"):
        synth(tiny_build, "xc7z045")
    assert main(["synth", str(tiny_build), "--device", "xc7z045", "--json"]) == 2
    assert "there is no device" in json.loads(capsys.readouterr().out)["error"]


def test_a_board_whose_device_no_open_tool_knows_needs_a_choice(tiny_build):
    build = open_build(tiny_build)
    assert module._device(None, build) == DEVICES["xc7z020"]
    other = replace(build, board=replace(build.board, part="xczu9eg-ffvb1156-2-e"))
    with pytest.raises(SynthesisError, match="no device like xczu9eg-ffvb1156-2-e; give --device, one of xc7z020,"):
        module._device(None, other)


def test_what_synthesis_finds_goes_with_the_design():
    assert {f"report/synth_{name}.json" for name in DEVICES} | {"synth"} <= set(FINDINGS)


@pytest.mark.full
def test_a_build_is_synthesised_and_its_netlist_streams_what_the_reference_does(own_build, monkeypatch, capsys):
    data = synth(own_build)
    assert data["device"] == "xc7z020"
    assert re.match(r"synthesis \(Yosys .*not Vivado's figures", data["source"])
    assert json.loads((own_build / "report" / "synth_xc7z020.json").read_text()) == data
    graph = open_build(own_build).graph
    assert {n.name for n in graph.nodes} < set(data["operators"])
    for figure in ("LUT", "FF", "LUTRAM", "BRAM_18K", "DSP"):
        parts = [entry["synthesis"][figure] for entry in data["operators"].values()]
        assert sum(parts) == data["total"]["synthesis"][figure]
    assert data["operators"]["matvec_1"]["synthesis"]["LUT"] > 0
    assert data["operators"]["matvec_1"]["estimate"]["lut"] > 0
    console = Console(width=200, record=True)
    for part in synthesis_tables(data):
        console.print(part)
    shown = console.export_text()
    assert "matvec_1" in shown
    assert "Yosys' estimate" in shown

    monkeypatch.setattr(module, "synthesise", lambda *a, **k: pytest.fail("synthesised again"))
    assert synth(own_build) == data
    (rung,) = simulate(own_build, rungs=["netlist"], samples=4).rungs
    assert (rung.mismatches, rung.samples) == (0, 4)
    assert rung.streams == len(graph.streams())
    assert rung.extra["cycles_per_frame"] == rung.extra["model_cycles_per_frame"]

    netlist = own_build / "synth" / "xc7z020" / "netlist.v"
    output = re.compile(r"^(  assign m_axis_tdata = .*);$", re.MULTILINE)
    text, count = output.subn(r"\1 ^ 8'd1;", netlist.read_text(), count=1)
    assert count == 1
    netlist.write_text(text)
    assert main(["simulate", str(own_build), "--rungs", "netlist", "--samples", "4"]) == 1
    assert "netlist: " in capsys.readouterr().out


@pytest.mark.full
def test_changed_weights_are_synthesised_anew(own_build):
    before = synth(own_build)
    weights = own_build / "rtl" / "matvec_0_weights.mem"
    words = weights.read_text().split()
    weights.write_text("\n".join(f"{int(word, 16) ^ 1:0{len(word)}x}" for word in words) + "\n")
    assert synth(own_build)["key"] != before["key"]


@pytest.mark.full
def test_for_an_ecp5_the_design_is_routed_too(own_build):
    data = synth(own_build, "ecp5-85k")
    assert data["total"]["estimate"] is None  # of 6-input LUTs
    assert data["total"]["synthesis"]["primitives"]["LUT4"] > 0
    routed = data["routed"]
    assert routed["mhz"] > 0
    assert routed["source"] == "ECP5 routed, a trend, not a Zynq frequency"
    assert (own_build / "synth" / "ecp5-85k" / "harness.bit").stat().st_size > 0
    console = Console(width=200, record=True)
    for part in synthesis_tables(data):
        console.print(part)
    assert "MHz (ECP5 routed, a trend, not a Zynq frequency)" in console.export_text()
