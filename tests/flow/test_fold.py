import json
import math
from dataclasses import replace

import numpy as np
import pytest
from bitexpert.errors import BitexpertError
from bitexpert.flow.board import load_board
from bitexpert.flow.build import open_build
from bitexpert.flow.fold import FoldingError, estimate, fold, fold_and_report, folding_config, read_folding
from bitexpert.hw.graph import Dataflow
from bitexpert.hw.performance import bottleneck, simulate

BOARD = load_board("pynq-z2")


@pytest.fixture(scope="module")
def graph(tiny_build):
    return Dataflow.load(tiny_build / "dataflow.json", tiny_build / "weights.npz")


def shape(graph: Dataflow) -> list:
    return [(n.name, n.op.kind, dict(n.folding), n.inputs, n.outputs, getattr(n.op, "depth", 0)) for n in graph.nodes]


@pytest.mark.parametrize("cycles", [10_000, 576, 300, 150])
def test_a_target_is_reached(graph, cycles):
    fps = BOARD.clock_mhz * 1e6 / cycles
    folded = fold(graph, BOARD, target_fps=fps)
    assert bottleneck(folded)[1] <= cycles
    assert simulate(folded).interval <= cycles
    folded.validate_folding()


def test_a_lower_target_takes_no_more_hardware(graph):
    luts = [estimate(fold(graph, BOARD, target_fps=fps)).lut for fps in (1_000, 150_000, 600_000)]
    assert luts == sorted(luts)
    assert luts[0] < luts[-1]


def test_any_low_target_is_fine(graph):
    slowest = shape(fold(graph, BOARD, target_fps=1))
    assert shape(fold(graph, BOARD, target_fps=1e-300)) == slowest


def test_a_target_out_of_reach_names_the_best(graph):
    with pytest.raises(FoldingError, match=r"1e\+09 frames/s at 100 MHz is out of reach: .*at most \d+ frames/s") as e:
        fold(graph, BOARD, target_fps=1e9)
    best = int(str(e.value).split("at most ")[1].split()[0])
    assert bottleneck(fold(graph, BOARD, target_fps=best - 1))[1] <= BOARD.clock_mhz * 1e6 / (best - 1)


@pytest.mark.parametrize("target", [0, -5, math.nan, math.inf])
def test_a_target_that_is_no_rate(graph, target):
    with pytest.raises(FoldingError, match="must be a positive number of frames a second"):
        fold(graph, BOARD, target_fps=target)


def test_a_folding_given_back_makes_the_same_design(graph, tiny_build, tmp_path):
    build = open_build(tiny_build)
    again = fold(graph, build.board, folding=read_folding(tiny_build / "final_hw_config.json"))
    assert shape(again) == shape(build.graph)
    frames = np.load(tiny_build / "verification" / "input.npy")
    out = again.outputs[0]
    assert np.array_equal(again.run(frames)[out], build.graph.run(frames)[out])
    assert folding_config(again) == json.loads((tiny_build / "final_hw_config.json").read_text())


def test_folding_keeps_every_value(graph):
    frames = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1))
    want = graph.run(frames)[graph.outputs[0]]
    for fps in (1_000, 600_000):
        folded = fold(graph, BOARD, target_fps=fps)
        assert np.array_equal(folded.run(frames)[folded.outputs[0]], want)


@pytest.mark.parametrize(
    ("folding", "message"),
    [
        ({"matvec_1": {"PE": 3}}, r"matvec_1 \(MatVec\): PE=3 is illegal; legal values: 1, 2, 4"),
        ({"matvec_1": {"PE": 0}}, "PE=0 is illegal"),
        ({"matvec_1": {"SIMD": 5}}, "SIMD=5 is illegal; legal values: "),
        ({"threshold_0": {"SIMD": 2}}, r"threshold_0 \(Threshold\) has no folding attribute SIMD; it has: PE"),
        ({"MVAU_hls_0": {"PE": 2}}, "the folding names 'MVAU_hls_0', which is no node; nodes: fork_0, "),
        ({"sliding_window_1": {"SIMD": 2}, "matvec_1": {"SIMD": 8}}, "must have the same SIMD"),
    ],
)
def test_illegal_foldings_name_the_legal_ones(graph, folding, message):
    with pytest.raises(BitexpertError, match=message):
        fold(graph, BOARD, folding=folding)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "expected "),
        ('{"a": 3}', "expected "),
        ('{"a": {"PE": "4"}}', "a.PE must be a whole number, not '4'"),
        ('{"a": {"PE": true}}', "a.PE must be a whole number, not True"),
        ('{"a": {"PE": 2.0}}', "a.PE must be a whole number, not 2.0"),
        ('{"a": {"pe": 2}}', "a has the unknown attribute 'pe'; known: PE, SIMD"),
        ('{"Defaults": {"PE": [2, ["all"]]}}', "defaults for PE and SIMD are not supported"),
    ],
)
def test_folding_files_that_are_wrong(tmp_path, content, message):
    path = tmp_path / "f.json"
    path.write_text(content)
    with pytest.raises(FoldingError) as caught:
        read_folding(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_folding_files_of_finn(tmp_path):
    path = tmp_path / "f.json"
    path.write_text('{"Defaults": {}, "a": {"PE": 2, "SIMD": 4, "ram_style": "auto", "resType": "lut"}, "b": {}}')
    assert read_folding(path) == {"a": {"PE": 2, "SIMD": 4}, "b": {}}
    with pytest.raises(FoldingError, match=r"cannot read the folding file .*none\.json: No such file"):
        read_folding(tmp_path / "none.json")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FoldingError, match="is not JSON"):
        read_folding(path)


def test_a_network_that_does_not_fit_says_what_it_needs(graph):
    with pytest.raises(FoldingError, match=r"does not fit small even fully folded: it needs about \d+ LUTs"):
        fold(graph, replace(BOARD, name="small", lut=100))


def test_a_target_that_the_device_cannot_hold_is_refused_but_a_given_folding_is_taken(graph):
    folded = fold(graph, BOARD, target_fps=1000)
    small = replace(BOARD, lut=400)
    with pytest.raises(FoldingError, match=r"LUTs \(estimate\).*lower --target-fps"):
        fold(graph, small, target_fps=1000)
    given = {name: v for name, v in folding_config(folded).items() if name != "Defaults"}
    assert estimate(fold(graph, small, folding=given)) == estimate(folded)


def test_where_the_cheapest_does_not_fit_another_that_does_is_taken(graph):
    cheapest = estimate(fold(graph, BOARD, target_fps=1000)).rounded()
    small = replace(BOARD, lut=cheapest["lut"] + cheapest["lutram"] - 1)
    folded, report = fold_and_report(graph, small, target_fps=1000)
    need = estimate(folded).rounded()
    assert need["lut"] + need["lutram"] <= small.lut
    assert report["search"]["limits"]["lut"] == small.lut


def test_what_a_fold_reports(graph):
    folded, report = fold_and_report(graph, BOARD)
    assert report["objective"] == "fastest within the board's shares"
    assert report["search"]["cycles"] == bottleneck(folded)[1] == simulate(folded).interval
    assert report["search"]["status"] == "optimal"
    assert {b["node"] for b in report["bottlenecks"]} == {
        n.name for n in folded.nodes if not n.op.plumbing and n.op.cycles(n.folding) == report["search"]["cycles"]
    }
    assert report == fold_and_report(graph, BOARD)[1]
    given = {name: v for name, v in folding_config(folded).items() if name != "Defaults"}
    assert fold_and_report(graph, BOARD, folding=given)[1].keys() == {"source", "objective", "bottlenecks"}
