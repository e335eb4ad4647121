"""The comparison of shared numbers: every pair, what the key holder sees, and a planted leak that must be seen."""

from __future__ import annotations

import math
import secrets

import gmpy2
import numpy as np
import pytest

import bluetusk as bt
from bluetusk._integers import limbs_of
from bluetusk.paillier import PublicKey, hazmat, masked, proofs
from bluetusk.paillier.ephemeral import saved_key
from bluetusk.vertical import LogisticRegression, local_links
from bluetusk.vertical.logistic import comparing
from bluetusk.vertical.logistic.config import HostBins
from bluetusk.vertical.logistic.job import LogisticJob
from bluetusk.vertical.protocol.keys import _session, peer_key
from bluetusk.wire.frame import Kind, decode, encode

WORD = 1 << 96


def compared(both, keys, value, links=None):
    x = secrets.randbelow(WORD)
    links = local_links(seconds=60.0) if links is None else links
    (pub, priv) = keys
    one, two = both(
        lambda: comparing.negative(links[0], x, True, priv, pub),
        lambda: comparing.negative(links[1], (value - x) % WORD, False, priv, pub),
    )
    assert one == two
    return one


@pytest.mark.parametrize("value", [1 << 94, 1 << 40, 1 << 33, -(1 << 33), -(1 << 40), -(1 << 94) + 1])
def test_signs_of_all_sizes(both, keypair, value):
    assert compared(both, keypair, value) == (value < 0)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(comparing, "COMPARED_BITS", 3)


def test_every_pair_of_small_shares(both, keypair, few):
    """All pairs of shares of three bits, against the sign of their sum modulo 8 by Python."""
    pub, priv = keypair
    for x in range(8):
        for y in range(8):
            links = local_links(seconds=60.0)
            got = both(
                lambda x=x, way=links[0]: comparing.negative(way, x << 93, True, priv, pub),
                lambda y=y, way=links[1]: comparing.negative(way, y << 93, False, priv, pub),
            )
            assert got == [(x + y) % 8 >= 4] * 2, (x, y)


def opened(both, keypair, value):
    """Return what the guest decrypts of the places in one comparison."""
    links = local_links(seconds=60.0)
    seen = []
    inner = links[0].receive

    def receive(topic, *args, **kwargs):
        got = inner(topic, *args, **kwargs)
        if topic == "places":
            seen.append(bytes(got.parts[0]))
        return got

    links[0].receive = receive
    compared(both, keypair, value, links)
    (data,) = seen
    width = keypair[0].bits // 4
    values = [int.from_bytes(data[i : i + width], "little") for i in range(0, len(data), width)]
    return [int(m) for m in hazmat.decrypt_raw(keypair[1], values)]


