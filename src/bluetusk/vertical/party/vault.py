"""What a party keeps on its own disk: small encrypted files, each written whole or not at all.

Every file is one frame of kind CHECKPOINT: AES-256-GCM under the party's own state key, with the file's name as
associated data, so a file that was changed, cut or renamed is refused. Files that grow hold one such frame after the
other. Writing returns when the bytes are on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...errors import FrameError, ProtocolAbort
from ...wire.frame import Kind, check_fields, decode, encode, field

__all__ = ["Vault"]

_NONCE = 12
_LENGTH = struct.Struct("<Q")


class Vault:
    """A directory of encrypted files that one process at a time may use.

    Parameters
    ----------
    path : path-like
        The directory; made (mode 0700) if absent.
    key : bytes
        32 bytes.

    Raises
    ------
    ProtocolAbort
        If another process uses the directory, or the disk refuses a write.
    OSError
        If it cannot be opened.

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
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise ProtocolAbort(f"{self.path} is in use by another process: one party, one state directory") from None
        self._appended: dict[str, int] = {}

    def write(self, name: str, data: bytes) -> None:
        """Replace a file."""
        sealed = self._seal(name, data)
        temporary = self.path / f".{name}.new"
        try:
            with open(temporary, "wb", opener=_private) as out:
                out.write(sealed)
                out.flush()
                os.fsync(out.fileno())
            os.replace(temporary, self.path / name)
            self._sync()
        except OSError as err:
            temporary.unlink(missing_ok=True)
            raise self._refused(err) from err

    def read(self, name: str) -> bytes | None:
        """Return what a file holds, None if there is none.

        Raises
        ------
        FrameError
            If it was changed, or is another party's.
        """
        try:
            sealed = (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        return self._open(name, sealed)

    def append(self, name: str, data: bytes) -> None:
        """Add a record to a file that grows."""
        number = self._appended.setdefault(name, 0)
        sealed = self._seal(f"{name}/{number}", data)
        end = -1
        try:
            with open(self.path / name, "ab", opener=_private) as out:
                end = out.tell()
                out.write(_LENGTH.pack(len(sealed)) + sealed)
                out.flush()
                os.fsync(out.fileno())
            if number == 0:
                self._sync()
        except OSError as err:
            if end >= 0:
                with contextlib.suppress(OSError):
                    os.truncate(self.path / name, end)  # a torn record would hide those behind it
            raise self._refused(err) from err
        self._appended[name] = number + 1

    def records(self, name: str) -> list[bytes]:
        """Return the records of a file that grows; a last one that a crash has torn is none."""
        try:
            rest = (self.path / name).read_bytes()
        except FileNotFoundError:
            return []
        found: list[bytes] = []
        while len(rest) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(rest)
            if len(rest) < _LENGTH.size + length:
                break
            found.append(self._open(f"{name}/{len(found)}", rest[_LENGTH.size : _LENGTH.size + length]))
            rest = rest[_LENGTH.size + length :]
        self._appended[name] = len(found)
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
        """Let another process use the directory."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _seal(self, name: str, data: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return encode(Kind.CHECKPOINT, {"nonce": nonce}, self._aead.encrypt(nonce, data, name.encode()))

    def _open(self, name: str, sealed: bytes) -> bytes:
        got = decode(sealed, Kind.CHECKPOINT)
        check_fields(got.header, ["nonce"])
        try:
            return self._aead.decrypt(field(got.header, "nonce", bytes, length=_NONCE), got.payload, name.encode())
        except InvalidTag:
            raise FrameError(
                f"{self.path / name} was changed or is under another key: restore it, or remove the state directories "
                f"of both parties to start anew"
            ) from None

    def _sync(self) -> None:
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _refused(self, err: OSError) -> ProtocolAbort:
        full = err.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "the disk is full: free space and start again" if full else f"{err.strerror}: mend it and start again"
        return ProtocolAbort(f"cannot write to {self.path}: {remedy}; nothing that was kept is lost")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
