"""Exchanges named messages in an agreed order between two parties of a vertical model, over any channel.

Every message is one frame of kind VERTICAL. Its header names the sender, the task, the step and the message of that
step, so a message that is lost, repeated or out of order is refused before any computation. The header's fields are
small and public (counts, names); arrays follow it as raw parts.
"""

from __future__ import annotations

import itertools
import math
import queue
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import BluetuskError, FrameError, PolicyRefused, ProtocolAbort
from ...wire.frame import FIXED, MAX_HEADER, Frame, Kind, check_fields, decode, encode, field

__all__ = [
    "STOPPED",
    "Bounded",
    "Channel",
    "Link",
    "Message",
    "Observer",
    "Rewind",
    "Watcher",
    "array_bytes",
    "array_from",
    "gave_up",
    "local_links",
]

MAX_PARTS = 4096
_UNSTATED = 1 << 32  # bytes of the arrays, where a caller states no bound
_MOST_SIGNED = 1 << 11  # bytes of a signed request or answer
STOPPED = "stopped by its operator"
"""What a party tells its peer of Ctrl-C and SIGTERM."""
_SIGNED = "signed"  # the topic of a signed request or answer
_HEADER = ("fields", "from", "parts", "seq", "step", "task", "topic")


class Channel(Protocol):
    """A private, authentic, ordered connection to one other party: TLS, or a queue in a test.

    ``recv`` and ``send`` raise :class:`Rewind` after the other party has restarted: all messages since the last step
    that both have kept are void.
    """

    def send(self, data: bytes) -> Any:
        """Send one message."""

    def recv(self) -> bytes:
        """Wait for the next message and return it."""


@runtime_checkable
class Bounded(Protocol):
    """A channel that refuses a message which is too large before all of it has come.

    With any other channel the link refuses it afterwards; then the channel must bound what waits.
    """

    def recv_at_most(self, most: int) -> bytes:
        """Wait for the next message, of at most `most` bytes, and return it; raise ProtocolAbort if it is larger."""


class Rewind(Exception):
    """The other party restarted after a crash; both resume from the last step that both have kept."""


class Watcher(Protocol):
    """The receiver of a link's events: an :class:`Observer` or a look-alike (``bt.evidence.Recorder``)."""

    def authorise(self, *, peer: str, purpose: str, columns: Sequence[str], rows: int, **details: Any) -> None:
        """See :class:`Observer`."""

    def retaken(
        self, *, peer: str, purpose: str, task: str, step: int, times: int, sums: int = 0, bits: int = 0
    ) -> None:
        """See :class:`Observer`."""

    def count(self, *, peer: str, task: str, what: str, number: int) -> None:
        """See :class:`Observer`."""

    def passed(self, *, peer: str, task: str, sent: bool, frame: bytes) -> None:
        """See :class:`Observer`."""


class Signer(Protocol):
    """Signs this party's requests and answers, and checks the peer's (``bluetusk.evidence.notary.Notary``)."""

    def require(self, task: str, purpose: str) -> None:
        """Refuse to answer without the peer's signed request."""

    def state(self, task: str, purpose: str, columns: Sequence[str], rows: int, details: Mapping[str, Any]) -> bytes:
        """Return this party's signed request or answer."""

    def take(self, task: str, data: bytes | memoryview) -> None:
        """Check and keep the peer's."""

    def answered(self, task: str) -> None:
        """Refuse any other message before the peer's signed answer."""

    def begun(self) -> None:
        """Note that a step begins, perhaps once more: each statement may come once in it."""

    def settled(self) -> None:
        """Refuse to end a step with a request of the peer that this party had no question for."""


