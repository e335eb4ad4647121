"""How good a score is, how stable, and how it becomes points: AUC, KS, PSI, scorecards.

Everything here is computed by one party on what it holds; nothing is sent.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._columns import as_labels
from .binning import WoEBinning

__all__ = ["Scorecard", "auc", "calibration", "ks", "psi", "roc", "scorecard"]

Floats = NDArray[np.float64]


def _scores(score: ArrayLike, name: str = "score") -> Floats:
    values = np.asarray(score, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"{name} must have one axis and at least one value, not the shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds NaN or infinity: leave such rows out")
    return values


def roc(y: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return the curve of receiver operating characteristics, a point for each distinct score.

    Parameters
    ----------
    y : array_like of shape (n,)
        0 or 1.
    score : array_like of shape (n,)
        Higher where 1 is more likely.

    Returns
    -------
    false, true : ndarray of float64
        Shares of the rows with label 0, and 1, whose score is at least the threshold. Both begin at 0 and end at 1.
    thresholds : ndarray of float64
        Falling; the first is infinite.

    Raises
    ------
    ValueError
        If there is one label only, or a score is not finite.

    Examples
    --------
    >>> false, true, thresholds = roc([0, 1, 1, 0], [0.1, 0.9, 0.4, 0.4])
    >>> false, true, thresholds
    (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]), array([inf, 0.9, 0.4, 0.1]))
    """
    values = _scores(score)
    labels = as_labels(y, len(values))
    distinct, place = np.unique(-values, return_inverse=True)
    ones = np.cumsum(np.bincount(place, labels))
    zeros = np.cumsum(np.bincount(place, 1 - labels))
    return (
        np.append(0.0, zeros / zeros[-1]),
        np.append(0.0, ones / ones[-1]),
        np.append(np.inf, -distinct),
    )


def auc(y: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the ROC curve: how often a row with label 1 scores above one with label 0, ties half.

    Parameters
    ----------
    y, score : array_like of shape (n,)
        As for :func:`roc`.

    Returns
    -------
    float
        0.5 for chance, 1 for perfect order. The Gini coefficient is ``2 * auc - 1``.

    Raises
    ------
    ValueError
        As :func:`roc`.

    Examples
    --------
    >>> auc([0, 1, 1, 0], [0.1, 0.9, 0.4, 0.4])
    0.875
    """
    false, true, _ = roc(y, score)
    return float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2))


def ks(y: ArrayLike, score: ArrayLike) -> float:
    """Return the statistic of Kolmogorov and Smirnov: the largest distance between the scores' two distributions.

    Parameters
    ----------
    y, score : array_like of shape (n,)
        As for :func:`roc`.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    ValueError
        As :func:`roc`.

    Examples
    --------
    >>> ks([0, 1, 1, 0], [0.1, 0.9, 0.4, 0.4])
    0.5
    """
    false, true, _ = roc(y, score)
    return float(np.abs(true - false).max())


def psi(expected: ArrayLike, actual: ArrayLike, bins: int = 10) -> float:
    """Return the population stability index: how far scores have moved since a model was made.

    Parameters
    ----------
    expected : array_like
        Scores at training.
    actual : array_like
        Scores today.
    bins : int
        Number of bins, cut at quantiles of `expected`.

    Returns
    -------
    float
        The sum of (difference of the shares) times the logarithm of their ratio, half a row added to every count. Below
        0.1 is called stable, above 0.25 a shift that asks for a new model.

    Raises
    ------
    ValueError
        If a score is not finite or there is none.

    Examples
    --------
    >>> import numpy as np
    >>> before = np.arange(1000)
    >>> psi(before, before), round(psi(before, before + 200), 2)
    (0.0, 1.27)
    """
    old, new = _scores(expected, "expected"), _scores(actual, "actual")
    edges = np.unique(np.quantile(old, np.arange(1, bins) / bins))
    shares = []
    for values in (old, new):
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) + 0.5
        shares.append(counts / counts.sum())
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def calibration(y: ArrayLike, probability: ArrayLike, bins: int = 10) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Compare predicted probabilities with what came true, in bins of about equal size.

    Parameters
    ----------
    y : array_like of shape (n,)
        0 or 1.
    probability : array_like of shape (n,)
        Predicted.
    bins : int
        Number of bins, cut at quantiles.

    Returns
    -------
    predicted, observed : ndarray of float64
        Mean prediction and share of ones of each bin.
    rows : ndarray of int64
        Rows of each bin.

    Raises
    ------
    ValueError
        If a probability is not finite, or there is one label only.

    Examples
    --------
    >>> calibration([0, 1, 0, 1], [0.1, 0.2, 0.7, 0.8], bins=2)
    (array([0.15, 0.75]), array([0.5, 0.5]), array([2, 2]))
    """
    values = _scores(probability, "probability")
    labels = as_labels(y, len(values))
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins))
    place = np.searchsorted(edges, values, side="right")
    k = len(edges) + 1
    rows = np.bincount(place, minlength=k)
    sums, events = np.bincount(place, values, k), np.bincount(place, labels, k)
    used = rows > 0
    return sums[used] / rows[used], events[used] / rows[used], rows[used].astype(np.int64)


