import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from bitexpert.errors import BitexpertError
from bitexpert.flow import build as building
from bitexpert.flow.board import board_names
from bitexpert.flow.build import STEPS, BuildError, build, open_build
from bitexpert.flow.config import BuildConfig
from bitexpert.flow.fold import FoldingError
from bitexpert.flow.frames import FramesError
from bitexpert.flow.lock import BusyError, locked
from bitexpert.flow.simulate import simulate
from bitexpert.models.checkpoint import CheckpointError

NAMES = [step.name for step in STEPS]
CODE_DIGEST = building._code_digest
#: They hold times.
TIMED = ("build.json", "report/time_per_step.json", "report/passes.json")


@pytest.fixture(autouse=True)
def _same_program(monkeypatch):
    """The tests of resuming hold while somebody edits the program."""
    monkeypatch.setattr(building, "_code_digest", lambda: "code")


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory) -> Path:
    """A build by that program. Not to be written to."""
    folder = tmp_path_factory.mktemp("finished") / "b"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "_code_digest", lambda: "code")
        build(tiny.model, folder, BuildConfig(target_fps=tiny.fps, checkpoint=tiny.checkpoint))
    return folder


@pytest.fixture
def own_build(finished, tmp_path) -> Path:
    """A copy of it, to be written to."""
    return Path(shutil.copytree(finished, tmp_path / "own_build"))


def files(folder: Path) -> dict[str, bytes]:
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: content for name, content in found.items() if name not in TIMED}


def ran(model, folder, **settings) -> list[str]:
    """Names of the steps that ran."""
    seen = []
    result = build(model, folder, BuildConfig(**settings), on_step=lambda name, _i, _n, runs: seen.append((name, runs)))
    assert [name for name, _ in seen] == NAMES
    names = [name for name, runs in seen if runs]
    assert list(result.steps) == names
    return names


def other_model(tiny, folder: Path) -> Path:
    """Another network of the same form: the sign of one weight is turned."""
    model = onnx.load(str(tiny.model))
    weight = max(model.graph.initializer, key=lambda i: len(i.raw_data))
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[0] *= -1
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, str(folder / "other.onnx"))
    return folder / "other.onnx"


def test_a_build_has_every_artifact_and_nothing_half_made(tiny, tmp_path):
    assert ran(tiny.model, tmp_path / "b") == NAMES
    for step in STEPS:
        assert all((tmp_path / "b" / name).exists() for name in step.results)
    assert not list(tmp_path.rglob("*.part"))
    assert (tmp_path / "b" / "model.qonnx.onnx").read_bytes() == tiny.model.read_bytes()
    assert set(json.loads((tmp_path / "b" / "report" / "time_per_step.json").read_text())) == set(NAMES)


def test_two_builds_are_the_same_file_by_file(tiny, tmp_path):
    for name in ("a", "b"):
        ran(tiny.model, tmp_path / name, target_fps=tiny.fps)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_only_what_changed_runs_again(tiny, tmp_path):
    folder = tmp_path / "b"
    ran(tiny.model, folder, target_fps=tiny.fps)
    assert ran(tiny.model, folder, target_fps=tiny.fps) == []
    assert ran(tiny.model, folder, target_fps=20_000) == NAMES[NAMES.index("fold") :]
    assert ran(tiny.model, folder, target_fps=20_000, synth_clk_period_ns=8) == NAMES[NAMES.index("fold") :]
    assert ran(tiny.model, folder, target_fps=20_000, synth_clk_period_ns=8, top_k=1) == NAMES[NAMES.index("lower") :]
    assert ran(other_model(tiny, tmp_path), folder, target_fps=20_000, synth_clk_period_ns=8, top_k=1) == NAMES


def test_what_vivado_adds_stays_with_its_design(tiny, tmp_path):
    folder = tmp_path / "b"
    ran(tiny.model, folder, target_fps=tiny.fps)
    added = [folder / "deploy" / "accelerator.bit", folder / "vivado" / "work" / "log.txt"]
    for path in added:
        path.parent.mkdir(exist_ok=True)
        path.write_text("made elsewhere")
    assert ran(tiny.model, folder, target_fps=tiny.fps) == []
    assert all(path.exists() for path in added)
    ran(tiny.model, folder, target_fps=20_000)
    assert not any(path.exists() for path in added)


def test_another_program_builds_all_again(tiny, tmp_path, monkeypatch):
    ran(tiny.model, tmp_path / "b")
    monkeypatch.setattr(building, "_code_digest", lambda: "newer code")
    assert ran(tiny.model, tmp_path / "b") == NAMES


