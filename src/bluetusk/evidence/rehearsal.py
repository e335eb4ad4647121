"""Rehearses the uses of a run against a policy, and finds every clause that would refuse one; nothing is noted.

A :class:`Guard` refuses a use by the first clause that it does not meet. Here the clause that refused is lifted in a
copy of the policy, and the use is tried again, until all that stands in its way is known.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import PolicyRefused
from ._entries import Record
from ._guard import Guard
from ._recorder import _granted, _noted
from ._request import LEAST, MOST, Request
from ._uses import Known, Use, Uses
from .policy import REVEALS, UNLIMITED, Grant, Policy

__all__ = ["Refusal", "lost", "most_shown", "noted", "rehearse"]

_MOST_USES = 1 << 48
_LATEST = 1 << 40


@dataclass(frozen=True)
class Refusal:
    """A clause that refuses a use.

    Attributes
    ----------
    purpose, clause, reason : str
        The use, the clause, and the guard's reason.
    """

    purpose: str
    clause: str
    reason: str


def noted(path: str | os.PathLike[str], owner: bytes) -> Known:
    """Return what a file of uses says, without opening it for additions; nothing is noted if there is no file.

    Parameters
    ----------
    path : path-like
        The file.
    owner : bytes
        The data owner's key.

    Raises
    ------
    FrameError
        If the file was altered, or belongs to another owner.
    ProtocolAbort, OSError
        If it cannot be read.
    """
    return Uses.read(path, owner)


def lost(path: str | os.PathLike[str], known: Known, records: Sequence[Record]) -> str:
    """Return why a run would refuse to go on, if fewer or other uses are noted than a log has; "" if they agree.

    Parameters
    ----------
    path : path-like
        The file of uses.
    known : Known
        What it says.
    records : sequence of Record
        Those of the log.
    """
    guard = _Rehearsal(Policy("owner", 1, ()), known, os.fspath(path))
    try:
        guard.check_noted(_granted(records), _noted(records))
    except PolicyRefused as refusal:
        return refusal.reason
    return ""


def rehearse(policy: Policy, known: Known, peer: str, uses: Sequence[Mapping[str, Any]]) -> list[Refusal]:
    """Return all clauses by which a policy would refuse these uses, one after the other.

    The number of uses is not rehearsed: it is counted beforehand.

    Parameters
    ----------
    policy : Policy
        The owner's.
    known : Known
        What is noted already, as :func:`noted` returns it.
    peer : str
        The peer's fingerprint.
    uses : sequence of mapping
        The arguments of :meth:`Guard.authorise`, but `peer` and `task`.

    Returns
    -------
    list of Refusal
        Each clause once for a purpose.
    """
    guard = _Rehearsal(policy, known.copy())
    guard.lift("uses", peer, "")
    found: list[Refusal] = []
    for number, use in enumerate(uses):
        given = dict(use)
        facts = {name: given.pop(name) for name in ("purpose", "rows")}
        columns = tuple(given.pop("columns"))
        wanted = Request(peer, facts["purpose"], columns, facts["rows"], f"rehearsal {number}", given)
        lifted: set[str] = set()
        while True:
            grant, refusal = guard.answer(wanted)
            if grant is not None:
                guard.take(grant, wanted)
                break
            if refusal is None:
                return [*found, Refusal(wanted.purpose, "peer", "no grant names this peer")]
            reason = refusal.reason
            if refusal.clause == "columns":
                reason = guard.columns_missing(wanted)
            if (told := Refusal(wanted.purpose, refusal.clause, reason)) not in found:
                found.append(told)
            if refusal.clause in lifted:  # it cannot be lifted
                break
            lifted.add(refusal.clause)
            guard.lift(refusal.clause, peer, wanted.purpose)
    return found


class _Copy(Uses):
    """What a file of uses said, in memory."""

    def __init__(self, known: Known, path: str) -> None:
        self.known, self.path, self._turn = known, path, threading.RLock()

    @property
    def lock(self) -> threading.RLock:
        return self._turn

    def close(self) -> None:
        """Nothing is open."""

    def note(self, use: Use) -> None:
        more = self.known.copy()
        more.add(use)
        self.known = more


class _Rehearsal(Guard):
    """A guard that holds a copy of a policy, whose clauses are lifted one by one."""

    def __init__(self, policy: Policy, known: Known, path: str = "") -> None:
        self._policy, self._path, self._clock = policy, None, time.time
        self._latest, self._uses = 0.0, _Copy(known, path)

    def answer(self, wanted: Request) -> tuple[Grant | None, PolicyRefused | None]:
        return self._allowing(wanted, time.time())

    def take(self, grant: Grant, wanted: Request) -> None:
        self._uses.note(self._use_of(grant, wanted, time.time()))

    def columns_missing(self, wanted: Request) -> str:
        granted = {name for grant in self._policy.grants if grant.peer == wanted.peer for name in grant.columns}
        missing = [repr(name) for name in wanted.columns if name not in granted]
        return f"no grant allows the columns {', '.join(missing)}"[:1000]

    def lift(self, clause: str, peer: str, purpose: str) -> None:
        """Have a clause refuse nothing more to this peer."""
        values: dict[str, Any] = {
            "uses": _MOST_USES,
            "until": _LATEST,
            "not_before": 0,
            "columns": ("*",),
            "reveal": REVEALS,
            "second_labels": True,
            **dict.fromkeys(LEAST, 0),
            "min_rows": 1,
            "min_intersection": 1,
            "min_total_events": 0,
        }
        if clause.startswith("max_"):
            values[clause] = UNLIMITED
        if clause == "revoked":
            self._policy = replace(self._policy, revoked=())
            return
        grants = []
        for grant in self._policy.grants:
            if grant.peer == peer and clause == "purpose":
                grants.append(replace(grant, purposes=(*grant.purposes, purpose)))
            elif grant.peer == peer and clause in values:
                grants.append(replace(grant, **{clause: values[clause]}))
            else:
                grants.append(grant)
        self._policy = replace(self._policy, grants=tuple(grants))


def most_shown(uses: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Return the clauses whose defaults would refuse these uses: what they need, rounded up, and the default.

    Parameters
    ----------
    uses : sequence of mapping
        As for :func:`rehearse`.

    Examples
    --------
    >>> use = {"purpose": "binning", "columns": tuple(map(str, range(90))), "rows": 900, "bins": 10}
    >>> most_shown([use])
    {'max_columns': (90, 64)}
    """
    default = Grant("g", "0" * 64, ("binning",), ("*",), 1, 1)
    need: Counter[str] = Counter()
    columns: set[str] = set()
    rows: Counter[bytes] = Counter()
    for use in uses:
        given = dict(use)
        purpose, names, number = given.pop("purpose"), tuple(given.pop("columns")), given.pop("rows")
        wanted = Request("0" * 64, purpose, names, number, "task", given)
        for clause, (detail, of) in MOST.items():
            if purpose == of:
                need[clause] = max(need[clause], wanted.numbers.get(detail, 0))
        need["max_sums"] += wanted.sums or 0
        need["max_bits"] += wanted.bits(default.max_trees * default.max_depth)
        columns |= set(wanted.used)
        rows[wanted.model] += wanted.rows if wanted.model else 0
    need |= Counter(max_columns=len(columns), max_models=len([model for model in rows if model]))
    need["max_rows_scored"] = max(rows.values(), default=0)
    found = {}
    for clause, number in sorted(need.items()):
        before = getattr(default, clause)
        if number > before:
            unit = 10 ** max(0, len(str(number)) - 2)
            found[clause] = (-(-number // unit) * unit, before)
    return found
