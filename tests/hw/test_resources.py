"""Terms, factors, and what is told when one is missing."""

import pytest
from bitexpert.errors import BitexpertError
from bitexpert.hw.resources import Resources, Terms, bits_for, read_factors, weighted, wrapping_bits

FACTORS = {
    "Box": {"lut": {"cell": 3, "bits": 1.5}, "ff": {"cell": 1}},
    "Box of numbers": {"lut": {"cell": 5, "bits": 2}, "ff": {"cell": 0}},
}


def test_an_operator_is_its_terms_with_their_factors():
    found = weighted("Box", Terms(lut={"bits": 10}, rest=Resources(bram18=2)), FACTORS)
    assert found == Resources(lut=18, ff=1, bram18=2)


def test_variants_have_factors_of_their_own():
    assert weighted("Box", Terms(lut={"bits": 10}, variant="of numbers"), FACTORS) == Resources(lut=25)


def test_a_term_without_a_factor_is_told():
    with pytest.raises(BitexpertError, match=r"no ff factor for bits of Box; fit it again with bench/resource_fit\.py"):
        weighted("Box", Terms(ff={"bits": 1}), FACTORS)
    with pytest.raises(BitexpertError, match="no lut factor for cell of Crate"):
        weighted("Crate", Terms(), FACTORS)


def test_a_model_that_cannot_be_read_is_told(tmp_path):
    bad = tmp_path / "factors.json"
    with pytest.raises(BitexpertError, match=r"cannot read the resource model .*factors\.json"):
        read_factors(bad)
    bad.write_text("{")
    with pytest.raises(BitexpertError, match="install bitexpert again"):
        read_factors(bad)


def test_bits_of_counters():
    assert [bits_for(n) for n in (1, 2, 3, 4, 5)] == [0, 1, 2, 2, 3]
    assert [wrapping_bits(n) for n in (1, 2, 3, 4, 5)] == [0, 0, 2, 0, 3]
