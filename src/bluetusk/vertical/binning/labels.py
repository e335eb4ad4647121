"""Encrypts the guest's labels once, and notes at the host which ciphertext stands for the label of each row."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._closing import Closing
from ..._locks import Locked, refuse_reentry
from ..._numeric import Ints, as_array, as_bool
from ..._parallel import num_threads
from ...errors import BluetuskError, FrameError
from ...paillier.array import CipherArray
from ...paillier.ephemeral import ephemeral_key, restored_key, saved_key
from ...paillier.keys import PrivateKey, PublicKey
from ...wire import frame
from ..align.ids import as_ids
from ..base import check_key_size
from ..protocol.notes import SealedNotes
from ..protocol.state import pack_state, unpack_state
from ..saving import load_frame, save_frame
from ..tables.columns import as_labels
from ..tables.plain import listed
from .common import ROW, encrypted_labels, received

__all__ = ["KnownRows", "LabelArray", "LabelBook", "chained", "hashes_of"]

_ARRAY = "label-array"
_BOOK = "label-book"
_MARK = 16  # bytes of a hash kept for each row: two of 10^9 rows have the same one with a chance of 10^-20


def hashes_of(pub: PublicKey, data: bytes | memoryview, rows: int) -> NDArray[np.uint8]:
    """Return a hash of each ciphertext of a frame together with its key, shape (rows, 16)."""
    payload = frame.decode(data, frame.Kind.CIPHER_ARRAY).payload
    size = len(payload) // max(rows, 1)
    marks = [hashlib.sha256(pub.fingerprint + payload[i * size : (i + 1) * size]).digest()[:_MARK] for i in range(rows)]
    return np.frombuffer(b"".join(marks), np.uint8).reshape(rows, _MARK)


def chained(digest: bytes, data: bytes | memoryview) -> bytes:
    """Return the digest of the parts of a label array so far, with one more frame of ciphertexts."""
    payload = frame.decode(data, frame.Kind.CIPHER_ARRAY).payload
    return hashlib.sha256(digest + hashlib.sha256(payload).digest()).digest()


class LabelArray:
    """The guest's labels, encrypted once, for every binning of these rows: hosts see that they never change.

    Parameters
    ----------
    y : array_like of shape (n,)
        Labels of all rows in common, 0 and 1.
    ids : iterable of str or int, optional
        The ids of the rows, read as by :func:`intersect`: for :meth:`including` and :meth:`at`.
    key_size : {3072, 2048, 4096}
        Bits of the Paillier key that is made for them.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Attributes
    ----------
    labels : ndarray of int64
        The labels.
    ids : list of str or None
        The ids.
    public_key : PublicKey
        The key.

    Notes
    -----
    Index it with the rows of a fit (a mask, a slice, places): the result has the same key and the ciphertexts of these
    rows. With ids, :meth:`including` adds the rows of a later intersection, in which the earlier ones keep their
    ciphertexts, and :meth:`at` picks rows. The object holds labels and the private key: keep its file as you keep them.

    Examples
    --------
    >>> labels = LabelArray([0, 1, 1, 0], key_size=2048)
    >>> len(labels), len(labels[[0, 2]]), labels[1:].labels
    (4, 2, array([1, 1, 0]))
    """

    def __init__(
        self,
        y: ArrayLike,
        ids: Iterable[Any] | None = None,
        *,
        key_size: int = 3072,
        threads: int | None = None,
    ) -> None:
        given = as_array(y, "y")
        self.labels: Ints = as_labels(given, given.size, "entries of y")
        self.ids = None if ids is None else as_ids(ids)
        if self.ids is not None and len(self.ids) != len(self):
            raise ValueError(f"ids has {len(self.ids)} ids, y {len(self)} labels: give one id for each label")
        size = check_key_size(key_size)
        with num_threads(threads):
            self._priv = ephemeral_key(size)
            self._ciphertexts = encrypted_labels(self._priv, self.labels)

    @classmethod
    def _of(cls, priv: PrivateKey, labels: Ints, ids: list[str] | None, ciphertexts: CipherArray) -> LabelArray:
        made = object.__new__(cls)
        made._priv, made.labels, made.ids, made._ciphertexts = priv, labels, ids, ciphertexts
        return made

    @property
    def public_key(self) -> PublicKey:
        """The key of the array.

        Examples
        --------
        >>> LabelArray([0, 1], key_size=2048).public_key.bits
        2048
        """
        return self._priv.public_key

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> LabelArray:
        places = np.arange(len(self))[rows]
        if places.ndim != 1:
            raise IndexError("index a LabelArray with a mask, a slice or places: one row is not an array")
        ids = None if self.ids is None else [self.ids[k] for k in places.tolist()]
        return self._of(self._priv, self.labels[places], ids, self._ciphertexts[places])

    def including(self, ids: Iterable[Any], y: ArrayLike, *, threads: int | None = None) -> LabelArray:
        """Return an array with the rows that are new behind these, encrypted under the same key.

        Parameters
        ----------
        ids : iterable of str or int
            Ids of rows, known ones or new ones.
        y : array_like of shape (m,)
            Their labels, 0 and 1.
        threads : int, optional
            Overrides :func:`bluetusk.set_num_threads`.

        Returns
        -------
        LabelArray
            This one, if no row is new.

        Raises
        ------
        ValueError
            If this array has no ids, the lengths differ, or a known row has another label now.

        Examples
        --------
        >>> labels = LabelArray([0, 1], ["A", "B"], key_size=2048)
        >>> labels.including(["B", "C"], [1, 1]).labels
        array([0, 1, 1])
        """
        place = self._places()
        names, given = as_ids(ids), as_array(y, "y")
        if given.shape != (len(names),):
            raise ValueError(f"y must have one label for each of the {len(names)} ids, not shape {given.shape}")
        marked = as_labels(np.concatenate([self.labels, given]), len(self) + given.size, "entries of y")[len(self) :]
        changed = sum(
            text in place and self.labels[place[text]] != value for text, value in zip(names, marked, strict=True)
        )
        if changed:
            raise ValueError(
                f"y differs from the labels that were encrypted before, in {changed} rows: make a new LabelArray, "
                "which the host takes with LabelBook(second_labels=True) only"
            )
        new = [k for k, text in enumerate(names) if text not in place]
        if not new:
            return self
        with num_threads(threads):
            more = encrypted_labels(self._priv, marked[new])
        both: Any = np.concatenate([self._ciphertexts, more])  # a CipherArray, which NumPy's types do not know
        every = [*(self.ids or ()), *(names[k] for k in new)]
        return self._of(self._priv, np.concatenate([self.labels, marked[new]]), every, both)

    def at(self, ids: Iterable[Any]) -> LabelArray:
        """Return the array of some rows, in the order given.

        Parameters
        ----------
        ids : iterable of str or int
            Ids of rows of this array.

        Returns
        -------
        LabelArray

        Raises
        ------
        ValueError
            If this array has no ids, or lacks a row.

        Examples
        --------
        >>> LabelArray([0, 1, 1], ["A", "B", "C"], key_size=2048).at(["C", "A"]).labels
        array([1, 0])
        """
        place = self._places()
        names = as_ids(ids)
        missing = [text for text in names if text not in place]
        if missing:
            raise ValueError(f"ids holds {len(missing)} rows that this array lacks: add them by including(ids, y)")
        return self[[place[text] for text in names]]

    def _places(self) -> dict[str, int]:
        if self.ids is None:
            raise ValueError("this array has no ids: make it by LabelArray(y, ids)")
        return {text: k for k, text in enumerate(self.ids)}

    def part(self, rows: slice) -> bytes:
        """Return the frame of the ciphertexts of some rows: the same bytes each time.

        Examples
        --------
        >>> labels = LabelArray([0, 1, 1], key_size=2048)
        >>> labels.part(slice(1, 3)) == labels[1:].part(slice(0, 2))
        True
        """
        return self._ciphertexts[rows].to_bytes(ROW)

    def to_bytes(self) -> bytes:
        """Return labels, ids, private key and ciphertexts as one frame: secret.

        Examples
        --------
        >>> labels = LabelArray([0, 1], key_size=2048)
        >>> LabelArray.from_bytes(labels.to_bytes()).labels
        array([0, 1])
        """
        data, ids = self._ciphertexts.to_bytes(ROW), json.dumps(self.ids).encode()
        kept = {"ciphertexts": np.frombuffer(data, np.uint8), "ids": np.frombuffer(ids, np.uint8)}
        return pack_state(_ARRAY, {"primes": [*saved_key(self._priv)]}, {"labels": self.labels, **kept})

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> LabelArray:
        """Read what :meth:`to_bytes` returned.

        Raises
        ------
        FrameError
            If the bytes are not such a frame.

        Examples
        --------
        >>> LabelArray.from_bytes(b"")
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: frame is truncated: 0 bytes are fewer than its fixed header of 20
        """
        fields, kept = unpack_state(data, _ARRAY)
        try:
            p, q = frame.field(fields, "primes", list, length=2, items=bytes)
            priv = restored_key(p, q)
            labels = kept["labels"]  # of part of the rows: both kinds need not occur
            if labels.ndim != 1 or labels.dtype != np.int64 or not np.isin(labels, (0, 1)).all():
                raise ValueError("its labels are not 0 and 1")
            c = received(memoryview(kept["ciphertexts"].tobytes()), priv.public_key, len(labels))
            names = json.loads(kept["ids"].tobytes())
            ids = None if names is None else as_ids(listed(names, "ids"))
            if ids is not None and len(ids) != len(labels):
                raise ValueError("its ids and labels differ in number")
        except (KeyError, TypeError, ValueError, RecursionError, BluetuskError) as error:
            raise FrameError(f"the bytes do not hold an array of labels: {error}"[:200]) from None
        return cls._of(priv, labels, ids, c)

    def save(self, path: str | os.PathLike[str], passphrase: str | bytes) -> None:
        """Write it to a file of mode 0600, sealed under a passphrase (scrypt, AES-256-GCM); see :meth:`load`.

        Parameters
        ----------
        path : path-like
            The file; an existing one is replaced.
        passphrase : str or bytes
            Required: the file holds the labels and the key that opens their sums.

        Raises
        ------
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     LabelArray([0, 1], key_size=2048).save(folder + "/labels", "correct horse")
        ...     LabelArray.load(folder + "/labels", "correct horse").labels
        array([0, 1])
        """
        save_frame(path, self.to_bytes(), passphrase)

    @classmethod
    def load(cls, path: str | os.PathLike[str], passphrase: str | bytes) -> LabelArray:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            The file.
        passphrase : str or bytes
            The passphrase that it was saved with.

        Returns
        -------
        LabelArray

        Raises
        ------
        FrameError
            If the file is damaged, of another kind, or the passphrase is wrong.

        Examples
        --------
        >>> LabelArray.load("/dev/null", "correct horse")
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: /dev/null is not a regular file of at most 1 GiB
        """
        got = load_frame(path, frame.Kind.VERTICAL_STATE, passphrase)
        return cls.from_bytes(frame.encode(got.kind, got.header, got.payload))


