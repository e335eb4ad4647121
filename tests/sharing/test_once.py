"""What may serve once: no view, no thread, no fork and no copy gets a second use out of a mask."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import bluetusk as bt
from bluetusk import _random
from bluetusk.federated import secagg
from bluetusk.paillier import PrivateKey, PublicKey
from bluetusk.sharing import PaillierTriples, RemoteDealer, Session, beaver, ring
from bluetusk.sharing._protocols import Dealer, Wire

WORD = np.uint64


def words(*values: int) -> np.ndarray:
    return np.array(values, WORD)


class Masked:
    """One kind of thing that masks: how it is made for so many parties, and what one use of it shows."""

    def __init__(self, name: str, make: Callable[[int], Any], use: Callable[[Any, np.ndarray], np.ndarray]) -> None:
        self.name, self.make, self.use = name, make, use

    def __repr__(self) -> str:
        return self.name


def use_triple(t: beaver.Triple, x: np.ndarray) -> np.ndarray:
    return t.mask(x, x)[0]


def use_pair(pair: ring.TruncationPair, x: np.ndarray) -> np.ndarray:
    return pair.mask(x, leader=False)


KINDS = [
    Masked("triple", lambda parties: beaver.triple(3, parties), use_triple),
    Masked("matrix triple", lambda parties: beaver.triple((3,), parties, other=(3,)), use_triple),
    Masked("truncation pair", lambda parties: ring.truncation_pair(3, 8, parties), use_pair),
]
kinds = pytest.mark.parametrize("kind", KINDS, ids=repr)
REUSE = "was already used; a second use would reveal the difference"


@kinds
def test_two_views_of_a_party_show_no_difference(kind: Masked) -> None:
    """The attack: d1 - d2 = x1 - x2, whoever knows neither mask learns how the factors changed."""
    whole = kind.make(2)
    first = kind.use(whole.party(0), words(100, 7, 2))
    assert first.shape == (3,)
    for again in (whole.party(0), whole.party(np.int64(0)), whole):
        with pytest.raises(bt.ProtocolAbort, match=REUSE):
            kind.use(again, words(90, 7, 1) if again is not whole else np.stack([words(90, 7, 1)] * 2))
    assert kind.use(whole.party(1), words(1, 2, 3)).shape == (3,)  # the other party's part has masked nothing yet
    with pytest.raises(bt.ProtocolAbort, match=REUSE):
        kind.use(whole.party(1), words(1, 2, 3))


@kinds
def test_a_view_taken_before_knows_of_a_use_after(kind: Masked) -> None:
    whole = kind.make(3)
    views = [whole.party(i) for i in range(3)]
    assert "spent" not in repr(whole) + repr(views)
    kind.use(whole, np.stack([words(1, 2, 3)] * 3))
    assert all("spent" in repr(view) for view in [whole, *views])
    for view in views:
        with pytest.raises(bt.ProtocolAbort, match=REUSE):
            kind.use(view, words(4, 5, 6))


@kinds
def test_a_part_has_no_parts_and_no_other_names(kind: Masked) -> None:
    whole = kind.make(2)
    part = whole.party(1)
    with pytest.raises(ValueError, match="is already the part of party 1"):
        part.party(0)
    for i, error in ((-1, ValueError), (2, ValueError), (1.0, TypeError), (True, TypeError), ("0", TypeError)):
        with pytest.raises(error, match="i must be"):
            whole.party(i)
    with pytest.raises(TypeError):
        part[:2]


@kinds
def test_rows_of_one_partys_own_arrays_belong_to_it(kind: Masked) -> None:
    """A party that built its part from arrays may take rows of it for parties: they are spent with it all the same."""
    if kind.name == "matrix triple":
        return  # its arrays have one axis, of which the kernel's product has none
    three = kind.make(2)
    names = ("a", "b", "c") if isinstance(three, beaver.Triple) else ("r", "high", "top")
    arrays = [np.stack([getattr(three.party(1), name)] * 2) for name in names]
    own = beaver.Triple(*arrays) if names[0] == "a" else ring.TruncationPair(8, *arrays)
    kind.use(own.party(0), words(1, 2, 3))
    with pytest.raises(bt.ProtocolAbort, match=REUSE):
        kind.use(own, np.stack([words(1, 2, 3)] * 2))


@kinds
def test_refused_arguments_spend_nothing_and_show_nothing(kind: Masked) -> None:
    part = kind.make(2).party(0)
    for bad, error in (
        (words(1, 2), ValueError),
        (words(1), ValueError),
        (words(1, 2, 3)[None], ValueError),
        (np.zeros(3, np.uint32), TypeError),
        (np.zeros(3), TypeError),
        (np.zeros(3, np.int64), TypeError),
        (np.ma.array(words(1, 2, 3), mask=[0, 1, 0]), TypeError),
    ):
        with pytest.raises(error):
            kind.use(part, bad)
    assert "spent" not in repr(part)
    kind.use(part, words(1, 2, 3))


@kinds
def test_a_use_that_was_interrupted_counts(kind: Masked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something masked may have left: nobody can tell, so it has served."""
    whole = kind.make(2)

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if isinstance(whole, beaver.Triple):
            patch.setattr(beaver, "_minus", stopped)
            with pytest.raises(KeyboardInterrupt):
                kind.use(whole.party(0), words(1, 2, 3))
        else:

            class Stops(np.ndarray):
                def reshape(self, *_: Any) -> Any:  # the first step after the arguments were taken
                    raise KeyboardInterrupt

            part = whole.party(0)
            part.r = part.r.view(Stops)
            with pytest.raises(KeyboardInterrupt):
                kind.use(part, words(1, 2, 3))
    with pytest.raises(bt.ProtocolAbort, match=REUSE):
        kind.use(whole.party(0), words(1, 2, 3))


