"""Chooses bins that all banks share, from nothing but the sum of their histograms.

Each column has a fixed public grid of fine cells, chosen without looking at anyone's data. Every bank counts its
training customers per cell, the counts are added under encryption, and the pooled counts determine the bins: about
eight of equal weight for amounts, one per level for codes. One bin number for each cell travels back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .data import FEATURES

__all__ = ["CELLS", "Bins", "cells_of", "choose_bins", "histogram"]

_BINS = 8
_RARE = 200  # a level below n / _RARE customers is joined with others: it would reveal too much about too few
_THIN = 16  # a bin of amounts keeps at least n / _THIN customers, unless a single cell is heavier than that


@dataclass(frozen=True)
class _Grid:
    """One column's cells: `edges` (cell k holds edges[k-1] <= x < edges[k]), and how bins are made of them."""

    edges: NDArray[np.float64]
    kind: str  # "amount": quantiles; "ordered": levels, rare ones joined to a neighbour; "nominal": rare ones together


def _codes(low: int, high: int) -> NDArray[np.float64]:
    """Edges between the whole numbers low .. high, one cell each."""
    return np.arange(low, high, dtype=np.float64) + 0.5


def _amounts() -> NDArray[np.float64]:
    """44 amounts from 100 to 1 000 000 in equal ratios, rounded to hundreds."""
    return np.unique(np.rint(np.geomspace(1e2, 1e6, 44) / 100.0) * 100.0)


_OF_COLUMNS = {
    "SEX": _Grid(_codes(1, 2), "nominal"),
    "EDUCATION": _Grid(_codes(0, 6), "nominal"),
    "MARRIAGE": _Grid(_codes(0, 3), "nominal"),
    "AGE": _Grid(_codes(20, 80), "amount"),
    "LIMIT_BAL": _Grid(np.arange(15e3, 805e3, 10e3), "amount"),
    "PAY_AMT": _Grid(np.concatenate([[0.5], _amounts()]), "amount"),
    "BILL_AMT": _Grid(np.concatenate([-_amounts()[::-6], [-0.5, 0.5], _amounts()]), "amount"),
    "PAY_": _Grid(_codes(-2, 8), "ordered"),
}
"""By how a column's name begins; the first that fits."""
_GRIDS = tuple(next(grid for start, grid in _OF_COLUMNS.items() if name.startswith(start)) for name in FEATURES)
_SIZES = np.array([len(grid.edges) + 1 for grid in _GRIDS], dtype=np.int64)
_STARTS = np.concatenate([[0], np.cumsum(_SIZES)[:-1]])
CELLS: int = int(_SIZES.sum())
"""Number of cells in all columns together."""


