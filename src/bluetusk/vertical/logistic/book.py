"""Keeps which rows a model has scored, at the host: on disk before their points leave.

Points are rounded at random, so a row that is scored again shows more of its score. A row may therefore be opened once;
what is sent again, because a step is taken again, must be the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..._fork import process
from ..._locks import Locked, refuse_reentry
from ..._once import Uncopied
from ...errors import FrameError, PolicyRefused, ProtocolAbort
from ...tasks import LOGISTIC_SCORES
from ..align.ids import as_ids
from ..protocol.notes import SealedNotes
from ..protocol.state import pack_state, unpack_state
from . import ring
from .half import Half

__all__ = ["MARK", "Book", "beside", "marks_of", "place_of"]

MARK = 16
"""Bytes of a hash: two of 10^9 rows have the same one with a chance of 10^-20."""
_TASK = "scored-rows"
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


class Book(Locked, Uncopied):
    """Which rows a model has scored: a keyed hash of each id, with a hash of the shares that were opened.

    Without a file it lives as long as the half in memory, in the process that made it. Once it is kept in a file, every
    process that scores with the model reads and writes that file, each time anew, so that a half which was read again
    forgets nothing.

    Parameters
    ----------
    half : Half
        The host's, whose shares nobody else knows: the key of the file derives from them.
    model : bytes
        The training's name.
    known : bytes
        The hashes in a saved half.

    Attributes
    ----------
    path : str
        The file, absolute; empty without one.

    Examples
    --------
    >>> one = ring.words([5])
    >>> book = Book(Half("host", one, one, None, 1.0, False), bytes(32))
    >>> marks = marks_of(bytes(32), ["M1", "M2", "M3"])
    >>> book.take(marks[:2], b"shares")
    >>> book.take(marks[:2], b"shares")  # the same bytes again
    >>> book.refuse(marks[1:])
    Traceback (most recent call last):
        ...
    bluetusk.errors.PolicyRefused: ...
    """

    _no_copy = "each copy would forget what the other has scored: save() the half, and load() it"

    def __init__(self, half: Half, model: bytes, known: bytes = b"") -> None:
        super().__init__()
        self._process = process()
        secret = ring.to_bytes(half.own) + ring.to_bytes(half.theirs)
        self._key = hashlib.sha256(b"bluetusk logistic book" + model + secret).digest()
        self._known = {known[i : i + MARK]: bytes(MARK) for i in range(0, len(known), MARK)}
        self.path = ""

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
            self.path = path

    def take(self, marks: Sequence[bytes], share: bytes) -> None:
        """Note that rows are scored; it is on the disk when this returns, if there is a file.

        Parameters
        ----------
        marks : sequence of bytes
            From :func:`marks_of`.
        share : bytes
            This party's share of the points, which may leave when this returns, and later again; empty if it is not
            known.

        Raises
        ------
        PolicyRefused
            If the model has scored one of them before, with another share.
        FrameError, ProtocolAbort, OSError
            As :meth:`keep`.
        """
        digest = hashlib.sha256(share + b"".join(marks)).digest()[:MARK] if share else bytes(MARK)
        said = {self._tag(mark): digest for mark in marks}
        refuse_reentry(self._lock, "note in this book")
        with self._lock, self._file() as file:  # from the look to the note: two at once must not both be the first
            again = sum(tag in self._known and self._known[tag] != digest for tag in said)
            self._refuse(again, len(marks))
            if file is not None and not said.keys() <= self._known.keys():
                self._note(file, said)
            self._known |= said

    def refuse(self, marks: Sequence[bytes]) -> None:
        """Raise PolicyRefused if the model has scored one of these; otherwise as :meth:`take`."""
        refuse_reentry(self._lock, "note in this book")
        with self._lock, self._file():
            self._refuse(sum(self._tag(mark) in self._known for mark in marks), len(marks))

    def to_bytes(self) -> bytes:
        """Return all hashes, sorted."""
        return b"".join(sorted(self._known))

    @staticmethod
    def _refuse(again: int, rows: int) -> None:
        if again:
            raise PolicyRefused(
                f"{again} of {rows} ids have been scored by this model: a row is scored once, since several "
                "roundings of a score show more of it; use the scores of the first time",
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
        with self._opened(self.path, create=False) as file:
            if not file.notes:
                raise FrameError(f"the book of scored rows {self.path!r} was emptied: restore it as it was last")
            self._known |= self._noted(file, self.path)
            yield file

    def _refuse_fork(self) -> None:
        if not self.path and self._process is not process():
            raise ProtocolAbort(
                "this half was made by the parent process and not saved, so each side of the fork could score the same "
                "rows: save() it before the fork"
            )

    @contextlib.contextmanager
    def _opened(self, path: str, *, create: bool) -> Iterator[SealedNotes]:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                file = SealedNotes(path, self._key, "book of scored rows", create=create)
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
            _, columns = unpack_state(note, _TASK)
            rows, shares = columns["rows"].tobytes(), columns["shares"].tobytes()
            known |= {rows[i : i + MARK]: shares[i : i + MARK] for i in range(0, len(rows), MARK)}
        mine = self._known.items()
        if twice := sum(known.get(tag, share) != share and any(share) and any(known[tag]) for tag, share in mine):
            raise FrameError(
                f"the book of scored rows {path!r} notes other shares of {twice} rows than this half: two copies of "
                "the half have opened these rows; train again, and score with the new model"
            )
        return known

    @staticmethod
    def _note(file: SealedNotes, said: Mapping[bytes, bytes]) -> None:
        columns = {"rows": b"".join(said), "shares": b"".join(said.values())}
        file.append(pack_state(_TASK, {}, {name: np.frombuffer(data, np.uint8) for name, data in columns.items()}))
