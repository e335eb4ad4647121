"""Writes paillier_{encrypt,decrypt,keys,proofs}.json: vectors in the style of Wycheproof.

Plain Python integers only, and nothing of this package: the vectors are an independent reference. Deterministic: every
random-looking number is a SHAKE-256 stream of a label, so running it again must give the same bytes.

    python3 tests/vectors/make_paillier.py [directory]
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

NOTES = {
    "Ordinary": {"bugType": "BASIC", "description": "An ordinary message under ordinary randomness."},
    "EdgeCaseMessage": {
        "bugType": "EDGE_CASE",
        "description": "A message at the end of the signed range (-n/2, n/2], or 0, 1, -1.",
    },
    "MessageOutOfRange": {
        "bugType": "MISSING_STEP",
        "description": "A message that is no residue modulo n in any of the usual conventions must be refused.",
    },
    "ResidueForm": {
        "bugType": "KNOWN_INCOMPATIBILITY",
        "description": "A message in (n/2, n): libraries without signed messages take it as it is, others refuse it.",
    },
    "WeakRandomness": {
        "bugType": "WEAK_PARAMS",
        "description": "Randomness under which the ciphertext shows its message; given on purpose it may pass.",
    },
    "BadRandomness": {
        "bugType": "MISSING_STEP",
        "description": "Randomness outside its range, or sharing a factor with n, must be refused.",
    },
    "OutOfRange": {"bugType": "MISSING_STEP", "description": "A ciphertext is an integer in [1, n^2)."},
    "NotInvertible": {
        "bugType": "MISSING_STEP",
        "description": "A value that shares a factor with n is no ciphertext; opening one can show the factor.",
    },
    "NotFromEncryption": {
        "bugType": "EDGE_CASE",
        "description": "A unit modulo n^2 that nobody would produce (no randomness in it); it opens like any other.",
    },
    "SizeBelow2048": {"bugType": "WEAK_PARAMS", "description": "n below 2048 bits is refused (PPCA 8-2023 6.2.1)."},
    "BadModulus": {
        "bugType": "MISSING_STEP",
        "description": "n must be odd, composite, no power, without small factors.",
    },
    "BadGenerator": {
        "bugType": "MISSING_STEP",
        "description": "hs must be a unit of Jacobi symbol +1 in (1, n^2 - 1); hs = 1 encrypts without randomness.",
    },
    "DerivedGenerator": {
        "bugType": "BASIC",
        "description": "Without hs in the input, this package's rule gives this hs. Others need not follow the rule.",
    },
    "BadPrimes": {
        "bugType": "MISSING_STEP",
        "description": "p and q must be primes of one length, far apart; for djn both 3 mod 4.",
    },
    "Replayed": {
        "bugType": "MISSING_STEP",
        "description": "A proof holds for one key, one session and one holder.",
    },
    "WrongRoot": {"bugType": "MISSING_STEP", "description": "Each root to the n-th power is its challenge, modulo n."},
    "SharedFactor": {
        "bugType": "MISSING_STEP",
        "description": "n shares a factor with phi(n), so ciphertexts hold more than plaintexts. These are the best "
        "roots that the key's maker can give.",
    },
}


@functools.cache
def small_primes() -> list[int]:
    """The odd primes below 2^16."""
    return [r for r in range(3, 1 << 16, 2) if all(r % d for d in range(3, math.isqrt(r) + 1, 2))]


def stream(label: str, bits: int) -> int:
    """`bits` bits of SHAKE-256(label)."""
    size = -(-bits // 8)
    return int.from_bytes(hashlib.shake_256(label.encode()).digest(size), "big") >> (8 * size - bits)


def below(label: str, limit: int) -> int:
    """A number in [0, limit), by 128 bits more than needed."""
    return stream(label, limit.bit_length() + 128) % limit


def unit(label: str, n: int) -> int:
    """A number in [1, n) without a factor of n."""
    i = 0
    while True:
        r = below(f"{label} {i}", n)
        if math.gcd(r, n) == 1:
            return r
        i += 1


def is_prime(n: int) -> bool:
    """32 rounds of Miller-Rabin with bases from SHAKE-256(n)."""
    if n < 2 or n % 2 == 0:
        return n == 2
    d, s = n - 1, 0
    while d % 2 == 0:
        d, s = d // 2, s + 1
    for i in range(32):
        x = pow(2 + below(f"{n:x} {i}", n - 3), d, n)
        if x in (1, n - 1):
            continue
        for _ in range(s - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def prime(label: str, bits: int, *, residue: int = 3, strict: bool = True) -> int:
    """The first prime = residue (mod 4) from a stream's value on, its two top bits set.

    strict: (p - 1) / 2 has no factor below 2^16.
    """
    start = stream(label, bits) | (3 << (bits - 2))
    start += (residue - start) % 4
    window = 1 << 17
    while True:
        marks = bytearray(window)  # marks[i]: start + 4i is out
        for r in small_primes():
            inverse = pow(4, -1, r)
            for bad in (0, 1) if strict else (0,):
                first = (bad - start) * inverse % r
                marks[first::r] = b"\x01" * len(range(first, window, r))
        for i, mark in enumerate(marks):
            p = start + 4 * i
            if not mark and pow(2, p - 1, p) == 1 and is_prime(p):
                return p
        start += 4 * window


def jacobi(a: int, n: int) -> int:
    """The Jacobi symbol (a/n)."""
    a, sign = a % n, 1
    while a:
        while a % 2 == 0:
            a //= 2
            if n % 8 in (3, 5):
                sign = -sign
        a, n = n, a
        if a % 4 == n % 4 == 3:
            sign = -sign
        a %= n
    return sign if n == 1 else 0


def derived(n: int) -> int:
    """hs with x = SHAKE-256(label, n) mod n, as bluetusk.paillier.validate.derive_hs states it."""
    size = -(-n.bit_length() // 8)
    label = b"bluetusk/paillier/djn/x/v1\0"
    x = int.from_bytes(hashlib.shake_256(label + n.to_bytes(size, "big")).digest(size + 32), "big") % n
    return pow(-x * x % n, n, n * n)


class Key:
    """A key pair, and Paillier written out."""

    def __init__(self, label: str, bits: int) -> None:
        self.p = prime(f"{label} p", bits // 2)
        self.q = prime(f"{label} q", bits // 2)
        self.n = self.p * self.q
        self.n2 = self.n * self.n
        assert self.n.bit_length() == bits
        assert math.gcd(self.p - 1, self.q - 1) == 2
        x = unit(f"{label} x", self.n)
        self.hs = pow(-x * x % self.n, self.n, self.n2)
        self.exponent_bits = -(-bits // 2)

    def encrypt(self, suite: str, m: int, r: int) -> int:
        blind = pow(r, self.n, self.n2) if suite == "standard" else pow(self.hs, r, self.n2)
        return (1 + m * self.n) * blind % self.n2

    def randomness(self, suite: str, label: str) -> int:
        return unit(label, self.n) if suite == "standard" else stream(label, self.exponent_bits)

    def decrypt(self, c: int) -> int:
        lam = math.lcm(self.p - 1, self.q - 1)
        m = (pow(c, lam, self.n2) - 1) // self.n * pow(lam, -1, self.n) % self.n
        return m - self.n if m > self.n // 2 else m

    def group(self, kind: str, suite: str, tests: list[dict[str, object]]) -> dict[str, object]:
        public = {"n": f"{self.n:x}"} | ({"hs": f"{self.hs:x}"} if suite == "djn" else {})
        return {
            "type": kind,
            "suite": suite,
            "keySize": self.n.bit_length(),
            "publicKey": public,
            "privateKey": {"p": f"{self.p:x}", "q": f"{self.q:x}"},
            "tests": tests,
        }


def encryption(key: Key, suite: str, label: str) -> list[dict[str, object]]:
    """Messages and randomness in, one ciphertext or a refusal out."""
    n, p, q = key.n, key.p, key.q
    half = n // 2
    limit = 1 << key.exponent_bits

    def random(i: object) -> int:
        return key.randomness(suite, f"{label} r {i}")

    rows: list[tuple[str, str, int, int, str]] = []
    for i in range(6):
        m = below(f"{label} m {i}", n) - half
        rows.append(("message over the whole range", "Ordinary", m, random(i), "valid"))
    for i, m in enumerate((1 << 20, -(1 << 20), 2**63 - 1, -(2**63))):
        rows.append(("message of a machine word", "Ordinary", m, random(f"w{i}"), "valid"))
    for name, m in (("0", 0), ("1", 1), ("-1", -1), ("(n-1)/2", half), ("-(n-1)/2", -half)):
        rows.append((f"message {name}", "EdgeCaseMessage", m, random(name), "valid"))
    for name, m in (("(n+1)/2", half + 1), ("n-1", n - 1)):
        rows.append((f"message {name}", "ResidueForm", m, random(name), "acceptable"))
    for name, m in (("n", n), ("n+1", n + 1), ("-n", -n), ("n^2", n * n)):
        rows.append((f"message {name}", "MessageOutOfRange", m, random(name), "invalid"))
    if suite == "standard":
        rows += [
            ("r = 1", "WeakRandomness", 42, 1, "acceptable"),
            ("r = n - 1", "WeakRandomness", 42, n - 1, "acceptable"),
            ("r = 0", "BadRandomness", 42, 0, "invalid"),
            ("r = p", "BadRandomness", 42, p, "invalid"),
            ("r = (p - 1) q", "BadRandomness", 42, (p - 1) * q, "invalid"),
            ("r = n", "BadRandomness", 42, n, "invalid"),
            ("r = -1", "BadRandomness", 42, -1, "invalid"),
        ]
    else:
        rows += [
            ("a = 1", "WeakRandomness", 42, 1, "acceptable"),
            ("a = 2^ceil(bits(n)/2) - 1", "Ordinary", 42, limit - 1, "valid"),
            ("a = 0", "WeakRandomness", 42, 0, "acceptable"),
            ("a = 2^ceil(bits(n)/2)", "BadRandomness", 42, limit, "invalid"),
            ("a = -1", "BadRandomness", 42, -1, "invalid"),
        ]
    return [
        {"comment": comment, "flags": [flag], "m": f"{m:x}", "r": f"{r:x}", "result": result}
        | ({"c": f"{key.encrypt(suite, m, r):x}"} if result != "invalid" else {})
        for comment, flag, m, r, result in rows
    ]


def decryption(key: Key, suite: str, label: str) -> list[dict[str, object]]:
    """One ciphertext in, the signed message or a refusal out."""
    n, n2, p, q = key.n, key.n2, key.p, key.q
    half = n // 2
    rows: list[tuple[str, str, int, str]] = []
    for i in range(4):
        m = below(f"{label} dm {i}", n) - half
        rows.append(
            (
                "message over the whole range",
                "Ordinary",
                key.encrypt(suite, m, key.randomness(suite, f"{label} dr {i}")),
                "valid",
            )
        )
    for name, m in (("0", 0), ("1", 1), ("-1", -1), ("(n-1)/2", half), ("-(n-1)/2", -half)):
        c = key.encrypt(suite, m, key.randomness(suite, f"{label} dr {name}"))
        rows.append((f"message {name}", "EdgeCaseMessage", c, "valid"))
    rows.append(("any unit modulo n^2", "NotFromEncryption", unit(f"{label} unit", n2), "valid"))
    for name, c in (("1", 1), ("n + 1", n + 1), ("n^2 - 1", n2 - 1), ("n^2 - n - 1", n2 - n - 1), ("2", 2)):
        rows.append((f"c = {name}", "NotFromEncryption", c, "valid"))
    for name, c in (("0", 0), ("n^2", n2), ("n^2 + 1", n2 + 1), ("2 n^2", 2 * n2), ("-1", -1), ("1 - n^2", 1 - n2)):
        rows.append((f"c = {name}", "OutOfRange", c, "invalid"))
    for name, c in (
        ("p", p),
        ("q", q),
        ("n", n),
        ("p^2", p * p),
        ("q^2", q * q),
        ("(n - 1) n", (n - 1) * n),
        ("n^2 - p", n2 - p),
        ("n^2 - q", n2 - q),
        ("p (q^2 - 1)", p * (q * q - 1)),
        ("a random multiple of p", p * below(f"{label} multiple", n * q)),
    ):
        rows.append((f"c = {name}", "NotInvertible", c, "invalid"))
    return [
        {"comment": comment, "flags": [flag], "c": f"{c:x}", "result": result}
        | ({"m": f"{key.decrypt(c):x}"} if result == "valid" else {})
        for comment, flag, c, result in rows
    ]


def public_keys(key: Key, other: Key) -> list[dict[str, object]]:
    """Public keys; each refused one differs from a good one in a single respect."""
    n, n2, p, hs = key.n, key.n2, key.p, key.hs
    bits = n.bit_length()
    small = next(r for r in small_primes() if r > 1000)
    cofactor = prime("small factor", bits - small.bit_length())
    big_prime = prime("prime modulus", bits, strict=False)
    root = prime("square", bits // 2, strict=False)
    cube = next(c for i in range(99) if (c := prime(f"cube {i}", 683, strict=False)) and (c**3).bit_length() == bits)
    short = prime("short p", 512) * prime("short q", 512)
    one_less = prime("2047 p", 1024, strict=False) * (prime("2047 q", 1023, strict=False))
    minus = next(a for a in range(2, 1000) if jacobi(a, n) == -1)
    one = next(a for a in range(1 + p, n, p) if jacobi(a, n) == 1)
    rows: list[tuple[str, str, str, int, int | None, str]] = [
        ("a good key", "Ordinary", "djn", n, hs, "valid"),
        ("a good key", "Ordinary", "standard", n, None, "valid"),
        ("a good key of 3072 bits", "Ordinary", "djn", other.n, other.hs, "valid"),
        ("hs as this package derives it from n", "DerivedGenerator", "djn", n, derived(n), "valid"),
        ("hs as this package derives it from n", "DerivedGenerator", "djn", other.n, derived(other.n), "valid"),
        ("1024 bits", "SizeBelow2048", "standard", short, None, "invalid"),
        ("2047 bits", "SizeBelow2048", "standard", one_less, None, "invalid"),
        ("n = 0", "BadModulus", "standard", 0, None, "invalid"),
        ("n = 1", "BadModulus", "standard", 1, None, "invalid"),
        ("n negative", "BadModulus", "standard", -n, None, "invalid"),
        ("n even", "BadModulus", "standard", n + 1, None, "invalid"),
        ("n prime", "BadModulus", "standard", big_prime, None, "invalid"),
        ("n a square", "BadModulus", "standard", root * root, None, "invalid"),
        ("n a cube", "BadModulus", "standard", cube**3, None, "invalid"),
        (f"n divisible by {small}", "BadModulus", "standard", small * cofactor, None, "invalid"),
        ("n divisible by 3", "BadModulus", "standard", 3 * prime("third", bits - 2), None, "invalid"),
        ("hs = 0", "BadGenerator", "djn", n, 0, "invalid"),
        ("hs = 1", "BadGenerator", "djn", n, 1, "invalid"),
        ("hs = n^2 - 1", "BadGenerator", "djn", n, n2 - 1, "invalid"),
        ("hs = n^2", "BadGenerator", "djn", n, n2, "invalid"),
        ("hs beyond n^2", "BadGenerator", "djn", n, hs + n2, "invalid"),
        ("hs negative", "BadGenerator", "djn", n, hs - n2, "invalid"),
        ("hs = p", "BadGenerator", "djn", n, p, "invalid"),
        ("hs = n", "BadGenerator", "djn", n, n, "invalid"),
        ("hs of Jacobi symbol -1", "BadGenerator", "djn", n, pow(minus, n, n2), "invalid"),
        ("hs = 1 modulo p", "BadGenerator", "djn", n, pow(one, n, n2), "invalid"),
    ]
    assert all(m.bit_length() == bits for _, flag, _, m, _, _ in rows if flag == "BadModulus" and m > 1)
    return [
        {"comment": comment, "flags": [flag], "suite": suite, "n": f"{modulus:x}", "result": result}
        | ({"hs": f"{generator:x}"} if generator is not None else {})
        for comment, flag, suite, modulus, generator, result in rows
    ]


def private_keys(key: Key, other: Key) -> list[dict[str, object]]:
    """Primes of a private key, with hs where that is what the test is about."""
    p, q = key.p, key.q
    half = p.bit_length()
    one = prime("one mod four", half, residue=1)
    near = p + 4
    while not is_prime(near):
        near += 4
    longer = prime("longer", half + 64)
    composite = prime("composite a", half // 2, strict=False) * prime("composite b", half // 2, residue=1, strict=False)
    shared = tuple(
        next(c for i in range(99) if (c := prime(f"one mod three {name} {i}", half, strict=False)) % 3 == 1)
        for name in "pq"
    )
    assert math.gcd(shared[0] - 1, shared[1] - 1) == 6
    assert composite.bit_length() == half
    assert composite % 4 == 3
    rows: list[tuple[str, str, str, int, int, str]] = [
        ("good primes", "Ordinary", "djn", p, q, "valid"),
        ("good primes, the other way round", "Ordinary", "djn", q, p, "valid"),
        ("good primes", "Ordinary", "standard", p, q, "valid"),
        ("good primes, 3072 bits", "Ordinary", "djn", other.p, other.q, "valid"),
        ("p = 1 mod 4", "BadPrimes", "djn", one, q, "invalid"),
        ("q = 1 mod 4", "BadPrimes", "djn", p, one, "invalid"),
        ("p = q", "BadPrimes", "standard", p, p, "invalid"),
        ("p and q next to each other", "BadPrimes", "djn", p, near, "invalid"),
        ("q = 1", "BadPrimes", "standard", p * q, 1, "invalid"),
        ("q = -q", "BadPrimes", "standard", -p, -q, "invalid"),
        ("lengths differ", "BadPrimes", "djn", longer, q, "invalid"),
        ("p even", "BadPrimes", "djn", p + 1, q, "invalid"),
        ("gcd(p - 1, q - 1) = 6", "BadPrimes", "djn", *shared, "invalid"),
        ("gcd(p - 1, q - 1) = 6", "Ordinary", "standard", *shared, "valid"),
        ("p composite", "BadPrimes", "djn", composite, q, "invalid"),
        ("q composite", "BadPrimes", "standard", p, composite, "invalid"),
        ("512-bit primes", "SizeBelow2048", "djn", prime("short p", 512), prime("short q", 512), "invalid"),
    ]
    tests: list[dict[str, object]] = [
        {"comment": comment, "flags": [flag], "suite": suite, "p": f"{a:x}", "q": f"{b:x}", "result": result}
        for comment, flag, suite, a, b, result in rows
    ]
    for comment, flag, hs, result in (
        ("hs from another x", "Ordinary", key.hs, "valid"),
        ("hs no n-th residue", "BadGenerator", key.hs * (1 + key.n) % key.n2, "invalid"),
    ):
        tests.append(
            {"comment": comment, "flags": [flag], "suite": "djn", "p": f"{p:x}", "q": f"{q:x}", "hs": f"{hs:x}"}
            | {"result": result}
        )
    return tests


def challenges(suite: str, n: int, hs: int | None, session: bytes, holder: bytes) -> list[int]:
    """Seven numbers below n, as bluetusk.paillier.proofs states them."""
    size = n.bit_length() // 8
    base = b"" if hs is None else hs.to_bytes(2 * size, "little")
    data = b"bluetusk/paillier/proof/modulus/v1\0"
    for part in (suite.encode(), n.to_bytes(size, "little"), base, session, holder):
        data += len(part).to_bytes(4, "little") + part
    wide = hashlib.shake_256(data).digest(7 * (size + 32))
    return [int.from_bytes(wide[i * (size + 32) : (i + 1) * (size + 32)], "big") % n for i in range(7)]


def root(x: int, n: int, primes: tuple[int, ...]) -> int:
    """The n-th root of x modulo n, of known primes. Modulo a prime where x has none, that of another number."""
    found, modulus = 0, 1
    for r in primes:
        # f-th powers, f the gcd, have an n-th root among them
        part = pow(x, pow(n, -1, (r - 1) // math.gcd(n, r - 1)), r)
        found += modulus * ((part - found) * pow(modulus, -1, r) % r)
        modulus *= r
    return found


def proofs(key: Key, other: Key) -> list[dict[str, object]]:
    """Proofs that gcd(n, phi(n)) = 1, and those that show nothing."""
    session, holder = b"session 7", b"bank"
    n, primes = key.n, (key.p, key.q)
    tests: list[dict[str, object]] = []

    def add(comment: str, flag: str, suite: str, n: int, hs: int | None, roots: list[int], **context: bytes) -> None:
        given = {"hs": f"{hs:x}"} if hs is not None else {}
        names = {"session": session, "holder": holder} | context
        tests.append(
            {"comment": comment, "flags": [flag], "suite": suite, "n": f"{n:x}"}
            | given
            | {name: value.hex() for name, value in names.items()}
            | {"roots": [f"{y:x}" for y in roots], "result": "valid" if flag == "Ordinary" else "invalid"}
        )

    def answers(suite: str, hs: int | None) -> list[int]:
        return [root(x, n, primes) for x in challenges(suite, n, hs, session, holder)]

    good = answers("standard", None)
    own = answers("djn", derived(n))
    chosen = [*answers("djn", key.hs), root(key.hs % n, n, primes)]
    add("seven roots", "Ordinary", "standard", n, None, good)
    add("hs derived from n", "Ordinary", "djn", n, None, own)
    add("hs that the maker chose, and its root", "Ordinary", "djn", n, key.hs, chosen)
    add("another session", "Replayed", "standard", n, None, good, session=b"session 8")
    add("another holder", "Replayed", "standard", n, None, good, holder=b"bank2")
    add("the same bytes, cut elsewhere", "Replayed", "standard", n, None, good, session=b"session 7b", holder=b"ank")
    add("another suite", "Replayed", "djn", n, None, good)
    add("another key", "Replayed", "standard", other.n, None, [y % other.n for y in good])
    add("the last root negated", "WrongRoot", "standard", n, None, [*good[:6], n - good[6]])
    add("the first root off by one", "WrongRoot", "standard", n, None, [good[0] + 1, *good[1:]])
    add("two roots exchanged", "WrongRoot", "standard", n, None, [good[1], good[0], *good[2:]])
    add("one root for all", "WrongRoot", "standard", n, None, [good[0]] * 7)
    add("roots of one prime alone", "WrongRoot", "standard", n, None, [y % key.p for y in good])
    add("root 0", "WrongRoot", "standard", n, None, [*good[:6], 0])
    add("root n", "WrongRoot", "standard", n, None, [*good[:6], n])
    add(
        "challenges in place of roots",
        "WrongRoot",
        "standard",
        n,
        None,
        challenges("standard", n, None, session, holder),
    )
    add("six roots", "WrongRoot", "standard", n, None, good[:6])
    add("eight roots where hs is derived", "WrongRoot", "djn", n, None, [*own, 1])
    add("no root of hs", "WrongRoot", "djn", n, key.hs, chosen[:7])
    add("a wrong root of hs", "WrongRoot", "djn", n, key.hs, [*chosen[:7], n - chosen[7]])
    small = next(d for d in range((1 << 20) + 1, 1 << 21, 4) if is_prime(d))
    steps = range(1 << 1002, (1 << 1002) + (1 << 20))
    large = next(r for k in steps if (r := 2 * k * small + 1) and r % 4 == 3 and is_prime(r))
    bits = key.n.bit_length() - (small * large).bit_length()
    for extra in range(3):
        third = prime(f"third {extra}", bits + extra)
        bad = small * large * third
        if bad.bit_length() == key.n.bit_length():
            break
    assert bad % 4 == 1
    for suite in ("standard", "djn"):
        hs = derived(bad) if suite == "djn" else None
        numbers = challenges(suite, bad, hs, session, holder)
        add(
            "n = D Q R, D divides Q - 1",
            "SharedFactor",
            suite,
            bad,
            None,
            [root(x, bad, (small, large, third)) for x in numbers],
        )
    assert math.gcd(bad, (small - 1) * (large - 1) * (third - 1)) == small
    return tests


def document(schema: str, header: list[str], groups: list[dict[str, object]]) -> dict[str, object]:
    """The file: numbered tests under the notes that their flags name."""
    number = 0
    used: set[str] = set()
    for group in groups:
        numbered = []
        for test in group["tests"]:  # type: ignore[attr-defined]
            number += 1
            used.update(test["flags"])
            numbered.append({"tcId": number} | test)
        group["tests"] = numbered
    return {
        "algorithm": "Paillier",
        "schema": schema,
        "generator": "tests/vectors/make_paillier.py",
        "header": [
            *header,
            "Numbers are hexadecimal, most significant digit first, a minus sign before negative ones.",
        ],
        "numberOfTests": number,
        "notes": {flag: NOTES[flag] for flag in sorted(used)},
        "testGroups": groups,
    }


def documents() -> dict[str, dict[str, object]]:
    """All files by name."""
    small, large = Key("2048", 2048), Key("3072", 3072)
    suites = [(key, suite) for key in (small, large) for suite in ("standard", "djn")]

    def groups(kind: str, make: Callable[[Key, str, str], list[dict[str, object]]]) -> list[dict[str, object]]:
        return [key.group(kind, suite, make(key, suite, f"{key.n.bit_length()} {suite}")) for key, suite in suites]

    encrypt = document(
        "paillier_encrypt_v1",
        [
            "Encryption with given randomness: c = (1 + m n) r^n mod n^2 (standard), (1 + m n) hs^r mod n^2 (djn).",
            "Messages are signed, in (-n/2, n/2]. djn: PPCA 10-2023 Annex A.1; hs is given, r is the exponent.",
            "acceptable: an implementation may refuse; if it answers, it answers c.",
        ],
        groups("PaillierEncrypt", encryption),
    )
    decrypt = document(
        "paillier_decrypt_v1",
        ["Decryption: the signed message in (-n/2, n/2] for every unit modulo n^2; a refusal for everything else."],
        groups("PaillierDecrypt", decryption),
    )
    keys = document(
        "paillier_keys_v1",
        [
            "Keys that an implementation of this policy must take or refuse: 2048 bits and more, p and q of one length",
            "and far apart, abs(p - q) > 2^(bits(p) - 100); djn also p = q = 3 mod 4 and gcd(p-1, q-1) = 2. A good hs",
            "is h^n with h = -x^2 mod n for any unit x; DerivedGenerator is this package's own choice of x.",
        ],
        [
            {"type": "PaillierPublicKey", "tests": public_keys(small, large)},
            {"type": "PaillierPrivateKey", "tests": private_keys(small, large)},
        ],
    )
    shown = document(
        "paillier_proofs_v1",
        [
            "Proofs that gcd(n, phi(n)) = 1: root i to the n-th power is challenge i modulo n. "
            "The challenges: 7 numbers",
            "of bits(n) / 8 + 32 bytes, big-endian, modulo n, from SHAKE-256 of a label and, each behind its length (4",
            "bytes, little-endian), suite, n, hs (little-endian, of the lengths of n and n^2; empty if there is none),",
            "session and holder. An eighth root, where hs is given: its n-th power is hs modulo n^2.",
        ],
        [{"type": "PaillierModulusProof", "tests": proofs(small, large)}],
    )
    return {
        "paillier_encrypt.json": encrypt,
        "paillier_decrypt.json": decrypt,
        "paillier_keys.json": keys,
        "paillier_proofs.json": shown,
    }


def main() -> None:
    """Write the files beside this script, or into the directory named."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, content in documents().items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n")
        print(f"{folder / name}: {content['numberOfTests']} tests")


if __name__ == "__main__":
    main()
