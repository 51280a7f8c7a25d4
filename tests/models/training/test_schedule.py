import pytest
import torch
from bitexpert.models.networks import build_network
from bitexpert.models.recipe import OptimizerConfig, ScheduleConfig
from bitexpert.models.training.schedule import learning_rate, make_optimizer, make_schedule


def test_cosine_with_warm_up():
    share = learning_rate(ScheduleConfig(kind="cosine", warmup=2), 10)
    assert [share(x) for x in (0, 1, 2, 6, 10)] == pytest.approx([0.01, 0.505, 1.0, 0.5, 0.0])


def test_multistep_and_constant():
    share = learning_rate(ScheduleConfig(kind="multistep", milestones=(4, 6), factor=0.1), 10)
    assert [share(x) for x in (0, 3.9, 4, 5.9, 6, 10)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert learning_rate(ScheduleConfig(kind="constant"), 10)(7) == 1


def test_warm_up_of_the_whole_step():
    share = learning_rate(ScheduleConfig(warmup=3), 3)
    assert share(1.5) == pytest.approx(0.505)
    assert share(3) == 0


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW"), ("sgd", "SGD")])
def test_binary_weights_have_their_own_decay(name, kind):
    network = build_network("vgg")
    optimizer = make_optimizer(network, OptimizerConfig(name=name, weight_decay=0.1, binary_weight_decay=0.0))
    assert type(optimizer).__name__ == kind
    binary, rest = optimizer.param_groups
    assert (binary["weight_decay"], rest["weight_decay"]) == (0.0, 0.1)
    assert len(binary["params"]) == 5  # four convolutions and the classifier
    assert len(binary["params"]) + len(rest["params"]) == len(list(network.parameters()))


def test_the_schedule_is_stepped_by_batches():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = make_schedule(optimizer, ScheduleConfig(kind="multistep", milestones=(1,), factor=0.5), 2, 3)
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == [2.0, 2.0, 2.0, 1.0, 1.0, 1.0]
