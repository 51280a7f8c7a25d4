"""The integer network while it is made: its nodes, and what each tensor of the exported network is in terms of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...hw.types import int_for
from ..model_proto import shown
from ..passes.base import attribute
from ..passes.supported import unsupported
from .value import Base, Constant, Value, merge_bases, whole

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["FLOAT32_EXACT", "OPSET", "Builder"]

#: Opset of the integer network's standard nodes, whatever that of the exported file is.
OPSET = 13
#: Integers up to this magnitude are exact in the float32 that qonnx computes with.
FLOAT32_EXACT = 1 << 24
# Slices of channels that are put together by hardware; more is a shuffle, which has none.
_MOST_PARTS = 16
_QONNX = "qonnx.custom_op.general"


class Builder:
    """Collects the integer network.

    Parameters
    ----------
    model : ModelWrapper
        The exported network, cleaned up.

    Attributes
    ----------
    values : dict of str to Value or Constant
        What is known of each tensor of the exported network so far.
    nodes : list of NodeProto
        Of the integer network, in order.
    """

    def __init__(self, model: ModelWrapper) -> None:
        self.model = model
        self.values: dict[str, Value | Constant] = {}
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.bases: dict[str, Base] = {}
        self.metadata: dict[str, str] = {p.key: p.value for p in model.graph.metadata_props}
        self._taken = {n.name for n in model.graph.node}
        self._tensors = {t for n in model.graph.node for t in (*n.input, *n.output)}
        self._made: dict[tuple, Base] = {}

    # -- reading the exported network -----------------------------------------------------------------
    def get(self, tensor: str) -> Value | Constant | None:
        """What a tensor is; None for an optional input that is left out."""
        if not tensor:
            return None
        if tensor in self.values:
            return self.values[tensor]
        array = self.model.get_initializer(tensor)
        if array is None:
            return None
        return Constant(np.asarray(array))

    def value(self, node: NodeProto, position: int = 0) -> Value:
        """An input that depends on the network's input.

        Raises
        ------
        ModelError
            It is a constant, or was not made of integers.
        """
        found = self.get(node.input[position])
        if not isinstance(found, Value):
            raise unsupported(node, f"its input {position} is a constant", "fold constants: export again, or simplify")
        return found

    def plain(self, node: NodeProto, position: int = 0) -> Value:
        """As :meth:`value`; refuses a tensor with padding around that is still to be done."""
        value = self.value(node, position)
        if value.border is not None:
            raise unsupported(node, "it reads a padded tensor", "pad right in front of a convolution or a pooling only")
        return value

    def constant(self, node: NodeProto, position: int) -> np.ndarray:
        """A constant input.

        Raises
        ------
        ModelError
            It is missing, or depends on the network's input.
        """
        found = self.get(node.input[position]) if position < len(node.input) else None
        if not isinstance(found, Constant):
            raise unsupported(node, f"its input {position} has to be constant", "export the network in eval mode")
        return found.value

    def optional(self, node: NodeProto, position: int) -> np.ndarray | None:
        """A constant input that may be left out."""
        if position >= len(node.input) or not node.input[position]:
            return None
        return self.constant(node, position)

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Shape of a tensor of the exported network, batch included."""
        return tuple(int(d) for d in self.model.get_tensor_shape(tensor) or ())

    # -- writing the integer network ------------------------------------------------------------------
    def fresh(self, wanted: str) -> str:
        """A tensor's name that is not used yet."""
        name, number = wanted, 1
        while name in self._tensors:
            name, number = f"{wanted}_{number}", number + 1
        self._tensors.add(name)
        return name

    def initializer(self, wanted: str, array: np.ndarray) -> str:
        """Add a constant; returns its name."""
        name = self.fresh(wanted)
        self.initializers[name] = array
        return name

    def emit(
        self, kind: str, inputs: Sequence[str], output: str, result: Base, origin: NodeProto, **attributes: Any
    ) -> Base:
        """Add a node.

        Parameters
        ----------
        kind : str
        inputs : sequence of str
        output : str
            Wanted name of its tensor: that of the exported network's tensor it stands for, if it is the last of the
            nodes that one node becomes; else any, which is made unique.
        result : Base
            What it computes; ``tensor`` is filled in here.
        origin : NodeProto
            The node of the exported network that it comes from.
        """
        from onnx import helper

        if max(-result.low, result.high) >= FLOAT32_EXACT:
            raise unsupported(
                origin, f"its integers ({result.low}..{result.high}) leave those that float32 holds exactly"
            )
        final = output in origin.output and output not in self.bases
        tensor = output if final else self.fresh(output)
        name = origin.name if final else self._helper_name(f"{origin.name}/{kind}")
        node = helper.make_node(kind, list(inputs), [tensor], name=name, **attributes)
        if kind == "MultiThreshold":
            node.domain = _QONNX
        elif kind == origin.op_type:
            node.domain = origin.domain
        self.nodes.append(node)
        base = Base(tensor, result.shape, int(result.low), int(result.high), result.bipolar)
        self.bases[tensor] = base
        return base

    def _helper_name(self, wanted: str) -> str:
        """A node's name that neither the exported network nor the integer one has."""
        name, number = wanted, 1
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name

    # -- tensors as hardware has them -----------------------------------------------------------------
    def flattened(self, base: Base, origin: NodeProto) -> Base:
        """A base as a vector, in the order of (C, H, W)."""
        if len(base.shape) == 1:
            return base
        key = ("Flatten", base.tensor)
        if key not in self._made:
            result = Base("", (base.size,), base.low, base.high, base.bipolar)
            self._made[key] = self.emit("Flatten", [base.tensor], f"{base.tensor}_flat", result, origin, axis=1)
        return self._made[key]

    def gathered(self, value: Value, origin: NodeProto) -> tuple[Base, np.ndarray]:
        """One base, and which of its channels (elements of a vector) each of the value's is.

        What the value leaves out at the beginning or the end of a base is sliced off; more than one base are
        concatenated. The steps are not looked at.

        Raises
        ------
        ModelError
            The value is no selection of channels.
        """
        bases, (index,) = merge_bases([value])
        parts: list[tuple[Base, int, int]] = []
        places = np.full(value.shape[0], -1, dtype=np.int64)
        first, room = 0, 0
        for base in bases:
            lanes, ends = self.lanes(value, index, first, base)
            if lanes.any():
                start, stop = self.extent(ends[lanes], base, value)
                parts.append((self.matched(base, value, origin), start, stop))
                places[lanes] = ends[lanes] - start + room
                room += stop - start
            first += base.size
        if (places < 0).any():
            raise unsupported(
                origin,
                "it reads pixels in another order than they come",
                "move pixels by no more than Flatten, and transpose between NCHW and NHWC only",
            )
        return self.joined(parts, origin), places

    @staticmethod
    def lanes(value: Value, index: np.ndarray, first: int, base: Base) -> tuple[np.ndarray, np.ndarray]:
        """Which channels of the value are whole channels of a base, and which of that base's."""
        if len(value.shape) == 1:
            inside = (index >= first) & (index < first + base.size)
            return inside, index - first
        pixels = int(np.prod(value.shape[1:], dtype=np.int64))
        rows = index.reshape(value.shape[0], -1) - first
        if base.shape[1:] != value.shape[1:]:
            return np.zeros(value.shape[0], bool), rows[:, 0]
        channels = rows[:, 0] // pixels
        same = (rows == channels[:, None] * pixels + np.arange(pixels)).all(axis=1)
        return same & (rows[:, 0] >= 0) & (rows[:, 0] < base.size), channels

    def matched(self, base: Base, value: Value, origin: NodeProto) -> Base:
        """The base, as a vector if the value is one."""
        return self.flattened(base, origin) if len(value.shape) == 1 else base

    @staticmethod
    def extent(chosen: np.ndarray, base: Base, value: Value) -> tuple[int, int]:
        """From the first to behind the last of the chosen channels.

        Elements of a flattened feature map do not come in the order of the vector: nothing is cut off there.
        """
        if len(value.shape) < len(base.shape) and int(np.prod(base.shape[1:])) > 1:
            return 0, base.size
        return int(chosen.min()), int(chosen.max()) + 1

    def joined(self, parts: Sequence[tuple[Base, int, int]], origin: NodeProto) -> Base:
        """Slices of bases behind each other, as one base."""
        pieces = [self.sliced(base, start, stop, origin) for base, start, stop in parts]
        if len(pieces) == 1:
            return pieces[0]
        key = ("Concat", *(p.tensor for p in pieces))
        if key not in self._made:
            low, high = min(p.low for p in pieces), max(p.high for p in pieces)
            shape = (sum(p.shape[0] for p in pieces), *pieces[0].shape[1:])
            result = Base("", shape, low, high, all(p.bipolar for p in pieces))
            names = [p.tensor for p in pieces]
            self._made[key] = self.emit("Concat", names, f"{names[0]}_joined", result, origin, axis=1)
        return self._made[key]

    def sliced(self, base: Base, start: int, stop: int, origin: NodeProto) -> Base:
        """Channels start..stop-1 of a base."""
        if (start, stop) == (0, base.shape[0]):
            return base
        key = ("Slice", base.tensor, start, stop)
        if key not in self._made:
            limits = [
                self.initializer(f"{base.tensor}_{what}", np.array([number], dtype=np.int64))
                for what, number in (("start", start), ("stop", stop), ("axis", 1))
            ]
            result = Base("", (stop - start, *base.shape[1:]), base.low, base.high, base.bipolar)
            self._made[key] = self.emit("Slice", [base.tensor, *limits], f"{base.tensor}_part", result, origin)
        return self._made[key]

    def materialized(self, value: Value, origin: NodeProto) -> Base:
        """A base that equals the value's integers channel by channel.

        Raises
        ------
        ModelError
            That takes more than 16 slices.
        """
        base, places = self.gathered(value, origin)
        cuts = np.flatnonzero(np.diff(places) != 1) + 1
        if not len(cuts) and len(places) == base.shape[0]:
            return base
        if len(cuts) >= _MOST_PARTS:
            raise unsupported(
                origin,
                f"the channels it reads are shuffled in {len(cuts) + 1} parts",
                "put the layer that makes these channels into that order, or use one group",
            )
        runs = np.split(places, cuts)
        return self.joined([(base, int(run[0]), int(run[-1]) + 1) for run in runs], origin)

    def negated(self, base: Base, signs: np.ndarray, origin: NodeProto) -> Base:
        """A base with channels (where ``signs`` is -1) multiplied by -1."""
        operand = signs.astype(np.float32).reshape(1, -1, *[1] * (len(base.shape) - 1))
        name = self.initializer(f"{base.tensor}_signs", operand)
        low = base.low if (signs > 0).all() else min(base.low, -base.high)
        high = base.high if (signs > 0).all() else max(base.high, -base.low)
        result = Base("", base.shape, low, high, base.bipolar)
        return self.emit("Mul", [base.tensor, name], f"{base.tensor}_signed", result, origin)

    # -- the result -----------------------------------------------------------------------------------
    def input(self, tensor: str, shape: tuple[int, ...], low: int, high: int, bipolar: bool) -> Value:
        """Declare the network's input."""
        base = Base(tensor, shape, low, high, bipolar)
        self.bases[tensor] = base
        return whole(base)

    def finish(self, output: str) -> ModelWrapper:
        """The integer network, whose output is the tensor ``output``; it is called as in the exported network."""
        from onnx import TensorProto, helper, numpy_helper
        from qonnx.core.datatype import DataType
        from qonnx.core.modelwrapper import ModelWrapper

        graph = self.model.graph
        self._rename(output, graph.output[0].name)
        source, result = self.bases[graph.input[0].name], self.bases[graph.output[0].name]

        def info(base: Base) -> Any:
            return helper.make_tensor_value_info(base.tensor, TensorProto.FLOAT, [1, *base.shape])

        used = {t for n in self.nodes for t in n.input}
        initializers = [numpy_helper.from_array(a, n) for n, a in self.initializers.items() if n in used]
        inside = [b for b in self.bases.values() if b not in (source, result)]
        made = helper.make_graph(
            self.nodes,
            graph.name or "model",
            [info(source)],
            [info(result)],
            initializers,
            value_info=[info(b) for b in inside],
        )
        domains = sorted({n.domain for n in self.nodes if n.domain})
        opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(d, 1) for d in domains)]
        proto = helper.make_model(made, opset_imports=opsets, ir_version=8, producer_name="bitexpert")
        model = ModelWrapper(proto)
        for key in sorted(self.metadata):
            model.set_metadata_prop(key, self.metadata[key])
        for base in self.bases.values():
            kind = "BIPOLAR" if base.bipolar else str(int_for(base.low, base.high)).upper()
            model.set_tensor_datatype(base.tensor, DataType[kind])
        return model

    def _rename(self, old: str, new: str) -> None:
        if old == new:
            return
        if new in self.bases:  # what the exported network calls so is the same up to arithmetic, or its reader
            self._rename(new, self.fresh(f"{new}_inner"))
        for node in self.nodes:
            for names in (node.input, node.output):
                for i, tensor in enumerate(names):
                    if tensor == old:
                        names[i] = new
        self.bases = {
            (new if t == old else t): replace(base, tensor=new) if t == old else base for t, base in self.bases.items()
        }


