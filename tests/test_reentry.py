"""A signal handler, a finaliser or a callback that comes back on the thread that it interrupted (promise M31).

What would undo the work that it interrupted, or wait for it without end, is refused; the interrupted call goes on, and
other threads wait for it. An alarm ends a test that hangs.
"""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import bluetusk as bt
from bluetusk._locks import Locked, refuse_reentry
from bluetusk.errors import ProtocolAbort
from bluetusk.evidence._uses import Use, Uses
from bluetusk.federated.paillier_sum.journal import Journal
from bluetusk.paillier._arith import Arith
from bluetusk.vertical.party.session import Session
from bluetusk.vertical.party.vault import Vault

UNDER_WAY = "is under way on this thread"


@pytest.fixture(autouse=True)
def alarm():
    def late(number, frame):
        raise TimeoutError("hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 10)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def once(monkeypatch):
    """Have the next call of ``owner.name`` do `work` first, as a handler would that comes just there."""

    def arrange(owner, name, work):
        real, told = getattr(owner, name), []

        def interrupted(*args, **kwargs):
            monkeypatch.setattr(owner, name, real)
            try:
                work()
            except Exception as error:
                told.append(error)
            else:
                told.append(None)
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, interrupted)
        return told

    return arrange


def assert_refused(told):
    assert len(told) == 1
    assert isinstance(told[0], ProtocolAbort), told
    assert UNDER_WAY in str(told[0])


def test_the_thread_itself_is_refused_and_others_wait():
    each, order = Locked(), []
    refuse_reentry(each._lock, "call")

    def other():
        refuse_reentry(each._lock, "call")
        with each._lock:
            order.append("other")

    thread = threading.Thread(target=other)
    with each._lock:
        with pytest.raises(ProtocolAbort, match=f"another call {UNDER_WAY}"):
            refuse_reentry(each._lock, "call")
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]
    refuse_reentry(each._lock, "call")


def test_a_journal(tmp_path, once):
    journal = Journal(tmp_path / "sums", bytes(32))
    told = once(os, "fsync", lambda: journal.spend(1, "y"))
    journal.spend(0, "x")
    assert_refused(told)
    journal.spend(1, "y")  # it was not spent
    journal.close()
    again = Journal(tmp_path / "sums", bytes(32))
    assert again._spent == {(0, "x"), (1, "y")}
    again.close()


def test_uses(tmp_path, once):
    def use(task):
        return Use("g", "peer", "purpose", task, bytes(32), 5, 1)

    def note(task):
        with uses.lock:
            uses.note(use(task))

    uses = Uses(tmp_path / "uses", bytes(32))
    told = once(os, "fsync", lambda: note("inner"))
    note("outer")
    assert_refused(told)
    note("later")
    uses.close()
    again = Uses(tmp_path / "uses", bytes(32))
    assert [again.find("peer", "purpose", task) for task in ("outer", "inner", "later")] == [
        use("outer"),
        None,
        use("later"),
    ]
    again.close()


def test_a_guard(tmp_path, once):
    owner = bt.evidence.Identity.generate()
    grant = bt.evidence.Grant(
        "g", "5a" * 32, ("binning",), ("*",), uses=9, not_before=0, until=1 << 40, min_rows=1, min_intersection=1,
        max_ids_per_request=9, max_ids_total=99,
    )  # fmt: skip
    stated = {"min_rows": 5, "min_events": 5, "min_others": 5, "bins": 2}
    policies = [bt.evidence.Policy("network", serial, (grant,)).sign(owner) for serial in (1, 2)]

    def ask(task):
        return guard.authorise(peer="5a" * 32, purpose="binning", columns=["A"], rows=9, task=task, **stated)

    with bt.evidence.Guard(policies[0], tmp_path / "uses", owner=owner.public_key) as guard:
        for inner in (
            lambda: ask("inner"),
            lambda: guard.replace(policies[1]),
            lambda: guard.release(peer="5a" * 32, purpose="binning", task="outer"),
        ):
            told = once(os, "fsync", inner)
            ask(f"outer {inner.__code__.co_firstlineno}")
            assert_refused(told)
        seen = []
        once(os, "fsync", lambda: seen.append(guard.usage()["g"]["uses"]))
        assert ask("last").uses_left == 5
        assert seen == [3]  # reading is allowed, and tells what was before
    with bt.evidence.Guard(policies[0], tmp_path / "uses", owner=owner.public_key) as opened:
        assert opened.usage() == {"g": {"uses": 4, "ids": 0}}


