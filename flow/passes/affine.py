"""Everything between an integer accumulator and a sign becomes one integer threshold a channel."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .base import attribute, channel_vector, producer_of
from .ranges import FLOAT32_EXACT, integer_ranges
from .supported import unsupported

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["AbsorbIntoThreshold", "tile_repeats"]

_STEPS = ("Mul", "Div", "Add", "Sub", "PRelu", "Relu")


@dataclass(frozen=True)
class AbsorbIntoThreshold:
    """``integers -> [Tile] -> Mul, Add, PRelu ... -> sign`` becomes ``[Tile] -> [Mul +-1] -> integer threshold``.

    The thresholds are found with the very float32 operations that the model executes, by bisection over the
    whole range of the accumulator: each of these operations is monotone, rounded or not, so there is one
    change of sign at most. The decision is therefore the same for every integer that can occur, ties
    included, and not only for the samples that a build tries. Channels that never change get a threshold at
    the end of the range; falling ones get a factor -1 in front, as FINN has it.
    """

    name: str = "AbsorbIntoThreshold"

    def apply(self, model: ModelWrapper) -> ModelWrapper:
        model = copy.deepcopy(model)
        for node in model.get_nodes_by_op_type("MultiThreshold"):
            if attribute(node, "out_dtype") == "BIPOLAR":
                self._absorb(model, node)
        model.cleanup()
        return model

    def _absorb(self, model: ModelWrapper, node: NodeProto) -> None:
        ranges = integer_ranges(model)
        thresholds = model.get_initializer(node.input[1])
        levels = attribute(node, "out_scale", 1.0), attribute(node, "out_bias", 0.0)
        if thresholds is None or thresholds.shape[1] != 1 or levels != (2.0, -1.0):
            raise unsupported(node, "a binarization needs one constant threshold and -1, +1", "use BinaryActivation")
        shape = model.get_tensor_shape(node.input[0])
        channels, rank = shape[1], len(shape)
        base, chain = _chain(model, node, ranges)
        low, high = ranges[base]
        if max(-low, high) >= FLOAT32_EXACT:
            raise unsupported(node, f"its accumulator ({low}..{high}) leaves the integers that float32 holds exactly")
        steps = list(_steps(model, chain, rank, channels))
        limits = np.broadcast_to(thresholds[:, 0].astype(np.float32), (channels,))
        if not np.isfinite(limits).all() or any(not np.isfinite(v).all() for _, v in steps):
            raise unsupported(node, "a scale, an offset or a threshold in front of it is not finite", "train again")

        def plus(acc: np.ndarray) -> np.ndarray:
            value = acc.astype(np.float32)
            with np.errstate(all="ignore"):
                for kind, constant in steps:
                    value = _STEP[kind](value, constant)
            if not np.isfinite(value).all():
                raise unsupported(node, "a scale in front of it makes numbers that float32 cannot hold", "train again")
            return value >= limits

        found, falling = _thresholds(plus, channels, low, high)
        repeats = channels // model.get_tensor_shape(base)[1]
        if self._is_done(chain, limits, found, falling, steps, repeats):
            return
        self._rewrite(model, node, base, chain, repeats, found, falling)

    @staticmethod
    def _is_done(chain, limits, found, falling, steps, repeats: int) -> bool:
        kinds = [n.op_type for n in chain]
        if kinds != ["Tile"] * (repeats > 1) + ["Mul"] * bool(falling.any()):
            return False
        signs = np.where(falling, -1, 1)
        return np.array_equal(limits, found) and (not falling.any() or np.array_equal(steps[-1][1], signs))

    @staticmethod
    def _rewrite(model, node, base, chain, repeats, found, falling) -> None:
        from onnx import helper
        from qonnx.core.datatype import DataType

        out = node.output[0]
        shape = model.get_tensor_shape(out)
        source, new = base, []
        if repeats > 1:
            if len(chain) and chain[0].op_type == "Tile" and tile_repeats(model, chain[0]) == repeats:
                source = chain[0].output[0]
            else:
                model.set_initializer(f"{out}_repeats", np.array([1, repeats] + [1] * (len(shape) - 2), dtype=np.int64))
                new.append(helper.make_node("Tile", [source, f"{out}_repeats"], [f"{out}_tiled"]))
                source = f"{out}_tiled"
        if falling.any():
            signs = np.where(falling, -1, 1).astype(np.float32).reshape(1, -1, *[1] * (len(shape) - 2))
            model.set_initializer(f"{out}_signs", signs)
            model.set_tensor_datatype(f"{out}_signs", DataType["BIPOLAR"])
            new.append(helper.make_node("Mul", [source, f"{out}_signs"], [f"{out}_signed"]))
            source = f"{out}_signed"
        position = list(model.graph.node).index(node)
        for offset, extra in enumerate(new):
            model.graph.node.insert(position + offset, extra)
            model.set_tensor_shape(extra.output[0], shape)
        node.input[0] = source
        model.set_initializer(f"{out}_thresholds", found.astype(np.float32).reshape(-1, 1))
        model.set_tensor_datatype(f"{out}_thresholds", DataType["INT32"])
        node.input[1] = f"{out}_thresholds"


_STEP = {
    "Mul": lambda x, c: x * c,
    "Div": lambda x, c: x / c,
    "Add": lambda x, c: x + c,
    "Sub": lambda x, c: x - c,
    "PRelu": lambda x, c: np.where(x < 0, x * c, x),
    "Relu": lambda x, c: np.maximum(x, np.float32(0)),
}


def tile_repeats(model: ModelWrapper, node: NodeProto) -> int:
    """Copies of the channels that a Tile makes; it may repeat nothing else."""
    repeats = model.get_initializer(node.input[1])
    if repeats is None or repeats.size < 2 or any(r != 1 for i, r in enumerate(repeats.reshape(-1)) if i != 1):
        raise unsupported(node, "it repeats other than the channels", "repeat channels only: x.repeat(1, R, 1, 1)")
    return int(repeats.reshape(-1)[1])


def _chain(model: ModelWrapper, node: NodeProto, ranges) -> tuple[str, list[NodeProto]]:
    """The nearest integer tensor above a threshold, and the nodes from there to it.

    Tile and Mul by +-1 leave integers integers, so the walk goes on through them to the tensor in front.
    """
    chain: list[NodeProto] = []
    tensor = node.input[0]
    while True:
        producer = producer_of(model, tensor)
        if (
            producer is not None
            and producer.op_type in ("Sub", "Div")
            and model.get_initializer(producer.input[0]) is not None
        ):
            raise unsupported(producer, "its constant comes first", "write c - x as -1 * x + c")
        passes = producer is not None and (producer.op_type == "Tile" or producer.op_type in _STEPS)
        if tensor in ranges and not passes:
            return tensor, chain
        if producer is None or not passes:
            what = f"{producer.name} ({producer.op_type})" if producer is not None else "the input"
            raise unsupported(
                node,
                f"what it binarizes comes from {what} and is not made of integers by Mul, Add, PRelu and Tile",
                "put batch normalization and sign right behind a convolution or linear layer with +-1 weights",
            )
        chain.insert(0, producer)
        tensor = producer.input[0]


def _steps(model: ModelWrapper, chain, rank: int, channels: int) -> Iterator[tuple[str, np.ndarray]]:
    """The arithmetic of the chain with its constants spread over the channels behind the last Tile."""
    for node in chain:
        if node.op_type == "Tile":
            tile_repeats(model, node)
            continue
        own = model.get_tensor_shape(node.output[0])[1]
        if node.op_type == "Relu":
            yield "Relu", np.zeros(channels, np.float32)
            continue
        constant = model.get_initializer(node.input[1])
        vector = None if constant is None else channel_vector(constant, rank, own)
        if vector is None:
            raise unsupported(node, "its operand is not one constant a channel")
        if node.op_type == "PRelu" and (vector < 0).any():
            raise unsupported(node, "a negative slope makes two thresholds of one", "clamp the slopes of PReLU at 0")
        yield node.op_type, np.tile(vector.astype(np.float32), channels // own)


def _thresholds(plus, channels: int, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """Bisect the change of sign of each channel: (+1 iff acc >= t), or where falling (+1 iff -acc >= t)."""
    first, last = plus(np.full(channels, low)), plus(np.full(channels, high))
    left, right = np.full(channels, low), np.full(channels, high)  # plus(left) == first, plus(right) == last
    while (right - left > 1).any():
        middle = (left + right) // 2
        same = plus(middle) == first
        left, right = np.where(same, middle, left), np.where(same, right, middle)
    falling = first & ~last
    # where the sign changes, `right` is the first integer with the new one
    found = np.where(falling, 1 - right, right)
    found = np.where(first & last, low, found)
    return np.where(~first & ~last, high + 1, found).astype(np.int64), falling
