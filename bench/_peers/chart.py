"""The table as a picture: one panel per operation, one bar per library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .rows import OURS, RIVALS, show

BLUE, GREY, RED = "#1f5fa8", "#b9c0c8", "#c0392b"
COLUMNS = 3
LEFT, RIGHT = 3.0, 6.0  # room before the fastest bar and after the slowest, as factors

Bar = tuple[str, float]


def draw(report: Mapping[str, Any], path: str) -> None:
    """Write a picture (PNG, SVG or PDF) of the rows that compare libraries, and of our own ratios.

    Lengths are logarithmic, because the libraries lie a factor of a thousand apart, on one scale for all panels; each
    bar says its microseconds.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = [
        (f"{row['operation']}, per {row['unit']}", found)
        for row in report["rows"]
        if len(found := bars(row, report)) > 1
    ]
    ours = [row for row in report["rows"] if row["best_peer"] in RIVALS]
    if not panels and not ours:
        raise SystemExit("--plot: nothing was measured that compares libraries; leave out --only or --peer")
    decades = max((math.log10(max(v for _, v in found) / min(v for _, v in found)) for _, found in panels), default=0.0)
    span = LEFT * RIGHT * 10**decades
    most = max([len(found) for _, found in panels] + [len(ours)])
    lines = math.ceil((len(panels) + bool(ours)) / COLUMNS)
    figure, axes = plt.subplots(
        lines, COLUMNS, figsize=(5.2 * COLUMNS, (0.25 * most + 0.6) * lines + 0.9), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_visible(False)
    for axis, (title, found) in zip(axes.flat, panels, strict=False):
        _panel(axis, title, found, most, span)
    if ours:
        _ratios(axes.flat[len(panels)], ours, most)
    about = report["machine"]
    figure.suptitle(
        f"Microseconds, {report['bits']}-bit key, one thread, median: shorter is better, logarithmic\n"
        f"{about['cpu']}, {', '.join(about['flags'])}",
        fontsize=12,
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def bars(row: Mapping[str, Any], report: Mapping[str, Any]) -> list[Bar]:
    """The bars of a row's panel, the fastest first; with it what our own process does beside it under another name."""
    if row["best_peer"] in RIVALS or row["at_once"] or row["compared_with"]:
        return []
    found = [(name, f["median_us"]) for name, f in row["figures"].items()]
    found += [
        (f"{OURS}, key owner", other["figures"][OURS]["median_us"])
        for other in report["rows"]
        if other["compared_with"] == row["key"]
    ]
    return sorted(found, key=lambda bar: bar[1])


def _frame(axis: Any, title: str, names: Sequence[str], most: int) -> None:
    axis.set_visible(True)
    axis.set_title(title, fontsize=9, loc="left")
    axis.set_ylim(most - 0.4, -0.6)  # bars of one thickness in all panels
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(axis="y", labelsize=8, length=0)
    axis.set_xticks([])
    axis.minorticks_off()
    for side in ("top", "right", "bottom", "left"):
        axis.spines[side].set_visible(False)
    for label in axis.get_yticklabels():
        label.set_fontweight("bold" if label.get_text().startswith(OURS) else "normal")


def _panel(axis: Any, title: str, found: Sequence[Bar], most: int, span: float) -> None:
    low = found[0][1] / LEFT
    colours = [BLUE if name.startswith(OURS) else GREY for name, _ in found]
    axis.barh(range(len(found)), [v - low for _, v in found], left=low, color=colours, height=0.72)
    axis.set_xscale("log")
    axis.set_xlim(low, low * span)
    for index, (_, value) in enumerate(found):
        axis.text(value * 1.08, index, show(value), va="center", fontsize=8)
    _frame(axis, title, [name for name, _ in found], most)


def _ratios(axis: Any, rows: Sequence[Mapping[str, Any]], most: int) -> None:
    """How many times as fast as gmpy2 or one thread, with a mark where the target is."""
    values = [row["ratio_best"][row["best_peer"]] for row in rows]
    axis.barh(range(len(rows)), values, color=BLUE, height=0.72)
    axis.set_xlim(0, 1.35 * max(values))
    for index, (row, value) in enumerate(zip(rows, values, strict=True)):
        least = row["least"][row["best_peer"]]
        axis.text(max(value, least) + 0.06, index, f"{value:.2f}x", va="center", fontsize=8)
        axis.plot([least, least], [index - 0.42, index + 0.42], color=RED, linewidth=2)
    names = [row["operation"].replace(", 1024-bit exponent", "").replace("-bit modulus", " bits") for row in rows]
    _frame(axis, "times as fast as gmpy2, as one thread (red: target)", names, most)
