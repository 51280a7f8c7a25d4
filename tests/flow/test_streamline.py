import copy
from dataclasses import dataclass
from fractions import Fraction

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from bitexpert.flow.execute import execute, execute_tensors
from bitexpert.flow.export import export
from bitexpert.flow.frames import random_frames
from bitexpert.flow.lower import lower
from bitexpert.flow.model_file import ModelError, hardware_input, load_model
from bitexpert.flow.passes import LibraryPass, pipeline
from bitexpert.flow.scores import OutputForm
from bitexpert.flow.streamline import StreamlineError, streamline
from flownets import Dense, Padded, Scaled, Weight, export_module, sign, torch_scores, vgg
from onnx import helper
from qonnx.core.datatype import DataType
from torch import nn

NETWORKS = {"dense": Dense, "padded": Padded, "scaled": Scaled}


@pytest.fixture(scope="module", params=list(NETWORKS))
def network(request, tmp_path_factory):
    torch.manual_seed(0)
    module = NETWORKS[request.param]()
    return module, export_module(module, tmp_path_factory.mktemp("net") / f"{request.param}.onnx")


def test_streamlined_equals_torch(network):
    module, path = network
    model = load_model(path)
    source = hardware_input(model)
    frames = random_frames(source, 60)
    expected = torch_scores(module, source.to_model(frames))
    assert np.abs(execute(model, frames) - expected).max() < 1e-4
    after, records = streamline(model, frames[:8])
    found = execute(after, frames)
    assert np.array_equal(found, np.rint(found))
    assert np.array_equal(found, OutputForm.of(after).integers(expected))
    assert len(np.unique(found, axis=0)) > 10  # the frames are told apart
    assert [r.name for r in records] == [p.name for p in pipeline()]
    for name, values in execute_tensors(after, frames).items():
        assert np.isin(values, np.rint(values)).all(), name
        kind = after.get_tensor_datatype(name)
        assert kind.min() <= values.min() <= values.max() <= kind.max(), name
    kinds = {n.op_type for n in after.graph.node}
    assert kinds <= {"Conv", "MatMul", "MaxPool", "MultiThreshold", "Mul", "Tile", "Flatten", "Pad"}


def test_streamlining_is_reproducible_and_settled(network, tmp_path):
    path = network[1]
    frames = random_frames(hardware_input(load_model(path)), 2)
    one, _ = streamline(load_model(path), frames)
    two, _ = streamline(load_model(path), frames)
    one.save(str(tmp_path / "one.onnx"))
    two.save(str(tmp_path / "two.onnx"))
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()
    again = load_model(tmp_path / "one.onnx")
    assert [(n.name, list(n.output)) for n in again.graph.node] == [(n.name, list(n.output)) for n in one.graph.node]
    assert hardware_input(again).scale == 1.0
    assert np.array_equal(execute(again, frames), execute(one, frames))


def test_what_a_file_says_of_its_scales_is_not_believed(network):
    model = load_model(network[1])
    frames = random_frames(hardware_input(model), 4)
    for key in ("input_scale", "input_offset", "output_scale", "output_bias", "top_k"):
        model.set_metadata_prop(key, "3")
    found, expected = (lower(streamline(m, frames)[0]).meta for m in (model, load_model(network[1])))
    assert found == expected


def test_batch_norms_that_are_not_snapped(tmp_path):
    blocks = [
        {"width": 4, "tau": 2, "es_groups": 2},
        {"width": 8, "tau": 2, "es_groups": 2, "pool": 2},
        {"width": 6, "pad_mode": "minus_one"},
    ]
    module = vgg({"height": 6, "width": 8, "blocks": blocks}, snap=False)
    path = export(module, tmp_path / "model.onnx", samples=np.zeros((1, 1, 6, 8)))
    model = load_model(path)
    frames = random_frames(hardware_input(model), 200)
    after, _ = streamline(model, frames[:4])
    assert np.array_equal(execute(after, frames), torch_scores(module, frames.transpose(0, 3, 1, 2).astype(np.float32)))


