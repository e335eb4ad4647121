"""A guest that encrypts 2^i for row i where a gradient is due, to read a bucket's rows in the bits of its sum.

Nothing prevents it: the host cannot see what is encrypted. What limits it is the room of a sum. A plaintext that held
one sum had room for 2046 rows; now all bits above the sums are random, and a sum tells as many bits as it is wide. The
guest also says which rows are in which node, so in one tree it reads as many rows from each node of the last level.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.paillier import slots
from bluetusk.paillier.array import concatenate, encrypt_integers
from bluetusk.vertical.boosting.sums import Layout
from bluetusk.vertical.protocol.keys import key_parts
from bluetusk.wire import frame

ROWS = 1200
PARAMS = {"n_estimators": 2, "max_depth": 3, "key_size": 2048}  # and the defaults: the first tree is local
TASK = "gradient_boosting"


def forged(layout, priv, values):
    """The frame of gradients: numbers of any size, under the bound that a host expects."""
    plan, ints = bt.FixedPoint.integers(1, max_weight=1), np.array(values, dtype=object)
    got = frame.decode(encrypt_integers(priv, ints, plan, frac=0, bound=1 << 2040).to_bytes(1 << 2040))
    honest = frame.decode(layout.encrypted(priv, *np.zeros((2, 1), np.int64)))
    return frame.encode(got.kind, {**got.header, "bound": honest.header["bound"]}, got.payload)


def first_layout(self, sums):
    """The sums of a host as they left before: nothing above them."""
    c = concatenate(sums) if len(sums) > 1 else sums[0]
    packing = self.slots(c.public_key)
    packed = packing.shifted(slots.tightened(c, self.rows * self.bound))
    return slots.mask(packed, None, packing.bound).to_bytes(packing.bound)


def attack(priv, column, values, nodes):
    """Play the guest of a training; return the plaintexts of the sums by level, as the key opens them.

    `nodes` has for each row its node of the last level, 0 to 3.
    """
    here, there = bt.vertical.local_links(seconds=60)
    errors = []

    def host():
        try:
            bt.vertical.GradientBoosting("host", **PARAMS).fit(column[:, None], link=there)
        except BaseException as error:
            errors.append(error)

    side = threading.Thread(target=host)
    side.start()
    layout = Layout(len(column), 24)
    agreed = bt.vertical.GradientBoosting("guest", **PARAMS)._settings().agreed()
    here.scope(TASK, 0)
    here.send("offer", {"rows": len(column), "host": 1, "settings": agreed}, key_parts(priv, here, TASK))
    here.receive("ready", ["rows", "columns", "max_bins"])
    here.scope(TASK, 2)
    here.send("gradients", {"rows": len(column)}, [b"", forged(layout, priv, values)])
    opened = []
    for level in range(3):
        first, above = (1 << level) - 1, list(range((1 << level) // 2 - 1, (1 << level) - 1)) if level else []
        left = np.packbits((nodes >> (2 - level)) % 2 == 0).tobytes() if level else b""
        here.send("level", {"active": list(range(first, 2 * first + 1)), "split": above}, [left])
        sums = bt.CipherArray.from_bytes(here.receive("candidates", ["counts"]).parts[0], priv.public_key)
        opened.append([int(v) % int(priv.public_key.n) for v in priv.decrypt_integers(sums)])
        here.send("choice", {"places": [], "handles": []}, [b"", b""])
    side.join(60)
    assert errors == [], "the host notices nothing"
    return opened


def one_sum(priv):
    """All rows in the one sum of the root, by powers of two: how many are told right in the sum's room, and beyond."""
    rng = np.random.default_rng(7)
    column, width = rng.integers(0, 2, ROWS).astype(float), Layout(ROWS, 24).slot_bits
    opened = attack(priv, column, [1 << i for i in range(ROWS)], np.arange(ROWS) % 4)[0][0]
    told = np.array([(opened >> i) & 1 for i in range(ROWS)])
    right = told == (column == 0)
    return int(right[:width].sum()), width, int(right[width:].sum()), ROWS - width