class Observer:
    """Sees all uses of a party's data and may forbid them; policy, meter and evidence derive from this. It allows all.

    Examples
    --------
    >>> observer = Observer()
    >>> observer.authorise(peer="guest", purpose="binning", columns=["AGE"], rows=1000)
    >>> observer.count(peer="guest", task="binning", what="values_encrypted", number=1000)
    """

    def authorise(self, *, peer: str, purpose: str, columns: Sequence[str], rows: int, **details: Any) -> None:
        """Raise :class:`~bluetusk.PolicyRefused` unless this party's data may be used so; called before each use.

        Parameters
        ----------
        peer, purpose : str
            The peer that gets the results, and the purpose.
        columns : sequence of str
            The columns to be used.
        rows : int
            Number of rows to be used.
        **details
            Further values that a policy may check, such as ``min_rows``.

        Examples
        --------
        >>> Observer().authorise(peer="guest", purpose="binning", columns=["AGE"], rows=1000, min_rows=50)
        """

    def retaken(
        self, *, peer: str, purpose: str, task: str, step: int, times: int, sums: int = 0, bits: int = 0
    ) -> None:
        """Raise :class:`~bluetusk.PolicyRefused` unless a step may be taken again; called before it is.

        Parameters
        ----------
        peer, purpose, task : str
            As before; `task` is its name within the job.
        step, times : int
            The step, and how often it was taken again before and is now.
        sums, bits : int
            The most that the peer learns in it: sums over rows, bits about rows.

        Examples
        --------
        >>> use = {"peer": "guest", "purpose": "gradient_boosting", "task": "gradient_boosting"}
        >>> Observer().retaken(**use, step=2, times=1, sums=120)
        """

    def count(self, *, peer: str, task: str, what: str, number: int) -> None:
        """Note that values were encrypted or revealed, or rows used.

        Parameters
        ----------
        peer, task : str
            The peer and the task.
        what : str
            A short name: "values_encrypted", "values_revealed", "rows".
        number : int
            The number of values or rows.

        Examples
        --------
        >>> Observer().count(peer="guest", task="binning", what="rows", number=1000)
        """

    def passed(self, *, peer: str, task: str, sent: bool, frame: bytes) -> None:
        """Record a frame that was sent or received.

        Parameters
        ----------
        peer, task : str
            The peer and the task.
        sent : bool
            True if it is sent, False if it was received.
        frame : bytes
            The whole frame.

        Examples
        --------
        >>> Observer().passed(peer="guest", task="binning", sent=True, frame=b"...")
        """


@dataclass(frozen=True)
class Message:
    """A received message.

    Attributes
    ----------
    fields : dict of str to value
        Small public values; check each by :func:`bluetusk.wire.frame.field`.
    parts : list of memoryview
        The arrays, as bytes.
    """

    fields: dict[str, Any]
    parts: list[memoryview]


