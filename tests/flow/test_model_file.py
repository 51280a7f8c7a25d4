import numpy as np
import onnx
import pytest
from bitexpert.flow.model_file import ModelError, hardware_input, load_model
from bitexpert.hw.types import BIPOLAR, int_t, uint_t
from flownets import Dense, Padded, Scaled, export_module
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    return export_module(Dense(), tmp_path_factory.mktemp("dense") / "dense.onnx")


def small_model(inputs=("x",), outputs=("y",), shape=(1, 2, 3, 3), op="Relu", domain=""):
    """One node a pair of input and output."""
    nodes = [helper.make_node(op, [i], [o], name=f"node {o}", domain=domain) for i in inputs for o in outputs]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(i, TensorProto.FLOAT, list(shape)) for i in inputs],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
    )
    opsets = [helper.make_opsetid("", 13)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=opsets)


def save(tmp_path, model):
    path = tmp_path / "model.onnx"
    onnx.save(model, str(path))
    return path


def test_missing_file(tmp_path):
    with pytest.raises(ModelError, match=r"there is no model file .*none\.onnx"):
        load_model(tmp_path / "none.onnx")


def test_folder(tmp_path):
    with pytest.raises(ModelError, match=r"is a folder; give the .onnx file in it"):
        load_model(tmp_path)


def test_empty_file(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="is empty; export it again"):
        load_model(path)


@pytest.mark.parametrize("content", [b"hello world, this is text\n", b"\x89PNG\r\n\x1a\n" + bytes(200), b"\x00" * 64])
def test_file_of_another_kind(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx is not an ONNX file"):
        load_model(path)


@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.999])
def test_truncated_file(tmp_path, dense, part):
    data = dense.read_bytes()
    path = tmp_path / "model.onnx"
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ModelError) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_graph_without_nodes(tmp_path):
    model = small_model()
    del model.graph.node[:]
    with pytest.raises(ModelError, match="graph without nodes"):
        load_model(save(tmp_path, model))


def test_several_inputs_and_outputs(tmp_path):
    with pytest.raises(ModelError, match="needs one input, this has 2: a, b"):
        load_model(save(tmp_path, small_model(inputs=("a", "b"))))
    with pytest.raises(ModelError, match="needs one output, this has 2: p, q"):
        load_model(save(tmp_path, small_model(outputs=("p", "q"))))


def test_size_that_is_not_fixed(tmp_path):
    with pytest.raises(ModelError, match=r"dimension 2 of the input x is not fixed \(height\)"):
        load_model(save(tmp_path, small_model(shape=(1, 2, "height", 3))))


def test_batch_may_be_open(tmp_path):
    model = load_model(save(tmp_path, small_model(shape=("batch", 2, 3, 3))))
    assert model.get_tensor_shape("x") == [1, 2, 3, 3]
    assert model.get_tensor_shape("y") == [1, 2, 3, 3]


def test_unknown_domain(tmp_path):
    with pytest.raises(ModelError, match=r"node y \(Magic\) is of the unknown domain 'com.acme'"):
        load_model(save(tmp_path, small_model(op="Magic", domain="com.acme")))


def test_broken_graph_is_one_line(tmp_path):
    model = small_model()
    model.graph.node[0].input[0] = "nowhere"
    with pytest.raises(ModelError) as caught:
        load_model(save(tmp_path, model))
    assert "\n" not in str(caught.value)


# -- external data -------------------------------------------------------------------------------------
@pytest.fixture
def external(tmp_path, dense):
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "model.onnx"
    onnx.save(onnx.load(str(dense)), str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_external_data_are_read(external, dense):
    one, two = load_model(external), load_model(dense)
    for tensor in two.graph.initializer:
        assert np.array_equal(one.get_initializer(tensor.name), numpy_helper.to_array(tensor))


def test_external_data_missing(external):
    (external.parent / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"the file weights\.bin with the data of .* is missing; copy it along"):
        load_model(external)


def test_external_data_too_short(external):
    data = (external.parent / "weights.bin").read_bytes()
    (external.parent / "weights.bin").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"weights\.bin"):
        load_model(external)


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", ""])
def test_external_data_outside_the_folder_are_refused(external, location):
    (external.parent / "weights.bin").rename(external.parent.parent / "weights.bin")
    model = onnx.load(str(external), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    external.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"lie outside its folder .*; refused"):
        load_model(external)


# -- the input -----------------------------------------------------------------------------------------
def test_input_from_the_quantizer(tmp_path, dense):
    flat = hardware_input(load_model(dense))
    assert (flat.element, flat.shape, flat.layout, flat.scale) == (BIPOLAR, (1, 1, 21), "flat", 1.0)
    image = hardware_input(load_model(export_module(Scaled(), tmp_path / "scaled.onnx")))
    assert (image.element, image.shape, image.layout, image.scale) == (int_t(8), (8, 6, 3), "NCHW", 1 / 128)
    bits = hardware_input(load_model(export_module(Padded(), tmp_path / "padded.onnx")))
    assert (bits.element, bits.shape) == (BIPOLAR, (9, 7, 2))


def test_input_from_the_annotation(tmp_path):
    from qonnx.core.datatype import DataType

    model = load_model(save(tmp_path, small_model()))
    model.set_tensor_datatype("x", DataType["UINT4"])
    assert hardware_input(model).element == uint_t(4)
    model.set_tensor_datatype("x", DataType["INT16"])
    with pytest.raises(ModelError, match="has 16 bits; at most 8"):
        hardware_input(model)


def test_input_without_integers(tmp_path):
    model = load_model(save(tmp_path, small_model()))
    with pytest.raises(ModelError, match=r"real-valued and read by node y \(Relu\); begin the network with"):
        hardware_input(model)


def test_frames_in_the_model_order(dense, tmp_path):
    source = hardware_input(load_model(export_module(Scaled(), tmp_path / "scaled.onnx")))
    frames = np.arange(2 * 8 * 6 * 3).reshape(2, 8, 6, 3) % 128
    values = source.to_model(frames)
    assert values.shape == (2, 3, 8, 6)
    assert values[1, 2, 3, 4] == frames[1, 3, 4, 2] / 128


def test_names_stay(dense):
    before = [n.name for n in onnx.load(str(dense)).graph.node]
    after = [n.name for n in load_model(dense).graph.node]
    assert len(after) > 3
    assert set(after) <= set(before)