@pytest.mark.parametrize(
    ("damage", "first"),
    [
        (lambda b: (b / "dataflow.json").write_text("{"), "lower"),
        (lambda b: (b / "rtl" / "bx_fifo.sv").unlink(), "emit_rtl"),
        (lambda b: shutil.rmtree(b / "vivado"), "emit_vivado"),
        (lambda b: (b / "report" / "fifo_depths.json").unlink(), "estimate"),
    ],
)
def test_damaged_or_missing_results_are_made_again(tiny, tmp_path, damage, first):
    folder = tmp_path / "b"
    ran(tiny.model, folder)
    before = files(folder)
    damage(folder)
    assert ran(tiny.model, folder) == NAMES[NAMES.index(first) :]
    assert files(folder) == before


@pytest.mark.parametrize("step", ["streamline", "lower", "fold", "emit_rtl", "emit_vivado"])
def test_a_step_that_breaks_off_leaves_nothing_half_written(tiny, tiny_build, tmp_path, monkeypatch, step):
    folder = tmp_path / "b"

    def write_half(folder: Path) -> None:
        folder.mkdir()
        (folder / "half.sv").write_text("module")
        raise KeyboardInterrupt

    emitted = {
        "streamline": ("streamline", lambda *_a, **_k: write_half(tmp_path / "b" / "streamlined.onnx.part")),
        "lower": ("check_lowering", lambda *_a: write_half(tmp_path / "b" / "dataflow.json.part")),
        "fold": ("folding_config", lambda *_a: write_half(tmp_path / "b" / "report" / "x.part")),
        "emit_rtl": ("emit_rtl", lambda _graph, where, *_a: write_half(where)),
        "emit_vivado": ("emit_vivado", lambda _graph, where, *_a: write_half(where)),
    }
    settings = {"target_fps": tiny.fps, "checkpoint": tiny.checkpoint}
    with monkeypatch.context() as patch:
        if step == "fold":
            (folder / "report").mkdir(parents=True)
            (folder / "build.json").write_text('{"format": 1, "steps": {}}')
        patch.setattr(building, *emitted[step])
        with pytest.raises(KeyboardInterrupt):
            ran(tiny.model, folder, **settings)
    assert list(folder.rglob("*.part"))
    with pytest.raises(BuildError, match=f"stopped before step {step}; run `bitexpert build` again"):
        open_build(folder)
    assert ran(tiny.model, folder, **settings) == NAMES[NAMES.index(step) :]
    assert not list(folder.rglob("*.part"))
    assert files(folder) == files(tiny_build)


KILLED = """
import os, signal, sys
from pathlib import Path
from bitexpert.flow import build as building
from bitexpert.flow.cli import main

whole = building.emit_hls
def half(graph, folder, *rest, **more):
    whole(graph, folder, *rest, **more)
    tables = folder / "tables.hpp"
    tables.write_text(tables.read_text()[:100])
    os.kill(os.getpid(), signal.SIGKILL)
building.emit_hls = half
building._code_digest = lambda: "code"
main(sys.argv[1:])
"""


def test_a_killed_build_goes_on_where_it_was(tiny, tiny_build, tmp_path):
    folder = tmp_path / "b"
    words = ["build", tiny.model, "-o", folder, "--target-fps", tiny.fps, "--checkpoint", tiny.checkpoint]
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (folder / "hls.part").is_dir()
    assert not (folder / "hls").exists()
    settings = {"target_fps": tiny.fps, "checkpoint": tiny.checkpoint}
    assert ran(tiny.model, folder, **settings) == NAMES[NAMES.index("emit_hls") :]
    assert files(folder) == files(tiny_build)


def test_a_build_killed_before_its_record_can_start_again(tiny, tmp_path):
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / ".build.x1y2.part.json").write_text('{"for')
    assert ran(tiny.model, folder) == NAMES


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("first", "settings", "message"),
    [
        ("fold", {"target_fps": 1e9}, "out of reach"),
        ("lower", {"top_k": 99}, "top_k=99 does not fit"),
        ("lower", {"top_k": 1, "target_fps": 1e9}, "out of reach"),
        ("load_model", {"checkpoint": None, "target_fps": 1e9}, "out of reach"),
    ],
)
def test_options_that_fail_leave_the_earlier_build(tiny, own_build, first, settings, message):
    for finding in building.FINDINGS:
        (own_build / finding).parent.mkdir(exist_ok=True)
        (own_build / finding).write_text("found")
    before, steps = everything(own_build), []
    settings = {"target_fps": tiny.fps, "checkpoint": tiny.checkpoint, **settings}
    with pytest.raises(BitexpertError, match=message):
        build(tiny.model, own_build, BuildConfig(**settings), on_step=lambda name, _i, _n, runs: steps.append(runs))
    assert NAMES[steps.index(True)] == first
    assert everything(own_build) == before
    assert open_build(own_build).board.clock_mhz == 100
    assert ran(tiny.model, own_build, target_fps=tiny.fps, checkpoint=tiny.checkpoint) == []


