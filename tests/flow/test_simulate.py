import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from bitexpert.flow.build import BuildError
from bitexpert.flow.build import build as build_accelerator
from bitexpert.flow.config import BuildConfig
from bitexpert.flow.frames import FramesError
from bitexpert.flow.present import rung_line, simulation_summary
from bitexpert.flow.simulate import RUNGS, SimulationError, simulate
from bitexpert.models.checkpoint import CheckpointError
from bitexpert.sim.rtl import ProtocolError, SimulationHang
from flownets import Dense, Dilated, Padded, export_module

PLACE = r"{}: {}, stream {}, frame \d+, pixel \d+, channel \d+: expected -?\w+, found -?\w+ \(\d+ differ\)"


@pytest.fixture(scope="module")
def compiled(tiny_build, tmp_path_factory):
    """A build whose HLS and RTL simulations are compiled, and its report. Not to be written to: copy it."""
    folder = Path(shutil.copytree(tiny_build, tmp_path_factory.mktemp("compiled") / "b"))
    rungs = ["torch", "qonnx", "streamlined", "reference", "hls", "rtl"]
    return folder, simulate(folder, rungs=rungs)


@pytest.fixture
def build(compiled, tmp_path):
    return Path(shutil.copytree(compiled[0], tmp_path / "b"))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, text.count(old)
    path.write_text(text.replace(old, new))


def flip_words(path: Path) -> None:
    """Turn the lowest bit of every word of a memory file."""
    words = path.read_text().split()
    path.write_text("\n".join(f"{int(w, 16) ^ 1:0{len(w)}x}" for w in words) + "\n")


def test_all_rungs_agree(compiled):
    folder, report = compiled
    assert report.mismatches == 0
    assert [r.rung for r in report.rungs] == ["torch", "qonnx", "streamlined", "reference", "hls", "rtl"]
    assert all(r.samples == 16 for r in report.rungs)
    streams = {r.rung: r.streams for r in report.rungs}
    assert streams["torch"] == 2
    assert streams["reference"] > 5
    assert streams["rtl"] > streams["hls"] > 5
    rtl = report.rungs[-1]
    assert rtl.extra["cycles_per_frame"] == rtl.extra["model_cycles_per_frame"]
    assert rtl.extra["latency_cycles"] == rtl.extra["model_latency_cycles"]
    assert rtl.extra["stall_percent"] == [0, 30]
    saved = json.loads((folder / "verification" / "simulation.json").read_text())
    assert saved == report.as_dict()
    assert json.loads((folder / "report" / "rtlsim_performance.json").read_text())["source"] == "simulated RTL"
    assert "cycles/frame (cycle model" in rung_line(rtl)
    assert "6 rungs agree with the exported model on 16 samples" in simulation_summary(report)


def test_experts_that_no_frame_chose_are_told(compiled, build, tmp_path):
    chosen = compiled[1].rungs[3].extra["experts_chosen"]
    assert sum(chosen["matvec_1"]) == 16
    assert len(chosen["matvec_1"]) == 4
    np.save(tmp_path / "x.npy", np.zeros((3, 1, 4, 4), np.uint8))
    (rung,) = simulate(build, input_file=tmp_path / "x.npy", rungs=["reference"]).rungs
    counts = rung.extra["experts_chosen"]["matvec_1"]
    assert sorted(counts) == [0, 0, 0, 3]
    never = ", ".join(str(i) for i, count in enumerate(counts) if not count)
    assert f"matvec_1: experts {never} were never chosen[/], so these frames say nothing" in rung_line(rung)


def test_a_wrong_weight_in_the_rtl_is_found(build):
    flip_words(build / "rtl" / "matvec_1_weights.mem")
    report = simulate(build, rungs=["reference", "rtl"])
    reference, rtl = report.rungs
    assert reference.mismatches == 0
    assert report.mismatches == rtl.mismatches > 0
    assert re.fullmatch(PLACE.format("rtl", "matvec_1", "matvec_1_out"), str(rtl.differences[0]))
    assert "mismatches" in rung_line(rtl)
    assert "over 2 rungs" in simulation_summary(report)


