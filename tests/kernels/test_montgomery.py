"""The Montgomery class against plain integers, and every wrong size and index refused before C sees it."""

from __future__ import annotations

import math
import os
import pickle
import random
import subprocess
import sys
import threading

import gmpy2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bluetusk._kernels as kernels
from bluetusk._kernels import modexp as kernel
from bluetusk._kernels.modexp import Comb, Montgomery

RNG = random.Random(7)


def limbs_of(values, limbs):
    data = b"".join(int(v).to_bytes(8 * limbs, "little") for v in values)
    return np.frombuffer(data, np.uint64).reshape(len(values), limbs)


def loaded(mont, values):
    a = mont.empty(len(values))
    mont.load(a, limbs_of(values, mont.limbs), 0, len(values))
    return a


def stored(mont, a, n, idx=None):
    out = np.zeros((n, mont.limbs), np.uint64)
    mont.store(out, a, idx, 0, n)
    return [int.from_bytes(row.tobytes(), "little") for row in out]


def odd(bits):
    return RNG.getrandbits(bits) | 1 << (bits - 1) | 1


def indices(n, below):
    return np.array([RNG.randrange(below) for _ in range(n)], np.int64)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 64, 65, 128, 1000, 2048, 4096])
def test_every_operation(bits, squared):
    root, n = odd(max(2, -(-bits // 2))) if squared else None, 12
    m = root**2 if squared else odd(bits)
    bits = m.bit_length()
    mont = Montgomery(m, root)
    assert mont.root == root
    limbs = mont.limbs
    assert (mont.modulus, mont.bits, limbs, mont.nbytes) == (m, bits, -(-bits // 64), 8 * -(-bits // 64))
    assert mont.backend == (kernel.BACKEND if 1024 - 64 - 64 * squared < bits <= 8192 else "mpn")
    assert mont.words(n) == mont.empty(n).size
    x = [RNG.getrandbits(64 * limbs) for _ in range(n)]
    y = [RNG.getrandbits(64 * limbs) for _ in range(n)]
    a, b, d = loaded(mont, x), loaded(mont, y), mont.empty(n)
    assert stored(mont, a, n) == [v % m for v in x]
    assert stored(mont, mont.ones(n), n) == [1 % m] * n
    ia, ib = indices(n, n), indices(n, n)
    assert stored(mont, a, n, ia) == [x[i] % m for i in ia]
    mont.gather(d, a, ia, 0, n)
    assert stored(mont, d, n) == [x[i] % m for i in ia]
    mont.mul(d, a, ia, b, ib, 0, n)
    assert stored(mont, d, n) == [x[i] * y[j] % m for i, j in zip(ia, ib, strict=True)]

    for ebits in (0, 1, 13, 64, 65, 130):
        el = -(-ebits // 64)
        e = [RNG.getrandbits(ebits) if ebits else 0 for _ in range(n)]
        exps = limbs_of(e, el) if el else np.zeros((n, 0), np.uint64)
        for power in (mont.pow, mont.pow_secret):
            power(d, a, ia, exps, ebits, 0, n)
            assert stored(mont, d, n) == [pow(x[i], k, m) for i, k in zip(ia, e, strict=True)]
        comb = Comb(mont, limbs_of([x[0] % m], limbs), ebits, 1 << 20)
        comb.pow(d, exps, 0, n)
        assert stored(mont, d, n) == [pow(x[0], k, m) for k in e]

    mont.prod(d, a, ia, 3, 0, 4)
    assert stored(mont, d, 4) == [math.prod(x[i] for i in ia[3 * r : 3 * r + 3]) % m for r in range(4)]
    mont.prod(d, a, None, 4, 0, 3)
    assert stored(mont, d, 3) == [math.prod(x[4 * r : 4 * r + 4]) % m for r in range(3)]
    mont.prod(d, a, None, 0, 0, n)
    assert stored(mont, d, n) == [1 % m] * n

    codes = indices(n, 5)
    for idx in (None, ia):
        bins = mont.ones(5)
        mont.bincount(bins, 5, 1, a, idx, codes[:, None], 0, 7)
        mont.bincount(bins, 5, 1, a, idx, codes[:, None], 7, n)
        picked = [x[i if idx is None else idx[i]] for i in range(n)]
        want = [math.prod(v for v, c in zip(picked, codes, strict=True) if c == k) % m for k in range(5)]
        assert stored(mont, bins, 5) == want

    steps = indices(12, n).reshape(4, 3)
    running = mont.empty(4 * mont.lanes * -(-3 // mont.lanes))
    mont.scan(running, a, steps, 0, 2, 0, 3)
    mont.scan(running, a, steps, 2, 4, 0, 3)
    at = np.array([s * -(-3 // mont.lanes) * mont.lanes + r for r in range(3) for s in range(4)])
    want = [math.prod(x[steps[j, r]] for j in range(s + 1)) % m for r in range(3) for s in range(4)]
    assert stored(mont, running, 12, at) == want

    e3 = [[RNG.getrandbits(70) for _ in range(n)] for _ in range(5)]
    exps = limbs_of([v for row in e3 for v in row], 2).reshape(5, n, 2)
    mont.multiexp(d, a, ib, exps, 70, 0, 5)
    want = [math.prod(pow(x[j], k, m) for j, k in zip(ib, row, strict=True)) % m for row in e3]
    assert stored(mont, d, 5) == want


def test_slices_leave_the_rest_alone():
    mont = Montgomery(odd(300))
    values = [RNG.getrandbits(320) for _ in range(12)]
    a = loaded(mont, values)
    before = mont.ones(12)
    exps = limbs_of([3] * 12, 1)
    calls = {
        "load": lambda d: mont.load(d, limbs_of(values, mont.limbs), 4, 8),
        "gather": lambda d: mont.gather(d, a, None, 4, 8),
        "mul": lambda d: mont.mul(d, a, None, a, None, 4, 8),
        "pow": lambda d: mont.pow(d, a, None, exps, 2, 4, 8),
        "pow_secret": lambda d: mont.pow_secret(d, a, None, exps, 2, 4, 8),
        "prod": lambda d: mont.prod(d, a, None, 1, 4, 8),
        "multiexp": lambda d: mont.multiexp(d, a, None, exps[:, None, :], 2, 4, 8),
        "comb": lambda d: Comb(mont, limbs_of([5], mont.limbs), 2, 1 << 20).pow(d, exps, 4, 8),
    }
    for name, call in calls.items():
        d = before.copy()
        call(d)
        assert stored(mont, d, 12)[:4] == [1] * 4, name
        assert stored(mont, d, 12)[8:] == [1] * 4, name
        assert stored(mont, d, 12)[4:8] != [1] * 4, name


@pytest.mark.parametrize("bits", [130, 2048])
def test_sparse_multiexp(bits):
    m, rows = odd(bits), 9
    mont = Montgomery(m)
    x = [RNG.getrandbits(bits) for _ in range(12)]
    idx, start, row = indices(5, 12), np.array([0, 0, 3, 4, 4, 20]), indices(20, rows)
    e = [RNG.getrandbits(70) for _ in range(20)]
    d = mont.empty(rows)
    mont.multiexp_sparse(d, loaded(mont, x), idx, start, row, limbs_of(e, 2), 70, rows)
    column = np.searchsorted(start, np.arange(20), side="right") - 1
    want = [1] * rows
    for k in range(20):
        want[row[k]] = want[row[k]] * pow(x[idx[column[k]]], e[k], m) % m
    assert stored(mont, d, rows) == want


@given(st.integers(1, 2**130), st.lists(st.integers(0, 2**128 - 1), max_size=12))
def test_invert(half, values):
    m = 2 * half + 1
    mont = Montgomery(m)
    values = [v % (1 << (64 * mont.limbs)) for v in values]
    a = loaded(mont, values)
    bad = [i for i, v in enumerate(values) if math.gcd(v, m) != 1]
    if bad:
        before = a.copy()
        with pytest.raises(ValueError, match=f"element {bad[0]} has no inverse"):
            mont.invert(a, len(values))
        np.testing.assert_array_equal(a, before)
    else:
        mont.invert(a, len(values))
        assert stored(mont, a, len(values)) == [pow(v, -1, m) for v in values]


def test_refused_moduli():
    for modulus in (0, 1, 2, -3, -7, 4, 2**64, 2**16384 + 1, 2**20000 - 1):
        with pytest.raises(ValueError, match="modulus"):
            Montgomery(modulus)


@pytest.mark.parametrize(("modulus", "root"), [(49, 5), (49, -7), (49, 0), (51, 7), (35, 5), (1, 1), (4, 2)])
def test_refused_roots(modulus, root):
    with pytest.raises(ValueError, match=r"root must be|modulus must be"):
        Montgomery(modulus, root)
    with pytest.raises(TypeError):
        Montgomery(49, "7")


@pytest.mark.parametrize("modulus", [7.0, "7", None, b"7"])
def test_moduli_that_are_no_integers(modulus):
    with pytest.raises(TypeError):
        Montgomery(modulus)


def test_wrong_sizes_and_indices_are_refused():
    mont = Montgomery(odd(130))
    n, el = 6, 1
    a, src, exps = mont.ones(n), np.zeros((n, 3), np.uint64), np.zeros((n, el), np.uint64)
    short, idx, comb = mont.ones(n - 1), np.arange(n), Comb(mont, limbs_of([5], 3), 8, 1 << 20)
    exps3 = np.zeros((n, 2, el), np.uint64)
    bad_index = [np.array([0, 0, 0, n, 0, 0]), np.array([0, -1, 0, 0, 0, 0]), np.array([2**62] * n), np.arange(n - 1)]

    sized = [
        lambda lo, hi: mont.load(a, src, lo, hi),
        lambda lo, hi: mont.store(src, a, idx, lo, hi),
        lambda lo, hi: mont.store(src, a, None, lo, hi),
        lambda lo, hi: mont.gather(a, a, None, lo, hi),
        lambda lo, hi: mont.mul(a, a, None, a, None, lo, hi),
        lambda lo, hi: mont.pow(a, a, None, exps, 3, lo, hi),
        lambda lo, hi: mont.pow_secret(a, a, None, exps, 3, lo, hi),
        lambda lo, hi: mont.prod(a, a, None, 1, lo, hi),
        lambda lo, hi: mont.multiexp(a, a, idx, exps3, 3, lo, hi),
        lambda lo, hi: mont.bincount(a, n, 1, a, None, idx[:, None], lo, hi),
        lambda lo, hi: comb.pow(a, exps, lo, hi),
    ]
    for call in sized:
        for lo, hi in [(0, n + 1), (-1, 2), (-4, -2), (3, 2), (0, 2**62), (2**61, 2**62), (-(2**62), 0)]:
            with pytest.raises((ValueError, IndexError)):
                call(lo, hi)
    for call in (
        lambda: mont.load(short, src, 0, n),
        lambda: mont.load(a, src[:-1], 0, n),
        lambda: mont.load(a, np.zeros((n, 2), np.uint64), 0, n),
        lambda: mont.store(src[:-1], a, None, 0, n),
        lambda: mont.store(src, short, None, 0, n),
        lambda: mont.gather(a, short, None, 0, n),
        lambda: mont.mul(a, short, None, a, None, 0, n),
        lambda: mont.mul(a, a, None, short, None, 0, n),
        lambda: mont.mul(short, a, None, a, None, 0, n),
        lambda: mont.pow(a, a, None, exps[:-1], 3, 0, n),
        lambda: mont.pow(a, a, None, exps, 65, 0, n),
        lambda: mont.pow(a, a, None, exps, -1, 0, n),
        lambda: mont.pow(a, short, None, exps, 3, 0, n),
        lambda: mont.prod(a, a, None, 2, 0, n),
        lambda: mont.prod(a, a, None, -1, 0, 1),
        lambda: mont.prod(a, a, None, 2**60, 0, n),
        lambda: mont.multiexp(a, a, None, exps3, 65, 0, n),
        lambda: mont.multiexp(a, a[: mont.words(1)], None, exps3, 3, 0, n),
        lambda: mont.bincount(a, n + 1, 1, a, None, idx[:, None], 0, n),
        lambda: mont.bincount(a, -1, 1, a, None, idx[:, None], 0, 0),
        lambda: mont.bincount(a, n, 1, short, None, idx[:, None], 0, n),
        lambda: mont.bincount(a, n, -1, a, None, idx[:, None], 0, 0),
        lambda: mont.bincount(a, n, 2, a, None, idx[:, None], 0, 1),
        lambda: mont.bincount(a, n, 1, a, None, np.zeros((n, 2), np.int64), 0, n),
        lambda: mont.bincount(a, 0, 2, a, None, np.zeros((n, 0), np.int64), 0, n),
        lambda: mont.scan(a, a, idx[:, None], 0, n + 1, 0, 1),
        lambda: mont.scan(a, a, idx[:, None], 1, 0, 0, 1),
        lambda: mont.scan(a, a, idx[:, None], -1, 1, 0, 1),
        lambda: mont.scan(a, a, idx[:, None], 0, 1, 0, 2),
        lambda: mont.scan(a, a, idx[None], 0, 1, -4, 1),
        lambda: mont.scan(short, a, idx[:, None], 0, n, 0, 1),
        lambda: mont.multiexp_sparse(a, a, idx, idx, idx, exps, 3, n),
        lambda: mont.multiexp_sparse(a, a, idx[:1], np.array([0, n - 1]), idx, exps, 3, n),
        lambda: mont.multiexp_sparse(a, a, idx[:1], np.array([1, n]), idx, exps, 3, n),
        lambda: mont.multiexp_sparse(a, a, idx[:2], np.array([0, n + 1, n]), idx, exps, 3, n),
        lambda: mont.multiexp_sparse(a, a, idx[:1], np.array([0, n]), idx, exps[:-1], 3, n),
        lambda: mont.multiexp_sparse(a, a, idx[:1], np.array([0, n]), idx, exps, 65, n),
        lambda: mont.multiexp_sparse(short, a, idx[:1], np.array([0, n]), idx, exps, 3, n),
        lambda: mont.multiexp_sparse(a, a, idx[:1], np.array([0, n]), idx, exps, 3, n - 1),
        lambda: mont.multiexp_sparse(a, a, idx[:1], np.array([0, n]), idx, exps, 3, -1),
        lambda: mont.invert(a, n + 1),
        lambda: mont.invert(a, -1),
        lambda: mont.words(-1),
        lambda: mont.empty(-1),
        lambda: comb.pow(a, exps[:-1], 0, n),
        lambda: comb.pow(a, np.zeros((n, 0), np.uint64), 0, n),
        lambda: Comb(mont, np.zeros((1, 2), np.uint64), 8, 1 << 20),
        lambda: Comb(mont, np.zeros((0, 3), np.uint64), 8, 1 << 20),
        lambda: Comb(mont, np.zeros((1, 3), np.uint64), -8, 1 << 20),
        lambda: Comb(mont, np.zeros((1, 3), np.uint64), 8, 1),
    ):
        with pytest.raises((ValueError, IndexError)):
            call()
    for bad in bad_index:
        for call in (
            lambda i: mont.store(src, a, i, 0, n),
            lambda i: mont.gather(a, a.copy(), i, 0, n),
            lambda i: mont.mul(a, a, i, a, None, 0, n),
            lambda i: mont.mul(a, a, None, a, i, 0, n),
            lambda i: mont.pow(a, a, i, exps, 3, 0, n),
            lambda i: mont.pow_secret(a, a, i, exps, 3, 0, n),
            lambda i: mont.prod(a, a, i, 1, 0, n),
            lambda i: mont.multiexp(a, a, i, np.zeros((1, n, 1), np.uint64), 3, 0, 1),
            lambda i: mont.multiexp_sparse(a, a.copy(), i, np.arange(n + 1), idx, exps, 3, n),
            lambda i: mont.multiexp_sparse(a, a.copy(), idx, np.arange(n + 1), i, exps, 3, n),
            lambda i: mont.scan(a, a.copy(), i[None], 0, 1, 0, n),
            lambda i: mont.bincount(a, n, 1, a, i, idx[:, None], 0, n),
            lambda i: mont.bincount(a, n, 1, a, None, i[:, None], 0, n),
        ):
            with pytest.raises((ValueError, IndexError)):
                call(bad)
    np.testing.assert_array_equal(a, mont.ones(n))  # nothing was written


@pytest.mark.parametrize("bits", [2, 130, 4096])
def test_no_size_wraps_around(bits):
    """Sizes whose number of words, or of bytes, is 0 or small modulo 2^64."""
    mont = Montgomery(odd(bits))
    each = mont.elem_words
    for n in (-(-(1 << 60) // each), (1 << 61) // each, (1 << 61) // each + 1, 1 << 60, 1 << 61, 1 << 62, 2**63 - 1):
        for allocate in (mont.words, mont.empty, mont.ones):
            with pytest.raises(MemoryError):
                allocate(n)
        with pytest.raises(ValueError, match="outside an array"):
            mont.bincount(mont.ones(2), n, 1, mont.ones(2), None, np.zeros((2, 1), np.int64), 0, 2)
    for n in (-1, -(2**63)):
        for allocate in (mont.words, mont.empty, mont.ones):
            with pytest.raises(ValueError, match="must not be negative"):
                allocate(n)
    a, none = mont.ones(2), np.zeros((2, 1, 0), np.uint64)
    for ebits in (1, 2**62, 2**63 - 1):
        with pytest.raises(ValueError, match="ebits"):
            mont.multiexp(a, a, None, none, ebits, 0, 2)
        with pytest.raises(ValueError, match="ebits"):
            mont.multiexp(a, a, None, np.zeros((0, 0, 2**57), np.uint64), -ebits, 0, 0)
        with pytest.raises(ValueError, match="ebits"):
            mont.multiexp_sparse(
                a, a, np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros(0, np.int64), none[0], ebits, 2
            )
    for ebits in (2**57, 2**62):  # of exponents that take no memory, as there are none
        empty = np.zeros((0, ebits // 64), np.uint64)
        with pytest.raises(MemoryError):
            mont.multiexp_sparse(
                a, a, np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros(0, np.int64), empty, ebits, 2
            )


@pytest.mark.parametrize("modulus", [7, 2**127 - 1, odd(4096)])
def test_combs_of_impossible_exponents_are_refused(modulus):
    mont = Montgomery(modulus)
    base = limbs_of([5], mont.limbs)
    for ebits in (-1, -(2**63), (1 << 24) + 1, 1 << 56, 1 << 58, 1 << 61, 1 << 62, 2**63 - 1):
        for table_bytes in (0, 1 << 20, 2**63 - 1):
            with pytest.raises(ValueError, match="exponent_bits"):
                Comb(mont, base, ebits, table_bytes)
    with pytest.raises(ValueError, match=r"table_bytes = 100 is too small: the smallest table takes \d+ bytes"):
        Comb(mont, base, 1 << 24, 100)
    with pytest.raises(ValueError, match="table_bytes must not be negative"):
        Comb(mont, base, 8, -1)


RACE = """
import sys, threading, time
import numpy as np
from bluetusk._kernels.modexp import Montgomery

mont, n, name = Montgomery(2**127 - 1), 200_000, sys.argv[1]
a, d, idx, good = mont.ones(n), mont.empty(n), np.arange(n), np.arange(n)
out, exps, ones = np.zeros((n, mont.limbs), np.uint64), np.ones((n, 1), np.uint64), np.ones((n, 1), np.uint64)
rows = np.ones((1, n, 1), np.uint64)
calls = {
    "store": lambda: mont.store(out, a, idx, 0, n),
    "gather": lambda: mont.gather(d, a, idx, 0, n),
    "mul": lambda: mont.mul(d, a, idx, a, idx, 0, n),
    "pow": lambda: mont.pow(d, a, idx, exps, 1, 0, n),
    "prod": lambda: mont.prod(d, a, idx, 1, 0, n),
    "bincount": lambda: mont.bincount(d, n, 1, a, idx, idx[:, None], 0, n),
    "scan": lambda: mont.scan(d, a, idx[None], 0, 1, 0, n),
    "multiexp": lambda: mont.multiexp(d, a, idx, rows, 1, 0, 1),
}
stop, refused, done = False, 0, 0


def write():
    while not stop:
        idx[n // 2 :], exps[:] = 2**40, 0
        time.sleep(1e-4)
        idx[:], exps[:] = good, ones
        time.sleep(1e-4)


writer = threading.Thread(target=write)
writer.start()
end = time.monotonic() + 0.4
while time.monotonic() < end or done + refused < 2:  # a slow machine may need longer for two
    try:
        calls[name]()
        done += 1
    except IndexError:
        refused += 1
stop = True
writer.join()
print("ended")
"""


@pytest.mark.parametrize("name", ["store", "gather", "mul", "pow", "prod", "bincount", "scan", "multiexp"])
def test_indices_that_another_thread_changes(name):
    """Checked and used are the same numbers, whatever happens to the caller's array in between."""
    run = subprocess.run([sys.executable, "-c", RACE, name], capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stdout.strip()) == (0, "ended"), run.stderr


def test_wrong_buffers_are_refused():
    mont = Montgomery(odd(130))
    a = mont.ones(4)
    for bad in (
        a.astype(np.int64),
        a.astype(np.uint32),
        a.astype(">u8"),
        a[::-1],
        a.reshape(4, -1),
        a.astype(float),
        a.tobytes(),
        a.tolist(),
        None,
    ):
        with pytest.raises((ValueError, TypeError, BufferError)):
            mont.mul(bad, a, None, a, None, 0, 4)
    read_only = a.copy()
    read_only.flags.writeable = False
    mont.mul(a, read_only, None, read_only, None, 0, 4)
    with pytest.raises((ValueError, BufferError)):
        mont.mul(read_only, a, None, a, None, 0, 4)
    with pytest.raises((ValueError, TypeError)):
        mont.mul(a, a, np.arange(4, dtype=np.int32), a, None, 0, 4)


def test_exponent_bits_beyond_ebits_never_overrun():
    """The contract is broken on purpose: the result is unspecified, memory is not."""
    mont = Montgomery(odd(200))
    a, d = mont.ones(9), mont.empty(9)
    exps = np.full((9, 3), 2**64 - 1, np.uint64)
    for ebits in range(0, 193, 7):
        mont.pow(d, a, None, exps, ebits, 0, 9)
        mont.pow_secret(d, a, None, exps, ebits, 0, 9)
        mont.multiexp(d, a, None, exps[:, None, :], ebits, 0, 9)
        assert stored(mont, d, 9) == [1] * 9


def test_shared_by_threads():
    m = odd(1024)
    mont = Montgomery(m)
    values = [RNG.getrandbits(1024) for _ in range(64)]
    exps = limbs_of([RNG.getrandbits(64) for _ in range(64)], 1)
    a, d = loaded(mont, values), mont.empty(64)
    workers = [
        threading.Thread(target=mont.pow_secret, args=(d, a, None, exps, 64, lo, lo + 16)) for lo in range(0, 64, 16)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert stored(mont, d, 64) == [pow(v, int(e[0]), m) for v, e in zip(values, exps, strict=True)]


def test_parts_and_rows_are_checked():
    mont = Montgomery(odd(130))
    a, d, exps = mont.ones(4), mont.empty(4), np.ones((4, 1), np.uint64)
    for low, high in [(-1, 5), (5, 4), (0, 9), (2**62, 2**62), (0, 2**63 - 1)]:
        with pytest.raises(ValueError, match="not within 8 bits"):
            mont.pow_part(d, a, exps, 8, low, high, True, 0, 4)
    with pytest.raises(ValueError, match="at least one base"):
        mont.multiexp(d, a, None, np.zeros((4, 0, 1), np.uint64), 8, 0, 4, True)
    comb = Comb(mont, limbs_of([5], 3), 8, 1 << 20)
    for first, count in [(-1, 1), (0, comb.steps + 1), (comb.steps + 1, 0), (1, 2**63 - 1), (2**63 - 1, None), (0, -1)]:
        with pytest.raises(ValueError, match=r"outside the \d+ steps of a power"):
            comb.pow(d, exps, 0, 4, first, count)


@pytest.mark.parametrize("name", [b"avx9", b"sse9", b"\xff", b"mpn "])
def test_an_unknown_backend_is_one_line(name):
    environment = {**os.environb, b"BLUETUSK_BACKEND": name}
    code = "import bluetusk._kernels.modexp"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=60)
    assert run.returncode == 1
    last = run.stderr.decode().splitlines()[-1]
    assert last.startswith("ImportError: the environment variable BLUETUSK_BACKEND is ")
    assert last.endswith("; unset it, or set it to 'mpn', 'fma' (AVX2) or 'ifma' (AVX-512)")


def test_pickle_and_repr():
    mont = Montgomery(gmpy2.mpz(1009))
    again = pickle.loads(pickle.dumps(mont))
    assert again.modulus == 1009
    assert "10 bits" in repr(again)
    with pytest.raises(TypeError):
        pickle.dumps(Comb(mont, limbs_of([5], 1), 8, 1 << 20))
    with pytest.raises(AttributeError):
        mont.modulus = 7


def test_gmp_path_is_gmpy2s_extension():
    assert kernels.gmp_path() == gmpy2.gmpy2.__file__
    assert gmpy2.mp_version() == f"GMP {kernel.GMP_VERSION}"
