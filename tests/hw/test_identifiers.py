import re

import pytest
from bitexpert.hw.identifiers import MAX_LENGTH, identifier
from hypothesis import given
from hypothesis import strategies as st

HOSTILE = [
    '"',
    "a;b",
    "$display",
    "../../etc/passwd",
    "module",
    "proc",
    "int",
    "\n",
    "",
    "é",
    "9lives",
    "x" * 10_000,
    "/",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_become_plain_words(name):
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*_\d+", identifier(name))


@given(st.lists(st.text(max_size=60), max_size=8))
def test_identifiers_are_safe_distinct_and_short(names):
    taken: set[str] = set()
    for name in names:
        made = identifier(name, taken)
        assert re.fullmatch(r"[a-z][a-z0-9_]*_\d+", made)
        assert len(made) <= MAX_LENGTH
        assert made not in taken
        taken.add(made)


def test_a_person_still_recognises_the_name():
    assert identifier("MatVec_3") == "matvec_0"
    assert identifier("/features.1/Conv", {"features_1_conv_0"}) == "features_1_conv_1"
