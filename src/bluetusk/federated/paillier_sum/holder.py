"""The role with the private key: decrypts sums of enough clients, each once, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from ... import _parallel
from ..._closing import Closing
from ..._numeric import as_int, as_numbers
from ..._once import Uncopied
from ...errors import BluetuskError, DecryptionError, FrameError, InvalidKey, ProtocolAbort
from ...paillier.array import CipherArray
from ...paillier.keys import PrivateKey
from ...wire.frame import Kind, field
from ..parties import signed_by
from .journal import Journal
from .messages import (
    MAX_REASON,
    MAX_ROUND,
    about,
    check_about,
    check_private,
    check_sum,
    claims,
    max_frame,
    seal,
    signed_bytes,
    unseal,
    weight_limit,
)

if TYPE_CHECKING:
    from . import PaillierSum

__all__ = ["KeyHolder", "SumResult"]

_Checked: TypeAlias = tuple[int, str, list[str], dict[str, str], CipherArray]
"""Of a total: its round, tensor, clients, those left out, and the encrypted sum."""
_ABOUT = ("session", "id", "key", "round", "tensor", "plan", "count")


@dataclass(frozen=True, eq=False)
class SumResult:
    """The result of a sum.

    Attributes
    ----------
    round : int
        The round.
    tensor : str
        The tensor.
    integers : ndarray of int64
        The exact sum of ``weight * quantised value`` over the clients, of the tensor's shape.
    weight : int
        The sum of their weights.
    sum : ndarray of float64
        The integers at the plan's scale, rounded half-even once.
    mean : ndarray of float64
        The integers divided by the weight at the plan's scale, rounded half-even once.
    clients : tuple of str
        Whose contributions the sum holds, sorted.
    rejected : mapping of str to str
        Clients whose messages the aggregator left out, and why, as the aggregator states it.

    Examples
    --------
    >>> import bluetusk as bt
    >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
    >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint.integers(10), 2)}, clients, min_clients=2)
    >>> result = bt.federated.SumResult.from_integers(session, 0, "x", [7, -8], 2, ["b", "a"])
    >>> result.sum, result.mean, result.clients
    (array([ 7., -8.]), array([ 3.5, -4. ]), ('a', 'b'))
    """

    round: int
    tensor: str
    integers: NDArray[np.int64]
    weight: int
    sum: NDArray[np.float64]
    mean: NDArray[np.float64]
    clients: tuple[str, ...]
    rejected: Mapping[str, str]

    def to_bytes(self, session: PaillierSum) -> bytes:
        """Return the result as a frame for the clients; it is not signed.

        Parameters
        ----------
        session : PaillierSum
            The session it belongs to.

        Returns
        -------
        bytes

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint.integers(10), 2)}, clients, min_clients=2)
        >>> result = bt.federated.SumResult.from_integers(session, 0, "x", [7, -8], 2, ["a", "b"])
        >>> bt.federated.SumResult.from_bytes(result.to_bytes(session), session).mean
        array([ 3.5, -4. ])
        """
        header = {
            **about(session, self.round, self.tensor),
            "weight": self.weight,
            "clients": list(self.clients),
            "rejected": dict(self.rejected),
        }
        return seal(Kind.SUM_RESULT, header, self.integers.astype("<i8").tobytes())

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, session: PaillierSum) -> SumResult:
        """Read a result that the key holder sent.

        Parameters
        ----------
        data : bytes-like
            The output of :meth:`to_bytes`.
        session : PaillierSum
            The session it must belong to.

        Returns
        -------
        SumResult

        Raises
        ------
        FrameError
            If `data` is not a result of this session, or exceeds its limits.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint.integers(10), 2)}, clients, min_clients=2)
        >>> data = bt.federated.SumResult.from_integers(session, 3, "x", [7, -8], 2, ["b", "a"]).to_bytes(session)
        >>> bt.federated.SumResult.from_bytes(data, session).round
        3
        """
        largest = max(length for _, length in session.tensors.values())
        frame = unseal(data, Kind.SUM_RESULT, {*_ABOUT, "weight", "clients", "rejected"}, 8 * largest)
        round, tensor = check_about(session, frame.header)
        if frame.payload.nbytes != 8 * session.tensors[tensor][1]:
            raise FrameError(f"result holds {frame.payload.nbytes} bytes of values, not 8 per value")
        clients = field(frame.header, "clients", list, items=str)
        try:
            return cls.from_integers(
                session,
                round,
                tensor,
                np.frombuffer(frame.payload, "<i8").reshape(session.shapes[tensor]),
                field(frame.header, "weight", int),
                clients,
                _check_rejected(session, frame.header, clients),
            )
        except ValueError as err:
            raise FrameError(f"result is outside the session's limits: {err}") from None

    @classmethod
    def from_integers(
        cls,
        session: PaillierSum,
        round: int,
        tensor: str,
        integers: Any,
        weight: int,
        clients: Any,
        rejected: Mapping[str, str] | None = None,
    ) -> SumResult:
        """Build a result from decoded integers, checked against the session's limits.

        Parameters
        ----------
        session : PaillierSum
            The session.
        round : int
            The round.
        tensor : str
            The tensor.
        integers : array_like of int
            The exact sums, of the tensor's shape.
        weight : int
            The sum of the weights.
        clients : iterable of str
            Who contributed.
        rejected : mapping of str to str, optional
            Who was left out, and why.

        Returns
        -------
        SumResult

        Raises
        ------
        ValueError
            If the tensor is unknown, the clients are not distinct clients of the session or too few, the weight is
            impossible for them, or a value is not a whole number or exceeds the largest sum for that weight.
        TypeError
            If an argument has the wrong type.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint.integers(10), 2)}, clients, min_clients=2)
        >>> bt.federated.SumResult.from_integers(session, 0, "x", [7, -21], 2, ["b", "a"])
        Traceback (most recent call last):
            ...
        ValueError: integers: a value exceeds the largest sum for this weight
        """
        round = as_int(round, "round", 0, MAX_ROUND)
        if tensor not in session.tensors:
            raise ValueError(f"tensor: {tensor!r} is not a tensor of this session")
        plan, _ = session.tensors[tensor]
        listed = [] if isinstance(clients, str) else list(clients)
        if isinstance(clients, str) or not all(isinstance(name, str) for name in listed):
            raise TypeError("clients must be an iterable of names, each a str")
        if len(set(listed)) != len(listed) or not set(listed) <= session.clients.keys():
            raise ValueError("clients must be distinct clients of the session")
        names = tuple(sorted(listed))
        if len(names) < session.min_clients:
            raise ValueError(f"clients has {len(names)} names, fewer than min_clients={session.min_clients}")
        weight = as_int(weight, "weight")
        if not len(names) <= weight <= weight_limit(session, names):  # the message omits the number: it was decrypted
            raise ValueError("weight is outside the range that these clients' weights allow")
        exact = _integers(integers, session.shapes[tensor], plan.limit * weight)  # <= Q W < 2^63
        exact.flags.writeable = False
        return cls(
            round=round,
            tensor=tensor,
            integers=exact,
            weight=weight,
            sum=np.asarray(plan.to_float(exact, plan.frac)),
            mean=np.asarray(plan.to_float(exact, plan.frac, weight)),
            clients=names,
            rejected=MappingProxyType(dict(rejected or {})),
        )


def _integers(integers: Any, shape: tuple[int, ...], limit: int) -> NDArray[np.int64]:
    """Return the values as new int64, if they are whole numbers within the limit and as many as the tensor has."""
    values = as_numbers(integers, "integers")
    if values.shape != shape:
        raise ValueError(f"integers must have the shape of the tensor, {shape}, not {values.shape}")
    if values.dtype.kind == "f" or any(value.__class__ is Fraction for value in values.reshape(-1).tolist()):
        raise ValueError("integers must be whole numbers of an integer dtype: give the quantised sums")
    if bool(np.any(values > limit)) or bool(np.any(values < -limit)):
        raise ValueError("integers: a value exceeds the largest sum for this weight")
    return np.array(values, np.int64)


class KeyHolder(Closing, Uncopied):
    """Decrypts sums; made by :meth:`PaillierSum.key_holder`.

    It decrypts at most one sum per (session, round, tensor), ever: that the sum is being decrypted is on the disk
    before the key is used, so neither a crash nor a second process makes it forget. Two sums over almost the same
    clients would show one client's vector by their difference. A sum whose decryption fails or is interrupted is spent
    too (repeated attempts would make an oracle); start a new round.

    It never sees a contribution. It must not collude with the aggregator, which has them all.

    Parameters
    ----------
    session : PaillierSum
        The agreed configuration.
    private_key : PrivateKey
        Its private key; it stays the caller's to close.
    state : path-like
        The file where the decrypted sums are noted.

    Attributes
    ----------
    session
        As given.

    Raises
    ------
    InvalidKey
        If `private_key` does not belong to the session.
    ProtocolAbort
        If `state` is in use by another key holder, or damaged.
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
    >>> result.weight, result.mean
    (2, array([1. , 2.5]))
    """

    def __init__(self, session: PaillierSum, private_key: PrivateKey, state: str | os.PathLike[str]) -> None:
        check_private(session, private_key)
        self.session = session
        self._private_key = private_key
        self._journal = Journal(state, session.hash)

    @overload
    def open(
        self,
        total: bytes | bytearray | memoryview,
        *,
        threads: int | None = None,
        progress: _parallel.Progress | None = None,
    ) -> SumResult: ...

    @overload
    def open(
        self,
        total: Mapping[str, bytes],
        *,
        threads: int | None = None,
        progress: _parallel.Progress | None = None,
    ) -> dict[str, SumResult]: ...

    def open(
        self,
        total: bytes | bytearray | memoryview | Mapping[str, bytes],
        *,
        threads: int | None = None,
        progress: _parallel.Progress | None = None,
    ) -> SumResult | dict[str, SumResult]:
        """Check a total, note it as decrypted, decrypt it and check the result.

        Parameters
        ----------
        total : bytes-like, or mapping of str to bytes
            The result of :meth:`Aggregator.finish`, from an untrusted peer. A mapping must have one total of the same
            round for each tensor of the session; all are checked before the first is decrypted.
        threads : int, optional
            Threads to use.
        progress : callable, optional
            Called as ``progress(done, total)``.

        Returns
        -------
        SumResult, or dict of str to SumResult

        Raises
        ------
        ProtocolAbort
            If the total is refused before the key is used: malformed, from another session, with a wrong signature or
            too few clients, or its sum was already decrypted. The message does not depend on secrets.
        InvalidKey
            If the private key is closed; the sum is not spent.
        DecryptionError
            If the decrypted integers are not a possible sum of these clients, or the decryption failed; the same
            message for every cause. The sum is spent.

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
        >>> total = aggregator.finish(0, "x")
        >>> import os, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> holder = session.key_holder(priv, state=os.path.join(folder.name, "sums"))
        >>> holder.open(total).integers
        array([2097152, 5242880])
        >>> try:
        ...     holder.open(total)
        ... except bt.ProtocolAbort as error:
        ...     print(error.reason[:43])
        the sum of tensor 'x' was already decrypted
        >>> holder.close()
        >>> folder.cleanup()
        """
        if isinstance(total, Mapping):
            return self._open_all(total, threads, progress)
        return self._decrypted(self._checked(total, threads), threads, progress)

    def _open_all(
        self, totals: Mapping[str, bytes], threads: int | None, progress: _parallel.Progress | None
    ) -> dict[str, SumResult]:
        names = self.session.tensors.keys()
        for missing in names - totals.keys():
            raise ProtocolAbort(f"the totals are refused: that of tensor {missing!r} is missing")
        if totals.keys() - names:
            raise ProtocolAbort(
                "the totals are refused: one is filed under a name that is not a tensor of this session"
            )
        checked = {name: self._checked(totals[name], threads) for name in names}
        for name, (_, tensor, *_) in checked.items():
            if tensor != name:
                raise ProtocolAbort(f"the totals are refused: that under the name {name!r} is of tensor {tensor!r}")
        if len({round for round, *_ in checked.values()}) != 1:
            raise ProtocolAbort("the totals are refused: they are not of one round")
        return {name: self._decrypted(each, threads, progress) for name, each in checked.items()}

    def _checked(self, total: bytes | bytearray | memoryview, threads: int | None) -> _Checked:
        try:
            return self._examine(total, threads)
        except ProtocolAbort:
            raise
        except BluetuskError as err:
            raise ProtocolAbort(f"the total is refused: {err}") from None

    def _decrypted(self, checked: _Checked, threads: int | None, progress: _parallel.Progress | None) -> SumResult:
        round, tensor, clients, rejected, c = checked
        if self._private_key.closed:
            raise InvalidKey(
                "the private key is closed: load it again and make a new key holder on the same state file"
            )
        self._journal.spend(round, tensor)
        ints = self._private_key.decrypt_integers(c, threads=threads, progress=progress)
        try:
            sums = ints[:-1].reshape(self.session.shapes[tensor])
            return SumResult.from_integers(self.session, round, tensor, sums, int(ints[-1]), clients, rejected)
        except (ValueError, OverflowError) as err:
            raise DecryptionError(f"sum of tensor {tensor!r} in round {round}: {err}") from None

    def close(self) -> None:
        """Release the state file. The private key stays open.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint.integers(10), 2)}, clients, min_clients=2)
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     holder = session.key_holder(priv, state=os.path.join(folder, "sums"))
        ...     holder.close()
        """
        self._journal.close()

    def __repr__(self) -> str:
        return f"<KeyHolder of {self.session!r}>"

    def _examine(self, total: bytes | bytearray | memoryview, threads: int | None) -> _Checked:
        """Make every check that does not use the private key."""
        session = self.session
        frame = unseal(total, Kind.SUM_TOTAL, {*_ABOUT, "signed", "rejected"}, max_frame(session))
        round, tensor = check_about(session, frame.header)
        self._journal.check(round, tensor)
        signed = field(frame.header, "signed", dict, items=bytes)
        if len(signed) < session.min_clients:
            raise ProtocolAbort(
                f"the total holds {len(signed)} clients; a sum of fewer than {session.min_clients} is not decrypted",
                round=round,
            )
        for name in signed:
            if name not in session.clients:
                raise FrameError("it names a sender that is not a client of this session")
            blob = field(signed, name, bytes, length=96)
            stated = claims(session, round, tensor, name, blob[:32])
            if not signed_by(session.clients[name][0], blob[32:], signed_bytes(stated)):
                raise ProtocolAbort(
                    "the total is refused: a signature in it is not the client's", round=round, party=name
                )
        rejected = _check_rejected(session, frame.header, signed)
        plan, length = session.tensors[tensor]
        c = CipherArray.from_bytes(frame.payload, session.public_key, threads=threads)
        check_sum(c, plan, length, plan.limit * weight_limit(session, signed))
        return round, tensor, list(signed), rejected, c


def _check_rejected(session: PaillierSum, header: Mapping[str, Any], clients: Any) -> dict[str, str]:
    """Return the names of rejected clients with the reasons, which are shown and logged."""
    rejected = field(header, "rejected", dict, items=str)
    for name, reason in rejected.items():
        if name not in session.clients or name in clients:
            raise FrameError("it names a rejected client that is not in the session, or is in the sum")
        if len(reason) > MAX_REASON or not reason.isprintable():
            raise FrameError("it gives a reason for a rejection that is too long or not printable")
    return rejected
