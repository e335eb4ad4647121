"""The client of a sum: encrypts and signs contributions; its only secret is the signing key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import ArrayLike, NDArray

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
            known = ", ".join(map(repr, list(session.clients)[:5]))
            raise ValueError(
                f"name: {name!r} is not a client of this session, which has {known}: give one of its names"
            )
        require_proof(session)
        key = check_signing_key(signing_key, session.clients[name][0], repr(name))
        self.session = session
        self.name = name
        self.clipped = 0
        self._signing_key = key
        self._last: dict[str, int] = {}

    @overload
    def contribute(
        self,
        round: int,
        tensor: str,
        values: ArrayLike,
        weight: int = 1,
        *,
        threads: int | None = None,
        progress: _parallel.Progress | None = None,
    ) -> bytes: ...

    @overload
    def contribute(
        self,
        round: int,
        tensor: Mapping[str, ArrayLike],
        values: None = None,
        weight: int = 1,
        *,
        threads: int | None = None,
        progress: _parallel.Progress | None = None,
    ) -> dict[str, bytes]: ...

    def contribute(
        self,
        round: int,
        tensor: str | Mapping[str, ArrayLike],
        values: ArrayLike | None = None,
        weight: int = 1,
        *,
        threads: int | None = None,
        progress: _parallel.Progress | None = None,
    ) -> bytes | dict[str, bytes]:
        """Encrypt and sign this client's part of a sum, or of the sums of all tensors.

        The values are quantised by the tensor's plan, multiplied by the weight, and packed with the weight behind
        them, so that the same sum also gives the divisor of the mean.

        Parameters
        ----------
        round : int
            Larger than any round for which this client contributed to this tensor. If the message is lost, send the
            same bytes again.
        tensor : str, or mapping of str to array_like
            One of the session's; or an array for each of them, and no `values`.
        values : array_like
            Of the tensor's shape and any integer or float dtype, as :meth:`FixedPoint.quantise` takes.
        weight : int, default 1
            At least 1, at most the client's declared largest. It travels encrypted only.
        threads : int, optional
            Threads to use.
        progress : callable, optional
            Called as ``progress(done, total)``.

        Returns
        -------
        bytes, or dict of str to bytes
            The message for the aggregator; of a mapping one for each tensor, all or none.

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
        given = self._named(tensor, values)
        parts = {name: self._encoded(round, name, x, what, weight) for name, (x, what) in given.items()}
        messages = {
            name: self._message(round, name, *part, threads=threads, progress=progress) for name, part in parts.items()
        }
        self._last.update(dict.fromkeys(messages, round))
        self.clipped = sum(clipped for _, _, clipped in parts.values())
        return messages if isinstance(tensor, Mapping) else messages[tensor]

    def _named(self, tensor: Any, values: Any) -> dict[str, tuple[Any, str]]:
        """Return the arrays by tensor, each with what the caller calls it."""
        names = ", ".join(map(repr, list(self.session.tensors)[:5]))
        if not isinstance(tensor, Mapping):
            if not isinstance(tensor, str):
                raise TypeError(
                    f"tensor must be a name of the session's tensors ({names}), or a mapping of all of them to arrays, "
                    f"not {type(tensor).__name__}"
                )
            if tensor not in self.session.tensors:
                raise ValueError(f"tensor: {tensor!r} is not a tensor of this session, which has {names}")
            if values is None:
                raise TypeError(f"values is missing: give the array of tensor {tensor!r}")
            return {tensor: (values, "values")}
        if values is not None:
            raise TypeError("values is given beside a mapping of arrays: give weight= by its name")
        for missing in self.session.tensors.keys() - tensor.keys():
            raise ValueError(f"tensor: {missing!r} is missing: give an array for each of {names}, zeros for no change")
        for unknown in tensor.keys() - self.session.tensors.keys():
            raise ValueError(f"tensor: {unknown!r} is not a tensor of this session, which has {names}")
        return {name: (tensor[name], f"tensor[{name!r}]") for name in self.session.tensors}

    def _encoded(
        self, round: int, tensor: str, values: Any, what: str, weight: int
    ) -> tuple[NDArray[np.int64], int, int]:
        """Return a tensor's integers with the weight behind them, the bound, and how many values were clipped."""
        round = as_int(round, "round", 0, MAX_ROUND)
        plan, length = self.session.tensors[tensor]
        shape = self.session.shapes[tensor]
        limit = self.session.clients[self.name][1]
        weight = as_int(weight, "weight")
        if not 1 <= weight <= limit:
            raise ValueError(
                f"weight must be 1 to {limit}, not {weight}: the session must name a larger one for {self.name!r}, as "
                "in clients={name: (key, largest weight)}"
            )
        numbers = as_numbers(values, what)
        if numbers.shape != shape:
            raise ValueError(
                f"{what} must have the shape agreed for tensor {tensor!r}, {shape}, not {numbers.shape}: reshape it, "
                "or agree on another session"
            )
        if round <= self._last.get(tensor, -1):
            raise ProtocolAbort(
                f"already contributed to tensor {tensor!r} in round {self._last[tensor]}: send those bytes again, or "
                "go on with a later round",
                round=round,
                party=self.name,
            )
        quantised, clipped = plan.quantise(numbers, name=what)
        ints = np.empty(length + 1, np.int64)
        # |q w| <= Q W < 2^(slot_bits - 1) <= 2^63: no overflow
        np.multiply(quantised.reshape(length), weight, out=ints[:length])
        ints[length] = weight
        return ints, plan.limit * limit, clipped

    def _message(
        self,
        round: int,
        tensor: str,
        ints: NDArray[np.int64],
        bound: int,
        clipped: int,
        *,
        threads: int | None,
        progress: _parallel.Progress | None,
    ) -> bytes:
        plan, _ = self.session.tensors[tensor]
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
        return encode(
            Kind.SUM_CONTRIBUTION, {**stated, "signature": self._signing_key.sign(signed_bytes(stated))}, payload
        )

    def __repr__(self) -> str:
        return f"<Client {self.name!r} of {self.session!r}>"
