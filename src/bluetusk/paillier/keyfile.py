"""Private keys in files: a passphrase through scrypt, AES-256-GCM, one frame, written whole or not at all.

The frame (``wire.frame``, kind PRIVATE_KEY) carries in its header: ``bits`` and ``suite`` of the key, ``fingerprint``
of the public key, ``given_hs`` (whether hs was chosen by the key's maker instead of derived from n), the scrypt
parameters ``log2_n``, ``r``, ``p`` and ``salt``, the ``nonce``, and the names ``kdf`` and ``cipher``. The payload is
the ciphertext and tag of p, q and, if given, hs, each little-endian of fixed width. Everything before the payload, the
fixed header included, is bound as associated data, so no byte of the file can be changed unnoticed.

A wrong passphrase, an altered byte and a file of another kind give one and the same message: whoever holds the file but
not the passphrase learns nothing from trying.

The passphrase and the primes pass through Python objects that cannot be wiped; what stays wiped is the loaded key.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
import threading
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ..errors import FrameError, InvalidKey
from ..wire import frame
from .scheme import SCHEMES as SUITES
from .validate import KEY_BITS

__all__ = ["Material", "read", "seal", "unseal", "write"]

LOG2_N = 17
"""scrypt's cost, N = 2^17 with r = 8 and p = 1: 128 MiB and about 0.35 s for each passphrase that is tried."""

