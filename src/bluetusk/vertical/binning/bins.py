"""Cuts, merges and weighs the bins of one column; independent of parties."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Floats, Ints
from ..tables.cells import in_order, number_texts
from ..tables.plain import ints, listed, number, reals, text, texts

__all__ = [
    "ColumnBins",
    "cut",
    "from_version_1",
    "information_value",
    "monotone_groups",
    "weigh",
    "weights_of_evidence",
]

_RESERVED = ("others", "missing")  # a category of this name is quoted where bins are described


@dataclass(frozen=True, eq=False)
class ColumnBins:
    """The bins of one column.

    Attributes
    ----------
    name : str
        The column.
    kind : {"numeric", "categorical"}
        Ordered bins between `edges`, or sets of categories.
    edges : ndarray of float64
        Bin k holds ``edges[k - 1] <= x < edges[k]``.
    groups : list of list of str
        For categories: the texts in each bin. All other texts fall into bin `other`.
    missing, other : int
        Bins of missing values and of categories that are rare or new; -1 where training had no such value.
    rows : ndarray of int64
        Rows of each bin in training.
    events : ndarray of int64 or None
        Events of each bin; None where this party does not know them.
    woe : ndarray of float64
        Weight of evidence of each bin; NaN where this party does not know it, as a host does not by default.
    iv : float
        Information value; NaN where the weights are.
    rare : list of str or None
        For categories: the texts in bin `other` at training; None for a file of version 1, which does not hold them.

    Examples
    --------
    >>> bins = cut("age", np.array([20.0, 30.0, 40.0, 50.0]), max_bins=2, min_rows=1)
    >>> bins.edges, bins.rows
    (array([40.]), array([2, 2]))
    """

    name: str
    kind: str
    edges: Floats
    groups: list[list[str]]
    missing: int
    other: int
    rows: Ints
    events: Ints | None
    woe: Floats
    iv: float
    rare: list[str] | None = field(default_factory=list)

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.rows)

    @property
    def known(self) -> bool:
        """Whether this party knows the weights of evidence."""
        return not math.isnan(self.iv)

    @property
    def ordered(self) -> int:
        """Number of ordered bins; they come first."""
        return len(self.edges) + 1 if self.kind == "numeric" else 0

    def codes(self, values: NDArray[Any]) -> Ints:
        """Return each value's bin; -1 for a value that training has not seen (a missing value, a new category)."""
        if self.kind == "numeric":
            codes = np.searchsorted(self.edges, values, side="right").astype(np.int64)
            codes[np.isnan(values)] = self.missing
            return codes
        place: dict[str | None, int] = {text: k for k, texts in enumerate(self.groups) for text in texts}
        place[None] = self.missing
        return np.array([place.get(text, self.other) for text in values.tolist()], np.int64)

    def unseen(self, values: NDArray[Any]) -> tuple[Counter[str], int]:
        """Return the categories that training has not seen with their counts, and the number of missing values.

        Missing values are counted only if training had none.
        """
        if self.kind == "numeric":
            return Counter(), int(np.isnan(values).sum()) if self.missing < 0 else 0
        counts = Counter(values.tolist())
        absent = counts.pop(None, 0) * (self.missing < 0)
        if self.rare is None and self.other >= 0:
            return Counter(), absent
        known = {text for texts in (*self.groups, self.rare or []) for text in texts}
        return Counter({text: n for text, n in counts.items() if text not in known}), absent

    def transform(self, values: NDArray[Any]) -> Floats:
        """Return each value's weight of evidence; 0 (no evidence) for a value that training has not seen."""
        return np.append(self.woe, 0.0)[self.codes(values)]

    def merged(self, groups: Ints) -> ColumnBins:
        """Return the bins after bin k has become bin ``groups[k]``; only neighbouring ordered bins are joined."""
        count = int(groups.max()) + 1
        total = np.bincount(groups, self.rows, count).astype(np.int64)
        events = None if self.events is None else np.bincount(groups, self.events, count).astype(np.int64)
        edges = self.edges
        if self.kind == "numeric":
            edges = edges[np.diff(groups[: self.ordered]) > 0]
        missing = int(groups[self.missing]) if self.missing >= 0 else -1
        return replace(self, edges=edges, missing=missing, rows=total, events=events, woe=np.full(count, np.nan))

    def weighed(self, woe: Floats, iv: float, events: Ints | None = None) -> ColumnBins:
        """Return the bins with their weights of evidence."""
        return replace(self, woe=woe, iv=float(iv), events=events)

    def labels(self) -> list[str]:
        """Return a description of each bin, for this party's reports; no two bins of a column have the same one."""
        if self.kind == "numeric":
            ends = ["-inf", *number_texts(self.edges.tolist()), "inf"]
            texts = [f"[{a}, {b})" for a, b in itertools.pairwise(ends)]
            texts = [t.replace("[-inf", "(-inf") for t in texts]
        else:
            texts = [", ".join(f'"{text}"' if text in _RESERVED else text for text in group) for group in self.groups]
            texts += [""] * (self.n_bins - len(texts))
        if self.other >= 0:
            texts[self.other] = ", ".join(filter(None, [texts[self.other], "others"]))
        if self.missing >= 0:
            texts = [*texts, *[""] * (self.n_bins - len(texts))]
            texts[self.missing] = ", ".join(filter(None, [texts[self.missing], "missing"]))
        return texts

    def to_plain(self) -> dict[str, Any]:
        """Return the bins as plain values for JSON: `woe` and `iv` are None where they are not known."""
        arrays = {name: getattr(self, name) for name in ("edges", "rows", "events", "woe")}
        plain = vars(self) | {name: None if array is None else array.tolist() for name, array in arrays.items()}
        return plain if self.known else plain | {"woe": None, "iv": None}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> ColumnBins:
        """Read what :meth:`to_plain` wrote; ValueError, TypeError or KeyError if it is malformed."""
        known = plain["iv"] is not None
        rows = ints(plain["rows"], "rows")
        if not known and plain["woe"] is not None:
            raise ValueError("woe must be None where iv is")
        made = cls(
            text(plain["name"], "name"),
            text(plain["kind"], "kind"),
            reals(plain["edges"], "edges"),
            [texts(group, "groups") for group in listed(plain["groups"], "groups")],
            int(ints([plain["missing"]], "missing", -1)[0]),
            int(ints([plain["other"]], "other", -1)[0]),
            rows,
            None if plain["events"] is None else ints(plain["events"], "events"),
            reals(plain["woe"], "woe") if known else np.full(rows.shape, np.nan),
            number(plain["iv"], "iv") if known else math.nan,
            None if plain["rare"] is None else texts(plain["rare"], "rare"),
        )
        k = len(rows)
        held = [category for group in made.groups for category in group]
        numeric = made.kind == "numeric"
        described = made.ordered if numeric else len(made.groups)
        if (
            made.kind not in ("numeric", "categorical")
            or (made.groups if numeric else made.edges.size)
            or not 1 <= k == len(made.woe)
            or not described <= k
            or not (made.missing < k and made.other < k)
            or (made.events is not None and (len(made.events) != k or (made.events > rows).any()))
            or len({*held}) != len(held)
            or (np.diff(made.edges) <= 0).any()
        ):
            raise ValueError("edges, groups, counts and weights of the bins do not match")
        return made


