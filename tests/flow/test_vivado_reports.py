"""What Vivado found out, beside what was estimated."""

import json
from pathlib import Path

import pytest
from bitexpert.errors import BitexpertError
from bitexpert.flow.build import FINDINGS, open_build
from bitexpert.flow.present import report_tables
from bitexpert.flow.reports import summary
from bitexpert.flow.vivado_reports import VIVADO_REPORTS, vivado_findings
from rich.console import Console

ROW = {"LUT": 150, "LUTRAM": 20, "SRL": 5, "FF": 77, "BRAM_36K": 2, "BRAM_18K": 1, "URAM": 0, "DSP": 3}
TIMING = {"clk_period_ns": 10.0, "WNS": 2.0, "WHS": 0.05, "fmax_mhz": 125.0}


def write(reports: Path, name: str, data: dict) -> None:
    (reports / f"{name}.json").write_text(json.dumps(data))


def write_alone(reports: Path, **change: object) -> None:
    operators = {"matvec_1": ROW, "m_axis_last": {**ROW, "LUT": 26}}
    report = {"source": "Vivado 2022.1, out of context", **TIMING, "estimated_throughput_fps": 217013.9, **ROW}
    write(reports, "ooc_synth_and_timing", {**report, "operators": operators, **change})


def write_bitstream(reports: Path, **timing: float) -> None:
    write(reports, "post_synth_resources", {"source": "Vivado 2022.1, rtl", "(top)": {**ROW, "LUT": 4025}})
    write(reports, "post_route_timing", {"source": "Vivado 2022.1, rtl", **TIMING, **timing})


def shown(folder: Path) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        for table in report_tables(summary(folder)):
            console.print(table, soft_wrap=True)
    return capture.get()


def test_findings_of_vivado_go_with_the_design():
    assert {f"report/{name}" for name in VIVADO_REPORTS} <= set(FINDINGS)


def test_nothing_is_found_before_vivado_ran(own_build):
    build = open_build(own_build)
    assert vivado_findings(build.graph, build.board, own_build / "report") == {}
    assert "Bitstream" not in shown(own_build)


def test_the_estimate_stands_beside_what_vivado_found(own_build):
    write_alone(own_build / "report")
    build = open_build(own_build)
    found = vivado_findings(build.graph, build.board, own_build / "report")
    alone = found["alone"]
    node = next(n for n in build.graph.nodes if n.name == "matvec_1")
    assert alone["operators"]["matvec_1"]["estimate"] == node.op.resources(node.folding).rounded()
    # all LUTs without those that are memory or shift registers
    assert alone["operators"]["matvec_1"]["synthesis"]["LUT"] == 125
    assert alone["operators"]["matvec_1"]["synthesis"]["LUTRAM"] == 25
    assert alone["operators"]["m_axis_last"]["estimate"] is None
    assert (
        alone["total"]["estimate"]
        == json.loads((own_build / "report" / "estimate_layer_resources.json").read_text())["total"]
    )
    assert list(found) == ["alone"]
    text = shown(own_build)
    assert "xc7z020clg400-1: Vivado 2022.1, out of context" in text
    line = next(line for line in text.splitlines() if "matvec_1" in line and "125" in line)
    need = alone["operators"]["matvec_1"]["estimate"]
    words = line.split()
    assert [int(w) for w in words[-10:]] == [
        need["lut"],
        125,
        need["lutram"],
        25,
        need["ff"],
        77,
        need["bram18"],
        5,
        need["dsp"],
        3,
    ]
    assert (
        "Alone: timing is met at 100 MHz (slack 2 ns), at most 125.0 MHz; 217,014 frames/s at that rate (estimate)."
        in text
    )


@pytest.mark.parametrize(("slack", "verdict"), [(0.25, "timing is met"), (-0.25, "timing is not met")])
def test_the_bitstream(own_build, slack, verdict):
    write_bitstream(own_build / "report", WHS=slack)
    text = shown(own_build)
    assert "Bitstream (Vivado 2022.1, rtl), with DMA and shell: 4,000 LUT, 25 LUTRAM, 77 FF, 5 BRAM18, 3 DSP" in text
    assert f"{verdict} at 100 MHz (slack 2 ns), at most 125.0 MHz." in text


def test_half_a_pair_of_reports_tells_nothing(own_build):
    write_bitstream(own_build / "report")
    (own_build / "report" / "post_route_timing.json").unlink()
    assert summary(own_build)["vivado"] == {}


@pytest.mark.parametrize("damage", ["{", "[]", '{"source": "x"}'])
@pytest.mark.parametrize("name", ["ooc_synth_and_timing", "post_synth_resources"])
def test_a_damaged_report_is_an_error(own_build, name, damage):
    write_alone(own_build / "report")
    write_bitstream(own_build / "report")
    (own_build / "report" / f"{name}.json").write_text(damage)
    with pytest.raises(BitexpertError, match=r"report of Vivado in .* is damaged; make it again"):
        summary(own_build)
