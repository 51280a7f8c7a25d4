import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from bitexpert.flow import api, terminal
from bitexpert.flow import zoo as module
from bitexpert.flow.cli import main
from bitexpert.flow.export import run_qonnx
from bitexpert.flow.zoo import count_right, zoo_add, zoo_check
from bitexpert.models.checkpoint import save_checkpoint
from bitexpert.models.datasets import DataError
from bitexpert.models.zoo import SHIPPED, ZooError, card_text, names, open_entry, pack, write_entry
from bitexpert.sim.toolchain import ToolError
from flownets import vgg
from qonnx.core.modelwrapper import ModelWrapper
from rich.console import Console

BLOCKS = [{"width": 4, "tau": 2}, {"kind": "expert", "width": 4, "experts": 3, "gate": "sign"}]
WORDS = {"title": "A [small] one", "test_set": "noise", "caveats": ["noise has no classes"]}


@pytest.fixture(scope="module")
def network():
    # 4x4x4: pixels that could be read in two orders
    return vgg({"height": 4, "width": 4, "channels": 4, "class_names": ["a", "b", "c"], "blocks": BLOCKS})


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1300, 4, 4, 4)).astype(np.uint8)


@pytest.fixture(scope="module")
def labels(network, images) -> np.ndarray:
    """What the network decides, but for every fifth image."""
    with torch.no_grad():
        decided = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float()).argmax(1).numpy()
    assert len(np.unique(decided)) == 3
    decided[::5] = (decided[::5] + 1) % 3
    return decided


@pytest.fixture(scope="module")
def run_folder(network, images, labels, tmp_path_factory) -> Path:
    """A run folder as `train` leaves it."""
    folder = tmp_path_factory.mktemp("run")
    save_checkpoint(network, folder / "model.pt")
    np.save(folder / "heldout_inputs.npy", images)
    np.save(folder / "heldout_labels.npy", labels)
    (folder / "metrics.json").write_text(json.dumps({"accuracy": 0.8}))
    recipe = {"name": "Small One", "dataset": {"name": "noise", "held_out": 0.5}, "training": {"seed": 7}}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    return folder


@pytest.fixture(scope="module")
def added(run_folder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("added") / "zoo"
    zoo_add(run_folder, folder, **WORDS)
    return folder


@pytest.fixture
def own(added, tmp_path) -> Path:
    """A copy of the zoo, to be written to."""
    return Path(shutil.copytree(added, tmp_path / "own"))


@pytest.fixture
def with_data(monkeypatch, images, labels):
    monkeypatch.setattr(module, "load_test_set", lambda test_set, data: (images, labels))


@pytest.fixture
def command(capsys, monkeypatch):
    """Run the command in this process: (exit status, stdout, stderr)."""
    monkeypatch.setattr(terminal.console, "width", 160)  # wherever the tests run

    def go(*words) -> tuple[int, str, str]:
        status = main([str(w) for w in words])
        return (status, *capsys.readouterr())

    return go


# -- adding ------------------------------------------------------------------------------------------
def test_an_entry_says_what_was_counted(added, network):
    entry = open_entry("small-one", added)
    card = entry.card
    assert (card.accuracy.right, card.accuracy.total) == (1040, 1300)
    assert (card.title, card.test_set.description, card.test_set.caveats) == tuple(WORDS.values())
    assert (card.seed, card.test_set.dataset, card.test_set.held_out) == (7, "noise", 0.5)
    assert card.recipe["name"] == "Small One"
    assert set(card.versions) == {"bitexpert", "python", "torch", "brevitas", "numpy"}
    assert entry.file.read_bytes() == pack(network)


def test_an_entry_is_not_replaced_unless_it_may(own, run_folder):
    words = {**WORDS, "title": "Another"}
    with pytest.raises(ZooError, match=r"has an entry 'small-one' already; choose another --name, or .*--overwrite"):
        zoo_add(run_folder, own, **words)
    zoo_add(run_folder, own, **words, overwrite=True)
    assert open_entry("small-one", own).card.title == "Another"


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("metrics.json", b'{"accuracy": 0.81}', r"1040 of 1300 held-out images are right, but metrics.json says 81"),
        ("metrics.json", b"{}", "metrics.json: 'accuracy' is missing"),
        ("metrics.json", b"[", "metrics.json: the file is damaged"),
        ("recipe.yaml", b"- 1", "recipe.yaml: this is no mapping"),
        ("recipe.yaml", b'{"dataset": {"name": "x"}, "training": {"seed": 1}}', "the recipe has no name"),
        ("recipe.yaml", b'{"name": "x", "training": {"seed": 1}}', "'dataset' is missing"),
        ("recipe.yaml", b'{"name": "x", "dataset": {"name": 3}, "training": {"seed": 1}}', "the card can't be made"),
        ("recipe.yaml", None, "recipe.yaml: cannot be read: No such file"),
        ("heldout_labels.npy", b"", "heldout_labels.npy is not a .npy file"),
        ("model.pt", b"", "model.pt: the file is empty"),
    ],
)
def test_a_run_folder_that_is_not_whole(run_folder, tmp_path, monkeypatch, file, content, words):
    monkeypatch.setattr(module, "_measure", lambda *a: 1040)  # what is wrong here shows without counting
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    (run / file).unlink()
    if content is not None:
        (run / file).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        zoo_add(run, tmp_path / "zoo", **WORDS)
    assert not (tmp_path / "zoo").exists()


