"""Batches of modular powers: many powers at once, powers of one fixed base, products of powers.

Powers with secret and with public exponents are computed differently. With secret exponents, time and memory addresses
inside the compiled kernel depend on the *length* of the longest exponent, on the modulus and on the number of powers
alone; the bits do not matter. The length and the sign of an exponent are public, and so is everything about moduli.
Python's and gmpy2's own integers, which carry the numbers in and out, are not constant-time; see ``THREAT_MODEL.md``
for the consequences.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import gmpy2
import numpy as np
import numpy.typing as npt

from bluetusk import _parallel
from bluetusk._integers import Integer, Integers, integer, integers, limbs_of, rows_of
from bluetusk._kernels.modexp import MAX_BITS, MAX_COMB_BITS, Comb, Montgomery
from bluetusk._numeric import as_int
from bluetusk._powers import in_blocks, in_parts, kernel_powers, load, plain_powers, product_us, store

__all__ = ["FixedBase", "multiexp", "powmod"]

_U64: TypeAlias = npt.NDArray[np.uint64]

_SLICE_US = 50_000.0


def _together(
    bases: tuple[list[gmpy2.mpz], bool], exponents: tuple[list[gmpy2.mpz], bool]
) -> tuple[list[gmpy2.mpz], list[gmpy2.mpz]]:
    """Broadcast a single value against a list."""
    (b, one_base), (e, one_exponent) = bases, exponents
    if one_base and not one_exponent:
        b = b * len(e)
    elif one_exponent and not one_base:
        e = e * len(b)
    if len(b) != len(e):
        raise ValueError(f"bases has {len(b)} numbers and exponents {len(e)}; give equally many, or one of either")
    return b, e


def _modulus(x: Any) -> gmpy2.mpz:
    modulus = integer(x, "modulus")
    if modulus < 1:
        raise ValueError("modulus must be at least 1")
    return modulus


def _unsupported(modulus: gmpy2.mpz) -> str | None:
    """Return why the kernel does not take this modulus; None if it does."""
    if modulus.is_even():
        return "modulus is even, for which there is no constant-time method here"
    if modulus.bit_length() > MAX_BITS:
        return f"modulus has {modulus.bit_length()} bits, above the {MAX_BITS} of the constant-time method"
    return None


def _refuse(modulus: gmpy2.mpz) -> None:
    reason = _unsupported(modulus)
    if reason is not None:
        raise ValueError(f"{reason}; if the exponents are public, use powmod(..., secret_exponents=False)")


def _without_inverse(index: str) -> ValueError:
    return ValueError(f"bases{index} has no inverse modulo the modulus, and its exponent is negative; remove it")


def _inverted(bases: list[gmpy2.mpz], exponents: list[gmpy2.mpz], modulus: gmpy2.mpz) -> list[gmpy2.mpz]:
    """Return the bases, those of negative exponents replaced by their inverses."""
    inverse: dict[gmpy2.mpz, gmpy2.mpz] = {}
    out = list(bases)
    for i, (b, e) in enumerate(zip(bases, exponents, strict=True)):
        if e < 0:
            if b not in inverse:
                try:
                    inverse[b] = gmpy2.invert(b, modulus)
                except ZeroDivisionError:
                    raise _without_inverse(f"[{i}]") from None
            out[i] = inverse[b]
    return out


def powmod(
    bases: Integers,
    exponents: Integers,
    modulus: Integer,
    *,
    secret_exponents: bool = True,
    threads: int | None = None,
) -> list[gmpy2.mpz]:
    """Raise each base to its exponent modulo one number.

    Parameters
    ----------
    bases : int, gmpy2.mpz, sequence of them, or integer ndarray of shape (n,)
        Any integers, negative or beyond the modulus too. A single base is used for all exponents (:class:`FixedBase` is
        then several times faster).
    exponents : int, gmpy2.mpz, sequence of them, or integer ndarray of shape (n,)
        A single exponent is used for all bases. A negative exponent takes the inverse of its base.
    modulus : int or gmpy2.mpz
        At least 1.
    secret_exponents : bool
        If true (the default), time does not depend on the bits of the exponents, only on the length of the longest and
        on their signs; the cost of each is that of the longest. If false, short exponents are faster.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    list of gmpy2.mpz
        As long as the longer argument (one element if both are single), each in ``[0, modulus)``.

    Raises
    ------
    TypeError
        If an argument is not an integer or a sequence of integers; bool and float are refused.
    ValueError
        If the lengths differ, the modulus is below 1, a base with a negative exponent has no inverse, or
        `secret_exponents` is true and the modulus is even or beyond 16384 bits (with public exponents gmpy2 computes
        those).

    Notes
    -----
    Montgomery products; fixed windows whose tables are read whole (secret), or sliding windows (public): Menezes, van
    Oorschot, Vanstone, *Handbook of Applied Cryptography*, 14.82 and 14.85.

    Examples
    --------
    >>> from bluetusk import modexp
    >>> modexp.powmod([2, 3], 10, 1001)
    [mpz(23), mpz(991)]
    >>> modexp.powmod(3, [5, -1], 1001, secret_exponents=False)
    [mpz(243), mpz(334)]
    """
    m = _modulus(modulus)
    b, e = _together(integers(bases, "bases"), integers(exponents, "exponents"))
    if secret_exponents:
        _refuse(m)
    if m == 1:
        return [gmpy2.mpz()] * len(b)
    b = _inverted(b, e, m)
    if _unsupported(m) is not None:
        return plain_powers(b, e, m, threads)
    return kernel_powers(Montgomery(m), b, e, secret_exponents, threads)


class FixedBase:
    """Powers of one base, several times faster than :func:`powmod` by a table made once; exponents are secret.

    Parameters
    ----------
    base : int or gmpy2.mpz
        Any integer.
    modulus : int or gmpy2.mpz
        Odd, at most 16384 bits; or 1.
    exponent_bits : int
        Bits of the longest exponent, 1 to 2^24. Cost and table follow it.
    table_bytes : int
        Most memory that the table may take; a second one of the same size is made for the first negative exponent.

    Attributes
    ----------
    base, modulus : gmpy2.mpz
    exponent_bits : int
    table_bytes : int
        Bytes that the table takes (0 for the modulus 1).

    Raises
    ------
    TypeError
        If an argument is not an integer.
    ValueError
        If one is out of its range, the modulus is even or too long, or `table_bytes` is too small for the smallest
        table.

    Notes
    -----
    A comb of w teeth (Lim and Lee, CRYPTO '94): an exponent has ``exponent_bits / w`` columns of w bits, and a power is
    one product for each column and a squaring for every 16 of them. Each row of the table is read whole for every
    exponent, so no address depends on one. The object can be shared by threads.

    Examples
    --------
    >>> from bluetusk.modexp import FixedBase
    >>> fb = FixedBase(5, 1000003, 64)
    >>> fb.powmod([0, 1, 2, 2**64 - 1])
    [mpz(1), mpz(5), mpz(25), mpz(42333)]
    """

    def __init__(self, base: Integer, modulus: Integer, exponent_bits: int, *, table_bytes: int = 8 << 20) -> None:
        self.modulus = _modulus(modulus)
        self.base = integer(base, "base")
        self.exponent_bits = as_int(exponent_bits, "exponent_bits", 1, MAX_COMB_BITS)
        self._budget = as_int(table_bytes, "table_bytes", 0, 1 << 48)
        self._mont: Montgomery | None = None
        self._inverse: Comb | None = None
        self.table_bytes = 0
        _refuse(self.modulus)
        if self.modulus > 1:
            self._mont = Montgomery(self.modulus)
            self._comb = self._table(self.base)
            self.table_bytes = self._comb.table_bytes

    def _table(self, base: gmpy2.mpz) -> Comb:
        assert self._mont is not None
        return Comb(self._mont, limbs_of([base % self.modulus], self._mont.limbs), self.exponent_bits, self._budget)

    def __repr__(self) -> str:
        return (
            f"<FixedBase modulo {self.modulus.bit_length()} bits, exponents of {self.exponent_bits} bits, "
            f"table of {self.table_bytes} bytes>"
        )

    def powmod(self, exponents: Integers, threads: int | None = None) -> list[gmpy2.mpz]:
        """Raise the base to each exponent.

        Parameters
        ----------
        exponents : int, gmpy2.mpz, sequence of them, or integer ndarray of shape (n,)
            At most `exponent_bits` bits each; a negative one takes the inverse of the base. Their signs are public.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.

        Returns
        -------
        list of gmpy2.mpz
            One for each exponent, in ``[0, modulus)``.

        Raises
        ------
        TypeError
            If an exponent is not an integer.
        ValueError
            If an exponent is too long, or is negative and the base has no inverse.

        Examples
        --------
        >>> from bluetusk.modexp import FixedBase
        >>> FixedBase(5, 1000003, 64).powmod([3, -1])
        [mpz(125), mpz(600002)]
        """
        e, _ = integers(exponents, "exponents")
        for i, v in enumerate(e):
            if v.bit_length() > self.exponent_bits:
                raise ValueError(
                    f"exponents[{i}] has {v.bit_length()} bits, but this table takes {self.exponent_bits}; "
                    "make a FixedBase with more exponent_bits"
                )
        mont = self._mont
        if mont is None:
            return [gmpy2.mpz()] * len(e)
        negative = [i for i, v in enumerate(e) if v < 0]
        positive = [i for i, v in enumerate(e) if v >= 0]
        out = [gmpy2.mpz()] * len(e)
        for comb, which in ((self._comb, positive), (self._inverted() if negative else self._comb, negative)):
            for i, v in zip(which, self._powers(mont, comb, [abs(e[i]) for i in which], threads), strict=True):
                out[i] = v
        return out

    def _inverted(self) -> Comb:
        # two threads may both make the table the first time: the same one
        if self._inverse is None:
            try:
                self._inverse = self._table(gmpy2.invert(self.base, self.modulus))
            except ZeroDivisionError:
                raise ValueError("base has no inverse modulo the modulus, but an exponent is negative") from None
        return self._inverse

    def _powers(self, mont: Montgomery, comb: Comb, e: list[gmpy2.mpz], threads: int | None) -> list[gmpy2.mpz]:
        limbs, steps = -(-self.exponent_bits // 64), comb.steps

        def compute(first: int, last: int) -> list[gmpy2.mpz]:
            n = last - first
            dst, exps = mont.empty(n), limbs_of(e[first:last], limbs)

            def work(low: int, high: int, lo: int, hi: int) -> None:
                comb.pow(dst, exps, lo, hi, steps - high, high - low)  # step 0 comes first

            in_parts(n, steps, (1 + 1.3 * comb.rows) * product_us(mont), work, mont.lanes, threads)
            return store(mont, dst, n)

        return in_blocks(mont, len(e), limbs, compute)


def multiexp(
    bases: Integers, exponents: Any, modulus: Integer, *, threads: int | None = None
) -> gmpy2.mpz | list[gmpy2.mpz]:
    """Multiply powers: the product of ``bases[j] ** exponents[j]`` modulo one number. Exponents are public.

    Parameters
    ----------
    bases : sequence of int or gmpy2.mpz, or integer ndarray of shape (m,)
        Any integers.
    exponents : sequence of int or gmpy2.mpz, or integer ndarray, of shape (m,) or (rows, m)
        Of any sign. Time depends on them; zeros and short ones are fast.
    modulus : int or gmpy2.mpz
        At least 1.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    gmpy2.mpz, or list of gmpy2.mpz
        The product, in ``[0, modulus)``; for two-dimensional exponents a list with one for each row. Without bases it
        is 1 modulo the modulus.

    Raises
    ------
    TypeError
        If an argument is not made of integers.
    ValueError
        If a row of exponents is not as long as `bases`, the modulus is below 1, or a base with a negative exponent has
        no inverse.

    Notes
    -----
    All powers of a row share their squarings; many rows share tables of the bases (Straus, 1964), and few long rows
    sort the bases into buckets (Pippenger, 1976), whichever needs fewer products. The positive and the negative part of
    a row are two products, and all the negative ones are inverted together.

    Examples
    --------
    >>> from bluetusk import modexp
    >>> modexp.multiexp([2, 3, 5], [3, 2, 1], 1001)
    mpz(360)
    >>> modexp.multiexp([2, 3, 5], [[3, 2, 1], [0, 0, -1]], 1001)
    [mpz(360), mpz(801)]
    """
    m = _modulus(modulus)
    b, one_base = integers(bases, "bases")
    if one_base:
        raise TypeError("bases must be a sequence of integers, not a single number")
    rows, one_row = rows_of(exponents)
    for r, row in enumerate(rows):
        if len(row) != len(b):
            name = "exponents" if one_row else f"exponents[{r}]"
            raise ValueError(f"{name} has {len(row)} numbers, but bases has {len(b)}")
    if m == 1:
        out = [gmpy2.mpz()] * len(rows)
    elif _unsupported(m) is not None:
        out = [_plain_product(b, row, m, threads) for row in rows]
    else:
        out = _products(Montgomery(m), b, rows, threads)
    return out[0] if one_row else out


def _plain_product(
    bases: list[gmpy2.mpz], exponents: list[gmpy2.mpz], modulus: gmpy2.mpz, threads: int | None
) -> gmpy2.mpz:
    product = gmpy2.mpz(1) % modulus
    for power in plain_powers(_inverted(bases, exponents, modulus), exponents, modulus, threads):
        product = product * power % modulus
    return product


def _products(
    mont: Montgomery, bases: list[gmpy2.mpz], rows: list[list[gmpy2.mpz]], threads: int | None
) -> list[gmpy2.mpz]:
    n = len(rows)
    words = load(mont, bases)
    total = _collect(mont, words, [[v if v > 0 else gmpy2.mpz() for v in row] for row in rows], threads)
    if any(v < 0 for row in rows for v in row):
        parts = _collect(mont, words, [[-v if v < 0 else gmpy2.mpz() for v in row] for row in rows], threads)

        def divide(lo: int, hi: int) -> None:
            part = parts[mont.words(lo) : mont.words(hi)]
            mont.invert(part, hi - lo)
            here = total[mont.words(lo) : mont.words(hi)]
            mont.mul(here, here, None, part, None, 0, hi - lo)

        try:
            _parallel.run(n, divide, cost_us=5 * product_us(mont), align=mont.lanes, threads=1)
        except ValueError:
            for j, base in enumerate(bases):
                if gmpy2.gcd(base, mont.modulus) != 1 and any(row[j] < 0 for row in rows):
                    raise _without_inverse(f"[{j}]") from None
            raise
    return store(mont, total, n)


def _collect(mont: Montgomery, words: _U64, rows: list[list[gmpy2.mpz]], threads: int | None) -> _U64:
    """Return the products of the rows (exponents not negative), computed in blocks of rows, columns and bits.

    A block takes about one slice of time; its rows share the tables of its bases, its columns the squarings.
    """
    n, m = len(rows), len(rows[0]) if rows else 0
    bits = max((v.bit_length() for row in rows for v in row), default=0)
    if not n or not m or not bits:
        return mont.ones(n)
    # for a row of c columns and s bits: s squarings and about c (1 + s / 6) products; a slice has room for these, and a
    # row alone takes a whole group of lanes
    room = max(1.0, _SLICE_US / product_us(mont))
    share = 1 + min(m, 24) / 6  # with 24 columns, squarings are a fifth
    step = min(bits, max(64, int(room / (share * mont.lanes))))
    padded = -(-n // mont.lanes) * mont.lanes
    tall = min(padded, mont.lanes * max(1, min(64, int(room / (share * step))) // mont.lanes))
    bands = -(-n // tall)
    width = int(min(m, max(1.0, (room / tall - step) / (1 + step / 6))))
    cuts = -(-m // width)
    partial = mont.empty(padded * cuts)
    for high in range(bits, 0, -step):
        low = max(0, high - step)

        def work(lo: int, hi: int, low: int = low, high: int = high) -> None:
            for task in range(lo, hi):
                band, cut = divmod(task, cuts)
                first, last = band * tall, min((band + 1) * tall, n)
                left, right = cut * width, min((cut + 1) * width, m)
                e = [v for row in rows[first:last] for v in row[left:right]]
                if step < bits:
                    e = [gmpy2.f_mod_2exp(v >> low, high - low) for v in e]
                exps = limbs_of(e, -(-(high - low) // 64)).reshape(last - first, right - left, -1)
                at = mont.words(padded) * cut + mont.words(first)
                dst = partial[at : at + mont.words(last - first)]
                columns = np.arange(left, right, dtype=np.int64)
                mont.multiexp(dst, words, columns, exps, high - low, 0, last - first, high < bits)

        _parallel.run(bands * cuts, work, cost_us=_SLICE_US, threads=threads)
    if cuts == 1:
        return partial
    total = mont.empty(n)
    index = (np.arange(n, dtype=np.int64)[:, None] + padded * np.arange(cuts, dtype=np.int64)).reshape(-1)

    def join(lo: int, hi: int) -> None:
        mont.prod(total, partial, index, cuts, lo, hi)

    _parallel.run(n, join, cost_us=cuts * product_us(mont), align=mont.lanes, threads=threads)
    return total
