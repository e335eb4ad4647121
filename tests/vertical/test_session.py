"""The session under broken connections and killed programs: every step taken once, nothing lost, doubled or mixed."""

from __future__ import annotations

import contextlib
import os
import random
import struct
import threading
import time

import pytest

from bluetusk.errors import FrameError, ProtocolAbort
from bluetusk.vertical.party import connection as _connection
from bluetusk.vertical.party import session as _session
from bluetusk.vertical.party.session import Session
from bluetusk.vertical.party.transport import Memory, drain
from bluetusk.vertical.party.vault import Vault
from bluetusk.vertical.protocol.job import drive
from bluetusk.vertical.protocol.link import Link, Rewind
from bluetusk.wire.frame import Kind, decode, encode

KEY = bytes(range(32))


class Killed(BaseException):
    pass


class Ledger:
    """A job with fresh randomness in every attempt: each side masks its number, adds the two masks; a mix-up shows.

    In step i each side sends number + mask, then the mask's other half: the peer adds them up. A frame of one attempt
    met with a frame of another gives a wrong sum.
    """

    def __init__(self, name, number, steps, *, oneway=False):
        self.name, self.number, self.steps, self.oneway = name, number, steps, oneway
        self.inputs = struct.pack("<q", number)
        self.total = self.taken = 0

    def step(self, links, index):
        (link,) = links
        mask = int.from_bytes(os.urandom(4), "little")
        if not self.oneway or link.me == "guest":
            link.send("masked", {"v": self.number + index + mask}, [bytes(random.choice([0, 10, 3000]))])
            link.send("mask", {"m": mask})
        if not self.oneway or link.me == "host":
            v = link.receive("masked", ["v"]).fields["v"]
            self.total += v - link.receive("mask", ["m"]).fields["m"]
        self.taken += 1

    def state(self):
        return struct.pack("<qq", self.total, self.taken)

    def restore(self, state):
        self.total, self.taken = struct.unpack("<qq", state)


class Party(threading.Thread):
    """A program that is killed now and then and started again on the same directory."""

    def __init__(self, me, peer, path, kills, seed, jobs):
        super().__init__(daemon=True)
        self.me, self.peer, self.path, self.kills, self.jobs = me, peer, path, kills, jobs
        self.random = random.Random(seed)
        self.session = self.result = self.error = None
        self.lives = self.rewinds = 0

    def run(self):
        try:
            while self.result is None:
                self.lives += 1
                vault = Vault(self.path, KEY)
                try:
                    self.session = Session(vault, job="test", peer=self.peer, patience=20)
                    self.result = self.live()
                except Killed:
                    self.session.abort_said = True  # who is killed says nothing
                    self.session.fail(Killed())
                finally:
                    self.rewinds += self.session.rewinds
                    vault.close()
        except BaseException as err:
            self.error = err

    def live(self):
        left = self.random.randrange(1, 40) if self.kills > 0 else None
        self.kills -= 1
        session = self.session

        class Mortal:
            def count(self):
                nonlocal left
                if left is not None:
                    left -= 1
                    if left < 0:
                        raise Killed

            def send(self, data):
                self.count()
                session.send(data)
                self.count()

            def recv(self):
                self.count()
                return session.recv()

            def resume(self, task):
                return session.resume(task)

            def commit(self, task, index, state):
                self.count()
                session.commit(task, index, state)
                self.count()

        mortal = Mortal()
        link = Link(mortal, me=self.me, peer=self.peer)
        while True:
            jobs = self.jobs()
            with contextlib.suppress(Rewind):
                for job in jobs:
                    drive(job, [link], keeper=mortal)
                if session.leave(10):
                    return [(job.total, job.taken) for job in jobs]


def carry(parties, seed, breaks):
    """Connect the two programs, break the connection now and then; until both have ended."""
    rng = random.Random(seed)
    while any(p.is_alive() for p in parties):
        sessions = [p.session for p in parties]
        if None in sessions or any(s.failure for s in sessions):
            time.sleep(0.001)
            continue
        connections = [s.connect() for s in sessions]
        left = rng.randrange(1, 60) if breaks > 0 else 10**9
        breaks -= 1
        over = threading.Event()

        def move(source, target, left=left, over=over):
            for n, message in enumerate(source.messages()):
                if over.is_set() or n >= left or not target.take(message):
                    break
            over.set()

        movers = [threading.Thread(target=move, args=pair, daemon=True) for pair in (connections, connections[::-1])]
        for m in movers:
            m.start()
        while not over.is_set() and any(p.is_alive() for p in parties):
            if [p.session for p in parties] != sessions:
                break
            time.sleep(0.001)
        over.set()


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(_connection, "CHUNK", 1000)
    monkeypatch.setattr(_connection, "BEAT", 0.02)


