"""Model files: read, checked, and brought to the form that the passes expect."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BitexpertError
from ..hw.types import BIPOLAR, Element, int_t, uint_t
from .quiet import quiet

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = [
    "DOMAINS",
    "HardwareInput",
    "ModelError",
    "as_exported",
    "first_line",
    "hardware_input",
    "load_model",
    "model_bytes",
    "shown",
]

#: Domains of the nodes that can be executed here, beside ONNX's own.
DOMAINS = ("", "ai.onnx", "qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general", "finn")
_MAX_INPUT_BITS = 8


class ModelError(BitexpertError):
    """A model file that cannot be read, or a network that cannot become hardware."""


def shown(name: str) -> str:
    """A name from a file as it may stand in a message: one line, no control characters."""
    return "".join(c if c.isprintable() else "?" for c in name[:200])


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
    layout : {"NCHW", "flat"}
        How the model file has it.
    scale : float
        The model computes with ``scale * integer``.
    """

    name: str
    element: Element
    shape: tuple[int, int, int]
    layout: str
    scale: float

    def to_model(self, frames: np.ndarray) -> np.ndarray:
        """Integer frames (N, H, W, C) as the model file takes them: float32, NCHW or (N, F)."""
        values = frames.astype(np.float32) * np.float32(self.scale)
        if self.layout == "flat":
            return values.reshape(len(frames), -1)
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def model_bytes(path: Path) -> bytes:
    """The content of a model file; weights that lie in files beside it are brought in.

    Raises
    ------
    ModelError
        As :func:`load_model`, as far as the file itself goes.
    """
    path = Path(path)
    proto = _read(path)
    data = path.read_bytes()
    alone = proto.ByteSize() == len(data)
    return data if alone else bytes(proto.SerializeToString(deterministic=True))


def load_model(path: Path) -> ModelWrapper:
    """Read a QONNX file and clean it up: shapes inferred, constants folded, every node named, batch 1.

    Names of nodes and tensors stay as the file has them.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ModelError
        One line: missing, empty, truncated, not ONNX, external data missing or outside the folder, more than
        one input or output, sizes that are not fixed, nodes of an unknown domain.
    """
    path = Path(path)
    proto = _network(path)
    with quiet():
        return _clean_up(path, proto)


