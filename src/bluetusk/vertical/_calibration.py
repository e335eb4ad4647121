"""Turns raw scores of a model into probabilities whose sum is the number of events: Platt's logistic map."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._numeric import as_array

__all__ = ["Calibration", "fit_calibration"]

Floats = NDArray[np.float64]

_RIDGE = 1e-3
_STEPS = 100
_NEAREST = 1e-12
_FIELDS = ("center", "scale", "slope", "intercept", "rows", "events", "flat")


@dataclass(frozen=True)
class Calibration:
    """A rising map from raw scores to probabilities, made by :func:`fit_calibration`.

    Attributes
    ----------
    center, scale : float
        What was taken off a score, and what it was divided by, before the fit.
    slope, intercept : float
        Of the log-odds in the score thus scaled; the slope is at least 0.
    rows, events : float
        Sums of the weights of the rows it was fitted on, and of those with label 1.
    flat : bool
        Whether the scores did not rise with the events. Then the slope is 0 and every row gets the share of events.

    Examples
    --------
    >>> found = fit_calibration([-1.0, 0.0, 0.0, 1.0, 2.0], [0, 0, 1, 0, 1])
    >>> found.apply([-1.0, 0.0, 0.0, 1.0, 2.0]).sum().round(6)
    np.float64(2.0)
    """

    center: float
    scale: float
    slope: float
    intercept: float
    rows: float
    events: float
    flat: bool

    def apply(self, score: ArrayLike) -> Floats:
        """Return probabilities.

        Parameters
        ----------
        score : array_like
            Raw scores, as those of the fit: log-odds or any other, before the link.

        Returns
        -------
        ndarray of float64
            Of the same shape, between 1e-12 and 1 - 1e-12. They never fall where scores rise, and rise with them as far
            as float64 tells them apart: rank by the raw score, not by this.

        Raises
        ------
        TypeError, ValueError
            If a score is masked, NaN or infinite.

        Examples
        --------
        >>> Calibration(0.0, 1.0, 2.0, -1.0, 100.0, 30.0, False).apply([0.5, 1.0]).round(3)
        array([0.5  , 0.731])
        """
        values = as_array(score, "score", np.float64)
        if not np.isfinite(values).all():
            raise ValueError("score holds NaN or infinity: leave such rows out")
        with np.errstate(over="ignore"):  # beyond every double the end of the range is right
            odds = np.full(values.shape, self.intercept)
            if self.slope:
                odds += self.slope * ((values - self.center) / self.scale)
        return np.clip(_expit(odds), _NEAREST, 1.0 - _NEAREST)

    def to_fields(self) -> dict[str, Any]:
        """Return the map for a frame's header, floats as hexadecimal text.

        Examples
        --------
        >>> Calibration(0.0, 1.0, 2.0, -1.0, 100.0, 30.0, False).to_fields()["slope"]
        '0x1.0000000000000p+1'
        """
        return {name: bool(value) if name == "flat" else value.hex() for name, value in vars(self).items()}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Calibration:
        """Read what :meth:`to_fields` wrote.

        Raises
        ------
        ValueError
            If a field is missing, unknown or out of range.

        Examples
        --------
        >>> made = Calibration(0.0, 1.0, 2.0, -1.0, 100.0, 30.0, False)
        >>> Calibration.from_fields(made.to_fields()) == made
        True
        """
        if set(fields) != set(_FIELDS) or not isinstance(fields["flat"], bool):
            raise ValueError(f"calibration must have the fields {', '.join(_FIELDS)}")
        values = {name: _number(fields, name) for name in _FIELDS[:-1]}
        if not all(map(math.isfinite, values.values())):
            raise ValueError("calibration must hold finite numbers")
        made = cls(**values, flat=fields["flat"])
        if not (made.scale > 0 and made.slope >= 0 and 0 < made.events < made.rows and made.flat == (made.slope == 0)):
            raise ValueError("calibration must rise, or be marked flat, and stand for rows with both labels")
        return made


def _number(fields: Mapping[str, Any], name: str) -> float:
    try:
        return float.fromhex(fields[name])
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} of the calibration must be a float as hexadecimal text") from None


def _expit(x: Floats) -> Floats:
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0 / (1.0 + small), small / (1.0 + small)), np.float64)


def fit_calibration(score: ArrayLike, y: ArrayLike, *, weights: ArrayLike | None = None) -> Calibration:
    """Fit the log-odds of the event as a straight, rising line in a model's raw score.

    Parameters
    ----------
    score : array_like of shape (n,)
        Raw scores (before the link) of rows on which the model was not trained; higher where events are more likely.
        Coarse ones will do.
    y : array_like of shape (n,)
        0 or 1; both must be there.
    weights : array_like of shape (n,), optional
        How many rows each row stands for, at least 0; 1 each by default. Where events were sampled more often than
        others, the inverse of the sampling rates gives the probabilities of the population.

    Returns
    -------
    Calibration
        On these rows the (weighted) sum of the probabilities is the sum of the labels. `flat` where scores did not rise
        with the events: warn then, for the model ranks nothing, or backwards.

    Raises
    ------
    TypeError
        If an argument is masked or holds no numbers.
    ValueError
        If shapes differ, a number is not finite, a weight is negative, a label is neither 0 nor 1, or all rows of
        positive weight have one label.

    Notes
    -----
    Maximum likelihood by Newton's method with step halving. Platt's smoothed targets are left out: they would move the
    sum of the probabilities. A penalty of 0.0005 times the square of the slope, in units of a standard deviation of the
    score, bounds it where a score separates the labels; the intercept has none, so its score equation keeps the sum.

    References
    ----------
    J. C. Platt, Probabilistic outputs for support vector machines, 1999; H.-T. Lin, C.-J. Lin, R. C. Weng, Machine
    Learning 68 (2007) 267-276 (Newton's method for it).

    Examples
    --------
    >>> found = fit_calibration([1.0, 2.0, 3.0, 4.0], [1, 0, 1, 0])
    >>> found.flat, found.apply([0.0, 9.0])
    (True, array([0.5, 0.5]))
    """
    x, labels, w = _checked(score, y, weights)
    rows, events = float(w.sum()), float(w @ labels)
    if not 0.0 < events < rows:
        only = 1 if events else 0
        raise ValueError(f"y holds the label {only} only: probabilities need rows of both labels")
    level = math.log(events / (rows - events))
    center = float(w @ x) / rows
    spread = math.sqrt(float(w @ (x - center) ** 2) / rows)
    if not spread > 1e-12 * max(abs(center), np.finfo(np.float64).tiny):
        return Calibration(center, 1.0, 0.0, level, rows, events, True)
    z = (x - center) / spread
    if (
        float(w @ (z * labels)) <= 0.0
    ):  # the gradient of the slope at 0; the loss is convex, so the best one has its sign
        return Calibration(center, spread, 0.0, level, rows, events, True)
    slope, intercept = _newton(z, labels, w, level)
    if not slope > 0.0:
        return Calibration(center, spread, 0.0, level, rows, events, True)
    return Calibration(center, spread, slope, intercept, rows, events, False)


def _checked(score: ArrayLike, y: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    x = as_array(score, "score", np.float64)
    labels = as_array(y, "y")
    w = np.ones(x.shape) if weights is None else as_array(weights, "weights", np.float64)
    if x.ndim != 1 or not len(x):
        raise ValueError(f"score must have one axis and at least one value, not the shape {x.shape}")
    for array, name in ((labels, "y"), (w, "weights")):
        if array.shape != x.shape:
            raise ValueError(f"{name} has the shape {array.shape}, score {x.shape}: give one for each row")
    if labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
        raise ValueError("y must hold 0 and 1 only: 1 for the event, such as a default")
    if not np.isfinite(x).all():
        raise ValueError("score holds NaN or infinity: leave such rows out")
    if not (np.isfinite(w) & (w >= 0)).all():
        raise ValueError("weights must be finite and at least 0: each says how many rows one row stands for")
    return x, labels.astype(np.float64), w


def _newton(z: Floats, labels: Floats, w: Floats, level: float) -> tuple[float, float]:
    """Return slope and intercept that minimise the loss; halved steps, so that it falls from any start."""
    at = np.array([0.0, level])

    def loss(point: Floats) -> float:
        odds = point[0] * z + point[1]
        # log(1 + exp(odds)) - label * odds, without overflow
        each = np.maximum(odds, 0.0) - labels * odds + np.log1p(np.exp(-np.abs(odds)))
        return float(w @ each) + 0.5 * _RIDGE * float(point[0]) ** 2

    now = loss(at)
    for _ in range(_STEPS):
        p = _expit(at[0] * z + at[1])
        off, curve = w * (p - labels), w * p * (1.0 - p)
        gradient = np.array([float(off @ z) + _RIDGE * at[0], float(off.sum())])
        a, b, c = float(curve @ (z * z)) + _RIDGE, float(curve @ z), float(curve.sum())
        determinant = a * c - b * b
        if not determinant > 0.0:
            break
        step = np.array([c * gradient[0] - b * gradient[1], a * gradient[1] - b * gradient[0]]) / determinant
        if float(np.abs(step).max()) < 1e-13 * (1.0 + float(np.abs(at).max())):
            break
        size = 1.0
        while size > 1e-6 and loss(at - size * step) > now + 1e-12 * abs(now):
            size /= 2.0
        at = at - size * step
        now = loss(at)
    slope = float(at[0])
    return slope, _level_of(slope * z, labels, w, float(at[1]))


def _level_of(odds: Floats, labels: Floats, w: Floats, start: float) -> float:
    """Return the intercept at which the probabilities add up to the events, by bisection: the sum rises with it."""
    wanted = float(w @ labels)
    reach = float(np.abs(odds).max()) + abs(start) + 1.0
    low, high = -reach - 40.0, reach + 40.0
    for _ in range(200):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if float(w @ _expit(odds + middle)) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0
