"""Counts, compares and resends the messages of two parties, step by step, without a clock, disk or lock.

The rules are those of :mod:`bluetusk.vertical.party.session`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ...errors import FrameError
from ...wire import frame
from .waiting import Incoming

__all__ = ["ATTEMPT", "MAX_FRAME", "Round", "Rounds", "Statement"]

ATTEMPT = 16
"""Bytes of the identifier of an attempt at a step."""
MAX_FRAME = 1 << 32
_MOST_FRAMES = 1 << 16  # of one step

Statement = dict[int, tuple[bytes, int, bytes, int]]
"""Of each recent round: the attempt, frames sent, the other side's attempt, frames got."""


@dataclass
class Round:
    """The frames of one step, as known to this party."""

    attempt: bytes = b""  # this party's attempt; empty before it has begun the step
    sent: list[bytes] = field(default_factory=list)
    left: bool = False  # whether any of these may have reached the peer
    peer_attempt: bytes = b""  # the attempt that the received frames belong to
    got: int = 0  # number of frames received
    inbox: deque[Incoming] = field(default_factory=deque)  # frames not yet read

    def stated(self) -> dict[str, Any]:
        """Return the summary of the round that the peer gets, and that is kept with the state after it."""
        return {"attempt": self.attempt, "sent": len(self.sent), "peer": self.peer_attempt, "got": self.got}


