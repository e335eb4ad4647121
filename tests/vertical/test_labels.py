"""The guest's labels are encrypted once, and a host's book notices any other array."""

from __future__ import annotations

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.vertical import LabelArray, LabelBook, Observer, WoEBinning, local_links
from bluetusk.vertical.binning.common import encrypted_labels
from bluetusk.vertical.party.labels import PairLabels
from bluetusk.vertical.party.splits import Splits

N = 120
KEY = bytes(range(32))
IDS = [f"customer {k:06d}" for k in range(N + 20)]


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(3).normal(size=(N + 20, 2))


@pytest.fixture(scope="module")
def y(x):
    return (x[:, 0] + np.random.default_rng(4).normal(size=len(x)) > 0.5).astype(int)


@pytest.fixture(scope="module")
def labels(y):
    return LabelArray(y[:N], key_size=2048)


def fitted(both, x, labels, rows, book, observer=None):
    here, there = local_links(seconds=30, observers=(None, observer))
    guest, host = (WoEBinning(role, min_rows=10, max_bins=4, key_size=2048) for role in ("guest", "host"))
    known = None if book is None else book.rows([IDS[k] for k in rows])
    both(
        lambda: guest.fit(x[rows, :1], labels.labels, link=here, labels=labels),
        lambda: host.fit(x[rows, 1:], link=there, labels=known),
    )
    return guest, host


def test_the_same_array_serves_any_rows_in_any_order(both, x, y, labels):
    book = LabelBook(key=KEY)
    rows = np.arange(N)
    guest, host = fitted(both, x, labels, rows, book)
    again, _ = fitted(both, x, labels, rows, book)
    assert guest.label_digest_ == again.label_digest_ == host.label_digest_
    for order in (rows[::-1], rows[40:], rows[rows % 3 > 0]):
        some, _ = fitted(both, x, labels[order], order, book)
        codes = np.digitize(x[order, 1], host.bins_[0].edges)
        assert some.hosts_[0][0].events.sum() == y[order].sum()
        assert len(codes) == some.hosts_[0][0].rows.sum()
    with pytest.raises(bt.ProtocolAbort, match="gave up"):
        fitted(both, x, labels[np.roll(rows, 1)], rows, book)
    assert "other encrypted labels before" in str(both.errors[1])


def test_an_array_grows_with_the_intersection(both, x, y, tmp_path):
    """The guest looks rows up by id, as they come from one intersection after the other."""
    book = LabelBook(key=KEY)
    first = LabelArray(y[:N], IDS[:N], key_size=2048)
    fitted(both, x, first, np.arange(N), book)
    first.save(tmp_path / "labels", "correct horse")
    kept = LabelArray.load(tmp_path / "labels", "correct horse")
    assert kept.ids == IDS[:N]
    rows = np.random.default_rng(1).permutation(np.arange(30, N + 20))
    names = [IDS[k] for k in rows]
    longer = kept.including(names, y[rows])
    assert longer.including(names, y[rows]) is longer
    assert longer[:N].part(slice(0, N)) == first.part(slice(0, N))
    assert sorted(longer.ids) == sorted(IDS)
    part = longer.at(names)
    assert (part.ids, part.labels.tolist()) == (names, y[rows].tolist())
    guest, _ = fitted(both, x, part, rows, book)
    assert guest.hosts_[0][0].events.sum() == y[rows].sum()
    for call, text in (
        (
            lambda: longer.including(names, 1 - y[rows]),
            "differs from the labels that were encrypted before, in 110 rows",
        ),
        (lambda: longer.including(names, y[:3]), "one label for each of the"),
        (lambda: longer.including(names, y[rows].reshape(-1, 1)), "one label for each of the"),
        (lambda: longer.including(["new", "old"], [0, 7]), "y "),
        (lambda: longer.at(["new", IDS[0]]), "1 rows that this array lacks"),
    ):
        with pytest.raises(ValueError, match=text):
            call()


@pytest.mark.nightly
def test_an_array_is_the_same_after_a_restart(both, x, labels, tmp_path):
    path = tmp_path / "labels"
    labels.save(path, "correct horse")
    assert path.stat().st_mode & 0o777 == 0o600
    with LabelBook(tmp_path / "book", key=KEY) as book:
        fitted(both, x, labels, np.arange(N), book)
    assert not any(name.encode() in (tmp_path / "book").read_bytes() for name in IDS)
    with LabelBook(tmp_path / "book", key=KEY) as book:
        fitted(both, x, LabelArray.load(path, "correct horse"), np.arange(N), book)
        with pytest.raises(bt.ProtocolAbort, match="had other labels before"):
            fitted(both, x, LabelArray(labels.labels, key_size=2048), np.arange(N), book)
        assert both.errors[1].party == "guest"
    with pytest.raises(bt.FrameError, match="the passphrase is wrong"):
        LabelArray.load(path, "wrong horse")
    with pytest.raises(bt.FrameError, match="kind SEALED"):
        LabelArray.from_bytes(path.read_bytes())


