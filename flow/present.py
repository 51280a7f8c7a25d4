"""What the command line prints: one line a rung, tables, summaries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from ..sim.ladder import RungResult
from .doctor import Finding

if TYPE_CHECKING:
    from .demo import DemoResult
    from .inspection import ModelReport
    from .simulate import SimulationReport

__all__ = [
    "cost_tables",
    "demo_summary",
    "doctor_table",
    "model_tables",
    "report_tables",
    "rung_line",
    "simulation_summary",
    "synthesis_tables",
]


def rung_line(result: RungResult) -> str:
    """One line: rung, samples, streams, mismatches, seconds, cycles; below it what should be known."""
    verdict = "[green]equal[/]" if not result.mismatches else f"[bold red]{result.mismatches} mismatches[/]"
    streams = f", {result.streams} streams" if result.streams else ""
    line = f"  {result.rung:<12}{verdict}  {result.samples} samples{streams}, {result.seconds:.1f} s"
    if "cycles_per_frame" in result.extra:
        measured, model = result.extra["cycles_per_frame"], result.extra["model_cycles_per_frame"]
        line += f"; {measured:,.1f} cycles/frame (cycle model {model:,.1f})"
    if ties := result.extra.get("ties"):
        line += f"\n    [yellow]{ties} samples hang on a tie[/] that the rounding of float32 sums decides otherwise"
        line += " than integers, with which the accelerator computes"
    for layer, counts in result.extra.get("experts_chosen", {}).items():
        never = [str(i) for i, count in enumerate(counts) if not count]
        if never:
            line += f"\n    [yellow]{escape(layer)}: experts {', '.join(never)} were never chosen[/], "
            line += "so these frames say nothing about them"
    for difference in result.differences[:3]:
        line += f"\n    {escape(str(difference))}"
    return line


def simulation_summary(report: SimulationReport) -> str:
    """Closing lines of ``simulate``."""
    rungs = len(report.rungs)
    if report.mismatches:
        text = f"[bold red]{report.mismatches} mismatches[/] over {rungs} rungs"
    else:
        text = f"[green]0 mismatches[/]: {rungs} rungs agree with the exported model on {report.samples} samples"
    if report.accuracy is not None:
        text += f"; accuracy {report.accuracy:.2%}"
    return text


def doctor_table(findings: Iterable[Finding]) -> Table:
    """What is there and what is not."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("", "", "found", "what it is for", "if it is missing"):
        table.add_column(column)
    for f in findings:
        mark = "[green]ok[/]" if f.found else ("[bold red]missing[/]" if f.required else "[yellow]absent[/]")
        table.add_row(mark, f.name, escape(f.found) or "-", f.purpose, "" if f.found else escape(f.remedy))
    return table


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], left: int = 1) -> Table:
    """A table whose first ``left`` columns are words and the rest numbers."""
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    return table


def report_tables(data: dict[str, Any]) -> list[Any]:
    """Tables of ``report``."""
    performance, total = data["performance"], data["resources"]["total"]
    cycles = data["cycles"]
    rows: list[Sequence[Any]] = []
    kinds = ("lut", "lutram", "ff", "bram18", "dsp")
    for node in data["nodes"]:
        need = data["resources"][node["name"]]
        rows.append((node["name"], _folding(node["folding"]), f"{cycles[node['name']]:,}", *(need[k] for k in kinds)))
    shown = {"source", "total", *(node["name"] for node in data["nodes"])}
    rest = [need for name, need in data["resources"].items() if name not in shown]
    plumbing = {k: sum(need[k] for need in rest) for k in kinds}
    rows.append(("FIFOs, converters", "", "", *(plumbing[k] for k in kinds)))
    rows.append(("total", "", "", *(total[k] for k in kinds)))
    device = data["device"]
    rows.append(("of the device", "", "", *(f"{total[k] / device[k]:.1%}" if device[k] else "-" for k in device)))
    columns = ("operator", "folding", "cycles", "LUT", "LUTRAM", "FF", "BRAM18", "DSP")
    tables: list[Any] = [
        _table(f"{data['model']} on {data['board']} (estimates; cycles are per frame)", columns, rows, left=2)
    ]
    fps = f"frames/s at {performance['clock_mhz']:g} MHz"
    figures = [
        ("interval, cycles/frame", f"{performance['interval_cycles']:,.1f}", "cycle model"),
        ("limited by", performance["max_cycles_node_name"], "cycle model"),
        (fps, f"{performance['estimated_throughput_fps']:,.0f}", "estimate"),
        ("latency, cycles", f"{performance['latency_cycles']:,}", "cycle model"),
    ]
    for key, name in (("cycles_per_frame", "interval, cycles/frame"), ("latency_cycles", "latency, cycles")):
        if key in data["rtlsim"]:
            figures.append((name, f"{data['rtlsim'][key]:,}", "simulated RTL"))
    tables.append(_table("Performance", ("figure", "value", "from"), figures))
    tables += _limits(data["folding"], data["fold_seconds"])
    if data["experts"]:
        tables.append(
            _table(
                "Expert layers: what the choice costs (wait: cycles until the expert is known)",
                ("layer", "experts", "reads", "LUT", "DSP", "bits held", "bits in banks", "wait", "lost"),
                [
                    (
                        e["node"],
                        e["experts"],
                        e["gate_reads"],
                        e["gate_lut"],
                        e["gate_dsp"],
                        f"{e['frame_hold_bits']:,}",
                        f"{e['bank_bits']:,}",
                        f"{e['latency_added_cycles']:,}",
                        f"{e['throughput_lost_percent']} %",
                    )
                    for e in data["experts"]
                ],
            )
        )
    return [*tables, *_vivado(data["vivado"])]


