"""One connection of a session: a row of messages each way, over whatever carries them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...errors import FrameError, ProtocolAbort
from ...wire import frame
from ...wire.frame import Kind, check_fields, decode, encode
from ..protocol.refusal import kind_of

if TYPE_CHECKING:
    from .session import Session

__all__ = ["CHUNK", "Connection"]

CHUNK = 1 << 20
"""Bytes of a frame that travel in one message of the transport."""
BEAT = 2.0
"""Seconds between signs of life."""


class Connection:
    """One connection of a session: what goes out over it, and what comes in. A newer one ends it."""

    def __init__(self, session: Session, number: int, hello: bytes) -> None:
        self._session, self._number, self._hello = session, number, hello
        self.pointer: dict[int, int] = {}  # frames of each round that went out here
        self.told = -1  # the step that the peer was told of
        self._assembly: dict[str, Any] = {}

    def messages(self) -> Iterator[bytes]:
        """Yield what is to be sent, for as long as this is the latest connection.

        Yields
        ------
        bytes
            Frames of kind PARTY, none much longer than :data:`CHUNK`.
        """
        yield self._hello
        session = self._session
        while True:
            with session._lock:
                failure = session._failure
                if failure is not None and getattr(failure, "party", None) != session._peer and not session.abort_said:
                    session.abort_said = True
                    session._changed.notify_all()
                    last = {"say": "abort", "kind": kind_of(failure)}
                else:
                    last = None
                if last is None and (session._connection != self._number or failure is not None):
                    return
                due = None
                if last is None:
                    due = session._next(self) if session._ready else None
                    if due is None and not session._changed.wait(BEAT):
                        due = {"say": "beat"}, b""
            if last is not None:
                yield encode(Kind.PARTY, last)
                return
            if due is None:
                continue
            about, data = due
            if about["say"] != "data":
                yield encode(Kind.PARTY, about)
                continue
            for at in range(0, max(len(data), 1), CHUNK):
                if session._connection != self._number:
                    return
                yield encode(Kind.PARTY, {**about, "offset": at, "total": len(data)}, data[at : at + CHUNK])

    def lost(self) -> None:
        """Note that the other end is gone; a newer connection is left alone."""
        with self._session._lock:
            if self._session._connection == self._number:
                self._session._ready = False

    def take(self, data: bytes) -> bool:
        """Take a message that has come in.

        Parameters
        ----------
        data : bytes
            The message.

        Returns
        -------
        bool
            False if this connection is over.

        Raises
        ------
        FrameError, ProtocolAbort
            If it is not one of this conversation.
        """
        got = decode(data, Kind.PARTY, max_payload=CHUNK)
        say = frame.field(got.header, "say", str, choices=("hello", "data", "ack", "now", "beat", "bye", "abort"))
        session = self._session
        with session._lock:
            if session._connection != self._number or session._failure is not None:
                return False
            session._heard = time.monotonic()
            if say == "abort":
                check_fields(got.header, ["say", "kind"])
                kind = frame.field(got.header, "kind", str, low=1, high=64)
                raise ProtocolAbort(f"the other party gave up: {kind!r}; its own log says more", party=session._peer)
            if say == "hello":
                if session._ready:
                    raise FrameError(f"{session._peer!r} says twice where it stands")
                session._agree(got.header)
            elif not session._ready:
                raise FrameError(f"{session._peer!r} sends before it has said where it stands")
            elif say == "data":
                session._data(got.header, got.payload, self._assembly)
            elif say == "ack":
                check_fields(got.header, ["say", "step", "got"])
                step = frame.field(got.header, "step", int, low=0)
                if step in session._rounds:
                    have = frame.field(got.header, "got", int, low=0, high=len(session._rounds[step].sent))
                    session._peer_has[step] = max(session._peer_has.get(step, 0), have)
            elif say == "now":
                session._peer_now = frame.field(got.header, "step", int, low=0, high=session._now + 1)
            else:
                check_fields(got.header, ["say"])
                session._heard_bye = session._heard_bye or say == "bye"
            session._changed.notify_all()
        return True
