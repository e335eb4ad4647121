"""Draws the pictures of a report, as SVG inside an <img>: no script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..._numeric import Floats
from .metrics import auc, auc_interval, calibration, ks, ks_interval, roc, thinned, with_interval

__all__ = ["bars", "calibration_chart", "distribution_chart", "ks_chart", "roc_chart"]

INK, MAIN, EVENT, GRID = "#2f3a45", "#0b6e4f", "#c0392b", "#e4e8ec"
OTHERS = ("#e0803b", "#5b7db1", "#9aa5b1", "#8e6c8a")
_STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "bluetusk",
}


def _figure(width: float = 5.2, height: float = 4.2) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots()


def _image(figure: Figure, alt: str) -> str:
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return f'<img alt="{alt}" src="data:image/svg+xml;base64,{base64.b64encode(out.getvalue()).decode()}">'


def roc_chart(y: NDArray[np.int64], models: Mapping[str, Floats]) -> str:
    """Draw ROC curves, the first model's on top."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure()
        for k, (name, score) in reversed(list(enumerate(models.items()))):
            false, true, _ = roc(y, score)
            color, width = (MAIN, 2.2) if k == 0 else (OTHERS[(k - 1) % len(OTHERS)], 1.2)
            label = f"{name}: {with_interval(auc(y, score), auc_interval(y, score))}"
            axes.plot(*thinned(false, true), color=color, lw=width, label=label)
        axes.plot([0, 1], [0, 1], color=INK, lw=0.7, ls=":")
        axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
        axes.set(xlabel="share of the good refused", ylabel="share of the events found")
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], labels[::-1], loc="lower right", frameon=False, title="AUC (95 %)", alignment="left")
        return _image(figure, "ROC curves")


def ks_chart(y: NDArray[np.int64], score: Floats) -> str:
    """Draw the two cumulative distributions of a score and where they are farthest apart."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure()
        false, true, at = roc(y, score)
        # from the lowest score up: rows at or below a threshold
        x, good, bad = at[1:][::-1], (1 - false[:-1])[::-1], (1 - true[:-1])[::-1]
        axes.plot(*thinned(x, good), color=MAIN, lw=1.8, label="no event")
        axes.plot(*thinned(x, bad), color=EVENT, lw=1.8, label="event")
        k = int(np.argmax(np.abs(good - bad)))
        axes.plot([x[k], x[k]], [bad[k], good[k]], color=INK, lw=1.2, ls=(0, (3, 2)))
        axes.annotate(
            f"KS {with_interval(ks(y, score), ks_interval(y, score))}",
            (x[k], (good[k] + bad[k]) / 2),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
        )
        axes.set(ylim=(0, 1.005), xlabel="score", ylabel="share of rows at or below")
        axes.legend(loc="lower right", frameon=False)
        return _image(figure, "cumulative distributions of the score")


def distribution_chart(y: NDArray[np.int64], score: Floats, reference: Floats | None) -> str:
    """Draw how the score is distributed by label, and at training."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure()
        every = score if reference is None else np.concatenate([score, reference])
        edges = np.linspace(every.min(), every.max(), 41)
        if not (np.diff(edges) > 0).all():  # one value, or values so close together that no bar has a width
            edges = np.linspace(edges[0] - 0.5, edges[0] + 0.5, 41)
        for label, color, name in ((0, MAIN, "no event"), (1, EVENT, "event")):
            axes.hist(score[y == label], edges, density=True, color=color, alpha=0.4, label=name)
        if reference is not None:
            axes.hist(reference, edges, density=True, histtype="step", color=INK, lw=1.1, label="all, at training")
            axes.hist(
                score, edges, density=True, histtype="step", color=INK, lw=1.1, ls=(0, (2, 1.5)), label="all, now"
            )
        axes.set(xlabel="score", ylabel="density", xlim=(edges[0], edges[-1]))
        axes.legend(loc="upper right", frameon=False)
        return _image(figure, "distribution of the score")


def calibration_chart(y: NDArray[np.int64], probability: Floats) -> str:
    """Draw observed shares of events over predicted ones."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure()
        predicted, observed, rows = calibration(y, probability)
        spread = 1.96 * np.sqrt(observed * (1 - observed) / rows)
        top = float(max(predicted.max(), (observed + spread).max())) * 1.05 or 1.0
        axes.plot([0, top], [0, top], color=INK, lw=0.7, ls=":", label="as predicted")
        axes.errorbar(
            predicted, observed, yerr=spread, fmt="o-", color=MAIN, ms=4.5, lw=1.4, capsize=2, label="tenths, with 95 %"
        )
        axes.set(xlim=(0, top), ylim=(0, top), xlabel="predicted probability", ylabel="observed share of events")
        axes.set_aspect("equal")
        axes.legend(loc="upper left", frameon=False)
        return _image(figure, "calibration")


def bars(names: Sequence[str], parties: Sequence[str], values: Sequence[float], xlabel: str, alt: str) -> str:
    """Draw horizontal bars, one colour for each party, the first on top."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(7.4, 0.9 + 0.24 * len(names))
        colors = dict(zip(sorted(set(parties)), (MAIN, *OTHERS) * len(names), strict=False))
        for party, color in colors.items():
            rows = [k for k, each in enumerate(parties) if each == party]
            axes.barh(rows, [values[k] for k in rows], color=color, height=0.68, label=party)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.axvline(0.0, color=INK, lw=0.8)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(xlabel)
        axes.legend(loc="best" if min(values) < 0 else "lower right", frameon=False)
        return _image(figure, alt)