def test_thresholds_are_right_for_every_accumulator(tmp_path):
    """Every channel and every reachable integer, against the fractions of the stored floats."""
    torch.manual_seed(3)
    path = export_module(Padded(), tmp_path / "padded.onnx", seed=3)
    model = load_model(path)
    after, _ = streamline(model, random_frames(hardware_input(model), 2))
    first = next(n for n in model.graph.node if n.op_type == "BatchNormalization")
    gamma, beta, mean, var = (model.get_initializer(n).astype(np.float64) for n in first.input[1:5])
    epsilon = next(a.f for a in first.attribute if a.name == "epsilon")
    step = next(n for n in after.graph.node if n.op_type == "MultiThreshold")
    signs = after.get_initializer(after.find_producer(step.input[0]).input[1]).reshape(-1)
    limits = after.get_initializer(step.input[1]).reshape(-1)
    low, high = -18, 18
    negative = zero = 0
    for c in range(12):
        slope = float(gamma[c] / np.sqrt(var[c] + epsilon))
        for acc in range(low, high + 1):
            exact = Fraction(slope) * (Fraction(float(np.float32(0.1))) * acc - Fraction(mean[c])) + Fraction(beta[c])
            if abs(exact) > 1e-5:  # nearer than that, the float32 of the file decides
                assert (signs[c] * acc >= limits[c]) == (exact >= 0)
        negative += slope < 0
        zero += slope == 0
    assert negative
    assert zero
    assert limits.min() >= -high
    assert limits.max() <= high + 1


# -- wrong passes ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ShiftOneThreshold:
    """A wrong pass: one threshold of the second binarization is off."""

    name: str = "ShiftOneThreshold"

    def apply(self, model):
        model = copy.deepcopy(model)
        node = [n for n in model.graph.node if n.op_type == "MultiThreshold"][1]
        values = model.get_initializer(node.input[1]).copy()
        values[len(values) // 2] += 1000
        model.set_initializer(node.input[1], values)
        return model


@dataclass(frozen=True)
class LoseANode:
    """A wrong pass: what it leaves is no graph."""

    name: str = "LoseANode"

    def apply(self, model):
        model = copy.deepcopy(model)
        del model.graph.node[0]
        return model


@pytest.fixture(scope="module")
def scaled(tmp_path_factory):
    return load_model(export_module(Scaled(), tmp_path_factory.mktemp("scaled") / "scaled.onnx"))


def test_a_wrong_pass_is_caught_and_named(scaled, tmp_path):
    frames = random_frames(hardware_input(scaled), 16)
    steps = list(pipeline())
    steps.insert(next(i for i, s in enumerate(steps) if s.name == "IntegerForm") + 1, ShiftOneThreshold())
    with pytest.raises(StreamlineError) as caught:
        streamline(scaled, frames, passes=steps, failure_folder=tmp_path)
    text = str(caught.value)
    assert "pass ShiftOneThreshold changed the network: frame" in text
    assert "first node that differs: /sign2/act_quant/export_handler/BipolarQuant (MultiThreshold)" in text
    assert "\n" not in text
    folder = tmp_path / "failed_ShiftOneThreshold"
    assert sorted(p.name for p in folder.iterdir()) == ["after.onnx", "before.onnx", "input.npy"]
    good, bad = load_model(folder / "before.onnx"), load_model(folder / "after.onnx")
    assert not np.array_equal(execute(good, frames), execute(bad, frames))


def test_a_pass_that_breaks_the_graph_is_named(scaled):
    frames = random_frames(hardware_input(scaled), 1)
    with pytest.raises(StreamlineError, match=r"pass LoseANode left the graph invalid: .* reads .*"):
        streamline(scaled, frames, passes=[LoseANode()])


def test_progress_is_told(scaled):
    seen = []
    streamline(scaled, random_frames(hardware_input(scaled), 1), on_pass=lambda *a: seen.append(a))
    assert seen[0] == ("CheckOperators", 1, len(seen))
    assert [n for _, n, _ in seen] == list(range(1, len(seen) + 1))


def test_nothing_is_printed_and_home_stays_empty(scaled, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HOME", str(tmp_path))
    streamline(scaled, random_frames(hardware_input(scaled), 1))
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


@dataclass(frozen=True)
class Clumsy(LibraryPass):
    """Stands for a pass of a library."""

    broken: object = None

    def apply(self, model):
        return self.broken.apply(model)


@pytest.mark.parametrize("broken", [ShiftOneThreshold(), LoseANode()])
def test_a_wrong_pass_of_a_library_is_left_out(scaled, broken, tmp_path):
    frames = random_frames(hardware_input(scaled), 16)
    steps = list(pipeline())
    place = next(i for i, s in enumerate(steps) if s.name == "IntegerForm") + 1
    after, records = streamline(
        scaled, frames, failure_folder=tmp_path, passes=[*steps[:place], Clumsy("Clumsy", None, broken), *steps[place:]]
    )
    assert (
        f"pass Clumsy {'changed the network' if isinstance(broken, ShiftOneThreshold) else 'left'}"
        in records[place].skipped
    )
    assert not records[place].changed
    assert not list(tmp_path.iterdir())
    assert np.array_equal(execute(after, frames), execute(streamline(scaled, frames)[0], frames))


# -- what has no hardware --------------------------------------------------------------------------------
def refused(module, tmp_path):
    model = load_model(export_module(module, tmp_path / "model.onnx"))
    with pytest.raises(ModelError) as caught:
        streamline(model, random_frames(hardware_input(model), 2))
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Ending(Dense):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, x):
        return self.what(super().forward(x))


class Middle(Dense):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, x):
        return self.fc2(self.sign(self.what(self.bn(self.fc1(self.quant(x))))))


