"""The contract of a hardware operator.

An operator is a frozen dataclass. Its scalar fields and its numpy arrays are all that defines it; they
are validated on construction and saved to ``dataflow.json`` and ``weights.npz`` field by field.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from ...errors import BitexpertError
from ..cells import HlsCall, RtlCell
from ..programs import Program
from ..resources import Resources, Terms, weighted
from ..timing import Channel
from ..types import Element, StreamType

__all__ = ["Folding", "Operator", "OperatorError", "divisors", "operator_kinds", "require"]

Folding = Mapping[str, int]


class OperatorError(BitexpertError):
    """An attribute, a weight or a folding that an operator cannot have."""


def require(condition: bool, message: str) -> None:
    """Raise OperatorError with ``message`` unless ``condition`` holds."""
    if not condition:
        raise OperatorError(message)


def divisors(n: int) -> tuple[int, ...]:
    """Divisors of n, ascending."""
    return tuple(d for d in range(1, n + 1) if n % d == 0)


_KINDS: dict[str, type[Operator]] = {}


@dataclass(frozen=True, eq=False)
class Operator(ABC):
    """A node of the dataflow graph.

    Values are integers, one array per stream: shape (N, H, W, C), N frames.
    """

    # Set for operators that `fold` inserts itself (Fifo, WidthConvert).
    plumbing: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _KINDS[cls.__name__] = cls

    @property
    def kind(self) -> str:
        """Name of the operator's kind, e.g. ``MatVec``."""
        return type(self).__name__

    @property
    @abstractmethod
    def inputs(self) -> tuple[StreamType, ...]:
        """Types of the input streams."""

    @property
    @abstractmethod
    def outputs(self) -> tuple[StreamType, ...]:
        """Types of the output streams."""

    @abstractmethod
    def reference(self, *values: np.ndarray) -> tuple[np.ndarray, ...]:
        """Exact integer result: one array per output for one array per input."""

    def foldings(self) -> dict[str, tuple[int, ...]]:
        """Legal values of each folding attribute (``PE``, ``SIMD``), ascending; empty if it has none."""
        return {}

    @abstractmethod
    def beat_elements(self, folding: Folding) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Elements per beat of each input and of each output."""

    @abstractmethod
    def cycles(self, folding: Folding) -> int:
        """Cycles between frames at full rate (the interval that this operator alone allows)."""

    def hls_steps(self, folding: Folding) -> int:
        """Pipelined iterations that the HLS function needs for a frame whose input is there."""
        return self.cycles(folding)

    def needed(self, port: int = 0) -> np.ndarray:
        """Index (row-major) of the last pixel of an input that must have come for each pixel of the first output.

        Pixel by pixel where both have as many; otherwise all of the input, unless an operator knows better.
        """
        ins, outs = (t.shape[0] * t.shape[1] for t in (self.inputs[port], self.outputs[0]))
        return np.arange(outs) if ins == outs else np.full(outs, ins - 1)

    @abstractmethod
    def programs(self, folding: Folding, ins: Sequence[Channel], outs: Sequence[Channel]) -> list[Program]:
        """What the cell does in a frame, for the cycle model (see hw/timing.py), exact to the cycle."""

    @abstractmethod
    def terms(self, folding: Folding) -> Terms:
        """What the cell consists of, for the resource model (hw/resources.py)."""

    def resources(self, folding: Folding) -> Resources:
        """Estimated resources, as Yosys synthesises the cell."""
        return weighted(self.kind, self.terms(folding))

    @abstractmethod
    def rtl(self, folding: Folding) -> RtlCell:
        """The RTL cell."""

    @abstractmethod
    def hls(self, folding: Folding) -> HlsCall | None:
        """The HLS call; None for operators that are a pragma there (Fifo)."""

    def operations(self) -> int:
        """Multiply-accumulates a frame (0 for operators that have none)."""
        return 0

    def check_folding(self, name: str, folding: Folding) -> dict[str, int]:
        """The folding, completed with 1 for what is not given.

        Raises
        ------
        OperatorError
            Names the node, the attribute, the bad value and the legal ones.
        """
        legal = self.foldings()
        for key, value in folding.items():
            if key not in legal:
                known = ", ".join(legal) or "none"
                raise OperatorError(f"{name} ({self.kind}) has no folding attribute {key}; it has: {known}")
            if value not in legal[key]:
                values = ", ".join(map(str, legal[key]))
                raise OperatorError(f"{name} ({self.kind}): {key}={value} is illegal; legal values: {values}")
        return {key: int(folding.get(key, 1)) for key in legal}

    def to_dict(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Scalars (for JSON) and arrays (for NPZ) that define the operator."""
        scalars: dict[str, Any] = {"kind": self.kind}
        arrays: dict[str, np.ndarray] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                arrays[f.name] = value
            elif isinstance(value, StreamType):
                scalars[f.name] = {
                    "element": str(value.element),
                    "shape": list(value.shape),
                    "masked": value.masked,
                }
            elif isinstance(value, Element):
                scalars[f.name] = str(value)
            else:
                scalars[f.name] = list(value) if isinstance(value, tuple) else value
        return scalars, arrays

    @staticmethod
    def from_dict(scalars: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Operator:
        """Inverse of :meth:`to_dict`."""
        kinds = operator_kinds()
        kind = scalars.get("kind", "")
        if kind not in kinds:
            raise OperatorError(f"unknown operator kind {kind!r}; known: {', '.join(sorted(kinds))}")
        cls = kinds[kind]
        values: dict[str, Any] = dict(arrays)
        for f in fields(cls):
            if f.name not in scalars:
                continue
            value = scalars[f.name]
            if isinstance(value, dict) and "element" in value:
                value = StreamType(Element.parse(value["element"]), tuple(value["shape"]), value["masked"])
            elif f.type in ("Element", Element):
                value = Element.parse(value)
            elif isinstance(value, list):
                value = tuple(value)
            values[f.name] = value
        return cls(**values)


def operator_kinds() -> dict[str, type[Operator]]:
    """All operators by kind; importing bitexpert.hw.ops loads every module of that folder."""
    from .. import ops  # noqa: F401  (registers the operators)

    return dict(_KINDS)
