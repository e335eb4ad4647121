"""Keeps notes in a file that grows: each is sealed together with those before it, and on the disk before it counts."""

from __future__ import annotations

import hmac
import os

from ..._closing import Closing
from ...errors import FrameError, ProtocolAbort
from ...storage.append import AppendFile, without_fill
from ...wire import frame

__all__ = ["SealedNotes"]

_SEAL = 32


class SealedNotes(Closing):
    """An open file of notes, for one holder at a time.

    Each note is a frame, followed by an HMAC-SHA-256 of the seal before it and the frame: only who has the key can
    write one, change one, or leave one out between two. Half a note at the end is that of an answer that never left.

    Parameters
    ----------
    path : path-like
        A file of mode 0600.
    key : bytes
        32 secret bytes.
    owner : str
        What the file is, for the errors: "label book".
    create : bool
        Make the file if it is absent.
    after : tuple of int and bytes, optional
        A :attr:`place` from earlier: if the file still has its seal there, only the notes behind it are read. The
        caller has read those before it; whether somebody has changed them since shows when the file is read whole.

    Attributes
    ----------
    notes : list of bytes
        The frames that the file held when it was opened, behind `after`.

    Raises
    ------
    FrameError
        If the file was altered, or was made with another key.
    ProtocolAbort, OSError
        If the file is in use or cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> for _ in range(2):
    ...     with SealedNotes(folder.name + "/book", bytes(32), "book") as file:
    ...         print(len(file.notes))
    ...         file.append(frame.encode(frame.Kind.VERTICAL_STATE, {"n": 1}))
    0
    1
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        key: bytes,
        owner: str,
        *,
        create: bool = True,
        after: tuple[int, bytes] | None = None,
    ) -> None:
        self._key, self._owner = key, owner
        self._end, self._last = 0, bytes(_SEAL)
        self.notes: list[bytes] = []
        self._file = AppendFile(path, create=create, owner=owner)
        try:
            self._load(self._file.read(), after)
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> tuple[int, bytes]:
        """The end of the last note, in bytes, and its seal."""
        return self._end, self._last

    def whole(self) -> list[bytes]:
        """Return all notes, read and verified anew."""
        self.notes, self._end, self._last = [], 0, bytes(_SEAL)
        self._load(self._file.read(), None)
        return self.notes

    def append(self, note: bytes) -> None:
        """Add a note; it is on the disk when this returns.

        Raises
        ------
        ProtocolAbort
            If it cannot be written; the file is then as it was.
        """
        try:
            last = self._sealed(note)
            self._end, self._last = self._file.append(note + last, self._end), last
        except OSError as error:
            raise ProtocolAbort(
                f"answers cannot be noted in the {self._owner} {self._file.path!r} ({error.strerror or error}), so "
                "none is given: make room, then retry"
            ) from None

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _sealed(self, note: bytes) -> bytes:
        return hmac.digest(self._key, b"note" + self._last + note, "sha256")

    def _load(self, data: bytes, after: tuple[int, bytes] | None) -> None:
        kept = without_fill(data, 0)
        written = data if kept is None else kept
        if after is not None and after[0] > 0 and hmac.compare_digest(written[after[0] - _SEAL : after[0]], after[1]):
            self._end, self._last = after
        while len(written) - self._end >= frame.FIXED.size:
            *_, header, payload = frame.FIXED.unpack_from(written, self._end)
            end = self._end + frame.FIXED.size + header + payload
            if end + _SEAL > len(written) and written.find(frame.MAGIC, self._end + 1) < 0:
                break
            note = written[self._end : end]
            last = self._sealed(note)
            if not hmac.compare_digest(last, written[end : end + _SEAL]):
                raise FrameError(
                    f"the {self._owner} {self._file.path!r} was altered, or made with another key: give that key, or "
                    "restore the file"
                )
            self.notes.append(note)
            self._end, self._last = end + _SEAL, last
