import pytest
from bitexpert.flow.search.training import _shortened
from bitexpert.models.recipe import ScheduleConfig, StepConfig


def steps(*epochs, **settings):
    return tuple(StepConfig(name=str(i), epochs=count, **settings) for i, count in enumerate(epochs))


@pytest.mark.parametrize(
    ("epochs", "budget", "short"),
    [((25, 30), 11, [5, 6]), ((25, 30), 2, [1, 1]), ((25, 30), 1, [0, 1]), ((100, 1, 1), 6, [4, 1, 1]), ((7,), 3, [3])],
)
def test_steps_are_shortened_in_their_proportions(epochs, budget, short):
    assert [step.epochs for step in _shortened(steps(*epochs), budget)] == short


def test_schedules_are_shortened_too():
    schedule = ScheduleConfig(kind="multistep", milestones=(40, 55), warmup=10)
    (short,) = _shortened(steps(75, schedule=schedule), 15)
    assert (short.schedule.milestones, short.schedule.warmup) == ((8, 11), 2)
