"""Cuts values into bins of about equal size without separating equal values, symmetrically in both directions."""

from __future__ import annotations

import numpy as np

from ..._numeric import Floats, Ints

__all__ = ["bin_counts", "gaps", "quantile_edges"]


def gaps(counts: Ints, bins: int) -> Ints:
    """Return the distinct values after which to cut: at the gap nearest to each quantile.

    Parameters
    ----------
    counts : ndarray of int64
        Rows of each distinct value, in order.
    bins : int
        Number of bins. If there are no more distinct values than that, each gets a bin.

    Returns
    -------
    ndarray of int64
        Ascending; k denotes the gap between the values k and k + 1. Of two gaps equally near, the one nearer to the
        median is taken; both, where they are equally far from it, so that counts in reverse order are cut in reverse.

    Examples
    --------
    >>> gaps(np.array([95, 2, 3]), 2), gaps(np.array([3, 2, 95]), 2)
    (array([0]), array([1]))
    """
    if len(counts) <= bins:
        return np.arange(len(counts) - 1)
    below = np.cumsum(counts)
    n = int(below[-1])
    wanted = n * np.arange(1, bins)
    reached = below[:-1] * bins  # no gap follows the last value; both sides times `bins`, to stay in integers
    high = np.minimum(np.searchsorted(reached, wanted), len(reached) - 1)
    low = np.maximum(high - 1, 0)
    to_low, to_high = np.abs(wanted - reached[low]), np.abs(reached[high] - wanted)
    from_middle = np.abs(2 * below - n)
    tie = np.sign(from_middle[low] - from_middle[high])  # negative: the lower one is nearer to the median
    side = np.where(to_low != to_high, np.sign(to_low - to_high), tie)
    return np.unique(np.concatenate([low[side <= 0], high[side >= 0]]))


def quantile_edges(values: Floats, bins: int) -> Floats:
    """Return the edges of bins of about equal size, each midway between two neighbouring values.

    Examples
    --------
    >>> quantile_edges(np.array([0.0] * 95 + [1.0] * 5), 10)
    array([0.5])
    """
    distinct, counts = np.unique(values, return_counts=True)
    at = gaps(counts, bins)
    return np.asarray(distinct[at] / 2 + distinct[at + 1] / 2, np.float64)


def bin_counts(edges: Floats, values: Floats) -> Floats:
    """Count values between edges; a value on an edge counts half on either side.

    Examples
    --------
    >>> bin_counts(np.array([0.5]), np.array([0.0, 0.5, 1.0, 2.0]))
    array([1.5, 2.5])
    """
    k = len(edges) + 1
    left, right = (np.bincount(np.searchsorted(edges, values, side=side), minlength=k) for side in ("left", "right"))
    return (left + right) / 2
