import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from bitexpert import __version__
from bitexpert.flow import api
from bitexpert.flow.build import STEPS
from bitexpert.flow.cli import EPILOG, main
from bitexpert.models.training.run_folder import RUN_FILES


@pytest.fixture
def run(capsys):
    """Run the command in this process: (exit status, stdout, stderr)."""

    def go(*words) -> tuple[int, str, str]:
        status = main([str(w) for w in words])
        out, err = capsys.readouterr()
        return status, out, err

    return go


@pytest.fixture
def refused(run):
    """Run a command that must be refused with one line; return that line."""

    def go(*words, status: int = 2) -> str:
        found, _, err = run(*words)
        assert err.count("\n") == 1, err
        assert err.startswith("error: ")
        assert found == status, err
        assert "internal error" not in err
        return err

    return go


def test_help_names_every_verb_and_exit_status(run):
    status, out, err = run("--help")
    assert (status, err) == (0, "")
    for verb in ("train", "export", "build", "simulate", "report", "doctor", "cost", "zoo", "deploy", "demo"):
        assert f" {verb} " in out
        assert run(verb, "--help")[0] == 0
    for code in ("0", "1", "2", "3", "4", "130"):
        assert f" {code} " in EPILOG
    assert run("--version") == (0, f"{__version__}\n", "")
    status, out, err = run()
    assert (status, err) == (2, "")
    assert "Usage" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bulid"], "No such command 'bulid'. Did you mean 'build'?"),
        (["build"], "Missing argument 'model'"),
        (["build", "m.onnx"], "Missing option '-o' / '--out'"),
        (["build", "m.onnx", "-o", "b", "--fast"], "No such option: --fast"),
        (["simulate", "b", "--samples", "0"], "greater than or equal to 1"),
        (["build", "m.onnx", "-o", "b", "--target-fps", "much"], "Invalid value for '--target-fps'"),
    ],
)
def test_wrong_words(refused, words, message):
    line = refused(*words)
    assert message in line
    assert "see bitexpert --help" in line


def test_bad_recipes(refused, tmp_path):
    steps = b"name: x\nsteps: [{name: a, epochs: 1}]\n"
    out = tmp_path / "run"
    unknown = refused("train", "nope.yaml", "-o", out)
    assert "there is no such recipe; give a YAML file or one of cnv-cifar-10, digits" in unknown
    for content, message in [
        (b"", "a recipe is a mapping with the keys"),
        (b"a: [", "this is not YAML"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"epochs: 3\n" + steps, "epochs: this key is unknown"),
        (b"name: x\nsteps: [{name: a, epochs: -1}]\n", "steps.0.epochs"),
        (b"network: {name: resnet-19}\n" + steps, "unknown network; use one of bireal-18, bnext-t, cnv"),
        (b"network: {config: {height: 9}}\n" + steps, "blocks.1.pool: 2 doesn't divide the map of 9 x 8 pixels"),
    ]:
        (tmp_path / "r.yaml").write_bytes(content)
        assert message in refused("train", tmp_path / "r.yaml", "-o", out)
    assert not list(out.glob("*"))


