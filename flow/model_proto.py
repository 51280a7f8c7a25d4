"""The bytes of a model file become a network that is safe to work with: complete, sorted, and of sizes that fit."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BitexpertError

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

__all__ = ["DOMAINS", "MOST_ELEMENTS", "ModelError", "called", "first_line", "read_network", "read_proto", "shown"]

#: Domains of the nodes that can be executed here, beside ONNX's own.
DOMAINS = ("", "ai.onnx", "qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general", "finn")
#: Elements of one tensor; as float32 they take 1 GiB.
MOST_ELEMENTS = 1 << 28
# protobuf itself reads no more
_MOST_BYTES = (1 << 31) - 1
# qonnx's time grows with the square: for so many nodes, 20 s
_MOST_NODES = 4096
# onnxruntime's oldest
_OLDEST_OPSET = 7
_INPUTS = {"Quant": 4, "IntQuant": 4, "BipolarQuant": 2, "MultiThreshold": 2}
_QUANTIZERS = ("Quant", "BipolarQuant", "Trunc")
# Attributes that onnx and onnxruntime divide by, unasked: a 0 would end the process.
_POSITIVE = (
    "strides", "dilations", "kernel_shape", "group", "blocksize", "block_size", "num_outputs", "num_groups",
)  # fmt: skip
# Of attributes of qonnx's nodes and ours, the field that they are read from.
_TYPES = {
    **dict.fromkeys(("signed", "narrow", "n_experts", "out_channels", "group"), "i"),
    **dict.fromkeys(("rounding_mode", "out_dtype", "data_layout"), "s"),
    **dict.fromkeys(("out_scale", "out_bias", "pad_value"), "f"),
    **dict.fromkeys(("kernel_shape", "strides", "pads"), "ints"),
}
_INTEGERS = re.compile(r"U?INT([1-9]|[1-5][0-9]|6[0-4])|BIPOLAR|BINARY|TERNARY")
_KINDS = (
    "FLOAT", "DOUBLE", "FLOAT16", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "BOOL",
)  # fmt: skip


class ModelError(BitexpertError):
    """A model file that cannot be read, or a network that cannot become hardware."""


def shown(name: str) -> str:
    """A name from a file as it may stand in a message: one line, no control characters."""
    return "".join(c if c.isprintable() else "?" for c in name[:200])


def first_line(error: Exception) -> str:
    """What a library's error says, as one line."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return "".join(c if c.isprintable() else "?" for c in text[:400])


