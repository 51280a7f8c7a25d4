"""Every proof holds and speaks of something, and finds the bugs that are planted for it."""

import pytest
from bitexpert.formal.mutants import MUTANTS, Mutant
from bitexpert.formal.proofs import PROOFS
from bitexpert.formal.runner import FAIL, PASS, check_paths, combinational_paths, prove, reach_covers

BY_NAME = {proof.name: proof for proof in PROOFS}


@pytest.mark.full
@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
def test_the_cell_keeps_its_properties(proof, tmp_path):
    result = prove(proof, tmp_path)
    assert (result.status, result.causes) == (PASS, ())


@pytest.mark.full
@pytest.mark.parametrize("proof", [p for p in PROOFS if p.cover_depth], ids=lambda proof: proof.name)
def test_the_proof_speaks_of_something(proof, tmp_path):
    result = reach_covers(proof, tmp_path)
    assert (result.status, result.causes) == (PASS, ())


@pytest.mark.full
@pytest.mark.parametrize("proof", [p for p in PROOFS if p.streams], ids=lambda proof: proof.name)
def test_the_cell_passes_on_nothing_that_closes_a_loop(proof, tmp_path):
    assert check_paths(proof, tmp_path).causes == ()


@pytest.mark.full
def test_the_paths_of_a_cell(tmp_path):
    assert combinational_paths(BY_NAME["fifo_2"], tmp_path / "fifo") == {}
    assert combinational_paths(BY_NAME["matvec_pixels"], tmp_path / "matvec") == {
        "s_axis_tready": {"m_axis_tready", "s_token_tvalid"},
        "s_token_tready": {"m_axis_tready", "s_axis_tvalid"},
    }


@pytest.mark.full
@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("held && open;", "held && open && m_axis_tready;", "m_axis_tvalid depends on m_axis_tready"),
        ("m_token_tready && token_room;", "s_token_tvalid && token_room;", "s_token_tready depends on s_token_tvalid"),
    ],
)
def test_a_forbidden_path_is_found(old, new, cause, tmp_path):
    result = check_paths(BY_NAME["frame_hold"], tmp_path, Mutant("path", "frame_hold", "bx_frame_hold.sv", old, new))
    assert (result.status, result.causes) == (FAIL, (cause,))


@pytest.mark.full
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_the_proof_finds_the_planted_bug(mutant, tmp_path):
    result = prove(BY_NAME[mutant.proof], tmp_path, mutant)
    assert result.status == FAIL
    assert result.causes
    assert result.trace.read_text().startswith("$")
