"""The configuration that clients and server agree on before the first round of secure aggregation."""

from __future__ import annotations

import hashlib
import os
import struct
from types import MappingProxyType
from typing import Any

from ..._numeric import as_int
from ...encoding import FixedPoint
from ...errors import BluetuskError, EncodingOverflow, FrameError
from ...wire.frame import Kind, check_fields, decode, encode, field
from ..parties import Agreement, Clients, Key, check_bytes, check_clients, public_bytes
from .plan import Plan

__all__ = ["MAX_SESSION", "Session"]

MAX_SESSION = 1 << 16
"""Most clients of a session: what one process can serve. A plan may be for more."""
_MAX_LENGTH = 1 << 32
_LEAST_BITS = 8
_DOMAIN = b"bluetusk secagg session\0"


class Session(Agreement):
    """One session of secure aggregation: the public configuration on which all parties agree.

    Its hash is part of every message and of every mask's derivation, so that nothing made for another plan, encoding,
    length, list of clients or limit fits.

    Parameters
    ----------
    plan : Plan
        Neighbours and threshold, from :func:`bluetusk.federated.secagg.plan`; for exactly as many clients.
    encoding : FixedPoint
        How values become integers. Sums live on the ring of ``2**encoding.slot_bits``, 8 to 64 bits.
    length : int
        How many values a client's vector has. Several tensors of one encoding go into one vector.
    clients : mapping of str to (key, int), or to a key
        For each client its Ed25519 public key (the object of :mod:`cryptography`, or its 32 bytes) and the largest
        weight it may use; a key alone stands for a largest weight of 1. The sum of these weights must not exceed the
        encoding's ``max_weight``, so that no sum can overflow the ring.
    server : Ed25519PublicKey or bytes
        The server's Ed25519 public key: it signs what it sends.
    min_clients : int, optional
        Clients refuse to unmask a sum of fewer clients. By default the plan's threshold on the complete graph, else all
        but the clients that the plan lets vanish; with a malicious server at least the plan's quorum. It may not be
        below 2.
    session_id : bytes, optional
        16 bytes; fresh random ones by default. Two sessions with the same configuration differ by it.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is outside its limits.
    EncodingOverflow
        If the encoding needs more than 64 bits.

    Examples
    --------
    >>> import bluetusk as bt
    >>> clients = {name: (bytes([i]) * 32, 1) for i, name in enumerate("abcde", 1)}
    >>> session = bt.federated.secagg.Session(bt.federated.secagg.plan(5), bt.FixedPoint(), 10, clients, bytes(32))
    >>> print(repr(session).partition(": ")[2])
    5 clients, 10 values of 32 bits, threshold 5 of 5>
    """

    __slots__ = ("_encoding", "_length", "_names", "_plan", "_server")

    _encoding: FixedPoint
    _length: int
    _names: tuple[str, ...]
    _plan: Plan
    _server: bytes

    def __init__(
        self,
        plan: Plan,
        encoding: FixedPoint,
        length: int,
        clients: Clients,
        server: Key,
        *,
        min_clients: int | None = None,
        session_id: bytes | None = None,
    ) -> None:
        if not isinstance(plan, Plan):
            raise TypeError(f"plan must be a secagg.Plan, not {type(plan).__name__}")
        if not isinstance(encoding, FixedPoint):
            raise TypeError(f"encoding must be a FixedPoint, not {type(encoding).__name__}")
        session_id = check_bytes(os.urandom(16) if session_id is None else session_id, "session_id", 16)
        server = public_bytes(server, "server")
        if hasattr(self, "_hash"):
            raise TypeError("a session cannot be built twice: make another one")
        named = check_clients(clients, MAX_SESSION)
        if len(named) != plan.clients:
            raise ValueError(f"clients: the plan is for {plan.clients} clients, not {len(named)}: make a plan for them")
        if encoding.slot_bits > 64:
            raise EncodingOverflow(
                f"encoding needs a ring of {encoding.slot_bits} bits, above 64: lower clip, max_weight or guard_bits"
            )
        if encoding.slot_bits < _LEAST_BITS:
            raise ValueError(
                f"encoding gives a ring of {encoding.slot_bits} bits, below {_LEAST_BITS}: raise guard_bits"
            )
        total = sum(limit for _, limit in named.values())
        if total > encoding.max_weight:
            raise ValueError(
                f"clients: their largest weights add up to {total}, but the encoding takes {encoding.max_weight}: "
                "lower them or raise its max_weight"
            )
        floor = plan.quorum if plan.malicious else 2
        usual = max(3 if plan.clients > 2 else 2, plan.threshold if plan.complete else plan.stay, floor)
        self._put(
            _plan=plan,
            _encoding=encoding,
            _length=as_int(length, "length", 1, _MAX_LENGTH),
            _clients=MappingProxyType(named),
            _names=tuple(named),
            _server=server,
            _min_clients=usual if min_clients is None else as_int(min_clients, "min_clients", floor, len(named)),
            _session_id=session_id,
        )
        self._put(_hash=hashlib.sha256(_DOMAIN + self.to_bytes()).digest())

    def __reduce__(self) -> tuple[Any, ...]:
        return Session.from_bytes, (self.to_bytes(),)

    @property
    def plan(self) -> Plan:
        """Neighbours and threshold.

        Examples
        --------
        >>> session.plan.threshold
        4
        """
        return self._plan

    @property
    def encoding(self) -> FixedPoint:
        """How values become integers.

        Examples
        --------
        >>> session.encoding.slot_bits
        32
        """
        return self._encoding

    @property
    def length(self) -> int:
        """How many values a client's vector has.

        Examples
        --------
        >>> session.length
        3
        """
        return self._length

    @property
    def names(self) -> tuple[str, ...]:
        """The clients' names, sorted: messages count clients by their place here.

        Examples
        --------
        >>> session.names[0]
        'a'
        """
        return self._names

    @property
    def server(self) -> bytes:
        """The server's Ed25519 public key.

        Examples
        --------
        >>> len(session.server)
        32
        """
        return self._server

    @property
    def bits(self) -> int:
        """Bits of a masked value: the ring is that of the integers modulo ``2**bits``.

        Examples
        --------
        >>> session.bits
        32
        """
        return self._encoding.slot_bits

    @property
    def min_advertised(self) -> int:
        """The least number of clients that must advertise keys for a round to continue.

        Examples
        --------
        >>> session.min_advertised
        4
        """
        plan = self._plan
        return max(plan.threshold, plan.stay, self._min_clients)

    def to_bytes(self) -> bytes:
        """Return the configuration as a frame for the other parties.

        Returns
        -------
        bytes

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.federated.secagg.Session.from_bytes(session.to_bytes()) == session
        True
        """
        rows = []
        for name, (key, limit) in self._clients.items():
            text = name.encode()
            rows.append(struct.pack("<H", len(text)) + text + key + struct.pack("<Q", limit))
        header = {
            "id": self._session_id,
            "plan": self._plan.to_dict(),
            "encoding": self._encoding.to_dict(),
            "length": self._length,
            "min_clients": self._min_clients,
            "server": self._server,
        }
        return encode(Kind.SECAGG_SESSION, header, b"".join(rows))

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Session:
        """Read a configuration, with every check that the constructor makes.

        Parameters
        ----------
        data : bytes-like
            The output of :meth:`to_bytes`.

        Returns
        -------
        Session

        Raises
        ------
        FrameError
            If `data` is not such a frame, or holds a configuration that the constructor refuses.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.federated.secagg.Session.from_bytes(session.to_bytes()).hash == session.hash
        True
        """
        frame = decode(data, Kind.SECAGG_SESSION, max_payload=MAX_SESSION * (2 + 4 * 64 + 40))
        header = frame.header
        check_fields(header, {"id", "plan", "encoding", "length", "min_clients", "server"})
        try:
            session = cls(
                Plan.from_dict(field(header, "plan", dict)),
                FixedPoint.from_dict(field(header, "encoding", dict)),
                field(header, "length", int),
                _read_clients(bytes(frame.payload)),
                field(header, "server", bytes, length=32),
                min_clients=field(header, "min_clients", int),
                session_id=field(header, "id", bytes, length=16),
            )
        except (BluetuskError, TypeError, ValueError) as err:
            raise FrameError(f"the session's configuration is not allowed: {err}") from None
        if session.to_bytes() != bytes(data):
            raise FrameError("the session's clients are not in canonical order: get the session again from its maker")
        return session

    def __repr__(self) -> str:
        return (
            f"<secagg.Session {self._session_id.hex()[:8]}: {len(self._names)} clients, {self._length} values of "
            f"{self.bits} bits, threshold {self._plan.threshold} of {self._plan.neighbours}>"
        )


def _read_clients(data: bytes) -> dict[str, tuple[bytes, int]]:
    clients: dict[str, tuple[bytes, int]] = {}
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 2], "little")
        row = data[at + 2 : at + 2 + size + 40]
        if len(row) != size + 40:
            raise FrameError("the session's list of clients is truncated")
        try:
            name = row[:size].decode()
        except UnicodeDecodeError:
            raise FrameError("a client's name is not UTF-8") from None
        clients[name] = (row[size : size + 32], int.from_bytes(row[size + 32 :], "little"))
        at += 2 + size + 40
    return clients
