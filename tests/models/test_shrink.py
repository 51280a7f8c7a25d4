import pytest
import torch
from bitexpert.models.binary import BinaryConv2d
from bitexpert.models.shrink import ExpandShrink, tile_channels


def test_copy_r_of_map_a_is_channel_r_m_plus_a():
    x = torch.randn(2, 5, 3, 4)
    y = tile_channels(x, 6)
    assert y.shape == (2, 30, 3, 4)
    for r in range(6):
        for a in range(5):
            assert torch.equal(y[:, r * 5 + a], x[:, a])


def test_gradient_is_the_sum_over_copies():
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: tile_channels(t, 4), (x,))


@pytest.mark.parametrize(
    ("tau", "groups", "first", "maps", "repeat", "out"),
    [(2, 1, False, 16, 4, 64), (2, 2, False, 16, 8, 128), (2, 2, True, 32, 4, 128), (4, 1, False, 8, 16, 128)],
)
def test_shapes(tau, groups, first, maps, repeat, out):
    es = ExpandShrink(32, tau=tau, groups=groups, first=first)
    assert (es.maps, es.repeat, es.out_channels) == (maps, repeat, out)
    assert es.conv_groups == (1 if first else groups)
    assert es(torch.zeros(1, maps, 2, 2)).shape == (1, out, 2, 2)


@pytest.mark.parametrize(("tau", "groups"), [(1, 1), (2, 1), (2, 2), (4, 2)])
def test_weights_and_products_stay_the_same(tau, groups):
    ci, co = 16, 32
    es = ExpandShrink(co, tau=tau, groups=groups)
    conv = BinaryConv2d(ci * tau * groups, es.maps, 3, groups=es.conv_groups)
    assert conv.weight.numel() == ci * co * 9


def test_tau_1_without_groups_changes_nothing():
    es = ExpandShrink(8)
    x = torch.randn(1, 8, 2, 2)
    assert es(x) is x


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [({"tau": 3}, "take 33 channels"), ({"tau": 2, "groups": 32}, "must divide the 32"), ({"tau": 0}, "tau=0")],
)
def test_wrong_widths(kwargs, words):
    with pytest.raises(ValueError, match=words):
        ExpandShrink(32, **kwargs)


def test_wrong_input():
    with pytest.raises(ValueError, match="expected 16 maps to copy, got 32"):
        ExpandShrink(32, tau=2)(torch.zeros(1, 32, 2, 2))