_READ_LOG2_N = (17, 20)  # no file makes a reader spend more than 1 GiB and, with p <= 4, some 12 s
_READ_P = (1, 4)
_R = 8
_SALT, _NONCE, _TAG = 16, 12, 16
_MAX_FILE = 8192
_FIELDS = ("bits", "cipher", "fingerprint", "given_hs", "kdf", "log2_n", "nonce", "p", "r", "salt", "suite")
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
    secret = _passphrase(passphrase)
    half = material.bits // 16
    plain = material.p.to_bytes(half, "little") + material.q.to_bytes(half, "little")
    if material.hs is not None:
        plain += material.hs.to_bytes(4 * half, "little")
    nonce = os.urandom(_NONCE)
    header = {
        "bits": material.bits,
        "suite": material.suite,
        "fingerprint": material.fingerprint,
        "given_hs": material.hs is not None,
        "kdf": "scrypt",
        "log2_n": LOG2_N,
        "r": _R,
        "p": 1,
        "salt": os.urandom(_SALT),
        "cipher": "aes-256-gcm",
        "nonce": nonce,
    }
    size = len(plain) + _TAG
    # the lengths are part of what is bound, so the head is encoded with the payload's final length
    head = frame.encode(frame.Kind.PRIVATE_KEY, header, bytes(size))[:-size]
    return head + AESGCM(_derive(secret, header)).encrypt(nonce, plain, head)


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
        If `data` is anything but a key file sealed with this passphrase (one message, whatever the cause), or if the
        file asks for more memory than there is.
    TypeError, ValueError
        As :func:`seal`.

    Examples
    --------
    >>> unseal(b"BTK1" + bytes(99), "correct horse")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    bluetusk.errors.InvalidKey: this is not a bluetusk private-key file, or it is damaged, or ...
    """
    secret = _passphrase(passphrase)
    if len(data) > _MAX_FILE:
        raise InvalidKey(_REFUSED)
    try:
        decoded = frame.decode(data, frame.Kind.PRIVATE_KEY)
        header = decoded.header
        given_hs = _check_header(header)
    except FrameError:
        raise InvalidKey(_REFUSED) from None
    half = header["bits"] // 16
    if decoded.payload.nbytes != half * (6 if given_hs else 2) + _TAG:
        raise InvalidKey(_REFUSED)
    head = bytes(data[: -decoded.payload.nbytes])
    try:
        key = _derive(secret, header)
    except MemoryError:
        mib = (128 * _R << header["log2_n"]) >> 20
        raise InvalidKey(f"this key file needs {mib} MiB of memory to open, more than there is; free some") from None
    try:
        plain = AESGCM(key).decrypt(header["nonce"], bytes(decoded.payload), head)
    except InvalidTag:
        raise InvalidKey(_REFUSED) from None
    p, q, hs = (int.from_bytes(part, "little") for part in (plain[:half], plain[half : 2 * half], plain[2 * half :]))
    return Material(header["bits"], header["suite"], header["fingerprint"], p, q, hs if given_hs else None)


def write(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = False) -> None:
    """Write a file that only its owner may read, whole or not at all.

    The bytes go to a new file of mode 0600 in the same directory, are forced to the disk, and only then get their name.
    On any failure or Ctrl-C the new file is removed and what was at `path` is as it was. A symbolic link at `path` is
    never followed: it counts as an existing file, and `overwrite` replaces the link itself.

    Parameters
    ----------
    path : path-like
        Where the file shall be.
    data : bytes
        Its content.
    overwrite : bool, optional
        Replace what is there; a directory never is.

    Raises
    ------
    FileExistsError
        If `path` exists and `overwrite` is False.
    OSError
        As the operating system says: no such directory, disk full, read-only.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(folder + "/a.key", b"sealed")
    ...     oct(os.stat(folder + "/a.key").st_mode & 0o777), read(folder + "/a.key")
    ('0o600', b'sealed')
    """
    name = os.fspath(path)
    folder = os.path.dirname(name) or os.curdir
    if not overwrite and os.path.lexists(name):
        raise _exists(name)
    fd, temporary = tempfile.mkstemp(prefix=".bluetusk-", suffix=".tmp", dir=folder)
    try:
        try:
            os.fchmod(fd, 0o600)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        if overwrite:
            os.replace(temporary, name)
        else:
            _name_new(temporary, name)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    # The file is complete and has its name, so nothing here may fail the call: a directory that may be written to but
    # not read cannot be opened, and some network file systems cannot sync one.
    with contextlib.suppress(OSError):
        directory = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


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
        As the operating system says: not found, no permission.

    Examples
    --------
    >>> read("/dev/null")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    bluetusk.errors.InvalidKey: this is not a bluetusk private-key file, ...
    """
    fd = os.open(os.fspath(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # non-blocking: a pipe must not hang us
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise InvalidKey(_REFUSED)
        with open(fd, "rb", closefd=False) as file:
            data = file.read(_MAX_FILE + 1)
    finally:
        os.close(fd)
    if len(data) > _MAX_FILE:
        raise InvalidKey(_REFUSED)
    return data


def _passphrase(passphrase: str | bytes) -> bytes:
    if isinstance(passphrase, str):
        try:
            secret = unicodedata.normalize("NFC", passphrase).encode()
        except UnicodeEncodeError:  # its message would quote the passphrase
            raise ValueError("passphrase holds a lone surrogate, no Unicode character; give it as bytes") from None
    elif isinstance(passphrase, bytes):
        secret = passphrase
    else:
        raise TypeError(f"passphrase must be str or bytes, not {type(passphrase).__name__}")
    if not secret:
        raise ValueError("passphrase is empty; give one of several words")
    return secret


def _check_header(header: Mapping[str, Any]) -> bool:
    """Check every field of a header before anything costly is done; return given_hs."""
    frame.check_fields(header, _FIELDS)
    frame.field(header, "bits", int, choices=KEY_BITS)
    suite = frame.field(header, "suite", str, choices=SUITES)
    frame.field(header, "fingerprint", bytes, length=32)
    check_kdf(header)
    return frame.field(header, "given_hs", bool, choices=(False, True) if suite == "djn" else (False,))


def check_kdf(header: Mapping[str, Any]) -> None:
    """Check the fields of scrypt and AES-256-GCM in a header; FrameError names the first bad one."""
    frame.field(header, "kdf", str, choices=("scrypt",))
    frame.field(header, "log2_n", int, low=_READ_LOG2_N[0], high=_READ_LOG2_N[1])
    frame.field(header, "r", int, choices=(_R,))
    frame.field(header, "p", int, low=_READ_P[0], high=_READ_P[1])
    frame.field(header, "salt", bytes, length=_SALT)
    frame.field(header, "cipher", str, choices=("aes-256-gcm",))
    frame.field(header, "nonce", bytes, length=_NONCE)


def _derive(secret: bytes, header: Mapping[str, Any]) -> bytes:
    """Run scrypt in a thread of its own, so that Ctrl-C need not wait for its third of a second in C."""
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


def _name_new(temporary: str, name: str) -> None:
    """Give a file a name that must be free."""
    try:
        os.link(temporary, name)
    except FileExistsError:
        raise _exists(name) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # a file system without hard links: look, then rename; two writers in the same instant would both succeed
        if os.path.lexists(name):
            raise _exists(name) from None
        os.rename(temporary, name)


def _exists(name: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, "the key file exists; choose another path, or pass overwrite=True", name)
