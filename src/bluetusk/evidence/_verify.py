"""Verifies a log, and finds the first record that cannot be trusted."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import FrameError
from ..storage.append import read_whole
from ..wire.frame import MAGIC
from ._entries import Problem, Record, Scan, kept_head, scan
from ._head import Head
from ._statement import kept_statement

__all__ = ["Report", "read_heads", "verify"]


@dataclass(frozen=True)
class Report:
    """The result of :func:`verify`.

    Attributes
    ----------
    ok : bool
        Whether every record is as its owner signed it and all heads given are those of this log.
    first_bad : int or None
        Number of the first record that is altered, missing, repeated or moved. If a head shows that history was
        rewritten, the first record that no earlier head vouches for. None if all is well, or if a head itself is bad.
    reason : str
        What is wrong; empty if nothing is.
    records : tuple of Record
        Those before the first bad one.
    head : Head or None
        The log's head after them.
    torn : int
        Bytes of a last record that was being written when its process died; not counted as wrong by itself.
    covered : int
        How many records the heads given vouch for: records after these may have been cut unnoticed.
    notes : tuple of str
        What is odd but not wrong: a clock that went back, a recovered crash, an owner's key that was not given.

    Examples
    --------
    >>> import bluetusk as bt, os, tempfile
    >>> me = bt.evidence.Identity.generate()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "log")
    ...     bt.evidence.Log.create(path, me, owner="bank").close()
    ...     report = bt.evidence.verify(path, key=me.public_key)
    >>> report.ok, report.first_bad, len(report.records), report.counts
    (True, None, 1, {'opened': 1})
    """

    ok: bool
    first_bad: int | None
    reason: str
    records: tuple[Record, ...]
    head: Head | None
    torn: int
    covered: int
    notes: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How often each thing happened.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.evidence.Report(True, None, "", (), None, 0, 0, ()).counts
        {}
        """
        return dict(Counter(record.what for record in self.records))


def verify(path: str | os.PathLike[str], *, heads: Iterable[Head] = (), key: bytes | None = None) -> Report:
    """Check a log from its first record to its last, and against heads that others have kept.

    Parameters
    ----------
    path : path-like
        The log; it may be open elsewhere.
    heads : iterable of Head, optional
        Heads of this log that its peers hold. Without one, records cut from the end do not show, nor does a history
        that the owner itself has signed anew.
    key : bytes, optional
        The owner's Ed25519 key, 32 bytes. Without it the key in the first record is trusted, and a note added.

    Returns
    -------
    Report

    Raises
    ------
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import bluetusk as bt, os, tempfile
    >>> me = bt.evidence.Identity.generate()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "log")
    ...     with bt.evidence.Log.create(path, me, owner="bank") as log:
    ...         _ = log.append("started", by="bank")
    ...         head = log.head()
    ...     os.truncate(path, os.path.getsize(path) - 1)
    ...     report = bt.evidence.verify(path, heads=[head])
    >>> report.ok, report.first_bad, report.reason  # doctest: +ELLIPSIS
    (False, 1, 'records 1 to 1 are missing: a head of 2 records was given, the log has 1; it was cut or rolled ...')
    """
    found = scan(read_whole(path), key=key)
    notes = _notes(found, key)
    problems = [found.problem] if found.problem is not None else []
    if not found.records and not problems:
        problems.append(Problem(0, "record 0 is missing: the file holds no complete record of a log"))
    agreed, doubted = _against(found, sorted(heads, key=lambda head: head.size))
    problems += doubted + _statements(found)
    # a head that is itself no good has index -1: reported only if nothing worse is
    placed = sorted((p for p in problems if p.index >= 0), key=lambda p: p.index) or problems
    first = placed[0] if placed else None
    kept = len(found.records) if first is None or first.index < 0 else min(first.index, len(found.records))
    return Report(
        first is None,
        None if first is None or first.index < 0 else first.index,
        "" if first is None else first.reason,
        tuple(found.records[:kept]),
        found.heads[kept - 1] if kept else None,
        found.torn,
        agreed,
        tuple(notes),
    )


