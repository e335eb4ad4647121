"""The client of secure aggregation: masks its vector, and helps to unmask the sum."""

from __future__ import annotations

import hashlib
import os
from typing import Any, NoReturn

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import ArrayLike

from ..._closing import Closing
from ..._numeric import as_int, as_numbers
from ...errors import FrameError, ProtocolAbort
from ...wire.frame import Kind, decode, field
from ..parties import check_signing_key
from . import _state
from ._ids import ClientId
from ._messages import ADVERT, MAX_ROUND, check_about, check_signed, signed
from ._notes import Memory, Notes
from ._part import ADVERTISED, DONE, IDLE, OVER, PHASES, TURNS, Part
from ._peer import MOST_BOX, Peer
from .masks import ring_dtype
from .session import Session

__all__ = ["Client"]


class Client(Closing):
    """One client of a session: a state machine that reads the server's messages and returns its answers.

    In every round it draws fresh keys and a fresh seed. It answers each kind of message once; what it may never do
    twice is noted in the journal before the answer is returned. It never reveals both shares that it holds of one
    client: the server's request is one set of clients, each of them either in the sum or not.

    Parameters
    ----------
    session : Session
        The agreed configuration.
    name : str
        The client's name in it.
    signing_key : bytes or Ed25519PrivateKey
        Its identity key, or the 32-byte seed of it.
    journal : path-like, optional
        A file on a disk that survives. Without it the client's promises hold for this object only, and its state
        cannot be saved. Losing or restoring an old copy of it breaks the promise that a request is answered once.

    Attributes
    ----------
    session, name
        As given.
    round : int or None
        The round under way or the last one.
    clipped : int
        How many values of the last vector were clipped (encodings with ``on_clip="clip"`` or ``"l2"``).

    Raises
    ------
    TypeError, ValueError
        If `name` is unknown, or `signing_key` is not the agreed one.
    ProtocolAbort
        If the journal is in use or damaged.
    OSError
        If it cannot be written.

    Examples
    --------
    >>> import numpy as np, bluetusk as bt
    >>> clients = {name: bt.federated.secagg.Client(session, name, key) for name, key in signing.items()}
    >>> server = bt.federated.secagg.Server(session, 0, server_key)
    >>> for name, client in clients.items():
    ...     for message in client.start(0, np.full(3, 0.5), weight=2):
    ...         assert server.step(message)
    >>> while not server.last:
    ...     for name, message in server.advance().items():
    ...         for answer in clients[name].step(message):
    ...             assert server.step(answer)
    >>> result = server.finish()
    >>> result.weight, result.sum, result.mean
    (10, array([5., 5., 5.]), array([0.5, 0.5, 0.5]))
    """

    def __init__(
        self,
        session: Session,
        name: str,
        signing_key: bytes | Ed25519PrivateKey,
        *,
        journal: str | os.PathLike[str] | None = None,
    ) -> None:
        if name not in session.clients:
            raise ValueError(f"name: {name!r} is not a client of this session")
        key = check_signing_key(signing_key, session.clients[name][0], repr(name))
        self.session = session
        self.name = name
        self.round: int | None = None
        self.clipped = 0
        self._signing_key = key
        self._id = ClientId(session.names.index(name))
        self._notes: Notes | Memory = Memory() if journal is None else Notes(journal, _own_hash(session, name))
        self._forget(IDLE)

    def _forget(self, phase: str) -> None:
        """Forget everything of the round but its number."""
        self._phase = phase
        self._part: Part | None = None
        self._seen: dict[Kind, bytes] = {}  # the signatures of messages that were answered

    @property
    def phase(self) -> str:
        """What the client did last: idle, advertised, shared, masked, consented, done, or over after an abort.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.federated.secagg.Client(session, "a", signing["a"]).phase
        'idle'
        """
        return self._phase

    # -------------------------------------------------------------------------------------------------- steps

    def start(self, round: int, values: ArrayLike, weight: int = 1) -> list[bytes]:
        """Begin a round: quantise the values, draw fresh keys, advertise them.

        Parameters
        ----------
        round : int
            Larger than any round that this client started. The state of an earlier round is forgotten.
        values : array_like, shape (length,)
            Any integer or float dtype, as :meth:`FixedPoint.quantise` takes.
        weight : int, default 1
            At least 1, at most the client's declared largest. Values are multiplied by it, and it is summed with them.

        Returns
        -------
        list of bytes
            One message for the server.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape or is out of its limits, or a value is NaN or infinite.
        EncodingOverflow
            If a value exceeds the encoding's clip and the encoding says to raise.
        ProtocolAbort
            If this client already started this round or a later one.

        Examples
        --------
        >>> import bluetusk as bt
        >>> client = bt.federated.secagg.Client(session, "a", signing["a"])
        >>> messages = client.start(0, [0.5, 0.25, -1])
        >>> len(messages), client.phase
        (1, 'advertised')
        """
        session = self.session
        round = as_int(round, "round", 0, MAX_ROUND)
        weight = as_int(weight, "weight", 1, session.clients[self.name][1])
        numbers = as_numbers(values, "values")
        if numbers.shape != (session.length,):
            raise ValueError(
                f"values must have the shape agreed for the session, ({session.length},), not {numbers.shape}"
            )
        if self.round is not None and round <= self.round:
            raise ProtocolAbort(f"this client already started round {self.round}: go on with a later one", round=round)
        quantised, clipped = session.encoding.quantise(numbers, name="values")
        dtype = ring_dtype(session.bits)
        words = np.empty(session.length + 1, dtype)
        # |q w| <= Q W < 2^63; the cast to the ring's words is the residue
        scaled = quantised if weight == 1 else np.multiply(quantised, weight, out=quantised)
        words[:-1] = scaled.astype(dtype)
        words[-1] = weight
        self._notes.spend(round, "start")
        self._forget(ADVERTISED)
        self.round, self.clipped = round, clipped
        peer = Peer(session, round)
        self._part = Part(self._id, self._signing_key, self._notes, peer, words)
        header = {"sender": self._id}
        return [signed(session, round, Kind.SECAGG_ADVERTISE, header, peer.advert(), self._signing_key)]

    def step(self, message: bytes | bytearray | memoryview) -> list[bytes]:
        """Read a message from the server and return the answers.

        Parameters
        ----------
        message : bytes-like
            From an untrusted peer.

        Returns
        -------
        list of bytes
            Messages for the server: one, or none for a message that came a second time.

        Raises
        ------
        FrameError
            If the message is not the server's for this round, was damaged, or comes out of turn. The state is
            unchanged: continue with other messages.
        ProtocolAbort
            If the server's message breaks the protocol, or answering it would. The round's secrets are forgotten;
            continue with :meth:`start` of a later round.
        TypeError
            If `message` is not bytes-like.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.federated.secagg.Client(session, "a", signing["a"]).step(b"anything")
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: frame is truncated: 8 bytes are fewer than its fixed header of 20
        """
        frame = decode(message, max_payload=self._largest())
        turn = TURNS.get(frame.kind)
        if turn is None:
            raise FrameError(f"a message of kind {frame.kind.name} is not for a client of secure aggregation")
        round = check_about(self.session, frame.header)
        if round != self.round:
            raise FrameError(f"message is for round {round}, not {self.round}: late, replayed or early")
        check_signed(frame, turn.fields, self.session.server)
        if frame.header.get("to", self._id) != self._id:
            raise FrameError("message is for another client")
        signature = frame.header["signature"]
        if frame.kind in self._seen:
            if self._seen[frame.kind] == signature:
                return []
            self._forget(OVER)
            raise ProtocolAbort("the server sent two different messages of one kind", round=round, party="server")
        if self._phase == OVER:
            raise ProtocolAbort("the round is over for this client: wait for the next", round=round)
        part = self._part
        if part is None or self._phase != turn.before[self.session.plan.malicious]:
            raise FrameError(
                f"a message of kind {frame.kind.name} does not follow on {self._phase!r}: deliver it later"
            )
        try:
            raw = bytes(message)
            turn.take(part, frame)
            part.frames[frame.kind] = raw
            answer = turn.answer(part)
            self._seen[frame.kind] = signature
            self._phase = turn.after
            if turn.after == DONE:
                self._part = None
        except FrameError as err:
            self._forget(OVER)
            raise ProtocolAbort(f"the server's message is refused: {err}", round=round, party="server") from None
        except BaseException:
            self._forget(OVER)
            raise
        return [answer]

    def _largest(self) -> int:
        n = len(self.session.names)
        return n * (4 + max(ADVERT + 64, MOST_BOX)) + n // 8 + 64

    # -------------------------------------------------------------------------------------------------- state

    def to_bytes(self, key: bytes) -> bytes:
        """Return the state, encrypted: save it after each step, before the answer is sent.

        It holds the round's keys, seed and, before they are masked, the values. A client restored from it cannot do
        again what the journal says was done: a state that is older than the journal can only drop out of the round.

        Parameters
        ----------
        key : bytes
            32 secret bytes, the caller's to keep.

        Returns
        -------
        bytes

        Raises
        ------
        ValueError
            If the client has no journal: two copies of it could then answer twice.

        Examples
        --------
        >>> import os, tempfile, bluetusk as bt
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path, key = os.path.join(folder, "journal"), os.urandom(32)
        ...     with bt.federated.secagg.Client(session, "a", signing["a"], journal=path) as client:
        ...         _ = client.start(0, [0.5, 0.25, -1])
        ...         state = client.to_bytes(key)
        ...     with bt.federated.secagg.Client.from_bytes(state, session, signing["a"], key, journal=path) as client:
        ...         print(client.name, client.round, client.phase)
        a 0 advertised
        """
        if isinstance(self._notes, Memory):
            raise ValueError("journal is missing: without one two copies of a saved client could answer twice")
        parts = {"own": b"", "chosen": b""} if self._part is None else self._part.pack()
        parts |= {f"seen {kind.name}": signature for kind, signature in self._seen.items()}
        header = {
            "name": self.name,
            "started": self.round is not None,
            "round": self.round or 0,
            "phase": self._phase,
            "clipped": self.clipped,
        }
        return _state.seal(self.session, "client", header, parts, key)

    @classmethod
    def from_bytes(
        cls,
        data: bytes | bytearray | memoryview,
        session: Session,
        signing_key: bytes | Ed25519PrivateKey,
        key: bytes,
        *,
        journal: str | os.PathLike[str],
    ) -> Client:
        """Restore a client from its state.

        Parameters
        ----------
        data : bytes-like
            The output of :meth:`to_bytes`.
        session, signing_key
            As in :class:`Client`.
        key : bytes
            The key under which it was saved.
        journal : path-like
            The client's journal, never an older copy.

        Returns
        -------
        Client

        Raises
        ------
        FrameError
            If `data` is not such a state, or was made for another session or under another key.
        ProtocolAbort, OSError
            As in :class:`Client`.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.federated.secagg.Client.from_bytes(b"anything", session, signing["a"], bytes(32), journal="unused")
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: frame is truncated: 8 bytes are fewer than its fixed header of 20
        """
        header, parts = _state.unseal(data, session, "client", key)
        name = field(header, "name", str)
        phase = field(header, "phase", str, choices=PHASES)
        if name not in session.clients:
            raise FrameError("the state is of a client that is not in the session")
        client = cls(session, name, signing_key, journal=journal)
        try:
            client._restore(header, parts, phase)
        except BaseException:
            client.close()
            raise
        return client

    def _restore(self, header: dict[str, Any], parts: dict[str, bytes], phase: str) -> None:
        if field(header, "started", bool):
            self.round = field(header, "round", int)
        self.clipped = field(header, "clipped", int)
        self._phase = phase
        self._seen = {kind: parts[f"seen {kind.name}"] for kind in TURNS if f"seen {kind.name}" in parts}
        if "secrets" in parts:
            peer = Peer(self.session, self.round or 0, parts["secrets"])
            self._part = Part(self._id, self._signing_key, self._notes, peer)
            self._part.unpack(parts)

    def close(self) -> None:
        """Forget the round's secrets and release the journal.

        Examples
        --------
        >>> import bluetusk as bt
        >>> client = bt.federated.secagg.Client(session, "a", signing["a"])
        >>> client.close()
        >>> client.phase
        'over'
        """
        self._forget(OVER)
        self._notes.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client cannot be pickled or copied: two copies could answer twice; see to_bytes()")

    def __repr__(self) -> str:
        return f"<secagg.Client {self.name!r} of {self.session!r}, round {self.round}, {self._phase}>"


def _own_hash(session: Session, name: str) -> bytes:
    """Return what a journal's lines are under: several clients of one machine may share a file, one after the other."""
    return hashlib.sha256(b"bluetusk secagg journal\0" + session.hash + name.encode()).digest()
