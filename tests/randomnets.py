"""Random networks as QONNX files, drawn by hypothesis layer by layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"
EXPERT = "bitexpert.flow.custom_op"
CHANNELS = (1, 2, 3, 4, 5, 7, 8)
POWERS = (1.0, 0.5, 0.125, 2.0)
# beyond this HLS and RTL simulation take too long
HARDWARE_MACS, HARDWARE_LAYERS = 60_000, 7


@dataclass
class Network:
    """A model and what it is made of."""

    proto: ModelProto
    features: list[str] = field(default_factory=list)
    macs: int = 0
    layers: int = 0

    def save(self, path: Path) -> None:
        path.write_bytes(self.proto.SerializeToString())

    @property
    def hardware(self) -> bool:
        return self.macs <= HARDWARE_MACS and self.layers <= HARDWARE_LAYERS

    def __repr__(self) -> str:
        return f"Network({', '.join(self.features)})"


@dataclass(frozen=True)
class Tensor:
    """One of the network's: ``ready`` if a layer may read it, ``step`` the distance of its values; no batch."""

    name: str
    shape: tuple[int, ...]
    ready: bool
    step: float | None = None
    bits: bool = False


class Maker:
    """Adds nodes; every choice is drawn, and every array comes from a drawn seed."""

    def __init__(self, draw) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.nodes, self.constants, self.features = [], [], []
        self.macs = self.layers = 0

    # -- pieces ---------------------------------------------------------------------------------------
    def chance(self, label: str) -> bool:
        """Whether a feature is used; the network without it is the simpler one."""
        if self.draw(st.booleans()):
            self.features.append(label)
            return True
        return False

    def pick(self, options, label: str = ""):
        value = self.draw(st.sampled_from(options))
        if label and value != options[0]:
            self.features.append(f"{label} {value}")
        return value

    def constant(self, array, dtype=np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, dtype=dtype), name))
        return name

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes):
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        quantizer = kind in ("Quant", "BipolarQuant")
        domain = QONNX if quantizer else EXPERT if kind == "ExpertConv" else ""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=name, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def column(self, shape, array) -> np.ndarray:
        """An array of one number a channel, to be broadcast with a tensor."""
        return np.reshape(array, (1, -1, *[1] * (len(shape) - 1)))

    # -- activations ----------------------------------------------------------------------------------
    def quantize(self, x: Tensor, spread: float, *, bipolar: bool | None = None) -> Tensor:
        """A quantizer whose levels lie within about ``spread``."""
        bits = 1 if bipolar else self.pick((1, 2, 3, 4), "activation bits")
        scale = self.pick((1.0, 0.5, 0.3, 2.0), "activation scale")
        if bits == 1 and (bipolar or not self.chance("uint1")):
            name = self.node("BipolarQuant", x.name, self.constant([scale]))
            return Tensor(name, x.shape, True, scale, True)
        signed = self.chance("signed activation") and bits > 1
        scale = float(np.float32(scale * spread / 2**bits))
        if self.chance("power of two"):
            scale = float(2.0 ** np.round(np.log2(scale)))
        narrow = signed and self.chance("narrow")
        constants = [self.constant(v) for v in (scale, 0.0, float(bits))]
        mode = self.pick(("ROUND", "FLOOR", "HALF_UP"), "rounding")
        name = self.node("Quant", x.name, *constants, signed=int(signed), narrow=int(narrow), rounding_mode=mode)
        return Tensor(name, x.shape, True, scale)

    def between(self, x: Tensor, spread: float) -> tuple[Tensor, float]:
        """Arithmetic between a layer and a quantizer; returns the tensor and how far it spreads."""
        name, shape = x.name, x.shape
        channels = shape[0]
        for _ in range(self.draw(st.integers(0, 2))):
            kind = self.pick(("BatchNormalization", "Mul", "Add", "Sub", "Div", "Relu", "PRelu", "Clip"), "")
            self.features.append(kind)
            if kind == "BatchNormalization":
                gamma = self.rng.normal(size=channels)
                gamma[self.rng.random(channels) < 0.15] = 0
                beta = self.rng.normal(size=channels) * 0.3
                mean = self.rng.normal(size=channels) * spread * 0.3
                if self.chance("ties"):
                    beta[:], mean[:] = 0, 0
                var = spread**2 * 10.0 ** self.pick((0, 4, -4), "variance")
                arrays = [gamma, beta, mean, np.full(channels, var)]
                name = self.node("BatchNormalization", name, *map(self.constant, arrays), epsilon=1e-5)
                spread = max(1.0, spread / var**0.5)
            elif kind in ("Mul", "Div", "Add", "Sub"):
                vector = self.rng.normal(size=channels) + 0.01
                operand = self.column(shape, vector) if self.chance("per channel") else vector[0]
                name = self.node(kind, name, self.constant(operand))
                largest = float(np.abs(np.asarray(operand)).max())
                smallest = float(np.abs(np.asarray(operand)).min())
                spread = {"Mul": spread * largest, "Div": spread / smallest}.get(kind, spread + largest)
            elif kind == "PRelu":
                slopes = self.rng.random(channels)
                name = self.node("PRelu", name, self.constant(slopes.reshape(-1, *[1] * (len(shape) - 1))))
            elif kind == "Clip":
                name = self.node("Clip", name, self.constant(-spread / 3), self.constant(spread / 2))
            else:
                name = self.node("Relu", name)
        return Tensor(name, shape, False), max(spread, 1e-3)

    # -- layers ---------------------------------------------------------------------------------------
    def weights(self, shape) -> tuple[str, float]:
        """Quantized weights; returns the tensor and the largest absolute value."""
        real = self.constant(self.rng.uniform(-1, 1, shape))
        bits = self.pick((1, 2, 3, 4), "weight bits")
        scales = np.array(self.pick(POWERS, "weight scale"))
        if self.chance("a scale for each output"):
            scales = (self.rng.random((shape[0], *[1] * (len(shape) - 1))) + 0.1) * scales
        if bits == 1:
            return self.node("BipolarQuant", real, self.constant(scales)), float(scales.max())
        scales = scales / 2 ** (bits - 1)
        constants = [self.constant(v) for v in (scales, 0.0, float(bits))]
        narrow = int(self.chance("narrow weights"))
        name = self.node("Quant", real, *constants, signed=1, narrow=narrow, rounding_mode="ROUND")
        return name, float(scales.max() * 2 ** (bits - 1))

    def conv(self, x: Tensor) -> tuple[Tensor, float]:
        channels, height, width = x.shape
        divisors = [g for g in (1, 2, 3, 4, 5, 7, 8) if channels % g == 0]
        groups = self.pick(divisors, "groups")
        rows = groups * self.pick((1, 2, 3), "")
        pads = [self.pick((0, 1, 2), "") if self.draw(st.booleans()) else 0 for _ in range(4)]
        dilation = [self.pick((1, 2), "dilation") for _ in "hw"]
        kernel = []
        for size, before, after, d in zip((height, width), pads[:2], pads[2:], dilation, strict=True):
            room = (size + before + after - 1) // d + 1
            kernel.append(self.pick([k for k in (1, 3, 2, 4) if k <= room], "kernel"))
        stride = [self.pick((1, 2), "stride") for _ in "hw"]
        source = x.name
        attributes = {"pads": pads}
        if any(pads) and x.bits and self.chance("padded with -1"):
            amounts = self.constant([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)
            source = self.node("Pad", source, amounts, self.constant(-x.step))
            attributes = {}
        elif any(pads):
            self.features.append("zero padding")
        weights, largest = self.weights((rows, channels // groups, *kernel))
        inputs = [source, weights]
        if self.chance("bias"):
            inputs.append(self.constant(self.rng.normal(size=rows) * largest * x.step))
        attributes |= {"kernel_shape": kernel, "strides": stride, "dilations": dilation, "group": groups}
        name = self.node("Conv", *inputs, **attributes)
        out = [
            (size + before + after - d * (k - 1) - 1) // s + 1
            for size, before, after, d, k, s in zip(
                (height, width), pads[:2], pads[2:], dilation, kernel, stride, strict=True
            )
        ]
        taps = channels // groups * kernel[0] * kernel[1]
        self.macs += rows * out[0] * out[1] * taps
        self.layers += 1
        self.features.append("conv")
        spread = largest * x.step * (2 if x.bits else 8) * taps**0.5
        return Tensor(name, (rows, *out), False), spread

    def expert(self, x: Tensor) -> tuple[Tensor, float]:
        """An expert convolution on bits of scale 1, with a gate on them."""
        channels, height, width = x.shape
        experts, rows = self.pick((2, 3, 4), ""), self.pick((1, 2, 3), "")
        kernel = [min(3, height), min(2, width)]
        bank = np.sign(self.rng.normal(size=(experts * rows, channels, *kernel)) + 1e-9)
        gate = self.rng.integers(-4, 5, (experts, channels))
        bias = self.rng.integers(-3, 4, experts) * max(1, height * width // 4)
        pad = self.pick((0, 1), "")
        pads = [pad, 0, 0, pad]
        name = self.node(
            "ExpertConv",
            x.name,
            *(self.constant(a) for a in (bank, gate, bias)),
            n_experts=experts,
            out_channels=rows,
            kernel_shape=kernel,
            pads=pads,
            pad_value=self.pick((0.0, -1.0), "expert pad"),
        )
        out = (height + pad - kernel[0] + 1, width + pad - kernel[1] + 1)
        taps = channels * kernel[0] * kernel[1]
        self.macs += rows * out[0] * out[1] * taps
        self.layers += 2
        self.features.append("expert")
        return Tensor(name, (rows, *out), False), 2 * taps**0.5

    def dense(self, x: Tensor, rows: int | None = None) -> tuple[Tensor, float]:
        flat = self.flatten(x)
        inputs = flat.shape[0]
        rows = rows or self.pick((3, 1, 5, 8), "")
        weights, largest = self.weights((rows, inputs))
        if self.chance("Gemm"):
            extra = [self.constant(self.rng.normal(size=rows))] if self.chance("linear bias") else []
            name = self.node("Gemm", flat.name, weights, *extra, transB=1)
        else:
            name = self.node("MatMul", flat.name, self.node("Transpose", weights, perm=[1, 0]))
        self.macs += rows * inputs
        self.layers += 1
        self.features.append("dense")
        return Tensor(name, (rows,), False), largest * x.step * (2 if x.bits else 8) * inputs**0.5

    # -- views ----------------------------------------------------------------------------------------
    def flatten(self, x: Tensor) -> Tensor:
        if len(x.shape) == 1:
            return x
        name = x.name
        size = int(np.prod(x.shape))
        how = self.pick(("Flatten", "Reshape", "NHWC"), "flat by")
        if how == "NHWC":
            name = self.node("Transpose", name, perm=[0, 2, 3, 1])
        if how == "Reshape":
            name = self.node("Reshape", name, self.constant([1, -1], np.int64))
        else:
            name = self.node("Flatten", name, axis=1)
        return Tensor(name, (size,), x.ready, x.step, x.bits)

    def copies(self, x: Tensor) -> Tensor:
        """Expanding: copies of the channels."""
        many = self.pick((2, 3), "")
        how = self.pick(("Tile", "Concat", "Expand and Tile"), "")
        self.features.append(f"copies by {how}")
        repeats = [1, many, *[1] * (len(x.shape) - 1)]
        if how == "Concat":
            name = self.node("Concat", *[x.name] * many, axis=1)
        else:
            source = x.name
            if how != "Tile":
                source = self.node("Expand", source, self.constant([1, *x.shape], np.int64))
            name = self.node("Tile", source, self.constant(repeats, np.int64))
        return Tensor(name, (many * x.shape[0], *x.shape[1:]), x.ready, x.step, x.bits)

    def pool(self, x: Tensor) -> Tensor:
        channels, height, width = x.shape
        kind = self.pick(("MaxPool", "AveragePool", "GlobalAveragePool"), "")
        self.features.append(f"{kind}{'' if x.ready else ' on accumulators'}")
        if kind == "GlobalAveragePool":
            step = None if x.step is None else x.step / (height * width)
            return Tensor(self.node(kind, x.name), (channels, 1, 1), x.ready, step)
        kernel = [self.pick([k for k in (2, 1, 3) if k <= n] or [1], "") for n in (height, width)]
        stride = [self.pick((k, 1), "pool stride") for k in kernel]
        pads = [0, 0, 0, 0]
        # an average counts the zeros, which only a quantizer's values hold
        if min(kernel) > 1 and (kind == "MaxPool" or x.ready) and self.chance("padded pool"):
            pads = [1, 0, 0, 1]
        more = {"count_include_pad": 1} if kind == "AveragePool" else {}
        name = self.node(kind, x.name, kernel_shape=kernel, strides=stride, pads=pads, **more)
        out = [
            (n + before + after - k) // s + 1
            for n, before, after, k, s in zip((height, width), pads[:2], pads[2:], kernel, stride, strict=True)
        ]
        step, bits = x.step, x.bits
        if kind == "AveragePool" and step is not None:
            step, bits = step / (kernel[0] * kernel[1]), False
        return Tensor(name, (channels, *out), x.ready, step, bits)

    def branches(self, x: Tensor) -> Tensor:
        """Two layers side by side on one tensor or its parts, their bits joined."""
        parts = [x, x]
        if x.shape[0] > 1 and self.chance("split"):
            at = self.draw(st.integers(1, x.shape[0] - 1))
            names = self.node("Split", x.name, self.constant([at, x.shape[0] - at], np.int64), outputs=2, axis=1)
            sizes = (at, x.shape[0] - at)
            parts = [Tensor(n, (c, *x.shape[1:]), True, x.step, x.bits) for n, c in zip(names, sizes, strict=True)]
        scale = self.pick((1.0, 0.5), "")
        made = []
        for part in parts:
            rows = self.pick((1, 2, 3), "")
            weights, largest = self.weights((rows, part.shape[0], 1, 1))
            name = self.node("Conv", part.name, weights, kernel_shape=[1, 1])
            self.macs += rows * int(np.prod(part.shape))
            self.layers += 1
            y, _ = self.between(Tensor(name, (rows, *part.shape[1:]), False), largest * part.step * 4)
            made.append((self.node("BipolarQuant", y.name, self.constant([scale])), rows))
        self.features.append("fork and concat")
        joined = self.node("Concat", *(name for name, _ in made), axis=1)
        return Tensor(joined, (sum(rows for _, rows in made), *x.shape[1:]), True, scale, True)


def _enter(m: Maker) -> tuple[Tensor, str, tuple[int, ...], str]:
    """The input: tensor behind its quantizer, name, shape in the file, annotation."""
    flat = m.chance("flat input")
    if flat:
        shape = (m.pick((5, 13, 1, 16), ""),)
    else:
        shape = (m.pick(CHANNELS, ""), m.pick((4, 1, 5, 6, 3), "height"), m.pick((4, 1, 3, 7), "width"))
    name, file_shape = "x", shape
    if not flat and m.chance("NHWC input"):
        file_shape = (*shape[1:], shape[0])
        name = m.node("Transpose", name, perm=[0, 3, 1, 2])
    kind = m.pick(("BipolarQuant", "Quant", "UINT8", "INT8", "BIPOLAR"), "input")
    if kind in ("UINT8", "INT8", "BIPOLAR"):
        return Tensor(name, shape, True, 1.0, kind == "BIPOLAR"), "x", file_shape, kind
    if m.chance("2x-1"):
        name = m.node("Sub", m.node("Mul", name, m.constant(2.0)), m.constant(1.0))
    scale = m.pick((1.0, 0.0078125, 0.3), "input scale")
    if kind == "BipolarQuant":
        name = m.node("BipolarQuant", name, m.constant([scale]))
        return Tensor(name, shape, True, scale, True), "x", file_shape, ""
    bits, signed = m.pick((8, 2, 4), "input bits"), m.chance("signed input")
    narrow = signed and m.chance("narrow input")
    constants = [m.constant(v) for v in (scale, 0.0, float(bits))]
    name = m.node("Quant", name, *constants, signed=int(signed), narrow=int(narrow), rounding_mode="ROUND")
    return Tensor(name, shape, True, scale), "x", file_shape, ""


def _leave(m: Maker, x: Tensor) -> tuple[str, tuple[int, ...], int]:
    """The end of the network: tensor, shape with batch, element type."""
    end = m.pick(("scores", "feature map", "quantized"), "end")
    if end == "quantized" and m.layers:
        return x.name, (1, *x.shape), TensorProto.FLOAT
    y, _ = m.conv(x) if end == "feature map" and len(x.shape) == 3 else m.dense(x)
    name, shape = y.name, y.shape
    if m.chance("scaled scores"):
        several = m.chance("class by class")
        factor = m.rng.normal(size=shape[0]) + 0.01
        name = m.node("Mul", name, m.constant(m.column(shape, factor) if several else factor[0]))
        if m.chance("shifted scores"):
            name = m.node("Add", name, m.constant(m.column(shape, m.rng.normal(size=shape[0]))))
        return name, (1, *shape), TensorProto.FLOAT
    biased = any(t in ("bias", "linear bias", "a scale for each output") for t in m.features)
    if len(shape) == 1 and not biased and m.chance("decision"):
        if m.chance("TopK"):
            k = m.draw(st.integers(1, shape[0]))
            return m.node("TopK", name, m.constant([k], np.int64), outputs=2)[1], (1, k), TensorProto.INT64
        return m.node("ArgMax", name, axis=1, keepdims=1), (1, 1), TensorProto.INT64
    return name, (1, *shape), TensorProto.FLOAT


@st.composite
def networks(draw) -> Network:
    """Networks of all structures that bitexpert supports (README)."""
    m = Maker(draw)
    x, name, file_shape, annotation = _enter(m)
    for _ in range(draw(st.integers(0, 3))):
        image = len(x.shape) == 3
        if image and x.bits and x.step == 1.0 and m.chance("experts"):
            y, spread = m.expert(x)
        elif image and m.chance("branches"):
            x = m.branches(x)
            continue
        elif image and not (min(x.shape[1:]) == 1 and m.chance("early dense")):
            y, spread = m.conv(x)
        else:
            y, spread = m.dense(x)
        if len(y.shape) == 3 and m.chance("pool before"):
            y = m.pool(y)
        if m.chance("copies"):
            y = m.copies(y)
        if len(y.shape) == 3 and m.chance("flatten before"):
            y = m.flatten(y)
        y, spread = m.between(y, spread)
        if m.chance("Identity"):
            y = Tensor(m.node("Identity", y.name), y.shape, False)
        x = m.quantize(y, spread)
        if len(x.shape) == 3 and m.chance("pool behind"):
            x = m.pool(x)
    output, shape, kind = _leave(m, x)
    graph = helper.make_graph(
        m.nodes,
        "random",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *file_shape])],
        [helper.make_tensor_value_info(output, kind, list(shape))],
        m.constants,
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(QONNX, 1), helper.make_opsetid(EXPERT, 1)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    if annotation:
        note = proto.graph.quantization_annotation.add()
        note.tensor_name = name
        entry = note.quant_parameter_tensor_names.add()
        entry.key, entry.value = "finn_datatype", annotation
    return Network(proto, sorted(set(m.features)), m.macs, m.layers)
