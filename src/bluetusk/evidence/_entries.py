"""The entries of a log: each a record's frame and, right behind it, the signed head of the log with that record.

Whoever knows the owner's key can verify the file, record by record. Records cut from its end, or signed anew by the
owner, show only against a head that somebody else has kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import FrameError
from ..storage.append import without_fill
from ..wire import frame
from ._head import Head
from ._merkle import HASH, Tree, leaf_hash

__all__ = ["Problem", "Record", "Scan", "check_text", "encode_record", "kept_head", "scan"]

_FIELDS = ("by", "details", "hashes", "log", "seq", "task", "time", "what")
_LARGEST_RECORD = 1 << 14  # bytes of a record's header map
_LARGEST_DETAILS = 4096
_SIGNATURE_END = 64
WORD, NAME, TASK = 64, 128, 256
_OF_JOBS = ("state", "retaken", "session_refused", "statement_refused")
"""What a notary notes of a whole job: the task is the job's name."""


@dataclass(frozen=True)
class Record:
    """One record of a log: what happened, never the data.

    Attributes
    ----------
    seq : int
        Its number, from 0.
    time : int
        When, milliseconds since 1970 in UTC, by the owner's clock.
    what : str
        What happened: "opened", "authorised", "refused", "meter", "peer_head", or a word of the application's.
    by : str
        Which party did it.
    task : str
        In which task; may be empty.
    hashes : dict of str to bytes
        SHA-256 of inputs, results, configurations.
    details : dict
        Small public values.

    Examples
    --------
    >>> _ = log.append("started", by="bank", task="job-7")
    >>> record = log.records[1]
    >>> record.seq, record.what, record.by, record.task
    (1, 'started', 'bank', 'job-7')
    """

    seq: int
    time: int
    what: str
    by: str
    task: str
    hashes: dict[str, bytes]
    details: dict[str, Any]

    @property
    def job(self) -> str:
        """The job of a record that a :class:`Recorder` or a notary has made: what is before the last "/" of its task.

        Examples
        --------
        >>> _ = log.append("started", by="bank", task="2026/1/binning")
        >>> log.records[-1].job
        '2026/1'
        """
        return self.task if self.what in _OF_JOBS else self.task.rpartition("/")[0]


def check_text(value: object, name: str, most: int, least: int = 1) -> None:
    """Refuse anything but a str of `least` to `most` characters."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not least <= len(value) <= most:
        raise ValueError(f"{name} must have {least} to {most} characters")


def encode_record(log: bytes, record: Record) -> bytes:
    """Return a record's frame.

    Raises
    ------
    TypeError, ValueError
        If a text is too long, a hash has not 32 bytes, or the details are too large for a record.
    """
    check_text(record.what, "what", WORD)
    check_text(record.by, "by", NAME)
    check_text(record.task, "task", TASK, 0)
    for key, value in record.hashes.items():
        if not isinstance(value, bytes) or len(value) != HASH or len(key) > WORD:
            raise ValueError(f"hashes[{key!r}] must be {HASH} bytes under a name of at most {WORD} characters")
    details = frame.encode(frame.Kind.EVIDENCE_RECORD, {"details": record.details})
    if len(details) > _LARGEST_DETAILS or len(record.hashes) > WORD:
        raise ValueError(
            f"a record takes {WORD} hashes and {_LARGEST_DETAILS} bytes of details: log the hash of what is larger"
        )
    header = {name: getattr(record, name) for name in _FIELDS if name != "log"}
    return frame.encode(frame.Kind.EVIDENCE_RECORD, {**header, "log": log})


def _decode_record(header: Mapping[str, Any]) -> tuple[bytes, Record]:
    frame.check_fields(header, _FIELDS)
    hashes = frame.field(header, "hashes", dict, high=WORD, items=bytes)
    for name in hashes:
        frame.field(hashes, name, bytes, length=HASH)
    record = Record(
        frame.field(header, "seq", int, low=0, high=1 << 48),
        frame.field(header, "time", int, low=0, high=1 << 53),
        frame.field(header, "what", str, low=1, high=WORD),
        frame.field(header, "by", str, low=1, high=NAME),
        frame.field(header, "task", str, high=TASK),
        hashes,
        frame.field(header, "details", dict),
    )
    return frame.field(header, "log", bytes, length=16), record


@dataclass(frozen=True)
class Problem:
    """The first invalid entry."""

    index: int
    reason: str


@dataclass
class Scan:
    """What a log's bytes hold, up to the first problem.

    Attributes
    ----------
    records, heads : list
        Of the complete entries before the problem.
    tree : Tree
        Over them.
    end : int
        Bytes that they take.
    torn : int
        Bytes of a last entry that was being written when the process died; 0 if none.
    problem : Problem or None
        What is wrong behind them.
    """

    records: list[Record] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    tree: Tree = field(default_factory=Tree)
    end: int = 0
    torn: int = 0
    problem: Problem | None = None


class _Torn(Exception):
    """The bytes end in the middle of a frame."""


def scan(data: bytes, *, key: bytes | None = None, signatures: bool = True) -> Scan:
    """Read a log's entries until one is invalid.

    Parameters
    ----------
    data : bytes
        The file.
    key : bytes, optional
        The owner's key; by default the one that the first record names.
    signatures : bool
        Check the signature of every head; else the caller checks that of the last, which covers all records.
    """
    found = Scan()
    view = memoryview(data)
    log = owner = None
    while found.end < len(data):
        index = len(found.records)
        try:
            start, middle = found.end, _frame_end(view, found.end)
            frame_bytes = bytes(view[start:middle])
            log, record = _checked_record(frame_bytes, index, log)
            owner = _owner(record, key) if owner is None else owner
            found.tree.append(leaf_hash(frame_bytes))
            try:
                head, end = _checked_head(view, middle, found.tree, log, owner, record.time)
                if signatures and not head.valid():
                    raise FrameError("the signature of its head is not that of the log's owner")
            except (FrameError, _Torn):
                found.tree.truncate(index)
                raise
        except _Torn:
            if log is not None and _ends_in_head(view[found.end :], index + 1, log):
                found.problem = Problem(index, f"record {index} was altered: its lengths do not match its content")
            else:
                found.torn = len(data) - found.end
            return found
        except FrameError as error:
            kept = without_fill(data, found.end)
            if kept is not None:
                again = scan(kept, key=key, signatures=False)
                if again.problem is None and len(again.records) == index:
                    found.torn = len(data) - found.end
                    return found
            found.problem = Problem(index, _named(index, str(error)))
            return found
        found.records.append(record)
        found.heads.append(head)
        found.end = end
    return found


def _named(index: int, reason: str) -> str:
    return reason if reason.startswith("record ") else f"record {index} was altered: {reason}"


def _frame_end(view: memoryview, start: int) -> int:
    """Return where the record's frame that starts here must end, judged by its fixed header alone."""
    there = len(view) - start
    fixed = bytes(view[start : start + frame.FIXED.size])
    usual = frame.FIXED.pack(frame.MAGIC, frame.VERSION, frame.Kind.EVIDENCE_RECORD, 0, 0)[:8]
    if fixed[:8] != usual[: len(fixed)]:
        raise FrameError("the frame of a record does not start where the one before it ends")
    if there < frame.FIXED.size:
        raise _Torn
    *_, header, payload = frame.FIXED.unpack(fixed)
    if payload or header > _LARGEST_RECORD:
        raise FrameError("its frame claims more bytes than a record may have")
    if there < frame.FIXED.size + header:
        raise _Torn
    return start + frame.FIXED.size + int(header)


