"""Cuts columns into buckets, and selects the cuts of a node's rows that may be offered as splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Bools, Floats, Ints

__all__ = ["Allowed", "Buckets", "Cuts", "counted", "most_splits", "offered"]


@dataclass(frozen=True)
class Buckets:
    """Quantile buckets of each column; values up to an edge lie in or below the edge's bucket.

    Attributes
    ----------
    edges : list of ndarray
        Ascending edges of each column; k edges make k + 1 buckets.
    count : int
        Largest number of buckets of a column. In every column, missing values get the number `count`.
    """

    edges: list[Floats]
    count: int

    @classmethod
    def of(cls, table: Floats, most: int) -> Buckets:
        """Choose at most `most` buckets of about equal weight for each column; each of few distinct values gets one."""
        edges = [_edges(column[~np.isnan(column)], most) for column in table.T]
        return cls(edges, max([len(e) + 1 for e in edges], default=1))

    def codes(self, table: Floats) -> NDArray[np.uint8]:
        """Return the bucket of each value."""
        out = np.empty(table.shape, np.uint8)
        for j, edges in enumerate(self.edges):
            column = table[:, j]
            out[:, j] = np.where(np.isnan(column), self.count, np.searchsorted(edges, column, side="left"))
        return out

    def threshold(self, feature: int, cut: int) -> float:
        """Return the largest value left of a cut; every number lies left of the cut behind the last bucket."""
        edges = self.edges[feature]
        return float(edges[cut]) if cut < len(edges) else float(np.finfo(np.float64).max)


def _edges(values: Floats, most: int) -> Floats:
    distinct = np.unique(values)
    if len(distinct) <= most:
        middle = distinct[:-1] / 2 + distinct[1:] / 2
        return np.where((distinct[:-1] <= middle) & (middle < distinct[1:]), middle, distinct[:-1])
    edges = np.quantile(values, np.arange(1, most) / most, method="midpoint")
    # if quantiles fall on a frequent largest value, the cut lies below that value instead of vanishing
    return np.asarray(np.unique(np.minimum(edges, distinct[-2])), dtype=np.float64)


def counted(codes: NDArray[np.uint8], width: int) -> Ints:
    """Return the rows of each bucket, shape (features, width)."""
    features = codes.shape[1]
    flat = codes.astype(np.int64) + width * np.arange(features)
    return np.bincount(flat.reshape(-1), minlength=features * width).reshape(features, width)


@dataclass(frozen=True)
class Cuts:
    """The splits that a node may take, ordered by feature, then cut, then missing values right before left.

    Attributes
    ----------
    feature, cut : ndarray of int64
        Rows in buckets up to `cut` go left.
    missing_left : ndarray of bool
        Whether missing values go left too.
    """

    feature: Ints
    cut: Ints
    missing_left: Bools

    def __len__(self) -> int:
        return len(self.feature)

    def goes_left(self, index: int, codes: NDArray[Any], missing: int) -> Bools:
        """Return which rows go left by one of the splits."""
        code = codes[:, self.feature[index]]
        if self.missing_left[index]:
            return np.asarray((code <= self.cut[index]) | (code == missing))
        return np.asarray(code <= self.cut[index])


@dataclass(frozen=True)
class Allowed:
    """The cuts of a node that its descendants may use.

    Attributes
    ----------
    cuts : ndarray of bool, shape (features, buckets)
        Whether a cut after this bucket is allowed.
    apart : ndarray of bool, shape (features,)
        Whether a split between missing values and all others is allowed.
    """

    cuts: Bools
    apart: Bools

    @classmethod
    def everything(cls, features: int, buckets: int) -> Allowed:
        """Return the cuts of the root: all."""
        return cls(np.ones((features, buckets), np.bool_), np.ones(features, np.bool_))


def most_splits(columns: int, buckets: int, rows: int) -> int:
    """Return the largest number of splits that :func:`offered` offers for a node.

    Each cut of a column has at least one row more on its left than the cut before, and at least one on its right. It
    makes two splits if values are missing; one more split divides these from all others.

    Parameters
    ----------
    columns, buckets : int
        Number of columns, and the largest number of buckets of one.
    rows : int
        Rows of the node.

    Examples
    --------
    >>> most_splits(columns=3, buckets=32, rows=1000)
    189
    """
    return columns * max(0, 2 * min(buckets, rows) - 1)


def offered(counts: Ints, allowed: Allowed, *, least: int, leaf: int) -> tuple[Allowed, list[Cuts]]:
    """Choose the cuts of a pair of siblings (or of the root) whose sums may be opened.

    Between two neighbouring cuts of a feature lie at least `least` rows of each sibling, or none. Both siblings have
    the same cuts, all of them cuts of their parent: otherwise the parent's sums minus one child's would reveal thinner
    buckets of the other.

    Parameters
    ----------
    counts : ndarray of int64, shape (nodes, features, buckets + 1)
        Rows by node, feature and bucket, missing values last.
    allowed : Allowed
        The cuts allowed at the parent.
    least : int
        The fewest rows of a bucket, at least 1.
    leaf : int
        The fewest rows on either side of a split.

    Returns
    -------
    Allowed
        The cuts allowed at the children of either node.
    list of Cuts
        The splits offered for each node.

    Examples
    --------
    >>> counts = np.array([[[3, 1, 4, 0]]])
    >>> offered(counts, Allowed.everything(1, 3), least=2, leaf=1)[1][0].cut.tolist()
    [0]
    """
    nodes, features, width = counts.shape
    buckets = width - 1
    kept = Allowed(np.zeros((features, buckets), np.bool_), np.zeros(features, np.bool_))
    found: list[list[tuple[int, int, bool]]] = [[] for _ in range(nodes)]

    def thin(row: list[int]) -> bool:
        return any(0 < n < least for n in row)

    for f in range(features):
        table = counts[:, f, :].T.tolist()
        missing = table.pop()
        total = [sum(column) for column in zip(*table, strict=True)] if table else [0] * nodes
        apart = bool(allowed.apart[f]) and not thin(missing) and not thin(total)
        kept.apart[f] = apart
        tail = [0] * nodes if apart else missing
        below, last = [0] * nodes, [0] * nodes
        seen = [0] * nodes  # rows left of the last cut that each node was offered
        for b, (row, may) in enumerate(zip(table, allowed.cuts[f].tolist(), strict=True)):
            below = [x + y for x, y in zip(below, row, strict=True)]
            fresh = [x - y for x, y in zip(below, last, strict=True)]
            rest = [t - x + m for t, x, m in zip(total, below, tail, strict=True)]
            if not may or not any(fresh) or not any(rest) or thin(fresh) or thin(rest):
                continue
            kept.cuts[f, b] = True
            last = below
            for k in range(nodes):
                if below[k] > seen[k]:
                    seen[k] = below[k]
                    found[k] += _ways(f, b, below[k], total[k], missing[k], apart, leaf)
        for k in range(nodes):
            if apart and missing[k] and min(total[k], missing[k]) >= leaf:
                found[k].append((f, buckets - 1, False))
    return kept, [_cuts(triples) for triples in found]


def _ways(f: int, b: int, below: int, total: int, missing: int, apart: bool, leaf: int) -> list[tuple[int, int, bool]]:
    """Return the splits of one cut: missing values right, then left; if there are none, only with the larger side."""
    rows = total + missing
    if not missing:
        return [(f, b, 2 * below >= rows)] if min(below, rows - below) >= leaf else []
    if below == total:
        return []  # no value right of it: the same as the cut between missing values and all others
    ways = [(f, b, False)] if min(below, rows - below) >= leaf else []
    if apart and min(below + missing, total - below) >= leaf:
        ways.append((f, b, True))
    return ways


def _cuts(triples: list[tuple[int, int, bool]]) -> Cuts:
    table = np.array(triples, dtype=np.int64).reshape(-1, 3)
    return Cuts(table[:, 0].copy(), table[:, 1].copy(), table[:, 2].astype(np.bool_))
