"""What a peer wants of the data owner."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from ..errors import PolicyRefused
from ..tasks import TASKS
from ._entries import check_text

__all__ = ["ASKING", "GROUPED", "SMALL", "Request"]

GROUPED = tuple(task.purpose for task in TASKS if task.groups)
"""Purposes that show sums of groups, so that `min_rows` is required where the policy has one."""
ASKING = tuple(task.purpose for task in TASKS if task.asks)
"""Purposes that request ids."""
SMALL = tuple(dict.fromkeys(task.purpose for task in TASKS if task.few))
"""Purposes that may have few rows: the size of an intersection is known after it, and one applicant may be scored."""


@dataclass(frozen=True)
class Request:
    """What a peer wants."""

    peer: str
    purpose: str
    columns: tuple[str, ...]
    rows: int
    task: str
    min_rows: int | None
    asked: int | None
    min_intersection: int | None
    details: dict[str, Any]

    def __post_init__(self) -> None:
        for name in ("peer", "purpose", "task"):
            check_text(getattr(self, name), name, 256)
        for name in ("rows", "min_rows", "asked", "min_intersection"):
            value = getattr(self, name)
            if value is not None and (not hasattr(value, "__index__") or value.__index__() < 0):
                raise ValueError(f"{name} is {value!r}: it must be a whole number, not negative")
            object.__setattr__(self, name, None if value is None else int(value.__index__()))

    @property
    def ids(self) -> int:
        """How many ids are requested."""
        if self.asked is not None:
            return int(self.asked)
        return int(self.rows) if self.purpose in ASKING else 0

    @property
    def digest(self) -> bytes:
        """What makes two uses the same."""
        numbers = [self.rows, self.ids, *(-1 if n is None else n for n in (self.min_rows, self.min_intersection))]
        more = sorted((name, str(value)) for name, value in self.details.items())
        return hashlib.sha256(repr([sorted(map(str, self.columns)), [int(n) for n in numbers], more]).encode()).digest()

    def refused(self, clause: str, reason: str) -> PolicyRefused:
        return PolicyRefused(reason, clause=clause, peer=self.peer[:16], purpose=self.purpose[:64])
