"""Small recipes for tests: networks that learn something in seconds."""

from typing import Any

from bitexpert.models.recipe import Recipe

__all__ = ["small_recipe", "two_steps"]


def two_steps(single: int = 5, experts: int = 4, **settings: Any) -> list[dict[str, Any]]:
    """One expert, then all of them."""
    adam = {"optimizer": {"learning_rate": 0.01}, **settings}
    start = {"expand": True, "normalize_gates": True, "balance": 0.1}
    return [
        {"name": "one expert", "epochs": single, "experts": "first", **adam},
        {"name": "all experts", "epochs": experts, **start, **adam},
    ]


def small_recipe(*, steps: list[dict[str, Any]] | None = None, **training: Any) -> Recipe:
    """Digits on a network with two expert layers."""
    blocks = [
        {"width": 4, "tau": 2, "pool": 2},
        {"kind": "expert", "width": 8, "experts": 3, "pad_mode": "minus_one", "gate": "pre_sign"},
        {"kind": "expert", "width": 8, "experts": 2, "pad_mode": "minus_one", "gate": "sign", "pool": 2},
    ]
    return Recipe.model_validate(
        {
            "name": "small",
            "dataset": {"name": "digits", "held_out": 0.2},
            "network": {"name": "vgg", "config": {"blocks": blocks}},
            "training": {"threads": 1, **training},
            "steps": two_steps() if steps is None else steps,
        }
    )
