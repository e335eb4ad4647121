"""One connection of a session: messages each way, frames cut into pieces and put together again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from ...errors import FrameError
from ...wire import frame
from ...wire.frame import Kind, check_fields, decode, encode
from .rounds import ATTEMPT, MAX_FRAME

__all__ = ["BEAT", "CHUNK", "Connection", "Conversation"]

CHUNK = 1 << 20
"""Bytes of a frame that travel in one message of the transport."""
BEAT = 2.0
"""Seconds between signs of life."""


class Conversation(Protocol):
    """What a connection needs of the session that it belongs to."""

    peer: str

    def follows(self, connection: Connection) -> bool:
        """Whether a connection is the latest."""

    def due(self, connection: Connection, seconds: float) -> tuple[dict[str, Any], bytes] | None:
        """Wait for what is to go out; a sign of life after so many seconds; None when the connection is over."""

    def heard(self, connection: Connection, say: str, header: dict[str, Any], data: bytes | None) -> bool:
        """Take what has come in; False when the connection is over."""

    def lost(self, connection: Connection) -> None:
        """Note that the other end is gone."""


class Connection:
    """One connection of a session: what goes out over it, and what comes in. A newer one ends it."""

    def __init__(self, session: Conversation, hello: bytes) -> None:
        self._session, self._hello = session, hello
        self.pointer: dict[int, int] = {}  # frames of each round that went out here
        self.told = -1  # the step that the peer was told of
        self._due: tuple[int, int, bytes, int] | None = None  # step, number, attempt and size of a frame in pieces
        self._data = bytearray()

    def messages(self) -> Iterator[bytes]:
        """Yield what is to be sent, for as long as this is the latest connection.

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
        """Note that the other end is gone; a newer connection is left alone."""
        self._session.lost(self)

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
        if not self._session.follows(self):
            return False
        whole = self._put_together(got.header, got.payload) if say == "data" else None
        return self._session.heard(self, say, got.header, whole)

    def _put_together(self, header: dict[str, Any], piece: memoryview) -> bytes | None:
        """Return the frame that a piece completes, if it does."""
        check_fields(header, ["say", "step", "number", "attempt", "offset", "total"])
        offset = frame.field(header, "offset", int, low=0)
        total = frame.field(header, "total", int, low=0, high=MAX_FRAME)
        step, number = frame.field(header, "step", int, low=0), frame.field(header, "number", int, low=0)
        due = (step, number, frame.field(header, "attempt", bytes, length=ATTEMPT), total)
        if offset == 0:
            self._due, self._data = due, bytearray()
        if self._due != due or offset != len(self._data) or offset + len(piece) > total:
            raise FrameError(f"a piece of a frame from {self._session.peer!r} is not the one that is due")
        self._data += piece
        if len(self._data) < total:
            return None
        whole, self._due, self._data = bytes(self._data), None, bytearray()
        return whole
