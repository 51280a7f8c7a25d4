import numpy as np
import pytest
from bitexpert.hw.graph import Dataflow, GraphError, Node
from bitexpert.hw.ops.width_convert import WidthConvert
from bitexpert.hw.types import StreamType, uint_t

KIND = StreamType(uint_t(4), (2, 2, 4))


def node(name, source, target, inp, out):
    return Node(name, WidthConvert(KIND, source, target), (inp,), (out,))


def chain(*nodes, inputs=("a",), outputs=("c",)):
    return Dataflow(tuple(nodes), inputs, outputs)


def test_a_graph_survives_its_files(tmp_path):
    graph = chain(node("one_0", 4, 2, "a", "b"), node("two_0", 2, 1, "b", "c"))
    graph.save(tmp_path / "g.json", tmp_path / "w.npz")
    again = Dataflow.load(tmp_path / "g.json", tmp_path / "w.npz")
    frames = np.arange(16).reshape(1, 2, 2, 4)
    assert [n.name for n in again.nodes] == ["one_0", "two_0"]
    assert again.nodes[0].op.to_dict() == graph.nodes[0].op.to_dict()
    assert np.array_equal(again.run(frames)["c"], frames)


def test_another_format_is_refused(tmp_path):
    graph = chain(node("one_0", 4, 2, "a", "c"))
    graph.save(tmp_path / "g.json", tmp_path / "w.npz")
    text = (tmp_path / "g.json").read_text().replace('"format": 1', '"format": 0')
    (tmp_path / "g.json").write_text(text)
    with pytest.raises(GraphError, match="build again"):
        Dataflow.load(tmp_path / "g.json", tmp_path / "w.npz")


def test_folding_must_agree_at_both_ends():
    with pytest.raises(GraphError, match="one_0 sends 2 elements a beat, two_0 takes 1"):
        chain(node("one_0", 4, 2, "a", "b"), node("two_0", 1, 4, "b", "c")).validate_folding()


@pytest.mark.parametrize(
    ("nodes", "outputs", "match"),
    [
        ([node("x_0", 4, 2, "a", "b"), node("x_0", 2, 1, "b", "c")], ("c",), "two nodes"),
        ([node("x_0", 4, 2, "a", "b"), node("y_0", 4, 2, "a", "c")], ("c",), "a Fork must"),
        ([node("y_0", 2, 1, "b", "c"), node("x_0", 4, 2, "a", "b")], ("c",), "nothing before it writes"),
        ([node("x_0", 4, 2, "a", "b")], ("c",), "not written"),
    ],
)
def test_graphs_that_do_not_fit_are_refused(nodes, outputs, match):
    with pytest.raises(GraphError, match=match):
        chain(*nodes, outputs=outputs)


@pytest.mark.parametrize(
    ("frames", "match"),
    [
        (np.zeros((1, 2, 2, 3), int), "shape"),
        (np.zeros((1, 2, 2, 4), float), "integers"),
        (np.full((1, 2, 2, 4), 16), "outside uint4"),
    ],
)
def test_wrong_input_is_refused(frames, match):
    with pytest.raises(GraphError, match=match):
        chain(node("x_0", 4, 2, "a", "c")).run(frames)
