"""The part of C++ that Vitis HLS turns into hardware: what must not stand in a design."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .source import FUNCTIONS, Finding, Function, Source, callee, file_of, member_called, tokens, walk

__all__ = ["is_stream", "language_findings"]

#: Kind of cursor -> rule, what it is, remedy.
FORBIDDEN = {
    "CXX_NEW_EXPR": ("dynamic memory", "new", "declare an array of constant size"),
    "CXX_DELETE_EXPR": ("dynamic memory", "delete", "declare an array of constant size"),
    "CXX_THROW_EXPR": ("exception", "throw", "check with static_assert, or in the Python that emits the design"),
    "CXX_TRY_STMT": ("exception", "try", "check with static_assert, or in the Python that emits the design"),
    "CXX_TYPEID_EXPR": ("run-time type", "typeid", "choose with a template parameter"),
    "CXX_DYNAMIC_CAST_EXPR": ("run-time type", "dynamic_cast", "choose with a template parameter"),
    "GOTO_STMT": ("goto", "goto", "use a loop or an if"),
    "INDIRECT_GOTO_STMT": ("goto", "goto", "use a loop or an if"),
}
ALLOCATORS = {"malloc", "calloc", "realloc", "free", "alloca"}
# What a design may include; all other headers are for its simulation.
HEADERS = {"ap_int.h", "hls_stream.h", "ap_axi_sdata.h"}
REFERENCES = {"DECL_REF_EXPR", "TYPE_REF", "TEMPLATE_REF", "MEMBER_REF_EXPR", "OVERLOADED_DECL_REF", "NAMESPACE_REF"}
#: Where a call is worked out by the compiler.
CONSTANT_PLACES = {"STATIC_ASSERT", "TEMPLATE_NON_TYPE_PARAMETER"}


def language_findings(source: Source) -> Iterator[Finding]:
    """All places that leave the synthesizable subset."""
    yield from _includes(source)
    yield from _globals(source)
    for function in source.functions:
        yield from _forbidden(source, function)
        yield from _variables(function)
    yield from _recursion(source)


def _at(cursor: Any, rule: str, text: str, remedy: str) -> Finding:
    return Finding(str(cursor.location.file), cursor.location.line, rule, text, remedy)


def _includes(source: Source) -> Iterator[Finding]:
    for cursor in source.cursor.get_children():
        if cursor.kind.name != "INCLUSION_DIRECTIVE" or not source.owns(cursor):
            continue
        written = tokens(cursor)
        if "<" in written and cursor.spelling not in HEADERS:
            remedy = "put it, and what needs it, between #ifndef __SYNTHESIS__ and #endif"
            yield _at(cursor, "library", f"<{cursor.spelling}> is no header of Vitis HLS", remedy)


def _outside(source: Source, cursor: Any) -> bool:
    """Whether a declaration comes from a library that is not for synthesis."""
    place = file_of(cursor)
    if place is None or cursor.spelling.startswith("__builtin_"):
        return cursor.kind.name in FUNCTIONS
    return not source.owns(cursor) and not place.name.startswith(("ap_", "hls_"))


def _forbidden(source: Source, function: Function) -> Iterator[Finding]:
    if function.cursor.kind.name == "CXX_METHOD" and function.cursor.is_virtual_method():
        yield _at(function.cursor, "virtual", f"{function.name} is virtual", "choose with a template parameter")
    seen = set()
    for cursor in walk(function.cursor):
        if cursor.kind.name in FORBIDDEN:
            rule, what, remedy = FORBIDDEN[cursor.kind.name]
            yield _at(cursor, rule, f"{what} in {function.name}", remedy)
        if cursor.kind.name == "CALL_EXPR" and callee(cursor) in ALLOCATORS:
            yield _at(
                cursor, "dynamic memory", f"{callee(cursor)} in {function.name}", "declare an array of constant size"
            )
        elif cursor.kind.name in REFERENCES:
            target = cursor.referenced
            place = (cursor.location.line, cursor.spelling)
            if target is None or place in seen or target.spelling in ALLOCATORS or not _outside(source, target):
                continue
            seen.add(place)
            remedy = "use ap_int and hls::stream, or put it between #ifndef __SYNTHESIS__ and #endif"
            yield _at(cursor, "library", f"{cursor.spelling} in {function.name} is not for synthesis", remedy)


def _function_pointer(kind: Any) -> bool:
    kind = kind.get_canonical()
    while kind.kind.name in ("LVALUEREFERENCE", "CONSTANTARRAY", "INCOMPLETEARRAY", "DEPENDENTSIZEDARRAY"):
        kind = (kind.get_pointee() if kind.kind.name == "LVALUEREFERENCE" else kind.element_type).get_canonical()
    if kind.kind.name == "MEMBERPOINTER":
        return True
    return kind.kind.name == "POINTER" and kind.get_pointee().get_canonical().kind.name.startswith("FUNCTION")


def is_stream(kind: Any) -> bool:
    """Whether a type is an hls::stream or a reference to one."""
    return kind.spelling.removeprefix("const ").startswith(("hls::stream<", "stream<"))


def _can_change(kind: Any) -> bool:
    while kind.kind.name in ("CONSTANTARRAY", "INCOMPLETEARRAY", "DEPENDENTSIZEDARRAY"):
        kind = kind.element_type
    return not kind.is_const_qualified()


def _variables(function: Function) -> Iterator[Finding]:
    top = bool(function.own("DATAFLOW"))
    for cursor in walk(function.cursor):
        if cursor.kind.name not in ("VAR_DECL", "PARM_DECL"):
            continue
        where = f"{cursor.spelling} in {function.name}"
        if _function_pointer(cursor.type):
            yield _at(cursor, "function pointer", f"{where} points to a function", "choose with a template parameter")
        if cursor.type.kind.name == "VARIABLEARRAY":
            yield _at(cursor, "dynamic memory", f"{where} has no constant size", "give it a constexpr size")
        kept = cursor.storage_class.name == "STATIC" and _can_change(cursor.type)
        if kept and not (top and is_stream(cursor.type)):
            remedy = "declare it without static: a frame must leave nothing behind"
            yield _at(cursor, "static state", f"{where} keeps its value between frames", remedy)


def _globals(source: Source) -> Iterator[Finding]:
    stack = list(source.cursor.get_children())
    while stack:
        cursor = stack.pop()
        if cursor.kind.name == "NAMESPACE" and source.owns(cursor):
            stack += cursor.get_children()
        elif cursor.kind.name == "VAR_DECL" and source.owns(cursor):
            if _can_change(cursor.type):
                yield _at(cursor, "static state", f"the global {cursor.spelling} can change", "make it const, or local")
            if _function_pointer(cursor.type):
                text = f"the global {cursor.spelling} points to a function"
                yield _at(cursor, "function pointer", text, "choose with a template parameter")


def _recursion(source: Source) -> Iterator[Finding]:
    """Calls that lead back to their caller, but for constant expressions and templates that call another instance."""
    names = {f.name for f in source.functions}
    constant = {f.name for f in source.functions if "constexpr" in tokens(f.cursor)[:40]}
    calls: dict[str, dict[str, Any]] = {}
    for function in source.functions:
        for call, fixed in _calls(function.body, False):
            name = "" if member_called(call) else callee(call)
            if name not in names or (name in constant and (fixed or function.name in constant)):
                continue
            if name == function.name and _other_instance(function, call):
                continue
            calls.setdefault(function.name, {}).setdefault(name, call)
    for name in constant:
        # called while the hardware runs, it recurses like any other
        reached_by = [call for caller, targets in calls.items() if (call := targets.get(name)) and caller != name]
        recursive = any(callee(c) == name for f in source.named(name) for c, _ in _calls(f.body, False))
        for call in reached_by if recursive else []:
            yield _at(
                call, "recursion", f"{name} calls itself", "use it in constant expressions only, or make it a loop"
            )
    for name in sorted(calls):
        path = _way_back(calls, name)
        if path and name == min(path):
            text = " calls ".join([*path, name]) if len(path) > 1 else f"{name} calls itself"
            yield _at(calls[name][path[1] if len(path) > 1 else name], "recursion", text, "make it a loop")


def _calls(cursor: Any, fixed: bool) -> Iterator[tuple[Any, bool]]:
    """(call, whether the compiler works it out) below a cursor."""
    if cursor.kind.name == "CALL_EXPR":
        yield cursor, fixed
    variable = cursor.kind.name == "VAR_DECL"
    fixed = fixed or cursor.kind.name in CONSTANT_PLACES or (variable and "constexpr" in tokens(cursor)[:3])
    for child in cursor.get_children():
        of_type = variable and child.extent.start.offset < cursor.location.offset
        yield from _calls(child, fixed or of_type)


def _other_instance(function: Function, call: Any) -> bool:
    """Whether a template calls itself with other arguments: that ends while it is compiled, or does not compile."""
    if function.cursor.kind.name != "FUNCTION_TEMPLATE":
        return False
    first = next(iter(call.get_children()), None)
    return first is not None and any(c.kind.name == "BINARY_OPERATOR" for c in walk(first))


def _way_back(calls: dict[str, dict[str, Any]], start: str) -> list[str]:
    """A shortest chain of calls from a function back to itself: its functions, without the last; empty if none."""
    paths = [[start]]
    seen: set[str] = set()
    for path in paths:
        for target in calls.get(path[-1], {}):
            if target == start:
                return path
            if target not in seen:
                seen.add(target)
                paths.append([*path, target])
    return []
