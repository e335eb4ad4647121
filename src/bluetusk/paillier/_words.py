"""Products, powers, inverses and multi-exponentiations over the elements of stores.

Each function takes elements by their index in a buffer and returns a new buffer with the index of its results. A sum of
plaintexts is a product of ciphertexts, a plain factor is an exponent, a difference needs an inverse. All of it is exact
modulo n^2, so neither the order of the products nor the cut into slices shows in any result.

Time depends on the plain operands, which belong to the caller: their signs, bit lengths and zeros.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _parallel
from .._kernels.modexp import Montgomery
from .._powers import product_us
from . import _bounds, _straus
from ._store import Index, Words, build, empty, gather, ones, part, picked

__all__ = [
    "histogram",
    "inverses",
    "invert",
    "lifted",
    "multiexp",
    "multiply",
    "powers",
    "products",
    "row_products",
    "running_products",
]

_SLICE_US = 50_000.0
_BINS_BYTES = 1 << 18


def products(mont: Montgomery, a: Words, ia: Index, b: Words, ib: Index, *, threads: int | None = None) -> Words:
    """Return the products ``a[ia[i]] * b[ib[i]]``."""

    def work(dst: Words, lo: int, hi: int) -> None:
        mont.mul(dst, a, ia[lo:hi], b, ib[lo:hi], 0, hi - lo)

    return build(mont, len(ia), work, cost_us=product_us(mont), threads=threads)


def multiply(mont: Montgomery, words: Words, other: Words, n: int, threads: int | None) -> None:
    """Multiply n elements in place by those of another buffer."""

    def work(lo: int, hi: int) -> None:
        here = part(mont, words, lo, hi)
        mont.mul(here, here, None, part(mont, other, lo, hi), None, 0, hi - lo)

    _parallel.run(n, work, cost_us=product_us(mont), align=mont.lanes, threads=threads)


def invert(mont: Montgomery, words: Words, lo: int, hi: int, threads: int | None) -> None:
    """Invert elements ``lo .. hi - 1`` in place, slice by slice; `lo` is a multiple of the lanes."""

    def work(first: int, last: int) -> None:
        mont.invert(part(mont, words, lo + first, lo + last), last - first)

    _parallel.run(hi - lo, work, cost_us=4 * product_us(mont), align=mont.lanes, threads=threads)


def inverses(mont: Montgomery, src: Words, index: Index, *, threads: int | None = None) -> tuple[Words, Index]:
    """Return the inverses of ``src[index]``; an element that occurs more than once is inverted once."""
    wanted, where = np.unique(index, return_inverse=True)
    words = picked(mont, src, wanted, threads)
    invert(mont, words, 0, len(wanted), threads)
    return words, np.ascontiguousarray(where.reshape(-1), dtype=np.int64)


def powers(
    mont: Montgomery, src: Words, index: Index, factors: _bounds.Ints, *, threads: int | None = None
) -> tuple[Words, Index]:
    """Return ``src[index[i]] ^ factors[i]`` for factors of any sign and size.

    The elements are sorted by the bit length of their factor, so a 16-bit factor costs 16 bits whatever its neighbours
    are. The negative ones come first, in as few slices as the threads allow, because each slice of them is inverted at
    once; the others follow, the longest first.
    """
    bits = _bounds.bit_lengths(factors)
    negative = np.asarray(factors < 0, dtype=bool)
    order = np.lexsort((-bits, ~negative))
    at = np.empty(len(order), dtype=np.int64)
    at[order] = np.arange(len(order))
    first = int(np.count_nonzero(negative))
    if pad := -first % mont.lanes:  # the negative ones fill whole groups of lanes, by repeating the last
        at[order[first:]] += pad
        order = np.concatenate([order[:first], np.repeat(order[first - 1], pad), order[first:]])
        first += pad
    index, factors, bits = index[order], factors[order], bits[order]
    words = empty(mont, len(order))
    limb = None if factors.dtype == object else _bounds.exponent_limbs(factors, 1)

    def work(lo: int, hi: int) -> None:
        lo, hi = lo * mont.lanes, min(hi * mont.lanes, len(order))
        here, longest = part(mont, words, lo, hi), max(1, int(bits[lo]))
        exponents = _bounds.exponent_limbs(factors[lo:hi], -(-longest // 64)) if limb is None else limb[lo:hi]
        mont.pow(here, src, index[lo:hi], exponents, longest, 0, hi - lo)
        if lo < first:
            mont.invert(here, hi - lo)

    count = _parallel.resolve_threads(threads)
    costs = (0.1 + 1.3 * bits[:: mont.lanes]) * (product_us(mont) * mont.lanes)
    groups = first // mont.lanes
    others = ((groups + lo, groups + hi) for lo, hi in _parallel.slices_by_cost(costs[groups:], count, falling=True))
    slices = itertools.chain(_parallel.slices_by_cost(costs[:groups], count, falling=False), others)
    _parallel.run_slices(slices, work, threads=count if costs.sum() > _parallel.LEAST_US else 1)
    return words, at


def secret_powers(
    mont: Montgomery, src: Words, index: Index, factors: NDArray[np.int64], *, threads: int | None = None
) -> Words:
    """Return ``src[index[i]] ** factors[i]`` in a time that no factor changes: c^(k + 2^63) (c^(2^63))^-1.

    The exponents k + 2^63 are not negative and have 64 bits; the inverses do not depend on k.
    """
    wanted, where = np.unique(index, return_inverse=True)
    shift, at = powers(mont, src, wanted, np.full(len(wanted), -(1 << 63), dtype=np.int64), threads=threads)
    offset = np.ascontiguousarray(at[where.reshape(-1)])
    exponents = (factors.view(np.uint64) ^ np.uint64(1 << 63)).reshape(-1, 1)

    def work(dst: Words, lo: int, hi: int) -> None:
        mont.pow_secret(dst, src, index[lo:hi], exponents[lo:hi], 64, 0, hi - lo)
        mont.mul(dst, dst, None, shift, offset[lo:hi], 0, hi - lo, secret=True)

    return build(mont, len(index), work, cost_us=90 * product_us(mont), threads=threads)


def lifted(mont: Montgomery, src: Words, index: Index, factor: int) -> tuple[Words, Index]:
    """Return the elements of an index times a constant; each element that occurs is computed once."""
    flat = np.ascontiguousarray(index.reshape(-1), dtype=np.int64)
    if factor == 1:
        return src, flat
    if factor == -1:
        return inverses(mont, src, flat)
    wanted, where = np.unique(flat, return_inverse=True)
    factors = np.full(len(wanted), factor, dtype=np.int64 if abs(factor) < 1 << 63 else object)
    words, at = powers(mont, src, wanted, factors)
    return words, at[where.reshape(-1)]


def row_products(mont: Montgomery, src: Words, index: Index, *, threads: int | None = None) -> tuple[Words, Index]:
    """Return the product of each row of a 2-D index; a row without elements gives 1."""
    rows, m = index.shape
    count = _parallel.resolve_threads(threads)
    if not m:
        return ones(mont, rows), np.arange(rows, dtype=np.int64)
    longest = max(2, int(_SLICE_US / product_us(mont)))
    # long rows are cut into pieces of equal length, so that a slice stays short and few rows still use every thread
    piece = min(longest, max(256, -(-rows * m // (4 * count))))
    if m <= piece:
        flat = np.ascontiguousarray(index)

        def work(dst: Words, lo: int, hi: int) -> None:
            mont.prod(dst, src, flat[lo:hi].reshape(-1), m, 0, hi - lo)

        words = build(mont, rows, work, cost_us=m * product_us(mont), threads=threads)
        return words, np.arange(rows, dtype=np.int64)
    cuts = -(-m // piece)
    piece = -(-m // cuts)
    cuts = m // piece
    head, at = row_products(mont, src, index[:, : cuts * piece].reshape(rows * cuts, piece), threads=threads)
    whole, where = row_products(mont, head, at.reshape(rows, cuts), threads=threads)
    if cuts * piece == m:
        return whole, where
    tail, at = row_products(mont, src, index[:, cuts * piece :], threads=threads)
    return products(mont, whole, where, tail, at, threads=threads), np.arange(rows, dtype=np.int64)


def running_products(mont: Montgomery, src: Words, index: Index, *, threads: int | None = None) -> tuple[Words, Index]:
    """Return the products of the first 1, 2, ... elements of each row of a 2-D index.

    Rows go in step, one to a lane. Where they are fewer than the lanes of all threads, each is cut into pieces that go
    in step, and every piece but the first is then multiplied by all that lies before it: almost two products an
    element instead of one, but with no lane empty.
    """
    rows, m = index.shape
    lanes = mont.lanes * _parallel.resolve_threads(threads)
    cuts = -(-lanes // max(1, rows))
    if cuts == 1 or m < 4 * cuts:
        return _in_step(mont, src, np.ascontiguousarray(index.T), threads)
    piece = -(-m // cuts)
    # the last piece repeats its last element up to the length of the others
    even = np.concatenate([index, np.repeat(index[:, -1:], cuts * piece - m, axis=1)], axis=1)
    inside, at = _in_step(mont, src, np.ascontiguousarray(even.reshape(rows * cuts, piece).T), threads)
    at = at.reshape(rows, cuts, piece)
    before, where = _in_step(mont, inside, np.ascontiguousarray(at[:, :-1, -1].T), threads)
    head, tail = at[:, 0].reshape(-1), at[:, 1:].reshape(-1)
    offset = np.repeat(where.reshape(-1), piece)
    start = -(-len(head) // mont.lanes) * mont.lanes
    words = empty(mont, start + len(tail))

    def multiply(lo: int, hi: int) -> None:
        mont.mul(part(mont, words, start + lo, start + hi), inside, tail[lo:hi], before, offset[lo:hi], 0, hi - lo)

    gather(mont, words, inside, head, threads)
    _parallel.run(len(tail), multiply, cost_us=product_us(mont), align=mont.lanes, threads=threads)
    first = np.arange(len(head), dtype=np.int64).reshape(rows, piece)
    others = start + np.arange(len(tail), dtype=np.int64).reshape(rows, -1)
    return words, np.concatenate([first, others], axis=1)[:, :m]


def _in_step(mont: Montgomery, src: Words, steps: Index, threads: int | None) -> tuple[Words, Index]:
    """Return the running products of the columns of an index, and their index by column and step."""
    m, columns = steps.shape
    stride = -(-columns // mont.lanes) * mont.lanes
    words = empty(mont, m * stride)
    longest = max(1, int(_SLICE_US / product_us(mont) / mont.lanes))
    for first in range(0, m, longest):
        last = min(m, first + longest)

        def work(lo: int, hi: int, first: int = first, last: int = last) -> None:
            mont.scan(words, src, steps, first, last, lo, hi)

        _parallel.run(columns, work, cost_us=(last - first) * product_us(mont), align=mont.lanes, threads=threads)
    return words, np.arange(columns, dtype=np.int64)[:, None] + stride * np.arange(m, dtype=np.int64)


def histogram(
    mont: Montgomery, src: Words, index: Index, codes: NDArray[Any], bins: int, *, threads: int | None = None
) -> tuple[Words, Index]:
    """Return, for each feature, the product of the rows of each bin: (features, bins, width); an empty bin gives 1.

    `index` has shape (rows, width), `codes` (rows, features), of any integer type. A row is read once for each block of
    features, whose bins stay in the second-level cache. Threads work on separate blocks while there are enough;
    where two meet on one block, each fills separate bins, which are multiplied at the end.
    """
    (rows, width), features = index.shape, codes.shape[1]
    count = _parallel.resolve_threads(threads)
    each = bins * width
    cached = max(1, _BINS_BYTES // max(1, mont.nbytes * each))
    block = max(1, min(cached, -(-features // count)))
    blocks = -(-features // block)
    pad = -(-block * each // mont.lanes) * mont.lanes
    words = ones(mont, blocks * pad)
    free = [deque([part(mont, words, b * pad, (b + 1) * pad)]) for b in range(blocks)]  # appending, popping are atomic
    more: list[tuple[int, Words]] = []
    step = max(1, min(int(_SLICE_US / product_us(mont) / (block * max(1, width))), -(-rows * blocks // max(1, count))))
    steps = -(-rows // step)

    def work(lo: int, hi: int) -> None:
        for k in range(lo, hi):
            # `count` blocks at a time, so that each thread finds one that no other is at
            begin = k // (steps * count) * count
            s, b = divmod(k - begin * steps, min(count, blocks - begin))
            b += begin
            try:
                mine = free[b].pop()
            except IndexError:
                mine = ones(mont, pad)
                more.append((b, mine))
            here = slice(s * step, (s + 1) * step)
            chosen = np.ascontiguousarray(codes[here, b * block : (b + 1) * block], dtype=np.int64)
            mont.bincount(mine, bins, width, src, index[here].reshape(-1), chosen, 0, len(chosen))
            free[b].append(mine)

    _parallel.run(blocks * steps, work, cost_us=_SLICE_US, threads=threads)
    for b, other in more:
        multiply(mont, part(mont, words, b * pad, (b + 1) * pad), other, pad, threads)
    f = np.arange(features, dtype=np.int64)
    starts = f // block * pad + f % block * each
    return words, (starts[:, None] + np.arange(each, dtype=np.int64)).reshape(features, bins, width)


def multiexp(
    mont: Montgomery,
    src: Words,
    columns: Index,
    which: Index,
    matrices: _bounds.Ints,
    *,
    threads: int | None = None,
) -> tuple[Words, Index]:
    """Return ``out[p, r] = prod_j src[columns[p, j]] ^ matrices[which[p], r, j]``, as a buffer and its flat index.

    `columns` has shape (problems, m), `which` (problems,), `matrices` (count, rows, m) with entries of any sign. The
    positive and the negative part of each row are two products, and all the negative ones are inverted together.
    """
    rows = matrices.shape[1]
    total = len(columns) * rows
    bits = int(_bounds.bit_lengths(matrices).max()) if matrices.size else 0
    if not total or not bits:
        return ones(mont, total), np.arange(total, dtype=np.int64)
    m = matrices.shape[2]
    task, every = _Multiexp(mont, src, columns, which, matrices, bits, threads), np.arange(total, dtype=np.int64)
    if _straus.cost(mont, rows, m, bits) < _sides_cost(mont, rows, m, bits):
        over, under, index = task.by_rows()
    elif (np.asarray(matrices) < 0).any():
        over, under, index = task.side(1), task.side(-1), every
    else:
        return task.side(1), every
    invert(mont, under, 0, int(index[-1]) + 1, threads)
    return products(mont, over, index, under, index, threads=threads), every


def _sides_cost(mont: Montgomery, rows: int, m: int, bits: int) -> float:
    """Return the products of a problem by :class:`_Multiexp`: buckets for the entries of each sign.

    Measured (bench/matvec.py), a product costs a third more there: fewer of them can be made at once.
    """
    buckets = 1.35 * min(-(-bits // w) * (m + (4 << w)) for w in range(2, 9))
    return rows * (buckets + 2 * bits * mont.lanes)


@dataclass
class _Multiexp:
    """Cuts a set of multi-exponentiations into calls of about 50 ms each.

    A call covers `rb` rows of one problem over `mb` columns. Tables of powers are per column and shared by the rows of
    a call; squarings are per row and shared by its columns: so calls take as many rows as the budget allows while at
    least 64 columns share the squarings, and long rows when there are few.
    """

    mont: Montgomery
    src: Words
    columns: Index
    which: Index
    matrices: _bounds.Ints
    bits: int
    threads: int | None

    def __post_init__(self) -> None:
        rows, m = self.matrices.shape[1:]
        budget = _SLICE_US / product_us(self.mont)  # in products
        each = self.bits / 5 + 1
        self.rb = int(min(rows, max(1, budget // (min(m, 64) * each + self.bits))))
        self.mb = int(min(m, max(1, (budget // self.rb - self.bits) // each)))

    def by_rows(self) -> tuple[Words, Words, Index]:
        """Return the products over the digits of either sign, and the places of problem after problem in them."""
        rows, each = self.matrices.shape[1], self.mont.words(self.matrices.shape[1])
        pad = each // self.mont.elem_words
        over, under = (ones(self.mont, len(self.columns) * pad) for _ in range(2))
        for k, (places, chosen) in enumerate(zip(self.columns, self.which, strict=True)):
            over[k * each : (k + 1) * each], under[k * each : (k + 1) * each] = _straus.powers_of_rows(
                self.mont, self.src, places, self.matrices[chosen], self.bits, threads=self.threads
            )
        return over, under, (np.arange(len(self.columns))[:, None] * pad + np.arange(rows)).reshape(-1)

    def side(self, sign: int) -> Words:
        """Return the products over the entries of one sign, problem by problem and row by row."""
        mont, m, rb = self.mont, self.columns.shape[1], self.rb
        problems, rows = len(self.columns), self.matrices.shape[1]
        strips = -(-rows // rb)
        blocks = -(-m // self.mb)
        count = _parallel.resolve_threads(self.threads)
        # as many column blocks at a time as keep every thread busy; their partial products are then multiplied together
        together = min(blocks, max(1, -(-4 * count // (problems * strips))))
        pad = -(-rb // mont.lanes) * mont.lanes
        at = (np.arange(problems * strips)[:, None] * pad + np.arange(rb)).reshape(problems, strips * rb)
        index = np.ascontiguousarray(at[:, :rows].reshape(-1))
        every = np.arange(len(index), dtype=np.int64)
        result: Words | None = None
        for begin in range(0, blocks, together):
            here = min(together, blocks - begin)
            size = problems * strips * pad  # places of one block
            words = ones(mont, here * size)

            def work(lo: int, hi: int, words: Words = words, begin: int = begin, size: int = size) -> None:
                for t in range(lo, hi):
                    block, rest = divmod(t, problems * strips)
                    dst = part(mont, words, block * size + rest * pad, block * size + (rest + 1) * pad)
                    self._call(dst, begin + block, rest // strips, rest % strips, sign)

            _parallel.run(here * problems * strips, work, cost_us=_SLICE_US, threads=self.threads)
            stacked = np.arange(here, dtype=np.int64) * size + index[:, None]
            if result is None:
                result, _ = row_products(mont, words, stacked, threads=self.threads)
            else:
                more, _ = row_products(mont, words, stacked, threads=self.threads)
                result = products(mont, result, every, more, every, threads=self.threads)
        assert result is not None
        return result

    def _call(self, dst: Words, block: int, problem: int, strip: int, sign: int) -> None:
        cols = slice(block * self.mb, (block + 1) * self.mb)
        rows = slice(strip * self.rb, (strip + 1) * self.rb)
        signed = self.matrices[self.which[problem], rows, cols]
        chosen = np.asarray(signed > 0 if sign > 0 else signed < 0, dtype=bool)
        exponents: NDArray[np.uint64] = _bounds.exponent_limbs(np.where(chosen, signed, 0), -(-self.bits // 64))
        self.mont.multiexp(
            dst, self.src, np.ascontiguousarray(self.columns[problem, cols]), exponents, self.bits, 0, len(exponents)
        )
