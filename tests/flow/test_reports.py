import json
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


def test_a_report_of_no_build(tiny_build, tmp_path):
    with pytest.raises(BuildError, match="is not a build folder"):
        summary(tmp_path)
    folder = Path(shutil.copytree(tiny_build, tmp_path / "b"))
    (folder / "report" / "estimate_layer_resources.json").unlink()
    with pytest.raises(BuildError, match=r"lacks report/estimate_layer_resources\.json; run `bitexpert build` again"):
        summary(folder)
