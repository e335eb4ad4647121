"""A host that makes up its sums and partitions, and reads labels in what the guest does about them.

It computes on the encrypted gradients, so whatever the guest finds out by opening them can be made to depend on labels:

* Of each of a hundred rows it sends one made-up split: the same sum, with 40 times that row's gradient added. Splits
  of rows with the same label are equally good. A guest that names all of the best splits names the rows of one class.
* It exchanges two rows of its partition, or adds a multiple of the difference of their gradients to a sum, in a binning
  a multiple of a label. Then the partition has another sum, or the sum is out of range, only if labels differ, or the
  label is 1. A guest that gives up tells it so.

What is left is the choice itself, one of the splits that were sent or none: so many bits, counted as bits that the host
has learned, are its own to choose the meaning of.
"""

from __future__ import annotations

import math
import threading
import warnings

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.paillier.array import concatenate
from bluetusk.paillier.slots import tightened
from bluetusk.vertical.binning import guest as bin_guest
from bluetusk.vertical.binning import host as bin_host
from bluetusk.vertical.binning.common import Layout as Layouts
from bluetusk.vertical.boosting import guest as guest_half
from bluetusk.vertical.boosting import host as host_half
from bluetusk.vertical.boosting import sums as sums_of
from bluetusk.vertical.boosting.sums import Layout
from bluetusk.vertical.protocol.link import Observer
from bluetusk.wire.frame import decode, encode

ROWS, TRIED, RATE, PAIRS = 300, 100, 0.3, 12
BINNED, BINS = 40, {"key_size": 2048, "min_rows": 5, "max_bins": 3}
TOY = {"n_estimators": 1, "max_depth": 1, "first_tree_local": False, "min_samples_leaf": 20, "min_bucket_rows": 20}


class Seen(Observer):
    """What the host receives and counts."""

    def __init__(self):
        self.handles, self.bits = np.zeros(0, int), 0

    def passed(self, *, peer, task, sent, frame):
        got = decode(frame)
        if got.header["topic"] == "choice":
            self.handles = np.frombuffer(bytes(got.payload), "<u4").astype(int)

    def count(self, *, peer, task, what, number):
        self.bits += number if what == "bits_learned" else 0


class Liar(host_half.HostJob):
    """A host that sends the sums that `made` makes of rows and true sums, and the rows that `moved` makes of a side."""

    made = moved = sent = None

    def _received(self, link):
        tree = super()._received(link)
        self.rows = tree.c
        return tree

    def _offered(self, link, tree):
        with pytest.MonkeyPatch.context() as patch:
            if self.made is not None:
                true = host_half.left_sums
                patch.setattr(host_half, "left_sums", lambda *of: self.made(self.rows, true(*of)))
            if self.sent is not None:
                patch.setattr(Layout, "closed", lambda *of: self.sent(*of))
            return super()._offered(link, tree)

    def _note(self, *args):
        left = super()._note(*args)
        return left if self.moved is None else self.moved(left)


def played(priv, labels, columns, **lies):
    """Train with a lying host; return what it saw, whether the training failed, and what the guest was told.

    If it failed at the last message, the host hears of it when the next task is due.
    """
    seen, failed = Seen(), []
    here, there = bt.vertical.local_links(observers=(None, seen), seconds=60)
    x = np.random.default_rng(3).random((ROWS, columns)) < 0.5
    liar = type("Liar", (Liar,), {name: staticmethod(lie) for name, lie in lies.items()})

    def host():
        try:
            bt.vertical.GradientBoosting("host", key_size=2048, **TOY).fit(x.astype(float), link=there)
        except bt.BluetuskError as error:
            failed.append(error)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", bt.DataWarning)
        patch.setattr(guest_half, "ephemeral_key", lambda bits: priv)
        patch.setattr("bluetusk.vertical.boosting.estimator.HostJob", liar)
        side = threading.Thread(target=host, daemon=True)
        side.start()
        try:
            guest = bt.vertical.GradientBoosting("guest", key_size=2048, **TOY)
            guest.fit(np.zeros((ROWS, 1)), labels, link=here)
            findings = guest.findings_
        except bt.BluetuskError as error:
            failed.append(error)
            findings = []
        side.join(60)
    return seen, bool(failed), findings


def made_up(seed=1):
    return (np.random.default_rng(seed).random(ROWS) < RATE).astype(int)


# --- which splits are best --------------------------------------------------------------------------------------------


