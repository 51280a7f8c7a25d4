import pytest
import torch
from bitexpert.models.binary import use_real_weights
from bitexpert.models.networks import BlockConfig, NetworkError, Vgg, VggConfig, build_network, network_cost


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


@pytest.mark.parametrize("name", ["cnv", "es-eb-cnv"])
def test_cnv(name):
    torch.manual_seed(0)
    model = build_network(name)
    x = torch.randint(0, 256, (4, 3, 32, 32)).float()
    scores = model(x)
    assert scores.shape == (4, 10)
    scores.square().sum().backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []
    maps = [b.out_channels // b.repeat for b in model.blocks]
    if name == "cnv":
        assert maps == [64, 64, 128, 128, 256, 256, 512, 512]
        # 1,542,848 weights are those of Brevitas' CNV
        assert sum(b.conv.weight.numel() for b in model.blocks) + model.head.weight.numel() == 1_542_848
    else:
        assert maps == [32, 16, 32, 32, 64, 64, 128, 128]
        assert [b.out_channels for b in model.blocks] == [128, 128, 256, 256, 512, 512, 1024, 1024]
        assert [layer.groups for _, layer in model.experts()] == [2, 2]
    other = build_network(model.name, model.config.model_dump())
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.eval()(x), model.eval()(x))


def test_es_eb_cnv_has_as_many_operations_as_the_plain_network_of_its_widths():
    es = build_network("es-eb-cnv").config
    plain = VggConfig(
        **es.model_dump(exclude={"blocks"}),
        blocks=[{**b.model_dump(), "kind": "binary", "tau": 1, "es_groups": 1} for b in es.blocks],
    )
    layers = {name: network_cost("vgg", config).layers for name, config in (("es", es), ("plain", plain))}
    bops = {
        name: [r.bops + r.macs for r in rows if r.kind in ("binary conv", "expert conv")]
        for name, rows in layers.items()
    }
    assert bops["es"] == bops["plain"]


def test_an_expert_block_with_expanding_and_shrinking_freezes():
    blocks = [
        {"width": 8, "tau": 2},
        {"kind": "expert", "width": 8, "tau": 2, "es_groups": 2, "experts": 3},
        {"width": 4},
    ]
    torch.manual_seed(0)
    model = randomize(build_network("vgg", {"blocks": blocks}))
    assert [b.out_channels for b in model.blocks] == [16, 32, 4]
    x = pixels(50)
    before, (_, layer) = model(x), next(model.experts())
    chosen = layer.gate.last_index
    after = model.freeze()(x)
    same = layer.gate.last_index == chosen
    assert same.float().mean() > 0.85
    assert torch.equal(before[same], after[same])


def test_a_network_with_real_layers_has_no_integer_form():
    model = build_network("1111-0.25-1:1:1:1", {"height": 16, "width": 16, "stem": "cifar"})
    assert model.freeze() is model
    assert not model.training
    assert not model.frozen


def test_real_weights_are_used_only_while_wanted():
    torch.manual_seed(0)
    model = build_network("vgg").eval()
    x = pixels(3)
    binary = model(x)
    use_real_weights(model, True)
    real = model(x)
    assert not torch.equal(real, binary)
    for block in model.blocks:
        assert torch.equal(block.conv.used_weight(), block.conv.weight)
    with torch.no_grad():
        for p in [block.conv.weight for block in model.blocks]:
            p.mul_(2)
    assert not torch.equal(model(x), real)
    use_real_weights(model, False)
    assert torch.equal(model(x), binary)
    use_real_weights(model.freeze(), True)
    with pytest.raises(RuntimeError, match="a frozen layer has binary weights"):
        model(x)


def test_a_stride_and_copies_of_its_own():
    blocks = [
        {"width": 4, "kernel": 4, "stride": 2, "tau": 2},
        {"kind": "expert", "width": 8, "experts": 2, "stride": 2, "tau": 2, "es_groups": 2, "copies": 2},
    ]
    model = build_network("vgg", {"blocks": blocks})
    assert [block.out_channels for block in model.blocks] == [8, 8]  # 4 maps twice, 8/2 maps twice
    x = torch.randint(0, 256, (5, 1, 8, 8)).float()
    signal = model.blocks[0](x)
    assert signal.bits.shape == (5, 8, 4, 4)
    assert model.blocks[1](signal).bits.shape == (5, 8, 2, 2)
    assert model.head.in_features == 8 * 2 * 2
    expected = model.eval()(x)
    assert model.freeze()(x).shape == expected.shape
