"""Pragmas that mean something, and DATAFLOW regions in the form that Vitis HLS asks for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from .language import is_stream
from .source import Finding, Function, Pragma, Source, callee, is_constant, loops, member_called, pragmas_of, walk

__all__ = ["pragma_findings", "region_findings", "top_findings"]

#: Pragma -> its options, and those that it must have.
PRAGMAS = {
    "ARRAY_PARTITION": ({"variable", "complete", "cyclic", "block", "factor", "dim", "type"}, {"variable"}),
    "ARRAY_RESHAPE": ({"variable", "complete", "cyclic", "block", "factor", "dim", "type"}, {"variable"}),
    "BIND_STORAGE": ({"variable", "type", "impl", "latency"}, {"variable", "type"}),
    "DATAFLOW": (set(), set()),
    "INLINE": (set(), set()),
    "INTERFACE": ({"mode", "port", "axis", "ap_ctrl_none", "register_mode"}, {"port"}),
    "LOOP_TRIPCOUNT": ({"min", "max", "avg"}, {"max"}),
    "PIPELINE": ({"ii"}, {"ii"}),
    "STREAM": ({"variable", "depth"}, {"variable", "depth"}),
    "UNROLL": ({"factor"}, set()),
}
OF_LOOPS = {"PIPELINE", "UNROLL", "LOOP_TRIPCOUNT"}
OF_FUNCTIONS = {"DATAFLOW", "INLINE", "INTERFACE", "STREAM"}
OF_ARRAYS = {"ARRAY_PARTITION", "ARRAY_RESHAPE", "BIND_STORAGE"}
NUMBERS = {"factor", "dim", "depth", "min", "max", "latency"}
READS = {"read", "read_nb", "empty"}
WRITES = {"write", "write_nb", "full"}


def _at(function: Function, line: int, rule: str, text: str, remedy: str) -> Finding:
    return Finding(str(function.file), line, rule, f"{text} in {function.name}", remedy)


# -- pragmas -----------------------------------------------------------------------------------------
def pragma_findings(source: Source) -> Iterator[Finding]:
    """Pragmas that are unknown, stand in the wrong place, or name nothing: a compiler passes over them in silence."""
    for function in source.functions:
        in_loops = [p for loop in loops(function.body) for p in pragmas_of(function, loop)]
        for pragma in function.pragmas:
            yield from _known(function, pragma)
            if pragma.name in OF_LOOPS and pragma not in in_loops:
                yield _at(function, pragma.line, "pragma", f"{pragma.name} outside a loop", "move it into its loop")
            if pragma.name in OF_FUNCTIONS and pragma in in_loops:
                remedy = "move it to the head of the function"
                yield _at(function, pragma.line, "pragma", f"{pragma.name} inside a loop", remedy)
            yield from _named(function, pragma)
            yield from _numbers(function, pragma)


def _known(function: Function, pragma: Pragma) -> Iterator[Finding]:
    if pragma.name not in PRAGMAS:
        remedy = f"known: {', '.join(sorted(PRAGMAS))}"
        yield _at(function, pragma.line, "pragma", f"unknown pragma {pragma.name}", remedy)
        return
    options, needed = PRAGMAS[pragma.name]
    for option in pragma.options.keys() - options:
        known = ", ".join(sorted(options)) or "none"
        yield _at(function, pragma.line, "pragma", f"{pragma.name} has no option {option}", f"its options: {known}")
    for option in needed - pragma.options.keys():
        yield _at(function, pragma.line, "pragma", f"{pragma.name} lacks {option}", f"write {option} = ...")


def _named(function: Function, pragma: Pragma) -> Iterator[Finding]:
    """The variable is there, and is what the pragma is for."""
    name = pragma.variable
    if not name or (pragma.name == "INTERFACE" and name == "return"):
        return
    candidates = [c for c in walk(function.cursor) if c.kind.name in ("VAR_DECL", "PARM_DECL") and c.spelling == name]
    if not [c for c in candidates if c.location.line < pragma.line]:
        text = f"{pragma.name} names {name}, which is declared nowhere above it"
        yield _at(function, pragma.line, "pragma", text, "name a variable or a parameter of this function")
    elif pragma.name in OF_ARRAYS and not any(_is_array(c.type) for c in candidates):
        yield _at(function, pragma.line, "pragma", f"{pragma.name} names {name}, which is no array", "name an array")
    elif pragma.name == "STREAM" and not any(is_stream(c.type) for c in candidates):
        yield _at(function, pragma.line, "pragma", f"STREAM names {name}, which is no stream", "name an hls::stream")


def _numbers(function: Function, pragma: Pragma) -> Iterator[Finding]:
    """Sizes are made of numbers, template parameters and constants."""
    known = {c.spelling for c in walk(function.cursor) if is_constant(c)}
    for option in NUMBERS & pragma.options.keys():
        unknown = set(re.findall(r"[A-Za-z_]\w*", pragma.options[option])) - known
        for name in sorted(unknown):
            text = f"{option} of {pragma.name} names {name}, which is no constant"
            yield _at(function, pragma.line, "pragma", text, "name a template parameter or a constexpr")


def _is_array(kind: Any) -> bool:
    if kind.kind.name == "PACKEXPANSION":
        return True
    return "[" in kind.spelling or "*" in kind.spelling


# -- regions -----------------------------------------------------------------------------------------
def region_findings(source: Source) -> Iterator[Finding]:
    """DATAFLOW regions: declarations and calls only, each channel with one writer and one reader."""
    for function in source.functions:
        if not any(p.name == "DATAFLOW" for p in function.pragmas):
            continue
        calls = []
        for statement in function.body.get_children():
            if statement.kind.name == "CALL_EXPR":
                calls.append(statement)
            elif statement.kind.name != "DECL_STMT":
                remedy = "leave declarations and calls only: what is between becomes a process of its own, or none"
                yield _at(function, statement.location.line, "dataflow", "a statement that is no call", remedy)
        yield from _channels(source, function, calls)


def _channels(source: Source, function: Function, calls: list[Any]) -> Iterator[Finding]:
    uses: dict[str, Counter[str]] = {}
    for call in calls:
        for position, name in enumerate(_arguments(call)):
            if name:
                direction = _direction(source, callee(call), position, frozenset())
                uses.setdefault(name, Counter())[direction] += 1
    for port in function.parameters:
        if is_stream(port.type):
            yield from _port(function, port, uses.get(port.spelling, Counter()))
    for variable in (c for c in walk(function.body) if c.kind.name == "VAR_DECL"):
        found = uses.get(variable.spelling, Counter())
        if is_stream(variable.type):
            yield from _stream(function, variable, found)
        elif _is_array(variable.type) and found.total() != 2:
            text = f"array {variable.spelling} does not lead from one process to another"
            remedy = "let one process write it and the next read it"
            yield _at(function, variable.location.line, "dataflow", text, remedy)


def _port(function: Function, port: Any, found: Counter[str]) -> Iterator[Finding]:
    if found["reads"] + found["writes"] != 1 or found.total() != 1:
        text = f"{found.total() or 'no'} process{'es use' if found.total() > 1 else ' uses'} the port {port.spelling}"
        yield _at(function, port.location.line, "dataflow", text, "let one process read it or write it")


def _stream(function: Function, stream: Any, found: Counter[str]) -> Iterator[Finding]:
    for direction in ("writes", "reads"):
        count = found[direction] + found["both"]
        if count != 1:
            plural = f"{count} processes {direction.removesuffix('s')}" if count else f"no process {direction}"
            remedy = "let one process write it and one read it; fork_stream copies it for more readers"
            yield _at(function, stream.location.line, "dataflow", f"{plural} {stream.spelling}", remedy)
    pragmas = [p for p in function.own("STREAM") if p.variable == stream.spelling]
    if len(pragmas) != 1:
        text = f"{stream.spelling} has {len(pragmas) or 'no'} STREAM pragmas"
        yield _at(function, stream.location.line, "stream depth", text, "write one, with its depth")


def _arguments(call: Any) -> list[str]:
    """Names of the variables that a call is given, "" for other expressions."""
    given = []
    for argument in list(call.get_children())[1:]:
        names = [c.spelling for c in walk(argument) if c.kind.name == "DECL_REF_EXPR"]
        given.append(names[0] if len(names) == 1 else "")
    return given


def _direction(source: Source, name: str, position: int, path: frozenset[str]) -> str:
    """What a function does with one of its streams: reads, writes, both or neither."""
    found: set[str] = set()
    for function in source.named(name):
        if not function.parameters or name in path:
            continue
        parameter = function.parameters[min(position, len(function.parameters) - 1)].spelling
        for call in (c for c in walk(function.body) if c.kind.name == "CALL_EXPR"):
            if method := member_called(call):
                if method[0] == parameter:
                    found |= {"reads"} if method[1] in READS else {"writes"} if method[1] in WRITES else set()
                continue
            for at, argument in enumerate(_arguments(call)):
                if argument == parameter:
                    inside = _direction(source, callee(call), at, path | {name})
                    found |= {"reads", "writes"} if inside == "both" else {inside} - {"neither"}
    return "both" if len(found) == 2 else found.pop() if found else "neither"


# -- the top -----------------------------------------------------------------------------------------
def top_findings(source: Source, top: str, depths: Mapping[str, int] | None) -> Iterator[Finding]:
    """The top function: one DATAFLOW region between AXI4-Streams, with the depths that the graph's FIFOs have."""
    functions = source.named(top)
    if not functions:
        yield Finding(str(source.files[0]), 1, "top", f"there is no function {top}", "emit the design again")
        return
    function = functions[0]
    if not function.own("DATAFLOW"):
        remedy = "write #pragma HLS DATAFLOW: without it the cells run one after the other"
        yield _at(function, function.line, "top", "no DATAFLOW", remedy)
    interfaces = {p.variable: p for p in function.own("INTERFACE")}
    for parameter in function.parameters:
        name = parameter.spelling
        if not is_stream(parameter.type):
            yield _at(function, parameter.location.line, "top", f"port {name} is no hls::stream", "make it one")
        elif name not in interfaces or not _is_axis(interfaces[name]):
            remedy = f"write #pragma HLS INTERFACE axis port = {name}"
            yield _at(function, parameter.location.line, "top", f"port {name} is no AXI4-Stream", remedy)
    if "return" not in interfaces or "ap_ctrl_none" not in interfaces["return"].options:
        remedy = "write #pragma HLS INTERFACE ap_ctrl_none port = return"
        yield _at(function, function.line, "top", "the design waits for a start signal", remedy)
    streams = {c.spelling: c for c in walk(function.body) if c.kind.name == "VAR_DECL" and is_stream(c.type)}
    given = {p.variable: p for p in function.own("STREAM")}
    for name, wanted in (depths or {}).items():
        if name not in streams:
            yield _at(function, function.line, "stream depth", f"there is no stream {name}", "emit the design again")
        elif name in given and given[name].options.get("depth") != str(wanted):
            text = f"{name} has depth {given[name].options.get('depth')}, the graph asks for {wanted}"
            yield _at(function, given[name].line, "stream depth", text, "emit the design again")
    for name in streams.keys() - depths.keys() if depths is not None else ():
        line = streams[name].location.line
        yield _at(function, line, "stream depth", f"the graph has no stream {name}", "emit the design again")


def _is_axis(pragma: Pragma) -> bool:
    return "axis" in pragma.options or pragma.options.get("mode") == "axis"
