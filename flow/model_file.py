"""Model files: read, checked, and brought to the form that the passes expect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .constants import fold_constants, fold_transposes
from .model_input import HardwareInput, hardware_input
from .model_proto import DOMAINS, ModelError, called, first_line, read_network, read_proto, shown
from .quiet import quiet

if TYPE_CHECKING:
    from onnx import ModelProto
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


def model_bytes(path: Path) -> bytes:
    """The content of a model file; weights that lie in files beside it are brought in.

    Raises
    ------
    ModelError
        As :func:`load_model`, as far as the file itself goes.
    """
    from onnx import ModelProto, TensorProto

    path = Path(path)
    proto = read_proto(path)
    data = path.read_bytes()
    original = ModelProto.FromString(data).graph
    tensors = [*original.initializer, *(a.t for n in original.node for a in n.attribute if a.HasField("t"))]
    alone = all(t.data_location != TensorProto.EXTERNAL for t in tensors)
    return data if alone else bytes(proto.SerializeToString(deterministic=True))


def load_model(path: Path) -> ModelWrapper:
    """Read a QONNX file and clean it up: shapes known, constants folded, every node named, batch 1.

    Names of nodes and tensors stay as the file has them. Quantizers of weights stay, with a Transpose behind them
    folded in.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ModelError
        One line: missing, empty, truncated, not ONNX, external data missing or outside the folder, more than
        one input or output, sizes that are not fixed, nodes of an unknown domain, an export in training mode.
    """
    path = Path(path)
    proto, batch = read_network(path)
    with quiet():
        return _guarded(path, _clean_up, proto, batch)


def as_exported(path: Path) -> ModelWrapper:
    """Read a QONNX file and leave it as it is, but for what qonnx needs to run it: order, shapes, batch 1, domains.

    Raises
    ------
    ModelError
        As :func:`load_model`.
    """
    path = Path(path)
    proto, batch = read_network(path)
    with quiet():
        return _guarded(path, _with_shapes, proto, batch)


def _guarded(
    path: Path, step: Callable[[ModelProto, int], ModelWrapper], proto: ModelProto, batch: int
) -> ModelWrapper:
    try:
        return step(proto, batch)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    except Exception as error:  # qonnx and onnx raise what they like on an odd graph
        text = f"the graph cannot be read: {first_line(error)}; check the file with qonnx-cleanup"
        raise ModelError(f"{path}: {text}") from error


def _clean_up(proto: ModelProto, batch: int) -> ModelWrapper:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.general import GiveUniqueParameterTensors, RemoveUnusedTensors

    from .passes.base import check_graph, name_new, tensor_names

    model = ModelWrapper(proto)
    known = tensor_names(model)
    fold_constants(model, batch)
    _check_mode(model)
    _check_batch(model)
    fold_transposes(model)
    for transformation in (GiveUniqueParameterTensors(), RemoveUnusedTensors()):
        model = model.transform(transformation, cleanup=False)
    name_new(model, known)
    fold_constants(model)
    check_graph(model)
    return model


def _with_shapes(proto: ModelProto, batch: int) -> ModelWrapper:
    """The graph as it is, with the shapes that it has when its constants are folded."""
    from onnx import helper
    from qonnx.core.modelwrapper import ModelWrapper

    model, folded = ModelWrapper(proto), ModelWrapper(proto, make_deepcopy=True)
    fold_constants(folded, batch)
    _check_mode(folded)
    _check_batch(folded)
    graph = model.graph
    constants = {t.name: t for t in folded.graph.initializer}
    reshapes = {n.output[0]: n.input[1] for n in folded.graph.node if n.op_type == "Reshape"}
    for node in graph.node:
        wanted = reshapes.get(node.output[0], "")
        if wanted and wanted != node.input[1]:  # it had the batch of the export
            node.input[1] = wanted
            graph.initializer.append(constants[wanted])
    infos = {i.name: i for i in (*folded.graph.value_info, *folded.graph.output)}
    for tensor in constants.values():
        infos[tensor.name] = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
    graph.output[0].CopyFrom(infos[graph.output[0].name])
    del graph.value_info[:]
    used = {t for n in graph.node for t in (*n.input, *n.output) if t}
    outside = {i.name for i in (*graph.input, *graph.output)}
    graph.value_info.extend(infos[t] for t in sorted(used - outside))
    return model


def _check_mode(model: ModelWrapper) -> None:
    """Refuse a network that was exported while it was trained."""
    for node in model.graph.node:
        training = any(a.name == "training_mode" and a.i for a in node.attribute)
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
            mode = model.get_initializer(node.input[2])
            training = mode is None or bool(mode.any())
        if training:
            raise ModelError(f"{called(node)} is in training mode; call model.eval() before the export")


def _check_batch(model: ModelWrapper) -> None:
    """The output has to depend on the input, frame by frame."""
    graph = model.graph
    depends = {graph.input[0].name}
    for node in graph.node:
        if not depends.isdisjoint(node.input):
            depends.update(filter(None, node.output))
    if graph.output[0].name not in depends:
        raise ModelError("its output does not depend on its input; export the network again")
    shape = model.get_tensor_shape(graph.output[0].name)
    if not shape or shape[0] != 1:
        raise ModelError(
            f"its output has the shape {shape} for one frame: a batch is fixed inside the graph, or it is no"
            " longer in front; export with batch 1"
        )