def read_proto(path: Path) -> ModelProto:
    """Read a file; weights that lie in files beside it are brought in, and none is missing or cut off.

    Raises
    ------
    ModelError
        One line: missing, empty, truncated, not ONNX, external data missing or outside the folder, a tensor whose
        content does not fit its shape, control flow, functions, an opset that cannot be executed.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    data = _content(path)
    proto = ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        raise ModelError(f"{path} is not an ONNX file, or only a part of one; export or copy it again") from None
    if not proto.HasField("graph") or not proto.ir_version:
        raise ModelError(f"{path} is not an ONNX file: it holds no graph")
    if not proto.graph.node:
        raise ModelError(f"{path} holds a graph without nodes; export it again")
    if len(proto.graph.node) > _MOST_NODES:
        raise ModelError(f"{path} holds {len(proto.graph.node)} nodes; at most {_MOST_NODES} are read; simplify it")
    try:
        _check_text(proto)
        _check_parts(proto)
        for tensor in _tensors(proto.graph):
            _complete(path, tensor)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    return proto


def read_network(path: Path) -> tuple[ModelProto, int]:
    """Read a file as a network of one input and one output, batch 1, its nodes in the order of computation.

    Returns
    -------
    proto : ModelProto
        Shapes inside that begin with the batch of the export still do.
    batch : int
        The batch of the export; 1 if it was open.

    Raises
    ------
    ModelError
        As :func:`read_proto`; more than one input or output, sizes that are not fixed, nodes of an unknown domain,
        names that occur twice, tensors that nothing writes, cycles.
    """
    proto = read_proto(path)
    try:
        _check_nodes(proto)
        source = _only_input(proto.graph)
        _only_annotation(proto.graph, source.name)
        _sort(proto.graph)
        batch = _fix_batch(proto.graph, source)
        # before 4, a constant had to be an input, too
        proto.ir_version = max(proto.ir_version, 4)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    return proto, batch


def _listed(names: list[str]) -> str:
    return ", ".join(map(shown, names[:8])) + (", ..." if len(names) > 8 else "") if names else "none"


def called(node: NodeProto) -> str:
    """A node as it may stand in a message: its name, else what it writes, and its kind."""
    return f"{shown(node.name or (node.output[0] if node.output else ''))} ({shown(node.op_type)})"


# -- the file ----------------------------------------------------------------------------------------
def _content(path: Path) -> bytes:
    if path.is_dir():
        raise ModelError(f"{path} is a folder; give the .onnx file in it")
    try:
        if path.exists() and not path.is_file():
            raise ModelError(f"{path} is not a file; give the .onnx file")
        if path.stat().st_size > _MOST_BYTES:
            raise ModelError(f"{path} is larger than 2 GB, which no ONNX file is; give the .onnx file")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"there is no model file {path}") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read the model file {path}: {getattr(error, 'strerror', None) or error}") from None
    if not data:
        raise ModelError(f"the model file {path} is empty; export it again")
    return data


def _check_text(message: Message) -> None:
    """Refuse names that are not UTF-8: protobuf lets them pass, as bytes."""
    from google.protobuf.descriptor import FieldDescriptor

    for field, value in message.ListFields():
        if field.type not in (FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_STRING):
            continue
        for part in value if field.label == FieldDescriptor.LABEL_REPEATED else [value]:
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                _check_text(part)
            elif isinstance(part, bytes):
                raise ModelError("it holds names that are no text; export or copy it again")


def _check_parts(proto: ModelProto) -> None:
    """Refuse what is not looked at anywhere else, and settle one opset of the standard operators."""
    from onnx import AttributeProto, defs

    if proto.functions:
        names = _listed([f.name for f in proto.functions])
        raise ModelError(f"it holds functions ({names}); inline them with onnx.inliner.inline_local_functions")
    if proto.graph.sparse_initializer:
        raise ModelError("it holds sparse weights; export dense ones")
    for node in proto.graph.node:
        for a in node.attribute:
            if a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) or a.HasField("g") or a.graphs:
                raise ModelError(f"{called(node)} holds a graph of its own; export the network without control flow")
            if a.name in _POSITIVE and min([a.i] if a.type == AttributeProto.INT else a.ints, default=1) < 1:
                numbers = a.i if a.type == AttributeProto.INT else list(a.ints)
                raise ModelError(f"{called(node)} has {a.name} {numbers}; it has to be at least 1")
            try:
                _ = [text.decode() for text in (a.s, *a.strings)]
            except UnicodeDecodeError:
                raise ModelError(f"{called(node)} has {shown(a.name)} that is no text; export it again") from None
            if a.HasField("sparse_tensor") or a.sparse_tensors:
                raise ModelError(f"{called(node)} holds sparse numbers; export dense ones")
            _check_attribute(node, a)
    versions = {o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")}
    if len(versions) != 1:
        found = ", ".join(map(str, sorted(versions))) or "none"
        raise ModelError(f"it has to name one opset of ONNX's operators, not {found}; export it again")
    version, newest = versions.pop(), defs.onnx_opset_version()
    if not _OLDEST_OPSET <= version <= newest:
        raise ModelError(f"its opset {version} cannot be executed; export with opset {_OLDEST_OPSET} to {newest}")
    others = [(o.domain, o.version) for o in proto.opset_import if o.domain not in ("", "ai.onnx")]
    del proto.opset_import[:]
    # qonnx takes the first for the standard operators'
    for domain, number in [("", version), *others]:
        proto.opset_import.add(domain=domain, version=number)


def _check_attribute(node: NodeProto, a: AttributeProto) -> None:
    """One value, of the type that it says: who reads it looks at the one, or at the other."""
    from onnx import AttributeProto

    what = f"{called(node)} has the attribute {shown(a.name)}"
    if sum(b.name == a.name for b in node.attribute) > 1:
        raise ModelError(f"{what} twice; export it again")
    field = AttributeProto.AttributeType.Name(a.type).lower() if a.type in AttributeProto.AttributeType.values() else ""
    own = {"float": "f", "int": "i", "string": "s", "tensor": "t", "graph": "g"}.get(field, field)
    filled = {f.name for f, _ in a.ListFields()} - {"name", "type", "doc_string"}
    if filled - {own} or (node.domain and a.name in _TYPES and own != _TYPES[a.name]):
        raise ModelError(f"{what}, which is of another type than it should be; export it again")


# -- its tensors -------------------------------------------------------------------------------------
def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for a in node.attribute:
            if a.HasField("t"):
                yield a.t
            yield from a.tensors


def _complete(path: Path, tensor: TensorProto) -> None:
    """Bring in the numbers of a tensor, and see that they are as many as its shape says."""
    from onnx import TensorProto, helper

    data = f"the data of {shown(tensor.name) or 'a constant'}"
    kinds = TensorProto.DataType
    name = kinds.Name(tensor.data_type) if tensor.data_type in kinds.values() else str(tensor.data_type)
    if name not in _KINDS:
        raise ModelError(f"{data} are of the type {name}; use {_KINDS[0]}")
    count = math.prod(tensor.dims)
    if min(tensor.dims, default=1) < 0 or count > MOST_ELEMENTS:
        raise ModelError(f"{data} have the shape {_shape(tensor.dims)}; at most {MOST_ELEMENTS} numbers fit")
    size = count * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    if tensor.data_location == TensorProto.EXTERNAL:
        _load_external(path, tensor, data, size)
    if tensor.HasField("raw_data"):
        found, needed, unit = len(tensor.raw_data), size, "bytes"
    else:
        found, needed, unit = len(getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type))), count, "numbers"
    if found != needed:
        raise ModelError(
            f"{data} are {found} {unit}, where the shape {_shape(tensor.dims)} needs {needed}; export again"
        )


def _shape(dims: Any) -> str:
    return f"[{', '.join(map(str, list(dims)[:8]))}{', ...' if len(dims) > 8 else ''}]"


def _load_external(path: Path, tensor: TensorProto, data: str, size: int) -> None:
    """Read weights from a file beside the model; nothing outside its folder is read."""
    from onnx import TensorProto

    folder = path.resolve().parent
    entries = {e.key: e.value for e in tensor.external_data}
    location = entries.get("location", "")
    try:
        target = (folder / location).resolve()
        inside, found = bool(location) and target.is_relative_to(folder), target.is_file()
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, or links in a circle
        inside = found = False
    if not inside:
        raise ModelError(f"{data} lie outside its folder ({shown(location)!r}); refused")
    if not found:
        raise ModelError(f"the file {shown(location)} with {data} is missing; copy it along")
    try:
        start, length = int(entries.get("offset") or 0), int(entries.get("length") or size)
    except ValueError:
        raise ModelError(f"the place of {data} in {shown(location)} is no number; export it again") from None
    if start < 0 or length != size:
        raise ModelError(f"{data} in {shown(location)} is {length} bytes from {start}, where its shape needs {size}")
    try:
        with target.open("rb") as file:
            file.seek(min(start, target.stat().st_size))
            content = file.read(size)
    except OSError as error:
        raise ModelError(f"cannot read {data} from {shown(location)}: {error.strerror}") from None
    if len(content) < size:
        raise ModelError(f"the file {shown(location)} with {data} is too short; copy it again")
    tensor.raw_data = content
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


# -- its graph ---------------------------------------------------------------------------------------
def _check_nodes(proto: ModelProto) -> None:
    """Each node is an operator that can be executed, in the domain that qonnx knows it by."""
    from onnx import checker

    from .custom_op import DOMAIN

    context = checker.C.CheckerContext()
    context.ir_version = checker.DEFAULT_CONTEXT.ir_version
    context.opset_imports = {"": proto.opset_import[0].version}
    for node in proto.graph.node:
        if node.domain not in (*DOMAINS, DOMAIN):
            raise ModelError(
                f"{called(node)} is of the unknown domain {shown(node.domain)!r}; known: ONNX,"
                f" qonnx.custom_op.general, {DOMAIN}"
            )
        if node.domain == "ai.onnx":
            node.domain = ""
        if node.op_type in _QUANTIZERS:
            node.domain = "qonnx.custom_op.general"
        needed = _INPUTS.get(node.op_type, 0) if node.domain else 0
        if needed and (len(node.input) != needed or not all(node.input)):
            raise ModelError(f"{called(node)} has {len(node.input)} inputs instead of {needed}; export it again")
        if not node.domain:
            try:
                checker.check_node(node, context)
            except checker.ValidationError as error:
                raise ModelError(f"{called(node)} is no valid operator: {first_line(error)}; export it again") from None


def _only_input(graph: GraphProto) -> Any:
    """The input that is no constant; the others are removed."""
    constants = {t.name for t in graph.initializer}
    inputs = [i for i in graph.input if i.name not in constants]
    if len(inputs) != 1:
        raise ModelError(f"a network needs one input, this has {len(inputs)}: {_listed([i.name for i in inputs])}")
    if len(graph.output) != 1:
        names = _listed([o.name for o in graph.output])
        raise ModelError(f"a network needs one output, this has {len(graph.output)}: {names}")
    only = inputs[0]
    for value in list(graph.input):
        if value.name in constants:
            graph.input.remove(value)
    return only


def _only_annotation(graph: GraphProto, source: str) -> None:
    """Keep what is said of the input's integers; of other tensors it is found out, not believed."""
    notes = [n for n in graph.quantization_annotation if n.tensor_name == source]
    kinds = {e.value for n in notes for e in n.quant_parameter_tensor_names if e.key == "finn_datatype"}
    del graph.quantization_annotation[:]
    integers = {k for k in kinds if not k.startswith(("FLOAT", "FIXED", "SCALEDINT"))}
    if len(kinds) > 1 or any(not _INTEGERS.fullmatch(k) for k in integers):
        raise ModelError(
            f"the input {shown(source)} is annotated as {_listed(sorted(kinds))}; annotate it as UINT8, INT8,"
            " the like with fewer bits, or BIPOLAR"
        )
    if integers:
        note = graph.quantization_annotation.add(tensor_name=source)
        note.quant_parameter_tensor_names.add(key="finn_datatype", value=integers.pop())


