"""Obfuscators: fresh every time, on every thread, in every forked child, with or without the pool (promise M3)."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import signal
import sys
import threading

import numpy as np
import pytest

from bluetusk import _selftest
from bluetusk._kernels import paillier as kernels
from bluetusk._kernels.paillier import PaillierPrivate, PaillierPublic
from bluetusk.errors import InvalidKey
from bluetusk.paillier.blinding import Blinder
from bluetusk.paillier.scheme import SCHEMES

N = _selftest._P * _selftest._Q
HS = pow(N * N - 9, N, N * N)


def blinder(suite="djn"):
    return Blinder(PaillierPublic(N), SCHEMES[suite], HS if suite == "djn" else None)


def take(source, count):
    """`count` obfuscators as integers."""
    mont = source.kernel.mont
    words, canon = mont.empty(count), np.zeros((count, mont.limbs), np.uint64)
    source.fill(words, 0, count)
    mont.store(canon, words, None, 0, count)
    return [row.tobytes() for row in canon]


class Recorder:
    """Stands where the powers are computed and keeps a digest of each exponent instead."""

    def __init__(self, kernel):
        self.mont, self.n, self.n_limbs = kernel.mont, kernel.n, kernel.n_limbs
        self.digests = []

    def blind_table(self, dst, lo, hi, a):
        assert a.shape == (hi - lo, self.n_limbs // 2)
        self.digests += [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in a]

    def blind_power(self, dst, lo, hi, base, a):
        self.blind_table(dst, lo, hi, a)


@pytest.mark.parametrize("suite", ["djn", "standard"])
def test_obfuscators_differ_and_are_nth_residues(suite):
    source = blinder(suite)
    values = take(source, 4)
    assert len(set(values)) == 4
    order = (_selftest._P - 1) * (_selftest._Q - 1)
    for value in values:  # an n-th power dies under phi(n)
        assert pow(int.from_bytes(value, "little"), order, N * N) == 1


def test_with_and_without_the_table():
    source = blinder()
    few = take(source, 2)
    assert source.kernel.table_bytes == 0
    many = take(source, 20)
    assert source.kernel.table_bytes > 0
    assert len({*few, *many}) == 22


def test_exponents_are_as_long_as_the_suite_says():
    """M4: uniform below 2^1024, so the top byte takes every value and no bit is constant."""
    kernel = PaillierPublic(N)
    seen = []

    class Full(Recorder):
        def blind_table(self, dst, lo, hi, a):
            seen.append(a.copy())

    source = Blinder(kernel, SCHEMES["djn"], HS)
    source.kernel, source._ready = Full(kernel), True
    source.fill(kernel.mont.empty(10_000), 0, 10_000)
    exponents = np.concatenate(seen)
    assert exponents.shape == (10_000, 16)
    ones = np.unpackbits(exponents.view(np.uint8)).reshape(10_000, 1024).sum(axis=0).astype(np.int64)
    assert abs(ones - 5000).max() < 6.5 * 50  # 6.5 sigma, 1024 bits: false alarm below 10^-7


def test_the_pool_is_popped_once():
    source = blinder()
    source.precompute(7)
    source.precompute(5)
    assert source.pooled == 12
    pooled = take(source, 10)
    assert source.pooled <= 2  # what two chunks would put into one group is drawn anew
    rest = take(source, 4)
    assert source.pooled == 0
    assert len({*pooled, *rest}) == 14


def test_the_rest_of_a_chunk_does_not_block_the_pool():
    source = blinder()
    source.precompute(64 + 1)
    source.precompute(64)
    take(source, 64)
    values = take(source, 64)
    assert source.pooled <= 1
    assert len(set(values)) == 64


@pytest.mark.parametrize("suite", ["djn", "standard"])
def test_single_obfuscators_are_made_by_the_group(suite):
    source = blinder(suite)
    lanes = source.kernel.mont.lanes
    values = [value for count in (1, 2, 1, lanes + 1, 1, 1) for value in take(source, count)]
    assert len(set(values)) == len(values)
    source = blinder()
    kernel = source.kernel
    source.kernel, source._ready = Recorder(kernel), True
    for _ in range(2 * lanes + 1):
        source.fill(kernel.mont.empty(1), 0, 1)
    assert len(source.kernel.digests) == len(set(source.kernel.digests)) == 3 * lanes


def test_what_is_left_of_a_group_is_not_shared_by_a_fork():
    source = blinder()
    take(source, 1)
    pid, read = in_child(lambda: take(source, 1)[0])
    mine = take(source, 1)[0]
    assert mine not in collect([(pid, read)])


def test_threads_share_a_pool_without_sharing_an_element():
    source = blinder()
    source.precompute(64)
    results = []
    threads = [threading.Thread(target=lambda: results.append(take(source, 8))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = [value for result in results for value in result]
    assert len(set(values)) == len(values) == 80


def in_child(work):
    """Run `work` in a forked child; its bytes come back through a pipe."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            with os.fdopen(write, "wb") as pipe:
                pipe.write(work())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(write)
    return pid, read