class Asked(Observer):
    def __init__(self, refuse=False):
        self.seen, self.refuse = [], refuse

    def authorise(self, **said):
        self.seen.append(said)
        if self.refuse and "second_labels" in said:
            raise bt.PolicyRefused("no second labels", clause="second_labels")


def test_second_labels_need_the_book_and_the_policy(both, x, y, labels):
    rows = np.arange(N)
    other = LabelArray(1 - labels.labels, key_size=2048)
    book = LabelBook(key=KEY, second_labels=True)
    asked = Asked()
    fitted(both, x, labels, rows, book, asked)
    assert "second_labels" not in asked.seen[0]
    with pytest.raises(bt.ProtocolAbort, match="gave up"):
        fitted(both, x, other, rows, book, Asked(refuse=True))
    assert isinstance(both.errors[1], bt.PolicyRefused)
    fitted(both, x, other[30:], rows[30:], book, asked)
    assert asked.seen[-1]["second_labels"] == N - 30
    fitted(both, x, labels, rows, book, asked)  # and back again is counted too
    assert asked.seen[-1]["second_labels"] == N - 30
    forged = LabelArray._of(other._priv, y[:N], None, encrypted_labels(other._priv, y[:N]))
    fitted(both, x, other, rows, book)
    with pytest.raises(bt.ProtocolAbort, match="gave up"):
        fitted(both, x, forged, rows, book)
    assert "other encrypted labels" in str(both.errors[1])


def test_a_job_that_is_resumed_notes_all_rows(both, x, labels, steps):
    """The hashes of the rows before the crash are in the state: the book has all of them."""
    book, rows = LabelBook(key=KEY), np.arange(N)
    keepers = steps(), steps()

    def go():
        here, there = local_links(seconds=30)
        guest, host = (WoEBinning(role, min_rows=10, max_bins=4, key_size=2048) for role in ("guest", "host"))
        known = book.rows([IDS[k] for k in rows])
        both(
            lambda: guest.fit(x[rows, :1], labels.labels, link=here, labels=labels, keeper=keepers[0]),
            lambda: host.fit(x[rows, 1:], link=there, labels=known, keeper=keepers[1]),
        )
        return guest.label_digest_

    first = go()
    for start in (0, 4, 9):
        for keeper in keepers:
            keeper.start = start
        assert go() == first
    with pytest.raises(bt.ProtocolAbort, match="had other labels before"):
        fitted(both, x, LabelArray(labels.labels, key_size=2048), rows, book)
    keepers[0].start = 4
    other = LabelArray(labels.labels, key_size=2048)
    with pytest.raises(bt.FrameError, match="other rows or settings"):
        WoEBinning("guest", min_rows=10, max_bins=4, key_size=2048).fit(
            x[rows, :1], labels.labels, link=local_links()[0], labels=other, keeper=keepers[0]
        )


def test_a_book_that_was_altered_or_is_torn(tmp_path):
    path = tmp_path / "book"
    marks = np.arange(48, dtype=np.uint8).reshape(3, 16)
    with LabelBook(path, key=KEY) as book:
        book.rows(["a", "b", "c"]).take(marks, b"k" * 32)
        size = path.stat().st_size
        book.rows(["a", "b", "c"]).take(marks, b"k" * 32)
        assert path.stat().st_size == size  # nothing new
        book.rows(["d"]).take(marks[:1], b"k" * 32)
        with pytest.raises(bt.ProtocolAbort, match="in use"):
            LabelBook(path, key=KEY)
    whole = path.read_bytes()
    for torn in (whole[:-1], whole[: size + 30], whole[:size], whole[:size] + bytes(100)):
        path.write_bytes(torn)
        with LabelBook(path, key=KEY) as book:
            assert book.rows(["a", "d"]).under_other_keys(b"x" * 32) == 1
            book.rows(["d"]).take(marks[:1], b"k" * 32)
        assert path.read_bytes() == whole
    for k in (*range(20), 60, size - 1, size + 2):  # also where lengths stand, which could hide the notes behind them
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :])
        with pytest.raises(bt.FrameError):
            LabelBook(path, key=KEY)
    path.write_bytes(whole)
    with pytest.raises(bt.FrameError, match="another key"):
        LabelBook(path, key=bytes(32))


