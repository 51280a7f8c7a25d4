"""The netlist rung: what synthesis made of the RTL, simulated at the level of LUTs, flip-flops and block RAMs.

Yosys' models stand for the primitives, except for the block RAMs, of whose behaviour Yosys has none: these are in
the folder ``netlist``.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from .toolchain import ToolError
from .yosys import NETLIST, primitive_models

__all__ = ["netlist_design", "primitives"]

OWN_MODELS = Path(__file__).parent / "netlist"
#: Primitive -> the files of ours that model it.
OWN = {"RAMB18E1": ("RAMB18E1.v", "block_ram.v"), "RAMB36E1": ("RAMB36E1.v", "block_ram.v")}
_MODULE = re.compile(r"^module\s+([A-Za-z_]\w*)\s*\(.*?^endmodule\b", re.MULTILINE | re.DOTALL)
_BEHAVIOUR = re.compile(r"\b(assign|always)\b")


def primitives(cells: Iterable[str]) -> str:
    """Verilog models of the given primitives of the 7-series.

    Raises
    ------
    ToolError
        A primitive without a model that behaves.
    """
    models = {m.group(1): m.group(0) for m in _MODULE.finditer(primitive_models().read_text())}
    texts = {}
    for cell in sorted(cells):
        if cell in OWN:
            texts.update({file: (OWN_MODELS / file).read_text() for file in OWN[cell]})
        elif cell in models and _BEHAVIOUR.search(models[cell]):
            texts[cell] = models[cell]
        else:
            raise ToolError(f"the netlist uses {cell}, of which there is no simulation model; add one to sim/netlist")
    return "\n".join(texts.values())


def netlist_design(synthesised: Path, rtl: Path, cells: Iterable[str], folder: Path) -> None:
    """Make a folder that :func:`bitexpert.sim.rtl.build_rtl` compiles: the netlist in place of the RTL.

    Parameters
    ----------
    synthesised : Path
        Folder with the netlist of the family xc7, its instances kept, so that it has the RTL's streams.
    rtl : Path
        The emitted design; what drives and records its streams is used again.
    cells : iterable of str
        Primitives of the netlist.
    folder : Path
        Receives the design; what is there is replaced.
    """
    models = primitives(cells)
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(rtl / "sim", folder / "sim")
    shutil.copyfile(synthesised / NETLIST, folder / NETLIST)
    (folder / "primitives.v").write_text(models)
    (folder / "sources.f").write_text(f"primitives.v\n{NETLIST}\n")
