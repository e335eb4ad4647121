"""The comparison of shared numbers: every pair, what the key holder sees, and a planted leak that must be seen."""

from __future__ import annotations

import math
import secrets

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.paillier import hazmat, masked
from bluetusk.paillier.ephemeral import saved_key
from bluetusk.vertical import local_links
from bluetusk.vertical.logistic import comparing
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
    assert comparing.most_learned(True) >= math.log2(2 * math.comb(64 + 3, 3))  # zeros of each kind, and one bit


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
