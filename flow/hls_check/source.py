"""Vitis HLS C++ as clang reads it: functions, the pragmas in them, and where both stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ...sim.toolchain import CPP, ToolError, ap_types, compiler, run_tool
from ..emit import HLS_MAX_BITS

__all__ = [
    "Finding",
    "Function",
    "Pragma",
    "Source",
    "callee",
    "file_of",
    "is_constant",
    "loops",
    "member_called",
    "parse",
    "pragmas_of",
    "tokens",
    "walk",
]

# The headers of ap_int are read as a simulation has them: what they hold for synthesis is for Vitis' own compiler. All
# that follows is read as Vitis reads it.
PRELUDE = f"""
#define AP_INT_MAX_W {HLS_MAX_BITS}
#include <ap_int.h>
#include <hls_stream.h>
#include <ap_axi_sdata.h>
#define __SYNTHESIS__
"""
UNIT = "hls_check.cpp"
FUNCTIONS = ("FUNCTION_DECL", "FUNCTION_TEMPLATE", "CXX_METHOD", "CONSTRUCTOR", "DESTRUCTOR", "CONVERSION_FUNCTION")
_PRAGMA = re.compile(r"\s*#\s*pragma\s+HLS\s+(\w+)\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class Finding:
    """A place that Vitis HLS would refuse, or would make something else of than is meant."""

    file: str
    line: int
    rule: str
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.text}; {self.remedy}"


@dataclass(frozen=True)
class Pragma:
    """One ``#pragma HLS``; the name in capitals, the options' names in lower case, "" for one without a value."""

    file: Path
    line: int
    name: str
    options: dict[str, str]

    @property
    def variable(self) -> str:
        """What it is about, if it names something."""
        return self.options.get("variable") or self.options.get("port", "")


@dataclass(frozen=True)
class Function:
    """A function, or a template of one, that has a body."""

    name: str
    file: Path
    line: int
    cursor: Any
    body: Any
    parameters: list[Any]
    pragmas: list[Pragma]

    def own(self, *names: str) -> list[Pragma]:
        """The pragmas of these names that stand in no loop of the function."""
        inside = [p for loop in loops(self.body) for p in pragmas_of(self, loop)]
        return [p for p in self.pragmas if p.name in names and p not in inside]


@dataclass(frozen=True)
class Source:
    """All files of a design that clang has read."""

    files: list[Path]
    cursor: Any
    functions: list[Function]
    findings: list[Finding]

    def owns(self, cursor: Any) -> bool:
        """Whether something stands in one of the design's files."""
        return file_of(cursor) in self.files

    def named(self, name: str) -> list[Function]:
        """The functions of a name; several where it is overloaded."""
        return [f for f in self.functions if f.name == name]


def walk(cursor: Any) -> Iterator[Any]:
    """A cursor and all below it, in the order of the text."""
    yield cursor
    for child in cursor.get_children():
        yield from walk(child)


@cache
def _resolved(name: str) -> Path:
    return Path(name).resolve()


def file_of(cursor: Any) -> Path | None:
    """Where something stands; None for what the compiler brings itself."""
    place = cursor.location.file
    return None if place is None else _resolved(place.name)


def tokens(cursor: Any) -> list[str]:
    """The words of a piece of source."""
    return [t.spelling for t in cursor.get_tokens()]


def is_constant(declaration: Any) -> bool:
    """Whether a name stands for a value that the compiler knows: of a template, an enum or a constexpr."""
    if declaration is None or declaration.kind.name in ("TEMPLATE_NON_TYPE_PARAMETER", "ENUM_CONSTANT_DECL"):
        return declaration is not None
    return declaration.kind.name in ("VAR_DECL", *FUNCTIONS) and "constexpr" in tokens(declaration)[:40]


def loops(cursor: Any) -> list[Any]:
    """All loops below a cursor."""
    return [c for c in walk(cursor) if c.kind.name in ("FOR_STMT", "WHILE_STMT", "DO_STMT", "CXX_FOR_RANGE_STMT")]


def pragmas_of(function: Function, loop: Any) -> list[Pragma]:
    """The pragmas that stand in a loop, and in none inside it."""
    inner = [c.extent for c in loops(loop) if c != loop]
    return [
        p
        for p in function.pragmas
        if loop.extent.start.line <= p.line <= loop.extent.end.line
        and not any(e.start.line <= p.line <= e.end.line for e in inner)
    ]


