"""The server of secure aggregation: carries keys and shares, adds masked vectors, and unmasks the sum."""

from __future__ import annotations

from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ...._kernels import ring as kernel
from ...._numeric import as_int
from ....errors import BluetuskError, FrameError, ProtocolAbort
from ....wire.frame import decode, field
from ...parties import check_signing_key, printable
from .. import _state
from .._ids import ClientId
from .._messages import MAX_ROUND, check_about, sender_of
from .._peer import MOST_BOX
from .._result import Accepted, Rejected, Result
from ..session import Session
from ._phase import Round, ints, pack_ints
from .advertise import Advertise
from .consent import Consent
from .masked import Masked
from .shares import Shares
from .unmask import Unmask

__all__ = ["Server"]

_PHASES = {phase.name: phase for phase in (Advertise, Shares, Masked, Consent, Unmask)}
_PHASE_OF = {phase.kind: name for name, phase in _PHASES.items()}
_DONE, _OVER = "done", "over"
_ORDER = (*_PHASES, _DONE, _OVER)
_MAX_REASON = 160


class Server:
    """One round of a session at the server: a state machine that takes the clients' messages in any order.

    Every phase collects one kind of message with :meth:`step`; :meth:`advance` ends it, whenever the caller decides,
    and returns the message for each client. After the last one :meth:`finish` gives the result. A message
    that fails a check is rejected and changes nothing. Masked vectors are added as they come: the memory is that of
    one sum, however many clients there are, and of the shares on their way.

    The server holds no secret but its signing key and the round's key for talking to the clients. It must follow the
    protocol, unless the plan is ``malicious``. Not thread-safe.

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
        key = check_signing_key(signing_key, session.server, "the server")
        self.session = session
        self.round = as_int(round, "round", 0, MAX_ROUND)
        self._round = Round(session, self.round, key)
        everybody = {ClientId(i) for i in range(len(session.names))}
        self._now: Advertise | Shares | Masked | Consent | Unmask | None = Advertise(
            round=self._round, expected=everybody
        )
        self._ended = _OVER  # what the phase is when there is none

    @property
    def phase(self) -> str:
        """What is being collected: advertise, shares, masked, consent (malicious mode), unmask; or done, over.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.federated.secagg.Server(session, 0, server_key).phase
        'advertise'
        """
        return self._ended if self._now is None else self._now.name

    @property
    def waiting(self) -> tuple[str, ...]:
        """The clients of which this phase has no message yet.

        Examples
        --------
        >>> import bluetusk as bt
        >>> len(bt.federated.secagg.Server(session, 0, server_key).waiting)
        5
        """
        left = set() if self._now is None else self._now.expected - self._now.done
        return tuple(self.session.names[i] for i in sorted(left))

    @property
    def last(self) -> bool:
        """Whether :meth:`finish` comes next, and not :meth:`advance`.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.federated.secagg.Server(session, 0, server_key).last
        False
        """
        return self._now is None or isinstance(self._now, Unmask)

    # -------------------------------------------------------------------------------------------------- messages

    def step(self, message: bytes | bytearray | memoryview) -> Accepted | Rejected:
        """Check one message and take it in.

        Parameters
        ----------
        message : bytes-like
            From an untrusted peer.

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
            phase = _PHASE_OF.get(frame.kind)
            if phase is None:
                raise FrameError(f"a message of kind {frame.kind.name} is not for the server of secure aggregation")
            if check_about(self.session, frame.header) != self.round:
                raise FrameError(f"message is for another round than {self.round}")
            sender = sender_of(self.session, frame.header)
            name = self.session.names[sender]
            now = self._now
            if now is None or phase != now.name:
                early = _ORDER.index(phase) > _ORDER.index(self.phase)
                raise FrameError(f"message is {'early' if early else 'late or replayed'}: the phase is {self.phase!r}")
            if sender in now.done:
                raise FrameError("message is a duplicate: this client's was already taken")
            if sender not in now.expected:
                raise FrameError("the sender dropped out in an earlier phase")
            try:
                now.take(sender, frame)
            finally:
                if now.broken:
                    self.abort()
        except BluetuskError as err:
            reason = printable(err, _MAX_REASON)
            if name is not None:
                self._round.rejected[name] = reason
            return Rejected(name, self.round, self.phase, reason)
        now.done.add(sender)
        return Accepted(name, self.round, now.name, len(now.done))

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
            If too few clients are left: the round is over, start another. Also if :meth:`finish` comes next.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.federated.secagg.Server(session, 0, server_key).advance()
        Traceback (most recent call last):
            ...
        bluetusk.errors.ProtocolAbort: round 0: 0 clients advertised keys; at least 4 are needed: start another round
        """
        if self._now is None or isinstance(self._now, Unmask):
            raise ProtocolAbort(f"the phase is {self.phase!r}: there is no message to send", round=self.round)
        try:
            self._now, out = self._now.end()
        except BaseException:
            self.abort()
            raise
        return out

    def abort(self) -> None:
        """Abort the round: everything collected is forgotten, every later message is rejected.

        Examples
        --------
        >>> import bluetusk as bt
        >>> server = bt.federated.secagg.Server(session, 0, server_key)
        >>> server.abort()
        >>> server.phase
        'over'
        """
        self._end(_OVER)

    def finish(self) -> Result:
        """Reconstruct the seeds of the masks, remove the masks, and decode the sum.

        Returns
        -------
        Result

        Raises
        ------
        ProtocolAbort
            If this is not the last phase, too few clients answered, their shares do not reconstruct what was
            advertised, or the weight is impossible for the clients. The round is over.
        EncodingOverflow
            If a value of the sum exceeds the limit for its weight. The round is over.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.federated.secagg.Server(session, 3, server_key).finish()
        Traceback (most recent call last):
            ...
        bluetusk.errors.ProtocolAbort: round 3: the phase is 'advertise': the sum cannot be unmasked yet
        """
        if not isinstance(self._now, Unmask):
            raise ProtocolAbort(f"the phase is {self.phase!r}: the sum cannot be unmasked yet", round=self.round)
        try:
            result = self._now.end()
        except BaseException:
            self.abort()
            raise
        self._end(_DONE)
        return result

    def _end(self, phase: str) -> None:
        self._now, self._ended = None, phase
        self._round.pairs.clear()
        self._round.adverts.clear()

    # -------------------------------------------------------------------------------------------------- state

    def to_bytes(self, key: bytes) -> bytes:
        """Return the state, encrypted: after a crash, or on another machine, the round continues from it.

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
        now = self._now
        if now is None:
            raise ProtocolAbort(f"the phase is {self.phase!r}: there is nothing to save", round=self.round)
        parts = {"done": pack_ints(sorted(now.done)), "expected": pack_ints(sorted(now.expected))}
        parts |= self._round.pack() | now.pack()
        return _state.seal(self.session, "server", {"round": self.round, "phase": now.name}, parts, key)

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
            The output of :meth:`to_bytes`.
        session, signing_key
            As in :class:`Server`.
        key : bytes
            The key under which it was saved.

        Returns
        -------
        Server

        Raises
        ------
        FrameError
            If `data` is not such a state, or was made for another session or under another key.

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
        server._round = Round.unpack(session, server.round, server._round.signing_key, parts)
        done, expected = ({ClientId(i) for i in ints(parts[name]).tolist()} for name in ("done", "expected"))
        phase = _PHASES[field(header, "phase", str, choices=_PHASES)]
        held = phase.unpack(server._round, parts)
        server._now = phase(round=server._round, expected=expected, done=done, **held)
        return server

    def __reduce__(self) -> NoReturn:
        raise TypeError("a server cannot be pickled or copied; see to_bytes()")

    def __repr__(self) -> str:
        return f"<secagg.Server of {self.session!r}, round {self.round}, {self.phase}>"
