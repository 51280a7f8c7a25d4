"""The end of the network: integers leave, and the metadata says what the exported network makes of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from ..passes.base import attribute, producer_of
from ..passes.supported import unsupported
from .builder import Builder
from .elementwise import scale_and_offset
from .value import Value
from .views import is_view

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["RULES", "finish"]

_TOP_K = "top_k"


def _arg_max(b: Builder, node: NodeProto) -> None:
    value = b.plain(node)
    axis = int(attribute(node, "axis", 0)) % (len(value.shape) + 1)
    if attribute(node, "select_last_index", 0):
        raise unsupported(node, "of equal scores it takes the last", "use select_last_index=0: the lowest index wins")
    _decision(b, node, value, axis, 1, node.output[0])


def _top_k(b: Builder, node: NodeProto) -> None:
    value = b.plain(node)
    axis = int(attribute(node, "axis", -1)) % (len(value.shape) + 1)
    count = b.optional(node, 1)
    k = int(attribute(node, "k", 0)) if count is None else int(count.reshape(-1)[0])
    if not attribute(node, "largest", 1) or not attribute(node, "sorted", 1):
        raise unsupported(node, "it does not give the largest scores in order", "use largest=1, sorted=1")
    output = b.model.graph.output[0].name
    if output != node.output[1]:
        raise unsupported(node, "its values leave the network", "let its indices be the network's output")
    _decision(b, node, value, axis, k, node.output[1])


def _decision(b: Builder, node: NodeProto, value: Value, axis: int, k: int, output: str) -> None:
    if output != b.model.graph.output[0].name:
        raise unsupported(node, "its result is used inside the network", "end the network with it")
    if axis != 1 or int(np.prod(value.shape[1:], dtype=np.int64)) != 1:
        raise unsupported(
            node, f"it decides over axis {axis} of {[1, *value.shape]}", "decide over the classes of a vector"
        )
    if not 1 <= k <= value.shape[0]:
        raise unsupported(node, f"it wants the {k} largest of {value.shape[0]}")
    form = scale_and_offset(node, value)
    if np.unique(form.scale).size != 1 or np.unique(form.offset).size != 1:
        raise unsupported(
            node,
            "the scores it compares are scaled or shifted class by class",
            "end the network with the scores: the host decides on them exactly",
        )
    b.metadata[_TOP_K] = str(k)
    b.values[output] = value


def finish(b: Builder):
    """The integer network, with its output's scale, offset and order in the metadata.

    ``output_scale`` and ``output_bias`` are numbers, or lists with one a class; ``output_order`` is there if the
    exported network has the results in another order: element i of it is integer ``output_order[i]`` of the
    accelerator, both counted in the order of (C, H, W). ``top_k`` is the number of indices that a network of
    decisions gives.
    """
    name = b.model.graph.output[0].name
    value = b.get(name)
    node = producer_of(b.model, name)
    assert node is not None
    if not isinstance(value, Value):
        raise unsupported(node, "the network's output does not depend on its input", "export the network again")
    if value.border is not None:
        raise unsupported(node, "the network ends in padding", "leave it out")
    form = scale_and_offset(node, value)
    if not is_view(value):
        base = b.materialized(Value(value.bases, value.index), node)
        order = np.arange(base.size)
    elif len(value.bases) > 1:
        base, places = b.gathered(Value(value.bases, value.index), node)
        pixels = base.size // base.shape[0]
        order = (places[:, None] * pixels + np.arange(pixels)).reshape(-1)
    else:
        base, order = value.bases[0], value.index.reshape(-1)
    if base.tensor == b.model.graph.input[0].name:
        raise unsupported(node, "the network's output is its input", "export a network with a layer")
    scale, offset = form.scale.reshape(-1), form.offset.reshape(-1)
    if (scale == 0).any():
        raise unsupported(node, "a score is multiplied by 0", "train again: the score says nothing")
    if (scale < 0).any():
        signs = np.ones(base.size)
        signs[order] = np.sign(scale)
        rows = signs.reshape(base.shape[0], -1)
        if (rows != rows[:, :1]).any():
            raise unsupported(node, "the sign of its scale differs from pixel to pixel")
        base, scale = b.negated(base, rows[:, 0], node), np.abs(scale)
    for key, numbers in (("output_scale", scale), ("output_bias", offset)):
        if np.unique(numbers).size == 1:
            b.metadata[key] = repr(float(numbers[0]))
        else:
            b.metadata[key] = json.dumps([float(n) for n in numbers])
    if not np.array_equal(order, np.arange(base.size)):
        b.metadata["output_order"] = json.dumps([int(i) for i in order])
    return b.finish(base.tensor)


RULES = {"ArgMax": _arg_max, "TopK": _top_k}
