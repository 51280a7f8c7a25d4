import pytest
import torch
from bitexpert.models.networks import NetworkError, build_network
from bitexpert.models.resnet import ResidualUnit, Shortcut
from bitexpert.models.shrink import ExpandShrink
from freezing import assert_freezing_changes_no_score
from torch import nn

SMALL = {"blocks": (1, 1), "base_width": 8, "height": 16, "width": 16, "class_names": tuple("0123456789")}


def small(**changes):
    torch.manual_seed(0)
    return build_network("es-resnet-20", {**SMALL, **changes})


def images(n):
    return torch.randint(0, 256, (n, 3, 16, 16), generator=torch.Generator().manual_seed(1)).float()


@pytest.mark.parametrize("experts", [1, 3])
@pytest.mark.parametrize("shortcut", ["conv", "copy"])
@pytest.mark.parametrize("style", ["bireal", "react"])
@pytest.mark.parametrize(("tau", "es_groups"), [(1, 1), (2, 1), (2, 2)])
def test_every_parameter_is_trained(style, shortcut, tau, es_groups, experts):
    model = small(style=style, shortcut=shortcut, tau=tau, es_groups=es_groups, experts=experts)
    scores = model(images(8))
    assert scores.shape == (8, 10)
    nn.functional.cross_entropy(scores, torch.arange(8)).backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_tau_1_without_groups_is_the_plain_unit():
    torch.manual_seed(0)
    unit = ResidualUnit(8, 8)
    x = torch.randn(4, 8, 6, 6)
    bits, weight = torch.where(x >= 0, 1.0, -1.0), torch.where(unit.conv.conv.weight >= 0, 1.0, -1.0)
    acc = nn.functional.conv2d(bits, weight, padding=1)
    expected = nn.functional.batch_norm(acc, None, None, unit.bn.weight, unit.bn.bias, training=True) + x
    assert torch.allclose(unit(x), expected, atol=1e-6)


def test_a_shrunk_unit_copies_in_tile_order_before_the_normalization():
    torch.manual_seed(0)
    unit = ResidualUnit(16, 8, tau=2, es_groups=1).eval()
    with torch.no_grad():
        unit.bn.bias.copy_(torch.arange(16.0))
    x = torch.randn(2, 16, 5, 5)
    acc = unit.conv(x)
    assert acc.shape[1] == 4
    y = unit(x) - x
    for channel in range(16):
        expected = acc[:, channel % 4] / (1 + unit.bn.eps) ** 0.5 + channel
        assert torch.allclose(y[:, channel], expected, atol=1e-4)


def test_the_react_unit_moves_the_sign_and_bends_the_sum():
    torch.manual_seed(0)
    unit = ResidualUnit(4, 4, style="react").eval()
    x = torch.randn(2, 4, 5, 5)
    with torch.no_grad():
        unit.bias.bias.fill_(100.0)  # every bit is 1
        unit.activation[0].bias.fill_(-1000.0)
        unit.activation[1].weight.fill_(0.5)
        unit.activation[2].bias.fill_(7.0)
    acc = unit.conv.conv(torch.ones_like(x))
    assert torch.allclose(unit(x), 0.5 * (acc / (1 + unit.bn.eps) ** 0.5 + x - 1000) + 7, atol=1e-3)


def test_shortcuts():
    es = ExpandShrink(8, tau=2, groups=2)
    copy = Shortcut(16, es, stride=2, kind="copy")
    assert not list(copy.parameters())
    x = torch.randn(2, 16, 5, 5)
    y = copy(x)
    assert y.shape == (2, 32, 3, 3)
    assert torch.equal(y[:, :16], y[:, 16:])
    conv = Shortcut(16, es, stride=1, kind="conv")
    assert conv(x).shape == (2, 32, 5, 5)
    assert conv.conv.weight.numel() == 8 * 4  # a fourth of the 8x16 that a plain one of these widths has
    with pytest.raises(ValueError, match="can't make 32 channels of 24; use 'conv'"):
        Shortcut(24, es, stride=1, kind="copy")


def test_the_classifier_reads_the_first_channels_only():
    model = small().eval()
    seen = []
    model.stages.register_forward_hook(lambda module, args, y: seen.append(y))
    model(images(2))
    wide = seen[0]
    assert wide.shape[1] == 16 * 4
    changed = wide.clone()
    changed[:, 16:] += 1
    assert torch.equal(model.head(wide), model.head(changed))
    changed[:, 15] += 1
    assert not torch.equal(model.head(wide), model.head(changed))


