"""What is known of a tensor while a network is brought to integers.

A real tensor of the exported network is described as integers of the new network, picked by an index, with some
float32 arithmetic still to be done on them: ``tensor = steps(integers[index])``. Views, transposes, copies, splits and
concats only change the index; scales, offsets and normalizations only add steps. Neither needs a node. The
idea is that of scaled-integer range analysis, with the arithmetic kept as it is instead of collapsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["NEUTRAL", "Affine", "Base", "Border", "Constant", "Step", "Value", "whole"]


@dataclass(frozen=True)
class Base:
    """Integers that a node of the new network writes.

    Parameters
    ----------
    tensor : str
    shape : tuple of int
        (C, H, W) or (F,), without the batch.
    low, high : int
        No element ever leaves this range.
    bipolar : bool
        Only -1 and +1 occur.
    """

    tensor: str
    shape: tuple[int, ...]
    low: int
    high: int
    bipolar: bool = False

    @property
    def size(self) -> int:
        """Elements of a frame."""
        return int(np.prod(self.shape, dtype=np.int64))


#: The operand that leaves a tensor as it is, of each kind of step.
NEUTRAL = {"Mul": 1.0, "Div": 1.0, "Add": 0.0, "Sub": 0.0, "PRelu": 1.0, "Max": -np.inf, "Min": np.inf}


@dataclass(frozen=True, eq=False)
class Step:
    """One float32 operation, element by element, with a constant operand of the tensor's shape.

    ``PRelu`` multiplies what is negative; ``Max`` and ``Min`` are the two halves of a Clip, ``Max`` with 0 a ReLU.
    """

    kind: str
    operand: np.ndarray

    def apply(self, x: np.ndarray, operand: np.ndarray) -> np.ndarray:
        """The operation on float32 values, with an operand in place of the step's own."""
        with np.errstate(all="ignore"):
            match self.kind:
                case "Mul":
                    return x * operand
                case "Div":
                    return x / operand
                case "Add":
                    return x + operand
                case "Sub":
                    return x - operand
                case "PRelu":
                    return np.where(x < 0, x * operand, x)
                case "Max":
                    return np.maximum(x, operand)
                case "Min":
                    return np.minimum(x, operand)
        raise AssertionError(self.kind)

    def direction(self) -> np.ndarray:
        """+1 where the step never falls, -1 where it never rises, 0 where it makes a constant; nan where neither."""
        if self.kind in ("Mul", "Div"):
            return np.sign(self.operand)
        if self.kind == "PRelu":
            return np.where(self.operand < 0, np.nan, 1.0)
        return np.ones_like(self.operand)


@dataclass(frozen=True)
class Affine:
    """``scale * integer + offset`` for every element, in float64."""

    scale: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True)
