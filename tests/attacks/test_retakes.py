"""A peer that comes back again and again before a step is done, to get an answer to a new request each time.

A step that a crash has interrupted is taken again with fresh randomness, at most 32 times. A peer that follows the
protocol to the letter but claims a crash each time may send another request in each attempt. A limit that is kept in
memory starts anew whenever the victim's process does.
"""

from __future__ import annotations

import contextlib
import os

import pytest

from bluetusk.errors import ProtocolAbort
from bluetusk.vertical.party.session import Session
from bluetusk.vertical.party.vault import Vault
from bluetusk.vertical.protocol.link import Rewind
from bluetusk.wire.frame import Kind, decode, encode

KEY = bytes(range(32))
LIVES = 4
MOST = 1 + 32  # answers: the first, and one for each retake


class Attacker:
    """A peer that reads the answer of each attempt and then claims that it has lost its own."""

    def __init__(self):
        self.answers = []
        self.id, self.generation = os.urandom(16), 0

    def hello(self):
        """Say that a new process has a frame of an attempt that is void, whatever the victim's attempt is by now."""
        self.generation += 1
        about = {"say": "hello", "version": 2, "job": "j", "now": 0, "known": [], "log": False}
        about |= {"held": b"", "heard": {}}
        about["rounds"] = [[0, os.urandom(16), 0, b"of another time.", 1]]
        about["stand"] = [self.id, self.generation, os.urandom(16)]
        return encode(Kind.PARTY, about)

    def listen(self, messages):
        """Take the victim's answer of this attempt."""
        for message in messages:
            got = decode(message, Kind.PARTY)
            if got.header["say"] == "data":
                self.answers.append(bytes(got.payload))
                return


def live(path, attacker):
    """One process of the victim, until it gives up; its operator starts another."""
    vault = Vault(path, KEY)
    try:
        victim = Session(vault, job="j", peer="guest", patience=5)
        while len(attacker.answers) < 1000:
            connection = victim.connect()
            messages = connection.messages()
            next(messages)
            connection.take(attacker.hello())
            with contextlib.suppress(Rewind):
                victim.resume("task")
            victim.send(os.urandom(8))  # the answer, under fresh randomness
            attacker.listen(messages)
    finally:
        vault.close()


def attack(path, lives=LIVES):
    """Return how many answers the attacker has got over several lives of the victim, and why it got no more."""
    attacker, reasons = Attacker(), []
    for _ in range(lives):
        with pytest.raises(ProtocolAbort) as caught:
            live(path, attacker)
        reasons.append(str(caught.value))
    return attacker.answers, reasons


def forgetful(whole):
    """Plant the fault: the count is in memory, and starts anew with the process."""

    def load(self):
        more = self._manifest.more
        if more is not None:
            more["again"], more["met"] = {}, False
        whole(self)

    return load


@pytest.mark.parametrize("planted", [True, False])
def test_retakes_are_counted_over_all_processes(tmp_path, monkeypatch, planted):
    if planted:
        monkeypatch.setattr(Session, "_load", forgetful(Session._load))
    lives = 2 if planted else LIVES
    answers, reasons = attack(tmp_path / "state", lives)
    assert len(set(answers)) == len(answers)
    if planted:
        assert len(answers) >= lives * 32 > MOST
    else:
        assert len(answers) <= MOST
        assert len(reasons) == LIVES
        assert all("has come back 32 times" in reason for reason in reasons)
        assert all("party at fault: guest" in reason for reason in reasons)


def table(folder):
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness.

    Here numbers of answers; in place of chance stands what is allowed.
    """
    found = len(attack(folder / "package")[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "_load", forgetful(Session._load))
        planted = len(attack(folder / "planted")[0])
    name = f"answers to one step, by crashes claimed over {LIVES} lives; chance: allowed"
    return [(name, "either", found, MOST, 0, planted)]
