"""Small valid model files."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from .base import QONNX

__all__ = ["BASES"]


class _Net:
    """A graph while it is written."""

    def __init__(self, shape: tuple, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape, self.nodes, self.constants = shape, [], []

    def constant(self, array, dtype=np.float32) -> str:
        name = f"param_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def node(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes) -> str:
        number = len(self.nodes)
        outs = [f"t{number}" if outputs == 1 else f"t{number}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), outs, f"{kind}_{number}", domain=domain, **attributes))
        return outs[-1]

    def quant(self, x: str, scale, bits: int, signed: int) -> str:
        inputs = self.constant(scale), self.constant(0.0), self.constant(float(bits))
        return self.node("Quant", x, *inputs, domain=QONNX, signed=signed, narrow=0, rounding_mode="ROUND")

    def bipolar(self, x: str, scale: float = 1.0) -> str:
        return self.node("BipolarQuant", x, self.constant(scale), domain=QONNX)

    def norm(self, x: str, channels: int) -> str:
        """Powers of two, so that float32 sums behind it are exact; slopes of both signs."""
        slope = self.rng.choice(np.array([-0.5, 0.25, 1.0, 2.0]), channels)
        mean, bias = self.rng.integers(-4, 5, channels) / 4 + 0.125, self.rng.integers(-3, 4, channels) / 2
        parameters = [self.constant(a) for a in (slope, bias, mean, np.full(channels, 0.25))]
        return self.node("BatchNormalization", x, *parameters, epsilon=0.0)

    def integers(self, low: int, high: int, *shape: int) -> str:
        return self.constant(self.rng.integers(low, high + 1, shape))

    def reals(self, *shape: int) -> str:
        return self.constant(self.rng.uniform(-1, 1, shape))

    def model(self, output: str, kind: int = TensorProto.FLOAT) -> ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "base",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(output, kind, None)],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid(QONNX, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="a test")


def conv() -> ModelProto:
    """Pixels of 4 bits, padding, expanding-and-shrinking, groups, 3-bit weights, 2-bit activations, pooling."""
    net = _Net((1, 2, 7, 6), 0)
    x = net.quant("x", 0.25, 4, 0)
    x = net.node("Conv", x, net.quant(net.reals(6, 2, 3, 3), 0.25, 3, 1), net.reals(6), pads=[1, 1, 1, 1])
    x = net.node("Tile", x, net.constant([1, 2, 1, 1], np.int64))
    x = net.bipolar(net.norm(x, 12), 0.5)
    x = net.node("Pad", x, net.constant([0, 0, 1, 1, 0, 0, 1, 0], np.int64), net.constant(0.0))
    x = net.node("Conv", x, net.bipolar(net.reals(6, 4, 3, 3)), group=3, strides=[2, 1])
    x = net.node("Mul", x, net.constant(net.rng.choice([0.5, 1.0, 2.0], (1, 6, 1, 1))))
    x = net.node("Add", x, net.constant(net.rng.integers(-8, 9, (6, 1, 1)) / 8 + 0.0625))
    x = net.quant(net.node("Relu", x), 0.5, 2, 0)
    x = net.node("MaxPool", x, kernel_shape=[2, 2], strides=[1, 2])
    x = net.node("Conv", x, net.integers(-2, 2, 4, 6, 1, 1))
    x = net.node("Reshape", net.bipolar(net.norm(x, 4)), net.constant([1, -1], np.int64))
    x = net.node("MatMul", x, net.bipolar(net.reals(24, 3)))
    x = net.node("Mul", x, net.constant(0.25))
    return net.model(net.node("Add", x, net.constant([0.5, -1.0, 2.0])))


def dense() -> ModelProto:
    """A vector of bits, an open batch, a network that decides by itself."""
    net = _Net(("batch", 12), 1)
    x = net.node("Gemm", net.bipolar("x"), net.quant(net.reals(10, 12), 0.5, 2, 1), net.reals(10), transB=1, alpha=0.5)
    x = net.node("MatMul", net.bipolar(net.norm(x, 10)), net.integers(-1, 1, 10, 6))
    return net.model(net.node("TopK", x, net.constant([2], np.int64), outputs=2, axis=1), TensorProto.INT64)


def branch() -> ModelProto:
    """Annotated pixels, thresholds, two branches that are added and joined, average pooling, no quantized weights."""
    net = _Net((1, 3, 6, 6), 2)
    x = net.node(
        "Conv", net.node("Div", "x", net.constant(4.0)), net.integers(-3, 3, 4, 3, 3, 3), auto_pad="SAME_UPPER"
    )
    levels = np.sort(net.rng.integers(-20, 21, (4, 3)), axis=1) / 4 + 0.125
    x = net.node("MultiThreshold", x, net.constant(levels), domain=QONNX, out_dtype="UINT2")
    left = net.quant(net.node("Conv", x, net.integers(-2, 2, 4, 4, 1, 1)), 1.0, 3, 1)
    right = net.quant(net.node("Conv", x, net.integers(-1, 1, 4, 1, 3, 3), group=4, pads=[1, 1, 1, 1]), 2.0, 3, 1)
    both = net.quant(net.node("Clip", net.node("Add", left, right), net.constant(-3.0), net.constant(9.0)), 1.0, 4, 1)
    x = net.node("Concat", both, x, axis=1)
    x = net.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.node("Flatten", net.bipolar(net.norm(x, 8)))
    model = net.model(net.node("Gemm", x, net.integers(-2, 2, 72, 5), net.constant(np.arange(5.0))))
    note = model.graph.quantization_annotation.add(tensor_name="x")
    note.quant_parameter_tensor_names.add(key="finn_datatype", value="UINT4")
    return model


#: Valid files that are written here; the tests add networks that bitexpert exported.
BASES: dict[str, Callable[[], ModelProto]] = {"conv": conv, "dense": dense, "branch": branch}
