"""What does not depend on the network's input is computed once, and the shapes of all tensors are found."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .model_proto import MOST_ELEMENTS, ModelError, called, first_line, shown

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto, TypeProto
    from qonnx.core.modelwrapper import ModelWrapper

__all__ = ["fold_constants", "fold_transposes"]

# quantizers of weights, and what gives another result each time
_STAY = (
    "Quant", "BipolarQuant", "IntQuant", "QuantizeLinear", "DequantizeLinear",
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial", "Dropout",
)  # fmt: skip
_SAME_SHAPE = ("Quant", "BipolarQuant", "IntQuant", "MultiThreshold")
# Larger constants are weights, no shapes or axes that another shape depends on.
_MOST_AXES = 1024


def fold_constants(model: ModelWrapper, batch: int = 1) -> None:
    """Replace nodes that read constants only, and questions for known shapes, by their results; find all shapes.

    Quantizers of weights stay: they say which integers the weights are. Each node is computed by onnxruntime, as it
    would be when the network is executed. Shapes are found node by node, and each is looked at before the next node
    is: onnx ends the process on some that cannot be.

    Parameters
    ----------
    model : ModelWrapper
        Nodes in the order of computation. Changed.
    batch : int
        That of the export. Shapes that activations are brought to begin with it: they begin with 1 afterwards.

    Raises
    ------
    ModelError
        Names the node: a constant that cannot be computed, or a tensor of an unknown, empty, or huge shape.
    """
    from onnx import numpy_helper

    graph = model.graph
    sweep = _Sweep(model)
    left, depends = [], {graph.input[0].name}
    for node in graph.node:
        alive = not depends.isdisjoint(node.input)
        if alive:
            depends.update(filter(None, node.output))
        if alive and batch > 1 and node.op_type == "Reshape" and node.input[1] in sweep.constants:
            sweep.reshape_one(node, batch)
        arrays = sweep.result(node)
        if arrays is None:
            left.append(node)
            continue
        depends.difference_update(node.output)
        for name, array in zip([t for t in node.output if t], arrays, strict=True):
            sweep.add(numpy_helper.from_array(array, name))
    del graph.node[:]
    graph.node.extend(left)
    sweep.write_types()


class _Sweep:
    """What is known of the tensors so far."""

    def __init__(self, model: ModelWrapper) -> None:
        self.model, self.graph = model, model.graph
        self.opsets = list(model.model.opset_import)
        self.types: dict[str, TypeProto] = {i.name: i.type for i in self.graph.input}
        self.constants: dict[str, TensorProto] = {}
        self._taken = {t for n in self.graph.node for t in (*n.input, *n.output)}
        self._room = MOST_ELEMENTS
        for tensor in self.graph.initializer:
            self._note(tensor)

    def _note(self, tensor: TensorProto) -> None:
        from onnx import helper

        self.constants[tensor.name] = tensor
        self.types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)

    def add(self, tensor: TensorProto) -> None:
        """A new constant."""
        self.graph.initializer.append(tensor)
        self._note(self.graph.initializer[-1])

    def sizes(self, tensor: str) -> list[int]:
        """The known shape of a tensor."""
        return [d.dim_value for d in self.types[tensor].tensor_type.shape.dim]

    def reshape_one(self, node: NodeProto, batch: int) -> None:
        """Give a Reshape node of an activation the batch 1."""
        from onnx import numpy_helper

        shape = numpy_helper.to_array(self.constants[node.input[1]]).reshape(-1)
        if not shape.size or shape[0] != batch:
            return
        name = f"{node.output[0]}_shape"
        while name in self._taken or name in self.constants:
            name += "_"
        self.add(numpy_helper.from_array(np.array([1, *shape[1:]], dtype=np.int64), name))
        node.input[1] = name

    def result(self, node: NodeProto) -> list[np.ndarray] | None:
        """What a node gives if that does not depend on the network's input; else None, and its types are noted."""
        from onnx import helper, numpy_helper

        found = self._infer(node)
        fixed = node.output[0] == self.graph.output[0].name or node.domain or node.op_type in _STAY
        constant = all(t in self.constants for t in node.input if t) and not fixed
        if node.op_type == "Shape" and not fixed:
            ends = {a.name: a.i for a in node.attribute}
            shape = self.sizes(node.input[0])
            return [np.array(shape[ends.get("start", 0) : ends.get("end", len(shape))], dtype=np.int64)]
        if node.op_type == "CastLike" and node.input[0] in self.constants and not fixed:
            kind = helper.tensor_dtype_to_np_dtype(self.types[node.input[1]].tensor_type.elem_type)
            return [numpy_helper.to_array(self.constants[node.input[0]]).astype(kind)]
        for tensor in filter(None, node.output):
            self.types[tensor] = _checked(node, tensor, found.get(tensor), empty=constant)
            self._room -= math.prod(self.sizes(tensor)) if constant else 0
        if self._room < 0:
            raise ModelError(f"the constants up to {called(node)} fill the memory; export it again")
        if not constant:
            return None
        arrays = {t: numpy_helper.to_array(self.constants[t]) for t in node.input if t}
        return _computed(node, arrays, self.opsets[0].version)

    def _infer(self, node: NodeProto) -> dict[str, Any]:
        """Types of a node's outputs, as far as onnx finds them."""
        from onnx import defs, helper, shape_inference
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.custom_op.registry import getCustomOp

        inputs = {t: self.types[t] for t in node.input if t}
        if node.domain and node.op_type in _SAME_SHAPE:
            return {node.output[0]: helper.make_tensor_type_proto(1, self.sizes(node.input[0]))}
        if node.op_type.startswith("Conv") and not node.domain:
            self._check_ranks(node)
        try:
            if node.domain:
                infos = [helper.make_value_info(t, kind) for t, kind in inputs.items()]
                alone = helper.make_graph([node], "alone", infos, [helper.make_empty_tensor_value_info(node.output[0])])
                proto = helper.make_model(alone, opset_imports=self.opsets)
                operator = getCustomOp(node, onnx_opset_version=self._version(node.domain))
                node = operator.make_shape_compatible_op(ModelWrapper(proto))
                inputs = {t: inputs[t] for t in node.input if t}
            data = {t: self.constants[t] for t in inputs if t in self.constants and self._is_small(t)}
            schema = defs.get_schema(node.op_type, self.opsets[0].version, "")
            return shape_inference.infer_node_outputs(schema, node, inputs, data, opset_imports=self.opsets)
        except KeyError:
            domain = shown(node.domain) or "ONNX"
            raise ModelError(f"{called(node)} is no operator of the domain {domain}; export without it") from None
        except Exception as error:  # onnx and qonnx raise what they like on an odd node
            raise ModelError(
                f"the shape that {called(node)} makes cannot be found: {first_line(error)}; export it again"
            ) from error

    def _version(self, domain: str) -> int | None:
        return next((o.version for o in self.opsets if o.domain == domain), None)

    def _is_small(self, tensor: str) -> bool:
        return math.prod(self.constants[tensor].dims) <= _MOST_AXES

    def _check_ranks(self, node: NodeProto) -> None:
        """Onnx ends the process if they differ."""
        ranks = [len(self.sizes(t)) for t in node.input[:2] if t]
        if len(ranks) != 2 or ranks[0] != ranks[1] or ranks[0] < 3:
            shapes = " and ".join(str(self.sizes(t)) for t in node.input[:2] if t)
            raise ModelError(f"{called(node)} reads the shapes {shapes}, which do not fit; export it again")

    def write_types(self) -> None:
        """Into the graph."""
        from onnx import helper

        graph = self.graph
        graph.output[0].type.CopyFrom(self.types[graph.output[0].name])
        outside = {graph.input[0].name, graph.output[0].name}
        used = dict.fromkeys(t for n in graph.node for t in (*n.input, *n.output) if t and t not in outside)
        del graph.value_info[:]
        graph.value_info.extend(helper.make_value_info(t, self.types[t]) for t in used)


def _checked(node: NodeProto, tensor: str, kind: Any, *, empty: bool) -> TypeProto:
    """The type of a tensor, of which every size is known and not too large."""
    found = kind is not None and kind.tensor_type.HasField("shape")
    if not found or not all(d.HasField("dim_value") for d in kind.tensor_type.shape.dim):
        raise ModelError(
            f"the shape of {shown(tensor)}, written by {called(node)}, is unknown; export with fixed sizes"
        )
    sizes = [d.dim_value for d in kind.tensor_type.shape.dim]
    if min(sizes, default=1) < (0 if empty else 1) or math.prod(sizes) > MOST_ELEMENTS:
        raise ModelError(
            f"{called(node)} makes a tensor of the shape {sizes}; sizes have to be positive, and at most"
            f" {MOST_ELEMENTS} numbers fit: look at its attributes"
        )
    return kind


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
