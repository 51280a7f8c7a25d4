"""Emit the shell around an accelerator: its top modules, its cells, and what a driver has to know of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import BitexpertError
from ..hw import shell
from ..hw.graph import Dataflow
from .emit import HW, TOP, Choices, Port, axi_ports, choices, experts, fresh, summary
from .templates import render, write_text

__all__ = ["SHELL", "SHELL_CELLS", "Shell", "design_hash", "emit_shell"]

#: Module that holds the shell and the accelerator.
SHELL = "accelerator_shell"
#: Module with the shell alone, for an accelerator that is an IP of its own.
SHELL_ALONE = "accelerator_shell_alone"
SHELL_CELLS = (
    "bx_fifo",
    "bx_axilite",
    "bx_unpack",
    "bx_pack",
    "bx_meter",
    "bx_expert_meter",
    "bx_shell_registers",
    "bx_shell",
)
_HLS_BIT = 1


@dataclass(frozen=True)
class Word:
    """A word of the DMA."""

    bytes: int

    @property
    def msb(self) -> int:
        """Highest bit of TDATA."""
        return 8 * self.bytes - 1

    @property
    def keep_msb(self) -> int:
        """Highest bit of TKEEP."""
        return self.bytes - 1


@dataclass(frozen=True)
class Shell:
    """Context of templates/shell."""

    made_by: str
    summary: str
    shell: str
    top: str
    core: bool
    word: Word
    input: Port
    output: Port
    choices: Choices
    design_hash: str
    build: str


def build_word(core: bool, told: Choices) -> str:
    """Register BUILD, in hex: the HLS design's choices are not counted."""
    return f"{(len(told.layers) << 8 | told.experts << 16 if told.layers else 0) if core else _HLS_BIT:08x}"


def design_hash(graph: Dataflow) -> str:
    """128 bits, in hex, over what the accelerator computes and how its shell talks."""
    return hashlib.sha256(f"{shell.VERSION} {graph.digest()}".encode()).hexdigest()[:32]


def emit_shell(graph: Dataflow, folder: Path, made_by: str, *, word_bytes: int) -> dict[str, Shell]:
    """Write the shell.

    ``folder`` receives the cells, ``accelerator_shell.sv`` (with the accelerator of `emit_rtl` in it),
    ``accelerator_shell_alone.sv`` (for an accelerator that is an IP of its own, as that of Vitis HLS) and, for the
    driver, ``shell.json``.

    Parameters
    ----------
    graph : Dataflow
        Folded; one input and one output.
    folder : Path
        Created if missing; what an earlier call wrote there is replaced.
    made_by : str
        Goes into the head of every file.
    word_bytes : int
        Of a word of the DMA, both ways.

    Raises
    ------
    BitexpertError
        A graph with several inputs or outputs, or with more expert layers or experts than there are counters for.
    """
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise BitexpertError(
            f"the shell joins one input and one output to a DMA; the network has {len(graph.inputs)} and "
            f"{len(graph.outputs)}"
        )
    told = choices(graph)
    if len(told.layers) > shell.MAX_LAYERS or told.experts > shell.MAX_EXPERTS:
        raise BitexpertError(
            f"the network has {len(told.layers)} expert layers of up to {told.experts} experts; the shell counts "
            f"at most {shell.MAX_LAYERS} and {shell.MAX_EXPERTS}"
        )
    found = {
        name: Shell(
            made_by=made_by,
            summary=summary(graph),
            shell=name,
            top=TOP,
            core=name == SHELL,
            word=Word(word_bytes),
            input=axi_ports(graph, graph.inputs, "s")[0],
            output=axi_ports(graph, graph.outputs, "m")[0],
            choices=told,
            design_hash=design_hash(graph),
            build=build_word(name == SHELL, told),
        )
        for name in (SHELL, SHELL_ALONE)
    }
    fresh(folder)
    for cell in SHELL_CELLS:
        write_text(folder / f"{cell}.sv", (HW / "rtl" / f"{cell}.sv").read_text())
    for name, context in found.items():
        write_text(folder / f"{name}.sv", render("shell/accelerator_shell.sv.j2", context))
    write_text(folder / "shell.json", json.dumps(interface(graph, found[SHELL]), indent=2) + "\n")
    return found


def interface(graph: Dataflow, context: Shell) -> dict[str, object]:
    """What a driver has to know: of the design, its frames and its registers."""
    producers = graph.producers()

    def side(port: Port, stream: str) -> dict[str, object]:
        kind = graph.type_of(stream)
        return {
            "element": str(kind.element),
            "shape": list(kind.shape),
            "elements_per_beat": graph.per_beat(stream),
            "bits_per_element": kind.element.bits,
            "beat_bytes": port.beat_bytes,
            "beats": port.beats,
        }

    return {
        "interface": shell.VERSION,
        "design_hash": context.design_hash,
        "word_bytes": context.word.bytes,
        "input": side(context.input, graph.inputs[0]),
        "output": side(context.output, graph.outputs[0]),
        "expert_layers": [
            {"name": producers[stream][0].name, "experts": experts(producers[stream][0])}
            for stream in context.choices.layers
        ],
        "magic": shell.MAGIC,
        "registers": {name: asdict(register) for name, register in shell.REGISTERS.items()},
        "counters": {"base": shell.COUNTERS_BASE, "stride": shell.COUNTERS_STRIDE},
        "control": {bit.name: int(bit) for bit in shell.Control},
        "status": {bit.name: int(bit) for bit in shell.Status},
        "errors": {bit.name: int(bit) for bit in shell.Fault},
    }
