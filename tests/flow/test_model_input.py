import numpy as np
import pytest
from bitexpert.flow.execute import execute, execute_tensors
from bitexpert.flow.frames import random_frames
from bitexpert.flow.model_file import ModelError, hardware_input, load_model
from bitexpert.hw.types import BIPOLAR, int_t, uint_t
from onnxnets import integers, net, node, save
from qonnx.core.datatype import DataType


def quant(source="x", result="y", scale=0.25, bits=4.0, zero=0.0, **attributes):
    """A quantizer and its constants."""
    attributes = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"} | attributes
    names = [f"{result}_{what}" for what in ("scale", "zero", "bits")]
    constants = dict(zip(names, (scale, zero, bits), strict=True))
    return node("Quant", [source, *names], [result], name="quant", **attributes), constants


def loaded(tmp_path, nodes, constants, shape=(1, 2, 3, 4)):
    return load_model(save(tmp_path, net(nodes, constants, shape)))


def all_integers(model):
    """Each integer that may enter, executed: what leaves the quantizer is it, times the quantizer's scale."""
    source = hardware_input(model)
    numbers = np.array([-1, 1]) if source.element == BIPOLAR else np.arange(source.low, source.high + 1)
    size = int(np.prod(source.shape))
    frames = np.resize(numbers, (-(-len(numbers) // size), *source.shape))
    return source, frames, execute(model, frames)


# -- quantizers ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("settings", "element", "low", "high"),
    [
        ({"bits": 8.0}, int_t(8), -128, 127),
        ({"bits": 8.0, "narrow": 1}, int_t(8), -127, 127),
        ({"bits": 2.0, "narrow": 1}, int_t(2), -1, 1),
        ({"bits": 3.0, "signed": 0}, uint_t(3), 0, 7),
        ({"bits": 3.0, "signed": 0, "narrow": 1}, uint_t(3), 0, 6),
        ({"bits": 1.0, "signed": 0}, uint_t(1), 0, 1),
        ({"bits": 1.0}, BIPOLAR, -1, 1),
        ({"bits": 4.0, "scale": 0.1}, int_t(4), -8, 7),
        ({"bits": 4.0, "scale": -0.1}, int_t(4), -8, 7),
        ({"bits": 4.0, "scale": np.full((1, 2, 1, 1), 0.3, np.float32)}, int_t(4), -8, 7),
        *[
            ({"bits": 8.0, "scale": 1 / 255, "signed": 0, "rounding_mode": mode}, uint_t(8), 0, 255)
            for mode in ("FLOOR", "CEIL", "DOWN", "UP", "HALF_UP", "HALF_DOWN", "HALF_EVEN")
        ],
    ],
)
def test_quantizers(settings, element, low, high, tmp_path):
    one, constants = quant(**settings)
    source, frames, found = all_integers(loaded(tmp_path, [one], constants))
    assert (source.element, source.low, source.high, source.offset) == (element, low, high, 0.0)
    scale = np.float32(np.ravel(settings.get("scale", 0.25))[0])
    assert np.array_equal(found, frames.transpose(0, 3, 1, 2).astype(np.float32) * scale)


@pytest.mark.parametrize("scale", [1.0, 0.37, -2.0])
def test_bipolar_quantizers(scale, tmp_path):
    source, frames, found = all_integers(loaded(tmp_path, [node("BipolarQuant", ["x", "s"])], {"s": scale}))
    assert (source.element, source.low, source.high) == (BIPOLAR, -1, 1)
    assert np.array_equal(found, frames.transpose(0, 3, 1, 2).astype(np.float32) * np.float32(scale))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"zero": 3.0}, r"quant \(Quant\) has a zero point; export it with zero point 0"),
        ({"scale": 0.0}, r"quant \(Quant\) has the scale 0; it must be positive"),
        ({"scale": np.nan}, "needs one constant scale"),
        ({"scale": np.inf}, "has the scale inf"),
        ({"scale": np.arange(1, 3, dtype=np.float32).reshape(1, 2, 1, 1)}, "needs one constant scale for all channels"),
        ({"bits": 2.5}, "has 2.5 bits; quantize the input to 1..8 bits"),
        ({"bits": -1.0}, "has -1 bits"),
        ({"bits": 16.0}, "the input x has 16 bits; at most 8"),
        ({"bits": 1e30}, "has 1e.30 bits"),
        ({"rounding_mode": "LUCK"}, "rounding mode 'LUCK'; use ROUND"),
    ],
)
def test_quantizers_that_do_not_fit(settings, match, tmp_path):
    one, constants = quant(**settings)
    with pytest.raises(ModelError, match=match):
        hardware_input(loaded(tmp_path, [one], constants))


