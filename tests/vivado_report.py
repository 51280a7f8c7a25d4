"""The hierarchical table of Vivado's ``report_utilization``, as text."""

from collections.abc import Mapping, Sequence
from pathlib import Path

#: LUTs, LUTRAMs, SRLs, FFs, RAMB36, RAMB18, DSPs.
Row = Sequence[int]
SEVEN_SERIES = ("Total LUTs", "Logic LUTs", "LUTRAMs", "SRLs", "FFs", "RAMB36", "RAMB18", "DSP Blocks")
ULTRASCALE = (*SEVEN_SERIES[:-1], "URAM", "DSP Blocks")


def utilization(rows: Mapping[str, Row], headings: Sequence[str] = SEVEN_SERIES) -> str:
    """A report.

    Parameters
    ----------
    rows : mapping of str to sequence of int
        Path of an instance, such as ``top/inst/core``, -> what it takes; an instance comes before what is in it.
    headings : sequence of str
        Of the columns behind instance and module.
    """
    lines = []
    for path, (luts, lutrams, srls, ffs, ramb36, ramb18, dsps) in rows.items():
        instances = path.split("/")
        name = "  " * (len(instances) - 1) + instances[-1]
        module = "(top)" if len(instances) == 1 else f"{instances[-1]}_module"
        uram = [0] if "URAM" in headings else []
        numbers = [luts, luts - lutrams - srls, lutrams, srls, ffs, ramb36, ramb18, *uram, dsps]
        lines.append([name, module, *map(str, numbers)])
    widths = [
        max(len(heading), *(len(line[i]) for line in lines))
        for i, heading in enumerate(("Instance", "Module", *headings))
    ]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    head = "|" + "|".join(f" {h:^{w}} " for h, w in zip(("Instance", "Module", *headings), widths, strict=True)) + "|"
    body = [
        "|"
        + "|".join(
            f" {c:<{w}} " if i == 0 else f" {c:>{w}} " for i, (c, w) in enumerate(zip(line, widths, strict=True))
        )
        + "|"
        for line in lines
    ]
    return "\n".join(
        [
            "Copyright 1986-2022 Xilinx, Inc. All Rights Reserved.",
            "-" * 60,
            "| Tool Version : Vivado v.2022.1 (lin64)",
            "| Command      : report_utilization -hierarchical",
            "| Design State : Routed",
            "-" * 60,
            "",
            "Utilization Design Information",
            "",
            "1. Utilization by Hierarchy",
            "---------------------------",
            "",
            rule,
            head,
            rule,
            *body,
            rule,
            "* Note: a LUT that two instances share is counted in both",
            "",
        ]
    )


def write_system(path: Path, operators: Mapping[str, Row], headings: Sequence[str] = SEVEN_SERIES) -> Path:
    """Of the block design with the RTL accelerator in its shell."""
    core = "system_wrapper/system_i/accelerator/inst/core"
    within = "system_wrapper/system_i"
    rows: dict[str, Row] = {
        "system_wrapper": (2900, 300, 40, 3900, 3, 5, 2),
        "system_wrapper/(system_wrapper)": (0, 0, 0, 0, 0, 0, 0),
        within: (2900, 300, 40, 3900, 3, 5, 2),
        f"{within}/accelerator": (1700, 120, 0, 2100, 1, 5, 2),
        f"{within}/accelerator/inst": (1700, 120, 0, 2100, 1, 5, 2),
        f"{within}/accelerator/inst/(inst)": (3, 0, 0, 0, 0, 0, 0),
        core: (1500, 120, 0, 1800, 1, 5, 2),
        **{f"{core}/{name}": row for name, row in operators.items()},
        f"{within}/accelerator/inst/shell": (197, 0, 0, 300, 0, 0, 0),
        f"{within}/dma": (1200, 180, 40, 1800, 2, 0, 0),
    }
    path.write_text(utilization(rows, headings))
    return path


def write_alone(path: Path, operators: Mapping[str, Row], headings: Sequence[str] = SEVEN_SERIES) -> Path:
    """Of the accelerator out of context."""
    rows: dict[str, Row] = {
        "accelerator": (1500, 120, 0, 1800, 1, 5, 2),
        "accelerator/(accelerator)": (2, 0, 0, 0, 0, 0, 0),
    }
    rows |= {f"accelerator/{name}": row for name, row in operators.items()}
    path.write_text(utilization(rows, headings))
    return path
