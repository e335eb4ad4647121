"""Computes intervals of the area under the ROC curve, of its gain and of the Kolmogorov-Smirnov statistic."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from .._numeric import Floats, Ints
from .._random import Stream

__all__ = ["Interval", "auc_bounds", "counts_of", "delong", "gain_bounds", "ks_bounds", "wilson"]


_DRAWS = 2000
_POINTS = 64
_SEED = hashlib.sha256(b"bluetusk/vertical/ks interval/v1").digest()


class Interval(NamedTuple):
    """A confidence interval.

    Attributes
    ----------
    low, high : float
        Its ends.

    Examples
    --------
    >>> low, high = Interval(0.72, 0.81)
    >>> high
    0.81
    """

    low: float
    high: float


def counts_of(labels: Ints, scores: Floats) -> tuple[Floats, Ints, Ints]:
    """Return the distinct scores, rising, and how many rows with label 0, and 1, have each."""
    distinct, place, rows = np.unique(scores, return_inverse=True, return_counts=True)
    ones = np.bincount(place[labels == 1], minlength=len(distinct))
    return distinct, rows - ones, ones


def delong(zeros: Ints, ones: Ints) -> tuple[float, float, float]:
    """Return the area under the ROC curve, its variance, and the degrees of freedom of that variance.

    Parameters
    ----------
    zeros, ones : ndarray of int64
        Rows with label 0, and 1, of each distinct score, the lowest score first.

    Returns
    -------
    area, variance, freedom : float
        The variance is NaN if a label has only one row.

    References
    ----------
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44 (1988) 837-845. The placements come from counts of
    tied scores, which are the midranks of X. Sun, W. Xu, IEEE Signal Processing Letters 21 (2014) 1389-1393. Degrees of
    freedom: E. Brunner, U. Munzel, Biometrical Journal 42 (2000) 17-25.

    Examples
    --------
    >>> area, variance, _ = delong(np.array([1, 1, 0]), np.array([0, 1, 1]))
    >>> area, variance
    (0.875, 0.03125)
    """
    m, n = int(ones.sum()), int(zeros.sum())
    of_ones = (np.cumsum(zeros) - zeros / 2) / n  # the share of zeros below a one of this score, ties half
    of_zeros = 1.0 - (np.cumsum(ones) - ones / 2) / m
    area = float(ones @ of_ones) / m
    if min(m, n) < 2:
        return area, math.nan, 1.0
    parts = [
        float(weight @ (placed - area) ** 2) / (k - 1) / k
        for k, weight, placed in ((m, ones, of_ones), (n, zeros, of_zeros))
    ]
    whole = sum(parts)
    squares = parts[0] ** 2 / (m - 1) + parts[1] ** 2 / (n - 1)
    return area, whole, whole**2 / squares if squares > 0.0 else math.inf


def auc_bounds(zeros: Ints, ones: Ints, level: float) -> Interval:
    """Return the interval of :func:`bluetusk.vertical.evaluation.auc_interval`, from counts as for :func:`delong`."""
    area, variance, freedom = delong(zeros, ones)
    z = NormalDist().inv_cdf((1.0 + level) / 2.0)
    if not (0.0 < area < 1.0 and variance > 0.0):
        return wilson(area, float(min(ones.sum(), zeros.sum())), z)
    logit = math.log(area / (1.0 - area))
    half = _student(z, freedom) * math.sqrt(variance) / (area * (1.0 - area))
    return Interval(_expit(logit - half), _expit(logit + half))


def gain_bounds(labels: Ints, score: Floats, other: Floats, level: float) -> tuple[float, Interval]:
    """Return the difference of two scores' areas on the same rows, and its interval.

    See :func:`bluetusk.vertical.evaluation.auc_gain`.

    Examples
    --------
    >>> y = np.array([0, 1, 0, 1] * 20)
    >>> gain, (low, high) = gain_bounds(y, y + np.arange(80) % 7, np.arange(80) % 9 + 0.0, 0.95)
    >>> round(gain, 3), round(low, 3), round(high, 3)
    (0.115, -0.063, 0.293)
    """
    counts = [counts_of(labels, each)[1:] for each in (score, other)]
    areas = [delong(*each)[0] for each in counts]
    gain = areas[0] - areas[1]
    pairs = zip(_placements(labels, score), _placements(labels, other), strict=True)
    differences = [one - two for one, two in pairs]
    sizes = [len(each) for each in differences]
    if min(sizes) > 1:
        parts = [float(each.var(ddof=1)) / n for each, n in zip(differences, sizes, strict=True)]
        whole = sum(parts)
        if whole > 0.0:
            squares = sum(part**2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
            z = NormalDist().inv_cdf((1.0 + level) / 2.0)
            half = _student(z, max(whole**2 / squares, 1.0)) * math.sqrt(whole)
            return gain, Interval(max(gain - half, -1.0), min(gain + half, 1.0))
        if not any(each.any() for each in differences):  # the same order of every pair of rows
            return gain, Interval(gain, gain)
    (low, high), (least, most) = (auc_bounds(*each, level) for each in counts)
    below = math.hypot(areas[0] - low, most - areas[1])
    above = math.hypot(high - areas[0], areas[1] - least)
    return gain, Interval(max(gain - below, -1.0), min(gain + above, 1.0))


def _placements(labels: Ints, score: Floats) -> tuple[Floats, Floats]:
    """Return for each row of label 1 the share of rows of label 0 that score lower, ties half; and the reverse."""
    ones, zeros = score[labels == 1], score[labels == 0]

    def below(values: Floats, others: Floats) -> Floats:
        ordered = np.sort(others)
        places = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
        result: Floats = places / (2.0 * len(others))
        return result

    return below(ones, zeros), 1.0 - below(zeros, ones)


def _expit(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else 0.0


def _student(z: float, freedom: float) -> float:
    """Return a quantile of Student's t from the normal one (Abramowitz and Stegun 26.7.5), within 1 % from 2 up."""
    terms = (
        (1, (1, 1), 4),
        (2, (3, 16, 5), 96),
        (3, (-15, 17, 19, 3), 384),
        (4, (-945, -1920, 1482, 776, 79), 92160),
    )
    total = z
    for power, factors, divisor in terms:
        total += sum(factor * z ** (2 * k + 1) for k, factor in enumerate(factors)) / divisor / freedom**power
    return total


