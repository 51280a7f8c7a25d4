"""Every entry that comes with the package is whole, small, and what its card says."""

import hashlib
from importlib import resources

import pytest
from bitexpert.models.networks import NETWORKS
from bitexpert.models.zoo import SHIPPED, NetworkFacts, names, open_entry, pack

NAMES = names()


def test_the_files():
    assert "digits" in NAMES
    assert {p.name for p in SHIPPED.iterdir()} == {f"{n}{end}" for n in NAMES for end in (".npz", ".yaml")}
    sizes = {p.name: p.stat().st_size for p in SHIPPED.iterdir()}
    assert max(sizes.values()) < 10**6, sizes
    assert sum(sizes.values()) < 10**7, sizes
    assert (resources.files("bitexpert") / "models" / "zoo" / "networks" / "digits.npz").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_an_entry(name):
    entry = open_entry(name)
    card, content = entry.card, entry.file.read_bytes()
    assert hashlib.sha256(content).hexdigest() == card.sha256
    network = entry.network()
    assert network.name in NETWORKS
    assert network.frozen
    assert pack(network) == content
    assert NetworkFacts.of(network) == card.network
    assert card.seed == card.recipe["training"]["seed"]
    assert card.test_set.dataset == card.recipe["dataset"]["name"]
