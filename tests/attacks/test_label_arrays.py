"""A guest that encrypts labels of its choice, fit after fit, to read from the counts in which bin each customer is.

In each binning it marks one customer as the only event: the host's bin with that event is the customer's. It tries to
pass the array for the one it gave before: under another key, under the same key, for an intersection with a row less,
and for the rows in another order.
"""

from __future__ import annotations

import threading
import warnings
from math import comb

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.vertical import LabelArray, LabelBook, WoEBinning, local_links
from bluetusk.vertical.binning.common import encrypted_labels

ROWS, BINS, TARGETS = 80, 4, 12
NEVER = 1e-6  # how often a test of chance may fail
IDS = [f"M{k:03d}" for k in range(ROWS)]


def host_column():
    return np.random.default_rng(2).permutation(ROWS).astype(float)


def binning(labels, rows, book):
    """One joint binning of some rows; returns the host's counts as the guest sees them, None if it was refused."""
    here, there = local_links(seconds=60)
    given = {"max_bins": BINS, "min_rows": 10, "key_size": 2048}
    refused = []

    def host():
        known = None if book is None else book.rows([IDS[k] for k in rows])
        try:
            WoEBinning("host", **given).fit(host_column()[rows, None], link=there, labels=known)
        except bt.ProtocolAbort as error:
            refused.append(error)

    thread = threading.Thread(target=host, daemon=True)
    thread.start()
    guest = WoEBinning("guest", **given)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bt.DataWarning)
            guest.fit(np.zeros((len(rows), 1)), labels.labels, link=here, labels=labels)
    except bt.ProtocolAbort:
        thread.join(60)
        assert refused[0].party == "guest"
        return None
    thread.join(60)
    assert not refused
    return guest.hosts_[0][0].events


WAYS = "another key", "the same key", "a row less"


def attack(way, book, targets=TARGETS):
    """Return the targets' bins as the guest finds them (-1: refused), after an honest first binning."""
    everybody = np.arange(ROWS)
    honest = LabelArray((everybody % 3 == 0).astype(int), key_size=2048)
    assert binning(honest, everybody, book) is not None
    found = np.full(targets, -1)
    for target in range(targets):
        rows = everybody[everybody != ROWS - 1 - target] if way == "a row less" else everybody
        y = (rows == target).astype(int)
        labels = LabelArray(y, key_size=2048)
        if way == "the same key":
            labels = LabelArray._of(honest._priv, y, None, encrypted_labels(honest._priv, y))
        events = binning(labels, rows, book)
        if events is not None:
            found[target] = events.argmax()
    return found


def true_bins():
    ranks = host_column().argsort().argsort()
    return (ranks * BINS // ROWS)[:TARGETS]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.nightly
def test_other_labels_tell_bins_where_no_book_is_kept(way):
    """The attack wins on the planted weakness: a host that does not know which labels it saw before."""
    assert (attack(way, None) == true_bins()).all()


@pytest.mark.parametrize("way", [WAYS[0], *(pytest.param(way, marks=pytest.mark.nightly) for way in WAYS[1:])])
def test_a_host_with_a_book_takes_the_first_labels_only(way):
    found = attack(way, LabelBook(key=bytes(32)), targets=3)
    assert (found == -1).all()  # refused, each time: the guest guesses as before


def test_old_ciphertexts_do_not_pass_for_other_rows():
    everybody = np.arange(ROWS)
    honest = LabelArray((everybody % 3 == 0).astype(int), key_size=2048)
    assert binning(honest, everybody, None) is not None
    assert binning(honest[np.roll(everybody, 1)], everybody, None) is not None  # the planted weakness
    book = LabelBook(key=bytes(32))
    assert binning(honest, everybody, book) is not None
    assert binning(honest[np.roll(everybody, 1)], everybody, book) is None
    assert binning(honest[everybody[::-1]], everybody[::-1], book) is not None


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    chance = 1 / BINS
    tails = [
        sum(comb(TARGETS, j) * chance**j * (1 - chance) ** (TARGETS - j) for j in range(k, TARGETS + 1))
        for k in range(TARGETS + 1)
    ]
    bound = (next(k for k, tail in enumerate(tails) if tail < NEVER) - 1) / TARGETS - chance  # binomial
    rows = []
    for way in WAYS:
        found, planted = attack(way, LabelBook(key=bytes(32))), attack(way, None)
        guessed = np.where(found < 0, 0, found)
        right, won = (guessed == true_bins()).mean(), (planted == true_bins()).mean()
        rows.append((f"labels of its choice, {way}", "guest", right, chance, bound, won))
    return rows