def test_a_model_that_fails_leaves_the_earlier_build(tiny, own_build, tmp_path):
    model = onnx.load(str(tiny.model))
    last = model.graph.node[-1]
    out, last.output[0] = last.output[0], "before"
    model.graph.node.append(onnx.helper.make_node("Sigmoid", ["before"], [out], name="squash"))
    onnx.save(model, str(tmp_path / "m.onnx"))
    before = everything(own_build)
    with pytest.raises(BitexpertError, match="squash"):
        ran(tmp_path / "m.onnx", own_build)
    assert everything(own_build) == before


def test_a_step_that_fails_in_a_build_that_was_not_whole_gives_back_nothing(tiny, own_build):
    (own_build / "rtl" / "bx_fifo.sv").unlink()
    with pytest.raises(FoldingError, match="out of reach"):
        ran(tiny.model, own_build, target_fps=1e9, checkpoint=tiny.checkpoint)
    with pytest.raises(BuildError, match="stopped before step fold"):
        open_build(own_build)


def test_a_stopped_build_of_other_options_goes_on(tiny, own_build, monkeypatch):
    def stop(*_args):
        raise KeyboardInterrupt

    settings = {"target_fps": tiny.fps, "checkpoint": tiny.checkpoint, "top_k": 1}
    with monkeypatch.context() as patch:
        patch.setattr(building, "write_estimates", stop)
        with pytest.raises(KeyboardInterrupt):
            ran(tiny.model, own_build, **settings)
    assert ran(tiny.model, own_build, **settings) == NAMES[NAMES.index("estimate") :]
    assert not list(own_build.rglob("*.part"))


def test_findings_on_an_earlier_design_go(tiny, own_build):
    for finding in building.FINDINGS:
        (own_build / finding).parent.mkdir(exist_ok=True)
        (own_build / finding).write_text("found")
    settings = {"target_fps": tiny.fps, "checkpoint": tiny.checkpoint}
    assert ran(tiny.model, own_build, **settings) == []
    assert all((own_build / finding).exists() for finding in building.FINDINGS)
    ran(tiny.model, own_build, **{**settings, "target_fps": 20_000})
    assert not any((own_build / finding).exists() for finding in building.FINDINGS)


def test_a_lost_checkpoint_is_noticed(tiny, own_build):
    (own_build / "model.pt").unlink()
    with pytest.raises(BuildError, match=r"lacks model\.pt; run `bitexpert build` again"):
        open_build(own_build)
    assert ran(tiny.model, own_build, target_fps=tiny.fps, checkpoint=tiny.checkpoint) == NAMES
    assert (own_build / "model.pt").read_bytes() == tiny.checkpoint.read_bytes()


def test_one_command_at_a_time(tiny, own_build):
    with locked(own_build):
        for command in (
            lambda: build(tiny.model, own_build, BuildConfig()),
            lambda: simulate(own_build, rungs=["reference"]),
        ):
            with pytest.raises(BusyError, match=r"another bitexpert command is at work in .*; wait until it has ended"):
                command()
    assert simulate(own_build, rungs=["reference"]).mismatches == 0


def test_the_lock_of_a_killed_command_blocks_nobody(tmp_path):
    hold = "import sys, os, signal\nfrom pathlib import Path\nfrom bitexpert.flow.lock import locked\n"
    hold += "with locked(Path(sys.argv[1])):\n    os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-c", hold, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with locked(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_another_version_of_a_tool_is_another_program(monkeypatch):
    before = CODE_DIGEST()
    monkeypatch.setattr(building.importlib.metadata, "version", lambda name: "99" if name == "finn-plus" else "1")
    with_99 = CODE_DIGEST()
    monkeypatch.setattr(building.importlib.metadata, "version", lambda name: "1")
    assert len({before, with_99, CODE_DIGEST()}) == 3


def test_scratch_of_a_killed_simulation_goes(tiny, tmp_path):
    ran(tiny.model, tmp_path / "b")
    (tmp_path / "b" / "simulation" / "verilate-x").mkdir(parents=True)
    (tmp_path / "b" / "simulation" / "simulate-0123").write_text("a finished program")
    assert ran(tiny.model, tmp_path / "b") == []
    assert [p.name for p in (tmp_path / "b" / "simulation").iterdir()] == ["simulate-0123"]


def test_output_folder_that_is_not_ours(tiny, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BuildError, match="is not empty and holds no build; choose another or empty it"):
        build(tiny.model, tmp_path, BuildConfig())
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(BuildError, match=r"notes\.txt is a file; choose a folder"):
        build(tiny.model, tmp_path / "notes.txt", BuildConfig())
    with pytest.raises(BuildError, match=r"cannot write to the output folder .*: Not a directory"):
        build(tiny.model, tmp_path / "notes.txt" / "b", BuildConfig())


def test_output_folder_that_cannot_be_written(tiny, tmp_path, monkeypatch):
    def full(*_a):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(building, "write_text", full)
    with pytest.raises(BuildError, match=r"cannot write to the output folder .*b: No space left on device"):
        build(tiny.model, tmp_path / "b", BuildConfig())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "damaged; build into a new folder"),
        ("[]", "damaged; build into a new folder"),
        ('{"format": 1, "steps": 3}', "damaged; build into a new folder"),
        ('{"format": 1, "steps": {"load_model": {}}}', "damaged; build into a new folder"),
        ('{"format": 99, "steps": {}}', "built by another version; build into a new folder"),
    ],
)
def test_foreign_or_damaged_record(tiny, tmp_path, content, message):
    (tmp_path / "build.json").write_text(content)
    with pytest.raises(BuildError, match=message):
        build(tiny.model, tmp_path, BuildConfig())
    with pytest.raises(BuildError, match=message):
        open_build(tmp_path)


