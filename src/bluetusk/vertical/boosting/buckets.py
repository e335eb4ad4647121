"""Cuts columns into buckets, and selects the cuts of a node's rows that may be offered as splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Bools, Floats, Ints

__all__ = ["Allowed", "Buckets", "Cuts", "counted", "first_alike", "most_splits", "offered"]


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

    def splits(self, table: Floats, least: int) -> int:
        """Return the largest number of splits that :func:`offered` offers for a node of any of the table's rows.

        A column of k edges has k splits. With missing values it has two for each edge, and one between missing values
        and all others: but only if there are `least` of either, as missing values otherwise go right.

        Parameters
        ----------
        table : ndarray of float64, shape (rows, features)
            The columns that the buckets were made of.
        least : int
            The fewest rows of a bucket.

        Examples
        --------
        >>> table = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, np.nan], [3.0, np.nan]])
        >>> Buckets.of(table, 4).splits(table, least=2)  # 3 and 2 * 1 + 1
        6
        """
        missing = np.isnan(table).sum(axis=0)
        both = np.minimum(missing, len(table) - missing) >= max(1, least)
        return sum(2 * len(e) + 1 if apart else len(e) for e, apart in zip(self.edges, both.tolist(), strict=True))

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


def first_alike(cuts: Cuts, index: int, codes: NDArray[np.uint8], missing: int) -> int:
    """Return the first of the splits that divide rows into the same two sides as one of them, in either order.

    Examples
    --------
    >>> cuts = Cuts(np.array([0, 1]), np.array([0, 0]), np.array([False, False]))
    >>> first_alike(cuts, 1, np.array([[0, 1], [1, 0], [1, 0]], np.uint8), 2)
    0
    """
    counts = counted(codes, missing + 1)
    sizes = counts[:, :-1].cumsum(axis=1)[cuts.feature, cuts.cut]
    sizes = sizes + np.where(cuts.missing_left, counts[cuts.feature, -1], 0)
    left, size = cuts.goes_left(index, codes, missing), int(sizes[index])
    for k in np.flatnonzero((sizes[:index] == size) | (sizes[:index] == len(codes) - size)).tolist():
        same = cuts.goes_left(k, codes, missing) == left
        if same.all() or not same.any():
            return int(k)
    return index


@dataclass(frozen=True)
class Allowed:
    """The cuts of a node that its descendants may use, and those of the root, between which lie its blocks.

    Attributes
    ----------
    cuts : ndarray of bool, shape (features, buckets)
        Whether a cut after this bucket is allowed.
    apart : ndarray of bool, shape (features,)
        Whether a split between missing values and all others is allowed.
    root : Allowed, optional
        Those of the root; None at the root.
    """

    cuts: Bools
    apart: Bools
    root: Allowed | None = None

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
    buckets of the other. Where a block of the root has rows in one sibling only, as in columns of few values, its sum
    is known from the parent; so it must not lie between the same two cuts as a block with rows in both, whose sum would
    follow. If the cuts cannot be chosen so, neither sibling is offered one of this feature.

    Then no sum over fewer rows follows from the opened sums of one feature. Let F be a combination of them that counts
    each row once or not at all, and L and R siblings without opened sums below them, P their parent. Within P all other
    sums are functions of the root's block b: F is f(b) + x(B) in L and f(b) in R, where x(B) is one number for all
    blocks between two neighbouring cuts, B, that have rows in both. If x(B) = 1, then f = 0 in B, and F holds all rows
    of L in B; if x(B) = -1, then f = 1, and F holds all rows of R in B: `least` rows or more. If x(B) = 0 for all B, F
    follows without L and R, and so on up to the root, whose blocks have `least` rows.

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
    cuts, aparts = np.zeros((features, buckets), np.bool_), np.zeros(features, np.bool_)
    found: list[list[tuple[int, int, bool]]] = [[] for _ in range(nodes)]
    for f in range(features):
        table = counts[:, f, :].T.tolist()
        chosen = _between(table, allowed, f, least)
        if chosen is None:
            continue
        ends, apart = chosen
        cuts[f, ends], aparts[f] = True, apart
        missing = table.pop()
        total = [sum(column) for column in zip(*table, strict=True)]
        seen = [0] * nodes  # rows left of the last cut that each node was offered
        for b in ends:
            below = [sum(column) for column in zip(*table[: b + 1], strict=True)]
            for k in range(nodes):
                if below[k] > seen[k]:
                    seen[k] = below[k]
                    found[k] += _ways(f, b, below[k], total[k], missing[k], apart, leaf)
        for k in range(nodes):
            if apart and missing[k] and min(total[k], missing[k]) >= leaf:
                found[k].append((f, buckets - 1, False))
    kept = Allowed(cuts, aparts, allowed.root or Allowed(cuts, aparts))
    return kept, [_cuts(triples) for triples in found]


def _between(table: list[list[int]], allowed: Allowed, f: int, least: int) -> tuple[list[int], bool] | None:
    """Return the cuts of a feature, and whether missing values are apart; None if none may be offered.

    `table` has the rows of each bucket, missing values last, by node.
    """
    buckets = len(table) - 1
    may = allowed.cuts[f].tolist()

    def thin(rows: list[int]) -> bool:
        return any(0 < n < least for n in rows)

    def rows(first: int, end: int) -> list[int]:
        return [sum(column) for column in zip(*table[first:end], strict=True)] if first < end else [0] * len(table[0])

    missing = table[buckets]
    apart = bool(allowed.apart[f]) and not thin(missing) and not thin(rows(0, buckets))
    kinds = _kinds(table, allowed.root, f)
    runs: list[tuple[int, int]] = []  # of buckets between which there must be a cut
    first, before, end = 0, None, 0
    for b, kind in enumerate(kinds[:buckets]):
        if not any(kind):
            continue
        if before not in (None, kind):
            between = [c for c in range(end, b) if may[c]]
            if not between:
                return None
            runs.append((first, between[0] + 1))
            first = between[0] + 1
        before, end = kind, b
    if not apart and any(kinds[buckets]) and before not in (None, kinds[buckets]):
        return None
    runs.append((first, buckets))
    cuts: list[int] = []
    for first, end in runs:
        tail = missing if end == buckets and not apart else [0] * len(missing)
        for b in range(first, end - 1 if end < buckets else end):
            fresh, rest = rows(first, b + 1), [x + y for x, y in zip(rows(b + 1, end), tail, strict=True)]
            if may[b] and any(fresh) and any(rest) and not thin(fresh) and not thin(rest):
                cuts.append(b)
                first = b + 1
        left = [x + y for x, y in zip(rows(first, end), tail, strict=True)]
        if len(runs) > 1 and thin(left):
            return None
        if end < buckets:
            cuts.append(end - 1)
    return cuts, apart


def _kinds(table: list[list[int]], root: Allowed | None, f: int) -> list[tuple[bool, ...]]:
    """Return for each bucket, missing values last, which nodes have rows in its block of the root."""
    last = len(table) - 1
    ends = list(range(last + 1))
    if root is not None:
        ends = [*np.flatnonzero(root.cuts[f]).tolist(), *([last - 1] if root.apart[f] else []), last]
    kinds: list[tuple[bool, ...]] = []
    for end in sorted(set(ends)):
        block = table[len(kinds) : end + 1]
        kinds += [tuple(any(column) for column in zip(*block, strict=True))] * len(block)
    return kinds


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