def _checked_record(data: bytes, index: int, log: bytes | None) -> tuple[bytes, Record]:
    got, record = _decode_record(frame.decode(data, frame.Kind.EVIDENCE_RECORD).header)
    if log is not None and got != log:
        raise FrameError(f"record {index} is of another log")
    if record.seq > index:
        raise FrameError(f"record {index} is missing: record {record.seq} is in its place")
    if record.seq < index:
        raise FrameError(f"record {index} is not there: record {record.seq} is in its place, repeated or moved")
    return got, record


def _owner(record: Record, key: bytes | None) -> bytes:
    named = frame.field(record.details, "key", bytes, length=32)
    if record.what != "opened":
        raise FrameError("record 0 does not open a log")
    if key is not None and named != key:
        raise FrameError("record 0 names another owner's key than the one given: the log is not of that owner")
    return named


def _checked_head(view: memoryview, start: int, tree: Tree, log: bytes, owner: bytes, time: int) -> tuple[Head, int]:
    """Read the head that must follow a record: all of it but the signature is known beforehand."""
    root = tree.root()
    due = Head(log, owner, len(tree), root, time, bytes(_SIGNATURE_END)).to_bytes()
    got = bytes(view[start : start + len(due)])
    before = due.index(bytes(_SIGNATURE_END), frame.FIXED.size)  # where the fields in canonical order end
    after = before + _SIGNATURE_END
    same = got[:before] == due[: min(before, len(got))] and got[after:] == due[after : max(after, len(got))]
    if not same:
        try:
            other = Head.from_bytes(got)
        except FrameError:
            raise FrameError("its head was altered") from None
        if other.key != owner:
            raise FrameError("its head is signed with another key than the owner's")
        if other.size == len(tree) and other.root != root:
            raise FrameError("it is not the record that its head was signed for")
        raise FrameError("its head belongs to another record")
    if len(got) < len(due):
        raise _Torn
    return Head(log, owner, len(tree), root, time, got[before:after]), start + len(due)


def _ends_in_head(tail: memoryview, size: int, log: bytes) -> bool:
    """Return whether bytes end in a signed head of this log and size: their entry was then written whole."""
    data = bytes(tail)
    at = data.rfind(frame.FIXED.pack(frame.MAGIC, frame.VERSION, frame.Kind.EVIDENCE_HEAD, 0, 0)[:8])
    if at < 0:
        return False
    try:
        head = Head.from_bytes(data[at:])
    except FrameError:
        return False
    return head.size == size and head.log == log and head.valid()


def kept_head(record: Record) -> tuple[str, Head] | None:
    """Return the peer's name and head that a record keeps; None for any other record."""
    if record.what != "peer_head":
        return None
    try:
        party = frame.field(record.details, "party", str, high=NAME)
        return party, Head.from_bytes(frame.field(record.details, "head", bytes, high=1024))
    except FrameError:
        return None