def _against(found: Scan, heads: Sequence[Head]) -> tuple[int, list[Problem]]:
    """Compare with heads in the order of their sizes; return how many records are vouched for, and what is wrong."""
    agreed = 0
    problems: list[Problem] = []
    own = found.heads[0] if found.heads else None
    count = len(found.records)
    for head in heads:
        if not head.valid():
            problems.append(Problem(-1, f"a given head of {head.size} records is not signed by its key"))
        elif own is None:
            continue
        elif head.key != own.key:
            problems.append(Problem(-1, f"a given head of {head.size} records is signed by another key"))
        elif head.log != own.log:
            problems.append(
                Problem(
                    0,
                    f"record 0 opens another log than that of a given head of {head.size} records, signed by the same "
                    "owner: the log was begun anew",
                )
            )
        elif head.size <= count:
            if found.tree.root(head.size) == head.root:
                agreed = max(agreed, head.size)
                continue
            last = head.size - 1
            which = f"record {agreed} was" if agreed == last else f"one of the records {agreed} to {last} was"
            problems.append(
                Problem(agreed, f"{which} rewritten: a given head of {head.size} records is of other records")
            )
            break
        elif found.problem is None:
            open_ = f", and no head vouches for the records {agreed} to {count - 1}" if agreed < count else ""
            problems.append(
                Problem(
                    count,
                    f"records {count} to {head.size - 1} are missing: a head of {head.size} records was given, the log "
                    f"has {count}; it was cut or rolled back{open_}",
                )
            )
            break
    return agreed, problems


def _statements(found: Scan) -> list[Problem]:
    """Return the first record that claims a signed request or answer which its signer has not signed."""
    for record in found.records:
        reason = _false(record, found.heads[0].key)
        if reason:
            return [Problem(record.seq, f"record {record.seq} is false: {reason}")]
    return []


def _false(record: Record, owner: bytes) -> str:
    """Return why a record does not keep the signed statement that it claims; empty if it claims none."""
    try:
        made = kept_statement(record)
    except FrameError as error:
        return str(error)
    if made is not None and record.what in ("asked", "answered") and made.key != owner:
        return "it claims a statement of the log's owner, but another key has signed it"
    return ""


def _notes(found: Scan, key: bytes | None) -> list[str]:
    notes = []
    if key is None:
        notes.append("the owner's key was taken from the log itself: give the key that is known to be the owner's")
    if found.torn:
        notes.append(
            f"the last {found.torn} bytes are a record that was being written when its process died: opening the log "
            "cuts them"
        )
    last = 0
    for record in found.records:
        if record.time < last:
            notes.append(f"the owner's clock went back by {last - record.time} ms before record {record.seq}")
        last = record.time
        if record.what == "recovered":
            notes.append(f"record {record.seq}: a crash had left a half-written record, which was cut")
        if record.what == "peer_refused":
            notes.append(f"record {record.seq}: a peer's log did not extend its earlier head")
        if record.what == "statement_refused":
            notes.append(f"record {record.seq}: a peer's request or answer was refused, or was not signed")
    return notes


def read_heads(path: str | os.PathLike[str], key: bytes | None = None) -> list[Head]:
    """Read the heads in a file.

    Parameters
    ----------
    path : path-like
        Heads in JSON (one object a line, one object, or a list), a frame of a head, or the log of a peer, which keeps
        the heads that it was given.
    key : bytes, optional
        Take only heads that this key has signed from a peer's log.

    Returns
    -------
    list of Head

    Raises
    ------
    FrameError
        If the file holds none of these.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import bluetusk as bt, os, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "head.json")
    ...     _ = path.write_text(log.head().to_json())
    ...     [head.size for head in bt.evidence.read_heads(path)]
    [1]
    """
    data = read_whole(path)
    if data.startswith(MAGIC):
        try:
            return [Head.from_bytes(data)]
        except FrameError:
            found = scan(data)
        if not found.records:
            raise FrameError(f"{os.fspath(path)} holds neither a head nor a log")
        kept = [pair[1] for record in found.records if (pair := kept_head(record)) is not None]
        return [head for head in kept if key is None or head.key == key]
    try:
        text = data.decode()
        objects = json.loads(text) if text.lstrip().startswith("[") else [json.loads(text)]
    except (ValueError, RecursionError):
        try:
            objects = [json.loads(line) for line in data.decode().splitlines() if line.strip()]
        except (ValueError, RecursionError):
            objects = []
    if not objects or not isinstance(objects, list):
        raise FrameError(f"{os.fspath(path)} does not hold a log head: give the output of `bluetusk evidence head`")
    return [Head._of(fields) for fields in objects]