class Rounds:
    """The recent rounds of one party, and its knowledge of the peer's.

    Parameters
    ----------
    peer : str
        The peer's name, for errors.

    Attributes
    ----------
    now : int
        Number of steps kept, which is the index of the current step.
    peer_now : int
        The latest known step of the peer.
    resent : int
        Number of frames sent more than once.
    """

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.now = self.peer_now = self.resent = 0
        self._of: dict[int, Round] = {}
        self._peer_has: dict[int, int] = {}  # frames of each round that the peer has acknowledged
        self._left: dict[int, int] = {}  # frames of each round that were sent
        self._acks: deque[int] = deque()  # rounds for which an acknowledgement is due

    def __contains__(self, step: int) -> bool:
        return step in self._of

    def __getitem__(self, step: int) -> Round:
        """Return the round of a step, a new one if there is none."""
        return self._of.setdefault(step, Round())

    def begin(self, attempt: bytes) -> None:
        """Begin the current step as a new attempt."""
        now = self[self.now]
        now.attempt, now.sent, now.left = attempt, [], False

    def drop(self, steps: list[int]) -> None:
        """Forget rounds."""
        for n in steps:
            del self._of[n]
            self._peer_has.pop(n, None)

    def steps(self) -> list[int]:
        """Return the steps whose rounds are known, in order."""
        return sorted(self._of)

    def stated(self) -> list[list[Any]]:
        """Return this party's statement, as sent to the peer."""
        return [[n, *self._of[n].stated().values()] for n in self.steps()]

    def reconnected(self) -> None:
        """Forget the acknowledgements due on an earlier connection."""
        self._acks.clear()

    @staticmethod
    def statement(items: list[Any]) -> Statement:
        """Read the peer's statement; FrameError if it is malformed."""
        theirs: Statement = {}
        for item in items:
            if (
                [type(v) for v in item] != [int, bytes, int, bytes, int]
                or min(item[0], item[2], item[4]) < 0
                or any(len(attempt) not in (0, ATTEMPT) for attempt in (item[1], item[3]))
            ):
                raise FrameError("frame field 'rounds' is malformed")
            theirs[item[0]] = (item[1], item[2], item[3], item[4])
        return theirs

    def compare(self, peer_now: int, theirs: Statement) -> int | None:
        """Return the step to which both must go back, or None. The rule is symmetric in both parties.

        Raises
        ------
        FrameError
            If the peer's counts contradict this party's.
        """
        common = min(self.now, peer_now)
        for n in sorted(set(theirs) & set(self._of)):
            mine, (attempt, sent, peer_attempt, got) = self._of[n], theirs[n]
            here = mine.got == 0 or mine.peer_attempt == attempt
            there = got == 0 or peer_attempt == mine.attempt
            if here and there:
                if mine.got > sent or got > len(mine.sent):
                    raise FrameError(f"the counts of frames of step {n} at {self.peer!r} and at this party differ")
            elif n <= common:
                return n
            elif not here:  # came early, from an attempt that is void; nothing was computed with it
                mine.peer_attempt, mine.got = b"", 0
                mine.inbox.clear()
        return None

    def settle(self, peer_now: int, theirs: Statement) -> None:
        """Record what the peer has received, after both have gone back if necessary."""
        self.peer_now = peer_now
        self._peer_has = {}
        for n, said in self._of.items():
            if n < peer_now:  # it has kept that step, so it has received everything
                self._peer_has[n] = len(said.sent)
            else:
                self._peer_has[n] = theirs[n][3] if n in theirs and theirs[n][2] == said.attempt else 0
            self.resent += max(0, self._left.get(n, 0) - self._peer_has[n])
        self._left = {}

    def due(self, pointer: dict[int, int]) -> tuple[dict[str, Any], bytes] | None:
        """Return the next message to send over a connection: acknowledgements first, then frames in order.

        Parameters
        ----------
        pointer : dict of int to int
            Frames of each round sent over the connection; updated in place.
        """
        if self._acks:
            step = self._acks.popleft()
            return {"say": "ack", "step": step, "got": self._of[step].got if step in self._of else 0}, b""
        for n in self.steps():
            at, said = pointer.get(n, self._peer_has.get(n, 0)), self._of[n]
            if at < len(said.sent):
                pointer[n], said.left = at + 1, True
                self._left[n] = max(self._left.get(n, 0), at + 1)
                return {"say": "data", "step": n, "number": at, "attempt": said.attempt}, said.sent[at]
        return None

    def delivered(self) -> bool:
        """Return whether the peer has received all frames."""
        return all(self._peer_has.get(n, 0) >= len(said.sent) for n, said in self._of.items())

    def acknowledged(self, header: dict[str, Any]) -> None:
        """Take an acknowledgement."""
        step = frame.field(header, "step", int, low=0)
        if step in self._of:
            have = frame.field(header, "got", int, low=0, high=len(self._of[step].sent))
            self._peer_has[step] = max(self._peer_has.get(step, 0), have)

    def next_read(self, step: int, number: int) -> bool:
        """Return whether a frame that begins to arrive is the next one that the program will read."""
        now = self[self.now]
        return step == self.now and number == now.got and not now.inbox

    def take(self, header: dict[str, Any], data: Incoming) -> bool:
        """Take a whole frame; return False if the current step needs no more of that step's frames.

        Raises
        ------
        FrameError
            If the frame is out of order, of another attempt, or beyond the limits of a step.
        """
        step, number = frame.field(header, "step", int, low=0), frame.field(header, "number", int, low=0)
        attempt = frame.field(header, "attempt", bytes, length=ATTEMPT)
        if not self.now - 1 <= step <= self.now + 1:
            raise FrameError(f"{self.peer!r} sent a frame of step {step} while this party is in step {self.now}")
        if step < self.now:
            return step in self._of and number < self._of[step].got  # received before
        into = self[step]
        if into.got and into.peer_attempt != attempt:
            raise FrameError(f"{self.peer!r} mixed frames of two attempts at step {step}")
        if number < into.got:
            return True  # received before: counted once
        if number > into.got:
            raise FrameError(f"frame {into.got} of step {step} from {self.peer!r} is missing")
        if into.got >= _MOST_FRAMES or not len(data):
            raise FrameError(f"{self.peer!r} sent an empty frame, or more in step {step} than any step needs")
        into.peer_attempt = attempt
        into.got += 1
        into.inbox.append(data)
        self.peer_now = max(self.peer_now, step)
        if step not in self._acks:
            self._acks.append(step)
        return True
