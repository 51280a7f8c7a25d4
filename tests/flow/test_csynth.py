"""What run_hls.tcl makes of the report of a synthesis: samples that are as foreseen, and samples that are not."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from bitexpert.flow import csynth
from bitexpert.flow.csynth import Bound, promise
from bitexpert.flow.emit import emit_hls
from bitexpert.hw.performance import bottleneck
from bitexpert.hw.resources import Resources
from csynth_report import report
from emitnets import BOARD, folded_net, joined_net

STAND_IN = Path(__file__).parents[1] / "tcl" / "stand_in.tcl"
TCLSH = shutil.which("tclsh")
needs_tclsh = pytest.mark.skipif(TCLSH is None, reason="tclsh is not installed (apt-get install tcl)")


@pytest.fixture(scope="module")
def graph():
    return folded_net()


@pytest.fixture
def folder(graph, tmp_path):
    emit_hls(graph, tmp_path / "hls", "made by a test", part=BOARD.part, clock_ns=10.0)
    return tmp_path


def synthesise(folder: Path, report: Path | None) -> subprocess.CompletedProcess:
    env = {**os.environ, **({"BX_CSYNTH": str(report)} if report else {})}
    script = folder / "hls" / "run_hls.tcl"
    return subprocess.run([TCLSH, STAND_IN, script], capture_output=True, text=True, env=env, timeout=60)


def exported(folder: Path) -> bool:
    return (folder / "hls" / "project" / "solution" / "impl" / "ip" / "component.xml").exists()


@pytest.mark.parametrize("net", [folded_net, joined_net], ids=["experts", "joins"])
def test_the_hls_functions_are_about_as_fast_as_the_cycle_model_says(net):
    graph = net()
    found = promise(graph, 5)
    assert found.cycles == bottleneck(graph)[1]
    # the first rows of a window come on top, which the RTL reads beside the last windows of the frame before
    first_rows = max(n.op.hls_steps(n.folding) - n.op.cycles(n.folding) for n in graph.nodes)
    assert found.cycles <= found.interval.estimate <= found.cycles + first_rows
    assert found.interval.most <= 1.02 * found.interval.least + 64
    assert found.latency.least == found.interval.least < found.latency.most
    for bound in found.resources:
        assert bound.least <= bound.estimate < bound.most


@needs_tclsh
def test_a_report_as_foreseen_lets_the_design_be_exported(graph, folder):
    done = synthesise(folder, report(graph, folder))
    assert done.returncode == 0, done.stderr
    assert "loops, cycles and resources are as foreseen" in done.stdout
    assert exported(folder)


@needs_tclsh
@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"wrong_ii": "matvec_1"}, "II of loop VITIS_LOOP_22_1 in MatVec_matvec_1_s: expected 1, found 2"),
        ({"loops": 3}, "pipelined loops: expected at least 13, found 3"),
        ({"interval": "undef"}, "cycles between frames: expected a number up to "),
        ({"latency": "undef"}, "latency in cycles: expected a number up to "),
        ({"period": "10.001"}, "clock period in ns: expected 0 to 10.00 (the target), found 10.001"),
        ({"lut": ""}, "LUT: expected a number up to "),
    ],
    ids=lambda x: "-".join(x) if isinstance(x, dict) else "",
)
def test_a_report_that_differs_is_an_error_and_nothing_is_exported(graph, folder, change, line):
    done = synthesise(folder, report(graph, folder, **change))
    assert done.returncode == 1
    assert done.stderr.startswith(f"ERROR: csynth: {line}")
    assert done.stderr.count("ERROR") == 1
    assert not exported(folder)


@needs_tclsh
@pytest.mark.parametrize("name", ["interval", "latency", "LUT", "FF", "BRAM_18K", "DSP"])
def test_a_number_just_beyond_its_bound_is_an_error(graph, folder, name):
    found = promise(graph, 5)
    bound = next(b for b in (found.interval, found.latency, *found.resources) if b.name == name)
    key = name.lower().removesuffix("_18k")
    assert synthesise(folder, report(graph, folder, **{key: bound.most})).returncode == 0
    shutil.rmtree(folder / "hls" / "project")
    for value in (bound.most + 1, bound.least - 1):
        done = synthesise(folder, report(graph, folder, **{key: value}))
        shutil.rmtree(folder / "hls" / "project")
        assert done.returncode == 1
        assert f"expected {bound.least} to {bound.most}" in done.stderr
        assert done.stderr.endswith(f"found {value}\n")
        assert done.stderr.count("ERROR") == 1


def test_resources_may_be_off_by_a_factor_and_a_few(graph, monkeypatch):
    need = Resources(lut=29_000, ff=30_000, lutram=1_000, bram18=100, dsp=50)
    monkeypatch.setattr(csynth, "estimate", lambda graph: need)
    assert promise(graph, 5).resources == (
        Bound("LUT", 30_000, 8_000, 92_000),
        Bound("FF", 30_000, 6_000, 94_000),
        Bound("BRAM_18K", 100, 42, 208),
        Bound("DSP", 50, 21, 104),
    )


@needs_tclsh
def test_every_difference_is_told(graph, folder):
    done = synthesise(folder, report(graph, folder, interval=9999, lut=99999, dsp=99))
    assert [line.split(":")[2].strip() for line in done.stderr.splitlines()] == ["cycles between frames", "LUT", "DSP"]


@needs_tclsh
def test_a_missing_or_damaged_report_is_an_error(graph, folder):
    done = synthesise(folder, None)
    assert done.returncode == 1
    assert "the report of the synthesis: expected" in done.stderr
    path = report(graph, folder)
    for text in (path.read_text()[:1500], path.read_text().replace("</FF>", "</LUT>"), ""):
        path.write_text(text)
        shutil.rmtree(folder / "hls" / "project")
        done = synthesise(folder, path)
        assert done.returncode == 1
        assert "csynth.xml is damaged" in done.stderr
        assert not exported(folder)
