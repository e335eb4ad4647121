"""Seals bytes in frames: scrypt turns a passphrase into a key, HKDF one key into another, AES-256-GCM encrypts.

A frame that a passphrase seals carries in its header, beside fields of its kind, the names ``kdf`` and ``cipher``,
scrypt's parameters ``log2_n``, ``r``, ``p`` and ``salt``, and the ``nonce``; one that a key seals carries the ``nonce``
alone. The payload is ciphertext and tag. Everything before the payload, the fixed header included, is associated data
unless the form says otherwise, so no byte of a file can be changed unnoticed. A wrong passphrase and an altered byte
give the same message.

The passphrase and the key pass through Python objects that cannot be wiped.

References: RFC 7914 (scrypt), RFC 5869 (HKDF), NIST SP 800-38D (GCM).
"""

from __future__ import annotations

import os
import threading
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ..errors import FrameError, InvalidKey
from ..wire import frame

__all__ = ["TAG", "cipher", "decrypt", "derived", "encrypt", "nonce_of", "parse", "seal", "secret_of", "unseal"]

TAG = 16
"""Bytes that sealing adds."""

_LOG2_N = 17  # scrypt's cost, N = 2^17 with r = 8 and p = 1: 128 MiB and about 0.35 s for each passphrase that is tried
_READ_LOG2_N = (17, 20)  # no file makes a reader spend more than 1 GiB and, with p <= 4, some 12 s
_READ_P = (1, 4)
_R = 8
_SALT, _NONCE = 16, 12
_FIELDS = ("cipher", "kdf", "log2_n", "nonce", "p", "r", "salt")
_REFUSED = "the file is damaged or the passphrase is wrong; check the passphrase, or restore the file from its backup"


def seal(kind: frame.Kind, header: Mapping[str, Any], plain: bytes, passphrase: str | bytes) -> bytes:
    """Encrypt bytes under a passphrase.

    Parameters
    ----------
    kind : Kind
        Kind of the frame.
    header : mapping of str
        The fields of this kind, which stay readable.
    plain : bytes
        The content.
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

    Examples
    --------
    >>> data = seal(frame.Kind.SEALED, {"content": 1}, b"secret", "correct horse")
    >>> unseal(data, parse(data, frame.Kind.SEALED, ["content"]), "correct horse")
    b'secret'
    """
    salt = os.urandom(_SALT)
    kdf = {"kdf": "scrypt", "log2_n": _LOG2_N, "r": _R, "p": 1, "salt": salt, "cipher": "aes-256-gcm"}
    return encrypt(cipher(passphrase, kdf), kind, {**header, **kdf}, plain)


def parse(data: bytes, kind: frame.Kind, names: Iterable[str], *, max_payload: int | None = None) -> frame.Frame:
    """Decode a frame of :func:`seal` and check its fields of scrypt and AES-256-GCM, before anything costly is done.

    Parameters
    ----------
    data : bytes
        The frame.
    kind : Kind
        What it must be.
    names : iterable of str
        The fields of this kind, which are still to be checked.
    max_payload : int, optional
        As in :func:`bluetusk.wire.frame.decode`.

    Returns
    -------
    Frame

    Raises
    ------
    FrameError
        If `data` is not such a frame, or scrypt's parameters exceed the limits: a file must not choose what opening it
        costs.
    """
    got = frame.decode(data, kind, max_payload=max_payload)
    header = got.header
    frame.check_fields(header, (*_FIELDS, *names))
    frame.field(header, "kdf", str, choices=("scrypt",))
    frame.field(header, "log2_n", int, low=_READ_LOG2_N[0], high=_READ_LOG2_N[1])
    frame.field(header, "r", int, choices=(_R,))
    frame.field(header, "p", int, low=_READ_P[0], high=_READ_P[1])
    frame.field(header, "salt", bytes, length=_SALT)
    frame.field(header, "cipher", str, choices=("aes-256-gcm",))
    nonce_of(got)
    if got.payload.nbytes < TAG:
        raise FrameError(_REFUSED)
    return got


def unseal(data: bytes, got: frame.Frame, passphrase: str | bytes) -> bytes:
    """Decrypt what :func:`parse` has decoded from `data`.

    Raises
    ------
    FrameError
        If the passphrase is wrong or a byte was altered.
    InvalidKey
        If opening the file needs more memory than there is.
    TypeError, ValueError
        As :func:`seal`.
    """
    return decrypt(cipher(passphrase, got.header), data, got)


