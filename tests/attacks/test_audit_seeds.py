"""A host that looks for two arrays of a guest in audit mode under the same randomness, to read labels off their ratio.

Where ciphertexts of m and m' have the same obfuscator, c' / c = 1 + (m' - m) n modulo n^2: whoever knows the labels of
one array reads those of the other. A book whose seeds repeat would make such arrays.
"""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.evidence import AuditBook
from bluetusk.evidence import book as books
from bluetusk.evidence.book import seed_for
from bluetusk.paillier.array import encrypt_integers
from bluetusk.wire import frame

ROWS = 200
KNOWN, SECRET = (np.random.default_rng(k).integers(0, 2, ROWS) for k in (1, 2))


def sent(pub, priv, labels, name):
    """The ciphertexts that a guest in audit mode sends."""
    seed = seed_for(pub, "woe-binning", name, labels)
    data = encrypt_integers(priv, labels, bt.FixedPoint.integers(1), frac=0, bound=1, seed=seed).to_bytes()
    payload, width = frame.decode(data).payload, pub.bits // 4
    return [int.from_bytes(payload[i * width : (i + 1) * width], "little") for i in range(len(labels))]


def right(pub, priv, folder, name="labels"):
    """How many labels of the second array the host tells right; it guesses 0 where the ratio says nothing."""
    n, square = int(pub.n), int(pub.n) ** 2
    with AuditBook(folder / "book", "p", job="j") as book:
        first, second = sent(pub, priv, KNOWN, "labels"), sent(pub, priv, SECRET, name)
    book.close()
    told = []
    for c, d, y in zip(first, second, KNOWN.tolist(), strict=True):
        step, rest = divmod(d * pow(c, -1, square) % square - 1, n)
        told.append(y + (step if step < 2 else step - n) if rest == 0 else 0)
    return int((np.array(told) == SECRET).sum())


def repeat(patch):
    """Plant the fault: every array gets the same secret."""
    patch.setattr(books, "os", SimpleNamespace(**vars(os) | {"urandom": lambda size: bytes(size)}))


@pytest.fixture
def repeated(monkeypatch):
    repeat(monkeypatch)


def guessed():
    return int((SECRET == 0).sum())


def test_a_seed_that_repeats_shows_the_labels(pub, priv, tmp_path, repeated):
    assert right(pub, priv, tmp_path) == ROWS  # the attack itself


@pytest.mark.nightly
def test_even_then_arrays_of_other_names_do_not(pub, priv, tmp_path, repeated):
    assert right(pub, priv, tmp_path, "others") == guessed()


@pytest.mark.nightly
def test_a_book_shows_nothing(pub, priv, tmp_path):
    assert right(pub, priv, tmp_path) == guessed()


def table(folder):
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    pub, priv = bt.paillier.generate_keypair(2048)
    places = [folder / name for name in ("package", "planted")]
    for place in places:
        place.mkdir()
    found = right(pub, priv, places[0]) / ROWS
    with pytest.MonkeyPatch.context() as patch:
        repeat(patch)
        planted = right(pub, priv, places[1]) / ROWS
    return [("labels from two arrays of an audit", "host", found, guessed() / ROWS, 5 * 0.5 / ROWS**0.5, planted)]
