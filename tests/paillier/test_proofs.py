"""Proofs about keys, attacked: bad moduli, forged roots, replays; and the answers of plain integers."""

from __future__ import annotations

import json
import math
import pickle
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gmpy2
import numpy as np
import pytest

import bluetusk as bt
from bluetusk.paillier import PrivateKey, PublicKey, generate_keypair, masked, proofs, slots, validate
from bluetusk.wire import frame

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "paillier_proofs.json").read_text())
TESTS = VECTORS["testGroups"][0]["tests"]
SESSION, HOLDER = b"session 7", b"bank"
REFUSALS = (bt.InvalidKey, bt.FrameError)


def packed(pub: PublicKey, roots: list[int]) -> bytes:
    """A frame with any roots, as a forger writes it."""
    size = pub.bits // 8
    payload = b"".join(int(root).to_bytes(size, "little") for root in roots)
    header = {"fingerprint": pub.fingerprint, "roots": len(roots)}
    return frame.encode(frame.Kind.KEY_PROOF, header, payload)


def unpacked(pub: PublicKey, proof: bytes) -> list[int]:
    payload, size = bytes(frame.decode(proof).payload), pub.bits // 8
    return [int.from_bytes(payload[i : i + size], "little") for i in range(0, len(payload), size)]


@pytest.fixture(scope="module")
def proof(priv: PrivateKey) -> bytes:
    return proofs.prove_modulus(priv, SESSION, HOLDER)


@pytest.mark.parametrize("test", TESTS, ids=lambda test: f"{test['suite']}, {test['comment']}")
def test_vectors(test: dict[str, Any]) -> None:
    pub = PublicKey(int(test["n"], 16), int(test["hs"], 16) if "hs" in test else None, suite=test["suite"])
    shown = packed(pub, [int(root, 16) for root in test["roots"]])
    context = bytes.fromhex(test["session"]), bytes.fromhex(test["holder"])
    if test["result"] == "valid":
        proofs.verify_modulus(pub, shown, *context)
    else:
        with pytest.raises(REFUSALS):
            proofs.verify_modulus(pub, shown, *context)


@pytest.mark.parametrize(
    "test", [test for test in TESTS if test["result"] == "valid"], ids=lambda test: test["comment"]
)
def test_the_prover_gives_the_roots_of_the_vectors(test: dict[str, Any]) -> None:
    key = json.loads((Path(__file__).parents[1] / "vectors" / "paillier_encrypt.json").read_text())["testGroups"][0]
    p, q = (int(key["privateKey"][name], 16) for name in "pq")
    hs = int(test["hs"], 16) if "hs" in test else None
    with PrivateKey(p, q, hs=hs, suite=test["suite"]) as priv:
        shown = proofs.prove_modulus(priv, bytes.fromhex(test["session"]), bytes.fromhex(test["holder"]))
        assert unpacked(priv.public_key, shown) == [int(root, 16) for root in test["roots"]]
        assert proofs.prove_modulus(priv, bytes.fromhex(test["session"]), bytes.fromhex(test["holder"])) == shown


@pytest.mark.parametrize("bits", [3072, pytest.param(4096, marks=pytest.mark.slow)])
@pytest.mark.parametrize("suite", ["djn", "standard"])
def test_other_sizes(bits: int, suite: str) -> None:
    pub, priv = generate_keypair(bits, suite=suite)
    with priv:
        shown = proofs.prove_modulus(priv, SESSION, HOLDER)
        proofs.verify_modulus(pub, shown, SESSION, HOLDER)
        assert len(unpacked(pub, shown)) == proofs.CHALLENGES
        with pytest.raises(bt.InvalidKey):
            proofs.verify_modulus(pub, shown, SESSION, HOLDER + b" ")