def cipher(passphrase: str | bytes, header: Mapping[str, Any]) -> AESGCM:
    """Return the cipher of a passphrase by the fields of a header that was checked; raises as :func:`unseal`."""
    secret = secret_of(passphrase)
    try:
        return AESGCM(_derive(secret, header))
    except MemoryError:
        mib = (128 * _R << header["log2_n"]) >> 20
        raise InvalidKey(f"opening this file needs {mib} MiB of memory, which are not available; free some") from None


def encrypt(
    aead: AESGCM,
    kind: frame.Kind,
    header: Mapping[str, Any],
    plain: bytes,
    bind: Callable[[bytes], bytes] = lambda head: head,
) -> bytes:
    """Encrypt bytes into a frame under a key.

    Parameters
    ----------
    aead : AESGCM
        The cipher.
    kind : Kind
        Kind of the frame.
    header : mapping of str
        Its fields but the nonce.
    plain : bytes
        The content.
    bind : callable
        Returns the associated data, given the bytes before the payload.

    Returns
    -------
    bytes
        The frame; different on every call.

    Examples
    --------
    >>> aead = AESGCM(bytes(32))
    >>> data = encrypt(aead, frame.Kind.CHECKPOINT, {}, b"secret")
    >>> decrypt(aead, data, frame.decode(data))
    b'secret'
    """
    nonce = os.urandom(_NONCE)
    size = len(plain) + TAG
    # the lengths are part of what is bound, so the head is encoded with the payload's final length
    head = frame.encode(kind, {**header, "nonce": nonce}, bytes(size))[:-size]
    return head + aead.encrypt(nonce, plain, bind(head))


def decrypt(aead: AESGCM, data: bytes, got: frame.Frame, bind: Callable[[bytes], bytes] = lambda head: head) -> bytes:
    """Decrypt what :func:`encrypt` made; `got` is `data` decoded.

    Raises
    ------
    FrameError
        If it was altered, or is under another key.
    """
    head = data[: len(data) - got.payload.nbytes]
    try:
        return aead.decrypt(nonce_of(got), got.payload, bind(head))
    except InvalidTag:
        raise FrameError(_REFUSED) from None


def nonce_of(got: frame.Frame) -> bytes:
    """Return the nonce in a frame's header; FrameError if there is none of the right length."""
    return frame.field(got.header, "nonce", bytes, length=_NONCE)


def derived(secret: bytes, info: bytes, salt: bytes | None = None) -> bytes:
    """Return a key of 32 bytes for one purpose by HKDF-SHA256.

    Examples
    --------
    >>> derived(bytes(32), b"one purpose") == derived(bytes(32), b"another purpose")
    False
    """
    return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)


def secret_of(passphrase: str | bytes) -> bytes:
    """Return a passphrase as bytes: a text as UTF-8, in the normal form C.

    Raises
    ------
    TypeError, ValueError
        If it is neither str nor bytes, is empty, or holds a lone surrogate.

    Examples
    --------
    >>> secret_of("p")
    b'p'
    """
    if isinstance(passphrase, str):
        try:
            secret = unicodedata.normalize("NFC", passphrase).encode()
        except UnicodeEncodeError:  # its message would quote the passphrase
            raise ValueError("passphrase holds a lone surrogate, not a Unicode character; give it as bytes") from None
    elif isinstance(passphrase, bytes):
        secret = passphrase
    else:
        raise TypeError(f"passphrase must be str or bytes, not {type(passphrase).__name__}")
    if not secret:
        raise ValueError("passphrase is empty; give one of several words")
    return secret


def _derive(secret: bytes, header: Mapping[str, Any]) -> bytes:
    """Run scrypt in a separate thread, so that Ctrl-C need not wait for its third of a second in C."""
    kdf = Scrypt(salt=header["salt"], length=32, n=1 << header["log2_n"], r=header["r"], p=header["p"])
    results: list[bytes | BaseException] = []

    def work() -> None:
        try:
            results.append(kdf.derive(secret))
        except BaseException as error:  # handed to the caller's thread
            results.append(error)

    thread = threading.Thread(target=work, name="bluetusk-scrypt", daemon=True)
    thread.start()
    thread.join()
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]
