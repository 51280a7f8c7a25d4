"""What does not depend on the network's input is computed once, and the shapes of all tensors are found."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .model_proto import MOST_ELEMENTS, ModelError, called, first_line, shown

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["check_shapes", "fold_constants", "fold_transposes", "infer_shapes"]

# quantizers of weights, and what gives another result each time
_STAY = (
    "Quant", "BipolarQuant", "IntQuant", "QuantizeLinear", "DequantizeLinear",
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial", "Dropout",
)  # fmt: skip


def infer_shapes(model: ModelWrapper) -> ModelWrapper:
    """A copy in which each tensor has the shape that follows from the input's, where one follows."""
    from qonnx.transformation.infer_shapes import InferShapes

    return model.transform(InferShapes(), cleanup=False)


def check_shapes(model: ModelWrapper) -> None:
    """Refuse a network one of whose tensors has an unknown, empty, or huge shape.

    Raises
    ------
    ModelError
        Names the node that writes it.
    """
    shapes = {i.name: i.type.tensor_type.shape.dim for i in (*model.graph.value_info, *model.graph.output)}
    for node in model.graph.node:
        for tensor in filter(None, node.output):
            dims = shapes.get(tensor)
            known = dims is not None and all(d.HasField("dim_value") for d in dims)
            if dims is None or not known:
                raise ModelError(
                    f"the shape of {shown(tensor)}, written by {called(node)}, is unknown; export with fixed sizes"
                )
            sizes = [d.dim_value for d in dims]
            if min(sizes, default=1) < 1 or math.prod(sizes) > MOST_ELEMENTS:
                raise ModelError(
                    f"{called(node)} makes a tensor of the shape {sizes}; sizes have to be"
                    f" positive, and at most {MOST_ELEMENTS} numbers fit: look at its attributes"
                )


def fold_constants(model: ModelWrapper) -> ModelWrapper:
    """Replace nodes that read constants only, and questions for known shapes, by their results.

    Quantizers of weights stay: they say which integers the weights are. Each node is computed by onnxruntime, as it
    would be when the network is executed.

    Parameters
    ----------
    model : ModelWrapper
        Nodes in the order of computation.

    Returns
    -------
    ModelWrapper
        A copy, with shapes.

    Raises
    ------
    ModelError
        A constant cannot be computed; names its node.
    """
    model = infer_shapes(model)
    while _fold_once(model):
        model = infer_shapes(model)
    return model


def _fold_once(model: ModelWrapper) -> bool:
    from onnx import helper, numpy_helper

    graph = model.graph
    types = {i.name: i.type.tensor_type for i in (*graph.input, *graph.value_info, *graph.output)}
    shapes = {
        name: [d.dim_value for d in kind.shape.dim]
        for name, kind in types.items()
        if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim)
    }
    opset = next(o.version for o in model.model.opset_import if not o.domain)
    constants = {t.name: t for t in graph.initializer}
    left, room = [], MOST_ELEMENTS
    for node in graph.node:
        arrays = None
        if node.output[0] == graph.output[0].name or node.domain or node.op_type in _STAY:
            left.append(node)
            continue
        if node.op_type == "Shape" and node.input[0] in shapes:
            arrays = [_shape_of(node, shapes[node.input[0]])]
        elif node.op_type == "CastLike" and node.input[0] in constants and node.input[1] in types:
            kind = helper.tensor_dtype_to_np_dtype(types[node.input[1]].elem_type)
            arrays = [numpy_helper.to_array(constants[node.input[0]]).astype(kind)]
        elif all(t in constants for t in node.input if t) and all(t in shapes for t in node.output if t):
            room -= sum(math.prod(shapes[t]) for t in node.output if t)
            if room < 0:
                raise ModelError(f"the constants behind {called(node)} fill the memory")
            arrays = _computed(node, {t: numpy_helper.to_array(constants[t]) for t in node.input if t}, opset)
        if arrays is None:
            left.append(node)
            continue
        for name, array in zip([t for t in node.output if t], arrays, strict=True):
            constants[name] = numpy_helper.from_array(array, name)
            graph.initializer.append(constants[name])
    folded = len(left) < len(graph.node)
    del graph.node[:]
    graph.node.extend(left)
    return folded


def _shape_of(node: NodeProto, shape: list[int]) -> np.ndarray:
    ends = {a.name: a.i for a in node.attribute}
    return np.array(shape[ends.get("start", 0) : ends.get("end", len(shape))], dtype=np.int64)


def _computed(node: NodeProto, arrays: dict[str, np.ndarray], opset: int) -> list[np.ndarray]:
    import onnxruntime
    from onnx import ValueInfoProto, helper

    divisor = arrays[node.input[1]] if node.op_type in ("Div", "Mod") else np.ones(1)
    if divisor.dtype.kind in "iu" and not divisor.all():
        raise ModelError(f"{called(node)} divides by 0; export it again")
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    names = [t for t in node.output if t]
    graph = helper.make_graph([node], "constant", inputs, [ValueInfoProto(name=t) for t in names])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        alone = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        session = onnxruntime.InferenceSession(alone.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results = session.run(names, arrays)
    except Exception as error:  # onnxruntime raises what it likes on an odd node
        raise ModelError(
            f"{called(node)} is constant, but cannot be computed: {first_line(error)}; export it again"
        ) from error
    if any(not isinstance(r, np.ndarray) or r.dtype.kind not in "fiub" for r in results):
        raise ModelError(f"{called(node)} makes no numbers; export it again")
    return results


def fold_transposes(model: ModelWrapper) -> None:
    """Turn weights instead of their quantizer's output, where nothing else reads that."""
    from onnx import numpy_helper

    graph = model.graph
    readers: dict[str, int] = {}
    for node in graph.node:
        for tensor in node.input:
            readers[tensor] = readers.get(tensor, 0) + 1
    readers[graph.output[0].name] = 2
    writers = {n.output[0]: n for n in graph.node}
    constants = {t.name: t for t in graph.initializer}
    for node in list(graph.node):
        quantizer = writers.get(node.input[0]) if node.op_type == "Transpose" else None
        if quantizer is None or quantizer.op_type not in ("Quant", "BipolarQuant", "IntQuant"):
            continue
        if readers[node.input[0]] > 1 or any(t not in constants for t in quantizer.input):
            continue
        arrays = [numpy_helper.to_array(constants[t]) for t in quantizer.input]
        rank = arrays[0].ndim
        if any(a.size != 1 and a.ndim != rank for a in arrays):
            continue
        order = next((list(a.ints) for a in node.attribute if a.name == "perm"), list(range(rank))[::-1])
        for i, array in enumerate(arrays):
            if array.ndim != rank:
                continue
            name = quantizer.input[i]
            while readers[quantizer.input[i]] > 1 and (name in constants or name in readers):
                name += "_transposed"
            turned = numpy_helper.from_array(np.ascontiguousarray(array.transpose(order)), name)
            if name in constants:
                constants[name].CopyFrom(turned)
            else:
                graph.initializer.append(turned)
                constants[name] = graph.initializer[-1]
                quantizer.input[i] = name
                readers[name] = 1
        quantizer.output[0] = node.output[0]
        writers[node.output[0]] = quantizer
        graph.node.remove(node)
    # a constant's shape is its own; what was inferred before it was turned is not
    kept = [info for info in graph.value_info if info.name not in constants]
    del graph.value_info[:]
    graph.value_info.extend(kept)