def collect(children):
    outputs = []
    for pid, read in children:
        with os.fdopen(read, "rb") as pipe:
            outputs.append(pipe.read())
        assert os.waitpid(pid, 0)[1] == 0
    return outputs


def test_forked_children_draw_their_own_exponents():
    """M3: 8 children x 10^4 exponents from one parent with a full pool and a drawn history: no duplicate."""
    source = blinder()
    recorder = Recorder(source.kernel)
    source.kernel, source._ready = recorder, True
    words = recorder.mont.empty(1)

    def work():
        recorder.digests.clear()
        for _ in range(10_000):
            source.fill(words, 0, 1)
        return b"".join(recorder.digests)

    mine = work()
    outputs = [mine, *collect([in_child(work) for _ in range(8)])]
    digests = [output[i : i + 16] for output in outputs for i in range(0, len(output), 16)]
    assert len(digests) == 90_000
    assert len(set(digests)) == len(digests)


def test_a_forked_child_does_not_see_the_pool():
    source = blinder()
    source.precompute(6)

    def work():
        assert source.pooled == 0
        return b"".join(take(source, 4))

    (child,) = collect([in_child(work)])
    assert source.pooled == 6
    mine = take(source, 6)
    theirs = [child[i : i + 512] for i in range(0, len(child), 512)]
    assert len({*mine, *theirs}) == 10


