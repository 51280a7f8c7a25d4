import hashlib

import pytest
import torch
from bitexpert.models.files import WriteError
from bitexpert.models.zoo import NetworkFacts, ZooError, names, open_entry, pack, read_card, write_entry
from bitexpert.models.zoo.entries import SHIPPED
from flownets import vgg


@pytest.fixture
def written(tmp_path):
    """A folder with one entry, its network and its card."""
    network = vgg({"blocks": [{"width": 4, "tau": 2}]})
    content = pack(network)
    changes = {"name": "small", "sha256": hashlib.sha256(content).hexdigest(), "network": NetworkFacts.of(network)}
    card = read_card(SHIPPED / "digits.yaml").model_copy(update=changes)
    write_entry(card, content, tmp_path / "zoo")
    return tmp_path / "zoo", network, card


def test_what_was_written_is_found(written):
    folder, network, card = written
    assert names(folder) == ["small"]
    assert sorted(p.name for p in folder.iterdir()) == ["small.npz", "small.yaml"]
    entry = open_entry("small", folder)
    assert entry.card == card
    x = torch.randint(0, 256, (9, 1, 8, 8)).float()
    with torch.no_grad():
        assert torch.equal(entry.network()(x), network(x))


@pytest.mark.parametrize("name", ["other", "", "../zoo/small", "small.yaml"])
def test_unknown_names(written, name):
    with pytest.raises(ZooError, match=r"the zoo has no network .*; it has: small"):
        open_entry(name, written[0])


def test_folders_without_entries(tmp_path):
    with pytest.raises(ZooError, match="there is no such folder"):
        names(tmp_path / "none")
    with pytest.raises(ZooError, match="it has: none"):
        open_entry("a", tmp_path)


def test_another_file_than_that_of_the_card(written):
    folder, _, _ = written
    file = folder / "small.npz"
    whole = file.read_bytes()
    file.write_bytes(pack(vgg({"blocks": [{"width": 4, "tau": 2}]}, seed=1)))  # a network, but not this one
    with pytest.raises(ZooError, match=r"small.npz: this isn't the file that the card tells of"):
        open_entry("small", folder).network()
    file.write_bytes(whole[:-100])
    with pytest.raises(ZooError, match=r"small.npz: this isn't the file that the card tells of"):
        open_entry("small", folder).network()
    file.unlink()
    with pytest.raises(ZooError, match=r"small.npz: cannot be read: No such file"):
        open_entry("small", folder).network()


def test_what_cannot_be_written_changes_nothing(written, monkeypatch):
    folder, _, card = written
    before = {p: p.read_bytes() for p in folder.iterdir()}

    def full(path, data):
        raise OSError(28, "No space left on device")

    changed = card.model_copy(update={"title": "new"})
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            write_entry(changed, b"new", folder)
    assert {p: p.read_bytes() for p in folder.iterdir()} == before
    with pytest.raises(WriteError, match="cannot write"):
        write_entry(card, b"new", folder / "small.npz")
