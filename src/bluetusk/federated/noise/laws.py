"""Two symmetric laws on the integers, enclosed between integers to any precision: the discrete Gaussian and Skellam's.

Nothing here rounds unseen. A probability is given as a pair of integers between which ``2**prec`` times its value lies,
from MPFR's correctly rounded functions with the direction of rounding stated, or from sums with a proven error.

References
----------
C. Canonne, G. Kamath, T. Steinke: The Discrete Gaussian for Differential Privacy. NeurIPS 2020. J. G. Skellam: The
frequency distribution of the difference between two Poisson variates. J. Royal Stat. Soc. 1946. D. E. Amos: Computation
of modified Bessel functions and their ratios. Math. Comp. 28, 1974.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import isqrt
from typing import Any, Protocol

import gmpy2

__all__ = ["Gaussian", "Law", "Skellam"]

_LN2 = Fraction(6932, 10000)  # a little above log 2, which is 0.69314...


class Law(Protocol):
    """A symmetric law that does not increase away from 0."""

    @property
    def variance(self) -> Fraction:
        """The variance, or for the Gaussian its parameter sigma squared."""
        ...

    def weights(self, shift: int, prec: int) -> list[int]:
        """Return integers w with ``w[j] <= 2**prec * c * mass(j << shift) < w[j] + 2`` for some constant c.

        All further j together have less than 1, and the sum of all exceeds ``2**(prec - 2)``.
        """
        ...

    def drop(self, at: int, y: int, prec: int) -> tuple[int, int]:
        """Return integers that enclose ``2**prec * (1 - mass(at + y) / mass(at))``.

        `at` and `y` are not negative. They come as close as one wants as `prec` grows.
        """
        ...


@lru_cache(maxsize=64)
def _context(precision: int, rounding: int) -> Any:
    # only methods of a context round as it says; operators and gmpy2's functions would use the thread's own
    return gmpy2.context(precision=precision, round=rounding)


def _floor(x: Any, bits: int) -> Any:
    """Return floor(x 2^bits) of an mpfr exactly; int(x) would round to nearest."""
    mantissa, exponent = x.as_mantissa_exp()
    exponent += bits
    return mantissa << exponent if exponent >= 0 else mantissa >> -exponent


def _ceil_sqrt(x: Fraction) -> int:
    return isqrt(-(-x.numerator // x.denominator)) + 1


def _exp_below(num: int, den: int, prec: int) -> int:
    """Return w with ``w <= 2**prec * exp(-num / den) < w + 2``, for a quotient >= 0."""
    bits = prec + 64
    scaled = -((-num << bits) // den)  # above the quotient by less than 2^-bits, and exp below by no more than that
    down = _context(scaled.bit_length() + bits, gmpy2.RoundDown)
    exponent = down.div(gmpy2.mpz(-scaled), gmpy2.mpz(1 << bits))  # exact
    return int(_floor(down.exp(exponent), prec))


def _drop(num: int, den: int, prec: int) -> int:
    """Return w with ``w < 2**prec * (1 - exp(-num / den)) <= w + 2``, for a quotient >= 0."""
    return (1 << prec) - _exp_below(num, den, prec) - 2


@dataclass(frozen=True)
class Gaussian:
    """Mass proportional to ``exp(-x**2 / (2 variance))``: Canonne, Kamath and Steinke's discrete Gaussian."""

    variance: Fraction

    def weights(self, shift: int, prec: int) -> list[int]:
        """As :class:`Law` says, with c = 1 / mass(0)."""
        # Let a = m^2 / (2 variance), which is at least 2^-19 since sigma / m < 512. The terms from J on add up to at
        # most exp(-a J^2) (1 + exp(-2 a J) + ...). With a J^2 >= 64 log 2 we have a J >= 2^-9.5 sqrt(44) > 2^-7, so the
        # series is below 1 / (1 - exp(-2^-6)) < 2^7, and eight bits more than prec make the whole less than 2^-prec.
        a = Fraction(1 << 2 * shift) / (2 * self.variance)
        count = _ceil_sqrt(_LN2 * (prec + 8) / a)
        return [_exp_below(a.numerator * j * j, a.denominator, prec) for j in range(count)]

    def drop(self, at: int, y: int, prec: int) -> tuple[int, int]:
        """As :class:`Law` says."""
        below = _drop(y * (2 * at + y) * self.variance.denominator, 2 * self.variance.numerator, prec)
        return below, below + 2


