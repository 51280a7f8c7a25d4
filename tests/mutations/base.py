"""What a mutation makes, the list of mutators, and the odd names and numbers that they put into files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

__all__ = ["FLOATS", "HOSTILE", "INTS", "MUTATORS", "QONNX", "Broken", "mutate", "mutator", "one_of", "set_numbers"]

QONNX = "qonnx.custom_op.general"
#: Names that break out of a string, a comment, a folder, a line, or are words of the generated languages.
HOSTILE = (
    "'; touch evil #",
    'a"b\nmodule evil;\nendmodule',
    "$[exec touch evil]${::env(HOME)}",
    "x;puts evil",
    "/../../evil",
    "../../../../tmp/evil",
    "*/ #include <evil.h> /*",
    "`include evil\\",
    "{{ evil }}{% for evil in x %}",
    "[bold red]evil[/]",
    "\x1b[31mevil\x07\r",
    "evil\u202e\u2028\u0000evil",
    "%s%n{evil!r}",
    "evil" * 2500,
    "endmodule",
    "always_ff",
    "proc",
    "namespace",
    ".",
    "con.mem",
)
FLOATS = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e38, -1e38, 1e-45, 1e-30, 3e5, 0.1, -1.0)
INTS = (0, 1, -1, 2, 3, 7, 8, 16, 255, 1 << 16, (1 << 31) - 1, 1 << 31, -(1 << 31), (1 << 62), (1 << 63) - 1)


@dataclass
class Broken:
    """A model file after a mutation.

    Parameters
    ----------
    content : bytes
    beside : dict of str to bytes
        Files in the same folder.
    hostile : list of str
        Names that were put into it.
    """

    content: bytes
    beside: dict[str, bytes] = field(default_factory=dict)
    hostile: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.beside.items():
            (folder / name).write_bytes(content)
        path = folder / "model.onnx"
        path.write_bytes(self.content)
        return path


Mutator = Callable[[ModelProto, np.random.Generator], "Broken | None"]
MUTATORS: dict[str, Mutator] = {}


def mutator(function):
    """Register a function that changes a model in place, or returns what it made of it."""

    def run(model: ModelProto, rng: np.random.Generator) -> Broken:
        return function(model, rng) or Broken(model.SerializeToString())

    MUTATORS[function.__name__] = run
    return function


def mutate(model: ModelProto, mutator: str, seed: int) -> Broken:
    """The file that a mutator makes of a model with a seed; the model stays as it is."""
    copy = ModelProto()
    copy.CopyFrom(model)
    return MUTATORS[mutator](copy, np.random.default_rng([seed, len(mutator), ord(mutator[0])]))


def one_of(rng: np.random.Generator, items):
    return items[int(rng.integers(len(items)))]


def set_numbers(tensor: TensorProto, array: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))
