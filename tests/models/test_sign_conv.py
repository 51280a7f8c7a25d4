import pytest
import torch
from bitexpert.models.binary import BinaryConv2d
from bitexpert.models.sign_conv import SignConv2d
from torch.nn import functional as F


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(3, 1, 1), (3, 2, 2), (1, 1, 4)])
def test_one_expert_is_a_binary_convolution_of_signs(kernel, stride, groups):
    torch.manual_seed(0)
    layer = SignConv2d(8, 12, kernel, stride=stride, groups=groups)
    assert isinstance(layer.conv, BinaryConv2d)
    x = torch.randn(3, 8, 6, 6)
    x[0, 0, 0, 0] = 0.0  # a zero counts as +1
    bits = torch.where(x >= 0, 1.0, -1.0)
    weight = torch.where(layer.conv.weight >= 0, 1.0, -1.0)
    assert torch.equal(layer(x), F.conv2d(bits, weight, stride=stride, padding=kernel // 2, groups=groups))


@pytest.mark.parametrize("gate", ["pre_sign", "sign"])
def test_the_gate_reads_what_it_is_told_to(gate):
    torch.manual_seed(0)
    layer = SignConv2d(8, 4, experts=3, gate=gate)
    x = torch.randn(6, 8, 5, 5) * torch.rand(6, 8, 1, 1) * 9 + torch.randn(6, 8, 1, 1)
    bits = torch.where(x >= 0, 1.0, -1.0)
    read = (x if gate == "pre_sign" else bits).mean((2, 3))
    layer.conv.gate.normalize(read)
    y = layer(x)
    chosen = layer.conv.gate.linear(read).argmax(1)
    assert len(chosen.unique()) > 1
    banks = torch.where(layer.conv.weight >= 0, 1.0, -1.0).reshape(3, 4, 8, 3, 3)
    for i, expert in enumerate(chosen):
        assert torch.equal(y[i : i + 1], F.conv2d(bits[i : i + 1], banks[expert], padding=1))