# -- arithmetic in front -------------------------------------------------------------------------------
FRONTS = {
    "2x-1": ([("Mul", "x", 2.0), ("Sub", "x", 1.0)], 0.125, 0.5),
    "-1+x*2": ([("Mul", 2.0, "x"), ("Add", -1.0, "x")], 0.125, 0.5),
    "1-x": ([("Sub", 1.0, "x")], -0.25, 1.0),
    "x/255": ([("Div", "x", 255.0)], 63.75, 0.0),
    "(x-mean)/std": ([("Sub", "x", 0.4914), ("Div", "x", 0.2023)], 0.25 * 0.2023, 0.4914),
    "x*1e-6+3": ([("Mul", "x", 1e-6), ("Add", "x", 3.0)], 0.25e6, -3e6),
    "-x/3": ([("Div", "x", -3.0)], -0.75, 0.0),
}


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("kind", ["Quant", "BipolarQuant", "floor"])
def test_arithmetic_in_front_of_the_quantizer(front, kind, tmp_path):
    steps, scale, offset = FRONTS[front]
    nodes, constants, tensor = [], {}, "x"
    for i, (op, left, right) in enumerate(steps):
        constant = left if right == "x" else right
        constants[f"c{i}"] = constant
        pair = [f"c{i}", tensor] if right == "x" else [tensor, f"c{i}"]
        tensor = f"t{i}"
        nodes.append(node(op, pair, [tensor]))
    if kind == "BipolarQuant":
        nodes.append(node("BipolarQuant", [tensor, "s"]))
        constants["s"] = 0.25
    else:
        one, more = quant(tensor, bits=8.0, rounding_mode="FLOOR" if kind == "floor" else "ROUND")
        nodes.append(one)
        constants |= more
    source, frames, found = all_integers(loaded(tmp_path, nodes, constants))
    assert np.allclose([source.scale, source.offset], np.float32([scale, offset]), rtol=1e-6)
    assert np.array_equal(found, frames.transpose(0, 3, 1, 2).astype(np.float32) * np.float32(0.25))


def test_a_table_where_rounding_spoils_an_integer(tmp_path):
    """x / 0.1 is just below 3 for the float32 next to 0.3: FLOOR would make a 2 of it."""
    one, constants = quant(scale=0.1, bits=8.0, rounding_mode="FLOOR")
    shifted = [node("Add", ["x", "c"], ["t"]), one]
    one.input[0] = "t"
    source, frames, found = all_integers(loaded(tmp_path, shifted, constants | {"c": 0.7}))
    assert len(source.table) == 256
    plain = frames.astype(np.float32) * np.float32(source.scale) + np.float32(source.offset)
    assert np.abs(source.values(frames) - plain).max() < 1e-4
    assert np.array_equal(found, frames.transpose(0, 3, 1, 2).astype(np.float32) * np.float32(0.1))


def test_rounding_that_no_input_escapes(tmp_path):
    one, constants = quant("t", bits=8.0)
    nodes = [node("Add", ["x", "big"], ["a"]), node("Sub", ["a", "big"], ["t"]), one]
    with pytest.raises(
        ModelError, match=r"no input makes quant \(Quant\) give its integer .*; quantize the input with"
    ):
        hardware_input(loaded(tmp_path, nodes, constants | {"big": 2.0**25}))


@pytest.mark.parametrize(
    ("front", "constants", "match"),
    [
        (node("Mul", ["x", "c"], ["t"], name="front"), {"c": 0.0}, r"front \(Mul\) multiplies the input x by 0"),
        (node("Mul", ["x", "c"], ["t"], name="front"), {"c": 1e-45}, r"between the input x and quant \(Quant\) leaves"),
        (node("Div", ["x", "c"], ["t"], name="front"), {"c": 0.0}, r"read by front \(Div\)"),
        (node("Div", ["c", "x"], ["t"], name="front"), {"c": 1.0}, r"read by front \(Div\)"),
        (
            node("Sub", ["x", "c"], ["t"], name="front"),
            {"c": np.array([1.0, 2.0], np.float32).reshape(1, 2, 1, 1)},
            "normalize all channels alike, by one constant number, in front of the input quantizer",
        ),
        (node("Relu", ["x"], ["t"], name="front"), {}, r"front \(Relu\); begin the network with a quantizer"),
        (
            node("Pad", ["x", "c"], ["t"], name="front"),
            {"c": integers(0, 0, 1, 1, 0, 0, 1, 1)},
            r"read by front \(Pad\)",
        ),
    ],
)
def test_what_may_not_stand_in_front(front, constants, match, tmp_path):
    one, more = quant("t")
    with pytest.raises(ModelError, match=match):
        hardware_input(loaded(tmp_path, [front, one], constants | more))


def test_two_readers_of_a_real_input(tmp_path):
    one, constants = quant("x", "a")
    nodes = [one, node("Relu", ["x"], ["b"], name="relu"), node("Add", ["a", "b"])]
    model = loaded(tmp_path, nodes, constants)
    with pytest.raises(ModelError, match=r"read by quant \(Quant\), relu \(Relu\) without one quantizer"):
        hardware_input(model)
    model.set_tensor_datatype("x", DataType["INT4"])
    assert hardware_input(model).element == int_t(4)


