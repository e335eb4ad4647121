"""The session: what clients, an aggregator and a key holder agree on; the package's docstring describes the roles."""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ..._numeric import as_int
from ...encoding import FixedPoint
from ...errors import BluetuskError, FrameError, InvalidKey
from ...paillier.fingerprint import spoken
from ...paillier.keys import PrivateKey, PublicKey
from ...paillier.proofs import prove_modulus, verify_modulus
from ...wire.frame import Kind, check_fields, decode, encode, field, read_frame
from ..parties import Agreement, Clients, check_bytes, check_clients, check_name
from .aggregator import Aggregator
from .client import Client
from .holder import KeyHolder
from .messages import check_private

__all__ = ["MAX_CLIENTS", "MAX_TENSORS", "PaillierSum"]

MAX_CLIENTS = 1024
MAX_TENSORS = 128
_MAX_LENGTH = 1 << 32
_MAX_AXES = 32
"""Of NumPy 1.26; later releases take 64."""
_CLIP, _FRAC, _LIMIT = 2**20, 20, 2**31 - 1
"""Of a plan that nobody chose: the largest size of reals, their binary digits, and the largest size of integers."""
_ROOM = 61
"""Bits of a sum in a slot of 64: one for the sign and two guard bits are left."""
_DOMAIN = b"bluetusk PaillierSum session\0"
_HOLDER = b"key holder"


