import copy

import numpy as np
import pytest
import torch
from bitexpert.flow.execute import execute
from bitexpert.flow.export import export
from bitexpert.flow.frames import random_frames
from bitexpert.flow.lower import LoweringError, check_lowering, first_hold_depth, lower
from bitexpert.flow.model_file import ModelError, hardware_input, load_model
from bitexpert.flow.scores import OutputForm
from bitexpert.flow.streamline import streamline
from bitexpert.hw.graph import Dataflow
from bitexpert.hw.ops.frame_hold import FrameHold
from bitexpert.hw.ops.matvec import MatVec
from bitexpert.hw.ops.sliding_window import SlidingWindow
from bitexpert.hw.ops.threshold import Threshold
from flownets import Dense, Padded, Scaled, export_module, torch_scores, vgg
from onnx import helper

# ES with groups, zero padding, both gate sources, uneven image, pooling between gate and experts
EXPERTS = {
    "height": 6,
    "width": 8,
    "channels": 2,
    "class_names": ["zero", "one", "two"],
    "blocks": [
        {"width": 4, "tau": 2, "es_groups": 2},
        {"width": 8, "tau": 2, "es_groups": 2, "pool": 2, "pad_mode": "minus_one"},
        {"kind": "expert", "width": 8, "experts": 3, "expansion": 2, "pad_mode": "zero", "gate": "pre_sign"},
        {"kind": "expert", "width": 6, "experts": 4, "groups": 2, "pad_mode": "minus_one", "gate": "sign"},
        {"kind": "expert", "width": 4, "experts": 1, "kernel": 1, "padding": 0, "pad_mode": "none", "gate": "sign"},
    ],
}


def built(path, samples=6):
    model = load_model(path)
    after, _ = streamline(model, random_frames(hardware_input(model), samples))
    return model, after


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    module = vgg(EXPERTS)
    path = export(module, tmp_path_factory.mktemp("experts") / "model.onnx")
    return module, *built(path)


@pytest.mark.parametrize("kind", [Dense, Padded, Scaled])
@pytest.mark.parametrize("seed", [0, 1])
def test_random_networks_are_exact(kind, seed, tmp_path):
    torch.manual_seed(seed)
    module = kind()
    model, after = built(export_module(module, tmp_path / "model.onnx", seed))
    frames = random_frames(hardware_input(model), 100, seed)
    graph = lower(after)
    assert check_lowering(after, graph, frames) >= 4
    scores = torch_scores(module, hardware_input(model).to_model(frames))
    found = graph.run(frames)[graph.outputs[0]].reshape(len(frames), -1)
    form = OutputForm.of(after)
    assert np.array_equal(found, form.integers(scores))
    assert graph.meta["output_scale"] == form.scale[0]
    # falling channels of an accumulator with several readers, or copies, stay falling; others go into the weights
    falling = [n.op.negate.any() for n in graph.nodes if isinstance(n.op, Threshold)]
    assert any(falling) == (kind is not Dense)


def test_experts_of_both_gates_are_exact(experts):
    module, _, after = experts
    frames = random_frames(hardware_input(after), 300)
    graph = lower(after)
    values = graph.run(frames)
    assert check_lowering(after, graph, frames) == len(graph.tensors)
    scores = torch_scores(module, frames.transpose(0, 3, 1, 2).astype(np.float32))
    assert np.array_equal(values[graph.outputs[0]].reshape(300, -1), scores)
    for node in graph.nodes:
        if node.op.kind == "Gate":
            assert len(np.unique(values[node.outputs[0]])) > 1
    used = [layer.gate.last_index.numpy() for _, layer in module.experts()][:2]
    tokens = [values[n.outputs[0]].reshape(-1) for n in graph.nodes if n.op.kind == "Gate"]
    assert all(np.array_equal(a, b) for a, b in zip(used, tokens, strict=True))


