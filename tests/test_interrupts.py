"""Interrupts at every line, callbacks that come back, forks (promise M31): nothing stays locked, nothing leaks.

A trace function raises KeyboardInterrupt at the k-th line or return, or the k-th instruction, that an operation
executes in the package. Then another thread checks, within a time, that all is usable and right: another one, because a
lock that its owner may take again would not be noticed otherwise.

``BLUETUSK_INTERRUPTS`` is the number of interrupts in all; up to all lines of each operation, then instructions.
"""

from __future__ import annotations

import contextlib
import dis
import itertools
import os
import sys
import tempfile
import threading
import time
from functools import cache
from pathlib import Path
from types import CodeType

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import bluetusk as bt
from bluetusk import _parallel
from bluetusk._kernels.paillier import PaillierPublic
from bluetusk._random import Stream
from bluetusk.errors import ProtocolAbort
from bluetusk.federated.paillier_sum.journal import Journal
from bluetusk.federated.secagg._notes import Memory
from bluetusk.paillier import _store as stores
from bluetusk.paillier.blinding import Blinder
from bluetusk.paillier.keys import PublicKey
from bluetusk.paillier.scheme import SCHEMES
from bluetusk.vertical.party.session import Session
from bluetusk.vertical.party.vault import Vault

INTERRUPTS = int(os.environ.get("BLUETUSK_INTERRUPTS", "240"))
SOURCE = str(Path(bt.__file__).parent)
SECONDS = 30.0
PLAN = bt.FixedPoint.integers(limit=1000)


@cache
def without_signals(code: CodeType) -> frozenset[int]:
    """Instructions before which CPython handles no signal, and which no handler of exceptions covers (bpo-29988).

    These are the call of ``__exit__`` at the end of a `with` and what leads to it, and the NOP that is a ``try:``.
    """
    steps = list(dis.get_instructions(code))
    found = {step.offset for step in steps if step.opname == "NOP"}
    for i, step in enumerate(steps):
        more = [other.opname for other in steps[i + 1 : i + 3]]
        if step.opname == "LOAD_CONST" and step.argval is None and more in (["LOAD_CONST"] * 2, ["DUP_TOP"] * 2):
            first = i - (steps[i - 1].opname in ("SWAP", "ROT_TWO"))
            found.update(other.offset for other in steps[first : i + 5])
    return frozenset(found)