# -- counting ----------------------------------------------------------------------------------------
def test_the_count_is_that_of_the_exported_file(added, images, labels, tmp_path):
    model = api.zoo_get("small-one", tmp_path / "model.onnx", folder=added)
    few = slice(0, 30)
    decided = run_qonnx(ModelWrapper(str(model)), images[few].transpose(0, 3, 1, 2)).argmax(1)
    told: list[str] = []
    found = count_right(model, images[few], labels[few], tmp_path, say=told.append)
    assert found == int((decided == labels[few]).sum()) == 24
    assert told == ["streamline and lower", "compile the fast engine", "0 of 30 images"]
    assert count_right(model, images[few], (labels[few] + 1) % 3, tmp_path) < 24


def test_ties_go_to_the_lowest_class(tmp_path):
    network = vgg({"height": 4, "width": 4, "class_names": ["a", "b", "c"], "blocks": [{"width": 4}]})
    with torch.no_grad():
        network.head.weight.copy_(network.head.weight[:1].expand(3, -1))  # three classes with the same score
    model = module.export(network, tmp_path / "model.onnx")
    images = np.random.default_rng(1).integers(0, 256, (10, 4, 4, 1)).astype(np.uint8)
    assert count_right(model, images, np.zeros(10, np.int64), tmp_path) == 10
    assert count_right(model, images, np.full(10, 2), tmp_path) == 0


def test_digits_is_as_good_as_its_card_says(command):
    """The shipped network, from its file to the fast engine, on images that scikit-learn brings."""
    status, out, err = command("zoo", "check", "digits", "--json")
    assert (status, err) == (0, "")
    (found,) = json.loads(out)["networks"]
    card = open_entry("digits").card
    assert found["status"] == "equal"
    assert found["right"] == card.accuracy.right == round(card.accuracy.share * 360)


# -- checking ----------------------------------------------------------------------------------------
def test_equal(own, command, with_data):
    told: list[str] = []
    (result,) = api.zoo_check(folder=own, say=told.append)
    assert (result.status, result.right, result.total) == ("equal", 1040, 1300)
    assert told[-1] == "small-one: 1000 of 1300 images"
    status, out, _ = command("zoo", "check", "--zoo", own)
    assert status == 0
    assert "equal        small-one: 1040 of 1300 right (80.00%)" in out


def test_a_card_that_says_too_much(own, command, with_data):
    path = own / "small-one.yaml"
    path.write_text(path.read_text().replace("right: 1040", "right: 1041"))
    status, out, _ = command("zoo", "check", "--zoo", own)
    assert status == 1
    assert "differs      small-one: 1040 of 1300 right (80.00%); the card says 1041" in out
    status, out, _ = command("zoo", "check", "--zoo", own, "--json")
    assert (status, json.loads(out)["networks"][0]["status"]) == (1, "differs")


def test_a_network_with_one_wrong_threshold(own, with_data):
    entry = open_entry("small-one", own)
    network = entry.network()
    network.blocks[0].bn.running_mean[3] += 400
    content = pack(network)
    digest = module.hashlib.sha256(content).hexdigest()
    write_entry(entry.card.model_copy(update={"sha256": digest}), content, own)
    (result,) = zoo_check("small-one", folder=own)
    assert result.status == "differs"
    assert result.right is not None
    assert result.right < 1040


def test_missing_data_is_told(own, command):
    """The set `noise` is none that can be loaded; beside it, one that can."""
    status, out, _ = command("zoo", "check", "--zoo", own)
    assert status == 2
    assert "not checked  small-one: " in out
    assert "'noise' is unknown" in out
    assert "nothing was checked\n" in out
    for end in (".npz", ".yaml"):
        shutil.copy(SHIPPED / f"digits{end}", own)
    status, out, _ = command("zoo", "check", "--zoo", own, "--json")
    found = json.loads(out)["networks"]
    assert status == 0
    assert [(r["name"], r["status"]) for r in found] == [("digits", "equal"), ("small-one", "not checked")]
    assert (found[1]["dataset"], found[1]["right"]) == ("noise", None)


