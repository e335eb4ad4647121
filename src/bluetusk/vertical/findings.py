"""Warns the party with the labels about its data and its model, as :class:`~bluetusk.DataWarning`.

That party computes every warning from what it already holds and sends nothing: for the other party, each warning would
be a statistic of the labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._numeric import Floats, Ints
from ..errors import DataWarning
from .intervals import auc_bounds, counts_of, delong, gain_bounds

__all__ = ["few_events", "separating", "separating_bins", "tell", "useless"]


LEAST_EVENTS = 20
"""Rows of the rarer label below which a model of several columns mostly fits noise."""
_TELLING = 10  # least rows of either label for which an interval around one half is meaningful
_SEPARATES = 0.99


def tell(findings: Iterable[str]) -> None:
    """Warn of each finding, at the line that called a method that is :func:`~.protocol.refusal.telling`."""
    for finding in findings:
        warnings.warn(finding, DataWarning, stacklevel=4)


def few_events(labels: NDArray[Any], names: Sequence[Any] = (0, 1)) -> list[str]:
    """Return a finding if one label is rarer than a model needs.

    Examples
    --------
    >>> few_events(np.array([1, 0, 0, 1] * 10))
    []
    >>> few_events(np.array([1, 0, 0]))
    ['y holds 1 row of label 1: below 20 a model mostly fits noise; take more rows, or fewer columns']
    """
    ones = int(labels.sum())
    rarer, count = (names[1], ones) if 2 * ones <= len(labels) else (names[0], len(labels) - ones)
    if count >= LEAST_EVENTS:
        return []
    rows = "1 row" if count == 1 else f"{count} rows"
    return [
        f"y holds {rows} of label {rarer!r}: below {LEAST_EVENTS} a model mostly fits noise; take more rows, "
        "or fewer columns"
    ]


def separating(names: Sequence[str], columns: Sequence[Floats], labels: NDArray[Any]) -> list[str]:
    """Return findings of columns that alone order the labels almost perfectly, either way; missing values come first.

    Examples
    --------
    >>> y = np.array([0, 1, 0, 1, 0, 1])
    >>> found = separating(["age", "closed"], [np.arange(6.0), y * 2.0], y)
    >>> found[0][:70]
    "column 'closed' alone separates the labels (AUC 1.000): if it is known"
    """
    found = []
    for name, values in zip(names, columns, strict=True):
        missing = np.isnan(values)
        filled = np.where(missing, values[~missing].min(initial=0.0) - 1.0, values)
        found += _separated(f"column {name!r}", delong(*counts_of(labels, filled)[1:])[0])
    return found


def separating_bins(columns: Iterable[tuple[str, Ints, Ints]]) -> list[str]:
    """Return findings of columns whose bins alone separate the labels; of each: name, rows and events of its bins.

    Examples
    --------
    >>> separating_bins([("column 'a'", np.array([9, 9]), np.array([9, 0]))])[0][:50]
    "column 'a' alone separates the labels (AUC 1.000):"
    """
    found = []
    for name, rows, events in columns:
        order = np.argsort(events / np.maximum(rows, 1), kind="stable")
        ones, zeros = events[order], (rows - events)[order]
        if ones.sum() and zeros.sum():
            found += _separated(name, delong(zeros, ones)[0])
    return found


def _separated(column: str, area: float) -> list[str]:
    if max(area, 1.0 - area) < _SEPARATES:
        return []
    return [
        f"{column} alone separates the labels (AUC {area:.3f}): if it is known only after the event, or is made from "
        "it, leave it out"
    ]


def useless(labels: NDArray[np.int64], joint: Floats, alone: Floats | None) -> list[str]:
    """Return findings if, on rows held back, a model is no better than chance, or worse than the guest's columns alone.

    Both at 95 %: by the intervals of :func:`~bluetusk.vertical.evaluation.auc_interval` and of
    :func:`~bluetusk.vertical.evaluation.auc_gain`.

    Examples
    --------
    >>> y = np.arange(40) % 2
    >>> useless(y, y - 0.5, None)
    []
    >>> len(useless(y, 0.5 - y, y - 0.5))
    2
    """
    if not 0 < labels.sum() < len(labels):
        return []
    found, counts = list[str](), counts_of(labels, joint)[1:]
    area, (low, high) = delong(*counts)[0], auc_bounds(*counts, 0.95)
    if high < 0.5:
        found.append(
            f"the joint model orders rows that it was not trained on worse than chance (AUC {area:.3f}, {low:.3f} to "
            f"{high:.3f}, on {len(labels)} rows held back): do not use it; look for a column whose meaning differs "
            "between the rows"
        )
    elif low <= 0.5 and min(labels.sum(), len(labels) - labels.sum()) >= _TELLING:
        found.append(
            f"the joint model cannot be distinguished from chance on rows not used in training (AUC {area:.3f}, "
            f"{low:.3f} to {high:.3f}, on {len(labels)} rows held back): its columns carry little information about y"
        )
    if alone is not None:
        other = delong(*counts_of(labels, alone)[1:])[0]
        if gain_bounds(labels, joint, alone, 0.95)[1].high < 0.0:
            found.append(
                f"the joint model (AUC {area:.3f}) is worse than this party's columns alone (AUC {other:.3f}) on "
                f"{len(labels)} rows held back: the other party's columns do not help, or its rows are not aligned"
            )
    return found
