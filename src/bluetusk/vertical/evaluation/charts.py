"""Draws the charts of a report as SVG elements. All words stand outside, in the page, in the fonts of its reader.

In the drawings there are numbers at the axes only. So a chart is legible whatever language the report is in, whatever a
column is called, and whatever fonts the machine has that draws it or the one that shows it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..._numeric import Floats
from ..intervals import wilson
from .decisions import approval_curve, lift
from .metrics import calibration, roc, thinned
from .page import INK, Stroke

__all__ = [
    "BASELINE",
    "EVENT",
    "GOOD",
    "approval_chart",
    "calibration_chart",
    "distribution_chart",
    "ks_chart",
    "lift_chart",
    "roc_chart",
    "strokes",
]


GRID = "#e4e8ec"
GOOD, EVENT = Stroke("#0b6e4f"), Stroke("#c0392b", (5.0, 1.6))
_JOINT = (Stroke("#0b6e4f", width=1.9), Stroke("#d0661f", (5.0, 1.6)), Stroke("#8e4f86", (5.0, 1.4, 1.2, 1.4)))
BASELINE = Stroke("#5d6c80", (1.3, 1.3), 1.4)
_STYLE: dict[Any, Any] = {
    "font.size": 7.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "svg.fonttype": "none",  # numbers stay text
    "path.simplify": True,
}
_POINTS = 200


def strokes(models: int, baseline: int | None) -> list[Stroke]:
    """Return the strokes of the models' lines, in their order; one may be the baseline."""
    out, used = [], 0
    for k in range(models):
        if k == baseline:
            out.append(BASELINE)
        else:
            out.append(_JOINT[used % len(_JOINT)])
            used += 1
    return out


def _drawing(name: str, draw: Any) -> str:
    """Return what `draw` puts on axes as one element, whose ids no other drawing of a page has."""
    with mpl.rc_context(_STYLE | {"svg.hashsalt": f"bluetusk {name}"}):
        figure = Figure(figsize=(2.65, 1.8), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    box = re.search(r'viewBox="([\d. ]+)"', text)
    assert box is not None  # matplotlib writes one
    inner = text.partition("<svg")[2].partition(">")[2]
    used = set(re.findall(r"#([^\")]+)", inner))  # the other names ("figure_1") would be those of every drawing
    inner = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", inner)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box[1]}"'
    return f'{head} aria-hidden="true">{inner}'.strip()


def _line(axes: Any, x: Floats, y: Floats, stroke: Stroke) -> None:
    style: Any = (0, stroke.dash) if stroke.dash else "-"
    axes.plot(*thinned(x, y, _POINTS), color=stroke.color, lw=stroke.width, ls=style, dash_capstyle="butt")


def _drawn(axes: Any, curves: Mapping[str, tuple[Floats, Floats]], looks: list[Stroke]) -> None:
    """Draw curves, the first on top."""
    for (x, y), stroke in reversed(list(zip(curves.values(), looks, strict=True))):
        _line(axes, x, y, stroke)


def roc_chart(y: NDArray[np.int64], models: Mapping[str, Floats], looks: list[Stroke]) -> str:
    """Draw ROC curves."""

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=INK, lw=0.6, ls=":")
        _drawn(axes, {name: roc(y, score)[:2] for name, score in models.items()}, looks)
        axes.set(xlim=(0, 1), ylim=(0, 1.005))

    return _drawing("roc", draw)


def approval_chart(y: NDArray[np.int64], models: Mapping[str, Floats], looks: list[Stroke]) -> str:
    """Draw the share of events among the approved over the share of rows approved."""

    def draw(axes: Any) -> None:
        curves = {}
        for name, score in models.items():
            approved, rate = approval_curve(y, score)
            enough = approved >= min(0.05, approved[-1])  # the rate of a few rows jumps
            curves[name] = (100 * approved[enough], 100 * rate[enough])
        _drawn(axes, curves, looks)
        axes.set(xlim=(0, 100), ylim=(0, None))

    return _drawing("approval", draw)


def lift_chart(y: NDArray[np.int64], models: Mapping[str, Floats], looks: list[Stroke]) -> str:
    """Draw how many times as frequent events are among the riskiest rows, by tenths."""

    def draw(axes: Any) -> None:
        axes.axhline(1.0, color=INK, lw=0.6, ls=":")
        curves = {name: lift(y, score) for name, score in models.items()}
        _drawn(axes, {name: (100 * share, times) for name, (share, times) in curves.items()}, looks)
        axes.set(xlim=(0, 100), ylim=(0, None))

    return _drawing("lift", draw)


def ks_chart(y: NDArray[np.int64], score: Floats, name: str) -> str:
    """Draw the two cumulative distributions of a score and where they are farthest apart."""

    def draw(axes: Any) -> None:
        false, true, at = roc(y, score)
        # from the lowest score up: rows at or below a threshold
        x, good, bad = at[1:][::-1], (1 - false[:-1])[::-1], (1 - true[:-1])[::-1]
        _line(axes, x, good, GOOD)
        _line(axes, x, bad, EVENT)
        k = int(np.argmax(np.abs(good - bad)))
        axes.plot([x[k], x[k]], [bad[k], good[k]], color=INK, lw=1.1, ls=(0, (3, 2)))
        axes.set(ylim=(0, 1.005))

    return _drawing(f"ks {name}", draw)


def distribution_chart(y: NDArray[np.int64], score: Floats, reference: Floats | None, name: str) -> str:
    """Draw how the score is distributed by label, and at training."""

    def draw(axes: Any) -> None:
        every = score if reference is None else np.concatenate([score, reference])
        edges = np.linspace(every.min(), every.max(), 31)
        if not (np.diff(edges) > 0).all():  # one value, or values so close together that no bar has a width
            edges = np.linspace(edges[0] - 0.5, edges[0] + 0.5, 31)
        for label, color in ((0, GOOD.color), (1, EVENT.color)):
            axes.hist(score[y == label], edges, density=True, color=color, alpha=0.42)
        if reference is not None:
            axes.hist(reference, edges, density=True, histtype="step", color=INK, lw=0.9)
        axes.set(xlim=(edges[0], edges[-1]))

    return _drawing(f"distribution {name}", draw)


def calibration_chart(y: NDArray[np.int64], probability: Floats, baseline: Floats | None, name: str) -> str:
    """Draw observed shares of events over predicted ones, and the same of another model."""

    def draw(axes: Any) -> None:
        predicted, observed, rows = calibration(y, probability)
        pairs = zip(observed.tolist(), rows.tolist(), strict=True)
        low, high = np.array([wilson(share, n) for share, n in pairs]).T
        top = float(max(predicted.max(), high.max())) * 1.05 or 1.0
        axes.plot([0, top], [0, top], color=INK, lw=0.6)
        if baseline is not None:
            _line(axes, *calibration(y, baseline)[:2], BASELINE)
        bars = np.stack([observed - low, high - observed]).clip(0.0)  # at 0 and 1 an end may be rounded past it
        axes.errorbar(predicted, observed, yerr=bars, fmt="o-", color=GOOD.color, ms=2.8, lw=1.1, capsize=1.5)
        axes.set(xlim=(0, top), ylim=(0, top))

    return _drawing(f"calibration {name}", draw)
