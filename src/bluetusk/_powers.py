"""Batches of powers by the kernel or by gmpy2, cut into blocks, parts and slices so that a signal is never far."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import gmpy2
import numpy as np
import numpy.typing as npt

from bluetusk import _parallel
from bluetusk._integers import limbs_of, numbers_of
from bluetusk._kernels.modexp import Montgomery

__all__ = ["in_blocks", "in_parts", "kernel_powers", "load", "plain_powers", "product_us", "store"]

_U64: TypeAlias = npt.NDArray[np.uint64]

# Bits of one power that are computed without looking at signals; and about the words that a batch holds at a time.
_PART_US = 50_000.0
_BLOCK_WORDS = 1 << 23


def load(mont: Montgomery, values: Sequence[gmpy2.mpz]) -> _U64:
    """Return the values modulo the modulus, in the backend's layout."""
    dst = mont.empty(len(values))

    def work(lo: int, hi: int) -> None:
        rows = limbs_of([v % mont.modulus for v in values[lo:hi]], mont.limbs)
        mont.load(dst[mont.words(lo) : mont.words(hi)], rows, 0, hi - lo)

    _parallel.run(len(values), work, cost_us=1 + product_us(mont), align=mont.lanes, threads=1)
    return dst


def store(mont: Montgomery, words: _U64, n: int) -> list[gmpy2.mpz]:
    """Return the first `n` elements as numbers."""
    out = np.zeros((n, mont.limbs), np.uint64)

    def work(lo: int, hi: int) -> None:
        mont.store(out, words, None, lo, hi)

    _parallel.run(n, work, cost_us=product_us(mont), align=mont.lanes, threads=1)
    return numbers_of(out)


# Microseconds of a product of 64 limbs in an array.
_PRODUCT_US = {"mpn": 5.0, "fma": 1.3, "ifma": 0.9}


def product_us(mont: Montgomery, limbs: int | None = None) -> float:
    """Roughly the microseconds of one product, or of one by the same backend with another number of limbs.

    Nothing but the size of slices depends on it.
    """
    return 0.06 + _PRODUCT_US[mont.backend] * ((mont.limbs if limbs is None else limbs) / 64) ** 2


def in_parts(
    n: int, total: int, unit_us: float, work: Callable[[int, int, int, int], None], align: int, threads: int | None
) -> None:
    """Call ``work(low, high, lo, hi)`` for parts ``[low, high)`` of ``range(total)``, highest first, n elements each.

    Signals are seen, and batches stopped, only between slices; a slice holds at least one element, so that a long power
    is cut as well.
    """
    parts = max(1, math.ceil(total * unit_us * align / _PART_US))
    step = max(1, -(-total // parts))
    for high in range(total, 0, -step):
        low = max(0, high - step)

        def part(lo: int, hi: int, low: int = low, high: int = high) -> None:
            work(low, high, lo, hi)

        _parallel.run(n, part, cost_us=unit_us * (high - low), align=align, threads=threads)


def in_blocks(mont: Montgomery, n: int, limbs: int, compute: Callable[[int, int], list[gmpy2.mpz]]) -> list[gmpy2.mpz]:
    """Collect ``compute(lo, hi)`` over blocks of ``range(n)`` that bound the memory of exponents of `limbs` limbs."""
    size = mont.lanes * max(1, _BLOCK_WORDS // (mont.lanes * (mont.limbs + limbs)))
    out: list[gmpy2.mpz] = []
    for lo in range(0, n, size):
        out += compute(lo, min(lo + size, n))
    return out


def kernel_powers(
    mont: Montgomery, bases: list[gmpy2.mpz], exponents: list[gmpy2.mpz], secret: bool, threads: int | None
) -> list[gmpy2.mpz]:
    """Return the powers; signs of exponents are ignored."""
    bits = max((v.bit_length() for v in exponents), default=0)
    limbs = -(-bits // 64)

    def compute(first: int, last: int) -> list[gmpy2.mpz]:
        n = last - first
        words, dst = load(mont, bases[first:last]), mont.ones(n)
        exps = limbs_of([abs(v) for v in exponents[first:last]], limbs)

        def work(low: int, high: int, lo: int, hi: int) -> None:
            mont.pow_part(dst, words, exps, bits, low, high, secret, lo, hi)

        in_parts(n, bits, 1.3 * product_us(mont), work, mont.lanes, threads)
        return store(mont, dst, n)

    return in_blocks(mont, len(bases), limbs, compute)


def plain_powers(
    bases: list[gmpy2.mpz], exponents: list[gmpy2.mpz], modulus: gmpy2.mpz, threads: int | None
) -> list[gmpy2.mpz]:
    """Return the powers by gmpy2, signs ignored, for moduli that the kernel does not take."""
    out = [gmpy2.mpz(1) % modulus] * len(bases)

    def work(low: int, high: int, lo: int, hi: int) -> None:
        step = gmpy2.mpz(1) << (high - low)
        for i in range(lo, hi):
            e = abs(exponents[i])
            if e.bit_length() > low:
                part = gmpy2.powmod(bases[i], gmpy2.f_mod_2exp(e >> low, high - low), modulus)
                above = e.bit_length() > high
                out[i] = gmpy2.powmod(out[i], step, modulus) * part % modulus if above else part

    bits = max((v.bit_length() for v in exponents), default=0)
    in_parts(len(bases), bits, 0.1 + 0.04 * (modulus.bit_length() / 64) ** 1.5, work, 1, threads)
    return out