def test_wrong_arguments(x, labels):
    link = local_links()[0]
    guest, host = (WoEBinning(role, min_rows=10, key_size=2048) for role in ("guest", "host"))
    book = LabelBook(key=KEY)
    for call, error, text in (
        (lambda: LabelArray([0, 2]), ValueError, "y "),
        (lambda: LabelArray([1, 1]), ValueError, "y "),
        (lambda: LabelArray([0, 1], key_size=1024), bt.InvalidKey, "too short"),
        (lambda: LabelArray([0, 1], ["a"]), ValueError, "one id for each label"),
        (lambda: labels.including(["a"], [1]), ValueError, "has no ids"),
        (lambda: labels.at(["a"]), ValueError, "has no ids"),
        (lambda: labels[3], IndexError, "mask"),
        (lambda: LabelBook(key=b"short"), ValueError, "32 bytes"),
        (lambda: LabelBook(key=KEY, second_labels=1), TypeError, "second_labels must be True or False"),
        (lambda: book.rows(["a", "a"]), ValueError, "same id"),
        (lambda: guest.fit(x[:N], labels.labels, link=link, labels=book.rows(IDS[:N])), TypeError, "LabelArray"),
        (lambda: guest.fit(x[:N], 1 - labels.labels, link=link, labels=labels), ValueError, "labels and y differ"),
        (lambda: host.fit(x[:N], link=link, labels=labels), TypeError, "LabelBook"),
        (lambda: host.fit(x[:N], link=link, labels=book.rows(IDS[:9])), ValueError, "labels has 9 rows"),
    ):
        with pytest.raises(error, match=text):
            call()


def test_of_two_fits_at_once_the_second_is_refused(both, x, y, labels):
    """The other fit noted its labels after this one had begun: what counts is the book when the answer leaves."""
    book, rows = LabelBook(key=KEY), np.arange(N)
    known = book.rows([IDS[k] for k in rows])
    take, other = known.take, LabelArray(labels.labels, key_size=2048)
    marks = np.zeros((N, 16), np.uint8)

    def late(*given):
        assert take(marks, other.public_key.fingerprint) == 0
        return take(*given)

    known.take = late
    here, there = local_links(seconds=30)
    guest, host = (WoEBinning(role, min_rows=10, max_bins=4, key_size=2048) for role in ("guest", "host"))
    with pytest.raises(bt.ProtocolAbort, match="had other labels before"):
        both(
            lambda: guest.fit(x[rows, :1], labels.labels, link=here, labels=labels),
            lambda: host.fit(x[rows, 1:], link=there, labels=known),
        )
    assert both.errors[1].party == "guest"


def test_a_book_that_cannot_be_written_ends_the_fit(both, x, labels, tmp_path):
    book = LabelBook(tmp_path / "book", key=KEY)
    book.close()
    with pytest.raises(bt.ProtocolAbort):
        fitted(both, x, labels, np.arange(N), book)
    assert "cannot be noted" in str(both.errors[1])


def test_a_pair_keeps_one_array_for_all_its_jobs(both, x, y, tmp_path):
    """Guest and host as `bluetusk party` has them: two jobs over overlapping rows, in other processes."""
    places = {me: (tmp_path / me, bytes([k]) * 32) for k, me in enumerate(("guest", "host"))}

    def job(rows, labels=y, pair=b"pair", second_labels=False):
        guest, host = (PairLabels(Splits(*places[me], pair=pair)) for me in ("guest", "host"))
        array = guest.array([IDS[k] for k in rows], labels[rows], key_size=2048)
        with host.book(second_labels=second_labels) as book:
            fitted(both, x, array, rows, book)
        return array

    first = job(np.arange(N))
    second = job(np.arange(20, N + 20)[::-1])
    assert first.public_key == second.public_key
    assert first.part(slice(N - 1, N)) == second.part(slice(20, 21))
    assert job(np.arange(N), pair=b"another").public_key != first.public_key
    with pytest.raises(bt.ProtocolAbort, match=r"in 120 rows: make a new LabelArray.* remove .*\.labels"):
        job(np.arange(N), 1 - y)
    for path in (tmp_path / "guest").glob("*.labels"):
        assert b"primes" not in path.read_bytes()  # encrypted
        path.unlink()
    with pytest.raises(bt.ProtocolAbort, match="had other labels before"):
        job(np.arange(N), 1 - y)
    job(np.arange(N), 1 - y, second_labels=True)
