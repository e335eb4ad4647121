"""Draws the picture of ``bluetusk demo credit``: ROC curves, joint, of the bank alone and pooled."""

from __future__ import annotations

from pathlib import Path

from ..tasks import MODELS
from ..vertical.evaluation.metrics import roc, with_interval
from .credit import Result

__all__ = ["save"]

_LOOK = {"guest_alone": ("bank alone", "#999999", "-"), "pooled": ("pooled plaintext", "#111111", ":")}
_TITLES = {training.name: training.title.capitalize() for training, _ in MODELS}


def save(path: Path, result: Result) -> None:
    """Draw the ROC curves to a file.

    Parameters
    ----------
    path : Path
        A .png, .svg or .pdf file.
    result : Result
        The demo's results.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(result.scores)
    figure, axes = plt.subplots(1, len(names), figsize=(5.2 * len(names), 5), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], names, strict=True):
        look = {"joint": ("joint: no row left its owner", "#0b6fb8", "-"), **_LOOK}
        for kind in ("guest_alone", "joint", "pooled"):
            label, colour, style = look[kind]
            false, true, _ = roc(result.labels, result.scores[name][kind])
            area = with_interval(result.summary[name][kind], result.summary[name][f"{kind}_interval"])
            axis.plot(false, true, style, color=colour, lw=2, label=f"{label}: AUC {area}")
        axis.plot([0, 1], [0, 1], color="#dddddd", lw=1, zorder=0)
        axis.set_title(_TITLES[name])
        axis.set_xlabel("good customers refused")
        axis.set_ylabel("defaults caught")
        axis.set_aspect("equal")
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        axis.legend(loc="lower right", frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{len(result.labels):,} customers held back, of {result.summary['intersection']:,} in common")
    figure.savefig(path, dpi=130)
    plt.close(figure)