def test_the_verifier_agrees_with_pow(pub: PublicKey, proof: bytes, keypair2: tuple[Any, PrivateKey]) -> None:
    """The statement itself, by Python's integers: these roots are n-th roots of numbers that nobody chose."""
    found = unpacked(pub, proof)
    numbers = [pow(root, pub.n, pub.n) for root in found]
    assert len(set(numbers)) == len(found) == 7
    assert all(math.gcd(number, pub.n) == 1 for number in numbers)
    again = unpacked(pub, proofs.prove_modulus(keypair2[1], SESSION, HOLDER))
    assert set(found).isdisjoint(again)


FORGERIES: dict[str, Callable[[list[int], int], list[int]]] = {
    "one root drawn anew": lambda y, n: [*y[:-1], secrets.randbelow(n - 1) + 1],
    "a root negated": lambda y, n: [n - y[0], *y[1:]],
    "a root multiplied": lambda y, n: [*y[:3], y[3] * 2 % n, *y[4:]],
    "an inverse": lambda y, n: [*y[:5], pow(y[5], -1, n), y[6]],
    "exchanged": lambda y, n: [*y[1:], y[0]],
    "ones": lambda y, n: [1] * 7,
    "a bit turned": lambda y, n: [*y[:2], y[2] ^ (1 << secrets.randbelow(n.bit_length() - 1)), *y[3:]],
    "0": lambda y, n: [0, *y[1:]],
    "n": lambda y, n: [*y[:6], n],
    "larger than n, and the same modulo n": lambda y, n: [min(y) + n, *y[1:]],
}


def accepted(pub: PublicKey, shown: bytes, session: bytes, holder: bytes) -> bool:
    try:
        proofs.verify_modulus(pub, shown, session, holder)
    except REFUSALS:
        return False
    return True


def attack(pub: PublicKey, proof: bytes, rounds: int) -> int:
    """Return how many of the forged proofs were accepted."""
    count, good = 0, unpacked(pub, proof)
    for i in range(rounds):
        for forge in FORGERIES.values():
            roots = forge(list(good), pub.n)
            if max(roots) >> pub.bits == 0:
                count += accepted(pub, packed(pub, roots), SESSION, HOLDER)
        count += accepted(pub, proof, SESSION + bytes([i % 256]), HOLDER)
        count += accepted(pub, proof, SESSION, secrets.token_bytes(1 + i % 32))
    return count


def test_forged_proofs(pub: PublicKey, proof: bytes) -> None:
    assert attack(pub, proof, 3) == 0


@pytest.mark.nightly
def test_a_thousand_forged_proofs(pub: PublicKey, proof: bytes) -> None:
    assert attack(pub, proof, 100) == 0


def test_a_proof_with_any_byte_changed(pub: PublicKey, proof: bytes) -> None:
    for at in [*range(60), *(secrets.randbelow(len(proof)) for _ in range(40)), len(proof) - 1]:
        bad = bytearray(proof)
        bad[at] ^= 1 << secrets.randbelow(8)
        with pytest.raises(REFUSALS):
            proofs.verify_modulus(pub, bad, SESSION, HOLDER)
    for bad in (b"", proof[:-1], proof + b"\0", pub.to_bytes()):
        with pytest.raises(bt.FrameError):
            proofs.verify_modulus(pub, bad, SESSION, HOLDER)


# --- moduli that share a factor with phi(n) ---------------------------------------------------------------------------


def shared_factor(small: int) -> tuple[int, int, int]:
    """Primes D, Q, R with D dividing Q - 1, whose product has 2048 bits and is 1 mod 4."""
    rng = gmpy2.random_state(small)
    while True:
        k = gmpy2.mpz_urandomb(rng, 1000) | (1 << 999)
        large = int(next(r for i in range(1 << 20) if gmpy2.is_prime(r := 2 * (k + i) * small + 1)))
        rest = 2048 - (small * large).bit_length()
        third = int(gmpy2.next_prime(gmpy2.mpz_urandomb(rng, rest) | (3 << rest - 2)))
        n = small * large * third
        if n.bit_length() == 2048 and n % 4 == 1 and math.gcd(n, third - 1) == 1:
            return small, large, third


