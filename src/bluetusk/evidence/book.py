"""The audit book: what a guest encrypted, with the seeds of its randomness, sealed under a passphrase.

While a book is entered, the guest's halves of the protocols ask it for the randomness of what an audit opens: encrypted
labels, and the gradients of each tree. A page with the numbers and a fresh seed is on the disk before the array leaves.
An auditor who gets the book and its passphrase encrypts the numbers again under the *public* key and compares with the
digests in the logs of both parties (:mod:`bluetusk.vertical.auditing`); the private key of the labels stays where it
is. That of a regression, or of a scoring by it, is in the book, with each message of the host.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._numeric import as_array
from .._once import Uncopied
from .._random import SEED_BYTES
from ..errors import BluetuskError, FrameError, ProtocolAbort
from ..paillier import hazmat
from ..paillier.keys import PublicKey
from ..paillier.seed import SEEDS, Seed
from ..storage.append import AppendFile, read_whole
from ..wire import frame
from ._commit import (
    ROWS,
    Commitment,
    array_digest,
    commitments,
    leaves_in,
    leaves_of,
    rows_digest,
    settings_digest,
)
from ._pages import begin, opened, pages, sealed_page

__all__ = [
    "ARRAY",
    "HEARD",
    "ROWS",
    "STEP",
    "AuditBook",
    "Commitment",
    "Entry",
    "array_digest",
    "auditing",
    "commitments",
    "leaves_in",
    "note_sent",
    "rows_digest",
    "seed_for",
    "settings_digest",
]

STEP, HEARD, ARRAY = "step", "heard", "array"
"""Pages of a step that is replayed: its begin, each message that came, each array that was made."""

_REFUSED = (
    "this is not an audit book, or it is damaged, or the passphrase is wrong; check the path and the passphrase, or "
    "restore the book from its backup"
)
_LARGEST = 1 << 31
_TYPES = ("<f8", "<i8", "<i4", "<i2", "|u1", "|b1")
_META = ("arrays", "count", "facts", "job", "key", "name", "number", "task", "width")

_BOOK: ContextVar[AuditBook | None] = ContextVar("bluetusk_book", default=None)


def auditing() -> AuditBook | None:
    """Return the book that is entered in this thread (or task of asyncio), None without one.

    Examples
    --------
    >>> auditing() is None
    True
    """
    return _BOOK.get()


def seed_for(pub: PublicKey, task: str, name: str, values: Iterable[int], number: int = 0) -> Seed | None:
    """Return :meth:`AuditBook.array` of the book that is entered, None without one.

    Examples
    --------
    >>> seed_for(pub, "woe-binning", "labels", [1, 0]) is None
    True
    """
    book = auditing()
    return None if book is None else book.array(pub, task, name, number, values)


def note_sent(task: str, name: str, number: int, data: bytes, **facts: Any) -> None:
    """Note in the book that is entered, if any, which ciphertexts of its arrays a frame holds, in which order.

    Examples
    --------
    >>> note_sent("woe-binning", "sent", 0, pub.encrypt([1, 2]).to_bytes(), rows=2, first=0, step=1)
    """
    book = auditing()
    if book is not None:
        key, leaves = leaves_in(data)
        array = np.frombuffer(leaves, np.uint8).reshape(-1, 32)
        book.note(task, name, number, facts=facts | {"key": key.hex()}, arrays={"leaves": array})


@dataclass(frozen=True, eq=False)
class Entry:
    """A page of a book.

    Attributes
    ----------
    job, task : str
        The job, and the task within it.
    name : str
        What it is: "labels", "gradients" of a tree, or a note of the task.
    number : int
        Which part or tree.
    facts : dict
        Small values.
    arrays : dict of str to ndarray
        What the numbers follow from, row by row.
    key : PublicKey or None
        Of an encrypted array: its key.
    values : list of int
        Of an encrypted array: the integers that were encrypted.
    seed : tuple
        The arguments of its :class:`~bluetusk.paillier.seed.Seed`: who has them can open the array.
    """

    job: str
    task: str
    name: str
    number: int
    facts: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    key: PublicKey | None
    values: list[int]
    seed: tuple[Any, ...]

    def leaves(self) -> bytes:
        """Encrypt the integers again and return SHA-256 of each ciphertext, end to end.

        Examples
        --------
        See :class:`AuditBook`.

        >>> Entry.leaves.__name__
        'leaves'
        """
        assert self.key is not None
        n, width = int(self.key.n), self.key.bits // 4
        again = hazmat.encrypt_with(self.key, [value % n for value in self.values], Seed(*self.seed))
        assert isinstance(again, list)
        return leaves_of(int(each).to_bytes(width, "little") for each in again)


class AuditBook(Uncopied):
    """What a guest encrypted and the seeds, kept while it is entered.

    A seed serves one array, and is as secret as the array's numbers: the book is, too. Entered, it costs little: the
    randomness comes from AES instead of the operating system, and some 20 bytes a row and tree go to the disk.

    Parameters
    ----------
    path : path-like
        The file; made (mode 0600) if absent, continued if there, as by a job that is resumed.
    passphrase : str or bytes
        Opens the file; scrypt and AES-256-GCM, as for key files.
    job : str
        The job's name, that of the :class:`~bluetusk.evidence.Recorder`.

    Raises
    ------
    InvalidKey
        If the file is not an audit book, or the passphrase is wrong.
    FrameError
        If a page was altered.
    ProtocolAbort
        If it is in use, or (later) if a page cannot be written: then nothing is encrypted.
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import bluetusk as bt
    >>> from bluetusk.paillier.array import encrypt_integers
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "book")
    ...     with bt.evidence.AuditBook(path, "correct horse", job="job-7") as book:
    ...         seed = book.array(pub, "binning", "labels", 0, [0, 1, 1])
    ...         y = np.array([0, 1, 1])
    ...         c = encrypt_integers(priv, y, bt.FixedPoint.integers(1), frac=0, bound=1, seed=seed)
    ...     book.close()
    ...     (entry,), torn = bt.evidence.AuditBook.read(path, "correct horse")
    >>> entry.name, entry.values, len(entry.leaves()) // 32, torn
    ('labels', [0, 1, 1], 3, 0)
    """

    _no_copy = "its pages are numbered, and two copies would write the same numbers"

    def __init__(self, path: str | os.PathLike[str], passphrase: str | bytes, *, job: str) -> None:
        self.job = job
        self._seq = 0
        self._token: Token[AuditBook | None] | None = None
        if not os.path.lexists(path):
            begin(path, frame.Kind.AUDIT_BOOK, passphrase)
        self._file = AppendFile(path)
        try:
            data = self._file.read()
            self._id, self._cipher, end = opened(data, frame.Kind.AUDIT_BOOK, passphrase, _REFUSED)
            for header, _, whole in _pages(data, end, self._id, self._cipher):
                self._seq, end = header["seq"] + 1, whole
            self._file.cut(end)
            self._end = end
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> AuditBook:
        self._token = _BOOK.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        if self._token is not None:
            _BOOK.reset(self._token)
            self._token = None

    def close(self) -> None:
        """Release the file; it may be entered again only after it was opened anew.

        Examples
        --------
        See :class:`AuditBook`.

        >>> AuditBook.close.__name__
        'close'
        """
        self._file.close()

    def array(
        self,
        pub: PublicKey,
        task: str,
        name: str,
        number: int,
        values: Iterable[int],
        *,
        facts: Mapping[str, Any] | None = None,
        arrays: Mapping[str, NDArray[Any]] | None = None,
    ) -> Seed:
        """Keep the integers that are about to be encrypted, and return the fresh seed of their randomness.

        Parameters
        ----------
        pub : PublicKey
            The key.
        task, name, number
            As in :class:`Entry`.
        values : iterable of int
            The integers, one each ciphertext.
        facts, arrays : mapping, optional
            As in :class:`Entry`.

        Returns
        -------
        Seed
            For ``encrypt_integers(seed=)``: once, a retaken step asks again.

        Raises
        ------
        ProtocolAbort
            If the page cannot be written.

        Examples
        --------
        See :class:`AuditBook`.

        >>> AuditBook.array.__name__
        'array'
        """
        secret = os.urandom(SEED_BYTES)
        self._write(task, name, number, facts, arrays, pub, secret, [int(value) for value in values])
        return Seed(secret, self._id, *_named(self.job, task, name, number))

    def note(
        self,
        task: str,
        name: str,
        number: int = 0,
        *,
        facts: Mapping[str, Any] | None = None,
        arrays: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Keep what an audit needs besides the encrypted arrays, such as ids of the rows.

        Parameters
        ----------
        task, name, number, facts, arrays
            As in :class:`Entry`; facts are what JSON can hold.

        Raises
        ------
        ProtocolAbort
            If the page cannot be written.

        Examples
        --------
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     book = AuditBook(os.path.join(folder, "book"), "correct horse", job="job-7")
        ...     book.note("binning", "rows", facts={"ids": ["7", "9"]})
        ...     book.close()
        ...     AuditBook.read(os.path.join(folder, "book"), "correct horse")[0][0].facts
        {'ids': ['7', '9']}
        """
        self._write(task, name, number, facts, arrays, None, b"", [])

    @contextlib.contextmanager
    def step(
        self,
        task: str,
        number: int,
        *,
        facts: Mapping[str, Any] | None = None,
        arrays: Mapping[str, NDArray[Any]] | None = None,
    ) -> Iterator[Callable[[bytes], None]]:
        """Keep a step so that it can be replayed: what comes, and the seed of each array that is encrypted or masked.

        Parameters
        ----------
        task, number : str, int
            The task and its step.
        facts, arrays : mapping, optional
            As in :class:`Entry`: what this party brings into the step.

        Yields
        ------
        callable
            To be called with each frame that comes, before it is used.

        Raises
        ------
        ProtocolAbort
            If a page cannot be written.

        Examples
        --------
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     book = AuditBook(os.path.join(folder, "book"), "correct horse", job="job-7")
        ...     with book.step("example", 0) as heard:
        ...         heard(b"a frame")
        ...     book.close()
        ...     [entry.name for entry in AuditBook.read(os.path.join(folder, "book"), "correct horse")[0]]
        ['step', 'heard']
        """

        def heard(data: bytes) -> None:
            self.note(task, HEARD, number, arrays={"frame": np.frombuffer(data, np.uint8)})

        def seed(pub: PublicKey, values: Sequence[int]) -> Seed:
            return self.array(pub, task, ARRAY, number, values)

        self.note(task, STEP, number, facts=facts, arrays=arrays)
        token = SEEDS.set(seed)
        try:
            yield heard
        finally:
            SEEDS.reset(token)

    @staticmethod
    def read(path: str | os.PathLike[str], passphrase: str | bytes) -> tuple[list[Entry], int]:
        """Read a book.

        Parameters
        ----------
        path : path-like
            The file.
        passphrase : str or bytes
            Its passphrase.

        Returns
        -------
        entries : list of Entry
            In the order in which they were written.
        torn : int
            Bytes of a last page that was being written when its process died: its array never left.

        Raises
        ------
        InvalidKey
            If the file is not an audit book, or the passphrase is wrong.
        FrameError
            If a page was altered, moved or taken out, or does not hold what a page must.
        OSError
            If the file cannot be read.

        Examples
        --------
        See :class:`AuditBook`.

        >>> AuditBook.read.__name__
        'read'
        """
        data = read_whole(path)
        id, cipher, end = opened(data, frame.Kind.AUDIT_BOOK, passphrase, _REFUSED)
        entries: list[Entry] = []
        keys: dict[bytes, PublicKey] = {}
        for header, content, whole in _pages(data, end, id, cipher):
            try:
                entries.append(_entry(id, content, keys))
            except (BluetuskError, ValueError, TypeError, KeyError, RecursionError) as error:
                raise FrameError(f"page {header['seq']} does not hold what a page must: {error}") from None
            end = whole
        return entries, len(data) - end

    def _write(
        self,
        task: str,
        name: str,
        number: int,
        facts: Mapping[str, Any] | None,
        arrays: Mapping[str, NDArray[Any]] | None,
        pub: PublicKey | None,
        secret: bytes,
        values: Sequence[int],
    ) -> None:
        given = {each: as_array(array, each) for each, array in (arrays or {}).items()}
        for each, array in given.items():
            if array.dtype.str not in _TYPES:
                raise TypeError(f"arrays[{each!r}] is of {array.dtype}: a book holds {', '.join(_TYPES)}")
        width = max((value.bit_length() // 8 + 1 for value in values), default=1)
        meta = {
            "job": self.job,
            "task": task,
            "name": name,
            "number": int(number),
            "facts": dict(facts or {}),
            "arrays": [[each, array.dtype.str, list(array.shape)] for each, array in given.items()],
            "key": "" if pub is None else pub.to_bytes().hex(),
            "width": width,
            "count": len(values),
        }
        about = json.dumps(meta).encode()
        numbers = b"".join(value.to_bytes(width, "little", signed=True) for value in values)
        raw = b"".join(array.tobytes() for array in given.values())
        content = b"".join([len(about).to_bytes(8, "little"), about, secret, numbers, raw])
        with self._file.turn:
            page = sealed_page(self._id, self._cipher, frame.Kind.AUDIT_PAGE, {"seq": self._seq}, content)
            try:
                end = self._file.append(page, self._end)
            except OSError as error:
                raise ProtocolAbort(
                    f"cannot write a page of the audit book {self._file.path!r} ({error.strerror or error}), so "
                    "nothing is encrypted: make room, or leave audit mode"
                ) from None
            self._seq, self._end = self._seq + 1, end


def _named(job: str, task: str, name: str, number: int) -> tuple[str | int, ...]:
    return job, task, name, number


def _pages(data: bytes, start: int, id: bytes, cipher: Any) -> Any:
    kind = frame.Kind.AUDIT_PAGE
    return pages(data, start, id, cipher, kind, (), lambda header: None, largest=_LARGEST, word="page")


def _entry(id: bytes, content: bytes, keys: dict[bytes, PublicKey]) -> Entry:
    size = int.from_bytes(content[:8], "little")
    meta = json.loads(content[8 : 8 + size])
    if not isinstance(meta, dict) or sorted(meta) != list(_META):
        raise ValueError("its description has other fields")
    rest = memoryview(content)[8 + size :]
    job, task, name, number = str(meta["job"]), str(meta["task"]), str(meta["name"]), int(meta["number"])
    pub, values = None, []
    seed: tuple[Any, ...] = ()
    if meta["key"]:
        raw = bytes.fromhex(meta["key"])
        pub = keys.get(raw) or keys.setdefault(raw, PublicKey.from_bytes(raw))
        secret, rest = bytes(rest[:SEED_BYTES]), rest[SEED_BYTES:]
        seed = (secret, id, *_named(job, task, name, number))
        width, count = int(meta["width"]), int(meta["count"])
        if width < 1 or count < 0 or len(secret) != SEED_BYTES or width * count > len(rest):
            raise ValueError("its numbers are not all there")
        values = [int.from_bytes(rest[i * width : (i + 1) * width], "little", signed=True) for i in range(count)]
        rest = rest[width * count :]
    arrays: dict[str, NDArray[Any]] = {}
    for each, kind, shape in meta["arrays"]:
        if kind not in _TYPES or any(not isinstance(axis, int) or axis < 0 for axis in shape):
            raise ValueError("its arrays are of another type")
        size = math.prod(shape) * np.dtype(kind).itemsize
        if size > len(rest):
            raise ValueError("its arrays are not all there")
        arrays[str(each)] = np.frombuffer(rest[:size], kind).reshape(shape)
        rest = rest[size:]
    if len(rest):
        raise ValueError("it holds more than it describes")
    return Entry(job, task, name, number, dict(meta["facts"]), arrays, pub, values, seed)
