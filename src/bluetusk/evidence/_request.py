"""What a peer wants of the data owner."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from ..errors import PolicyRefused
from ..tasks import BINNING, BOOSTING, LOGISTIC_SCORES, TASKS
from ._entries import check_text

__all__ = ["GROUPED", "LABELS", "LEAST", "MOST", "NUMBERS", "SCORING", "SHOWN", "SMALL", "Request"]

GROUPED = tuple(task.purpose for task in TASKS if task.groups)
"""Purposes that show sums of groups, so that the least sizes of a group are required where the policy has them."""
ASKING = tuple(task.purpose for task in TASKS if task.asks)
"""Purposes that request ids."""
SMALL = tuple(dict.fromkeys(task.purpose for task in TASKS if task.few))
"""Purposes that may have few rows: the size of an intersection is known after it, and one applicant may be scored."""
SCORING = LOGISTIC_SCORES.purpose
"""The purpose that scores rows by a model."""
LABELS = ("label",)
"""What the owner of labels names as its columns where only they are used."""

LEAST = {"min_rows": 1, "min_events": 0, "min_others": 0}
"""Least sizes of a group whose sums are shown, with the value at which a clause asks for nothing."""
MOST = {
    "max_bins": ("bins", BINNING.purpose),
    "max_trees": ("trees", BOOSTING.purpose),
    "max_depth": ("depth", BOOSTING.purpose),
    "max_cuts": ("cuts", BOOSTING.purpose),
}
"""Clauses that limit a number which the request states, and the purpose for which it must."""
SHOWN = ("max_bins", "max_cuts")
"""Those of what the owner of columns shows; the owner of labels shows none of it, and states ``sums=0``."""
_COUNTS = tuple(detail for detail, _ in MOST.values())
NUMBERS = (*LEAST, "min_intersection", "asked", *_COUNTS, "epochs", "sums", "bits", "total_events", "second_labels")
"""Details that are whole numbers."""

_OLD = ("min_rows", "min_intersection", "asked")  # they stand apart in the digest, as files of uses have it
_SCORE_BITS = 64  # of a score that opens exactly
_DIGEST = 32


@dataclass(frozen=True)
class Request:
    """What a peer wants.

    Attributes
    ----------
    peer, purpose, columns, rows, task
        As :meth:`Guard.authorise` takes them.
    numbers : dict of str to int
        The details among :data:`NUMBERS` that were stated.
    reveal : tuple of str
        What opens exactly.
    model, intersection : bytes
        SHA-256 of the model that scores and of the joint ids; empty if not stated.
    details : dict
        All other details.
    again : int
        0 for a task; how often the step was taken again, where `task` names one.
    """

    peer: str
    purpose: str
    columns: tuple[str, ...]
    rows: int
    task: str
    details: dict[str, Any]
    again: int = 0
    numbers: dict[str, int] = field(init=False)
    reveal: tuple[str, ...] = field(init=False)
    model: bytes = field(init=False)
    intersection: bytes = field(init=False)

    def __post_init__(self) -> None:
        for name in ("peer", "purpose", "task"):
            check_text(getattr(self, name), name, 256)
        rest = dict(self.details)
        given = {"rows": self.rows} | {name: rest.pop(name) for name in NUMBERS if rest.get(name) is not None}
        for name, value in given.items():
            if not hasattr(value, "__index__") or not 0 <= value.__index__() < 1 << 63:
                raise ValueError(f"{name} is {value!r:.64}: it must be a whole number, not negative, below 2^63")
        numbers = {name: int(value.__index__()) for name, value in given.items()}
        reveal = rest.pop("reveal", ())
        if isinstance(reveal, str) or not all(isinstance(name, str) for name in reveal):
            raise TypeError(f"reveal is {reveal!r}: it must be a sequence of names")
        hashed = {name: rest.pop(name, None) or b"" for name in ("model", "intersection")}
        for name, value in hashed.items():
            if not isinstance(value, bytes) or len(value) not in (0, _DIGEST):
                raise ValueError(f"{name} must be {_DIGEST} bytes: a SHA-256")
        object.__setattr__(self, "rows", numbers.pop("rows"))
        object.__setattr__(self, "numbers", numbers)
        object.__setattr__(self, "reveal", tuple(sorted(set(reveal))))
        object.__setattr__(self, "model", hashed["model"])
        object.__setattr__(self, "intersection", hashed["intersection"])
        object.__setattr__(self, "details", {name: value for name, value in rest.items() if name not in NUMBERS})

    @property
    def ids(self) -> int:
        """How many ids are requested."""
        return self.numbers.get("asked", self.rows if self.purpose in ASKING else 0)

    @property
    def used(self) -> tuple[str, ...]:
        """The columns that count as used: not the ids, which have their own limits."""
        return () if self.purpose in ASKING else self.columns

    @property
    def sums(self) -> int | None:
        """At most so many sums over rows the peer learns; None if the request does not say enough to tell.

        A bin shows its rows and its events; a cut of a node two sums, of gradients and of their derivatives. The owner
        of labels shows no sums, unless weights of evidence open: of whose columns, it must say.
        """
        stated = self.numbers.get("sums")
        if stated is not None:
            return stated
        if self.purpose == BINNING.purpose and self.columns == LABELS:
            return None if "woe" in self.reveal else 0
        if self.purpose == BINNING.purpose:
            bins = self.numbers.get("bins")
            return None if bins is None else 2 * bins * len(self.columns)
        if self.purpose == BOOSTING.purpose:
            parts = [self.numbers.get(name) for name in ("trees", "depth", "cuts")]
            if None in parts:
                return None
            trees, depth, cuts = (int(part or 0) for part in parts)
            return 2 * trees * ((1 << min(depth, 48)) - 1) * cuts
        return 0

    def bits(self, most: int) -> int:
        """At most so many bits about single rows the peer learns, and one each time that it sees a task go on.

        A score that is not said to have less has 64 bits, or `most`: that of each split of the trees that are allowed.
        """
        stated = self.numbers.get("bits")
        if stated is not None:
            return stated
        sides = self.numbers.get("trees", 0) * self.numbers.get("depth", 0)  # which way a row goes at each split
        if self.purpose == SCORING:
            return self.rows * (sides or max(_SCORE_BITS, most))
        return max(1, self.numbers.get("epochs", 0), self.rows * sides) if self.purpose not in ASKING else 0

    @property
    def digest(self) -> bytes:
        """What makes two uses the same. The number of events is not in it: it could be found by trying."""
        numbers = [self.rows, self.ids, *(self.numbers.get(name, -1) for name in ("min_rows", "min_intersection"))]
        apart = (*_OLD, "total_events")
        more = {**self.details, **{name: value for name, value in self.numbers.items() if name not in apart}}
        more |= {"reveal": self.reveal} if self.reveal else {}
        more |= {name: value.hex() for name in ("model", "intersection") if (value := getattr(self, name))}
        told = sorted((name, str(value)) for name, value in more.items())
        return hashlib.sha256(repr([sorted(map(str, self.columns)), numbers, told]).encode()).digest()

    def refused(self, clause: str, reason: str) -> PolicyRefused:
        return PolicyRefused(reason, clause=clause, peer=self.peer[:16], purpose=self.purpose[:64])
