"""Each structure that a foreign network may have, by itself: from its file to the integer reference."""

import brevitas.nn as qnn
import pytest
import torch
import torch.nn.functional as F
from bitexpert.flow.model_file import ModelError
from brevitas.core.restrict_val import RestrictValueType
from brevitas.quant import Int8WeightPerTensorFixedPoint, Int8WeightPerTensorFloat, Uint8ActPerTensorFixedPoint
from brevitas.quant.binary import SignedBinaryWeightPerTensorConst
from flownets import HalfSign, Int8Input, PlainSign, export_module, sign
from torch import nn
from wholeway import accelerator


class Weight(SignedBinaryWeightPerTensorConst):
    """A power of two: float32 sums of such weights are exact, so that no tie hangs on rounding."""

    scaling_const = 0.1


class Weight2(Int8WeightPerTensorFloat):
    bit_width = 2


class Weight3PerChannel(Int8WeightPerTensorFloat):
    bit_width = 3
    scaling_per_output_channel = True


class Weight4(Int8WeightPerTensorFixedPoint):
    bit_width = 4


class Uint2(Uint8ActPerTensorFixedPoint):
    """0..3 times a power of two."""

    bit_width = 2
    scaling_impl_type = "const"
    scaling_init = 3.0
    restrict_scaling_type = RestrictValueType.POWER_OF_TWO


def act(kind):
    return qnn.QuantIdentity(act_quant=kind)


def conv(*sizes, weight=Weight, bias=False, **more):
    return qnn.QuantConv2d(*sizes, bias=bias, weight_quant=weight, **more)


def dense(*sizes, weight=Weight, bias=False):
    return qnn.QuantLinear(*sizes, bias=bias, weight_quant=weight)


class Net(nn.Module):
    """A layer, what is tried, and a linear layer."""

    shape = (2, 6, 5)

    def __init__(self, **parts):
        super().__init__()
        self.quant = act(Int8Input)
        self.first, self.bn, self.sign = conv(2, 8, 3, padding=1), nn.BatchNorm2d(8), sign()
        self.fc = nn.LazyLinear(1)
        for name, part in parts.items():
            setattr(self, name, part)

    def start(self, x):
        return self.sign(self.bn(self.first(self.quant(x))))

    def middle(self, x):
        return x

    def forward(self, x):
        x = self.middle(self.start(x)).flatten(1)
        if isinstance(self.fc, nn.LazyLinear):
            self.fc = dense(x.shape[1], 3)
        return self.fc(x)


def net(middle, **parts):
    made = Net(**parts)
    made.middle = lambda x: middle(made, x)
    with torch.no_grad():
        made.eval()(torch.zeros(1, *made.shape))
    return made


def branches(m, x):
    return torch.cat([m.sign2(m.bn2(m.left(x))), m.sign2(m.bn3(m.right(x)))], dim=1)


def split(m, x):
    a, b = x.split([3, 5], dim=1)
    return torch.cat([m.sign2(m.left(a)), m.sign2(m.right(b))], dim=1)


