"""Pictures of a run: its curves, and which experts the classes use."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ..files import write_atomically
from .run_folder import Row

__all__ = ["draw_curves", "draw_experts"]


def _figure(width: float, height: float):
    # not pyplot: no state, no window system, and safe in any thread
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_curves(rows: Sequence[Row], path: Path) -> None:
    """Loss and held-out accuracy over the epochs of all steps.

    Parameters
    ----------
    rows : sequence of dict
        With ``step``, ``loss``, and ``accuracy`` (0..1, or None where it wasn't measured).
    path : Path
        The PNG.
    """
    figure = _figure(8, 3.2)
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, len(rows) + 1)
    left.plot(epochs, [row["loss"] for row in rows], color="tab:blue")
    left.set(xlabel="epoch", ylabel="training loss")
    known = [(e, 100 * row["accuracy"]) for e, row in zip(epochs, rows, strict=True) if row["accuracy"] is not None]
    right.plot(*zip(*known, strict=True) if known else ([], []), color="tab:green", marker=".")
    right.set(xlabel="epoch", ylabel="held-out accuracy, %")
    starts = [i for i, row in enumerate(rows) if not i or row["step"] != rows[i - 1]["step"]]
    for axis in (left, right):
        axis.grid(alpha=0.3)
        for i in starts:
            axis.axvline(i + 0.5, color="gray", linewidth=0.8, linestyle=":")
            # above the axes, where no curve runs
            place = {"transform": axis.get_xaxis_transform(), "rotation": 30, "fontsize": 7, "color": "gray"}
            axis.text(i + 0.5, 1.02, rows[i]["step"], va="bottom", ha="left", rotation_mode="anchor", **place)
    write_atomically(path, partial(figure.savefig, dpi=120))


def draw_experts(usage: dict[str, list[list[int]]], class_names: Sequence[str], path: Path) -> None:
    """Share of each class' images that each expert gets, one map a layer.

    Parameters
    ----------
    usage : dict
        Layer name -> counts ``[classes][N experts]``.
    class_names : sequence of str
    path : Path
        The PNG.
    """
    figure = _figure(1.2 + 2.4 * len(usage), 1.2 + 0.22 * len(class_names))
    axes = np.atleast_1d(figure.subplots(1, len(usage), sharey=True))
    image = None
    for axis, (name, counts) in zip(axes, usage.items(), strict=True):
        table = np.array(counts, dtype=float)
        share = table / np.maximum(table.sum(1, keepdims=True), 1)
        image = axis.imshow(100 * share, vmin=0, vmax=100, cmap="viridis", aspect="auto")
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("expert")
        axis.set_xticks(range(table.shape[1]))
        axis.set_yticks(range(len(class_names)), class_names)
    figure.colorbar(image, ax=list(axes), label="% of the class")
    write_atomically(path, partial(figure.savefig, dpi=120))
