"""Bounds the memory of frames that have come before the program has asked for them; large ones wait on disk.

The frame that the program waits for is put together in memory: the program has stated its largest size. All others
together take at most :data:`MEMORY` bytes of memory. What exceeds that goes to temporary files in the party's state
directory, within a quota: mode 0600, removed from the directory at once, encrypted under a key that exists in this
process only. After a crash nothing of them is left, and the peer sends the frames again.
"""

from __future__ import annotations

import io
import os
import tempfile
import weakref
from typing import IO

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...errors import ProtocolAbort
from ...storage import files

__all__ = ["MEMORY", "QUOTA", "Incoming", "Waiting"]

MEMORY = 16 << 20
"""Largest number of bytes of waiting frames in memory."""
QUOTA = 4 << 30
"""Largest number of bytes of waiting frames on disk, by default."""
_FRAMES = 1024  # no step leaves more than a few unread
_FILES = 128  # each is an open file of this process
_BLOCK = 1 << 20  # bytes that are encrypted together


class Waiting:
    """The frames of one session in waiting. A frame counts for as long as somebody refers to it.

    Parameters
    ----------
    directory : path-like
        Where large frames wait.
    peer : str
        The peer's name, for errors.
    quota : int
        Largest number of bytes on disk.

    Examples
    --------
    >>> import tempfile
    >>> waiting = Waiting(tempfile.mkdtemp(), "host")
    >>> frame = waiting.begin(6)
    >>> frame.add(b"abc"), frame.add(b"def"), frame.whole()
    (None, None, b'abcdef')
    """

    def __init__(self, directory: str | os.PathLike[str], peer: str, quota: int = QUOTA) -> None:
        self._directory, self._peer, self._quota = directory, peer, quota
        self._frames: weakref.WeakSet[Incoming] = weakref.WeakSet()

    def begin(self, size: int, *, due: bool = False) -> Incoming:
        """Return an empty frame, to be filled.

        Parameters
        ----------
        size : int
            Its number of bytes.
        due : bool
            Whether the program waits for this frame, and has accepted its size.

        Raises
        ------
        ProtocolAbort
            Naming the peer, if more than allowed would wait; or if the disk refuses the file.
        """
        held = list(self._frames)
        on_disk = [len(frame) for frame in held if frame.spooled]
        if due or size + sum(map(len, held)) - sum(on_disk) <= MEMORY:
            frame = Incoming(size)
        else:
            frame = Incoming(size, self._directory)
            on_disk.append(size)
        if len(held) >= _FRAMES or len(on_disk) > _FILES or sum(on_disk) > self._quota:
            raise ProtocolAbort(
                f"{self._peer!r} sent more than this party has asked for: {len(held) + 1} frames would wait, "
                f"{len(on_disk)} of them on disk with {sum(on_disk)} bytes; at most {_FRAMES} may, {_FILES} of them "
                f"on disk with {self._quota} bytes (spool_quota): raise it if the rows need more",
                party=self._peer,
            )
        self._frames.add(frame)
        return frame


class Incoming:
    """A frame that arrives in pieces.

    Parameters
    ----------
    size : int
        Its number of bytes.
    directory : path-like, optional
        Keep it in an encrypted temporary file there, not in memory.
    """

    def __init__(self, size: int, directory: str | os.PathLike[str] | None = None) -> None:
        self.got = 0
        self.spooled = directory is not None
        self._size, self._directory = size, directory
        self._data = io.BytesIO()  # the frame; if it is spooled, what does not fill a block yet
        self._file: IO[bytes] | None = None
        self._aead = AESGCM(AESGCM.generate_key(256)) if self.spooled else None
        self._blocks: list[int] = []  # their sizes in the file

    def __len__(self) -> int:
        return self._size

    def add(self, piece: bytes | memoryview) -> None:
        """Append a piece; ProtocolAbort if the disk refuses it."""
        self.got += len(piece)
        self._data.write(piece)
        if self._aead is not None and (self._data.tell() >= _BLOCK or self.got >= self._size):
            try:
                if self._file is None:
                    self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115  # closed with the frame
                block = self._aead.encrypt(self._nonce(), self._data.getbuffer(), None)
                self._file.write(block)
            except OSError as err:
                why = "the disk is full: free space" if files.is_full(err) else f"{err.strerror}: fix it"
                raise ProtocolAbort(
                    f"cannot keep a received frame in {self._directory}: {why}, start again",
                    kind="disk" if files.is_full(err) else None,
                ) from err
            self._blocks.append(len(block))
            self._data = io.BytesIO()

    def whole(self) -> bytes:
        """Return the frame; a spooled one can be read once."""
        if self._aead is None or self._file is None:
            return self._data.getvalue()  # shares the memory
        out, sizes, self._blocks = io.BytesIO(), self._blocks, []
        with self._file as file:
            file.seek(0)
            for size in sizes:
                out.write(self._aead.decrypt(self._nonce(), file.read(size), None))
                self._blocks.append(size)
        return out.getvalue()

    def _nonce(self) -> bytes:
        return len(self._blocks).to_bytes(12, "little")  # the key is of this frame alone
