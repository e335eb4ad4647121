"""Products of sparse matrices and ciphertexts: what scipy.sparse holds as lists of entries, and powers by these lists.

scipy is never imported here: an operand can only be one of its matrices where it was imported already.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .. import _parallel
from .._kernels.modexp import Montgomery
from .._powers import product_us
from ..encoding import FixedPoint
from . import _bounds, _words
from ._store import Index, Words, ones, part, picked

__all__ = ["Entries", "asked_by_scipy", "entries_of", "is_sparse", "multiexp"]

_SLICE_US = 50_000.0
_CELL_BYTES = 1 << 22


class Entries(NamedTuple):
    """Entries of a matrix: entry k is ``values[k]`` at ``(row[k], column[k])``; those of one place add up."""

    rows: int
    row: Index
    column: Index
    values: _bounds.Ints

    def largest_row_sum(self) -> int:
        """Return the largest sum of absolute values in a row, exactly; 0 if there is no entry."""
        if not len(self.row):
            return 0
        row, which = np.unique(self.row, return_inverse=True)
        if self.values.dtype != object and _bounds.largest(self.values) * len(self.row) < 1 << 63:
            sums = np.zeros(len(row), dtype=np.int64)
            np.add.at(sums, which.reshape(-1), np.abs(self.values))
            return int(sums.max())
        totals = [0] * len(row)
        for k, value in zip(which.reshape(-1).tolist(), self.values.tolist(), strict=True):
            totals[k] += abs(value)
        return max(totals)


def is_sparse(x: object) -> bool:
    """Tell whether an operand is a sparse matrix or array of scipy."""
    scipy_sparse = sys.modules.get("scipy.sparse")
    return scipy_sparse is not None and bool(scipy_sparse.issparse(x))


def asked_by_scipy(depth: int) -> bool:
    """Return whether the caller, `depth` frames up, is scipy.sparse's ``@`` inspecting its right operand.

    It multiplies whatever becomes a NumPy array, and defers to an operand that becomes an object array without axes.
    No attribute makes it defer: it ignores ``__array_ufunc__`` and ``__array_priority__``.
    """
    caller = sys._getframe(depth)
    asking = caller.f_code.co_name in ("_matmul_dispatch", "_mul_dispatch")
    return asking and str(caller.f_globals.get("__name__")).startswith("scipy.sparse")


def entries_of(matrix: Any, left: bool, plan: FixedPoint, what: str) -> tuple[Entries, int]:
    """Return the entries of a sparse matrix of one or two axes as integers, and whether they count as reals.

    Rows are the outputs of the product: those of the matrix if it stands on the left, else its columns. An entry is
    encoded by itself, as it is stored; zeros are dropped.

    Raises
    ------
    ValueError
        If it has more axes, or an entry is NaN or infinite.
    TypeError
        If its dtype does not hold exact numbers.
    """
    if matrix.ndim not in (1, 2):
        raise ValueError(f"{what}: a sparse array must have one or two axes, not {matrix.ndim}")
    coo = matrix.tocoo()
    places = (coo.row, coo.col) if matrix.ndim == 2 else (np.zeros(coo.nnz, dtype=np.int64), coo.coords[0])
    output, contracted = places if left or matrix.ndim == 1 else places[::-1]
    rows = 1 if matrix.ndim == 1 else matrix.shape[0 if left else 1]
    data = _bounds.as_operand(coo.data, f"the operand of {what}")
    assert data is not None
    if data.dtype.kind == "f" and not (finite := np.isfinite(data)).all():
        at = [int(place[np.argmin(finite)]) for place in places[-matrix.ndim :]]
        raise ValueError(f"{what}: array{at} is NaN or infinite: impute or drop it before computing")
    values, frac = _bounds.factors(data, plan, what)
    kept = np.asarray(values != 0, dtype=bool)
    return Entries(rows, output[kept].astype(np.int64), contracted[kept].astype(np.int64), values[kept]), frac


def multiexp(
    mont: Montgomery, src: Words, columns: Index, entries: Entries, *, threads: int | None = None
) -> tuple[Words, Index]:
    """Return ``out[p, r] = product of src[columns[p, column[k]]] ^ values[k] over the entries k of row r``.

    `columns` has shape (problems, columns of the matrix). The result is a buffer and its flat index. A negative entry
    is a positive one of the inverse of its base; these are inverted all together. (Dense matrices have an inverse for
    each output instead. Here a second Horner pass for each row would cost more than an inverse for each column.)

    Entries are cut into calls of about 50 ms each: strips of rows that have entries, as many as leave each row at least
    64 in a call, for each call squares once for a row; and within a strip by columns, whose powers serve all its rows.
    """
    total = len(columns) * entries.rows
    if not len(entries.row) or not len(columns):
        return ones(mont, total), np.arange(total, dtype=np.int64)
    words, columns, column = _bases(mont, src, columns, entries, threads)
    used, row = np.unique(entries.row, return_inverse=True)
    row = row.reshape(-1)
    bits = int(_bounds.bit_lengths(entries.values).max())
    budget = _SLICE_US / product_us(mont)  # in products
    each = bits / 4 + 1
    wanted = budget / (min(64.0, len(row) / len(used)) * each + 2 * bits)
    rb = int(max(1, min(wanted, _CELL_BYTES // (mont.nbytes * bits), len(used))))
    rb = -(-rb // mont.lanes) * mont.lanes
    order = np.lexsort((column, row // rb))
    strip, row, column, values = row[order] // rb, row[order] % rb, column[order], entries.values[order]
    most = max(1, int((budget - 2 * bits * rb) / each))
    edges = [0, *(np.flatnonzero(np.diff(strip)) + 1).tolist(), len(strip)]
    calls = [(lo, min(lo + most, end)) for begin, end in pairwise(edges) for lo in range(begin, end, most)]
    partial = ones(mont, len(columns) * len(calls) * rb)

    def work(first: int, last: int) -> None:
        for t in range(first, last):
            problem, call = divmod(t, len(calls))
            lo, hi = calls[call]
            starts = np.concatenate([[0], np.flatnonzero(np.diff(column[lo:hi])) + 1, [hi - lo]])
            bases = columns[problem, column[lo + starts[:-1]]]
            exponents = _bounds.exponent_limbs(values[lo:hi], -(-bits // 64))
            dst = part(mont, partial, t * rb, (t + 1) * rb)
            mont.multiexp_sparse(dst, words, bases, starts, row[lo:hi], exponents, bits, rb)

    _parallel.run(len(columns) * len(calls), work, cost_us=_SLICE_US, threads=threads)
    # every row is the product of what the calls on its strip found: a histogram
    place = np.array([strip[lo] * rb for lo, _ in calls])[:, None] + np.arange(rb)
    found = np.flatnonzero(place.reshape(-1) < len(used))
    problem = np.arange(len(columns), dtype=np.int64)[:, None]
    index = (problem * len(calls) * rb + found).reshape(-1, 1)
    codes = (problem * entries.rows + used[place.reshape(-1)[found]]).reshape(-1, 1)
    out, at = _words.histogram(mont, partial, index, codes, total, threads=threads)
    return out, at.reshape(-1)


def _bases(
    mont: Montgomery, src: Words, columns: Index, entries: Entries, threads: int | None
) -> tuple[Words, Index, Index]:
    """Return the bases of positive entries and the inverses of those of negative ones, with their index and numbers.

    The index has shape (problems, numbers); the numbers, one for each entry, stand for the columns that have positive
    entries and then for those that have negative ones.
    """
    negative = np.asarray(entries.values < 0, dtype=bool)
    plus, where_plus = np.unique(entries.column[~negative], return_inverse=True)
    minus, where_minus = np.unique(entries.column[negative], return_inverse=True)
    start = -(-len(columns) * len(plus) // mont.lanes) * mont.lanes  # inverses begin a new group
    n = start + len(columns) * len(minus)
    wanted = np.resize(columns[:, plus], start)  # repeated up to whole groups
    wanted = np.concatenate([wanted, columns[:, minus].reshape(-1)])
    words = picked(mont, src, wanted, threads)
    _words.invert(mont, words, start, n, threads)
    problem = np.arange(len(columns), dtype=np.int64)[:, None]
    index = np.concatenate(
        [problem * len(plus) + np.arange(len(plus)), start + problem * len(minus) + np.arange(len(minus))], axis=1
    )
    column = np.empty(len(negative), dtype=np.int64)
    column[~negative], column[negative] = where_plus.reshape(-1), len(plus) + where_minus.reshape(-1)
    return words, index, column
