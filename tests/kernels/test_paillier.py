"""The Paillier kernel against plain Python integers, on small keys (any multiple of 128 bits) and one of full size."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import subprocess
import sys
import threading

import gmpy2
import numpy as np
import pytest

from bluetusk import _selftest
from bluetusk._kernels.paillier import PaillierPrivate, PaillierPublic
from bluetusk.errors import DecryptionError, InvalidKey


def rows(values, limbs):
    data = b"".join(int(value).to_bytes(8 * limbs, "little") for value in values)
    return np.frombuffer(data, dtype=np.uint64).reshape(len(values), limbs)


def integers(array):
    return [int.from_bytes(row.tobytes(), "little") for row in array]


def small_primes(bits):
    while True:
        found = []
        while len(found) < 2:
            p = secrets.randbits(bits) | 3 << (bits - 2) | 3
            if gmpy2.is_prime(p) and p not in found:
                found.append(p)
        if math.gcd(found[0] - 1, found[1] - 1) == 2:
            return found


class Key:
    def __init__(self, p, q):
        self.p, self.q, self.n = p, q, p * q
        self.hs = pow(self.n**2 - 9, self.n, self.n**2)
        self.public = PaillierPublic(self.n)
        self.private = PaillierPrivate(self.public, p, q, self.hs)
        self.limbs = self.public.n_limbs

    def encrypt(self, messages, exponents):
        square = self.n**2
        return [(1 + m * self.n) * pow(self.hs, a, square) % square for m, a in zip(messages, exponents, strict=True)]


@pytest.fixture(scope="module", params=[128, 192, 512])
def small(request):
    return Key(*small_primes(request.param))


@pytest.fixture(scope="module")
def full():
    return Key(_selftest._P, _selftest._Q)


def edges(key, count):
    ends = [0, 1, key.n - 1, key.n // 2, key.n // 2 + 1, key.p, key.q, key.n - key.p]
    return (ends + [secrets.randbelow(key.n) for _ in range(count)])[:count]


@pytest.mark.parametrize("count", [1, 8, 300])
def test_encryption_and_decryption_agree_with_integers(small, count):
    messages = edges(small, count)
    exponents = [secrets.randbits(32 * small.limbs) for _ in messages]
    public, mont = small.public, small.public.mont
    elements = mont.empty(count)
    public.blind_power(elements, 0, count, small.hs, rows(exponents, small.limbs // 2))
    public.mul_plain(elements, elements, None, rows(messages, small.limbs), 0, count, True)
    canon = np.zeros((count, 2 * small.limbs), np.uint64)
    mont.store(canon, elements, None, 0, count)
    assert integers(canon) == small.encrypt(messages, exponents)
    out = np.zeros((count, small.limbs), np.uint64)
    small.private.decrypt(out, canon, 0, count)
    assert integers(out) == messages
    # the owner's way decrypts to the same, never to the same bytes
    other = np.zeros_like(canon)
    small.private.encrypt(other, rows(messages, small.limbs), 0, count)
    assert not (other == canon).all(axis=1).any()
    out[:] = 0
    small.private.decrypt(out, other, 0, count)
    assert integers(out) == messages


def test_many_messages_of_a_small_key():
    """M18: 10^5 differential at a small size."""
    key = Key(*small_primes(128))
    count = 100_000
    messages = [secrets.randbelow(key.n) for _ in range(count)]
    canon = np.zeros((count, 2 * key.limbs), np.uint64)
    out = np.zeros((count, key.limbs), np.uint64)
    key.private.encrypt(canon, rows(messages, key.limbs), 0, count)
    # the textbook's decryption modulo each prime: L_p(c^(p-1) mod p^2) / -q mod p
    numbers = [gmpy2.mpz(c) for c in integers(canon)]
    for p, q in ((key.p, key.q), (key.q, key.p)):
        square, inverse = gmpy2.mpz(p) ** 2, gmpy2.invert(-q, p)
        found = [(gmpy2.powmod(c, p - 1, square) - 1) // p * inverse % p for c in numbers]
        assert found == [m % p for m in messages]
    key.private.decrypt(out, canon, 0, count)
    assert integers(out) == messages
    assert len({row.tobytes() for row in canon}) == count


def test_full_size(full):
    messages = edges(full, 20)
    exponents = [secrets.randbits(1024) for _ in messages]
    canon = rows(full.encrypt(messages, exponents), 2 * full.limbs)
    out = np.zeros((20, full.limbs), np.uint64)
    full.private.decrypt(out, canon, 3, 20)
    assert integers(out) == [0] * 3 + messages[3:]


def test_the_table_gives_the_power(full):
    public = PaillierPublic(full.n)
    with pytest.raises(ValueError, match="table is not complete"):
        public.blind_table(public.mont.empty(1), 0, 1, np.zeros((1, 16), np.uint64))
    assert public.table_bytes == 0
    public.table_open(8 << 20)
    while not public.table_build(full.hs):
        pass
    assert 0 < public.table_bytes <= 8 << 20
    exponents = [0, 1, 2**1024 - 1, secrets.randbits(1024)]
    elements, canon = public.mont.empty(4), np.zeros((4, 2 * full.limbs), np.uint64)
    public.blind_table(elements, 0, 4, rows(exponents, 16))
    public.mont.store(canon, elements, None, 0, 4)
    assert integers(canon) == [pow(full.hs, a, full.n**2) for a in exponents]


def test_standard_suite_power(full):
    r = [1, 2, full.n - 1, secrets.randbelow(full.n)]
    public = full.public
    elements, canon = public.mont.empty(4), np.zeros((4, 2 * full.limbs), np.uint64)
    public.blind_standard(elements, 0, 4, rows(r, full.limbs))
    public.mont.store(canon, elements, None, 0, 4)
    assert integers(canon) == [pow(x, full.n, full.n**2) for x in r]


def test_load_checked(full):
    public, limbs = full.public, 2 * full.limbs
    mont = public.mont
    count = 2 * mont.lanes + 3
    good, out = full.encrypt(range(count), range(5, count + 5)), np.zeros((count, limbs), np.uint64)
    words = mont.empty(count)
    assert public.load_checked(words, rows(good, limbs), 0, count) == -1
    mont.store(out, words, None, 0, count)
    assert integers(out) == good
    for bad in (0, full.n**2, full.p, full.q * 77, full.n, 2 ** (64 * limbs) - 1):
        for where in range(count):
            values = list(good)
            values[where] = bad
            assert public.load_checked(words, rows(values, limbs), 0, count) == where
            behind = min((where // mont.lanes + 1) * mont.lanes, count // mont.lanes * mont.lanes)
            assert public.load_checked(words, rows(values, limbs), behind, count) == (where if where >= behind else -1)


def test_a_multiple_of_p_never_yields_a_result(full, caplog):
    """Not a ciphertext: refused at the boundary, and caught by the check even if it got here."""
    canon = rows([full.p * 12345], 2 * full.limbs)
    out = np.ones((1, full.limbs), np.uint64)
    with pytest.raises(DecryptionError):
        full.private.decrypt(out, canon, 0, 1)
    assert not out.any()
    assert caplog.messages == ["decryption failed: a result does not match its inputs"]


def test_arguments_are_checked(full):
    public, private, limbs = full.public, full.private, full.limbs
    canon, out = np.zeros((2, 2 * limbs), np.uint64), np.zeros((2, limbs), np.uint64)
    for lo, hi in ((-1, 1), (0, 3), (2, 1), (2**57 + 2**40, 2**57 + 2**40 + 1)):
        with pytest.raises(IndexError):
            private.decrypt(out, canon, lo, hi)
        with pytest.raises(IndexError):
            private.encrypt(canon, out, lo, hi)
        with pytest.raises(IndexError):
            public.load_checked(public.mont.empty(2), canon, lo, hi)
    for narrow in (np.zeros((2, limbs - 1), np.uint64), np.zeros((2, limbs + 1), np.uint64)):
        with pytest.raises(ValueError, match="limbs a row"):
            private.decrypt(narrow, canon, 0, 1)
        with pytest.raises(ValueError, match="limbs a row"):
            private.encrypt(canon, narrow, 0, 1)
        with pytest.raises(ValueError, match="limbs a row"):
            public.mul_plain(public.mont.empty(2), public.mont.empty(2), None, narrow, 0, 2, True)
    beyond = public.mont.lanes + 1  # an array ends with its last group
    with pytest.raises(ValueError, match="outside an array"):
        public.blind_power(public.mont.empty(1), 0, beyond, full.hs, np.zeros((beyond, 16), np.uint64))
    with pytest.raises(ValueError, match="exponents were given"):
        public.blind_power(public.mont.empty(4), 0, 2, full.hs, np.zeros((3, 16), np.uint64))
    with pytest.raises(ValueError, match="outside an array"):  # a size that wraps
        public.blind_power(
            np.zeros(64, np.uint64), 2**57 + 2**40, 2**57 + 2**40 + 1, full.hs, np.ones((1, 16), np.uint64)
        )
    for n in (full.n * 3, 15, full.n >> 1, 2**127 - 1):
        with pytest.raises(ValueError, match="bits"):
            PaillierPublic(n)
    for p, q in ((full.p, full.q + 2), (full.n, 1), (full.p, full.p)):
        with pytest.raises(ValueError, match="distinct"):
            PaillierPrivate(full.public, p, q, full.hs)


def test_objects_cannot_be_half_made_or_made_twice(full):
    for make in (
        lambda: PaillierPublic.__new__(PaillierPublic),
        lambda: PaillierPrivate.__new__(PaillierPrivate),
        lambda: PaillierPrivate(None, 3, 5),
        lambda: PaillierPublic(None),
    ):
        with pytest.raises(TypeError):
            make()
    public = PaillierPublic(full.n)
    public.__init__(_other_modulus())
    assert public.n == full.n
    key = PaillierPrivate(public, full.p, full.q)
    with pytest.raises(ValueError, match="djn"):
        key.owner_open(1 << 20)
    with pytest.raises(ValueError, match="not open"):
        key.owner_build()
    with pytest.raises(ValueError, match="not open"):
        public.table_build(full.hs)
    for bad in (None, np.zeros((1, 64), np.int64), np.zeros((1, 128), np.uint64)[:, ::2]):
        with pytest.raises((TypeError, ValueError)):
            key.decrypt(np.zeros((1, 32), np.uint64), bad, 0, 1)
    with pytest.raises(ValueError, match="hs"):
        PaillierPrivate(public, full.p, full.q, full.n**2)


def _other_modulus():
    return (1 << 4095) + 1


def test_threads_that_build_one_table_do_not_meet():
    public, errors = PaillierPublic(_selftest._P * _selftest._Q), []
    rows = public.table_open(8 << 20)
    assert public.table_open(8 << 20) == rows

    def build_some():
        try:
            public.table_build(9)
        except RuntimeError as error:
            errors.append(str(error))

    def build():
        for _ in range(rows):
            build_some()

    threads = [threading.Thread(target=build) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert public.table_build(9)
    assert set(errors) <= {"another thread is building the table"}
    canon, element = np.zeros((1, 64), np.uint64), public.mont.empty(1)
    public.blind_table(element, 0, 1, np.full((1, 16), 2**64 - 1, np.uint64))
    public.mont.store(canon, element, None, 0, 1)
    assert integers(canon) == [pow(9, 2**1024 - 1, _selftest._P**2 * _selftest._Q**2)]


def test_close_waits_for_calls_in_flight():
    key = Key(_selftest._P, _selftest._Q)
    count = 60
    canon = rows(key.encrypt(range(count), range(1, count + 1)), 2 * key.limbs)
    results, errors = [], []

    def decrypt():
        out = np.zeros((count, key.limbs), np.uint64)
        try:
            key.private.decrypt(out, canon, 0, count)
            results.append(integers(out) == list(range(count)))
        except InvalidKey as error:
            errors.append(error)

    threads = [threading.Thread(target=decrypt) for _ in range(4)]
    for thread in threads:
        thread.start()
    key.private.close()
    for thread in threads:
        thread.join()
    assert all(results)
    assert len(results) + len(errors) == 4
    assert key.private.closed
    key.private.close()
    for call in (
        lambda: key.private.decrypt(np.zeros((1, key.limbs), np.uint64), canon, 0, 1),
        lambda: key.private.encrypt(canon.copy(), np.zeros((1, key.limbs), np.uint64), 0, 1),
        key.private.export_primes,
    ):
        with pytest.raises(InvalidKey, match="closed"):
            call()


def test_a_forked_child_cannot_use_the_key(full):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            full.private.export_primes()
        except InvalidKey:
            code = 0
        finally:
            os._exit(code if full.private.closed else 2)
    assert os.waitpid(pid, 0)[1] == 0
    assert full.private.export_primes()[0] == full.p.to_bytes(128, "little")


def fingerprints(words):
    """A 64-bit hash of every run of four consecutive words, with random multipliers."""
    return sum((words[i : len(words) - 3 + i] * MULTIPLIERS[i] for i in range(4)), start=np.uint64(0))


MULTIPLIERS = np.frombuffer(os.urandom(32), dtype=np.uint64) | np.uint64(1)

# A process with a key, which does nothing but what it is told: one line in, one line out.
OWNER = """
import math, secrets, sys
import gmpy2, numpy as np
from bluetusk._kernels.paillier import PaillierPrivate, PaillierPublic

