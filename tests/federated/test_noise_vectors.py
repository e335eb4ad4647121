"""libprio's discrete Gaussian: the sampler of Canonne, Kamath and Steinke, by its published samples, beside ours.

Ours draws by inversion and so makes other samples from the same bits. What the vectors pin down is the reference here,
written from the paper; that reference and our sampler must then be samples of one law.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import mpmath as mp

from bluetusk.federated import noise

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "libprio_discrete_gaussian.json").read_text())
MASK = 2**64 - 1


def constants() -> list[int]:
    """The round constants of Keccak-f[1600], from their shift register (FIPS 202, section 3.2.5)."""
    register, out = 1, []
    for _ in range(24):
        word = 0
        for j in range(7):
            word |= (register & 1) << (1 << j) - 1
            register = register << 1 ^ (register >> 7) * 0x171
        out.append(word)
    return out


CONSTANTS = constants()[12:]


def rotated(x: int, n: int) -> int:
    return (x << n | x >> 64 - n) & MASK


def permuted(a: list[int]) -> list[int]:
    """Keccak-p[1600, 12], lane (x, y) at a[x + 5 y]."""
    for constant in CONSTANTS:
        c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        a = [lane ^ c[(i - 1) % 5] ^ rotated(c[(i + 1) % 5], 1) for i, lane in enumerate(a)]
        b = a[:]
        x, y = 1, 0
        for t in range(24):
            to = y + 5 * ((2 * x + 3 * y) % 5)
            b[to] = rotated(a[x + 5 * y], (t + 1) * (t + 2) // 2 % 64)
            x, y = y, (2 * x + 3 * y) % 5
        a = [b[i] ^ ~b[i // 5 * 5 + (i + 1) % 5] & b[i // 5 * 5 + (i + 2) % 5] for i in range(25)]
        a[0] ^= constant
    return a


def turboshake128(message: bytes, domain: int) -> Iterator[int]:
    rate = 168
    padded = bytearray(message + bytes([domain]))
    padded += bytes(-len(padded) % rate)
    padded[-1] ^= 0x80
    state = [0] * 25
    for at in range(0, len(padded), rate):
        for i in range(rate // 8):
            state[i] ^= int.from_bytes(padded[at + 8 * i : at + 8 * i + 8], "little")
        state = permuted(state)
    while True:
        for lane in state[: rate // 8]:
            yield from lane.to_bytes(8, "little")
        state = permuted(state)


class Reference:
    """Algorithms 1 to 3 of the paper; bits are taken as num-bigint does: 32-bit words, the top one shifted down."""

    def __init__(self, stream: Iterator[int]) -> None:
        self.stream = stream

    def below(self, bound: int) -> int:
        bits = bound.bit_length()
        while True:
            words = [int.from_bytes(bytes(islice(self.stream, 4)), "little") for _ in range(-(-bits // 32))]
            words[-1] >>= -bits % 32
            value = sum(word << 32 * i for i, word in enumerate(words))
            if value < bound:
                return value

    def bernoulli(self, p: Fraction) -> bool:
        return self.below(p.denominator) < p.numerator

    def bernoulli_exp(self, t: Fraction) -> bool:
        while t > 1:
            if not self.bernoulli_exp(Fraction(1)):
                return False
            t -= 1
        k = 1
        while self.bernoulli(t / k):
            k += 1
        return k % 2 == 1

    def laplace(self, scale: int) -> int:
        while True:
            negative = self.bernoulli(Fraction(1, 2))
            u = self.below(scale)
            while not self.bernoulli_exp(Fraction(u, scale)):
                u = self.below(scale)
            v = 0
            while self.bernoulli_exp(Fraction(1)):
                v += 1
            x = u + scale * v
            if x or not negative:
                return -x if negative else x

    def gaussian(self, sigma: Fraction) -> int:
        t = int(sigma) + 1
        while True:
            x = self.laplace(t)
            exponent = (abs(x) - sigma**2 / t) ** 2 / (2 * sigma**2)
            # libprio tries exp(-1) once for each whole, then the rest, which may be 0
            if all(self.bernoulli_exp(Fraction(1)) for _ in range(int(exponent))) and self.bernoulli_exp(exponent % 1):
                return x


def test_turboshake() -> None:
    known = VECTORS["turboshake128_of_nothing"]["output"]
    assert bytes(islice(turboshake128(b"", 0x1F), 32)).hex() == known


def test_reference_makes_the_published_samples() -> None:
    reference = Reference(turboshake128(b"\0" + bytes.fromhex(VECTORS["seed"]), 1))
    assert [reference.gaussian(Fraction(VECTORS["sigma"])) for _ in VECTORS["samples"]] == VECTORS["samples"]


def system_bytes() -> Iterator[int]:
    while True:
        yield from os.urandom(4096)


def test_ours_and_the_reference_have_one_law() -> None:
    """A chi-square test of homogeneity, wrong once in 10^9 runs."""
    n, sigma = 6000, Fraction(5)
    reference = Reference(system_bytes())
    theirs = Counter(max(-12, min(12, reference.gaussian(sigma))) for _ in range(n))
    ours = Counter(max(-12, min(12, x)) for x in noise.discrete_gaussian(50 * n, sigma).tolist())
    statistic = 0.0
    for x in range(-12, 13):
        together = (theirs[x] + ours[x]) / (51 * n)
        statistic += (theirs[x] - n * together) ** 2 / (n * together)
        statistic += (ours[x] - 50 * n * together) ** 2 / (50 * n * together)
    assert mp.gammainc(24 / 2, statistic / 2, mp.inf, regularized=True) > 1e-9
