import pytest
import torch
from bitexpert.models.binary import BinaryConv2d
from bitexpert.models.bnext import BNextUnit
from bitexpert.models.networks import NetworkError, build_network
from torch import nn

SMALL = {"widths": (32, 64, 64), "height": 16, "width": 16, "class_names": tuple("0123456789")}


def small(**changes):
    torch.manual_seed(0)
    return build_network("es-bnext-t", {**SMALL, **changes})


def images(n):
    return torch.randint(0, 256, (n, 3, 16, 16), generator=torch.Generator().manual_seed(1)).float()


@pytest.mark.parametrize("tau", [1, 2])
def test_every_parameter_is_trained(tau):
    model = small(tau=tau)
    scores = model(images(8))
    assert scores.shape == (8, 10)
    nn.functional.cross_entropy(scores, torch.arange(8)).backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize(("tau", "stride"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_a_unit_is_its_formula(tau, stride, attention):
    torch.manual_seed(0)
    c, wide = 16, 16 * tau
    unit = BNextUnit(c, 3, stride=stride, tau=tau, attention=attention).eval()
    with torch.no_grad():
        for p in unit.parameters():
            p.add_(0.3 * torch.randn_like(p))
    x = torch.randn(3, wide, 8, 8)

    def norm(bn, y):
        return y / (1 + bn.eps) ** 0.5 * bn.weight[:, None, None] + bn.bias[:, None, None]

    def prelu(layer, y):
        return torch.where(y >= 0, y, y * layer.weight[:, None, None])

    def pooled(y):
        return nn.functional.avg_pool2d(y, 2) if stride == 2 else y

    bits = torch.where(x + unit.bias.bias >= 0, 1.0, -1.0)
    weight = torch.where(unit.conv.conv.weight >= 0, 1.0, -1.0)
    assert weight.shape == (c // tau, wide, 3, 3)
    acc = nn.functional.conv2d(bits, weight, stride=stride, padding=1)
    v = prelu(unit.activation, norm(unit.bn1, acc.repeat(1, tau**2, 1, 1)))
    s = torch.sigmoid(unit.mix.logit)
    mean = (s * pooled(x) + (1 - s) * v).mean((2, 3), keepdim=True)
    squeeze, excite = unit.excite.squeeze, unit.excite.excite
    assert squeeze.weight.shape[:2] == (c // 8 // tau, wide)
    assert excite.weight.shape[:2] == (c // tau, c // 8 * tau)
    hidden = torch.relu(squeeze(mean).repeat(1, tau**2, 1, 1))
    v = v * torch.sigmoid(excite(hidden).repeat(1, tau**2, 1, 1))
    shortcut = pooled(x)
    if attention:
        shortcut = pooled(prelu(unit.attention, x))
        v = v * shortcut
    assert torch.allclose(unit(x), norm(unit.bn2, v) + shortcut, atol=1e-4)


def test_layout_of_bnext_t():
    with torch.device("meta"):
        model = build_network("es-bnext-t")
    blocks = list(model.blocks)
    assert len(blocks) == 13
    assert [len(block.pointwise) for block in blocks] == [2, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    assert [isinstance(b.spatial.pool, nn.AvgPool2d) for b in blocks] == [i in (1, 3, 5, 11) for i in range(13)]
    assert [b.spatial.attention is not None for b in blocks] == [i % 2 == 0 for i in range(13)]
    assert blocks[-1].spatial.bn1.num_features == 2048
    assert model.head.linear.in_features == 1024
    assert model.eval()(torch.zeros(2, 3, 224, 224, device="meta")).shape == (2, 1000)


def test_weights_are_signs_in_training_and_evaluation():
    # The authors' annealing never starts with an ES network, and leaves its weights real.
    model = small()
    layers = [m for m in model.modules() if isinstance(m, BinaryConv2d)]
    x = images(2)
    for mode in (True, False):
        model.train(mode)
        with torch.no_grad():
            y = model(x)
            for layer in layers:
                layer.weight.copy_(layer.weight.abs().clamp(0.01, 1).copysign(layer.weight + 1e-30) * 0.5)
            assert torch.equal(model(x), y)
            assert all(layer.binary_weight().abs().eq(1).all() for layer in layers)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"tau": 3}, r"widths.1: tau\*groups=3\*1 must divide the 32"),
        ({"tau": 8}, r"widths.1: 8\*tau=64 must divide the 32 channels"),
        ({"widths": (16, 48, 48)}, "widths: 48 follows 16"),
        ({"widths": (16,)}, "widths"),
        ({"widths": (16, 32)}, "the last one has to be the one before it"),
    ],
)
def test_wrong_configs(config, words):
    with pytest.raises(NetworkError, match=words):
        small(**config)


def test_state_survives_a_round_trip():
    model, other = small().eval(), build_network("bnext-t", small().config).eval()
    with torch.no_grad():
        other.head.linear.weight.zero_()
    x = images(3)
    assert not torch.equal(model(x), other(x))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(x), other(x))
