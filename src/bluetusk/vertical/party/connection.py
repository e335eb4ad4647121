"""One connection of a session: exchanges messages, cuts frames into pieces and reassembles them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from ...errors import FrameError
from ...wire import frame
from ...wire.frame import Kind, check_fields, decode, encode
from .rounds import ATTEMPT, MAX_FRAME
from .waiting import Incoming

__all__ = ["BEAT", "CHUNK", "Connection", "Conversation"]

CHUNK = 1 << 20
"""Largest number of bytes of a frame in one message of the transport."""
BEAT = 2.0
"""Seconds between signs of life."""
_SAYS = ("hello", "head", "data", "ack", "now", "beat", "bye", "abort")


class Conversation(Protocol):
    """The interface of a session that its connections use."""

    peer: str

    def follows(self, connection: Connection) -> bool:
        """Return whether a connection is the latest."""

    def due(self, connection: Connection, seconds: float) -> tuple[dict[str, Any], bytes] | None:
        """Wait for the next message to send: a sign of life after `seconds`, None when the connection is over."""

    def begin(self, step: int, number: int, size: int) -> Incoming:
        """Return where a frame is put together that begins to arrive; raise if so much may not wait."""

    def heard(self, connection: Connection, say: str, header: dict[str, Any], data: Incoming | None) -> bool:
        """Take a received message; return False when the connection is over."""

    def lost(self, connection: Connection) -> None:
        """Record that the other end is gone."""


class Connection:
    """One connection of a session: its outgoing and incoming messages. A newer one ends it."""

    def __init__(self, session: Conversation, hello: bytes) -> None:
        self._session, self._hello = session, hello
        self.pointer: dict[int, int] = {}  # frames of each round that were sent here
        self.told = -1  # the last step announced to the peer
        self._due: tuple[int, int, bytes, int] | None = None  # step, number, attempt and size of a frame in pieces
        self._data: Incoming | None = None

    def messages(self) -> Iterator[bytes]:
        """Yield the messages to send, for as long as this is the latest connection.

        Yields
        ------
        bytes
            Frames of kind PARTY, none much longer than :data:`CHUNK`.
        """
        yield self._hello
        while (due := self._session.due(self, BEAT)) is not None:
            about, data = due
            if about["say"] != "data":
                yield encode(Kind.PARTY, about)
                continue
            for at in range(0, max(len(data), 1), CHUNK):
                if not self._session.follows(self):
                    return
                yield encode(Kind.PARTY, {**about, "offset": at, "total": len(data)}, data[at : at + CHUNK])

    def lost(self) -> None:
        """Record that the other end is gone; a newer connection is left alone."""
        self._session.lost(self)

    def discard(self) -> None:
        """Forget a frame that has come in part: a newer connection brings it again."""
        self._due = self._data = None

    def take(self, data: bytes) -> bool:
        """Take a received message.

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
            If the message does not belong to this session, or the peer aborted.
        """
        try:
            got = decode(data, Kind.PARTY, max_payload=CHUNK)
            say = frame.field(got.header, "say", str, choices=_SAYS)
        except FrameError as error:
            raise FrameError(f"{self._session.peer!r} sent something else than a message: {error}") from None
        if not self._session.follows(self):
            return False
        whole = self._put_together(got.header, got.payload) if say == "data" else None
        return self._session.heard(self, say, got.header, whole)

    def _put_together(self, header: dict[str, Any], piece: memoryview) -> Incoming | None:
        """Return the frame that a piece completes, or None."""
        check_fields(header, ["say", "step", "number", "attempt", "offset", "total"])
        offset = frame.field(header, "offset", int, low=0)
        total = frame.field(header, "total", int, low=0, high=MAX_FRAME)
        step, number = frame.field(header, "step", int, low=0), frame.field(header, "number", int, low=0)
        due = (step, number, frame.field(header, "attempt", bytes, length=ATTEMPT), total)
        if offset == 0:
            self._data = None  # a frame that was not finished makes room
            self._due, self._data = due, self._session.begin(step, number, total)
        data = self._data
        if data is None or self._due != due or offset != data.got or offset + len(piece) > total:
            raise FrameError(f"{self._session.peer!r} sent a piece of a frame out of order")
        data.add(piece)
        if data.got < total:
            return None
        self._due = self._data = None
        return data