class PaillierSum(Agreement):
    """One session of encrypted sums: the public configuration on which all roles agree.

    Its hash is part of every message, so a message made under any other key, plan, length, list of clients or limit is
    refused by name. A session has one key and never changes; to rotate the key, start a new session.

    Parameters
    ----------
    public_key : PublicKey
        The key holder's. Compare its fingerprint over another channel. The key holder proves to the other roles how it
        was made: :meth:`prove`.
    tensors : mapping of str to array, shape, or (FixedPoint, shape)
        For each tensor its shape: an array of that shape, of which no value counts, a tuple of ints, or an int for one
        axis; and its encoding. By default that of reals takes values up to 2^20 in size at 20 binary digits after the
        point, that of an array of integers values up to 2^31 - 1; both less where the clients' weights, which add up to
        more than a million, leave less room.
    clients : mapping of str to (key, int), or to a key
        For each client its Ed25519 public key (the object of :mod:`cryptography`, or its 32 bytes) and the largest
        weight it may use; a key alone stands for a largest weight of 1. For every tensor the sum of these weights must
        not exceed the plan's ``max_weight``, so that no sum can overflow a slot.
    min_clients : int, optional
        The key holder decrypts only sums of at least this many clients; at least 2. By default 3, with two clients 2.
    session_id : bytes, optional
        16 bytes; fresh random ones by default. Two sessions with the same configuration differ by it.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is outside its limits.
    EncodingOverflow
        If a plan's slots do not fit the key.

    Examples
    --------
    >>> import bluetusk as bt
    >>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    >>> pub, priv = bt.paillier.generate_keypair()
    >>> keys = {name: Ed25519PrivateKey.generate() for name in ["north", "south", "west"]}
    >>> model = {"weights": np.array([[0.5, -1.0], [2.0, 0.25]]), "bias": np.array(1.5)}
    >>> clients = {name: (key.public_key(), 10) for name, key in keys.items()}
    >>> session = bt.federated.PaillierSum(pub, model, clients)
    >>> aggregator = session.aggregator()
    >>> for (name, key), weight in zip(keys.items(), [1, 2, 5]):
    ...     assert aggregator.add(session.client(name, key).contribute(0, model, weight=weight))
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with session.key_holder(priv, state=pathlib.Path(folder, "sums")) as holder:
    ...         results = holder.open(aggregator.finish(0))
    >>> results["weights"].sum
    array([[ 4., -8.],
           [16.,  2.]])
    >>> results["bias"].weight, float(results["bias"].mean), results["bias"].clients
    (8, 1.5, ('north', 'south', 'west'))
    """

    __slots__ = ("_proof", "_public_key", "_shapes", "_tensors")

    _proof: bytes
    _public_key: PublicKey
    _shapes: Mapping[str, tuple[int, ...]]
    _tensors: Mapping[str, tuple[FixedPoint, int]]

    def __init__(
        self,
        public_key: PublicKey,
        tensors: Mapping[str, Any],
        clients: Clients,
        min_clients: int | None = None,
        session_id: bytes | None = None,
    ) -> None:
        if isinstance(public_key, PrivateKey):
            raise TypeError("public_key is the private key, which its owner keeps: give priv.public_key")
        if not isinstance(public_key, PublicKey):
            raise TypeError(
                f"public_key must be a PublicKey of bluetusk.paillier, not {type(public_key).__name__}: give the first "
                "of what bt.paillier.generate_keypair() returns"
            )
        session_id = check_bytes(os.urandom(16) if session_id is None else session_id, "session_id", 16)
        if hasattr(self, "_hash"):
            raise TypeError("a session cannot be built twice: make another PaillierSum")
        named = check_clients(clients, MAX_CLIENTS)
        total = sum(limit for _, limit in named.values())
        plans = _check_tensors(tensors, public_key.bits, total)
        least = min(3, len(named)) if min_clients is None else as_int(min_clients, "min_clients", 2, len(named))
        self._put(
            _proof=b"",
            _public_key=public_key,
            _session_id=session_id,
            _clients=MappingProxyType(named),
            _min_clients=least,
            _tensors=MappingProxyType({name: (plan, math.prod(shape)) for name, (plan, shape) in plans.items()}),
            _shapes=MappingProxyType({name: shape for name, (_, shape) in plans.items()}),
        )
        self._put(_hash=hashlib.sha256(_DOMAIN + encode(Kind.SUM_SESSION, self._header())).digest())

    def __reduce__(self) -> tuple[Any, ...]:
        return PaillierSum.from_bytes, (self.to_bytes(),)

    @property
    def public_key(self) -> PublicKey:
        """The key under which everything is encrypted.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 5)}, clients, min_clients=2)
        >>> session.public_key == pub
        True
        """
        return self._public_key

    @property
    def tensors(self) -> Mapping[str, tuple[FixedPoint, int]]:
        """For each tensor its plan and its length; sorted by name, read-only.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 5)}, clients, min_clients=2)
        >>> session.tensors["x"] == (bt.FixedPoint(), 5)
        True
        """
        return self._tensors

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """For each tensor its shape; sorted by name, read-only.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": bytes([1] * 32), "b": bytes([2] * 32)}
        >>> dict(bt.federated.PaillierSum(pub, {"x": (5, 2), "y": 3}, clients).shapes)
        {'x': (5, 2), 'y': (3,)}
        """
        return self._shapes

    @property
    def hash_words(self) -> str:
        """Return the hash in words that people can compare aloud.

        Returns
        -------
        str

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 5)}, clients, min_clients=2)
        >>> session.hash_words == bt.federated.PaillierSum.from_bytes(session.to_bytes()).hash_words
        True
        """
        return spoken(self.hash)

    # -------------------------------------------------------------------------------------------------- roles

    def prove(self, private_key: PrivateKey) -> PaillierSum:
        """Return the same session with a proof of its key, which :meth:`to_bytes` then carries: the key holder's part.

        Without it :meth:`client` and :meth:`aggregator` of the other parties refuse the session. The proof shows that
        n is coprime to phi(n), so that a ciphertext holds nothing beside its plaintext, and hs an n-th residue. It is
        bound to the session's hash.

        Parameters
        ----------
        private_key : PrivateKey
            The private half of ``public_key``; the session does not keep it.

        Returns
        -------
        PaillierSum
            Equal to this one, with the same hash.

        Raises
        ------
        InvalidKey
            If the key does not belong to this session, or is closed.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 5)}, clients, min_clients=2)
        >>> configuration = session.prove(priv).to_bytes()
        >>> bt.federated.PaillierSum.from_bytes(configuration) == session
        True
        """
        check_private(self, private_key)
        return self._with_proof(prove_modulus(private_key, self.hash, _HOLDER))

    def _with_proof(self, proof: bytes) -> PaillierSum:
        tensors = {name: (plan, self.shapes[name]) for name, (plan, _) in self.tensors.items()}
        proved = PaillierSum(self.public_key, tensors, self.clients, self.min_clients, self.session_id)
        proved._put(_proof=proof)
        return proved

    def client(self, name: str, signing_key: bytes | Ed25519PrivateKey) -> Client:
        """Return the role of one client.

        Parameters
        ----------
        name : str
            One of ``clients``.
        signing_key : bytes or Ed25519PrivateKey
            The client's private key (or its 32-byte seed); it must belong to the public key agreed for `name`.

        Returns
        -------
        Client

        Raises
        ------
        InvalidKey
            If the session came without a proof of the key holder's key.
        ValueError
            If `name` is unknown or the key is not the agreed one.

        Examples
        --------
        >>> import bluetusk as bt
        >>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        >>> keys = {name: Ed25519PrivateKey.generate() for name in ["a", "b"]}
        >>> clients = {name: (key.public_key().public_bytes_raw(), 5) for name, key in keys.items()}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 2)}, clients, min_clients=2)
        >>> session.client("a", keys["a"]).name
        'a'
        """
        return Client(self, name, signing_key)

    def aggregator(self, *, first_round: int = 0, open_rounds: int = 4) -> Aggregator:
        """Return the role of the aggregator.

        Parameters
        ----------
        first_round : int, default 0
            The first round that may come; after a restart, the round to continue with.
        open_rounds : int, default 4
            How many rounds may be open at once; it bounds the memory.

        Returns
        -------
        Aggregator

        Raises
        ------
        InvalidKey
            If the session came without a proof of the key holder's key.
        ValueError
            If an argument is out of its limits.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint.integers(10), 2)}, clients, min_clients=2)
        >>> session.aggregator(first_round=7).add(b"anything").reason
        'frame is truncated: 8 bytes are fewer than its fixed header of 20'
        """
        return Aggregator(self, first_round=first_round, open_rounds=open_rounds)

    def key_holder(self, private_key: PrivateKey, *, state: str | os.PathLike[str] | None = None) -> KeyHolder:
        """Return the role of the key holder.

        Parameters
        ----------
        private_key : PrivateKey
            The private half of ``public_key``.
        state : path-like
            A file on a disk that survives, in which the decrypted sums are noted; it must be given. Losing or restoring
            an old copy of it breaks the promise that a sum is decrypted once.

        Returns
        -------
        KeyHolder
            A context manager; it holds `state` locked until it is closed.

        Raises
        ------
        InvalidKey
            If the key does not belong to this session.
        ProtocolAbort
            If `state` is in use or damaged.
        OSError
            If `state` cannot be written.

        Examples
        --------
        >>> import bluetusk as bt
        >>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        >>> keys = {name: Ed25519PrivateKey.generate() for name in ["a", "b"]}
        >>> clients = {name: (key.public_key().public_bytes_raw(), 5) for name, key in keys.items()}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 2)}, clients, min_clients=2)
        >>> aggregator = session.aggregator()
        >>> for name, key in keys.items():
        ...     assert aggregator.add(session.client(name, key).contribute(0, "x", [1, 2.5]))
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with session.key_holder(priv, state=os.path.join(folder, "sums")) as holder:
        ...         result = holder.open(aggregator.finish(0, "x"))
        >>> result.sum
        array([2., 5.])
        """
        if state is None:
            raise TypeError(
                "state is missing: give the path of a file that survives restarts, such as state='sums'; it notes "
                "which sums were decrypted, so that none is decrypted twice"
            )
        return KeyHolder(self, private_key, state)

    # -------------------------------------------------------------------------------------------------- bytes

    def to_bytes(self) -> bytes:
        """Return the configuration as a frame, with the public key and, after :meth:`prove`, its proof.

        Returns
        -------
        bytes

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 5)}, clients, min_clients=2)
        >>> bt.federated.PaillierSum.from_bytes(session.to_bytes()) == session
        True
        """
        return encode(Kind.SUM_SESSION, self._header(), self.public_key.to_bytes() + self._proof)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> PaillierSum:
        """Read a configuration, with every check that the constructor makes, and check the proof of its key.

        A party that takes a configuration from bytes must compare :attr:`hash` (:attr:`hash_words`), or the whole
        content, with what it agreed to: the bytes say who the clients are. A configuration without a proof, the
        earlier form, can be read, but gives a client and an aggregator at the key holder only.

        Parameters
        ----------
        data : bytes-like
            The output of :meth:`to_bytes`.

        Returns
        -------
        PaillierSum

        Raises
        ------
        FrameError
            If `data` is not such a frame, or holds a configuration that the constructor refuses.
        InvalidKey
            If the public key in it fails a check, or the proof is not one of this key for this session.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint.integers(10), 2)}, clients, min_clients=2)
        >>> bt.federated.PaillierSum.from_bytes(session.to_bytes()).hash == session.hash
        True
        """
        frame = decode(data, Kind.SUM_SESSION, max_payload=1 << 16)
        check_fields(frame.header, {"id", "key", "min_clients", "tensors", "clients"})
        fingerprint = field(frame.header, "key", bytes, length=32)
        try:
            tensors = {
                name: _read_tensor(entry)
                for name, entry in field(frame.header, "tensors", dict, low=1, high=MAX_TENSORS, items=list).items()
            }
            clients: dict[str, tuple[bytes, int]] = {
                name: _pair(entry, bytes, int)
                for name, entry in field(frame.header, "clients", dict, low=2, high=MAX_CLIENTS, items=list).items()
            }
            payload = bytes(frame.payload)
            stream = io.BytesIO(payload)
            read_frame(stream, Kind.PUBLIC_KEY, max_payload=len(payload))
            key, proof = PublicKey.from_bytes(payload[: stream.tell()]), payload[stream.tell() :]
            session = cls(
                key,
                tensors,
                clients,
                field(frame.header, "min_clients", int),
                field(frame.header, "id", bytes, length=16),
            )
        except BluetuskError:
            raise
        except (TypeError, ValueError) as err:
            raise FrameError(f"the session's configuration is not allowed: {err}") from None
        if key.fingerprint != fingerprint:
            raise FrameError("the session's key does not match its fingerprint field: get a new session from its maker")
        if not proof:
            return session
        try:
            verify_modulus(key, proof, session.hash, _HOLDER)
        except (FrameError, InvalidKey) as err:
            raise type(err)(f"the proof of the key holder's key is refused: {err}") from None
        return session._with_proof(proof)

    def _header(self) -> dict[str, Any]:
        return {
            "id": self.session_id,
            "key": self.public_key.fingerprint,
            "min_clients": self.min_clients,
            "tensors": {
                # a tensor of one axis as in the first version of this frame; others have their shape behind
                name: [plan.to_dict(), length, *([] if len(self.shapes[name]) == 1 else [list(self.shapes[name])])]
                for name, (plan, length) in self.tensors.items()
            },
            "clients": {name: [key, limit] for name, (key, limit) in self.clients.items()},
        }

    def __repr__(self) -> str:
        return (
            f"<PaillierSum {self.session_id.hex()[:8]}: {len(self.clients)} clients (at least {self.min_clients}), "
            f"{len(self.tensors)} tensors, key {self.public_key.fingerprint.hex()[:16]}>"
        )


