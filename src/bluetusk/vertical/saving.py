"""Saves fitted halves to files: as plain frames, or sealed under a passphrase as private keys are.

A sealed file is one frame of kind SEALED that contains the whole frame (:mod:`bluetusk.storage.sealed`); its header
names ``content``, the kind inside.
"""

from __future__ import annotations

import os

from ..errors import FrameError
from ..storage import files, sealed
from ..wire import frame

__all__ = ["load_frame", "save_frame"]

_MAX_FILE = 1 << 30


def save_frame(path: str | os.PathLike[str], data: bytes, passphrase: str | bytes | None = None) -> None:
    """Write a frame to a file of mode 0600, whole or not at all; an existing file is replaced.

    Parameters
    ----------
    path : path-like
        The file; a symbolic link is replaced, not followed.
    data : bytes
        One frame.
    passphrase : str or bytes, optional
        Seals the frame: scrypt and AES-256-GCM.

    Raises
    ------
    TypeError, ValueError
        If the passphrase is neither str nor bytes, or is empty.
    OSError
        If the file cannot be read or written.

    Examples
    --------
    >>> import tempfile
    >>> data = frame.encode(frame.Kind.MESSAGE, {"topic": "example"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_frame(folder + "/model", data)
    ...     load_frame(folder + "/model", frame.Kind.MESSAGE).header
    {'topic': 'example'}
    """
    if passphrase is not None:
        data = sealed.seal(frame.Kind.SEALED, {"content": int(frame.decode(data).kind)}, data, passphrase)
    files.write(path, data, overwrite=True)


def load_frame(path: str | os.PathLike[str], kind: frame.Kind, passphrase: str | bytes | None = None) -> frame.Frame:
    """Read what :func:`save_frame` wrote.

    Parameters
    ----------
    path : path-like
        A regular file of at most 1 GiB.
    kind : Kind
        The kind of frame that the file must hold.
    passphrase : str or bytes, optional
        The passphrase that it was saved with.

    Returns
    -------
    Frame
        The caller must check its fields.

    Raises
    ------
    FrameError
        If the file is not a frame of this kind, is sealed and no passphrase is given, is not sealed although one is
        given (somebody could have exchanged it), or does not open with it.
    InvalidKey
        If the key derivation needs more memory than there is.
    OSError
        If the file cannot be read or written.

    Examples
    --------
    >>> load_frame("/dev/null", frame.Kind.MESSAGE)
    Traceback (most recent call last):
        ...
    bluetusk.errors.FrameError: /dev/null is not a regular file of at most 1 GiB
    """
    data = files.read(path, _MAX_FILE)
    closed = frame.decode(data).kind is frame.Kind.SEALED
    if passphrase is None and closed:
        raise FrameError(f"{os.fspath(path)} is sealed: give its passphrase")
    if passphrase is not None:
        if not closed:
            raise FrameError(
                f"{os.fspath(path)} is not sealed, so it may be a forgery: load it without passphrase if you trust it"
            )
        outer = sealed.parse(data, frame.Kind.SEALED, ["content"])
        frame.field(outer.header, "content", int, choices=(int(kind),))
        data = sealed.unseal(data, outer, passphrase)
    return frame.decode(data, kind)
