"""Optimizers and learning rates of a recipe's steps."""

from bisect import bisect_right
from collections.abc import Callable
from math import cos, pi
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from ..binary import BinaryWeights
from ..recipe import OptimizerConfig, ScheduleConfig

__all__ = ["learning_rate", "make_optimizer", "make_schedule"]

#: Of the peak, where the warm-up begins.
WARMUP_START = 0.01


def make_optimizer(task: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer of a step, with the values behind binary weights in a group of their own.

    Parameters
    ----------
    task : nn.Module
        Network and criterion.
    config : OptimizerConfig
    """
    binary = {id(layer.weight) for layer in task.modules() if isinstance(layer, BinaryWeights)}
    decay = config.weight_decay if config.binary_weight_decay is None else config.binary_weight_decay
    groups = [
        {"params": [p for p in task.parameters() if id(p) in binary], "weight_decay": decay},
        {"params": [p for p in task.parameters() if id(p) not in binary], "weight_decay": config.weight_decay},
    ]
    settings: dict[str, Any] = {"lr": config.learning_rate}
    if config.name == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum, **settings)
    return (torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam)(groups, **settings)


def learning_rate(config: ScheduleConfig, epochs: float) -> Callable[[float], float]:
    """The learning rate as a share of its peak, as a function of the epochs done.

    Parameters
    ----------
    config : ScheduleConfig
    epochs : float
        Length of the step.
    """

    def share(done: float) -> float:
        if done < config.warmup:
            return WARMUP_START + (1 - WARMUP_START) * done / config.warmup
        if config.kind == "cosine":
            whole = epochs - config.warmup
            return 0.5 * (1 + cos(pi * min((done - config.warmup) / whole, 1))) if whole > 0 else 0.0
        if config.kind == "multistep":
            return config.factor ** bisect_right(config.milestones, done)
        return 1.0

    return share


def make_schedule(optimizer: Any, config: ScheduleConfig, epochs: int, batches: int) -> LambdaLR:
    """The schedule of a step, to be stepped after each of the epoch's ``batches``."""
    share = learning_rate(config, epochs)
    return LambdaLR(optimizer, lambda number: share(number / batches))