class Interrupt:
    """Runs an operation and raises KeyboardInterrupt in it, once, at the k-th event; 0 only counts them."""

    def __init__(self, at: int = 0, event: str = "line", files: tuple[str, ...] = (SOURCE,)) -> None:
        self.at, self.event, self.files, self.count = at, event, files, 0

    def trace(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith(self.files):
            return None
        frame.f_trace_opcodes = self.event == "opcode"
        here = event == self.event and frame.f_lasti not in without_signals(frame.f_code)
        if here or (event == "return" and self.event == "line"):
            self.count += 1
            if self.count == self.at:
                raise KeyboardInterrupt
        return self.trace

    def run(self, operation) -> bool:
        """Return whether it was interrupted."""
        before = sys.gettrace()
        sys.settrace(self.trace)
        try:
            operation()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False


def in_time(check):
    """Run a check in another thread; fail if it hangs."""
    told = []

    def work():
        try:
            told.append((check(), None))
        except BaseException as error:
            told.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert told, "locked"
    got, error = told[0]
    if error is not None:
        raise error
    return got


def helpers() -> int:
    return sum(thread.name == "bluetusk" for thread in threading.enumerate())


def sweep(prepare, operation, check, *, share: int, files: tuple[str, ...] = (SOURCE,)) -> int:
    """Interrupt an operation at many points, on a new object each time; return at how many."""
    for event in ("line", "opcode"):
        counted = Interrupt(event=event, files=files)
        thing = prepare()
        assert not counted.run(lambda thing=thing: operation(thing))
        check(thing)
        if counted.count >= share:
            break
    fired, points = 0, counted.count
    for j in range(share):
        # all points in turn if there are fewer than interrupts, else spread over them
        at = 1 + (j % points if points <= share else j * points // share)
        thing = prepare()
        fired += Interrupt(at, event, files).run(lambda thing=thing: operation(thing))
        in_time(lambda thing=thing: check(thing))
        assert helpers() <= 3, "threads leak"
    return fired


@pytest.fixture(scope="module")
def arrays(keypair):
    pub, priv = keypair
    return pub, priv, pub.encrypt(np.arange(40), PLAN)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(stores, "_CHUNK", 16)
    monkeypatch.setattr(_parallel, "LEAST_US", 1.0)  # so that threads take part in arrays of this size


def leaves_once(pub, priv, words, whole, values):
    """A derived array leaves with fresh bytes, always the same, whatever view is asked first."""
    first = bt.CipherArray.from_bytes(whole[5:23].to_bytes(), pub)
    data = whole.to_bytes()
    assert whole.to_bytes() == data
    assert whole[::-1].to_bytes() == bt.CipherArray.from_bytes(data, pub)[::-1].to_bytes()
    assert bt.CipherArray.from_bytes(data, pub)[5:23].to_bytes() == first.to_bytes()
    width = pub.bits // 4
    payload = data[-width * whole.size :]
    rows = {payload[i : i + width] for i in range(0, len(payload), width)}
    assert len(rows) == whole.size
    unblinded = np.empty((whole.size, whole._mont.limbs), np.uint64)
    whole._mont.store(unblinded, words, whole._flat(), 0, whole.size)
    assert not rows & {row.tobytes() for row in unblinded}
    assert priv.decrypt(whole).tolist() == values.tolist()
    assert priv.decrypt(bt.CipherArray.from_bytes(data, pub)).tolist() == values.tolist()


OPERATIONS = {
    "leave": lambda d, pub, priv, threads: d.to_bytes(threads=threads),
    "leave in part": lambda d, pub, priv, threads: d[::3].to_bytes(threads=threads),
    "leave, joined": lambda d, pub, priv, threads: np.concatenate([d, d[:2] + 1]).to_bytes(threads=threads),
    "decrypt": lambda d, pub, priv, threads: priv.decrypt(d, threads=threads, progress=lambda *_: None),
    "sum": lambda d, pub, priv, threads: (d.sum(threads=threads), d + d[::-1], d * 3, -d),
    "encrypt": lambda d, pub, priv, threads: pub.encrypt(np.arange(20), PLAN, threads=threads),
    "owner": lambda d, pub, priv, threads: priv.encrypt(np.arange(20), PLAN, threads=threads),
    "pool": lambda d, pub, priv, threads: (pub.precompute(9, threads=threads), pub.encrypt([1, 2, 3], threads=threads)),
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_interrupts_leave_arrays_and_pools_usable(arrays, name, threads):
    pub, priv, c = arrays
    values = np.arange(40) * 2 + 1

    def prepare():
        d = c * 2 + 1
        return d, d._store.words.copy()

    def operation(thing):
        OPERATIONS[name](thing[0], pub, priv, threads)

    def check(thing):
        d, words = thing
        leaves_once(pub, priv, words, d, values)
        assert priv.decrypt(d.sum(threads=3)) == values.sum()
        fresh = pub.encrypt([7, 8, 9], PLAN, threads=3)
        assert priv.decrypt(fresh).tolist() == [7, 8, 9]
        assert pub._blinder.pooled < 10_000
        if name == "pool":
            pub._blinder.clear()

    # what starts a thread is the standard library's, and interrupted there is not ours to mend
    files = (SOURCE, threading.__file__, contextlib.__file__) if threads == 1 else (SOURCE,)
    assert sweep(prepare, operation, check, share=max(4, INTERRUPTS // 32), files=files) > 0


def test_interrupts_leave_batches_usable():
    """Of plain Python work in three threads: every element is computed, once, by a batch that is not interrupted."""

    def prepare():
        return None

    def operation(_):
        _parallel.run(40, lambda lo, hi: None, cost_us=1e4, threads=3, progress=lambda done, total: None)

    def check(_):
        seen, calls = [], []
        _parallel.run(
            60,
            lambda lo, hi: seen.extend(range(lo, hi)),
            cost_us=1e4,
            threads=3,
            progress=lambda done, total: calls.append((done, total)),
        )
        assert sorted(seen) == list(range(60))
        assert calls[-1] == (60, 60)

    assert sweep(prepare, operation, check, share=max(40, INTERRUPTS // 8)) > 0


def test_interrupts_leave_a_new_key_usable(keypair):
    """Shared blinders, and the table of obfuscators while it is built."""
    pub, _ = keypair

    def prepare():
        return Blinder(PaillierPublic(pub.n), SCHEMES["djn"], int(pub.hs))

    def operation(blinder):
        blinder.prepare(100)
        PublicKey(pub.n, hs=pub.hs)

    def check(blinder):
        blinder.prepare(100)
        assert blinder._ready
        assert PublicKey(pub.n, hs=pub.hs)._blinder is pub._blinder

    assert sweep(prepare, operation, check, share=max(10, INTERRUPTS // 20)) > 0


# --- files, counters, sessions ----------------------------------------------------------------------------------------


@pytest.fixture
def paths(tmp_path):
    """A new path at every call, on a file system whose fsync costs nothing if there is one."""
    folder, numbers = Path("/dev/shm") if Path("/dev/shm").is_dir() else tmp_path, itertools.count()
    with tempfile.TemporaryDirectory(dir=folder) as made:
        yield lambda: Path(made) / str(next(numbers))


def test_interrupts_leave_journals_usable(paths):
    def operation(journal):
        journal.spend(1, "x")
        journal.spend(2, "x")

    def check(journal):
        journal.spend(3, "x")
        for round in (1, 2):
            with contextlib.suppress(ProtocolAbort):
                journal.spend(round, "x")
        journal.close()
        again = Journal(journal._file.path, bytes(32))  # every line is whole
        with pytest.raises(ProtocolAbort, match="already decrypted"):
            again.check(3, "x")
        again.close()

    assert sweep(lambda: Journal(paths(), bytes(32)), operation, check, share=max(20, INTERRUPTS // 20)) > 0


def test_interrupts_leave_uses_counted_once(paths):
    """A use that was granted is on the disk, and the file is read again afterwards."""
    owner = bt.evidence.Identity.generate()
    grant = bt.evidence.Grant(
        "g", "5a" * 32, ("binning",), ("*",), uses=9, not_before=0, until=1 << 40, min_rows=1, min_intersection=1,
        max_ids_per_request=9, max_ids_total=99,
    )  # fmt: skip
    stated = {"min_rows": 5, "min_events": 5, "min_others": 5, "bins": 2}
    policies = [bt.evidence.Policy("network", serial, (grant,)).sign(owner) for serial in (1, 2)]

    def ask(guard, task):
        return guard.authorise(peer="5a" * 32, purpose="binning", columns=["A"], rows=9, task=task, **stated)

    def prepare():
        return bt.evidence.Guard(policies[0], paths(), owner=owner.public_key)

    def operation(guard):
        ask(guard, "a")
        guard.replace(policies[1])
        ask(guard, "b")

    def check(guard):
        again = ask(guard, "a").again
        ask(guard, "c")
        guard.replace(policies[1])
        left = ask(guard, "d").uses_left
        spent = guard.usage()["g"]["uses"]
        guard.close()
        with bt.evidence.Guard(policies[1], guard._uses.path, owner=owner.public_key) as opened:
            assert opened.usage()["g"]["uses"] == spent == 9 - left
            assert ask(opened, "a").again
            assert ask(opened, "c").again
        assert again in (True, False)
        assert spent in (3, 4)  # a, c, d, and b if it was granted

    assert sweep(prepare, operation, check, share=max(20, INTERRUPTS // 14)) > 0


def test_interrupts_leave_logs_whole(paths):
    """Of a log that grows and keeps a peer's head: what it holds is on the disk, in order, and verifies."""
    me, other = bt.evidence.Identity.generate(), bt.evidence.Identity.generate()
    peer = bt.evidence.Log.create(paths(), other, owner="host")
    offers = [peer.offer()]
    peer.append("started", by="host")
    offers.append(peer.offer(1))

    def prepare():
        log = bt.evidence.Log.create(paths(), me, owner="bank")
        log.append("first", by="bank")
        return log

    def operation(log):
        log.append("second", by="bank")
        log.accept(offers[0], party="host", key=other.public_key)
        log.accept(offers[1], party="host", key=other.public_key)
        log.append("third", by="bank")

    def check(log):
        for offer in offers if log.peer_head("host") is None else offers[1:]:
            log.accept(offer, party="host", key=other.public_key)
        assert log.peer_head("host").size == 2
        log.append("last", by="bank")
        head, names = log.head(), [record.what for record in log.records]
        assert names[:2] + names[-1:] == ["opened", "first", "last"]
        assert names.count("peer_head") == 2
        assert names.count("last") == 1
        log.close()
        report = bt.evidence.verify(log._file.path, key=me.public_key, heads=[head])
        assert (report.ok, report.torn) == (True, 0)
        with bt.evidence.Log.open(log._file.path, me) as again:
            assert [record.what for record in again.records] == names
            assert again.recovered == 0

    assert sweep(prepare, operation, check, share=max(20, INTERRUPTS // 14)) > 0


def test_interrupts_leave_meters_right():
    def count(meter, message):
        return meter.count(party="bank", task="t", what="rows", number=5, message=message)

    def operation(meter):
        count(meter, "a")
        count(meter, b"b")
        meter.restore(meter.to_bytes())
        count(meter, "c")

    def check(meter):
        for message in ("a", b"b", "c"):
            count(meter, message)
        assert meter.totals() == {("bank", "t"): {"rows": 15}}  # each once, whether it was counted before or not

    assert sweep(bt.evidence.Meter, operation, check, share=max(20, INTERRUPTS // 20)) > 0


def test_interrupts_leave_sums_usable(keypair):
    """An aggregator's sum is the exact one of both clients, or was closed and is refused."""
    pub, priv = keypair
    keys = {name: Ed25519PrivateKey.generate() for name in "ab"}
    clients = {name: (key.public_key().public_bytes_raw(), 5) for name, key in keys.items()}
    session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 2)}, clients, min_clients=2)
    messages = [session.client(name, key).contribute(0, "x", [1, 2.5]) for name, key in keys.items()]
    later = [session.client(name, key).contribute(1, "x", [2, 0.5]) for name, key in keys.items()]

    def operation(aggregator):
        for message in messages:
            aggregator.add(message)
        aggregator.finish(0, "x")

    def check(aggregator):
        for message in messages:
            aggregator.add(message)
        with contextlib.suppress(ProtocolAbort):
            c = aggregator._running[0, "x"].total if (0, "x") in aggregator._running else None
            total = aggregator.finish(0, "x")
            assert total
            assert priv.decrypt(c)[:2].tolist() == [2, 5]
        assert [bool(aggregator.add(message)) for message in later] == [True, True]
        assert priv.decrypt(aggregator._running[1, "x"].total)[:2].tolist() == [4, 1]
        assert aggregator.finish(1, "x")

    assert sweep(session.aggregator, operation, check, share=max(10, INTERRUPTS // 20)) > 0


def test_interrupts_leave_sessions_unlocked(paths):
    """The threads of a connection, and the end of the party, find a session open; also after an interrupt in a
    Condition, whose methods are Python."""
    sessions = []

    def prepare():
        sessions.append(Session(Vault(paths(), bytes(32)), job="j", peer="host", patience=5))
        return sessions[-1]

    def operation(session):
        session.resume("task")
        session.send(b"x" * 10)
        connection = session.connect()
        session.send(b"y")
        connection.lost()
        session.disconnect()

    def check(session):
        session.connect()
        session.send(b"z")
        session.fail(ProtocolAbort("over"))
        session.wait_until_told(0.0)
        session.disconnect()
        assert isinstance(session.failure, ProtocolAbort)
        session._vault.close()

    assert sweep(prepare, operation, check, share=max(30, INTERRUPTS // 14), files=(SOURCE, threading.__file__)) > 0


SHARED = {
    "share": lambda session, x, y: session.share([7.0, 8.0], owner=1),
    "product": lambda session, x, y: x * y,
    "matrix product": lambda session, x, y: x @ y,
    "truncate": lambda session, x, y: x.truncate(3),
    "reveal": lambda session, x, y: x.reveal(),
}


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("parties", [2, 3])
def test_interrupts_leave_shared_arrays_right_or_their_session_ended(parties, name):
    """Parties that drew from common streams at different places would compute wrong numbers, without notice.

    The exception is kept, as a debugger does: its frames may hold no lock.
    """
    kept, ended, plain = [], 0, (np.array([1.5, -2.0]), np.array([2.0, 4.0]))

    def prepare():
        session = bt.sharing.Session(parties)
        return session, *(session.share(values, owner=i) for i, values in enumerate(plain))

    def operation(thing):
        try:
            SHARED[name](*thing)
        except KeyboardInterrupt as error:
            kept.append(error)
            raise

    def check(thing):
        nonlocal ended
        _, x, y = thing
        try:
            products = (x * y).reveal(), (x @ y).reveal()
        except ProtocolAbort as error:
            assert "start a new session" in str(error)  # noqa: PT017  (both ends are right)
            ended += 1
        else:
            assert np.abs(products[0] - plain[0] * plain[1]).max() < 0.01
            assert abs(products[1] - plain[0] @ plain[1]) < 0.01

    files = (SOURCE, contextlib.__file__)
    assert sweep(prepare, operation, check, share=max(24, INTERRUPTS // 8), files=files) > 0
    assert ended


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_finds_no_lock_locked(paths, keypair):
    """While another thread holds them: what a child may not do is refused at once, the rest works."""
    session = bt.federated.PaillierSum(
        keypair[0], {"x": (bt.FixedPoint(), 2)}, {name: (bytes([i]) * 32, 1) for i, name in enumerate("ab", 1)},
        min_clients=2,
    )  # fmt: skip
    aggregator, journal = session.aggregator(), Journal(paths(), bytes(32))
    log = bt.evidence.Log.create(paths(), bt.evidence.Identity.generate(), owner="bank")
    held, free = threading.Event(), threading.Event()

    def hold():
        with aggregator._lock, journal._lock, log._file.lock:
            held.set()
            free.wait(SECONDS)

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    held.wait(SECONDS)

    def child():
        with pytest.raises(ProtocolAbort, match="parent process"):
            journal.spend(0, "x")
        with pytest.raises(ProtocolAbort, match="parent process"):
            log.append("x", by="bank")
        assert log.head().size == 1
        aggregator.give_up(0)
        assert not aggregator.add(b"")

    try:
        assert in_child(child, 5.0) == 0
    finally:
        free.set()
        holder.join(SECONDS)
    journal.close()
    log.close()


# --- callbacks that come back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_callbacks_may_use_any_array(arrays, threads):
    pub, priv, c = arrays
    d, values = c * 2 + 1, np.arange(40) * 2 + 1
    told = []

    def again(*_):
        told.append(d.to_bytes(threads=threads))
        assert priv.decrypt(d[3:9]).tolist() == values[3:9].tolist()
        assert priv.decrypt((d + c).sum(threads=threads)) == values.sum() + 780
        assert priv.decrypt(pub.encrypt([5], PLAN)).tolist() == [5]
        pub.precompute(2, threads=threads)

    def work():
        assert priv.decrypt(d, progress=again, threads=threads).tolist() == values.tolist()
        assert priv.decrypt(pub.encrypt(np.arange(20), PLAN, progress=again, threads=threads))[-1] == 19
        assert priv.decrypt(priv.encrypt(np.arange(20), PLAN, progress=again, threads=threads))[-1] == 19
        pub.precompute(20, progress=again, threads=threads)

    in_time(work)
    assert len(set(told)) == 1
    assert len(told) >= 4
    assert helpers() <= 3


def test_a_store_that_is_left_while_it_leaves(arrays, monkeypatch):
    """A finaliser or a signal handler that sends the same array from within: the first to finish counts."""
    pub, priv, c = arrays
    d, inner, depth = c * 2 + 1, [], []
    blind = PublicKey._blind

    def again(*args):
        blind(*args)
        if len(depth) < 2:
            depth.append(None)
            inner.append((d.to_bytes(), d[7:30].to_bytes()))

    monkeypatch.setattr(PublicKey, "_blind", again)
    outer = in_time(d.to_bytes)
    part = bt.CipherArray.from_bytes(outer, pub)[7:30].to_bytes()
    assert outer == d.to_bytes()
    assert inner == [(outer, part)] * 2
    assert priv.decrypt(d).tolist() == (np.arange(40) * 2 + 1).tolist()


def test_a_writer_does_not_wait_for_readers(arrays):
    """While others read an array without pause, and never all stop, it leaves."""
    _, priv, c = arrays
    d, stop = c * 2 + 1, threading.Event()

    def read():
        while not stop.is_set():
            priv.decrypt(d[:8], threads=1)

    readers = [threading.Thread(target=read, daemon=True) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        data = in_time(d.to_bytes)
    finally:
        stop.set()
        for reader in readers:
            reader.join(SECONDS)
    assert data == d.to_bytes()
    assert priv.decrypt(d).tolist() == (np.arange(40) * 2 + 1).tolist()


def test_threads_that_send_overlapping_views_send_the_same_bytes(arrays):
    pub, priv, c = arrays
    for _ in range(10):
        d, start = c * 2 + 1, threading.Barrier(6)
        got = {}

        def send(first, d=d, start=start, got=got):
            start.wait()
            got[first] = d[first:].to_bytes(threads=1)

        senders = [threading.Thread(target=send, args=(first,), daemon=True) for first in (0, 0, 3, 8, 17, 33)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(SECONDS)
        whole = bt.CipherArray.from_bytes(d.to_bytes(), pub)
        assert got == {first: whole[first:].to_bytes() for first in (0, 3, 8, 17, 33)}
        assert priv.decrypt(whole).tolist() == (np.arange(40) * 2 + 1).tolist()


# --- forks ------------------------------------------------------------------------------------------------------------


def in_child(work, seconds=SECONDS):
    """Run `work` in a forked child and return its exit code, 0 if it ends well; a child that hangs is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    return ended(pid, seconds)


def ended(pid, seconds=SECONDS):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        got, status = os.waitpid(pid, os.WNOHANG)
        if got:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "hangs"


pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", ["decrypt", "encrypt", "owner", "precompute"])
def test_a_fork_in_a_callback_leaves_both_sides_usable(keypair, name, threads):
    """The child goes on in the middle of the batch, without the threads that helped with it, and ends with it."""
    pub, priv = keypair
    x = np.arange(300)
    c, parent, children = pub.encrypt(x, PLAN), os.getpid(), []
    d = c + 1

    def progress(done, total):
        if os.getpid() == parent and len(children) < 2:
            pid = os.fork()
            if pid:
                children.append(pid)
            else:
                d.to_bytes()

    def run():
        if name == "decrypt":
            return priv.decrypt(c, progress=progress, threads=threads).tolist() == x.tolist()
        if name == "precompute":
            pub.precompute(300, progress=progress, threads=threads)
            ready = pub._blinder.pooled
            return ready == 300 and len({pub.encrypt([1], PLAN).to_bytes() for _ in range(9)}) == 9
        made = (pub if name == "encrypt" else priv).encrypt(x, PLAN, progress=progress, threads=threads)
        if os.getpid() == parent:
            return priv.decrypt(made).tolist() == x.tolist()
        return made.to_bytes() == made.to_bytes() and (made + 1).sum(threads=threads).shape == ()

    try:
        right = run()
    except bt.errors.InvalidKey:  # a child has no private key
        right = os.getpid() != parent and name in ("decrypt", "owner")
    except BaseException:
        right = False
    if os.getpid() != parent:
        os._exit(0 if right else 1)
    assert right
    assert {ended(pid) for pid in children} == {0}
    assert priv.decrypt(d).tolist() == (x + 1).tolist()
    pub._blinder.clear()
    assert helpers() <= 3


def test_a_child_computes_again_what_helpers_had_begun():
    """Of three threads two are held in their slices while the callback forks: in the child nobody ends these."""
    parent, pids = os.getpid(), []
    out, forked, begun = np.zeros(12, dtype=np.int64), threading.Event(), threading.Barrier(3)

    def work(lo, hi):
        if os.getpid() == parent and not forked.is_set():
            begun.wait(SECONDS)
            if threading.current_thread() is not caller:
                forked.wait(SECONDS)
        out[lo:hi] += np.arange(lo, hi) + 1

    def progress(done, total):
        if not pids and os.getpid() == parent:
            pids.append(os.fork())
            forked.set()

    caller = threading.current_thread()
    _parallel.run(12, work, cost_us=1e6, threads=3, progress=progress)
    right = out.tolist() == list(range(1, 13))
    if os.getpid() != parent:
        os._exit(0 if right else 1)
    assert right
    assert ended(pids[0]) == 0


def test_forks_while_threads_send(arrays):
    """Whatever other threads were at, a child can use the array: compute, send it twice alike, and end."""
    pub, priv, c = arrays
    for i in range(6):
        d = c * 2 + 1
        senders = [threading.Thread(target=lambda d=d: d.to_bytes(threads=2), daemon=True) for _ in range(2)]
        for sender in senders:
            sender.start()
        time.sleep(0.001 * i)

        def child(d=d):
            first = d.to_bytes(threads=2)
            assert d.to_bytes() == first
            assert d[3:7].to_bytes() == bt.CipherArray.from_bytes(first, pub)[3:7].to_bytes()
            assert (d - c).sum(threads=2).to_bytes(bound=10**6)

        assert in_child(child) == 0
        for sender in senders:
            sender.join(SECONDS)
        assert priv.decrypt(d).tolist() == (np.arange(40) * 2 + 1).tolist()
        assert d.to_bytes() == d.to_bytes()


@pytest.fixture
def one_number(monkeypatch):
    """Every process has the number of this one, as the first child in a new pid namespace may have."""
    number = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: number)


@pytest.mark.usefixtures("one_number")
def test_a_fork_is_known_by_more_than_its_number(paths):
    """What serves once, or in one process, is refused in a child whose process id is that of its parent."""
    triple, pair = bt.sharing.beaver.triple(3, 2), bt.sharing.ring.truncation_pair(3, 8, 2)
    words = np.arange(3, dtype=np.uint64)
    x = bt.sharing.Session(parties=3).share([1.0, 2.0])
    memory, journal = Memory(), Journal(paths(), bytes(32))
    log = bt.evidence.Log.create(paths(), bt.evidence.Identity.generate(), owner="bank")
    stream, drawn = Stream(), paths()
    uses = {
        "triple": lambda: triple.party(0).mask(words, words),
        "pair": lambda: pair.party(0).mask(words, leader=True),
        "session": lambda: x * x,
        "notes": lambda: memory.spend(0, "start"),
        "journal": lambda: journal.spend(0, "x"),
        "log": lambda: log.append("x", by="bank"),
    }

    def child():
        drawn.write_bytes(stream.bytes(32))
        for name, use in uses.items():
            print(name)
            with pytest.raises(ProtocolAbort, match="parent process"):
                use()

    assert in_child(child) == 0
    assert stream.bytes(32) != drawn.read_bytes()
    for use in uses.values():
        use()
    journal.close()
    log.close()


@pytest.mark.usefixtures("one_number")
def test_a_fork_in_a_batch_takes_no_obfuscators_of_its_parent(keypair, paths):
    pub, pids, taken = keypair[0], [], paths()
    width = pub.bits // 4

    def progress(done, total):
        if not pids:
            pids.append(os.fork())

    def rows():
        return pub.encrypt(np.zeros(60), PLAN).to_bytes()[-60 * width :]

    pub._blinder.clear()
    try:
        pub.precompute(600, progress=progress, threads=1)
        if pids == [0]:
            taken.write_bytes(rows())
    finally:
        if pids == [0]:
            os._exit(0)
    assert ended(pids[0]) == 0
    mine, theirs = ({data[i : i + width] for i in range(0, len(data), width)} for data in (rows(), taken.read_bytes()))
    assert len(mine) == len(theirs) == 60
    assert not mine & theirs
    pub._blinder.clear()


@pytest.mark.usefixtures("one_number")
def test_a_fork_goes_on_with_a_table_that_its_parent_builds(keypair):
    """The thread that was at a step is not there, and nobody must wait for it."""
    blinder = Blinder(PaillierPublic(keypair[0].n), SCHEMES["djn"], int(keypair[0].hs))
    builder = threading.Thread(target=lambda: blinder.prepare(100), daemon=True)
    builder.start()
    until = time.monotonic() + SECONDS
    while not blinder.kernel.table_bytes and time.monotonic() < until:
        time.sleep(0)
    assert in_child(lambda: blinder.prepare(100), 5.0) == 0
    builder.join(SECONDS)
    assert blinder._ready


def test_threads_do_not_grow_with_forks_and_callers():
    """Four callers side by side, forks in callbacks, batches inside batches: never more helpers than one batch asks."""
    most, stop = [], threading.Event()
    parent = os.getpid()

    def progress(done, total):
        most.append(helpers())
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    def call():
        for _ in itertools.repeat(None):
            if stop.is_set():
                return
            _parallel.run(12, lambda lo, hi: time.sleep(0.001), cost_us=1e5, threads=4)

    callers = [threading.Thread(target=call, daemon=True) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        for _ in range(10):
            _parallel.run(3, lambda lo, hi: time.sleep(0.001), cost_us=1e6, threads=4, progress=progress)
    finally:
        stop.set()
        for caller in callers:
            caller.join(SECONDS)
    assert os.getpid() == parent
    assert max(most) <= 6  # three that serve, and some that are just ending
    _parallel.run(8, lambda lo, hi: None, cost_us=1e6, threads=4)
    until = time.monotonic() + SECONDS
    while helpers() > 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert helpers() <= 3
