import pytest
import torch
from bitexpert.models.checkpoint import load_checkpoint, save_checkpoint
from bitexpert.models.networks import NETWORKS, build_network
from bitexpert.models.training.measure import evaluate, expert_usage

#: Every network of the registry, made small.
IMAGES = {"channels": 1, "height": 8, "width": 8, "class_names": tuple("0123456789")}
RESNET = {**IMAGES, "blocks": (1, 1), "base_width": 8, "stem": "cifar", "experts": 3}
SETTINGS = {
    "vgg": {},
    "cnv": {**IMAGES, "blocks": ({"width": 4}, {"width": 8})},
    "es-eb-cnv": {**IMAGES, "blocks": ({"width": 4, "tau": 2}, {"kind": "expert", "width": 8, "experts": 3})},
    "ebresnet": {**IMAGES, "stem": "cifar", "structure": "1111-0.25-2:2:2:2", "experts": 3},
    **dict.fromkeys(("resnet", "bireal-18", "reactnet-18", "es-reactnet-18", "es-resnet-18", "es-resnet-20"), RESNET),
    "bnext-t": {**IMAGES, "widths": (16, 32)},
    "es-bnext-t": {**IMAGES, "widths": (16, 32, 32)},
}


def images(n, seed=0):
    return torch.randint(0, 256, (n, 1, 8, 8), generator=torch.Generator().manual_seed(seed)).float()


@pytest.fixture(params=sorted(NETWORKS))
def network(request):
    torch.manual_seed(0)
    model = build_network(request.param, SETTINGS[request.param])
    with torch.no_grad():
        for _ in range(3):
            model(images(16))
    return model.eval()


def test_a_checkpoint_brings_the_network_back(network, tmp_path):
    other = load_checkpoint(save_checkpoint(network, tmp_path / "model.pt"))
    assert type(other) is type(network)
    assert other.config.model_dump() == network.config.model_dump()
    x = images(5, seed=1)
    assert torch.equal(other(x), network(x))


def test_what_training_asks_of_a_network(network):
    x = images(40, seed=1)
    assert network.macs > 0
    assert network.head.in_features > 0
    network.normalize_gates(x)
    network(x)
    for _, layer in network.experts():
        assert len(layer.gate.last_index.unique()) > 1
    pixels = x.numpy().astype("uint8").transpose(0, 2, 3, 1)
    assert 0 <= evaluate(network, pixels, torch.zeros(40, dtype=torch.int64).numpy()) <= 1
    usage = expert_usage(network, pixels)
    assert usage.keys() == {name for name, _ in network.experts()}
    assert all(sum(counts) == 40 for counts in usage.values())


def test_copies_of_the_first_expert_compute_what_it_computed_alone(network):
    x = images(20, seed=1)
    for _, layer in network.experts():
        layer.gate.single = True
    alone = network(x)
    for _, layer in network.experts():
        layer.copy_first_expert()
        layer.gate.single = False
    network.normalize_gates(x)
    assert torch.equal(network(x), alone)


def test_every_network_with_experts_has_several():
    chosen = {name for name in NETWORKS if list(build_network(name, SETTINGS[name]).experts())}
    assert chosen == set(NETWORKS) - {"cnv", "bnext-t", "es-bnext-t"}