def looks_uniform(keypair, views):
    modulus = int(keypair[0].n)
    v = np.sort([((m << 64) // modulus) / 2.0**64 for view in views for m in view if m])
    n = len(v)
    return math.sqrt(n) * max(np.max(np.arange(1, n + 1) / n - v), np.max(v - np.arange(n) / n)) < 2.2


@pytest.mark.nightly
def test_the_key_holder_sees_a_fair_coin_and_uniform_units(both, keypair, few):
    """Whichever is the answer: whether there is a zero is even (6 standard deviations), all else is uniform below n."""
    for value in (1 << 95) - (1 << 93), -(1 << 94):
        views = [opened(both, keypair, value) for _ in range(40)]
        assert all(sum(m == 0 for m in view) <= 1 for view in views)
        zeros = sum(0 in view for view in views)
        assert abs(zeros - 20) < 6 * math.sqrt(10)
        assert looks_uniform(keypair, views)


def test_a_planted_leak_is_seen(both, keypair, few, monkeypatch):
    monkeypatch.setattr(masked, "_unit", lambda n: 1)  # nothing hides the places' numbers
    views = [opened(both, keypair, 1 << 94) for _ in range(10)]
    assert not looks_uniform(keypair, views)


def test_blinding_does_not_rest_on_the_ciphertexts_randomness(keypair):
    """The key holder made the ciphertexts: without r^n it would find the unit, and with it the number, from r."""
    pub, priv = keypair
    n, square = int(pub.n), int(pub.n) ** 2
    c = pub.encrypt([5], bt.FixedPoint.integers(9))
    before = int.from_bytes(masked.encrypting.canonical(c)[0].tobytes(), "little")
    after = int.from_bytes(masked.blind_nonzero(c), "little")
    (m,) = hazmat.decrypt_raw(priv, [after])
    unit = int(m) * pow(5, -1, n) % n
    assert after % square != pow(before, unit, square)


def test_a_guest_that_cheats_compares_two_numbers_at_once(both, keypair):
    """One modulo each factor of its key. It sees a result of each, and no more than is counted."""
    pub, priv = keypair
    p, q = (int.from_bytes(each, "little") for each in saved_key(priv))
    assert p * q == int(pub.n)
    one, other, theirs = 5 << 40, 9 << 40, 7 << 40
    digits = zip(comparing._digits(2 * one), comparing._digits(2 * other), strict=True)
    sent = [(a * q * pow(q, -1, p) + b * p * pow(p, -1, q)) % (p * q) for a, b in digits]
    n, width = p * q, pub.bits // 4
    wide = decode(masked.fresh(priv, comparing._digits(0), 1))
    unit = pow(3, n, n * n)  # of all ciphertexts: nothing is to be hidden here
    made = [(1 + n * v) * unit % (n * n) for v in sent]
    data = encode(wide.kind, wide.header, b"".join(c.to_bytes(width, "little") for c in made))

    def guest(link):
        link.send("bits", parts=[data])
        places = bytes(link.receive("places", parts=1, most=1 << 20).parts[0])
        values = [int.from_bytes(places[i : i + width], "little") for i in range(0, len(places), width)]
        return [int(m) for m in hazmat.decrypt_raw(priv, values)]

    here, there = local_links(seconds=60.0)
    opened, greater = both(lambda: guest(here), lambda: comparing._evaluator(there, theirs, pub))
    seen = [sum(m % factor == 0 for m in opened) for factor in (p, q)]
    assert seen == [int(number > theirs) ^ (1 - greater) for number in (one, other)]


def test_a_key_of_many_factors_shows_all_bits_in_one_comparison(both, keypair):
    """The proof says nothing about the number of factors: modulo each the guest asks for another bit.

    Modulo the k-th factor all digits are sent as 1/2, which makes a place the same whatever the host's digits are, but
    the k-th as 1/6 and the lowest as what makes the lowest place 0 if the host's k-th digit is the direction it drew.
    """
    count, number = comparing.COMPARED_BITS, secrets.randbits(comparing.COMPARED_BITS - 1) | 1 << 61
    factors = many_factors(count)
    n = math.prod(factors)
    pub, (here, there) = PublicKey(n), local_links(seconds=60.0)
    challenges = proofs._challenges(pub, _session(here, "t", here.peer), here.me.encode())
    root = pow(n, -1, math.prod(p - 1 for p in factors))
    roots = limbs_of([gmpy2.powmod(c, root, n) for c in challenges], pub.bits // 64).astype("<u8").tobytes()
    proof = encode(Kind.KEY_PROOF, {"fingerprint": pub.fingerprint, "roots": len(challenges)}, roots)
    taken = peer_key([pub.to_bytes(), proof], there, "t")  # the host finds nothing wrong with it

    sent = [0] * count
    for k, p in enumerate(factors):
        part, half, sixth = (n // p) * pow(n // p, -1, p), pow(2, -1, p), pow(6, -1, p)
        lowest = -3 * ((count - 2) * half + (sixth if k else half))
        for j in range(count):
            sent[j] += part * ((lowest if j == 0 else sixth if j == k else half) % p)
    square, width = n * n, pub.bits // 4
    wide = decode(masked.fresh(keypair[1], comparing._digits(0), 1))
    unit = pow(3, n, square)
    data = b"".join(((1 + n * (v % n)) * unit % square).to_bytes(width, "little") for v in sent)
    data = encode(wide.kind, wide.header | {"key": pub.fingerprint}, data)
    order = math.lcm(*(p - 1 for p in factors))

    def guest():
        here.send("bits", parts=[data])
        got = bytes(here.receive("places", parts=1, most=1 << 20).parts[0])
        values = [int.from_bytes(got[i : i + width], "little") for i in range(0, len(got), width)]
        return [int(gmpy2.powmod(c, order, square) - 1) // n for c in values]

    opened, _ = both(guest, lambda: comparing._evaluator(there, number, taken))
    read = set()
    for zero in ([m % p == 0 for p in factors] for m in opened):
        drawn = 1 - zero[0]
        read.add(sum((drawn if each else 1 - drawn) << k for k, each in enumerate(zero[1:])))
    assert number in read  # of three at most, the others made by places that are 0 modulo all factors or none
    assert len(read) <= 3
    assert comparing.most_learned(True) >= number.bit_length() + 1  # and the sign


def many_factors(count):
    """Primes of 32 bits, and one of 44, whose product is a modulus of 2048 bits that is taken."""
    while True:
        primes = {int(gmpy2.next_prime((3 << 30) + secrets.randbelow(1 << 30))) for _ in range(count - 1)}
        rest = math.prod(primes)
        primes.add(int(gmpy2.next_prime((3 << 2046) // rest)))
        n, phi = math.prod(primes), math.prod(p - 1 for p in primes)
        if len(primes) == count and (n.bit_length(), n % 4, math.gcd(n, phi)) == (2048, 1, 1):
            return sorted(primes)


@pytest.mark.parametrize(("sender", "topic"), [(0, "bits"), (1, "places"), (0, "sign"), (1, "sign")])
@pytest.mark.parametrize("how", ["empty", "cut", "zeros"])
def test_spoilt_messages_end_in_a_typed_error(both, keypair, few, sender, topic, how):
    links = local_links(seconds=60.0)
    inner = links[sender].send

    def send(name, fields=None, parts=()):
        if name == topic:
            (part,) = parts
            parts = [
                {"empty": b"", "cut": bytes(part)[:-1], "zeros": b"\x02" if topic == "sign" else bytes(len(part))}[how]
            ]
        inner(name, fields, parts)

    links[sender].send = send

    def party(link, share, leader):
        try:
            return comparing.negative(link, share, leader, keypair[1], keypair[0])
        except BaseException:
            link.abort("failed")
            raise

    with pytest.raises(bt.BluetuskError):
        both(lambda: party(links[0], 5 << 92, True), lambda: party(links[1], 9 << 92, False))


def test_only_documented_messages_travel(both, keypair, few):
    frames = []

    class Watch:
        def authorise(self, **details):
            pass

        def count(self, **details):
            pass

        def passed(self, *, peer, task, sent, frame):
            frames.append(decode(frame, Kind.VERTICAL).header["topic"])

    compared(both, keypair, 1 << 94, local_links(observers=(Watch(), None), seconds=60.0))
    assert sorted(frames) == ["bits", "places", "sign", "sign"]


def test_a_comparison_that_is_made_again_counts_in_full():
    """The host's policy counts what a guest that cheats learns, each time; the first epoch has no comparison."""
    config = LogisticRegression(epochs=3, batch_size=30, calibrate=False)._config(60, None, False, ())
    for role, most in (("host", 64), ("guest", 1)):
        job = LogisticJob(role, np.zeros((60, 2)), ["a", "b"], 2048)
        job.config = config
        assert [job.shows(index) for index in range(8)] == [(0, most * (index in (4, 6))) for index in range(8)]


def test_a_bound_that_is_given_again_counts():
    """The guest could send another seed, and so other batches, whose curvature the host bounds."""
    counts = [np.array([30, 30])]
    jobs = [LogisticJob(role, np.zeros((60, 1)), ["a"], 2048, bins=HostBins(counts)) for role in ("host", "guest")]
    assert [job.shows(0) for job in jobs] == [(0, 8), (0, 0)]
