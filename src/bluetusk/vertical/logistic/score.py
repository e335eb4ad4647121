"""Scores of a joint logistic regression: the host's part of each goes to the guest, who adds its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError, ProtocolAbort
from ...tasks import LOGISTIC_SCORES
from ...wire.frame import Kind, encode, field
from ..protocol.link import Link, array_bytes, array_from
from ..protocol.state import inputs_of, state_of
from .job import SCORE_BITS

__all__ = ["ScoreJob", "probabilities"]

_TURN = 4.05
"""The turning point of the cubic, 0.197 = 0.012 z^2: beyond it the cubic keeps its value."""


def probabilities(scores: NDArray[np.float64], sigmoid: str) -> NDArray[np.float64]:
    """Return uncalibrated probabilities of the labels 0 and 1, by the sigmoid of the training; shape (n, 2)."""
    if sigmoid == "linear":
        one = 0.5 + 0.125 * scores
    else:
        z = np.clip(scores, -_TURN, _TURN)
        one = 0.5 + 0.197 * z - 0.004 * z**3
    one = np.clip(one, 0.0, 1.0)
    return np.column_stack([1.0 - one, one])


class ScoreJob:
    """One party's half of the scoring, one step; `part` is its rows times its coefficients, in units of 2^-20."""

    name = LOGISTIC_SCORES.name
    steps = 1

    def __init__(self, role: str, model: bytes, part: NDArray[np.int64], names: Sequence[str]) -> None:
        self.role, self.model, self.part, self.names = role, model, part, list(names)
        self.inputs = inputs_of(model, part)
        self.scores: NDArray[np.float64] | None = None

    def step(self, links: Sequence[Link], index: int) -> None:
        """Send the host's parts; the guest adds."""
        (link,) = links
        n = len(self.part)
        if self.role == "guest":
            link.authorise(LOGISTIC_SCORES.purpose, self.names, n)
            link.send("rows", {"rows": n, "model": self.model})
            theirs = array_from(link.receive("scores", parts=1).parts[0], "<i8", (n,))
            if int(np.abs(theirs).max(initial=0)) >> 62 or int(theirs.min(initial=0)) < -(1 << 62):
                raise FrameError("message 'scores' contains a value outside the score range")
            self.scores = (self.part + theirs) / (1 << SCORE_BITS)
        else:
            got = link.receive("rows", ["rows", "model"], parts=0).fields
            asked = field(got, "rows", int, low=1)
            if field(got, "model", bytes, length=32) != self.model:
                raise ProtocolAbort(
                    "the halves are of different models: load those that were trained together", party=link.peer
                )
            if asked != n:
                raise ProtocolAbort(f"this party has {n} rows, the other {asked}: align them first", party=link.peer)
            link.authorise(LOGISTIC_SCORES.purpose, self.names, n)
            link.count("values_revealed", n)
            link.send("scores", parts=[array_bytes(self.part, "<i8")])
        link.count("rows", n)

    def state(self) -> bytes:
        """Return the scores, if there are any."""
        header: dict[str, Any] = {"task": self.name, "done": self.scores is not None}
        return encode(Kind.VERTICAL_STATE, header, b"" if self.scores is None else self.scores.astype("<f8").tobytes())

    def restore(self, state: bytes) -> None:
        """Return to a state."""
        got = state_of(state, self.name, ("done",))
        done = field(got.header, "done", bool)
        self.scores = array_from(got.payload, "<f8", (len(self.part),)) if done else None