class Link:
    """One party's end of the conversation with another.

    Parameters
    ----------
    channel : Channel
        The channel that carries the frames.
    me, peer : str
        The parties' names ("guest", "host", "host-2").
    observer : Observer, optional
        Called with all frames and uses.
    signer : Signer, optional
        Signs each request and answer; the peer must have one too.

    Attributes
    ----------
    bytes_sent, bytes_received : int
        Bytes of frames so far.
    session : bytes
        What both know of the run beside their names, at most 64 bytes; proofs of keys are bound to it. Empty by
        default; a program that runs many jobs over one kind of channel sets the same at both ends.
    rows : dict of str to bytes
        By task, the hash of its rows' ids in order under a key of both, where they are known: uses, requests and
        answers name it, so none of them serves for other rows. Empty by default; the same at both ends.
    heard : callable or None
        Called with each frame that came where it was due, before it is used.
    run : str
        The job's name, for records and errors of this party; empty by default, set by ``Party``.
    certificate : str
        The fingerprint of the peer's certificate; empty where there is none.

    Raises
    ------
    FrameError
        By :meth:`receive`, if the next message is not the expected one.

    Examples
    --------
    >>> here, there = local_links()
    >>> here.scope("example", 0)
    >>> there.scope("example", 0)
    >>> here.send("hello", {"rows": 3}, [array_bytes([1, 2, 3], "<u8")])
    >>> message = there.receive("hello", ["rows"], parts=1)
    >>> message.fields["rows"], array_from(message.parts[0], "<u8", (3,))
    (3, array([1, 2, 3], dtype=uint64))
    """

    def __init__(
        self, channel: Channel, *, me: str, peer: str, observer: Watcher | None = None, signer: Signer | None = None
    ) -> None:
        self.channel, self.me, self.peer, self._signer = channel, me, peer, signer
        self.observer: Watcher = Observer() if observer is None else observer
        self.bytes_sent = self.bytes_received = 0
        self._task, self._step = "", 0
        self._sent = self._received = 0
        self._ended = False
        self.session = b""
        self.rows: dict[str, bytes] = {}
        self.heard: Callable[[bytes], None] | None = None
        self.run = self.certificate = ""

    @property
    def signs(self) -> bool:
        """Whether requests and answers are signed.

        Examples
        --------
        >>> local_links()[0].signs
        False
        """
        return self._signer is not None

    def scope(self, task: str, step: int) -> None:
        """Begin a step of a task; both parties call this at the same point of their programs.

        Parameters
        ----------
        task : str
            The task's name.
        step : int
            The step's number, from 0.

        Raises
        ------
        ProtocolAbort
            If either party has given up: what it left unread would be taken for messages of this step.

        Examples
        --------
        >>> here, there = local_links()
        >>> here.scope("example", 0)
        """
        if self._ended:
            raise ProtocolAbort("a party gave up on this link before: make a new one (or a new Party) at both parties")
        self._task, self._step = task, step
        self._sent = self._received = 0
        if self._signer is not None:
            self._signer.begun()

    def settle(self) -> None:
        """End a step: with a signer, refuse signed requests of the peer for what this step does not do.

        Raises
        ------
        ProtocolAbort
            Naming the peer, if there is one.

        Examples
        --------
        >>> here, there = local_links()
        >>> here.scope("example", 0)
        >>> here.settle()
        """
        if self._signer is not None:
            self._signer.settled()

    def send(
        self,
        topic: str,
        fields: Mapping[str, Any] | None = None,
        parts: Sequence[bytes | bytearray | memoryview] = (),
    ) -> None:
        """Send a message.

        Parameters
        ----------
        topic : str
            The message's name.
        fields : mapping, optional
            Values for the header: bool, int, str, bytes, list, map; no float.
        parts : sequence of bytes-like, optional
            Arrays.

        Examples
        --------
        >>> here, there = local_links()
        >>> here.send("hello", {"rows": 3})
        >>> there.receive("hello", ["rows"]).fields
        {'rows': 3}
        """
        header = {
            "topic": topic,
            "task": self._task,
            "step": self._step,
            "seq": self._sent,
            "from": self.me,
            "fields": dict(fields or {}),
            "parts": [len(part) for part in parts],
        }
        data = encode(Kind.VERTICAL, header, b"".join(parts))
        self._sent += 1
        self.observer.passed(peer=self.peer, task=self._task, sent=True, frame=data)
        self.channel.send(data)
        self.bytes_sent += len(data)

    def receive(
        self, topic: str, fields: Collection[str] = (), *, parts: int | None = None, most: int | None = None
    ) -> Message:
        """Wait for a message.

        Parameters
        ----------
        topic : str
            The expected message's name.
        fields : collection of str
            The fields that the message must have.
        parts : int, optional
            Number of arrays that the message must contain; by default any number.
        most : int, optional
            Largest number of bytes of all arrays, from numbers that both parties know. By default 0 if `parts` is 0,
            else 2^32.

        Returns
        -------
        Message

        Raises
        ------
        FrameError
            If another message, or one with other fields or parts, comes.
        ProtocolAbort
            If the peer aborted, or the message is larger.

        Examples
        --------
        >>> here, there = local_links()
        >>> here.send("hello", parts=[b"abc"])
        >>> bytes(there.receive("hello", parts=1, most=3).parts[0])
        b'abc'
        """
        if most is None:
            most = 0 if parts == 0 else _UNSTATED
        got = self._next(topic, most)
        if self._signer is not None:
            while got.header["topic"] == _SIGNED:
                self._signer.take(self._task, self._cut(got, (), 1).parts[0])
                got = self._next(topic, most)
            self._signer.answered(self._task)
        return self._cut(got, fields, parts)

    def _next(self, topic: str, most: int) -> Frame:
        """Return the next frame: the one that is due, with `most` bytes of arrays, or a signed statement before it."""
        largest = most if self._signer is None else max(most, _MOST_SIGNED)
        limit = FIXED.size + MAX_HEADER + largest
        data = self.channel.recv_at_most(limit) if isinstance(self.channel, Bounded) else self.channel.recv()
        self.bytes_received += len(data)
        if len(data) > limit:
            raise self._larger(topic, len(data), limit)
        self.observer.passed(peer=self.peer, task=self._task, sent=False, frame=data)
        try:
            got = decode(data, Kind.VERTICAL)
            check_fields(got.header, _HEADER)
        except FrameError as error:
            raise FrameError(f"{self.peer!r} sent something else where message {topic!r} is due: {error}") from None
        came_from = field(got.header, "from", str)
        if came_from == self.me:
            raise ProtocolAbort(
                f"both parties run as {self.me!r}: one must be the guest (it has the labels, or the ids to look up), "
                "the other the host",
                kind="settings",
            )
        if came_from != self.peer:
            raise FrameError(f"the message is not from {self.peer!r}")
        said = field(got.header, "topic", str, high=64)
        if said == "abort":
            reason = field(field(got.header, "fields", dict), "reason", str, high=200)
            self._ended = True
            raise gave_up(reason, self.peer)
        wanted = _SIGNED if said == _SIGNED and self._signer is not None else topic
        due: dict[str, Any] = {"topic": wanted, "task": self._task, "step": self._step, "seq": self._received}
        for name, value in due.items():
            if field(got.header, name, type(value)) != value:
                came = f"{str(got.header['task'])[:64]!r}, step {repr(got.header['step'])[:20]}"
                raise FrameError(
                    f"message {said!r} of task {came}, came where {topic!r} of task {self._task!r}, step "
                    f"{self._step}, is due; both parties must run the same steps"
                )
        if len(got.payload) > (_MOST_SIGNED if said == _SIGNED else most):
            raise self._larger(topic, len(got.payload), most)
        self._received += 1
        if self.heard is not None:
            self.heard(bytes(data))
        return got

    def _cut(self, got: Frame, fields: Collection[str], parts: int | None) -> Message:
        """Return the message in a frame, which must have these fields and so many parts."""
        topic = got.header["topic"]
        body = field(got.header, "fields", dict)
        check_fields(body, fields)
        lengths = field(got.header, "parts", list, high=MAX_PARTS, items=int)
        if any(n < 0 for n in lengths) or sum(lengths) != len(got.payload):
            raise FrameError(f"frame field 'parts' from {self.peer!r} does not add up to the payload")
        if parts is not None and len(lengths) != parts:
            raise FrameError(f"message {topic!r} from {self.peer!r} must contain {parts} arrays, not {len(lengths)}")
        ends = np.cumsum([0, *lengths]).tolist()
        return Message(body, [got.payload[a:b] for a, b in itertools.pairwise(ends)])

    def _larger(self, topic: str, size: int, most: int) -> ProtocolAbort:
        return ProtocolAbort(
            f"message {topic!r} has {size} bytes where at most {most} are due: both parties must run the same version",
            party=self.peer,
        )

    def abort(self, reason: str) -> None:
        """Tell the peer that this party gives up, unless either has done so before. The link is of no use after it.

        Parameters
        ----------
        reason : str
            The reason, without private data; at most 200 characters are sent.

        Examples
        --------
        >>> here, there = local_links()
        >>> here.abort("too few rows")
        >>> there.receive("hello")
        Traceback (most recent call last):
            ...
        bluetusk.errors.ProtocolAbort: the other party gave up: 'too few rows' (party at fault: guest)
        """
        if not self._ended:
            self.send("abort", {"reason": reason[:200]})
            self._ended = True

    def authorise(self, purpose: str, columns: Sequence[str], rows: int, **details: Any) -> None:
        """Ask this party's observer to allow a use of its data; if it refuses, tell the peer and raise its error.

        With a signer, the party that asks sends its signed request, the other one its signed answer.

        Parameters
        ----------
        purpose, columns, rows, **details
            As for :meth:`Observer.authorise`.

        Examples
        --------
        >>> here, there = local_links()
        >>> here.authorise("binning", ["AGE"], 1000, min_rows=50)
        """
        if self._task in self.rows:
            details["intersection"] = self.rows[self._task]
        if self._signer is not None:
            self._signer.require(self._task, purpose)
        try:
            self.observer.authorise(
                peer=self.peer, purpose=purpose, columns=columns, rows=rows, task=self._task or None, **details
            )
        except BluetuskError as error:
            self._say_refused(error)
            raise
        if self._signer is not None:
            self.send(_SIGNED, {}, [self._signer.state(self._task, purpose, columns, rows, details)])

    def retaken(self, purpose: str, times: int, *, sums: int, bits: int) -> None:
        """Ask this party's observer whether the step that begins may be taken again; if not, tell the peer and raise.

        Parameters
        ----------
        purpose, times, sums, bits
            As for :meth:`Observer.retaken`.

        Examples
        --------
        >>> here, there = local_links()
        >>> here.scope("gradient_boosting", 2)
        >>> here.retaken("gradient_boosting", 1, sums=120, bits=0)
        """
        try:
            self.observer.retaken(
                peer=self.peer, purpose=purpose, task=self._task, step=self._step, times=times, sums=sums, bits=bits
            )
        except BluetuskError as error:
            self._say_refused(error)
            raise

    def _say_refused(self, error: BluetuskError) -> None:
        """Tell the peer that nothing is shown: by the policy, or because this party cannot note it."""
        policy = isinstance(error, PolicyRefused) and error.clause != "store"
        self.abort("the policy does not allow this" if policy else "ProtocolAbort")

    def count(self, what: str, number: int) -> None:
        """Count values encrypted or revealed at this party's observer.

        Parameters
        ----------
        what, number
            As for :meth:`Observer.count`.

        Examples
        --------
        >>> here, there = local_links()
        >>> here.count("rows", 1000)
        """
        self.observer.count(peer=self.peer, task=self._task, what=what, number=number)