def _vivado(found: dict[str, Any]) -> list[Any]:
    """What Vivado found out, beside the estimates."""
    parts: list[Any] = []
    if alone := found.get("alone"):
        fps = f"; {alone['timing']['estimated_throughput_fps']:,.0f} frames/s at that rate (estimate)"
        parts += [*synthesis_tables(alone), f"Alone: {_clock(alone['timing'])}{fps}."]
    if bitstream := found.get("bitstream"):
        used = bitstream["total"]
        blocks = used["BRAM_18K"] + 2 * used["BRAM_36K"]
        parts.append(
            f"Bitstream ({escape(bitstream['source'])}), with DMA and shell: {used['LUT']:,} LUT,"
            f" {used['LUTRAM']:,} LUTRAM, {used['FF']:,} FF, {blocks:,} BRAM18, {used['DSP']:,} DSP;"
            f" {_clock(bitstream['timing'])}."
        )
    return parts


def _clock(timing: dict[str, float]) -> str:
    met = "met" if min(timing["WNS"], timing["WHS"]) >= 0 else "[bold red]not met[/]"
    return (
        f"timing is {met} at {1e3 / timing['clk_period_ns']:g} MHz (slack {timing['WNS']:g} ns), at most"
        f" {timing['fmax_mhz']:,.1f} MHz"
    )


_NAMES = {"lut": "LUT", "bram18": "BRAM18", "dsp": "DSP", "uram": "URAM"}


def _limits(report: dict[str, Any], seconds: float) -> list[Any]:
    """What limits the rate, and what is proved of the folding."""
    rows = []
    for slow in report["bottlenecks"]:
        faster = slow["faster"]
        next_one = more = "-"
        if faster:
            next_one = f"{_folding(faster['folding'])}: {faster['cycles']:,}"
            more = ", ".join(f"{n:+,} {_NAMES[kind]}" for kind, n in faster["more"].items() if n) or "nothing"
        rows.append((slow["node"], _folding(slow["folding"]), f"{slow['cycles']:,}", next_one, more))
    columns = ("slowest", "folding", "cycles", "next faster folding: cycles", "takes (estimate)")
    parts: list[Any] = [_table("What limits the rate", columns, rows, left=2)]
    found = report.get("search")
    if not found:
        return [*parts, "The folding was given."]
    gaps = {"cost": found["cost_gap_percent"], "cycles": found["cycles_gap_percent"]}
    proof = (
        "proved optimal"
        if found["status"] == "optimal"
        else "; ".join(f"at most {gap} % of the {name} can be saved" for name, gap in gaps.items() if gap)
    )
    parts.append(f"Folding: {escape(report['objective'])}; {proof} ({found['solver']}; the step took {seconds:.1f} s).")
    if found["binding"]:
        sets = [" and ".join(_held(kind, found) for kind in kinds) for kinds in found["binding"]]
        parts.append(f"With more of any of these it could be faster (planned, of what may be used): {'; '.join(sets)}.")
    elif found["limits"] and report["objective"].startswith("fastest"):
        parts.append("More hardware would not make it faster: no folding has fewer cycles.")
    return parts


def _held(kind: str, found: dict[str, Any]) -> str:
    return f"{_NAMES[kind]} {found['planned'][kind]:,} of {found['limits'][kind]:,}"


def _folding(folding: dict[str, int]) -> str:
    return "  ".join(f"{k} {v}" for k, v in folding.items())