def pads_of(node: NodeProto, kernel: Sequence[int], size: Sequence[int]) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of a convolution or pooling over rows and columns, ``auto_pad`` worked out.

    Parameters
    ----------
    node : NodeProto
    kernel : sequence of int
        Rows and columns.
    size : sequence of int
        Rows and columns of what it reads.
    """
    mode = attribute(node, "auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID", ""):
        pads = attribute(node, "pads", [0, 0, 0, 0]) if mode != "VALID" else [0, 0, 0, 0]
        if len(pads) != 4 or min(pads) < 0:
            raise unsupported(node, f"its padding {list(pads)} is not four numbers of at least 0")
        return int(pads[0]), int(pads[1]), int(pads[2]), int(pads[3])
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise unsupported(node, f"its auto_pad {shown(mode)!r} is unknown", "use pads")
    strides, dilations = attribute(node, "strides", [1, 1]), attribute(node, "dilations", [1, 1])
    before, after = [], []
    for k, n, stride, dilation in zip(kernel, size, strides, dilations, strict=True):
        total = max((-(-n // stride) - 1) * stride + (k - 1) * dilation + 1 - n, 0)
        small = total // 2
        before.append(small if mode == "SAME_UPPER" else total - small)
        after.append(total - before[-1])
    return before[0], before[1], after[0], after[1]
