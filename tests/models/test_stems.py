import pytest
import torch
from bitexpert.models.stems import STEM_STRIDES, Classifier, DabnnStem, Stem, make_stem
from torch import nn


@pytest.mark.parametrize(
    ("kind", "width", "shape"),
    [("imagenet", 24, (24, 16, 16)), ("dabnn", 64, (64, 16, 16)), ("cifar", 24, (24, 64, 64))],
)
@pytest.mark.parametrize("repeat", [1, 4])
def test_shapes(kind, width, shape, repeat):
    stem = make_stem(kind, 3, width, repeat=repeat)
    y = stem(torch.rand(2, 3, 64, 64))
    assert y.shape == (2, shape[0] * repeat, *shape[1:])
    assert y.min() >= 0  # a ReLU is last
    if repeat > 1:  # copies are equal until they are trained
        assert torch.equal(y[:, : shape[0]], y[:, shape[0] : 2 * shape[0]])


def test_the_relu_can_be_left_out():
    assert make_stem("cifar", 3, 8, relu=False)(torch.rand(2, 3, 8, 8)).min() < 0


def test_copies_are_made_before_the_normalization():
    stem = Stem(3, 2, 3, 1, repeat=3).eval()
    with torch.no_grad():
        stem.bn.bias.copy_(torch.arange(6.0))
    x = torch.rand(1, 3, 4, 4)
    maps = stem.conv(x) / (1 + stem.bn.eps) ** 0.5
    assert torch.allclose(
        stem(x), torch.cat([maps + torch.tensor([2.0 * r, 2 * r + 1])[:, None, None] for r in range(3)], 1)
    )


def test_the_dabnn_stem_is_small_convolutions():
    shapes = [tuple(m.weight.shape) for m in DabnnStem(3).modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [(32, 3, 3, 3), (16, 32, 1, 1), (32, 16, 3, 3), (64, 64, 1, 1)]
    with pytest.raises(ValueError, match="'dabnn' makes 64 channels, not 16"):
        make_stem("dabnn", 3, 16)


@pytest.mark.parametrize(("kind", "width"), [("imagenet", 4), ("dabnn", 64), ("cifar", 4)])
@pytest.mark.parametrize("bits", [3, 4])
def test_a_stem_of_integers_gives_multiples_of_its_step(kind, width, bits):
    torch.manual_seed(0)
    stem = make_stem(kind, 3, width, repeat=2, relu=False, bits=bits)
    y = stem(torch.randint(0, 256, (16, 3, 32, 32)).float())
    assert y.shape[1:] == (2 * width, 32 // STEM_STRIDES[kind], 32 // STEM_STRIDES[kind])
    steps = y * 2 ** (bits - 1) / 4
    assert torch.equal(steps, steps.round())
    assert 2 ** (bits - 1) - 1 <= len(steps.unique()) <= 2**bits
    assert not [m for m in stem.modules() if type(m) is nn.Conv2d]  # none with real weights


def test_classifier():
    torch.manual_seed(0)
    x = torch.randn(2, 8, 3, 3)
    plain = Classifier(4, 5)
    assert plain.in_features == 4
    assert torch.allclose(plain(x), plain.linear(x[:, :4].mean((2, 3))))
    bent = Classifier(4, 5, activation=True)
    assert torch.allclose(bent(x), bent.linear(torch.where(x >= 0, x, 0.25 * x)[:, :4].mean((2, 3))))
