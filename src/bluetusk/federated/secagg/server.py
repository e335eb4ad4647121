"""The server of secure aggregation: it carries keys and shares, adds masked vectors, and unmasks the sum."""

from __future__ import annotations

import os
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ..._kernels import ring as kernel
from ..._numeric import as_int
from ...errors import BluetuskError, FrameError, ProtocolAbort
from ...wire.frame import decode, field
from . import _state
from ._messages import MAX_ROUND, check_about, sender_of
from ._peer import MOST_BOX
from ._result import Accepted, Rejected, Result
from ._server import ADVERTISE, DONE, ENDS, ORDER, OVER, PHASE_OF, TAKE, UNMASK, Phases
from .session import Session

__all__ = ["Server"]

_MAX_REASON = 160


class Server(Phases):
    """One round of a session at the server: a state machine that takes the clients' messages in any order.

    Every phase collects one kind of message with :meth:`step`; :meth:`advance` ends it, when the caller will not wait
    any longer, and returns what goes to each client. After the last one :meth:`finish` gives the result. A message
    that fails a check is rejected and leaves no trace. Masked vectors are added as they come: the memory is that of
    one sum, however many clients there are, and of the shares on their way.

    The server holds no secret but its signing key and the round's key for talking to the clients. It must follow the
    protocol, unless the plan is ``malicious``. One thread at a time.

    Parameters
    ----------
    session : Session
        The agreed configuration.
    round : int
        The round; never one that was aggregated before.
    signing_key : bytes or Ed25519PrivateKey
        The server's private key (or its 32-byte seed).

    Attributes
    ----------
    session, round
        As given.

    Raises
    ------
    TypeError, ValueError
        If `round` is out of its limits or `signing_key` is not the agreed one.

    Examples
    --------
    >>> import bluetusk as bt
    >>> server = bt.federated.secagg.Server(session, 0, server_key)
    >>> server.phase, server.waiting
    ('advertise', ('a', 'b', 'c', 'd', 'e'))
    >>> server.step(b"anything").reason
    'frame is truncated: 8 bytes are fewer than its fixed header of 20'
    """

    def __init__(self, session: Session, round: int, signing_key: bytes | Ed25519PrivateKey) -> None:
        if isinstance(signing_key, bytes):
            if len(signing_key) != 32:
                raise ValueError(f"signing_key: an Ed25519 seed has 32 bytes, not {len(signing_key)}")
            signing_key = Ed25519PrivateKey.from_private_bytes(signing_key)
        if not isinstance(signing_key, Ed25519PrivateKey):
            raise TypeError(f"signing_key must be bytes or an Ed25519PrivateKey, not {type(signing_key).__name__}")
        if signing_key.public_key().public_bytes_raw() != session.server:
            raise ValueError("signing_key does not belong to the public key agreed for the server")
        self.session = session
        self.round = as_int(round, "round", 0, MAX_ROUND)
        self._signing_key = signing_key
        self._use_secret(os.urandom(32))
        self._phase = ADVERTISE
        self._adverts = {}
        self._known = set()
        self._rejected = {}
        self._done = set()
        self._expected = set(range(len(session.names)))

    @property
    def phase(self) -> str:
        """What is being collected: advertise, shares, masked, consent (malicious mode), unmask; or done, over.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.federated.secagg.Server(session, 0, server_key).phase
        'advertise'
        """
        return self._phase

    @property
    def waiting(self) -> tuple[str, ...]:
        """The clients of which this phase has no message yet.

        Examples
        --------
        >>> import bluetusk as bt
        >>> len(bt.federated.secagg.Server(session, 0, server_key).waiting)
        5
        """
        return tuple(self.session.names[i] for i in sorted(self._expected - self._done))

    @property
    def last(self) -> bool:
        """Whether :meth:`finish` comes next, and not :meth:`advance`.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.federated.secagg.Server(session, 0, server_key).last
        False
        """
        return self._phase not in ENDS

    # -------------------------------------------------------------------------------------------------- messages

    def step(self, message: bytes | bytearray | memoryview) -> Accepted | Rejected:
        """Check one message and take it in.

        Parameters
        ----------
        message : bytes-like
            From a peer that may send anything.

        Returns
        -------
        Accepted or Rejected
            Every message gets an answer, whatever its bytes.

        Raises
        ------
        TypeError
            If `message` is not bytes-like.

        Examples
        --------
        >>> import bluetusk as bt
        >>> server = bt.federated.secagg.Server(session, 0, server_key)
        >>> (message,) = bt.federated.secagg.Client(session, "a", signing["a"]).start(0, [1, 2, 3])
        >>> server.step(message)
        Accepted(sender='a', round=0, phase='advertise', clients=1)
        >>> server.step(message).reason
        "message is a duplicate: this client's was already taken"
        """
        name: str | None = None
        try:
            frame = decode(message, max_payload=self._largest())
            phase = PHASE_OF.get(frame.kind)
            if phase is None:
                raise FrameError(f"a message of kind {frame.kind.name} is not for the server of secure aggregation")
            if check_about(self.session, frame.header) != self.round:
                raise FrameError(f"message is for another round than {self.round}")
            sender = sender_of(self.session, frame.header)
            name = self.session.names[sender]
            if phase != self._phase:
                early = self._phase in ORDER and ORDER.index(phase) > ORDER.index(self._phase)
                raise FrameError(f"message is {'early' if early else 'late or replayed'}: the phase is {self._phase!r}")
            if sender in self._done:
                raise FrameError("message is a duplicate: this client's was already taken")
            if sender not in self._expected:
                raise FrameError("the sender dropped out in an earlier phase")
            TAKE[phase](self, sender, frame)
        except BluetuskError as err:
            reason = "".join(c if c.isprintable() else "?" for c in str(err)[:_MAX_REASON])
            if name is not None:
                self._rejected[name] = reason
            return Rejected(name, self.round, self._phase, reason)
        self._done.add(sender)
        return Accepted(self.session.names[sender], self.round, self._phase, len(self._done))

    def _largest(self) -> int:
        n = len(self.session.names)
        return max(kernel.packed_bytes(self.session.length + 1, self.session.bits), n * (4 + MOST_BOX) + 64)

    # -------------------------------------------------------------------------------------------------- phases

    def advance(self) -> dict[str, bytes]:
        """End the phase: whoever has not answered is left out from here on.

        Returns
        -------
        dict of str to bytes
            A message for each client that goes on.

        Raises
        ------
        ProtocolAbort
            If too few clients are left; the round is over, start another. Or if :meth:`finish` comes next.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.federated.secagg.Server(session, 0, server_key).advance()
        Traceback (most recent call last):
            ...
        bluetusk.errors.ProtocolAbort: round 0: 0 clients advertised keys, at least 4 are needed: start another round
        """
        if self.last:
            raise ProtocolAbort(f"the phase is {self._phase!r}: there is no message to send", round=self.round)
        try:
            out = ENDS[self._phase](self)
        except BaseException:
            self.abort()
            raise
        return out

    def abort(self) -> None:
        """Give the round up: everything that was collected is forgotten, whatever comes later is rejected.

        Examples
        --------
        >>> import bluetusk as bt
        >>> server = bt.federated.secagg.Server(session, 0, server_key)
        >>> server.abort()
        >>> server.phase
        'over'
        """
        self._end(OVER)

    def finish(self) -> Result:
        """Reconstruct what the masks came from, take them off, and decode the sum.

        Returns
        -------
        Result

        Raises
        ------
        ProtocolAbort
            If this is not the last phase, too few clients answered, their shares do not give what was advertised, or
            the weight is not one that the clients can have. The round is over.
        EncodingOverflow
            If a sum exceeds what its weight allows. The round is over.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.federated.secagg.Server(session, 3, server_key).finish()
        Traceback (most recent call last):
            ...
        bluetusk.errors.ProtocolAbort: round 3: the phase is 'advertise': the sum cannot be unmasked yet
        """
        if self._phase != UNMASK:
            raise ProtocolAbort(f"the phase is {self._phase!r}: the sum cannot be unmasked yet", round=self.round)
        try:
            result = self._unmask()
        except BaseException:
            self.abort()
            raise
        self._end(DONE)
        return result

    # -------------------------------------------------------------------------------------------------- state

    def to_bytes(self, key: bytes) -> bytes:
        """Return the state, encrypted: after a crash, or on another machine, the round goes on where it stood.

        It holds the sum of the masked vectors and the shares that were revealed. Keep no older state than the last: a
        round must be finished once.

        Parameters
        ----------
        key : bytes
            32 secret bytes, the caller's to keep.

        Returns
        -------
        bytes

        Raises
        ------
        ProtocolAbort
            If the round is done or over.

        Examples
        --------
        >>> import bluetusk as bt
        >>> state = bt.federated.secagg.Server(session, 0, server_key).to_bytes(bytes(32))
        >>> bt.federated.secagg.Server.from_bytes(state, session, server_key, bytes(32)).phase
        'advertise'
        """
        if self._phase in (DONE, OVER):
            raise ProtocolAbort(f"the phase is {self._phase!r}: there is nothing to save", round=self.round)
        return _state.seal(self.session, "server", {"round": self.round, "phase": self._phase}, self._parts(), key)

    @classmethod
    def from_bytes(
        cls,
        data: bytes | bytearray | memoryview,
        session: Session,
        signing_key: bytes | Ed25519PrivateKey,
        key: bytes,
    ) -> Server:
        """Restore a server from its state.

        Parameters
        ----------
        data : bytes-like
            What :meth:`to_bytes` gave.
        session, signing_key
            As in :class:`Server`.
        key : bytes
            That under which it was saved.

        Returns
        -------
        Server

        Raises
        ------
        FrameError
            If `data` is no such state, or was made for another session or under another key.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.federated.secagg.Server.from_bytes(b"anything", session, server_key, bytes(32))
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: frame is truncated: 8 bytes are fewer than its fixed header of 20
        """
        header, parts = _state.unseal(data, session, "server", key)
        server = cls(session, field(header, "round", int), signing_key)
        server._phase = field(header, "phase", str, choices=ORDER)
        server._use_parts(parts)
        return server

    def __reduce__(self) -> NoReturn:
        raise TypeError("a server cannot be pickled or copied; see to_bytes()")

    def __repr__(self) -> str:
        return f"<secagg.Server of {self.session!r}, round {self.round}, {self._phase}>"
