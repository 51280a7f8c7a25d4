import pytest
import torch
from bitexpert.models.binary import BinaryConv2d
from bitexpert.models.ebnet import Downsample, EBResNet, EBResNetConfig, ExpertBlock, ExpertUnit, Structure
from bitexpert.models.expert import ExpertConv2d
from bitexpert.models.networks import NetworkError, build_network
from freezing import assert_freezing_changes_no_score
from torch import nn

SMALL = {
    "structure": "1121-0.25-2:2:4:4",
    "height": 16,
    "width": 16,
    "class_names": tuple("0123456789"),
    "stem": "cifar",
}


def small(**changes):
    torch.manual_seed(0)
    return build_network("ebresnet", {**SMALL, **changes})


def images(n, seed=0):
    return torch.randint(0, 256, (n, 3, 16, 16), generator=torch.Generator().manual_seed(seed)).float()


def test_notation():
    structure = Structure.parse("1262-2-4:8:8:16")
    assert structure == Structure((1, 2, 6, 2), 2.0, (4, 8, 8, 16))
    assert structure.widths == (128, 256, 512, 1024)
    assert Structure.parse("1111-1.5-1:1:1:1").widths == (96, 192, 384, 768)


@pytest.mark.parametrize(
    "text", ["1262-2", "126-2-4:8:8:16", "1262-2-4:8:8", "1202-2-4:8:8:16", "1262-2-4:8:8:16 ", ""]
)
def test_wrong_notation(text):
    assert not Structure.matches(text)
    with pytest.raises(ValueError, match="is not of the form N0N1N2N3-E-G0:G1:G2:G3"):
        Structure.parse(text)
    with pytest.raises(NetworkError, match=r"structure: .* is not of the form"):
        build_network("ebresnet", {"structure": text})
    # as a network's name, what begins with a digit is meant as the notation
    words = "is not of the form" if text else "is unknown; there are: .*; or"
    with pytest.raises(NetworkError, match=f"{words} N0N1N2N3-E-"):
        build_network(text)


def test_a_name_of_the_form_whose_numbers_cannot_be():
    with pytest.raises(NetworkError, match="leaves no channels; its width expansion has to be at least 1/64"):
        build_network("1262-0-4:8:8:16")


def test_the_final_network():
    with torch.device("meta"):
        model = build_network("1262-2-4:8:8:16")
    assert isinstance(model, EBResNet)
    assert model.config.structure == "1262-2-4:8:8:16"
    assert [len(stage) for stage in model.stages] == [1, 2, 6, 2]
    convolutions = [layer for _, layer in model.experts()]
    assert len(convolutions) == 33
    assert [c.groups for c in convolutions[:3]] == [4, 4, 1]
    assert [c.kernel_size[0] for c in convolutions[:3]] == [3, 3, 1]
    assert {c.gate.experts for c in convolutions} == {4}
    assert model(torch.zeros(2, 3, 224, 224, device="meta")).shape == (2, 1000)


def test_notation_with_other_settings():
    model = build_network("1121-0.25-2:2:4:4", {**SMALL, "structure": "1111-1-1:1:1:1", "experts": 1})
    assert model.config.structure == "1121-0.25-2:2:4:4"
    assert model(images(2)).shape == (2, 10)


def test_no_channels_left():
    assert not Structure.matches("1262-0-4:8:8:16")
    with pytest.raises(NetworkError, match=r"structure: '1262-0.01-1:1:1:1' leaves no channels"):
        build_network("ebresnet", {"structure": "1262-0.01-1:1:1:1"})


