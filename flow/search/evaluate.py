"""One trial: a candidate's recipe becomes its figures. Runs in this process, or in a worker on another machine."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from ...errors import BitexpertError
from ...hw.performance import simulate
from ...models.networks import build_network
from ...models.recipe import NetworkConfig, Recipe
from ...sim.cycles import fastest_machine
from ..board import load_board
from ..export import export
from ..fold import FoldingError, estimate, fold
from ..frames import random_frames
from ..lower import lower
from ..model_file import hardware_input, load_model
from ..streamline import streamline
from .space import Rejected
from .spec import HardwareSettings, TrainingSettings
from .training import held_out_accuracy

__all__ = ["evaluate", "hardware_figures"]

# Frames on which the passes are checked; a build takes more.
_FRAMES = 2
# Training uses the process's random generator and number of threads.
_one_at_a_time = threading.Lock()


def evaluate(job: dict[str, Any]) -> dict[str, Any]:
    """Evaluate a candidate.

    Parameters
    ----------
    job : dict
        Plain data: ``recipe``, ``training`` and ``hardware`` as in a search's specification (both may be None), and
        ``data``, the data set's folder on this machine or None.

    Returns
    -------
    dict
        ``state``: ``complete``, ``rejected`` (doesn't fit the board) or ``failed``; ``figures``: name -> number;
        ``reason``, unless complete; ``seconds``.
    """
    start = time.perf_counter()
    figures: dict[str, float] = {}
    state, reason = "complete", ""
    try:
        with _one_at_a_time:
            recipe = Recipe.model_validate(job["recipe"])
            if job["hardware"]:  # first: it is quick, and a candidate that doesn't fit needs no training
                figures |= hardware_figures(recipe.network, HardwareSettings.model_validate(job["hardware"]))
            if job["training"]:
                data = Path(job["data"]) if job["data"] else None
                settings = TrainingSettings.model_validate(job["training"])
                figures["accuracy"] = held_out_accuracy(recipe, settings, data)
    except Rejected as error:
        state, reason = "rejected", str(error)
    except BitexpertError as error:
        state, reason = "failed", str(error)
    except Exception as error:  # one candidate must not end a search of many hours
        state, reason = "failed", f"{type(error).__name__}: {error}"
    seconds = round(time.perf_counter() - start, 2)
    return {"state": state, "figures": figures, "reason": " ".join(reason.split()), "seconds": seconds}


def hardware_figures(network: NetworkConfig, settings: HardwareSettings) -> dict[str, float]:
    """Estimate what a network costs on a board, as ``bitexpert build`` does, from random weights.

    Parameters
    ----------
    network : NetworkConfig
    settings : HardwareSettings

    Returns
    -------
    dict
        ``luts`` (those used as memory among them), ``bram18``, ``fps``: frames/s by the cycle model.

    Raises
    ------
    Rejected
        It doesn't fit the board, doesn't reach ``target_fps``, or is beyond a limit.
    BitexpertError
        It can't become hardware.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_network(network.name, network.config).freeze()
    with tempfile.TemporaryDirectory() as folder:
        source = load_model(export(model, Path(folder) / "model.onnx"))
    streamlined, _ = streamline(source, random_frames(hardware_input(source), _FRAMES))
    board = load_board(settings.board)
    try:
        graph = fold(lower(streamlined), board, target_fps=settings.target_fps)
    except FoldingError as error:
        raise Rejected(str(error)) from None
    need = estimate(graph).rounded()
    figures = {
        "luts": need["lut"] + need["lutram"],
        "bram18": need["bram18"],
        "fps": board.clock_mhz * 1e6 / simulate(graph, machine=fastest_machine()).interval,
    }
    limits = settings.limits
    for name, most in (("luts", limits.luts), ("bram18", limits.bram18)):
        if most is not None and figures[name] > most:
            raise Rejected(f"{figures[name]:,} {name}, of which the limit is {most:,}")
    if limits.fps is not None and figures["fps"] < limits.fps:
        raise Rejected(f"{figures['fps']:,.0f} fps, of which there must be {limits.fps:,.0f}")
    return figures
