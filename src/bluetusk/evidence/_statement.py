"""A signed statement about a use of data: who asks for it, or who answers, under which terms.

A statement names its signer and its reader, the log in which the signer keeps it, and a counter that rises with every
statement to that reader: so it cannot be taken for one to somebody else, for another task, or for a later one. Names of
columns and further terms are under a salted hash: the reader need not know them, the signer can open the hash later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ..errors import FrameError
from ..wire import frame
from ._entries import NAME, TASK, Record
from .identity import Identity, signature_holds

__all__ = ["MOST_BYTES", "Statement", "kept_statement", "terms_of"]

MOST_BYTES = 2048
"""Largest statement."""
_HASH = 32
_SIGNATURE = 64
KEPT = {"asked": "request", "answered": "answer", "peer_asked": "request", "peer_answered": "answer"}
"""What records of a log that keep a statement are called, and its kind."""


@dataclass(frozen=True)
class Statement:
    """A request or an answer.

    Attributes
    ----------
    kind : str
        "request" or "answer".
    key, to : bytes
        The Ed25519 keys of who signs and of who reads, 32 bytes.
    log : bytes
        The id of the signer's log.
    counter : int
        Rises with every statement from this log to this reader; from 1.
    job, task, purpose : str
        The use.
    columns, rows : int
        How many of the signer's columns and rows are used.
    terms : bytes
        SHA-256 of a salt, the names of the columns and further terms.
    ids : bytes
        A digest of the rows that both know, 32 bytes; empty where they are not known yet.
    of : bytes
        In an answer: SHA-256 of the request.
    signature : bytes
        64 bytes.
    """

    kind: str
    key: bytes
    to: bytes
    log: bytes
    counter: int
    job: str
    task: str
    purpose: str
    columns: int
    rows: int
    terms: bytes
    ids: bytes
    of: bytes
    signature: bytes = b""

    def signed(self, identity: Identity) -> Statement:
        """Return the statement, signed."""
        return replace(self, signature=identity.sign(self._unsigned()))

    def valid(self) -> bool:
        """Return whether the signature is that of :attr:`key`; the caller must know whose key that is."""
        return signature_holds(self.key, self.signature, self._unsigned())

    def digest(self) -> bytes:
        """Return the SHA-256 hash of the whole statement."""
        return hashlib.sha256(self.to_bytes()).digest()

    def to_bytes(self) -> bytes:
        """Return the statement as a frame of kind EVIDENCE_STATEMENT."""
        return frame.encode(frame.Kind.EVIDENCE_STATEMENT, {name: getattr(self, name) for name in _FIELDS})

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Statement:
        """Read a frame; FrameError if it is not one of a statement. The signature is checked by :meth:`valid`."""
        if len(data) > MOST_BYTES:
            raise FrameError(f"a statement has at most {MOST_BYTES} bytes, not {len(data)}")
        header = frame.decode(data, frame.Kind.EVIDENCE_STATEMENT, max_payload=0).header
        frame.check_fields(header, _FIELDS)
        made = cls(
            frame.field(header, "kind", str, choices=("request", "answer")),
            frame.field(header, "key", bytes, length=32),
            frame.field(header, "to", bytes, length=32),
            frame.field(header, "log", bytes, length=16),
            frame.field(header, "counter", int, low=1, high=1 << 48),
            frame.field(header, "job", str, high=TASK),
            frame.field(header, "task", str, high=TASK),
            frame.field(header, "purpose", str, low=1, high=NAME),
            frame.field(header, "columns", int, low=0, high=1 << 32),
            frame.field(header, "rows", int, low=0, high=1 << 48),
            frame.field(header, "terms", bytes, length=_HASH),
            frame.field(header, "ids", bytes, high=_HASH),
            frame.field(header, "of", bytes, high=_HASH),
            frame.field(header, "signature", bytes, length=_SIGNATURE),
        )
        if (len(made.of) == _HASH) != (made.kind == "answer") or len(made.ids) not in (0, _HASH):
            raise FrameError("frame field 'of' or 'ids' has the wrong length")
        return made

    def _unsigned(self) -> bytes:
        fields = {name: getattr(self, name) for name in _FIELDS if name != "signature"}
        return frame.encode(frame.Kind.EVIDENCE_STATEMENT, fields)


_FIELDS = tuple(each.name for each in fields(Statement))


def terms_of(salt: bytes, columns: Sequence[str], details: Mapping[str, Any]) -> bytes:
    """Return the hash in :attr:`Statement.terms`."""
    # the number of events is not in it: who finds the salt in a log could find the number by trying
    more = sorted((name, str(value)) for name, value in details.items() if name != "total_events")
    return hashlib.sha256(salt + repr([sorted(map(str, columns)), more]).encode()).digest()


def kept_statement(record: Record) -> Statement | None:
    """Return the statement that a record of a log keeps; None for a record of something else.

    Raises
    ------
    FrameError
        If the record should keep one, but does not, or not one that its signer has signed.
    """
    kind = KEPT.get(record.what)
    if kind is None:
        return None
    made = Statement.from_bytes(frame.field(record.details, "statement", bytes, high=MOST_BYTES))
    if made.kind != kind or not made.valid():
        raise FrameError(f"it claims a signed {kind}, but its signature is not that of the key that it names")
    return made
