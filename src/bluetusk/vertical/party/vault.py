"""Keeps a party's files on its disk: small and encrypted, each written whole or not at all.

Every file is one frame of kind CHECKPOINT: AES-256-GCM under the party's own state key, with the file's name, and
whatever the caller binds it to, as associated data. So a file that was changed, cut, renamed or taken from elsewhere is
refused. Files that grow hold one such frame after another. Writing returns when the bytes are on disk.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...errors import FrameError, ProtocolAbort
from ...storage import files, sealed
from ...storage.append import AppendFile
from ...wire.frame import Kind, check_fields, decode

__all__ = ["Vault"]

_LENGTH = struct.Struct("<Q")


class Vault:
    """A directory of encrypted files, for one process at a time.

    Parameters
    ----------
    path : path-like
        The directory; made (mode 0700) if absent.
    key : bytes
        The encryption key, 32 bytes.

    Raises
    ------
    ProtocolAbort
        If another process uses the directory, or the disk refuses a write.
    OSError
        If the directory cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> vault = Vault(tempfile.mkdtemp(), bytes(32))
    >>> vault.write("a", b"secret")
    >>> vault.read("a"), b"secret" in (vault.path / "a").read_bytes()
    (b'secret', False)
    >>> vault.close()
    """

    def __init__(self, path: str | os.PathLike[str], key: bytes) -> None:
        self.path = Path(path)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._aead = AESGCM(key)
        try:
            self._lock = files.open_locked(self.path / "lock")
        except BlockingIOError:
            raise ProtocolAbort(
                f"{self.path} is in use by another process: each party needs its own; or wait until that run has ended",
                kind="busy",
            ) from None
        self._appended: dict[str, tuple[int, int]] = {}  # number of records, and the end of the last one
        for left in self.path.glob(".bluetusk-*.tmp"):  # left by a process that was killed while writing
            left.unlink()

    @classmethod
    def looking(cls, path: str | os.PathLike[str], key: bytes) -> Vault:
        """Return a directory to read from: it is not made, locked or changed, whatever is called."""
        found = object.__new__(_Looked)
        found.path, found._aead, found._lock, found._appended = Path(path), AESGCM(key), -1, {}
        return found

    def write(self, name: str, data: bytes, *, bound: bytes = b"") -> None:
        """Replace a file; only who gives the same `bound` can read it."""
        try:
            files.write(self.path / name, self._seal(name, data, bound), overwrite=True, durable=True)
        except OSError as err:
            raise self._refused(err) from err

    def read(self, name: str, *, bound: bytes = b"") -> bytes | None:
        """Return the content of a file, None if it does not exist.

        Raises
        ------
        FrameError
            If the file was changed, is another party's, or is bound to something else.
        """
        try:
            data = (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        return self._open(name, data, bound)

    def append(self, name: str, data: bytes, *, bound: bytes = b"") -> None:
        """Add a record to a file that grows; all records of a file are bound to the same."""
        if name not in self._appended:
            self.records(name, bound=bound)
        number, end = self._appended.get(name, (0, 0))
        record = self._seal(f"{name}/{number}", data, bound)
        try:
            file = AppendFile(self.path / name, create=True, durable=True, exclusive=False)
            try:
                end = file.append(_LENGTH.pack(len(record)) + record, end)
            finally:
                file.close()
        except OSError as err:
            raise self._refused(err) from err
        self._appended[name] = number + 1, end

    def records(self, name: str, *, bound: bytes = b"") -> list[bytes]:
        """Return the records of a file that grows, without a last one that a crash has cut short."""
        try:
            data = (self.path / name).read_bytes()
        except FileNotFoundError:
            return []
        found: list[bytes] = []
        start = 0
        while (head := start + _LENGTH.size) <= len(data):
            end = head + _LENGTH.unpack_from(data, start)[0]
            if end > len(data):
                break
            found.append(self._open(f"{name}/{len(found)}", data[head:end], bound))
            start = end
        self._appended[name] = len(found), start
        return found

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as err:
            raise self._refused(err) from err
        self._appended.pop(name, None)

    def names(self) -> list[str]:
        """Return the names of the files."""
        return sorted(p.name for p in self.path.iterdir() if not p.name.startswith(".") and p.name != "lock")

    def close(self) -> None:
        """Release the directory for another process."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _seal(self, name: str, data: bytes, bound: bytes) -> bytes:
        return sealed.encrypt(self._aead, Kind.CHECKPOINT, {}, data, lambda head: _bind(name, bound))

    def _open(self, name: str, data: bytes, bound: bytes) -> bytes:
        got = decode(data, Kind.CHECKPOINT)
        check_fields(got.header, ["nonce"])
        sealed.nonce_of(got)
        try:
            return sealed.decrypt(self._aead, data, got, lambda head: _bind(name, bound))
        except FrameError:
            raise FrameError(
                f"{self.path / name} was changed, or is of another job or under another key: restore it, or remove "
                f"the state directories of both parties and choose a new job name"
            ) from None

    def _refused(self, err: OSError) -> ProtocolAbort:
        full = "the disk is full: free space and start again"
        kind = "disk" if files.is_full(err) else None
        remedy = full if files.is_full(err) else f"{err.strerror}: fix it and start again"
        return ProtocolAbort(f"cannot write to {self.path}: {remedy}; no kept step is lost", kind=kind)


class _Looked(Vault):
    """A directory that stays as it is."""

    def write(self, name: str, data: bytes, *, bound: bytes = b"") -> None:
        raise ProtocolAbort(f"{self.path} is open to be read only")

    def append(self, name: str, data: bytes, *, bound: bytes = b"") -> None:
        raise ProtocolAbort(f"{self.path} is open to be read only")

    def remove(self, name: str) -> None:
        """Leave the file there."""


def _bind(name: str, bound: bytes) -> bytes:
    """Return the associated data; no name holds the zero byte that separates the two."""
    return name.encode() + b"\0" + bound if bound else name.encode()