def callee(call: Any) -> str:
    """Name of the function that a call names, also where a template leaves open which overload it is."""
    if call.spelling:
        return call.spelling
    for child in call.get_children():
        for cursor in walk(child):
            if cursor.kind.name in ("OVERLOADED_DECL_REF", "DECL_REF_EXPR") and cursor.spelling:
                return cursor.spelling
        break
    return ""


def member_called(call: Any) -> tuple[str, str] | None:
    """(object, method) of a call ``object.method(...)`` on a plain variable, else None."""
    for child in call.get_children():
        if child.kind.name != "MEMBER_REF_EXPR":
            return None
        objects = [c.spelling for c in walk(child) if c.kind.name == "DECL_REF_EXPR"]
        words = tokens(child)
        return (objects[0], child.spelling or words[-1]) if objects and words else None
    return None


def parse(files: list[Path], include: list[Path]) -> Source:
    """Read a design with clang.

    Parameters
    ----------
    files : list of Path
        What is compiled; what they include belongs to the design if it lies in one of their folders.
    include : list of Path
        Further folders for ``#include "..."``.

    Raises
    ------
    ToolError
        libclang or the C++ compiler, whose standard headers are read, is missing.
    """
    try:
        from clang import cindex
    except ImportError:
        raise ToolError(
            "the Python package libclang is missing, the check of HLS sources needs it: pip install libclang==18.1.1"
        ) from None
    roots = {path.resolve().parent for path in files}
    found = run_tool([compiler(), "-print-file-name=include"], "asking the C++ compiler for its headers")
    system = [str(CPP), str(ap_types()), found.stdout.strip()]
    args = [
        "-std=c++14",
        "-Wno-everything",
        "-ferror-limit=0",
        *(f"-I{p.resolve()}" for p in include),
        *(f"-isystem{p}" for p in system),
    ]
    unit = str(next(iter(sorted(roots))) / UNIT)
    text = PRELUDE + "".join(f'#include "{path.resolve()}"\n' for path in files)
    tree = cindex.Index.create().parse(
        unit, args=args, unsaved_files=[(unit, text)], options=cindex.TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD
    )
    own = {Path(i.include.name).resolve() for i in tree.get_includes()}
    own = {p for p in own if any(root in p.parents for root in roots)}
    findings = [
        Finding(str(d.location.file), d.location.line, "parse", d.spelling, "mend the C++")
        for d in tree.diagnostics
        if d.severity >= cindex.Diagnostic.Error
    ]
    pragmas = {path: _pragmas(path) for path in sorted(own)}
    functions = list(_functions(tree.cursor, pragmas))
    return Source(sorted(own), tree.cursor, functions, findings)


def _pragmas(path: Path) -> list[Pragma]:
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if match := _PRAGMA.match(line.split("//")[0]):
            name, rest = match.groups()
            words = re.sub(r"\s*=\s*", "=", rest).split()
            options = {key.lower(): value for key, _, value in (word.partition("=") for word in words)}
            found.append(Pragma(path, number, name.upper(), options))
    return found


def _functions(root: Any, pragmas: dict[Path, list[Pragma]]) -> Iterator[Function]:
    for cursor in root.get_children():
        if cursor.kind.name in ("NAMESPACE", "CLASS_DECL", "STRUCT_DECL", "CLASS_TEMPLATE", "LINKAGE_SPEC"):
            if cursor.kind.name == "NAMESPACE" or file_of(cursor) in pragmas:
                yield from _functions(cursor, pragmas)
            continue
        path = file_of(cursor)
        if cursor.kind.name not in FUNCTIONS or path not in pragmas:
            continue
        children = list(cursor.get_children())
        bodies = [c for c in children if c.kind.name == "COMPOUND_STMT"]
        if bodies:
            lines = cursor.extent.start.line, cursor.extent.end.line
            inside = [p for p in pragmas[path] if lines[0] <= p.line <= lines[1]]
            parameters = [c for c in children if c.kind.name == "PARM_DECL"]
            yield Function(cursor.spelling, path, cursor.location.line, cursor, bodies[0], parameters, inside)