TWO = {
    "left": lambda: conv(8, 4, 3, padding=1),
    "right": lambda: conv(8, 6, 1),
    "bn2": lambda: nn.BatchNorm2d(4),
    "bn3": lambda: nn.BatchNorm2d(6),
    "sign2": lambda: sign(HalfSign),
}
STRUCTURES = {
    "1x1": (lambda m, x: m.sign2(m.conv(x)), {"conv": lambda: conv(8, 5, 1), "sign2": sign}),
    "bias": (lambda m, x: m.sign2(m.conv(x)), {"conv": lambda: conv(8, 5, 3, bias=True), "sign2": sign}),
    "depthwise": (
        lambda m, x: m.sign2(m.bn2(m.conv(x))),
        {"conv": lambda: conv(8, 8, 3, groups=8, padding=1), "bn2": lambda: nn.BatchNorm2d(8), "sign2": sign},
    ),
    "groups, stride, dilation": (
        lambda m, x: m.sign2(m.conv(F.pad(x, (2, 0, 1, 3)))),
        {"conv": lambda: conv(8, 6, (2, 3), groups=2, stride=(2, 1), dilation=(3, 2)), "sign2": sign},
    ),
    "2-bit weights": (
        lambda m, x: m.sign2(m.bn2(m.conv(x))),
        {"conv": lambda: conv(8, 6, 3, weight=Weight2), "bn2": lambda: nn.BatchNorm2d(6), "sign2": sign},
    ),
    "3-bit weights, a scale each": (
        lambda m, x: m.sign2(m.bn2(m.conv(x))),
        {"conv": lambda: conv(8, 6, 3, weight=Weight3PerChannel), "bn2": lambda: nn.BatchNorm2d(6), "sign2": sign},
    ),
    "4-bit weights, 2-bit activations": (
        lambda m, x: m.act2(m.bn2(m.conv(x))),
        {
            "conv": lambda: conv(8, 6, 3, weight=Weight4),
            "bn2": lambda: nn.BatchNorm2d(6),
            "act2": lambda: act(Uint2),
        },
    ),
    "2-bit activations, zero padding": (
        lambda m, x: m.sign2(m.conv(m.act2(m.bn2(m.conv0(x))))),
        {
            "conv0": lambda: conv(8, 6, 3, padding=1),
            "bn2": lambda: nn.BatchNorm2d(6),
            "act2": lambda: act(Uint2),
            "conv": lambda: conv(6, 4, 3, padding=(2, 0)),
            "sign2": sign,
        },
    ),
    "relu in front of a quantizer": (
        lambda m, x: m.act2(F.relu(m.bn2(m.conv(x)))),
        {"conv": lambda: conv(8, 6, 3), "bn2": lambda: nn.BatchNorm2d(6), "act2": lambda: act(Uint2)},
    ),
    "max pool on bits": (lambda m, x: F.max_pool2d(x, 2), {}),
    "max pool, overlapping and padded": (lambda m, x: F.max_pool2d(x, 3, 2, padding=1), {}),
    "max pool, ceil_mode": (lambda m, x: F.max_pool2d(x, 2, ceil_mode=True), {}),
    "max pool on falling accumulators": (
        lambda m, x: m.sign2(F.max_pool2d(m.bn2(m.conv(x)), (2, 3), (1, 2))),
        {"conv": lambda: conv(8, 6, 3, padding=1), "bn2": lambda: nn.BatchNorm2d(6), "sign2": sign},
    ),
    "max pool on copies that rise and fall": (
        lambda m, x: m.sign2(F.max_pool2d(m.bn2(m.conv(x).repeat(1, 3, 1, 1)), 2)),
        {"conv": lambda: conv(8, 4, 3, padding=1), "bn2": lambda: nn.BatchNorm2d(12), "sign2": sign},
    ),
    "average pool on bits": (
        lambda m, x: m.sign2(m.bn2(F.avg_pool2d(x, 2))),
        {"bn2": lambda: nn.BatchNorm2d(8), "sign2": sign},
    ),
    "average pool, overlapping and padded": (
        lambda m, x: m.sign2(m.bn2(F.avg_pool2d(x, 3, 1, padding=1))),
        {"bn2": lambda: nn.BatchNorm2d(8), "sign2": sign},
    ),
    "global average into the scores": (lambda m, x: F.adaptive_avg_pool2d(x, 1), {}),
    "mean over rows and columns": (lambda m, x: x.mean((2, 3)), {}),
    "global maximum": (lambda m, x: F.adaptive_max_pool2d(x, 1), {}),
    "batch norm on bits": (
        lambda m, x: m.sign2(m.bn2(x)),
        {"bn2": lambda: nn.BatchNorm2d(8), "sign2": sign},
    ),
    "batch norm behind flatten": (
        lambda m, x: m.sign2(m.bn2(m.conv(x).flatten(1))),
        {"conv": lambda: conv(8, 3, 3), "bn2": lambda: nn.BatchNorm1d(36), "sign2": sign},
    ),
    "fork and concat": (branches, TWO),
    "split and concat": (
        split,
        {"left": lambda: conv(3, 4, 3), "right": lambda: conv(5, 2, 3), "sign2": lambda: sign(HalfSign)},
    ),
    "copies by repeat": (
        lambda m, x: m.sign2(m.bn2(m.conv(x).repeat(1, 4, 1, 1))),
        {"conv": lambda: conv(8, 3, 3), "bn2": lambda: nn.BatchNorm2d(12), "sign2": sign},
    ),
    "copies by cat": (
        lambda m, x: m.sign2(m.bn2(torch.cat([m.conv(x)] * 4, dim=1))),
        {"conv": lambda: conv(8, 3, 3), "bn2": lambda: nn.BatchNorm2d(12), "sign2": sign},
    ),
    "copies by repeat_interleave": (
        lambda m, x: m.sign2(m.bn2(m.conv(x).unsqueeze(2).repeat(1, 1, 2, 1, 1).flatten(1, 2))),
        {"conv": lambda: conv(8, 3, 3), "bn2": lambda: nn.BatchNorm2d(6), "sign2": sign},
    ),
    "copies of bits": (
        lambda m, x: m.sign2(m.conv(torch.cat([x, x[:, :2]], dim=1))),
        {"conv": lambda: conv(10, 3, 3), "sign2": sign},
    ),
    "channels last": (lambda m, x: x.permute(0, 2, 3, 1), {}),
    "channels last and back": (
        lambda m, x: m.sign2(m.conv(x.permute(0, 2, 3, 1).reshape(-1, 30, 8).permute(0, 2, 1).reshape(-1, 8, 6, 5))),
        {"conv": lambda: conv(8, 3, 3), "sign2": sign},
    ),
    "shuffled channels into groups": (
        lambda m, x: m.sign2(m.conv(x.reshape(-1, 2, 4, 6, 5).transpose(1, 2).reshape(-1, 8, 6, 5))),
        {"conv": lambda: conv(8, 4, 3, groups=2), "sign2": sign},
    ),
    "residual of equal scales": (
        lambda m, x: m.sign2(m.bn2(m.conv(x) + m.other(x))),
        {
            "conv": lambda: conv(8, 6, 3, padding=1),
            "other": lambda: conv(8, 6, 1),
            "bn2": lambda: nn.BatchNorm2d(6),
            "sign2": sign,
        },
    ),
    "residual around a layer": (
        lambda m, x: m.sign2(m.bn2(m.conv(x) * 5 + x)),
        {"conv": lambda: conv(8, 8, 3, padding=1), "bn2": lambda: nn.BatchNorm2d(8), "sign2": sign},
    ),
    "residual on a grid": (
        lambda m, x: m.sign2(m.bn2(m.conv(x) * (33 / 256) + x * 0.5)),
        {
            "conv": lambda: conv(8, 8, 3, padding=1, weight=Weight4),
            "bn2": lambda: nn.BatchNorm2d(8),
            "sign2": sign,
        },
    ),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_structure(name, tmp_path):
    middle, parts = STRUCTURES[name]
    torch.manual_seed(1)
    module = net(middle, **{key: make() for key, make in parts.items()})
    accelerator(export_module(module, tmp_path / "model.onnx", seed=3))


class Flat(nn.Module):
    shape = (13,)

    def __init__(self, end, quant=PlainSign):
        super().__init__()
        self.quant, self.end = act(quant), end
        self.fc1, self.bn1, self.sign1 = dense(13, 7), nn.BatchNorm1d(7), sign()
        self.fc2 = dense(7, 5, bias=True)

    def forward(self, x):
        return self.end(self.fc2(self.sign1(self.bn1(self.fc1(self.quant(x))))))


ENDS = {
    "scores with a bias a class": lambda y: y,
    "scores scaled a class": lambda y: y * torch.tensor([0.5, -2.0, 1.0, 0.3, 7.0]),
    "one layer less": lambda y: y * 0.125 - 1.5,
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("quant", [PlainSign, Int8Input, Uint2])
def test_ends_and_inputs(name, quant, tmp_path):
    torch.manual_seed(2)
    accelerator(export_module(Flat(ENDS[name], quant), tmp_path / "model.onnx", seed=4))


class Decision(Flat):
    def __init__(self, end):
        super().__init__(end)
        self.fc2 = dense(7, 5)


@pytest.mark.parametrize(
    ("end", "k"),
    [
        (lambda y: y.argmax(1), 1),
        (lambda y: y.argmax(1, keepdim=True), 1),
        (lambda y: y.topk(3, dim=1)[1], 3),
        (lambda y: (y * -1.0).argmax(1), 1),
    ],
)
def test_decisions(end, k, tmp_path):
    torch.manual_seed(3)
    graph, _ = accelerator(export_module(Decision(end), tmp_path / "model.onnx", seed=5))
    assert graph.nodes[-1].op.kind == "TopK"
    assert graph.meta["top_k"] == k


class Single(nn.Module):
    """One layer, and nothing else."""

    shape = (3, 5, 7)

    def __init__(self, *behind):
        super().__init__()
        self.quant, self.conv, self.behind = act(Int8Input), conv(3, 4, 3, padding=1), nn.Sequential(*behind)

    def forward(self, x):
        return self.behind(self.conv(self.quant(x)))


@pytest.mark.parametrize("behind", [(), (nn.BatchNorm2d(4), sign()), (nn.Flatten(),), (nn.MaxPool2d(2),)])
def test_networks_of_a_single_layer(behind, tmp_path):
    torch.manual_seed(4)
    accelerator(export_module(Single(*behind), tmp_path / "model.onnx", seed=6))


REFUSED = {
    "a sigmoid": (lambda m, x: torch.sigmoid(m.conv(x)), "Sigmoid) cannot become hardware"),
    "a layer on real numbers": (lambda m, x: m.bn2(m.conv(x)).relu(), "went through ReLU, PReLU or Clip"),
    "a product of two": (lambda m, x: m.conv(x) * m.conv(x), "it multiplies two streams"),
    "a rolled image": (lambda m, x: x.roll(1, 3), "it reads pixels in another order than they come"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name, tmp_path):
    middle, reason = REFUSED[name]
    module = net(
        lambda m, x: m.fc0(middle(m, x)), conv=conv(8, 8, 3, padding=1), bn2=nn.BatchNorm2d(8), fc0=conv(8, 2, 3)
    )
    with pytest.raises(ModelError) as caught:
        accelerator(export_module(module, tmp_path / "model.onnx"))
    assert reason in str(caught.value)
    assert "What to do: " in str(caught.value)
    assert "\n" not in str(caught.value)
