import pytest
import torch
from bitexpert.models.arithmetic import ChannelBias, ChannelMix, ChannelScale, Product, RPReLU, SqueezeExcite, Sum


def test_factors_and_offsets_are_of_channels_and_start_neutral():
    x = torch.randn(2, 3, 4, 5)
    for layer, parameter, expected in [
        (ChannelScale(3), "weight", lambda v: x * v.reshape(1, 3, 1, 1)),
        (ChannelBias(3), "bias", lambda v: x + v.reshape(1, 3, 1, 1)),
    ]:
        assert torch.equal(layer(x), x)
        values = torch.tensor([2.0, -1.0, 0.5])
        with torch.no_grad():
            getattr(layer, parameter).copy_(values.reshape(3, 1, 1))
        assert torch.equal(layer(x), expected(values))


def test_mix_starts_half_and_half_and_stays_between():
    a, b = torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1)
    mix = ChannelMix(2)
    assert torch.equal(mix(a, b), torch.full((1, 2, 1, 1), 0.5))
    with torch.no_grad():
        mix.logit.copy_(torch.tensor([50.0, -50.0]).reshape(2, 1, 1))
    assert torch.allclose(mix(a, b).flatten(), torch.tensor([0.0, 1.0]))
    mix(a, b).sum().backward()
    assert torch.isfinite(mix.logit.grad).all()


def test_sum_and_product():
    a, b = torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2, 2)
    assert torch.equal(Sum()(a, b), a + b)
    assert torch.equal(Product()(a, b[:, :, :1, :1]), a * b[:, :, :1, :1])


def test_rprelu_bends_at_its_offset():
    layer = RPReLU(1)
    with torch.no_grad():
        layer[0].bias.fill_(-2.0)
        layer[2].bias.fill_(1.0)
    x = torch.tensor([3.0, 2.0, -2.0]).reshape(3, 1, 1, 1)
    assert layer(x).flatten().tolist() == [2.0, 1.0, 0.0]


@pytest.mark.parametrize(("repeat", "bias"), [(1, False), (4, True)])
def test_squeeze_excite_is_its_formula(repeat, bias):
    torch.manual_seed(0)
    layer = SqueezeExcite(8, 3, 5, repeat=repeat, bias=bias)
    x = torch.randn(2, 8, 4, 4)
    w1, w2 = layer.squeeze.weight[:, :, 0, 0], layer.excite.weight[:, :, 0, 0]
    assert (w1.shape, w2.shape) == ((3, 8), (5, 3 * repeat))
    b1, b2 = (layer.squeeze.bias, layer.excite.bias) if bias else (0, 0)
    hidden = torch.relu((x.mean((2, 3)) @ w1.t() + b1).repeat(1, repeat))
    expected = torch.sigmoid((hidden @ w2.t() + b2).repeat(1, repeat))
    assert torch.allclose(layer(x)[:, :, 0, 0], expected, atol=1e-6)
    assert (len(list(layer.parameters())) == 4) is bias


def test_too_few_channels():
    with pytest.raises(ValueError, match="the 4 channels are too few for squeeze-and-excitation"):
        SqueezeExcite(4, 0, 4)
