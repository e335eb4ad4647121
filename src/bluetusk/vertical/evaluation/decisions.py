"""Evaluates decisions: cut-offs and what they approve, lift, the swap set of two scores, reasons of refusals.

One party computes everything here from its own data; nothing is sent. A row with a low score is approved: label 1 is
the event (a default), and a score is higher where it is more likely.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..._numeric import Bools, Floats, Ints, as_array, as_int
from .. import intervals as _intervals
from ..tables.columns import as_labels, as_reals, as_scores, column_names
from .metrics import rank_table

__all__ = ["approval_curve", "cutoffs", "lift", "reasons", "swap_set"]

_SHARES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)


def _ordered(y: ArrayLike, score: ArrayLike, name: str = "score") -> tuple[Ints, Floats, Floats, Ints, Ints]:
    """Return labels, scores, the distinct scores, and the rows and events at or below each of them."""
    values = as_scores(score, name)
    labels = as_labels(as_array(y, "y"), len(values), "scores")
    distinct, zeros, ones = _intervals.counts_of(labels, values)
    return labels, values, distinct, np.cumsum(zeros + ones), np.cumsum(ones)


def _share(share: Any, name: str) -> float:
    if isinstance(share, bool | np.bool_) or not isinstance(share, int | float | np.floating | np.integer):
        raise TypeError(f"{name} must be a number between 0 and 1, such as 0.8, not {type(share).__name__}")
    if not 0.0 < share < 1.0:
        raise ValueError(f"{name} must be between 0 and 1, such as 0.8, not {float(share):g}")
    return float(share)


def _nearest(rows: Ints, share: float) -> int:
    """Return the distinct score up to which to approve so that the share is nearest: equal scores stay together."""
    return int(np.abs(rows - share * rows[-1]).argmin())


def cutoffs(y: ArrayLike, score: ArrayLike, approve: Sequence[float] = _SHARES) -> list[dict[str, Any]]:
    """Return what cut-offs approve and refuse, and with which events.

    Parameters
    ----------
    y, score : array_like of shape (n,)
        As for :func:`~.metrics.roc`.
    approve : sequence of float
        Shares of rows to approve, between 0 and 1. Each is met as nearly as equal scores allow, since no cut-off
        separates them; shares that lead to the same cut-off give one entry.

    Returns
    -------
    list of dict
        By rising share, with the keys `cutoff` (rows up to it are approved), `approved` (share of rows), `rate` (events
        among the approved), `rate_refused` (None if no row is refused), and the confusion matrix: `good_approved`,
        `bad_approved`, `good_refused`, `bad_refused`, numbers of rows.

    Raises
    ------
    ValueError
        As for :func:`~.metrics.roc`, and if a share is not between 0 and 1, or there is none.
    TypeError
        If a share is not a number.

    Examples
    --------
    >>> (found,) = cutoffs([0, 1, 0, 1], [0.1, 0.2, 0.7, 0.8], [0.5])
    >>> found["cutoff"], found["rate"], found["bad_refused"]
    (0.2, 0.5, 1)
    """
    wanted = sorted(_share(share, "approve") for share in approve)
    if not wanted:
        raise ValueError("approve is empty: give shares of rows to approve, such as [0.8]")
    _, _, distinct, rows, events = _ordered(y, score)
    n, bad = int(rows[-1]), int(events[-1])
    out = []
    for k in sorted({_nearest(rows, share) for share in wanted}):
        taken, hit = int(rows[k]), int(events[k])
        out.append(
            {
                "cutoff": float(distinct[k]),
                "approved": taken / n,
                "rate": hit / taken,
                "rate_refused": (bad - hit) / (n - taken) if taken < n else None,
                "good_approved": taken - hit,
                "bad_approved": hit,
                "good_refused": n - taken - (bad - hit),
                "bad_refused": bad - hit,
            }
        )
    return out


def approval_curve(y: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats]:
    """Return the share of rows that each cut-off approves, and the share of events among them.

    Parameters
    ----------
    y, score : array_like of shape (n,)
        As for :func:`~.metrics.roc`.

    Returns
    -------
    approved, rate : ndarray of float64
        One point for each distinct score, rising to 1.

    Raises
    ------
    ValueError
        As for :func:`~.metrics.roc`.

    Examples
    --------
    >>> approval_curve([0, 1, 0, 1], [0.1, 0.2, 0.7, 0.8])[1].round(3)
    array([0.   , 0.5  , 0.333, 0.5  ])
    """
    _, _, _, rows, events = _ordered(y, score)
    return rows / rows[-1], events / rows


def lift(y: ArrayLike, score: ArrayLike, bins: int = 10) -> tuple[Floats, Floats]:
    """Return how many times as frequent events are among the riskiest rows as among all.

    Parameters
    ----------
    y, score : array_like of shape (n,)
        As for :func:`~.metrics.roc`.
    bins : int
        Number of parts, at least 1, cut as near to equal sizes as equal scores allow.

    Returns
    -------
    share, lift : ndarray of float64
        For the riskiest part, the two riskiest, and so on: their share of the rows, rising to 1, and the rate of events
        in them over that of all rows, which ends at 1.

    Raises
    ------
    ValueError
        As for :func:`~.metrics.roc`, and if `bins` is less than 1.
    TypeError
        If `bins` is not an int.

    Examples
    --------
    >>> lift([0, 0, 0, 1], [0.1, 0.2, 0.7, 0.8], bins=2)
    (array([0.5, 1. ]), array([2., 1.]))
    """
    table = rank_table(y, score, as_int(bins, "bins", 1))
    rows, events = (np.cumsum([row[key] for row in table]) for key in ("rows", "events"))
    return rows / rows[-1], (events / events[-1]) / (rows / rows[-1])


def swap_set(y: ArrayLike, score: ArrayLike, baseline: ArrayLike, approve: float = 0.8) -> dict[str, dict[str, Any]]:
    """Return the rows that one score approves and the other refuses, with their events.

    Parameters
    ----------
    y, score : array_like of shape (n,)
        As for :func:`~.metrics.roc`.
    baseline : array_like of shape (n,)
        The score that decides today, of the same rows.
    approve : float
        The share of rows that each of the two approves, as nearly as equal scores allow.

    Returns
    -------
    dict of str to dict
        `in`: approved by `score` alone; `out`: by `baseline` alone; `both` and `neither`. Each with the keys `rows`,
        `events`, `rate` (None without rows) and `interval`, that of Wilson at 95 % (None without rows).

    Raises
    ------
    ValueError
        As for :func:`cutoffs`, and if the two scores differ in shape.
    TypeError
        If `approve` is not a number.

    Notes
    -----
    Where many scores are equal the two may approve different numbers of rows; then the difference of `in` and `out` is
    partly one of numbers, not of order.

    References
    ----------
    N. Siddiqi, Credit Risk Scorecards, 2006, chapter 6; E. B. Wilson, Journal of the American Statistical Association
    22 (1927) 209-212.

    Examples
    --------
    >>> found = swap_set([0, 1, 0, 1], [0.1, 0.7, 0.2, 0.8], [0.1, 0.2, 0.7, 0.8], approve=0.5)
    >>> found["in"]["events"], found["out"]["events"]
    (0, 1)
    """
    share = _share(approve, "approve")
    labels, values, distinct, rows, _ = _ordered(y, score)
    other = as_scores(baseline, "baseline")
    if other.shape != values.shape:
        raise ValueError(f"baseline must hold {len(values)} scores, one for each row of score, not {len(other)}")
    new = values <= distinct[_nearest(rows, share)]
    _, _, before, count, _ = _ordered(labels, other, "baseline")
    old = other <= before[_nearest(count, share)]
    groups = {"both": new & old, "in": new & ~old, "out": ~new & old, "neither": ~(new | old)}
    return {name: _counted(labels, chosen) for name, chosen in groups.items()}


def _counted(labels: Ints, chosen: Bools) -> dict[str, Any]:
    n, hit = int(chosen.sum()), int(labels[chosen].sum())
    rate = hit / n if n else None
    return {
        "rows": n,
        "events": hit,
        "rate": rate,
        "interval": None if rate is None else _intervals.wilson(rate, float(n)),
    }


def reasons(contributions: ArrayLike, names: Sequence[str], *, first: int = 3) -> list[dict[str, Any]]:
    """Return which columns raise the risk of rows most, and how often.

    Parameters
    ----------
    contributions : array_like of shape (n, k)
        What each column adds to the log-odds of each row, compared with the average row: as from
        :meth:`~bluetusk.vertical.GradientBoosting.contributions`. Give the rows that a cut-off refuses.
    names : sequence of str of length k
        The columns' names.
    first : int
        The number of reasons that a refused customer is given, at least 1.

    Returns
    -------
    list of dict
        One for each column that is ever among the first, the most frequent first, with the keys `column`, `main` (the
        share of rows in which it raises the risk most), `among` (in which it is among the `first`) and `mean` (its mean
        contribution over all rows). A column that does not raise the risk of a row is not a reason there.

    Raises
    ------
    ValueError
        If the shape is not (n, k) with n at least 1, or a contribution is not finite.
    TypeError
        If `first` is not an int, or a contribution is not a number.

    Examples
    --------
    >>> found = reasons([[0.2, -0.1], [0.1, 0.3]], ["age", "income"], first=1)
    >>> [(each["column"], each["main"]) for each in found]
    [('age', 0.5), ('income', 0.5)]
    """
    columns = column_names(names)
    parts = as_reals(contributions, "contributions")
    most = as_int(first, "first", 1)
    if parts.ndim != 2 or not len(parts) or parts.shape[1] != len(columns):
        raise ValueError(
            f"contributions must have one row or more and a column for each of the {len(columns)} names, not shape "
            f"{parts.shape}"
        )
    if not columns:
        return []
    order = np.argsort(-parts, axis=1, kind="stable")[:, :most]
    raises = np.take_along_axis(parts, order, axis=1) > 0.0
    out = []
    for j, name in enumerate(columns):
        hit = (order == j) & raises
        if hit.any():
            main, among = float(hit[:, 0].mean()), float(hit.any(axis=1).mean())
            out.append({"column": name, "main": main, "among": among, "mean": float(parts[:, j].mean())})
    return sorted(out, key=lambda each: (-each["main"], -each["among"]))
