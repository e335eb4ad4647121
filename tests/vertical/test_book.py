"""The book of the rows that a model has scored: on disk before points leave, found again, refused where it is not."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.vertical import LogisticRegression
from bluetusk.vertical.book import Book, marks_of, place_of
from bluetusk.vertical.logistic import ring
from bluetusk.vertical.logistic.half import Half, Points
from bluetusk.vertical.logistic.whitening import Whitening
from bluetusk.vertical.saving import load_frame
from bluetusk.wire.frame import Kind, encode

MODEL = bytes(range(32))
HALF = Half("host", ring.words([5, 6]), ring.words([7]), Whitening(np.zeros(2), np.eye(2)), 1.0, False)


def marks(*ids):
    return marks_of(MODEL, ids)


def host(*ids, name=MODEL):
    """A fitted host, as far as it is saved; it has scored these rows."""
    model = LogisticRegression("host")
    model.half_, model.model_, model.counted_, model.columns_ = HALF, name, bytes(32), ["a", "b"]
    model.sigmoid_, model.n_iter_, model.calibration_, model.scale_, model.binning_ = "linear", 1, None, None, None
    model.book_, model.certificate_ = Book(HALF, name), ""
    if ids:
        model.book_.take(marks_of(name, ids), b"")
    return model


def scored(book, *ids):
    """Return which of these rows the model has scored."""

    def refused(one):
        try:
            book.refuse(marks(one))
        except bt.PolicyRefused:
            return True
        return False

    return [one for one in ids if refused(one)]


def test_the_same_shares_may_be_sent_again_and_no_others():
    book = Book(HALF, MODEL)
    book.take(marks("a", "b"), b"shares")
    book.take(marks("a", "b"), b"shares")
    for ids, share in ((("a", "b"), b"others"), (("a",), b"shares"), (("b", "a"), b"shares"), (("b", "c"), b"shares")):
        with pytest.raises(bt.PolicyRefused, match="scored by this model"):
            book.take(marks(*ids), share)
    assert scored(book, "a", "b", "c") == ["a", "b"]


def test_two_scorings_at_once_are_not_both_the_first(tmp_path):
    books = [Book(HALF, MODEL) for _ in range(8)]
    for book in books:
        book.keep(tmp_path / "book", create=True)
    told = []

    def take(k):
        try:
            books[k].take(marks("a", "b"), bytes([k]))
            told.append(k)
        except bt.PolicyRefused:
            pass

    threads = [threading.Thread(target=take, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1


def test_what_is_scored_is_on_disk_before_the_answer(tmp_path):
    book, path = Book(HALF, MODEL), tmp_path / "book"
    book.take(marks("a"), b"1")
    book.keep(path, create=True)
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    program = (
        "import os, signal; from tests.vertical.test_book import *; book = Book(HALF, MODEL); "
        f"book.keep({str(path)!r}, create=False); book.take(marks('b', 'c'), b'2'); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert scored(book, "a", "b", "c", "d") == ["a", "b", "c"]
    other = Book(HALF, MODEL)
    other.keep(path, create=False)
    other.take(marks("b", "c"), b"2")
    with pytest.raises(bt.PolicyRefused):
        other.take(marks("c"), b"2")
    data = path.read_bytes()
    for cut in (1, 20, 60):  # a crash within the next note
        path.write_bytes(data + data[:cut])
        assert scored(other, "c", "d") == ["c"]
    other.take(marks("d"), b"3")
    assert len(path.read_bytes()) > len(data)
    assert scored(book, "d") == ["d"]


def test_a_half_finds_its_book_or_is_refused(tmp_path):
    first, away = tmp_path / "half", tmp_path / "elsewhere"
    model = host("a")
    model.save(first, sealed=False)
    (book,) = tmp_path.glob("half.*.scored")
    away.mkdir()
    shutil.copy(first, away / "half")
    copy = LogisticRegression.load(away / "half")  # of the same machine: it shares the book
    copy.book_.take(marks("b"), b"2")
    model.save(away / "again", sealed=False)
    assert scored(LogisticRegression.load(first).book_, "a", "b", "c") == ["a", "b"]
    assert [path.name for path in away.iterdir() if "scored" in path.name] == []

    moved = away / book.name
    shutil.move(book, moved)
    assert scored(LogisticRegression.load(away / "half").book_, "b") == ["b"]  # beside the half
    with pytest.raises(bt.FrameError, match=r"is missing.*restore it; if it was moved"):
        LogisticRegression.load(first)
    with pytest.raises(bt.FrameError, match="is missing"):
        copy.book_.take(marks("c"), b"3")
    assert scored(LogisticRegression.load(first, book=moved).book_, "b") == ["b"]

    whole = moved.read_bytes()
    bad = whole[:-1] + bytes([whole[-1] ^ 1])
    for data, why in ((b"", "older than the half"), (bad, "was altered"), (whole[: len(whole) // 3], "older|altered")):
        moved.write_bytes(data)
        with pytest.raises(bt.FrameError, match=why):
            LogisticRegression.load(away / "half")
    moved.write_bytes(whole)
    other = host(name=bytes(32))
    other.save(tmp_path / "other", sealed=False)
    (theirs,) = tmp_path.glob("other.*.scored")
    with pytest.raises(bt.FrameError, match="another key"):
        LogisticRegression.load(away / "half", book=theirs)


def test_a_book_that_is_older_than_the_half_is_refused(tmp_path):
    model = host("a")
    model.save(tmp_path / "half", sealed=False)
    (book,) = tmp_path.glob("half.*.scored")
    before = book.read_bytes()
    model.book_.take(marks("b"), b"2")
    model.save(tmp_path / "half", sealed=False)
    book.write_bytes(before)
    with pytest.raises(bt.FrameError, match="older than the half, which knows 1 rows more"):
        LogisticRegression.load(tmp_path / "half")


def test_a_book_with_another_share_of_a_row_is_refused(tmp_path):
    one, other, silent = host(), host(), host("a")
    one.book_.take(marks("a"), b"1")
    other.book_.take(marks("a"), b"2")
    one.save(tmp_path / "half", sealed=False)
    with pytest.raises(bt.FrameError, match="notes other shares of 1 rows than this half"):
        other.save(tmp_path / "half", sealed=False)
    silent.save(tmp_path / "half", sealed=False)  # it does not know which share


def test_a_note_is_read_once_by_each_process_and_all_of_them_when_it_matters(tmp_path, monkeypatch):
    """Each look at the book would otherwise read all notes: 10^6 rows in pieces took minutes."""
    from bluetusk.vertical import book as module

    read = []
    rows_of = module._rows_of
    monkeypatch.setattr(module, "_rows_of", lambda note: read.append(note) or rows_of(note))
    one, other = Book(HALF, MODEL), Book(HALF, MODEL)
    one.keep(tmp_path / "book", create=True)
    other.keep(tmp_path / "book", create=False)
    read.clear()
    for k in range(20):
        one.take(marks(f"a{k}"), bytes([k]), "first")
    assert read == []  # its own
    assert scored(other, "a3", "a19", "b") == ["a3", "a19"]  # another process's, once each
    assert len(set(read)) == 20
    with pytest.raises(bt.PolicyRefused, match="in 'first'"):
        other.take(marks("a3", "b"), b"x", "second")
    read.clear()
    other.take(marks("b"), b"x", "second")
    assert read == []
    place = tmp_path / "book"
    data = place.read_bytes()
    place.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])  # before what `one` has read
    with pytest.raises(bt.FrameError, match="was altered"):
        one.take(marks("b"), b"y", "third")
    with pytest.raises(bt.FrameError, match="was altered"):
        Book(HALF, MODEL).keep(place, create=False)
    place.write_bytes(data[: len(data) // 2])  # an older copy: who has read more still knows it
    assert scored(one, "a19", "b", "c") == ["a19", "b"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_of_a_half_in_memory_cannot_score(tmp_path):
    def child(call):
        pid = os.fork()
        if pid == 0:
            code = 2
            try:
                call()
                code = 0
            except bt.ProtocolAbort as error:
                code = 1 if "save() it before the fork" in str(error) else 2
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    model = host()
    for call in (
        lambda: model.book_.take(marks("a"), b"1"),
        lambda: model.book_.refuse(marks("a")),
        lambda: model.save(tmp_path / "theirs", sealed=False),
    ):
        assert child(call) == 1
    model.save(tmp_path / "half", sealed=False)
    assert child(lambda: model.book_.take(marks("a"), b"1")) == 0
    assert scored(model.book_, "a", "b") == ["a"]


def test_a_half_is_not_copied_in_memory():
    for call in (copy.deepcopy, pickle.dumps):
        with pytest.raises(
            TypeError, match=r"a Book cannot be pickled or copied: .*save\(\) the half, and load\(\) it"
        ):
            call(host())


@pytest.mark.parametrize("place", [b"", b"a\0b", b"/", b"/dev/null/book", b"n" * 5000])
def test_a_half_that_names_no_file_as_its_book_is_refused(tmp_path, place):
    path = tmp_path / "half"
    host().save(path, sealed=False)
    got = load_frame(path, Kind.LOGISTIC_REGRESSION)
    path.write_bytes(encode(Kind.LOGISTIC_REGRESSION, {**got.header, "book": place}, bytes(got.payload)))
    with pytest.raises(bt.FrameError, match=r"must be the path of a file|is missing"):
        LogisticRegression.load(path)


def test_a_new_model_does_not_replace_the_book_of_the_old_one(tmp_path):
    host("a").save(tmp_path / "half", sealed=False)
    old = (tmp_path / "half").read_bytes()
    host(name=bytes(32)).save(tmp_path / "half", sealed=False)
    assert len(list(tmp_path.glob("half.*.scored"))) == 2
    (tmp_path / "half").write_bytes(old)
    assert scored(LogisticRegression.load(tmp_path / "half").book_, "a", "b") == ["a"]


def test_a_half_that_held_its_rows_itself_gets_a_book(tmp_path):
    """Halves of the version before hold the marks, and no place of a book."""
    path = tmp_path / "half"
    host().save(path, sealed=False)
    for book in tmp_path.glob("half.*.scored"):
        book.unlink()
    got = load_frame(path, Kind.LOGISTIC_REGRESSION)
    known = b"".join(marks("a", "b"))
    parts = [*got.header["parts"][:-1], len(known)]
    header = {name: value for name, value in got.header.items() if name != "book"} | {"parts": parts}
    path.write_bytes(encode(Kind.LOGISTIC_REGRESSION, header, bytes(got.payload) + known))
    before = LogisticRegression.load(path).book_
    assert scored(before, "a", "b", "c") == ["a", "b"]
    before.take(marks("c"), b"3")
    assert scored(LogisticRegression.load(path).book_, "a", "b", "c", "d") == ["a", "b", "c"]


def test_a_guest_keeps_no_book(tmp_path):
    half = Half("guest", ring.words([5, 6]), ring.words([7]), Whitening(np.zeros(2), np.eye(2)), 1.0, False)
    model = host()
    model.role, model.half_, model.scale_ = "guest", half, Points(64, 0.0)
    model.save(tmp_path / "half", sealed=False)
    assert os.listdir(tmp_path) == ["half"]
    LogisticRegression.load(tmp_path / "half")
    assert os.listdir(tmp_path) == ["half"]


def test_where_no_book_can_be_made_is_said_before_a_training(tmp_path):
    bad = ("", "/no/such/half", str(tmp_path), f"{tmp_path}/half/", f"{tmp_path}/{'x' * 240}", f"{tmp_path}/a\0b")
    host = LogisticRegression("host", key_size=2048)
    for name in (*bad, f"{tmp_path}/\ud800"):
        with pytest.raises(ValueError, match="beside is"):
            host.fit([[1.0], [2.0]], link=None, beside=name)
    for name in ("half", b"half", Path("half")):
        assert place_of(os.path.join(os.fsencode(tmp_path), os.fsencode(name))) == str(tmp_path / "half")
