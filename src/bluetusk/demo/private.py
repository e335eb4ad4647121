"""Differential privacy for the demo: which values get noise, how much, the privacy loss, and training on noisy sums.

**The unit of privacy is one customer's row**: whether any one row is in a bank's table or not changes the probability
of everything that the aggregator and the other banks see by at most exp(epsilon), but for delta. A row adds to a bank's
counts the vector with a one in each of its 23 cells and in that of defaults; to its gradient sum it adds its residual,
which is at most 1 in size, in its 23 bins and the intercept. So nothing must be clipped: as integers both vectors
have at most 24 entries of a known size, and the sums of integers change by exactly these. Nothing else leaves a bank:
not its number of rows (the weight in every sum is 1, the limit of its values a constant).

The noise is Skellam's, whose sums have Skellam's law again: each bank adds its part of the noise of the smallest number
of honest banks that a sum can be opened for. With more of them there is more noise than was accounted for.

On noisy gradients a quasi-Newton method learns the noise. :class:`Descent` takes a few steps with momentum, along a
preconditioner that is damped where few customers are, and returns the mean of the last. Its settings were chosen once,
on this public data; whoever chooses them on private data pays for that in privacy too.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..encoding import FixedPoint
from ..federated import noise
from .binning import CELLS, Bins
from .data import FEATURES
from .model import inverse_hessian, scores

__all__ = [
    "DELTA",
    "MOST_ROWS",
    "STEPS",
    "Descent",
    "calibrate",
    "encoding",
    "epsilon",
    "gradient_sum",
    "noisy",
    "sensitivity",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DELTA = 1e-6
"""The demo's delta: one in a million, with some 20 000 training customers."""
STEPS = 10
"""Number of gradients summed in the training: few, since each costs privacy."""

MOST_ROWS = 1 << 20
"""Limit of a bank's counts: a constant, so that it reveals nothing about the bank."""

_RESIDUAL_BITS = 16
_ONES = len(FEATURES) + 1
_STEP, _MOMENTUM, _DAMPING = 0.3, 0.7, 0.1


def sensitivity(tensor: str) -> float:
    """Return the most by which one row changes a sum, in the L2 norm and in units of the sum's integers.

    Parameters
    ----------
    tensor : str
        "counts" or "gradient".

    Returns
    -------
    float

    Examples
    --------
    >>> round(sensitivity("counts"), 3), sensitivity("gradient") == sensitivity("counts") * 2**16
    (4.899, True)
    """
    return math.sqrt(_ONES) * _unit(tensor)


def _unit(tensor: str) -> int:
    return 1 << _RESIDUAL_BITS if tensor == "gradient" else 1


def encoding(tensor: str, banks: int) -> FixedPoint:
    """Return the encoding of the noisy values: its limit depends on nobody's data.

    Parameters
    ----------
    tensor : str
        "counts" or "gradient".
    banks : int
        Number of banks that take part.

    Returns
    -------
    FixedPoint

    Examples
    --------
    >>> encoding("gradient", 10).slot_bits, encoding("counts", 10).slot_bits
    (44, 28)
    """
    return FixedPoint.integers(limit=2 * MOST_ROWS * _unit(tensor), max_weight=banks)  # half of it for the noise


def gradient_sum(codes: Ints, y: Ints, point: Floats) -> Ints:
    """Return the sum of the customers' gradients of the log-loss, each residual rounded to a multiple of 2^-16.

    Parameters
    ----------
    codes : ndarray of int64, shape (n, 23)
        The bins of each customer.
    y : ndarray of int64, shape (n,)
        Labels.
    point : ndarray of float64, shape (d + 1,)
        The point at which to compute the gradient.

    Returns
    -------
    ndarray of int64, shape (d + 1,)
        In units of 2^-16. Removing a customer changes it by that customer's own vector and by nothing else.

    Examples
    --------
    >>> (gradient_sum(np.array([[0, 2], [1, 2]]), np.array([0, 1]), np.zeros(4)) / 2**16).tolist()
    [0.5, -0.5, 0.0, 0.0]
    """
    residual = 0.5 * (1.0 + np.tanh(0.5 * scores(codes, point))) - y
    q = np.rint(np.ldexp(residual, _RESIDUAL_BITS)).astype(np.int64)
    by_bin = np.bincount(codes.ravel(), weights=np.repeat(q, codes.shape[1]), minlength=len(point) - 1)
    return np.append(by_bin.astype(np.int64), q.sum())  # |by_bin| <= 2^36: exact as floating-point numbers