# -- order ---------------------------------------------------------------------------------------------
def test_channels_last(tmp_path):
    one, constants = quant("t", "q", bits=8.0)
    nodes = [node("Mul", ["x", "c"], ["s"]), node("Transpose", ["s"], ["t"], perm=[0, 3, 1, 2]), one]
    nodes.append(node("Relu", ["q"]))
    model = loaded(tmp_path, nodes, constants | {"c": 0.25}, (1, 6, 5, 3))
    source = hardware_input(model)
    assert (source.layout, source.shape, source.scale) == ("NHWC", (6, 5, 3), 1.0)
    frames = random_frames(source, 4)
    assert source.to_model(frames).shape == (4, 6, 5, 3)
    assert np.array_equal(
        execute_tensors(model, frames)["q"], frames.transpose(0, 3, 1, 2).astype(np.float32) * np.float32(0.25)
    )


def test_channels_last_of_an_annotated_input(tmp_path):
    nodes = [
        node("Transpose", ["x"], ["a"], perm=[0, 3, 1, 2]),
        node("Transpose", ["x"], ["b"], perm=[0, 3, 1, 2]),
        node("Add", ["a", "b"]),
    ]
    model = loaded(tmp_path, nodes, {}, (1, 6, 5, 3))
    model.set_tensor_datatype("x", DataType["UINT8"])
    assert (hardware_input(model).layout, hardware_input(model).shape) == ("NHWC", (6, 5, 3))


@pytest.mark.parametrize("order", [[0, 2, 3, 1], [0, 1, 3, 2]])
def test_another_transpose_is_no_channels_last(order, tmp_path):
    one, constants = quant("t")
    model = loaded(tmp_path, [node("Transpose", ["x"], ["t"], perm=order), one], constants)
    assert (hardware_input(model).layout, hardware_input(model).shape) == ("NCHW", (3, 4, 2))


def test_views_in_front(tmp_path):
    one, constants = quant("d")
    nodes = [
        node("Identity", ["x"], ["a"]),
        node("Flatten", ["a"], ["b"]),
        node("Reshape", ["b", "shape"], ["c"]),
        node("Dropout", ["c"], ["d"]),
        one,
    ]
    model = loaded(tmp_path, nodes, constants | {"shape": integers(1, -1)})
    assert (hardware_input(model).layout, hardware_input(model).shape) == ("NCHW", (3, 4, 2))
    assert execute(model, np.ones((5, 3, 4, 2), int)).shape == (5, 24)


def test_a_flat_input_and_one_of_no_frame(tmp_path):
    one, constants = quant()
    source = hardware_input(loaded(tmp_path, [one], constants, (1, 7)))
    assert (source.layout, source.shape) == ("flat", (1, 1, 7))
    assert source.to_model(np.ones((2, 1, 1, 7))).shape == (2, 7)
    with pytest.raises(ModelError, match=r"the input x has shape \[1, 7, 7\]; use \(1, C, H, W\)"):
        hardware_input(loaded(tmp_path, [one], constants, (1, 7, 7)))


# -- annotations ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "element", "low", "high"),
    [
        ("UINT8", uint_t(8), 0, 255),
        ("INT8", int_t(8), -128, 127),
        ("BIPOLAR", BIPOLAR, -1, 1),
        ("BINARY", uint_t(1), 0, 1),
        ("TERNARY", int_t(2), -1, 1),
        ("INT3", int_t(3), -4, 3),
    ],
)
def test_an_annotation_wins_over_the_quantizer(kind, element, low, high, tmp_path):
    one, constants = quant()
    model = loaded(tmp_path, [one], constants)
    model.set_tensor_datatype("x", DataType[kind])
    source = hardware_input(model)
    assert (source.element, source.low, source.high) == (element, low, high)
    assert (source.scale, source.offset, source.table) == (1.0, 0.0, ())


def test_notes(tmp_path):
    """The quantizer says it as long as it is there; then what was written down of it."""
    one, constants = quant("t", bits=8.0, scale=0.1, rounding_mode="FLOOR")
    model = loaded(tmp_path, [node("Add", ["x", "c"], ["t"]), one], constants | {"c": 0.7})
    before = hardware_input(model)
    notes = {"element": "int8", "scale": repr(before.scale), "offset": repr(before.offset), "low": "-127", "high": "5"}
    for key, value in notes.items():
        model.set_metadata_prop(f"input_{key}", value)
    assert hardware_input(model) == before
    model.graph.node[-1].op_type = "Relu"
    after = hardware_input(model)
    assert (after.element, after.scale, after.offset) == (before.element, before.scale, before.offset)
    assert (after.low, after.high, after.table) == (-127, 5, ())
    model.set_tensor_datatype("x", DataType["INT8"])
    assert (hardware_input(model).scale, hardware_input(model).low) == (1.0, -127)
