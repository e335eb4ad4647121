"""Keeps which rows a model has scored, at the host: on disk before anything about them leaves.

A row that is scored again shows more: points are rounded at random each time, and trees may be walked along other
branches. A row is therefore scored once by a model; what is sent again, because a step is taken again, must be the same
bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from .._fork import process
from .._locks import Locked, refuse_reentry
from .._once import Uncopied
from ..errors import FrameError, PolicyRefused, ProtocolAbort
from ..storage import files
from ..tasks import LOGISTIC_SCORES
from .align.ids import as_ids
from .protocol.notes import SealedNotes
from .protocol.state import pack_state, unpack_state

__all__ = ["MARK", "Book", "Secretive", "beside", "book_of", "marks_of", "place_of"]

MARK = 16
"""Bytes of a hash: two of 10^9 rows have the same one with a chance of 10^-20."""
_TASK = "scored-rows"
_LABEL = b"bluetusk logistic book"  # as the files of the first version have it
_JOBS = 3  # names of jobs in an error
_LONGEST_JOB = 400  # characters
_PATIENCE = 10.0  # seconds that another scoring may hold the file


def marks_of(model: bytes, ids: Sequence[Any]) -> list[bytes]:
    """Return hashes of ids under a model's name, 16 bytes each; read as by :func:`intersect`: 7 and "7" are one id."""
    return [hmac.digest(model, text.encode(), "sha256")[:MARK] for text in as_ids(ids)]


def beside(path: str | os.PathLike[str], model: bytes) -> str:
    """Return the name of a model's book beside a file."""
    return f"{os.path.abspath(os.fsdecode(path))}.{model.hex()[:8]}.scored"


