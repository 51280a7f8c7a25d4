"""Templates only wire and parametrise; every rendered file says what made it; nothing missing, nothing unescaped."""

from dataclasses import dataclass

import jinja2
import pytest
from bitexpert.errors import BitexpertError
from bitexpert.flow import templates
from bitexpert.flow.templates import FOLDER, render, write_text
from jinja2 import nodes

TEMPLATES = sorted(str(p.relative_to(FOLDER)) for p in FOLDER.rglob("*.j2"))
FORBIDDEN = (
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Pow,
    nodes.Neg,
    nodes.Pos,
    nodes.Concat,
    nodes.Import,
    nodes.FromImport,
    nodes.Include,
    nodes.Extends,
    nodes.Macro,
    nodes.CallBlock,
    nodes.Assign,
    nodes.AssignBlock,
    nodes.Call,
)


def offences(source: str) -> list[str]:
    tree = jinja2.Environment().parse(source)
    return [f"line {node.lineno}: {type(node).__name__}" for node in tree.find_all(FORBIDDEN)]


def test_there_are_templates():
    assert {name.split("/")[0] for name in TEMPLATES} >= {"rtl", "hls", "vivado", "sim"}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_has_no_import_assignment_call_or_arithmetic(name):
    assert not offences((FOLDER / name).read_text())


@pytest.mark.parametrize(
    "source",
    [
        "{{ x - 1 }}",
        "{{ x + 1 }}",
        "{{ 2 * x }}",
        "{{ x // 2 }}",
        "{{ x / 2 }}",
        "{{ x % 2 }}",
        "{{ 2 ** x }}",
        "{{ -x }}",
        "{{ x ~ y }}",
        "{% set y = x %}",
        "{% set y %}x{% endset %}",
        "{% import 'a' as b %}",
        "{% from 'a' import b %}",
        "{% include 'a' %}",
        "{% extends 'a' %}",
        "{% macro f() %}{% endmacro %}",
        "{{ x.f() }}",
        "{% for i in range(3) %}{{ i }}{% endfor %}",
        "{% if x > y - 1 %}a{% endif %}",
        "{% for x in y %}{{ x.a[0 + 1] }}{% endfor %}",
    ],
)
def test_the_scan_sees(source):
    assert offences(source)


@pytest.mark.parametrize(
    "source",
    ["{{ a }}", '{{ "," if not loop.last }}', "{% for x in y %}{{ x.z | join(':') }}{% endfor %}", "a - 1 // {"],
)
def test_the_scan_lets_through(source):
    assert not offences(source)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_begins_with_what_made_it(name):
    assert "{{ made_by }}" in (FOLDER / name).read_text().splitlines()[0]


@dataclass(frozen=True)
class Lone:
    made_by: str = "x"


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_missing_variable_raises(name):
    if name == "fast/engine.cpp.j2":
        pytest.importorskip("bitexpert.flow.emit_fast")
    with pytest.raises(jinja2.UndefinedError):
        render(name, Lone())


def test_a_missing_attribute_raises(monkeypatch):
    monkeypatch.setattr(templates._environment, "loader", jinja2.DictLoader({"a": "{{ made_by.msb }}"}))
    with pytest.raises(jinja2.UndefinedError, match="msb"):
        render("a", Lone())


@pytest.mark.parametrize("context", [{"made_by": "x"}, None, Lone])
def test_a_context_is_a_dataclass_instance(context):
    with pytest.raises(TypeError, match="dataclass"):
        render("rtl/sources.f.j2", context)


@pytest.mark.parametrize("text", ["a\nmodule evil;", "a\rb", "a\x00", "a\u2028b", "\x1b[31m"])
def test_a_text_with_control_characters_is_refused(text):
    with pytest.raises(BitexpertError, match="made_by of Lone"):
        render("rtl/sources.f.j2", Lone(text))


def test_a_file_is_written_whole(tmp_path):
    target = tmp_path / "new" / "file.txt"
    write_text(target, "one")
    write_text(target, "two")
    assert target.read_text() == "two"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]
