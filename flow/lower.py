"""Lowering: the streamlined model becomes a dataflow graph of integer operators."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BitexpertError
from ..hw.graph import Dataflow, Node
from ..hw.identifiers import identifier
from ..hw.ops.base import Operator, OperatorError
from ..hw.ops.fork import Fork
from ..hw.ops.frame_hold import FrameHold
from ..hw.ops.gate import Gate
from ..hw.ops.matvec import MatVec
from ..hw.ops.pool import Pool
from ..hw.ops.sliding_window import SlidingWindow
from ..hw.ops.threshold import Threshold, sign_threshold
from ..hw.ops.topk import TopK
from ..hw.types import BIPOLAR, StreamType
from ..sim.streams import first_difference
from .custom_op import expert_inputs
from .execute import execute_tensors, output_affine, to_nhwc
from .model_file import ModelError, hardware_input
from .passes.affine import tile_repeats
from .passes.base import attribute, channel_vector, producer_of
from .passes.pad import border, pad_value
from .passes.supported import unsupported

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["LOWERED", "LoweringError", "check_lowering", "first_hold_depth", "lower"]

#: Kinds of nodes that a streamlined model may have.
LOWERED = ("Conv", "ExpertConv", "MatMul", "MultiThreshold", "MaxPool", "Tile", "Mul", "Pad", "Flatten", "Reshape")
_VIEWS = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
_INPUT = "in_0"


class LoweringError(BitexpertError):
    """The dataflow graph computes something else than the streamlined model."""


def lower(model: ModelWrapper, *, top_k: int = 0) -> Dataflow:
    """Turn a streamlined model into hardware operators.

    Parameters
    ----------
    model : ModelWrapper
        From :func:`streamline`, or loaded again from its file.
    top_k : int
        0: the integer scores leave; k > 0: the indices of the k largest.

    Returns
    -------
    Dataflow
        Unfolded. ``tensors`` says which tensor of the model each stream equals.

    Raises
    ------
    ModelError
        A node that has no operator, or attributes or weights that it cannot have.
    """
    return _Lowering(model).run(top_k)


def first_hold_depth(stream: StreamType) -> int:
    """Beats of room of a FrameHold before folding: one frame of single elements, and some for the Gate.

    Folding replaces it with the depth that the design needs (``hw.performance.size_fifos``).
    """
    return stream.elements + 8


def check_lowering(model: ModelWrapper, graph: Dataflow, frames: np.ndarray) -> int:
    """Run both on frames and compare every stream that equals a tensor, and the outputs.

    Parameters
    ----------
    model : ModelWrapper
        The streamlined model.
    graph : Dataflow
        What :func:`lower` made of it, folded or not.
    frames : ndarray of int, shape (N, H, W, C)

    Returns
    -------
    int
        The number of streams compared.

    Raises
    ------
    LoweringError
        Names stream, frame, pixel, channel, the value expected (the model's) and found.
    """
    values = graph.run(frames)
    tensors = execute_tensors(model, frames)
    producers = graph.producers()
    out = graph.outputs[0]
    expected = {s: to_nhwc(tensors[t]) for s, t in graph.tensors.items() if s in values}
    if out not in expected:
        scores = to_nhwc(tensors[model.graph.output[0].name]).reshape(len(frames), -1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, : values[out].shape[-1]]
        expected[out] = best.reshape(values[out].shape)
    for stream in graph.streams():
        if stream not in expected:
            continue
        operator = producers[stream][0].name if stream in producers else "input"
        difference = first_difference("lowering", operator, stream, expected[stream], values[stream])
        if difference:
            raise LoweringError(f"{difference}. Please report this")
    return len(expected)


@dataclass(frozen=True, eq=False)
class _Value:
    """A tensor as a stream; ``order[i]`` is the tensor's channel at place i, None where they are the same."""

    stream: str
    type: StreamType
    order: np.ndarray | None = None


class _Lowering:
    """Walks the model once; every tensor that is a stream gets a _Value."""

    def __init__(self, model: ModelWrapper) -> None:
        self.model = model
        self.nodes: list[Node] = []
        self.names: set[str] = set()
        self.values: dict[str, _Value] = {}
        self.tensors: dict[str, str] = {}
        self.experts: dict[str, int] = {}
        self.gate_sources: dict[str, str] = {}

    def run(self, top_k: int) -> Dataflow:
        source = hardware_input(self.model)
        if source.scale != 1.0:
            raise ModelError(f"the input {source.name} is scaled by {source.scale:g}; streamline the model first")
        self._define(source.name, _Value(_INPUT, StreamType(source.element, source.shape)))
        handlers: dict[str, Callable[[NodeProto], None]] = {
            "Conv": self._conv,
            "ExpertConv": self._expert_conv,
            "MatMul": self._matmul,
            "MultiThreshold": self._threshold,
            "MaxPool": self._max_pool,
            # part of the operator behind them
            "Tile": self._nothing,
            "Mul": self._nothing,
            "Pad": self._nothing,
            **dict.fromkeys(_VIEWS, self._view),
        }
        for node in self.model.graph.node:
            if node.op_type not in handlers:
                raise unsupported(node, f"a streamlined network may have {', '.join(LOWERED)}")
            try:
                handlers[node.op_type](node)
            except OperatorError as error:
                raise unsupported(node, str(error)) from None
        name = self.model.graph.output[0].name
        last = producer_of(self.model, name)
        assert last is not None
        result = self._value(last, name)
        if result.order is not None:
            raise unsupported(last, "its results would leave in another order", "end the network with a linear layer")
        stream = result.stream
        if top_k:
            try:
                (stream,) = self._add("topk", TopK(result.type, top_k), (stream,), last)
            except OperatorError as error:
                raise ModelError(f"top_k={top_k} does not fit the network: {error}") from None
        nodes, tensors, outputs = _insert_forks(self.nodes, self.names, self.tensors, (stream,))
        return Dataflow(nodes, (_INPUT,), outputs, tensors, self._meta(top_k))

    # -- bookkeeping ----------------------------------------------------------------------------
    def _define(self, tensor: str, value: _Value) -> None:
        self.values[tensor] = value
        if value.order is None and value.stream not in self.tensors:
            self.tensors[value.stream] = tensor

    def _value(self, node: NodeProto, tensor: str) -> _Value:
        if tensor not in self.values:
            maker = producer_of(self.model, tensor)
            what = f"{maker.name} ({maker.op_type})" if maker is not None else tensor
            raise unsupported(node, f"it reads {what}, which is no stream of integers by itself")
        return self.values[tensor]

    def _add(self, base: str, op: Operator, inputs: tuple[str, ...], origin: NodeProto) -> tuple[str, ...]:
        """Put an operator into the graph; returns its output streams."""
        name = identifier(base, self.names)
        self.names.add(name)
        suffixes = ("out", "token")[: len(op.outputs)]
        outputs = tuple(f"{name}_{suffix}" for suffix in suffixes)
        self.nodes.append(Node(name, op, inputs, outputs, {}, origin.name))
        return outputs

    def _nothing(self, node: NodeProto) -> None:
        return

    # -- operators ------------------------------------------------------------------------------
    def _conv(self, node: NodeProto) -> None:
        source, pads, value = node.input[0], attribute(node, "pads", [0, 0, 0, 0]), 0.0
        if attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            raise unsupported(node, "it pads automatically", "export it with explicit padding")
        pad = producer_of(self.model, source)
        if pad is not None and pad.op_type == "Pad":
            amounts, padded_with = border(self.model, pad), pad_value(self.model, pad)
            if amounts is None or padded_with not in (0.0, -1.0) or (padded_with and any(pads)):
                raise unsupported(pad, "only a border of 0 or -1 around rows and columns, for one Conv, is supported")
            source, value = pad.input[0], padded_with
            pads = [p + q for p, q in zip(pads, amounts, strict=True)]
        weights = self.model.get_initializer(node.input[1])
        if weights is None or weights.ndim != 4:
            raise unsupported(node, "only 2-D convolutions with constant weights are supported")
        if len(node.input) > 2:
            raise unsupported(node, "it has a bias", "streamline the model first")
        bits = self._signs(node, weights)
        x = self._value(node, source)
        self._window_and_matvec(node, x, (x.stream,), bits[None], pads, value)

    def _expert_conv(self, node: NodeProto) -> None:
        x_name, g_name, bank_name, gw_name, gb_name = expert_inputs(node)
        bank, gw, gb = (self.model.get_initializer(n) for n in (bank_name, gw_name, gb_name))
        if bank is None or gw is None or gb is None:
            raise unsupported(node, "its weights are not constant")
        experts = int(attribute(node, "n_experts"))
        bits = self._signs(node, bank).reshape(experts, -1, *bank.shape[1:])
        x = self._value(node, x_name)
        inputs: tuple[str, ...] = (x.stream,)
        if experts > 1:
            g = self._value(node, g_name)
            if x.order is not None or g.order is not None:
                raise unsupported(node, "it reads a flattened tensor", "flatten behind the expert layers only")
            gate = Gate(g.type, self._integers(node, gw), self._integers(node, gb).reshape(-1))
            (token,) = self._add("gate", gate, (g.stream,), node)
            hold = FrameHold(x.type, experts, first_hold_depth(x.type))
            inputs = self._add("frame_hold", hold, (x.stream, token), node)
            self._also(inputs[0], x.stream)
        pads = attribute(node, "pads", [0, 0, 0, 0])
        name = self._window_and_matvec(node, x, inputs, bits, pads, float(attribute(node, "pad_value", 0.0)))
        self.experts[name] = experts
        if experts > 1:
            self.gate_sources[name] = "sign bits" if g.type.element == BIPOLAR else "values before sign"

    def _window_and_matvec(
        self,
        node: NodeProto,
        x: _Value,
        inputs: tuple[str, ...],
        weights: np.ndarray,
        pads: Sequence[int],
        value: float,
    ) -> str:
        """Add the operators of a convolution with weights (banks, out, C/group, kh, kw); returns MatVec's name."""
        banks, rows, depth, kh, kw = weights.shape
        group = int(attribute(node, "group", 1))
        stride_y, stride_x = attribute(node, "strides", [1, 1])
        dilation_y, dilation_x = attribute(node, "dilations", [1, 1])
        strides, dilations = (stride_y, stride_x), (dilation_y, dilation_x)
        if x.order is not None:
            raise unsupported(node, "it reads a flattened tensor", "flatten behind the convolutions only")
        # [kernel row][kernel column][channel of the group], as SlidingWindow orders a window
        table = weights.reshape(banks, group, rows // group, depth, kh, kw).transpose(0, 1, 2, 4, 5, 3)
        table = np.ascontiguousarray(table.reshape(banks, group, rows // group, depth * kh * kw))
        stream, kind, tap = inputs[0], x.type, 0
        if (kh, kw) != (1, 1) or strides != (1, 1) or any(pads):
            top, left, bottom, right = (int(p) for p in pads)
            window = SlidingWindow(x.type, (kh, kw), strides, (top, left, bottom, right), int(value), group, dilations)
            (stream,) = self._add("sliding_window", window, (stream,), node)
            kind, tap = window.outputs[0], depth
        op = MatVec(kind, table, tap)
        (out,) = self._add("matvec", op, (stream, *inputs[1:]), node)
        self._define(node.output[0], _Value(out, op.outputs[0]))
        return self.nodes[-1].name

    def _matmul(self, node: NodeProto) -> None:
        x = self._value(node, node.input[0])
        weights = self.model.get_initializer(node.input[1])
        if weights is None or weights.ndim != 2 or len(self.model.get_tensor_shape(node.input[0])) != 2:
            raise unsupported(node, "only vectors times a constant matrix are supported", "Flatten in front of it")
        bits = self._signs(node, weights)
        if x.order is not None:
            bits = bits[x.order]
        op = MatVec(replace(x.type, shape=(1, 1, x.type.elements)), np.ascontiguousarray(bits.T)[None, None])
        (out,) = self._add("matvec", op, (x.stream,), node)
        self._define(node.output[0], _Value(out, op.outputs[0]))

    def _threshold(self, node: NodeProto) -> None:
        levels = self.model.get_initializer(node.input[1])
        out = attribute(node, "out_scale", 1.0), attribute(node, "out_bias", 0.0)
        if levels is None or levels.shape[1] != 1 or out != (2.0, -1.0):
            raise unsupported(
                node, "activations of more than one bit are not supported", "use BinaryActivation behind every layer"
            )
        shape = self.model.get_tensor_shape(node.output[0])
        channels, repeats, source = shape[1], 1, node.input[0]
        signs = np.ones(channels, dtype=np.int64)
        above = producer_of(self.model, source)
        if above is not None and above.op_type == "Mul" and source not in self.values:
            vector = channel_vector(self.model.get_initializer(above.input[1]), len(shape), channels)
            if vector is None or not np.isin(vector, (-1, 1)).all():
                raise unsupported(above, "only factors of +1 and -1 a channel are supported here", "streamline first")
            signs, source = vector.astype(np.int64), above.input[0]
            above = producer_of(self.model, source)
        if above is not None and above.op_type == "Tile":
            repeats, source = tile_repeats(self.model, above), above.input[0]
        x = self._value(node, source)
        limits = np.broadcast_to(levels[:, 0], (channels,))
        if not np.array_equal(limits, np.rint(limits)):
            raise unsupported(node, "its thresholds are not integers", "streamline the model first")
        element = x.type.element
        thresholds, negate = sign_threshold(signs, -limits.astype(np.int64), element.min, element.max)
        order = np.arange(channels // repeats) if x.order is None else x.order
        op = Threshold(x.type, thresholds.reshape(repeats, -1)[:, order], negate.reshape(repeats, -1)[:, order])
        (stream,) = self._add("threshold", op, (x.stream,), node)
        tiled = None
        if x.order is not None:
            tiled = (np.arange(repeats)[:, None] * len(order) + order).reshape(-1)
        self._define(node.output[0], _Value(stream, op.outputs[0], tiled))

    def _max_pool(self, node: NodeProto) -> None:
        x = self._value(node, node.input[0])
        kernel: tuple[int, ...] = tuple(attribute(node, "kernel_shape"))
        if (
            tuple(attribute(node, "strides", [1, 1])) != kernel
            or any(attribute(node, "pads", [0]))
            or any(d != 1 for d in attribute(node, "dilations", [1]))
            or attribute(node, "ceil_mode", 0)
            or len(kernel) != 2
        ):
            raise unsupported(
                node,
                "only pooling whose stride is its kernel, without padding, is supported",
                "use MaxPool2d(k) with stride k",
            )
        op = Pool(x.type, (kernel[0], kernel[1]), "max")
        (out,) = self._add("pool", op, (x.stream,), node)
        self._define(node.output[0], _Value(out, op.outputs[0]))

    def _view(self, node: NodeProto) -> None:
        """Another shape for the same numbers, in the order of NCHW; the stream stays as it is."""
        x = self._value(node, node.input[0])
        before, after = (self.model.get_tensor_shape(t) for t in (node.input[0], node.output[0]))
        h, w, c = x.type.shape
        if len(after) == 2 and after[0] == 1:
            order = x.order
            if order is None and h * w > 1:
                order = np.arange(c * h * w).reshape(c, h, w).transpose(1, 2, 0).reshape(-1)
            kind = replace(x.type, shape=(1, 1, x.type.elements))
        elif len(after) == 4 and (after == before or (after[2:] == [1, 1] and h * w == 1)):
            order, kind = x.order, x.type
        else:
            raise unsupported(node, f"it turns {before} into {after}", "flatten all but the batch, once, at the end")
        self.values[node.output[0]] = _Value(x.stream, kind, order)

    # -- weights --------------------------------------------------------------------------------
    @staticmethod
    def _signs(node: NodeProto, weights: np.ndarray) -> np.ndarray:
        wrong = np.abs(weights) != 1
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise unsupported(
                node,
                f"weights must be -1 or +1; weight {place} is {weights[place]:g}",
                "quantize them with BipolarQuant",
            )
        return weights.astype(np.int8)

    @staticmethod
    def _integers(node: NodeProto, values: np.ndarray) -> np.ndarray:
        if not np.array_equal(values, np.rint(values)):
            raise unsupported(node, "its gate's weights are not integers", "freeze the network before the export")
        return values.astype(np.int64)

    def _also(self, stream: str, like: str) -> None:
        """A stream that carries what another one does."""
        if like in self.tensors:
            self.tensors[stream] = self.tensors[like]

    def _meta(self, top_k: int) -> dict[str, Any]:
        properties = {p.key: p.value for p in self.model.graph.metadata_props}
        source = hardware_input(self.model)
        scale, bias = output_affine(self.model)
        classes = properties.pop("class_names", None)
        for key in ("output_scale", "output_bias", "input_element"):
            properties.pop(key, None)
        return {
            "model": properties.get("network") or self.model.graph.name or "model",
            "input_layout": source.layout,
            "input_element": str(source.element),
            "input_scale": float(properties.pop("input_scale", source.scale)),
            "output_scale": scale,
            "output_bias": bias,
            "top_k": top_k,
            "class_names": _class_names(classes),
            "experts": self.experts,
            "gate_source": self.gate_sources,
            "properties": properties,
        }


def _class_names(text: str | None) -> list[str]:
    try:
        names = json.loads(text) if text else []
    except ValueError:
        return []
    return [str(n) for n in names] if isinstance(names, list) else []


def _insert_forks(
    nodes: Sequence[Node], names: set[str], tensors: dict[str, str], outputs: tuple[str, ...]
) -> tuple[tuple[Node, ...], dict[str, str], tuple[str, ...]]:
    """Give each reader of a stream a copy of its own."""
    readers: dict[str, int] = {}
    for stream in [s for n in nodes for s in n.inputs] + list(outputs):
        readers[stream] = readers.get(stream, 0) + 1
    types = {s: t for n in nodes for s, t in zip(n.outputs, n.op.outputs, strict=True)}
    types[_INPUT] = next((t for n in nodes for s, t in zip(n.inputs, n.op.inputs, strict=True) if s == _INPUT), None)  # type: ignore[assignment]
    copies: dict[str, list[str]] = {}
    tensors, taken = dict(tensors), set(names)

    def fork(stream: str, origin: str) -> list[Node]:
        if readers.get(stream, 0) < 2:
            return []
        name = identifier("fork", taken)
        taken.add(name)
        copies[stream] = [f"{name}_out{i}" for i in range(readers[stream])]
        for copy in copies[stream]:
            if stream in tensors:
                tensors[copy] = tensors[stream]
        op = Fork(types[stream], readers[stream])
        made = Node(name, op, (stream,), tuple(copies[stream]), {}, origin)
        copies[stream].reverse()
        return [made]

    result = fork(_INPUT, "")
    for node in nodes:
        inputs = tuple(copies[s].pop() if s in copies else s for s in node.inputs)
        result.append(replace(node, inputs=inputs))
        for stream in node.outputs:
            result += fork(stream, node.origin)
    return tuple(result), tensors, tuple(copies[s].pop() if s in copies else s for s in outputs)
