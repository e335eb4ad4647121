"""The agreement that both kinds of sums share: a session's id, clients and hash, and the checks of names and keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .._frozen import Frozen
from .._numeric import as_int

__all__ = [
    "Agreement",
    "Clients",
    "Key",
    "check_bytes",
    "check_clients",
    "check_name",
    "check_signing_key",
    "printable",
    "public_bytes",
    "signed_by",
]

Key: TypeAlias = bytes | Ed25519PublicKey
"""An Ed25519 public key: its 32 bytes, or the object of :mod:`cryptography`."""
Clients: TypeAlias = Mapping[str, Key | tuple[Key, int]]
"""For each client its public key and its largest weight; a key alone stands for a largest weight of 1."""


class Agreement(Frozen):
    """The public configuration of a session, on which all parties agree: its hash is in every message."""

    __slots__ = ("__weakref__", "_clients", "_hash", "_min_clients", "_session_id")

    _clients: Mapping[str, tuple[bytes, int]]
    _hash: bytes
    _min_clients: int
    _session_id: bytes

    _unchanging = "a session cannot be changed ({}): its hash is in every message"

    @property
    def session_id(self) -> bytes:
        """Random bytes that distinguish sessions of one configuration, 16 bytes.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 5)}, clients, min_clients=2)
        >>> len(session.session_id)
        16
        """
        return self._session_id

    @property
    def clients(self) -> Mapping[str, tuple[bytes, int]]:
        """For each client its Ed25519 public key and its largest weight; sorted by name, read-only.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"b": (bytes([2] * 32), 1), "a": (bytes([1] * 32), 4)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 5)}, clients, min_clients=2)
        >>> {name: limit for name, (key, limit) in session.clients.items()}
        {'a': 4, 'b': 1}
        """
        return self._clients

    @property
    def min_clients(self) -> int:
        """Sums of fewer clients are not opened.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 5)}, clients, min_clients=2)
        >>> session.min_clients
        2
        """
        return self._min_clients

    @property
    def hash(self) -> bytes:
        """SHA-256 of the configuration, 32 bytes: compare it with what was agreed.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> one, other = (bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 5)}, clients, 2) for _ in range(2))
        >>> len(one.hash), one.hash == other.hash
        (32, False)
        """
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self.hash == other.hash if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hash)


def check_bytes(value: bytes, name: str, size: int) -> bytes:
    """Return an argument that must be bytes of this length."""
    if not isinstance(value, bytes):
        raise TypeError(f"{name} must be bytes, not {type(value).__name__}")
    if len(value) != size:
        raise ValueError(f"{name} must have {size} bytes, not {len(value)}")
    return value


def public_bytes(key: object, name: str) -> bytes:
    """Return the 32 bytes of an Ed25519 public key, given as such or as an object of :mod:`cryptography`.

    Raises
    ------
    TypeError, ValueError
        If it is anything else; the message names the argument and what to give.
    """
    if isinstance(key, Ed25519PublicKey):
        return key.public_bytes_raw()
    if isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{name} is a private key, which its owner keeps: give key.public_key()")
    if not isinstance(key, bytes):
        raise TypeError(f"{name} must be an Ed25519PublicKey or its 32 bytes, not {type(key).__name__}")
    if len(key) != 32:
        raise ValueError(
            f"{name}: an Ed25519 public key has 32 bytes, not {len(key)}: give key.public_bytes_raw(), or the key"
        )
    return key


def check_name(name: object, what: str) -> str:
    """Return a party's or tensor's name: 1 to 64 printable characters, since it is shown and logged."""
    if not isinstance(name, str):
        raise TypeError(f"{what}: a name must be a str, not {type(name).__name__}")
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise ValueError(f"{what}: a name must be 1 to 64 printable characters")
    return name


def check_clients(clients: Clients, most: int) -> dict[str, tuple[bytes, int]]:
    """Return the clients of a session sorted by name, each with its public key and its largest weight.

    Parameters
    ----------
    clients : mapping of str to (key, int), or to a key
        What the session's maker gave; a key alone has the largest weight 1.
    most : int
        How many a session may have.

    Raises
    ------
    TypeError, ValueError
        If they are too few or too many, or a name, a key or a weight is not allowed.
    """
    if not isinstance(clients, Mapping):
        raise TypeError(
            f"clients must be a mapping of name to public key, or to (public key, largest weight), not "
            f"{type(clients).__name__}: give {{name: key.public_key(), ...}}"
        )
    if not 2 <= len(clients) <= most:
        raise ValueError(f"clients: a session has 2 to {most} of them, not {len(clients)}: name every party that adds")
    checked: dict[str, tuple[bytes, int]] = {}
    owner: dict[bytes, str] = {}
    for name in sorted(clients, key=lambda name: check_name(name, "clients")):
        entry = clients[name]
        pair = entry if isinstance(entry, tuple | list) else (entry, 1)
        if len(pair) != 2:
            raise TypeError(f"clients[{name!r}] must be a public key, or a pair (public key, largest weight)")
        key, limit = public_bytes(pair[0], f"clients[{name!r}]: the public key"), pair[1]
        if key in owner:
            raise ValueError(f"clients {owner[key]!r} and {name!r} have the same public key: each needs its own")
        owner[key] = name
        checked[name] = (key, as_int(limit, f"clients[{name!r}]: the largest weight", 1, (1 << 63) - 1))
    return checked


def check_signing_key(signing_key: bytes | Ed25519PrivateKey, public: bytes, party: str) -> Ed25519PrivateKey:
    """Return a party's private key, given as such or as its 32-byte seed, if it belongs to the agreed public key."""
    if isinstance(signing_key, bytes):
        if len(signing_key) != 32:
            raise ValueError(
                f"signing_key: an Ed25519 seed has 32 bytes, not {len(signing_key)}: give the Ed25519PrivateKey, or "
                "key.private_bytes_raw()"
            )
        signing_key = Ed25519PrivateKey.from_private_bytes(signing_key)
    if isinstance(signing_key, Ed25519PublicKey):
        raise TypeError(f"signing_key is a public key: give the Ed25519PrivateKey of {party}")
    if not isinstance(signing_key, Ed25519PrivateKey):
        raise TypeError(f"signing_key must be bytes or an Ed25519PrivateKey, not {type(signing_key).__name__}")
    if signing_key.public_key().public_bytes_raw() != public:
        raise ValueError(
            f"signing_key does not belong to the public key agreed for {party}: give the key whose public half the "
            "session has"
        )
    return signing_key


def signed_by(public: bytes, signature: bytes, data: bytes) -> bool:
    """Whether an Ed25519 signature on these bytes is that of the key."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def printable(reason: object, most: int) -> str:
    """Return the start of an error's text with a question mark for every character that cannot be printed."""
    return "".join(c if c.isprintable() else "?" for c in str(reason)[:most])
