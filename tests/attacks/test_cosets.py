"""A guest whose key has a second channel, to read values of a host's column through the mask of one message.

For an honest n every ciphertext is ``(1 + n)^m r^n``. If n shares a factor with phi(n), some units are not of this
form: a ciphertext can then hold a second number beside its plaintext. The host multiplies it by its values as it does
the plaintext, and neither its mask, a factor ``(1 + n)^rho``, nor the factor r^n changes it. Two such keys, which a
receiver cannot tell from good ones without a proof:

* n = D Q R, with D dividing Q - 1: the second number is modulo D;
* n = P P Q, the form of Okamoto and Uchiyama: it is modulo P, and easy to read whatever the size of P.

The host sends the values of 16 rows in one ciphertext, x_0 + 2^118 x_1 + ... times the encrypted number. The guest
picks its factor so that 2^118 is a small number B modulo it: the second number is then x_0 + B x_1 + B^2 x_2 + ..., and
its digits to the base B are the values.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz

import bluetusk as bt
from bluetusk.paillier import PublicKey, proofs
from bluetusk.paillier.array import encrypt_integers
from bluetusk.paillier.slots import Slots
from bluetusk.vertical import local_links
from bluetusk.vertical.logistic import products
from bluetusk.vertical.protocol import keys
from bluetusk.wire import frame

ROWS, COLUMNS, TARGET, UNIT = 160, 4, 2, 1 << 10
LAYOUT = Slots.fitting(2048, 118, masked=True)  # that of the scores of four columns
FORGERIES = 20
NEVER = 1e-6  # how often guessing may do as well as `bound` says


@dataclass
class Key:
    """A key of the guest's making: its primes, the base of the digits, and a unit with a second number of 1."""

    pub: PublicKey
    primes: tuple[int, ...]
    base: int
    unit: int
    second: object  # a function of a ciphertext


def prime(like: mpz, seed: int) -> int:
    """The next prime behind a number with random low digits."""
    return int(gmpy2.next_prime(like + gmpy2.mpz_urandomb(gmpy2.random_state(seed), like.bit_length() - 4)))


