"""A peer that says goodbye again and again, each time with a new head of its log, to fill this party's log of evidence.

Each head that is kept is a record, forced to the disk. A log of more than 4 GiB is not read back.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

import bluetusk as bt
from bluetusk.evidence.notary import Notary
from bluetusk.vertical.party import session as _session
from bluetusk.vertical.party.session import Session
from bluetusk.vertical.party.vault import Vault

PEERS = {"guest": "host", "host": "guest"}
TIMES = 100


class Leaving(Session):
    """The attacker: it leaves `times` times, over each connection once or always again."""

    times, once = 0, False

    def due(self, connection, seconds):
        if self._ready and self.times and not (self.once and connection.left):
            self.times -= 1
            connection.left = True
            self._witness.grow()
            return {"say": "bye", "head": self._witness.offer()}, b""
        return super().due(connection, seconds)


class Growing(Notary):
    def grow(self):
        self._log.append("x", by=self.me)


def attack(folder, *, once):
    """Return how many heads the victim's log keeps, and why the victim ended, if it did."""
    signers = {role: bt.evidence.Identity.generate() for role in PEERS}
    logs = {role: bt.evidence.Log.create(folder / f"{role}.log", signers[role], owner=role) for role in PEERS}
    sessions = {}
    for role, kind, make in (("host", Session, Notary), ("guest", Leaving, Growing)):
        peer = PEERS[role]
        witness = make(logs[role], signers[role], job="j", me=role, peer=peer, key=signers[peer].public_key)
        vault = Vault(folder / role, bytes(32))
        sessions[role] = kind(vault, job="j", peer=peer, patience=30, witness=witness)
    host, guest = sessions["host"], sessions["guest"]
    guest.times, guest.once = TIMES, once

    def move(source, target):
        try:
            for message in source.messages():
                if not target.take(message):
                    return
        except bt.BluetuskError as error:
            host.fail(error)

    while guest.times and host.failure is None:
        ends = host.connect(), guest.connect()
        ends[1].left = False
        both = [threading.Thread(target=move, args=pair, daemon=True) for pair in (ends, ends[::-1])]
        left = guest.times
        for each in both:
            each.start()
        while host.failure is None and guest.times and (not once or guest.times == left or not host._heard_bye):
            both[0].join(0.001)
    for each in (host, guest):
        each.fail(RuntimeError("over"))
    for each in both:
        each.join(5)
    kept = sum(record.what == "peer_head" for record in logs["host"].records)
    for each in (*logs.values(), *(one._vault for one in sessions.values())):
        with contextlib.suppress(OSError):
            each.close()
    return kept, host.failure


def table(folder):
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    found = []
    for most in (5, 1 << 40):
        (place := Path(folder) / str(most)).mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_session, "_MOST_LAST", most)
            found.append(attack(place, once=True)[0])
    name = f"records that {TIMES} goodbyes leave, at most 5 allowed (64 in use); chance: allowed"
    return [(name, "either", found[0], 5, 0, found[1])]


def test_a_second_goodbye_on_a_connection_ends_the_session(tmp_path):
    kept, failure = attack(tmp_path, once=False)
    assert kept == 1
    assert isinstance(failure, bt.FrameError)
    assert "twice" in str(failure)


def test_goodbyes_over_many_connections_do_not_fill_the_log(tmp_path, monkeypatch):
    monkeypatch.setattr(_session, "_MOST_LAST", 5)
    kept, failure = attack(tmp_path, once=True)
    assert kept <= 5
    assert isinstance(failure, RuntimeError)  # nothing but the end of the attack


def test_without_a_limit_each_is_a_record(tmp_path, monkeypatch):
    monkeypatch.setattr(_session, "_MOST_LAST", 1 << 40)
    assert attack(tmp_path, once=True)[0] >= TIMES - 1
