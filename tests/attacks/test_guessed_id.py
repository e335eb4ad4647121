"""A guest that guesses an id which it has not asked about, and wants to learn whether the host has it.

Every id that a guest asks about counts: the host sees their number, and a policy caps it. The guess must not count, so
the guest puts it into the last message of the alignment, which names the common ids, and watches whether the host goes
on or gives up. That message once held keyed hashes of the ids. Now it holds places in the host's list.
"""

from __future__ import annotations

import hashlib
import hmac
import threading

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.vertical import local_links
from bluetusk.vertical.align.guest import Guest
from bluetusk.vertical.align.host import Host
from bluetusk.vertical.protocol.job import drive

pytest.importorskip("private_set_intersection", reason="alignment needs openmined-psi, which is not installed")

TRIES = 48
NEVER = 1e-6  # how often a test of chance may fail
GUEST = [f"customer {k}" for k in range(8)]
GUESS = "the neighbour"
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
        rows, data = self.say(self)
        link.send("common", {"rows": rows}, [data])


def tags(guest):
    named = [tag(text) for text, found in zip(GUEST, guest.found[0], strict=True) if found]
    return len(named) + 1, b"".join([*named, tag(GUESS)])


def places(guest, one):
    at = guest._places[0]
    return int((at >= 0).sum()) + 1, np.append(at[at >= 0], one).astype("<u4").tobytes()


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

    def answer():
        try:
            drive(kind(own, 0, 1), [host])
            host.send("next")
        except bt.BluetuskError:
            pass  # drive has told the guest

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    drive(Guesser(say), [guest])
    try:
        guest.receive("next", parts=0)
        return True
    except bt.ProtocolAbort:
        return False
    finally:
        thread.join(20)


def accuracy(kind, say):
    """Return how often the guest is right that the host has the id if it goes on, and not if it gives up."""
    truth = np.random.default_rng(5).integers(0, 2, TRIES).astype(bool)
    seen = np.array([goes_on(kind, say, bool(has_it)) for has_it in truth])
    return float((seen == truth).mean()), float(max(truth.mean(), 1 - truth.mean())), seen


def table():
    """Return rows of attack, who, accuracy, chance, bound, on the planted fault."""
    right, chance, _ = accuracy(Host, hashed_below)
    return [("a guessed id among the common ones", "guest", right, chance, BOUND, accuracy(EarlierHost, tags)[0])]


BOUND = (np.log(1 / NEVER) / (2 * TRIES)) ** 0.5  # Hoeffding, Probability Inequalities, 1963


def test_a_guess_among_keyed_hashes_is_answered():
    """The attack wins on the planted weakness."""
    right, chance, _ = accuracy(EarlierHost, tags)
    assert right == 1.0 > chance + BOUND


@pytest.mark.parametrize("say", [unmatched, hashed, hashed_below, beyond, twice])
def test_a_guess_cannot_be_expressed(say):
    """What the host does depends on the guest's message and the sizes alone: it is the same whether it has the id."""
    right, chance, seen = accuracy(Host, say)
    assert right <= chance + BOUND
    if say is not hashed_below:  # that place may be one of a match, by chance
        assert len(set(seen.tolist())) == 1
