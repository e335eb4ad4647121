"""Makes and loads the parties' certificates: each party makes its own, the other pins it; there is no authority."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ...errors import InvalidKey
from ...evidence import fingerprint
from ...storage import files, sealed

__all__ = ["Identity", "make_certificate", "only_certificate"]

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_ROUNDS = 600_000
_PBES2, _PBKDF2 = bytes.fromhex("06092a864886f70d01050d"), bytes.fromhex("06092a864886f70d01050c")
_HMAC_SHA256, _AES256_CBC = bytes.fromhex("06082a864886f70d0209"), bytes.fromhex("060960864801650304012a")


def make_certificate(
    name: str,
    directory: str | os.PathLike[str],
    *,
    addresses: tuple[str, ...] = ("localhost", "127.0.0.1"),
    days: int = 365,
    passphrase: str | bytes | None = None,
    renew: bool = False,
) -> tuple[Path, Path]:
    """Make a party's key and self-signed certificate for mutual TLS (ECDSA on P-256).

    Parameters
    ----------
    name : str
        The party's name: at most 63 letters, digits and hyphens. The certificate contains it.
    directory : path-like
        The folder for ``NAME.key.pem`` (mode 0600) and ``NAME.cert.pem``; made if absent.
    addresses : tuple of str
        Host names and IP addresses at which the party listens.
    days : int
        Days for which the certificate is valid, 1 to 3650.
    passphrase : str or bytes, optional
        Encrypts the key file (PKCS #8: PBKDF2 with SHA-256, AES-256-CBC); without it whoever reads the file is this
        party. `bluetusk certs` requires one, or ``--no-passphrase``.
    renew : bool
        Make a new certificate for the key that is in the folder, and replace the old one. The fingerprint stays, so
        policies, splits and halves of models hold on; the addresses of the old one stay too. The peer needs the new
        file.

    Returns
    -------
    tuple of Path
        The key file, which never leaves this machine, and the certificate file, to be given to the peer over a channel
        that both trust: whoever swaps it can impersonate this party.

    Raises
    ------
    ValueError
        If the name has other characters or more than 63, `days` is out of range, or `passphrase` is empty.
    FileExistsError
        If one of the files exists: a key is never overwritten.
    FileNotFoundError
        If the key or the certificate to renew is not there.
    InvalidKey
        If the key to renew does not open under the passphrase, or is not that of the certificate.

    Examples
    --------
    >>> import tempfile
    >>> key, certificate = make_certificate("bank", tempfile.mkdtemp())
    >>> key.name, certificate.name
    ('bank.key.pem', 'bank.cert.pem')
    """
    if not _NAME.fullmatch(name):
        raise ValueError("name must be at most 63 letters, digits and hyphens: the certificate contains it")
    if not 1 <= days <= 3650:
        raise ValueError(f"days must be between 1 and 3650, not {days}")
    if passphrase is not None:
        sealed.secret_of(passphrase)  # a wrong one before anything is made
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}.key.pem", folder / f"{name}.cert.pem"
    names = [x509.DNSName(name), *map(_general_name, addresses)]
    if renew:
        key, old = _old(*paths, passphrase)
        names = list(dict.fromkeys([*old, *names]))
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    if renew:
        files.write(paths[1], public, mode=0o644, overwrite=True)
        return paths
    form = serialization.Encoding.PEM if passphrase is None else serialization.Encoding.DER
    private = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    if passphrase is not None:
        private = _under(passphrase, private)
    for path in paths:
        if path.exists():
            raise FileExistsError(
                f"{path} exists, and a key is never overwritten: give another directory, or renew its certificate "
                f"(`bluetusk certs {name} --renew`)"
            )
    for path, data, mode in zip(paths, (private, public), (0o600, 0o644), strict=True):
        files.write(path, data, mode=mode)
    return paths


def _old(
    key: Path, certificate: Path, passphrase: str | bytes | None
) -> tuple[ec.EllipticCurvePrivateKey, list[x509.GeneralName]]:
    """Return the key of a certificate that is renewed, and the names in it."""
    private = _opened(key.read_bytes(), os.fspath(key), passphrase)
    own = only_certificate(certificate.read_bytes())
    if not isinstance(private, ec.EllipticCurvePrivateKey) or own.public_key() != private.public_key():
        raise InvalidKey(f"{key} is not the key of {certificate}: put back the two files that belong together")
    try:
        return private, list(own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:  # made by another program
        return private, []


def _under(passphrase: str | bytes, der: bytes) -> bytes:
    """Return a key as PEM, encrypted by PBES2 (RFC 8018); `cryptography` writes that with 2048 rounds only."""
    salt, nonce, secret = os.urandom(16), os.urandom(16), sealed.secret_of(passphrase)
    padded = padding.PKCS7(128).padder()
    encryptor = Cipher(
        algorithms.AES256(PBKDF2HMAC(hashes.SHA256(), 32, salt, _ROUNDS).derive(secret)), modes.CBC(nonce)
    ).encryptor()
    data = encryptor.update(padded.update(der) + padded.finalize()) + encryptor.finalize()
    rounds = _der(0x02, _ROUNDS.to_bytes(3, "big"))
    stretched = _der(0x30, _PBKDF2, _der(0x30, _der(0x04, salt), rounds, _der(0x30, _HMAC_SHA256, _der(0x05))))
    algorithm = _der(0x30, _PBES2, _der(0x30, stretched, _der(0x30, _AES256_CBC, _der(0x04, nonce))))
    text = base64.encodebytes(_der(0x30, algorithm, _der(0x04, data))).replace(b"\n", b"")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN ENCRYPTED PRIVATE KEY-----", *lines, b"-----END ENCRYPTED PRIVATE KEY-----", b""])


def _der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body).to_bytes(2, "big")
    length = size[1:] if len(body) < 0x80 else b"\x82" + size if len(body) > 0xFF else b"\x81" + size[1:]
    return bytes([tag]) + length + body


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def only_certificate(pem: bytes) -> x509.Certificate:
    """Return the one certificate of a PEM file.

    Raises
    ------
    InvalidKey
        If the file has no certificate, or several: a party that accepts one peer must not accept a second.

    Examples
    --------
    >>> only_certificate(b"")
    Traceback (most recent call last):
        ...
    bluetusk.errors.InvalidKey: not a PEM certificate: give the file that `bluetusk certs` made
    """
    try:
        certificate, *others = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise InvalidKey("not a PEM certificate: give the file that `bluetusk certs` made") from None
    if others:
        raise InvalidKey(f"the file holds {1 + len(others)} certificates: give a file with only the right one")
    return certificate


@dataclass(frozen=True)
class Identity:
    """The files by which a party and its peer know each other.

    Attributes
    ----------
    certificate, key : bytes
        This party's certificate and key, as PEM; the key is not encrypted here. The repr shows neither.
    peer_certificate : bytes
        The peer's certificate, as PEM.
    peer_name : str
        The name in the peer's certificate.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> (key, mine), (_, theirs) = make_certificate("bank", folder), make_certificate("network", folder)
    >>> Identity.load(mine, key, theirs)
    Identity(peer_name='network')
    """

    certificate: bytes
    key: bytes
    peer_certificate: bytes
    peer_name: str

    def __post_init__(self) -> None:
        # only the certificate read here: TLS would also trust other blocks of the file, which nobody has compared
        peer = only_certificate(self.peer_certificate).public_bytes(serialization.Encoding.PEM)
        object.__setattr__(self, "peer_certificate", peer)

    def __repr__(self) -> str:
        return f"Identity(peer_name={self.peer_name!r})"

    @classmethod
    def load(
        cls,
        certificate: str | os.PathLike[str],
        key: str | os.PathLike[str],
        peer_certificate: str | os.PathLike[str],
        *,
        passphrase: str | bytes | None = None,
    ) -> Identity:
        """Read the three files; check that key and certificate match and that both certificates are valid now.

        Parameters
        ----------
        certificate, key, peer_certificate : path-like
            PEM files.
        passphrase : str or bytes, optional
            Of the key, if its file is encrypted; not used if it is not.

        Returns
        -------
        Identity

        Raises
        ------
        InvalidKey
            If a file is not a PEM certificate or a PEM key, the passphrase is missing or wrong, the key is not the
            certificate's, or a certificate is not valid now.

        Examples
        --------
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> (key, mine), (other, theirs) = make_certificate("bank", folder), make_certificate("network", folder)
        >>> Identity.load(mine, other, theirs)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        bluetusk.errors.InvalidKey: .../network.key.pem is not the key of .../bank.cert.pem: ...
        """
        mine, peer = Path(certificate).read_bytes(), Path(peer_certificate).read_bytes()
        secret = Path(key).read_bytes()
        for what, pem in (("this party's", mine), ("the peer's", peer)):
            _check_dates(only_certificate(pem), what)
        private = _opened(secret, os.fspath(key), passphrase)
        own = x509.load_pem_x509_certificate(mine)
        if own.public_key() != private.public_key():
            raise InvalidKey(
                f"{os.fspath(key)} is not the key of {os.fspath(certificate)}: name the two files that one call of "
                "`bluetusk certs` made"
            )
        names = x509.load_pem_x509_certificate(peer).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if not names:
            raise InvalidKey(f"{os.fspath(peer_certificate)} does not name a party: have the peer run `bluetusk certs`")
        plain = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(mine, plain, peer, str(names[0].value))

    def pair(self, role: str) -> bytes:
        """Return a name of the two parties from the keys of their certificates, the guest's first: the same at both.

        Parameters
        ----------
        role : {"guest", "host"}
            This party's.

        Returns
        -------
        bytes

        Examples
        --------
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> (key, mine), (other, theirs) = make_certificate("bank", folder), make_certificate("network", folder)
        >>> Identity.load(mine, key, theirs).pair("guest") == Identity.load(theirs, other, mine).pair("host")
        True
        """
        both = [fingerprint(pem) for pem in (self.certificate, self.peer_certificate)]
        return " ".join(both if role == "guest" else both[::-1]).encode()

    def state_key(self) -> bytes:
        """Return the key that encrypts this party's state on disk; it is derived from the private key.

        Returns
        -------
        bytes
            32 bytes.

        Examples
        --------
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> (key, mine), (_, theirs) = make_certificate("bank", folder), make_certificate("network", folder)
        >>> len(Identity.load(mine, key, theirs).state_key())
        32
        """
        private = serialization.load_pem_private_key(self.key, None)
        der = private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return sealed.derived(der, b"bluetusk party state")


def _opened(pem: bytes, path: str, passphrase: str | bytes | None) -> PrivateKeyTypes:
    """Return the key of a PEM file."""
    locked = b"ENCRYPTED" in pem
    if locked and passphrase is None:
        raise InvalidKey(f"{path} is encrypted: set the environment variable BLUETUSK_PASSPHRASE to its passphrase")
    secret = sealed.secret_of(passphrase) if locked and passphrase is not None else None
    try:
        return serialization.load_pem_private_key(pem, secret)
    except (ValueError, TypeError):
        raise InvalidKey(
            f"{path} does not open under this passphrase: give that of `bluetusk certs`, or restore the file"
            if locked
            else f"{path} is not a PEM key: give that of `bluetusk certs`"
        ) from None


def _check_dates(certificate: x509.Certificate, what: str) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise InvalidKey(
            f"{what} certificate is valid from {certificate.not_valid_before_utc:%Y-%m-%d} to "
            f"{certificate.not_valid_after_utc:%Y-%m-%d}, not now: its owner renews it with `bluetusk certs NAME "
            f"--renew`, which keeps the fingerprint, and gives the peer the new file"
        )
