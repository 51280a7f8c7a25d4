"""The short training of a candidate: all that depends on the form of a recipe."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ...models.recipe import NetworkConfig, Recipe, StepConfig
from ...models.train import train
from .spec import TrainingSettings

__all__ = ["held_out_accuracy", "with_network"]


def with_network(recipe: Recipe, name: str, network: str, config: dict[str, Any]) -> Recipe:
    """The recipe under another name and with another network."""
    return recipe.model_copy(update={"name": name, "network": NetworkConfig(name=network, config=config)})


def _shortened(steps: tuple[StepConfig, ...], epochs: int) -> tuple[StepConfig, ...]:
    """The steps in their proportions, ``epochs`` in all and at least one each as far as these reach."""
    whole = sum(step.epochs for step in steps)
    short: list[StepConfig] = []
    left = epochs
    for i, step in enumerate(steps):
        rest = len(steps) - i - 1
        count = left if not rest else min(max(round(epochs * step.epochs / max(whole, 1)), 1), max(left - rest, 0))
        left -= count
        factor = count / max(step.epochs, 1)
        schedule = step.schedule.model_copy(
            update={
                "warmup": step.schedule.warmup * factor,
                "milestones": tuple(m * factor for m in step.schedule.milestones),
            }
        )
        short.append(step.model_copy(update={"epochs": count, "schedule": schedule}))
    return tuple(short)


def held_out_accuracy(recipe: Recipe, settings: TrainingSettings, data: Path | None) -> float:
    """Train for a few epochs; the accuracy on held-out training images, 0..1.

    Parameters
    ----------
    recipe : Recipe
        Of the candidate; its steps are shortened in their proportions.
    settings : TrainingSettings
    data : Path or None
        Folder with the data set.

    Raises
    ------
    BitexpertError
        The data can't be read, or the training fails.
    """
    short = recipe.model_copy(update={"steps": _shortened(recipe.steps, settings.epochs)})
    with tempfile.TemporaryDirectory() as folder:
        return train(short, folder, data=data, progress=False, tuning=settings.held_out).accuracy
