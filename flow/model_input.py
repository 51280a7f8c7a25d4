"""What integers enter the accelerator, and what the exported network computes with for each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..hw.types import BIPOLAR, Element, int_t, uint_t
from .model_proto import ModelError, called, shown

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["HardwareInput", "hardware_input"]

_MOST_BITS = 8
# Neighbours of a float32 number that are tried on either side.
_NEIGHBOURS = 64
_VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout")
_QUANTIZERS = ("Quant", "IntQuant", "BipolarQuant")
_REMEDY = "begin the network with a quantizer (InputQuantizer) or annotate the input as UINT8"
_NO_SCALE = (("scale", 1.0), ("offset", 0.0))
_TO_NCHW = [0, 3, 1, 2]


@dataclass(frozen=True)
class HardwareInput:
    """What enters the accelerator.

    Parameters
    ----------
    name : str
        The tensor.
    element : Element
        Integers (at most 8 bits) or bipolar.
    shape : tuple of int
        A frame, (H, W, C); a flat input of F numbers is (1, 1, F).
    layout : {"NCHW", "NHWC", "flat"}
        How the model file has it.
    scale : float
        The model computes with ``scale * integer + offset`` as its input.
    offset : float
    limits : tuple of int, optional
        The least and the largest integer that may enter. Default: those of the element.
    table : tuple of float
        The model's input for each integer from ``low`` to ``high``, where the rounding of ``scale * integer + offset``
        to float32 would lead to another integer; else empty.
    """

    name: str
    element: Element
    shape: tuple[int, int, int]
    layout: str
    scale: float
    offset: float = 0.0
    limits: tuple[int, int] | None = None
    table: tuple[float, ...] = ()

    @property
    def low(self) -> int:
        """The least integer that may enter."""
        return self.limits[0] if self.limits else self.element.min

    @property
    def high(self) -> int:
        """The largest integer that may enter."""
        return self.limits[1] if self.limits else self.element.max

    def values(self, integers: np.ndarray) -> np.ndarray:
        """What the model computes with for integers: float32 of the same shape."""
        if self.table:
            return np.array(self.table, dtype=np.float32)[integers.astype(np.int64) - self.low]
        return integers.astype(np.float32) * np.float32(self.scale) + np.float32(self.offset)

    def to_model(self, frames: np.ndarray) -> np.ndarray:
        """Integer frames (N, H, W, C) as the model file takes them: float32, NCHW, NHWC or (N, F)."""
        values = self.values(frames)
        if self.layout == "flat":
            return values.reshape(len(frames), -1)
        return np.ascontiguousarray(values if self.layout == "NHWC" else values.transpose(0, 3, 1, 2))


def hardware_input(model: ModelWrapper) -> HardwareInput:
    """What integers the accelerator takes for this model.

    From the input's annotation, else from the input quantizer and the scalar arithmetic in front of it, else from
    what the pass AnnotateInput noted (metadata ``input_element``, ``input_scale``, ``input_offset``, ``input_low``,
    ``input_high``).

    Raises
    ------
    ModelError
        The input is neither annotated as integers nor quantized; its shape or width does not fit; or no float32
        input makes the quantizer give one of its integers.
    """
    tensor = model.graph.input[0]
    frame, layout = _frame(model, tensor.name)
    notes = {p.key: p.value for p in model.graph.metadata_props if p.key.startswith("input_")}
    limits = _noted_limits(tensor.name, notes)
    annotated = _annotated(model, tensor.name)
    if annotated is not None:
        element, own = annotated
        source = HardwareInput(tensor.name, element, frame, layout, 1.0, 0.0, limits or own)
    else:
        try:
            source = _quantized(model, tensor.name, frame, layout)
        except ModelError:
            if "input_element" not in notes:
                raise
            element, scale, offset = _noted_element(tensor.name, notes)
            source = HardwareInput(tensor.name, element, frame, layout, scale, offset, limits)
    if not source.element.min <= source.low <= source.high <= source.element.max:
        raise ModelError(
            f"the input {shown(tensor.name)} is {source.element}, but the metadata input_low and input_high say"
            f" {source.low}..{source.high}; remove them"
        )
    if source.element.bits > _MOST_BITS:
        raise ModelError(
            f"the input {shown(tensor.name)} has {source.element.bits} bits; at most {_MOST_BITS} are supported"
        )
    return source


def _noted_limits(tensor: str, notes: dict[str, str]) -> tuple[int, int] | None:
    if not {"input_low", "input_high"} <= set(notes):
        return None
    try:
        return int(notes["input_low"]), int(notes["input_high"])
    except ValueError:
        message = f"the input {shown(tensor)}: the metadata input_low and input_high are no integers; remove them"
        raise ModelError(message) from None


def _noted_element(tensor: str, notes: dict[str, str]) -> tuple[Element, float, float]:
    """Element, scale and offset of the input."""
    try:
        element = Element.parse(notes["input_element"])
        scale, offset = (np.float32(notes.get(f"input_{what}", number)) for what, number in _NO_SCALE)
    except ValueError:
        message = f"the input {shown(tensor)}: the metadata input_element, input_scale or input_offset cannot be read"
        raise ModelError(f"{message}; remove them") from None
    if not np.isfinite((scale, offset)).all() or scale == 0:
        message = f"the input {shown(tensor)}: the metadata say input_scale {scale:g}, input_offset {offset:g}"
        raise ModelError(f"{message}; remove them")
    return element, float(scale), float(offset)


def _frame(model: ModelWrapper, tensor: str) -> tuple[tuple[int, int, int], str]:
    shape = list(model.get_tensor_shape(tensor) or [])
    if len(shape) == 2:
        return (1, 1, shape[1]), "flat"
    if len(shape) != 4:
        raise ModelError(
            f"the input {shown(tensor)} has shape {shape}; use (1, C, H, W), (1, H, W, C) or (1, features)"
        )
    if _turned(model, tensor):
        return (shape[1], shape[2], shape[3]), "NHWC"
    return (shape[2], shape[3], shape[1]), "NCHW"


def _turned(model: ModelWrapper, tensor: str) -> bool:
    """Whether all that reads the input brings it from NHWC to NCHW first; scalar arithmetic may stand in front."""
    readers = _readers(model, tensor)
    if len(readers) == 1 and (_scalar(model, readers[0]) or readers[0].op_type in ("Identity", "Dropout")):
        return _turned(model, readers[0].output[0])
    return bool(readers) and all(n.op_type == "Transpose" and _order(n) == _TO_NCHW for n in readers)


def _order(node: NodeProto) -> list[int]:
    return next((list(a.ints) for a in node.attribute if a.name == "perm"), [])


def _readers(model: ModelWrapper, tensor: str) -> list[NodeProto]:
    return [n for n in model.graph.node if tensor in n.input]


def _annotated(model: ModelWrapper, tensor: str) -> tuple[Element, tuple[int, int] | None] | None:
    kind = model.get_tensor_datatype(tensor)
    if kind.name == "BIPOLAR":
        return BIPOLAR, None
    if kind.name == "TERNARY":
        return int_t(2), (-1, 1)
    if kind.name.startswith("UINT") or kind.name == "BINARY":
        return uint_t(kind.bitwidth()), None
    if kind.name.startswith("INT"):
        return int_t(kind.bitwidth()), None
    return None


# -- the input quantizer -----------------------------------------------------------------------------
@dataclass(frozen=True)
class _Scalar:
    """A node of scalar arithmetic: ``apply`` as executed, and what it is as ``gain * x + shift``."""

    apply: Callable[[np.ndarray], np.ndarray]
    gain: float
    shift: float


def _scalar(model: ModelWrapper, node: NodeProto) -> _Scalar | None:
    """Mul, Div, Add, Sub with one constant number; None for all else."""
    if node.op_type not in ("Mul", "Div", "Add", "Sub") or len(node.input) != 2:
        return None
    operands = [model.get_initializer(name) for name in node.input]
    place = next((i for i, o in enumerate(operands) if o is not None), None)
    if place is None:
        return None
    constant = np.asarray(operands[place], dtype=np.float32).reshape(-1)
    if not constant.size or (constant != constant[0]).any() or not np.isfinite(constant[0]):
        return None
    c, number = constant[0], float(constant[0])
    if node.op_type == "Mul":
        return _Scalar(lambda x: x * c, number, 0.0)
    if node.op_type == "Add":
        return _Scalar(lambda x: x + c, 1.0, number)
    if node.op_type == "Sub":
        return _Scalar(lambda x: c - x, -1.0, number) if place == 0 else _Scalar(lambda x: x - c, 1.0, -number)
    return None if place == 0 or number == 0 else _Scalar(lambda x: x / c, 1.0 / number, 0.0)


def _way_to_quantizer(model: ModelWrapper, tensor: str) -> tuple[list[_Scalar], NodeProto]:
    """The scalar arithmetic between the input and its quantizer, and that quantizer."""
    steps: list[_Scalar] = []
    name = shown(tensor)
    while True:
        readers = _readers(model, tensor)
        if len(readers) != 1:
            found = ", ".join(map(called, readers[:4])) or "nothing"
            raise ModelError(f"the input {name} is real-valued and read by {found} without one quantizer; {_REMEDY}")
        node = readers[0]
        if node.op_type in _QUANTIZERS and node.input[0] == tensor:
            return steps, node
        step = _scalar(model, node)
        if step is not None:
            if step.gain == 0:
                raise ModelError(f"{called(node)} multiplies the input {name} by 0; export the network again")
            steps.append(step)
        elif node.op_type not in _VIEWS or node.input[0] != tensor:
            constant = node.op_type in ("Mul", "Div", "Add", "Sub", "BatchNormalization")
            advice = (
                "normalize all channels alike, by one constant number, in front of the input quantizer"
                if constant
                else _REMEDY
            )
            raise ModelError(f"the input {name} is real-valued and read by {called(node)}; {advice}")
        tensor = node.output[0]


def _quantized(model: ModelWrapper, tensor: str, frame: tuple[int, int, int], layout: str) -> HardwareInput:
    """What the input quantizer makes of the input."""
    steps, node = _way_to_quantizer(model, tensor)
    element, limits, unit, quantize = _quantizer(model, node)
    gain, shift = 1.0, 0.0
    for step in steps:
        gain, shift = step.gain * gain, step.gain * shift + step.shift
    scale, offset = unit / gain, -shift / gain
    with np.errstate(over="ignore"):
        ends = np.array([scale, offset], dtype=np.float32)
    if not np.isfinite(ends).all() or ends[0] == 0:
        raise ModelError(f"what stands between the input {shown(tensor)} and {called(node)} leaves float32's range")
    source = HardwareInput(tensor, element, frame, layout, scale, offset, limits)
    integers = np.array([-1, 1]) if element == BIPOLAR else np.arange(source.low, source.high + 1)

    def result(values: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            for step in steps:
                values = step.apply(values)
            return quantize(values)

    values = source.values(integers)
    if np.array_equal(result(values), integers):
        return source
    below, above = values.copy(), values.copy()
    for _ in range(_NEIGHBOURS):
        below, above = np.nextafter(below, np.float32(-np.inf)), np.nextafter(above, np.float32(np.inf))
        for candidates in (above, below):
            better = (result(values) != integers) & (result(candidates) == integers)
            values = np.where(better, candidates, values)
    wrong = integers[result(values) != integers]
    if len(wrong):
        raise ModelError(
            f"no input makes {called(node)} give its integer {wrong[0]}: the numbers in front of it round it away;"
            " quantize the input with ROUND and one scale, or annotate it as UINT8"
        )
    table = np.zeros(source.high - source.low + 1, np.float32)
    table[integers - source.low] = values
    return HardwareInput(tensor, element, frame, layout, scale, offset, limits, tuple(table.tolist()))


_Quantizer = tuple[Element, tuple[int, int] | None, float, Callable[[np.ndarray], np.ndarray]]


def _quantizer(model: ModelWrapper, node: NodeProto) -> _Quantizer:
    """Element, limits, the step from one integer to the next, and what integers it makes of float32 numbers."""
    count = 2 if node.op_type == "BipolarQuant" else 4
    constants = [model.get_initializer(name) for name in node.input[1:count]]
    if len(constants) != count - 1 or any(c is None or not c.size or (c != c.flat[0]).any() for c in constants):
        raise ModelError(f"the input quantizer {called(node)} needs one constant scale for all channels")
    scale, *rest = (np.float32(c.flat[0]) for c in constants)
    if not np.isfinite(scale) or scale == 0:
        raise ModelError(f"the input quantizer {called(node)} has the scale {scale:g}; it must be positive")
    if node.op_type == "BipolarQuant":
        return BIPOLAR, None, abs(float(scale)), lambda x: np.where(x >= 0, 1, -1)
    from qonnx.custom_op.general.intquant import int_quant, max_int, min_int, resolve_rounding_mode

    zero, bits = rest
    if zero != 0:
        raise ModelError(f"the input quantizer {called(node)} has a zero point; export it with zero point 0")
    if not np.isfinite(bits) or bits != int(bits) or not 1 <= bits <= 16:
        raise ModelError(f"the input quantizer {called(node)} has {bits:g} bits; quantize the input to 1..8 bits")
    attributes = {a.name: a for a in node.attribute}
    signed = bool(attributes["signed"].i) if "signed" in attributes else True
    narrow = bool(attributes["narrow"].i) if "narrow" in attributes else False
    mode = attributes["rounding_mode"].s.decode() if "rounding_mode" in attributes else "ROUND"
    try:
        resolve_rounding_mode(mode)
    except ValueError:
        message = f"the input quantizer {called(node)} has the rounding mode {shown(mode)!r}; use ROUND"
        raise ModelError(message) from None

    def integers(x: np.ndarray) -> np.ndarray:
        return np.rint(int_quant(x, scale, zero, bits, signed, narrow, mode) / scale)

    if bits == 1 and signed:
        return BIPOLAR, None, float(scale), integers
    element = (int_t if signed else uint_t)(int(bits))
    limits = (int(min_int(signed, narrow, int(bits))), int(max_int(signed, narrow, int(bits))))
    return element, None if limits == (element.min, element.max) else limits, float(scale), integers
