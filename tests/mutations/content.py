"""Other bytes, other fields, other numbers, other sizes, weights that lie elsewhere."""

from __future__ import annotations

import struct

import numpy as np
from onnx import TensorProto, numpy_helper

from .base import FLOATS, HOSTILE, INTS, Broken, mutator, one_of, set_numbers


# -- bytes ---------------------------------------------------------------------------------------------
@mutator
def flipped_bytes(model, rng):
    data = bytearray(model.SerializeToString())
    for place in rng.integers(0, len(data), rng.integers(1, 6)):
        data[place] = one_of(rng, [data[place] ^ (1 << int(rng.integers(8))), int(rng.integers(256)), 0, 255])
    return Broken(bytes(data))


@mutator
def moved_bytes(model, rng):
    data = model.SerializeToString()
    a, b = sorted(rng.integers(0, len(data), 2).tolist())
    b = min(b, a + 200)
    junk = rng.integers(0, 256, rng.integers(1, 40), dtype=np.uint8).tobytes()
    choices = [
        data[:a] + data[b:],
        data[:a] + junk + data[a:],
        data[:b] + data[a:],
        data[:a],
        data[:a] + data[b:] + data[a:b],
    ]
    return Broken(one_of(rng, choices))


# -- any field of the file -----------------------------------------------------------------------------
def _repeated(kind):
    return kind.label == kind.LABEL_REPEATED


def _messages(message):
    yield message
    for kind, value in message.ListFields():
        if kind.message_type is not None:
            for child in value if _repeated(kind) else [value]:
                yield from _messages(child)


def _scalar(kind, old, rng):
    if kind.type == kind.TYPE_STRING:
        return one_of(rng, [*HOSTILE[:-6], "", "x", old * 2])
    if kind.type == kind.TYPE_BYTES:
        return one_of(rng, [b"", b"\xff\xfe\x80", old[:-1], old + b"\0", b"ROUND_TO_NOWHERE"])
    if kind.type in (kind.TYPE_FLOAT, kind.TYPE_DOUBLE):
        return float(np.float32(one_of(rng, FLOATS)))
    if kind.type == kind.TYPE_ENUM:
        return one_of(rng, kind.enum_type.values).number
    return int(one_of(rng, [*INTS, old + 1, -old])) if kind.type != kind.TYPE_INT32 else int(one_of(rng, INTS[:11]))


@mutator
def field_changed(model, rng):
    """One field of one message, whatever it is: another value, gone, doubled, or its neighbour's."""
    hostile = list(HOSTILE)
    while True:
        message = one_of(rng, [m for m in _messages(model) if m.ListFields()])
        kind, value = one_of(rng, message.ListFields())
        if not _repeated(kind):
            if kind.message_type is not None or rng.random() < 0.2:
                message.ClearField(kind.name)
            else:
                setattr(message, kind.name, _scalar(kind, value, rng))
            return Broken(model.SerializeToString(), hostile=hostile)
        place = int(rng.integers(len(value)))
        action = rng.integers(4)
        if action == 0:
            del value[place]
        elif action == 1:
            value.append(value[place])
        elif kind.message_type is not None:
            value[place].CopyFrom(one_of(rng, value))
        else:
            value[place] = _scalar(kind, value[place], rng) if action == 2 else one_of(rng, value)
        return Broken(model.SerializeToString(), hostile=hostile)


# -- numbers and sizes ---------------------------------------------------------------------------------
@mutator
def odd_numbers(model, rng):
    """One or all numbers of a constant: not finite, huge, tiny, of the other sign."""
    tensor = one_of(rng, model.graph.initializer)
    array = numpy_helper.to_array(tensor).copy()
    number = one_of(rng, FLOATS) if array.dtype.kind == "f" else one_of(rng, INTS)
    if rng.random() < 0.5 and array.size:
        array.reshape(-1)[int(rng.integers(array.size))] = number
    elif rng.random() < 0.3:
        array = array * -1
    else:
        array = np.full_like(array, number)
    set_numbers(tensor, array)


