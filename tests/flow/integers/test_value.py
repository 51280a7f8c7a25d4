import numpy as np
from bitexpert.flow.integers.value import Base, concatenated, whole

IMAGE = Base("image", (3, 2, 2), -4, 7)
OTHER = Base("other", (2, 2, 2), 0, 1)


def real(value, *arrays):
    """The tensor that a value describes, for the integers of its bases."""
    x = np.concatenate([a.reshape(-1) for a in arrays]).astype(np.float32)[value.index]
    for step in value.steps:
        x = step.apply(x, step.operand)
    return x


def test_steps_and_views_commute():
    integers = np.arange(12).reshape(3, 2, 2) - 4
    value = whole(IMAGE).step("Mul", np.array([2.0, 0.5, -1.0]).reshape(3, 1, 1)).step("Add", np.float32(1))
    expected = integers * np.array([2.0, 0.5, -1.0]).reshape(3, 1, 1) + 1
    assert np.array_equal(real(value, integers), expected)
    turned = value.rearranged(lambda x: x.transpose(1, 2, 0).reshape(-1))
    assert np.array_equal(real(turned, integers), expected.transpose(1, 2, 0).reshape(-1))
    later = turned.step("Max", np.linspace(-1, 1, 12))
    assert np.array_equal(
        real(later, integers), np.maximum(expected.transpose(1, 2, 0).reshape(-1), np.float32(np.linspace(-1, 1, 12)))
    )


def test_affine_form():
    value = whole(IMAGE).step("Sub", np.float32(3)).step("Div", np.float32(4)).step("PRelu", np.float32(1))
    form = value.affine()
    assert (form.scale == 0.25).all()
    assert (form.offset == -0.75).all()
    assert value.step("Max", np.float32(0)).affine() is None


def test_directions():
    value = whole(IMAGE).step("Mul", np.array([1.0, -1.0, 0.0]).reshape(3, 1, 1))
    assert value.direction()[:, 0, 0].tolist() == [1, -1, 0]
    assert value.step("Div", np.float32(-2)).direction()[:, 0, 0].tolist() == [-1, 1, 0]
    assert np.isnan(value.step("PRelu", np.float32(-0.5)).direction()).all()


def test_concats_of_different_steps():
    first, second = np.arange(12).reshape(3, 2, 2) - 4, np.arange(8).reshape(2, 2, 2) % 2
    a = whole(IMAGE).step("PRelu", np.float32(0.5))
    b = whole(OTHER).step("Mul", np.float32(3)).step("Add", np.float32(-1))
    both = concatenated([a, b, a], 0)
    assert [base.tensor for base in both.bases] == ["image", "other"]
    relu = np.where(first < 0, first * 0.5, first)
    assert np.array_equal(real(both, first, second), np.concatenate([relu, second * 3 - 1, relu]))


def test_bases_shared_by_values_are_counted_once():
    value = concatenated([whole(OTHER), whole(IMAGE), whole(OTHER)], 0)
    again = concatenated([value.rearranged(lambda x: x[5:]), whole(IMAGE)], 0)
    assert [base.tensor for base in again.bases] == ["other", "image"]
    first, second = np.arange(8).reshape(2, 2, 2), np.arange(12).reshape(3, 2, 2) * 10
    assert np.array_equal(real(again, first, second), np.concatenate([first, second]))
