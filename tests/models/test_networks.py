import pytest
import torch
from bitexpert.models.networks import BlockConfig, NetworkError, Vgg, VggConfig, build_network


def randomize(model, seed=0):
    """Batch statistics that trained networks have: thresholds off the centre, slopes of both signs."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for block in model.blocks:
            n, root = block.bn.num_features, block.bound**0.5
            block.bn.weight.copy_(torch.randn(n))
            block.bn.bias.copy_(torch.randn(n) * 0.5)
            block.bn.running_mean.copy_(torch.randn(n) * root)
            block.bn.running_var.copy_((torch.rand(n) + 0.5) * block.bound)
    model.normalize_gates(pixels(64))
    return model.eval()


def pixels(n, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 1, 8, 8), generator=rng).float()


def test_the_digits_network():
    torch.manual_seed(0)
    model = build_network("vgg")
    assert [b.out_channels for b in model.blocks] == [64, 128, 128, 64]
    assert [layer.gate.source for _, layer in model.experts()] == ["pre_sign", "sign"]
    assert [layer.groups for _, layer in model.experts()] == [4, 4]
    assert 1e6 < model.macs < 3e6
    scores = model.eval()(pixels(7))
    assert scores.shape == (7, 10)
    assert torch.equal(scores, scores.round())


def test_every_parameter_is_trained():
    torch.manual_seed(0)
    model = build_network("vgg")
    model(pixels(32)).square().sum().backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_freezing_changes_no_score_of_the_same_experts_and_makes_thresholds():
    torch.manual_seed(0)
    model = randomize(build_network("vgg"))
    x = pixels(200)
    before, chosen = model(x), [layer.gate.last_index for _, layer in model.experts()]
    assert not model.frozen
    assert model.freeze() is model
    assert model.frozen
    assert not model.training
    after = model(x)
    same = torch.stack(
        [layer.gate.last_index == old for (_, layer), old in zip(model.experts(), chosen, strict=True)]
    ).all(0)
    # Only near ties of an 8-bit gate send a sample to another expert; nothing else changes a score.
    assert torch.equal(before[same], after[same])
    assert same.float().mean() > 0.85
    for block in model.blocks:
        assert torch.equal(block.bn.weight.abs(), torch.ones(block.bn.num_features))
        assert torch.equal((block.bn.running_mean * 2) % 2, torch.ones(block.bn.num_features))
    again = model.freeze()(x)
    assert torch.equal(after, again)


def test_frozen_network_does_not_depend_on_the_batch():
    torch.manual_seed(1)
    model = randomize(build_network("vgg")).freeze()
    x = pixels(9)
    assert torch.equal(model(x), torch.cat([model(row[None]) for row in x]))


def test_a_plain_network_freezes_too():
    config = VggConfig(blocks=(BlockConfig(width=4), BlockConfig(width=8, pool=2)))
    model = randomize(Vgg(config))
    x = pixels(20)
    before = model(x)
    assert torch.equal(model.freeze()(x), before)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda m: m.blocks[3].bn.bias.fill_(float("nan")), "blocks.3: a batch normalization holds"),
        (lambda m: m.blocks[2].conv.gate.linear.weight.fill_(float("inf")), "blocks.2: the gate's weights"),
    ],
)
def test_a_diverged_network_is_refused_in_one_line(spoil, words):
    model = build_network("vgg")
    with torch.no_grad():
        spoil(model)
    with pytest.raises(NetworkError, match=words):
        model.freeze()


def test_config_survives_json():
    config = VggConfig()
    assert VggConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"widht": 3}, "widht: this key is unknown"),
        ({"blocks": []}, "blocks"),
        ({"blocks": [{"kind": "expert", "width": 8}]}, "first block sees pixels"),
        ({"blocks": [{"width": 8}, {"width": 9, "tau": 2}]}, r"blocks.1: tau\*groups=2\*1 must divide"),
        ({"blocks": [{"width": 8, "expansion": 2}]}, "blocks.0: expansion and groups belong"),
        ({"blocks": [{"width": 8}, {"kind": "expert", "width": 8, "tau": 2, "groups": 2}]}, "remove one pair"),
        ({"blocks": [{"width": 8, "pool": 3}]}, "blocks.0.pool: 3 doesn't divide"),
        ({"blocks": [{"width": 8, "kernel": 11, "padding": 0}]}, "nothing is left"),
        ({"blocks": [{"width": 0}]}, r"blocks.0.width: .*greater than or equal to 1 \(found 0\)"),
        ({"blocks": [{}]}, "blocks.0.width: this key is required"),
    ],
)
def test_wrong_configs(config, words):
    with pytest.raises(NetworkError, match=words):
        build_network("vgg", config)


def test_unknown_network():
    with pytest.raises(NetworkError, match=r"'resnet-19' is unknown; there are: bireal-18, .*, vgg; or N0N1N2N3-E-"):
        build_network("resnet-19")


def test_normalized_gates_use_every_expert():
    torch.manual_seed(0)
    model = randomize(build_network("vgg"))
    model(pixels(200, seed=1))
    for _, layer in model.experts():
        assert torch.bincount(layer.gate.last_index, minlength=4).min() > 5
