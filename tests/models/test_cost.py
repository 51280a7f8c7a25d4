import pytest
import torch
from bitexpert.models.arithmetic import Sum
from bitexpert.models.binary import BinaryConv2d
from bitexpert.models.block import BinaryBlock
from bitexpert.models.cost import CostError, count
from bitexpert.models.expert import ExpertConv2d
from bitexpert.models.networks import NETWORKS, build_network
from torch import nn


def cost_of(name, **config):
    with torch.device("meta"):
        model = build_network(name, config)
    c = model.config
    return model, count(model, (c.channels, c.height, c.width))


# High-Capacity Expert Binary Networks, table 4: structure, BOPs in 1e9 as printed, and with three digits
TABLE_4 = [
    ("1242-2-4:4:16:32", 1.3, 1.308),
    ("1262-2-4:4:16:32", 1.5, 1.526),
    ("1282-2-4:4:16:32", 1.7, 1.745),
    ("1242-2-4:4:8:16", 1.6, 1.575),
    ("1262-2-4:4:8:16", 1.9, 1.909),
    ("1282-2-4:4:8:16", 2.2, 2.243),
    ("1262-2-4:8:8:16", 1.7, 1.707),
]


@pytest.mark.parametrize(("structure", "printed", "exact"), TABLE_4)
def test_table_4_of_expert_binary_networks(structure, printed, exact):
    _, cost = cost_of(structure)
    assert round(cost.bops / 1e9, 1) == printed
    assert cost.bops / 1e9 == pytest.approx(exact, abs=5e-4)
    assert cost.flops == pytest.approx(1.1e8, rel=0.07)  # the table has one figure for all: 1.1e8


def test_the_table_would_notice_another_structure():
    right = cost_of("1262-2-4:8:8:16")[1].bops
    assert abs(cost_of("1262-2-4:8:8:16", mixing=False)[1].bops - right) > 1e8
    assert abs(cost_of("1272-2-4:8:8:16")[1].bops - right) > 5e7
    assert abs(cost_of("1262-2-4:8:8:8")[1].bops - right) > 5e7


def test_experts_and_gates():
    _, one = cost_of("1262-2-4:8:8:16", experts=1)
    _, four = cost_of("1262-2-4:8:8:16")
    assert one.bops == four.bops
    assert sum(layer.binary_parameters for layer in one.layers) == 9_586_688
    assert sum(layer.binary_parameters for layer in four.layers) == 4 * 9_586_688
    gates = [layer for layer in four.layers if layer.kind == "gate"]
    assert len(gates) == (1 + 2 + 6 + 2) * 3
    assert not [layer for layer in one.layers if layer.kind == "gate"]
    assert four.flops - one.flops == sum(layer.macs for layer in gates)
    assert sum(layer.macs for layer in gates) == 4 * (64 + 3 * 128 + 6 * 256 + 18 * 512 + 5 * 1024)


def test_width_expansion_keeps_the_operations_when_groups_are_its_square():
    plain = cost_of("2222-1-1:1:1:1")[1].bops
    wide = cost_of("2222-2-4:4:4:4", mixing=False)[1].bops
    # all but the first convolution, which reads the stem's 64 channels
    assert plain == 1_676_279_808
    assert plain - wide == 64 * 64 * 9 * 56 * 56 // 2


@pytest.mark.parametrize("name", ["bireal-18", "reactnet-18", "es-reactnet-18"])
def test_resnet_18_has_the_known_operations(name):
    assert cost_of(name)[1].bops == 1_676_279_808


def test_bnext_t_has_the_published_operations_with_and_without_es():
    (_, plain), (_, shrunk) = cost_of("bnext-t"), cost_of("es-bnext-t")
    assert plain.bops == shrunk.bops == 4_816_896_000
    assert round(plain.ops / 1e8, 2) == round(shrunk.ops / 1e8, 2) == 0.89
    # what OPs don't show: twice the elementwise work
    assert shrunk.flops - plain.flops == pytest.approx(0.367e8, rel=0.01)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("tau", [1, 2, 4])
def test_es_keeps_operations_and_weights_and_multiplies_the_capacity(tau, groups):
    _, plain = cost_of("es-resnet-20", tau=1, es_groups=1)
    _, es = cost_of("es-resnet-20", tau=tau, es_groups=groups)
    assert plain.bops == es.bops
    for a, b in zip(plain.layers, es.layers, strict=True):
        assert a.name == b.name
        assert a.binary_parameters == b.binary_parameters
        assert b.capacity == (0 if a.capacity == 0 else (a.capacity - 1) * tau + 1)
    assert sum(layer.capacity > 0 for layer in es.layers) == 18


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_parameter_is_counted_once(name):
    model, cost = cost_of(name)
    assert sum(layer.parameters for layer in cost.layers) == sum(p.numel() for p in model.parameters())
    found = cost.as_dict()
    for key in ("bops", "parameters", "macs", "elementwise"):
        assert found[key] == sum(layer[key] for layer in found["layers"]) > 0
    assert found["flops"] == found["macs"] + found["elementwise"]
    assert found["ops"] == found["bops"] / 64 + found["macs"]


def test_layers_by_hand():
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = BinaryBlock(BinaryConv2d(3, 8, 3, padding=1), input_max=255, repeat=2, pool=2)
            self.expert = BinaryBlock(ExpertConv2d(16, 6, 3, experts=3, groups=2))
            self.sum = Sum()
            self.conv = nn.Conv2d(6, 5, 2, stride=2)
            self.linear = nn.Linear(5, 4)

        def forward(self, x):
            pre = self.expert(self.first(x)).pre
            return self.linear(self.conv(self.sum(pre, pre)).mean((2, 3)))

    model = Small().train()
    layers = {layer.name: layer for layer in count(model, (3, 8, 8)).layers}
    assert model.training
    first, expert, gate = layers["first.conv"], layers["expert.conv"], layers["expert.conv.gate"]
    assert (first.bops, first.macs, first.shape) == (0, 8 * 8 * 8 * 27, (8, 8, 8))
    assert (first.parameters, first.binary_parameters, first.capacity) == (216, 216, 27 * 255 + 1)
    assert (expert.bops, expert.macs) == (2 * 2 * 6 * 8 * 9, 0)
    assert (expert.binary_parameters, expert.capacity) == (3 * 6 * 8 * 9, 73)
    assert (gate.macs, gate.parameters, gate.shape) == (48, 51, (3,))
    assert (layers["first.bn"].elementwise, layers["first.bn"].parameters) == (16 * 64, 32)
    assert layers["sum"].elementwise == 6 * 4
    assert (layers["conv"].macs, layers["conv"].parameters) == (5 * 24, 125)
    assert (layers["linear"].macs, layers["linear"].parameters) == (20, 24)
    assert len(layers) == 8


def test_a_layer_without_a_rule_is_refused():
    with pytest.raises(CostError, match="0: there is no rule for counting a Conv1d"):
        count(nn.Sequential(nn.Conv1d(3, 4, 1)), (3, 8))


def test_macs_of_a_network():
    model = build_network("vgg")
    products = sum(
        b.conv.weight[0].numel() * b.out_channels // b.repeat * a
        for b, a in zip(model.blocks, (64, 64, 16, 16), strict=True)
    )
    assert model.macs == products + model.head.weight.numel()
