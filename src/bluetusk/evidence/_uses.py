"""What must never be forgotten: which uses of data were granted, on disk before the answer leaves.

An append-only file of frames (kind POLICY_USE), each with the SHA-256 of the frame before it, so a byte that changed is
seen. A crash can leave half a frame at the end only, of a use whose answer never left: it is cut. Each payload is a
checksum of the frame's header: where it is there, the frame was whole, and no length in front of it can say otherwise.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ..errors import FrameError
from ..wire import frame
from ._file import AppendFile, without_fill

__all__ = ["Use", "Uses"]

_POLICY = ("owner", "policy", "prev", "serial")
_USE = ("grant", "ids", "peer", "prev", "purpose", "request", "task", "time")
_FIXED = struct.Struct("<4sHHIQ")
_LARGEST = 1 << 13
_CHECK = 8


@dataclass(frozen=True)
class Use:
    """One use that was granted; `request` is the hash of what was asked for, `time` in milliseconds."""

    grant: str
    peer: str
    purpose: str
    task: str
    request: bytes
    ids: int
    time: int


class Uses:
    """The file, and what it says.

    Raises
    ------
    FrameError
        If it was altered, or belongs to another owner.
    ProtocolAbort, OSError
        As :class:`~bluetusk.evidence._file.AppendFile`.
    """

    def __init__(self, path: str | os.PathLike[str], owner: bytes) -> None:
        self._owner = owner
        self._by_task: dict[tuple[str, str, str], Use] = {}
        self._count: Counter[str] = Counter()
        self._ids: Counter[str] = Counter()
        self._prev = bytes(32)
        self.serial, self.policy, self.latest = 0, b"", 0.0
        self._file = AppendFile(path, create=True)
        self.path = self._file.path
        try:
            data = self._file.read()
            end = self._load(data)
            if end < len(data):
                self._file.cut(end)
        except BaseException:
            self._file.close()
            raise

    @property
    def lock(self) -> threading.RLock:
        """Held from the checks of a use to its note."""
        return self._file.lock

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def find(self, peer: str, purpose: str, task: str) -> Use | None:
        """Return the use that was granted for a task."""
        return self._by_task.get((peer, purpose, task))

    def count(self, grant: str) -> int:
        """Return how many tasks were granted."""
        return self._count[grant]

    def ids(self, grant: str) -> int:
        """Return how many ids were asked about."""
        return self._ids[grant]

    def grants(self) -> list[str]:
        """Return the grants that were used."""
        return sorted(self._count)

    def note(self, use: Use) -> None:
        """Note a use; it is on the disk when this returns, and forgotten if it could not be noted.

        Raises
        ------
        OSError
            If it could not.
        """
        header = {name: getattr(use, name) for name in _USE if name != "prev"}
        data = _encode({**header, "prev": self._prev})
        self._add(use)  # first in memory: an interrupt below can only refuse too much
        try:
            self._file.append(data)
        except BaseException:
            self._drop(use)
            raise
        self._prev = hashlib.sha256(data).digest()

    def note_policy(self, serial: int, digest: bytes) -> None:
        """Note that a policy holds from here on; raises as :meth:`note`."""
        header = {"owner": self._owner, "policy": digest, "serial": serial, "prev": self._prev}
        data = _encode(header)
        self._file.append(data)
        self.serial, self.policy, self._prev = serial, digest, hashlib.sha256(data).digest()

    def _add(self, use: Use) -> None:
        self._by_task[use.peer, use.purpose, use.task] = use
        self._count[use.grant] += 1
        self._ids[use.grant] += use.ids

    def _drop(self, use: Use) -> None:
        del self._by_task[use.peer, use.purpose, use.task]
        self._count[use.grant] -= 1
        self._ids[use.grant] -= use.ids

    def _load(self, data: bytes) -> int:
        """Read all complete frames; return where they end."""
        kept = without_fill(data, 0)
        written = data if kept is None else kept
        at = number = 0
        while at < len(data):
            number += 1
            size = _size(written, at)
            if size is None:
                return at
            piece = data[at : at + size]
            try:
                got = frame.decode(piece, frame.Kind.POLICY_USE, max_payload=_CHECK)
                if got.payload != _checksum(piece[_FIXED.size : -_CHECK]):
                    raise FrameError("its checksum does not hold")
                self._take(got.header)
            except FrameError as error:
                raise FrameError(
                    f"entry {number} was altered, so it no longer proves which uses were granted ({error}): restore "
                    "the file, or sign grants with new ids and start a new one"
                ) from None
            self._prev = hashlib.sha256(piece).digest()
            at += size
        return at

    def _take(self, header: dict[str, Any]) -> None:
        if frame.field(header, "prev", bytes, length=32) != self._prev:
            raise FrameError("it does not follow the entry before it")
        if "serial" in header:
            frame.check_fields(header, _POLICY)
            if frame.field(header, "owner", bytes, length=32) != self._owner:
                raise FrameError("it is of another data owner")
            self.serial = frame.field(header, "serial", int, low=self.serial + 1)
            self.policy = frame.field(header, "policy", bytes, length=32)
            return
        frame.check_fields(header, _USE)
        use = Use(
            frame.field(header, "grant", str),
            frame.field(header, "peer", str),
            frame.field(header, "purpose", str),
            frame.field(header, "task", str),
            frame.field(header, "request", bytes, length=32),
            frame.field(header, "ids", int, low=0),
            frame.field(header, "time", int, low=0),
        )
        if self.find(use.peer, use.purpose, use.task) is not None:
            raise FrameError("it repeats a use")
        self._add(use)
        self.latest = max(self.latest, use.time / 1000)


def _encode(header: dict[str, Any]) -> bytes:
    data = frame.encode(frame.Kind.POLICY_USE, header, bytes(_CHECK))[:-_CHECK]
    return data + _checksum(data[_FIXED.size :])


def _checksum(header: bytes) -> bytes:
    return hashlib.sha256(header).digest()[:_CHECK]


def _size(data: bytes, at: int) -> int | None:
    """Return the size of the frame that starts here, None if the data ends within it."""
    size = None
    if len(data) - at >= _FIXED.size:
        *_, header, payload = _FIXED.unpack_from(data, at)
        if payload != _CHECK or header > _LARGEST:
            raise FrameError("an entry claims more bytes than a use has: the file was altered")
        size = _FIXED.size + int(header) + _CHECK
        if at + size <= len(data):
            return size
        whole = data[-_CHECK:] == _checksum(data[at + _FIXED.size : -_CHECK])
        if whole or data.find(frame.MAGIC, at + 1) >= 0:
            raise FrameError("an entry claims more bytes than are there: the file was altered")
    return None
