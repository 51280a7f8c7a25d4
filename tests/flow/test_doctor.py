import json
import stat

import pytest
from bitexpert.flow import doctor
from bitexpert.flow.cli import main
from bitexpert.flow.doctor import examine
from bitexpert.flow.present import doctor_table
from bitexpert.sim.toolchain import ToolError
from rich.console import Console


def shown(findings) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(doctor_table(findings))
    return capture.get()


def test_everything_required_is_found_here():
    findings = examine()
    assert [f.name for f in findings if f.required and not f.found] == []
    assert {"torch", "C++ compiler", "Verilator", "ap_int headers", "Vivado", "Vitis HLS"} <= {f.name for f in findings}
    assert all(f.purpose and f.remedy for f in findings)
    text = shown(findings)
    for f in findings:
        assert f.name in text


def test_a_missing_compiler_is_said_with_cost_and_remedy(monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = {f.name: f for f in examine()}
    assert found["C++ compiler"].found == ""
    assert "rungs of simulate" in found["C++ compiler"].purpose
    assert "missing" in shown(found.values())
    assert main(["doctor", "--json"]) == 3
    out, err = capsys.readouterr()
    assert err == ""
    data = json.loads(out)
    assert data["complete"] is False
    assert [f["name"] for f in data["findings"] if f["required"] and not f["found"]] == ["C++ compiler"]
    assert main(["doctor"]) == 3


def test_missing_packages(monkeypatch):
    def gone(*_a):
        raise ToolError("gone")

    monkeypatch.setattr(doctor, "PACKAGES", (("no-such-package", "nothing"),))
    monkeypatch.setattr(doctor, "ap_types", gone)
    monkeypatch.setattr(doctor, "verilator_root", gone)
    found = {f.name: f.found for f in examine()}
    assert found["no-such-package"] == found["Verilator"] == found["ap_int headers"] == ""


@pytest.mark.parametrize(
    ("script", "vivado"), [("#!/bin/sh\necho Vivado v2099.1\n", "Vivado v2099.1"), ("#!/no/such/shell\n", "")]
)
def test_vivado_is_found_and_a_broken_one_is_not(monkeypatch, tmp_path, script, vivado):
    tool = tmp_path / "vivado"
    tool.write_text(script)
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: str(tool) if name == "vivado" else None)
    monkeypatch.setattr(doctor, "compiler", lambda: str(tool))
    found = {f.name: f.found for f in examine()}
    assert found["Vivado"] == vivado
    assert found["Vitis HLS"] == ""