def gave_up(reason: str, peer: str, more: str = "") -> ProtocolAbort:
    """Return the error of a party whose peer has given up, for a reason in the peer's words.

    Examples
    --------
    >>> print(gave_up("FrameError", "host"))
    the other party gave up: 'FrameError' (party at fault: host)
    """
    if reason.startswith(STOPPED):
        return ProtocolAbort(
            "the other party was stopped by its operator: nothing is wrong here; start both again with the same state "
            "directories to resume",
            party=peer,
            kind="peer",
        )
    return ProtocolAbort(f"the other party gave up: {reason!r}{more}", party=peer, kind="peer")


def array_bytes(values: ArrayLike, dtype: str) -> bytes:
    """Return an array as the bytes of a part.

    Parameters
    ----------
    values : array_like
        Numbers; ValueError if the conversion would change one.
    dtype : str
        A little-endian type, such as "<u8".

    Returns
    -------
    bytes
        The values in C order.

    Examples
    --------
    >>> array_bytes([1, 2], "<u2").hex()
    '01000200'
    """
    given = np.asarray(values)
    converted = given.astype(dtype, casting="unsafe")
    if not np.array_equal(converted, given):
        raise ValueError(f"the values do not fit {dtype}")
    return np.ascontiguousarray(converted).tobytes()


