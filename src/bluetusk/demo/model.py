"""Fits a penalised logistic regression on binned columns from nothing but gradient sums.

The objective is scikit-learn's, divided by the number of rows n::

    f(w, b) = 1/n sum_i log(1 + exp(-s_i (w . x_i + b))) + |w|^2 / (2 C n),    s_i = 2 y_i - 1

with the one-hot row x_i of customer i; the intercept b carries no penalty. Points are vectors (w, b) of length d + 1.

The optimiser is BFGS (Nocedal and Wright, Numerical Optimization, 2nd ed., algorithm 6.1) with two changes. Its line
search looks at slopes only: on a convex function a slope that has fallen far enough is sufficient, so no loss
has to be summed and revealed. Its first inverse Hessian is that of independent columns, which follows from the bins'
pooled counts: on the credit data it needs 65 gradients, from a diagonal 230. No second-order sum is needed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .binning import Bins

__all__ = ["QuasiNewton", "gradient", "inverse_hessian", "scores"]

Floats = NDArray[np.float64]

_UNDER, _OVER = 0.9, 0.5  # accept a step where the slope is within -0.9 .. 0.5 of the first slope's size
_MOST_TRIES = 25  # gradients in one line search


def scores(codes: NDArray[np.int64], point: Floats) -> Floats:
    """Return the log-odds of default.

    Parameters
    ----------
    codes : ndarray of int64, shape (n, 23)
        The bins of each customer.
    point : ndarray of float64, shape (d + 1,)
        Coefficient of each bin, then the intercept.

    Returns
    -------
    ndarray of float64, shape (n,)

    Examples
    --------
    >>> scores(np.array([[0, 2], [1, 2]]), np.array([1.0, 2.0, 4.0, 0.5])).tolist()
    [5.5, 6.5]
    """
    return np.asarray(point[codes].sum(axis=1) + point[-1], dtype=np.float64)


def gradient(codes: NDArray[np.int64], y: NDArray[np.int64], point: Floats) -> Floats:
    """Return the mean gradient of the log-loss, without the penalty.

    Parameters
    ----------
    codes : ndarray of int64, shape (n, 23)
        The bins of each customer; n is at least 1.
    y : ndarray of int64, shape (n,)
        Labels.
    point : ndarray of float64, shape (d + 1,)
        The point at which to compute the gradient.

    Returns
    -------
    ndarray of float64, shape (d + 1,)
        Every value lies in [-1, 1]: the sum of the residuals of the bin's customers, divided by n.

    Examples
    --------
    >>> gradient(np.array([[0, 2], [1, 2]]), np.array([0, 1]), np.zeros(4)).tolist()
    [0.25, -0.25, 0.0, 0.0]
    """
    residual = 0.5 * (1.0 + np.tanh(0.5 * scores(codes, point))) - y  # the logistic function without overflow
    by_bin = np.bincount(codes.ravel(), weights=np.repeat(residual, codes.shape[1]), minlength=len(point) - 1)
    return np.append(by_bin, residual.sum()) / len(y)


def inverse_hessian(bins: Bins, counts: NDArray[np.int64], penalty: Floats) -> Floats:
    """Return the inverse Hessian that the data would have for independent columns and one risk for all customers.

    Parameters
    ----------
    bins : Bins
        The agreed bins.
    counts : ndarray of int64, shape (CELLS + 1,)
        Pooled counts per cell, then the number of defaults.
    penalty : ndarray of float64, shape (d + 1,)
        Second derivative of the penalty, 0 for the intercept.

    Returns
    -------
    ndarray of float64, shape (d + 1, d + 1)
        Symmetric and positive definite.

    Examples
    --------
    >>> from bluetusk.demo.binning import CELLS, choose_bins
    >>> counts = np.ones(CELLS + 1, dtype=np.int64)
    >>> bins = choose_bins(counts)
    >>> h = inverse_hessian(bins, counts, np.full(bins.size + 1, 1e-3))
    >>> bool(np.allclose(h, h.T)), bool(np.linalg.eigvalsh(h).min() > 0)
    (True, True)
    """
    pooled = bins.pooled(counts).astype(np.float64)
    column = bins.column_of
    share = pooled / np.bincount(column, weights=pooled)[column]
    n = pooled[column == 0].sum()
    risk = min(max(float(counts[-1]) / n, 0.5 / n), 1.0 - 0.5 / n)
    joint = np.where(column[:, None] == column[None, :], np.diag(share), np.outer(share, share))
    whole = np.block([[joint, share[:, None]], [share[None, :], np.ones((1, 1))]])
    inverse = np.linalg.inv(risk * (1.0 - risk) * whole + np.diag(penalty))
    return np.asarray(0.5 * (inverse + inverse.T), dtype=np.float64)


class QuasiNewton:
    """BFGS with gradients computed elsewhere: pass the gradient at `point` to :meth:`tell` until `gap` is small.

    Parameters
    ----------
    start : ndarray of float64, shape (m,)
        First point.
    inverse_hessian : ndarray of float64, shape (m, m)
        First approximation; symmetric and positive definite.

    Attributes
    ----------
    point : ndarray of float64, shape (m,)
        The point at which the next gradient is needed.
    best : ndarray of float64, shape (m,)
        The last accepted point.
    gap : float
        Largest coefficient of the next step from `best`: about a fifth of the error, in practice.

    Examples
    --------
    >>> q = QuasiNewton(np.zeros(2), np.eye(2))
    >>> while q.gap > 1e-9:
    ...     q.tell(np.array([3.0, 1.0]) * (q.point - 2.0))      # gradient of a bowl around (2, 2)
    >>> q.best.round(6).tolist()
    [2.0, 2.0]
    """

    def __init__(self, start: Floats, inverse_hessian: Floats) -> None:
        self.point = start.copy()
        self.best = start.copy()
        self.gap = float("inf")
        self._first = inverse_hessian
        self._h = inverse_hessian
        self._gradient: Floats | None = None
        self._direction = np.zeros_like(start)
        self._slope = 0.0  # minus the slope at `best` along the direction
        self._length = 1.0
        self._tries = 0
        self._low = (0.0, 0.0)  # length and slope where it still falls
        self._high: tuple[float, float] | None = None  # and where it rises

    def tell(self, gradient: Floats) -> None:
        """Take the gradient at `point` and choose the next point.

        Raises
        ------
        ArithmeticError
            If the line search does not end: the gradients are not those of one convex function.
        """
        if self._gradient is None:
            self._accept(gradient)
            return
        slope = float(gradient @ self._direction)
        if -_UNDER * self._slope <= slope <= _OVER * self._slope:
            step = self.point - self.best
            change = gradient - self._gradient
            curvature = float(step @ change)
            if curvature > 0.0:
                self._update(step, change, curvature)
            self._accept(gradient)
            return
        self._tries += 1
        if self._tries > _MOST_TRIES:
            raise ArithmeticError("the line search does not end: these are not the gradients of one convex function")
        if slope < 0.0:
            self._low = (self._length, slope)
        else:
            self._high = (self._length, slope)
        if self._high is None:
            self._length *= 2.0
        else:  # false position between a falling and a rising slope, kept away from the ends
            (low, falling), (high, rising) = self._low, self._high
            part = falling / (falling - rising)
            self._length = low + (high - low) * min(max(part, 0.1), 0.9)
        self.point = self.best + self._length * self._direction

    def _accept(self, gradient: Floats) -> None:
        self.best = self.point
        self._gradient = gradient
        self._direction = -(self._h @ gradient)
        self._slope = -float(gradient @ self._direction)
        if self._slope < 0.0:  # rounding has spoiled the approximation
            self._h = self._first
            self._direction = -(self._h @ gradient)
            self._slope = -float(gradient @ self._direction)
        self.gap = float(np.abs(self._direction).max())
        self._length = 1.0
        self._tries = 0
        self._low = (0.0, -self._slope)
        self._high = None
        self.point = self.best + self._direction

    def _update(self, step: Floats, change: Floats, curvature: float) -> None:
        """H <- (I - r s y') H (I - r y s') + r s s', r = 1 / s'y."""
        h_change = self._h @ change
        factor = (1.0 + float(change @ h_change) / curvature) / curvature
        cross = np.outer(step, h_change) / curvature
        self._h = self._h + factor * np.outer(step, step) - cross - cross.T