@pytest.mark.parametrize("squeeze_excite", [False, True])
@pytest.mark.parametrize("gate", ["pre_sign", "sign"])
@pytest.mark.parametrize("ratio", [1, 4])
def test_every_parameter_is_trained(gate, squeeze_excite, ratio):
    model = small(gate=gate, squeeze_excite=squeeze_excite, downsample_ratio=ratio)
    nn.functional.cross_entropy(model(images(8)), torch.arange(8)).backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_a_unit_is_the_papers_formula():
    torch.manual_seed(0)
    unit = ExpertUnit(16, 16, groups=2, experts=3, squeeze_excite=True)
    with torch.no_grad():
        unit.alpha.weight.normal_()
        unit.bn.bias.normal_()
        unit.activation.weight.uniform_(-1, 1)
    x = torch.randn(5, 16, 6, 6)
    gate = unit.conv.conv.gate
    gate.normalize(unit.bn(x).mean((2, 3)))
    got = unit(x)
    xbar = (pre := unit.bn(x)).mean((2, 3))
    bank = unit.conv.conv.weight.reshape(3, 16, 8, 3, 3)
    expert = gate.linear(xbar).argmax(1)
    assert len(expert.unique()) > 1
    hidden = torch.relu(xbar @ unit.excite.squeeze.weight[:, :, 0, 0].t())
    factors = torch.sigmoid(hidden @ unit.excite.excite.weight[:, :, 0, 0].t())
    for i in range(5):
        bits = torch.where(pre[i : i + 1] >= 0, 1.0, -1.0)
        weight = torch.where(bank[expert[i]] >= 0, 1.0, -1.0)
        acc = nn.functional.conv2d(bits, weight, padding=1, groups=2)[0]
        y = acc * unit.alpha.weight * factors[i][:, None, None]
        y = torch.where(y >= 0, y, y * unit.activation.weight[:, None, None]) + x[i]
        assert torch.allclose(got[i], y, atol=1e-5)


def test_one_expert_is_a_plain_binary_network():
    model = small(experts=1)
    assert not list(model.experts())
    layers = [m for m in model.stages.modules() if isinstance(m, BinaryConv2d)]
    assert len(layers) == 15  # and none is left real, as in the authors' code
    assert all(layer.binary_weight().abs().eq(1).all() for layer in layers)
    many = small(experts=3)
    singles = dict(model.named_modules())
    for name, layer in many.experts():
        with torch.no_grad():
            layer.weight.copy_(singles[name].weight.repeat(3, 1, 1, 1))
    many.load_state_dict({k: v for k, v in model.state_dict().items() if "conv.conv" not in k}, strict=False)
    x = images(4)
    assert torch.equal(many.eval()(x), model.eval()(x))


def test_the_deep_block_mixes_only_where_there_are_groups():
    unit = {"experts": 2, "downsample_ratio": 1}
    assert len(ExpertBlock(8, 8, stride=1, groups=4, mixing=True, **unit)) == 3
    assert len(ExpertBlock(8, 8, stride=1, groups=4, mixing=False, **unit)) == 2
    assert len(ExpertBlock(8, 8, stride=1, groups=1, mixing=True, **unit)) == 2
    mixer = ExpertBlock(8, 8, stride=1, groups=4, mixing=True, **unit)[2].conv.conv
    assert isinstance(mixer, ExpertConv2d)
    assert (mixer.groups, mixer.kernel_size) == (1, (1, 1))


def test_the_shortcut_is_real_and_has_nothing_that_is_never_used():
    plain, deep = Downsample(16, 32, 2, 1), Downsample(16, 32, 2, 4)
    assert [type(m).__name__ for m in plain] == ["AvgPool2d", "Conv2d", "BatchNorm2d"]
    assert [type(m).__name__ for m in deep] == ["AvgPool2d", *["Conv2d", "BatchNorm2d", "PReLU"] * 2]
    assert [m.weight.shape[:2] for m in deep if isinstance(m, nn.Conv2d)] == [(4, 16), (32, 4)]
    # odd sizes round up, and the border is the mean of what is there
    assert torch.equal(deep[0](torch.ones(1, 16, 5, 5)), torch.ones(1, 16, 3, 3))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"structure": "1111-1-3:1:1:1"}, "stage 0 of '1111-1-3:1:1:1': groups=3 must divide the 64"),
        ({"downsample_ratio": 7}, "stage 0 .*: downsample_ratio=7 must divide the 64 channels"),
        ({"expert": 3}, "expert: this key is unknown"),
        ({"stem": "vit"}, "stem"),
        ({"stream": "integer", "squeeze_excite": True}, "stream 'integer' needs squeeze_excite false"),
        ({"stream": "integer", "height": 12}, "images whose sides 8 divides, not 12 x 16"),
        ({"stream": "integer", "stem": "dabnn"}, "images whose sides 32 divides, not 16 x 16"),
    ],
)
def test_wrong_configs(config, words):
    with pytest.raises(NetworkError, match=words):
        build_network("ebresnet", {**SMALL, **config})


