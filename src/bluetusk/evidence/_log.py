"""A party's append-only log; its heads go to the peers, and it keeps the heads of theirs."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .._closing import Closing
from .._locks import UnderWay
from ..errors import InvalidKey, ProtocolAbort
from ..storage import files
from ..storage.append import AppendFile
from ..wire import frame
from ._entries import Record, encode_record, kept_head, scan
from ._head import Head, check_extension, sign_head
from ._merkle import Tree, leaf_hash
from .identity import Identity

__all__ = ["Log", "read_offer"]

_OFFER = ("head", "proof", "since")
_MOST_HASHES = 128  # a proof over 2^63 records has fewer


class Log(Closing):
    """An append-only log with a Merkle tree in the form of RFC 6962.

    Made by :meth:`create`, opened again by :meth:`open`. One process writes it; a fork may not. Each record is followed
    by a signed head of the log, and both are on the disk before :meth:`append` returns. A record that a crash left
    half-written is cut when the log is opened, and the cut is recorded.

    Attributes
    ----------
    id : bytes
        16 random bytes that identify this log.
    records : list of Record
        All records.
    recovered : int
        Bytes of a half-written record that opening has cut; 0 if none.

    References
    ----------
    RFC 6962; JR/T 0196-2020, 7.6 (evidence of every input and result).

    Examples
    --------
    >>> import bluetusk as bt, os, tempfile
    >>> me = bt.evidence.Identity.generate()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "evidence.log")
    ...     with bt.evidence.Log.create(path, me, owner="bank") as log:
    ...         log.append("started", by="bank", task="job-7")
    ...     bt.evidence.verify(path, key=me.public_key).ok
    1
    True
    """

    id: bytes
    records: list[Record]
    recovered: int
    _file: AppendFile
    _identity: Identity
    _clock: Callable[[], float]
    _tree: Tree
    _ends: dict[int, int]  # where the file ends with so many records
    _peers: dict[str, Head]
    _known: int  # records whose heads are in _peers

    def __init__(self, *args: object, **kwargs: object) -> None:
        raise TypeError("a Log is made by Log.create(path, identity, owner=...) or Log.open(path, identity)")

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        identity: Identity,
        *,
        owner: str,
        clock: Callable[[], float] = time.time,
    ) -> Log:
        """Start a log in a new file (mode 0600).

        Parameters
        ----------
        path : path-like
            A file that does not exist yet.
        identity : Identity
            Signs the heads.
        owner : str
            The owner's name.
        clock : callable, optional
            Returns seconds since 1970, UTC.

        Returns
        -------
        Log

        Raises
        ------
        FileExistsError, OSError
            If the file exists or cannot be written.

        Examples
        --------
        >>> len(log)
        1
        """
        id = os.urandom(16)
        details = {"owner": owner, "key": identity.public_key}
        record = Record(0, _now(clock), "opened", owner, "", {}, details)
        data = _entry(identity, id, record, Tree())
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "the log exists; continue it with Log.open", os.fspath(path))
        files.write(path, data)
        return cls.open(path, identity, clock=clock)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        identity: Identity,
        *,
        heads: Iterable[Head] = (),
        clock: Callable[[], float] = time.time,
    ) -> Log:
        """Open a log to continue it.

        Parameters
        ----------
        path : path-like
            The file.
        identity : Identity
            The one that began it.
        heads : iterable of Head, optional
            Heads of this log that peers hold: each is confirmed before anything is written.
        clock : callable, optional
            Returns seconds since 1970, UTC.

        Returns
        -------
        Log
            If its last record was half-written, :attr:`recovered` says how many bytes were cut.

        Raises
        ------
        ProtocolAbort
            If it was altered, does not extend one of `heads`, or is in use.
        InvalidKey
            If the log belongs to another identity.
        OSError
            If the file cannot be opened or read.

        Examples
        --------
        >>> import bluetusk as bt, os, tempfile
        >>> me = bt.evidence.Identity.generate()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "log")
        ...     bt.evidence.Log.create(path, me, owner="bank").close()
        ...     with bt.evidence.Log.open(path, me) as log:
        ...         len(log), log.recovered
        (1, 0)
        """
        file = AppendFile(path)
        try:
            data = file.read()
            found = scan(data, signatures=False)
            if found.problem is not None:
                raise ProtocolAbort(
                    f"{file.path!r}: {found.problem.reason}; keep the file, and start a new log: `bluetusk evidence "
                    "verify` says more"
                )
            if not found.records:
                raise ProtocolAbort(f"{file.path!r} holds no complete record of a log: start a new one")
            if not found.heads[-1].valid():
                raise ProtocolAbort(f"{file.path!r}: the last head is not signed by the log's owner: it was altered")
            if found.heads[-1].key != identity.public_key:
                raise InvalidKey(f"{file.path!r} is the log of another identity: open it with the key that began it")
            self = object.__new__(cls)
            self._file, self._identity, self._clock, self._tree = file, identity, clock, found.tree
            self.id, self.records, self.recovered = found.heads[-1].log, found.records, 0
            self._ends = {len(found.records): found.end}
            self._peers, self._known = {}, 0
            self._remember()
            for head in heads:
                self.confirm(head)
            if found.torn:
                file.cut(found.end)
                self.recovered = found.torn
                self.append(
                    "recovered",
                    by=found.records[0].by,
                    hashes={"cut": hashlib.sha256(data[found.end :]).digest()},
                    details={"bytes": found.torn},
                )
        except BaseException:
            file.close()
            raise
        return self

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"<Log {self.id.hex()[:8]} of {self.records[0].by!r}, {len(self)} records>"

    def close(self) -> None:
        """Release the file.

        Examples
        --------
        >>> import bluetusk as bt, os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = bt.evidence.Log.create(os.path.join(folder, "log"), bt.evidence.Identity.generate(), owner="bank")
        ...     log.close()
        """
        self._file.close()

    def append(
        self,
        what: str,
        *,
        by: str,
        task: str = "",
        hashes: Mapping[str, bytes] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> int:
        """Add a record; it is on the disk when this returns.

        Parameters
        ----------
        what : str
            What happened, 1 to 64 characters.
        by : str
            Which party did it.
        task : str, optional
            The task.
        hashes : mapping of str to bytes, optional
            SHA-256 of inputs, results, configurations. A hash reveals content that can be guessed: hash short
            or low-entropy content together with a secret salt.
        details : mapping, optional
            Small public values (bool, int, str, bytes, list, map; no float), never data.

        Returns
        -------
        int
            The record's number.

        Raises
        ------
        ProtocolAbort
            If it cannot be written: disk full, read-only, closed, in a forked process, or from within another
            addition of this thread (a signal handler or a finaliser). The log is unchanged.
        TypeError, ValueError
            If a value is of a type that a frame cannot hold, or too large.

        Examples
        --------
        >>> import hashlib
        >>> log.append("result", by="a", task="job-7", hashes={"model": hashlib.sha256(b"...").digest()})
        1
        """
        with self._file.turn:
            return self._append(what, by, task, hashes or {}, details or {})

    def head(self, size: int | None = None) -> Head:
        """Return the log's signed head.

        Parameters
        ----------
        size : int, optional
            Number of records of the log that the head is for; all by default.

        Returns
        -------
        Head

        Raises
        ------
        ValueError
            If the log has fewer records.

        Examples
        --------
        >>> log.head().size
        1
        """
        with self._file.lock:
            count = len(self) if size is None else self._size(size)
            return sign_head(self._identity, self.id, count, self._tree.root(count), self.records[count - 1].time)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the proof that a record is in the log; :func:`verify_inclusion` checks it.

        Parameters
        ----------
        index : int
            The record's number.
        size : int, optional
            Size of the tree whose root the proof leads to; by default all records.

        Returns
        -------
        list of bytes
            32 bytes each, from the leaf upwards.

        Raises
        ------
        ValueError
            If the log or the tree of `size` does not have that record.

        Examples
        --------
        >>> import bluetusk as bt
        >>> index = log.append("started", by="a")
        >>> leaf, proof, head = log.leaf(index), log.inclusion(index), log.head()
        >>> bt.evidence.verify_inclusion(index, head.size, leaf, proof, head.root)
        True
        """
        with self._file.lock:
            count = len(self) if size is None else self._size(size)
            if not 0 <= index < count:
                raise ValueError(f"index is {index}: the tree has the records 0 .. {count - 1}")
            return self._tree.inclusion(index, count)

    def leaf(self, index: int) -> bytes:
        """Return the leaf hash of a record.

        Examples
        --------
        >>> log.leaf(0) == log.head().root
        True
        """
        if not 0 <= index < len(self):
            raise ValueError(f"index is {index}: the log has the records 0 .. {len(self) - 1}")
        return self._tree.leaf(index)

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """Return the proof that the log of `new` records extends that of `old`; :func:`verify_consistency` checks it.

        Parameters
        ----------
        old : int
            The smaller size.
        new : int, optional
            The larger size; by default all records.

        Returns
        -------
        list of bytes
            32 bytes each.

        Raises
        ------
        ValueError
            If the sizes are not 0 <= old <= new <= the number of records.

        Examples
        --------
        >>> import bluetusk as bt
        >>> old = log.head()
        >>> _ = log.append("started", by="a")
        >>> new, proof = log.head(), log.consistency(old.size)
        >>> bt.evidence.verify_consistency(old.size, new.size, proof, old.root, new.root)
        True
        """
        with self._file.lock:
            count = len(self) if new is None else self._size(new)
            if not 0 <= old <= count:
                raise ValueError(f"old is {old}: it must be 0 to {count}")
            return self._tree.consistency(old, count)

    def confirm(self, head: Head) -> None:
        """Check that this log still extends a head of it that somebody else has kept.

        Parameters
        ----------
        head : Head
            Ours, as a peer gave it back.

        Raises
        ------
        ProtocolAbort
            If records that it covers are missing or changed, or it is not a head of this log.

        Examples
        --------
        >>> log.confirm(log.head())
        """
        with self._file.lock:
            if head.log != self.id or head.key != self._identity.public_key or not head.valid():
                raise ProtocolAbort("the head that the peer holds is not a head of this log")
            count = len(self.records)
            if head.size > count:
                raise ProtocolAbort(
                    f"the peer holds a head of {head.size} records of {self._file.path!r}, which has {count}: it was "
                    "cut or rolled back; restore it from a backup"
                )
            if self._tree.root(head.size) != head.root:
                raise ProtocolAbort(
                    f"the first {head.size} records of {self._file.path!r} are not those that the peer holds a head "
                    "of: history was rewritten"
                )

    def offer(self, since: int = 0) -> bytes:
        """Return our head for a peer, with the proof that it extends the last one that the peer has.

        Parameters
        ----------
        since : int, optional
            Size of the head that the peer holds; 0 for none.

        Returns
        -------
        bytes
            A frame of kind EVIDENCE_OFFER for :meth:`accept`.

        Raises
        ------
        ValueError
            If there are fewer than `since` records.

        Examples
        --------
        >>> import bluetusk as bt, os, tempfile
        >>> ours, theirs = bt.evidence.Identity.generate(), bt.evidence.Identity.generate()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     a = bt.evidence.Log.create(os.path.join(folder, "a"), ours, owner="bank")
        ...     b = bt.evidence.Log.create(os.path.join(folder, "b"), theirs, owner="host")
        ...     a.accept(b.offer(), party="host", key=theirs.public_key).size, len(a)
        ...     a.close(); b.close()
        (1, 2)
        """
        with self._file.lock:
            head, proof = self.head(), self.consistency(since)
        header = {"head": head.to_bytes(), "since": since, "proof": proof}
        return frame.encode(frame.Kind.EVIDENCE_OFFER, header)

    def accept(self, data: bytes | memoryview, *, party: str, key: bytes) -> Head:
        """Check a peer's head and keep it as a record of this log.

        Parameters
        ----------
        data : bytes-like
            What the peer's :meth:`offer` returned, with `since` the size of :meth:`peer_head`.
        party : str
            The peer's name.
        key : bytes
            Its Ed25519 key, 32 bytes.

        Returns
        -------
        Head
            The peer's head. The one that is held already is not kept twice.

        Raises
        ------
        ProtocolAbort
            Naming the party, if its log does not extend its earlier head: cut, rolled back or rewritten. The two heads
            that prove it are recorded before ("peer_refused"). Also as :meth:`append`.
        FrameError
            If `data` is not such a frame.

        Examples
        --------
        >>> import bluetusk as bt, os, tempfile
        >>> ours, theirs = bt.evidence.Identity.generate(), bt.evidence.Identity.generate()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     a = bt.evidence.Log.create(os.path.join(folder, "a"), ours, owner="bank")
        ...     b = bt.evidence.Log.create(os.path.join(folder, "b"), theirs, owner="host")
        ...     _ = a.accept(b.offer(), party="host", key=theirs.public_key)
        ...     _ = b.append("started", by="host")
        ...     a.accept(b.offer(since=a.peer_head("host").size), party="host", key=theirs.public_key).size
        ...     a.close(); b.close()
        2
        """
        head, since, proof = _signed_offer(data, party, key)
        with self._file.turn:
            self._remember()
            last = self._peers.get(party)
            if last == head:
                return head
            if last is not None and last.log == head.log and last.size < head.size and last.size != since:
                raise ProtocolAbort(
                    f"{party!r} proves its log from size {since}, but the head held here has {last.size}: send it that "
                    "head and retry"
                )
            self._check(last, head, proof, party)
            self._append("peer_head", self.records[0].by, "", {}, {"party": party, "head": head.to_bytes()})
            return head

    def examine(self, data: bytes | memoryview, *, party: str, key: bytes, held: Head | None) -> Head:
        """Check a peer's head against one of its earlier heads, without keeping it.

        Parameters
        ----------
        data, party, key
            As for :meth:`accept`.
        held : Head or None
            The head that `data` was to extend.

        Returns
        -------
        Head
            The peer's head.

        Raises
        ------
        ProtocolAbort, FrameError
            As :meth:`accept`.

        Examples
        --------
        >>> import bluetusk as bt, os, tempfile
        >>> ours, theirs = bt.evidence.Identity.generate(), bt.evidence.Identity.generate()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     a = bt.evidence.Log.create(os.path.join(folder, "a"), ours, owner="bank")
        ...     b = bt.evidence.Log.create(os.path.join(folder, "b"), theirs, owner="host")
        ...     a.examine(b.offer(), party="host", key=theirs.public_key, held=None).size, len(a)
        ...     a.close(); b.close()
        (1, 1)
        """
        head, _, proof = _signed_offer(data, party, key)
        with self._file.turn:
            self._check(held, head, proof, party)
        return head

    def peer_head(self, party: str) -> Head | None:
        """Return the last head of a peer's log that was kept here.

        Examples
        --------
        >>> log.peer_head("host") is None
        True
        """
        return self._peers.get(party)

    def _check(self, last: Head | None, head: Head, proof: list[bytes], party: str) -> None:
        """Refuse a head that does not extend the last one, and keep the two as proof; by whom the turn is."""
        try:
            check_extension(last, head, proof, party)
        except UnderWay:  # of a signal handler that came in the middle and did not catch it
            raise
        except ProtocolAbort as refusal:
            details = {"party": party, "head": head.to_bytes(), "reason": refusal.reason[:512]}
            if last is not None:
                details["held"] = last.to_bytes()
            self._append("peer_refused", self.records[0].by, "", {}, details)
            raise

    def _append(self, what: str, by: str, task: str, hashes: Mapping[str, bytes], details: Mapping[str, Any]) -> int:
        """Add a record, by whom the turn is."""
        index = len(self.records)
        record = Record(index, _now(self._clock), what, by, task, dict(hashes), dict(details))
        self._tree.truncate(index)  # of what an interrupt has left
        self._ends = {index: self._ends[index]}
        data = _entry(self._identity, self.id, record, self._tree)
        try:
            self._ends[index + 1] = self._file.append(data, self._ends[index])
        except OSError as error:
            full = files.is_full(error)
            why = "the disk is full: make room" if full else f"{error.strerror or error}: fix it"
            raise ProtocolAbort(
                f"cannot write to the log {self._file.path!r}: {why}, then start again", kind="disk" if full else None
            ) from error
        self.records.append(record)  # from here on it counts
        self._remember()
        return index

    def _remember(self) -> None:
        """Take the heads from records that are new since."""
        while self._known < len(self.records):
            kept = kept_head(self.records[self._known])
            if kept is not None:
                self._peers[kept[0]] = kept[1]
            self._known += 1

    def _size(self, size: int) -> int:
        if not 1 <= size <= len(self):
            raise ValueError(f"size is {size}: the log has {len(self)} records")
        return size


