"""A matrix of plain integers times encrypted vectors: tables of powers shared by all rows (csrc/bt_straus.h).

``powers_of_rows`` gives, for every row r, the product of ``src[columns[j]] ** matrix[r, j]`` over the positive and over
the negative entries. The work is cut into slices and spread over threads in three phases: the tables of a block of
columns, by columns; their powers, collected in the cells of each row, by rows; and, once, the cells of each row joined.
"""

from __future__ import annotations

import numpy as np

from .. import _parallel
from .._kernels import straus
from .._kernels.modexp import Montgomery
from .._powers import product_us
from . import _bounds
from ._store import Index, Words, empty, ones

__all__ = ["cost", "powers_of_rows"]

# Bytes of the cells of the rows that share tables, and of the tables of the columns that exist at a time.
_CELL_BYTES = 16 << 20
_TABLE_BYTES = 16 << 20
_WINDOWS = range(2, 9)


def _rows_together(mont: Montgomery, bits: int) -> int:
    each = 8 * mont.elem_words * straus.cells_of_row(bits)
    return max(1, _CELL_BYTES // each // mont.lanes) * mont.lanes


def _window_for(mont: Montgomery, rows: int, bits: int) -> int:
    """Return the window that takes the fewest products for each column."""
    blocks = -(-rows // _rows_together(mont, bits))
    return min(_WINDOWS, key=lambda w: blocks * straus.entries(w) + rows * _digits(bits, w))


def _digits(bits: int, window: int) -> float:
    """Return how many digits of an exponent are not 0, on average: one in window + 1, and its share of the ends."""
    return bits / (window + 1) + 0.5


def cost(mont: Montgomery, rows: int, m: int, bits: int) -> float:
    """Return the products that :func:`powers_of_rows` takes, without what thin batches waste."""
    window = _window_for(mont, rows, bits)
    blocks = -(-rows // _rows_together(mont, bits))
    joins = 4 * bits * -(-rows // mont.lanes) * mont.lanes
    return blocks * straus.entries(window) * m + rows * m * _digits(bits, window) + joins


def powers_of_rows(
    mont: Montgomery, src: Words, columns: Index, matrix: _bounds.Ints, bits: int, *, threads: int | None = None
) -> tuple[Words, Words]:
    """Return the products over the positive and over the negative entries of each row, as buffers of ``len(matrix)``.

    `matrix` has shape (rows, m) with magnitudes below ``2 ** bits``, `columns` (m,) holds places in `src`.
    """
    rows = len(matrix)
    plus, minus = empty(mont, rows), empty(mont, rows)
    step = _rows_together(mont, bits)
    window = _window_for(mont, rows, bits)
    for first in range(0, rows, step):
        last = min(first + step, rows)
        here = slice(mont.words(first), mont.words(last))
        _strip(mont, (plus[here], minus[here]), src, columns, matrix[first:last], bits, window, threads)
    return plus, minus


def _strip(
    mont: Montgomery,
    results: tuple[Words, Words],
    src: Words,
    columns: Index,
    matrix: _bounds.Ints,
    bits: int,
    window: int,
    threads: int | None,
) -> None:
    rows, m = matrix.shape
    product, each, limbs = product_us(mont), straus.cells_of_row(bits), -(-bits // 64)
    cells, used = ones(mont, rows * each), np.zeros(rows * each, np.uint8)
    width = max(1, _TABLE_BYTES // (8 * mont.elem_words * straus.entries(window)) // mont.lanes) * mont.lanes
    width = min(width, -(-m // mont.lanes) * mont.lanes)
    powers = empty(mont, width * straus.entries(window))
    for begin in range(0, m, width):
        picked = np.ascontiguousarray(columns[begin : begin + width])
        block = matrix[:, begin : begin + width]

        def fill(lo: int, hi: int, picked: Index = picked) -> None:
            straus.table(mont, powers, width, src, picked, window, lo, hi)

        def collect(lo: int, hi: int, block: _bounds.Ints = block) -> None:
            part = np.ascontiguousarray(block[lo:hi])
            negative = np.asarray(part < 0).view(np.uint8)
            exponents = _bounds.exponent_limbs(part, limbs)
            straus.collect(mont, cells, used, powers, width, exponents, negative, bits, window, lo)

        count = len(picked)
        cost_us = (straus.entries(window) + 1) * product
        _parallel.run(count, fill, cost_us=cost_us, align=mont.lanes, threads=threads)
        _parallel.run(rows, collect, cost_us=count * _digits(bits, window) * product, threads=threads)

    def join(lo: int, hi: int) -> None:
        for negative in (False, True):
            straus.join(mont, results[negative], cells, used, bits, negative, lo, hi)

    _parallel.run(rows, join, cost_us=4 * bits * product, align=mont.lanes, threads=threads)
