"""Small random networks as QONNX files: Brevitas modules with scales, slopes of every sign, ES, groups and padding."""

from __future__ import annotations

from pathlib import Path

import brevitas.nn as qnn
import numpy as np
import torch
import torch.nn.functional as F
from bitexpert.flow.quiet import quiet
from bitexpert.models.networks import build_network
from brevitas.quant.binary import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst
from brevitas.quant.fixed_point import Int8ActPerTensorFixedPoint
from torch import nn


class Weight(SignedBinaryWeightPerTensorConst):
    scaling_const = 0.1


class HalfSign(SignedBinaryActPerTensorConst):
    """Activations -0.5 and +0.5."""

    min_val, max_val = -0.5, 0.5


class PlainSign(SignedBinaryActPerTensorConst):
    min_val, max_val = -1.0, 1.0


class Int8Input(Int8ActPerTensorFixedPoint):
    """Signed pixels with the scale 2^-7."""

    scaling_impl_type = "const"
    scaling_init = 127 / 128


def scramble(model: nn.Module, inputs: torch.Tensor, seed: int) -> None:
    """Random batch normalizations that still let the signs vary: slopes above, below and of exactly 0, constants."""
    g = torch.Generator().manual_seed(seed)
    norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) and m.affine]
    with torch.no_grad():
        for bn in norms:
            n, bn.momentum = bn.num_features, 1.0
            bn.weight.copy_(torch.randn(n, generator=g))
            bn.weight[: max(1, n // 5)] = 0.0
            bn.bias.copy_(torch.randn(n, generator=g) * 0.4)
            bn.train()
        for _ in norms:  # each forward settles one more layer
            model(inputs)
        for bn in norms:
            bn.eval()
            bn.running_mean[-1] += 50 * bn.running_var[-1].sqrt() + 1  # out of reach


def sign(kind=PlainSign) -> nn.Module:
    return qnn.QuantIdentity(act_quant=kind)


class Scaled(nn.Module):
    """Scales everywhere: signed input, weights +-0.1, activations +-0.5, biases, uneven zeros around, PReLU."""

    shape = (3, 8, 6)

    def __init__(self):
        super().__init__()
        self.quant = qnn.QuantIdentity(act_quant=Int8Input)
        self.conv1 = qnn.QuantConv2d(3, 8, 3, padding=1, bias=True, weight_quant=Weight)
        self.pool = nn.MaxPool2d(2)
        self.bn1 = nn.BatchNorm2d(8)
        self.sign1 = sign(HalfSign)
        self.conv2 = qnn.QuantConv2d(8, 6, (3, 2), groups=2, bias=False, weight_quant=Weight)
        self.prelu = nn.PReLU(6)
        self.bn2 = nn.BatchNorm2d(6)
        self.sign2 = sign(HalfSign)
        self.fc1 = qnn.QuantLinear(90, 10, bias=True, weight_quant=Weight)
        self.bn3 = nn.BatchNorm1d(10)
        self.sign3 = sign()
        self.fc2 = qnn.QuantLinear(10, 4, bias=False, weight_quant=Weight)

    def forward(self, x):
        x = self.sign1(self.bn1(self.pool(self.conv1(self.quant(x)))))
        x = self.sign2(self.bn2(self.prelu(self.conv2(F.pad(x, (0, 1, 2, 1))))))
        return self.fc2(self.sign3(self.bn3(self.fc1(x.flatten(1))))) * 0.25 + 3.0


class Padded(nn.Module):
    """ES by ``repeat`` (Expand and Tile), the bit 0 around, stride 2, a 1x1 convolution, sign after Flatten."""

    shape = (2, 9, 7)

    def __init__(self):
        super().__init__()
        self.quant = sign()
        self.conv1 = qnn.QuantConv2d(2, 4, 3, stride=2, padding=1, bias=False, weight_quant=Weight)
        self.bn1 = nn.BatchNorm2d(12)
        self.sign1 = sign(HalfSign)
        self.conv2 = qnn.QuantConv2d(12, 6, 3, groups=3, bias=False, weight_quant=Weight)
        self.bn2 = nn.BatchNorm2d(6)
        self.sign2 = sign()
        self.conv3 = qnn.QuantConv2d(6, 5, 1, bias=False, weight_quant=Weight)
        self.bn3 = nn.BatchNorm1d(5 * 5 * 4)
        self.sign3 = sign()
        self.fc = qnn.QuantLinear(5 * 5 * 4, 3, bias=False, weight_quant=Weight)

    def forward(self, x):
        y = self.conv1(self.quant(x)).repeat(1, 3, 1, 1)
        y = F.pad(self.sign1(self.bn1(y)), (1, 1, 1, 1), value=-0.5)
        y = self.sign2(self.bn2(self.conv2(y)))
        return self.fc(self.sign3(self.bn3(self.conv3(y).flatten(1))))


class Dilated(nn.Module):
    """Dilation with zeros around, and a PReLU in front of the batch normalization."""

    shape = (1, 9, 7)

    def __init__(self):
        super().__init__()
        self.quant = sign()
        self.conv = qnn.QuantConv2d(1, 4, 3, dilation=2, padding=2, bias=False, weight_quant=Weight)
        self.prelu = nn.PReLU(4)
        self.bn = nn.BatchNorm2d(4)
        self.sign = sign()
        self.fc = qnn.QuantLinear(4 * 9 * 7, 3, bias=False, weight_quant=Weight)

    def forward(self, x):
        return self.fc(self.sign(self.bn(self.prelu(self.conv(self.quant(x))))).flatten(1))


class Dense(nn.Module):
    """Fully connected, flat input, as TFC of BNN-PYNQ."""

    shape = (21,)

    def __init__(self):
        super().__init__()
        self.quant = sign()
        self.fc1 = qnn.QuantLinear(21, 16, bias=False, weight_quant=Weight)
        self.bn = nn.BatchNorm1d(16)
        self.sign = sign()
        self.fc2 = qnn.QuantLinear(16, 5, bias=False, weight_quant=Weight)

    def forward(self, x):
        return self.fc2(self.sign(self.bn(self.fc1(self.quant(x)))))


def export_module(module: nn.Module, path: Path, seed: int = 0) -> Path:
    """Write a module with random weights as QONNX, the way users do it with Brevitas."""
    from brevitas.export import export_qonnx

    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            if p.ndim > 1:
                p.copy_(torch.rand(p.shape, generator=g) * 2 - 1)
    module.eval()
    scramble(module, torch.rand((64, *module.shape), generator=g) * 2 - 1, seed)
    with quiet(), torch.no_grad():
        export_qonnx(module, torch.zeros(1, *module.shape), export_path=str(path), dynamo=False, opset_version=13)
    return path


def vgg(config: dict, seed: int = 0, *, snap: bool = True) -> nn.Module:
    """A network of bitexpert's own layers with random statistics; ``snap=False`` leaves its batch norms as they are."""
    torch.manual_seed(seed)
    model = build_network("vgg", config).eval()
    shape = (model.config.channels, model.config.height, model.config.width)
    inputs = torch.randint(0, 256, (64, *shape)).float()
    scramble(model, inputs, seed)
    if snap:
        balance(model.freeze(), inputs)
    return model


def balance(model: nn.Module, inputs: torch.Tensor) -> None:
    """Shift the frozen gates' scores so that random inputs use several experts."""
    for _, layer in model.experts():
        gate, index = layer.gate, layer.gate.index

        def recorded(source, gate=gate, index=index):
            sums = source.double().sum((2, 3))
            scores = sums @ gate.weight_int.double().t() + gate.bias_int.double()
            gate.bias_int -= scores.mean(0).round().float()
            return index(source)

        gate.index = recorded
        with torch.no_grad():
            model(inputs)
        gate.index = index


def torch_scores(model: nn.Module, inputs: np.ndarray) -> np.ndarray:
    """What torch computes for (N, C, H, W) or (N, F)."""
    with torch.no_grad():
        result = model(torch.from_numpy(inputs))
    return getattr(result, "value", result).numpy()