def test_open_build_names_what_is_missing(tiny_build, tmp_path):
    with pytest.raises(BuildError, match="is not a build folder; make one with `bitexpert build MODEL -o"):
        open_build(tmp_path)
    folder = Path(shutil.copytree(tiny_build, tmp_path / "b"))
    (folder / "weights.npz").write_bytes(b"PK")
    with pytest.raises(BuildError, match="is damaged; run `bitexpert build` again"):
        open_build(folder)
    (folder / "weights.npz").unlink()
    with pytest.raises(BuildError, match=r"lacks weights\.npz; run `bitexpert build` again"):
        open_build(folder)


def test_bad_inputs_stop_a_build_before_it_has_a_folder(tiny, tmp_path):
    for config, error, message in [
        (BuildConfig(board="de10"), BitexpertError, f"unknown board 'de10'; known: {', '.join(board_names())}"),
        (BuildConfig(folding_config_file=tmp_path / "f.json"), FoldingError, "cannot read the folding file"),
    ]:
        with pytest.raises(error, match=message):
            build(tiny.model, tmp_path / "b", config)
    assert list(tmp_path.iterdir()) == []


def test_bad_inputs_leave_no_model_behind(tiny, tmp_path):
    frames, checkpoint = tmp_path / "x.npy", tmp_path / "model.pt"
    np.save(frames, np.zeros((2, 5, 5, 1), np.uint8))
    checkpoint.write_bytes(tiny.checkpoint.read_bytes()[:1000])
    for config, error, message in [
        (BuildConfig(verify_input_npy=frames), FramesError, r"has shape \(2, 5, 5, 1\)"),
        (BuildConfig(checkpoint=checkpoint), CheckpointError, "not a checkpoint, or it is truncated"),
    ]:
        with pytest.raises(error, match=message):
            build(tiny.model, tmp_path / "b", config)
        assert [p.name for p in (tmp_path / "b").rglob("*")] == ["build.json"]


def test_unsupported_node_is_named_with_what_is_supported(tiny, tmp_path):
    model = onnx.load(str(tiny.model))
    last = model.graph.node[-1]
    out = last.output[0]
    last.output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Sigmoid", ["before"], [out], name="squash it"))
    onnx.save(model, str(tmp_path / "m.onnx"))
    with pytest.raises(BitexpertError, match=r"squash it.*Sigmoid.*(?i:support)") as caught:
        build(tmp_path / "m.onnx", tmp_path / "b", BuildConfig())
    assert "\n" not in str(caught.value)


def test_weights_in_a_file_beside_the_model(tiny, tmp_path):
    def save(model: Path) -> None:
        (tmp_path / "w.bin").unlink(missing_ok=True)
        beside = {"save_as_external_data": True, "location": "w.bin", "size_threshold": 16}
        onnx.save(onnx.load(str(model)), str(path), **beside)

    path = tmp_path / "m.onnx"
    save(tiny.model)
    ran(path, tmp_path / "b", target_fps=tiny.fps)
    ran(tiny.model, tmp_path / "whole", target_fps=tiny.fps)
    assert (tmp_path / "b" / "rtl" / "matvec_1_weights.mem").read_text() == (
        tmp_path / "whole" / "rtl" / "matvec_1_weights.mem"
    ).read_text()
    assert ran(path, tmp_path / "b", target_fps=tiny.fps) == []
    before = path.read_bytes()
    save(other_model(tiny, tmp_path))
    assert path.read_bytes() == before
    assert ran(path, tmp_path / "b", target_fps=tiny.fps) == NAMES
