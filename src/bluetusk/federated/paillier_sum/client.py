"""The client of a sum: encrypts and signs contributions; its only secret is the signing key."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import ArrayLike

from ... import _parallel
from ..._numeric import as_int, as_numbers
from ...errors import ProtocolAbort
from ...paillier.array import encrypt_integers
from ...wire.frame import Kind, encode
from ..parties import check_signing_key
from .messages import MAX_ROUND, claims, require_proof, signed_bytes

if TYPE_CHECKING:
    from . import PaillierSum

__all__ = ["Client"]


class Client:
    """One client of a session; made by :meth:`PaillierSum.client`.

    Its only secret is the signing key, its only state the last round of each tensor.

    Parameters
    ----------
    session : PaillierSum
        The agreed configuration.
    name : str
        The client's name in it.
    signing_key : bytes or Ed25519PrivateKey
        Its private key or the 32-byte seed of it.

    Attributes
    ----------
    session, name
        As given.
    clipped : int
        How many values of the last contribution were clipped (plans with ``on_clip="clip"`` or ``"l2"``).

    Raises
    ------
    InvalidKey
        If the session came without a proof of the key holder's key.
    TypeError, ValueError
        If `name` is unknown, or `signing_key` is not the agreed one.

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

    def __init__(self, session: PaillierSum, name: str, signing_key: bytes | Ed25519PrivateKey) -> None:
        if name not in session.clients:
            raise ValueError(f"name: {name!r} is not a client of this session")
        require_proof(session)
        key = check_signing_key(signing_key, session.clients[name][0], repr(name))
        self.session = session
        self.name = name
        self.clipped = 0
        self._signing_key = key
        self._last: dict[str, int] = {}

    def contribute(
        self,
        round: int,
        tensor: str,
        values: ArrayLike,
        weight: int = 1,
        *,
        threads: int | None = None,
        progress: _parallel.Progress | None = None,
    ) -> bytes:
        """Encrypt and sign this client's part of a sum.

        The values are quantised by the tensor's plan, multiplied by the weight, and packed with the weight behind
        them, so that the same sum also gives the divisor of the mean.

        Parameters
        ----------
        round : int
            Larger than any round for which this client contributed to this tensor. If the message is lost, send the
            same bytes again.
        tensor : str
            One of the session's.
        values : array_like, shape (length,)
            Any integer or float dtype, as :meth:`FixedPoint.quantise` takes.
        weight : int, default 1
            At least 1, at most the client's declared largest. It travels encrypted only.
        threads : int, optional
            Threads to use.
        progress : callable, optional
            Called as ``progress(done, total)``.

        Returns
        -------
        bytes
            The message for the aggregator.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape or is out of its limits, or a value is NaN or infinite.
        EncodingOverflow
            If a value exceeds the plan's clip and the plan says to raise.
        ProtocolAbort
            If this client already contributed to this tensor in this round or a later one.

        Examples
        --------
        >>> import bluetusk as bt
        >>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        >>> keys = {name: Ed25519PrivateKey.generate() for name in ["a", "b"]}
        >>> clients = {name: (key.public_key().public_bytes_raw(), 5) for name, key in keys.items()}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 2)}, clients, min_clients=2)
        >>> message = session.client("a", keys["a"]).contribute(0, "x", [1, 2.5], weight=3)
        >>> session.aggregator().add(message)
        Accepted(sender='a', round=0, tensor='x', clients=1)
        """
        round = as_int(round, "round", 0, MAX_ROUND)
        if tensor not in self.session.tensors:
            raise ValueError(f"tensor: {tensor!r} is not a tensor of this session")
        plan, length = self.session.tensors[tensor]
        limit = self.session.clients[self.name][1]
        weight = as_int(weight, "weight", 1, limit)
        numbers = as_numbers(values, "values")
        if numbers.shape != (length,):
            raise ValueError(
                f"values must have the shape agreed for tensor {tensor!r}, ({length},), not {numbers.shape}"
            )
        if round <= self._last.get(tensor, -1):
            raise ProtocolAbort(
                f"already contributed to tensor {tensor!r} in round {self._last[tensor]}: send those bytes again, or "
                "go on with a later round",
                round=round,
                party=self.name,
            )
        quantised, clipped = plan.quantise(numbers, name="values")
        ints = np.empty(length + 1, np.int64)
        np.multiply(quantised, weight, out=ints[:length])  # |q w| <= Q W < 2^(slot_bits - 1) <= 2^63: no overflow
        ints[length] = weight
        bound = plan.limit * limit
        encrypted = encrypt_integers(
            self.session.public_key,
            ints,
            plan,
            frac=plan.frac,
            bound=bound,
            packed=True,
            threads=threads,
            progress=progress,
        )
        payload = encrypted.to_bytes(bound=bound, threads=threads)
        stated = claims(self.session, round, tensor, self.name, hashlib.sha256(payload).digest())
        message = encode(
            Kind.SUM_CONTRIBUTION, {**stated, "signature": self._signing_key.sign(signed_bytes(stated))}, payload
        )
        self._last[tensor] = round
        self.clipped = clipped
        return message

    def __repr__(self) -> str:
        return f"<Client {self.name!r} of {self.session!r}>"