class LabelBook(Locked, Closing):
    """A host's note of which ciphertext stood for the label of each row, so that a guest cannot exchange labels.

    With other labels for the same rows a guest learns more about the host's bins at every fit; with labels of its
    choice, which row is in which bin. The book keeps a keyed hash of each id and a hash of the ciphertext and its key,
    before the host answers. It covers all intersections with one guest: rows that are in two of them have one
    ciphertext. Keep one book for each guest, since two guests have different labels for the same ids.

    Parameters
    ----------
    path : path-like, optional
        A file of mode 0600, made if absent; one book at a time has it open. Without it the book is in memory.
    key : bytes
        32 secret bytes, the same each time: without them the file does not show which ids it is about.
    second_labels : bool
        Accept other labels for known rows if they come under a new key, for example after defaults became known.
        Otherwise they are refused. Each acceptance goes through ``authorise(second_labels=<rows>)`` of the observer.

    Raises
    ------
    FrameError
        If the file was altered, or was made with another key.
    ProtocolAbort, OSError
        If the file is in use or cannot be opened.

    Examples
    --------
    >>> book = LabelBook(key=bytes(32))
    >>> len(book.rows(["A1", "A2"]))
    2
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, key: bytes, second_labels: bool = False) -> None:
        if not isinstance(key, bytes) or len(key) != 32:
            raise ValueError("key must be 32 bytes, kept secret and the same for each use of the file")
        super().__init__()
        self._key, self.second_labels = key, as_bool(second_labels, "second_labels")
        self._known: dict[bytes, tuple[bytes, bytes]] = {}  # by the id's tag: the ciphertext's hash, the key's
        self._file = None if path is None else SealedNotes(path, key, "label book")
        try:
            for note in [] if self._file is None else self._file.notes:
                self._read(note)
        except BaseException:
            self.close()
            raise

    def rows(self, ids: Iterable[Any]) -> KnownRows:
        """Return the part of the book about some rows: the `labels` of a host's :meth:`WoEBinning.fit`.

        Parameters
        ----------
        ids : iterable of str or int
            The ids of the rows of the fit, in their order; read as by :func:`intersect`.

        Returns
        -------
        KnownRows

        Examples
        --------
        >>> len(LabelBook(key=bytes(32)).rows(["A1", 7]))
        2
        """
        return KnownRows(self, [self._tag(text) for text in as_ids(ids)])

    def close(self) -> None:
        """Release the file.

        Examples
        --------
        >>> LabelBook(key=bytes(32)).close()
        """
        if self._file is not None:
            self._file.close()

    def _other(self, tags: Sequence[bytes], key: bytes) -> int:
        """Return how many rows have a label under another key."""
        return sum(tag in self._known and self._known[tag][1] != key for tag in tags)

    def _take(self, tags: Sequence[bytes], marks: NDArray[np.uint8], key: bytes, second: int) -> int:
        said = {tag: (bytes(mark), key) for tag, mark in zip(tags, marks, strict=True)}
        refuse_reentry(self._lock, "note in this book")
        with self._lock:  # from the comparison to the note: two fits at once must not both be the first
            other = self._other(tags, key)
            changed = {tag: mark for tag, mark in said.items() if self._known.get(tag) != mark}
            replaced = sum(tag in self._known for tag in changed) - other
            if replaced or other > second:
                return replaced + other
            if changed and self._file is not None:
                self._write(self._file, changed, key)
            self._known |= changed
        return 0

    def _write(self, file: SealedNotes, marks: Mapping[bytes, tuple[bytes, bytes]], key: bytes) -> None:
        columns = {"rows": b"".join(marks), "labels": b"".join(mark for mark, _ in marks.values())}
        arrays = {name: np.frombuffer(data, np.uint8).reshape(-1, _MARK) for name, data in columns.items()}
        file.append(pack_state(_BOOK, {"key": key}, arrays))

    def _tag(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode(), "sha256")[:_MARK]

    def _read(self, note: bytes) -> None:
        fields, columns = unpack_state(note, _BOOK)
        for tag, mark in zip(columns["rows"], columns["labels"], strict=True):
            self._known[bytes(tag)] = bytes(mark), bytes(fields["key"])


class KnownRows:
    """The part of a :class:`LabelBook` about the rows of one fit.

    Parameters
    ----------
    book : LabelBook
        The book.
    tags : list of bytes
        The keyed hash of each row's id.

    Examples
    --------
    >>> rows = LabelBook(key=bytes(32)).rows(["A1", "A2"])
    >>> rows.under_other_keys(b"key"), rows.second_labels
    (0, False)
    """

    def __init__(self, book: LabelBook, tags: list[bytes]) -> None:
        self._book, self._tags = book, tags

    def __len__(self) -> int:
        return len(self._tags)

    @property
    def second_labels(self) -> bool:
        """Whether the book accepts other labels for known rows, under a new key.

        Examples
        --------
        >>> LabelBook(key=bytes(32), second_labels=True).rows(["A1"]).second_labels
        True
        """
        return self._book.second_labels

    @property
    def digest(self) -> bytes:
        """SHA-256 of the rows, in order.

        Examples
        --------
        >>> len(LabelBook(key=bytes(32)).rows(["A1"]).digest)
        32
        """
        return hashlib.sha256(b"".join(self._tags)).digest()

    def under_other_keys(self, key: bytes) -> int:
        """Return how many rows have a label that is encrypted under another key than the one of this fingerprint.

        Examples
        --------
        See :class:`KnownRows`.

        >>> LabelBook(key=bytes(32)).rows(["A1"]).under_other_keys(b"key")
        0
        """
        return self._book._other(self._tags, key)

    def take(self, marks: NDArray[np.uint8], key: bytes, second: int = 0) -> int:
        """Note the hashes of the rows' ciphertexts on disk, unless a row has another one already.

        Parameters
        ----------
        marks : ndarray of uint8, shape (rows, 16)
            From :func:`hashes_of`.
        key : bytes
            The fingerprint of their key.
        second : int
            How many rows may have had a label under another key.

        Returns
        -------
        int
            How many rows speak against it; 0 if the hashes were noted.

        Raises
        ------
        ProtocolAbort
            If they cannot be written.

        Examples
        --------
        >>> rows = LabelBook(key=bytes(32)).rows(["A1"])
        >>> rows.take(np.zeros((1, 16), np.uint8), b"key"), rows.take(np.ones((1, 16), np.uint8), b"key")
        (0, 1)
        >>> rows.take(np.ones((1, 16), np.uint8), b"another key", second=1)
        0
        """
        return self._book._take(self._tags, marks, key, second)
