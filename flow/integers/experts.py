"""Expert convolutions: the node stays as it is, on integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..custom_op import ExpertConv, expert_inputs
from ..passes.base import attribute
from ..passes.supported import unsupported
from .builder import Builder
from .linear import bordered, integer_weights, layer_input, weights_of
from .value import Base, Value, whole

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["RULES"]


def _integers(b: Builder, node: NodeProto, position: int, what: str) -> np.ndarray:
    array = np.asarray(b.constant(node, position), dtype=np.float64)
    if not np.array_equal(array, np.rint(array)):
        raise unsupported(node, f"its gate's {what} are not integers", "freeze the network before the export")
    return array


def _gate_source(b: Builder, node: NodeProto, value: Value, weights: np.ndarray) -> tuple[str, np.ndarray]:
    """The tensor that the gate sums, and the weights for its channels."""
    source = layer_input(node, value, 1, None)
    if source.scales[0] != 1 or source.offsets.any():
        raise unsupported(node, "its gate reads numbers that are not integers", "freeze the network before the export")
    if weights.ndim != 2 or weights.shape[1] != value.shape[0]:
        raise unsupported(node, f"its gate's weights {list(weights.shape)} do not fit {value.shape[0]} channels")
    base, places = b.gathered(value, node)
    folded = np.zeros((len(weights), base.shape[0]))
    for place, column in zip(places.tolist(), (weights * source.factors).T, strict=True):
        folded[:, place] += column
    return base.tensor, folded


def _expert_conv(b: Builder, node: NodeProto) -> None:
    try:
        names = expert_inputs(node)
    except ValueError as error:
        raise unsupported(node, str(error), "export it with bitexpert") from None
    at = [list(node.input).index(n) for n in names]
    problems = ExpertConv(node, b.model.get_opset_imports().get(node.domain, 1)).verify_node()
    if problems:
        raise unsupported(node, problems[0], "export it with bitexpert")
    value = b.value(node, at[0])
    if len(value.shape) != 3:
        raise unsupported(node, "it reads no feature map", "put it in front of Flatten")
    pads = tuple(int(p) for p in attribute(node, "pads", [0, 0, 0, 0]))
    pads, padded_with = bordered(b, node, value, pads, float(attribute(node, "pad_value", 0.0)))  # type: ignore[arg-type]
    source = layer_input(node, value, 1, padded_with)
    experts, group = int(attribute(node, "n_experts")), int(attribute(node, "group", 1))
    bank, rows = integer_weights(node, weights_of(b, node, at[2]))
    if (
        source.offsets.any()
        or (source.factors != source.factors[0]).any()
        or bank.ndim != 4
        or (rows != rows[0]).any()
        or bank.shape[0] != experts * int(attribute(node, "out_channels"))
        or bank.shape[1] * group != value.shape[0]
        or (bank.shape[0] // experts) % group
    ):
        raise unsupported(node, "its banks, groups or input do not fit together", "export it with bitexpert")
    base = b.materialized(value, node)
    weights, bias = _integers(b, node, at[3], "weights"), _integers(b, node, at[4], "biases").reshape(-1)
    if len(weights) != experts or len(bias) != experts:
        raise unsupported(node, f"its gate's weights and biases are not those of {experts} experts")
    gate, gate_weights = _gate_source(b, node, b.plain(node, at[1]), weights)
    bank = bank * int(source.factors[0])
    out = node.output[0]
    constants = [
        b.initializer(f"{out}_{what}", np.asarray(array, dtype=np.float32))
        for what, array in (("banks", bank), ("gate_weights", gate_weights), ("gate_bias", bias))
    ]
    low, high = min(base.low, source.border), max(base.high, source.border)
    per_row = np.abs(bank).reshape(len(bank), -1).sum(axis=1).max() * max(-low, high)
    inputs = [base.tensor, *constants] if gate == base.tensor else [base.tensor, gate, *constants]
    own = {a.name for a in node.attribute} - {"pads", "pad_value"}
    made = b.emit(
        "ExpertConv",
        inputs,
        out,
        Base("", b.shape(out)[1:], -int(per_row), int(per_row)),
        node,
        pads=[int(p) for p in pads],
        pad_value=float(source.border),
        **{name: attribute(node, name) for name in sorted(own)},
    )
    scale = float(rows[0] * source.scales[0])
    result = whole(made)
    b.values[out] = result if scale == 1 else result.step("Mul", np.float32(scale))


RULES = {"ExpertConv": _expert_conv}
