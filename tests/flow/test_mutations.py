"""Model files that are broken on purpose: each becomes an accelerator that is exact, or is refused in plain words."""

import os
import re
from collections import Counter

import onnx
import pytest
from bitexpert.sim.rtl import lint_rtl
from mutations import BASES, MUTATORS, Broken, mutate
from sandbox import Sandbox

CODE = (".sv", ".inc", ".vlt", ".f", ".cpp", ".hpp", ".tcl", ".mem")
#: Marks of names that do more than name, if they stand in code as they are.
ACTIVE = set("'\"$;/\\`{}[]*%!\n\r\x1b\x00 ")
SEEDS = int(os.environ.get("BITEXPERT_MUTATIONS", "15"))


@pytest.fixture(scope="module")
def sandbox():
    box = Sandbox()
    yield box
    box.close()


@pytest.fixture(scope="session")
def bases(tiny):
    """Valid files: three that are written by hand, and an export of bitexpert with an expert layer."""
    return {**{name: make() for name, make in BASES.items()}, "experts": onnx.load(str(tiny.model))}


def check(sandbox, broken, folder, *, doctor=False):
    """Build a file, and look at all that it left."""
    path = broken.write(folder / "model")
    (folder / "tmp").mkdir()
    before = {p for p in folder.rglob("*") if p.is_file()}
    verdict = sandbox.run(path, folder / "out", doctor=doctor)
    assert verdict.kind in ("built", "refused"), f"{verdict}\n{verdict.trace}"
    written = {p for p in folder.rglob("*") if p.is_file()} - before
    outside = [p for p in written if not p.is_relative_to(folder / "out")]
    assert not outside, f"written outside of the output folder: {outside}"
    if verdict.kind == "refused":
        check_message(verdict.text)
    check_code([p for p in written if p.suffix in CODE], broken.hostile)
    names = [p.name for p in written]
    assert all(re.fullmatch(r"[A-Za-z0-9_.]{1,100}", name) for name in names), names
    return verdict


def check_message(text):
    assert text.strip()
    assert len(text) < 2000, f"a message of {len(text)} characters"
    assert all(line.isprintable() for line in text.splitlines()), repr(text)
    assert not re.search(r"Traceback|object at 0x|<class|report this|KeyError|IndexError|TypeError", text), text


def check_code(files, hostile):
    active = {n.strip() for n in hostile if ACTIVE & set(n.strip()) and len(n.strip()) > 3}
    for file in files:
        text = file.read_text()
        assert text.isascii(), f"{file.name} is not ASCII"
        assert all(c.isprintable() or c in "\n\t" for c in text), f"{file.name} holds control characters"
        found = [name for name in active if name in text]
        assert not found, f"{file.name} holds {found}"


@pytest.mark.parametrize("base", [*BASES, "experts"])
def test_the_valid_files_are_built(base, bases, sandbox, tmp_path):
    verdict = check(sandbox, Broken(bases[base].SerializeToString()), tmp_path, doctor=True)
    assert verdict.kind == "built", verdict.text


@pytest.mark.parametrize("name", MUTATORS)
def test_a_mutation(name, bases, sandbox, tmp_path):
    model = list(bases.values())[list(MUTATORS).index(name) % len(bases)]
    check(sandbox, mutate(model, name, 0), tmp_path, doctor=True)


@pytest.mark.parametrize("base", [*BASES, "experts"])
def test_names_reach_no_code(base, bases, sandbox, tmp_path):
    """All names are hostile: the accelerator is the same, and Verilator takes it."""
    broken = mutate(bases[base], "hostile_names", 1)
    assert check(sandbox, broken, tmp_path, doctor=True).kind == "built"
    lint_rtl(tmp_path / "out" / "rtl")


@pytest.mark.full
@pytest.mark.parametrize("base", [*BASES, "experts"])
@pytest.mark.parametrize("name", MUTATORS)
def test_mutations(name, base, bases, sandbox, tmp_path):
    found, wrong = Counter(), []
    for seed in range(1, SEEDS + 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            found[check(sandbox, mutate(bases[base], name, seed), folder, doctor=seed % 3 == 0).kind] += 1
        except AssertionError as error:
            wrong.append(f"seed {seed}: {error}")
    print(f"{name} of {base}: {dict(found)}")
    assert not wrong, f"{len(wrong)} of {SEEDS}\n" + "\n\n".join(wrong)
