"""Triples of two parties without a dealer, and a session that uses them."""

from __future__ import annotations

import queue
import threading

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.sharing import PaillierTriples, Session
from bluetusk.wire import frame


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


def begun(key, channel):
    """A supply that has seen the proof of the key."""
    supply = PaillierTriples(key, channel)
    supply._shown = True
    return supply


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
            begun(pub, answers(first, right)).triple((2,), None)
    for answer in (
        pub.encrypt([1, 2, 3], plan).to_shares()[1],
        pub.encrypt([1, 2], plan).to_shares(32)[1],
        b"noise",
        right,
    ):
        with pytest.raises(bt.ProtocolAbort, match="making a triple"):
            begun(priv, answers(answer)).triple((2,), None)
    with pytest.raises(TypeError, match=r"must be a PrivateKey \(party 0\) or a PublicKey"):
        PaillierTriples(None, answers())


class Holder:
    """Party 0, which has the private key and proves what it likes: `prove` gets the session of this run."""

    def __init__(self, prove):
        self.prove, self.sent, self.nonce = prove, [], bytes(32)

    def send(self, data):
        self.sent.append(bytes(data))

    def recv(self):
        if len(self.sent) != 1:
            pytest.fail("party 1 waits for more")
        if self.nonce:
            nonce, self.nonce = self.nonce, b""
            return frame.encode(frame.Kind.MESSAGE, {"topic": "begin triples", "party": 0, "nonce": nonce})
        return self.prove(
            b"bluetusk/sharing/PaillierTriples\0" + bytes(32) + frame.decode(self.sent[0]).header["nonce"]
        )


def test_party_1_takes_no_key_without_its_proof(keypair, keypair2, monkeypatch):
    """It answers nothing: it has sent its nonce, and no product."""
    (pub, priv), prove = keypair, bt.paillier.prove_modulus
    monkeypatch.setattr(pub._blinder, "proven", False)
    before = []
    honest = Holder(lambda session: before.append(prove(priv, session, b"party 0")) or before[0])
    PaillierTriples(pub, honest)._prove()
    assert pub.proven
    monkeypatch.setattr(pub._blinder, "proven", False)
    for bad in (
        lambda session: before[0],  # replayed
        lambda session: prove(priv, session, b"party 1"),
        lambda session: prove(priv, session[:-1], b"party 0"),
        lambda session: prove(keypair2[1], session, b"party 0"),
        lambda session: before[0][:-1],
        lambda session: bt.paillier.encrypt_share(priv, np.zeros(2, np.uint64)).to_bytes(),
    ):
        holder = Holder(bad)
        with pytest.raises(bt.ProtocolAbort, match="proof of party 0's key is refused") as caught:
            PaillierTriples(pub, holder).triple((2,), None)
        assert caught.value.party == "party 0"
        assert len(holder.sent) == 1
        assert not pub.proven


def test_an_earlier_version_or_the_same_role_at_the_other_end(keypair):
    pub, priv = keypair
    earlier = bt.paillier.encrypt_share(priv, np.zeros(2, np.uint64)).to_bytes()
    for key, at_fault in ((pub, "party 0"), (priv, "party 1")):
        same = {"topic": "begin triples", "party": int(key is pub), "nonce": bytes(32)}
        for first in (earlier, frame.encode(frame.Kind.MESSAGE, same), b"noise"):
            channel = Queues(queue.Queue(), queue.Queue())
            channel.into.put(first)
            with pytest.raises(bt.ProtocolAbort, match="the same version of bluetusk") as caught:
                PaillierTriples(key, channel).triple((2,), None)
            assert caught.value.party == at_fault


def test_two_parties_may_accept_failure():
    session = Session(2, accept_failure=True)
    u = session.share([1.5, -2.0])
    assert np.abs((u * u).reveal() - [2.25, 4.0]).max() <= 4 * 2**-16
    with pytest.raises(TypeError, match="apply to two parties"):
        Session(3, accept_failure=True)
