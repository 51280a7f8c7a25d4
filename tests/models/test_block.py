import copy
from fractions import Fraction

import pytest
import torch
from bitexpert.models.binary import BinaryConv2d
from bitexpert.models.block import BinaryBlock, batchnorm_affine, snap_batchnorm
from bitexpert.models.expert import ExpertConv2d
from bitexpert.models.shrink import tile_channels
from torch import nn


def random_bn(channels, seed=0, width=10.0):
    torch.manual_seed(seed)
    bn = nn.BatchNorm2d(channels).eval()
    with torch.no_grad():
        bn.weight.copy_(torch.randn(channels))
        bn.bias.copy_(torch.randn(channels) * 2)
        bn.running_mean.copy_(torch.randn(channels) * width)
        bn.running_var.copy_(torch.rand(channels) * width**2 + 0.1)
    return bn


def test_snapping_keeps_every_sign_of_every_accumulator():
    bound = 30
    bn = random_bn(64)
    with torch.no_grad():
        bn.weight[0], bn.bias[0] = 0.0, 0.0
        bn.weight[1], bn.bias[1] = 0.0, -1.0
        bn.running_mean[2] = 1000.0
        bn.running_mean[3] = -1000.0
    scale, offset = batchnorm_affine(bn)
    acc = range(-bound, bound + 1)
    exact = [
        [Fraction(s) * a + Fraction(b) >= 0 for a in acc] for s, b in zip(scale.tolist(), offset.tolist(), strict=True)
    ]
    snap_batchnorm(bn, bound)
    x = torch.arange(-bound, bound + 1.0).repeat(64, 1).t()[:, :, None, None]
    assert (bn(x)[:, :, 0, 0].t() >= 0).tolist() == exact
    # The crossing lies in the middle between two integers, so nothing comes near to zero.
    assert bn(x).abs().min() > 0.49
    assert {True, False} == set((bn.weight > 0).tolist())


def test_snapping_a_threshold_that_is_an_integer():
    bn = nn.BatchNorm2d(2, eps=0.0).eval()
    with torch.no_grad():
        bn.weight.copy_(torch.tensor([1.0, -1.0]))
        bn.running_mean.copy_(torch.tensor([3.0, 3.0]))
    x = torch.tensor([2.0, 3.0, 4.0])[:, None, None, None].expand(3, 2, 1, 1)
    snap_batchnorm(bn, 9)
    # At the threshold itself the value is 0, and sign(0) = +1 for both slopes.
    assert (bn(x) >= 0)[:, :, 0, 0].t().tolist() == [[False, True, True], [True, True, False]]


def test_snapping_at_integers_that_scales_do_not_divide_exactly():
    """Without a bias the crossing is the mean, whatever the scale: rounding must not push it past an integer."""
    bn = random_bn(200)
    mean = torch.arange(-100.0, 100.0)
    with torch.no_grad():
        bn.bias.zero_()
        bn.running_mean.copy_(mean)
    snap_batchnorm(bn, 200)
    assert (bn(mean[None, :, None, None]) >= 0).all()  # sign(0) = +1


def test_snapping_twice_changes_nothing():
    bn = random_bn(16)
    snap_batchnorm(bn, 50)
    once = bn.running_mean.clone()
    snap_batchnorm(bn, 50)
    assert torch.equal(bn.running_mean, once)


def test_snapping_a_diverged_layer_is_refused():
    bn = random_bn(4)
    bn.running_mean[1] = float("inf")
    with pytest.raises(ValueError, match="diverged"):
        snap_batchnorm(bn, 5)


def test_block_computes_tile_then_batch_norm_then_sign_then_pool():
    torch.manual_seed(0)
    block = BinaryBlock(BinaryConv2d(4, 3, 3, padding=1), repeat=4, pool=2).eval()
    block.bn.load_state_dict(random_bn(12, width=3.0).state_dict())
    x = torch.where(torch.rand(2, 4, 6, 6) < 0.5, -1.0, 1.0)
    out = block(x)
    acc = block.conv(x)
    pre = block.bn(acc.repeat(1, 4, 1, 1))
    bits = torch.where(pre >= 0, 1.0, -1.0)
    assert torch.equal(out.acc, acc)
    assert torch.equal(out.pre, pre)
    assert torch.equal(out.bits, nn.functional.max_pool2d(bits, 2))


def test_copies_are_equal_with_equal_parameters_and_start_apart():
    block = BinaryBlock(BinaryConv2d(4, 3, 3), repeat=2)
    x = torch.where(torch.rand(8, 4, 6, 6) < 0.5, -1.0, 1.0)
    pre = block(x).pre
    assert not torch.equal(pre[:, :3], pre[:, 3:])
    with torch.no_grad():
        block.bn.bias.zero_()
    pre = block(x).pre
    assert torch.equal(pre[:, :3], pre[:, 3:])


def test_plain_block_equals_tau_1():
    torch.manual_seed(0)
    x = torch.where(torch.rand(2, 4, 6, 6) < 0.5, -1.0, 1.0)
    conv = BinaryConv2d(4, 3, 3)
    block = BinaryBlock(conv, repeat=1)
    expected = torch.where(nn.BatchNorm2d(3)(conv(x)) >= 0, 1.0, -1.0)
    assert torch.equal(block(x).bits, expected)


def test_an_expert_needs_a_block_in_front():
    block = BinaryBlock(ExpertConv2d(4, 4, 3))
    with pytest.raises(TypeError, match="block in front"):
        block(torch.ones(1, 4, 5, 5))


@pytest.mark.parametrize("negative", [False, True])
def test_pooling_before_the_copies_changes_nothing(negative):
    torch.manual_seed(0)
    quick = BinaryBlock(BinaryConv2d(4, 6, 3, padding=1), repeat=4, pool=2)
    with torch.no_grad():
        quick.bn.weight.uniform_(0.2, 2.0)
        if negative:
            quick.bn.weight[::3] *= -1
    plain = copy.deepcopy(quick)
    x = torch.randint(0, 2, (16, 4, 8, 8)).float() * 2 - 1
    weight = torch.randn(16, 24, 4, 4)

    output = quick(x)
    (output.bits * weight).sum().backward()
    acc = plain.conv(x)
    pre = plain.bn(tile_channels(acc, 4))
    bits = plain.sign(plain.pool(pre))
    (bits * weight).sum().backward()

    assert torch.equal(output.bits, bits)
    assert torch.equal(output.acc, acc)
    torch.testing.assert_close(output.pre, pre, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.pre_mean, pre.mean((2, 3)), atol=1e-5, rtol=1e-5)
    for (name, a), (_, b) in zip(quick.named_parameters(), plain.named_parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-3, rtol=1e-4, msg=name)
    for (name, a), (_, b) in zip(quick.named_buffers(), plain.named_buffers(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6, msg=name)
