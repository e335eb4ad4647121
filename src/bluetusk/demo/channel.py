"""Carries frames between two processes of the demo over a socket, and counts bytes and processor time.

Sockets carry bytes, so each frame is preceded by its length. Nothing else is ever sent: no pickled object, no row.
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

from ..errors import FrameError
from ..wire.frame import Frame, Kind, decode, encode
from ..wire.frame import field as checked

__all__ = ["Account", "Channel", "Usage", "note", "read_note", "topic_of"]

_LENGTH = struct.Struct("<I")
_LARGEST = 1 << 26


@dataclass
class Usage:
    """The resources that one process used in one phase.

    Attributes
    ----------
    seconds : float
        Processor time, all threads together.
    sent, received : int
        Bytes, including the lengths before frames.
    """

    seconds: float = 0.0
    sent: int = 0
    received: int = 0


@dataclass
class Account:
    """The resources that one process used, phase by phase.

    Attributes
    ----------
    phases : dict of str to Usage
        In the order in which the phases began.

    Examples
    --------
    >>> account = Account()
    >>> account.enter("keys")
    >>> account.close()
    >>> list(account.phases)
    ['start', 'keys']
    """

    phases: dict[str, Usage] = field(default_factory=lambda: {"start": Usage()})
    _phase: str = "start"
    _since: float = 0.0  # of process_time, which counts from the start of the process

    @property
    def now(self) -> Usage:
        """The usage of the current phase."""
        return self.phases[self._phase]

    def enter(self, phase: str) -> None:
        """Begin a phase."""
        self.close()
        self._phase = phase
        self.phases.setdefault(phase, Usage())

    def close(self) -> None:
        """Bring the current phase up to date."""
        used = time.process_time()
        self.now.seconds += used - self._since
        self._since = used


class Channel:
    """One end of a connection.

    Parameters
    ----------
    sock : socket.socket
        A connected stream socket; the channel owns it from now on.
    account : Account, optional
        Counts the bytes; by default nothing is counted.

    Examples
    --------
    >>> here, there = map(Channel, socket.socketpair())
    >>> here.send(note("hello", bank=3))
    >>> read_note(there.receive(1.0), "hello").header["bank"]
    3
    >>> here.close(), there.close()
    (None, None)
    """

    def __init__(self, sock: socket.socket, account: Account | None = None) -> None:
        self._sock = sock
        self._account = account

    def fileno(self) -> int:
        """Return the socket's file descriptor, for selectors."""
        return self._sock.fileno()

    def send(self, frame: bytes) -> None:
        """Send one frame; EOFError if the other end closed the connection."""
        self._sock.settimeout(None)
        try:
            self._sock.sendall(_LENGTH.pack(len(frame)) + frame)
        except ConnectionError:
            raise EOFError("the other end closed the connection") from None
        if self._account is not None:
            self._account.now.sent += _LENGTH.size + len(frame)

    def receive(self, seconds: float | None) -> bytes:
        """Receive one frame.

        Parameters
        ----------
        seconds : float or None
            How long to wait for the whole frame; None waits for ever.

        Returns
        -------
        bytes
            The frame, not yet decoded.

        Raises
        ------
        EOFError
            If the other end closed the connection.
        TimeoutError
            If the frame is not complete in time; the channel cannot be used afterwards.
        FrameError
            If the other end announces a frame longer than any that the demo sends.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        (size,) = _LENGTH.unpack(self._exactly(_LENGTH.size, deadline))
        if size > _LARGEST:
            raise FrameError(f"the peer announced a frame of {size} bytes; the limit is {_LARGEST}")
        data = self._exactly(size, deadline)
        if self._account is not None:
            self._account.now.received += _LENGTH.size + size
        return data

    def _exactly(self, size: int, deadline: float | None) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._sock.settimeout(None if deadline is None else max(deadline - time.monotonic(), 1e-3))
            try:
                part = self._sock.recv(min(size - len(data), 1 << 16))
            except ConnectionError:
                part = b""
            if not part:
                raise EOFError("the other end closed the connection")
            data += part
        return bytes(data)

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()


def note(topic: str, payload: bytes = b"", **fields: Any) -> bytes:
    """Return a message between two processes of the demo as a frame.

    Parameters
    ----------
    topic : str
        The message's topic.
    payload : bytes, optional
        Arrays, as bytes.
    **fields : bool, int, str, bytes, list or dict
        The header's other fields.

    Returns
    -------
    bytes

    Examples
    --------
    >>> len(note("hello", bank=3))
    39
    """
    return encode(Kind.MESSAGE, {"topic": topic, **fields}, payload)


def read_note(data: bytes, *topics: str) -> Frame:
    """Decode a frame of :func:`note`; FrameError unless its topic is one of `topics` (any, if none is given)."""
    frame = decode(data, Kind.MESSAGE)
    checked(frame.header, "topic", str, choices=topics or None)
    return frame


def topic_of(frame: Frame) -> str:
    """Return the topic of a note; FrameError if the frame is neither a note nor a session."""
    if frame.kind is not Kind.MESSAGE:
        raise FrameError(f"frame is of kind {frame.kind.name}, expected a note or a session")
    return checked(frame.header, "topic", str)