@pytest.mark.parametrize(
    "settings",
    [{"experts": 1}, {"experts": 3}, {"experts": 2, "gate": "sign", "whiten": True, "downsample_ratio": 1}],
    ids=["one expert", "experts", "gates on bits"],
)
def test_a_stream_of_integers_trains_and_freezes_without_a_change(settings):
    model = small(**settings, stream="integer")
    nn.functional.cross_entropy(model(images(8)), torch.arange(8)).backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []
    assert_freezing_changes_no_score(model, images(40), least=0.5)


def test_a_frozen_units_largest_input_is_a_bound():
    """The bound decides where a normalization's threshold may be, and whether a gate's sums stay exact."""
    model = small(experts=1, stream="integer", stream_bits=3, structure="1121-0.25-1:1:1:1").eval()
    units = [unit for stage in model.stages for block in stage for unit in block]
    bound, positions, bounds = 4, 256, []
    for unit in units:
        positions, bound = unit.freeze(positions, bound)
        bounds.append(bound)
    # a shortcut that changes the size or the width begins anew
    assert bounds == [8, 12, 8, 12, 8, 12, 16, 20, 8, 12]
    assert positions == 4
    seen = []
    for unit in units:
        unit.register_forward_hook(lambda module, args, y: seen.append(float(y.abs().max() / module.quant.step)))
    with torch.no_grad():
        model(images(16))
    assert all(largest <= bound for largest, bound in zip(seen, bounds, strict=True))


def test_a_unit_on_a_stream_of_integers():
    """The paper's formula, with the PReLU rounded; the gate reads the normalized tensor as in the paper."""
    torch.manual_seed(0)
    unit = ExpertUnit(16, 16, groups=2, experts=3, bits=4)
    assert torch.allclose(unit.alpha.weight, torch.tensor(72**-0.5))
    with torch.no_grad():
        unit.bn.bias.normal_()
        unit.activation.weight.uniform_(0, 1)
    x = torch.randint(-12, 12, (5, 16, 6, 6)) / 2
    unit(x)
    got = unit.eval()(x)
    pre = unit.bn(2 * x)
    expert = unit.conv.conv.gate.linear(pre.mean((2, 3))).argmax(1)
    bank = unit.conv.conv.weight.reshape(3, 16, 8, 3, 3)
    for i in range(5):
        bits, weight = (torch.where(t >= 0, 1.0, -1.0) for t in (pre[i : i + 1], bank[expert[i]]))
        y = unit.activation(unit.alpha(nn.functional.conv2d(bits, weight, padding=1, groups=2)))[0]
        assert torch.equal(got[i], (2 * y).round().clamp(-8, 7) / 2 + x[i])


def test_a_unit_on_a_stream_of_real_numbers_is_not_frozen():
    with pytest.raises(ValueError, match="real numbers has no integer form"):
        ExpertUnit(16, 16).freeze(36, 8)


def test_it_costs_as_much_as_with_real_numbers():
    real, integer = (small(stream=stream).cost().as_dict() for stream in ("real", "integer"))
    assert real["bops"] > 0
    assert all(real[key] == integer[key] for key in ("bops", "macs", "binary_parameters"))


def test_training_that_diverged_is_named():
    model = small(stream="integer")
    with torch.no_grad():
        model.stages[1][0][0].bn.weight[3] = float("nan")
    with pytest.raises(NetworkError, match=r"stages.1.0.0: .*diverged"):
        model.freeze()


def test_state_survives_a_round_trip():
    model, other = small().eval(), EBResNet(EBResNetConfig(**SMALL)).eval()
    x = images(3)
    assert not torch.equal(model(x), other(x))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(x), other(x))


def test_whitened_gates():
    model = small(whiten=True)
    gates = [layer.gate for _, layer in model.experts()]
    assert gates
    assert all(gate.whitening is not None for gate in gates)
    nn.functional.cross_entropy(model(images(8)), torch.arange(8)).backward()
    assert all(gate.linear.weight.grad.abs().sum() > 0 for gate in gates)
    assert all(layer.gate.whitening is None for _, layer in small().experts())
