"""The samplers against exactly known probabilities (mpmath, 700 bits).

Every statistical test uses fresh randomness and errs with a probability of 1e-9.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetusk._random import Stream
from bluetusk.federated import noise
from bluetusk.federated.noise import sampler as _noise_sampler
from bluetusk.federated.noise.laws import Gaussian, Law, Skellam
from bluetusk.federated.noise.sampler import Sampler

FALSE_ALARM = 1e-9
SIX_SIGMA = 6.2  # a normal variable exceeds it, on either side, with probability 6e-10
WORK = mp.MPContext()
WORK.prec = 700

VARIANCES = [Fraction(1, 100), Fraction(1, 3), Fraction(1), Fraction(22, 7), Fraction(50), Fraction(10**4)]


def real(x: Fraction) -> Any:
    return WORK.mpf(x.numerator) / x.denominator


def mass(law: Law, x: int) -> Any:
    """The mass, for the Gaussian relative to that of 0."""
    if isinstance(law, Gaussian):
        return WORK.exp(-WORK.mpf(x * x) / (2 * real(law.variance)))
    return bessel(law.variance, 1 << abs(x).bit_length())[abs(x)]


@lru_cache(maxsize=64)
def bessel(variance: Fraction, count: int) -> list[Any]:
    """exp(-v) I_k(v) for k = 0 .. count, by Miller's recurrence downwards from where they are as good as 0."""
    v = real(variance)
    last, here = WORK.mpf(0), WORK.mpf(1)
    terms = []
    for k in range(2 * count + 60 * math.isqrt(int(variance)) + 600, 0, -1):
        last, here = here, last + 2 * k / v * here
        terms.append(here)
    terms.reverse()
    total = 2 * WORK.fsum(terms) - terms[0]  # all masses add up to 1
    return [w / total for w in terms[: count + 1]]


def test_reference() -> None:
    for v in (Fraction(1, 3), Fraction(22, 7)):
        for x in (0, 1, 5, 30):
            exact = WORK.exp(-real(v)) * WORK.besseli(x, real(v))
            assert abs(mass(Skellam(v), x) / exact - 1) < WORK.ldexp(WORK.mpf(1), -600)


def cumulative(law: Law, shift: int, count: int) -> list[Any]:
    """Probabilities of the blocks 0 .. j, each weighing what its left end does, by sums over all above 2^-700."""
    reach = (
        int(40 * math.sqrt(law.variance)) + 400 if isinstance(law, Skellam) else int(32 * math.sqrt(law.variance)) + 2
    )
    weights = [mass(law, j << shift) for j in range(max(count, (reach >> shift) + 2))]
    if shift == 0:
        weights[0] /= 2
    total = WORK.fsum(weights)
    out, so_far = [], WORK.mpf(0)
    for w in weights[:count]:
        so_far += w
        out.append(so_far / total)
    return out


class Replay:
    """A stream whose words are given."""

    def __init__(self, words: list[int]) -> None:
        self.words = words

    def uint64(self, n: int) -> np.ndarray:
        taken, self.words = self.words[:n], self.words[n:]
        assert len(taken) == n
        return np.array(taken, np.uint64)


def floor(x: Any, bits: int) -> int:
    return int(WORK.floor(WORK.ldexp(x, bits)))


# ------------------------------------------------------------------------------------------- the laws, enclosed