def _entry(identity: Identity, id: bytes, record: Record, tree: Tree) -> bytes:
    """Return a new entry; the tree holds its leaf then."""
    data = encode_record(id, record)
    tree.append(leaf_hash(data))
    return data + sign_head(identity, id, len(tree), tree.root(), record.time).to_bytes()


def read_offer(data: bytes | memoryview) -> tuple[Head, int, list[bytes]]:
    """Return the head in an offer, the size of the head that it extends, and the proof; nothing is checked yet."""
    header = frame.decode(data, frame.Kind.EVIDENCE_OFFER, max_payload=0).header
    frame.check_fields(header, _OFFER)
    return (
        Head.from_bytes(frame.field(header, "head", bytes, high=1024)),
        frame.field(header, "since", int, low=0, high=1 << 48),
        frame.field(header, "proof", list, high=_MOST_HASHES, items=bytes),
    )


def _signed_offer(data: bytes | memoryview, party: str, key: bytes) -> tuple[Head, int, list[bytes]]:
    head, since, proof = read_offer(data)
    if head.key != key or not head.valid():
        raise ProtocolAbort(f"the head of {party!r} is not signed with its key", party=party)
    return head, since, proof


def _now(clock: Callable[[], float]) -> int:
    return max(0, int(clock() * 1000))
