"""Emit a folded graph as a complete RTL design and a complete Vitis HLS design."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..errors import BitexpertError
from ..hw.cells import Memory, RtlCell
from ..hw.graph import Dataflow, Node
from ..hw.ops.fifo import Fifo
from ..hw.ops.gate import Gate
from ..hw.types import StreamType
from .csynth import Promise, promise
from .templates import render, write_text

__all__ = [
    "TOP",
    "Choices",
    "Port",
    "axi_ports",
    "check_names",
    "choices",
    "emit_hls",
    "emit_rtl",
    "experts",
    "fresh",
    "summary",
]

TOP = "accelerator"
# AP_INT_MAX_W of Vitis HLS, and of hw/hls/stream_types.hpp
HLS_MAX_BITS = 4096
HW = Path(__file__).parents[1] / "hw"
# `_<digit>` is in no keyword of C++, SystemVerilog or TCL
_SAFE = re.compile(r"(?=.*_[0-9])[a-z][a-z0-9_]*")
_PART = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Port:
    """One AXI4-Stream of the accelerator, padded to whole bytes."""

    prefix: str
    stream: str
    bits: int
    axis_bits: int
    beats: int

    @property
    def msb(self) -> int:
        """Highest bit of a beat."""
        return self.bits - 1

    @property
    def axis_msb(self) -> int:
        """Highest bit of TDATA."""
        return self.axis_bits - 1

    @property
    def padding(self) -> int:
        """Bits that fill a beat up to whole bytes."""
        return self.axis_bits - self.bits

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat."""
        return self.axis_bits // 8

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame on the AXI4-Stream."""
        return self.beats * self.beat_bytes


@dataclass(frozen=True)
class Stream:
    """One stream inside the accelerator."""

    name: str
    bits: int
    beats: int
    depth: int
    text: str

    @property
    def msb(self) -> int:
        """Highest bit of a beat."""
        return self.bits - 1


@dataclass(frozen=True)
class Instance:
    """One instance of an RTL cell."""

    name: str
    module: str
    text: str
    parameters: tuple[tuple[str, str], ...]
    ports: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Choices:
    """The choices of all expert layers, told to what counts them.

    Attributes
    ----------
    layers : tuple of str
        The streams on which gates send their choices, in the graph's order.
    widths : tuple of int
        Bits of a choice on each of them.
    experts : int
        Of the layer that has the most.
    """

    layers: tuple[str, ...] = ()
    widths: tuple[int, ...] = ()
    experts: int = 1

    @property
    def bits(self) -> int:
        """Of one layer's choice, as it is told."""
        return max(self.widths, default=1)

    @property
    def msb(self) -> int:
        """Highest bit of all choices, the first layer's in the low bits."""
        return self.bits * len(self.layers) - 1

    @property
    def last(self) -> int:
        """Number of the last layer."""
        return len(self.layers) - 1

    @property
    def values(self) -> str:
        """All choices as one Verilog expression."""
        parts = []
        for stream, width in zip(self.layers, self.widths, strict=True):
            data = f"{stream}_tdata"
            parts.append(data if width == self.bits else f"{{{self.bits - width}'d0, {data}}}")
        return "{" + ", ".join(reversed(parts)) + "}"

    @property
    def strobes(self) -> str:
        """Which of them are made in this cycle, as a Verilog expression."""
        return "{" + ", ".join(f"{s}_tvalid && {s}_tready" for s in reversed(self.layers)) + "}"


@dataclass(frozen=True)
class Design:
    """What every emitted design has."""

    made_by: str
    summary: str
    top: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    streams: tuple[Stream, ...]


@dataclass(frozen=True)
class RtlDesign(Design):
    """Context of templates/rtl and templates/sim."""

    instances: tuple[Instance, ...]
    files: tuple[str, ...]
    memories: tuple[str, ...]
    choices: Choices


@dataclass(frozen=True)
class Table:
    """One constant array of the HLS design."""

    name: str
    width: int
    depth: int
    words: tuple[str, ...]

    @property
    def word_type(self) -> str:
        """C++ type of what stands for a word: a number, or its digits where it is too wide for one."""
        return "unsigned long long" if self.width <= 64 else "char* const"


@dataclass(frozen=True)
class Call:
    """One call in the HLS design's dataflow region."""

    text: str
    function: str
    template_args: str
    arguments: str


@dataclass(frozen=True)
class HlsDesign(Design):
    """Context of templates/hls."""

    calls: tuple[Call, ...]
    headers: tuple[str, ...]
    tables: tuple[Table, ...]
    part: str
    clock_ns: float
    promise: Promise