class Border:
    """What a Pad node put around a tensor: (top, left, bottom, right) and the real number that stands there."""

    amounts: tuple[int, int, int, int]
    value: float


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the exported network.

    Parameters
    ----------
    bases : tuple of Base
    index : ndarray of int64
        Of the tensor's shape, without the batch: which element it is, counted through the bases, each in the
        order of its own shape.
    steps : tuple of Step
        Operands broadcast to the shape of ``index``.
    border : Border, optional
        Padding that the next convolution or pooling takes over.
    """

    bases: tuple[Base, ...]
    index: np.ndarray
    steps: tuple[Step, ...] = ()
    border: Border | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Without the batch, and without the border."""
        return self.index.shape

    @property
    def low(self) -> int:
        """Least integer, before the steps."""
        return min(b.low for b in self.bases)

    @property
    def high(self) -> int:
        """Largest integer, before the steps."""
        return max(b.high for b in self.bases)

    def step(self, kind: str, operand: ArrayLike) -> Value:
        """With one more step; the operand is one that the tensor's shape can be broadcast with."""
        spread = np.broadcast_to(np.asarray(operand, dtype=np.float32), self.shape)
        return replace(self, steps=(*self.steps, Step(kind, spread)))

    def rearranged(self, move) -> Value:
        """With ``move`` (a function of an array of the tensor's shape) applied to the index and to all operands."""
        steps = tuple(Step(s.kind, move(s.operand)) for s in self.steps)
        return replace(self, index=np.ascontiguousarray(move(self.index)), steps=steps)

    def affine(self) -> Affine | None:
        """The steps as one scale and offset an element; None if one of them is neither."""
        scale, offset = np.ones(self.shape), np.zeros(self.shape)
        with np.errstate(all="ignore"):
            for step in self.steps:
                operand = step.operand.astype(np.float64)
                match step.kind:
                    case "Mul":
                        scale, offset = scale * operand, offset * operand
                    case "Div":
                        scale, offset = scale / operand, offset / operand
                    case "Add":
                        offset = offset + operand
                    case "Sub":
                        offset = offset - operand
                    case _:
                        if not (step.operand == NEUTRAL[step.kind]).all():
                            return None
        return Affine(scale, offset)

    def direction(self) -> np.ndarray:
        """As :meth:`Step.direction`, for all steps together."""
        result = np.ones(self.shape)
        for step in self.steps:
            result = result * step.direction()
        return result

    def channel_map(self) -> np.ndarray | None:
        """For a feature map (C, H, W) of one base of the same size: the base's channel at each place; else None.

        For a vector (F,) of a base (F',): its elements.
        """
        if len(self.bases) != 1 or len(self.shape) != len(self.bases[0].shape):
            return None
        base = self.bases[0]
        if len(self.shape) == 1:
            return self.index
        if self.shape[1:] != base.shape[1:]:
            return None
        pixels = int(np.prod(base.shape[1:], dtype=np.int64))
        channels = self.index.reshape(self.shape[0], -1)[:, 0] // pixels
        expected = channels[:, None] * pixels + np.arange(pixels)
        return channels if np.array_equal(self.index.reshape(self.shape[0], -1), expected) else None


def whole(base: Base) -> Value:
    """All of a base, as it is."""
    return Value((base,), np.arange(base.size, dtype=np.int64).reshape(base.shape))


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that does not depend on the input.

    Parameters
    ----------
    value : ndarray
        As the file's float32 arithmetic makes it.
    scale : ndarray or None
        For a quantized one, broadcast to its shape: ``value = scale * integers``.
    integers : ndarray or None
    """

    value: np.ndarray
    scale: np.ndarray | None = None
    integers: np.ndarray | None = None

    def rearranged(self, move) -> Constant:
        """With ``move`` applied to all arrays."""
        if self.scale is None or self.integers is None:
            return Constant(move(self.value))
        return Constant(move(self.value), move(self.scale), move(self.integers))


def merge_bases(values: Sequence[Value]) -> tuple[tuple[Base, ...], list[np.ndarray]]:
    """The bases of several values, each once, and the values' indices into them."""
    bases: list[Base] = []
    starts: dict[str, int] = {}
    indices = []
    for value in values:
        moved = np.empty_like(value.index)
        first = 0
        for base in value.bases:
            if base.tensor not in starts:
                starts[base.tensor] = sum(b.size for b in bases)
                bases.append(base)
            inside = (value.index >= first) & (value.index < first + base.size)
            moved[inside] = value.index[inside] - first + starts[base.tensor]
            first += base.size
        indices.append(moved)
    return tuple(bases), indices


def concatenated(values: Sequence[Value], axis: int) -> Value:
    """Values behind each other along an axis; a step that only some have is neutral for the others."""
    bases, indices = merge_bases(values)
    index = np.concatenate(indices, axis=axis)
    kinds = [tuple(s.kind for s in v.steps) for v in values]
    if len(set(kinds)) == 1:
        steps = tuple(
            Step(kind, np.concatenate([v.steps[i].operand for v in values], axis=axis))
            for i, kind in enumerate(kinds[0])
        )
        return Value(bases, index, steps)
    made = []
    for owner, value in enumerate(values):
        for step in value.steps:
            neutral = np.float32(NEUTRAL[step.kind])
            parts = [
                step.operand if i == owner else np.full(v.shape, neutral, np.float32) for i, v in enumerate(values)
            ]
            made.append(Step(step.kind, np.concatenate(parts, axis=axis)))
    return Value(bases, index, tuple(made))