def best_roots(numbers: list[int], primes: tuple[int, int, int]) -> tuple[list[int], bool]:
    """The roots that a key's maker can give who knows all primes, and whether all are right."""
    n = math.prod(primes)
    roots, right = [], True
    for x in numbers:
        found, modulus = 0, 1
        for r in primes:
            f = math.gcd(n, r - 1)
            part = int(gmpy2.powmod(x, gmpy2.invert(n, (r - 1) // f), r))
            right = right and gmpy2.powmod(part, n, r) == x % r
            found += modulus * ((part - found) * int(gmpy2.invert(modulus, r)) % r)
            modulus *= r
        roots.append(found)
    return roots, right


def forged(pub: PublicKey, primes: tuple[int, int, int], session: bytes) -> tuple[bytes, bool]:
    numbers = [int(x) for x in proofs._challenges(pub, session, HOLDER)]
    roots, right = best_roots(numbers, primes)
    return packed(pub, roots), right


@pytest.mark.parametrize("suite", ["djn", "standard"])
def test_a_modulus_that_shares_a_factor_with_its_order(suite: str) -> None:
    """The key is taken by every check of the public part, and its proof by none."""
    primes = shared_factor(1048589)
    pub = PublicKey(math.prod(primes), suite=suite)
    for i in range(20):
        shown, right = forged(pub, primes, b"job %d" % i)
        assert not right
        with pytest.raises(bt.InvalidKey, match="coprime"):
            proofs.verify_modulus(pub, shown, b"job %d" % i, HOLDER)


def test_the_forger_wins_where_small_factors_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The strength is (1 / factor)^challenges: with a factor of 101 and one challenge a forger needs 101 sessions."""
    primes = shared_factor(101)
    n = math.prod(primes)
    with pytest.raises(bt.InvalidKey, match="factor below"):
        PublicKey(n, suite="standard")
    monkeypatch.setattr(validate, "PUBLIC_FACTOR_BOUND", 100)
    monkeypatch.setattr(proofs, "CHALLENGES", 1)
    pub = PublicKey(n, suite="standard")
    for i in range(2000):  # all fail with a probability of e^-19
        try:
            shown, right = forged(pub, primes, b"%d" % i)
        except bt.InvalidKey:  # one challenge in 101 is no unit
            continue
        if right:
            proofs.verify_modulus(pub, shown, b"%d" % i, HOLDER)
            return
    pytest.fail("no session was found")


def test_what_a_bad_modulus_reads(priv: PrivateKey) -> None:
    """Why the proof is asked for: a second message in a ciphertext, which a mask of the plaintext leaves alone."""
    primes = shared_factor(1048589)
    small, large, _ = primes
    n = math.prod(primes)
    generator = next(g for g in range(2, 100) if gmpy2.powmod(g, (large - 1) // small, large) != 1)
    hidden = 4711
    unit = pow(generator, hidden, n)  # a ciphertext that the maker of the key sent as "0"
    masked = (1 + secrets.randbelow(n) * n) * pow(secrets.randbelow(n), n, n * n) % (n * n)
    reply = pow(unit, 3, n * n) * masked % (n * n)  # an honest peer multiplied by its secret 3 and masked
    seen = pow(reply, (large - 1) // small, large)
    base = pow(generator, (large - 1) // small, large)
    assert seen == pow(base, 3 * hidden, large)  # mask and obfuscator are gone, the secret is not


# --- where a key without a proof is refused ---------------------------------------------------------------------------


def made(priv: PrivateKey) -> bt.CipherArray:
    return priv.encrypt([3, 0, -4], bt.FixedPoint.integers(100))


MASKED: dict[str, Callable[[bt.CipherArray], Any]] = {
    "to_shares": lambda c: c.to_shares(),
    "to_shares of nothing": lambda c: c[:0].to_shares(),
    "RingArray": lambda c: bt.paillier.RingArray(c, 64).to_bytes(2**65),
    "slots.hide": lambda c: slots.hide(c, slots.uniform(int(c.public_key.n), c.size)),
    "slots.mask": lambda c: slots.mask(c, None, 100),
    "masked.mask": lambda c: masked.mask(c, 8),
    "masked.blind_nonzero": masked.blind_nonzero,
}


@pytest.mark.parametrize("call", MASKED.values(), ids=list(MASKED))
def test_nothing_is_masked_under_a_key_without_a_proof(
    unproven: PublicKey, priv: PrivateKey, proof: bytes, call: Callable[[bt.CipherArray], Any]
) -> None:
    c = bt.CipherArray.from_bytes(made(priv).to_bytes(), unproven)
    with pytest.raises(bt.InvalidKey, match=r"without a proof .* its owner sends bt\.paillier\.prove_modulus"):
        call(c)
    for wrong in (proof[:-1], proofs.prove_modulus(priv, SESSION, b"another bank")):
        assert not accepted(unproven, wrong, SESSION, HOLDER)
        assert not unproven.proven
    proofs.verify_modulus(unproven, proof, SESSION, HOLDER)
    assert unproven.proven
    call(c)


def test_who_knows_that_a_key_is_proven() -> None:
    """The owner of the private key, equal keys, copies and pickles of the process; nobody who has bytes only."""
    key = json.loads((Path(__file__).parents[1] / "vectors" / "paillier_encrypt.json").read_text())["testGroups"][0]
    p, q = (int(key["privateKey"][name], 16) for name in "pq")
    pub = PublicKey(p * q)
    pub._blinder.proven = False  # another test may have the private key
    assert not PublicKey.from_bytes(pub.to_bytes()).proven
    assert not PublicKey.from_json(pub.to_json()).proven
    assert not pickle.loads(pickle.dumps(pub)).proven
    with PrivateKey(p, q) as priv:
        assert priv.public_key.proven
        assert pub.proven
    assert pub.proven
    assert PublicKey(p * q).proven
    shown = pickle.dumps(pub)
    pub._blinder.proven = False
    assert pickle.loads(shown).proven
    assert pub.proven
    assert not PublicKey(p * q, suite="standard").proven
    with pytest.raises(AttributeError):
        pub.proven = True  # type: ignore[misc]


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["session", "holder"])
@pytest.mark.parametrize(
    ("value", "error"), [("text", TypeError), (None, TypeError), (b"", ValueError), (bytes(257), ValueError)]
)
def test_session_and_holder(pub: PublicKey, priv: PrivateKey, proof: bytes, name: str, value: Any, error: type) -> None:
    context: dict[str, Any] = {"session": SESSION, "holder": HOLDER} | {name: value}
    with pytest.raises(error, match=name):
        proofs.prove_modulus(priv, **context)
    with pytest.raises(error, match=name):
        proofs.verify_modulus(pub, proof, **context)


def test_a_closed_key_proves_nothing() -> None:
    _, priv = generate_keypair()
    priv.close()
    with pytest.raises(bt.InvalidKey, match="closed"):
        proofs.prove_modulus(priv, SESSION, HOLDER)


def test_roots_of_the_kernel_are_checked_for_shape(priv: PrivateKey) -> None:
    kernel = priv._kernel
    for shape, other in (((3, 31), (3, 32)), ((3, 32), (2, 32)), ((17, 32), (17, 32))):
        with pytest.raises(ValueError, match=r"limbs each|at a time"):
            kernel.roots(np.zeros(shape, np.uint64), np.ones(other, np.uint64))
    kernel.roots(np.zeros((0, 32), np.uint64), np.zeros((0, 32), np.uint64))


def test_the_wrong_half_of_a_key(pub: PublicKey, priv: PrivateKey, proof: bytes) -> None:
    with pytest.raises(TypeError, match="priv must be a PrivateKey, not PublicKey"):
        proofs.prove_modulus(pub, SESSION, HOLDER)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="pub must be a PublicKey, not PrivateKey"):
        proofs.verify_modulus(priv, proof, SESSION, HOLDER)  # type: ignore[arg-type]