def with_small_factor() -> Key:
    """n = D Q R: D divides 2^118 - 2, so that B = 2, and a table of 2^16 powers finds the digits of 16 flags."""
    d, base = 7830118297, 2
    rng = gmpy2.random_state(1)
    k = gmpy2.mpz_urandomb(rng, 960) | (1 << 959)
    q = next(2 * (k + i) * d + 1 for i in range(1 << 20) if gmpy2.is_prime(2 * (k + i) * d + 1))
    rest = 2048 - (d * q).bit_length()
    r = mpz(prime(mpz(3) << (rest - 2), 2))
    while (n := d * q * r) % 4 != 1 or n.bit_length() != 2048:
        r = gmpy2.next_prime(r)
    g = next(g for g in range(2, 100) if gmpy2.powmod(g, (q - 1) // d, q) != 1)
    step = gmpy2.powmod(g, (q - 1) // d * UNIT, q)
    table, power = {}, mpz(1)
    for number in range(1 << 16):
        table[power], power = number, power * step % q
    return Key(
        PublicKey(int(n)),
        (d, int(q), int(r)),
        base,
        g,
        lambda c: table.get(gmpy2.powmod(c, (q - 1) // d, q), 0),
    )


def with_square() -> Key:
    """n = P P Q: P is 2^118 - 111, so that B = 111; the p-adic logarithm of a ciphertext modulo P^2 is linear in it."""
    base = 111
    p = mpz((1 << LAYOUT.width) - base)
    q = mpz(prime((mpz(3) << 2046) // (p * p) + (mpz(1) << 1808), 3))
    while (n := p * p * q) % 4 != 1:
        q = gmpy2.next_prime(q)

    def second(c: int) -> int:
        log = (gmpy2.powmod(c, p - 1, p * p) - 1) // p  # of (1 + P)^(E (P - 1)) = 1 - E P
        return int(-log * gmpy2.invert(UNIT, p) % p)

    return Key(PublicKey(int(n)), (int(p), int(p), int(q)), base, int(1 + p), second)


MAKERS = {"n = D Q R": with_small_factor, "n = P P Q": with_square}


def best_roots(key: Key, numbers: list[int]) -> list[int]:
    """The roots that the key's maker can give: right modulo every prime power where there is one."""
    n, roots = math.prod(key.primes), []
    for x in numbers:
        found, modulus = mpz(0), mpz(1)
        for r in set(key.primes):
            power = mpz(r) ** key.primes.count(r)
            order = power // r * (r - 1)
            order //= math.gcd(int(n), int(order))  # of what n-th powers leave
            while (f := gmpy2.gcd(n, order)) != 1:
                order //= f
            part = gmpy2.powmod(x, gmpy2.invert(n, order), power)
            found += modulus * ((part - found) * gmpy2.invert(modulus, power) % power)
            modulus *= power
        roots.append(int(found))
    return roots


def proof(key: Key, link, task: str) -> bytes:
    session, holder = f"bluetusk/vertical/{task}\0{link.peer}\0".encode() + link.session, link.me.encode()
    roots = best_roots(key, [int(x) for x in proofs._challenges(key.pub, session, holder)])
    payload = b"".join(root.to_bytes(key.pub.bits // 8, "little") for root in roots)
    return frame.encode(frame.Kind.KEY_PROOF, {"fingerprint": key.pub.fingerprint, "roots": len(roots)}, payload)


def weights(key: Key) -> bytes:
    """Encrypted zeros for the host's columns; that of the target holds a second number, 1."""
    zeros = np.array([0] * COLUMNS, dtype=object)
    bound = 1 << products.SHARE_BITS
    data = encrypt_integers(key.pub, zeros, bt.FixedPoint.integers(1), frac=0, bound=bound).to_bytes(bound)
    got, size, square = frame.decode(data), key.pub.bits // 4, key.pub.nsquare
    numbers = [int.from_bytes(got.payload[i : i + size], "little") for i in range(0, COLUMNS * size, size)]
    numbers[TARGET] = numbers[TARGET] * key.unit % square
    return frame.encode(got.kind, got.header, b"".join(number.to_bytes(size, "little") for number in numbers))


def read(key: Key, message: bytes) -> list[int]:
    """The digits of each ciphertext's second number."""
    payload, size = frame.decode(message).payload, key.pub.bits // 4
    values = []
    for i in range(0, len(payload), size):
        number = key.second(int.from_bytes(payload[i : i + size], "little"))
        for _ in range(LAYOUT.count):
            number, digit = divmod(number, key.base)
            values.append(digit)
    return values[:ROWS]


def host(link, matrix, errors):
    """An honest host: it takes a key, and multiplies its rows by the encrypted weights."""
    try:
        link.scope("example", 1)
        pub = keys.peer_key(link.receive("setup", parts=2).parts, link, "example")
        c = products.receive_encrypted(link.receive("weights", parts=1).parts[0], pub, COLUMNS)
        link.send("scores", parts=[products.rows_times(matrix, c, LAYOUT)[1]])
    except bt.BluetuskError as error:
        errors.append(error)


def attack(key: Key, column, shown):
    """What the guest names, or nothing, and the errors of the host, which meets no other bytes than `shown`'s."""
    matrix = np.random.default_rng(0).integers(-100, 100, (ROWS, COLUMNS)) * UNIT
    matrix[:, TARGET] = column * UNIT
    mine, theirs = local_links(seconds=30)
    errors: list[Exception] = []
    thread = threading.Thread(target=host, args=(theirs, matrix, errors))
    thread.start()
    mine.scope("example", 1)
    mine.send("setup", parts=[key.pub.to_bytes(), shown(mine)])
    mine.send("weights", parts=[weights(key)])
    thread.join()
    if errors:
        assert theirs.bytes_sent == 0
        return None, errors
    return read(key, mine.receive("scores", parts=1).parts[0]), errors


def column_of(key: Key):
    """What the host keeps secret: flags for B = 2, else years."""
    return np.random.default_rng(key.base).integers(0, key.base, ROWS)


def trusting(parts, link, task):
    """The planted weakness: every key is taken that passes the checks of its public numbers."""
    pub = PublicKey.from_bytes(parts[0])
    pub._blinder.proven = True
    return pub


@pytest.fixture(scope="module", params=list(MAKERS))
def key(request):
    return MAKERS[request.param]()


def forgeries(key: Key, priv):
    """Proofs that the guest can come up with."""
    yield "no proof", lambda link: b""
    yield "its best roots", lambda link: proof(key, link, "example")
    yield "of an honest key", lambda link: bt.paillier.prove_modulus(priv, b"example", link.me.encode())
    for number in range(FORGERIES):
        yield f"best roots {number}", lambda link, number=number: proof(key, link, f"example {number}")


def test_the_key_reads_a_column_where_no_proof_is_demanded(key, monkeypatch):
    monkeypatch.setattr(keys, "peer_key", trusting)
    column = column_of(key)
    named, errors = attack(key, column, lambda link: b"nothing")
    assert not errors
    assert named == column.tolist()  # 160 of 160, in one message


def test_nothing_is_answered_without_a_proof(key, priv):
    column = column_of(key)
    for _, shown in forgeries(key, priv):
        named, errors = attack(key, column, shown)
        assert named is None
        assert [type(error) for error in errors] == [bt.ProtocolAbort]
        assert errors[0].party == "guest"


def test_a_host_that_forgets_to_ask_cannot_mask(key, monkeypatch):
    """The key of a protocol that forgot the proof is refused where values are masked."""
    monkeypatch.setattr(keys, "peer_key", lambda parts, link, task: PublicKey.from_bytes(parts[0]))
    key.pub._blinder.proven = False
    named, errors = attack(key, column_of(key), lambda link: b"nothing")
    assert named is None
    assert isinstance(errors[0], bt.InvalidKey)


def test_an_honest_key_has_no_second_channel(key, pub, priv):
    """Under it the guest's unit is an n-th power as every other: a factor r^n like the ones that hide."""
    p, q = (int.from_bytes(prime, "little") for prime in priv._kernel.export_primes())
    order = (p - 1) * (q - 1)
    root = pow(key.unit, pow(pub.n, -1, order), pub.n)
    assert pow(root, pub.n, pub.n) == key.unit % pub.n


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    rows = []
    for name, make in MAKERS.items():
        made = make()
        column = column_of(made)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(keys, "peer_key", trusting)
            named, _ = attack(made, column, lambda link: b"nothing")
        right = sum(a == b for a, b in zip(named, column.tolist(), strict=True))
        made.pub._blinder.proven = False
        refused = attack(made, column, lambda link, made=made: proof(made, link, "example"))[0] is None
        chance = 1 / made.base
        bound = (math.log(1 / NEVER) / (2 * ROWS)) ** 0.5  # Hoeffding, Probability Inequalities, 1963
        found = chance if refused else right / ROWS  # without an answer it guesses
        rows.append((f"key with a second channel, {name}", "guest", found, chance, bound, right / ROWS))
    return rows