def test_other_images_are_not_counted(own, monkeypatch, images, labels):
    monkeypatch.setattr(module, "load_test_set", lambda test_set, data: (images[1:], labels[1:]))
    (result,) = zoo_check(folder=own)
    assert result.status == "not checked"
    assert result.reason == "these 1299 test images of noise are not the 1300 that the card tells of"


def test_the_folder_with_data_is_handed_on(own, monkeypatch, tmp_path, command):
    seen = []

    def load(test_set, data):
        seen.append(data)
        raise DataError("not here")

    monkeypatch.setattr(module, "load_test_set", load)
    assert command("zoo", "check", "--zoo", own, "--data", tmp_path)[0] == 2
    assert seen == [tmp_path]


def test_without_a_compiler(own, with_data, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ToolError, match="no-such-compiler"):
        zoo_check(folder=own)


# -- the commands ------------------------------------------------------------------------------------
def test_list(own, command):
    status, out, err = command("zoo", "list", "--zoo", own)
    assert (status, err) == (0, "")
    row = next(line for line in out.splitlines() if "small-one" in line)
    facts = open_entry("small-one", own).card.network
    figures = ["1,040", "1,300", "80.00%", f"{facts.bops:.3g}", f"{facts.weight_bits:,}", "3", "2"]
    assert row.split() == ["small-one", "noise", *figures, "A", "[small]", "one"]
    cards = json.loads(command("zoo", "list", "--zoo", own, "--json")[1])
    assert cards == api.zoo_list(folder=own)
    assert cards[0]["network"]["bops"] == facts.bops
    assert [card["name"] for card in api.zoo_list()] == names()


def test_list_of_nothing(command, tmp_path):
    assert command("zoo", "list", "--zoo", tmp_path)[:2] == (0, "The zoo is empty.\n")
    assert command("zoo", "check", "--zoo", tmp_path)[0] == 2


def test_get(own, command, tmp_path, network):
    path = tmp_path / "model.onnx"
    status, out, _ = command("zoo", "get", "small-one", "-o", path, "--zoo", own)
    assert status == 0
    assert f"Next: bitexpert build {path} -o build" in out
    x = torch.randint(0, 256, (5, 4, 4, 4)).float()
    with torch.no_grad():
        assert np.array_equal(run_qonnx(ModelWrapper(str(path)), x.numpy()), network(x).numpy())
    status, out, _ = command("zoo", "get", "small-one", "-o", path, "--zoo", own, "--json")
    assert json.loads(out) == {"name": "small-one", "model": str(path), "bytes": path.stat().st_size}


@pytest.mark.parametrize("words", [("get", "lions", "-o", "x.onnx"), ("check", "digits", "lions")])
def test_unknown_names(command, words):
    status, _, err = command("zoo", *words)
    assert (status, err) == (2, f"error: the zoo has no network 'lions'; it has: {', '.join(names())}\n")
    assert not Path("x.onnx").exists()


def test_add(run_folder, command, tmp_path):
    words = ["--title", "T", "--test-set", "S", "--caveat", "one", "--caveat", "two", "--name", "mine"]
    status, out, err = command("zoo", "add", run_folder, "-o", tmp_path, *words)
    assert (status, err) == (0, "")
    assert "mine.npz" in out
    assert "1040 of 1300 right (80.00%)" in out
    card = open_entry("mine", tmp_path).card
    assert card.test_set.caveats == ["one", "two"]
    assert (tmp_path / "mine.yaml").read_text() == card_text(card)


def test_help_of_the_zoo(command):
    status, out, err = command("zoo")
    assert (status, err) == (2, "")
    for verb in ("list", "get", "check", "add"):
        assert f" {verb} " in out
        assert command("zoo", verb, "--help")[0] == 0


def test_progress_on_a_terminal_leaves_results_alone(own, with_data, capsys, monkeypatch):
    terminal = Console(stderr=True, force_terminal=True)
    monkeypatch.setattr("bitexpert.flow.cli_zoo.errors", terminal)
    assert main(["zoo", "check", "--zoo", str(own)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("  equal        small-one: 1040 of 1300 right (80.00%), ")
    assert out.count("\n") == 1
    assert "small-one: 1000 of 1300 images" in err
