"""Notes which uses of data were granted, on disk before the answer leaves.

An append-only file of frames (kind POLICY_USE), each with the SHA-256 of the frame before it, so a byte that changed is
seen. A crash can leave half a frame at the end only, of a use whose answer never left: it is cut. Each payload is a
checksum of the frame's header: where it is there, the frame was whole, and no length in front of it can say otherwise.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import FrameError
from ..storage.append import AppendFile, read_whole, without_fill
from ..wire import frame

__all__ = ["MOST_COLUMNS", "Known", "Use", "Uses", "mark_of"]

_POLICY = ("owner", "policy", "prev", "serial")
_USE = ("grant", "ids", "peer", "prev", "purpose", "request", "task", "time")
_COUNTED = ("bits", "columns", "model", "rows", "sums")  # since format 2 of policies; a use noted before has none
_AGAIN = "again"  # only where it is not 0
_LARGEST = 1 << 16
_BEGIN = frame.FIXED.pack(frame.MAGIC, frame.VERSION, frame.Kind.POLICY_USE, 0, 0)[:8]
"""How an entry begins: the magic alone may be in a name."""
_CHECK = 8
_MARK = 8  # bytes kept of the hash of a column's name
MOST_COLUMNS = 4096
"""Most columns that are told apart for a peer."""


@dataclass(frozen=True)
class Use:
    """One use that was granted.

    `request` is the hash of the request, `time` in milliseconds; `sums` and `bits` are the most that the peer learns,
    `columns` the marks of the columns that it had not used before, `rows` the rows that are scored by `model`. `again`
    is 0 for a task; otherwise a step of one is taken again, and this counts how often.
    """

    grant: str
    peer: str
    purpose: str
    task: str
    request: bytes
    ids: int
    time: int
    sums: int = 0
    bits: int = 0
    columns: bytes = b""
    model: bytes = b""
    rows: int = 0
    again: int = 0

    @property
    def digest(self) -> bytes:
        """SHA-256 of all of it, for the log of evidence: a file that was written anew with less in it shows."""
        told = [getattr(self, name) for name in (*_USE, *_COUNTED, _AGAIN) if name != "prev"]
        plain = [value if isinstance(value, bytes) else str(value) for value in told]  # a subclass has another repr
        return hashlib.sha256(ascii(plain).encode()).digest()  # repr depends on the characters that a Python knows


@dataclass(frozen=True)
class Known:
    """What the file says up to `end`; once it is known to all it does not change, but is replaced.

    `by_task` has the uses by peer, purpose and name: tasks, and apart from them steps that were taken again. `count`
    and `ids` are the tasks and ids of each grant, `noted` its entries. What a peer has learned is counted by peer,
    under whichever grants and of whichever rows, for it does not forget: `sums`, `bits`, the marks of its `columns`,
    and `scored`, the rows scored for it by each model. `serial` and `policy` are the last policy that held (0 if none
    did) and its digest, `latest` the time in seconds of the latest use that was there when the file was opened.
    """

    by_task: dict[tuple[str, str, str, bool], Use] = field(default_factory=dict)
    count: Counter[str] = field(default_factory=Counter)
    ids: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    bits: Counter[str] = field(default_factory=Counter)
    columns: dict[str, frozenset[bytes]] = field(default_factory=dict)
    scored: dict[str, Counter[bytes]] = field(default_factory=dict)
    serial: int = 0
    policy: bytes = b""
    latest: float = 0.0
    prev: bytes = bytes(32)
    end: int = 0

    def add(self, use: Use) -> None:
        """Take one more use, while nobody else has this."""
        self.by_task[use.peer, use.purpose, use.task, bool(use.again)] = use
        self.noted[use.grant] += 1
        self.count[use.grant] += not use.again
        self.ids[use.grant] += use.ids
        self.sums[use.peer] += use.sums
        self.bits[use.peer] += use.bits
        if use.columns:
            marks = {use.columns[at : at + _MARK] for at in range(0, len(use.columns), _MARK)}
            self.columns[use.peer] = self.columns.get(use.peer, frozenset()) | marks
        if use.model:
            scored = self.scored.get(use.peer, Counter()).copy()
            scored[use.model] += use.rows
            self.scored[use.peer] = scored

    def copy(self, **changes: Any) -> Known:
        """Return a copy that may be added to."""
        names = ("by_task", "count", "ids", "noted", "sums", "bits", "columns", "scored")
        return replace(self, **{name: getattr(self, name).copy() for name in names}, **changes)


class Uses:
    """The file, and what it says.

    A use is on the disk before it is known here, and becomes known in one step: an interrupt between the two takes it
    back with the next use, a crash leaves it counted.

    Raises
    ------
    FrameError
        If it was altered, or belongs to another owner.
    ProtocolAbort, OSError
        As :class:`~bluetusk.storage.append.AppendFile`.
    """

    def __init__(self, path: str | os.PathLike[str], owner: bytes) -> None:
        self._owner = owner
        self.known = Known()
        self._file = AppendFile(path, create=True)
        self.path = self._file.path
        try:
            data = self._file.read()
            self._load(data)
            if self.known.end < len(data):
                self._file.cut(self.known.end)
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def read(cls, path: str | os.PathLike[str], owner: bytes) -> Known:
        """Return what a file says, without opening it for additions; raises as the class does."""
        found = cls.__new__(cls)
        found._owner, found.known = owner, Known()
        try:
            found._load(read_whole(path))
        except FileNotFoundError:
            return Known()
        return found.known

    @property
    def lock(self) -> threading.RLock:
        """Held from the checks of a use to its note; ProtocolAbort inside another one of this thread."""
        return self._file.turn

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def find(self, peer: str, purpose: str, task: str, *, again: bool = False) -> Use | None:
        """Return the use that was granted for a task, or noted for a step that was taken again."""
        return self.known.by_task.get((peer, purpose, task, again))

    def usage(self, grants: Iterable[str]) -> dict[str, dict[str, int]]:
        """Return what is spent, tasks and ids, by these grants and all others that were used."""
        known = self.known  # what another thread notes meanwhile is not in it
        names = dict.fromkeys([*grants, *sorted(known.count)])
        return {name: {"uses": known.count[name], "ids": known.ids[name]} for name in names}

    def learned(self) -> dict[str, dict[str, int]]:
        """Return what each peer has learned at most."""
        known = self.known
        told = {}
        for peer in sorted({use.peer for use in known.by_task.values()}):
            scored = known.scored.get(peer, Counter())
            told[peer] = {
                "sums": known.sums[peer],
                "bits": known.bits[peer],
                "columns": len(known.columns.get(peer, ())),
                "models": len(scored),
                "rows_scored": sum(scored.values()),
            }
        return told

    def note(self, use: Use) -> None:
        """Note a use; it is on the disk when this returns, and not granted if it could not be noted.

        Raises
        ------
        OSError
            If it could not.
        """
        header = {name: getattr(use, name) for name in (*_USE, *_COUNTED) if name != "prev"}
        header |= {_AGAIN: use.again} if use.again else {}
        known = self.known
        data = _encode({**header, "prev": known.prev})
        end = self._file.append(data, known.end)
        more = known.copy(prev=hashlib.sha256(data).digest(), end=end)
        more.add(use)
        self.known = more

    def note_policy(self, serial: int, digest: bytes) -> None:
        """Note that a policy holds from here on; raises as :meth:`note`."""
        known = self.known
        header = {"owner": self._owner, "policy": digest, "serial": serial, "prev": known.prev}
        data = _encode(header)
        end = self._file.append(data, known.end)
        self.known = replace(known, serial=serial, policy=digest, prev=hashlib.sha256(data).digest(), end=end)

    def _load(self, data: bytes) -> None:
        """Read all complete frames."""
        kept = without_fill(data, 0)
        written = data if kept is None else kept
        number = 0
        while (at := self.known.end) < len(data):
            number += 1
            size = _size(written, at)
            if size is None:
                return
            piece = data[at : at + size]
            try:
                got = frame.decode(piece, frame.Kind.POLICY_USE, max_payload=_CHECK)
                if got.payload != _checksum(piece[frame.FIXED.size : -_CHECK]):
                    raise FrameError("its checksum does not match")
                self.known = self._with(got.header, prev=hashlib.sha256(piece).digest(), end=at + size)
            except FrameError as error:
                raise FrameError(
                    f"entry {number} was altered, so it no longer proves which uses were granted ({error}): restore "
                    "the file, or sign grants with new ids and start a new one, beside a new log"
                ) from None

    def _with(self, header: dict[str, Any], **more: Any) -> Known:
        """Return what is known with one more entry."""
        known = self.known
        if frame.field(header, "prev", bytes, length=32) != known.prev:
            raise FrameError("it does not follow the entry before it")
        if "serial" in header:
            frame.check_fields(header, _POLICY)
            if frame.field(header, "owner", bytes, length=32) != self._owner:
                raise FrameError("it is of another data owner")
            serial = frame.field(header, "serial", int, low=known.serial + 1)
            return replace(known, serial=serial, policy=frame.field(header, "policy", bytes, length=32), **more)
        frame.check_fields(header, _USE, (*_COUNTED, _AGAIN))
        counted: dict[str, Any] = {}
        if any(name in header for name in _COUNTED):
            counted = {name: frame.field(header, name, int, low=0) for name in ("sums", "bits", "rows")}
            counted |= {name: frame.field(header, name, bytes) for name in ("columns", "model")}
            if len(counted["columns"]) % _MARK or len(counted["model"]) not in (0, 32):
                raise FrameError("its marks of columns or of a model are cut")
        if _AGAIN in header:
            counted[_AGAIN] = frame.field(header, _AGAIN, int, low=1)
        use = Use(
            frame.field(header, "grant", str),
            frame.field(header, "peer", str),
            frame.field(header, "purpose", str),
            frame.field(header, "task", str),
            frame.field(header, "request", bytes, length=32),
            frame.field(header, "ids", int, low=0),
            frame.field(header, "time", int, low=0),
            **counted,
        )
        if self.find(use.peer, use.purpose, use.task, again=bool(use.again)) is not None:
            raise FrameError("it repeats a use")
        known.add(use)
        return replace(known, latest=max(known.latest, use.time / 1000), **more)


def mark_of(column: str) -> bytes:
    """Return what stands for a column's name."""
    return hashlib.sha256(str(column).encode(errors="replace")).digest()[:_MARK]


def _encode(header: dict[str, Any]) -> bytes:
    data = frame.encode(frame.Kind.POLICY_USE, header, bytes(_CHECK))[:-_CHECK]
    return data + _checksum(data[frame.FIXED.size :])


def _checksum(header: bytes) -> bytes:
    return hashlib.sha256(header).digest()[:_CHECK]


def _size(data: bytes, at: int) -> int | None:
    """Return the size of the frame that starts here, None if the data ends within it."""
    size = None
    if len(data) - at >= frame.FIXED.size:
        *_, header, payload = frame.FIXED.unpack_from(data, at)
        if payload != _CHECK or header > _LARGEST:
            raise FrameError("an entry claims more bytes than a use may have: the file was altered")
        size = frame.FIXED.size + int(header) + _CHECK
        if at + size <= len(data):
            return size
        whole = data[-_CHECK:] == _checksum(data[at + frame.FIXED.size : -_CHECK])
        if whole or data.find(_BEGIN, at + 1) >= 0:
            raise FrameError("an entry claims more bytes than are there: the file was altered")
    return None
