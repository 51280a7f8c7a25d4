import numpy as np
import pytest
import torch
import torch.nn.functional as F
from bitexpert.models.networks import build_network
from bitexpert.models.recipe import StepConfig, TeacherConfig
from bitexpert.models.training.losses import (
    Teacher,
    TrainingTask,
    attention_distance,
    balance,
    calibrated_scale,
    squared_hinge,
)


def network(**block):
    torch.manual_seed(0)
    blocks = [{"width": 4}, {"kind": "expert", "width": 4, "experts": 4, "pool": 2, **block}]
    return build_network("vgg", {"blocks": blocks})


def images(count=16):
    return torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0)).float()


def test_squared_hinge_is_zero_behind_the_margin_only():
    target = torch.tensor([[1.0, 0.0]])
    assert squared_hinge(torch.tensor([[1.0, -1.0]]), target) == 0
    assert squared_hinge(torch.tensor([[0.0, -1.0]]), target) == 0.5  # (1 + 0) / 2


def test_balance_is_least_when_all_experts_are_used():
    model = network()
    gate = next(layer for _, layer in model.experts()).gate
    assert balance(model) == 0  # no batch yet
    gate.probabilities = torch.eye(4).repeat(3, 1)
    assert float(balance(model)) == pytest.approx(1)
    gate.probabilities = torch.eye(4)[[0] * 12]
    assert float(balance(model)) == pytest.approx(4)


def test_attention_is_where_it_is_not_how_strong():
    x = torch.rand(3, 5, 4, 4)
    assert float(attention_distance([x], [x.repeat(1, 2, 1, 1) * 7])) == pytest.approx(0, abs=1e-12)
    assert attention_distance([x], [x.flip(2)]) > 1e-3


def test_the_scale_minimizes_the_cross_entropy():
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (400,), generator=rng)
    scores = 300 * (F.one_hot(labels, 5) + torch.randn(400, 5, generator=rng))
    best = calibrated_scale(scores, labels)
    losses = {f: float(F.cross_entropy(scores * best * f, labels)) for f in (0.8, 1.0, 1.25)}
    assert min(losses, key=losses.get) == 1.0


def test_a_teacher_is_its_own_best_student_and_gets_no_gradient():
    model, x = network(), images()
    teacher = Teacher(network(), TeacherConfig(step="x", scores=1.0, attention=1.0), 0.1)
    model.eval()
    stages = []
    for stage in model.stage_modules()[1:]:
        stage.register_forward_hook(lambda _m, _i, out: stages.append(out.pre))
    scores = model(x) * 0.1
    assert teacher.loss(x, scores, stages).item() == pytest.approx(0, abs=1e-6)
    other = teacher.loss(x, scores.flip(1), stages)
    assert other > 1e-3
    other.backward()
    assert all(p.grad is None for p in teacher.network.parameters())
    assert not teacher.network.training


def test_the_whole_loss_has_all_parts():
    task, x = TrainingTask(network()), images()
    target = F.one_hot(torch.arange(16) % 10, 10).float()
    with pytest.raises(RuntimeError, match="no step yet"):
        task(x, target)
    task.step = StepConfig(name="x", epochs=1)
    loss, whole = task(x, target)
    assert loss == whole
    task.step = StepConfig(name="x", epochs=1, balance=0.5)
    assert (task(x, target)[1] - loss).item() == pytest.approx(0.5 * balance(task.network).item(), rel=1e-3)
    task.teacher = Teacher(network(), TeacherConfig(step="x"), 1.0)
    assert task(x, target)[1] > whole
    assert np.isfinite(task(x, target)[1].item())


def test_the_learned_scale_starts_so_that_scores_are_about_one():
    model = network()
    assert TrainingTask(model).log_scale.exp().item() == pytest.approx(model.head.in_features**-0.5)