def one_each(rows, sums):
    """Of the last rows one split each: half of all rows, and 40 times this one."""
    return rows[: ROWS // 2].sum().reshape(1)[np.zeros(len(sums), int)] + rows[ROWS - TRIED :] * 40


def named(priv, labels):
    """Return the host's guess of the labels of the last rows, and what it saw: events weigh more, as they are rare."""
    seen, _, _ = played(priv, labels, TRIED, made=one_each)
    guess = np.zeros(TRIED, int)
    guess[seen.handles] = 1
    return guess, seen


def all_of_the_best(patch):
    """The planted weakness: the guest names all splits that are equally good, as it once did."""
    found, choose, gains = [], guest_half.GuestJob._choose, guest_half.gains

    def kept(*args):
        found.append(gains(*args))
        return found[-1].copy()

    def all_told(self, link, active, choices):
        send = link.send

        def more(topic, fields, parts):
            best = np.flatnonzero(found[-1] == found[-1].max())  # of the only host, at the only place
            send(topic, {**fields, "handles": [len(best)]}, [best.astype("<u4").tobytes(), parts[1]])

        link.send = more
        choose(self, link, active, choices)
        link.send = send

    patch.setattr(guest_half, "gains", kept)
    patch.setattr(guest_half.GuestJob, "_choose", all_told)


def best_splits(priv):
    """Return accuracy, chance and bound, and the accuracy on the planted weakness."""
    labels = made_up()
    true = labels[ROWS - TRIED :]
    guess, seen = named(priv, labels)
    assert len(seen.handles) == 1
    assert seen.bits >= math.log2(TRIED + 1)
    with pytest.MonkeyPatch.context() as patch:
        all_of_the_best(patch)
        planted, _ = named(priv, labels)
    bound = seen.bits / TRIED  # no more labels than bits that are counted
    return (guess == true).mean(), 1 - true.mean(), bound, (planted == true).mean()


def test_the_best_split_names_one_row_and_not_all_of_a_class(priv):
    accuracy, chance, bound, planted = best_splits(priv)
    assert planted == 1.0
    assert accuracy <= chance + bound


# --- whether the guest gives up ---------------------------------------------------------------------------------------


class Partition:
    """Two rows of the partition exchanged, which the honest split sends to different sides."""

    def __init__(self, row):
        self.row = row

    def moved(self, left):
        self.other = int(np.flatnonzero(left != left[self.row])[0])
        sides = left.copy()
        sides[[self.row, self.other]] = left[[self.other, self.row]]
        return sides


class Range:
    """A multiple of the difference of two rows added to a sum: out of range, but below the next sum."""

    def __init__(self, row):
        self.row, self.other = row, (row + 7) % ROWS

    def apart(self, rows):
        return tightened(rows[self.row : self.row + 1] - rows[self.other : self.other + 1], 1)

    def made(self, rows, sums):
        return concatenate([sums[:1] + self.apart(rows) * 400, sums[1:]])


class Bound(Range):
    """A multiple that is beyond all sums of a ciphertext, and beyond the bound that the host declares."""

    def made(self, rows, sums):
        self.rows = rows
        return sums

    def sent(self, layout, sums):
        slots = layout.slots(sums[0].public_key)
        end = slots.width * slots.count
        # 0, or 2^(end + 2) of either sign: with 2^(end + 1) the lower one would be within the bound
        far = self.apart(self.rows) * (1 << (end + 2 - layout.h_bits - layout.frac_bits))
        packed = slots.shifted(tightened(sums[0], layout.rows * layout.bound)) + far + (1 << end)
        bound = (3 << end - 1).to_bytes(-(-(end + 1) // 8), "little")  # between 2^end and the next power of two
        got = decode(packed.to_bytes(packed.bound))
        return encode(got.kind, {**got.header, "bound": bound}, got.payload)


LIES = {"partition": Partition, "sum": Range, "bound of the sums": Bound}


def caught(priv, labels, kind, pairs):
    """Return the host's guesses of whether labels differ, in one training for each pair, and the truth."""
    guess, true, told = [], [], []
    for row in range(0, ROWS, ROWS // pairs):
        lie = LIES[kind](row)
        told_lies = {name: getattr(lie, name) for name in ("made", "moved", "sent") if hasattr(lie, name)}
        _, failed, findings = played(priv, labels, 4, **told_lies)
        guess.append(failed)
        true.append(labels[row] != labels[lie.other])
        told.append(len(findings) > 0)
    return np.array(guess), np.array(true), np.array(told)


def giving_up(patch):
    """The planted weakness: a guest that ends the task where sums cannot be or do not fit, as it once did."""
    unpacked, take = Layout.unpacked, guest_half.GuestJob._take_theirs

    def opening(self, *args):
        g, h = unpacked(self, *args)
        if (h < 0).any():
            raise bt.ProtocolAbort("a sum of gradients is out of range")
        return g, h

    def taking(self, *args):
        take(self, *args)
        if self.false:
            raise bt.ProtocolAbort("the sums of a partition differ from those that were opened")

    patch.setattr(sums_of, "opened", lambda priv, c: priv.decrypt_integers(c).tolist())
    patch.setattr(Layout, "unpacked", opening)
    patch.setattr(guest_half.GuestJob, "_take_theirs", taking)


def given_up(priv, kind, pairs=PAIRS):
    """Return accuracy, chance and bound, and the accuracy on the planted weakness."""
    labels = made_up()
    guess, true, told = caught(priv, labels, kind, pairs)
    assert not guess.any()  # nothing ended, whatever the labels
    assert true.any()
    if kind == "partition":
        assert (told == true).all()  # the guest alone knows which partitions were false
    with pytest.MonkeyPatch.context() as patch:
        giving_up(patch)
        planted, _, _ = caught(priv, labels, kind, pairs)
    chance = max(true.mean(), 1 - true.mean())
    return (guess == true).mean(), chance, 0.0, (planted == true).mean()


@pytest.mark.parametrize("kind", LIES)
def test_a_lie_that_depends_on_labels_ends_nothing(priv, kind):
    accuracy, chance, bound, planted = given_up(priv, kind, 12 if kind == "partition" else 5)
    assert planted == 1.0
    assert accuracy <= chance + bound


# --- the same in a binning --------------------------------------------------------------------------------------------


def ended(priv, labels, row):
    """Bin together; return whether it failed. The host's sums are beyond their bound if a row has the label 1."""
    here, there = bt.vertical.local_links(seconds=60)
    rows, failed, true = [], [], bin_host.received

    def received(*of):
        rows.append(true(*of))
        return rows[-1]

    def mask(c, masks, bound):
        label = tightened(concatenate(rows)[row : row + 1] - 1, 1 << Layouts(BINNED).w)
        far = label * (1 << (bound.bit_length() + 1 - Layouts(BINNED).w))
        return tightened(c + far[np.zeros(c.size, int)], bound)

    def host():
        try:
            bt.vertical.WoEBinning("host", **BINS).fit(np.arange(BINNED)[:, None] % 3.0, link=there)
        except bt.BluetuskError as error:
            failed.append(error)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", bt.DataWarning)
        patch.setattr(bin_guest, "ephemeral_key", lambda bits: priv)
        patch.setattr(bin_host, "received", received)
        patch.setattr(bin_host, "mask", mask)
        side = threading.Thread(target=host, daemon=True)
        side.start()
        try:
            bt.vertical.WoEBinning("guest", **BINS).fit(np.zeros((BINNED, 1)), labels, link=here)
        except bt.BluetuskError as error:
            failed.append(error)
        side.join(60)
    return bool(failed)


def binned(priv, rows=10):
    """Return accuracy, chance and bound, and the accuracy on the planted weakness: numbers checked when decrypted."""
    labels = (np.arange(BINNED) * 7 % 10 < 3).astype(int)
    guess = np.array([ended(priv, labels, row) for row in range(rows)])
    assert not guess.any()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bin_guest, "opened", lambda priv, c: priv.decrypt_integers(c).tolist())
        planted = np.array([ended(priv, labels, row) for row in range(rows)])
    true = labels[:rows]
    return (guess == true).mean(), 1 - true.mean(), 0.0, (planted == true).mean()


def test_a_sum_of_labels_beyond_its_bound_ends_nothing(priv):
    accuracy, chance, bound, planted = binned(priv, 4)
    assert planted == 1.0
    assert accuracy <= chance + bound


def table():
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    priv = bt.paillier.generate_keypair(2048)[1]
    name = f"labels of {TRIED} rows, by which made-up splits are best; bound: the bits counted"
    rows = [(name, "host", *best_splits(priv))]
    rows += [(f"whether two labels differ, by a false {kind}", "host", *given_up(priv, kind)) for kind in LIES]
    return [*rows, ("a label, by a sum of a binning beyond its bound", "host", *binned(priv))]
