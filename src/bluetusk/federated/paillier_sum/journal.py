"""What a key holder must never forget: which sums it has already decrypted. Other roles note their answers alike.

An append-only text file. Its lines are::

    sum <session hash, hex> <round> <tensor, hex of UTF-8> <first 16 hex digits of SHA-256 of what stands before>

A line is written in one call and flushed to the disk before :meth:`Journal.spend` returns, hence before the key is
used. So a crash can only leave a torn *last* line, of a sum whose answer never left; it is completed if nothing but its
end is missing and cut off otherwise. Anything else that is not a line of this form means that somebody changed the
file, and then nothing may be decrypted on its word.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat

from ..._fork import process
from ..._locks import Locked, refuse_reentry
from ..._once import Uncopied
from ...errors import ProtocolAbort

__all__ = ["Journal"]

_MAX_FILE = 1 << 28  # bytes read at the start: about a million sums


class Journal(Locked, Uncopied):
    """The sums that one session's key holder has spent, on disk.

    Parameters
    ----------
    path : path-like
        The file; made (mode 0600) if absent. It may serve several sessions, one after the other.
    session : bytes
        The session's hash.

    Raises
    ------
    ProtocolAbort
        If another key holder has the file open, or it is damaged.
    OSError
        If it cannot be opened for writing, or `path` is a symbolic link.
    """

    _owner, _verb, _noted, _done = "key holder", "decrypt", "the sum", "decrypted"

    def __init__(self, path: str | os.PathLike[str], session: bytes) -> None:
        self._path = os.fspath(path)
        self._session = session.hex()
        self._spent: set[tuple[int, str]] = set()
        self._process = process()
        super().__init__()
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(self._fd).st_mode):
                raise ProtocolAbort(f"{self._path!r} is not a regular file: give the {self._owner} a file of its own")
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ProtocolAbort(
                    f"{self._path!r} is in use by another {self._owner}: close that one first"
                ) from None
            self._load()
            self._sync_directory()
        except BaseException:
            self.close()
            raise

    def check(self, round: int, tensor: str) -> None:
        """Refuse a sum that was decrypted, or may have been.

        Raises
        ------
        ProtocolAbort
            If it was, or if this journal may not be used (any more).
        """
        if self._fd < 0:
            raise ProtocolAbort(f"the {self._owner} is closed: open a new one on the same state file", round=round)
        if self._process is not process():
            raise ProtocolAbort(
                f"the {self._owner} belongs to the parent process: a fork may not {self._verb}", round=round
            )
        if (round, tensor) in self._spent:
            raise ProtocolAbort(self._again(tensor), round=round)

    def _again(self, tensor: str) -> str:
        return (
            f"the sum of tensor {tensor!r} was already decrypted, and a second one could show one client's "
            "values by the difference: start a new round"
        )

    def spend(self, round: int, tensor: str) -> None:
        """Note on disk that this sum is being decrypted.

        Raises
        ------
        ProtocolAbort
            If it already was, if the note could not be written, or if it is asked for in the middle of another note, by
            a signal handler or a finaliser: then the key must not be used.
        """
        self.check(round, tensor)
        refuse_reentry(self._lock, "note in this file")
        with self._lock:
            self.check(round, tensor)
            line = _line(self._session, round, tensor)
            before = os.fstat(self._fd).st_size
            self._spent.add((round, tensor))  # first in memory: an interrupt below can only refuse too much
            try:
                if os.write(self._fd, line) != len(line):
                    raise OSError("short write")
                os.fsync(self._fd)
            except OSError as err:
                self._cut(before)
                raise ProtocolAbort(
                    f"cannot note {self._noted} in {self._path!r} ({err.strerror or err}), so it is not {self._done}: "
                    "make room and start a new round",
                    round=round,
                ) from None
            except BaseException:
                self._cut(before)  # nothing was decrypted, so nothing is lost by taking the line back
                raise

    def close(self) -> None:
        """Release the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _cut(self, size: int) -> None:
        """Take back a half-written line, so that the next one does not continue it."""
        try:
            os.ftruncate(self._fd, size)
            os.fsync(self._fd)
        except OSError:
            self.close()  # the file's end is unknown: write nothing more; the next start repairs it

    def _load(self) -> None:
        size = os.fstat(self._fd).st_size
        if size > _MAX_FILE:
            raise ProtocolAbort(f"{self._path!r} is too large for a journal of sums: move it away and rotate the key")
        data = bytearray()
        while len(data) < size and (part := os.pread(self._fd, size - len(data), len(data))):
            data += part
        whole = data.rfind(b"\n") + 1
        for number, line in enumerate(bytes(data[:whole]).splitlines(keepends=True), 1):
            self._note(line, number)
        torn = bytes(data[whole:])
        if not torn:
            return
        if _parse(torn + b"\n") is not None:
            os.write(self._fd, b"\n")
            self._note(torn + b"\n", 0)
        else:
            os.ftruncate(self._fd, whole)
        os.fsync(self._fd)

    def _note(self, line: bytes, number: int) -> None:
        entry = _parse(line)
        if entry is None:
            raise ProtocolAbort(
                f"line {number} of {self._path!r} was altered, so it no longer proves which sums were decrypted: "
                "rotate the key and start a session with a new file"
            )
        session, round, tensor = entry
        if session == self._session:
            self._spent.add((round, tensor))

    def _sync_directory(self) -> None:
        """Make the file's name itself survive a crash."""
        fd = os.open(os.path.dirname(os.path.abspath(self._path)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _line(session: str, round: int, tensor: str) -> bytes:
    text = f"sum {session} {round} {tensor.encode().hex()}"
    return f"{text} {hashlib.sha256(text.encode()).hexdigest()[:16]}\n".encode()


def _parse(line: bytes) -> tuple[str, int, str] | None:
    """Read a line; None unless it is exactly what :func:`_line` writes."""
    try:
        word, session, round_text, tensor_text, _ = line.decode("ascii").split(" ")
        entry = session, int(round_text), bytes.fromhex(tensor_text).decode()
    except ValueError:
        return None
    return entry if word == "sum" and _line(*entry) == line else None
