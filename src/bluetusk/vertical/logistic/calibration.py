"""Turns scores into probabilities, on rows that the model was not trained on, so that their mean is the observed rate.

The map is ``1 / (1 + exp(-(intercept + slope z)))`` (J. Platt, 1999). It is increasing, so it keeps every order (the
probabilities of extreme scores may round to the same float). Its intercept is set so that the mean probability of the
held-back rows is the rate of *all* known labels, which are ten times as many, plus R^2 times the difference of
these rows' rate from it: the part of that difference that their scores explain. Its slope is the most likely one
for the held-back rows, under a normal prior of its logarithm around the slope that a linear discriminant has: there
``log odds = const + p / (v (1 - R^2))`` for the fitted linear probability p, the labels' variance v and the explained
part R^2 (R. A. Fisher, 1936; G. Haggstrom, "Logistic Regression and Discriminant Analysis by Ordinary Least Squares",
J. Business & Economic Statistics 1(3), 1983). With hundreds of events the prior hardly matters; with two it keeps the
slope from diverging.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Floats

__all__ = ["Calibration", "calibrated"]


_PRIOR = 0.5
"""Prior standard deviation of the slope's logarithm: a factor of 1.6 either way."""
_WIDEST = 3.0
_LARGEST = 700.0
"""Limit of log odds: beyond it the probability as a float is 0 or 1."""


@dataclass(frozen=True)
class Calibration:
    """A map from scores to probabilities.

    Attributes
    ----------
    intercept, slope : float
        Intercept and slope of the log odds; the slope is positive.

    Examples
    --------
    >>> Calibration(-1.0, 2.0).probability(np.array([0.5]))
    array([0.5])
    """

    intercept: float
    slope: float

    def probability(self, score: Floats) -> Floats:
        """Return the probability of the event for each score."""
        return _logistic(self.intercept + self.slope * score)


def calibrated(score: Floats, y: NDArray[np.int64], rate: float, steepness: float) -> Calibration:
    """Return the map for scores of held-back rows.

    Parameters
    ----------
    score : ndarray of float64, shape (n,)
        Scores of the held-back rows, at least one.
    y : ndarray of int64, shape (n,)
        Their labels.
    rate : float
        Share of events among all known labels, between 0 and 1.
    steepness : float
        Slope of the sigmoid at 0 that the model was trained with: `steepness` times a score is its linear probability.

    Returns
    -------
    Calibration

    Examples
    --------
    >>> score = np.linspace(-4, 4, 801)
    >>> y = (np.arange(801) % 5 < 5 / (1 + np.exp(-score - 1))).astype(np.int64)
    >>> found = calibrated(score, y, y.mean(), 0.125)
    >>> round(float(found.probability(score).mean() - y.mean()), 9), bool(found.slope > 0.7)
    (0.0, True)
    """
    variance = rate * (1.0 - rate)
    explained = min(float(np.var(score)) * steepness**2 / variance, 0.95)
    expected = steepness / (variance * (1.0 - explained))
    seen = float(np.corrcoef(score, y)[0, 1]) ** 2 if np.ptp(score) > 0 and np.ptp(y) > 0 else 0.0
    target = min(max(rate + min(explained, seen) * (float(y.mean()) - rate), 0.1 * rate), 1.0 - 0.1 * (1.0 - rate))

    def regret(t: float) -> float:
        slope = expected * math.exp(t)
        odds = _intercept(slope * score, target) + slope * score
        return float(np.logaddexp(0.0, odds).sum() - y @ odds) + 0.5 * (t / _PRIOR) ** 2

    t = _minimum(regret, -_WIDEST, _WIDEST)
    slope = expected * math.exp(t)
    return Calibration(_intercept(slope * score, target), slope)


def _logistic(odds: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-np.clip(odds, -_LARGEST, _LARGEST)))
    return result


def _intercept(part: Floats, rate: float) -> float:
    """Return the intercept at which the mean probability is the rate, by bisection: the mean rises with it."""
    centre = math.log(rate / (1.0 - rate))
    low, high = centre - float(part.max()), centre - float(part.min())
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if float(_logistic(middle + part).mean()) < rate else (low, middle)
    return 0.5 * (low + high)


def _minimum(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the position of the only minimum of a function, by golden section."""
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = function(a), function(b)
    for _ in range(40):
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = function(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = function(b)
    return 0.5 * (low + high)
