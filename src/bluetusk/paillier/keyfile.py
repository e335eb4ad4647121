"""Private keys in files: one frame, sealed under a passphrase as :mod:`bluetusk.storage.sealed` describes.

The frame (``wire.frame``, kind PRIVATE_KEY) carries in its header: ``bits`` and ``suite`` of the key, ``fingerprint``
of the public key and ``given_hs`` (whether hs was chosen by the key's maker instead of derived from n). The sealed
content is p, q and, if given, hs, each little-endian of fixed width.

A wrong passphrase, an altered byte and a file of another kind give the same message: whoever holds the file but
not the passphrase learns nothing from trying.

The passphrase and the primes pass through Python objects that cannot be wiped; what stays wiped is the loaded key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import FrameError, InvalidKey
from ..storage import files, sealed
from ..wire import frame
from .scheme import SCHEMES as SUITES
from .validate import KEY_BITS

__all__ = ["Material", "read", "seal", "unseal"]

_MAX_FILE = 8192
_FIELDS = ("bits", "fingerprint", "given_hs", "suite")
_REFUSED = (
    "this is not a bluetusk private-key file, or it is damaged, or the passphrase is wrong; check the path and the "
    "passphrase, or restore the file from its backup"
)


@dataclass(frozen=True)
class Material:
    """What a private-key file holds. Its repr shows no secret.

    Attributes
    ----------
    bits : int
        Size of n in bits.
    suite : str
        Name of the suite.
    fingerprint : bytes
        Fingerprint of the public key, 32 bytes.
    p, q : int
        The primes.
    hs : int or None
        hs if the maker chose it; None if it is derived from n or the suite has none.

    Examples
    --------
    >>> Material(2048, "djn", bytes(32), 3, 7)
    Material(bits=2048, suite='djn')
    """

    bits: int
    suite: str
    fingerprint: bytes = field(repr=False)
    p: int = field(repr=False)
    q: int = field(repr=False)
    hs: int | None = field(repr=False, default=None)


def seal(material: Material, passphrase: str | bytes) -> bytes:
    """Encrypt a private key under a passphrase.

    Parameters
    ----------
    material : Material
        The key.
    passphrase : str or bytes
        Not empty. A str is normalised (Unicode NFC) and encoded as UTF-8, so that every keyboard gives the same bytes.

    Returns
    -------
    bytes
        The frame; different on every call, because salt and nonce are fresh.

    Raises
    ------
    TypeError, ValueError
        If `passphrase` is neither str nor bytes, or is empty.

    References
    ----------
    RFC 7914 (scrypt), NIST SP 800-38D (GCM).

    Examples
    --------
    >>> data = seal(Material(2048, "djn", bytes(32), 3, 7), "correct horse")
    >>> unseal(data, "correct horse").q
    7
    """
    half = material.bits // 16
    plain = material.p.to_bytes(half, "little") + material.q.to_bytes(half, "little")
    if material.hs is not None:
        plain += material.hs.to_bytes(4 * half, "little")
    header = {
        "bits": material.bits,
        "suite": material.suite,
        "fingerprint": material.fingerprint,
        "given_hs": material.hs is not None,
    }
    return sealed.seal(frame.Kind.PRIVATE_KEY, header, plain, passphrase)


def unseal(data: bytes, passphrase: str | bytes) -> Material:
    """Decrypt a private key; the caller still checks the numbers.

    Parameters
    ----------
    data : bytes
        What :func:`seal` returned.
    passphrase : str or bytes
        The passphrase.

    Returns
    -------
    Material
        The key.

    Raises
    ------
    InvalidKey
        If `data` is anything but a key file sealed with this passphrase (one message, whatever the cause), or if
        opening it needs more memory than there is.
    TypeError, ValueError
        As :func:`seal`.

    Examples
    --------
    >>> unseal(b"BTK1" + bytes(99), "correct horse")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    bluetusk.errors.InvalidKey: this is not a bluetusk private-key file, or it is damaged, or ...
    """
    if len(data) > _MAX_FILE:
        raise InvalidKey(_REFUSED)
    try:
        got = sealed.parse(data, frame.Kind.PRIVATE_KEY, _FIELDS)
        header = got.header
        given_hs = _check_header(header)
        half = header["bits"] // 16
        if got.payload.nbytes != half * (6 if given_hs else 2) + sealed.TAG:
            raise FrameError("the payload's size does not match the key's")
        plain = sealed.unseal(data, got, passphrase)
    except FrameError:
        raise InvalidKey(_REFUSED) from None
    p, q, hs = (int.from_bytes(part, "little") for part in (plain[:half], plain[half : 2 * half], plain[2 * half :]))
    return Material(header["bits"], header["suite"], header["fingerprint"], p, q, hs if given_hs else None)


def read(path: str | os.PathLike[str]) -> bytes:
    """Read a key file: a regular file of at most 8 KiB.

    Parameters
    ----------
    path : path-like
        The file; symbolic links are followed.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    InvalidKey
        If it is too large for a key file, or a directory, device or pipe (which could block or never end).
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> read("/dev/null")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    bluetusk.errors.InvalidKey: this is not a bluetusk private-key file, ...
    """
    try:
        return files.read(path, _MAX_FILE)
    except FrameError:
        raise InvalidKey(_REFUSED) from None


def _check_header(header: Mapping[str, Any]) -> bool:
    """Check the fields of a key before anything costly is done; return given_hs."""
    frame.field(header, "bits", int, choices=KEY_BITS)
    suite = frame.field(header, "suite", str, choices=SUITES)
    frame.field(header, "fingerprint", bytes, length=32)
    return frame.field(header, "given_hs", bool, choices=(False, True) if SUITES[suite].has_base else (False,))