def run_pair(tmp_path, kills, breaks, seed):
    def jobs(base):
        return lambda: [
            Ledger("a", base, 5),
            Ledger("b", base * 7, 3, oneway=True),
            Ledger("c", base * 100, 6),
        ]

    parties = [
        Party("guest", "host", tmp_path / "guest", kills[0], seed, jobs(1)),
        Party("host", "guest", tmp_path / "host", kills[1], seed + 1, jobs(1000)),
    ]
    for p in parties:
        p.start()
    carry(parties, seed + 2, breaks)
    for p in parties:
        p.join(60)
        if p.error is not None:
            raise p.error
    guest, host = (p.result for p in parties)
    assert guest == [(5 * 1000 + 10, 5), (0, 3), (6 * 100_000 + 15, 6)]
    assert host == [(5 + 10, 5), (3 * 7 + 3, 3), (600 + 15, 6)]
    return parties


def test_undisturbed(tmp_path):
    parties = run_pair(tmp_path, (0, 0), 0, 1)
    assert [p.lives for p in parties] == [1, 1]
    assert sum(p.rewinds for p in parties) == 0


def test_broken_connections_cost_nothing(tmp_path):
    parties = run_pair(tmp_path, (0, 0), 30, 2)
    assert sum(p.rewinds for p in parties) == 0


@pytest.mark.parametrize("seed", range(int(os.environ.get("BLUETUSK_KILLS", "12"))))
def test_killed_programs(tmp_path, seed):
    parties = run_pair(tmp_path, (seed % 4, (seed + 1) % 3), 5, 100 + 10 * seed)
    assert sum(p.lives for p in parties) == 2 + max(0, seed % 4) + (seed + 1) % 3


