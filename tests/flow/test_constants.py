import numpy as np
import pytest
from bitexpert.flow.constants import fold_constants, fold_transposes
from bitexpert.flow.execute import execute_one_by_one
from bitexpert.flow.model_file import ModelError, as_exported, load_model
from onnx import TensorProto
from onnxnets import integers, net, node, save
from qonnx.core.modelwrapper import ModelWrapper


def kinds(model):
    return [n.op_type for n in model.graph.node]


def same(path, shape):
    """The clean model computes what the file computes, to the bit."""
    inputs = np.random.default_rng(0).standard_normal((3, *shape[1:])).astype(np.float32)
    model = load_model(path)
    assert np.array_equal(execute_one_by_one(model, inputs), execute_one_by_one(as_exported(path), inputs))
    return model


def batch_of(tensor):
    """The first dimension of a tensor as Brevitas asks for it, in front of ``x.view(x.shape[0], -1)``."""
    return [
        node("Shape", [tensor], ["shape"]),
        node("Gather", ["shape", "zero"], ["batch"], axis=0),
        node("Unsqueeze", ["batch", "axes"], ["batches"]),
        node("Concat", ["batches", "rest"], ["wanted"], axis=0),
    ]


ASKED = {"zero": np.array(0, dtype=np.int64), "axes": integers(0), "rest": integers(-1)}


def test_questions_for_shapes(tmp_path):
    nodes = [node("Relu", ["x"], ["a"]), *batch_of("a"), node("Reshape", ["a", "wanted"])]
    model = same(save(tmp_path, net(nodes, ASKED, ("N", 2, 3, 4))), (1, 2, 3, 4))
    assert kinds(model) == ["Relu", "Reshape"]
    assert model.get_initializer(model.graph.node[1].input[1]).tolist() == [1, -1]
    assert model.get_tensor_shape("y") == [1, 24]


def test_a_part_of_a_shape(tmp_path):
    nodes = [
        node("Shape", ["x"], ["wanted"], start=1, end=-1),
        node("Expand", ["two", "wanted"], ["e"]),
        node("MatMul", ["e", "x"]),
    ]
    model = same(save(tmp_path, net(nodes, {"two": 2.0}, (1, 4, 3, 5), opset=15)), (1, 4, 3, 5))
    assert kinds(model) == ["MatMul"]
    assert model.get_tensor_shape(model.graph.node[0].input[0]) == [4, 3]


def test_the_type_of_an_activation(tmp_path):
    """Torch's exporter casts its zeros to the type of the tensor in front."""
    nodes = [node("CastLike", ["zero", "x"], ["c"]), node("Add", ["x", "c"])]
    model = same(save(tmp_path, net(nodes, {"zero": np.array(3, dtype=np.int64)}, opset=15)), (1, 2, 3, 3))
    assert kinds(model) == ["Add"]
    assert model.get_initializer(model.graph.node[0].input[1]).dtype == np.float32


def test_the_batch_of_the_export(tmp_path):
    """Everywhere, also where it is computed from constants."""
    constants = {"five": integers(5), "rest": integers(-1), "flat": integers(5, 18), "w": np.ones((5, 1), np.float32)}
    nodes = [
        node("Concat", ["five", "rest"], ["wanted"], axis=0),
        node("Reshape", ["x", "wanted"], ["a"]),
        node("Reshape", ["a", "flat"], ["b"]),
        node("Reshape", ["w", "five"], ["v"]),
        node("ReduceSum", ["v"], ["s"]),
        node("Mul", ["b", "s"]),
    ]
    model = same(save(tmp_path, net(nodes, constants, (5, 2, 3, 3))), (5, 2, 3, 3))
    assert kinds(model) == ["Reshape", "Reshape", "Mul"]
    assert [model.get_initializer(n.input[1]).tolist() for n in model.graph.node[:2]] == [[1, -1], [1, 18]]
    assert model.get_tensor_shape("y")[0] == 1


def test_constants_are_computed_as_they_would_be_executed(tmp_path):
    values = np.random.default_rng(1).random(50).astype(np.float32)
    nodes = [
        node("Constant", [], ["half"], value_float=0.5),
        node("Pow", ["v", "half"], ["p"]),
        node("Identity", ["p"], ["q"]),
        node("Div", ["x", "q"]),
    ]
    assert kinds(same(save(tmp_path, net(nodes, {"v": values}, (1, 50))), (1, 50))) == ["Div"]


