"""What is known of a trial, and how it is kept in the study."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...models.network import NetworkError
from ...models.networks import network_cost
from .space import Rejected, Scale, Space, solve
from .spec import SearchSpec

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial

__all__ = ["Candidate", "TrialRecord", "operations_target", "propose"]


@dataclass(frozen=True)
class Candidate:
    """A network that is worth its evaluation.

    Parameters
    ----------
    config : dict
        Of the space's network.
    scale : int or float
        The space's scale, asked for or solved for.
    bops : int
        Binary multiply-accumulates an image.
    """

    config: dict[str, Any]
    scale: Scale
    bops: int


@dataclass(frozen=True)
class TrialRecord:
    """What is known of a trial.

    Parameters
    ----------
    number : int
    state : {"complete", "rejected", "failed", "lost", "running"}
        Rejected: before its training, see ``reason``; lost: the search was stopped meanwhile.
    parameters : dict
        What was chosen, and the scale.
    figures : dict
        Objectives and the other figures that came with them.
    reason : str
        Why it was rejected or failed.
    seconds : float
    config : dict
        Of the network; empty if rejected before its evaluation.
    same_as : int, optional
        The trial with the same network, whose figures it has taken.
    """

    number: int
    state: str
    parameters: dict[str, Any]
    figures: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    config: dict[str, Any] = field(default_factory=dict)
    same_as: int | None = None

    @classmethod
    def of(cls, trial: FrozenTrial, scale_name: str) -> TrialRecord:
        """Read a trial of the study."""
        told = trial.user_attrs
        scale = {scale_name: told["scale"]} if "scale" in told else {}
        state = "running" if trial.state.name == "RUNNING" else told.get("state", "lost")
        if trial.state.name == "FAIL" and state != "failed":  # put away when the search went on
            state = "lost"
        return cls(
            trial.number,
            state,
            {**trial.params, **scale},
            told.get("figures", {}),
            told.get("reason", ""),
            told.get("seconds", 0.0),
            told.get("config", {}),
            told.get("same_as"),
        )


def operations_target(spec: SearchSpec) -> int | None:
    """Binary operations that all candidates are to have, or None."""
    if spec.operations is None:
        return None
    if spec.operations.target == "recipe":
        return network_cost(spec.recipe.network.name, spec.recipe.network.config).bops
    return spec.operations.target


def propose(trial: Trial, spec: SearchSpec, target: int | None) -> Candidate:
    """Let the sampler choose a network, and bring it to the operations that are asked for.

    Parameters
    ----------
    trial : Trial
        Just asked for.
    spec : SearchSpec
    target : int or None
        Binary operations.

    Raises
    ------
    Rejected
        The choices don't fit together, or no scale gives the operations.
    """
    space: Space = spec.space
    choice = space.ask(trial)

    def operations(scale: Scale) -> int:
        return network_cost(space.network, space.config(choice, scale, spec.recipe.network)).bops

    try:
        if target is not None and spec.operations is not None:
            scale = solve(space.scales(), operations, target, spec.operations.tolerance)
        else:
            scale = space.ask_scale(trial)
        bops = operations(scale)
    except NetworkError as error:
        raise Rejected(str(error)) from None
    return Candidate(space.config(choice, scale, spec.recipe.network), scale, bops)
