"""Finds wrong shares by Gao's decoder: Shamir's shares are a Reed-Solomon code.

Only vector positions where the shares disagree are decoded, so plain Python integers are fast enough. It is not
constant-time: whoever reconstructs sees all of these values anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["wrong_positions"]

Poly = list[int]  # coefficients from the constant up; no leading zeros


class Arithmetic:
    """Addition, product and inverse in a field of the given order (256: GF(2^8), 0x11b)."""

    def __init__(self, order: int) -> None:
        self.order = order
        self.binary = order == 256

    def add(self, a: int, b: int) -> int:
        return a ^ b if self.binary else (a + b) % self.order

    def sub(self, a: int, b: int) -> int:
        return a ^ b if self.binary else (a - b) % self.order

    def mul(self, a: int, b: int) -> int:
        if not self.binary:
            return a * b % self.order
        t = 0
        for i in range(7, -1, -1):
            t = (t << 1) ^ (0x11B if t & 0x80 else 0) ^ (a if b >> i & 1 else 0)
        return t

    def inv(self, a: int) -> int:
        if not self.binary:
            return pow(a, -1, self.order)
        t = a
        for _ in range(6):  # a^254 = ((a^2 a)^2 a ...)^2
            t = self.mul(self.mul(t, t), a)
        return self.mul(t, t)

    # --- polynomials

    def evaluate(self, f: Poly, x: int) -> int:
        t = 0
        for c in reversed(f):
            t = self.add(self.mul(t, x), c)
        return t

    def times(self, f: Poly, g: Poly) -> Poly:
        if not f or not g:
            return []
        out = [0] * (len(f) + len(g) - 1)
        for i, a in enumerate(f):
            for j, b in enumerate(g):
                out[i + j] = self.add(out[i + j], self.mul(a, b))
        return _trim(out)

    def minus(self, f: Poly, g: Poly) -> Poly:
        n = max(len(f), len(g))
        f, g = f + [0] * (n - len(f)), g + [0] * (n - len(g))
        return _trim([self.sub(a, b) for a, b in zip(f, g, strict=True)])

    def divide(self, f: Poly, g: Poly) -> tuple[Poly, Poly]:
        """Quotient and remainder."""
        rest, lead = list(f), self.inv(g[-1])
        quotient = [0] * max(0, len(f) - len(g) + 1)
        for i in range(len(quotient) - 1, -1, -1):
            q = self.mul(rest[i + len(g) - 1], lead)
            quotient[i] = q
            if q:
                for j, c in enumerate(g):
                    rest[i + j] = self.sub(rest[i + j], self.mul(q, c))
        return _trim(quotient), _trim(rest)


def _trim(f: Poly) -> Poly:
    while f and f[-1] == 0:
        f.pop()
    return f


def wrong_positions(order: int, ids: Sequence[int], values: Sequence[int], threshold: int) -> list[int] | None:
    """Return which of the values are wrong, or None if more than half of the surplus are.

    Parameters
    ----------
    order : int
        A prime, or 256.
    ids, values : sequence of int
        The parties' points and their shares of one secret, m of each.
    threshold : int
        The right shares are values of a polynomial of lower degree.

    Returns
    -------
    list of int or None
        Indices of at most (m - threshold) // 2 wrong values.

    References
    ----------
    S. Gao, "A new algorithm for decoding Reed-Solomon codes", 2003.

    Examples
    --------
    >>> wrong_positions(101, [1, 2, 3, 4, 5], [7, 9, 11, 50, 15], 2)
    [3]
    """
    field = Arithmetic(order)
    m = len(ids)
    product: Poly = [1]
    interpolated: Poly = []
    for x, y in zip(ids, values, strict=True):  # Newton's form, one point at a time
        gap = field.sub(y, field.evaluate(interpolated, x))
        scale = field.mul(gap, field.inv(field.evaluate(product, x)))
        interpolated = field.minus(interpolated, field.times([field.sub(0, scale)], product)) if scale else interpolated
        product = field.times(product, [field.sub(0, x), 1])
    before, now = product, interpolated
    factor_before: Poly = []
    factor: Poly = [1]
    while 2 * (len(now) - 1) >= m + threshold:
        quotient, rest = field.divide(before, now)
        before, now = now, rest
        factor_before, factor = factor, field.minus(factor_before, field.times(quotient, factor))
    message, rest = field.divide(now, factor)
    if rest or len(message) > threshold:
        return None
    wrong = [i for i, x in enumerate(ids) if field.evaluate(message, x) != values[i]]
    return wrong if len(wrong) <= (m - threshold) // 2 else None