def noisy(values: Ints, tensor: str, multiplier: float, honest: int) -> Ints:
    """Add a bank's part of the noise.

    Parameters
    ----------
    values : ndarray of int64
        The bank's counts or gradient sum.
    tensor : str
        "counts" or "gradient".
    multiplier : float
        Standard deviation of the noise in the sum, divided by :func:`sensitivity`.
    honest : int
        The smallest number of honest banks in a sum that can be opened.

    Returns
    -------
    ndarray of int64
        Within the limit of :func:`encoding`, which leaves room for 300 standard deviations and more.

    Examples
    --------
    >>> x = noisy(np.zeros(10_000, np.int64), "counts", multiplier=10.0, honest=4)
    >>> bool(abs(x.std() / (10 * 24**0.5 / 2) - 1) < 0.1)
    True
    """
    return np.asarray(values + noise.skellam(values.shape, multiplier * sensitivity(tensor), clients=honest), np.int64)


def epsilon(multiplier: float, steps: int = STEPS) -> float:
    """Return the epsilon of one sum of counts and `steps` sums of gradients, at :data:`DELTA`.

    Parameters
    ----------
    multiplier : float
        Standard deviation of the noise in a sum, divided by the sensitivity.
    steps : int
        Number of gradients.

    Returns
    -------
    float
        By the Renyi accountant of ``dp_accounting``. A neighbour has one row more or less.

    Notes
    -----
    Both kinds of sums have the same ratio of noise to sensitivity. All are accounted for as sums of counts, whose units
    are the coarser: the excess of Skellam noise over Gaussian shrinks as the units get finer.

    Examples
    --------
    >>> epsilon(20.0) < epsilon(10.0) < 2
    True
    """
    unit = sensitivity("counts")
    return noise.epsilon(
        "skellam", multiplier * unit, sensitivity=unit, l1_sensitivity=_ONES, delta=DELTA, rounds=1 + steps
    )


def calibrate(target: float) -> float:
    """Return the least noise, to four digits, whose :func:`epsilon` does not exceed a target.

    Parameters
    ----------
    target : float
        The largest epsilon allowed, 0.01 to 100.

    Returns
    -------
    float
        The multiplier.

    Examples
    --------
    >>> multiplier = calibrate(1.0)
    >>> 0.999 < epsilon(multiplier) <= 1.0
    True
    """
    low, high = 1e-2, 1e5
    while high > low * 1.0001:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if epsilon(middle) > target else (low, middle)
    return high


class Descent:
    """Takes a few steps towards the optimum from noisy sums.

    Parameters
    ----------
    bins : Bins
        The agreed bins.
    counts : ndarray of int64, shape (CELLS + 1,)
        The noisy pooled counts.
    penalty : float
        scikit-learn's C.

    Attributes
    ----------
    point : ndarray of float64, shape (d + 1,)
        The point at which the next gradient is needed.
    gap : float
        Largest change of a coefficient in the last step.

    Examples
    --------
    >>> from bluetusk.demo.binning import choose_bins
    >>> counts = np.full(CELLS + 1, 50)
    >>> bins = choose_bins(counts)
    >>> descent = Descent(bins, counts, 1.0)
    >>> rest = np.zeros(bins.size, dtype=np.int64)
    >>> descent.tell(np.append(rest, -100 * 2**16))             # more defaults than the intercept says
    >>> bool(descent.gap == descent.mean[-1] - Descent(bins, counts, 1.0).point[-1] > 0)
    True
    """

    def __init__(self, bins: Bins, counts: Ints, penalty: float) -> None:
        held = np.maximum(counts, 1)  # noise makes some of them negative
        self._rows = float(held[:CELLS].sum()) / len(FEATURES)
        defaults = min(float(held[-1]), self._rows - 0.5)
        ridge = np.append(np.full(bins.size, 1.0 / (penalty * self._rows)), 0.0)
        self._ridge = ridge
        self._inverse = inverse_hessian(bins, held, ridge + np.append(np.full(bins.size, _DAMPING), 0.0))
        self._at = np.zeros(bins.size + 1)
        self._at[-1] = math.log((defaults + 0.5) / (self._rows - defaults + 0.5))
        self._speed = np.zeros(bins.size + 1)
        self._past: list[Floats] = []
        self.gap = math.inf
        self.point = self._at

    def tell(self, total: Ints) -> None:
        """Take the noisy sum of gradients at `point`, in units of 2^-16, and choose the next point."""
        slope = np.ldexp(total.astype(np.float64), -_RESIDUAL_BITS) / self._rows + self._ridge * self.point
        self._speed = _MOMENTUM * self._speed - _STEP * (self._inverse @ slope)
        self._at = self._at + self._speed
        self._past.append(self._at)
        self.point = self._at + _MOMENTUM * self._speed
        self.gap = float(np.abs(self._speed).max())

    @property
    def mean(self) -> Floats:
        """The mean of the last half of the points."""
        return np.asarray(np.mean(self._past[len(self._past) // 2 :], axis=0), dtype=np.float64)