@dataclass(frozen=True, eq=False)
class Scorecard:
    """One party's half of a scorecard: points for each of its bins. The parties' points add up to the score.

    Attributes
    ----------
    base : float
        Points that every customer gets from this party.
    columns : list of str
        Columns that count.
    bins : list of list of str
        Each column's bins, in words.
    points : list of ndarray of float64
        Points of each bin.
    binning : WoEBinning
        Which bin a value falls into.

    Examples
    --------
    >>> bins = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
    >>> card = scorecard(bins, [1.0], 0.0)
    >>> card.columns, card.points[0].round(1)
    (['x0'], array([ 46.4, -46.4]))
    """

    base: float
    columns: list[str]
    bins: list[list[str]]
    points: list[Floats]
    binning: WoEBinning

    def score(self, X: Any) -> Floats:
        """Return this party's part of each row's score.

        Parameters
        ----------
        X : array_like or DataFrame
            As for :meth:`WoEBinning.transform`.

        Returns
        -------
        ndarray of float64, shape (n,)
            `base` plus the points of the row's bins; 0 points for a value that training has not seen.

        Examples
        --------
        >>> bins = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
        >>> scorecard(bins, [1.0], 0.0).score([[1.0], [4.0], [2.5]]).round(1)
        array([533.6, 440.7, 533.6])
        """
        codes = self.binning.codes(X, self.columns)
        total = np.full(len(codes), self.base)
        for j, points in enumerate(self.points):
            total += np.append(points, 0.0)[codes[:, j]]
        return total

    def table(self) -> list[dict[str, Any]]:
        """Return one row for each bin, for a report; before them the base, where this party has it.

        Returns
        -------
        list of dict
            With the keys party, column, bin, points.

        Examples
        --------
        >>> bins = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
        >>> [row["bin"] for row in scorecard(bins, [1.0]).table()]
        ['(-inf, 3)', '[3, inf)']
        """
        first = [{"party": self.binning.role, "column": "base", "bin": "every customer", "points": self.base}]
        return first * (self.base != 0) + [
            {"party": self.binning.role, "column": name, "bin": text, "points": float(value)}
            for name, texts, points in zip(self.columns, self.bins, self.points, strict=True)
            for text, value in zip(texts, points, strict=True)
        ]


def scorecard(
    binning: WoEBinning,
    coefficients: Sequence[float] | Floats,
    intercept: float | None = None,
    *,
    columns: Sequence[str] | None = None,
    points_to_double: float = 20.0,
    base_score: float = 600.0,
    base_odds: float = 50.0,
) -> Scorecard:
    """Turn one party's coefficients of a logistic regression on weights of evidence into points.

    Parameters
    ----------
    binning : WoEBinning
        This party's bins.
    coefficients : sequence of float
        One for each of `columns`: the coefficient of the column's weight of evidence in the log-odds of the event.
    intercept : float, optional
        At the party that has it (the guest); None at the others, so that the base counts once.
    columns : sequence of str, optional
        The model's columns; by default all of `binning`.
    points_to_double : float
        Points that double the odds of no event.
    base_score : float
        The score at odds of `base_odds` to 1 against the event.
    base_odds : float
        See `base_score`.

    Returns
    -------
    Scorecard
        A higher score is a better customer. With log-odds z of the event the parties' scores add up to
        ``base_score - factor * (z + ln(base_odds))``, factor = points_to_double / ln 2.

    Raises
    ------
    ValueError
        If there are more or fewer coefficients than columns, or a parameter is not positive.

    References
    ----------
    N. Siddiqi, Credit Risk Scorecards, 2006, chapter 6.

    Examples
    --------
    >>> bins = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
    >>> card = scorecard(bins, [0.0], -3.912023)  # odds of 50 to 1
    >>> round(card.base, 2)
    600.0
    """
    if not (points_to_double > 0 and base_odds > 0 and math.isfinite(base_score)):
        raise ValueError("points_to_double and base_odds must be positive, base_score finite")
    names = list(binning.columns_) if columns is None else list(columns)
    weights = np.asarray(coefficients, dtype=np.float64)
    if weights.shape != (len(names),):
        raise ValueError(f"coefficients has the shape {weights.shape}, there are {len(names)} columns")
    by_name = {each.name: each for each in binning.bins_}
    for name in names:
        if name not in by_name:
            raise ValueError(f"columns names {name!r}, which was not fitted")
    factor = points_to_double / math.log(2.0)
    base = 0.0 if intercept is None else base_score - factor * (float(intercept) + math.log(base_odds))
    chosen = [by_name[name] for name in names]
    points = [-factor * w * each.woe for w, each in zip(weights.tolist(), chosen, strict=True)]
    return Scorecard(base, names, [each.labels() for each in chosen], points, binning)


def thinned(x: Floats, y: Floats, points: int = 300) -> tuple[Floats, Floats]:
    """Return a curve with at most so many points, its ends among them: enough for a picture."""
    if len(x) <= points:
        return x, y
    keep = np.unique(np.linspace(0, len(x) - 1, points).round().astype(int))
    return x[keep], y[keep]


def rank_table(y: ArrayLike, score: ArrayLike, bins: int = 10) -> list[dict[str, float]]:
    """Return events by tenths of the score, the riskiest first: what a cut-off would refuse and catch."""
    values = _scores(score)
    labels = as_labels(y, len(values))
    order = np.argsort(-values, kind="stable")
    ends = np.linspace(0, len(values), bins + 1).round().astype(int)
    caught = 0
    out = []
    for lo, hi in itertools.pairwise(ends.tolist()):
        part = labels[order[lo:hi]]
        caught += int(part.sum())
        out.append(
            {
                "rows": float(hi - lo),
                "events": float(part.sum()),
                "rate": float(part.mean()) if hi > lo else 0.0,
                "caught": caught / float(labels.sum()),
                "lowest": float(values[order[hi - 1]]) if hi > lo else 0.0,
            }
        )
    return out