def place_of(path: str | os.PathLike[str]) -> str:
    """Return the whole path beside which a book will be made, which is checked before a training begins.

    Raises
    ------
    ValueError
        If no file can be made there: naming the path and what is wrong.

    Examples
    --------
    >>> place_of("/no/such/half")
    Traceback (most recent call last):
        ...
    ValueError: beside is '/no/such/half', in a directory that does not exist: make it first
    """
    name = os.fsdecode(path)
    if "\0" in name:
        raise ValueError(f"beside is {name!r:.64}, which is not a name of a file: give another")
    whole = os.path.abspath(name)
    folder = os.path.dirname(whole)
    if not name or name.endswith(os.sep) or os.path.isdir(whole):
        raise ValueError(f"beside is {name!r}, a directory: name the file that the half will be saved to")
    if not os.path.isdir(folder):
        raise ValueError(f"beside is {name!r}, in a directory that does not exist: make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"beside is {name!r}, in a directory that this process may not write to: give another")
    try:
        longest = os.pathconf(folder, "PC_NAME_MAX")
        size = len(os.fsencode(os.path.basename(beside(whole, bytes(4)))))
    except UnicodeEncodeError:
        raise ValueError(f"beside is {name!r}, which is not a name of a file: give another") from None
    except OSError as error:
        raise ValueError(f"beside is {name!r}, in a directory that cannot be asked: {error.strerror}") from None
    if 0 < longest < size:
        raise ValueError(f"beside is {name!r:.64}, whose book would have a name of {size} bytes, over {longest}")
    return whole


class Secretive(Protocol):
    """A host's half of a model."""

    @property
    def secret(self) -> bytes:
        """What nobody but the host knows of it, the same whenever it is read."""


class Book(Locked, Uncopied):
    """Which rows a model has scored: a keyed hash of each id, with a hash of the shares that were opened.

    Without a file it lives as long as the half in memory, in the process that made it. Once it is kept in a file, every
    process that scores with the model reads and writes that file, each time anew, so that a half which was read again
    forgets nothing.

    Parameters
    ----------
    half : Secretive
        The host's: the key of the file derives from what nobody else knows of it.
    model : bytes
        The training's name.
    known : bytes
        The hashes in a saved half.

    Attributes
    ----------
    model : bytes
        As given.
    path : str
        The file, absolute; empty without one.

    Examples
    --------
    >>> class Half:
    ...     secret = b"shares of weights"
    >>> book = Book(Half(), bytes(32))
    >>> marks = marks_of(bytes(32), ["M1", "M2", "M3"])
    >>> book.take(marks[:2], b"shares")
    >>> book.take(marks[:2], b"shares")  # the same bytes again
    >>> book.refuse(marks[1:])
    Traceback (most recent call last):
        ...
    bluetusk.errors.PolicyRefused: ...
    """

    _no_copy = "each copy would forget what the other has scored: save() the half, and load() it"

    def __init__(self, half: Secretive, model: bytes, known: bytes = b"") -> None:
        super().__init__()
        self._process = process()
        self._key = hashlib.sha256(_LABEL + model + half.secret).digest()
        self._known = {known[i : i + MARK]: bytes(MARK) for i in range(0, len(known), MARK)}
        self.model, self.path = model, ""
        self._read: tuple[int, bytes] | None = None  # up to where the file's notes are in memory

    def keep(self, path: str | os.PathLike[str], *, create: bool) -> None:
        """Keep the book in a file from here on, together with what is in it.

        Parameters
        ----------
        path : path-like
            The file, of mode 0600.
        create : bool
            Make it if it is absent.

        Raises
        ------
        FrameError
            If the file is of another model, was altered, or notes another share of a row than is known here; unless
            `create`, if it is missing or lacks a row that is known here.
        ProtocolAbort, OSError
            If the file is in use or cannot be written, or this process is a fork of the one that made the book.
        """
        path = os.path.abspath(os.fspath(path))
        refuse_reentry(self._lock, "note in this book")
        self._refuse_fork()
        with self._lock, self._opened(path, create=create) as file:
            noted = self._noted(file, path)
            lacking = {tag: share for tag, share in self._known.items() if tag not in noted}
            if not create and (lacking or not file.notes):
                raise FrameError(
                    f"the book of scored rows {path!r} is older than the half, which knows {len(lacking)} rows more: "
                    "restore it as it was last"
                )
            if lacking or not file.notes:
                self._note(file, lacking)
            self._known |= noted
            self.path, self._read = path, file.place

    def take(self, marks: Sequence[bytes], share: bytes, job: str = "") -> None:
        """Note that rows are scored; it is on the disk when this returns, if there is a file.

        Parameters
        ----------
        marks : sequence of bytes
            From :func:`marks_of`.
        share : bytes
            What leaves when this returns, and later again, follows from it: this party's share of the points; empty if
            it is not known.
        job : str
            The job in which they are scored, for the refusals to come.

        Raises
        ------
        PolicyRefused
            If the model has scored one of them before, with another share; the error names the jobs.
        FrameError, ProtocolAbort, OSError
            As :meth:`keep`.
        """
        digest = hashlib.sha256(share + b"".join(marks)).digest()[:MARK] if share else bytes(MARK)
        said = {self._tag(mark): digest for mark in marks}
        refuse_reentry(self._lock, "note in this book")
        with self._lock, self._file() as file:  # from the look to the note: two at once must not both be the first
            again = {tag for tag in said if tag in self._known and self._known[tag] != digest}
            self._refuse(again, len(marks), file)
            if file is not None and not said.keys() <= self._known.keys():
                self._note(file, said, job)
                self._read = file.place
            self._known |= said

    def refuse(self, marks: Sequence[bytes]) -> None:
        """Raise PolicyRefused if the model has scored one of these; otherwise as :meth:`take`."""
        refuse_reentry(self._lock, "note in this book")
        with self._lock, self._file() as file:
            self._refuse({tag for mark in marks if (tag := self._tag(mark)) in self._known}, len(marks), file)

    def require(self, marks: Sequence[bytes], last: Sequence[bytes] = (), share: bytes = b"") -> None:
        """Compare the book with the kept steps of a job, by which the model has scored these rows.

        Parameters
        ----------
        marks, last : sequence of bytes
            Of all these rows, and of those that a step which is taken again may open once more.
        share : bytes
            That of `last`.

        Raises
        ------
        FrameError
            If the file lacks some: an older copy would let rows be scored again whose scores have left. A book in
            memory, which a new process begins, takes them.
        ProtocolAbort, OSError
            As :meth:`keep`.
        """
        if not self.path:
            if share and not any(self._tag(mark) in self._known for mark in last):
                self.take(last, share)
            self._known = {self._tag(mark): bytes(MARK) for mark in marks} | self._known
            return
        refuse_reentry(self._lock, "note in this book")
        with self._lock, self._file():
            lacking = sum(self._tag(mark) not in self._known for mark in marks)
        if lacking:
            raise FrameError(
                f"the book of scored rows {self.path!r} lacks {lacking} rows that this job has scored by its kept "
                "steps: it is an older copy; restore it as it was last"
            )

    @contextlib.contextmanager
    def held(self, job: str) -> Iterator[None]:
        """Keep other jobs that hold the book from scoring with the model at the same time.

        Raises
        ------
        ProtocolAbort
            If another job holds it: naming the job.
        OSError
            If the lock cannot be made beside the book.
        """
        if not self.path:
            yield
            return
        path = f"{self.path}.lock"
        try:
            lock = files.open_locked(path)
        except BlockingIOError:
            with open(path, encoding="utf-8", errors="replace") as file:
                other = file.read(_LONGEST_JOB)
            raise ProtocolAbort(
                f"the book of scored rows {self.path!r} is in use by the job {other!r}, which scores with this model: "
                "wait for its end, then start again"
            ) from None
        try:
            os.ftruncate(lock, 0)
            os.write(lock, job.encode(errors="replace"))
            yield
        finally:
            os.close(lock)

    def to_bytes(self) -> bytes:
        """Return all hashes, sorted."""
        return b"".join(sorted(self._known))

    @staticmethod
    def _refuse(again: Collection[bytes], rows: int, file: SealedNotes | None) -> None:
        if not again:
            return
        jobs = list(dict.fromkeys(job for note in file.whole() if (job := _job_of(note, again)))) if file else []
        where = f" (in {', '.join(map(repr, jobs[:_JOBS]))}{', ...' if len(jobs) > _JOBS else ''})" if jobs else ""
        raise PolicyRefused(
            f"{len(again)} of {rows} ids have been scored by this model{where}: a row is scored once, since a second "
            "score shows more of it; use the scores of the first time, leave these rows out, or, if that job was "
            "interrupted, start it again with its state directory",
            clause="max_rows_scored",
            purpose=LOGISTIC_SCORES.purpose,
        )

    def _tag(self, mark: bytes) -> bytes:
        return hmac.digest(self._key, mark, "sha256")[:MARK]

    @contextlib.contextmanager
    def _file(self) -> Iterator[SealedNotes | None]:
        """Open the file, if there is one, and read what other processes have noted."""
        if not self.path:
            self._refuse_fork()
            yield None
            return
        with self._opened(self.path, create=False, after=self._read) as file:
            if not file.place[0]:
                raise FrameError(f"the book of scored rows {self.path!r} was emptied: restore it as it was last")
            self._known |= self._noted(file, self.path)
            self._read = file.place
            yield file

    def _refuse_fork(self) -> None:
        if not self.path and self._process is not process():
            raise ProtocolAbort(
                "this half was made by the parent process and not saved, so each side of the fork could score the same "
                "rows: save() it before the fork"
            )

    @contextlib.contextmanager
    def _opened(self, path: str, *, create: bool, after: tuple[int, bytes] | None = None) -> Iterator[SealedNotes]:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                file = SealedNotes(path, self._key, "book of scored rows", create=create, after=after)
                break
            except (OSError, ValueError):
                if create or os.path.isfile(path):
                    raise
                raise FrameError(
                    f"the book of scored rows {path!r} is missing, without which rows would be scored again: restore "
                    "it; if it was moved, put it back, or give its place now to load(..., book=)"
                ) from None
            except ProtocolAbort:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
        with file:
            yield file

    def _noted(self, file: SealedNotes, path: str) -> dict[bytes, bytes]:
        known: dict[bytes, bytes] = {}
        for note in file.notes:
            known |= _rows_of(note)
        mine = self._known
        if twice := sum(
            mine.get(tag, share) != share and any(share) and any(mine[tag]) for tag, share in known.items()
        ):
            raise FrameError(
                f"the book of scored rows {path!r} notes other shares of {twice} rows than this half: two copies of "
                "the half have opened these rows; train again, and score with the new model"
            )
        return known

    @staticmethod
    def _note(file: SealedNotes, said: Mapping[bytes, bytes], job: str = "") -> None:
        columns = {"rows": b"".join(said), "shares": b"".join(said.values())}
        about = {"job": job} if job else {}
        file.append(pack_state(_TASK, about, {name: np.frombuffer(data, np.uint8) for name, data in columns.items()}))


def book_of(
    half: Secretive,
    model: bytes,
    path: str | os.PathLike[str],
    given: str | os.PathLike[str] | None,
    *,
    before: bytes | None,
    known: bytes,
) -> Book:
    """Return the book of a host's half that was saved: from where it was then, or beside the half.

    Parameters
    ----------
    half : Secretive
        The half.
    model : bytes
        The training's name.
    path : path-like
        The half's file.
    given : path-like or None
        Where the user says that the book is.
    before : bytes or None
        Its place when the half was saved; None in files of a version that had no books, where it is made.
    known : bytes
        What the book held then.

    Raises
    ------
    FrameError
        If the book is missing, was altered, or is older than the half.
    """
    usual = beside(path, model)
    if before is None:
        book = Book(half, model)
        book.take([known[i : i + MARK] for i in range(0, len(known), MARK)], b"")
        book.keep(usual if given is None else given, create=given is None)
        return book
    book, kept = Book(half, model, known), os.fsdecode(before)
    places = [kept, os.path.join(os.path.dirname(usual), os.path.basename(kept))]
    found = [place for place in places if os.path.isfile(place)] if given is None else [os.fspath(given)]
    book.keep(found[0] if found else places[0], create=False)
    return book


def _rows_of(note: bytes) -> dict[bytes, bytes]:
    _, columns = unpack_state(note, _TASK)
    rows, shares = columns["rows"].tobytes(), columns["shares"].tobytes()
    return {rows[i : i + MARK]: shares[i : i + MARK] for i in range(0, len(rows), MARK)}


def _job_of(note: bytes, again: Collection[bytes]) -> str:
    """Return the job that noted one of these rows, empty if the note does not say."""
    fields, _ = unpack_state(note, _TASK)
    job = str(fields.get("job", ""))
    return job if job and not _rows_of(note).keys().isdisjoint(again) else ""
