"""Measures of scores and of their stability: AUC, KS, PSI, calibration.

One party computes everything here from its own data; nothing is sent.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..._numeric import Floats, Ints, as_array, as_int
from .. import intervals as _intervals
from ..intervals import Interval
from ..tables.columns import as_labels, as_reals, as_scores
from .quantiles import bin_counts, gaps, quantile_edges

__all__ = [
    "Interval",
    "auc",
    "auc_gain",
    "auc_interval",
    "calibration",
    "ks",
    "ks_interval",
    "psi",
    "roc",
    "stability_index",
]


def _real(x: Any, name: str, *, positive: bool = False) -> float:
    """Return one finite number."""
    if isinstance(x, bool | np.bool_):
        raise TypeError(f"{name} must be a number, not {type(x).__name__}")
    values = as_reals(x, name)
    if values.shape != ():
        raise ValueError(f"{name} must be one number, not an array of shape {values.shape}")
    if positive and not values > 0:
        raise ValueError(f"{name} must be positive, not {float(values):g}")
    return float(values)


def _counts(y: ArrayLike, score: ArrayLike) -> tuple[Floats, Ints, Ints]:
    """Return the distinct scores, ascending, and for each the number of rows with label 0, and with label 1."""
    values = as_scores(score)
    return _intervals.counts_of(as_labels(as_array(y, "y"), len(values), "scores"), values)


def roc(y: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return the receiver operating characteristic (ROC) curve, one point for each distinct score.

    Parameters
    ----------
    y : array_like of shape (n,)
        0 or 1.
    score : array_like of shape (n,)
        Scores, higher where label 1 is more likely.

    Returns
    -------
    false, true : ndarray of float64
        Shares of the rows with label 0, and 1, whose score is at least the threshold. Both begin at 0 and end at 1.
    thresholds : ndarray of float64
        Descending thresholds; the first is infinite.

    Raises
    ------
    ValueError
        If all labels are equal, a label is not 0 or 1, a score is not finite, or the shapes differ.

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
    """Return the area under the ROC curve: the share of pairs in which label 1 scores above label 0; ties count half.

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
        As for :func:`roc`.

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
        The probability that the interval contains the area of the population.

    Returns
    -------
    Interval
        Its ends, `low` and `high`, within [0, 1].

    Raises
    ------
    ValueError
        As for :func:`roc`, and if `level` is not between 0 and 1.

    Notes
    -----
    DeLong's variance, on the logit scale so that no end leaves [0, 1], with a quantile of Student's t for the degrees
    of freedom of Brunner and Munzel. The estimate fails where all rows are in perfect order, all scores are tied, or
    one row has the label: then Wilson's interval for as many rows as the rarer label has, which holds for every
    distribution, since the variance is at most ``area * (1 - area) / min(m, n)``. With few
    events and an area near 1 the interval is too narrow: at 20 events it contains an area of 0.95 in nine cases of ten,
    one of 0.98 in four of five.

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
    return _intervals.auc_bounds(*_counts(y, score)[1:], share)


def auc_gain(y: ArrayLike, score: ArrayLike, baseline: ArrayLike, level: float = 0.95) -> tuple[float, Interval]:
    """Return how much larger the area under the ROC curve is than that of another score of the same rows.

    Parameters
    ----------
    y, score : array_like of shape (n,)
        As for :func:`roc`.
    baseline : array_like of shape (n,)
        The other score, row by row.
    level : float
        The probability that the interval contains the difference of the areas of the population.

    Returns
    -------
    gain : float
        ``auc(y, score) - auc(y, baseline)``.
    interval : Interval
        Its ends, `low` and `high`, within [-1, 1]; both equal `gain` if the two scores order all rows alike.

    Raises
    ------
    ValueError
        As for :func:`auc_interval`, and if the two scores differ in shape.

    Notes
    -----
    DeLong's variance of the difference, from the rows' placements under both scores, so that what the two have in
    common cancels; with a quantile of Student's t for Welch's degrees of freedom. Two intervals of :func:`auc_interval`
    that overlap say little, since both scores are of the same rows. Where the variance is 0 though the areas differ, or
    one row has a label, the ends are those of G. Zou and A. Donner, from the two intervals as if they were independent.

    References
    ----------
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44 (1988) 837-845; G. Y. Zou, A. Donner, Statistics in
    Medicine 27 (2008) 1693-1702.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.arange(200) % 4 == 0
    >>> baseline = np.arange(200) % 7 + y
    >>> gain, (low, high) = auc_gain(y, baseline + y, baseline)
    >>> round(gain, 3), round(low, 3), round(high, 3)
    (0.113, 0.096, 0.13)
    """
    values, other = as_scores(score), as_scores(baseline, "baseline")
    labels = as_labels(as_array(y, "y"), len(values), "scores")
    if other.shape != values.shape:
        raise ValueError(f"baseline must hold {len(values)} scores, one for each row of score, not {len(other)}")
    return _intervals.gain_bounds(labels, values, other, _level(level))


