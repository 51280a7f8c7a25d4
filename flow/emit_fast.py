"""Emit a graph as a C++ program for an ordinary processor: the fast rung of the ladder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import BitexpertError
from ..hw.graph import Dataflow, Node
from ..hw.ops.gate import Gate
from ..hw.ops.matvec import MatVec
from ..hw.ops.pool import Pool
from ..hw.ops.sliding_window import SlidingWindow
from ..hw.ops.threshold import Threshold
from ..hw.ops.topk import TopK
from ..hw.types import BIPOLAR, StreamType
from .emit import check_names, fresh, summary
from .fast_numbers import HANDLERS, as_numbers, levels
from .fast_parts import (
    BITS,
    VECTOR,
    WORD,
    WORD_LANES,
    Buffer,
    FastDesign,
    Port,
    Step,
    Table,
    Tensor,
    Token,
    View,
    blocks_of,
    ctype_of,
    dtype_of,
    geometry,
    pack_bits,
    store_of,
    template,
    threshold_tables,
    words_of,
)
from .templates import render, write_text

__all__ = ["emit_fast"]

KERNELS = tuple(Path(__file__).parents[1] / "sim" / "cpp" / f"fast_{name}.hpp" for name in ("kernels", "numbers"))
# function, buffer that it reads, sizes, tables, items of a table in one bank (0: all banks share it), lane type
_Conv = tuple[str, str, dict[str, int], list[Table | None], list[int], str]


class Emitter:
    """Walks over the graph once and collects buffers, tables and steps."""

    def __init__(self, graph: Dataflow) -> None:
        self.graph = graph
        self.values: dict[str, Tensor | View] = {}
        self.buffers: list[Buffer] = []
        self.steps: list[Step] = []
        self.data: list[np.ndarray] = []
        self.offset = 0
        self.fused: set[str] = set()
        self.made: dict[int, Tensor] = {}
        self.consumers = graph.consumers()
        self.inputs = [self._input(s) for s in graph.inputs]
        handlers: dict[str, Callable[[Node], None]] = {
            "SlidingWindow": self._window,
            "MatVec": self._matvec,
            "Threshold": self._threshold,
            "Pool": self._pool,
            "Gate": self._gate,
            "TopK": self._topk,
            "Fork": self._alias,
            "FrameHold": self._alias,
            **{kind: partial(handler, self) for kind, handler in HANDLERS.items()},
        }
        for node in graph.nodes:
            if node.op.plumbing:
                self._alias(node)
            elif node.op.kind not in handlers:
                known = ", ".join(sorted(handlers))
                raise BitexpertError(
                    f"the fast engine has no kernel for {node.name} ({node.op.kind}); it has {known}; "
                    "leave the fast rung out or add a kernel to sim/cpp/fast_kernels.hpp and flow/emit_fast.py"
                )
            elif node.name not in self.fused:
                handlers[node.op.kind](node)

    # -- pieces -----------------------------------------------------------------------------------
    def _buffer(self, store: str, count: int, text: str) -> str:
        name = f"b{len(self.buffers)}"
        # vectors are read whole, so a buffer has a vector to spare
        spare = VECTOR // (8 if store == BITS else np.dtype(store).itemsize)
        self.buffers.append(Buffer(name, ctype_of(store), count + spare, text))
        return name

    def new_tensor(self, kind: StreamType, text: str) -> Tensor:
        """A frame of its own in the engine."""
        store, (h, w, c) = store_of(kind), kind.shape
        count = h * w * words_of(c) if store == BITS else kind.elements
        return Tensor(self._buffer(store, count, f"{text}: {kind}"), store, kind)

    def table(self, name: str, values: np.ndarray, store: str) -> Table:
        """A constant array."""
        array = np.ascontiguousarray(values, dtype="<u8" if store == BITS else np.dtype(store).newbyteorder("<"))
        table = Table(name, ctype_of(store), self.offset)
        self.data.append(array)
        self.offset += -(-array.nbytes // VECTOR) * VECTOR
        return table

    def step(
        self,
        text: str,
        sizes: Mapping[str, int],
        calls: Sequence[str],
        tables: Sequence[Table] = (),
        token: Token | None = None,
    ) -> None:
        """Something that is done once a frame; ``{}`` in a call stands for the step's name."""
        name = f"step_{len(self.steps) + 1}"
        lines = tuple(call.replace("{}", name) for call in calls)
        self.steps.append(Step(name, text, tuple(sizes.items()), lines, tuple(tables), token))

    def _input(self, stream: str) -> Tensor:
        tensor = self.new_tensor(self.graph.type_of(stream), "input")
        self.values[stream] = tensor
        return tensor

    def tensor(self, stream: str, shape: tuple[int, int, int]) -> Tensor:
        """The frame on a stream as a tensor of ``shape``, made if it is a view or packed otherwise."""
        value = self.values[stream]
        source = self._make(value) if isinstance(value, View) else value
        if source.kind.shape == shape:
            return source
        kind = replace(source.kind, shape=shape)
        have, want = source.kind.shape[2], shape[2]
        if source.store != BITS or (have % WORD == 0 and want % WORD == 0):
            return replace(source, kind=kind)
        result = self.new_tensor(kind, "reshaped")
        call = f"{template('reshape_bits', kind.elements, have, want)}(e.{source.buffer}, e.{result.buffer})"
        self.step(f"{source.kind} as {kind}", {}, [call])
        return result

    def _make(self, view: View) -> Tensor:
        if id(view) in self.made:
            return self.made[id(view)]
        op, source = view.op, view.source
        kind = op.outputs[0]
        result = self.new_tensor(kind, "windows")
        sizes = {**geometry(op), "tap": op.tap, "pad_value": op.pad_value}
        if source.store != BITS:
            calls = [f"bx::window_numbers<{{}}>(e.{source.buffer}, e.{result.buffer})"]
        elif result.store == BITS:
            signs = self._buffer("int8", kind.elements, "windows, one sign a byte")
            pixels = kind.shape[0] * kind.shape[1]
            pack = template("pack_signs", pixels, kind.shape[2])
            calls = [f"bx::window_bits<{{}}>(e.{source.buffer}, e.{signs})", f"{pack}(e.{signs}, e.{result.buffer})"]
        else:
            calls = [f"bx::window_bits<{{}}>(e.{source.buffer}, e.{result.buffer})"]
        self.step(f"windows of {source.kind}", sizes, calls)
        self.made[id(view)] = result
        return result

    def _reader(self, stream: str) -> Node | None:
        """The operator behind a stream and its plumbing."""
        while stream in self.consumers:
            node = self.consumers[stream][0]
            if not node.op.plumbing:
                return node
            stream = node.outputs[0]
        return None

    # -- operators --------------------------------------------------------------------------------
    def _alias(self, node: Node) -> None:
        sources = node.inputs if len(node.inputs) == len(node.outputs) else node.inputs * len(node.outputs)
        for stream, source in zip(node.outputs, sources, strict=True):
            if stream not in self.values:
                self.values[stream] = self.values[source]

    def _window(self, node: Node) -> None:
        op: SlidingWindow = node.op  # type: ignore[assignment]
        self.values[node.outputs[0]] = View(self.tensor(node.inputs[0], op.stream.shape), op)

    def _matvec(self, node: Node) -> None:
        op: MatVec = node.op  # type: ignore[assignment]
        value, shape = self.values[node.inputs[0]], op.stream.shape
        if isinstance(value, View) and value.op.out_size == shape[:2] and value.op.groups == op.groups:
            source, window = value.source, value.op
        else:
            whole = value.kind.shape if isinstance(value, Tensor) else shape
            # a dense layer over a frame is a convolution whose kernel is the frame
            dense = op.groups == 1 and shape[:2] == (1, 1) and whole[2] % WORD != 0
            kernel = whole[:2] if dense else (1, 1)
            source = self.tensor(node.inputs[0], whole if dense else shape)
            window = SlidingWindow(StreamType(source.kind.element, source.kind.shape), kernel, groups=op.groups)
        acc = self.new_tensor(op.outputs[0], f"{node.name}, accumulators")
        self.values[node.outputs[0]] = acc
        behind = self._reader(node.outputs[0])
        threshold: Threshold | None = None
        signs: Tensor | None = None
        names = [node.name]
        if (
            behind is not None
            and isinstance(behind.op, Threshold)
            and behind.op.stream.shape == acc.kind.shape
            and behind.op.out == BIPOLAR
        ):
            threshold = behind.op
            signs = self.new_tensor(threshold.outputs[0], behind.name)
            self.values[behind.outputs[0]] = signs
            self.fused.add(behind.name)
            names.append(behind.name)
        if op.weight_bits > 1 or (any(window.padding) and window.pad_value == 1):
            source = as_numbers(self, source)
        conv = self._bit_conv if source.store == BITS else self._number_conv
        function, frame, sizes, tables, bank_items, lane = conv(op, source, window)
        arguments = [f"e.{frame}", *(t.name if t else "nullptr" for t in tables)]
        token = None
        if op.banks > 1:
            token = Token(self.tensor(node.inputs[1], (1, 1, 1)).buffer, op.banks, len(self.steps) + 1)
            arguments[1:] = [f"{a} + bank * {n}" if n else a for a, n in zip(arguments[1:], bank_items, strict=True)]
        if threshold is not None and signs is not None:
            limits, negate = threshold_tables(threshold, op.groups, VECTOR // np.dtype(lane).itemsize)
            tables = [*tables, self.table("thresholds", limits, lane), self.table("negate", negate, BITS)]
            # a Threshold is the only reader: the accumulators are kept for the trace alone
            arguments += ["thresholds", "negate", f"trace ? e.{acc.buffer} : nullptr", f"e.{signs.buffer}"]
        else:
            arguments += ["nullptr", "nullptr", f"e.{acc.buffer}", "nullptr"]
        sizes |= {"rows": op.rows, "copies": threshold.copies if threshold else 0}
        call = f"{function.format(acc=ctype_of(acc.store))}({', '.join(arguments)})"
        text = f"{' + '.join(names)}: {source.kind} to {(signs or acc).kind}"
        self.step(text, sizes, [call], [t for t in tables if t], token)

    def _padded(self, source: Tensor, window: SlidingWindow, store: str) -> str:
        """A copy of a frame with its border (and in another number type); its buffer."""
        (h, w, c), (top, left, bottom, right) = source.kind.shape, window.padding
        items = words_of(c) if store == BITS else c
        height, width = h + top + bottom, w + left + right
        buffer = self._buffer(store, height * width * items, f"{source.kind} with its border")
        sizes = {"in_height": h, "in_width": w, "out_height": height, "out_width": width}
        sizes |= {"top": top, "left": left, "items": items, "border": 0 if store == BITS else window.pad_value}
        self.step(f"border of {source.kind}", sizes, [f"bx::pad<{{}}>(e.{source.buffer}, e.{buffer})"])
        return buffer

    def _bit_conv(self, op: MatVec, source: Tensor, window: SlidingWindow) -> _Conv:
        tap, (kh, kw) = window.tap, window.kernel
        (h, w, c), ow = source.kind.shape, window.out_size[1]
        sizes = geometry(window)
        extent, stride, dilation = window.extent[1], window.stride[1], window.dilation[1]
        bordered = any(window.padding) and window.pad_value == -1
        # channels of a group that fill no words: taps side by side, if the channels must be cut out or it saves words
        gathered = tap % WORD != 0 and (op.groups > 1 or 4 * kw * words_of(tap) > 5 * words_of(kw * tap))
        bits = (op.weights > 0).reshape(op.banks, op.groups, op.rows, kh, kw, tap).astype(np.uint8)
        masks: Table | None = None
        if bordered:
            height = h + window.padding[0] + window.padding[2]
            width = w + window.padding[1] + window.padding[3]
            sizes |= {"in_height": height, "in_width": width, "top": 0, "left": 0}
        if gathered:
            words = words_of(kw * tap)
            height = sizes["in_height"]
            bits = bits.reshape(op.banks, op.groups, op.rows, kh, 1, kw * tap)
            frame = self._buffer(BITS, op.groups * height * ow * words, f"{source.kind}, taps side by side")
            gather = {**geometry(window), "out_height": height, "tap_bits": tap, "words": words}
            gather["top"] = window.padding[0] if bordered else 0
            call = f"bx::gather_taps<{{}}>(e.{source.buffer}, e.{frame})"
            self.step(f"taps of {source.kind}", gather, [call])
            steps = {"taps": 1, "words": words, "tap_step": 0, "pixel_step": words, "column_step": 0}
            steps |= {"line_step": ow * words, "group_step": height * ow * words}
            columns = np.arange(ow)[:, None] * stride - window.padding[1] + np.arange(kw) * dilation
            valid = (columns >= 0) & (columns < w)
            if not bordered and not valid.all():
                masks = self.table("masks", pack_bits(np.repeat(valid, tap, axis=1)), BITS)
        else:
            pixel, words = words_of(c), words_of(tap)
            frame = self._padded(source, window, BITS) if bordered else source.buffer
            steps = {"taps": kw, "words": words, "tap_step": dilation * pixel, "pixel_step": stride * pixel}
            steps |= {"column_step": pixel, "line_step": sizes["in_width"] * pixel, "group_step": words}
        steps["row_step"] = window.dilation[0] * steps["line_step"]
        left, width = sizes["left"], sizes["in_width"]
        first = min(-(-left // stride), ow)
        last = (width + left - extent) // stride + 1 if width + left >= extent else 0
        sizes |= steps | {"inner_first": first, "inner_last": max(first, min(last, ow)), "tap_bits": tap}
        sizes |= {"gathered": int(gathered), "masked": int(masks is not None)}
        packed = blocks_of(pack_bits(bits), 2, WORD_LANES).transpose(0, 1, 2, 4, 5, 6, 3)
        weights = self.table("weights", packed, BITS)
        return "bx::bit_conv<{{}}, {acc}>", frame, sizes, [weights, masks], [packed[0].size, 0], "int64"

    def _number_conv(self, op: MatVec, source: Tensor, window: SlidingWindow) -> _Conv:
        element = source.kind.element
        most = max(-element.min, element.max, abs(window.pad_value))
        rows = np.abs(op.weights.astype(np.int64)).sum(axis=3).max()
        largest = int(rows) * (most + 2)
        lane = "int16" if largest < 1 << 15 else "int32" if largest < 1 << 31 else "int64"
        frame = self._padded(source, window, lane)
        lanes, products = VECTOR // np.dtype(lane).itemsize, op.weight_bits > 1
        if products:
            blocks = blocks_of(op.weights.astype(np.int64), 2, lanes)  # bank, group, block, lane, column
            counts = np.zeros(blocks.shape[:4], np.int64)
        else:
            minus = blocks_of(op.weights < 0, 2, lanes)
            blocks, counts = -minus.astype(np.int64), minus.sum(axis=4)
        weights = self.table("weights", blocks.transpose(0, 1, 2, 4, 3), lane)
        negatives = self.table("negatives", counts, lane)
        sizes = {**geometry(window), "channels": source.kind.shape[2], "tap": window.tap, "products": int(products)}
        sizes["in_width"] += window.padding[1] + window.padding[3]
        function = f"bx::number_conv<{{{{}}}}, {ctype_of(lane)}, {{acc}}>"
        return function, frame, sizes, [weights, negatives], [blocks[0].size, counts[0].size], lane

    def _threshold(self, node: Node) -> None:
        op: Threshold = node.op  # type: ignore[assignment]
        if op.out != BIPOLAR:
            levels(self, node)
            return
        source = self.tensor(node.inputs[0], op.stream.shape)
        result = self.new_tensor(op.outputs[0], node.name)
        self.values[node.outputs[0]] = result
        limits, negate = threshold_tables(op, 1, VECTOR // np.dtype(source.store).itemsize)
        tables = [self.table("thresholds", limits, source.store), self.table("negate", negate, BITS)]
        sizes = {"pixels": op.pixels, "channels": op.channels, "copies": op.copies}
        call = f"bx::threshold<{{}}>(e.{source.buffer}, thresholds, negate, e.{result.buffer})"
        self.step(f"{node.name}: {source.kind} to {result.kind}", sizes, [call], tables)

    def _pool(self, node: Node) -> None:
        op: Pool = node.op  # type: ignore[assignment]
        source = self.tensor(node.inputs[0], op.stream.shape)
        result = self.new_tensor(op.outputs[0], node.name)
        self.values[node.outputs[0]] = result
        (h, w, c), (oh, ow) = op.stream.shape, op.out_size
        calls, items, combine, frame = [], c, op.mode.capitalize(), source.buffer
        if result.store == BITS:
            items, combine = words_of(c), "Or"
        elif source.store == BITS:
            frame = self._buffer("int8", op.stream.elements, f"{source.kind}, one sign a byte")
            calls.append(f"{template('unpack_signs', h * w, c)}(e.{source.buffer}, e.{frame})")
        sizes = {"in_width": w, "out_height": oh, "out_width": ow, "items": items}
        sizes |= {"kernel_h": op.kernel[0], "kernel_w": op.kernel[1]}
        calls.append(f"bx::pool<{{}}>(e.{frame}, e.{result.buffer}, bx::{combine}())")
        self.step(f"{node.name}: {source.kind} to {result.kind}", sizes, calls)

    def _gate(self, node: Node) -> None:
        op: Gate = node.op  # type: ignore[assignment]
        source = self.tensor(node.inputs[0], op.stream.shape)
        result = self.new_tensor(op.outputs[0], f"{node.name}, token")
        self.values[node.outputs[0]] = result
        tables = [self.table("weights", op.weights, "int64"), self.table("bias", op.bias, "int64")]
        sizes = {"pixels": op.stream.shape[0] * op.stream.shape[1], "channels": op.stream.shape[2]}
        sizes["experts"] = op.experts
        kernel = "gate_bits" if source.store == BITS else "gate_numbers"
        call = f"bx::{kernel}<{{}}>(e.{source.buffer}, weights, bias, e.{result.buffer})"
        self.step(f"{node.name}: {source.kind} to {result.kind}", sizes, [call], tables)

    def _topk(self, node: Node) -> None:
        op: TopK = node.op  # type: ignore[assignment]
        source = self.tensor(node.inputs[0], op.stream.shape)
        result = self.new_tensor(op.outputs[0], node.name)
        self.values[node.outputs[0]] = result
        call = f"{template('top_k', op.stream.elements, op.k)}(e.{source.buffer}, e.{result.buffer})"
        self.step(f"{node.name}: {source.kind} to {result.kind}", {}, [call])

    # -- borders ----------------------------------------------------------------------------------
    def input_ports(self) -> tuple[Port, ...]:
        """Frames that enter: as many signs or numbers as the stream has elements."""
        ports = []
        for i, tensor in enumerate(self.inputs):
            h, w, c = tensor.kind.shape
            store = "int8" if tensor.store == BITS else tensor.store
            function = template("convert", tensor.kind.elements)
            if tensor.store == BITS:
                function = template("pack_signs", h * w, c)
            ports.append(
                Port(i, tensor.buffer, ctype_of(store), tensor.kind.elements, function, f"input {tensor.kind}")
            )
        return tuple(ports)

    @staticmethod
    def leaving_port(index: int, tensor: Tensor, store: str) -> Port:
        """A tensor that is copied out as signs or numbers of type ``store``."""
        h, w, c = tensor.kind.shape
        function = template("convert", tensor.kind.elements)
        if tensor.store == BITS:
            function = template("unpack_signs", h * w, c)
        return Port(index, tensor.buffer, ctype_of(store), tensor.kind.elements, function, str(tensor.kind))


def emit_fast(graph: Dataflow, folder: Path, made_by: str) -> FastDesign:
    """Write the fast engine: ``engine.cpp``, its kernels, ``weights.bin`` and ``engine.json``.

    A window is never made: a MatVec reads the frame in front of its SlidingWindow. A Threshold that alone reads a
    MatVec is done with it. Operators that ``fold`` inserted are left out.

    Parameters
    ----------
    graph : Dataflow
        Lowered or folded.
    folder : Path
        Created if missing; what an earlier call wrote there is replaced.
    made_by : str
        Goes into the head of ``engine.cpp``.

    Returns
    -------
    FastDesign

    Raises
    ------
    BitexpertError
        An operator for which there is no kernel.
    """
    check_names(graph)
    emitter = Emitter(graph)
    outputs = [emitter.tensor(s, graph.type_of(s).shape) for s in graph.outputs]
    plumbing = {s for n in graph.nodes if n.op.plumbing for s in n.outputs}
    kept: dict[str, Tensor] = {}  # a stream and its copies lie in one buffer, which is traced once
    streams: dict[str, dict[str, object]] = {}
    for stream in graph.streams():
        value = emitter.values[stream]
        if stream in plumbing or isinstance(value, View):
            continue
        kept.setdefault(value.buffer, value)
        index = list(kept).index(value.buffer)
        streams[stream] = {"trace": index, "shape": list(graph.type_of(stream).shape)}
    traced = tuple(
        emitter.leaving_port(i, t, "int8" if t.store == BITS else t.store) for i, t in enumerate(kept.values())
    )
    design = FastDesign(
        made_by=made_by,
        summary=summary(graph),
        buffers=tuple(emitter.buffers),
        steps=tuple(emitter.steps),
        inputs=emitter.input_ports(),
        outputs=tuple(emitter.leaving_port(i, t, "int64") for i, t in enumerate(outputs)),
        traced=traced,
        table_bytes=max(emitter.offset, VECTOR),
        signature="",
    )
    layout = repr([(s.name, s.sizes, s.tables) for s in design.steps]).encode()
    signature = hashlib.sha256(layout).digest()[:8]
    design = replace(design, signature=f"0x{int.from_bytes(signature, 'little'):016x}ULL")

    def border(names: Sequence[str], ports: Sequence[Port]) -> list[dict[str, object]]:
        kinds = [graph.type_of(name) for name in names]
        return [
            {"stream": n, "dtype": dtype_of(p), "shape": list(k.shape), "element": str(k.element), "masked": k.masked}
            for n, p, k in zip(names, ports, kinds, strict=True)
        ]

    description = {
        "inputs": border(graph.inputs, design.inputs),
        "outputs": border(graph.outputs, design.outputs),
        "traced": [{"dtype": dtype_of(p), "elements": p.elements} for p in traced],
        "streams": streams,
        "steps": [s.text for s in design.steps],
    }
    fresh(folder)
    for header in KERNELS:
        shutil.copyfile(header, folder / header.name)
    write_text(folder / "engine.cpp", render("fast/engine.cpp.j2", design))
    write_text(folder / "engine.json", json.dumps(description, indent=1) + "\n")
    part = folder / "weights.bin.part"
    with part.open("wb") as file:
        file.write(signature + design.table_bytes.to_bytes(8, "little") + bytes(VECTOR - 16))
        for array in emitter.data:
            file.write(array.tobytes() + bytes(-array.nbytes % VECTOR))
        if not emitter.data:
            file.write(bytes(VECTOR))
    part.replace(folder / "weights.bin")
    return design
