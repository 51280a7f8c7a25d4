import pytest
import torch
from bitexpert.models.binary import BinaryConv2d
from bitexpert.models.expert import BlockOutput, ExpertConv2d
from bitexpert.models.quant import binarize


def signal(batch=6, channels=16, side=5, seed=0):
    torch.manual_seed(seed)
    pre = torch.randn(batch, channels, side, side) + torch.randn(batch, channels, 1, 1)
    return BlockOutput(torch.where(pre >= 0, 1.0, -1.0), pre, torch.round(pre * 9))


@pytest.mark.parametrize(("pad_mode", "groups"), [("minus_one", 1), ("minus_one", 4), ("zero", 2)])
def test_one_expert_is_a_binary_convolution(pad_mode, groups):
    src = signal()
    expert = ExpertConv2d(16, 8, 3, experts=1, padding=1, pad_mode=pad_mode, groups=groups)
    conv = BinaryConv2d(16, 8, 3, padding=1, pad_mode=pad_mode, groups=groups)
    with torch.no_grad():
        conv.weight.copy_(expert.weight)
    assert torch.equal(expert(src), conv(src.bits))


@pytest.mark.parametrize("source", ["sign", "pre_sign"])
def test_equal_experts_make_the_gate_irrelevant(source):
    src = signal()
    layer = ExpertConv2d(16, 8, 3, experts=4, padding=1, groups=2, gate_source=source)
    layer.copy_first_expert()
    choices = torch.eye(4)
    results = [layer.mixed(src.bits, choices[e].expand(6, 4)) for e in range(4)]
    assert all(torch.equal(results[0], r) for r in results)
    assert torch.equal(layer(src), results[0])


def test_experts_differ_and_each_sample_gets_its_own():
    src = signal(batch=4)
    layer = ExpertConv2d(16, 8, 3, experts=4, padding=1, groups=2)
    together = layer.mixed(src.bits, torch.eye(4))
    for e in range(4):
        conv = BinaryConv2d(16, 8, 3, padding=1, pad_mode="minus_one", groups=2)
        with torch.no_grad():
            conv.weight.copy_(layer.weight[e * 8 : (e + 1) * 8])
        assert torch.equal(together[e : e + 1], conv(src.bits[e : e + 1]))
    assert not torch.equal(together[0], layer.mixed(src.bits[:1], torch.eye(4)[1:2])[0])


def test_gradients_are_those_of_mixing_binary_weights_straight_through():
    src = signal()
    layer = ExpertConv2d(16, 8, 3, experts=4, padding=1, groups=2)
    upstream = torch.randn(6, 8, 5, 5)
    choice = torch.eye(4)[[0, 2, 2, 3, 0, 1]].requires_grad_()
    layer.mixed(src.bits, choice).backward(upstream)
    found = choice.grad.clone(), layer.weight.grad.clone()
    choice.grad = layer.weight.grad = None
    weight = torch.einsum("bn,nk->bk", choice, binarize(layer.weight.reshape(4, -1)))
    padded = torch.nn.functional.pad(src.bits, (1,) * 4, value=-1.0)
    for n in range(6):
        kernel = weight[n].reshape(8, 8, 3, 3)
        y = torch.nn.functional.conv2d(padded[n : n + 1], kernel, groups=2)
        y.backward(upstream[n : n + 1], retain_graph=True)
    assert torch.allclose(found[0], choice.grad, atol=1e-4)
    assert torch.allclose(found[1], layer.weight.grad, atol=1e-4)


@pytest.mark.parametrize("real", [False, True])
def test_shared_gradients_are_a_mean_over_all_banks(real):
    src, layer = signal(), ExpertConv2d(16, 8, 3, experts=4, padding=1, groups=2)
    layer.real_weights = real
    upstream, choice = torch.randn(6, 8, 5, 5), torch.eye(4)[[0, 2, 2, 3, 0, 2]]

    def gradient(share):
        layer.share, layer.weight.grad = share, None
        layer.mixed(src.bits, choice).backward(upstream)
        return layer.weight.grad.reshape(4, -1)

    own, part, common = gradient(0.0), gradient(0.25), gradient(1.0)
    assert not own[1].any()
    assert own[[0, 2, 3]].abs().sum(1).min() > 0
    assert torch.allclose(common, own.mean(0).expand(4, -1), atol=1e-5)
    assert torch.allclose(part, 0.75 * own + 0.25 * common, atol=1e-5)


