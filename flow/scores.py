"""From the accelerator's integers to what the exported network gives, and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .model_file import ModelError

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["RESULTS", "OutputForm", "largest"]

#: The metadata in which a streamlined model says what becomes of its integers.
RESULTS = ("output_scale", "output_bias", "output_order", "top_k")


def largest(scores: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k largest of each row of (N, classes); of equal ones the lowest first."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@dataclass(frozen=True, eq=False)
class OutputForm:
    """What the exported network makes of the integers that leave.

    Parameters
    ----------
    scale, bias : ndarray of float64, shape (1,) or (elements,)
        In the order of the exported network's output.
    order : ndarray of int64 or None
        Element i of the exported network's output is integer ``order[i]``, counted in the order of (C, H, W);
        None where they are the same.
    top_k : int
        The exported network gives the indices of so many largest; 0: scores.
    """

    scale: np.ndarray
    bias: np.ndarray
    order: np.ndarray | None = None
    top_k: int = 0

    @classmethod
    def of(cls, model: ModelWrapper) -> OutputForm:
        """That of a streamlined model; of any other, the identity."""

        def numbers(key: str, default: float) -> np.ndarray:
            text = model.get_metadata_prop(key)
            return np.atleast_1d(np.array(json.loads(text) if text else default, dtype=np.float64))

        order = model.get_metadata_prop("output_order")
        return cls(
            numbers("output_scale", 1.0),
            numbers("output_bias", 0.0),
            np.array(json.loads(order), dtype=np.int64) if order else None,
            int(model.get_metadata_prop("top_k") or 0),
        )

    @staticmethod
    def plain_integers(outputs: np.ndarray) -> np.ndarray:
        """A streamlined model's outputs (N, ...) as int64 (N, elements); refuses what is no integer."""
        return OutputForm(np.ones(1), np.zeros(1)).integers(outputs)

    @property
    def plain(self) -> bool:
        """Whether the exported network gives the integers themselves."""
        return bool((self.scale == 1).all() and (self.bias == 0).all())

    def real(self, integers: np.ndarray) -> np.ndarray:
        """What the exported network gives for integers (N, ...) in the order of (C, H, W): float64, (N, elements)."""
        rows = integers.reshape(len(integers), -1).astype(np.float64)
        rows = rows if self.order is None else rows[:, self.order]
        if self.top_k:
            return largest(rows, self.top_k).astype(np.float64)
        return rows * self.scale + self.bias

    def integers(self, outputs: np.ndarray) -> np.ndarray:
        """The integers behind an exported network's outputs (N, ...): int64, (N, elements) in the order of (C, H, W).

        Raises
        ------
        ModelError
            An output does not lie on the grid ``scale * integer + bias``.
        """
        rows = outputs.reshape(len(outputs), -1).astype(np.float64)
        if self.top_k:
            return rows.astype(np.int64)
        steps = (rows - self.bias) / self.scale
        found = np.rint(steps)
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs(steps - found) <= 0.05)  # what is infinite or not a number is wrong, too
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            scale = np.broadcast_to(self.scale, rows.shape[1:])[place[1]]
            bias = np.broadcast_to(self.bias, rows.shape[1:])[place[1]]
            raise ModelError(f"score {rows[place]:g} at {place} is no multiple of {scale:g} above {bias:g}")
        result = np.empty_like(found)
        result[:, slice(None) if self.order is None else self.order] = found
        return result.astype(np.int64)
