"""Fitted halves in files: the frame as it is, or sealed under a passphrase as private keys are.

Sealed, the whole frame is what one frame of kind SEALED seals (:mod:`bluetusk.storage.sealed`); that frame's header
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
    InvalidKey
        If it asks for more memory than there is.
    OSError
        As the operating system says.

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
                f"{os.fspath(path)} is not sealed, so it may have been exchanged: load it without passphrase"
            )
        outer = sealed.parse(data, frame.Kind.SEALED, ["content"])
        frame.field(outer.header, "content", int, choices=(int(kind),))
        data = sealed.unseal(data, outer, passphrase)
    return frame.decode(data, kind)
