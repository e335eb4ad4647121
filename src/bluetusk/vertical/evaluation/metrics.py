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

from ..._numeric import as_array, as_int, as_numbers, index_text
from .. import intervals as _intervals
from ..binning.estimator import WoEBinning
from ..intervals import Interval
from ..tables.columns import as_labels
from .quantiles import bin_counts, gaps, quantile_edges

__all__ = [
    "Interval",
    "Scorecard",
    "auc",
    "auc_interval",
    "calibration",
    "ks",
    "ks_interval",
    "psi",
    "roc",
    "scorecard",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def as_scores(score: ArrayLike, name: str = "score") -> Floats:
    """Return scores as float64; refuse, by name, what is masked, no real number or not finite."""
    values = _reals(score, name, "leave such rows out")
    if values.ndim != 1 or not len(values):
        raise ValueError(f"{name} must have one axis and at least one value, not the shape {values.shape}")
    return values


def _reals(x: Any, name: str, remedy: str = "give finite numbers") -> Floats:
    """Return finite numbers as float64."""
    values = as_array(as_numbers(x, name), name, np.float64)
    if not np.isfinite(values).all():
        k = int(np.isfinite(values.reshape(-1)).argmin())
        raise ValueError(f"{index_text(name, values.shape, k)} is NaN or infinite: {remedy}")
    return values


def _real(x: Any, name: str, *, positive: bool = False) -> float:
    """Return one finite number."""
    if isinstance(x, bool | np.bool_):
        raise TypeError(f"{name} must be a number, not {type(x).__name__}")
    values = _reals(x, name)
    if values.shape != ():
        raise ValueError(f"{name} must be one number, not an array of shape {values.shape}")
    if positive and not values > 0:
        raise ValueError(f"{name} must be positive, not {float(values):g}")
    return float(values)


def _counts(y: ArrayLike, score: ArrayLike) -> tuple[Floats, Ints, Ints]:
    """Return the distinct scores, rising, and how many rows with label 0, and 1, have each."""
    values = as_scores(score)
    labels = as_labels(as_array(y, "y"), len(values))
    distinct, place = np.unique(values, return_inverse=True)
    rows = np.bincount(place)
    ones = np.bincount(place, labels).astype(np.int64)
    return distinct, rows - ones, ones


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
    distinct, zeros, ones = _counts(y, score)
    zeros, ones = (np.cumsum(counts[::-1]) for counts in (zeros, ones))
    return (
        np.append(0.0, zeros / zeros[-1]),
        np.append(0.0, ones / ones[-1]),
        np.append(np.inf, distinct[::-1]),
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


def _level(level: float) -> float:
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0.0 < level < 1.0:
        raise ValueError(f"level must be a number between 0 and 1, such as 0.95, not {level!r}")
    return float(level)


def auc_interval(y: ArrayLike, score: ArrayLike, level: float = 0.95) -> Interval:
    """Return a confidence interval of the area under the ROC curve.

    Parameters
    ----------
    y, score : array_like of shape (n,)
        As for :func:`roc`.
    level : float
        The probability with which the interval holds the area of the population.

    Returns
    -------
    Interval
        Its ends, `low` and `high`, within [0, 1].

    Raises
    ------
    ValueError
        As :func:`roc`, and if `level` is not between 0 and 1.

    Notes
    -----
    DeLong's variance, on the logit scale so that no end leaves [0, 1], with a quantile of Student's t for the degrees
    of freedom of Brunner and Munzel. The estimate fails where all rows are in perfect order, all scores are tied, or
    one row has the label: then Wilson's interval for as many rows as the rarer label has, which holds for every
    distribution, since the variance is at most ``area * (1 - area) / min(m, n)``. With few
    events and an area near 1 the interval is too narrow: at 20 events it holds 0.95 in nine cases of ten, 0.98 in four
    of five.

    References
    ----------
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44 (1988) 837-845; X. Sun, W. Xu, IEEE Signal
    Processing Letters 21 (2014) 1389-1393; E. Brunner, U. Munzel, Biometrical Journal 42 (2000) 17-25; M. S. Pepe, The
    Statistical Evaluation of Medical Tests, 2003, section 5.2 (logit); Z. W. Birnbaum, O. M. Klose, Annals of
    Mathematical Statistics 28 (1957) 933-945 (the bound of the variance).

    Examples
    --------
    >>> import numpy as np
    >>> y = np.arange(200) % 4 == 0
    >>> score = np.arange(200) % 7 + 2 * y
    >>> round(auc(y, score), 3), np.round(auc_interval(y, score), 3).tolist()
    (0.74, [0.656, 0.81])
    """
    share = _level(level)
    _, zeros, ones = _counts(y, score)
    return _intervals.auc_bounds(zeros, ones, share)


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


def ks_interval(y: ArrayLike, score: ArrayLike, level: float = 0.95) -> Interval:
    """Return a confidence interval of the statistic of Kolmogorov and Smirnov.

    Parameters
    ----------
    y, score : array_like of shape (n,)
        As for :func:`roc`.
    level : float
        The probability, at least, with which the interval holds the largest distance in the population.

    Returns
    -------
    Interval
        Its ends, `low` and `high`, within [0, 1]. Equal input gives an equal interval.

    Raises
    ------
    ValueError
        As :func:`roc`, and if `level` is not between 0 and 1.

    Notes
    -----
    A sample's largest distance is too large in the mean, by 0.19 with 20 events and a useless score, so neither the
    normal distribution nor the usual bootstrap gives a lower end that holds. The upper end needs no correction: the
    largest distance found is at least the one found at the threshold where the true distance is largest. It is that of
    Newcombe's interval (method 10) for the difference of two shares, at the threshold found. The lower end is the
    smallest true distance of which one as large as that found is seen with probability ``(1 - level) / 2``. That is
    simulated, 2000 draws from a fixed stream: the normal limit of both empirical distributions (Brownian bridges) at
    64 points of the concave hull of the ROC curve, shrunk to the distance in question by mixing the two.

    References
    ----------
    M. Raghavachari, Annals of Statistics 1 (1973) 67-73 (the limit); R. G. Newcombe, Statistics in Medicine 17 (1998)
    873-890.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.arange(200) % 4 == 0
    >>> score = np.arange(200) % 7 + 2 * y
    >>> round(ks(y, score), 3), np.round(ks_interval(y, score), 2).tolist()
    (0.287, [0.07, 0.36])
    """
    share = _level(level)
    _, zeros, ones = _counts(y, score)
    return _intervals.ks_bounds(zeros, ones, share)


def psi(expected: ArrayLike, actual: ArrayLike, bins: int = 10) -> float:
    """Return the population stability index: how far scores have moved since a model was made.

    Parameters
    ----------
    expected : array_like
        Scores at training.
    actual : array_like
        Scores today.
    bins : int
        Number of bins, at least 2, cut between values of `expected`, as near to its quantiles as equal values allow. An
        end bin of a single value ends there: what lies beyond is counted apart.

    Returns
    -------
    float
        The sum of (difference of the shares) times the logarithm of their ratio, half a row added to every count. Below
        0.1 is called stable, above 0.25 a shift that asks for a new model. Scores with the sign turned give the same.

    Raises
    ------
    TypeError
        If `bins` is not an int.
    ValueError
        If a score is not finite or there is none, or `bins` is less than 2.

    Examples
    --------
    >>> import numpy as np
    >>> before = np.arange(1000)
    >>> psi(before, before), round(psi(before, before + 200), 2)
    (0.0, 1.27)
    >>> round(psi(np.arange(1000) >= 950, np.arange(1000) >= 500), 2)
    1.32
    """
    old, new = as_scores(expected, "expected"), as_scores(actual, "actual")
    edges = quantile_edges(old, as_int(bins, "bins", 2))
    lowest, highest = old.min(), old.max()
    first, last = (edges[0], edges[-1]) if len(edges) else (np.inf, -np.inf)
    if (old[old < first] == lowest).all():
        edges = np.append(np.nextafter(lowest, -np.inf), edges)
    if (old[old > last] == highest).all():
        edges = np.append(edges, np.nextafter(highest, np.inf))
    counts = np.stack([bin_counts(edges, values) for values in (old, new)])
    counts = counts[:, counts.any(axis=0)] + 0.5
    shares = counts / counts.sum(axis=1, keepdims=True)
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def calibration(y: ArrayLike, probability: ArrayLike, bins: int = 10) -> tuple[Floats, Floats, Ints]:
    """Compare predicted probabilities with what came true, in bins of about equal size.

    Parameters
    ----------
    y : array_like of shape (n,)
        0 or 1.
    probability : array_like of shape (n,)
        Predicted, 0 to 1.
    bins : int
        Number of bins, at least 1, cut as near to quantiles as equal values allow.

    Returns
    -------
    predicted, observed : ndarray of float64
        Mean prediction and share of ones of each bin.
    rows : ndarray of int64
        Rows of each bin.

    Raises
    ------
    TypeError
        If `bins` is not an int.
    ValueError
        If a probability is not between 0 and 1, there is one label only, or `bins` is less than 1.

    Examples
    --------
    >>> calibration([0, 1, 0, 1], [0.1, 0.2, 0.7, 0.8], bins=2)
    (array([0.15, 0.75]), array([0.5, 0.5]), array([2, 2]))
    """
    values = as_scores(probability, "probability")
    labels = as_labels(as_array(y, "y"), len(values))
    outside = (values < 0.0) | (values > 1.0)
    if outside.any():
        k = int(outside.argmax())
        raise ValueError(f"probability[{k}] is {values[k]:g}, not between 0 and 1: give a column of predict_proba")
    edges = quantile_edges(values, as_int(bins, "bins", 1))
    place = np.searchsorted(edges, values)
    k = len(edges) + 1
    rows = np.bincount(place, minlength=k)
    return np.bincount(place, values, k) / rows, np.bincount(place, labels, k) / rows, rows.astype(np.int64)


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
        If there are more or fewer coefficients than columns, a number is not finite, or a parameter is not positive.
    TypeError
        If a number is masked (:mod:`numpy.ma`), a bool or no real one.

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
    points_to_double = _real(points_to_double, "points_to_double", positive=True)
    base_odds, base_score = _real(base_odds, "base_odds", positive=True), _real(base_score, "base_score")
    names = list(binning.columns_) if columns is None else list(columns)
    if any(isinstance(each, bool | np.bool_) for each in as_array(coefficients, "coefficients", object).reshape(-1)):
        raise TypeError("coefficients must hold numbers, not bools: give those of the regression")
    weights = _reals(coefficients, "coefficients")
    if weights.shape != (len(names),):
        raise ValueError(f"coefficients has the shape {weights.shape}, there are {len(names)} columns")
    by_name = {each.name: each for each in binning.bins_}
    for name in names:
        if name not in by_name:
            raise ValueError(f"columns names {name!r}, which was not fitted")
    factor = points_to_double / math.log(2.0)
    base = 0.0 if intercept is None else base_score - factor * (_real(intercept, "intercept") + math.log(base_odds))
    chosen = [by_name[name] for name in names]
    points = [-factor * w * each.woe for w, each in zip(weights.tolist(), chosen, strict=True)]
    return Scorecard(base, names, [each.labels() for each in chosen], points, binning)


def thinned(x: Floats, y: Floats, points: int = 300) -> tuple[Floats, Floats]:
    """Return a curve with at most so many points, its ends among them: enough for a picture."""
    if len(x) <= points:
        return x, y
    keep = np.unique(np.linspace(0, len(x) - 1, points).round().astype(int))
    return x[keep], y[keep]


def with_interval(value: float, interval: tuple[float, float], digits: int = 3) -> str:
    """Write a share and its interval for a table.

    Examples
    --------
    >>> with_interval(0.77123, (0.7604, 0.78152)), with_interval(1.0, (0.839, 1.0), 2)
    ('0.7712 (.760-.782)', '1.0000 (.84-1.00)')
    """
    ends = (f"{end:.{digits}f}".removeprefix("0") for end in interval)
    return f"{value:.4f} ({'-'.join(ends)})"


def rank_table(y: ArrayLike, score: ArrayLike, bins: int = 10) -> list[dict[str, float]]:
    """Return events by tenths of the score, the riskiest first: what a cut-off would refuse and catch.

    Equal scores stay together, since no cut-off parts them: there are fewer parts where many are equal.
    """
    distinct, zeros, ones = _counts(y, score)
    distinct, zeros, ones = distinct[::-1], zeros[::-1], ones[::-1]
    ends = [*(gaps(zeros + ones, as_int(bins, "bins", 1)) + 1).tolist(), len(distinct)]
    out = []
    for lo, hi in itertools.pairwise([0, *ends]):
        rows, events = int((zeros + ones)[lo:hi].sum()), int(ones[lo:hi].sum())
        out.append(
            {
                "rows": float(rows),
                "events": float(events),
                "rate": events / rows,
                "caught": float(ones[:hi].sum() / ones.sum()),
                "lowest": float(distinct[hi - 1]),
            }
        )
    return out