def test_operators_without_hardware(tmp_path):
    text = refused(Ending(nn.Softmax(dim=1)), tmp_path)
    assert text.startswith("/what/Softmax (Softmax) cannot become hardware; supported: Add, ArgMax, AveragePool")
    assert text.endswith("What to do: end the network at the scores; the decision is the same without it")
    assert "/what/Sigmoid (Sigmoid)" in refused(Middle(nn.Sigmoid()), tmp_path)
    assert "/Erf (Erf)" in refused(Middle(torch.erf), tmp_path)


def exact(module, tmp_path, frames=60):
    """Streamline a module's file and hold it against torch; returns the streamlined model."""
    model = load_model(export_module(module, tmp_path / "model.onnx"))
    source = hardware_input(model)
    inputs = random_frames(source, frames)
    after, _ = streamline(model, inputs[:8])
    expected = torch_scores(module, source.to_model(inputs)).reshape(frames, -1)
    form = OutputForm.of(after)
    real = form.real(execute(after, inputs))
    assert np.abs(real - expected).max() <= 1e-5 * np.abs(expected).max()
    assert np.array_equal(form.integers(expected), execute(after, inputs).reshape(frames, -1))
    return after


def test_residual_connection_of_one_scale(tmp_path):
    class Residual(Dense):
        def forward(self, x):
            y = self.fc1(self.quant(x))
            return self.fc2(self.sign(self.bn(y + 2 * y)))

    after = exact(Residual(), tmp_path)
    assert [n.op_type for n in after.graph.node if n.op_type == "Add"] == ["Add"]


def test_residual_connection_of_two_scales(tmp_path):
    class Residual(Dense):
        def forward(self, x):
            y = self.fc1(self.quant(x))
            return self.fc2(self.sign(self.bn(y * torch.linspace(0.5, 2, 16) + y)))

    text = refused(Residual(), tmp_path)
    assert "(Add) cannot become hardware: the tensors that it adds are scaled differently, channel by channel" in text
    assert "give both branches one power-of-two scale" in text


def test_scores_that_are_scaled_class_by_class(tmp_path):
    factors, offsets = torch.tensor([1.5, -0.7, 2.0, -3.1, 0.2]), torch.linspace(-1, 1, 5)
    after = exact(Ending(lambda y: y * factors + offsets), tmp_path)
    form = OutputForm.of(after)
    assert form.scale.shape == form.bias.shape == (5,)
    assert (form.scale > 0).all()  # the weights took the signs


def test_scores_with_a_negative_scale(tmp_path):
    form = OutputForm.of(exact(Ending(lambda y: y * -2.0 + 1.0), tmp_path))
    assert form.scale == pytest.approx([0.2])
    assert form.bias.tolist() == [1.0]


def test_scores_that_say_nothing(tmp_path):
    assert "a score is multiplied by 0" in refused(Ending(lambda y: y * 0.0), tmp_path)


def test_prelu_with_a_negative_slope(tmp_path):
    text = refused(Middle(nn.PReLU(16, init=-0.5)), tmp_path)
    assert "a negative slope in front makes two thresholds of one" in text


def test_sign_of_something_real(tmp_path):
    class Twice(Dense):
        def forward(self, x):
            real = torch.linspace(0.1, 1, 256).reshape(16, 16) ** 2
            return self.fc2(self.sign(nn.functional.linear(self.fc1(self.quant(x)), real)))

    text = refused(Twice(), tmp_path)
    assert "its weights are real numbers. What to do: quantize them" in text


class Steps(nn.Module):
    """Something between a convolution and its sign."""

    shape = (1, 6, 6)

    def __init__(self, between):
        super().__init__()
        self.between, self.quant, self.sign = between, sign(), sign()
        self.conv = qnn.QuantConv2d(1, 4, 3, bias=False, weight_quant=Weight)
        self.fc = qnn.QuantLinear(16, 3, bias=False, weight_quant=Weight)

    def forward(self, x):
        return self.fc(self.sign(self.between(self.conv(self.quant(x)))).flatten(1))