def test_a_goodbye_that_is_lost_with_the_connection_costs_no_failure(tmp_path, monkeypatch):
    """One side hears the other's goodbye and leaves at once; the other never hears it, and ends all the same."""
    monkeypatch.setattr(_session, "_ALONE", 0.3)
    sessions = [
        Session(Vault(tmp_path / me, KEY), job="test", peer=peer, patience=20)
        for me, peer in (("guest", "host"), ("host", "guest"))
    ]
    connections = [s.connect() for s in sessions]

    def move(source, target, drop):
        for message in source.messages():
            if drop and decode(message).header["say"] == "bye":
                return
            target.take(message)

    pairs = [(connections[0], connections[1], True), (connections[1], connections[0], False)]
    for pair in pairs:
        threading.Thread(target=move, args=pair, daemon=True).start()
    results = {}

    def leave(k):
        results[k] = sessions[k].leave(30)
        sessions[k].disconnect()
        if k == 0:
            connections[1].lost()

    start = time.monotonic()
    threads = [threading.Thread(target=leave, args=(k,)) for k in (0, 1)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(20)
    assert results == {0: True, 1: True}
    assert time.monotonic() - start < 10


def linked(tmp_path):
    return [
        Session(Vault(tmp_path / me, KEY), job="test", peer=peer, patience=5)
        for me, peer in (("guest", "host"), ("host", "guest"))
    ]


def exchange(sessions, rounds=60):
    """Connect two sessions and carry what they have to say, in this thread."""
    connections = [s.connect() for s in sessions]
    streams = [c.messages() for c in connections]
    for _ in range(rounds):
        for k in (0, 1):
            if (message := next(streams[k], None)) is not None:
                connections[1 - k].take(message)
    return connections


@pytest.mark.parametrize("again", [False, True])
def test_a_party_that_is_slow_at_the_end_leaves_after_a_peer_that_is_gone(tmp_path, monkeypatch, again):
    """The peer has all, and waits for a goodbye for some seconds only; a slow write to the disk takes longer."""
    monkeypatch.setattr(_session, "_GOODBYE", 0.2)
    monkeypatch.setattr(_session, "_ALONE", 0.5)
    sessions = linked(tmp_path)
    for s in sessions:
        s.resume("a")
        s.send(b"frame")
    connections = [s.connect() for s in sessions]
    for k in (0, 1):
        move = (connections[1 - k].messages(), connections[k], sessions[k])
        threading.Thread(target=drain, args=move, daemon=True).start()
    assert [s.recv() for s in sessions] == [b"frame"] * 2
    sessions[0].commit("a", 1, b"state")
    assert sessions[0].leave(10)
    sessions[0].disconnect()
    connections[1].lost()
    if again:  # as the side that dials does
        sessions[1].connect()
    sessions[1].commit("a", 1, b"state")
    start = time.monotonic()
    assert sessions[1].leave(10)
    assert time.monotonic() - start < 5


def test_a_party_sent_back_while_it_leaves_does_not_leave(tmp_path):
    """The guest has kept its last step; the host, killed before it kept its own, comes back and needs it again."""
    sessions = linked(tmp_path)
    for s in sessions:
        s.resume("a")
        s.send(b"frame")
    exchange(sessions)
    assert [s.recv() for s in sessions] == [b"frame"] * 2
    sessions[0].commit("a", 1, b"state")
    sessions[1].abort_said = True
    sessions[1].fail(Killed())
    sessions[1]._vault.close()
    sessions[1] = Session(Vault(tmp_path / "host", KEY), job="test", peer="guest", patience=5)
    result = {}
    leaver = threading.Thread(target=lambda: result.update(left=sessions[0].leave(10)))
    leaver.start()
    exchange(sessions)
    leaver.join(5)
    assert result == {"left": False}
    assert sessions[0].rewound
    assert sessions[0].resume("a") == (0, None)


@pytest.mark.slow
def test_going_back_survives_a_crash_at_any_write(tmp_path, monkeypatch):
    """Whichever write of going back is the last one before a crash, the directory still opens."""
    for crash in range(8):
        sessions = linked(tmp_path / str(crash))
        for s in sessions:
            s.resume("a")
            s.send(b"frame")
        exchange(sessions)
        for s in sessions:
            s.recv()
        sessions[0].commit("a", 1, b"state")
        vault, left = sessions[0]._vault, [crash]

        def mortal(write, left=left):
            def call(*args):
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
                return write(*args)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(vault, "write", mortal(vault.write))
            patch.setattr(vault, "remove", mortal(vault.remove))
            with contextlib.suppress(Killed), sessions[0]._changed:
                sessions[0]._go_back(0)
        vault.close()
        again = Session(Vault(tmp_path / str(crash) / "guest", KEY), job="test", peer="host", patience=5)
        assert again.resume("a") in [(1, b"state"), (0, None)]


def test_what_a_peer_may_not_do(tmp_path):
    sessions = linked(tmp_path)
    connections = exchange(sessions)
    with pytest.raises(FrameError, match="second hello"):
        connections[0].take(sessions[1].hello())
    with pytest.raises(ProtocolAbort, match="gave up"):
        connections[0].take(encode(Kind.PARTY, {"say": "abort", "kind": "PolicyRefused"}))
    with sessions[0]._changed:
        for _ in range(40):
            sessions[0]._go_back(0)  # nothing was sent: this tells the peer nothing
        for _ in range(32):
            sessions[0]._rounds[0].left = True
            sessions[0]._go_back(0)
        sessions[0]._rounds[0].left = True
        with pytest.raises(ProtocolAbort, match="has come back"):
            sessions[0]._go_back(0)


def test_a_failure_is_told(tmp_path):
    sessions = linked(tmp_path)
    exchange(sessions)
    sessions[0].fail(ProtocolAbort("the disk is full"))
    with pytest.raises(ProtocolAbort, match="'ProtocolAbort'"):
        exchange(sessions)


@pytest.mark.parametrize(
    ("reason", "told"),
    [("stopped by its operator", "was stopped by its operator: nothing is wrong here"), ("FrameError", "'FrameError'")],
)
def test_a_peer_that_ends_at_the_end_of_a_step_is_heard_by_its_reason(tmp_path, reason, told):
    """Its last word is a frame more than the step needs, which the party finds when it keeps the step."""
    sessions = linked(tmp_path)
    for s in sessions:
        s.resume("a")
        s.send(b"frame")
    Link(sessions[1], me="host", peer="guest").abort(reason)
    exchange(sessions)
    assert sessions[0].recv() == b"frame"
    with pytest.raises(ProtocolAbort, match=told) as caught:
        sessions[0].commit("a", 1, b"state")
    assert (caught.value.kind, caught.value.party) == ("peer", "host")


def test_two_sessions_of_one_process_over_memory(tmp_path):
    """The in-memory transport carries frames of several pieces, both ways, and a failure."""
    sessions = [Session(Vault(tmp_path / name, KEY), job="memory", peer=name) for name in ("host", "guest")]
    transport = Memory(*sessions)
    big = os.urandom(3 * _connection.CHUNK + 7)
    for session in sessions:
        session.resume("a task")
        session.send(big)
        session.send(b"end")
    assert [session.recv() for session in sessions] == [big, big]
    assert [session.recv() for session in sessions] == [b"end", b"end"]
    sessions[0].fail(ValueError("row 7"))
    with pytest.raises(ProtocolAbort, match="an error on its side"):
        sessions[1].recv()
    transport.close()
    for session in sessions:
        session._vault.close()
