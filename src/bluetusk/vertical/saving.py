"""Fitted halves in files: the frame as it is, or sealed under a passphrase as private keys are.

Sealed, the whole frame is the plain text of one frame of kind SEALED, whose header names ``content`` (the kind inside),
``kdf``, ``cipher`` and their parameters as in :mod:`bluetusk.paillier.keyfile`; everything before the payload is
associated data. A wrong passphrase and an altered byte give one and the same message.
"""

from __future__ import annotations

import os
import stat

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import FrameError
from ..paillier import keyfile
from ..wire import frame

__all__ = ["load_frame", "save_frame"]

MAX_FILE = 1 << 30
_SALT, _NONCE, _TAG = 16, 12, 16
_FIELDS = ("cipher", "content", "kdf", "log2_n", "nonce", "p", "r", "salt")
_REFUSED = "the file is damaged or the passphrase is wrong; check the passphrase, or restore the file from its backup"


def save_frame(path: str | os.PathLike[str], data: bytes, passphrase: str | bytes | None = None) -> None:
    """Write a frame to a file of mode 0600, whole or not at all; a file that is there is replaced.

    Parameters
    ----------
    path : path-like
        Where; a symbolic link there is replaced, not followed.
    data : bytes
        One frame.
    passphrase : str or bytes, optional
        Seals the frame: scrypt and AES-256-GCM.

    Raises
    ------
    TypeError, ValueError
        If the passphrase is neither str nor bytes, or is empty.
    OSError
        As the operating system says.

    Examples
    --------
    >>> import tempfile
    >>> data = frame.encode(frame.Kind.MESSAGE, {"topic": "example"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_frame(folder + "/model", data)
    ...     load_frame(folder + "/model", frame.Kind.MESSAGE).header
    {'topic': 'example'}
    """
    keyfile.write(path, data if passphrase is None else _sealed(data, passphrase), overwrite=True)


def load_frame(path: str | os.PathLike[str], kind: frame.Kind, passphrase: str | bytes | None = None) -> frame.Frame:
    """Read what :func:`save_frame` wrote.

    Parameters
    ----------
    path : path-like
        A regular file of at most 1 GiB.
    kind : Kind
        What the frame must hold.
    passphrase : str or bytes, optional
        As it was saved.

    Returns
    -------
    Frame
        Its fields are still to be checked.

    Raises
    ------
    FrameError
        If the file is anything else, is sealed and no passphrase is given, is not sealed though one is given (it could
        have been exchanged), or does not open with it.
    OSError
        As the operating system says.

    Examples
    --------
    >>> load_frame("/dev/null", frame.Kind.MESSAGE)
    Traceback (most recent call last):
        ...
    bluetusk.errors.FrameError: /dev/null is no regular file of at most 1 GiB
    """
    data = _read(path)
    outer = frame.decode(data)
    sealed = outer.kind is frame.Kind.SEALED
    if passphrase is None and sealed:
        raise FrameError(f"{os.fspath(path)} is sealed: give its passphrase")
    if passphrase is not None:
        if not sealed:
            raise FrameError(
                f"{os.fspath(path)} is not sealed, so it may have been exchanged: load it without passphrase"
            )
        data = _opened(data, outer, kind, passphrase)
    return frame.decode(data, kind)


def _sealed(data: bytes, passphrase: str | bytes) -> bytes:
    secret = keyfile._passphrase(passphrase)
    header = {
        "content": int(frame.decode(data).kind),
        "kdf": "scrypt",
        "log2_n": keyfile.LOG2_N,
        "r": keyfile._R,
        "p": 1,
        "salt": os.urandom(_SALT),
        "cipher": "aes-256-gcm",
        "nonce": os.urandom(_NONCE),
    }
    size = len(data) + _TAG
    # the lengths are part of what is bound, so the head is encoded with the payload's final length
    head = frame.encode(frame.Kind.SEALED, header, bytes(size))[:-size]
    return head + AESGCM(keyfile._derive(secret, header)).encrypt(header["nonce"], data, head)  # type: ignore[arg-type]


def _opened(data: bytes, outer: frame.Frame, kind: frame.Kind, passphrase: str | bytes) -> bytes:
    secret = keyfile._passphrase(passphrase)
    header = outer.header
    frame.check_fields(header, _FIELDS)
    frame.field(header, "content", int, choices=(int(kind),))
    keyfile.check_kdf(header)
    if outer.payload.nbytes < _TAG:
        raise FrameError(_REFUSED)
    head = data[: -outer.payload.nbytes]
    try:
        return AESGCM(keyfile._derive(secret, header)).decrypt(header["nonce"], bytes(outer.payload), head)
    except InvalidTag:
        raise FrameError(_REFUSED) from None


def _read(path: str | os.PathLike[str]) -> bytes:
    fd = os.open(os.fspath(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # non-blocking: a pipe must not hang us
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_FILE:
            raise FrameError(f"{os.fspath(path)} is no regular file of at most 1 GiB")
        with open(fd, "rb", closefd=False) as file:
            return file.read(about.st_size)  # not MAX_FILE: read() makes room for all that it is asked for
    finally:
        os.close(fd)
