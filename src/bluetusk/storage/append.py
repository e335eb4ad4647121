"""Appends to files: one writer, every addition on the disk before it counts, incomplete ones cut off."""

from __future__ import annotations

import errno
import os
import stat
import threading

from .._fork import process
from .._locks import Locked, refuse_reentry
from ..errors import ProtocolAbort
from .files import open_locked, read_all, sync_directory

__all__ = ["AppendFile", "read_whole", "without_fill"]

_FILL = 16
MAX_FILE = 1 << 32
"""Largest file that is read back, in bytes."""


class AppendFile(Locked):
    """An open file of complete additions.

    Its owner holds `turn` from a check to the addition, and keeps where the last complete addition ended. Bytes that
    an interrupt left after that place are cut off by the next addition.

    Parameters
    ----------
    path : path-like
        A regular file, not a symbolic link.
    create : bool
        Make it (mode 0600) if it is absent.
    durable : bool
        Raise an error if the directory of a new file cannot be synced.
    owner : str
        Who has it open, for the errors.
    exclusive : bool
        Lock it against other processes; False if the caller has locked the directory. An interrupt while a file is
        opened can leave a lock that nobody releases.

    Raises
    ------
    ProtocolAbort
        If another process has it open, or it is not a regular file.
    OSError
        If it cannot be opened for writing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = False,
        durable: bool = False,
        owner: str = "",
        exclusive: bool = True,
    ) -> None:
        super().__init__()
        self.path = os.fspath(path)
        self._place = os.path.abspath(self.path)
        self._process = process()
        new = create and not os.path.lexists(self.path)
        flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
        try:
            self._fd = open_locked(self.path, flags) if exclusive else os.open(self.path, flags | os.O_CLOEXEC, 0o600)
        except BlockingIOError:
            raise ProtocolAbort(
                f"{self.path!r} is in use by another {owner or 'process'}: close that one first"
            ) from None
        try:
            if not stat.S_ISREG(os.fstat(self._fd).st_mode):
                give = f"give the {owner}" if owner else "give"
                raise ProtocolAbort(f"{self.path!r} is not a regular file: {give} a separate file")
            if new:
                sync_directory(os.path.dirname(os.path.abspath(self.path)), durable=durable)
        except BaseException:
            self.close()
            raise

    @property
    def lock(self) -> threading.RLock:
        """Held while something is read that an addition changes."""
        return self._lock

    @property
    def turn(self) -> threading.RLock:
        """The lock, held from a check to the addition that it allows; ProtocolAbort inside another of this thread."""
        refuse_reentry(self._lock, f"addition to {self.path!r}")
        return self._lock

    @property
    def closed(self) -> bool:
        """Whether nothing more can be added."""
        return self._fd < 0

    @property
    def inherited(self) -> bool:
        """Whether this process is a fork of the one that opened the file, and so may not add to it."""
        return self._process is not process()

    @property
    def size(self) -> int:
        """How many bytes the file holds now."""
        return os.fstat(self._fd).st_size

    def read(self) -> bytes:
        """Return what the file holds now."""
        return _read_fd(self._fd, self.path)

    def append(self, data: bytes, end: int) -> int:
        """Add bytes behind the first `end`, force them to the disk, and return where they end.

        On any failure the file is unchanged.

        Raises
        ------
        OSError
            If they cannot be written, or the file is closed, belongs to the parent process, or was deleted, replaced or
            cut by somebody else.
        """
        if self.closed:
            raise OSError("it is closed")
        if self.inherited:
            raise OSError("it belongs to the parent process")
        now = os.fstat(self._fd)
        if not self._in_place(now):
            raise OSError("it was deleted, or replaced by another file, while it was open")
        if now.st_size < end:  # to write behind the gap would damage it
            raise OSError("it was cut, or an older copy was restored, while it was open")
        if now.st_size > end:
            self.cut(end)
        try:
            if os.write(self._fd, data) != len(data):
                raise OSError(errno.ENOSPC, "short write: no room")
            os.fsync(self._fd)
        except BaseException:
            self._take_back(end)
            raise
        return end + len(data)

    def cut(self, size: int) -> None:
        """Take away all behind the first `size` bytes."""
        os.ftruncate(self._fd, size)
        os.fsync(self._fd)

    def close(self) -> None:
        """Release the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _in_place(self, now: os.stat_result) -> bool:
        """Return whether the path still leads to this file: the number of links does not tell, a backup may be one."""
        try:
            return os.path.samestat(os.lstat(self._place), now)
        except FileNotFoundError:
            return False

    def _take_back(self, size: int) -> None:
        try:
            self.cut(size)
        except OSError:
            self.close()  # the end is unknown: write nothing more; the next start repairs it


def without_fill(data: bytes, start: int) -> bytes | None:
    """Return the data without the zeros that a power loss leaves where a write had grown the file, None without zeros.

    No frame of ours ends in so many zeros by itself.
    """
    kept = data[: start + len(data[start:].rstrip(b"\x00"))]
    return kept if len(data) - len(kept) >= _FILL else None


def read_whole(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a regular file that may be open elsewhere."""
    fd = os.open(os.fspath(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # non-blocking: a pipe must not hang us
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ProtocolAbort(f"{os.fspath(path)!r} is not a regular file")
        return _read_fd(fd, os.fspath(path))
    finally:
        os.close(fd)


def _read_fd(fd: int, path: str) -> bytes:
    size = os.fstat(fd).st_size
    if size > MAX_FILE:
        raise ProtocolAbort(
            f"{path!r} has {size} bytes, more than {MAX_FILE}, and is not read: keep it, for what it notes counts on. "
            "After a log or an audit book, begin a new one under another name; after a file of uses, a new log too, "
            "and sign grants with new ids; after a book of scored rows, train a new model"
        )
    return read_all(fd, size)
