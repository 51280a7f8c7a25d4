import numpy as np
import pytest
import torch
from bitexpert.models.binary import BinaryConv2d, BinaryLinear


def naive_conv(x, w, *, stride, padding, pad_value, groups):
    """Direct loops over [B, C, H, W]; slow and plain on purpose."""
    b, _, h, wd = x.shape
    o, depth, k, _ = w.shape
    oh, ow = (h + 2 * padding - k) // stride + 1, (wd + 2 * padding - k) // stride + 1
    y = np.zeros((b, o, oh, ow), dtype=np.int64)
    for n, f, r, c in np.ndindex(*y.shape):
        first = (f // (o // groups)) * depth
        for d, i, j in np.ndindex(depth, k, k):
            row, col = r * stride + i - padding, c * stride + j - padding
            inside = 0 <= row < h and 0 <= col < wd
            y[n, f, r, c] += w[f, d, i, j] * (x[n, first + d, row, col] if inside else pad_value)
    return y


@pytest.mark.parametrize(
    ("pad_mode", "padding", "groups", "stride"),
    [("zero", 1, 1, 1), ("zero", 1, 2, 2), ("minus_one", 1, 1, 1), ("minus_one", 2, 4, 1), ("none", 0, 2, 1)],
)
def test_conv_against_loops(pad_mode, padding, groups, stride):
    torch.manual_seed(padding + groups)
    conv = BinaryConv2d(8, 4, 3, stride=stride, padding=padding, pad_mode=pad_mode, groups=groups)
    x = torch.where(torch.rand(2, 8, 5, 6) < 0.5, -1.0, 1.0)
    expected = naive_conv(
        x.numpy().astype(int),
        np.where(conv.weight.detach().numpy() >= 0, 1, -1),
        stride=stride,
        padding=padding,
        pad_value=-1 if pad_mode == "minus_one" else 0,
        groups=groups,
    )
    assert np.array_equal(conv(x).detach().numpy(), expected)


def test_padding_modes_differ():
    x = torch.ones(1, 2, 3, 3)
    zero = BinaryConv2d(2, 1, 3, padding=1, pad_mode="zero")
    minus = BinaryConv2d(2, 1, 3, padding=1, pad_mode="minus_one")
    with torch.no_grad():
        zero.weight.fill_(0.5)
        minus.weight.fill_(0.0)  # sign(0) = +1
    assert zero(x)[0, 0].tolist() == [[8, 12, 8], [12, 18, 12], [8, 12, 8]]
    assert minus(x)[0, 0].tolist() == [[-2, 6, -2], [6, 18, 6], [-2, 6, -2]]


def test_gradient_through_minus_one_padding():
    conv = BinaryConv2d(2, 3, 3, padding=1, pad_mode="minus_one")
    x = torch.randn(2, 2, 4, 4, requires_grad=True)
    upstream = torch.randn(2, 3, 4, 4)
    conv(x).backward(upstream)
    expected = torch.nn.functional.conv_transpose2d(upstream, conv.binary_weight(), padding=1)
    assert torch.allclose(x.grad, expected, atol=1e-5)


def test_integer_pixels_stay_exact():
    conv = BinaryConv2d(1, 3, 3, padding=1)
    x = torch.randint(0, 256, (2, 1, 8, 8)).float()
    expected = torch.nn.functional.conv2d(x.double(), conv.binary_weight().double(), padding=1)
    assert torch.equal(conv(x).double(), expected)


def test_weights_are_signs():
    conv = BinaryConv2d(4, 4)
    assert set(conv.binary_weight().unique().tolist()) == {-1.0, 1.0}
    assert conv.fan_in == 36


def test_linear_scores_are_integers():
    layer = BinaryLinear(20, 3)
    x = torch.where(torch.rand(5, 20) < 0.5, -1.0, 1.0)
    w = torch.where(layer.weight >= 0, 1.0, -1.0)
    assert torch.equal(layer(x), x @ w.t())


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"groups": 3}, "groups=3"),
        ({"pad_mode": "one"}, "pad_mode='one'"),
        ({"pad_mode": "none", "padding": 1}, "padding=1"),
        ({"padding": -1}, "padding=-1"),
    ],
)
def test_wrong_settings(kwargs, words):
    with pytest.raises(ValueError, match=words):
        BinaryConv2d(8, 4, 3, **kwargs)