def test_graph_of_the_experts(experts):
    graph = lower(experts[2])
    assert [n.op.kind for n in graph.nodes] == [
        *["SlidingWindow", "MatVec", "Threshold"],
        *["SlidingWindow", "MatVec", "Fork", "Threshold", "Pool"],
        *["Gate", "FrameHold", "SlidingWindow", "MatVec", "Threshold", "Fork"],
        *["Gate", "FrameHold", "SlidingWindow", "MatVec", "Threshold"],
        *["MatVec", "Threshold", "MatVec"],
    ]
    assert [n.name for n in graph.nodes][:4] == ["sliding_window_0", "matvec_0", "threshold_0", "sliding_window_1"]
    windows = [n.op for n in graph.nodes if isinstance(n.op, SlidingWindow)]
    assert [w.pad_value for w in windows] == [0, -1, 0, -1]
    assert [w.outputs[0].masked for w in windows] == [False, False, True, False]
    products = [n.op for n in graph.nodes if isinstance(n.op, MatVec)]
    assert [p.weights.shape for p in products] == [
        (1, 1, 4, 18),  # the first layer is not shrunk
        (1, 2, 2, 72),
        (3, 4, 4, 72),
        (4, 2, 3, 72),
        (1, 1, 4, 6),
        (1, 1, 3, 48),
    ]
    assert [p.tap for p in products] == [2, 8, 8, 8, 0, 0]
    assert [n.op.copies for n in graph.nodes if isinstance(n.op, Threshold)] == [4, 8, 1, 1, 1]
    hold = next(n.op for n in graph.nodes if isinstance(n.op, FrameHold))
    assert hold.depth == first_hold_depth(hold.stream) == 3 * 4 * 32 + 8


def test_origins_tensors_and_meta(experts):
    _, model, after = experts
    graph = lower(after)
    names = {n.name for n in model.graph.node}
    assert {n.origin for n in graph.nodes} <= names  # as the user's file spells them
    assert graph.tensors["in_0"] == "global_in"
    assert graph.tensors[graph.outputs[0]] == "global_out"
    assert set(graph.tensors.values()) <= {t for n in after.graph.node for t in n.output} | {"global_in"}
    assert graph.meta["model"] == "vgg"
    assert graph.meta["class_names"] == ["zero", "one", "two"]
    assert graph.meta["experts"] == {"matvec_2": 3, "matvec_3": 4, "matvec_4": 1}
    assert graph.meta["gate_source"] == {"matvec_2": "values before sign", "matvec_3": "sign bits"}
    assert (graph.meta["input_element"], graph.meta["input_scale"]) == ("uint8", 1.0)
    assert graph.meta["input_layout"] == "NCHW"
    assert (graph.meta["output_scale"], graph.meta["output_bias"]) == (1.0, 0.0)


def test_scales_of_input_and_output_are_kept(tmp_path):
    _, after = built(export_module(Scaled(), tmp_path / "model.onnx"))
    after.save(str(tmp_path / "streamlined.onnx"))
    meta = lower(load_model(tmp_path / "streamlined.onnx")).meta
    assert (meta["input_element"], meta["input_scale"]) == ("int8", 1 / 128)
    assert meta["output_scale"] == pytest.approx(0.025)
    assert meta["output_bias"] == 3.0


def test_top_k(experts):
    _, _, after = experts
    frames = random_frames(hardware_input(after), 50)
    graph = lower(after, top_k=2)
    assert graph.nodes[-1].op.kind == "TopK"
    check_lowering(after, graph, frames)
    best = np.argsort(-execute(after, frames), axis=1, kind="stable")[:, :2]
    assert np.array_equal(graph.run(frames)[graph.outputs[0]].reshape(50, 2), best)
    with pytest.raises(ModelError, match=r"top_k=4 does not fit the network: TopK: k=4 is not in 1\.\.3"):
        lower(after, top_k=4)