def test_run_folder_that_is_not_empty(refused, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert "isn't empty; choose another folder, or allow overwriting (--overwrite)" in refused(
        "train", "digits", "-o", tmp_path
    )
    assert "is a file; choose a folder" in refused("train", "digits", "-o", tmp_path / "notes.txt")
    assert "cannot make" in refused("train", "digits", "-o", tmp_path / "notes.txt" / "run")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_train_writes_a_run_folder_again_after_a_kill(run, tmp_path):
    recipe, out = tmp_path / "r.yaml", tmp_path / "run"
    recipe.write_text("name: short\nsteps: [{name: a, epochs: 0}]\nnetwork: {config: {blocks: [{width: 4}]}}\n")
    out.mkdir()
    (out / ".metrics.abc.part.csv").write_text("half")
    (out / "mine.txt").write_text("mine")
    status, text, err = run("train", recipe, "-o", out, "--overwrite", "--json")
    assert (status, err) == (0, "")
    result = json.loads(text)
    assert result["checkpoint"] == str(out / "model.pt")
    assert {p.name for p in out.iterdir()} == {*RUN_FILES, "steps", "tensorboard", "mine.txt"}
    status, text, _ = run("export", out / "model.pt", "-o", tmp_path / "m.onnx")
    assert (status, text.count("\n")) == (0, 1)


def test_bad_checkpoints(refused, tiny, tmp_path):
    out = tmp_path / "m.onnx"
    content = torch.load(tiny.checkpoint, weights_only=True)
    torch.save({**content, "version": 99}, tmp_path / "newer.pt")
    (tmp_path / "short.pt").write_bytes(tiny.checkpoint.read_bytes()[:900])
    (tmp_path / "empty.pt").write_bytes(b"")
    for name, message in [
        ("none.pt", "there is no such file; train a network first"),
        (".", "this is a folder; give the network in it, as in"),
        ("empty.pt", "the file is empty; train again"),
        ("short.pt", "not a checkpoint, or it is truncated"),
        ("newer.pt", "format version 99, but this bitexpert reads version 1; train again"),
    ]:
        assert message in refused("export", tmp_path / name, "-o", out)
    assert not out.exists()


def test_export_to_a_place_that_cannot_be_written(refused, run, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    for place, message in [(tmp_path / "file" / "m.onnx", "File exists"), (tmp_path, "is a folder")]:
        line = refused("export", tiny.checkpoint, "-o", place)
        assert f"cannot write {place}" in line
        assert message in line
        assert "choose another place" in line
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    status, out, err = run("export", tiny.checkpoint, "-o", tmp_path / "m.onnx", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == {"model": str(tmp_path / "m.onnx"), "bytes": (tmp_path / "m.onnx").stat().st_size}


def test_bad_model_files(refused, tiny, tmp_path):
    data = tiny.model.read_bytes()
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "short.onnx").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.onnx").write_text("this is no model\n")
    for name, message in [
        ("none.onnx", "there is no model file"),
        ("empty.onnx", "is empty; export it again"),
        ("short.onnx", "not an ONNX file, or only a part of one; export or copy it again"),
        ("text.onnx", "not an ONNX file"),
        (".", "is a folder; give the .onnx file in it"),
    ]:
        assert message in refused("build", tmp_path / name, "-o", tmp_path / "b")
        assert not (tmp_path / "b").exists()


def test_unsupported_node(refused, tiny, tmp_path):
    model = onnx.load(str(tiny.model))
    last = model.graph.node[-1]
    out = last.output[0]
    last.output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Erf", ["before"], [out], name="my [bold]node[/]"))
    onnx.save(model, str(tmp_path / "m.onnx"))
    line = refused("build", tmp_path / "m.onnx", "-o", tmp_path / "b")
    assert "my [bold]node[/]" in line
    assert "support" in line or "What to do" in line


def test_build_refuses_what_it_cannot_make(refused, tiny, tmp_path):
    folding, config = tmp_path / "f.json", tmp_path / "c.yaml"
    folding.write_text('{"matvec_1": {"PE": 3}}')
    config.write_text("bord: pynq-z2\n")
    out = tmp_path / "b"
    for words, message in [
        (["--board", "de10"], "unknown board 'de10'; known: kv260, pynq-z1, pynq-z2"),
        (["--target-fps", "-1"], "target_fps: Input should be greater than 0"),
        (["--target-fps", "nan"], "target_fps"),
        (["--target-fps", "1e9"], "out of reach"),
        (["--target-latency-us", "0"], "target_latency_us: Input should be greater than 0"),
        (["--target-latency-us", "0.01"], "no folding was found for a latency of 0.01 us on TUL PYNQ-Z2 at 100 MHz"),
        (["--folding", folding], "matvec_1 (MatVec): PE=3 is illegal; legal values: 1, 2, 4"),
        (["--folding", tmp_path / "none.json"], "cannot read the folding file"),
        (["--top-k", "9"], "9"),
        (["--top-k", "-1"], "top_k"),
        (["--config", config], "bord: Extra inputs are not permitted; known keys: board"),
        (["--config", tmp_path / "none.yaml"], "cannot read the configuration"),
        (["--input", tmp_path / "none.npy"], "cannot read"),
        (["--checkpoint", tmp_path / "none.pt"], "there is no such file"),
    ]:
        assert message in refused("build", tiny.model, "-o", out, *words)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("")
    assert "not empty and holds no build" in refused("build", tiny.model, "-o", tmp_path / "mine")
    assert "cannot write to the output folder" in refused("build", tiny.model, "-o", "/proc/nowhere/b")


def test_build_says_what_it_does_and_resumes(run, tiny, tmp_path):
    out = tmp_path / "with [bold]odd[/] :x: name"
    status, text, err = run("build", tiny.model, "-o", out, "--target-fps", tiny.fps)
    lines = text.splitlines()
    assert (status, err) == (0, "")
    count = len(STEPS)
    assert lines[:count] == [f"Running step: {step.name} [{i}/{count}]" for i, step in enumerate(STEPS, 1)]
    assert lines[count].startswith(
        f"{out}: about 173,611 frames/s at 100 MHz (estimate). Next: bitexpert simulate {out}"
    )
    status, text, err = run("build", tiny.model, "-o", out, "--target-fps", tiny.fps)
    assert text.splitlines()[0] in (
        f"Step is up to date: load_model [1/{count}]",
        lines[0],
    )  # the latter: program edited
    status, text, err = run("build", tiny.model, "-o", out, "--target-fps", tiny.fps, "--json")
    assert (status, err) == (0, "")
    assert json.loads(text)["performance"]["interval_cycles"] == 576
    status, text, err = run("report", out)
    assert (status, err) == (0, "")
    assert f"picture: {out}/report/accelerator.svg\n" in text
    assert (out / "report" / "accelerator.png").stat().st_size > 1000
    assert "…" not in text
    status, text, err = run("report", out, "--json")
    assert (status, err) == (0, "")
    assert json.loads(text)["performance"]["source"].startswith("estimate")


def test_simulate_and_its_inputs(run, refused, own_build, tmp_path):
    frames = tmp_path / "x.npy"
    np.save(frames, np.zeros((2, 1, 4, 4), np.uint8))
    status, out, err = run("simulate", own_build, "--rungs", "qonnx, reference", "--input", frames, "--json")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert (report["mismatches"], report["samples"], list(report["rungs"])) == (0, 2, ["qonnx", "reference"])
    status, out, err = run("simulate", own_build, "--rungs", "qonnx,reference", "--samples", "3")
    assert (status, err) == (0, "")
    assert "0 mismatches: 2 rungs agree with the exported model on 3 samples" in out
    for array, message in [
        (np.zeros((2, 3, 3, 1), np.uint8), "has shape (2, 3, 3, 1); the model takes (N, 1, 4, 4), or (N, 4, 4, 1)"),
        (np.zeros((0, 4, 4, 1), np.uint8), "holds no frames"),
        (np.full((1, 4, 4, 1), 256), "has values from 256 to 256; the model takes uint8: 0..255"),
        (np.full((1, 4, 4, 1), 0.5), "holds 0.5, which is not on the input's grid"),
        (np.full((1, 4, 4, 1), "a"), "has dtype <U1"),
    ]:
        np.save(frames, array)
        assert message in refused("simulate", own_build, "--rungs", "reference", "--input", frames)
    frames.write_text("text")
    assert "not a .npy file" in refused("simulate", own_build, "--input", frames)
    assert "there is no rung 'vhdl'" in refused("simulate", own_build, "--rungs", "vhdl")
    assert "is not a build folder" in refused("simulate", tmp_path)
    assert "is not a build folder" in refused("report", tmp_path)


def test_simulate_exits_with_1_on_a_mismatch(run, monkeypatch, own_build):
    from bitexpert.sim.ladder import RungResult
    from bitexpert.sim.streams import Difference

    difference = Difference("rtl", "op[0]", "s", 1, 2, 3, 4, 5, 6)
    wrong = api.simulate(own_build, rungs=["qonnx"])
    wrong.rungs.append(RungResult("rtl", 16, 6, 0.1, 1, [difference]))

    def simulate(*_a, on_rung, **_k):
        for rung in wrong.rungs:
            if on_rung:
                on_rung(rung)
        return wrong

    monkeypatch.setattr(api, "simulate", simulate)
    status, out, _ = run("simulate", own_build)
    assert status == 1
    assert "rtl: op[0], stream s, frame 1, pixel 2, channel 3: expected 4, found 5 (6 differ)" in out
    assert "6 mismatches over 2 rungs" in out
    status, out, _ = run("simulate", own_build, "--json")
    assert status == 1
    assert json.loads(out)["mismatches"] == 6


def test_errors_with_json_are_an_object_on_stdout_too(run, tmp_path):
    status, out, err = run("simulate", tmp_path, "--json")
    assert status == 2
    assert json.loads(out) == {"error": err.removeprefix("error: ").rstrip("\n"), "exit_status": 2}


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "stopped; run the same command again to go on"),
        (OSError(28, "No space left on device", "/x/y"), 2, "/x/y: No space left on device; check the path"),
        (RuntimeError("what\na mess"), 4, "internal error, RuntimeError: what; please report it"),
    ],
)
def test_what_goes_wrong_inside(run, monkeypatch, tmp_path, error, status, message):
    def fail(*_a, **_k):
        raise error

    monkeypatch.setattr(api, "report", fail)
    found, out, err = run("report", tmp_path)
    assert (found, out) == (status, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
    if status != 130:
        assert "Traceback" in run("report", tmp_path, "--debug")[2]


def test_cost_of_a_network(run, refused, monkeypatch):
    monkeypatch.setattr("bitexpert.flow.cli.console.width", 160)
    status, out, err = run("cost", "1262-2-4:8:8:16", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["network"] == "1262-2-4:8:8:16"
    assert found["bops"] == 1_706_786_816
    assert found["bops"] == sum(layer["bops"] for layer in found["layers"])
    assert api.cost("1262-2-4:8:8:16")["flops"] == found["flops"]
    assert api.cost("1262-2-4:8:8:16", {"experts": 1})["parameters"] < found["parameters"] / 3
    status, out, err = run("cost", "cnv")
    assert (status, err) == (0, "")
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert rows["blocks.1.conv"][1:] == ["binary", "conv", *["64", "x", "28", "x", "28", "28,901,376", "36,864", "577"]]
    assert rows["total"][1:] == ["57,906,176", "1,555,200", "142,592", "1,546,688", "13,934"]
    assert rows["BOPs"][1] == "5.791e+07"
    assert "there are: bireal-18, " in refused("cost", "alexnet")
    assert "'126-2-4:8:8:16' is not of the form N0N1N2N3-E-" in refused("cost", "126-2-4:8:8:16")


def test_demo_refuses_a_folder_that_is_not_its_own(refused, tmp_path):
    demo = tmp_path / "demo"
    (demo / "run").mkdir(parents=True)
    (demo / "run" / "thesis.tex").write_text("mine")
    assert "not from an earlier demo (run/thesis.tex); choose another with --out" in refused("demo", "--out", demo)
    (demo / "run" / "thesis.tex").unlink()
    (demo / "run" / "recipe.yaml").write_text("name: mine\nsteps: [{name: a, epochs: 1}]\n")
    (demo / "run" / "model.pt").write_text("weeks of training")
    assert "holds a network of the recipe 'mine'" in refused("demo", "--out", demo, "--fresh")
    assert (demo / "run" / "model.pt").read_text() == "weeks of training"
    (demo / "notes.txt").write_text("mine")
    assert "(notes.txt)" in refused("demo", "--out", demo)
    assert "is a file; choose a folder" in refused("demo", "--out", demo / "notes.txt")


def command(*words, **more) -> subprocess.CompletedProcess:
    program = [sys.executable, "-m", "bitexpert.flow.cli", *map(str, words)]
    return subprocess.run(program, capture_output=True, text=True, **more)


def test_as_a_program(tmp_path):
    long = tmp_path / ("a [red]very[/red] long name " * 8).strip() / "model.onnx"
    done = command("build", long, "-o", tmp_path / "b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: there is no model file {long}\n"


def test_json_of_a_whole_simulation_is_all_that_is_printed(own_build, tmp_path):
    done = command("simulate", own_build, "--rungs", "torch,qonnx,streamlined,reference", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["mismatches"] == 0


def test_a_reader_that_goes_away():
    program = [sys.executable, "-m", "bitexpert.flow.cli", "doctor"]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_the_package_has_the_same_verbs():
    import bitexpert

    for verb in (
        "train",
        "export",
        "build",
        "simulate",
        "report",
        "doctor",
        "zoo_list",
        "zoo_get",
        "zoo_check",
        "demo",
    ):
        assert callable(getattr(bitexpert, verb))
    assert Path(bitexpert.__file__).name == "__init__.py"
