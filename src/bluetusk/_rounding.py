"""Rounds arrays exactly: to integers at a scale, to an L2 norm, and back to doubles.

The kernel does what fits 64 bits; Python integers and fractions do the rest, with the same results.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from . import _parallel
from ._kernels import pack as _pack
from ._numeric import NumberArray

__all__ = ["MAX_FRAC", "MAX_INT64", "divide", "first_beyond", "round_objects", "scale", "shrink", "to_int_array"]

IntArray: TypeAlias = "npt.NDArray[np.int64]"
ObjectArray: TypeAlias = "npt.NDArray[np.object_]"

MAX_FRAC = {2: _pack.MAX_FRAC2, 10: _pack.MAX_FRAC10}
"""Largest scale that the kernel rounds at, by base."""
MAX_INT64 = (1 << 63) - 1

_US_PER_VALUE = 0.02


def _sliced(n: int, work: Callable[[int, int], None]) -> None:
    """Run a batch in slices short enough for Ctrl-C; in one thread, since memory soon is its limit."""
    _parallel.run(n, work, cost_us=_US_PER_VALUE, threads=1)


def _kernel(
    flat: NumberArray,
    out: IntArray,
    base: int,
    frac: int,
    limit: int,
    edge: float,
    words: npt.NDArray[np.uint64] | None,
) -> tuple[int, int]:
    """Scale one flat slice; return how many were beyond the limit and how many were not finite."""
    if flat.dtype == np.float64:
        return _pack.quantise(cast("npt.NDArray[np.float64]", flat), out, base, frac, limit, edge, words)
    if flat.dtype == np.uint64:
        return _pack.quantise_uint64(cast("npt.NDArray[np.uint64]", flat), out, base, frac, limit)
    return _pack.quantise_int64(cast(IntArray, flat), out, base, frac, limit)


def scale(
    numbers: NumberArray, base: int, frac: int, limit: int, edge: float, random: bool
) -> tuple[IntArray, int, int]:
    """Round ``numbers * base**frac`` to integers of magnitude at most `limit`.

    Parameters
    ----------
    numbers : ndarray of int64, uint64 or float64
        C-contiguous.
    base, frac : int
        The scale, at most MAX_FRAC.
    limit : int
        1 to 2**63 - 1.
    edge : float
        Doubles up to this magnitude do not count as clipped.
    random : bool
        Round at random without bias, else half to even.

    Returns
    -------
    q : ndarray of int64
        Of the same shape.
    clipped, nonfinite : int
        How many were brought to the limit, and how many are NaN or infinite.
    """
    out = np.empty(numbers.shape, dtype=np.int64)
    flat, target = cast(NumberArray, numbers.reshape(-1)), out.reshape(-1)
    clipped = nonfinite = 0

    def work(lo: int, hi: int) -> None:
        nonlocal clipped, nonfinite
        words = None
        if random and flat.dtype == np.float64:
            words = np.frombuffer(os.urandom(8 * (hi - lo)), dtype=np.uint64)
        counts = _kernel(flat[lo:hi], target[lo:hi], base, frac, limit, edge, words)
        clipped += counts[0]
        nonfinite += counts[1]

    _sliced(flat.size, work)
    return out, clipped, nonfinite


def first_beyond(numbers: NumberArray, base: int, frac: int, limit: int, edge: float, random: bool) -> int:
    """Return the flat index of the first number that :func:`scale` clips, or may at random: there must be one."""
    flat = cast(NumberArray, numbers.reshape(-1))
    lo, hi = 0, flat.size
    while hi - lo > 1:  # the first one is in [lo, hi)
        mid = (lo + hi) // 2
        words = np.zeros(mid - lo, dtype=np.uint64) if random and flat.dtype == np.float64 else None  # always up
        found = _kernel(flat[lo:mid], np.empty(mid - lo, dtype=np.int64), base, frac, limit, edge, words)[0]
        lo, hi = (lo, mid) if found else (mid, hi)
    return lo


def round_objects(numbers: Iterable[Any], factor: int, random: bool) -> list[int]:
    """Round exact numbers (ints, Fractions, finite floats) times `factor` to Python ints."""
    out = []
    for x in numbers:
        if isinstance(x, int):
            out.append(x * factor)
            continue
        exact = Fraction(x) * factor
        if random:
            down, rest = divmod(exact.numerator, exact.denominator)
            out.append(down + (secrets.randbelow(exact.denominator) < rest))
        else:
            out.append(round(exact))  # half to even
    return out


def to_int_array(ints: list[int], shape: tuple[int, ...]) -> IntArray | ObjectArray:
    """Return Python ints as int64 where all of them fit (the least int64 aside), else as objects."""
    if all(-MAX_INT64 <= v <= MAX_INT64 for v in ints):
        return np.array(ints, dtype=np.int64).reshape(shape)
    out = np.empty(len(ints), dtype=object)
    out[:] = ints
    return out.reshape(shape)


def shrink(q: IntArray | ObjectArray, limit: int) -> tuple[IntArray, bool]:
    """Bring the L2 norm of integers to at most `limit`; return whether that changed them.

    All of them are multiplied by ``limit / norm``, cut to 64 significant bits, and cut toward zero, so the new norm is
    at most `limit` without a second look. An int64 `q` is changed in place.
    """
    big = q.dtype == object
    squares = sum(v * v for v in q.ravel().tolist()) if big else _pack.sum_squares(cast(IntArray, q).reshape(-1))
    if squares <= limit**2:
        return cast(IntArray, q), False  # no object array comes here: its elements exceed every limit
    # factor = floor(2^shift limit / sqrt(squares)) with 2^63 <= factor < 2^64; the ratio is below 1, so shift >= 64
    shift = 64 + (squares.bit_length() - 2 * limit.bit_length()) // 2
    factor = math.isqrt((limit**2 << 2 * shift) // squares)
    while not 1 << 63 <= factor < 1 << 64:
        shift += 1 if factor < 1 << 63 else -1
        factor = math.isqrt((limit**2 << 2 * shift) // squares)
    if big:
        cut = [(abs(v) * factor >> shift) * (1 if v >= 0 else -1) for v in q.ravel().tolist()]
        return np.array(cut, dtype=np.int64).reshape(q.shape), True
    flat = cast(IntArray, q).reshape(-1)
    _sliced(flat.size, lambda lo, hi: _pack.shrink(flat[lo:hi], factor, shift))
    return cast(IntArray, q), True


def divide(ints: NumberArray, divisor: int) -> npt.NDArray[np.float64]:
    """Divide integers by an int >= 1 to doubles, rounded half to even once; OverflowError beyond float64."""
    shift = (divisor & -divisor).bit_length() - 1
    odd = divisor >> shift
    if ints.dtype == np.int64 and odd < 1 << 64 and shift <= _pack.MAX_FRAC2:
        out = np.empty(ints.shape, dtype=np.float64)
        source, target = cast(IntArray, ints.reshape(-1)), out.reshape(-1)
        _sliced(source.size, lambda lo, hi: _pack.to_double(source[lo:hi], target[lo:hi], odd, shift))
        return out
    # Python's int / int is correctly rounded; but where both fit 53 bits it is the processor's division, which obeys
    # the host's rounding mode, so both are made longer
    below = divisor << 64
    values = cast("list[int]", ints.ravel().tolist())
    return np.array([(v << 64) / below for v in values], dtype=np.float64).reshape(ints.shape)