def test_a_wrong_gate_bias_in_the_rtl_is_found_at_the_gate(build):
    biases = (build / "rtl" / "gate_0_bias.mem").read_text().split()
    (build / "rtl" / "gate_0_bias.mem").write_text("\n".join(reversed(biases)) + "\n")
    (rtl,) = simulate(build, rungs=["rtl"]).rungs
    first = rtl.differences[0]
    assert (first.operator, first.pixel, first.channel) == ("gate_0", 0, 0)
    assert {first.expected, first.found} <= {0, 1, 2, 3}


def test_a_wrong_weight_in_the_hls_design_is_found(build):
    path = build / "hls" / "tables.hpp"
    text = path.read_text()
    head = text.index("matvec_2_weights[")
    first = re.compile(r"0x(\w+)ULL").search(text, head)
    path.write_text(f"{text[: first.start(1)]}{int(first[1], 16) ^ 1:x}{text[first.end(1) :]}")
    (hls,) = simulate(build, rungs=["hls"]).rungs
    assert hls.mismatches > 0
    assert re.fullmatch(PLACE.format("hls", "matvec_2", "matvec_2_out"), str(hls.differences[0]))


def test_a_wrong_streamlined_model_is_found(build):
    model = onnx.load(str(build / "streamlined.onnx"))
    sizes = {i.name: len(i.raw_data) for i in model.graph.initializer}
    node = next(n for n in model.graph.node if n.op_type == "MatMul")
    weight = next(i for i in model.graph.initializer if i.name in node.input)
    assert sizes[weight.name]
    weight.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save(model, str(build / "streamlined.onnx"))
    streamlined, reference = simulate(build, rungs=["streamlined", "reference"]).rungs
    assert streamlined.mismatches > 0
    assert re.fullmatch(PLACE.format("streamlined", "output", "scores"), str(streamlined.differences[0]))
    assert [d.operator for d in reference.differences] == ["matvec_2", "fifo_" + str(last_fifo(build))]


def last_fifo(folder: Path) -> int:
    nodes = json.loads((folder / "folded.json").read_text())["nodes"]
    return max(int(n["name"].removeprefix("fifo_")) for n in nodes if n["name"].startswith("fifo_"))


def test_a_wrong_exported_model_is_found(build, tiny):
    """The build's copy is what every rung is held against."""
    model = onnx.load(str(build / "model.qonnx.onnx"))
    node = next(n for n in model.graph.node if n.op_type == "ExpertConv")
    bias = next(i for i in model.graph.initializer if i.name == node.input[3])
    values = onnx.numpy_helper.to_array(bias).copy()
    values.flat[-1] += 1e6
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    onnx.save(model, str(build / "model.qonnx.onnx"))
    report = simulate(build, rungs=["torch", "qonnx", "reference"])
    found = {r.rung: r.mismatches for r in report.rungs}
    assert found["qonnx"] == 0
    assert found["torch"] > 0
    assert found["reference"] > 0


def test_a_hanging_design_is_reported(build):
    replace(
        build / "rtl" / "bx_gate.sv",
        "endmodule",
        "  // synthesis translate_off\n  initial force m_axis_tvalid = 0;\nendmodule",
    )
    with pytest.raises(
        SimulationHang, match=r"RTL simulation hangs: nothing moved for \d+ cycles.*at rtl: gate_0,"
    ) as e:
        simulate(build, rungs=["rtl"], samples=3)
    assert e.value.exit_code == 1


def test_rungs_that_do_not_exist_or_cannot_run(build):
    with pytest.raises(SimulationError, match=f"there is no rung 'vhdl'; rungs: {', '.join(RUNGS)}"):
        simulate(build, rungs=["reference", "vhdl"])
    with pytest.raises(SimulationError, match="name at least one rung"):
        simulate(build, rungs=[])
    with pytest.raises(SimulationError, match="samples must be at least 1, not 0"):
        simulate(build, rungs=["reference"], samples=0)
    (build / "model.pt").write_bytes(b"no network")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        simulate(build, rungs=["torch"])
    (build / "model.pt").unlink()
    with pytest.raises(BuildError, match=r"lacks model\.pt"):  # its rung is not left out without a word
        simulate(build)
    record = json.loads((build / "build.json").read_text())
    record["config"]["checkpoint"] = None
    (build / "build.json").write_text(json.dumps(record))
    with pytest.raises(SimulationError, match="the torch rung needs the network: build again with --checkpoint"):
        simulate(build, rungs=["torch"])