@dataclass(frozen=True)
class Skellam:
    """The difference of two independent Poisson variables of mean variance / 2: mass exp(-v) I_|x|(v)."""

    variance: Fraction

    def weights(self, shift: int, prec: int) -> list[int]:
        """As :class:`Law` says, with c = 2^shift: the masses at its multiples then add up to about 1 / 2 or more."""
        reach = _skellam_reach(self.variance, prec + shift + 8)
        step = 1 << shift
        return _skellam_masses(self.variance, range(0, reach + step, step), prec + shift)

    def drop(self, at: int, y: int, prec: int) -> tuple[int, int]:
        """As :class:`Law` says: from bounds on the ratios of Bessel functions if prec <= 64, beyond from the masses."""
        n, d = self.variance.numerator, self.variance.denominator
        if prec <= 64:
            # mass(x) / mass(at) is the product of I_(i+1)(v) / I_i(v) for at <= i < x, each of which lies between
            # exp(-asinh((i+1) / v)) and exp(-asinh((i+1/2) / v)) (Amos 1974); and z - z^3 / 6 <= asinh(z) <= z.
            least = max(0, y * d * (3 * (2 * at + y) * n * n - (at + y) ** 3 * d * d))
            return _drop(least, 6 * n**3, prec), _drop(y * (2 * at + y + 1) * d, 2 * n, prec) + 2
        one = 1 << prec
        base, mass = _skellam_masses(self.variance, (at, at + y), 2 * prec + (n // d).bit_length())
        if not base:
            return 0, one
        return one - -(-(mass + 2 << prec) // base), one - (mass << prec) // (base + 2)


def _skellam_reach(v: Fraction, bits: int) -> int:
    """Return K with P(X >= K) <= 2^-bits for Skellam's law of variance v.

    By Bernstein: the cumulant v (cosh s - 1) is at most v s^2 / (2 (1 - s / 3)) for 0 <= s < 3, hence P(X >= K) <=
    exp(-K^2 / (2 (v + K / 3))), and K^2 = 2 L (v + K / 3) for L = bits log 2 gives K = L / 3 + sqrt(L^2 / 9 + 2 L v).
    """
    third = _LN2 * bits / 3
    return -int(-third // 1) + _ceil_sqrt(third**2 + 6 * third * v)


def _skellam_masses(v: Fraction, points: Any, prec: int) -> list[int]:
    """Return integers w with ``w <= 2**prec * exp(-v) I_k(v) < w + 2`` for the points k >= 0.

    The characteristic function of Skellam's law is exp(v (cos s - 1)), so for any odd N

        (1 / N) sum over |n| < N / 2 of exp(-2 v sin^2(pi n / N)) cos(2 pi n k / N) = sum over all i of mass(k + i N).

    With N past the largest point by K, the terms on the right for i != 0 add up to at most 2 P(X >= K) <= 2^-(prec+7).
    On the left, the terms from the first below 2^-(prec+9) on are left out: together they are less than that. The rest
    is summed by Clenshaw's rule in integers scaled by 2^w, w = prec + 64: what a step rounds off acts like a change of
    that coefficient by as much, less than 2^(1-w), and a wrong last bit of cos(2 pi k / N) changes a sum of M terms by
    less than M^3 2^-w. Both are below 2^-(prec+24) as M < 2^13. So the error is less than 2^-(prec+6) in all.
    """
    count = max(points) + _skellam_reach(v, prec + 8)
    count += 1 - count % 2
    width = prec + 64
    near = _context(width + 32, gmpy2.RoundToNearest)  # so that each term is right to 2^-w
    angle = near.div(near.const_pi(), gmpy2.mpz(count))
    scale = near.mul(gmpy2.mpz(-2 * v.numerator), near.div(gmpy2.mpfr(1, near.precision), gmpy2.mpz(v.denominator)))
    terms = [gmpy2.mpz(1) << width]
    for n in range(1, count // 2 + 1):
        exact = near.exp(near.mul(scale, near.square(near.sin(near.mul(angle, gmpy2.mpz(n))))))
        term = _floor(exact, width + 1)  # twice: for n and -n
        if term.bit_length() < 64 - 8:  # exact < 2^-(prec+9), and so are all further ones
            break
        terms.append(term)
    first, rest = terms[0], terms[:0:-1]
    slack = count << 58  # 2^-6 of a unit, times N
    out = []
    for k in points:
        cosine = _floor(near.cos(near.mul(angle, gmpy2.mpz(2 * k))), width + 1)  # doubled
        b1 = b2 = gmpy2.mpz(0)
        for term in rest:
            b1, b2 = term + (cosine * b1 >> width) - b2, b1
        total = first + (cosine * b1 >> width + 1) - b2
        out.append(max(0, int((total - slack) // (count << 64))))
    return out
