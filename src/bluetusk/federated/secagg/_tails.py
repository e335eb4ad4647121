"""Exact tails of the hypergeometric distribution, and what follows from them for graphs of neighbours.

Every comparison is one of integers: a tail is a count of subsets over C(population, draws), a bound a power of two.
Only what is shown to people (:func:`log2_ratio`) and the size of the smallest group are floating-point numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import gmpy2

__all__ = ["group_bound", "least_unlikely", "log2_ratio", "run_is_unlikely", "tail"]


def _counts(population: int, marked: int, draws: int) -> Iterator[tuple[int, int]]:
    """Yield (x, subsets of `draws` with exactly x marked), from the largest possible x down to the smallest."""
    high, low = min(marked, draws), max(0, draws - (population - marked))
    count = int(gmpy2.bincoef(marked, high) * gmpy2.bincoef(population - marked, draws - high))
    for x in range(high, low - 1, -1):
        yield x, count
        # C(K, x-1) C(N-K, k-x+1) from C(K, x) C(N-K, k-x): the division is exact
        count = count * x * (population - marked - draws + x) // ((marked - x + 1) * (draws - x + 1))


def tail(population: int, marked: int, draws: int, least: int) -> tuple[int, int]:
    """Return P[at least `least` of `draws` from `population` are marked] as (subsets, all subsets).

    Examples
    --------
    >>> tail(population=10, marked=4, draws=3, least=2)  # C(4,2) 6 + C(4,3) of C(10,3)
    (40, 120)
    """
    total = 0
    for x, count in _counts(population, marked, draws):
        if x < least:
            break
        total += count
    return total, int(gmpy2.bincoef(population, draws))


def least_unlikely(population: int, marked: int, draws: int, union: int, bits: int) -> int:
    """Return the least u with ``union * P[X >= u] <= 2**-bits``.

    Examples
    --------
    >>> least_unlikely(population=999, marked=100, draws=50, union=1000, bits=40)
    27
    """
    all_subsets = int(gmpy2.bincoef(population, draws))
    total, least = 0, min(marked, draws) + 1
    for x, count in _counts(population, marked, draws):
        total += count
        if (total * union) << bits > all_subsets:
            return least
        least = x
    return 0


def run_is_unlikely(population: int, marked: int, run: int, bits: int) -> bool:
    """Whether the union bound on a run of marked elements in a random circle of `population` is at most 2^-bits.

    Examples
    --------
    >>> run_is_unlikely(1000, 200, 25, 40), run_is_unlikely(1000, 200, 15, 40)
    (True, False)
    """
    if run > marked:
        return True
    top = math.prod(range(marked - run + 1, marked + 1)) * population
    return top << bits <= math.prod(range(population - run + 1, population + 1))


def log2_ratio(numerator: int, denominator: int) -> float:
    """Return log2 of a quotient of integers of any size; minus infinity for 0.

    Examples
    --------
    >>> log2_ratio(1, 1 << 5000)
    -5000.0
    """
    if numerator == 0:
        return -math.inf
    return _log2(numerator) - _log2(denominator)


def _log2(x: int) -> float:
    shift = max(0, x.bit_length() - 64)
    return math.log2(x >> shift) + shift


def group_bound(clients: int, honest: int, draws: int, inside: int, bits: int) -> int:
    """Return the largest g such that, but for 2^-bits, no fewer than g honest clients keep to themselves.

    A set of s honest clients keeps to itself if each of them finds at least `inside` of its `draws` own random choices
    among the s - 1 others. The choices are independent, so the union bound is the sum over s < g of
    ``C(honest, s) * P[Hyp(clients - 1, s - 1, draws) >= inside]**s``.

    Examples
    --------
    >>> group_bound(clients=1000, honest=900, draws=110, inside=50, bits=40)
    416
    """
    total = 0.0  # in units of 2^-bits
    for size in range(1, honest + 1):
        each = log2_ratio(*tail(clients - 1, size - 1, draws, inside)) if size > inside else -math.inf
        if each > -math.inf:
            total += 2 ** min(bits + _log2(int(gmpy2.bincoef(honest, size))) + size * each, 64)
        if total > 1:
            return size
    return honest + 1