def test_graph_survives_its_file(experts, tmp_path):
    _, _, after = experts
    graph = lower(after)
    graph.save(tmp_path / "dataflow.json", tmp_path / "weights.npz")
    again = Dataflow.load(tmp_path / "dataflow.json", tmp_path / "weights.npz")
    check_lowering(after, again, random_frames(hardware_input(after), 5))


def test_a_wrong_weight_is_found_where_it_is(experts):
    _, _, after = experts
    graph = lower(after)
    nodes = list(graph.nodes)
    place = next(i for i, n in enumerate(nodes) if n.name == "matvec_2")
    weights = nodes[place].op.weights.copy()
    weights[:, 0, 1, 4 * 8] *= -1  # the middle of the kernel
    changed = copy.copy(nodes[place])
    object.__setattr__(changed, "op", MatVec(nodes[place].op.stream, weights, nodes[place].op.tap))
    nodes[place] = changed
    with pytest.raises(LoweringError) as caught:
        check_lowering(after, graph.replace(nodes), random_frames(hardware_input(after), 5))
    where = "lowering: matvec_2, stream matvec_2_out, frame 0, pixel 0, channel 1: expected"
    assert str(caught.value).startswith(where)


# -- what cannot be lowered ------------------------------------------------------------------------------
def refused(model):
    with pytest.raises(ModelError) as caught:
        lower(model)
    text = str(caught.value)
    assert "\n" not in text
    assert "What to do: " in text
    return text


def with_weight(model, index, value):
    model = copy.deepcopy(model)
    node = [n for n in model.graph.node if n.op_type in ("Conv", "MatMul")][index]
    weights = model.get_initializer(node.input[1]).copy()
    weights.flat[5] = value
    model.set_initializer(node.input[1], weights)
    return model


def test_weights_of_more_than_one_bit(experts):
    after = experts[2]
    for index, value in ((0, 0.0), (-1, 3.0)):
        model = with_weight(after, index, value)
        graph = lower(model)
        products = [n.op for n in graph.nodes if isinstance(n.op, MatVec)]
        assert value in products[index].weights
        check_lowering(model, graph, random_frames(hardware_input(model), 20))


def test_weights_that_are_not_integers(experts):
    text = refused(with_weight(experts[2], 0, 0.5))
    assert (
        "/blocks.0/conv/Conv (Conv) cannot become hardware: its weights are not integers: (0, 0, 1, 2) is 0.5" in text
    )


def change(model, kind, **attributes):
    model = copy.deepcopy(model)
    node = next(n for n in model.graph.node if n.op_type == kind)
    for a in [a for a in node.attribute if a.name in attributes]:
        node.attribute.remove(a)
    node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
    return model


def test_attributes_without_hardware(experts):
    after = experts[2]
    assert "it pads automatically" in refused(change(after, "Conv", auto_pad="SAME_UPPER"))
    assert "SlidingWindow pad_value on bipolar must be" in refused(change(after, "ExpertConv", pad_value=2.0))
    assert "its levels are 0.5 apart, from -1" in refused(change(after, "MultiThreshold", out_scale=0.5))


def test_an_unknown_node_is_named(experts):
    model = copy.deepcopy(experts[2])
    flatten = next(n for n in model.graph.node if n.op_type == "Flatten")
    position = list(model.graph.node).index(flatten)
    model.graph.node.insert(position, helper.make_node("Erf", [flatten.input[0]], ["exotic"], name="odd one"))
    model.set_tensor_shape("exotic", model.get_tensor_shape(flatten.input[0]))
    flatten.input[0] = "exotic"
    text = refused(model)
    assert text.startswith("odd one (Erf) cannot become hardware: a streamlined network may have ")


def test_an_exported_model_has_to_be_streamlined_first(experts, tmp_path):
    assert "(Quant) cannot become hardware" in refused(experts[1])
    with pytest.raises(ModelError, match=r"is 0\.0078125 \* integer.*; streamline the model first"):
        lower(load_model(export_module(Scaled(), tmp_path / "model.onnx")))
