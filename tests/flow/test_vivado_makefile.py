"""The Makefile beside the scripts for Vivado, with programs in Vivado's and Vitis HLS' place that note their calls."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from bitexpert.flow.build import build as build_accelerator
from bitexpert.flow.build import open_build
from bitexpert.flow.config import BuildConfig
from bitexpert.flow.reports import summary
from bitexpert.sim.board import PACKAGE
from emitnets import emit_project
from vivado_report import write_alone, write_system

STAND_IN = Path(__file__).parents[1] / "tcl" / "stand_in.tcl"
MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not installed")
# notes the folder in which it runs and its arguments; the last run leaves the IP that Vitis HLS would leave
PROGRAM = """\
#!/bin/sh
echo "$(basename "$0")|$(pwd)|$*" >> "{log}"
case "$*" in
*run_hls.tcl) mkdir -p ../../hls/project/solution/impl/ip; touch ../../hls/project/solution/impl/ip/component.xml;;
esac
exit {status}
"""


@pytest.fixture
def build(tmp_path) -> Path:
    return emit_project(tmp_path / "my build")


def program(build: Path, name: str, status: int = 0) -> Path:
    path = build / "tools of mine" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(PROGRAM.format(log=build / "log", status=status))
    path.chmod(0o755)
    return path


def make(build: Path, *arguments: str, path: str = "/usr/bin:/bin", **env: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "PATH": path, **env}
    return subprocess.run(
        [MAKE, "-C", build / "vivado", *arguments], capture_output=True, text=True, env=env, timeout=60
    )


def calls(build: Path) -> list[list[str]]:
    return [line.split("|") for line in (build / "log").read_text().splitlines()]


def test_it_says_what_there_is(build):
    done = make(build)
    assert done.returncode == 0
    for target in ("bitstream ", "bitstream SOURCE=hls", "ooc", "clean"):
        assert f"make {target}" in done.stdout


@pytest.mark.parametrize("target", ["bitstream", "ooc"])
def test_without_vivado_it_says_what_to_do(build, target):
    done = make(build, target)
    assert done.returncode == 2
    assert "error: there is no vivado on the PATH; source the settings64.sh of Vivado, or name it" in done.stderr
    assert not (build / "vivado" / "work").exists()


def test_without_vitis_hls_it_says_what_to_do(build):
    done = make(build, "bitstream", "SOURCE=hls", f"VIVADO={program(build, 'vivado')}")
    assert done.returncode == 2
    assert "error: there is no vitis_hls on the PATH; source the settings64.sh of Vitis" in done.stderr
    assert not (build / "log").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["bitstream"], "-log bitstream_rtl.log -source ../build.tcl -tclargs rtl"),
        (["ooc"], "-log ooc.log -source ../ooc.tcl"),
    ],
)
def test_vivado_runs_in_work(build, arguments, expected):
    done = make(build, *arguments, f"VIVADO={program(build, 'vivado')}")
    assert done.returncode == 0, done.stderr
    assert calls(build) == [["vivado", str(build / "vivado" / "work"), f"-mode batch -nojournal {expected}"]]
    assert make(build, "clean").returncode == 0
    assert not (build / "vivado" / "work").exists()


def test_hls_is_synthesised_first_and_once(build):
    tools = program(build, "vivado").parent
    program(build, "vitis_hls")
    path = f"{tools}:/usr/bin:/bin"
    for _ in range(2):
        done = make(build, "bitstream", "SOURCE=hls", path=path)
        assert done.returncode == 0, done.stderr
    work = str(build / "vivado" / "work")
    vivado = ["vivado", work, "-mode batch -nojournal -log bitstream_hls.log -source ../build.tcl -tclargs hls"]
    assert calls(build) == [["vitis_hls", work, "-f ../../hls/run_hls.tcl"], vivado, vivado]


def test_a_newer_vitis_is_called_by_another_name(build):
    tools = program(build, "vitis-run").parent
    program(build, "vivado")
    done = make(build, "bitstream", "SOURCE=hls", "VITIS_HLS=vitis-run --mode hls --tcl", path=f"{tools}:/usr/bin:/bin")
    assert done.returncode == 0, done.stderr
    assert calls(build)[0][2] == "--mode hls --tcl ../../hls/run_hls.tcl"


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="tclsh is not installed (apt-get install tcl)")
def test_from_a_build_to_a_bitstream_that_the_next_build_keeps(tiny, own_build):
    vivado = program(own_build, "vivado")
    vivado.write_text(f'#!/bin/sh\nshift 6\nscript=$1\nexec tclsh {STAND_IN} "$script" $3\n')
    core = {node.name: (10, 2, 0, 9, 0, 1, 0) for node in open_build(own_build).graph.nodes}
    for target, write in (("ooc", write_alone), ("bitstream", write_system)):
        done = make(own_build, target, f"VIVADO={vivado}", BX_UTILIZATION=str(write(own_build / "table.rpt", core)))
        assert done.returncode == 0, done.stderr
    found = summary(own_build)["vivado"]
    assert set(found["alone"]["operators"]) == set(core)
    assert found["bitstream"]["timing"]["WNS"] == 0.5
    settings = {"target_fps": tiny.fps, "checkpoint": tiny.checkpoint}
    assert not build_accelerator(tiny.model, own_build, BuildConfig(**settings)).steps
    assert (own_build / "deploy" / PACKAGE / "accelerator.bit").read_text() == "bits"
    # another design: nothing of the old one stays
    build_accelerator(tiny.model, own_build, BuildConfig(**{**settings, "target_fps": 20_000}))
    assert not (own_build / "deploy" / PACKAGE / "accelerator.bit").exists()
    assert not (own_build / "vivado" / "work").exists()
    assert summary(own_build)["vivado"] == {}


def test_a_vivado_that_fails_fails_the_build(build):
    done = make(build, "bitstream", f"VIVADO={program(build, 'vivado', status=1)}")
    assert done.returncode == 2