def _sort(graph: GraphProto) -> None:
    """Order of computation; each tensor is written once."""
    writer: dict[str, int] = {}
    for names in ([t.name for t in graph.initializer], [i.name for i in graph.input]):
        twice = [name for name, count in Counter(names).items() if count > 1 or not name]
        if twice:
            raise ModelError(f"two constants or inputs have the same name, or none: {_listed(twice)}; export it again")
    given = {t.name for t in (*graph.initializer, *graph.input)}
    nodes = list(graph.node)
    for number, node in enumerate(nodes):
        if not any(node.output):
            raise ModelError(f"{called(node)} writes nothing; export it again")
        for tensor in filter(None, node.output):
            if tensor in writer or tensor in given:
                raise ModelError(f"{called(node)} writes {shown(tensor)}, which is written already")
            writer[tensor] = number
    readers: list[list[int]] = [[] for _ in nodes]
    missing = [0] * len(nodes)
    for number, node in enumerate(nodes):
        for tensor in filter(None, node.input):
            if tensor in writer:
                readers[writer[tensor]].append(number)
                missing[number] += 1
            elif tensor not in given:
                raise ModelError(f"{called(node)} reads {shown(tensor)}, which nothing writes")
    for value in graph.output:
        if value.name not in writer:
            raise ModelError(f"nothing writes the output {shown(value.name)}")
    if all(writer[t] < number for number, node in enumerate(nodes) for t in node.input if t in writer):
        return
    ready, order = [n for n, count in enumerate(missing) if not count], []
    while ready:
        number = ready.pop()
        order.append(number)
        for reader in readers[number]:
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    if len(order) < len(nodes):
        stuck = [called(n) for n, count in zip(nodes, missing, strict=True) if count]
        raise ModelError(f"nodes wait for each other in a circle: {', '.join(stuck[:4])}; export it again")
    del graph.node[:]
    graph.node.extend(nodes[n] for n in order)


