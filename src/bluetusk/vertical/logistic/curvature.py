"""Bounds the curvature of columns whose bins are known and whose values are not.

A party's step size follows from its columns' largest curvature (:mod:`.whitening`). The host of binned columns does not
know what a bin is worth, and the guest, who does, does not know which bins meet in a row. But the host can bound the
curvature for *any* values. Let Z be the indicators of the bins, p their shares of the rows to which the binning was
fitted, and the values v of each column have mean 0 and mean square 1 under p. Then the curvature of the columns is at
most the largest eigenvalue of ``D^(-1/2) (Z'Z / n) D^(-1/2)``, D = diag(p), on vectors orthogonal to sqrt(p) within
each column: that of a multiple correspondence analysis (M. Greenacre, Theory and Applications of Correspondence
Analysis, 1984, chapter 5), times the number of columns. It depends on no label.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ..._numeric import Floats, Ints

__all__ = ["curvature", "standardised"]

_BLOCK = 512
"""Largest number of bins in an eigenvalue problem; the bounds of blocks of columns add up."""
_ROWS = 1 << 15
"""Rows whose indicators are in memory at once."""
_GRID = 8
"""Bounds are rounded up to powers of 2^(1/8), since the guest learns them."""


def curvature(codes: Ints, counts: Sequence[Ints], batches: Iterable[Ints], over: float) -> float:
    """Return a bound of the curvature of all rows, and of `over` times less for each batch.

    Parameters
    ----------
    codes : ndarray of int64, shape (n, d)
        The bin of each value; -1 for none.
    counts : sequence of ndarray of int64
        Rows of each bin in the binning, at least one.
    batches : iterable of ndarray of int64
        Rows of each batch.
    over : float
        How much larger than the bound a batch's curvature may be.

    Returns
    -------
    float
        At least 1. Of fewer rows than the smallest bin has, the bound follows from `counts` alone.

    Examples
    --------
    >>> codes = np.array([[0, 0], [1, 1], [0, 1], [1, 0]])
    >>> curvature(codes, [np.array([2, 2])] * 2, [], 1.75), curvature(codes[:2], [np.array([2, 2])] * 2, [], 1.75)
    (1.0, 2.0)
    """
    blocks: list[_Block] = []
    first = 0
    while first < len(counts):
        last, bins = first + 1, len(counts[first])
        while last < len(counts) and bins + len(counts[last]) <= _BLOCK:
            bins += len(counts[last])
            last += 1
        blocks.append(_Block(codes[:, first:last], counts[first:last]))
        first = last
    most = max(1.0, float(sum(block.bound(None) for block in blocks)))
    for rows in batches:  # one at a time: all rows of all epochs may be more than fits the memory
        most = max(most, float(sum(block.bound(rows) for block in blocks)) / over)
    return float(2.0 ** (math.ceil(math.log2(most * (1 - 1e-9)) * _GRID) / _GRID))


class _Block:
    def __init__(self, codes: Ints, counts: Sequence[Ints]) -> None:
        sizes = [len(each) for each in counts]
        share = np.concatenate([each / each.sum() for each in counts])
        self._first = np.cumsum([0, *sizes[:-1]])
        self._codes, self._bins = codes, len(share)
        self._least = min(int(each.min()) for each in counts)
        self._worst = float(sum(each.sum() / each.min() for each in counts))  # each column's largest 1 / p, added
        self._root = np.sqrt(share)
        self._across = np.zeros((self._bins, len(sizes)))  # orthonormal: each column's sqrt(p)
        for j, (first, size) in enumerate(zip(self._first, sizes, strict=True)):
            self._across[first : first + size, j] = self._root[first : first + size]

    def bound(self, rows: Ints | None) -> float:
        codes = self._codes if rows is None else self._codes[rows]
        if len(codes) < self._least:  # the bound of the few would tell which bins meet in them
            return self._worst
        gram = np.zeros((self._bins, self._bins))
        for lo in range(0, len(codes), _ROWS):
            part = codes[lo : lo + _ROWS]
            indicators = np.zeros((len(part), self._bins))
            at, column = np.nonzero(part >= 0)
            indicators[at, part[at, column] + self._first[column]] = 1.0
            gram += indicators.T @ indicators
        gram /= len(codes) * self._root * self._root[:, None]
        gram -= self._across @ (self._across.T @ gram)
        gram -= (gram @ self._across) @ self._across.T
        return float(np.linalg.eigvalsh(gram)[-1])


def standardised(values: Floats, counts: Ints, curvature: float, largest: float) -> tuple[Floats, float, float]:
    """Return a column's values with mean 0 and mean square 1 / curvature, and the mean and unit: (v - mean) * unit.

    Parameters
    ----------
    values : ndarray of float64, shape (b,)
        The weight of evidence of each bin.
    counts : ndarray of int64, shape (b,)
        Rows of each bin.
    curvature : float
        From :func:`curvature`.
    largest : float
        Limit of the size of the result; values beyond it are scaled down.

    Examples
    --------
    >>> standardised(np.array([1.0, 3.0]), np.array([5, 5]), 4.0, 64.0)
    (array([-0.5,  0.5]), 2.0, 0.5)
    """
    share = counts / counts.sum()
    mean = float(share @ values)
    centred = values - mean
    deviation = math.sqrt(float(share @ centred**2))
    if deviation <= 1e-12:
        return np.zeros(len(values)), mean, 0.0
    unit = 1.0 / (deviation * math.sqrt(curvature))
    unit *= min(1.0, largest / max(float(np.abs(centred).max()) * unit, largest))
    return centred * unit, mean, unit
