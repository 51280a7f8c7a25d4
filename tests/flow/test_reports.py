import json
import math
import shutil
from pathlib import Path

import pytest
from bitexpert.flow.build import BuildError, open_build
from bitexpert.flow.present import report_tables
from bitexpert.flow.reports import ESTIMATES, operators, summary, write_estimates
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.performance import simulate
from rich.console import Console


def test_every_estimate_is_written_and_says_so(tiny_build, tmp_path):
    build = open_build(tiny_build)
    write_estimates(build.graph, build.board, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"{name}.json" for name in ESTIMATES)
    data = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ESTIMATES}
    nodes = {n.name for n in build.graph.nodes}
    assert set(data["estimate_layer_cycles"]) == nodes
    layers = data["estimate_layer_resources"]
    assert set(layers) == nodes | {"source", "total"}
    assert layers["source"].startswith("estimate")
    assert layers["total"]["lut"] == pytest.approx(sum(layers[n]["lut"] for n in nodes), abs=len(nodes))
    performance = data["estimate_network_performance"]
    assert performance["source"].startswith("estimate")
    assert performance["interval_cycles"] == simulate(build.graph).interval
    assert performance["estimated_throughput_fps"] * performance["interval_cycles"] == pytest.approx(1e8)
    assert performance["max_cycles"] == max(data["estimate_layer_cycles"].values())
    assert {n.name for n in build.graph.nodes if isinstance(n.op, Fifo)} <= set(data["fifo_depths"])
    counts = data["op_and_param_counts"]
    assert set(counts) == {n.name for n in operators(build.graph)}
    assert counts["matvec_1"] == {"multiply_accumulates": 16 * 72 * 4, "weight_bits": 4 * 4 * 72}


def test_what_the_experts_cost(own_build):
    (costs,) = summary(own_build)["experts"]
    assert (costs["node"], costs["gate"], costs["experts"]) == ("matvec_1", "gate_0", 4)
    assert costs["gate_reads"] == "values"
    assert costs["bank_bits"] == 4 * 4 * 72
    assert costs["throughput_lost_percent"] == 0
    assert costs["latency_added_cycles"] > 0
    assert costs["frame_hold_bits"] > 0


def test_summary_is_what_the_tables_show(tiny_build, tmp_path):
    folder = Path(shutil.copytree(tiny_build, tmp_path / "b"))
    (folder / "report" / "rtlsim_performance.json").write_text('{"cycles_per_frame": 577.0, "latency_cycles": 900}')
    data = summary(folder)
    assert json.loads(json.dumps(data)) == data
    assert (folder / "report" / "accelerator.svg").read_text().count("matvec_1") >= 1
    assert (folder / "report" / "accelerator.png").read_bytes().startswith(b"\x89PNG")
    console = Console(width=160)
    with console.capture() as capture:
        for table in report_tables({**data, "model": "net [bold]x[/]"}):
            console.print(table)
    text = capture.get()
    assert "net [bold]x[/] on" in text
    for node in data["nodes"]:
        assert node["name"] in text
    assert "577" in text
    assert "simulated RTL" in text
    assert f"{data['resources']['total']['lut']}" in text.replace(",", "")


def shown(data) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        for table in report_tables(data):
            console.print(table, soft_wrap=True)
    return capture.get()


def test_what_limits_the_rate_is_told(own_build):
    data = summary(own_build)
    slow = next(n for n in data["folding"]["bottlenecks"] if n["node"] == data["performance"]["max_cycles_node_name"])
    assert (slow["node"], slow["cycles"]) == (
        data["performance"]["max_cycles_node_name"],
        data["performance"]["max_cycles"],
    )
    assert slow["faster"]["cycles"] < slow["cycles"]
    node = next(n for n in open_build(own_build).graph.nodes if n.name == slow["node"])
    before, after = (
        node.op.resources(f).lut + node.op.resources(f).lutram for f in (slow["folding"], slow["faster"]["folding"])
    )
    assert slow["faster"]["more"]["lut"] == math.ceil(after - before)
    assert "least cost at 100000 frames/s; proved optimal (CP-SAT " in shown(data)
    assert f"the step took {data['fold_seconds']:.1f} s" in shown(data)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"status": "feasible", "cost_gap_percent": 2.5}, "at most 2.5 % of the cost can be saved"),
        ({"binding": [["lut"], ["bram18", "dsp"]]}, "LUT 900 of 1,000; BRAM18 3 of 4 and DSP 5 of 6."),
    ],
)
def test_what_the_search_could_not_prove_and_what_binds_are_told(own_build, change, line):
    data = summary(own_build)
    data["folding"]["search"] |= {
        "planned": {"lut": 900, "bram18": 3, "dsp": 5, "uram": 0},
        "limits": {"lut": 1000, "bram18": 4, "dsp": 6, "uram": 0},
        **change,
    }
    assert line in shown(data)


def test_a_folding_that_was_given_and_a_fastest_that_nothing_limits(own_build):
    data = summary(own_build)
    search = data["folding"].pop("search")
    assert "The folding was given." in shown(data)
    data["folding"] |= {"objective": "fastest within the board's shares", "search": search | {"limits": {"lut": 1000}}}
    data["folding"]["bottlenecks"][0]["faster"] = None
    assert "More hardware would not make it faster" in shown(data)


def test_a_report_of_no_build(tiny_build, tmp_path):
    with pytest.raises(BuildError, match="is not a build folder"):
        summary(tmp_path)
    folder = Path(shutil.copytree(tiny_build, tmp_path / "b"))
    (folder / "report" / "estimate_layer_resources.json").unlink()
    with pytest.raises(BuildError, match=r"lacks report/estimate_layer_resources\.json; run `bitexpert build` again"):
        summary(folder)
