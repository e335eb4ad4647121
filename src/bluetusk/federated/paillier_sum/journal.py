"""Notes on disk which sums a key holder has decrypted; other roles note their answers in the same way.

An append-only text file. Its lines are::

    sum <session hash, hex> <round> <tensor, hex of UTF-8> <first 16 hex digits of SHA-256 of what stands before>

A line is written in one call and flushed to the disk before :meth:`Journal.spend` returns, hence before the key is
used. So a crash can only leave a torn *last* line, of a sum whose answer never left; it is completed if nothing but its
end is missing and cut off otherwise. Anything else that is not a line of this form means that somebody changed the
file, and then nothing may be decrypted on its word.
"""

from __future__ import annotations

import hashlib
import os

from ..._locks import Locked, refuse_reentry
from ..._once import Uncopied
from ...errors import ProtocolAbort
from ...storage.append import AppendFile
from ...storage.files import sync_directory

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
        super().__init__()
        self._session = session.hex()
        self._spent: set[tuple[int, str]] = set()
        self._file = AppendFile(path, create=True, owner=self._owner)
        try:
            self._end = self._load()
            sync_directory(os.path.dirname(os.path.abspath(self._file.path)))
        except BaseException:
            self.close()
            raise

    def check(self, round: int, tensor: str) -> None:
        """Refuse a sum that was decrypted, or may have been.

        Raises
        ------
        ProtocolAbort
            If it was, or if this journal is closed or belongs to the parent process.
        """
        if self._file.closed:
            raise ProtocolAbort(f"the {self._owner} is closed: open a new one on the same state file", round=round)
        if self._file.inherited:
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
            If it already was, if the note could not be written, or if called from within another note (by a signal
            handler or a finaliser): then the key must not be used.
        """
        self.check(round, tensor)
        refuse_reentry(self._lock, "note in this file")
        with self._lock:
            self.check(round, tensor)
            self._spent.add((round, tensor))  # first in memory: an interrupt below can only refuse too much
            try:
                self._end = self._file.append(_line(self._session, round, tensor), self._end)
            except OSError as err:
                raise ProtocolAbort(
                    f"cannot note {self._noted} in {self._file.path!r} ({err.strerror or err}), so it is not "
                    f"{self._done}: make room and start a new round",
                    round=round,
                ) from None

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _load(self) -> int:
        """Read the lines, mend the end, and return where it is."""
        if self._file.size > _MAX_FILE:
            raise ProtocolAbort(
                f"{self._file.path!r} is too large for a journal of sums: move it away and rotate the key"
            )
        data = self._file.read()
        whole = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:whole].splitlines(keepends=True), 1):
            self._note(line, number)
        torn = data[whole:]
        if torn and _parse(torn + b"\n") is not None:
            self._note(torn + b"\n", 0)
            return self._file.append(b"\n", len(data))
        if torn:
            self._file.cut(whole)
        return whole

    def _note(self, line: bytes, number: int) -> None:
        entry = _parse(line)
        if entry is None:
            raise ProtocolAbort(
                f"line {number} of {self._file.path!r} was altered, so it no longer proves which sums were decrypted: "
                "rotate the key and start a session with a new file"
            )
        session, round, tensor = entry
        if session == self._session:
            self._spent.add((round, tensor))


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
