"""A guest that guesses an id which it has not asked about, and wants to learn whether the host has it.

Every id that a guest asks about counts: the host sees their number, and a policy caps it. The guess must not count, so
the guest puts it into the last message of the alignment, which names the common ids, and watches whether the host goes
on or gives up. That message once held keyed hashes of the ids. Now it holds places in the host's list, and the guest
proves that it has matched them. Without the proof a guest could name places of ids that it does not know, to make the
intersection larger than it is.
"""

from __future__ import annotations

import hashlib
import hmac
import threading

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.vertical import local_links
from bluetusk.vertical.align import host as _host
from bluetusk.vertical.align.guest import Guest
from bluetusk.vertical.align.host import Host
from bluetusk.vertical.align.matched import prove_matched
from bluetusk.vertical.align.psi import Blinder
from bluetusk.vertical.protocol.job import drive

pytest.importorskip("private_set_intersection", reason="alignment needs openmined-psi, which is not installed")

TRIES = 40
NEVER = 1e-6  # how often a test of chance may fail
GUEST = [f"customer {k}" for k in range(8)]
GUESS = "the neighbour"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEY = bytes(32)  # of the keyed hashes; both parties knew it


def tag(text):
    return hmac.digest(KEY, text.encode(), hashlib.sha256)


class EarlierHost(Host):
    """The planted weakness: it finds the rows by keyed hashes of ids, and gives up at one that it does not know."""

    def learn(self, link):
        (data,) = link.receive("common", ("rows",), parts=1, most=32 * len(self.ids)).parts
        known = {tag(text): i for i, text in enumerate(self.ids)}
        named = [bytes(data[k : k + 32]) for k in range(0, len(data), 32)]
        if not set(named) <= set(known):
            raise bt.ProtocolAbort("the guest named an id that this host does not have", party=link.peer)
        self.positions = np.array([known[text] for text in named])


class Guesser(Guest):
    """It is honest up to the last message, which it makes from its matches and its guess."""

    def __init__(self, say):
        super().__init__(GUEST, 1, 0, 1)
        self.say = say

    def _tell(self, links):
        (link,) = links
        rows, *parts = self.say(self)
        link.send("common", {"rows": rows}, parts)
        if len(parts) == 2:
            places = np.frombuffer(parts[0], "<u4") % self.rows[0]
            prove_matched(link, self._blinders[0], self._setups[0][places])


def tags(guest):
    named = [tag(text) for text, found in zip(GUEST, guest.found[0], strict=True) if found]
    return len(named) + 1, b"".join([*named, tag(GUESS)])


def places(guest, one):
    """Its matches, and one more place with a request that has no match."""
    at = guest._places[0]
    requests = np.append(np.flatnonzero(at >= 0), np.flatnonzero(at < 0)[0])
    return len(requests), *(part.astype("<u4").tobytes() for part in (np.append(at[at >= 0], one), requests))


def unmatched(guest):
    """A place that belongs to none of its ids, in the hope that it is that of the guess."""
    return places(guest, next(k for k in range(guest.rows[0]) if k not in guest._places[0]))


def hashed(guest):
    return places(guest, int.from_bytes(tag(GUESS)[:4], "little"))


def hashed_below(guest):
    return places(guest, int.from_bytes(tag(GUESS)[:4], "little") % guest.rows[0])


def beyond(guest):
    return places(guest, guest.rows[0])


def twice(guest):
    return places(guest, guest._places[0].max())


def goes_on(kind, say, has_it):
    """Run an alignment with a host that has the id, or another one in its place; return whether it goes on."""
    own = [*GUEST[:4], *(f"other {k}" for k in range(4)), GUESS if has_it else "somebody else"]
    guest, host = local_links(seconds=20)
    errors = []

    def answer():
        try:
            drive(kind(own, 0, 1), [host])
            host.send("next")
        except bt.BluetuskError as error:
            errors.append(error)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        drive(Guesser(say), [guest])
        guest.receive("next", parts=0)
        return True
    except bt.ProtocolAbort:
        return False
    finally:
        thread.join(20)
        assert all(isinstance(error, bt.ProtocolAbort) and error.party == "guest" for error in errors), errors


def accuracy(kind, say, tries=TRIES):
    """Return how often the guest is right that the host has the id if it goes on, and not if it gives up."""
    truth = np.random.default_rng(5).integers(0, 2, tries).astype(bool)
    seen = np.array([goes_on(kind, say, bool(has_it)) for has_it in truth])
    return float((seen == truth).mean()), float(max(truth.mean(), 1 - truth.mean())), seen


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    right, chance, _ = accuracy(Host, hashed_below)
    return [("a guessed id among the common ones", "guest", right, chance, BOUND, accuracy(EarlierHost, tags)[0])]


BOUND = (np.log(1 / NEVER) / (2 * TRIES)) ** 0.5  # Hoeffding, Probability Inequalities, 1963


def test_a_guess_among_keyed_hashes_is_answered():
    """The attack wins on the planted weakness."""
    right, chance, _ = accuracy(EarlierHost, tags)
    assert right == 1.0 > chance + BOUND


MORE = (hashed, hashed_below, beyond, twice)


@pytest.mark.parametrize("say", [unmatched, *(pytest.param(each, marks=pytest.mark.nightly) for each in MORE)])
def test_a_guess_cannot_be_expressed(say):
    """The guest knows beforehand what the host does: it gives up, whether it has the id or not."""
    right, chance, seen = accuracy(Host, say, tries=20)
    assert right <= chance
    assert not seen.any()


def test_without_a_proof_a_guest_makes_unknown_ids_common(monkeypatch):
    """The attack wins on the planted weakness, a host that takes the guest's word."""
    monkeypatch.setattr(_host, "check_matched", lambda *given: None)
    monkeypatch.setitem(globals(), "prove_matched", lambda *given: None)
    assert goes_on(Host, unmatched, True)
    assert goes_on(Host, unmatched, False)


class Swapping(Guesser):
    """It has matched both places, and names each with the other's request."""

    def __init__(self):
        super().__init__(lambda guest: (2, *self.parts(guest)))

    def parts(self, guest):
        requests = np.flatnonzero(guest._places[0] >= 0)[:2]
        return [part.astype("<u4").tobytes() for part in (guest._places[0][requests[::-1]], requests)]


def test_a_match_is_that_of_its_request():
    guest, host = local_links(seconds=20)
    errors = []

    def answer():
        try:
            drive(Host(GUEST, 0, 1), [host])
        except bt.ProtocolAbort as error:
            errors.append(error)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    drive(Swapping(), [guest])
    thread.join(20)
    assert "has not matched" in str(errors[0])
    assert errors[0].party == "guest"


def test_the_proof_is_uniform_numbers():
    """What a guest opens in a round is a fresh number: either alone says nothing about the guest's key."""
    blinder = Blinder()
    drawn = [blinder.draw() for _ in range(400)]
    for numbers in (drawn, [blinder.over(u) for u in drawn]):
        assert len(set(numbers)) == len(numbers)
        top = [number[0] for number in numbers]
        assert abs(np.mean(top) - 127.5) < 5 * 74 / len(top) ** 0.5
    u = int.from_bytes(drawn[0], "big")
    assert int.from_bytes(blinder.over(drawn[0]), "big") * int.from_bytes(blinder.key, "big") % ORDER == u