def wilson(share: float, n: float, z: float = 1.959963984540054) -> Interval:
    """Return Wilson's interval of a share of n rows, for a quantile z of the normal distribution.

    References
    ----------
    E. B. Wilson, Journal of the American Statistical Association 22 (1927) 209-212.

    Examples
    --------
    >>> low, high = wilson(0.1, 100)
    >>> round(low, 4), round(high, 4)
    (0.0552, 0.1744)
    """
    middle, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    return Interval(max((middle - spread) / whole, 0.0), min((middle + spread) / whole, 1.0))


def ks_bounds(zeros: Ints, ones: Ints, level: float) -> Interval:
    """Return the interval of :func:`bluetusk.vertical.evaluation.ks_interval`, from counts as for :func:`delong`."""
    below = np.cumsum(zeros) / zeros.sum(), np.cumsum(ones) / ones.sum()
    rows = int(zeros.sum()), int(ones.sum())
    distances = below[0] - below[1]
    distance = float(np.abs(distances).max())
    z = NormalDist().inv_cdf((1.0 + level) / 2.0)
    high = distance
    for at in np.flatnonzero(np.abs(distances) > distance - 1e-12).tolist():  # more than one if equally far apart
        first = int(distances[at] < 0)  # the distribution that is higher there
        p, q = (float(below[k][at]) for k in (first, 1 - first))
        rise, fall = wilson(p, rows[first], z).high - p, q - wilson(q, rows[1 - first], z).low
        high = max(high, distance + math.hypot(rise, fall))
    first = int(distances[int(np.abs(distances).argmax())] < 0)
    low = _least_distance(below[first], below[1 - first], rows[first], rows[1 - first], distance, (1.0 - level) / 2.0)
    return Interval(low, min(high, 1.0))


def _least_distance(upper: Floats, lower: Floats, n: int, m: int, distance: float, tail: float) -> float:
    """Return, by simulation, the smallest true distance that shows as so large a one with probability `tail`."""
    up, low = _hull(upper, lower)
    normals = _normals((2, _DRAWS, len(up)))

    def chance(true: float) -> float:
        part = true / distance  # mixing the two distributions shrinks every distance between them by this factor
        seen = (up - low) * part
        for sign, k, mixed, noise in (
            (1.0, n, (up + low + (up - low) * part) / 2, normals[0]),
            (-1.0, m, (up + low - (up - low) * part) / 2, normals[1]),
        ):
            steps = np.sqrt(np.maximum(np.diff(mixed, prepend=0.0), 0.0))
            walk = np.cumsum(noise * steps, axis=1)
            seen = seen + sign * (walk - mixed * walk[:, -1:]) / math.sqrt(k)
        return float((np.abs(seen).max(axis=1) >= distance).mean())

    return 0.0 if distance == 0.0 else _last(chance, distance, tail)


def _last(chance: Callable[[float], float], distance: float, tail: float) -> float:
    if chance(0.0) > tail:
        return 0.0
    low, high = 0.0, distance
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if chance(middle) <= tail else (low, middle)
    return low


def _hull(upper: Floats, lower: Floats) -> tuple[Floats, Floats]:
    """Return the concave hull of the curve through (lower, upper), at points that are evenly spaced along it."""
    keep: list[tuple[float, float]] = []
    for x, y in [(0.0, 0.0), *zip(lower.tolist(), upper.tolist(), strict=True)]:
        while len(keep) > 1:
            (x0, y0), (x1, y1) = keep[-2:]
            if (y1 - y0) * (x - x1) > (y - y1) * (x1 - x0):
                break
            keep.pop()
        keep.append((x, y))
    x, y = np.array(keep).T
    along = (x + y) / 2
    at = np.linspace(0.0, 1.0, _POINTS + 1)[1:]
    at = np.unique(np.append(at, along[int((y - x).argmax())]))  # and at the largest distance itself
    return np.interp(at, along, y), np.interp(at, along, x)


def _normals(shape: tuple[int, ...]) -> Floats:
    """Return normal numbers, always the same ones (Box and Muller's transform of a fixed stream)."""
    words = Stream(_SEED).uint64((2, math.prod(shape)))
    first, second = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.asarray((np.sqrt(-2.0 * np.log(first)) * np.cos(2.0 * np.pi * second)).reshape(shape), np.float64)
