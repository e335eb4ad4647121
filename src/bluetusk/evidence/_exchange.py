"""Exchanges heads with proofs between two logs, so that neither party can change its history unnoticed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._locks import UnderWay
from ..errors import FrameError, ProtocolAbort
from ..storage.append import AppendFile
from ..wire import frame
from ._entries import NAME, Record
from ._head import Head, check_extension
from ._merkle import Tree
from .identity import Identity

__all__ = ["Exchange", "kept_head"]

_OFFER = ("head", "proof", "since")
_MOST_HASHES = 128  # a proof over 2^63 records has fewer


class Exchange:
    """The half of a log that faces its peers; see :class:`~bluetusk.evidence.Log`."""

    id: bytes
    records: list[Record]
    _file: AppendFile
    _identity: Identity
    _tree: Tree
    _peers: dict[str, Head]
    _known: int  # records whose heads are in _peers

    def _append(
        self,
        what: str,
        by: str,
        task: str = "",
        hashes: Mapping[str, bytes] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> int:
        """Add a record, by whom the turn is."""
        raise NotImplementedError

    def head(self, size: int | None = None) -> Head:
        """Return the signed head."""
        raise NotImplementedError

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """Return a proof."""
        raise NotImplementedError

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
        header = frame.decode(data, frame.Kind.EVIDENCE_OFFER, max_payload=0).header
        frame.check_fields(header, _OFFER)
        head = Head.from_bytes(frame.field(header, "head", bytes, high=1024))
        since = frame.field(header, "since", int, low=0, high=1 << 48)
        proof = frame.field(header, "proof", list, high=_MOST_HASHES, items=bytes)
        if head.key != key or not head.valid():
            raise ProtocolAbort(f"the head of {party!r} is not signed with its key", party=party)
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
            try:
                check_extension(last, head, proof, party)
            except UnderWay:  # of a signal handler that came in the middle and did not catch it
                raise
            except ProtocolAbort as refusal:
                details = {"party": party, "head": head.to_bytes(), "reason": refusal.reason[:512]}
                if last is not None:
                    details["held"] = last.to_bytes()
                self._append("peer_refused", self.records[0].by, details=details)
                raise
            self._append("peer_head", self.records[0].by, details={"party": party, "head": head.to_bytes()})
            return head

    def peer_head(self, party: str) -> Head | None:
        """Return the last head of a peer's log that was kept here.

        Examples
        --------
        >>> log.peer_head("host") is None
        True
        """
        return self._peers.get(party)

    def _remember(self) -> None:
        """Take the heads from records that are new since."""
        while self._known < len(self.records):
            kept = kept_head(self.records[self._known])
            if kept is not None:
                self._peers[kept[0]] = kept[1]
            self._known += 1


def kept_head(record: Record) -> tuple[str, Head] | None:
    """Return the peer's name and head that a record keeps; None for any other record."""
    if record.what != "peer_head":
        return None
    try:
        party = frame.field(record.details, "party", str, high=NAME)
        return party, Head.from_bytes(frame.field(record.details, "head", bytes, high=1024))
    except FrameError:
        return None
