"""Long powers are cut: the pieces give the same numbers, and Ctrl-C is seen between them."""

from __future__ import annotations

import random
import signal
import time

import gmpy2
import pytest

from bluetusk import _parallel, _powers, modexp

RNG = random.Random(5)


def odd(bits: int) -> int:
    return RNG.getrandbits(bits) | 1 << (bits - 1) | 1


def product(bases, exponents, m):
    out = 1 % m
    for b, e in zip(bases, exponents, strict=True):
        out = out * pow(b, e, m) % m
    return out


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("bits", [3, 64, 200, 1024])
def test_pieces_give_the_same_powers(monkeypatch, bits, threads):
    """Blocks of a few elements, parts of a few bits, slices of a few products."""
    monkeypatch.setattr(_powers, "_PART_US", 3.0)
    monkeypatch.setattr(_powers, "_BLOCK_WORDS", 100)
    monkeypatch.setattr(modexp, "_SLICE_US", 20.0)
    monkeypatch.setattr(_parallel, "_SLICE_US", 20.0)
    for m in (odd(bits), odd(bits) - 1):
        bases = [RNG.getrandbits(bits + 3) for _ in range(7)]
        powers = [RNG.getrandbits(230) >> RNG.randrange(230) for _ in range(6)] + [0]
        want = [pow(b, e, m) for b, e in zip(bases, powers, strict=True)]
        for secret in (True, False)[m % 2 == 0 :]:
            assert modexp.powmod(bases, powers, m, secret_exponents=secret, threads=threads) == want
        for e in (0, 1, 3):
            assert modexp.powmod(bases, e, m, secret_exponents=m % 2 == 1) == [pow(b, e, m) for b in bases]
        rows = [powers, powers[::-1], [0] * 7, [1] * 7]
        assert modexp.multiexp(bases, rows, m, threads=threads) == [product(bases, row, m) for row in rows]
        assert modexp.multiexp(bases[:1], powers[:1], m, threads=threads) == want[0]
        if m % 2:
            fixed = modexp.FixedBase(bases[0], m, 230)
            assert fixed.powmod(powers, threads=threads) == [pow(bases[0], e, m) for e in powers]


def test_negative_exponents_in_pieces(monkeypatch):
    monkeypatch.setattr(_parallel, "_SLICE_US", 20.0)
    m = int(gmpy2.next_prime(odd(300)))
    bases = [RNG.getrandbits(300) for _ in range(3)]
    rows = [[RNG.getrandbits(50) - (1 << 49) for _ in bases] for _ in range(40)]
    assert modexp.multiexp(bases, rows, m) == [product(bases, row, m) for row in rows]
    with pytest.raises(ValueError, match=r"bases\[1\] has no inverse"):
        modexp.multiexp([2, 0, 3], [[1, 1, 1]] * 30 + [[1, -1, 1]], m)


class Stop(BaseException):
    """What the signal raises."""


def seconds_to_stop(work) -> float:
    """Time from a signal to the exception in the caller, for work that is far from done then."""

    def handler(signum, frame):
        nonlocal sent
        raise Stop

    sent = time.perf_counter() + 0.15
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.15)
    try:
        with pytest.raises(Stop):
            work()
        return time.perf_counter() - sent
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


LONG, WIDE, EVEN = odd(4096), odd(16384), odd(4096) - 1
E6000, E100K = odd(6000), odd(100_000)

CASES = {
    "wide moduli": lambda threads: modexp.powmod([3] * 8, [E6000] * 8, WIDE, threads=threads),
    "one long power": lambda threads: modexp.powmod(3, 1 << 400_000, LONG, threads=threads),
    "one long public power": lambda threads: modexp.powmod(3, E100K**4, LONG, secret_exponents=False, threads=threads),
    "even moduli": lambda threads: modexp.powmod([3, 5], E100K**10, EVEN, secret_exponents=False, threads=threads),
    "long multiexp": lambda threads: modexp.multiexp([3, 5], [E100K**4, E100K**3], LONG, threads=threads),
    "long multiexp of an even modulus": lambda threads: modexp.multiexp([3], [E100K**10], EVEN, threads=threads),
    "a large table": lambda threads: modexp.FixedBase(3, WIDE, 20_000, table_bytes=1 << 28),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_ctrl_c_is_seen_within_a_quarter_of_a_second(case, threads):
    # a busy machine may delay a single run
    assert min(seconds_to_stop(lambda: CASES[case](threads)) for _ in range(3)) < 0.25


def test_ctrl_c_between_the_rows_of_a_large_table():
    fixed = modexp.FixedBase(3, WIDE, 6000, table_bytes=1 << 25)
    assert min(seconds_to_stop(lambda: fixed.powmod([E6000 >> 1] * 64, threads=1)) for _ in range(3)) < 0.25
