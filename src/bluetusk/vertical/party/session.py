"""A session between two parties that survives broken connections and killed processes; independent of the network.

Both parties take the same steps, numbered 0, 1, 2, ... over all tasks. The messages of one step are a *round*: the
frames that each side sends, in order. A side that takes a step draws a random *attempt* for it, 16 bytes. Each frame
is on this party's disk before it may be sent, and stays there until the step after the next is kept: so after a broken
connection, or a crash after a step was kept, frames that the peer lacks are sent again byte for byte.

A process that dies in the middle of a step loses its computations, masks included (no mask is ever on disk before the
frame that it hides). When it restarts it takes the step as a new attempt. On connecting, both sides state for each
recent round which attempt they are in and how much of which attempt of the peer they have received. If one of them has
computed with frames of a void attempt, both go back to the step before, and take the round again with fresh randomness.
The same rule applied to the same two statements gives both the same answer.

How often a step was taken again is on disk before a frame of the new attempt may be sent, so it counts over all
processes. On connecting each side also states how far its directory has come, and how far it remembers that of the
peer: neither may go back (:mod:`.manifest`). With a log of evidence each shows the head of its log before it sends
anything else, and again when it leaves or gives up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ..._locks import refuse_reentry
from ...errors import FrameError, ProtocolAbort
from ...wire import frame
from ...wire.frame import Kind, check_fields, decode, encode
from ..protocol.link import Rewind, gave_up
from ..protocol.refusal import kind_of
from .connection import Connection
from .manifest import RESTORE, Manifest, Stand
from .rounds import ATTEMPT, MAX_FRAME, Rounds, Statement
from .vault import Vault
from .waiting import QUOTA, Incoming, Waiting

__all__ = ["Session", "Witness"]

_MOST_RETAKES = 32  # of one step, over all processes
_GOODBYE = 2.0  # seconds to wait for a goodbye
_ALONE = 10.0  # seconds that a party that was already done waits for a peer that may need it
_QUIET = 3.0  # seconds of silence before this party says that it waits: signs of life come every two
_NOTICES = 60.0  # seconds between two notices of the same
_log = logging.getLogger(__name__)
_STATE, _OUT = "state-{:08d}", "out-{:08d}"
_MOST_OFFER = 1 << 14  # bytes of a head with its proof
_MOST_LAST = 64  # heads in last messages that one process keeps: a peer may leave again and again, with a new head each
_ANEW = "or both start a job of a new name in new state directories, and keep these"  # a peer's word: remove nothing
_META = ("again", "attempt", "before", "done", "heard", "met", "now", "peer", "stand", "tasks")


class Witness(Protocol):
    """What a session does with this party's log of evidence and with the heads of the peer's."""

    def held(self) -> bytes:
        """Return the last head of the peer's log that this party keeps; empty if there is none."""

    def offer(self, held: bytes | None = None) -> bytes:
        """Return the head of this party's log, with a proof that it extends the one that the peer holds."""

    def check(self, offer: bytes, held: bytes) -> None:
        """Refuse an offer that does not extend the head that this party held."""

    def keep(self, offer: bytes) -> None:
        """Keep the head in an offer, if it extends the one that this party holds now."""

    def check_directory(self, directory: bytes, generation: int) -> None:
        """Refuse a state directory that is older than the log says, or another one than the job was begun in."""

    def opened(self, directory: bytes, generation: int) -> None:
        """Note that a process has opened a state directory, and written this generation."""

    def retaken(self, step: int, times: int) -> None:
        """Note that a step is taken again."""

    def retakes(self, step: int) -> int:
        """Return how often a step was taken again, by the log."""

    def refused(self, reason: str) -> None:
        """Note why this party does not go on with its state directory, or with the peer's."""