def _check_tensors(
    tensors: Mapping[str, Any], key_bits: int, weight: int
) -> dict[str, tuple[FixedPoint, tuple[int, ...]]]:
    if not isinstance(tensors, Mapping):
        raise TypeError(
            f"tensors must be a mapping of name to array, shape or (plan, shape), not {type(tensors).__name__}: give "
            "{'x': array} for a single one"
        )
    if not 1 <= len(tensors) <= MAX_TENSORS:
        raise ValueError(f"tensors: a session has 1 to {MAX_TENSORS} of them, not {len(tensors)}")
    checked: dict[str, tuple[FixedPoint, tuple[int, ...]]] = {}
    for name in sorted(tensors, key=lambda name: check_name(name, "tensors")):
        what = f"tensors[{name!r}]"
        plan, shape = _plan_and_shape(tensors[name], what, weight)
        plan.check_key(key_bits, packed=True)
        if weight > plan.max_weight:
            raise ValueError(
                f"{what}: the clients' largest weights add up to {weight}, above "
                f"max_weight={plan.max_weight} of the plan: lower them or raise the plan's max_weight"
            )
        as_int(math.prod(shape), f"{what}: the length", 1, _MAX_LENGTH)
        checked[name] = plan, shape
    return checked


def _plan_and_shape(entry: Any, what: str, weight: int) -> tuple[FixedPoint, tuple[int, ...]]:
    """Return the plan and the shape of one tensor, however the session's maker gave them."""
    plan, given = None, entry
    if isinstance(entry, tuple | list) and any(isinstance(each, FixedPoint) for each in entry):
        if len(entry) != 2 or not isinstance(entry[0], FixedPoint):
            raise TypeError(f"{what} must be a pair (plan, shape), in this order")
        plan, given = entry
    elif isinstance(entry, FixedPoint):
        raise TypeError(f"{what} is a plan without a shape: give (plan, shape)")
    if hasattr(given, "shape") and hasattr(given, "dtype"):
        try:
            shape, kind = tuple(int(d) for d in given.shape), np.dtype(given.dtype).kind
        except TypeError:  # of another library, such as torch, or a nullable column of pandas
            raise TypeError(
                f"{what} is a {type(given).__name__} of {given.dtype}, a type that NumPy does not know: give its shape "
                "as a tuple, or a NumPy array"
            ) from None
        if kind not in "biuf":
            raise TypeError(f"{what} must be an array of numbers, not of {given.dtype}")
    elif isinstance(given, tuple) or hasattr(given, "__index__"):
        lengths = given if isinstance(given, tuple) else (given,)
        shape, kind = tuple(as_int(d, f"{what}: the shape", 0) for d in lengths), "f"
    else:
        raise TypeError(
            f"{what} must be an array, a shape or a pair (plan, shape), not {type(given).__name__}: make an array of "
            "it with numpy.array"
        )
    if len(shape) > _MAX_AXES:
        raise ValueError(f"{what} has {len(shape)} axes, more than {_MAX_AXES}: reshape it")
    return _usual_plan(kind == "f", what, weight) if plan is None else plan, shape


