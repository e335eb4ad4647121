"""Draws the demo's picture: ROC curves, and the gain of each bank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from ..vertical.evaluation.metrics import with_interval
from .evaluate import Comparison
from .runner import Outcome

__all__ = ["FORMATS", "save"]

FORMATS = ("pdf", "png", "svg")
_ALONE, _FEDERATED, _POOLED, _INK = "#9aa5b1", "#0b6e4f", "#e0803b", "#2f3a45"


def save(path: str | Path, comparison: Comparison, outcome: Outcome) -> None:
    """Draw the ROC curves of all models, and the AUC of each bank alone and federated.

    Parameters
    ----------
    path : str or Path
        The file; its suffix, one of :data:`FORMATS`, selects the format.
    comparison : Comparison
        The figures.
    outcome : Outcome
        The result of the run.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with mpl.rc_context(
        {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": _INK}
    ):
        figure = Figure(figsize=(11.0, max(5.0, 0.42 * len(comparison.names))), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.15))
        _curves(left, comparison)
        _gains(right, comparison, outcome)
        figure.suptitle(
            f"One model of {len(outcome.banks)} banks and {_customers(comparison, outcome)} customers, tested on "
            f"{sum(comparison.test)} others",
            color=_INK,
            fontsize=12,
        )
        figure.savefig(path)


def _customers(c: Comparison, outcome: Outcome) -> int:
    return sum(rows for name, rows in zip(c.names, c.train, strict=True) if name in outcome.banks)


def _curves(axes: mpl.axes.Axes, c: Comparison) -> None:
    """Draw true against false positives on all test customers."""
    for k, name in enumerate(c.names):
        false, true, _ = roc_curve(c.labels, c.curves[name])
        axes.plot(false, true, color=_ALONE, lw=0.9, alpha=0.8, label=None if k else _span(c.alone))
    looks: dict[str, dict[str, Any]] = {
        "federated": {"color": _FEDERATED, "lw": 2.6},
        "pooled": {"color": _POOLED, "lw": 1.3, "ls": (0, (3, 3))},
    }
    for name, title, area in (("federated", "federated", c.federated), ("pooled", "pooled plaintext", c.pooled)):
        false, true, _ = roc_curve(c.labels, c.curves[name])
        axes.plot(false, true, label=f"{title}: {with_interval(area, c.intervals[name])}", **looks[name])
    axes.plot([0, 1], [0, 1], color=_INK, lw=0.7, ls=":")
    axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal", xlabel="good customers refused", ylabel="defaults found")
    axes.set_title("ROC on everybody's test customers", color=_INK, fontsize=10.5)
    axes.legend(loc="lower right", frameon=False, title="AUC (95 %)", alignment="left")


def _span(values: list[float]) -> str:
    return f"each bank alone: {min(values):.4f} to {max(values):.4f}"


def _gains(axes: mpl.axes.Axes, c: Comparison, outcome: Outcome) -> None:
    """Draw each bank's AUC alone and the gain by the federation."""
    order = sorted(range(len(c.names)), key=lambda i: c.gain[i])
    rows = range(len(order))
    alone = [c.alone[i] for i in order]
    axes.axvline(c.federated, color=_FEDERATED, lw=2.0)
    for row, i in zip(rows, order, strict=True):
        axes.annotate(
            "",
            (c.federated, row),
            (c.alone[i], row),
            arrowprops={"arrowstyle": "-|>", "color": _FEDERATED, "lw": 1.6, "shrinkA": 4, "shrinkB": 1},
        )
        axes.annotate(
            f"{c.gain[i]:+.3f}",
            (c.federated, row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=_FEDERATED,
        )
    axes.scatter(alone, rows, s=46, color=_ALONE, edgecolor=_INK, lw=0.6, zorder=3)
    names = [f"{c.names[i]}{' (lost)' if c.names[i] in outcome.lost else ''}\n{c.train[i]} rows" for i in order]
    axes.set_yticks(list(rows), names, fontsize=8)
    width = max(c.federated - min(alone), 0.005)
    axes.set_xlim(min(*alone, c.federated) - 0.12 * width, max(*alone, c.federated) + 0.2 * width)
    axes.set_xlabel("AUC on everybody's test customers")
    axes.set_title("Gain of each bank: alone \N{RIGHTWARDS ARROW} federated", color=_INK, fontsize=10.5)
    axes.grid(axis="x", color="#e4e8ec", lw=0.7)
    axes.set_axisbelow(True)