def test_a_log(tmp_path, once):
    me, other = bt.evidence.Identity.generate(), bt.evidence.Identity.generate()
    with bt.evidence.Log.create(tmp_path / "peer", other, owner="host") as peer:
        offer = peer.offer()
    with bt.evidence.Log.create(tmp_path / "log", me, owner="bank") as log:
        for inner in (
            lambda: log.append("inner", by="bank"),
            lambda: log.accept(offer, party="host", key=other.public_key),
        ):
            told = once(os, "fsync", inner)
            log.append("outer", by="bank")
            assert_refused(told)
        sizes = []
        once(os, "fsync", lambda: sizes.append(log.head().size))
        assert log.accept(offer, party="host", key=other.public_key).size == 1
        assert sizes == [3]
        names = [record.what for record in log.records]
    assert names == ["opened", "outer", "outer", "peer_head"]
    report = bt.evidence.verify(tmp_path / "log", key=me.public_key)
    assert (report.ok, report.torn) == (True, 0)


def test_an_audit(tmp_path, once, pub):
    with bt.evidence.Audit(tmp_path / "audit", "p", task="t") as audit:
        told = once(os, "fsync", lambda: pub.encrypt([1, 2]))
        pub.encrypt([3])
        assert_refused(told)
        pub.encrypt([4, 5, 6])
    audit.close()
    report = bt.evidence.Audit.replay(tmp_path / "audit", "p")
    assert (report.ok, report.reason, report.tasks) == (True, "", {"t": 4})


@pytest.fixture
def sums(keypair):
    keys = {name: Ed25519PrivateKey.generate() for name in "abc"}
    clients = {name: (key.public_key().public_bytes_raw(), 5) for name, key in keys.items()}
    session = bt.federated.PaillierSum(keypair[0], {"x": (bt.FixedPoint(), 2)}, clients, min_clients=2)
    return session, [session.client(name, key).contribute(0, "x", [1, 2.5]) for name, key in keys.items()]


@pytest.mark.parametrize("name", ["add", "finish", "give_up"])
def test_an_aggregator(once, sums, priv, name):
    session, messages = sums
    aggregator = session.aggregator()
    work = {
        "add": lambda: aggregator.add(messages[1]),
        "finish": lambda: aggregator.finish(0, "x"),
        "give_up": lambda: aggregator.give_up(0),
    }[name]
    assert aggregator.add(messages[0])
    told = once(Arith, "_combine", work)
    assert aggregator.add(messages[2])
    assert_refused(told)
    assert aggregator.clients(0, "x") == ("a", "c")
    assert aggregator.add(messages[1]).clients == 3
    assert priv.decrypt(aggregator._running[0, "x"].total)[:2].tolist() == [3, 7.5]
    assert aggregator._rejected == {}


def test_an_aggregator_passes_on_what_a_handler_did_not_catch(monkeypatch, sums):
    """The message that was interrupted is not answered as rejected: it may come again."""
    session, messages = sums
    aggregator, real = session.aggregator(), Arith._combine

    def interrupted(*args):
        monkeypatch.setattr(Arith, "_combine", real)
        aggregator.add(messages[1])

    assert aggregator.add(messages[0])
    monkeypatch.setattr(Arith, "_combine", interrupted)
    with pytest.raises(ProtocolAbort, match=UNDER_WAY):
        aggregator.add(messages[2])
    assert [aggregator.add(message).clients for message in messages[1:]] == [2, 3]
    assert aggregator._rejected == {}


def test_a_session_of_two_parties(tmp_path, once):
    session = Session(Vault(tmp_path / "vault", bytes(32)), job="j", peer="host", patience=5)
    session.resume("task")
    told = once(os, "fsync", lambda: session.send(b"inner"))
    session.send(b"outer")
    assert_refused(told)
    session.send(b"later")
    assert session._rounds[0].sent == [b"outer", b"later"]
    assert session._manifest.records("out-00000000", session._rounds[0].attempt) == [b"outer", b"later"]
    told = once(os, "fsync", lambda: session.commit("task", 1, b"inner"))
    session.commit("task", 1, b"outer")
    assert_refused(told)
    assert session.resume("task") == (1, b"outer")
    session._vault.close()


def test_a_session_of_shares(once):
    session = bt.sharing.Session(parties=2)
    a, b = (session.share([1, 2, 3], real=False) for _ in range(2))
    told = once(session._protocol, "product", lambda: b.reveal())
    assert np.array_equal((a * b).reveal(), [1, 4, 9])
    (refusal,) = told
    assert isinstance(refusal, bt.ProtocolAbort)
    assert "an exchange of this session is under way" in str(refusal)