def as_exported(path: Path) -> ModelWrapper:
    """Read a QONNX file and leave it as it is, but for what qonnx needs to run it: shapes, batch 1, domains.

    Raises
    ------
    ModelError
        As :func:`load_model`.
    """
    path = Path(path)
    proto = _network(path)
    with quiet():
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.transformation.infer_shapes import InferShapes

        try:
            return ModelWrapper(proto).transform(InferShapes())
        except Exception as error:  # qonnx and onnx raise what they like on an odd graph
            raise ModelError(f"{path}: its shapes cannot be inferred: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """What a library's error says, as one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _network(path: Path) -> Any:
    """Read and check a file; batch 1."""
    proto = _read(path)
    graph = proto.graph
    constants = {i.name for i in graph.initializer}
    inputs = [i.name for i in graph.input if i.name not in constants]
    if len(inputs) != 1:
        raise ModelError(f"{path}: a network needs one input, this has {len(inputs)}: {_list(inputs)}")
    if len(graph.output) != 1:
        names = _list([o.name for o in graph.output])
        raise ModelError(f"{path}: a network needs one output, this has {len(graph.output)}: {names}")
    _check_domains(path, proto)
    _fix_batch(path, next(i for i in graph.input if i.name == inputs[0]))
    graph.output[0].type.tensor_type.ClearField("shape")  # may carry a symbolic batch; inferred anew
    for node in graph.node:
        if node.op_type in ("Quant", "BipolarQuant", "Trunc"):
            node.domain = "qonnx.custom_op.general"
    return proto


def hardware_input(model: ModelWrapper) -> HardwareInput:
    """What integers the accelerator takes for this model.

    From the input's annotation, else from what the pass AnnotateInput noted, else from the input quantizer.

    Raises
    ------
    ModelError
        The input is neither annotated as integers nor quantized; or its shape or width does not fit.
    """
    tensor = model.graph.input[0]
    shape = list(model.get_tensor_shape(tensor.name) or [])
    if len(shape) == 4:
        frame, layout = (shape[2], shape[3], shape[1]), "NCHW"
    elif len(shape) == 2:
        frame, layout = (1, 1, shape[1]), "flat"
    else:
        raise ModelError(f"the input {tensor.name} has shape {shape}; use (1, C, H, W) or (1, features)")
    noted = model.get_metadata_prop("input_element")
    element, scale = _annotated(model, tensor.name), 1.0
    if element is None and noted:
        element, scale = Element.parse(noted), float(model.get_metadata_prop("input_scale") or 1.0)
    elif element is None:
        element, scale = _quantizer(model, tensor.name)
    if element.bits > _MAX_INPUT_BITS:
        raise ModelError(f"the input {tensor.name} has {element.bits} bits; at most {_MAX_INPUT_BITS} are supported")
    return HardwareInput(tensor.name, element, frame, layout, scale)


def _list(names: list[str]) -> str:
    return ", ".join(map(shown, names[:8])) or "none"


# -- reading -----------------------------------------------------------------------------------------
def _read(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    if path.is_dir():
        raise ModelError(f"{path} is a folder; give the .onnx file in it")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"there is no model file {path}") from None
    except OSError as error:
        raise ModelError(f"cannot read the model file {path}: {error.strerror}") from None
    if not data:
        raise ModelError(f"the model file {path} is empty; export it again")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        raise ModelError(f"{path} is not an ONNX file, or only a part of one; export or copy it again") from None
    if not proto.HasField("graph") or not proto.ir_version:
        raise ModelError(f"{path} is not an ONNX file: it holds no graph")
    if not proto.graph.node:
        raise ModelError(f"{path} holds a graph without nodes; export it again")
    _load_external(path, proto)
    return proto


def _load_external(path: Path, proto: Any) -> None:
    """Bring in weights that lie in files beside the model; nothing outside its folder is read."""
    from onnx import TensorProto
    from onnx.external_data_helper import load_external_data_for_tensor

    folder = path.resolve().parent
    tensors = list(proto.graph.initializer)
    tensors += [a.t for n in proto.graph.node for a in n.attribute if a.HasField("t")]
    for tensor in tensors:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        data = f"the data of {shown(tensor.name)}"
        location = next((e.value for e in tensor.external_data if e.key == "location"), "")
        target = (folder / location).resolve()
        if not location or not target.is_relative_to(folder):
            raise ModelError(f"{path}: {data} lie outside its folder ({location!r}); refused")
        if not target.is_file():
            raise ModelError(f"{path}: the file {location} with {data} is missing; copy it along")
        try:
            load_external_data_for_tensor(tensor, str(folder))
            size = int(np.prod(tensor.dims, dtype=np.int64)) * _item_size(tensor.data_type)
            complete = len(tensor.raw_data) >= size
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ModelError(f"{path}: cannot read {data} from {location}: {first_line(error)}") from None
        if not complete:
            raise ModelError(f"{path}: the file {location} with {data} is too short; copy it again")
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _item_size(data_type: int) -> int:
    from onnx import helper

    return int(np.dtype(helper.tensor_dtype_to_np_dtype(data_type)).itemsize)


def _check_domains(path: Path, proto: Any) -> None:
    from .custom_op import DOMAIN

    for node in proto.graph.node:
        if node.domain not in (*DOMAINS, DOMAIN):
            raise ModelError(
                f"{path}: node {shown(node.name or node.op_type)} ({shown(node.op_type)}) is of the unknown domain"
                f" {node.domain!r};"
                f" known: ONNX, qonnx.custom_op.general, {DOMAIN}"
            )


def _fix_batch(path: Path, tensor: Any) -> None:
    """Batch 1; everything else has to be fixed already."""
    dims = tensor.type.tensor_type.shape.dim
    for position, dim in enumerate(dims):
        if position == 0:
            dim.Clear()
            dim.dim_value = 1
        elif dim.dim_value < 1:
            raise ModelError(
                f"{path}: dimension {position} of the input {tensor.name} is not fixed"
                f" ({dim.dim_param or 'unknown'}); export with a fixed size"
            )


def _clean_up(path: Path, proto: Any) -> ModelWrapper:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.fold_constants import FoldConstants
    from qonnx.transformation.general import (
        GiveUniqueParameterTensors,
        RemoveStaticGraphInputs,
        RemoveUnusedTensors,
        SortGraph,
    )
    from qonnx.transformation.infer_shapes import InferShapes
    from qonnx.transformation.quant_constant_folding import FoldTransposeIntoQuantInit

    from .passes.base import check_graph, name_new, tensor_names

    try:
        model = ModelWrapper(proto)
        known = tensor_names(model)
        for transformation in (
            SortGraph(),
            RemoveStaticGraphInputs(),
            InferShapes(),
            GiveUniqueParameterTensors(),
            FoldConstants(exclude_op_types=["Quant", "BipolarQuant", "QuantizeLinear", "DequantizeLinear"]),
            FoldTransposeIntoQuantInit(),
            InferShapes(),
            RemoveUnusedTensors(),
        ):
            model = model.transform(transformation)
        name_new(model, known)
        check_graph(model)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    except Exception as error:  # qonnx and onnx raise what they like on an odd graph
        text = f"the graph cannot be read: {first_line(error)}; check the file with qonnx-cleanup"
        raise ModelError(f"{path}: {text}") from error
    return model


# -- the input ---------------------------------------------------------------------------------------
def _annotated(model: ModelWrapper, tensor: str) -> Element | None:
    kind = model.get_tensor_datatype(tensor)
    if kind.name == "BIPOLAR":
        return BIPOLAR
    if kind.name.startswith("UINT") or kind.name == "BINARY":
        return uint_t(kind.bitwidth())
    if kind.name.startswith("INT"):
        return int_t(kind.bitwidth())
    return None


def _quantizer(model: ModelWrapper, tensor: str) -> tuple[Element, float]:
    """Element and scale of the quantizer that reads the input."""
    remedy = "begin the network with a quantizer (InputQuantizer) or annotate the input as UINT8"
    readers = [n for n in model.graph.node if tensor in n.input]
    if len(readers) != 1 or readers[0].op_type not in ("Quant", "BipolarQuant"):
        found = ", ".join(f"{n.name} ({n.op_type})" for n in readers) or "nothing"
        raise ModelError(f"the input {tensor} is real-valued and read by {found}; {remedy}")
    node = readers[0]
    constants = [model.get_initializer(name) for name in node.input[1:]]
    if any(c is None or np.size(c) != 1 for c in constants):
        raise ModelError(f"the input quantizer {node.name} needs one constant scale for all channels")
    scale = float(constants[0].item())
    if not np.isfinite(scale) or scale <= 0:
        raise ModelError(f"the input quantizer {node.name} has the scale {scale}; it must be positive")
    if node.op_type == "BipolarQuant":
        return BIPOLAR, scale
    if float(constants[1].item()) != 0:
        raise ModelError(f"the input quantizer {node.name} has a zero point; export it with zero point 0")
    attributes = {a.name: a.i for a in node.attribute}
    bits = round(float(constants[2].item()))
    return (int_t(bits) if attributes.get("signed", 1) else uint_t(bits)), scale
