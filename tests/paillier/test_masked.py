"""Wide integers under one mask: exact, of the stated width, nothing of the inputs' randomness left."""

from __future__ import annotations

import gmpy2
import numpy as np
import pytest

import bluetusk as bt
from bluetusk import _selftest
from bluetusk._kernels.paillier import PaillierPublic
from bluetusk.paillier import blinding, masked, slots
from bluetusk.paillier._standard import random_units
from bluetusk.paillier.array import encrypt_integers
from bluetusk.paillier.scheme import SCHEMES

PLAN = bt.FixedPoint.integers(1)
N = _selftest._P * _selftest._Q
HS = pow(N * N - 9, N, N * N)


def wide(values):
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


@pytest.mark.parametrize("bits", [1, 64, 1983])
def test_masked_values_less_their_masks_are_the_values(pub, priv, bits):
    assert slots.room(2048, masked=True) == 1983
    top, n = (1 << bits) - 1, int(pub.n)
    values = [top, -top, 0, top // 3, -1]
    c = encrypt_integers(priv, wide(values), PLAN, frac=0, bound=top)
    masks, message = masked.mask(c, bits)
    assert all(0 <= rho < n for rho in masks)
    seen = masked.unmask(priv, message, 5)
    assert all(0 <= v < n for v in seen)
    assert [v - rho for v, rho in zip(seen, masks, strict=True)] == values  # wraps with a probability of 2^-64


def test_a_key_without_room_is_refused(pub, priv):
    with pytest.raises(bt.EncodingOverflow, match="larger key"):
        masked.mask(pub.encrypt([1], PLAN), 1984)


def test_another_count_or_key_is_refused(pub, priv, keypair2):
    c = encrypt_integers(priv, wide([5, 6]), PLAN, frac=0, bound=1 << 60)
    _, message = masked.mask(c, 60)
    with pytest.raises(bt.FrameError, match="expected"):
        masked.unmask(priv, message, 3)
    with pytest.raises(bt.InvalidKey):
        masked.unmask(keypair2[1], message, 2)


@pytest.mark.parametrize("value", [0, 1, -(1 << 60), (1 << 2046) - 5])
def test_what_is_opened_is_uniform_whatever_was_encrypted(pub, priv, value):
    """The last value is far beyond the bound that was declared for it: the sum wraps, and shows nothing."""
    n = int(pub.n)
    c = encrypt_integers(priv, wide([value] * 50), PLAN, frac=0, bound=max(1, abs(value)))
    seen = [v for _ in range(4) for v in masked.unmask(priv, masked.mask(c, 60)[1], 50)]
    assert distance([v / n for v in seen]) < 2.2
    assert len(set(seen)) == 200


# --- a key whose holder can take logarithms: what the exponents of its own obfuscators would tell it ---


def smooth_prime(small, bits):
    """A prime whose top two of `bits` bits are set, with p - 1 twice a product of given odd primes, and these."""
    rng = np.random.default_rng(bits + small[0])
    while True:
        chosen = rng.choice(small, 10, replace=False).tolist()
        product = 2 * int(np.prod(chosen, dtype=object))
        for s in small:
            p = product * s + 1
            if s not in chosen and p >> (bits - 2) == 3 and gmpy2.is_prime(p):
                return p, [*chosen, s]


class Logarithms:
    """Logarithms to the base hs modulo n^2, prime by prime (Pohlig and Hellman)."""

    def __init__(self):
        odd = [s for s in range(1500, 6000) if gmpy2.is_prime(s)]
        (p, of_p), (q, of_q) = smooth_prime(odd[::2], 128), smooth_prime(odd[1::2], 128)
        self.n = p * q
        self.hs = pow(-49 % self.n, self.n, self.n**2)
        self.order, self.tables = 1, []
        for s in (2, *of_p, *of_q):
            whole = (p - 1) * (q - 1) // 2
            step = gmpy2.powmod(self.hs, whole // s, self.n**2)
            if step == 1:
                continue  # hs does not reach this part of the group
            self.order *= s
            powers, x = {}, gmpy2.mpz(1)
            for i in range(s):
                powers[x] = i
                x = x * step % self.n**2
            self.tables.append((s, whole // s, powers))

    def of(self, c):
        total = 0
        for s, exponent, powers in self.tables:
            rest = self.order // s
            total += powers[gmpy2.powmod(c, exponent, self.n**2)] * rest * pow(rest, -1, s)
        return total % self.order


def distance(values):
    """Kolmogorov's distance of numbers in [0, 1) from uniform, by the root of their number: above 2.2 once in 8000."""
    v = np.sort(np.array(values))
    n = len(v)
    return n**0.5 * max(np.max(np.arange(1, n + 1) / n - v), np.max(v - np.arange(n) / n))


@pytest.mark.parametrize("row", [[0, 0, 0], [2**18 - 1, 1 - 2**18, 2**18 - 1]])
def test_short_obfuscators_would_tell_the_key_holder_a_row(row):
    """Of a sum of ciphertexts times a row the holder of a toy key sees the exponent whole: why `fill` is not enough."""
    logs, count = Logarithms(), 200
    kernel = PaillierPublic(logs.n)
    blinder = blinding.Blinder(kernel, SCHEMES["djn"], logs.hs)
    dst, canon = kernel.mont.empty(count), np.zeros((count, kernel.mont.limbs), np.uint64)
    blinder.fill(dst, 0, count)
    kernel.mont.store(canon, dst, None, 0, count)
    exponents = np.random.default_rng(1).integers(0, 2**63, len(row)).tolist()  # known to the key holder
    summed = gmpy2.powmod(logs.hs, sum(x * (a << 64) for x, a in zip(row, exponents, strict=True)), logs.n**2)
    seen = [logs.of(summed * int.from_bytes(c.tobytes(), "little") % logs.n**2) / logs.order for c in canon]
    assert distance(seen) > 5  # all in one place, which the row decides


def test_the_key_holder_learns_nothing_of_a_sum_from_r_to_the_n():
    """What hides sums that are opened as they are: in every part of the group a fresh r^n leaves a uniform element."""
    logs, count = Logarithms(), 200
    kernel = PaillierPublic(logs.n)
    dst, canon = kernel.mont.empty(count), np.zeros((count, kernel.mont.limbs), np.uint64)
    kernel.blind_standard(dst, 0, count, random_units(kernel, count))
    kernel.mont.store(canon, dst, None, 0, count)
    summed = gmpy2.powmod(logs.hs, 123456789, logs.n**2)  # known to the key holder, for each choice of rows
    hidden = [summed * int.from_bytes(c.tobytes(), "little") % logs.n**2 for c in canon]
    for s, exponent, powers in logs.tables:
        if s > 2:  # -1 in one of the primes only is no power of hs
            assert distance([powers[gmpy2.powmod(c, exponent, logs.n**2)] / s for c in hidden]) < 2.7
            assert distance([powers[gmpy2.powmod(summed, exponent, logs.n**2)] / s] * count) > 5
