"""Carries a session's messages: the interface of transports that connect two sessions.

:mod:`bluetusk.vertical.party.grpc` is one; :class:`Memory` joins two sessions of one process.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from typing import Protocol

from ...errors import BluetuskError, ProtocolAbort
from .connection import Connection
from .session import Session

__all__ = ["Memory", "Transport", "drain", "typed"]


class Transport(Protocol):
    """The network side of a session."""

    address: str

    def close(self) -> None:
        """End the transport and its current connection."""


def typed(err: Exception) -> BluetuskError:
    """Return an error as a BluetuskError: no thread of a transport may end silently."""
    if isinstance(err, BluetuskError):
        return err
    return ProtocolAbort(f"the connection failed: {type(err).__name__}: {err}")


def drain(messages: Iterable[bytes], connection: Connection, session: Session) -> None:
    """Take messages received over a connection until it is over; an error ends the session."""

    def take(message: bytes) -> bool:
        try:
            return connection.take(message)
        except Exception as err:
            session.fail(typed(err))
            return False

    with contextlib.suppress(Exception):  # gRPC ends the iterator with its own exception when the peer is gone
        for message in messages:
            if not take(message):
                return
    connection.lost()


class Memory:
    """A transport that joins two sessions of one process.

    Parameters
    ----------
    here, there : Session
        The two ends.
    """

    address = "memory"

    def __init__(self, here: Session, there: Session) -> None:
        self._sessions = here, there
        first, second = here.connect(), there.connect()
        ways = ((first, second, there), (second, first, here))
        self._threads = [
            threading.Thread(target=drain, args=(out.messages(), into, session), daemon=True)
            for out, into, session in ways
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End both connections."""
        for session in self._sessions:
            session.disconnect()
        for thread in self._threads:
            thread.join(5.0)
