import torch
from bitexpert.models.arithmetic import RisingPReLU
from bitexpert.models.binary import BinaryLinear
from bitexpert.models.quant import BinaryActivation, InputQuantizer, clip_latent_weights


def test_sign_of_zero_is_plus_one_and_gradient_is_clamped():
    x = torch.tensor([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0], requires_grad=True)
    y = BinaryActivation()(x)
    y.sum().backward()
    assert y.tolist() == [-1, -1, -1, 1, 1, 1, 1, 1]
    assert x.grad.tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_input_is_the_pixel_itself():
    pixels = torch.arange(256.0)
    quant = InputQuantizer().eval()
    assert torch.equal(quant(pixels), pixels)
    assert quant(torch.tensor([-5.0, 300.0])).tolist() == [0.0, 255.0]


def test_latent_weights_are_clipped():
    layer = BinaryLinear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-7.0, 0.25, 7.0], [1.0, -1.0, 0.0]]))
    clip_latent_weights(layer)
    assert layer.weight.tolist() == [[-1.0, 0.25, 1.0], [1.0, -1.0, 0.0]]


def test_slopes_in_front_of_a_quantizer_stay_at_zero_or_above():
    bends = torch.nn.Sequential(RisingPReLU(3), torch.nn.PReLU(3))
    with torch.no_grad():
        for layer in bends:
            layer.weight.copy_(torch.tensor([-0.5, 0.25, 7.0]))
    clip_latent_weights(bends)
    assert bends[0].weight.tolist() == [0.0, 0.25, 7.0]
    assert bends[1].weight.tolist() == [-0.5, 0.25, 7.0]