def cells_of(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the public cell of every value.

    Parameters
    ----------
    x : ndarray of int64, shape (n, 23)
        Customers.

    Returns
    -------
    ndarray of int64, shape (n, 23)
        Numbers below :data:`CELLS`, a separate range for each column. Values beyond a grid fall into its end cells.

    Examples
    --------
    >>> from bluetusk.demo.data import load
    >>> cells_of(load(rows=100).x).shape
    (100, 23)
    """
    columns = [np.searchsorted(grid.edges, x[:, j], side="right") for j, grid in enumerate(_GRIDS)]
    return np.asarray(np.stack(columns, axis=1) + _STARTS, dtype=np.int64)


def histogram(cells: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count customers per cell, and defaults.

    Parameters
    ----------
    cells : ndarray of int64, shape (n, 23)
        From :func:`cells_of`.
    y : ndarray of int64, shape (n,)
        Labels.

    Returns
    -------
    ndarray of int64, shape (CELLS + 1,)
        The counts; the last is the number of defaults.

    Examples
    --------
    >>> from bluetusk.demo.data import load
    >>> customers = load(rows=100)
    >>> counts = histogram(cells_of(customers.x), customers.y)
    >>> int(counts[:-1].sum()), bool(counts[-1] == customers.y.sum())
    (2300, True)
    """
    return np.append(np.bincount(cells.ravel(), minlength=CELLS), y.sum()).astype(np.int64)


def _quantiles(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Assign cells to bins of about equal weight: cut after the cell that comes nearest to each quantile."""
    below = np.cumsum(counts)
    n = int(below[-1])
    bins = np.zeros(len(counts), dtype=np.int64)
    last = 0
    for q in range(1, _BINS):
        cut = int(np.abs(below - n * q / _BINS).argmin())
        if n and min(below[cut] - last, n - below[cut]) >= n / _THIN:
            last = int(below[cut])
            bins[cut + 1 :] += 1
    return bins


def _levels(counts: NDArray[np.int64], ordered: bool) -> NDArray[np.int64]:
    """Assign each cell its own bin, but join rare ones: to the next if `ordered`, else all to one bin."""
    least = counts.sum() / _RARE
    if not ordered:
        rare = counts < least
        if rare.any() and counts[rare].sum() < least and not rare.all():
            rare[np.flatnonzero(~rare)[counts[~rare].argmin()]] = True
        key = np.where(rare, len(counts), np.arange(len(counts)))
        return np.unique(key, return_inverse=True)[1].astype(np.int64)
    bins = np.zeros(len(counts), dtype=np.int64)
    inside = 0
    for k in range(len(counts) - 1):
        inside += int(counts[k])
        if inside >= least and counts[k + 1 :].sum() >= least:
            bins[k + 1 :] += 1
            inside = 0
    return bins


@dataclass(frozen=True)
class Bins:
    """The agreed bins.

    Attributes
    ----------
    bin_of : ndarray of int64, shape (CELLS,)
        Bin of every cell; each column's bins follow those of the column before.

    Examples
    --------
    >>> from bluetusk.demo.data import load
    >>> customers = load()
    >>> bins = choose_bins(histogram(cells_of(customers.x), customers.y))
    >>> bins.codes(customers.x[:2]).shape, bins.size
    ((2, 23), 152)
    """

    bin_of: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Number of bins, which is the number of one-hot columns."""
        return int(self.bin_of[-1]) + 1

    @property
    def column_of(self) -> NDArray[np.int64]:
        """Column of every bin, shape (size,)."""
        first = np.append(np.minimum.reduceat(self.bin_of, _STARTS), self.size)
        return np.repeat(np.arange(len(FEATURES)), np.diff(first))

    def codes(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the bin of every value, shape (n, 23): the positions of the ones in a customer's one-hot row."""
        return self.bin_of[cells_of(x)]

    def pooled(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many customers each bin holds, shape (size,), from counts per cell."""
        return np.bincount(self.bin_of, weights=counts[:CELLS], minlength=self.size).astype(np.int64)

    def to_bytes(self) -> bytes:
        """Return the bin of every cell as little-endian 16-bit numbers."""
        return self.bin_of.astype("<u2").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Bins:
        """Read what :meth:`to_bytes` wrote; ValueError unless it numbers bins column by column without a gap."""
        if len(data) != 2 * CELLS:
            raise ValueError(f"bins must have {2 * CELLS} bytes, not {len(data)}")
        bin_of = np.frombuffer(data, dtype="<u2").astype(np.int64)
        seen = -1
        for start, size in zip(_STARTS.tolist(), _SIZES.tolist(), strict=True):
            inside = np.unique(bin_of[start : start + size])
            if inside[0] != seen + 1 or inside[-1] != seen + len(inside):
                raise ValueError("bins must be numbered column by column, without a gap")
            seen = int(inside[-1])
        if bin_of[-1] != seen:
            raise ValueError("bins must be numbered column by column, without a gap")
        return cls(bin_of)


def choose_bins(counts: NDArray[np.int64]) -> Bins:
    """Choose the bins from pooled counts.

    Parameters
    ----------
    counts : ndarray of int64, shape (CELLS + 1,)
        The sum of the banks' :func:`histogram`.

    Returns
    -------
    Bins

    Examples
    --------
    >>> choose_bins(np.ones(CELLS + 1, dtype=np.int64)).size > 100
    True
    """
    parts: list[NDArray[np.int64]] = []
    total = 0
    for grid, start, size in zip(_GRIDS, _STARTS.tolist(), _SIZES.tolist(), strict=True):
        inside = counts[start : start + size]
        part = _quantiles(inside) if grid.kind == "amount" else _levels(inside, grid.kind == "ordered")
        parts.append(part + total)
        total += int(part.max()) + 1
    return Bins(np.concatenate(parts))
