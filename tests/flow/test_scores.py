import numpy as np
import pytest
from bitexpert.flow.model_file import ModelError
from bitexpert.flow.scores import OutputForm, largest
from onnx import TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper


def form(scale=1.0, bias=0.0, **more):
    return OutputForm(np.atleast_1d(np.float64(scale)), np.atleast_1d(np.float64(bias)), **more)


def test_scores_and_integers_are_inverse():
    scores = np.array([[3.0, 3.25], [2.5, -1.0]])
    assert form(0.25, 3.0).integers(scores).tolist() == [[0, 1], [-2, -16]]
    assert np.array_equal(form(0.25, 3.0).real(np.array([[0, 1], [-2, -16]])), scores)


def test_a_scale_and_a_bias_a_class():
    several = form([0.5, 2.0, 3.0], [0.0, 1.0, -1.0])
    integers = np.array([[1, 2, 3], [-4, 0, 7]])
    assert several.real(integers).tolist() == [[0.5, 5.0, 8.0], [-2.0, 1.0, 20.0]]
    assert np.array_equal(several.integers(several.real(integers)), integers)


def test_another_order():
    turned = form(2.0, order=np.array([2, 0, 3, 1]))
    integers = np.arange(8).reshape(2, 2, 2, 1)
    assert turned.real(integers)[0].tolist() == [4, 0, 6, 2]
    assert np.array_equal(turned.integers(turned.real(integers)), np.arange(8).reshape(2, 4))


@pytest.mark.parametrize("value", [3.1, np.nan, np.inf])
def test_scores_that_are_no_multiples(value):
    with pytest.raises(ModelError, match=r"score .* at \(0, 1\) is no multiple of 0.25 above 3"):
        form(0.25, 3.0).integers(np.array([[3.0, value]]))


def test_of_equal_scores_the_lowest_index_wins():
    scores = np.array([[1, 5, 5, 0], [2, 2, 2, 2]])
    assert largest(scores, 3).tolist() == [[1, 2, 0], [0, 1, 2]]
    assert form(top_k=1).real(scores).tolist() == [[1.0], [0.0]]


def test_read_from_a_model():
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])
    model = ModelWrapper(helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])))
    assert OutputForm.of(model).plain
    for key, text in (
        ("output_scale", "[0.5, 2.0]"),
        ("output_bias", "1.5"),
        ("output_order", "[1, 0]"),
        ("top_k", "2"),
    ):
        model.set_metadata_prop(key, text)
    read = OutputForm.of(model)
    assert (read.scale.tolist(), read.bias.tolist(), read.order.tolist(), read.top_k) == ([0.5, 2.0], [1.5], [1, 0], 2)
    assert not read.plain