def check_names(graph: Dataflow) -> None:
    """Raise BitexpertError unless every name in the graph may stand in generated code as it is."""
    for name in (*graph.streams(), *(n.name for n in graph.nodes)):
        if not _SAFE.fullmatch(name):
            raise BitexpertError(f"{name!r} is not a safe identifier; make names with hw.identifiers.identifier")


def axi_ports(graph: Dataflow, streams: tuple[str, ...], prefix: str) -> tuple[Port, ...]:
    """The AXI4-Streams of an accelerator's inputs or outputs."""
    ports = []
    for i, stream in enumerate(streams):
        bits = graph.beat_bits(stream)
        name = f"{prefix}_axis" if len(streams) == 1 else f"{prefix}{i}_axis"
        beats = graph.type_of(stream).beats(graph.per_beat(stream))
        ports.append(Port(name, stream, bits, 8 * -(-bits // 8), beats))
    return tuple(ports)


def _stream(graph: Dataflow, name: str, depth: int = 0) -> Stream:
    kind: StreamType = graph.type_of(name)
    per_beat = graph.per_beat(name)
    return Stream(name, kind.beat_bits(per_beat), kind.beats(per_beat), depth, f"{kind}, {per_beat} a beat")


def _describe(node: Node) -> str:
    # checked here, because it goes into a comment and the folding may come from a file
    folding = ", ".join(f"{k}={v}" for k, v in node.op.check_folding(node.name, node.folding).items())
    return f"{node.op.kind} {node.name}{': ' + folding if folding else ''}"


def summary(graph: Dataflow) -> str:
    """One line on a graph, for the head of a generated file."""
    operators = sum(not n.op.plumbing for n in graph.nodes)
    return f"{operators} operators, input {graph.type_of(graph.inputs[0])}, output {graph.type_of(graph.outputs[0])}"


def _stream_ports(prefixes: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Port connections; ``m_axis[0]``, ``m_axis[1]`` are slices of one vector port, slice 0 in the low bits."""
    grouped: dict[str, list[str]] = {}
    for prefix, stream in prefixes:
        grouped.setdefault(prefix.split("[")[0], []).append(stream)
    ports = []
    for prefix, streams in grouped.items():
        for suffix in ("tdata", "tvalid", "tready"):
            signals = [f"{s}_{suffix}" for s in reversed(streams)]
            ports.append((f"{prefix}_{suffix}", signals[0] if len(signals) == 1 else "{" + ", ".join(signals) + "}"))
    return ports


def choices(graph: Dataflow) -> Choices:
    """What the expert layers of a graph tell of their choices."""
    gates = [node for node in graph.nodes if isinstance(node.op, Gate)]
    if not gates:
        return Choices()
    streams = tuple(node.outputs[0] for node in gates)
    return Choices(streams, tuple(graph.beat_bits(s) for s in streams), max(experts(node) for node in gates))


def experts(gate: Node) -> int:
    """How many a Gate chooses from."""
    assert isinstance(gate.op, Gate)
    return gate.op.experts


def emit_rtl(graph: Dataflow, folder: Path, made_by: str) -> RtlDesign:
    """Write the RTL design.

    ``folder`` receives ``accelerator.sv``, the cells it uses, one ``.mem`` file a memory, ``sources.f`` and
    ``sim/`` with what the Verilator testbench includes.

    Parameters
    ----------
    graph : Dataflow
        Folded.
    folder : Path
        Created if missing; what an earlier call wrote there is replaced.
    made_by : str
        Goes into the head of every file.

    Raises
    ------
    BitexpertError
        A name or a folding that must not stand in generated text.
    """
    check_names(graph)
    cells: list[str] = ["bx_frame_last"]
    memories: dict[str, Memory] = {}
    instances = []
    for node in graph.nodes:
        cell: RtlCell = node.op.rtl(node.folding)
        for module in (*cell.submodules, cell.module):
            if module not in cells:
                cells.append(module)
        parameters = [(k, str(v)) for k, v in cell.parameters.items()]
        for parameter, memory in cell.memories.items():
            file = f"{node.name}_{parameter.lower()}.mem"
            memories[file] = memory
            parameters.append((parameter, f'"{file}"'))
        ports = _stream_ports(
            [*zip(cell.inputs, node.inputs, strict=True), *zip(cell.outputs, node.outputs, strict=True)]
        )
        instances.append(Instance(node.name, cell.module, _describe(node), tuple(parameters), tuple(ports)))
    design = RtlDesign(
        made_by=made_by,
        summary=summary(graph),
        top=TOP,
        inputs=axi_ports(graph, graph.inputs, "s"),
        outputs=axi_ports(graph, graph.outputs, "m"),
        streams=tuple(_stream(graph, s) for s in graph.streams()),
        instances=tuple(instances),
        files=(*(f"{cell}.sv" for cell in cells), f"{TOP}.sv"),
        memories=tuple(memories),
        choices=choices(graph),
    )
    fresh(folder)
    for cell_name in cells:
        write_text(folder / f"{cell_name}.sv", (HW / "rtl" / f"{cell_name}.sv").read_text())
    for file, memory in memories.items():
        write_text(folder / file, memory.readmemh())
    write_text(folder / f"{TOP}.sv", render("rtl/accelerator.sv.j2", design))
    write_text(folder / "sources.f", render("rtl/sources.f.j2", design))
    for file in ("public.vlt", "design.inc", "beats.inc"):
        write_text(folder / "sim" / file, render(f"sim/{file}.j2", design))
    return design


def _check_widths(graph: Dataflow) -> None:
    """Refuse beats that an ap_uint of Vitis HLS cannot hold."""
    producers = graph.producers()
    for stream in graph.streams():
        bits = graph.beat_bits(stream)
        if bits > HLS_MAX_BITS:
            writer = producers[stream][0].name if stream in producers else "the input"
            raise BitexpertError(
                f"{writer} sends {bits} bits a beat, Vitis HLS takes at most {HLS_MAX_BITS}; fold it with a smaller PE"
            )


def emit_hls(graph: Dataflow, folder: Path, made_by: str, *, part: str, clock_ns: float) -> HlsDesign:
    """Write the Vitis HLS design: ``accelerator.cpp``, the cells' headers, tables, testbench and the scripts.

    A Fifo becomes the depth of a stream, so the streams carry the names of the Fifos' inputs.

    Parameters
    ----------
    graph : Dataflow
        Folded.
    folder : Path
        Created if missing; what an earlier call wrote there is replaced.
    made_by : str
        Goes into the head of every file.
    part : str
        Vivado's part name.
    clock_ns : float
        Clock period in nanoseconds.

    Raises
    ------
    BitexpertError
        A name, a part or a folding that must not stand in generated text.
    """
    check_names(graph)
    if not _PART.fullmatch(part):
        raise BitexpertError(f"{part!r} is no part name of Vivado's")
    alias: dict[str, str] = {}
    depth: dict[str, int] = {}
    for node in graph.nodes:
        if isinstance(node.op, Fifo):
            alias[node.outputs[0]] = alias.get(node.inputs[0], node.inputs[0])
            depth[alias[node.outputs[0]]] = node.op.depth
    _check_widths(graph)
    headers, calls, tables = {"axis.hpp"}, [], []
    pipelines = set()
    for node in graph.nodes:
        call = node.op.hls(node.folding)
        if call is None:
            continue
        headers.add(call.header)
        if node.op.hls_steps(node.folding) > 1:  # else Vitis HLS leaves no loop
            pipelines.add((call.function, tuple(call.template_args)))
        inputs = [alias.get(s, s) for s in node.inputs]
        for stream, extra in zip(inputs, call.extra_input_depth, strict=False):
            depth[stream] = depth.get(stream, 2) + extra
        names = []
        for table, memory in call.tables.items():
            names.append(f"{node.name}_{table}")
            words = tuple(f"0x{w:x}ULL" if memory.width <= 64 else f'"0x{w:x}"' for w in memory.words)
            tables.append(Table(names[-1], memory.width, len(words), words))
        arguments = ", ".join([*inputs, *node.outputs, *names])
        calls.append(Call(_describe(node), call.function, ", ".join(map(str, call.template_args)), arguments))
    streams = [s for s in graph.streams() if s not in alias]
    outputs = tuple(alias.get(s, s) for s in graph.outputs)
    design = HlsDesign(
        made_by=made_by,
        summary=summary(graph),
        top=TOP,
        inputs=axi_ports(graph, graph.inputs, "s"),
        outputs=axi_ports(graph, outputs, "m"),
        streams=tuple(_stream(graph, s, depth.get(s, 2)) for s in streams),
        calls=tuple(calls),
        headers=tuple(sorted(headers)),
        tables=tuple(tables),
        part=part,
        clock_ns=clock_ns,
        promise=promise(graph, len(pipelines)),
    )
    fresh(folder)
    for header in (*design.headers, "stream_types.hpp"):
        write_text(folder / "bx" / header, (HW / "hls" / header).read_text())
    for file in (f"{TOP}.cpp", f"{TOP}.hpp", "tables.hpp", "run_hls.tcl", "check_csynth.tcl"):
        write_text(folder / file, render(f"hls/{file}.j2", design))
    write_text(folder / "tb" / "testbench.cpp", render("hls/testbench.cpp.j2", design))
    return design


def fresh(folder: Path) -> None:
    """Make a folder, empty; what an earlier run left there goes."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