def test_the_stem_copies_tau_times_groups():
    model = small()
    assert model.stem.repeat == 4
    assert model.stem(images(1)).shape == (1, 32, 16, 16)


def test_layouts():
    widths = {}
    for name in ("bireal-18", "reactnet-18", "es-reactnet-18", "es-resnet-18", "es-resnet-20"):
        with torch.device("meta"):
            model = build_network(name)
        widths[name] = [stage[-1].bn.num_features for stage in model.stages]
        c = model.config
        y = model.eval()(torch.zeros(2, 3, c.height, c.width, device="meta"))
        assert y.shape == (2, len(c.class_names))
        assert (len(c.class_names), c.height) == ((10, 32) if "es-resnet" in name else (1000, 224))
    assert widths["bireal-18"] == widths["reactnet-18"] == [64, 128, 256, 512]
    assert widths["es-reactnet-18"] == [128, 256, 512, 1024]
    assert widths["es-resnet-18"] == [256, 512, 1024, 2048]
    assert widths["es-resnet-20"] == [64, 128, 256]


INTEGER = {"stream": "integer", "gate": "sign", "whiten": True}


@pytest.mark.parametrize(
    ("settings", "experts"),
    [
        ({"tau": 1, "es_groups": 1}, 1),
        ({"tau": 2, "es_groups": 2}, 3),
        ({"tau": 2, "es_groups": 1, "shortcut": "conv", "stem": "imagenet", "stream_bits": 6}, 2),
    ],
    ids=["plain", "ES + G, experts", "learned shortcut"],
)
def test_a_stream_of_integers_trains_and_freezes_without_a_change(settings, experts):
    model = small(**INTEGER, **settings, experts=experts)
    nn.functional.cross_entropy(model(images(8)), torch.arange(8)).backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []
    assert_freezing_changes_no_score(model, images(40), least=0.8)


def test_a_stream_of_integers_lies_on_one_grid():
    model, seen = small(**INTEGER).eval(), []
    for stage in model.stages:
        for unit in stage:
            unit.register_forward_hook(lambda module, args, y: seen.append(y))
    model(images(4))
    # behind the average of four pixels a step is a fourth
    for y, steps in zip(seen, (256, 256, 1024, 1024), strict=True):
        assert torch.equal(y * steps, (y * steps).round())


def test_a_learned_shortcut_gives_its_bits():
    unit = small(**INTEGER, shortcut="conv", stream_bits=3).stages[1][0].eval()
    y = unit.shortcut(torch.randint(-800, 800, (4, 32, 8, 8)).float() / 64)
    assert set(y.unique().tolist()) == set(range(-4, 4))


def test_it_costs_as_much_as_with_real_numbers():
    real, integer = (small(**stream).cost().as_dict() for stream in ({}, INTEGER))
    assert real["bops"] > 0
    assert all(real[key] == integer[key] for key in ("bops", "macs", "binary_parameters"))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"tau": 3}, r"blocks: stage 0: tau\*groups=3\*2 must divide the 8 channels"),
        ({"stem": "dabnn"}, "stem: the stem 'dabnn' makes 64 channels, not 8"),
        ({"style": "resnext"}, "style"),
        ({"blocks": ()}, "blocks"),
        ({"stream": "integer", "style": "react"}, "stream 'integer' needs style 'bireal', not 'react'"),
        ({"stream": "integer", "experts": 2}, "stream 'integer' needs gate 'sign', not 'pre_sign'"),
        ({"stream": "integer", "height": 15}, "images whose sides 2 divides, not 15 x 16"),
        ({"stream": "integer", "stem": "imagenet", "width": 20}, "images whose sides 8 divides, not 16 x 20"),
        ({"stream": "integer", "stream_bits": 9}, "stream_bits"),
    ],
)
def test_wrong_configs(config, words):
    with pytest.raises(NetworkError, match=words):
        small(**config)


def test_state_survives_a_round_trip():
    model, other = (
        small(experts=2, style="react").eval(),
        build_network("resnet", small(experts=2, style="react").config),
    )
    with torch.no_grad():
        other.head.linear.weight.zero_()
    x = images(3)
    assert not torch.equal(model(x), other.eval()(x))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(x), other(x))