@kinds
def test_of_many_threads_one_gets_the_mask(kind: Masked) -> None:
    for together in (False, True):  # each a view of one part; or the whole against its parts
        whole = kind.make(2)
        shown: list[np.ndarray] = []
        start = threading.Barrier(16)

        def race(
            i: int, whole: Any = whole, together: bool = together, shown: list[Any] = shown, start: Any = start
        ) -> None:
            use_whole = together and i % 2
            view, x = (whole, np.stack([words(i, i, i)] * 2)) if use_whole else (whole.party(0), words(i, i, i))
            start.wait()
            with contextlib.suppress(bt.ProtocolAbort):
                shown.append(kind.use(view, x))

        threads = [threading.Thread(target=race, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(shown) <= 1
        assert together or len(shown) == 1


@kinds
def test_a_fork_is_a_copy(kind: Masked) -> None:
    whole = kind.make(2)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # nothing but the attempt, and no way back into pytest
        told = b"masked"
        try:
            kind.use(whole.party(0), words(1, 2, 3))
        except bt.ProtocolAbort:
            told = b"refused"
        except BaseException:
            told = b"else"
        finally:
            os.write(write, told)
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        assert file.read() == b"refused"
    kind.use(whole.party(0), words(1, 2, 3))


def test_a_session_refuses_to_go_on_in_a_fork() -> None:
    """Three parties draw their masks from common seeds: parent and child would draw the same ones."""
    session = Session(parties=3)
    x = session.share([1.0, 2.0])
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        told = b"went on"
        try:
            x * x
        except bt.ProtocolAbort:
            told = b"refused"
        except BaseException:
            told = b"else"
        finally:
            os.write(write, told)
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        assert file.read() == b"refused"
    assert np.allclose((x * x).reveal(), [1, 4], atol=1e-3)


def test_threads_take_turns_in_a_session() -> None:
    """Products of many threads in one session, whose parties draw from common streams: all are right."""
    for parties in (2, 3):
        session = Session(parties=parties)
        arrays = [session.share(np.full(2000, float(i))) for i in range(8)]
        told: dict[int, np.ndarray] = {}

        def product(i: int, arrays: list[Any] = arrays, told: dict[int, np.ndarray] = told) -> None:
            for _ in range(5):
                told[i] = (arrays[i] * arrays[i]).reveal()

        threads = [threading.Thread(target=product, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for i in range(8):
            assert np.allclose(told[i], i * i, atol=1e-2)


def test_a_product_that_broke_off_takes_another_triple() -> None:
    """One party's channel fails after its masked factors have left: the next product must not use the same masks."""

    class Once:
        """A supply that hands out one triple again and again, as a careless one might."""

        def __init__(self) -> None:
            self.whole = beaver.triple(2, 2)

        def triple(self, shape: tuple[int, ...], other: tuple[int, ...] | None) -> beaver.Triple:
            return self.whole.party(0)

        def truncation_pair(self, shape: tuple[int, ...], k: int) -> Any:
            raise AssertionError

    sent: list[bytes] = []

    class Breaks:
        def send(self, data: bytes) -> None:
            sent.append(data)

        def recv(self) -> bytes:
            raise ConnectionError("gone")

    supply = Once()
    session = Session(2, party=0, channels={1: Breaks()}, supply=supply)
    x = session.share([3, 4], owner=0, real=False)
    with pytest.raises(ConnectionError):
        x * x
    left = len(sent)
    with pytest.raises(bt.ProtocolAbort, match=r"broken off by ConnectionError.*start a new session at all parties"):
        x * x
    assert len(sent) == left
    session = Session(2, party=0, channels={1: Breaks()}, supply=supply)
    x = session.share([3, 4], owner=0, real=False)
    with pytest.raises(bt.ProtocolAbort, match=REUSE):  # a new session with the same supply shows nothing either
        x * x
    assert len(sent) == left + 1  # what it shared


@pytest.mark.parametrize("parties", [2, 3])
def test_an_exception_in_an_exchange_ends_the_session(parties: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every transfer of a product, in turn: some parties have drawn from the streams, others not."""
    transfer, left = Wire.transfer, 0

    def stops(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise MemoryError
        return transfer(*arguments)

    monkeypatch.setattr(Wire, "transfer", stops)
    for at in range(1, 20):
        left = 0
        session = Session(parties=parties)
        x = session.share([1.5, -2.0])
        left = at
        try:
            y = x * x
        except MemoryError:
            for use in (lambda x=x: x * x, lambda x=x: x @ x, x.reveal, lambda x=x: x.truncate(1)):
                with pytest.raises(bt.ProtocolAbort, match=r"broken off by MemoryError.*start a new session"):
                    use()
            with pytest.raises(bt.ProtocolAbort, match="start a new session"):
                session.share([1.0])
            assert (x + x).shape == (2,)  # each party by itself
        else:
            left = 0
            assert np.allclose(y.reveal(), [2.25, 4], atol=1e-3)
            break
    assert at == {2: 7, 3: 9}[parties]  # 2 openings of factors and 1 of a mask; 3 messages on, 1 part of a pair, 2, 2


@pytest.mark.parametrize("parties", [2, 3])
def test_an_exchange_within_an_exchange_is_refused(parties: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler that uses the session: both would draw masks in an order that no other party has."""
    transfer, refused, busy = Wire.transfer, 0, False

    def handles(*arguments: Any) -> Any:
        nonlocal refused, busy
        if not busy:
            busy = True
            with pytest.raises(bt.ProtocolAbort, match=r"is under way.*let it end first"):
                (u * x).reveal()
            refused, busy = refused + 1, False
        return transfer(*arguments)

    session = Session(parties=parties)
    x, u = session.share([1.5, -2.0]), session.share([1.0, 1.0])
    with monkeypatch.context() as patch:
        patch.setattr(Wire, "transfer", handles)
        y = x * x
    assert refused == {2: 6, 3: 8}[parties]
    assert np.allclose(y.reveal(), [2.25, 4], atol=1e-3)
    assert np.allclose((u * x).reveal(), [1.5, -2], atol=1e-3)


@pytest.mark.parametrize("parties", [2, 3])
def test_arguments_that_do_not_fit_end_no_session(parties: int) -> None:
    session = Session(parties=parties)
    x = session.share(np.ones((2, 3)))
    for wrong in (
        lambda: x @ x,
        lambda: x @ session.share(1.0),
        lambda: session.share(np.ones((2, 2, 2))) @ x,
        lambda: x * session.share([1.0, 2.0]),
        lambda: x.truncate(40),
        lambda: session.share(["a"]),
    ):
        with pytest.raises((ValueError, TypeError)):
            wrong()
    assert np.allclose((x @ x.T).reveal(), 3, atol=1e-3)


# --- copies


class Ways:
    def __init__(self) -> None:
        self.q: queue.Queue[bytes] = queue.Queue()
        self.send, self.recv = self.q.put, self.q.get


def single_use(pub: PublicKey, priv: PrivateKey, folder: Path) -> dict[str, Any]:
    """One of each thing that may serve once, or that hands out or notes such things."""
    keys = {name: Ed25519PrivateKey.generate() for name in "abc"}
    clients = {name: (key.public_key().public_bytes_raw(), 1) for name, key in keys.items()}
    server = Ed25519PrivateKey.generate()
    aggregation = secagg.Session(
        secagg.plan(3), bt.FixedPoint(max_weight=3), 4, clients, server.public_key().public_bytes_raw()
    )
    client = secagg.Client(aggregation, "a", keys["a"])
    client.start(0, [0.0] * 4)
    plan = (bt.FixedPoint.integers(10), 2)
    total = bt.federated.PaillierSum(pub, {"x": plan}, clients, min_clients=2)
    three = Session(parties=3)
    return {
        "triple": beaver.triple(3, 2),
        "a party's triple": beaver.triple(3, 2).party(1),
        "truncation pair": ring.truncation_pair(3, 8, 2),
        "a party's pair": ring.truncation_pair(3, 8, 2).party(0),
        "use": beaver.triple(3, 2)._uses,
        "stream": _random.Stream(bytes(32)),
        "dealer": Dealer(64),
        "remote dealer": RemoteDealer(Ways()),
        "triples by Paillier": PaillierTriples(pub, Ways()),
        "session": three,
        "session of two": Session(parties=2),
        "protocol": three._protocol,
        "wire": three._wire,
        "obfuscators": pub._blinder,
        "client of an aggregation": client,
        "its notes": client._notes,
        "its part in a round": client._part,
        "its secrets": client._part.peer,
        "server of an aggregation": secagg.Server(aggregation, 0, server),
        "key holder": total.key_holder(priv, state=folder / "sums"),
        "journal": total.key_holder(priv, state=folder / "other")._journal,
        "private key": priv,
    }


def test_nothing_that_serves_once_is_copied(pub: PublicKey, priv: PrivateKey, tmp_path: Path) -> None:
    for name, thing in single_use(pub, priv, tmp_path).items():
        for way in (copy.copy, copy.deepcopy, *(lambda x, p=p: pickle.dumps(x, p) for p in range(6))):
            with pytest.raises(TypeError) as caught:
                way(thing)
            reason = str(caught.value)
            assert "copied" in reason or "pickled" in reason, (name, reason)
        with pytest.raises(TypeError):
            copy.deepcopy([thing])  # nor inside of something else


def test_a_shared_array_takes_no_session_with_it() -> None:
    x = Session(parties=3).share([1.0])
    for way in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="Session cannot be pickled or copied"):
            way(x)


# --- the notes of an aggregation's client


def test_two_threads_start_one_round_once(pub: PublicKey) -> None:
    """Two sets of keys for one round could unmask a client's values; a client without a file keeps count as well."""
    keys = {name: Ed25519PrivateKey.generate() for name in "abc"}
    clients = {name: (key.public_key().public_bytes_raw(), 1) for name, key in keys.items()}
    server = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    session = secagg.Session(secagg.plan(3), bt.FixedPoint(max_weight=3), 4, clients, server)
    memory = secagg.Client(session, "a", keys["a"])._notes
    start, went_on = threading.Barrier(8), []

    def looked(notes: Any, key: object) -> bool:
        """Let the other threads look before this one has written."""
        found = kind.__contains__(notes, key)
        start.wait(timeout=5)
        return found

    kind = type(memory._spent)
    memory._spent = type("Slow", (kind,), {"__contains__": looked})()

    def begin() -> None:
        try:
            memory.spend(0, "start")
            went_on.append(1)
        except bt.ProtocolAbort:
            pass

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(went_on) == 1


def test_obfuscators_of_a_pool_serve_one_thread_each(pub: PublicKey, priv: PrivateKey) -> None:
    """Encryptions of zero from many threads at once, out of one pool: no ciphertext comes twice."""
    pub.precompute(96)
    got: list[bytes] = []

    def encrypt() -> None:
        for _ in range(12):
            c = pub.encrypt(np.zeros(1, np.int64), bt.FixedPoint.integers(1))
            got.append(c.to_bytes()[-512:])

    threads = [threading.Thread(target=encrypt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == len(got) == 96
