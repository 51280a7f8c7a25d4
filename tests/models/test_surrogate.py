import pytest
import torch
from bitexpert.models.networks import build_network
from bitexpert.models.quant import BinaryActivation, use_real_activations, use_surrogate
from bitexpert.models.surrogate import surrogate_sign

POINTS = [-2.0, -1.2, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 1.2, 2.0]
SLOPES = {
    "clip": [0, 0, 0, 1, 1, 1, 1, 0, 0, 0],
    "wide": [0, 1, 1, 1, 1, 1, 1, 1, 1, 0],
    "polynomial": [0, 0, 0, 1, 2, 2, 1, 0, 0, 0],
    "identity": [1] * 10,
}


@pytest.mark.parametrize("surrogate", sorted(SLOPES))
def test_values_and_slopes(surrogate):
    x = torch.tensor(POINTS, requires_grad=True)
    y = surrogate_sign(x, surrogate)
    (3 * y).sum().backward()
    assert y.tolist() == [-1, -1, -1, -1, 1, 1, 1, 1, 1, 1]
    assert x.grad.tolist() == [3 * s for s in SLOPES[surrogate]]


def test_training_computes_what_the_quantizer_of_brevitas_does():
    x = torch.randn(7, 5, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    layer = BinaryActivation()
    fast = layer.train()(x)
    (grad,) = torch.autograd.grad((fast * x.detach()).sum(), x)
    slow = layer.eval()(x)
    (expected,) = torch.autograd.grad((slow * x.detach()).sum(), x)
    assert torch.equal(fast, slow)
    assert torch.equal(grad, expected)


def test_switches_of_a_network():
    model = build_network("vgg")
    use_surrogate(model, "wide")
    use_real_activations(model, True)
    layers = [m for m in model.modules() if isinstance(m, BinaryActivation)]
    assert {(layer.surrogate, layer.real) for layer in layers} == {("wide", True)}
    x = torch.tensor([-3.0, 0.25, 3.0])
    assert layers[0](x).tolist() == [-1.0, 0.25, 1.0]
    use_real_activations(model, False)
    assert layers[0](x).tolist() == [-1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="unknown; use one of clip, wide, polynomial, identity"):
        use_surrogate(model, "tanh")