@mutator
def other_numbers(model, rng):
    """Valid numbers: scales, thresholds, weights that differ from channel to channel."""
    tensor = one_of(rng, model.graph.initializer)
    array = numpy_helper.to_array(tensor)
    if array.dtype.kind == "f" and array.size:
        change = one_of(
            rng,
            [
                lambda a: a * rng.choice([0.5, 2.0, 4.0, 0.125], a.shape),
                lambda a: a * 2.0,
                lambda a: np.rint(a * 8) / 4,
                lambda a: np.where(rng.random(a.shape) < 0.3, 0.0, a),
                lambda a: -a,
                lambda a: a + 1.0,
                lambda a: np.zeros_like(a),
            ],
        )
        set_numbers(tensor, change(array).astype(np.float32))
    elif array.size:
        set_numbers(tensor, np.maximum(array + rng.integers(-1, 2, array.shape), 0).astype(array.dtype))


@mutator
def wrong_shape(model, rng):
    tensor = one_of(rng, model.graph.initializer)
    action = rng.integers(6)
    array = numpy_helper.to_array(tensor)
    if action == 0 and tensor.dims:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = int(one_of(rng, INTS))
    elif action == 1:
        tensor.dims.append(int(one_of(rng, [1, 1, 1, 0, 2, -1])))
    elif action == 2:
        set_numbers(tensor, array.T)
    elif action == 3:
        set_numbers(tensor, array.reshape(-1) if array.ndim != 1 else array.reshape(-1, 1))
    elif action == 4:
        set_numbers(tensor, array[..., :1] if array.ndim else array[None])
    else:
        shape = (*array.shape[:-1], array.shape[-1] + 1) if array.ndim else (2,)
        set_numbers(tensor, np.resize(array, shape))


@mutator
def another_type(model, rng):
    tensor = one_of(rng, model.graph.initializer)
    array = numpy_helper.to_array(tensor)
    if rng.random() < 0.3:
        tensor.data_type = int(rng.integers(0, 26))
    else:
        with np.errstate(all="ignore"):
            set_numbers(
                tensor,
                array.astype(one_of(rng, [np.float64, np.float16, np.int64, np.int8, np.uint8, np.int32, np.bool_])),
            )


@mutator
def input_shape(model, rng):
    dims = model.graph.input[0].type.tensor_type.shape.dim
    action = rng.integers(4)
    if action == 0 and dims:
        dim = one_of(rng, dims)
        dim.dim_value = int(one_of(rng, [*INTS, 5, 13, 40, 4000]))
    elif action == 1:
        dims.add().dim_value = int(one_of(rng, [1, 2, 0]))
    elif action == 2:
        del dims[-1]
    else:
        dims[-1].dim_param = one_of(rng, HOSTILE)
        return Broken(model.SerializeToString(), hostile=list(HOSTILE))
    return None


# -- files beside the model ----------------------------------------------------------------------------
@mutator
def external_data(model, rng):
    """Constants in a file beside the model, or said to be elsewhere."""
    content, tensors = b"", list(model.graph.initializer)
    bad = rng.random() < 0.8
    chosen = int(rng.integers(len(tensors)))
    for i, tensor in enumerate(tensors):
        raw = numpy_helper.to_array(tensor).tobytes()
        entries = {"location": "weights.bin", "offset": str(len(content)), "length": str(len(raw))}
        content += raw
        if bad and i == chosen:
            key, value = one_of(
                rng,
                [("location", "../outside.bin"), ("location", "/etc/passwd"), ("location", "/dev/zero"),
                 ("location", "."), ("location", ""),
                 ("location", "weights.bin\0evil"), ("location", "sub/../../outside.bin"), ("location", "none.bin"),
                 ("location", "evil" * 2500),
                 ("location", "/proc/self/mem"), ("location", "model.onnx"), ("offset", "-8"), ("offset", "1" * 5000),
                 ("offset", "evil"),
                 ("offset", str(1 << 62)), ("length", "0"), ("length", "-1"), ("length", str(1 << 62)),
                 ("length", "1e3"), ("checksum", "0")],
            )  # fmt: skip
            entries[key] = value
        for field_name in ("raw_data", "float_data", "int64_data"):
            tensor.ClearField(field_name)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)
    if rng.random() < 0.1:
        content = content[:-5]
    return Broken(
        model.SerializeToString(),
        {"weights.bin": content, "../outside.bin": struct.pack("64f", *range(64)) * 99},
        list(HOSTILE),
    )
