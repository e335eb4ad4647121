"""A guest that lets the numbers of one row overflow spends the bits of its neighbours' points on that row.

Where rows share a ciphertext, one in a place of l bits, an entry ``t 2^(-l) mod n`` of the guest's table with a small t
fills all places of a block from its first row, while each later row adds a number so small that it is cut off. The
points of the whole block then are digits of the first row's bins.
"""

from __future__ import annotations

import itertools
import secrets

import numpy as np
import pytest

from bluetusk.paillier import generate_keypair, hazmat
from bluetusk.paillier.masked import fresh
from bluetusk.vertical.logistic import columns as columns_module
from bluetusk.vertical.logistic import products
from bluetusk.vertical.logistic.columns import FACTOR_BITS
from bluetusk.vertical.logistic.half import POINTS
from bluetusk.wire import frame

from .cheating import opened

COLUMNS, BINS, BLOCKS = 3, 16, 3  # 12 bits a row
CUT = 38  # digits that are cut off before a score is opened
SEEN = 1 << POINTS


def plant(monkeypatch):
    """All rows share ciphertexts again, as many as have room."""
    real = columns_module._scores_layout
    monkeypatch.setattr(columns_module, "_scores_layout", lambda *args, to_guest: real(*args, to_guest=False))


def encrypted(priv, values, bits):
    """Encrypt numbers of any size and declare a small bound."""
    width = priv.public_key.bits // 4
    form = frame.decode(fresh(priv, [0] * len(values), bits))
    made = hazmat.encrypt_with(priv.public_key, values, [secrets.randbits(priv.public_key.bits // 2) for _ in values])
    return frame.encode(form.kind, form.header, b"".join(int(c).to_bytes(width, "little") for c in made))


def told(keypair, keypair2):
    """Return the share of first rows whose bins are among the few that fit what was opened."""
    priv = keypair[1]
    n = int(priv.public_key.n)
    layout = products.rows_layout(priv.public_key.bits, COLUMNS + 1, products.ENTRY_BITS + FACTOR_BITS)
    k, width = layout.count, layout.width
    rng = np.random.default_rng(5)
    codes = rng.integers(0, BINS, (BLOCKS * k, COLUMNS))
    back = pow(1 << width, -1, n)
    entries = [(1 + secrets.randbelow(1 << 34)) * back % n for _ in range(COLUMNS * (BINS + 1))]

    def weights(priv):
        return [
            encrypted(priv, entries, products.SHARE_BITS),
            encrypted(priv, [0] * len(entries), products.ENTRY_BITS + FACTOR_BITS),
        ]

    seen = opened((priv, keypair2[1]), codes, BINS, weights, rng=rng)
    ways = list(itertools.product(range(BINS), repeat=COLUMNS))
    sums = [sum(entries[c * (BINS + 1) + b] for c, b in enumerate(way)) % n for way in ways]
    digits = [
        [(value - wraps * n >> width * place + CUT) % SEEN for place in range(1, k)]
        for value in sums
        for wraps in (0, 1)  # whether the mask wrapped
    ]
    found = 0
    for block in range(BLOCKS):
        away = (np.array(digits) - seen[block * k + 1 : (block + 1) * k]) % SEEN
        near = np.minimum(away, SEEN - away) <= 2
        best = ways[int(near.sum(axis=1).argmax()) // 2]
        found += best == tuple(codes[block * k])
    return found / BLOCKS


def test_rows_that_share_a_ciphertext_pay_for_one(keypair, keypair2, monkeypatch):
    plant(monkeypatch)
    assert told(keypair, keypair2) == 1


def test_a_row_shows_its_own_bits_only(keypair, keypair2):
    assert told(keypair, keypair2) == 0  # by chance one of 4096 ways


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    keys = generate_keypair(2048), generate_keypair(2048)
    found = told(*keys)
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        planted = told(*keys)
    chance = BINS**-COLUMNS
    return [
        ("rows whose bins are read from the points of a block", "guest", found, chance, 1 / BLOCKS - chance, planted)
    ]
