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
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Any

from ..._locks import refuse_reentry
from ...errors import FrameError, ProtocolAbort
from ...wire import frame
from ...wire.frame import Kind, check_fields, decode, encode
from ..protocol.link import Rewind
from ..protocol.refusal import kind_of
from .connection import Connection
from .rounds import ATTEMPT, MAX_FRAME, Rounds
from .vault import Vault
from .waiting import QUOTA, Incoming, Waiting

__all__ = ["Session"]

_MOST_RETAKES = 32  # retakes of one step within one process
_GOODBYE = 2.0  # seconds to wait for a goodbye
_ALONE = 10.0  # seconds that a party that was already done waits for a peer that may need it
_META, _STATE, _OUT, _DONE = "steps", "state-{:08d}", "out-{:08d}", "done"


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

    Raises
    ------
    ProtocolAbort
        If the directory belongs to another run; later, if the peer is silent for too long, too far behind, or aborts.
    FrameError
        If the directory's files or the peer's messages are damaged or out of order.
    """

    def __init__(self, vault: Vault, *, job: str, peer: str, patience: float = 600.0, spool_quota: int = QUOTA) -> None:
        self._vault, self._job, self.peer, self._patience = vault, job, peer, patience
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
        self._leaving = self._said_bye = self._heard_bye = False
        self._again: dict[int, int] = {}  # how often each step was repeated
        self.abort_said = False  # the peer knows of the failure
        self.rewinds = 0
        self._load()

    # ------------------------------------------------------------------------------------------------ the program

    def send(self, data: bytes) -> None:
        """Send a frame: it is on disk when this returns, and is sent as soon as possible."""
        refuse_reentry(self._lock, "call of this session")
        with self._lock:
            self._check()
            now = self._rounds[self._rounds.now]
            self._vault.append(_OUT.format(self._rounds.now), bytes(data))
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
            elif self.rewound:
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
            kept = self._vault.read(_STATE.format(end))
            if kept is None:
                raise FrameError(f"the state after step {end} is missing from {self._vault.path}")
            return end - begin, bytes(decode(kept, Kind.CHECKPOINT).payload)

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
            self._vault.write(_STATE.format(self._rounds.now + 1), encode(Kind.CHECKPOINT, done.stated(), state))
            self._rounds.now += 1
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
            done = self._was_done()
            if done:  # in an earlier process, after which the peer may have left for good
                until = min(until, time.monotonic() + _ALONE)
            self._leaving = True
            self._changed.notify_all()
            while not (self.failure or self.rewound):
                if not done and self._delivered() and self._rounds.peer_now >= self._rounds.now:
                    done = True  # the peer has kept all steps: it only needs to know the same of this party
                    self._vault.write(_DONE, encode(Kind.CHECKPOINT, {"now": self._rounds.now}))
                if self._delivered() and self._said_bye:
                    until = min(until, time.monotonic() + _GOODBYE)  # a peer that is gone already cannot say goodbye
                    if self._heard_bye:
                        return True
                if done and not self._ready:  # it may have left, its goodbye lost with the connection
                    until = min(until, time.monotonic() + _ALONE)
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(min(left, 0.2))
            if self.failure is not None or self.rewound:
                return False
            return done or self._delivered()

    def fail(self, error: BaseException) -> None:
        """End the run: the program's next call raises this error."""
        with self._lock:
            if self.failure is None:
                self.failure = error
            self._changed.notify_all()

    def wait_until_told(self, seconds: float) -> None:
        """Wait until the peer knows of a failure, if it is connected."""
        with self._lock:
            self._changed.wait_for(lambda: self.abort_said or not self._ready, seconds)

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
            self._connection = connection = Connection(self, self._hello())
            self._ready = self._said_bye = self._heard_bye = False
            self._rounds.reconnected()
            self._changed.notify_all()
            return connection

    def follows(self, connection: Connection) -> bool:
        """Return whether a connection is the latest."""
        return self._connection is connection

    def lost(self, connection: Connection) -> None:
        """Record that the other end of a connection is gone; a newer one is left alone."""
        with self._lock:
            if self._connection is connection:
                self._ready = False

    def due(self, connection: Connection, seconds: float) -> tuple[dict[str, Any], bytes] | None:
        """Wait for the next message to send: a sign of life after `seconds`, None when the connection is over."""
        with self._lock:
            while True:
                failure = self.failure
                if failure is not None and not self.abort_said:
                    self.abort_said = True
                    self._changed.notify_all()
                    return {"say": "abort", "kind": kind_of(failure)}, b""
                if self._connection is not connection or failure is not None:
                    return None
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
                self.abort_said = True  # it needs no answer
                check_fields(header, ["say", "kind"])
                kind = frame.field(header, "kind", str, low=1, high=64)
                raise ProtocolAbort(f"the other party gave up: {kind!r}; its log has the reason", party=self.peer)
            if say == "hello":
                if self._ready:
                    raise FrameError(f"{self.peer!r} sent a second hello on this connection")
                self._agree(header)
            elif not self._ready:
                raise FrameError(f"{self.peer!r} sent {say!r} before its hello on this connection")
            elif say == "data":
                if data is not None and not self._rounds.take(header, data):
                    raise self._surplus(data)
            elif say == "ack":
                check_fields(header, ["say", "step", "got"])
                self._rounds.acknowledged(header)
            elif say == "now":
                self._rounds.peer_now = frame.field(header, "step", int, low=0, high=self._rounds.now + 1)
            else:
                check_fields(header, ["say"])
                self._heard_bye = self._heard_bye or say == "bye"
            self._changed.notify_all()
        return True

    def _hello(self) -> bytes:
        about = {"say": "hello", "version": 1, "job": self._job, "now": self._rounds.now}
        return encode(Kind.PARTY, {**about, "rounds": self._rounds.stated()})

    def _agree(self, header: dict[str, Any]) -> None:
        """Determine the step from which to resume, from this party's and the peer's statements."""
        check_fields(header, ["say", "version", "job", "now", "rounds"])
        frame.field(header, "version", int, choices=(1,))
        if frame.field(header, "job", str, high=200) != self._job:
            raise ProtocolAbort(
                f"{self.peer!r} runs another job, {header['job'][:64]!r}, not {self._job!r}: give both the same",
                party=self.peer,
            )
        theirs = self._rounds.statement(frame.field(header, "rounds", list, high=8, items=list))
        peer_now = frame.field(header, "now", int, low=0)
        if abs(peer_now - self._rounds.now) > 1:
            raise ProtocolAbort(
                f"this party has kept {self._rounds.now} steps and {self.peer!r} {peer_now}: one of them has lost its "
                f"state; remove the state directories of both to start over",
                party=self.peer,
            )
        back = self._rounds.compare(peer_now, theirs)
        if back is not None:
            self._go_back(back)
            peer_now, theirs = back, {n: said for n, said in theirs.items() if n < back}
        self._rounds.settle(peer_now, theirs)
        self._ready = True

    def _was_done(self) -> bool:
        kept = self._vault.read(_DONE)
        return kept is not None and decode(kept, Kind.CHECKPOINT).header.get("now") == self._rounds.now

    def _go_back(self, step: int) -> None:
        self._again[step] = self._again.get(step, 0) + 1
        if self._again[step] > _MOST_RETAKES:
            raise ProtocolAbort(
                f"{self.peer!r} has come back {_MOST_RETAKES} times before step {step} was done, and may have "
                f"requested something else each time: find out why before you start again",
                party=self.peer,
            )
        self._vault.remove(_DONE)
        gone = [n for n in self._rounds.steps() if n >= step]
        self._rounds.drop(gone)
        self._rounds.now = step
        self._tasks = {name: begin for name, begin in self._tasks.items() if begin <= step}
        self._write_meta()  # before the frames are removed: a crash in between must not leave a step that needs them
        for n in gone:
            self._vault.remove(_OUT.format(n))
        self._begin()
        self._leaving = False
        self.rewound = True
        self.rewinds += 1

    def _next(self, connection: Connection) -> tuple[dict[str, Any], bytes] | None:
        """Return the message that a connection must send now, if any."""
        if (found := self._rounds.due(connection.pointer)) is not None:
            return found
        if connection.told < self._rounds.now:
            connection.told = self._rounds.now
            return {"say": "now", "step": self._rounds.now}, b""
        if self._leaving and not self._said_bye and self._delivered():
            self._said_bye = True
            self._changed.notify_all()
            return {"say": "bye"}, b""
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
            if len(data) < 1 << 16 and decode(data.whole(), Kind.VERTICAL).header.get("topic") == "abort":
                return ProtocolAbort(
                    "the other party gave up at the end of a step; its log has the reason", party=self.peer
                )
        return FrameError("the peer sent more frames in a step than are due: both must run the same version")

    # -------------------------------------------------------------------------------------------------- internals

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self.rewound:
            raise Rewind

    def _wait(self) -> None:
        silent = time.monotonic() - self._heard
        if silent > self._patience:
            raise ProtocolAbort(
                f"no sign of life from {self.peer!r} for {silent:.0f} seconds: check that it runs and can be reached, "
                f"then start both again with the same state directories",
                party=self.peer,
            )
        self._changed.wait(min(1.0, self._patience / 4))

    def _begin(self) -> None:
        """Begin the current step as a new attempt."""
        self._rounds.begin(os.urandom(ATTEMPT))
        self._vault.remove(_OUT.format(self._rounds.now))

    def _forget(self) -> None:
        """Drop rounds two steps back, and states other than a task's last ones: nobody can request them any more."""
        gone = [n for n in self._rounds.steps() if n < self._rounds.now - 1]
        self._rounds.drop(gone)
        for n in gone:
            self._vault.remove(_OUT.format(n))
        ends = {*self._tasks.values(), self._rounds.now, self._rounds.now - 1}
        for name in self._vault.names():
            if name.startswith("state-") and int(name[6:]) not in ends:
                self._vault.remove(name)

    def _write_meta(self) -> None:
        # after going back, the round before is gone: the peer has kept it, or both would have gone back further
        meta = {
            "job": self._job,
            "now": self._rounds.now,
            "tasks": dict(self._tasks),
            "before": self._rounds.now - 1 in self._rounds,
        }
        self._vault.write(_META, encode(Kind.CHECKPOINT, meta))

    def _load(self) -> None:
        kept = self._vault.read(_META)
        if kept is not None:
            header = decode(kept, Kind.CHECKPOINT).header
            check_fields(header, ["before", "job", "now", "tasks"])
            if frame.field(header, "job", str) != self._job:
                raise ProtocolAbort(
                    f"{self._vault.path} is of the job {header['job']!r}, not {self._job!r}: give another directory"
                )
            self._rounds.now = frame.field(header, "now", int, low=0)
            self._tasks = dict(frame.field(header, "tasks", dict, items=int))
            state = self._vault.read(_STATE.format(self._rounds.now))
            if self._rounds.now and state is None:
                raise FrameError(f"the state after step {self._rounds.now} is missing from {self._vault.path}")
            if state is not None and frame.field(header, "before", bool):
                about = decode(state, Kind.CHECKPOINT).header
                before = self._rounds[self._rounds.now - 1]
                before.attempt = frame.field(about, "attempt", bytes, length=ATTEMPT)
                before.peer_attempt = frame.field(about, "peer", bytes)
                before.got = frame.field(about, "got", int, low=0)
                before.sent = self._vault.records(_OUT.format(self._rounds.now - 1))
                if len(before.sent) != frame.field(about, "sent", int, low=0):
                    raise FrameError(f"frames of step {self._rounds.now - 1} are missing from {self._vault.path}")
        self._begin()
        self._write_meta()