def prime():
    while not gmpy2.is_prime(p := secrets.randbits(1024) | 3 << 1022 | 3):
        pass
    return p

def new_key():
    while (p := prime()) == (q := prime()) or math.gcd(p - 1, q - 1) != 2:
        pass
    n = p * q
    return p, q, PaillierPrivate(PaillierPublic(n), p, q, pow(n * n - 9, n, n * n))

def say(*numbers):
    print(*numbers, flush=True)
    return sys.stdin.readline()

p, q, key = new_key()
other = new_key()[2]
ones = np.ones((64, 64), np.uint64)
key.decrypt(np.zeros((64, 32), np.uint64), ones, 0, 1)
key.decrypt(np.zeros((64, 32), np.uint64), ones, 0, 64)
key.encrypt(np.zeros((64, 64), np.uint64), np.zeros((64, 32), np.uint64), 0, 64)
assert "_lsprof" not in sys.modules
import _lsprof  # the dynamic linker, which writes the vector registers to the stack
say(p, q, *sum(key._arena_spans() + other._arena_spans(), ()))
key.close()
say()
"""


def memory_of(process):
    try:
        return open(f"/proc/{process.pid}/mem", "rb", buffering=0)
    except PermissionError:
        pytest.skip("this system lets no process read the memory of its child (kernel.yama.ptrace_scope)")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem")
def test_nothing_of_a_key_is_in_memory_but_in_its_arena():
    """M8: nowhere else in the process while the key lives, nowhere at all once it is closed, but for p and q, which
    were Python objects. Read from outside, so that the reading leaves nothing."""
    command = [sys.executable, "-c", OWNER]
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # nothing large that is not ours
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as owner,
        contextlib.ExitStack() as stack,
    ):
        p, q, *spans = map(int, owner.stdout.readline().split())
        memory = stack.enter_context(memory_of(owner))  # not before: the child may still have been this program

        def words(address, size):
            memory.seek(address)
            data = memory.read(size)
            assert len(data) == size
            return np.frombuffer(data, np.uint64)

        def writable():  # address, words and a name of all that the process could have written to
            with open(f"/proc/{owner.pid}/maps") as maps:
                lines = [line.split(maxsplit=5) for line in maps if "rw" in line.split()[1] and "[vv" not in line]
            for span, *_, name in [[*line, "heap"] if len(line) < 6 else line for line in lines]:
                start, end = (int(part, 16) for part in span.split("-"))
                yield start, words(start, end - start), name.strip()

        arenas = [(address, size) for address, size in zip(spans[:4:2], spans[1:4:2], strict=True) if size]
        arena = np.concatenate([words(*span) for span in arenas])
        assert len(arenas) == 2  # the constants, and the tables of the owner's encryption
        # GMP's own primality tests and powers leave p, q, their predecessors and 2^1024 mod p, q in freed memory
        halves = [x for prime in (p, q) for x in (prime, prime - 1, 2**1024 % prime)]
        # and what depends on the size alone stands in every key's constants
        same = [rows([*halves, p * q], 32).ravel(), rows([(p * q) ** 2], 64).ravel(), words(*spans[4:6])]
        varied = (arena[:-3] != arena[1:-2]) & (arena[:-3] > 2**32) & (arena[3:] > 2**32)
        targets = np.setdiff1d(fingerprints(arena)[varied], fingerprints(np.concatenate(same)))
        assert len(targets) > 50_000
        likely = np.zeros(1 << 24, bool)
        likely[targets & np.uint64(0xFFFFFF)] = True

        def found():  # hits within the arenas, and where the others are
            inside, outside = 0, []
            for start, block, name in writable():
                seen = fingerprints(block) if len(block) > 3 else block[:0]
                at = np.flatnonzero(likely[seen & np.uint64(0xFFFFFF)])
                for k in at[np.isin(seen[at], targets)]:
                    if any(address <= start + 8 * k < address + size for address, size in arenas):
                        inside += 1
                    else:
                        word = int(np.flatnonzero(fingerprints(arena) == seen[k])[0])
                        outside.append(f"word {word} of the arena at {start:#x} + {8 * k:#x}, {name}")
            return inside, outside

        inside, outside = found()
        assert inside > 50_000  # the scan sees them while the key lives
        assert outside == []
        owner.stdin.write("\n")
        owner.stdin.flush()
        assert owner.stdout.readline() == "\n"
        assert found() == (0, [])
        owner.stdin.write("\n")
    assert owner.returncode == 0