def array_from(part: bytes | memoryview, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the array in a part, with the expected shape.

    Parameters
    ----------
    part : bytes-like
        A part of a message.
    dtype : str
        The type in which it was sent.
    shape : tuple of int
        The expected shape.

    Returns
    -------
    ndarray
        A copy.

    Raises
    ------
    FrameError
        If the part has another length.

    Examples
    --------
    >>> array_from(array_bytes([1, 2], "<u2"), "<u2", (2,)).tolist()
    [1, 2]
    """
    size = math.prod(shape)
    if len(part) != size * np.dtype(dtype).itemsize:
        raise FrameError(f"the message contains {len(part)} bytes, which is not an array of shape {shape} of {dtype}")
    return np.frombuffer(part, dtype=dtype).reshape(shape).copy()


class _Queue:
    """One end of a pair of queues."""

    def __init__(self, out: queue.SimpleQueue[bytes], into: queue.SimpleQueue[bytes], seconds: float) -> None:
        self._out, self._in, self._seconds = out, into, seconds

    def send(self, data: bytes) -> None:
        self._out.put(bytes(data))

    def recv(self) -> bytes:
        try:
            return self._in.get(timeout=self._seconds)
        except queue.Empty:
            raise ProtocolAbort(f"no message came from the other party for {self._seconds:g} seconds") from None


def local_links(
    me: str = "guest",
    peer: str = "host",
    *,
    observers: tuple[Watcher | None, Watcher | None] = (None, None),
    seconds: float = 600.0,
) -> tuple[Link, Link]:
    """Return the two ends of a link within one process, for two threads: to try out a model, and for tests.

    What waits in it is not bounded: both parties are threads of one process, and share its memory.

    Parameters
    ----------
    me, peer : str
        The two parties' names.
    observers : pair of Observer, optional
        One observer for each end.
    seconds : float
        Time that a receiver waits before it raises ProtocolAbort.

    Returns
    -------
    tuple of Link
        The end of `me` and that of `peer`.

    Examples
    --------
    >>> guest, host = local_links()
    >>> guest.me, guest.peer, host.me
    ('guest', 'host', 'host')
    """
    there: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    back: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    return (
        Link(_Queue(there, back, seconds), me=me, peer=peer, observer=observers[0]),
        Link(_Queue(back, there, seconds), me=peer, peer=me, observer=observers[1]),
    )
