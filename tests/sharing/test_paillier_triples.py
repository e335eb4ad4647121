"""Triples of two parties without a dealer, and a session that uses them."""

from __future__ import annotations

import queue
import threading

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.sharing import PaillierTriples, Session


class Queues:
    def __init__(self, out, into):
        self.send, self.into = out.put, into

    def recv(self):
        return self.into.get(timeout=60)


def both(program):
    """Run program(party, channel factory) for two parties in threads."""
    ways: dict = {}
    lock = threading.Lock()

    def channel(party, name):
        with lock:
            pair = ways.setdefault(name, (queue.Queue(), queue.Queue()))
        return Queues(pair[party], pair[1 - party])

    results, errors = [None, None], []

    def run(party):
        try:
            results[party] = program(party, lambda name: channel(party, name))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    if errors:
        raise errors[0]
    return results


@pytest.mark.parametrize(("shape", "other"), [((3,), None), ((), None), ((2, 3), (3, 2)), ((3,), (3,)), ((2, 3), (3,))])
def test_triples(keypair, shape, other):
    def program(party, channel):
        supply = PaillierTriples(keypair[1 - party], channel("triples"))
        return [supply.triple(shape, other) for _ in range(2)]

    seen = []
    for t0, t1 in zip(*both(program), strict=True):
        a, b, c = ((x.astype(object) + y.astype(object)) % 2**64 for x, y in ((t0.a, t1.a), (t0.b, t1.b), (t0.c, t1.c)))
        want = np.asarray(a) @ np.asarray(b) if other is not None else a * b
        assert np.array_equal(np.asarray(want % 2**64), np.asarray(c))
        seen.append(t0.a.tolist())
    assert seen[0] != seen[1]


def test_a_session_without_a_dealer(keypair):
    x, y = np.array([1.5, -2.0, 3.0]), np.array([0.5, 4.0, -1.0])

    def program(party, channel):
        supply = PaillierTriples(keypair[1 - party], channel("triples"))
        session = Session(2, party=party, channels={1 - party: channel("shares")}, supply=supply, accept_failure=True)
        u = session.share(x if party == 0 else None, owner=0, shape=(3,))
        v = session.share(y if party == 1 else None, owner=1, shape=(3,))
        return (u * v + 1).reveal(), float((u @ v).reveal())

    for product, dot in both(program):
        assert np.abs(product - (x * y + 1)).max() <= 8 * 2**-16
        assert abs(dot - x @ y) <= 16 * 2**-16


def test_what_the_other_party_may_send(keypair):
    pub, priv = keypair
    plan = bt.FixedPoint.integers(limit=2**40)
    right = bt.paillier.encrypt_share(priv, np.zeros(2, np.uint64)).to_bytes()

    def answers(*messages):
        queued = queue.Queue()
        for message in messages:
            queued.put(message)
        return Queues(queue.Queue(), queued)

    for first in (pub.encrypt([1, 2, 3], plan).to_bytes(), pub.encrypt([0.5, 1.0]).to_bytes(), b"noise"):
        with pytest.raises(bt.ProtocolAbort, match="making a triple"):
            PaillierTriples(pub, answers(first, right)).triple((2,), None)
    for answer in (
        pub.encrypt([1, 2, 3], plan).to_shares()[1],
        pub.encrypt([1, 2], plan).to_shares(32)[1],
        b"noise",
        right,
    ):
        with pytest.raises(bt.ProtocolAbort, match="making a triple"):
            PaillierTriples(priv, answers(answer)).triple((2,), None)
    with pytest.raises(TypeError, match=r"must be a PrivateKey \(party 0\) or a PublicKey"):
        PaillierTriples(None, answers())


def test_two_parties_may_accept_failure():
    session = Session(2, accept_failure=True)
    u = session.share([1.5, -2.0])
    assert np.abs((u * u).reveal() - [2.25, 4.0]).max() <= 4 * 2**-16
    with pytest.raises(TypeError, match="apply to two parties"):
        Session(3, accept_failure=True)