def test_what_stays(tmp_path):
    """Quantizers of weights, and numbers that are others each time."""
    nodes = [
        node("Quant", ["w", "s", "z", "b"], ["q"], signed=1, narrow=1, rounding_mode="ROUND"),
        node("RandomUniform", [], ["r"], shape=[1]),
        node("Mul", ["x", "q"], ["a"]),
        node("Mul", ["a", "r"]),
    ]
    model = load_model(save(tmp_path, net(nodes, {"w": [0.4], "s": 0.5, "z": 0.0, "b": 2.0})))
    assert kinds(model) == ["Quant", "RandomUniform", "Mul", "Mul"]


def test_a_constant_that_cannot_be_computed(tmp_path):
    nodes = [node("Gather", ["a", "b"], ["g"]), node("Reshape", ["x", "g"])]
    path = save(tmp_path, net(nodes, {"a": integers(1, 1), "b": integers(9)}))
    with pytest.raises(ModelError, match=r"g \(Gather\) is constant, but cannot be computed"):
        load_model(path)


def test_shapes_that_do_not_fit(tmp_path):
    for nodes, match in [
        (
            [node("Conv", ["x", "w"], name="c")],
            r"c \(Conv\) reads the shapes \[1, 6\] and \[2, 6, 1, 1\], which do not fit",
        ),
        (
            [node("Add", ["x", "v"], name="c")],
            r"the shape that c \(Add\) makes cannot be found: .*Incompatible dimensions",
        ),
    ]:
        constants = {"w": np.ones((2, 6, 1, 1), np.float32), "v": np.ones(5, np.float32)}
        with pytest.raises(ModelError, match=match):
            load_model(save(tmp_path, net(nodes, constants, (1, 6))))


# -- weights that are transposed -----------------------------------------------------------------------
def transposed(readers, scale=0.5, rows=4, columns=3, name="w"):
    """Quant(w) -> Transpose -> MatMul, and whatever else reads the weights."""
    quantizer = node("Quant", [name, "s", "z", "b"], ["q"], signed=1, narrow=1, rounding_mode="ROUND")
    weights = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)
    constants = {"w": weights, "s": scale, "z": 0.0, "b": 4.0}
    return [quantizer, node("Transpose", ["q"], ["t"], perm=[1, 0]), *readers], constants


@pytest.mark.parametrize("scale", [0.5, np.array([[0.5], [0.25], [1.0], [2.0]], np.float32)])
def test_weights_are_turned(scale, tmp_path):
    nodes, constants = transposed([node("MatMul", ["x", "t"])], scale)
    model = same(save(tmp_path, net(nodes, constants, (1, 3))), (1, 3))
    assert kinds(model) == ["Quant", "MatMul"]
    assert model.get_tensor_shape("w") == [3, 4]


def test_weights_that_others_read_are_turned_beside_them(tmp_path):
    other = node("Quant", ["w", "s", "z", "b"], ["q2"], signed=1, narrow=1, rounding_mode="ROUND")
    nodes, constants = transposed([node("MatMul", ["x", "t"], ["a"]), other, node("MatMul", ["a", "q2"])], 0.5)
    model = same(save(tmp_path, net(nodes, constants, (1, 3))), (1, 3))
    assert "Transpose" not in kinds(model)


@pytest.mark.parametrize(
    ("scale", "more"),
    [
        (np.array([0.5, 0.25, 1.0], np.float32), [node("MatMul", ["x", "t"])]),
        (0.5, [node("MatMul", ["x", "t"], ["a"]), node("MatMul", ["a", "q"])]),
    ],
    ids=["a scale of another rank", "the quantizer is read twice"],
)
def test_weights_that_are_not_turned(scale, more, tmp_path):
    rows = 3 if np.ndim(scale) else 4
    nodes, constants = transposed(more, scale, rows)
    model = same(save(tmp_path, net(nodes, constants, (1, 3))), (1, 3))
    assert "Transpose" in kinds(model)


def test_all_types_are_written():
    """Of activations, of constants, and of the output."""
    nodes, constants = transposed([node("MatMul", ["x", "t"])])
    model = ModelWrapper(net(nodes, constants, (1, 3)))
    fold_constants(model)
    fold_transposes(model)
    fold_constants(model)
    infos = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.value_info}
    assert infos == {"w": [3, 4], "s": [], "z": [], "b": [], "t": [3, 4]}
    assert model.get_tensor_shape("y") == [1, 4]
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
