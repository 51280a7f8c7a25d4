"""Loops: bounds that are known when the design is compiled, and one iteration a cycle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .source import Finding, Function, Source, callee, is_constant, loops, member_called, pragmas_of, tokens, walk

__all__ = ["loop_findings"]

UNROLLED = "UNROLL"
_ASSIGNING = {"UNARY_OPERATOR", "BINARY_OPERATOR", "COMPOUND_ASSIGNMENT_OPERATOR"}


def loop_findings(source: Source) -> Iterator[Finding]:
    """All loops that have no bound, or that do not start an iteration every cycle."""
    for function in source.functions:
        for loop in loops(function.body):
            yield from _bound(function, loop)
            yield from _pipeline(source, function, loop)


def _at(function: Function, loop: Any, rule: str, text: str, remedy: str) -> Finding:
    return Finding(str(function.file), loop.location.line, rule, f"{text} in {function.name}", remedy)


def _names(function: Function, loop: Any) -> list[str]:
    return [p.name for p in pragmas_of(function, loop)]


def _body(loop: Any) -> Any:
    """The statement that a loop repeats."""
    children = list(loop.get_children())
    return children[0] if loop.kind.name == "DO_STMT" else children[-1]


# -- bounds ------------------------------------------------------------------------------------------
def _is_constant(expression: Any) -> bool:
    """Whether only literals and constants stand in an expression."""
    named = (c for c in walk(expression) if c.kind.name in ("CALL_EXPR", "DECL_REF_EXPR"))
    return all(is_constant(c.referenced) for c in named)


def _bound(function: Function, loop: Any) -> Iterator[Finding]:
    count = [p for p in pragmas_of(function, loop) if p.name == "LOOP_TRIPCOUNT"]
    if loop.kind.name != "FOR_STMT":
        if not any({"min", "max"} <= p.options.keys() for p in count):
            remedy = "make it a for loop, or say its iterations: #pragma HLS LOOP_TRIPCOUNT min = ... max = ..."
            yield _at(function, loop, "loop bound", "a loop without a constant number of iterations", remedy)
        return
    if problem := _for_problem(loop):
        yield _at(function, loop, "loop bound", problem, "write for (int i = 0; i < CONSTANT; ++i)")


def _for_problem(loop: Any) -> str:
    parts = list(loop.get_children())
    if len(parts) != 4 or parts[0].kind.name != "DECL_STMT":
        return "a loop that lacks its counter, condition or step"
    counter = next(parts[0].get_children())
    start = [c for c in counter.get_children() if c.kind.is_expression()]
    if not start or not _is_constant(start[-1]):
        return f"the loop over {counter.spelling} starts at no constant"
    _, condition, step, body = parts
    sides = list(condition.get_children())
    if (
        condition.kind.name != "BINARY_OPERATOR"
        or tokens(condition)[0] != counter.spelling
        or not _is_constant(sides[-1])
    ):
        return f"the loop over {counter.spelling} ends at no constant"
    words = tokens(step)
    simple = len(words) == 2 and {"++", "--"} & set(words)
    constant_step = len(words) > 2 and words[0] == counter.spelling and words[1] in ("+=", "-=")
    if not simple and not (constant_step and _is_constant(list(step.get_children())[-1])):
        return f"the loop over {counter.spelling} has no constant step"
    if any(_changes(c, counter.spelling) for c in walk(body)):
        return f"the loop over {counter.spelling} changes it in its body"
    return ""


def _changes(cursor: Any, name: str) -> bool:
    words = tokens(cursor) if cursor.kind.name in _ASSIGNING else []
    if cursor.kind.name == "UNARY_OPERATOR":
        return len(words) == 2 and name in words and bool({"++", "--"} & set(words))
    return len(words) > 1 and words[0] == name and words[1].endswith("=") and words[1] not in ("==", "<=", ">=", "!=")


# -- pipelines ---------------------------------------------------------------------------------------
def _pipeline(source: Source, function: Function, loop: Any) -> Iterator[Finding]:
    names = _names(function, loop)
    inner = [c for c in loops(loop) if c != loop]
    if UNROLLED in names:
        if [p for p in pragmas_of(function, loop) if p.name == UNROLLED and p.options]:
            yield _at(function, loop, "pipeline", "a loop that is unrolled in part", "write #pragma HLS UNROLL alone")
        yield from _placed(function, loop, UNROLLED)
        yield from _unrolled_inside(function, loop, inner)
        return
    if "PIPELINE" in names:
        pragma = next(p for p in pragmas_of(function, loop) if p.name == "PIPELINE")
        if pragma.options != {"ii": "1"}:
            yield _at(function, loop, "pipeline", "a pipeline without II = 1", "write #pragma HLS PIPELINE II = 1")
        yield from _placed(function, loop, "PIPELINE")
        yield from _unrolled_inside(function, loop, inner)
        yield from _called_inside(source, function, loop)
        yield from _ports(function, loop)
        return
    if all(UNROLLED in _names(function, c) for c in inner):
        remedy = "write #pragma HLS PIPELINE II = 1, or UNROLL, as the first line of its body"
        yield _at(function, loop, "pipeline", "an innermost loop without a pipeline", remedy)
        return
    # a loop around a pipelined one: Vitis makes one loop of both only where nothing else stands between
    body = list(_body(loop).get_children())
    if len(body) != 1 or body[0] not in inner:
        remedy = "let the outer loop hold the inner one and nothing else, or count in one loop"
        yield _at(
            function, loop, "pipeline", "a loop that is not flattened: the pipeline inside drains each time", remedy
        )


def _placed(function: Function, loop: Any, name: str) -> Iterator[Finding]:
    pragma = next(p for p in pragmas_of(function, loop) if p.name == name)
    body = _body(loop)
    first = next(iter(body.get_children()), None)
    before = first is not None and first.extent.start.line < pragma.line
    if body.kind.name != "COMPOUND_STMT" or not body.extent.start.line < pragma.line <= body.extent.end.line or before:
        remedy = "let it be the first line between the loop's braces"
        yield _at(function, loop, "pipeline", f"{name} does not stand at the head of its loop", remedy)


def _unrolled_inside(function: Function, loop: Any, inner: list[Any]) -> Iterator[Finding]:
    for cursor in inner:
        if UNROLLED not in _names(function, cursor):
            text = f"a loop that is not unrolled, inside the one of line {loop.location.line},"
            yield _at(function, cursor, "pipeline", text, "write #pragma HLS UNROLL as the first line of its body")


def _called_inside(source: Source, function: Function, loop: Any) -> Iterator[Finding]:
    """What a pipelined loop calls must become a part of it."""
    pending = {callee(c) for c in walk(loop) if c.kind.name == "CALL_EXPR" and member_called(c) is None}
    done: set[str] = set()
    while pending:
        name = pending.pop()
        done.add(name)
        for called in source.named(name):
            if not called.own("INLINE"):
                text = f"{name}, which a pipeline calls, is not inlined"
                yield _at(called, called.cursor, "pipeline", text, "write #pragma HLS INLINE as its first line")
            yield from _unrolled_inside(called, loop, loops(called.body))
            pending |= {callee(c) for c in walk(called.body) if c.kind.name == "CALL_EXPR"} - done


def _ports(function: Function, loop: Any) -> Iterator[Finding]:
    """A FIFO gives and takes one beat a cycle."""
    accesses = {m for c in walk(loop) if c.kind.name == "CALL_EXPR" and (m := member_called(c))}
    for stream, method in sorted(accesses):
        if method in ("read", "write") and _most(_body(loop), (stream, method)) > 1:
            text = f"an iteration has two accesses {stream}.{method}()"
            yield _at(function, loop, "pipeline", text, "spread them over iterations: a stream moves one beat a cycle")


def _most(cursor: Any, access: tuple[str, str]) -> int:
    """Most accesses on any way through a statement."""
    children = list(cursor.get_children())
    if cursor.kind.name in ("IF_STMT", "CONDITIONAL_OPERATOR"):
        condition, *branches = children
        return _most(condition, access) + max(_most(b, access) for b in branches)
    count = int(cursor.kind.name == "CALL_EXPR" and member_called(cursor) == access)
    count += sum(_most(c, access) for c in children)
    # an access in a loop that is unrolled stands there once an iteration
    return 2 * count if cursor.kind.name == "FOR_STMT" else count