class Session:
    """One party's end: a channel of a :class:`~bluetusk.vertical.Link` and a keeper of a job's steps.

    Parameters
    ----------
    vault : Vault
        This party's directory.
    job : str
        Name of the whole run; both parties must give the same.
    peer : str
        The peer's name, for errors.
    patience : float
        Seconds without a sign of life from the peer after which the run is aborted.
    spool_quota : int
        Largest number of bytes of received frames that wait on disk, see :mod:`.waiting`.
    witness : Witness, optional
        Keeps heads and retakes in this party's log of evidence; the peer must have one too.

    Raises
    ------
    ProtocolAbort
        If the directory belongs to another run; later, if the peer is silent for too long, too far behind, or aborts,
        or if either directory or log is older than the other party remembers.
    FrameError
        If the directory's files or the peer's messages are damaged or out of order.
    """

    def __init__(
        self,
        vault: Vault,
        *,
        job: str,
        peer: str,
        patience: float = 600.0,
        spool_quota: int = QUOTA,
        witness: Witness | None = None,
    ) -> None:
        self._vault, self._job, self.peer, self._patience, self._witness = vault, job, peer, patience, witness
        with self._recorded():
            self._manifest = Manifest(vault, job)
        self._stand = Stand(self._manifest.id, 0, bytes(16))
        self._peer_stand: Stand | None = None  # how far the peer's directory had come when it was last heard of
        self._held = b""  # the head of the peer's log, as stated on this connection
        self._due_offer: bytes | None = None  # to be sent before anything else on this connection
        self._awaited = False  # whether the peer's is still to come
        self._kept_last = 0  # heads that came in last messages of the peer
        self._lock = threading.RLock()  # for `with`: an interrupt in that of a Condition, in Python, leaves it locked
        self._changed = threading.Condition(self._lock)
        self._rounds = Rounds(peer)
        self._waiting = Waiting(vault.path, peer, spool_quota)
        self._most: int | None = None  # the largest frame that the program takes, while it waits for one
        self._tasks: dict[str, int] = {}  # name: the step with which it began
        self.rewound = False  # the program does not know yet that it must go back
        self.failure: BaseException | None = None  # why the run has ended, if it has
        self._ready = False  # connected, and agreed on the step from which to resume
        self._connection: Connection | None = None
        self._heard = time.monotonic()
        self.where = repr(peer)  # where the peer is waited for; the transport knows it
        # why the peer is not heard, as the transport finds
        self.obstacle: Callable[[], str] = lambda: "there is no connection yet"
        self.met = False  # this process has agreed with the peer on where to go on
        self._notice: tuple[str, float] = "", -_NOTICES  # what was last said of waiting, and when
        self._leaving = self._said_bye = self._heard_bye = self._heard_abort = False
        self._void: dict[
            int, list[bytes]
        ] = {}  # of each recent step, the void attempts whose frames may have been sent
        self._heard_void: dict[int, list[bytes]] = {}  # the peer's void attempts of which this party has frames
        self._done = False  # the peer has kept all steps
        self._met = False  # this process may have sent frames
        self.abort_said = False  # the peer knows of the failure
        self.rewinds = 0
        with self._recorded():
            self._load()

    # ------------------------------------------------------------------------------------------------ the program

    def send(self, data: bytes) -> None:
        """Send a frame: it is on disk when this returns, and is sent as soon as possible."""
        refuse_reentry(self._lock, "call of this session")
        with self._lock:
            self._check()
            now = self._rounds[self._rounds.now]
            self._manifest.append(_OUT.format(self._rounds.now), now.attempt, bytes(data))
            now.sent.append(bytes(data))
            self._changed.notify_all()

    def recv(self) -> bytes:
        """Wait for the next frame of this step."""
        return self.recv_at_most(MAX_FRAME)

    def recv_at_most(self, most: int) -> bytes:
        """Wait for the next frame of this step, of at most so many bytes; a larger one ends the session."""
        with self._lock:
            try:
                self._most = most
                while True:
                    self._check()
                    now = self._rounds[self._rounds.now]
                    if now.inbox:
                        break
                    self._wait()
            finally:
                self._most = None
            if len(now.inbox[0]) > most:
                self.fail(self._larger(len(now.inbox[0]), most))
                self._check()
            return now.inbox.popleft().whole()

    def resume(self, task: str) -> tuple[int, bytes | None]:
        """Return how many steps of a task were kept, and the state after them.

        Parameters
        ----------
        task : str
            The task's name; tasks are begun in the same order by both parties, each name once.

        Returns
        -------
        tuple of int and bytes or None
            The number of steps, and the state; None if no step was kept.

        Raises
        ------
        Rewind
            If the parties had to go back to an earlier task.
        """
        with self._lock:
            if self.failure is not None:
                raise self.failure
            if task in self._tasks:
                begin = self._tasks[task]
                later = [step for step in self._tasks.values() if step > begin]
                end = min([self._rounds.now, *later])
                last = not later
            elif self.rewound and self._tasks:
                raise Rewind  # the parties went back to before this task
            else:
                begin = end = self._rounds.now
                last = True
                self._tasks[task] = begin
                self._write_meta()
            if last:
                self.rewound = False
            if end == begin:
                return 0, None
            kept = self._manifest.read(_STATE.format(end))
            return end - begin, bytes(decode(kept, Kind.CHECKPOINT).payload)

    def retakes(self, task: str, index: int) -> int:
        """Return how often a step of a task was taken again, over all processes, with this time."""
        with self._lock:
            step = self._tasks.get(task, 0) + index
            times = len(self._void.get(step, ()))
            return times if self._witness is None else max(times, self._witness.retakes(step))

    def commit(self, task: str, index: int, state: bytes) -> None:
        """Keep the state after a step; it is on disk when this returns.

        Waits until the peer has begun the step, so that the two are never more than one step apart.
        """
        refuse_reentry(self._lock, "call of this session")
        with self._lock:
            while True:
                self._check()
                if self._rounds.peer_now >= self._rounds.now:
                    break
                self._wait()
            done = self._rounds[self._rounds.now]
            if self._tasks.get(task, -1) + index != self._rounds.now + 1:
                raise ValueError(f"step {index} of task {task!r} does not follow the steps kept")
            if done.inbox:
                raise self._surplus(done.inbox[0])
            self._manifest.write(_STATE.format(self._rounds.now + 1), encode(Kind.CHECKPOINT, done.stated(), state))
            self._rounds.now += 1
            self._done = False
            self._stand = self._stand.next()
            self._begin()
            try:
                self._write_meta()
            except BaseException as err:  # the disk may hold either step: nothing more may be sent
                self._rounds.now -= 1
                self.fail(err)
                raise
            self._forget()
            self._changed.notify_all()

    def leave(self, seconds: float = 30.0) -> bool:
        """End the session: wait until the peer has received everything, and send a goodbye.

        Parameters
        ----------
        seconds : float
            The longest time to wait.

        Returns
        -------
        bool
            Whether the peer has received everything.
        """
        until = time.monotonic() + seconds
        with self._lock:
            if self._done:  # in an earlier process, after which the peer may have left for good
                until = min(until, time.monotonic() + _ALONE)
            self._leaving = True
            self._changed.notify_all()
            while not (self.failure or self.rewound):
                # what the peer has said counts also when it is gone: it stays for some seconds only, and this party may
                # have been slow, in a write to the disk for instance
                if not self._done and self._rounds.delivered() and self._rounds.peer_now >= self._rounds.now:
                    self._done = True  # the peer has kept all steps: it only needs to know the same of this party
                    self._write_meta()
                if self._done and self._heard_bye and not self._ready:
                    return True
                if self._delivered() and self._said_bye:
                    until = min(until, time.monotonic() + _GOODBYE)  # a peer that is gone already cannot say goodbye
                    if self._heard_bye:
                        return True
                if self._done and not self._ready:  # it may have left, its goodbye lost with the connection
                    until = min(until, time.monotonic() + _ALONE)
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(min(left, 0.2))
            if self.failure is not None or self.rewound:
                return False
            return self._done or self._delivered()

    def fail(self, error: BaseException) -> None:
        """End the run: the program's next call raises this error."""
        with self._lock:
            if self.failure is None:
                self.failure = error
            self._changed.notify_all()

    def wait_until_told(self, seconds: float) -> None:
        """Wait until the peer knows of a failure, if it is connected."""
        with self._lock:
            self._changed.wait_for(lambda: self.abort_said or self._heard_abort or self._connection is None, seconds)

    @property
    def resent(self) -> int:
        """Number of frames sent more than once."""
        return self._rounds.resent

    @property
    def position(self) -> int:
        """Number of steps kept so far, over all tasks."""
        return self._rounds.now

    def disconnect(self) -> None:
        """End the current connection, if any."""
        with self._lock:
            self._connection, self._ready = None, False
            self._changed.notify_all()

    # --------------------------------------------------------------------------------------------- the connection

    def connect(self) -> Connection:
        """Begin a new connection; it ends the one before it, if any."""
        with self._lock:
            if self._connection is not None:
                self._connection.discard()
            self._held = b"" if self._witness is None else self._witness.held()
            self._connection = connection = Connection(self, self.hello())
            self._ready = self._said_bye = self._heard_bye = False
            self._due_offer, self._awaited = None, False
            self._rounds.reconnected()
            self._changed.notify_all()
            return connection

    def intrudes(self, hello: bytes) -> str | None:
        """Return what the message that opens a connection belongs to, if not to the run that is under way.

        A listener uses the latest connection: one of another job, or of a second process of the peer, must not take
        the place of the run's own. Before the parties have met there is nothing to protect, and :meth:`heard` decides.
        """
        with self._lock:
            if not self.met:
                return None
            try:
                header = decode(hello, Kind.PARTY, max_payload=0).header
                job = frame.field(header, "job", str, high=200)
                stand = Stand.read(frame.field(header, "stand", list, low=3, high=3))
            except FrameError:
                return "something else than this protocol"
            if job != self._job:
                return f"another job, {job[:64]!r}"
            known = self._peer_stand
            if self._ready and known is not None and (stand is None or not stand.follows(known)):
                return "another state directory"
            return None

    def hello(self) -> bytes:
        """Return the message that opens a connection: the job, and how far this party has come."""
        with self._lock:
            about = {
                "say": "hello",
                "version": 2,
                "job": self._job,
                "now": self._rounds.now,
                "rounds": self._rounds.stated(),
                "stand": self._stand.plain(),
                "heard": _plain(self._heard_void),
                "known": [] if self._peer_stand is None else self._peer_stand.plain(),
                "log": self._witness is not None,
                "held": self._held,
            }
            return encode(Kind.PARTY, about)

    def follows(self, connection: Connection) -> bool:
        """Return whether a connection is the latest."""
        return self._connection is connection

    def lost(self, connection: Connection) -> None:
        """Record that the other end of a connection is gone; a newer one is left alone."""
        with self._lock:
            if self._connection is connection:
                if self._ready:
                    _log.warning("the connection to %r is lost", self.peer)
                self._ready = False

    def due(self, connection: Connection, seconds: float) -> tuple[dict[str, Any], bytes] | None:
        """Wait for the next message to send: a sign of life after `seconds`, None when the connection is over."""
        with self._lock:
            while True:
                failure = self.failure
                if failure is not None and not (self.abort_said or self._heard_abort):
                    self.abort_said = True
                    self._changed.notify_all()
                    return {"say": "abort", "kind": kind_of(failure), **self._last_head()}, b""
                if self._connection is not connection or failure is not None:
                    return None
                if self._due_offer is not None:
                    offer, self._due_offer = self._due_offer, None
                    return {"say": "head", "head": offer}, b""
                if self._ready and (found := self._next(connection)) is not None:
                    return found
                if not self._changed.wait(seconds):
                    return {"say": "beat"}, b""

    def begin(self, step: int, number: int, size: int) -> Incoming:
        """Return where a frame is put together that begins to arrive; raise if so much may not wait."""
        with self._lock:
            due = self._most is not None and self._rounds.next_read(step, number)
            if due and self._most is not None and size > self._most:
                raise self._larger(size, self._most)
            return self._waiting.begin(size, due=due)

    def heard(self, connection: Connection, say: str, header: dict[str, Any], data: Incoming | None) -> bool:
        """Take a message received over a connection, `data` if it completes a frame; return False when it is over."""
        with self._lock:
            if self._connection is not connection or self.failure is not None:
                return False
            self._heard = time.monotonic()
            if say == "abort":
                check_fields(header, ["say", "kind", *self._last_fields()])
                kind = frame.field(header, "kind", str, low=1, high=64)
                self._heard_abort = True
                with contextlib.suppress(FrameError, ProtocolAbort):  # it has ended anyway
                    self._keep_last(header)
                raise gave_up(kind, self.peer, "; its log has the reason")
            if say == "hello":
                if self._ready or self._awaited:
                    raise FrameError(f"{self.peer!r} sent a second hello on this connection")
                with self._recorded():
                    self._agree(header)
            elif say == "head" and self._awaited:
                assert self._witness is not None  # it is awaited with one only
                check_fields(header, ["say", "head"])
                self._witness.check(frame.field(header, "head", bytes, high=_MOST_OFFER), self._held)
                self._awaited, self._ready, self.met = False, True, True
                _log.info("connected to %r", self.peer)
            elif not self._ready:
                raise FrameError(f"{self.peer!r} sent {say!r} before its hello, or before its log's head")
            elif say == "data":
                if data is not None and not self._rounds.take(header, data):
                    raise self._surplus(data)
            elif say == "ack":
                check_fields(header, ["say", "step", "got"])
                self._rounds.acknowledged(header)
            elif say == "now":
                check_fields(header, ["say", "step", "stand"])
                self._rounds.peer_now = frame.field(header, "step", int, low=0, high=self._rounds.now + 1)
                self._remember(Stand.read(frame.field(header, "stand", list, high=3)))
            elif say == "bye":
                check_fields(header, ["say", *self._last_fields()])
                if self._heard_bye:
                    raise FrameError(f"{self.peer!r} said goodbye twice on this connection")
                self._keep_last(header)
                self._heard_bye = True
            elif say == "head":
                raise FrameError(f"{self.peer!r} sent a head that was not due")
            else:
                check_fields(header, ["say"])
            self._changed.notify_all()
        return True

    def _agree(self, header: dict[str, Any]) -> None:
        """Determine the step from which to resume, from this party's and the peer's statements."""
        frame.field(header, "version", int, choices=(2,))
        check_fields(header, ["say", "version", "job", "now", "rounds", "stand", "heard", "known", "log", "held"])
        if frame.field(header, "job", str, high=200) != self._job:
            raise ProtocolAbort(
                f"{self.peer!r} runs another job, {header['job'][:64]!r}, not {self._job!r}: give both the same",
                party=self.peer,
                kind="settings",
            )
        self._compare_stands(header)
        if frame.field(header, "log", bool) != (self._witness is not None):
            here, there = ("no log", "one") if self._witness is None else ("a log", "none")
            raise ProtocolAbort(
                f"this party keeps {here} of evidence, {self.peer!r} {there}: set [evidence] at both, or at neither",
                party=self.peer,
                kind="settings",
            )
        theirs = self._rounds.statement(frame.field(header, "rounds", list, high=8, items=list))
        peer_now = frame.field(header, "now", int, low=0)
        if abs(peer_now - self._rounds.now) > 1:
            raise ProtocolAbort(
                f"this party has kept {self._rounds.now} steps and {self.peer!r}, by its word, {peer_now}: one of them "
                f"has lost its state and must restore its directory as it was last; {_ANEW}",
                party=self.peer,
            )
        self._count_heard(theirs, header)
        back = self._rounds.compare(peer_now, theirs)
        if back is not None:
            self._go_back(back)
            peer_now, theirs = back, {n: said for n, said in theirs.items() if n < back}
        self._rounds.settle(peer_now, theirs)
        if self._witness is None:
            self._ready = self.met = True
            _log.info("connected to %r", self.peer)
        else:
            self._due_offer = self._witness.offer(frame.field(header, "held", bytes, high=_MOST_OFFER))
            self._awaited = True

    def _count_heard(self, theirs: Statement, header: dict[str, Any]) -> None:
        """Count the void attempts of which either party has heard, perhaps of a process whose directory is lost."""
        before = self._stand, {n: len(attempts) for n, attempts in self._heard_void.items()}
        void = _lists(frame.field(header, "heard", dict, high=8, items=list))
        for n, (attempt, _, mine, got) in theirs.items():
            if n in self._rounds:
                if got and mine != self._rounds[n].attempt:
                    void.setdefault(n, []).append(mine)
                if attempt != self._rounds[n].peer_attempt:
                    self._note_heard(n)
        for n, attempts in void.items():
            if abs(n - self._rounds.now) <= 1:
                for attempt in attempts:
                    self._count_retake(n, attempt)
        if before != (self._stand, {n: len(attempts) for n, attempts in self._heard_void.items()}):
            self._write_meta()

    def _note_heard(self, step: int) -> None:
        """Remember the peer's attempt at a step, of which this party has frames and which is void now."""
        here, kept = self._rounds[step], self._heard_void.setdefault(step, [])
        if here.got and here.peer_attempt not in kept:
            if len(kept) >= _MOST_RETAKES:
                raise ProtocolAbort(f"{self.peer!r} began step {step} more than {_MOST_RETAKES} times", party=self.peer)
            kept.append(here.peer_attempt)

    def _compare_stands(self, header: dict[str, Any]) -> None:
        """Refuse to go on with a directory that is older than the other party remembers; remember the peer's."""
        known = Stand.read(frame.field(header, "known", list, high=3))
        if known is not None and not self._stand.follows(known):
            raise ProtocolAbort(
                f"{self._vault.path} is older than before by the word of {self.peer!r}, which has seen stand "
                f"{known.number} of directory {known.id.hex()}; this one is at stand {self._stand.number} of "
                f"{self._stand.id.hex()}: if it was put back from a copy, restore it as it was last; {_ANEW}"
            )
        stand = Stand.read(frame.field(header, "stand", list, low=3, high=3))
        if stand != self._peer_stand or not self._met:
            self._remember(stand)
            self._met = True
            self._write_meta()  # before anything is answered

    def _remember(self, stand: Stand | None) -> None:
        """Take the peer's word on how far its directory has come, which may not go back."""
        if stand is None or (self._peer_stand is not None and not stand.follows(self._peer_stand)):
            raise ProtocolAbort(
                f"the state directory of {self.peer!r} is older than before, or another one: it must restore it as it "
                f"was last; {_ANEW}",
                party=self.peer,
            )
        self._peer_stand = stand

    def _last_fields(self) -> list[str]:
        return [] if self._witness is None else ["head"]

    def _last_head(self) -> dict[str, bytes]:
        """Return the head of this party's log for a last message; an empty one if it cannot be had."""
        if self._witness is None:
            return {}
        try:
            return {"head": self._witness.offer()}
        except ProtocolAbort:
            return {"head": b""}

    def _keep_last(self, header: dict[str, Any]) -> None:
        """Keep the head in a last message of the peer, unless so many came that they would fill this party's log."""
        if self._witness is None or not (offer := frame.field(header, "head", bytes, high=_MOST_OFFER)):
            return
        if self._kept_last < _MOST_LAST:
            self._kept_last += 1
            self._witness.keep(offer)

    def _count_retake(self, step: int, attempt: bytes) -> None:
        """Count that a step is taken again, of which this attempt may have been sent; the caller writes it down."""
        void = self._void.setdefault(step, [])
        if attempt in void:
            return
        times = len(void) if self._witness is None else max(len(void), self._witness.retakes(step))
        if times >= _MOST_RETAKES:
            raise ProtocolAbort(
                f"{self.peer!r} has come back {_MOST_RETAKES} times before step {step} was done, and may have "
                f"requested something else each time: find out why before you start another job",
                party=self.peer,
            )
        void.append(attempt)
        self._stand = self._stand.next()
        if self._witness is not None:
            self._witness.retaken(step, times + 1)

    def _go_back(self, step: int) -> None:
        gone = [n for n in self._rounds.steps() if n >= step]
        for n in gone:
            self._note_heard(n)
            if self._rounds[n].left:
                self._count_retake(n, self._rounds[n].attempt)
        self._done = False
        self._stand = self._stand.next()
        self._rounds.drop(gone)
        self._rounds.now = step
        self._tasks = {name: begin for name, begin in self._tasks.items() if begin <= step}
        self._rounds.begin(os.urandom(ATTEMPT))
        self._write_meta()  # before the frames are removed: a crash in between must not leave a step that needs them
        for n in gone:
            self._manifest.remove(_OUT.format(n))
        self._leaving = False
        self.rewound = True
        self.rewinds += 1

    def _next(self, connection: Connection) -> tuple[dict[str, Any], bytes] | None:
        """Return the message that a connection must send now, if any."""
        if (found := self._rounds.due(connection.pointer)) is not None:
            return found
        if connection.told < self._rounds.now:
            connection.told = self._rounds.now
            return {"say": "now", "step": self._rounds.now, "stand": self._stand.plain()}, b""
        if self._leaving and not self._said_bye and self._delivered():
            self._said_bye = True
            self._changed.notify_all()
            return {"say": "bye", **self._last_head()}, b""
        return None

    def _delivered(self) -> bool:
        return self._ready and self._rounds.delivered()

    def _larger(self, size: int, most: int) -> ProtocolAbort:
        return ProtocolAbort(
            f"{self.peer!r} sent a frame of {size} bytes where at most {most} are due: both must run the same version",
            party=self.peer,
        )

    def _surplus(self, data: Incoming) -> FrameError | ProtocolAbort:
        """Return the error for a frame beyond those that a step needs: the peer aborted, or takes other steps."""
        with contextlib.suppress(FrameError):
            if len(data) < 1 << 16:
                header = decode(data.whole(), Kind.VERTICAL).header
                if header.get("topic") == "abort":
                    fields = frame.field(header, "fields", dict)
                    return gave_up(frame.field(fields, "reason", str, high=200), self.peer)
        return FrameError("the peer sent more frames in a step than are due: both must run the same version")

    # -------------------------------------------------------------------------------------------------- internals

    @contextlib.contextmanager
    def _recorded(self) -> Iterator[None]:
        """Note in the log of evidence why this party does not go on."""
        try:
            yield
        except (FrameError, ProtocolAbort) as error:
            if self._witness is not None:
                self._witness.refused(str(error))
            raise

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self.rewound:
            raise Rewind

    def _wait(self) -> None:
        silent = time.monotonic() - self._heard
        if silent > self._patience:
            raise ProtocolAbort(
                f"no sign of life from {self.peer!r} for {silent:.0f} seconds: {self.missing()}; check that it runs "
                f"and can be reached, then start both again with the same state directories",
                party=self.peer,
                kind="absent",
            )
        if silent >= _QUIET:
            self._say_waiting(silent)
        self._changed.wait(min(1.0, self._patience / 4))

    @property
    def waits(self) -> bool:
        """Whether the peer has not been heard of for some seconds."""
        return time.monotonic() - self._heard >= _QUIET

    @property
    def heard_at(self) -> float:
        """The time of the peer's last sign of life, or of this session's begin, on the clock of ``time.monotonic``."""
        return self._heard

    def missing(self) -> str:
        """Return what is waited for, and why it is not there."""
        why = "it is connected, but silent" if self._ready else self.obstacle()
        return f"waiting for {self.where}: {why}"

    def _say_waiting(self, silent: float) -> None:
        """Log what this party waits for: when the reason changes, and once a minute."""
        said, now = self.missing(), time.monotonic()
        since = now - self._notice[1]
        if since >= _NOTICES or (said != self._notice[0] and since >= _QUIET):
            self._notice = said, now
            _log.warning("%s; gives up in %.0f s", said, self._patience - silent)

    def _begin(self) -> None:
        """Begin the current step as a new attempt."""
        self._rounds.begin(os.urandom(ATTEMPT))
        self._manifest.remove(_OUT.format(self._rounds.now))

    def _forget(self) -> None:
        """Drop rounds two steps back: nobody can request them any more."""
        gone = [n for n in self._rounds.steps() if n < self._rounds.now - 1]
        self._rounds.drop(gone)
        for n in gone:
            self._manifest.remove(_OUT.format(n))

    def _write_meta(self) -> None:
        """Write the manifest, with the states of tasks' ends and of the last two steps: no other is needed again."""
        now = self._rounds.now
        self._void, self._heard_void = (
            {n: attempts for n, attempts in lists.items() if n >= now - 1} for lists in (self._void, self._heard_void)
        )
        more = {
            "now": now,
            "tasks": dict(self._tasks),
            # after going back, the round before is gone: the peer has kept it, or both would have gone back further
            "before": now - 1 in self._rounds,
            "attempt": self._rounds[now].attempt,
            "again": _plain(self._void),
            "heard": _plain(self._heard_void),
            "stand": self._stand.plain(),
            "peer": [] if self._peer_stand is None else self._peer_stand.plain(),
            "done": self._done,
            "met": self._met,
        }
        self._manifest.commit(more, [_STATE.format(n) for n in {*self._tasks.values(), now, now - 1} if 0 < n <= now])

    def _load(self) -> None:
        more = self._manifest.more
        if more is not None:
            check_fields(more, _META)
            self._rounds.now = now = frame.field(more, "now", int, low=0)
            self._tasks = dict(frame.field(more, "tasks", dict, items=int))
            self._void = _lists(frame.field(more, "again", dict, items=list))
            self._heard_void = _lists(frame.field(more, "heard", dict, items=list))
            self._stand = Stand.read(frame.field(more, "stand", list, low=3)) or self._stand
            self._peer_stand = Stand.read(frame.field(more, "peer", list, high=3))
            self._done = frame.field(more, "done", bool)
            state = self._manifest.read(_STATE.format(now)) if now else None
            if state is not None and frame.field(more, "before", bool):
                about = decode(state, Kind.CHECKPOINT).header
                before = self._rounds[now - 1]
                before.attempt = frame.field(about, "attempt", bytes, length=ATTEMPT)
                before.peer_attempt = frame.field(about, "peer", bytes)
                before.got = frame.field(about, "got", int, low=0)
                before.left = True
                before.sent = self._manifest.records(_OUT.format(now - 1), before.attempt)
                if len(before.sent) != frame.field(about, "sent", int, low=0):
                    raise FrameError(f"frames of step {now - 1} are missing from {self._vault.path}: {RESTORE}")
        manifest, witness = self._manifest, self._witness
        if witness is not None:
            witness.check_directory(manifest.id, manifest.generation)
        if more is not None and frame.field(more, "met", bool) and manifest.holds(_OUT.format(self._rounds.now)):
            # that attempt ended with its process, and its frames may have been sent
            self._count_retake(self._rounds.now, frame.field(more, "attempt", bytes, length=ATTEMPT))
            self._write_meta()  # before the frames go
        self._begin()
        self._write_meta()
        if witness is not None:
            witness.opened(manifest.id, manifest.generation)


def _plain(attempts: dict[int, list[bytes]]) -> dict[str, list[bytes]]:
    """Return attempts by step, for a header."""
    return {str(n): list(each) for n, each in attempts.items() if each}


def _lists(header: dict[str, Any]) -> dict[int, list[bytes]]:
    """Read :func:`_plain`; FrameError if it is malformed."""
    for n, each in header.items():
        if not n.isdecimal() or len(n) > 15 or any(type(one) is not bytes or len(one) != ATTEMPT for one in each):
            raise FrameError("attempts at steps are malformed")
    return {int(n): list(each) for n, each in header.items()}