def test_progress_and_size_are_checked():
    source, calls = blinder(), []
    source.precompute(12, threads=1, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (12, 12)
    assert source.pooled == 12
    source.clear()
    assert source.pooled == 0


def test_equal_keys_share_one_table_and_one_pool(pub, keypair2):
    copy = type(pub).from_bytes(pub.to_bytes())
    assert copy is not pub
    assert copy._blinder is pub._blinder
    assert copy._kernel is pub._kernel
    assert keypair2[0]._blinder is not pub._blinder
    assert type(pub)(pub.n, suite="standard")._blinder is not pub._blinder


def test_a_fork_in_the_middle_of_precomputing_shares_nothing():
    """The child goes on inside precompute(), with the parent's half-filled memory: it must not keep those."""
    source = blinder()
    read, write = os.pipe()
    children = []

    def fork_once(done, total):
        if not children:
            children.append(os.fork())

    source.precompute(12, threads=1, progress=fork_once)
    if children[0] == 0:
        try:
            os.write(write, b"".join(value[:64] for value in take(source, 12)))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        theirs = pipe.read()
    assert os.waitpid(children[0], 0)[1] == 0
    assert len(theirs) == 12 * 64
    mine = [value[:64] for value in take(source, 12)]
    assert len({*mine, *(theirs[i : i + 64] for i in range(0, len(theirs), 64))}) == 24


# --- a finaliser, a signal handler or another thread comes in the middle of making a table ----------------------------


@contextlib.contextmanager
def at_collection(number, work):
    """Have the garbage collector call `work` at its `number`-th run; up to Python 3.11 any new object may start one."""
    left = [number]

    def called(phase, info):
        if phase == "start":
            left[0] -= 1
            if left[0] == -1:
                work()

    before = gc.get_threshold()
    gc.collect()
    gc.callbacks.append(called)
    gc.set_threshold(1, 10**6, 10**6)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(called)


def assert_table_right(source):
    """Its powers are those that Python computes."""
    mont, a = source.kernel.mont, source.draw(2)
    words, canon = mont.empty(2), np.zeros((2, mont.limbs), np.uint64)
    assert source._ready
    source.power(words, 0, 2, a)
    mont.store(canon, words, None, 0, 2)
    for row, exponent in zip(canon, a, strict=True):
        expected = pow(HS, int.from_bytes(exponent.tobytes(), "little"), N * N)
        assert int.from_bytes(row.tobytes(), "little") == expected


def test_a_table_that_is_made_while_another_one_opens_it(monkeypatch):
    source, real, inside = blinder(), kernels.aligned_zeros, []

    def interrupted(n):
        monkeypatch.setattr(kernels, "aligned_zeros", real)
        inside.extend(take(source, 20))
        return real(n)

    monkeypatch.setattr(kernels, "aligned_zeros", interrupted)
    source.prepare(20)
    assert len(set(inside)) == 20
    assert_table_right(source)


def test_a_step_that_another_one_takes_meanwhile(monkeypatch):
    """Between the entry into a step and its work; in a child, for what is wrong here writes outside the table."""
    source, real = blinder(), os.getpid

    def interrupted():
        monkeypatch.setattr(os, "getpid", real)
        source.prepare(20)
        return real()

    def work():
        source.kernel.table_open(8 << 20)
        monkeypatch.setattr(os, "getpid", interrupted)
        assert source.kernel.table_build(HS)
        assert_table_right(source)
        return b"right"

    assert collect([in_child(work)]) == [b"right"]


def test_a_finaliser_never_waits_for_its_own_thread():
    """It encrypts at any new object that opening the tables of either key makes; the alarm ends a child that hangs."""

    def work():
        signal.alarm(100)
        for number in range(12):
            source = blinder()
            owner = PaillierPrivate(source.kernel, _selftest._P, _selftest._Q, HS)
            with at_collection(number, lambda source=source: source.prepare(20)):
                source.kernel.table_open(8 << 20)
            source.prepare(20)
            assert_table_right(source)
            owner.owner_open(8 << 20)
            with at_collection(number, owner.owner_build):
                owner.owner_build()
        return b"ended"

    assert collect([in_child(work)]) == [b"ended"]


def test_at_the_end_of_the_interpreter_nobody_waits_for_a_step(monkeypatch):
    """The thread that was at one does not run any more."""

    class Busy:
        def __init__(self, kernel):
            self._kernel = kernel

        def __getattr__(self, name):
            return getattr(self._kernel, name)

        def table_build(self, hs):
            raise RuntimeError("another thread is building the table")

    def work():
        signal.alarm(100)
        source = blinder()
        source.kernel = Busy(source.kernel)
        monkeypatch.setattr(sys, "is_finalizing", lambda: True)
        order = (_selftest._P - 1) * (_selftest._Q - 1)
        assert pow(int.from_bytes(take(source, 20)[-1], "little"), order, N * N) == 1
        return b"ended"

    assert collect([in_child(work)]) == [b"ended"]


def test_a_table_of_zeros_encrypts_nothing():
    source = blinder()
    source.prepare(20)
    table = max((each for each in gc.get_referents(source.kernel) if isinstance(each, np.ndarray)), key=len)
    assert table.nbytes == source.kernel.table_bytes
    table[:] = 0
    with pytest.raises(InvalidKey, match=r"an obfuscator is 0.*nothing was released"):
        take(source, 20)
