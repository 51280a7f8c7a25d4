import pytest
import torch
from bitexpert.models.whitening import Whitening, products, simplex


def features(n=2000, seed=0):
    """Three features, two of which are almost equal."""
    g = torch.Generator().manual_seed(seed)
    a, b = torch.randn(n, 1, generator=g), torch.randn(n, 1, generator=g)
    return torch.cat([100 * a + 7, 100 * a + 10 * b, 0.5 * b - a], 1)


def covariance(x):
    return (x - x.mean(0)).t() @ (x - x.mean(0)) / len(x)


@pytest.mark.parametrize("corners", [2, 3, 4, 8])
def test_a_simplex_is_regular_and_lies_around_0(corners):
    found = simplex(corners)
    assert found.shape == (corners, corners - 1)
    assert torch.allclose(found.sum(0), torch.zeros(corners - 1), atol=1e-6)
    assert torch.allclose(found.t() @ found, torch.eye(corners - 1), atol=1e-6)
    distances = torch.cdist(found, found)[~torch.eye(corners, dtype=torch.bool)]
    assert torch.allclose(distances, distances[0].expand_as(distances), atol=1e-6)


def test_products_are_those_of_matrices():
    a, b = torch.randn(5, 3), torch.randn(4, 3)
    assert torch.allclose(products(a, b), a @ b.t(), atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert products(a, b).dtype == torch.float32
        assert torch.equal(products(a, b), products(a.float(), b))


def test_a_batch_gets_mean_0_and_almost_covariance_1():
    x = features()
    y = Whitening(3)(x)
    assert torch.allclose(y.mean(0), torch.zeros(3), atol=1e-3)
    found = covariance(y)
    off = found - torch.diag(found.diagonal())
    assert off.abs().max() < 0.15  # the ridge
    assert found.diagonal()[:2].min() > 0.8


def test_features_on_one_line_are_not_blown_up():
    a = torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
    y = Whitening(2)(torch.cat([a, a + 1e-5 * a.roll(1)], 1))
    assert y[:, 0].std() > 0.9
    assert y[:, 1].std() < 0.1


def test_equal_samples_give_zeros():
    y = Whitening(3)(torch.ones(8, 3))
    assert torch.equal(y, torch.zeros(8, 3))


def test_evaluation_is_affine_and_that_of_training():
    whitening, x = Whitening(3), features()
    for _ in range(150):
        trained = whitening(x)
    whitening.eval()
    assert torch.allclose(whitening(x), trained, atol=2e-2)
    matrix, offset = whitening.affine()
    assert torch.allclose(whitening(x), x @ matrix.t() + offset, atol=1e-3)
    other = features(50, seed=1)
    before = whitening.running_mean.clone()
    whitening(other)
    assert torch.equal(whitening.running_mean, before)


def test_one_sample_is_whitened_by_the_running_statistics():
    whitening, x = Whitening(3), features()
    whitening.measure(x)
    one = whitening.train()(x[:1])
    assert torch.allclose(one, whitening.eval()(x[:1]))


def test_measured_statistics_are_those_of_the_samples():
    whitening, x = Whitening(3), features()
    whitening.measure(x)
    assert torch.allclose(whitening.running_mean, x.mean(0))
    assert torch.allclose(whitening.running_covariance, covariance(x), rtol=1e-3)


def test_the_gradient_has_no_part_that_whitening_undoes():
    x = features(300).double().float().requires_grad_()
    (Whitening(3)(x) * torch.randn(300, 3, generator=torch.Generator().manual_seed(2))).sum().backward()
    assert x.grad.abs().sum() > 0
    assert x.grad.sum(0).abs().max() < 1e-3 * x.grad.abs().sum()  # shifting all samples
    scaling = (x.grad * (x - x.mean(0))).sum()
    assert abs(scaling) < 1e-2 * (x.grad * (x - x.mean(0))).abs().sum()


def test_what_is_not_finite_stays_so():
    assert Whitening(3)(features(50) * float("inf")).isnan().any()
    assert Whitening(3)(features(50) * float("nan")).isnan().all()