def bound(trials):
    """How many of so many coins are guessed: more once in 10^6, by the normal approximation, and the proof's 2 bits."""
    return trials / 2 + 4.9 * (trials / 4) ** 0.5 + 2


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    priv = bt.paillier.generate_keypair(2048)[1]
    inside, width, beyond, others = one_sum(priv)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Layout, "closed", first_layout)
        _, _, planted, _ = one_sum(priv)
    name = "2^i for a gradient"
    return [
        (f"{name}: the {width} rows that a sum has room for", "guest", inside / width, 0.5, None, 1.0),
        (
            f"{name}: {others} rows beyond",
            "guest",
            beyond / others,
            0.5,
            bound(others) / others - 0.5,
            planted / others,
        ),
    ]


def test_a_sum_tells_as_many_rows_as_it_is_wide_and_no_more(priv):
    inside, width, beyond, others = one_sum(priv)
    assert inside == width < 80
    assert others - bound(others) < beyond < bound(others)


def test_without_filling_the_same_sum_tells_every_row(priv, monkeypatch):
    monkeypatch.setattr(Layout, "closed", first_layout)
    inside, width, beyond, others = one_sum(priv)
    assert (inside, beyond) == (width, others)


def test_each_node_of_the_last_level_tells_as_many(priv):
    """What remains, for the documents: with depth 3 four times the width of a sum, in every tree."""
    rng = np.random.default_rng(8)
    column, nodes, width = rng.integers(0, 2, ROWS).astype(float), np.arange(ROWS) % 4, Layout(ROWS, 24).slot_bits
    values, target = [0] * ROWS, []
    for node in range(4):
        rows = np.flatnonzero(nodes == node)[: width - 1]
        target.append(rows)
        for bit, row in enumerate(rows.tolist()):
            values[row] = 1 << bit
    opened = attack(priv, column, values, nodes)[2]
    block, found = opened[0], []
    for _ in range(4):  # the sums of the four nodes, in one plaintext
        low = block % (1 << width)
        low -= (low >> (width - 1)) << width
        found.append(low)
        block = (block - low) >> width
    for rows, told in zip(target, found, strict=True):
        assert [(told >> bit) & 1 for bit in range(width - 1)] == (column[rows] == 0).astype(int).tolist()
    assert sum(map(len, target)) == 4 * (width - 1)


def test_documents_say_these_figures():
    root = Path(__file__).resolve().parents[2]
    few, many, short = (Layout(*of).slot_bits for of in ((400, 24), (21_000, 24), (21_000, 16)))
    a_tree, all_nodes = 4 * (many - 1), 7 * many
    assert (round(a_tree, -2), round(all_nodes, -1)) == (300, 540)
    for page, figures in {
        "THREAT_MODEL.md": (f"({many} bits at 21 000 rows)", "some 300 rows a tree"),
        "docs/explanation/reveals.md": (f"{many} at 21 000 rows", "some 300 rows a tree"),
        "docs/how-to/boosting.md": (
            f"{few} bits for 400 rows, {many} for 21 000",
            f"makes it {short}",
            "some 300 rows a tree",
            "No more than 540",
        ),
    }.items():
        text = " ".join((root / page).read_text("utf-8").split())
        assert [figure for figure in figures if figure not in text] == [], page


@pytest.mark.nightly
@pytest.mark.parametrize("value", [3, 1 << 2040], ids=["honest", "huge"])
def test_what_fills_the_room_is_random_whatever_is_encrypted(priv, value):
    """Kolmogorov's distance of opened plaintexts from uniform, by the root of their number: above 2.7 once in 10^6."""
    layout, count, n = Layout(100, 24), 80, int(priv.public_key.n)
    plan = bt.FixedPoint.integers(1, max_weight=1)
    c = encrypt_integers(priv, np.array([value], object), plan, frac=0, bound=1 << 2041)
    c, seen = slots.tightened(c, layout.bound), []
    for _ in range(count):
        out = bt.CipherArray.from_bytes(layout.closed([c]), priv.public_key)
        seen.append(int(priv.decrypt_integers(out)[0]) % n / n)
    v = np.sort(np.array(seen))
    distance = count**0.5 * max(np.max(np.arange(1, count + 1) / count - v), np.max(v - np.arange(count) / count))
    assert distance < 2.7