def test_another_checkpoint_is_no_match(build, tmp_path):
    from bitexpert.models.checkpoint import save_checkpoint
    from flownets import vgg

    config = {"height": 4, "width": 4, "class_names": ["a", "b", "c"], "blocks": [{"width": 4}]}
    save_checkpoint(vgg(config), build / "model.pt")
    with pytest.raises(SimulationError, match="has 1 sign activations, the model 2: not the same network"):
        simulate(build, rungs=["torch"])


def test_own_frames_in_both_orders_and_labels(build, tmp_path):
    frames = np.random.default_rng(3).integers(0, 256, (5, 4, 4, 1), dtype=np.uint8)
    np.save(tmp_path / "nhwc.npy", frames)
    np.save(tmp_path / "nchw.npy", frames.transpose(0, 3, 1, 2).astype(np.float32))
    np.save(tmp_path / "labels.npy", np.zeros(5, np.int64))
    seen = []
    for name in ("nhwc", "nchw"):
        report = simulate(
            build,
            input_file=tmp_path / f"{name}.npy",
            labels=tmp_path / "labels.npy",
            rungs=["reference"],
            on_rung=seen.append,
        )
        assert (report.samples, report.mismatches) == (5, 0)
    assert [r.rung for r in seen] == ["reference", "reference"]
    classes = []
    for c in range(3):
        np.save(tmp_path / "labels.npy", np.full(5, c))
        report = simulate(
            build, input_file=tmp_path / "nhwc.npy", labels=tmp_path / "labels.npy", rungs=["qonnx"], samples=5
        )
        classes.append(report.accuracy)
        assert report.as_dict()["accuracy"] == report.accuracy
    assert sum(classes) == pytest.approx(1)
    np.save(tmp_path / "labels.npy", np.zeros(2, np.int64))
    short = simulate(
        build, input_file=tmp_path / "nhwc.npy", labels=tmp_path / "labels.npy", rungs=["qonnx"], samples=2
    )
    assert short.samples == 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(3, np.int64), r"one integer for each of the 16 frames; it has int64 of shape \(3,\)"),
        (np.zeros(17, np.int64), r"each of the 16 frames; it has int64 of shape \(17,\)"),
        (np.zeros((16, 1), np.int64), r"of shape \(16, 1\)"),
        (np.zeros(16), "it has float64"),
        (np.full(16, 3), "has labels from 3 to 3; the network has 3 classes, from 0"),
        (np.full(16, -1), "has labels from -1 to -1"),
    ],
)
def test_labels_that_do_not_fit(build, tmp_path, labels, message):
    np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(FramesError, match=message):
        simulate(build, labels=tmp_path / "labels.npy", rungs=["qonnx"])


@pytest.mark.parametrize("network", [Padded, Dilated, Dense])
def test_a_file_as_brevitas_writes_it(network, tmp_path):
    """It names no shapes but those of its ends."""
    model = export_module(network(), tmp_path / "m.onnx")
    build_accelerator(model, tmp_path / "b", BuildConfig())
    report = simulate(tmp_path / "b", rungs=["qonnx", "streamlined", "reference"])
    assert report.mismatches == 0
    assert report.rungs[-1].streams > 5


def test_top_k(tiny, tmp_path):
    from bitexpert.flow.build import build
    from bitexpert.flow.config import BuildConfig

    build(tiny.model, tmp_path / "b", BuildConfig(top_k=2, target_fps=tiny.fps))
    report = simulate(tmp_path / "b", rungs=["qonnx", "reference"])
    assert report.mismatches == 0


def test_tlast_on_a_wrong_beat_is_a_mismatch(build, monkeypatch):
    class Done:
        returncode = 5
        stderr = "TLAST is wrong on beat 3 of m_axis"

    monkeypatch.setattr("bitexpert.sim.rtl.run_tool", lambda *_a, **_k: Done)
    with pytest.raises(ProtocolError, match="RTL simulation: TLAST is wrong on beat 3") as caught:
        simulate(build, rungs=["rtl"], samples=1)
    assert caught.value.exit_code == 1
