import pytest
import torch
from bitexpert.models.stream import IntegerClassifier, IntegerConv2d, StreamNorm, StreamQuantizer
from torch import nn


def sums(maps=6, seed=0):
    """Integers whose spread differs from channel to channel."""
    x = torch.randint(-30, 31, (32, maps, 5, 5), generator=torch.Generator().manual_seed(seed)).float()
    return x * torch.arange(1, maps + 1).reshape(1, -1, 1, 1) + 7


def trained(norm, x):
    for _ in range(80):
        norm(x)
    return norm.eval()


@pytest.mark.parametrize("fraction_bits", [4, 8, 12])
def test_outputs_lie_on_the_grid_in_training_as_in_evaluation(fraction_bits):
    norm, x = StreamNorm(6, repeat=2, fraction_bits=fraction_bits), sums()
    for y in (norm(x), trained(norm, x)(x)):
        units = y * 2.0**fraction_bits
        assert torch.equal(units, units.round())
        assert len(units.unique()) > 20


def test_it_normalizes_with_one_slope_and_a_mean_for_each_channel():
    norm, x = StreamNorm(6, repeat=2, fraction_bits=16, spread=1.0), sums()
    y = norm(x)
    assert torch.allclose(y.mean((0, 2, 3)), torch.tensor([-1.0, 1.0]).repeat_interleave(6), atol=1e-3)
    slopes = (y[0, :, 0, 0] - y[1, :, 0, 0]) / (x[0, :, 0, 0] - x[1, :, 0, 0]).repeat(2)
    slopes = slopes[slopes.isfinite()]
    assert len(slopes) > 6
    assert torch.allclose(slopes, slopes[0], rtol=1e-3)
    variance = y[:, :6].var((0, 2, 3), correction=0).mean()
    assert variance.item() == pytest.approx(1.0, abs=0.05)


def test_statistics_run_as_those_of_batch_normalization():
    norm, usual, x = StreamNorm(6), nn.BatchNorm2d(6), sums()
    for seed in range(3):
        norm(sums(seed=seed))
        usual(sums(seed=seed))
    assert torch.allclose(norm.running_mean, usual.running_mean, rtol=1e-5)
    assert torch.allclose(norm.running_var, usual.running_var, rtol=1e-5)
    before = norm.running_mean.clone()
    norm.eval()(x)
    assert torch.equal(norm.running_mean, before)


def test_freezing_changes_no_output_and_twice_is_once():
    norm, x = StreamNorm(6, repeat=4), sums()
    before = trained(norm, x)(x)
    norm.freeze()
    assert torch.equal(norm(x), before)
    norm.freeze()
    assert torch.equal(norm(x), before)
    steps = norm.weight * 256
    assert torch.equal(steps, steps.round())
    assert steps.item() >= 1


def test_a_frozen_one_is_read_back(tmp_path):
    norm, x = StreamNorm(6), sums()
    trained(norm, x).freeze()
    torch.save(norm.state_dict(), tmp_path / "norm.pt")
    again = StreamNorm(6).eval()
    again.load_state_dict(torch.load(tmp_path / "norm.pt", weights_only=True))
    assert torch.equal(again(x), norm(x))


def test_the_slope_never_rounds_to_nothing():
    norm = StreamNorm(6, fraction_bits=2)
    y = trained(norm, 100 * sums())(100 * sums())
    assert len(y.unique()) > 20


def test_slope_and_offsets_are_trained_through_the_rounding():
    norm, x = StreamNorm(6, repeat=2), sums().requires_grad_()
    (norm(x) * torch.randn(32, 12, 5, 5)).sum().backward()
    for gradient in (norm.weight.grad, norm.bias.grad, x.grad):
        assert gradient.abs().sum() > 0


def test_training_that_diverged_is_named():
    norm = StreamNorm(6).eval()
    with torch.no_grad():
        norm.bias[3] = float("nan")
    with pytest.raises(ValueError, match="the training has diverged"):
        norm.freeze()


@pytest.mark.parametrize("settings", [{"repeat": 0}, {"fraction_bits": 0}, {"fraction_bits": 17}])
def test_settings_out_of_range(settings):
    with pytest.raises(ValueError, match="out of range"):
        StreamNorm(4, **settings)


def test_the_quantizer_rounds_and_clips():
    quant = StreamQuantizer(4, 4.0).eval()
    x = torch.tensor([-9.0, -4.0, -0.6, 0.2, 0.3, 3.4, 9.0])
    assert quant(x).tolist() == [-4.0, -4.0, -0.5, 0.0, 0.5, 3.5, 3.5]


def test_the_quantizer_tells_its_steps():
    quant = StreamQuantizer(3, 4.0).eval()
    assert (quant.step, quant.largest) == (1.0, 4)
    assert quant(torch.linspace(-9, 9, 200)).unique().tolist() == [quant.step * i for i in range(-4, 4)]


def test_weights_of_8_bits():
    torch.manual_seed(0)
    conv, x = IntegerConv2d(4, 6, 3, stride=2, groups=2).eval(), torch.randint(0, 256, (2, 4, 7, 7)).float()
    weight = conv.quant_weight().value
    steps = weight / conv.quant_weight().scale
    assert torch.equal(steps, steps.round())
    assert len(steps.unique()) > 20
    assert steps.abs().max() <= 128
    assert torch.equal(conv(x), nn.functional.conv2d(x, weight, stride=2, padding=1, groups=2))


def test_the_classifier_reads_its_channels_only_and_quantizes_their_mean():
    torch.manual_seed(0)
    head = IntegerClassifier(4, 5).eval()
    x = torch.randint(-800, 800, (3, 8, 4, 4)).float() / 256
    changed = x.clone()
    changed[:, 4:] += 3
    assert torch.equal(head(x), head(changed))
    changed[:, :4] += 0.125  # one step
    assert not torch.equal(head(x), head(changed))
    assert len(head(x).unique()) > 5


def test_a_wide_stream_is_quantized_before_its_mean():
    torch.manual_seed(0)
    head, x = IntegerClassifier(4, 5, wide=True).eval(), torch.randn(3, 4, 8, 8)
    rounded = head.narrow(x)
    assert not torch.equal(rounded, x)
    assert torch.equal(head(x), head(rounded))
    assert torch.equal(head(x), head.linear(head.quant(rounded.mean((2, 3)))))
