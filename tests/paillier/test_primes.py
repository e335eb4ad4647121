from __future__ import annotations

import os
import signal
import threading
import time

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from bluetusk.paillier import primes


def small_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


def test_candidates_are_exactly_the_admissible_numbers_and_uniform():
    source = primes.Candidates(16)
    assert source.primes == (3, 5)
    admissible = {
        p for p in range(source.low, 1 << 16) if p % 4 == 3 and all(p % prime not in (0, 1) for prime in source.primes)
    }
    draws = 60 * len(admissible)
    values, counts = np.unique([source.draw() for _ in range(draws)], return_counts=True)
    assert set(values.tolist()) == admissible
    # chi-squared with N - 1 degrees of freedom: mean N - 1, deviation sqrt(2 N); eight deviations never happen
    chi2 = float((((counts - 60) ** 2) / 60).sum())
    spread = (2 * len(admissible)) ** 0.5
    assert abs(chi2 - len(admissible) + 1) < 8 * spread


@pytest.mark.parametrize("bits", [16, 64, 512, 1024, 1536, 2048])
def test_products_of_candidates_have_exact_size(bits):
    source = primes.Candidates(bits)
    assert source.low**2 >> (2 * bits - 1) == 1
    assert (source.low - 1) ** 2 >> (2 * bits - 1) == 0
    for _ in range(50):
        p = source.draw()
        assert source.low <= p < 1 << bits
        assert p % 4 == 3
        assert all(p % prime > 1 for prime in source.primes)


def test_primorial_is_the_product_of_all_primes():
    product = 1
    for n in range(1000):
        product *= n if small_prime(n) else 1
    assert primes.primorial(999) == product
    assert primes.primorial(1 << 20) % 1048573 == 0  # the largest prime below 2^20
    assert primes.primorial(1 << 20) % 1048583 != 0  # the least above


@given(st.integers(101, 2048), st.integers(-2, 2))
def test_distance_is_measured_against_the_length(bits, step):
    p = mpz(1) << (bits - 1)
    q = p + (mpz(1) << (bits - 100)) + step
    assert primes.distance_ok(p, q) is (step > 0)
    assert primes.distance_ok(q, p) is (step > 0 or q.bit_length() > bits)


def test_tests_agree_with_trial_division():
    for n in range(-5, 5000):
        assert primes.is_generated_prime(mpz(n)) is small_prime(n)
        assert primes.strong_test(mpz(n), 32) is small_prime(n)


@pytest.mark.parametrize(
    "n",
    [
        2047,  # strong pseudoprime to base 2
        3215031751,  # to 2, 3, 5, 7
        3825123056546413051,  # to the first nine primes
        318665857834031151167461,  # to the first twelve
        3317044064679887385961981,  # to the first thirteen
        561,
        1729,
        # n = (k + 1)(2k + 1) with both factors prime: the form with the most bases that do not notice
        *(
            int((k + 1) * (2 * k + 1))
            for k in range(10**6, 10**6 + 4000, 2)
            if gmpy2.is_prime(k + 1) and gmpy2.is_prime(2 * k + 1)
        ),
        (2**127 - 1) ** 2,
        (2**521 - 1) * (2**607 - 1),
    ],
)
def test_composites_made_to_pass_are_refused(n):
    assert not primes.strong_test(mpz(n), primes.FOREIGN_ROUNDS)
    assert not primes.is_generated_prime(mpz(n))


@pytest.mark.parametrize("exponent", [89, 107, 127, 521, 607, 1279])
def test_mersenne_primes_pass(exponent):
    assert primes.is_generated_prime(mpz(2) ** exponent - 1, 8)


def test_bases_come_from_the_system_and_cover_the_range(monkeypatch):
    n = mpz(11)
    asked = []

    def randbelow(bound):
        asked.append(bound)
        return len(asked) % bound

    monkeypatch.setattr(primes.secrets, "randbelow", randbelow)
    assert primes.strong_test(n, 9)
    assert asked == [8] * 9  # 2 .. 9 = n - 2


def test_one_liar_among_the_bases_does_not_save_a_composite(monkeypatch):
    bases = iter([2, 3])  # 2047 passes with base 2 and not with base 3
    monkeypatch.setattr(primes.secrets, "randbelow", lambda bound: next(bases) - 2)
    assert not primes.strong_test(mpz(2047), 2)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("bits", [128, 129, 512])
def test_generated_primes_satisfy_every_condition(bits, threads):
    for _ in range(5):
        p, q = primes.generate_primes(bits, threads=threads)
        assert gmpy2.is_prime(p, 25)
        assert gmpy2.is_prime(q, 25)
        assert p % 4 == q % 4 == 3
        assert gmpy2.gcd(p - 1, q - 1) == 2
        assert gmpy2.gcd((p - 1) * (q - 1) // 4, primes.primorial(1 << 16)) == 1
        assert abs(p - q) > mpz(2) ** (bits - 100)
        assert (p * q).bit_length() == 2 * bits


def test_pairs_that_fail_are_thrown_away_whole(monkeypatch):
    pairs = []

    def far_enough(p, q):
        pairs.append((p, q))
        return len(pairs) == 3

    monkeypatch.setattr(primes, "distance_ok", far_enough)
    assert primes.generate_primes(128, threads=1) == pairs[2]
    assert len({p for pair in pairs for p in pair}) == 6


def test_short_primes_are_refused():
    with pytest.raises(ValueError, match="at least 128"):
        primes.generate_primes(127)


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_stops_the_search(monkeypatch, threads):
    monkeypatch.setattr(primes, "is_generated_prime", lambda n: False)  # it would never end
    delays = []
    for _ in range(3):  # the best of three: a busy machine may hold back any one of them
        sent = []

        def interrupt(sent=sent):
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.3, interrupt)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            primes.generate_primes(2048, threads=threads)
        delays.append(time.monotonic() - sent[0])
        timer.join()
    assert min(delays) < 0.25