def test_experts_that_share_everything_learn_as_one():
    src, layer = signal(), ExpertConv2d(16, 8, 3, experts=4, padding=1, groups=2)
    layer.copy_first_expert()
    layer.share = 1.0
    layer(src).square().sum().backward()
    banks = layer.weight.grad.reshape(4, -1)
    assert banks[0].abs().sum() > 0
    assert torch.allclose(banks, banks[:1].expand(4, -1), atol=1e-4)


def test_only_the_chosen_expert_gets_weight_gradient_but_all_logits_do():
    src = signal()
    layer = ExpertConv2d(16, 8, 3, experts=4, padding=1, gate_source="pre_sign")
    (layer(src) * torch.randn(6, 8, 5, 5)).sum().backward()
    used = set(layer.gate.last_index.tolist())
    banks = layer.weight.grad.reshape(4, -1).abs().sum(1)
    assert {e for e in range(4) if banks[e] > 0} == used
    assert (layer.gate.linear.bias.grad.abs() > 0).all()


@pytest.mark.parametrize("source", ["sign", "pre_sign"])
def test_frozen_layer_convolves_with_the_integer_choice(source):
    src = signal(batch=40)
    layer = ExpertConv2d(16, 8, 3, experts=4, padding=1, groups=2, gate_source=source).eval()
    layer.gate.freeze(25, scale=torch.full((16,), 1 / 9), offset=torch.zeros(16), largest=60)
    y = layer(src)
    index = layer.gate.last_index
    assert torch.equal(index, layer.gate.index(src.bits if source == "sign" else src.acc))
    assert len(index.unique()) > 1
    assert torch.equal(y, layer.mixed(src.bits, torch.eye(4)[index]))


def test_a_gate_source_is_what_it_says():
    src = signal()
    sign = ExpertConv2d(16, 8, 3, gate_source="sign")
    pre = ExpertConv2d(16, 8, 3, gate_source="pre_sign")
    assert torch.equal(sign.gate_means(src), src.bits.mean((2, 3)))
    assert torch.equal(pre.gate_means(src), src.pre.mean((2, 3)))
    pre.gate.freeze(25, scale=torch.ones(16), offset=torch.zeros(16))
    pre.eval()(src)
    assert torch.equal(pre.gate.last_index, pre.gate.index(src.acc))
    assert not torch.equal(pre.gate.last_index, pre.gate.index(src.pre.flip(0)))


def test_training_a_frozen_layer_is_refused():
    layer = ExpertConv2d(16, 8, 3, gate_source="sign")
    layer.gate.freeze(25)
    with pytest.raises(RuntimeError, match="frozen"):
        layer.train()(signal())


@pytest.mark.parametrize(("kwargs", "words"), [({"groups": 3}, "groups=3"), ({"experts": 0}, "experts=0")])
def test_wrong_settings(kwargs, words):
    with pytest.raises(ValueError, match=words):
        ExpertConv2d(16, 8, 3, **kwargs)


def test_the_tensor_before_the_sign_is_computed_when_it_is_asked_for():
    calls = []

    def compute():
        calls.append(1)
        return torch.ones(2, 3, 4, 4)

    output = BlockOutput(torch.ones(2, 3, 2, 2), compute, torch.ones(2, 3, 4, 4), torch.zeros(2, 3))
    assert torch.equal(output.pre_mean, torch.zeros(2, 3))
    assert not calls
    assert output.pre is output.pre
    assert calls == [1]


def test_one_expert_alone_is_its_bank():
    src = signal()
    layer = ExpertConv2d(16, 8, 3, experts=4, padding=1, groups=2)
    expected = layer.mixed(src.bits, torch.eye(4)[[0] * 6])
    layer.gate.single = True
    assert torch.equal(layer(src), expected)
    assert layer.gate.last_index.tolist() == [0] * 6
