"""A conversation that survives broken connections and killed processes; it knows no network.

Both parties take the same steps, numbered 0, 1, 2, ... over all tasks. What is said in one step is a *round*: the
frames that each side sends, in order. A side that takes a step draws a random *attempt* for it, 16 bytes. Each frame
is on this party's disk before it may leave, and stays there until the step after the next is kept: so after a broken
connection, or a crash after a step was kept, what the peer lacks is sent again byte for byte.

A process that dies in the middle of a step loses what it had computed, masks included (no mask is ever on the disk
before the frame that it hides). When it comes back it takes the step as a new attempt. On connecting, both sides say
for each recent round which attempt they are in and how much of which attempt of the peer they have got. If that shows
that one of them has computed with frames of an attempt that is no more, both go back to the step before, and take the
round again with fresh randomness. The same rule on the same two statements gives both the same answer.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ..._locks import refuse_reentry
from ...errors import FrameError, ProtocolAbort
from ...wire import frame
from ...wire.frame import Kind, check_fields, decode, encode
from ..protocol.link import Rewind
from .connection import Connection
from .vault import Vault

__all__ = ["Session"]

MAX_FRAME = 1 << 32
_MOST_FRAMES = 1 << 16  # of one step
_MOST_RETAKES = 32  # of one step in one life of this process
_MOST_BYTES = 1 << 33
_ATTEMPT = 16
_GOODBYE = 2.0  # seconds for a goodbye to come in
_ALONE = 10.0  # seconds that a party which is known to be done waits for a peer that may need it
_META, _STATE, _OUT, _DONE = "steps", "state-{:08d}", "out-{:08d}", "done"


@dataclass
class _Round:
    """What was said in one step, as this party knows it."""

    attempt: bytes = b""  # this party's; empty before it has begun the step
    sent: list[bytes] = field(default_factory=list)
    peer_attempt: bytes = b""  # of the frames that have come
    got: int = 0  # how many frames have come
    inbox: deque[bytes] = field(default_factory=deque)  # those not yet asked for
    waiting: int = 0  # bytes of all that have come

    def stated(self) -> dict[str, Any]:
        return {"attempt": self.attempt, "sent": len(self.sent), "peer": self.peer_attempt, "got": self.got}


class Session:
    """One party's end: a channel of a :class:`~bluetusk.vertical.Link` and a keeper of a job's steps.

    Parameters
    ----------
    vault : Vault
        This party's directory.
    job : str
        Name of the whole run; both parties must give the same.
    peer : str
        The peer's name, for messages.
    patience : float
        Seconds without a sign of life from the peer after which the run is given up.

    Raises
    ------
    ProtocolAbort
        If the directory belongs to another run; later, if the peer is gone for too long or too far behind.
    FrameError
        If the directory's files, or what the peer sends, are not what they should be.
    """

    def __init__(self, vault: Vault, *, job: str, peer: str, patience: float = 600.0) -> None:
        self._vault, self._job, self._peer, self._patience = vault, job, peer, patience
        self._lock = threading.RLock()  # for `with`: an interrupt in a Condition's own, in Python, leaves it locked
        self._changed = threading.Condition(self._lock)
        self._rounds: dict[int, _Round] = {}
        self._tasks: dict[str, int] = {}  # name: the step with which it began
        self._now = 0  # steps kept
        self._rewound = False  # the program has not yet heard that it must go back
        self._failure: BaseException | None = None
        self._ready = False  # connected, and agreed on where to go on
        self._connection = 0
        self._heard = time.monotonic()
        self._peer_has: dict[int, int] = {}  # frames of each round that the peer has acknowledged
        self._peer_now = 0  # the step that the peer is known to be in
        self._left: dict[int, int] = {}  # frames of each round that have gone out
        self._acks: deque[int] = deque()  # rounds of which an acknowledgement is due
        self._leaving = self._said_bye = self._heard_bye = False
        self._again: dict[int, int] = {}  # how often a step was taken again
        self.abort_said = False  # the peer was told of the failure
        self.resent = 0  # frames that went out more than once
        self.rewinds = 0
        self._load()

    # ------------------------------------------------------------------------------------------------ the program

    def send(self, data: bytes) -> None:
        """Send a frame: it is on the disk when this returns, and leaves as soon as it can."""
        refuse_reentry(self._lock, "call of this session")
        with self._lock:
            self._check()
            now = self._round(self._now)
            self._vault.append(_OUT.format(self._now), bytes(data))
            now.sent.append(bytes(data))
            self._changed.notify_all()

    def recv(self) -> bytes:
        """Wait for the next frame of this step."""
        with self._lock:
            while True:
                self._check()
                now = self._round(self._now)
                if now.inbox:
                    return now.inbox.popleft()
                self._wait()

    def resume(self, task: str) -> tuple[int, bytes | None]:
        """Return how many steps of a task were kept, and the state after them.

        Parameters
        ----------
        task : str
            The task's name; tasks are begun in the same order by both parties, each name once.

        Returns
        -------
        tuple of int and bytes or None
            None as the state where no step was kept.

        Raises
        ------
        Rewind
            If the parties had to go back to an earlier task.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if task in self._tasks:
                begin = self._tasks[task]
                later = [step for step in self._tasks.values() if step > begin]
                end = min([self._now, *later])
                last = not later
            elif self._rewound:
                raise Rewind  # gone back to before this task began
            else:
                begin = end = self._now
                last = True
                self._tasks[task] = begin
                self._write_meta()
            if last:
                self._rewound = False
            if end == begin:
                return 0, None
            kept = self._vault.read(_STATE.format(end))
            if kept is None:
                raise FrameError(f"the state after step {end} is missing from {self._vault.path}")
            return end - begin, bytes(decode(kept, Kind.CHECKPOINT).payload)

    def commit(self, task: str, index: int, state: bytes) -> None:
        """Keep the state after a step; it is on the disk when this returns.

        Waits until the peer has begun the step, so that the two are never more than one step apart.
        """
        refuse_reentry(self._lock, "call of this session")
        with self._lock:
            while True:
                self._check()
                if self._peer_now >= self._now:
                    break
                self._wait()
            done = self._round(self._now)
            if self._tasks.get(task, -1) + index != self._now + 1:
                raise ValueError(f"step {index} of task {task!r} does not follow what was kept")
            if done.inbox:
                raise self._surplus(done.inbox[0])
            about = {
                "attempt": done.attempt,
                "sent": len(done.sent),
                "peer": done.peer_attempt,
                "got": done.got,
            }
            self._vault.write(_STATE.format(self._now + 1), encode(Kind.CHECKPOINT, about, state))
            self._now += 1
            self._begin()
            try:
                self._write_meta()
            except BaseException as err:  # the disk may hold either step: nothing more may leave
                self._now -= 1
                self.fail(err)
                raise
            self._forget()
            self._changed.notify_all()

    def leave(self, seconds: float = 30.0) -> bool:
        """End the conversation: wait until the peer has all that was sent to it, and say goodbye.

        Parameters
        ----------
        seconds : float
            Wait at most so long.

        Returns
        -------
        bool
            Whether the peer has everything.
        """
        until = time.monotonic() + seconds
        with self._lock:
            done = self._was_done()
            if done:  # in an earlier life, after which the peer may have left for good
                until = min(until, time.monotonic() + _ALONE)
            self._leaving = True
            self._changed.notify_all()
            while not (self._failure or self._rewound):
                if not done and self._delivered() and self._peer_now >= self._now:
                    done = True  # the peer has kept all steps: it needs no more than to hear the same of this party
                    self._vault.write(_DONE, encode(Kind.CHECKPOINT, {"now": self._now}))
                if self._delivered() and self._said_bye:
                    until = min(until, time.monotonic() + _GOODBYE)  # a peer that is gone already cannot say goodbye
                    if self._heard_bye:
                        return True
                if done and not self._ready:  # it has heard all and may have left, its goodbye lost with the connection
                    until = min(until, time.monotonic() + _ALONE)
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(min(left, 0.2))
            if self._failure is not None or self._rewound:
                return False
            return done or self._delivered()

    def fail(self, error: BaseException) -> None:
        """End the run: what the program calls next raises this error."""
        with self._lock:
            if self._failure is None:
                self._failure = error
            self._changed.notify_all()

    def wait_until_told(self, seconds: float) -> None:
        """Wait until a failure has been told to the peer, if it is there to be told."""
        with self._lock:
            self._changed.wait_for(lambda: self.abort_said or not self._ready, seconds)

    @property
    def failure(self) -> BaseException | None:
        """Why the run has ended, if it has."""
        return self._failure

    @property
    def rewound(self) -> bool:
        """Whether the program must go back, and has not heard of it."""
        return self._rewound

    @property
    def position(self) -> int:
        """Steps kept so far, over all tasks."""
        return self._now

    def disconnect(self) -> None:
        """End the connection that there is, if any."""
        with self._lock:
            self._connection += 1
            self._ready = False
            self._changed.notify_all()

    # --------------------------------------------------------------------------------------------- the connection

    def connect(self) -> Connection:
        """Begin a new connection; the one before it, if any, is over."""
        with self._lock:
            self._connection += 1
            self._ready = self._said_bye = self._heard_bye = False
            self._acks.clear()
            self._changed.notify_all()
            return Connection(self, self._connection, self._hello())

    def _hello(self) -> bytes:
        rounds = [[n, *self._rounds[n].stated().values()] for n in sorted(self._rounds)]
        return encode(Kind.PARTY, {"say": "hello", "version": 1, "job": self._job, "now": self._now, "rounds": rounds})

    def _agree(self, header: dict[str, Any]) -> None:
        """Find out where to go on: from this party's and the peer's statement, by a rule that is symmetric in them."""
        check_fields(header, ["say", "version", "job", "now", "rounds"])
        frame.field(header, "version", int, choices=(1,))
        if frame.field(header, "job", str, high=200) != self._job:
            raise ProtocolAbort(
                f"{self._peer!r} runs another job, {header['job'][:64]!r}, not {self._job!r}: give both the same",
                party=self._peer,
            )
        theirs: dict[int, tuple[bytes, int, bytes, int]] = {}
        for item in frame.field(header, "rounds", list, high=8, items=list):
            if [type(v) for v in item] != [int, bytes, int, bytes, int] or min(item[0], item[2], item[4]) < 0:
                raise FrameError("frame field 'rounds' is malformed")
            theirs[item[0]] = (item[1], item[2], item[3], item[4])
        peer_now = frame.field(header, "now", int, low=0)
        if abs(peer_now - self._now) > 1:
            raise ProtocolAbort(
                f"this party has kept {self._now} steps and {self._peer!r} {peer_now}: one of them has lost its state; "
                f"remove the state directories of both to start anew",
                party=self._peer,
            )
        common = min(self._now, peer_now)
        back = None
        for n in sorted(set(theirs) & set(self._rounds)):
            mine, (attempt, sent, peer_attempt, got) = self._rounds[n], theirs[n]
            here = mine.got == 0 or mine.peer_attempt == attempt
            there = got == 0 or peer_attempt == mine.attempt
            if here and there:
                if mine.got > sent or got > len(mine.sent):
                    raise FrameError(f"{self._peer!r} counts the frames of step {n} otherwise than this party")
            elif n <= common:
                back = n
                break
            elif not here:  # came early, from an attempt that is no more; nothing was computed with it
                mine.peer_attempt, mine.got = b"", 0
                mine.inbox.clear()
        if back is not None:
            self._go_back(back)
            theirs = {n: v for n, v in theirs.items() if n < back}
        self._peer_now = peer_now if back is None else back
        self._peer_has = {}
        for n, said in self._rounds.items():
            if n < self._peer_now:  # it has kept that step, so it had everything
                self._peer_has[n] = len(said.sent)
            else:
                self._peer_has[n] = theirs[n][3] if n in theirs and theirs[n][2] == said.attempt else 0
            self.resent += max(0, self._left.get(n, 0) - self._peer_has[n])
        self._left = {}
        self._ready = True

    def _was_done(self) -> bool:
        kept = self._vault.read(_DONE)
        return kept is not None and decode(kept, Kind.CHECKPOINT).header.get("now") == self._now

    def _go_back(self, step: int) -> None:
        self._again[step] = self._again.get(step, 0) + 1
        if self._again[step] > _MOST_RETAKES:
            raise ProtocolAbort(
                f"{self._peer!r} has come back {_MOST_RETAKES} times before step {step} was done, and may each time "
                f"have asked for something else: find out why before you start again",
                party=self._peer,
            )
        self._vault.remove(_DONE)
        gone = [n for n in self._rounds if n >= step]
        for n in gone:
            del self._rounds[n]
        self._now = step
        self._tasks = {name: begin for name, begin in self._tasks.items() if begin <= step}
        self._write_meta()  # before the frames go: a crash in between must not leave a step that wants them
        for n in gone:
            self._vault.remove(_OUT.format(n))
        self._begin()
        self._leaving = False
        self._rewound = True
        self.rewinds += 1

    def _next(self, connection: Connection) -> tuple[dict[str, Any], bytes] | None:
        """Return what this connection is to send next: acknowledgements first, then frames in order."""
        if self._acks:
            step = self._acks.popleft()
            got = self._rounds[step].got if step in self._rounds else 0
            return {"say": "ack", "step": step, "got": got}, b""
        pointer = connection.pointer
        for n in sorted(self._rounds):
            at, said = pointer.get(n, self._peer_has.get(n, 0)), self._rounds[n]
            if at < len(said.sent):
                pointer[n] = at + 1
                self._left[n] = max(self._left.get(n, 0), at + 1)
                return {"say": "data", "step": n, "number": at, "attempt": said.attempt}, said.sent[at]
        if connection.told < self._now:
            connection.told = self._now
            return {"say": "now", "step": self._now}, b""
        if self._leaving and not self._said_bye and self._delivered():
            self._said_bye = True
            self._changed.notify_all()
            return {"say": "bye"}, b""
        return None

    def _delivered(self) -> bool:
        return self._ready and all(self._peer_has.get(n, 0) >= len(said.sent) for n, said in self._rounds.items())

    def _data(self, header: dict[str, Any], payload: memoryview, assembly: dict[str, Any]) -> None:
        check_fields(header, ["say", "step", "number", "attempt", "offset", "total"])
        step = frame.field(header, "step", int, low=0)
        number = frame.field(header, "number", int, low=0)
        attempt = frame.field(header, "attempt", bytes, length=_ATTEMPT)
        offset = frame.field(header, "offset", int, low=0)
        total = frame.field(header, "total", int, low=0, high=MAX_FRAME)
        key = (step, number, attempt, total)
        if offset == 0:
            assembly.clear()
            assembly.update(key=key, data=bytearray())
        if assembly.get("key") != key or offset != len(assembly["data"]) or offset + len(payload) > total:
            raise FrameError(f"a piece of a frame from {self._peer!r} is not the one that is due")
        assembly["data"] += payload
        if len(assembly["data"]) < total:
            return
        whole = bytes(assembly["data"])
        assembly.clear()
        if not self._now - 1 <= step <= self._now + 1:
            raise FrameError(f"{self._peer!r} sends frames of step {step} while this party is in step {self._now}")
        if step < self._now:
            if step in self._rounds and number < self._rounds[step].got:
                return  # had it already
            raise self._surplus(whole)
        into = self._round(step)
        if into.got and into.peer_attempt != attempt:
            raise FrameError(f"{self._peer!r} mixes two attempts at step {step}")
        if number < into.got:
            return  # had it already: counted once
        if number > into.got:
            raise FrameError(f"frame {into.got} of step {step} from {self._peer!r} is missing")
        into.waiting += len(whole)
        if into.got >= _MOST_FRAMES or into.waiting > _MOST_BYTES or not whole:
            raise FrameError(f"{self._peer!r} sends more in step {step} than any step needs, or nothing at all")
        into.peer_attempt = attempt
        into.got += 1
        into.inbox.append(whole)
        self._peer_now = max(self._peer_now, step)
        self._acks.append(step)

    def _surplus(self, data: bytes) -> FrameError | ProtocolAbort:
        """Return what a frame beyond those that a step needs means: the peer gave up, or takes other steps."""
        with contextlib.suppress(FrameError):
            if decode(data, Kind.VERTICAL).header.get("topic") == "abort":
                return ProtocolAbort(
                    "the other party gave up at the end of a step; its own log says more", party=self._peer
                )
        return FrameError("the peer said more in a step than it should: both must run the same version")

    # -------------------------------------------------------------------------------------------------- internals

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._rewound:
            raise Rewind

    def _wait(self) -> None:
        silent = time.monotonic() - self._heard
        if silent > self._patience:
            raise ProtocolAbort(
                f"no sign of life from {self._peer!r} for {silent:.0f} seconds: see whether it runs and is reached, "
                f"then start both again with the same state directories",
                party=self._peer,
            )
        self._changed.wait(min(1.0, self._patience / 4))

    def _round(self, step: int) -> _Round:
        return self._rounds.setdefault(step, _Round())

    def _begin(self) -> None:
        """Begin the current step as a new attempt."""
        now = self._round(self._now)
        now.attempt, now.sent = os.urandom(_ATTEMPT), []
        self._vault.remove(_OUT.format(self._now))

    def _forget(self) -> None:
        """Drop what nobody can ask for any more: rounds two steps back, states that are no task's last ones."""
        for n in [n for n in self._rounds if n < self._now - 1]:
            del self._rounds[n]
            self._peer_has.pop(n, None)
            self._vault.remove(_OUT.format(n))
        ends = {*self._tasks.values(), self._now, self._now - 1}
        for name in self._vault.names():
            if name.startswith("state-") and int(name[6:]) not in ends:
                self._vault.remove(name)

    def _write_meta(self) -> None:
        # after going back the round before is gone: the peer had kept it, or it would have gone back further
        meta = {"job": self._job, "now": self._now, "tasks": dict(self._tasks), "before": self._now - 1 in self._rounds}
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
            self._now = frame.field(header, "now", int, low=0)
            self._tasks = dict(frame.field(header, "tasks", dict, items=int))
            state = self._vault.read(_STATE.format(self._now))
            if self._now and state is None:
                raise FrameError(f"the state after step {self._now} is missing from {self._vault.path}")
            if state is not None and frame.field(header, "before", bool):
                about = decode(state, Kind.CHECKPOINT).header
                before = self._round(self._now - 1)
                before.attempt = frame.field(about, "attempt", bytes, length=_ATTEMPT)
                before.peer_attempt = frame.field(about, "peer", bytes)
                before.got = frame.field(about, "got", int, low=0)
                before.sent = self._vault.records(_OUT.format(self._now - 1))
                if len(before.sent) != frame.field(about, "sent", int, low=0):
                    raise FrameError(f"frames of step {self._now - 1} are missing from {self._vault.path}")
        self._begin()
        self._write_meta()
