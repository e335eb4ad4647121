"""A party's Ed25519 signing key in an encrypted file, and the fingerprint by which a policy names a peer."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ..errors import FrameError, InvalidKey
from ..storage import files, sealed
from ..wire import frame

__all__ = ["Identity", "fingerprint", "fingerprint_groups", "grouped", "read_public_key", "signature_holds"]

_REFUSED = (
    "this is not a file of a bluetusk signing key, or it is damaged, or the passphrase is wrong; check the path and "
    "the passphrase, or restore the file from its backup"
)
_NO_KEY = "does not hold a public key: give a .pub file of `bluetusk evidence keygen`, a PEM key or certificate"
_LABEL = b"bluetusk/evidence/signature/v1\x00"
_LARGEST = 1 << 16
_MAX_FILE = 8192

# The y of all points whose order divides 8, in every encoding, sign bit cleared. Under such a "key" anybody can sign
# anything, so whoever registered one could disown what it signed.
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


def fingerprint(key: Any) -> str:
    """Return the fingerprint by which policies name a party.

    It is SHA-256 of the DER form of the public key (SubjectPublicKeyInfo), so a certificate that is renewed with the
    same key keeps it, and the key of any algorithm has one.

    Parameters
    ----------
    key : Identity, public key of ``cryptography``, x509.Certificate, bytes or str
        Bytes are a raw Ed25519 key of 32 bytes, or PEM or DER of a key or certificate; a str is PEM.

    Returns
    -------
    str
        64 hexadecimal digits; :func:`fingerprint_groups` is the form for people.

    Raises
    ------
    InvalidKey
        If `key` does not hold a public key.

    References
    ----------
    RFC 5280 (SubjectPublicKeyInfo), RFC 8410 (Ed25519 in it).

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.evidence.fingerprint(bytes(32))[:16]
    '722abd12e99a5367'
    """
    public = key._key.public_key() if isinstance(key, Identity) else _public_key(key)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def fingerprint_groups(key: Any) -> str:
    """Return :func:`fingerprint` as every command prints it: in groups of four digits, for two people to read aloud.

    The owner of a certificate proves to have its key, by TLS or by a signature; another name or date around the same
    key does not let anyone else use it. The same digits are printed by ``openssl x509 -in FILE -pubkey
    -noout | openssl pkey -pubin -outform DER | sha256sum``.

    Parameters
    ----------
    key : Identity, public key of ``cryptography``, x509.Certificate, bytes or str
        As for :func:`fingerprint`.

    Returns
    -------
    str
        16 groups joined by hyphens. A policy takes this form and that of :func:`fingerprint`.

    Raises
    ------
    InvalidKey
        If `key` does not hold a public key.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.evidence.fingerprint_groups(bytes(32))[:24]
    '722a-bd12-e99a-5367-f375'
    """
    return grouped(fingerprint(key))


def grouped(digits: str) -> str:
    """Put hexadecimal digits into groups of four.

    Examples
    --------
    >>> grouped("722abd12e99a")
    '722a-bd12-e99a'
    """
    return "-".join(digits[k : k + 4] for k in range(0, len(digits), 4))


def _public_key(key: Any) -> Any:
    from cryptography import x509  # a twentieth of the package's whole import

    if isinstance(key, x509.Certificate):
        return key.public_key()
    if hasattr(key, "public_bytes"):
        return key
    data = key.encode() if isinstance(key, str) else key
    if not isinstance(data, bytes):
        raise TypeError(f"key must be a public key, a certificate, bytes or PEM text, not {type(key).__name__}")
    try:
        if len(data) == 32:
            return Ed25519PublicKey.from_public_bytes(data)
        if b"-----BEGIN CERTIFICATE-----" in data:
            return x509.load_pem_x509_certificate(data).public_key()
        if b"-----BEGIN" in data:
            return serialization.load_pem_public_key(data)
        try:
            return serialization.load_der_public_key(data)
        except ValueError:
            return x509.load_der_x509_certificate(data).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidKey(f"key {_NO_KEY}") from None


def read_public_key(path: str | os.PathLike[str]) -> bytes:
    """Read an Ed25519 public key from a file.

    Parameters
    ----------
    path : path-like
        A file of ``bluetusk evidence keygen`` (.pub: a JSON Web Key), 64 hexadecimal digits, 32 raw bytes, or PEM of a
        key or certificate.

    Returns
    -------
    bytes
        32 bytes.

    Raises
    ------
    InvalidKey
        If it does not hold an Ed25519 public key.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import bluetusk as bt, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "bank.pub")
    ...     _ = path.write_text("5a" * 32)
    ...     bt.evidence.read_public_key(path) == b"Z" * 32
    True
    """
    with open(path, "rb") as file:
        data = file.read(_LARGEST)
    text = data.strip()
    if re.fullmatch(rb"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text.decode())
    if text.startswith(b"{"):
        try:
            fields = json.loads(text)
            if fields["kty"] == "OKP" and fields["crv"] == "Ed25519":
                raw = base64.urlsafe_b64decode(fields["x"] + "==")
                if len(raw) == 32:
                    return raw
        except (ValueError, KeyError, TypeError):
            pass
        raise InvalidKey(f"{os.fspath(path)} {_NO_KEY}")
    try:
        public = _public_key(data)
    except InvalidKey:
        raise InvalidKey(f"{os.fspath(path)} {_NO_KEY}") from None
    if not isinstance(public, Ed25519PublicKey):
        raise InvalidKey(f"{os.fspath(path)} holds a key of another algorithm: an Ed25519 key is needed")
    return public.public_bytes_raw()


class Identity:
    """An Ed25519 key with which a party signs its policy and the heads of its log.

    Its repr shows the fingerprint; it is neither pickled nor copied. The key passes through Python objects that cannot
    be wiped.

    Parameters
    ----------
    key : Ed25519PrivateKey
        The key; :meth:`generate` and :meth:`load` make it.

    References
    ----------
    RFC 8032.

    Examples
    --------
    >>> import bluetusk as bt
    >>> me = bt.evidence.Identity.generate()
    >>> len(me.public_key), len(me.fingerprint)
    (32, 64)
    """

    __slots__ = ("_key",)

    def __init__(self, key: Ed25519PrivateKey) -> None:
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError(f"key must be an Ed25519PrivateKey, not {type(key).__name__}")
        self._key = key

    @property
    def public_key(self) -> bytes:
        """The public key, 32 bytes.

        Examples
        --------
        >>> import bluetusk as bt
        >>> len(bt.evidence.Identity.generate().public_key)
        32
        """
        return self._key.public_key().public_bytes_raw()

    @property
    def fingerprint(self) -> str:
        """What policies name this party by, :func:`bluetusk.evidence.fingerprint` of the key.

        Examples
        --------
        >>> import bluetusk as bt
        >>> me = bt.evidence.Identity.generate()
        >>> me.fingerprint == bt.evidence.fingerprint(me.public_key)
        True
        """
        return fingerprint(self.public_key)

    def __repr__(self) -> str:
        return f"<Identity {grouped(self.fingerprint[:16])}>"

    def __reduce__(self) -> Any:
        raise TypeError("an Identity cannot be pickled or copied: use save(path, passphrase)")

    @classmethod
    def generate(cls) -> Identity:
        """Make a new key from the system's randomness.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.evidence.Identity.generate().public_key != bt.evidence.Identity.generate().public_key
        True
        """
        return cls(Ed25519PrivateKey.generate())

    def sign(self, data: bytes) -> bytes:
        """Sign bytes, behind a label that keeps the signature from meaning anything elsewhere.

        Parameters
        ----------
        data : bytes
            What is signed.

        Returns
        -------
        bytes
            64 bytes.

        Examples
        --------
        >>> import bluetusk as bt
        >>> len(bt.evidence.Identity.generate().sign(b"data"))
        64
        """
        return self._key.sign(_LABEL + data)

    def save(self, path: str | os.PathLike[str], passphrase: str | bytes, *, overwrite: bool = False) -> None:
        """Write the key to a file: scrypt and AES-256-GCM, mode 0600, whole or not at all.

        Parameters
        ----------
        path : path-like
            The file to write.
        passphrase : str or bytes
            Not empty.
        overwrite : bool, optional
            Replace a file that is there.

        Raises
        ------
        FileExistsError, OSError
            If the file exists or cannot be written.

        Examples
        --------
        >>> import bluetusk as bt, os, tempfile
        >>> me = bt.evidence.Identity.generate()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     me.save(os.path.join(folder, "me.key"), "correct horse")
        ...     bt.evidence.Identity.load(os.path.join(folder, "me.key"), "correct horse").public_key == me.public_key
        True
        """
        kind, header = frame.Kind.EVIDENCE_IDENTITY, {"public": self.public_key}
        data = sealed.seal(kind, header, self._key.private_bytes_raw(), passphrase)
        files.write(path, data, overwrite=overwrite, what="key file")

    @classmethod
    def load(cls, path: str | os.PathLike[str], passphrase: str | bytes) -> Identity:
        """Read a key from a file.

        Parameters
        ----------
        path : path-like
            What :meth:`save` wrote.
        passphrase : str or bytes
            The passphrase.

        Returns
        -------
        Identity

        Raises
        ------
        InvalidKey
            If it is not such a file, or altered, or the passphrase is wrong: one message for all.
        OSError
            If the file cannot be read.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.evidence.Identity.load("/dev/null", "x")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        bluetusk.errors.InvalidKey: this is not ...
        """
        try:
            data = files.read(path, _MAX_FILE)
            got = sealed.parse(data, frame.Kind.EVIDENCE_IDENTITY, ["public"], max_payload=32 + sealed.TAG)
            public = frame.field(got.header, "public", bytes, length=32)
            seed = sealed.unseal(data, got, passphrase)
        except FrameError:
            raise InvalidKey(_REFUSED) from None
        identity = cls(Ed25519PrivateKey.from_private_bytes(seed))
        if identity.public_key != public:
            raise InvalidKey(_REFUSED)
        return identity

    def public_json(self) -> str:
        """Return the public key as a JSON Web Key, for the peers.

        Returns
        -------
        str
            One JSON object, with the fingerprint (:func:`bluetusk.evidence.fingerprint_groups`) beside the key.

        References
        ----------
        RFC 8037.

        Examples
        --------
        >>> import bluetusk as bt, json
        >>> json.loads(bt.evidence.Identity.generate().public_json())["crv"]
        'Ed25519'
        """
        x = base64.urlsafe_b64encode(self.public_key).rstrip(b"=").decode()
        told = {"kty": "OKP", "crv": "Ed25519", "x": x, "fingerprint": grouped(self.fingerprint)}
        return json.dumps(told, indent=2)

    def write_public(self, path: str | os.PathLike[str]) -> None:
        """Write :meth:`public_json` to a new file.

        Raises
        ------
        FileExistsError, OSError
            If the file exists or cannot be written.

        Examples
        --------
        >>> import bluetusk as bt, os, tempfile
        >>> me = bt.evidence.Identity.generate()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     me.write_public(os.path.join(folder, "me.pub"))
        ...     bt.evidence.read_public_key(os.path.join(folder, "me.pub")) == me.public_key
        True
        """
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(self.public_json() + "\n")


def signature_holds(public_key: bytes, signature: bytes, data: bytes) -> bool:
    """Check a signature of :meth:`Identity.sign`; none holds under a key of small order."""
    if len(public_key) != 32 or public_key[:31] + bytes([public_key[31] & 0x7F]) in _SMALL_ORDER:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, _LABEL + data)
    except (InvalidSignature, ValueError):
        return False
    return True
