"""What a network costs: binary and real operations, parameters and representation capacity of each layer."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BitexpertError
from .arithmetic import ELEMENTWISE
from .binary import BinaryConv2d, BinaryLinear
from .block import BinaryBlock
from .expert import ExpertConv2d
from .gate import ExpertGate

__all__ = ["CostError", "LayerCost", "NetworkCost", "count"]


class CostError(BitexpertError):
    """A network holds something whose operations can't be counted; the message names it."""


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs for one image.

    Attributes
    ----------
    name, kind : str
        Its name in the network, and what it is: ``binary conv``, ``expert conv``, ``binary linear``, ``conv``,
        ``linear``, ``gate`` or ``elementwise``.
    shape : tuple of int
        Of its output, without the batch.
    bops : int
        Binary multiply-accumulates.
    macs : int
        Multiply-accumulates of which an operand has more than one bit.
    elementwise : int
        Elements that a normalization, activation, factor or sum computes.
    parameters : int
        Trained numbers, binary weights among them (of all experts).
    binary_parameters : int
        Weights of one bit (of all experts).
    capacity : int
        Values that an output of a binary layer can take; 0 for other layers.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    bops: int = 0
    macs: int = 0
    elementwise: int = 0
    parameters: int = 0
    binary_parameters: int = 0
    capacity: int = 0


@dataclass(frozen=True)
class NetworkCost:
    """What a network costs for one image, by the rules of `count`.

    Attributes
    ----------
    layers : tuple of LayerCost
        In the order in which they compute.
    """

    layers: tuple[LayerCost, ...]

    def _sum(self, key: str) -> int:
        return sum(getattr(layer, key) for layer in self.layers)

    @property
    def bops(self) -> int:
        """Binary multiply-accumulates."""
        return self._sum("bops")

    @property
    def flops(self) -> int:
        """Real operations: multiply-accumulates and elementwise ones."""
        return self._sum("macs") + self._sum("elementwise")

    @property
    def ops(self) -> float:
        """The measure of Expanding-and-Shrinking: ``bops / 64`` and the real multiply-accumulates."""
        return self.bops / 64 + self._sum("macs")

    def as_dict(self) -> dict[str, Any]:
        """Sums, and ``layers``, for JSON."""
        sums = ("bops", "macs", "elementwise", "parameters", "binary_parameters", "capacity")
        return {
            **{key: self._sum(key) for key in sums},
            "flops": self.flops,
            "ops": self.ops,
            "layers": [asdict(layer) for layer in self.layers],
        }


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _binary(layer: BinaryConv2d | BinaryLinear | ExpertConv2d, y: Tensor, input_max: int) -> dict[str, int]:
    products = prod(y.shape[1:]) * layer.fan_in
    return {
        "bops" if input_max == 1 else "macs": products,
        "parameters": layer.weight.numel(),
        "binary_parameters": layer.weight.numel(),
        "capacity": layer.fan_in * input_max + 1,
    }


def _rows(name: str, module: nn.Module, y: Tensor, input_max: int) -> list[LayerCost]:
    """The rows of a module that computes ``y``; none for one that has neither operations nor parameters."""
    shape = tuple(y.shape[1:])
    match module:
        case ExpertConv2d():
            gate = module.gate
            return [
                LayerCost(
                    f"{name}.gate", "gate", (gate.experts,), macs=gate.experts * gate.channels, parameters=_size(gate)
                ),
                LayerCost(name, "expert conv", shape, **_binary(module, y, input_max)),
            ]
        case BinaryConv2d():
            return [LayerCost(name, "binary conv", shape, **_binary(module, y, input_max))]
        case BinaryLinear():
            return [LayerCost(name, "binary linear", shape, **_binary(module, y, input_max))]
        case nn.Conv2d():
            macs = prod(shape) * module.weight[0].numel()
            return [LayerCost(name, "conv", shape, macs=macs, parameters=_size(module))]
        case nn.Linear():
            return [LayerCost(name, "linear", shape, macs=module.weight.numel(), parameters=_size(module))]
    if isinstance(module, ELEMENTWISE):
        return [LayerCost(name, "elementwise", shape, elementwise=prod(shape), parameters=_size(module))]
    if any(True for _ in module.parameters(recurse=False)):
        raise CostError(
            f"{name}: there is no rule for counting a {type(module).__name__}; build the network from bitexpert.models"
        )
    return []


@torch.no_grad()
def count(model: nn.Module, shape: Sequence[int]) -> NetworkCost:
    """Count what a network does for one image, from one run of it.

    On the meta device (``with torch.device("meta"): model = ...``) the run computes nothing and takes no memory.

    Parameters
    ----------
    model : nn.Module
        Made of layers of ``bitexpert.models`` and of torch's convolutions, linear layers, batch normalizations and
        activations.
    shape : sequence of int
        The image, ``(C, H, W)``.

    Returns
    -------
    NetworkCost

    Raises
    ------
    CostError
        If a layer with parameters is of a kind that has no rule.

    Notes
    -----
    High-Capacity Expert Binary Networks (ICLR 2021), table 4 and the section on width expansion: one
    multiply-accumulate is one operation; a binary convolution has ``OH * OW * k * k * in * out / groups``, whatever
    the number of experts; gates, squeeze-and-excitation, stem, downsampling and classifier are real. The paper doesn't
    say what else its FLOPs hold; here they hold one operation for each element that a normalization, activation,
    factor or sum computes, which gives 1.06e8 for the final network where the paper has 1.1e8.
    Expanding-and-Shrinking Binary Neural Networks (2025) leaves these out of its OPs, although its copies multiply
    them: ``ops`` does so too.
    A binary weight on numbers of more than one bit (the first layer of a VGG) is a real operation.

    Representation capacity, in the sense of Expanding-and-Shrinking: a sum of ``n`` products of bits takes ``n + 1``
    values. A network's is the sum over its binary layers.
    """
    input_max = {id(block.conv): block.input_max for block in model.modules() if isinstance(block, BinaryBlock)}
    rows: dict[str, list[LayerCost]] = {}
    inner = {id(part) for gate in model.modules() if isinstance(gate, ExpertGate) for part in gate.modules()}
    handles = []

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, args: Any, y: Any) -> None:
            if isinstance(y, Tensor):
                found = _rows(name, module, y, input_max.get(id(module), 1))
                rows.setdefault(name, []).extend(found)

        return note

    for name, module in model.named_modules():
        if id(module) not in inner:
            handles.append(module.register_forward_hook(hook(name)))
    was_training = model.training
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    try:
        model.eval()(torch.zeros(1, *shape, device=device))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return NetworkCost(tuple(row for found in rows.values() for row in found))