def _usual_plan(real: bool, what: str, weight: int) -> FixedPoint:
    """Return the plan of a tensor for which nobody chose one: as wide as a slot of 64 bits allows, up to a limit."""
    room = ((1 << _ROOM) - 1) // weight
    if real and room >> _FRAC:
        return FixedPoint(float(min(_CLIP, 1 << (room.bit_length() - 1 - _FRAC))), _FRAC, max_weight=weight)
    if not real and room:
        return FixedPoint.integers(min(_LIMIT, room), max_weight=weight)
    raise ValueError(
        f"{what}: the clients' largest weights add up to {weight}, which leaves no room for values in a slot of 64 "
        "bits: lower them, or give (plan, shape) with a plan of fewer frac_bits"
    )


def _read_tensor(entry: list[Any]) -> tuple[FixedPoint, tuple[int, ...]]:
    """Return a tensor of a configuration that came in: a plan, a length, and the shape unless it has one axis."""
    settings, length = _pair(entry[:2], dict, int)
    shape = (length,)
    if len(entry) > 2:
        if len(entry) != 3 or entry[2].__class__ is not list or any(d.__class__ is not int for d in entry[2]):
            raise FrameError("the session's configuration is malformed: the shape of a tensor is not a list of ints")
        shape = tuple(entry[2])
        if len(shape) == 1 or len(shape) > _MAX_AXES or min(shape, default=1) < 0 or math.prod(shape) != length:
            raise FrameError(
                "the session's configuration is malformed: the shape of a tensor is not that of its length"
            )
    return FixedPoint.from_dict(settings), shape


def _pair(entry: list[Any], first: type[Any], second: type[Any]) -> Any:
    if len(entry) != 2 or entry[0].__class__ is not first or entry[1].__class__ is not second:
        raise FrameError("the session's configuration is malformed: a tensor or client is not a pair")
    return tuple(entry)
