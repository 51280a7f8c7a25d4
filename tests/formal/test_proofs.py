"""Every proof holds and speaks of something, and finds the bugs that are planted for it."""

import pytest
from bitexpert.formal.mutants import MUTANTS
from bitexpert.formal.proofs import PROOFS
from bitexpert.formal.runner import FAIL, PASS, prove, reach_covers

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
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_the_proof_finds_the_planted_bug(mutant, tmp_path):
    result = prove(BY_NAME[mutant.proof], tmp_path, mutant)
    assert result.status == FAIL
    assert result.causes
    assert result.trace.read_text().startswith("$")