def from_version_1(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain form of bins from that of version 1, whose categories were "s" and a text, or "n" and a float.

    Raises
    ------
    ValueError
        If a text and a number become one category, since they had different weights; if a category begins with neither
        "s" nor "n".

    Examples
    --------
    >>> from_version_1({"groups": [["sa"], ["n2.0"]]})["groups"]
    [['a'], ['2']]
    """
    groups = [[_renamed(key) for key in group] for group in plain["groups"]]
    texts = [text for group in groups for text in group]
    if len(set(texts)) != len(texts):
        raise ValueError(f"the bins of {plain['name']!r} hold a number and the same text: fit the column again")
    return {**plain, "groups": groups, "rare": None}


def _renamed(key: str) -> str:
    if key[:1] not in ("s", "n"):
        raise ValueError("a category of version 1 must begin with s or n")
    if key[0] == "s":
        return key[1:]
    number = float(key[1:])
    return str(int(number)) if number.is_integer() else repr(number)


def cut(name: str, values: NDArray[Any], *, max_bins: int, min_rows: int) -> ColumnBins:
    """Cut a column into bins of at least `min_rows` rows each.

    Parameters
    ----------
    name : str
        The column.
    values : ndarray
        float64 with NaN for missing values, or texts of categories with None for missing ones.
    max_bins : int
        Largest number of bins of numbers; bins of missing values and of categories come on top.
    min_rows : int
        Least rows of a bin, at most the number of rows.

    Returns
    -------
    ColumnBins
        Numbers: cut between the values nearest to quantiles; a bin below `min_rows` joins its smaller neighbour.
        Categories: one bin each, rare ones together. Missing values: a separate bin; fewer than `min_rows` of them join
        the rare categories, or else the largest bin.

    Examples
    --------
    >>> cut("job", np.array(["a", "a", "b", None], object), max_bins=5, min_rows=2).labels()
    ['a', 'others, missing']
    """
    if values.dtype.kind == "f":
        return _cut_numbers(name, values, max_bins, min_rows)
    return _cut_categories(name, values, min_rows)


def _cut_numbers(name: str, values: Floats, max_bins: int, min_rows: int) -> ColumnBins:
    there = values[~np.isnan(values)]
    absent = len(values) - len(there)
    edges: list[float] = []
    if there.size:
        distinct, number = np.unique(there, return_counts=True)
        below = np.cumsum(number)
        wanted = there.size * np.arange(1, max_bins) / max_bins
        above = np.searchsorted(below, wanted)  # below[above] is the first count that reaches the quantile
        under = np.maximum(above - 1, 0)
        cuts = np.unique(np.where(wanted - below[under] <= below[above] - wanted, under, above))
        edges = distinct[cuts[cuts + 1 < len(distinct)] + 1].tolist()
    counts = np.bincount(np.searchsorted(edges, there, side="right"), minlength=len(edges) + 1).tolist()
    while len(counts) > 1 and min(counts) < min_rows:
        k = counts.index(min(counts))
        left = k > 0 and (k == len(counts) - 1 or counts[k - 1] <= counts[k + 1])
        low = k - 1 if left else k
        counts[low : low + 2] = [counts[low] + counts[low + 1]]
        del edges[low]
    missing = -1
    if absent:
        if absent >= min_rows and counts[0] >= min_rows:  # after the merging counts[0] is the sum, if there is one bin
            missing = len(counts)
            counts.append(absent)
        else:
            missing = counts.index(max(counts))
            counts[missing] += absent
    return _fresh(name, "numeric", np.array(edges, np.float64), [], missing, -1, counts)


def _cut_categories(name: str, texts: NDArray[Any], min_rows: int) -> ColumnBins:
    counts = Counter(texts.tolist())
    absent = counts.pop(None, 0)
    large = {text: n for text, n in counts.items() if n >= min_rows}
    rest = sum(counts.values()) - sum(large.values())
    alone = absent >= min_rows
    if not alone:
        rest += absent
    while 0 < rest < min_rows and large:  # the rare ones together are still too few
        least = min(large, key=lambda text: (large[text], text))
        rest += large.pop(least)
    if 0 < rest < min_rows:  # only the missing values reach min_rows
        rest, alone = rest + absent, False
    kept = in_order(large)
    groups, rows = [[text] for text in kept], [large[text] for text in kept]
    other = len(rows) if rest else -1
    if rest:
        rows.append(rest)
    missing = -1
    if absent:
        missing = len(rows) if alone else other
    if alone:
        rows.append(absent)
    made = _fresh(name, "categorical", np.empty(0), groups, missing, other, rows)
    return replace(made, rare=in_order(counts.keys() - large.keys()))


def _fresh(
    name: str, kind: str, edges: Floats, groups: list[list[str]], missing: int, other: int, rows: list[int]
) -> ColumnBins:
    return ColumnBins(
        name, kind, edges, groups, missing, other, np.array(rows, np.int64), None, np.full(len(rows), np.nan), np.nan
    )


def weights_of_evidence(rows: Ints, events: Ints, smoothing: float) -> Floats:
    """Return ln(share of the events / share of the others) of each bin, with `smoothing` added to every count.

    Examples
    --------
    >>> weights_of_evidence(np.array([50, 50]), np.array([10, 30]), 0.0).round(4)
    array([-0.9808,  0.8109])
    """
    bad, good = events + smoothing, rows - events + smoothing
    return np.asarray(np.log(bad / bad.sum()) - np.log(good / good.sum()), np.float64)


def information_value(rows: Ints, events: Ints, smoothing: float) -> float:
    """Return the sum over the bins of (share of the events - share of the others) times the weight of evidence.

    Examples
    --------
    >>> round(information_value(np.array([50, 50]), np.array([10, 30]), 0.0), 4)
    0.7466
    """
    bad, good = events + smoothing, rows - events + smoothing
    return float(((bad / bad.sum() - good / good.sum()) * weights_of_evidence(rows, events, smoothing)).sum())


def monotone_groups(rows: Ints, events: Ints, ordered: int, smoothing: float) -> Ints:
    """Return which of the first `ordered` bins to join so that the weight rises, or falls, from bin to bin.

    Neighbours that break the order are pooled (as in isotonic regression); of the two directions the one that keeps the
    larger information value is taken. Bins after the ordered ones stay as they are.

    Parameters
    ----------
    rows, events : ndarray of int64
        Rows and events of each bin.
    ordered : int
        Number of ordered bins.
    smoothing : float
        As for :func:`weights_of_evidence`.

    Returns
    -------
    ndarray of int64
        The new bin of each bin.

    Examples
    --------
    >>> monotone_groups(np.array([10, 10, 10, 10]), np.array([1, 5, 4, 8]), 4, 0.5)
    array([0, 1, 1, 2])
    """
    best, best_iv = np.arange(len(rows)), -1.0
    for sign in (1, -1):
        pools: list[list[int]] = []  # rows, events, bins of each pool
        for pair in zip(rows[:ordered].tolist(), events[:ordered].tolist(), strict=True):
            pools.append([*pair, 1])
            while len(pools) > 1 and sign * _falls(pools[-2], pools[-1], smoothing) >= 0:
                last = pools.pop()
                pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
        groups = np.repeat(np.arange(len(pools)), [pool[2] for pool in pools])
        groups = np.append(groups, len(pools) + np.arange(len(rows) - ordered)).astype(np.int64)
        count = int(groups.max()) + 1
        n, e = (np.bincount(groups, part, count).astype(np.int64) for part in (rows, events))
        iv = information_value(n, e, smoothing)
        if iv > best_iv:
            best, best_iv = groups, iv
    return np.asarray(best, np.int64)


def _falls(one: list[int], other: list[int], smoothing: float) -> float:
    """Return a number above 0 if the weight falls from one pool to the next, 0 if it stays.

    By the smoothed counts, as the weights are: few rows can have a higher rate and a lower weight.
    """
    (n, e), (m, f) = one[:2], other[:2]
    return (e + smoothing) * (m - f + smoothing) - (f + smoothing) * (n - e + smoothing)


def weigh(
    rows: Ints,
    events: Ints,
    ordered: int,
    *,
    monotonic: bool,
    smoothing: float,
    min_events: int = 0,
    min_others: int = 0,
) -> tuple[Floats, float]:
    """Return the weight of evidence of each bin and the information value, after joining bins in silence.

    Bins that are joined get the same weight; nothing else shows that they are joined. An ordered bin with fewer than
    `min_events` events or `min_others` others joins its smaller neighbour, again and again; the unordered ones (of
    categories, of missing values) join each other. What is still too small then has the weight 0.

    Parameters
    ----------
    rows, events : ndarray of int64
        Rows and events of each bin.
    ordered : int
        Number of ordered bins; they come first.
    monotonic : bool
        Join ordered neighbours by :func:`monotone_groups` first.
    smoothing : float
        As for :func:`weights_of_evidence`.
    min_events, min_others : int
        Least events, and least other rows, of a bin.

    Returns
    -------
    ndarray of float64, float
        The weights, one for each bin given, and the information value of the joined bins.

    Examples
    --------
    >>> values, iv = weigh(np.array([50, 50, 50]), np.array([2, 10, 30]), 3, monotonic=False, smoothing=0.5)
    >>> values.round(2)
    array([-2.04, -0.43,  1.32])
    >>> joined, _ = weigh(
    ...     np.array([50, 50, 50]), np.array([2, 10, 30]), 3, monotonic=False, smoothing=0.5, min_events=5
    ... )
    >>> joined.round(2)
    array([-1.03, -1.03,  1.33])
    """
    groups = np.arange(len(rows), dtype=np.int64)
    if monotonic:
        groups = monotone_groups(rows, events, ordered, smoothing)
    groups, void = _large_enough(groups, rows, events, ordered, min_events, min_others)
    count = int(groups.max()) + 1
    n, e = (np.bincount(groups, part, count).astype(np.int64) for part in (rows, events))
    woe = np.where(void, 0.0, weights_of_evidence(n, e, smoothing))
    bad, good = e + smoothing, n - e + smoothing
    return woe[groups], float(((bad / bad.sum() - good / good.sum()) * woe).sum())


def _large_enough(
    groups: Ints, rows: Ints, events: Ints, ordered: int, min_events: int, min_others: int
) -> tuple[Ints, NDArray[np.bool_]]:
    """Join groups until each has enough of both; return the group of each bin, and which groups have not even then."""

    def small(members: list[int]) -> bool:
        marked = int(events[members].sum())
        return marked < min_events or int(rows[members].sum()) - marked < min_others

    first = [np.flatnonzero(groups == k).tolist() for k in range(int(groups[:ordered].max()) + 1)] if ordered else []
    while len(first) > 1 and any(map(small, first)):
        k = next(k for k, members in enumerate(first) if small(members))
        sizes = [int(rows[members].sum()) for members in first]
        left = k > 0 and (k == len(first) - 1 or sizes[k - 1] <= sizes[k + 1])
        low = k - 1 if left else k
        first[low : low + 2] = [first[low] + first[low + 1]]
    rest = [[k] for k in range(ordered, len(rows))]
    few = [k for (k,) in rest if small([k])]
    pools = [*first, *(members for members in rest if members[0] not in few), *([few] if few else [])]
    to = np.empty(len(rows), np.int64)
    for place, members in enumerate(pools):
        to[members] = place
    return to, np.array([small(members) for members in pools])