def ks(y: ArrayLike, score: ArrayLike) -> float:
    """Return the Kolmogorov-Smirnov statistic: the largest distance between the two labels' distributions of the score.

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
        As for :func:`roc`.

    Examples
    --------
    >>> ks([0, 1, 1, 0], [0.1, 0.9, 0.4, 0.4])
    0.5
    """
    false, true, _ = roc(y, score)
    return float(np.abs(true - false).max())


def ks_interval(y: ArrayLike, score: ArrayLike, level: float = 0.95) -> Interval:
    """Return a confidence interval of the Kolmogorov-Smirnov statistic.

    Parameters
    ----------
    y, score : array_like of shape (n,)
        As for :func:`roc`.
    level : float
        The least probability that the interval contains the largest distance in the population.

    Returns
    -------
    Interval
        Its ends, `low` and `high`, within [0, 1]. Equal input gives an equal interval.

    Raises
    ------
    ValueError
        As for :func:`roc`, and if `level` is not between 0 and 1.

    Notes
    -----
    A sample's largest distance is biased upwards, by 0.19 with 20 events and a useless score, so neither the
    normal distribution nor the usual bootstrap gives a valid lower end. The upper end needs no correction: the
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
    return _intervals.ks_bounds(*_counts(y, score)[1:], share)


def stability_index(expected: ArrayLike, actual: ArrayLike, bins: int = 10) -> float:
    """Return the population stability index: how far scores have moved since training.

    :func:`psi`, its earlier name, is an alias: in this package PSI also stands for private set intersection.

    Parameters
    ----------
    expected : array_like
        Scores at training.
    actual : array_like
        Scores now.
    bins : int
        Number of bins, at least 2, cut between values of `expected`, as near to its quantiles as equal values allow. An
        end bin of a single value ends there: values beyond it are counted in a separate bin.

    Returns
    -------
    float
        The sum of (difference of the shares) times the logarithm of their ratio, half a row added to every count. Below
        0.1 is called stable, above 0.25 a shift that requires a new model. Scores with the opposite sign give the same.

    Raises
    ------
    TypeError
        If `bins` is not an int.
    ValueError
        If a score is not finite, there is no score, or `bins` is less than 2.

    Examples
    --------
    >>> import numpy as np
    >>> before = np.arange(1000)
    >>> stability_index(before, before), round(stability_index(before, before + 200), 2)
    (0.0, 1.27)
    >>> round(stability_index(np.arange(1000) >= 950, np.arange(1000) >= 500), 2)
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


psi = stability_index


def calibration(y: ArrayLike, probability: ArrayLike, bins: int = 10) -> tuple[Floats, Floats, Ints]:
    """Compare predicted probabilities with observed rates, in bins of about equal size.

    Parameters
    ----------
    y : array_like of shape (n,)
        0 or 1.
    probability : array_like of shape (n,)
        Predicted probabilities, 0 to 1.
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
        If a probability is not between 0 and 1, all labels are equal, or `bins` is less than 1.

    Examples
    --------
    >>> calibration([0, 1, 0, 1], [0.1, 0.2, 0.7, 0.8], bins=2)
    (array([0.15, 0.75]), array([0.5, 0.5]), array([2, 2]))
    """
    values = as_scores(probability, "probability")
    labels = as_labels(as_array(y, "y"), len(values), "probabilities")
    outside = (values < 0.0) | (values > 1.0)
    if outside.any():
        k = int(outside.argmax())
        raise ValueError(f"probability[{k}] is {values[k]:g}, not between 0 and 1: give a column of predict_proba")
    edges = quantile_edges(values, as_int(bins, "bins", 1))
    place = np.searchsorted(edges, values)
    k = len(edges) + 1
    rows = np.bincount(place, minlength=k)
    return np.bincount(place, values, k) / rows, np.bincount(place, labels, k) / rows, rows.astype(np.int64)


def thinned(x: Floats, y: Floats, points: int = 300) -> tuple[Floats, Floats]:
    """Return a curve thinned to a largest number of points, both ends included: enough for a picture."""
    if len(x) <= points:
        return x, y
    keep = np.unique(np.linspace(0, len(x) - 1, points).round().astype(int))
    return x[keep], y[keep]


def with_interval(value: float, interval: tuple[float, float], digits: int = 3) -> str:
    """Return a share and its interval as text for a table.

    Examples
    --------
    >>> with_interval(0.77123, (0.7604, 0.78152)), with_interval(1.0, (0.839, 1.0), 2)
    ('0.7712 (.760-.782)', '1.0000 (.84-1.00)')
    """
    ends = (f"{end:.{digits}f}".removeprefix("0") for end in interval)
    return f"{value:.4f} ({'-'.join(ends)})"


def rank_table(y: ArrayLike, score: ArrayLike, bins: int = 10) -> list[dict[str, float]]:
    """Return events by tenths of the score, the riskiest first: the rows and events that a cut-off would refuse.

    Equal scores stay together, since no cut-off separates them: there are fewer parts where many are equal.
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