def _fix_batch(graph: GraphProto, tensor: Any) -> int:
    """Batch 1; everything else has to be fixed already. Returns the batch of the export, 1 if it is open."""
    from onnx import TensorProto

    kind = tensor.type.tensor_type.elem_type
    if kind != TensorProto.FLOAT:
        found = TensorProto.DataType.Name(kind) if kind in TensorProto.DataType.values() else kind
        raise ModelError(
            f"the input {shown(tensor.name)} is of the type {found}; export with a float input, and annotate it"
            " with set_tensor_datatype where integers enter"
        )
    dims = tensor.type.tensor_type.shape.dim
    if not dims:
        raise ModelError(f"the input {shown(tensor.name)} has no shape; export with a fixed size")
    batch = dims[0].dim_value
    for position, dim in enumerate(dims):
        if position == 0:
            dim.Clear()
            dim.dim_value = 1
        elif dim.dim_value < 1:
            found = shown(dim.dim_param) or (dim.dim_value if dim.HasField("dim_value") else "unknown")
            raise ModelError(
                f"dimension {position} of the input {shown(tensor.name)} is not fixed ({found});"
                " export with a fixed size"
            )
    if math.prod(d.dim_value for d in dims) > MOST_ELEMENTS:
        shape = _shape([d.dim_value for d in dims])
        raise ModelError(f"the input {shown(tensor.name)} has the shape {shape}; at most {MOST_ELEMENTS} numbers fit")
    # shapes in the file may carry a symbolic batch, or its own: found anew
    del graph.value_info[:]
    graph.output[0].type.tensor_type.ClearField("shape")
    return max(batch, 1)