def synthesis_tables(data: dict[str, Any]) -> list[Any]:
    """What ``synth`` prints: each operator's estimate and what synthesis found, and the routed frequency."""
    kinds = (("LUT", "lut"), ("LUTRAM", "lutram"), ("FF", "ff"), ("BRAM18", "bram18"), ("DSP", "dsp"))
    estimated = data["total"]["estimate"] is not None
    columns = ["operator", "kind", "folding"]
    for title, _ in kinds:
        columns += [f"{title} est.", title] if estimated else [title]

    def found(entry: dict[str, Any]) -> list[int]:
        s = entry["synthesis"]
        return [s["LUT"], s["LUTRAM"], s["FF"], s["BRAM_18K"] + 2 * s["BRAM_36K"], s["DSP"]]

    def numbers(entries: Sequence[dict[str, Any]]) -> list[str]:
        cells = []
        for i, (_, key) in enumerate(kinds):
            if estimated:
                cells.append(str(sum(e["estimate"][key] for e in entries if e["estimate"])))
            cells.append(str(sum(found(e)[i] for e in entries)))
        return cells

    rows: list[Sequence[Any]] = []
    plumbing = [entry for entry in data["operators"].values() if entry["plumbing"]]
    for name, entry in data["operators"].items():
        if not entry["plumbing"]:
            folding = "  ".join(f"{k} {v}" for k, v in entry["folding"].items())
            rows.append((name, entry["kind"], folding, *numbers([entry])))
    rows.append(("FIFOs, converters", "", "", *numbers(plumbing)))
    rows.append(("total", "", "", *numbers([data["total"]])))
    shares: list[str] = []
    for value, (_, key) in zip(found(data["total"]), kinds, strict=True):
        shares += (
            ["", f"{value / data['capacity'][key]:.1%}"] if estimated else [f"{value / data['capacity'][key]:.1%}"]
        )
    rows.append((f"of {data['device']}", "", "", *shares))
    parts: list[Any] = [_table(f"{data['device']}: {data['source']}", columns, rows, left=3)]
    total = data["total"]["synthesis"]
    if total["LC_estimate"] is not None:
        parts.append(f"{total['LC_estimate']:,} LUTs after packing pairs of small ones into one (Yosys' estimate)")
    if "routed" in data:
        routed = data["routed"]
        parts.append(
            f"{routed['mhz']:,.1f} MHz ({routed['source']}): {routed['logic_ns']:.1f} ns logic,"
            f" {routed['routing_ns']:.1f} ns routing, from {escape(routed['critical_path'][0]['at'])}"
            f" to {escape(routed['critical_path'][-1]['at'])}"
        )
    return parts


def model_tables(report: ModelReport) -> list[Any]:
    """What ``doctor MODEL`` prints."""
    rows = [
        (
            n.name,
            n.kind,
            n.becomes,
            n.output,
            f"{n.macs:,}" if n.macs else "",
            f"{n.weights:,} x {n.weight_bits}" if n.weights else "",
            f"{n.thresholds:,}" if n.thresholds else "",
        )
        for n in report.nodes
    ]
    columns = ("node", "kind", "becomes", "what leaves it", "MACs", "weights x bits", "thresholds")
    table = _table(str(report.model), columns, rows, left=4)
    for column in table.columns[:3]:  # long names are broken, numbers are not
        column.no_wrap, column.overflow = False, "fold"
    parts: list[Any] = [table]
    if report.problems:
        parts += [f"[bold red]problem[/]  {escape(p)}" for p in report.problems]
        parts.append("No accelerator can be built from this file as it is.")
        return parts
    total = report.totals
    parts.append(f"input   {escape(report.input)}")
    parts.append(f"output  {escape(report.output)}")
    parts.append(
        f"total   {total['macs']:,} multiply-accumulates a frame, {total['weights']:,} weights"
        f" ({total['weight_memory'] / 8192:,.1f} KiB), {total['thresholds']:,} thresholds"
    )
    parts += [f"note    {escape(note)}" for note in report.notes]
    parts.append("[green]Every node has a place in the accelerator[/]: `bitexpert build` can make it.")
    return parts


def cost_tables(data: dict[str, Any]) -> list[Any]:
    """What ``cost`` prints: each layer that multiplies, the rest in one row, and the papers' measures."""
    keys = ("bops", "macs", "elementwise", "parameters", "capacity")

    def numbers(row: dict[str, Any]) -> list[str]:
        return [f"{row[key]:,}" if row[key] else "" for key in keys]

    small = [layer for layer in data["layers"] if layer["kind"] == "elementwise"]
    rows: list[Sequence[Any]] = [
        (layer["name"], layer["kind"], " x ".join(map(str, layer["shape"])), *numbers(layer))
        for layer in data["layers"]
        if layer["kind"] != "elementwise"
    ]
    rest = {key: sum(layer[key] for layer in small) for key in keys}
    rows.append((f"{len(small)} others", "elementwise", "", *numbers(rest)))
    rows.append(("total", "", "", *numbers(data)))
    columns = ("layer", "kind", "output", "BOPs", "real MACs", "elementwise", "parameters", "capacity")
    table = _table(f"{data['network']}, for one image", columns, rows, left=3)
    for column in table.columns:  # a narrow terminal breaks the cells and loses nothing
        column.no_wrap, column.overflow = False, "fold"
    return [
        table,
        f"BOPs    {data['bops']:.4g}  (binary multiply-accumulates)",
        f"FLOPs   {data['flops']:.4g}  (real ones and elementwise operations, as in Expert Binary Networks)",
        f"OPs     {data['ops']:.4g}  (BOPs / 64 and real ones, as in Expanding-and-Shrinking)",
        f"weights {data['parameters']:,} parameters, of them {data['binary_parameters']:,} of one bit",
        "capacity is how many values an output of a binary layer can take",
    ]


def demo_summary(result: DemoResult) -> list[Any]:
    """Closing lines of ``demo``."""
    return [
        *report_tables(result.report),
        simulation_summary(result.simulation),
        f"Everything is in {escape(str(result.folder))}: run/ (training), model.onnx, build/ (rtl, hls, vivado,"
        f" report). It took {result.seconds:.0f} s.",
    ]
