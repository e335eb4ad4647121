"""The aggregator of a sum: checks and adds encrypted contributions that it cannot read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from ..._locks import Locked, UnderWay, refuse_reentry
from ..._numeric import as_int
from ...errors import BluetuskError, FrameError, ProtocolAbort
from ...paillier.array import CipherArray
from ...wire.frame import Kind, check_fields, decode, field
from ..parties import printable, signed_by
from .messages import (
    MAX_REASON,
    MAX_ROUND,
    about,
    check_about,
    check_sum,
    claims,
    max_frame,
    require_proof,
    seal,
    signed_bytes,
    weight_limit,
)

if TYPE_CHECKING:
    from . import PaillierSum

__all__ = ["Accepted", "Aggregator", "Answers", "Rejected"]


@dataclass(frozen=True)
class Accepted:
    """A contribution that is now part of the sum; true in a boolean context.

    Attributes
    ----------
    sender : str
        The client, by its signature.
    round : int
        The round.
    tensor : str
        The tensor.
    clients : int
        How many clients the sum holds now.

    Examples
    --------
    >>> bool(Accepted("bank-0", 0, "grad", 1))
    True
    """

    sender: str
    round: int
    tensor: str
    clients: int


@dataclass(frozen=True)
class Rejected:
    """A message that was left out; false in a boolean context.

    Attributes
    ----------
    sender : str or None
        The client that the message names; not authenticated where the reason is the signature or damage.
    round : int or None
        The round, where it could be read.
    tensor : str or None
        The tensor, where it could be read.
    reason : str
        Why, in one sentence.

    Examples
    --------
    >>> bool(Rejected("bank-0", 0, "grad", "the signature is not the sender's"))
    False
    """

    sender: str | None
    round: int | None
    tensor: str | None
    reason: str

    def __bool__(self) -> bool:
        return False


class Answers(dict[str, Accepted | Rejected]):
    """The answers to a client's messages for several tensors; true in a boolean context if all were accepted.

    Examples
    --------
    >>> bool(Answers(a=Accepted("bank-0", 0, "a", 1), b=Rejected("bank-0", 0, "b", "message is a duplicate")))
    False
    """

    def __bool__(self) -> bool:
        return all(self.values())


class _Origin:
    """What is known so far about a message under examination."""

    sender: str | None = None
    round: int | None = None
    tensor: str | None = None


@dataclass(frozen=True)
class _Running:
    """A sum that is being formed; replaced as a whole, so that an interrupt leaves the old one or the new one."""

    total: CipherArray
    signed: dict[str, bytes]  # client -> digest and signature of its contribution


class Aggregator(Locked):
    """Adds encrypted contributions as they come; made by :meth:`PaillierSum.aggregator`.

    It has no private key and sees ciphertexts, names and sizes only. Of each open sum it keeps one encrypted vector and
    96 bytes per client, however many contribute. A message that fails a check is rejected by name and changes no
    sum. Rounds open and close in a window: with `open_rounds` = k, a message may be up to k rounds ahead of the
    newest finished one, and a sum that falls k rounds behind is dropped. Calls from several threads are safe.

    Parameters
    ----------
    session : PaillierSum
        The agreed configuration.
    first_round : int, default 0
        The first round that may come.
    open_rounds : int, default 4
        The width of the window, at most 1024.

    Attributes
    ----------
    session
        As given.

    Raises
    ------
    InvalidKey
        If the session came without a proof of the key holder's key.
    TypeError, ValueError
        If an argument has the wrong type or is out of its limits.

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
    >>> aggregator.clients(0, "x")
    ('a', 'b')
    """

    def __init__(self, session: PaillierSum, *, first_round: int = 0, open_rounds: int = 4) -> None:
        require_proof(session)
        self.session = session
        self._first = as_int(first_round, "first_round", 0, MAX_ROUND)
        self._window = as_int(open_rounds, "open_rounds", 1, 1024)
        self._newest = self._first - 1  # the newest round of which a sum was finished
        self._closed: set[tuple[int, str]] = set()
        self._running: dict[tuple[int, str], _Running] = {}
        self._rejected: dict[tuple[int, str], dict[str, str]] = {}
        super().__init__()

    @overload
    def add(self, message: bytes | bytearray | memoryview, *, threads: int | None = None) -> Accepted | Rejected: ...

    @overload
    def add(self, message: Mapping[str, bytes], *, threads: int | None = None) -> Answers: ...

    def add(
        self, message: bytes | bytearray | memoryview | Mapping[str, bytes], *, threads: int | None = None
    ) -> Accepted | Rejected | Answers:
        """Check one contribution and add it to its sum.

        Parameters
        ----------
        message : bytes-like, or mapping of str to bytes
            The result of :meth:`Client.contribute`, from an untrusted peer.
        threads : int, optional
            Threads to use.

        Returns
        -------
        Accepted or Rejected
            Every message gets an answer, whatever its bytes. A mapping gets one for each tensor of the session, also
            for those that it lacks, as a dict that is true if all were accepted. What has an
            unknown name is under "". Each is added or left out by itself.

        Raises
        ------
        TypeError
            If `message` is not bytes-like, nor a mapping of such.
        ProtocolAbort
            If called from within another call of this object on the same thread (a signal handler or a finaliser): the
            message was not examined, add it again.

        Examples
        --------
        >>> import bluetusk as bt
        >>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        >>> keys = {name: Ed25519PrivateKey.generate() for name in ["a", "b"]}
        >>> clients = {name: (key.public_key().public_bytes_raw(), 5) for name, key in keys.items()}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 2)}, clients, min_clients=2)
        >>> aggregator = session.aggregator()
        >>> message = session.client("a", keys["a"]).contribute(0, "x", [1, 2.5])
        >>> aggregator.add(message).clients, aggregator.add(message).reason
        (1, 'message is a duplicate: the sender already contributed to this sum')
        """
        refuse_reentry(self._lock, "call of this aggregator")
        if isinstance(message, Mapping):
            return self._add_all(message, threads)
        origin = _Origin()
        try:
            sender, round, tensor, blob, c = self._examine(message, origin, threads)
            with self._lock:
                self._check_open(sender, round, tensor)  # once more: another thread may have been faster
                before = self._running.get((round, tensor))
                total = c if before is None else before.total + c
                signed = {**({} if before is None else before.signed), sender: blob}
                self._running[round, tensor] = _Running(total, signed)
            return Accepted(sender, round, tensor, len(signed))
        except UnderWay:  # of a signal handler that came in the middle and did not catch it
            raise
        except BluetuskError as err:
            reason = printable(err, MAX_REASON)
        with self._lock:
            if origin.sender is not None and origin.round is not None and origin.tensor is not None:
                key = (origin.round, origin.tensor)
                if self._is_open(*key):
                    self._rejected.setdefault(key, {})[origin.sender] = reason
        return Rejected(origin.sender, origin.round, origin.tensor, reason)

    def _add_all(self, messages: Mapping[str, bytes], threads: int | None) -> Answers:
        """Add a message for each tensor; one that is missing, filed under another name or not expected is rejected."""
        for name, message in messages.items():  # before the first is added, so that no answer is lost
            if not isinstance(message, bytes | bytearray | memoryview):
                raise TypeError(f"message[{name!r}] must be bytes-like, not {type(message).__name__}")
        answers = Answers()
        for name in self.session.tensors:
            if name not in messages:
                answers[name] = Rejected(None, None, name, "the message for this tensor is missing")
                continue
            try:
                stated = decode(messages[name], Kind.SUM_CONTRIBUTION, max_payload=max_frame(self.session)).header
                misfiled = stated.get("tensor") != name
            except FrameError:  # which add() explains
                misfiled = False
            if misfiled:
                answers[name] = Rejected(None, None, name, "the message under this name is for another tensor")
            else:
                answers[name] = self.add(messages[name], threads=threads)
        if messages.keys() - self.session.tensors.keys():
            answers[""] = Rejected(None, None, None, "a message is filed under a name that is not a tensor")
        return answers

    def clients(self, round: int, tensor: str) -> tuple[str, ...]:
        """Return the names of the clients whose contributions an open sum holds.

        Parameters
        ----------
        round : int
            The round.
        tensor : str
            The tensor.

        Returns
        -------
        tuple of str
            Sorted; empty if the sum holds none or is closed.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 5)}, clients, min_clients=2)
        >>> session.aggregator().clients(0, "x")
        ()
        """
        running = self._running.get((round, tensor))
        return () if running is None else tuple(sorted(running.signed))

    @overload
    def finish(self, round: int, tensor: str, *, threads: int | None = None) -> bytes: ...

    @overload
    def finish(self, round: int, tensor: None = None, *, threads: int | None = None) -> dict[str, bytes]: ...

    def finish(self, round: int, tensor: str | None = None, *, threads: int | None = None) -> bytes | dict[str, bytes]:
        """Close a sum, or those of all tensors, and return it for the key holder.

        Parameters
        ----------
        round : int
            The round.
        tensor : str, optional
            The tensor; all of the session by default.
        threads : int, optional
            Threads to use.

        Returns
        -------
        bytes, or dict of str to bytes
            The encrypted sum, re-randomised, with the signature of every client in it and the names of those rejected.
            Keep it until the key holder has answered: a closed sum cannot be made again.

        Raises
        ------
        ProtocolAbort
            If the sum is not open, or holds fewer than `min_clients` clients; it then stays open, and of several all
            do. Also if called from within another call of this object on the same thread.

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
        >>> aggregator.clients(0, "x")
        ()
        """
        round = as_int(round, "round", 0, MAX_ROUND)
        if tensor is not None and (not isinstance(tensor, str) or tensor not in self.session.tensors):
            names = ", ".join(map(repr, list(self.session.tensors)[:5]))
            raise ValueError(f"tensor: {tensor!r} is not a tensor of this session, which has {names}")
        names_of = tuple(self.session.tensors) if tensor is None else (tensor,)
        refuse_reentry(self._lock, "call of this aggregator")
        with self._lock:
            ready = {name: self._ready(round, name) for name in names_of}  # all of them, before the first is made
            totals = {name: self._sealed(round, name, running, threads) for name, running in ready.items()}
            self._close(round, names_of)
        return totals if tensor is None else totals[tensor]

    def _ready(self, round: int, tensor: str) -> _Running:
        """Return an open sum of enough clients."""
        if not self._is_open(round, tensor):
            raise ProtocolAbort(f"the sum of tensor {tensor!r} is closed or not open yet", round=round)
        running = self._running.get((round, tensor))
        have = 0 if running is None else len(running.signed)
        if running is None or have < self.session.min_clients:
            raise ProtocolAbort(
                f"the sum of tensor {tensor!r} holds {have} clients, but at least {self.session.min_clients} are "
                "needed: wait for more, or give the round up",
                round=round,
            )
        return running

    def _sealed(self, round: int, tensor: str, running: _Running, threads: int | None) -> bytes:
        rejected = self._rejected.get((round, tensor), {})
        header = {
            **about(self.session, round, tensor),
            "signed": running.signed,
            "rejected": {name: reason for name, reason in rejected.items() if name not in running.signed},
        }
        bound = self.session.tensors[tensor][0].limit * weight_limit(self.session, running.signed)
        return seal(Kind.SUM_TOTAL, header, running.total.to_bytes(bound=bound, threads=threads))

    def give_up(self, round: int) -> None:
        """Close every sum of a round without a result.

        Parameters
        ----------
        round : int
            A round in the window; what arrives for it later is rejected.

        Raises
        ------
        ProtocolAbort
            If the round is outside the window, or if called from within another call of this object on the same thread.

        Examples
        --------
        >>> import bluetusk as bt
        >>> clients = {"a": (bytes([1] * 32), 1), "b": (bytes([2] * 32), 1)}
        >>> session = bt.federated.PaillierSum(pub, {"x": (bt.FixedPoint(), 5)}, clients, min_clients=2)
        >>> aggregator = session.aggregator()
        >>> aggregator.give_up(0)
        >>> aggregator.finish(0, "x")
        Traceback (most recent call last):
            ...
        bluetusk.errors.ProtocolAbort: round 0: the sum of tensor 'x' is closed or not open yet
        """
        round = as_int(round, "round", 0, MAX_ROUND)
        refuse_reentry(self._lock, "call of this aggregator")
        with self._lock:
            if not self._in_window(round):
                raise ProtocolAbort("the round is already closed or not open yet", round=round)
            self._close(round, tuple(self.session.tensors))

    # ---------------------------------------------------------------------------------------------- internals

    def _examine(
        self, message: bytes | bytearray | memoryview, origin: _Origin, threads: int | None
    ) -> tuple[str, int, str, bytes, CipherArray]:
        """Make every check that needs no other contribution, the cheap ones first."""
        session = self.session
        frame = decode(message, Kind.SUM_CONTRIBUTION, max_payload=max_frame(session))
        header = frame.header
        # Only names of this session are ever repeated or stored.
        if header.get("sender").__class__ is str and header["sender"] in session.clients:
            origin.sender = header["sender"]
        round, tensor = check_about(session, header)
        origin.round, origin.tensor = round, tensor
        if origin.sender is None:
            raise FrameError("the sender is not a client of this session")
        sender = origin.sender
        digest = field(header, "digest", bytes, length=32)
        signature = field(header, "signature", bytes, length=64)
        stated = claims(session, round, tensor, sender, digest)
        check_fields(header, {*stated, "signature"})
        if field(header, "bound", int) != stated["bound"]:
            raise FrameError("message declares another bound than the sender's largest weight gives")
        self._check_open(sender, round, tensor)
        if not signed_by(session.clients[sender][0], signature, signed_bytes(stated)):
            raise FrameError("the signature is not the sender's")
        if hashlib.sha256(frame.payload).digest() != digest:
            raise FrameError("message was damaged on its way: its hash does not match")
        plan, length = session.tensors[tensor]
        c = CipherArray.from_bytes(frame.payload, session.public_key, threads=threads)
        check_sum(c, plan, length, stated["bound"])
        return sender, round, tensor, digest + signature, c

    def _in_window(self, round: int) -> bool:
        low = max(self._first, self._newest - self._window + 1)
        return low <= round <= self._newest + self._window

    def _is_open(self, round: int, tensor: str) -> bool:
        return self._in_window(round) and (round, tensor) not in self._closed

    def _check_open(self, sender: str, round: int, tensor: str) -> None:
        if not self._is_open(round, tensor):
            late = (round, tensor) in self._closed or round <= self._newest
            raise FrameError(
                "message is late or replayed: its sum is closed" if late else "message is for a round not open yet"
            )
        running = self._running.get((round, tensor))
        if running is not None and sender in running.signed:
            raise FrameError("message is a duplicate: the sender already contributed to this sum")

    def _close(self, round: int, tensors: tuple[str, ...]) -> None:
        """Close sums and forget everything that fell out of the window."""
        self._closed.update((round, tensor) for tensor in tensors)
        self._newest = max(self._newest, round)
        for table in (self._running, self._rejected):
            for key in [key for key in table if not self._is_open(*key)]:
                del table[key]
        self._closed = {key for key in self._closed if self._in_window(key[0])}

    def __repr__(self) -> str:
        return f"<Aggregator of {self.session!r}, {len(self._running)} open sums>"