@pytest.mark.parametrize("law", [kind(v) for kind in (Gaussian, Skellam) for v in VARIANCES], ids=repr)
@pytest.mark.parametrize("prec", [64, 128, 300])
def test_weights_enclose_the_masses(law: Law, prec: int) -> None:
    weights = law.weights(0, prec)
    for x in {0, 1, 2, 3, 7, len(weights) // 3, len(weights) - 1}:
        if x < len(weights):
            assert weights[x] <= WORK.ldexp(mass(law, x), prec) < weights[x] + 2
    assert sum(weights) > 1 << prec - 2
    beyond = WORK.fsum(mass(law, x) for x in range(len(weights), len(weights) + 500))
    assert WORK.ldexp(beyond, prec) < 1


@pytest.mark.parametrize("shift", [1, 5, 20, 31])
def test_weights_of_blocks(shift: int) -> None:
    law: Law
    law = Gaussian(Fraction(300 << shift) ** 2)
    weights = law.weights(shift, 128)
    for j in (0, 1, 300, 2500, len(weights) - 1):
        assert weights[j] <= WORK.ldexp(mass(law, j << shift), 128) < weights[j] + 2
    # Debye's expansion (Abramowitz and Stegun 9.7.7): its first term is right to 1 / v in these places
    law = Skellam(law.variance)
    weights = law.weights(shift, 128)
    v = real(law.variance)
    for j in (0, 1, 300, 1500, 2500):
        x = WORK.mpf(j << shift)
        h = WORK.sqrt(v * v + x * x)
        debye = WORK.exp(h - v - x * WORK.asinh(x / v)) / WORK.sqrt(2 * WORK.pi * h)
        assert abs(weights[j] / WORK.ldexp(debye, 128 + shift) - 1) < 1 / v + WORK.mpf(2) / weights[j]


@settings(max_examples=60)
@given(st.sampled_from(VARIANCES), st.integers(0, 200), st.integers(0, 60), st.sampled_from([64, 128, 192]))
def test_drops_enclose_what_is_refused(variance: Fraction, at: int, y: int, prec: int) -> None:
    for law in (Gaussian(variance), Skellam(variance)):
        exact = WORK.ldexp(1 - mass(law, at + y) / mass(law, at), prec)
        low, high = law.drop(at, y, prec)
        assert low <= exact <= high
        if prec > 64 and WORK.log(mass(law, at + y), 2) > -prec:
            assert high - low < 1 << 40


# ------------------------------------------------------------------------------------------- the rule, bit by bit


@pytest.mark.parametrize(
    "law", [kind(v) for kind in (Gaussian, Skellam) for v in (Fraction(1, 100), Fraction(1), Fraction(22, 7))], ids=repr
)
def test_thresholds_are_the_exact_probabilities(law: Law) -> None:
    sampler = Sampler(law)
    exact = cumulative(law, 0, len(sampler.thresholds))
    assert sampler.thresholds == [floor(f, 63) for f in exact]


def test_thresholds_wait_for_enough_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the enclosures of 128 bits are too wide to tell a threshold, more bits are taken."""
    law = Gaussian(Fraction(22, 7))
    thresholds, exact, asked = Sampler(law).thresholds, Sampler._cumulative, []

    def wide(self: Sampler, prec: int) -> tuple[list[int], int, int]:
        asked.append(prec)
        sums, total, most = exact(self, prec)
        return sums, total, most + (1 << 100)

    monkeypatch.setattr(Sampler, "_cumulative", wide)
    assert Sampler(law).thresholds == thresholds
    assert asked == [128, 192]


@pytest.mark.parametrize("kind", [Gaussian, Skellam])
def test_thresholds_of_blocks(kind: type[Gaussian] | type[Skellam], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_noise_sampler, "_FINE", 6)
    sampler = Sampler(kind(Fraction(150) ** 2))
    assert sampler.shift == 2
    exact = cumulative(kind(Fraction(150) ** 2), 2, len(sampler.thresholds))
    assert sampler.thresholds == [floor(f, 63) for f in exact]


@pytest.mark.parametrize("kind", [Gaussian, Skellam])
@pytest.mark.parametrize("deep", [0, 1, 2, 3])
def test_open_comparisons_are_settled_with_more_bits(kind: type[Gaussian] | type[Skellam], deep: int) -> None:
    law = kind(Fraction(3))
    sampler = Sampler(law)
    exact = cumulative(law, 0, len(sampler.thresholds))
    for j in range(len(exact) - 1):
        bits = 63 + 64 * deep
        here = floor(exact[j], bits)
        for delta, want in ((0, None), (-1, j), (1, j + 1)):
            digits = here + delta
            first = digits >> 64 * deep
            if first != sampler.thresholds[j]:
                continue
            later = [digits >> 64 * k & (2**64 - 1) for k in reversed(range(deep))]
            # equal so far: the next words decide
            for last, then in ((0, j), (2**64 - 1, j + 1)):
                stream = Replay([*later, last, *[last] * 8])
                got = sampler.settle([first << 1], stream)  # type: ignore[arg-type]
                assert got == (then if want is None else want)


@pytest.mark.parametrize("kind", [Gaussian, Skellam])
def test_the_tail_has_no_end(kind: type[Gaussian] | type[Skellam]) -> None:
    """All ones for 63 + 64 k bits and zeros after them is 1 - 2^-(63 + 64 k): far out, and exactly where."""
    law = kind(Fraction(2))
    sampler = Sampler(law)
    exact = cumulative(law, 0, 200)
    for k in range(6):
        u = 1 - WORK.ldexp(WORK.mpf(1), -(63 + 64 * k))
        want = next(j for j, f in enumerate(exact) if u < f)
        assert sampler.settle([2**64 - 1], Replay([2**64 - 1] * k + [0] * 8)) == -want  # type: ignore[arg-type]
        if k:
            assert want >= len(sampler.thresholds)


@pytest.mark.parametrize("kind", [Gaussian, Skellam])
def test_refusals_are_exact(kind: type[Gaussian] | type[Skellam], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_noise_sampler, "_FINE", 6)
    law = kind(Fraction(1000) ** 2 / 7)
    sampler = Sampler(law)
    m = 1 << sampler.shift
    assert m == 8
    for j in (0, 1, 40, 150):
        u = (sampler.thresholds[j - 1] if j else 0) + sampler.thresholds[j] >> 1
        for y in range(1, m):
            refused = 1 - mass(law, j * m + y) / mass(law, j * m)
            for deep in (0, 1, 2):
                digits = floor(refused, 64 + 64 * deep)
                for delta in (-1, 0, 1):
                    parts = [(digits + delta) >> 64 * k & (2**64 - 1) for k in reversed(range(deep + 1))]
                    for last in (0, 2**64 - 1):
                        keeps = delta > 0 or (delta == 0 and last > 0)
                        stream = Replay([*parts[1:], last, *[last] * 6])
                        got = sampler.settle([u << 1 | 1, y << 64 - sampler.shift | 5, parts[0]], stream)  # type: ignore[arg-type]
                        assert got == (-(j * m + y) if keeps else None)
    zero = sampler.thresholds[0] >> 1
    assert sampler.settle([zero << 1, 0, 0], Replay([])) == 0  # type: ignore[arg-type]
    assert sampler.settle([zero << 1 | 1, 0, 0], Replay([])) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Gaussian, Skellam])
@pytest.mark.parametrize("sigma", [1, 40, 600, 10**5, 2**40])
def test_kernel_and_rule_agree(kind: type[Gaussian] | type[Skellam], sigma: int) -> None:
    sampler = Sampler(kind(Fraction(sigma) ** 2))
    per, n = sampler.table.words, 3000
    words = Stream().uint64(n * per)
    words[::per][:500] = np.array(sampler.thresholds * 500, np.uint64)[:500] << np.uint64(1) | words[::per][
        :500
    ] & np.uint64(1)
    out, undecided = np.empty(n, np.int64), np.empty(n, np.uint32)
    k = _noise_sampler._kernel.draw(sampler.table, words, out, undecided)
    left = set(undecided[:k].tolist())
    assert set(range(500)) <= left
    assert k < 500 + 60
    for i, group in enumerate(words.reshape(n, per).tolist()):
        if i not in left:
            assert sampler.settle(group, Replay([])) == out[i]  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------- the samples


def chi_square(samples: np.ndarray, law: Law) -> float:
    """The probability of a statistic at least as large; bins of at least 200 expected samples."""
    sigma = math.sqrt(law.variance)
    reach = int(10 * sigma) + 20
    masses = np.array([float(mass(law, x)) for x in range(reach + 1)])
    both = np.concatenate([masses[:0:-1], masses]) / (2 * masses.sum() - masses[0])
    counts = np.bincount(samples + reach, minlength=2 * reach + 1)
    expected, observed, e, o = [], [], 0.0, 0
    for p, c in zip(both * samples.size, counts, strict=True):
        e, o = e + p, o + c
        if e >= 200:
            expected.append(e)
            observed.append(o)
            e, o = 0.0, 0
    expected[-1] += e
    observed[-1] += o
    statistic = float((((np.array(observed) - expected) ** 2) / expected).sum())
    return float(mp.gammainc((len(expected) - 1) / 2, statistic / 2, mp.inf, regularized=True))


@pytest.mark.parametrize("kind", ["gaussian", "skellam"])
@pytest.mark.parametrize("variance", [Fraction(1, 3), Fraction(1), Fraction(22, 7), Fraction(10**4), Fraction(600**2)])
def test_chi_square(kind: str, variance: Fraction) -> None:
    draw = noise.discrete_gaussian if kind == "gaussian" else noise.skellam
    x = draw(400_000, variance=variance)
    assert chi_square(x, Gaussian(variance) if kind == "gaussian" else Skellam(variance)) > FALSE_ALARM


@pytest.mark.parametrize("kind", [Gaussian, Skellam])
def test_chi_square_where_blocks_are_coarse(
    kind: type[Gaussian] | type[Skellam], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block falls off by some 3 % here: a sampler that refused nothing would be off by 12 standard errors."""
    monkeypatch.setattr(_noise_sampler, "_FINE", 6)
    law = kind(Fraction(260) ** 2)
    sampler = Sampler(law)
    m = 1 << sampler.shift
    assert m == 8
    out = np.empty(2_500_000, np.int64)
    sampler.fill(out, Stream())
    masses = np.array([float(mass(law, x)) for x in range(3000)])
    masses[0] /= 2
    x = np.arange(masses.size)

    def mean_of_score(p: np.ndarray) -> float:
        return float((score(x) * p).sum() / p.sum())

    def score(x: np.ndarray) -> np.ndarray:
        return (x // m) * (x % m - (m - 1) / 2)

    error = math.sqrt((score(x) ** 2 * masses).sum() / masses.sum() / out.size)
    assert abs(score(np.abs(out)).mean() - mean_of_score(masses)) < SIX_SIGMA * error
    assert abs(mean_of_score(masses[x // m * m]) - mean_of_score(masses)) > 11 * error
    assert chi_square(out, law) > FALSE_ALARM


@pytest.mark.parametrize("draw", [noise.discrete_gaussian, noise.skellam])
@pytest.mark.parametrize("sigma", [3, 500, 10**4, 2**20 + 1, 2**40])
def test_moments_and_signs(draw: Callable[..., Any], sigma: int) -> None:
    n = 200_000
    x = draw(n, sigma) / sigma
    kurtosis = 3 + (1 / sigma**2 if draw is noise.skellam else 0)
    assert abs(x.mean()) < SIX_SIGMA / math.sqrt(n)
    assert abs((x**2).mean() - 1) < SIX_SIGMA * math.sqrt((kurtosis - 1) / n)
    assert abs((x**3).mean()) < SIX_SIGMA * math.sqrt(20 / n)
    assert abs((x**4).mean() - kurtosis) < SIX_SIGMA * math.sqrt(110 / n)
    assert abs(np.count_nonzero(x > 0) - np.count_nonzero(x < 0)) < SIX_SIGMA * math.sqrt(n)
    odd = np.count_nonzero((np.rint(x * sigma).astype(np.int64) & 1) == 1)
    if sigma <= 2**20 + 1 and sigma > 3:
        assert abs(odd - n / 2) < SIX_SIGMA * math.sqrt(n) / 2


@pytest.mark.parametrize("kind", ["gaussian", "skellam"])
def test_tails_are_reached(kind: str) -> None:
    """How many of two million samples lie at 5 sigma and beyond, against a Poisson variable of the exact mean."""
    law = Gaussian(Fraction(4)) if kind == "gaussian" else Skellam(Fraction(4))
    draw = noise.discrete_gaussian if kind == "gaussian" else noise.skellam
    n = 2_000_000
    beyond = int(np.count_nonzero(np.abs(draw(n, variance=4)) >= 10))
    total = mass(law, 0) + 2 * sum(mass(law, x) for x in range(1, 200))
    mean = float(n * 2 * sum(mass(law, x) for x in range(10, 200)) / total)
    assert mean > 1.5
    # P(N >= beyond) and P(N <= beyond)
    assert beyond == 0 or mp.gammainc(beyond, 0, mean, regularized=True) > FALSE_ALARM
    assert mp.gammainc(beyond + 1, mean, mp.inf, regularized=True) > FALSE_ALARM


def test_clients_share_the_variance() -> None:
    n, clients = 100_000, 10
    for draw in (noise.discrete_gaussian, noise.skellam):
        total = sum(draw(n, 50, clients=clients) for _ in range(clients))
        assert abs((total / 50.0).var() - 1) < SIX_SIGMA * math.sqrt(2.01 / n)


# ------------------------------------------------------------------------------------------- where the bits come from


def test_every_bit_of_the_seed_counts() -> None:
    sampler = Sampler(Gaussian(Fraction(10**6)))

    def first(seed: bytes) -> bytes:
        out = np.empty(8, np.int64)
        sampler.fill(out, Stream(seed))
        return out.tobytes()

    seen = {first(bytes(32))} | {first((1 << i).to_bytes(32, "little")) for i in range(256)}
    assert len(seen) == 257
    assert first(bytes(32)) in seen


def test_no_two_calls_or_children_share_noise() -> None:
    def some() -> bytes:
        return noise.discrete_gaussian(8, 2**30).tobytes() + noise.skellam(8, 2**30).tobytes()

    seen = [some() for _ in range(20)]
    for _ in range(4):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, some())
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            seen.append(pipe.read())
        os.waitpid(child, 0)
    seen.append(some())
    assert all(len(one) == 128 for one in seen)
    assert len(set(seen)) == len(seen)


# ------------------------------------------------------------------------------------------- the face


@pytest.mark.parametrize("draw", [noise.discrete_gaussian, noise.skellam])
def test_shapes_and_rings(draw: Callable[..., Any]) -> None:
    assert draw(5, 2).shape == (5,)
    assert draw((2, 3, 4), 2).shape == (2, 3, 4)
    assert draw([2, 0], 2).shape == (2, 0)
    assert draw((), 2**30).shape == ()
    assert draw(5, 2).dtype == np.int64
    for bits in (1, 8, 31, 32, 33, 63, 64):
        x = draw((100, 10), 2**20, bits=bits)
        assert x.dtype == (np.uint32 if bits <= 32 else np.uint64)
        assert int(x.max()) < 2**bits
    x = draw(1000, 1000, bits=24).astype(np.int64)
    centred = np.where(x >= 2**23, x - 2**24, x)
    assert np.abs(centred).max() < 10_000
    assert (centred < 0).any()
    assert draw(100_000, 2**20, threads=2).shape == (100_000,)


@pytest.mark.parametrize("draw", [noise.discrete_gaussian, noise.skellam])
def test_refusals(draw: Callable[..., Any]) -> None:
    for arguments in ({}, {"sigma": 1, "variance": 1}):
        with pytest.raises(TypeError, match="either sigma or variance"):
            draw(3, **arguments)
    for wrong in (True, "1", 1j, [1]):
        with pytest.raises(TypeError, match="sigma"):
            draw(3, wrong)
    for sigma in (0, -1, float("nan"), float("inf"), 2**-21, 2**40 + 1, Fraction(1, 10**400), 10**400):
        with pytest.raises(ValueError, match="sigma"):
            draw(3, sigma)
    for variance in (0, -1, 2.0**81, 2.0**-41):
        with pytest.raises(ValueError, match="variance"):
            draw(3, variance=variance)
    for arguments in ({"clients": 0}, {"bits": 0}, {"bits": 65}, {"threads": 0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            draw(3, 5, **arguments)
    with pytest.raises(ValueError, match="shape"):
        draw(-1, 5)
    with pytest.raises(TypeError, match="shape"):
        draw(2.0, 5)
    assert draw(3, np.float32(0.5)).shape == draw(3, np.int64(5)).shape