def test_prelu_of_slope_0_in_front_of_a_pool(tmp_path):
    exact(Steps(nn.Sequential(nn.PReLU(4, init=0.0), nn.MaxPool2d(2), nn.BatchNorm2d(4))), tmp_path)


def test_pools_behind_what_falls(tmp_path):
    after = exact(Steps(nn.Sequential(nn.BatchNorm2d(4), nn.MaxPool2d(2))), tmp_path)
    assert "Mul" not in {n.op_type for n in after.graph.node}  # the weights took the signs


def test_averages_of_accumulators(tmp_path):
    after = exact(Steps(nn.Sequential(nn.BatchNorm2d(4), nn.AvgPool2d(2))), tmp_path)
    assert [n.op_type for n in after.graph.node].count("Conv") == 2


def test_a_constant_that_comes_first(tmp_path):
    exact(Middle(lambda x: 0.05 - x), tmp_path)
    assert "/Reciprocal (Reciprocal) cannot become hardware" in refused(Middle(lambda x: 0.05 / x), tmp_path)


def test_sign_that_can_be_0(tmp_path):
    after = exact(Middle(torch.sign), tmp_path)
    assert max(after.get_tensor_shape(n.input[1])[1] for n in after.graph.node if n.op_type == "MultiThreshold") == 2


def test_scores_that_are_not_finite(scaled):
    model = copy.deepcopy(scaled)
    last = model.find_producer(model.graph.output[0].name)
    model.set_initializer(last.input[1], np.full_like(model.get_initializer(last.input[1]), np.nan))
    with pytest.raises(ModelError, match="not finite"):
        streamline(model, random_frames(hardware_input(model), 2), passes=())


def test_a_weight_that_is_not_finite(tmp_path):
    module = Dense()
    path = export_module(module, tmp_path / "model.onnx")
    model = load_model(path)
    node = next(n for n in model.graph.node if n.op_type == "BatchNormalization")
    bias = model.get_initializer(node.input[2]).copy()
    bias[3] = np.nan
    model.set_initializer(node.input[2], bias)
    with pytest.raises(ModelError, match=r"not finite.* What to do: train again"):
        streamline(model, random_frames(hardware_input(model), 2))


def test_input_quantizer_that_changes_its_integers(tmp_path):
    model = load_model(export_module(Scaled(), tmp_path / "model.onnx"))
    model.set_tensor_datatype(model.graph.input[0].name, DataType["UINT8"])  # the quantizer clips at 127/128
    frames = random_frames(hardware_input(model), 30)
    after, _ = streamline(model, frames[:4])
    assert np.array_equal(OutputForm.of(after).integers(execute(model, frames)), execute(after, frames))
    first = after.graph.node[0]
    assert first.op_type == "MultiThreshold"
    assert after.get_tensor_shape(first.input[1])[1] == 255


def test_hostile_names_stay_harmless(scaled):
    model = copy.deepcopy(scaled)
    pool = next(n for n in model.graph.node if n.op_type == "MaxPool")
    source, position = pool.input[0], list(model.graph.node).index(pool)
    pool.input[0] = "exotic"
    model.graph.node.insert(position, helper.make_node("Erf", [source], ["exotic"], name='"; rm -rf /\n\x1b[2J'))
    model.set_tensor_shape("exotic", model.get_tensor_shape(source))
    with pytest.raises(ModelError, match=r'^"; rm -rf /\?\?\[2J \(Erf\) cannot become hardware'):
        streamline(model, random_frames(hardware_input(scaled), 1))


def test_a_large_graph_does_without_finn(network, monkeypatch):
    """FINN's passes take minutes for thousands of nodes: the same integers come out without them."""
    model = load_model(network[1])
    frames = random_frames(hardware_input(model), 20)
    with_finn, _ = streamline(model, frames[:4])
    monkeypatch.setattr("bitexpert.flow.streamline.MOST_NODES", 1)
    without, records = streamline(model, frames[:4])
    skipped = [r.name for r in records if r.skipped]
    assert skipped == [p.name for p in pipeline() if isinstance(p, LibraryPass)]
    assert all("more than 1 nodes" in r.skipped for r in records if r.skipped)
    found, expected = execute(without, frames), execute(with_finn, frames)
    assert np.array_equal(OutputForm.of(without).real(found), OutputForm.of(with_finn).real(expected))
