"""A signed head: its owner's statement that the log has this size and this root."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ..errors import FrameError, ProtocolAbort
from ..wire import frame
from ._merkle import HASH, verify_consistency
from .identity import Identity, signature_holds

__all__ = ["Head", "check_extension", "head_frame_unsigned", "sign_head", "utc"]

_FIELDS = ("key", "log", "root", "signature", "size", "time")


def utc(milliseconds: int) -> str:
    """Write a time of a record, milliseconds since 1970 in UTC, as RFC 3339."""
    try:
        at = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return f"{milliseconds} ms"
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


@dataclass(frozen=True)
class Head:
    """The head of a log, signed by its owner: what peers exchange, keep and may anchor in any ledger.

    Attributes
    ----------
    log : bytes
        The log's id, 16 bytes.
    key : bytes
        The owner's Ed25519 key, 32 bytes.
    size : int
        Number of records.
    root : bytes
        Root of their Merkle tree, 32 bytes.
    time : int
        When the last record was written, milliseconds since 1970 in UTC.
    signature : bytes
        64 bytes.

    Examples
    --------
    >>> import bluetusk as bt
    >>> head = log.head()
    >>> head.size, head.valid(), bt.evidence.Head.from_json(head.to_json()) == head
    (1, True, True)
    """

    log: bytes
    key: bytes
    size: int
    root: bytes
    time: int
    signature: bytes

    def valid(self) -> bool:
        """Return whether the signature is valid under :attr:`key`; the caller must know whose key that is.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.evidence.Head(bytes(16), bytes(32), 1, bytes(32), 0, bytes(64)).valid()
        False
        """
        unsigned = head_frame_unsigned(self.log, self.key, self.size, self.root, self.time)
        return signature_holds(self.key, self.signature, unsigned)

    def to_bytes(self) -> bytes:
        """Return the head as a frame of kind EVIDENCE_HEAD.

        Examples
        --------
        >>> import bluetusk as bt
        >>> head = bt.evidence.Head(bytes(16), bytes(32), 1, bytes(32), 0, bytes(64))
        >>> bt.evidence.Head.from_bytes(head.to_bytes()) == head
        True
        """
        return frame.encode(frame.Kind.EVIDENCE_HEAD, {name: getattr(self, name) for name in _FIELDS})

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Head:
        """Read a frame; the signature is checked by :meth:`valid`.

        Raises
        ------
        FrameError
            If `data` is not the frame of a head.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.evidence.Head.from_bytes(b"BTK1")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: frame is truncated: ...
        """
        header = frame.decode(data, frame.Kind.EVIDENCE_HEAD, max_payload=0).header
        frame.check_fields(header, _FIELDS)
        return cls(
            frame.field(header, "log", bytes, length=16),
            frame.field(header, "key", bytes, length=32),
            frame.field(header, "size", int, low=0, high=1 << 48),
            frame.field(header, "root", bytes, length=HASH),
            frame.field(header, "time", int, low=0, high=1 << 53),
            frame.field(header, "signature", bytes, length=64),
        )

    def to_json(self) -> str:
        """Return the head as one JSON object, to anchor it elsewhere.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.evidence.Head(bytes(16), bytes(32), 1, bytes(32), 0, bytes(64)).to_json()[:38]
        '{"log": "00000000000000000000000000000'
        """
        fields: dict[str, Any] = {}
        for name in ("log", "key", "size", "root", "time", "signature"):
            value = getattr(self, name)
            fields[name] = value.hex() if isinstance(value, bytes) else value
        return json.dumps({**fields, "utc": utc(self.time)})

    @classmethod
    def from_json(cls, text: str | bytes) -> Head:
        """Read :meth:`to_json`.

        Raises
        ------
        FrameError
            If `text` is not such an object.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.evidence.Head.from_json("{}")
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: this is not a log head in JSON: give the output of `bluetusk evidence head`
        """
        try:
            return cls._of(json.loads(text))
        except (ValueError, RecursionError):
            raise FrameError(_NO_HEAD) from None

    @classmethod
    def _of(cls, fields: Any) -> Head:
        """Return the head that a decoded JSON object stands for, checked as any frame is."""
        try:
            values = {name: fields[name] for name in _FIELDS}
            for name in ("log", "key", "root", "signature"):
                values[name] = bytes.fromhex(values[name])
            return cls.from_bytes(frame.encode(frame.Kind.EVIDENCE_HEAD, values))
        except (KeyError, TypeError, ValueError, FrameError):
            raise FrameError(_NO_HEAD) from None


_NO_HEAD = "this is not a log head in JSON: give the output of `bluetusk evidence head`"


def head_frame_unsigned(log: bytes, key: bytes, size: int, root: bytes, time: int) -> bytes:
    """Return what a head's signature covers: its frame without the field ``signature``."""
    return frame.encode(frame.Kind.EVIDENCE_HEAD, {"log": log, "key": key, "size": size, "root": root, "time": time})


def sign_head(identity: Identity, log: bytes, size: int, root: bytes, time: int) -> Head:
    """Make a head."""
    signature = identity.sign(head_frame_unsigned(log, identity.public_key, size, root, time))
    return Head(log, identity.public_key, size, root, time, signature)


def check_extension(old: Head | None, new: Head, proof: Iterable[bytes], party: str) -> None:
    """Refuse a head that does not extend the last one of the same log, by the proof that came with it.

    Raises
    ------
    ProtocolAbort
        Naming the party.
    """
    if old is None:
        return
    if new.log != old.log or new.key != old.key:
        raise ProtocolAbort(
            f"the log of {party!r} has another id than before: it must continue its old log, or explain the change",
            party=party,
        )
    if new.size < old.size:
        raise ProtocolAbort(
            f"the log of {party!r} has {new.size} records, but had {old.size}: it was cut or rolled back", party=party
        )
    if new.size == old.size and new.root != old.root:
        raise ProtocolAbort(
            f"{party!r} has signed two different histories of {new.size} records: keep both heads as evidence",
            party=party,
        )
    if not verify_consistency(old.size, new.size, list(proof), old.root, new.root):
        raise ProtocolAbort(
            f"the log of {party!r} does not extend its head of {old.size} records: its history was rewritten",
            party=party,
        )
