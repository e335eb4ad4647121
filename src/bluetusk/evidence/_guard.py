"""Checks every use of an owner's data against the policy, by the owner's clock, and counts it on disk first."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._closing import Closing
from ..errors import FrameError, PolicyRefused, ProtocolAbort
from ._entries import TASK
from ._request import GROUPED, LABELS, LEAST, MOST, SCORING, SHOWN, SMALL, Request
from ._uses import MOST_COLUMNS, Use, Uses, mark_of
from .policy import UNLIMITED, Grant, Policy, seconds_text

__all__ = ["Guard", "Permit"]

_SLACK = 2.0
"""Seconds by which a clock may be set back (the system's own corrections); the later time then counts."""


@dataclass(frozen=True)
class Permit:
    """A use that was granted.

    Attributes
    ----------
    grant : str
        Id of the grant.
    task : str
        The task.
    uses_left : int
        How many more tasks the grant allows.
    until : int
        Seconds since 1970, UTC.
    again : bool
        Whether the same use had been granted before: a resumed task.
    noted : bytes
        SHA-256 of what the store has of the use, for the log of evidence.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.evidence.Permit("g1", "job-7", 2, 2_000_000_000, False).uses_left
    2
    """

    grant: str
    task: str
    uses_left: int
    until: int
    again: bool
    noted: bytes = b""


class Guard(Closing):
    """Enforces a policy: every use that it does not grant is refused, and a use is counted before the answer leaves.

    Parameters
    ----------
    policy : Policy or path-like
        A signed policy. A path is read again before every use, so that a newer policy there takes effect at once.
    store : path-like
        Where uses are noted; made (mode 0600) if absent. Whoever can restore an older copy of this file
        resets the counts, so it belongs on the owner's machine, and the log of evidence notes every use as well.
    owner : bytes
        The Ed25519 key, 32 bytes, that must have signed every policy.
    clock : callable, optional
        Returns seconds since 1970, UTC.

    Raises
    ------
    PolicyRefused
        Clause "signature" or "serial": the policy is not the owner's, or is older than the last one; "store": the uses
        cannot be read or noted.

    References
    ----------
    JR/T 0196-2020: the provider of data authorises every use beforehand.

    Examples
    --------
    >>> import bluetusk as bt, os, tempfile
    >>> owner = bt.evidence.Identity.generate()
    >>> bank = "5a" * 32
    >>> grant = bt.evidence.Grant("g1", bank, ("binning",), ("AGE",), uses=1, until=4_000_000_000)
    >>> policy = bt.evidence.Policy("network", 1, (grant,)).sign(owner)
    >>> folder = tempfile.TemporaryDirectory()
    >>> guard = bt.evidence.Guard(policy, os.path.join(folder.name, "uses"), owner=owner.public_key)
    >>> use = {"peer": bank, "purpose": "binning", "columns": ["AGE"], "rows": 900}
    >>> shown = {"min_rows": 50, "min_events": 5, "min_others": 5, "bins": 10}
    >>> guard.authorise(**use, **shown, task="a").uses_left
    0
    >>> guard.authorise(**use, **shown, task="b")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    bluetusk.errors.PolicyRefused: policy refuses binning to 5a5a5a5a5a5a5a5a (clause uses): all 1 ...
    >>> guard.close(); folder.cleanup()
    """

    def __init__(
        self,
        policy: Policy | str | os.PathLike[str],
        store: str | os.PathLike[str],
        *,
        owner: bytes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._owner, self._clock, self._latest = owner, clock, 0.0
        self._path = None if isinstance(policy, Policy) else os.fspath(policy)
        loaded = policy if isinstance(policy, Policy) else self._loaded()
        self._check_signature(loaded)
        try:
            self._uses = Uses(store, owner)
        except (OSError, ProtocolAbort, FrameError) as error:
            raise PolicyRefused(f"the uses cannot be read from {os.fspath(store)!r}: {error}", clause="store") from None
        self._latest = self._uses.known.latest
        self._policy = loaded
        try:
            self._take(loaded)
        except BaseException:
            self._uses.close()
            raise

    @property
    def policy(self) -> Policy:
        """The policy in force.

        Examples
        --------
        >>> guard.policy.serial
        1
        """
        return self._policy

    def close(self) -> None:
        """Release the store.

        Examples
        --------
        >>> import bluetusk as bt, os, tempfile
        >>> owner = bt.evidence.Identity.generate()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     policy = bt.evidence.Policy("network", 1, ()).sign(owner)
        ...     bt.evidence.Guard(policy, os.path.join(folder, "uses"), owner=owner.public_key).close()
        """
        self._uses.close()

    def replace(self, policy: Policy) -> None:
        """Take a newer policy, to grant or to revoke; uses are still counted under the ids of the grants.

        Parameters
        ----------
        policy : Policy
            Signed by the same owner, with a higher serial.

        Raises
        ------
        PolicyRefused
            Clause "signature", "serial" or "store"; the old policy stays in force.
        ProtocolAbort
            As :meth:`authorise`.

        Examples
        --------
        >>> import bluetusk as bt
        >>> first, second = (bt.evidence.Policy("network", n, ()).sign(owner) for n in (1, 2))
        >>> guard.replace(second)
        >>> guard.policy.serial
        2
        """
        self._check_signature(policy)
        with self._uses.lock:
            self._take(policy)

    def authorise(
        self,
        *,
        peer: str,
        purpose: str,
        columns: Sequence[str],
        rows: int,
        task: str,
        **details: Any,
    ) -> Permit:
        """Grant one use, or refuse it.

        What a clause needs and the request does not state is refused.

        Parameters
        ----------
        peer : str
            The peer's fingerprint, from its certificate.
        purpose : str
            The purpose of the use.
        columns : sequence of str
            The columns that are used.
        rows : int
            How many rows take part; for "intersect" and "blacklist" without `asked`, how many ids are requested.
        task : str
            The task's id, new for every task. The same use of the same task is granted again without counting: a
            resumed task. Another use needs another id.
        **details
            Facts of the use; all but `total_events` are part of what makes two uses the same.

            min_rows, min_events, min_others : int
                Least rows, events and others of a group (bin, bucket, node) whose sums will be shown; required for
                purposes that show such sums.
            min_intersection : int
                Least size of an intersection that will be shown; required for "intersect".
            total_events : int
                Events among all rows; required of the owner of the labels, whose `columns` are "label" alone.
            asked : int
                How many ids are requested, where `rows` is something else.
            bins : int
                Largest number of bins of a column; required for "binning", unless it states ``sums=0``.
            trees, depth, cuts : int
                Trees, levels of splits in each, and cuts of all columns together; required for "gradient_boosting",
                `cuts` unless it states ``sums=0``.
            sums, bits : int
                The most that the peer learns: sums over rows, bits about rows. By default what the other details
                allow; of "predict" 64 bits a row, or one for each level of all trees that the grant allows. The owner
                of the labels must say how many sums open with weights of evidence.
            epochs : int
                Epochs of a regression: whether it goes on is one bit each.
            reveal : sequence of str
                What opens exactly: "woe", "coefficients", "scores".
            model : bytes
                SHA-256 of the model; required for "predict", whose `rows` it scores.
            intersection : bytes
                Hash of the joint ids in order, where they are known: a task that was granted for some rows is not
                granted again for others.
            second_labels : int
                How many rows had other labels in an earlier task.

        Returns
        -------
        Permit
            Noted on disk.

        Raises
        ------
        PolicyRefused
            Naming the clause. Of several grants to the same peer for the same purpose the first that allows the use
            counts; if none does, the refusal is that of the grant that came closest.
        ProtocolAbort
            If called from within another call on this thread (a signal handler or a finaliser).
        TypeError, ValueError
            If an argument has the wrong type or value.

        Examples
        --------
        See :class:`Guard`.

        >>> guard.authorise(peer="5a" * 32, purpose="sale", columns=["AGE"], rows=9, task="a")
        Traceback (most recent call last):
            ...
        bluetusk.errors.PolicyRefused: policy refuses sale to 5a5a5a5a5a5a5a5a (clause peer): no grant names this peer
        """
        if isinstance(columns, str):
            raise TypeError(f"columns must be a list of names, not the text {columns!r:.64}")
        wanted = Request(peer, purpose, tuple(columns), rows, task, details)
        with self._uses.lock:
            now = self._now(wanted)
            self._refresh(wanted)
            grant, refusal = self._allowing(wanted, now)
            if grant is None:
                raise refusal or wanted.refused("peer", "no grant names this peer")
            return self._noted(grant, wanted, now)

    def release(
        self, *, peer: str, purpose: str, task: str, intersection: int | None = None, min_rows: int | None = None
    ) -> None:
        """Check a result of a granted task before it leaves, where its size was not known before.

        Parameters
        ----------
        peer, purpose, task : str
            As granted.
        intersection : int, optional
            Rows found to be common.
        min_rows : int, optional
            Rows of the smallest group in the result.

        Raises
        ------
        PolicyRefused
            Clause "task" if it was never granted, "revoked" or "until" if it is no longer, "min_intersection" or
            "min_rows" if the result is too small.
        ProtocolAbort
            As :meth:`authorise`.

        Examples
        --------
        >>> guard.release(peer="5a" * 32, purpose="sale", task="a", intersection=3)
        Traceback (most recent call last):
            ...
        bluetusk.errors.PolicyRefused: policy refuses sale to 5a5a5a5a5a5a5a5a (clause task): task 'a' was never granted
        """
        wanted = Request(peer, purpose, (), 0, task, {"min_rows": min_rows})
        with self._uses.lock:
            grant = self._granted(wanted, task, self._now(wanted))
            if intersection is not None and intersection < grant.min_intersection:
                raise wanted.refused(
                    "min_intersection",
                    f"{intersection} rows are common; grant {grant.id!r} requires at least {grant.min_intersection}",
                )
            self._check_groups(grant, wanted, due=False)

    def retaken(
        self, *, peer: str, purpose: str, task: str, step: int, times: int, sums: int = 0, bits: int = 0
    ) -> Permit | None:
        """Count what the peer learns when a step of a granted task is taken again, or refuse it.

        A peer that has lost a step in a crash, or says so, may have learned its sums before and may ask for others now.

        Parameters
        ----------
        peer, purpose, task : str
            As granted.
        step, times : int
            The step, from 0, and how often it is taken again with this time, from 1: the same again is not counted
            twice.
        sums, bits : int
            The most that the peer learns in the step: sums over rows, bits about rows.

        Returns
        -------
        Permit or None
            Noted on disk; None of a first step (0) whose task was not granted yet: it has shown nothing, and asks.

        Raises
        ------
        PolicyRefused
            Clause "task" if the task was never granted, "revoked" or "until" if it is no longer, "max_sums" or
            "max_bits" if the peer would have learned too much in all its tasks.
        ProtocolAbort
            As :meth:`authorise`.
        ValueError
            If `step` is negative or `times` is below 1.

        Examples
        --------
        >>> guard.retaken(peer="5a" * 32, purpose="sale", task="a", step=3, times=1, sums=20)
        Traceback (most recent call last):
            ...
        bluetusk.errors.PolicyRefused: policy refuses sale to 5a5a5a5a5a5a5a5a (clause task): task 'a' was never granted
        """
        if step < 0 or times < 1:
            raise ValueError(f"step is {step} and times is {times}: steps count from 0, times from 1")
        step, times = int(step), int(times)  # not a bool, which the file does not take back
        wanted = Request(peer, purpose, (), 0, _name(task, step, times), {"sums": sums, "bits": bits}, times)
        with self._uses.lock:
            now = self._now(wanted)
            if not step and self._uses.find(peer, purpose, task) is None:
                return None
            grant = self._granted(wanted, task, now)
            self._check_learned(grant, wanted, now)
            return self._noted(grant, wanted, now)

    def check_noted(self, granted: Mapping[str, int], uses: Mapping[bytes, str] | None = None) -> None:
        """Refuse to go on if fewer uses are noted than a log of evidence says, or others.

        Parameters
        ----------
        granted : mapping of str to int
            How many uses were granted under each grant, by the log.
        uses : mapping of bytes to str, optional
            The task of each use that the log has, by :attr:`Permit.noted`; logs of earlier versions have none.

        Raises
        ------
        PolicyRefused
            Clause "store": the file of uses was deleted, replaced, written anew, or restored from an older copy.

        Examples
        --------
        >>> guard.check_noted({"g1": 1})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        bluetusk.errors.PolicyRefused: ... (clause store): '...' notes 0 uses of grant 'g1', but the log of ...
        """
        known = self._uses.known
        for grant, number in granted.items():
            if known.noted[grant] < number:
                raise self._lost(
                    f"{known.noted[grant]} uses of grant {grant!r}, but the log of evidence says that {number} were "
                    "granted"
                )
        have = {use.digest for use in known.by_task.values()} if uses else set()
        for digest, task in (uses or {}).items():
            if digest not in have:
                raise self._lost(f"nothing, or something else, of a use that the log of evidence has of task {task!r}")

    def _lost(self, what: str) -> PolicyRefused:
        return PolicyRefused(
            f"{self._uses.path!r} notes {what}: the file was deleted, replaced, written anew or restored from an older "
            "copy, and what peers have had would count from there. Restore it as it was last; if it is lost, begin a "
            "new log under another name, with a policy that grants only what may be shown once more",
            clause="store",
        )

    def usage(self) -> dict[str, dict[str, int]]:
        """Return what is spent, by grant: tasks and ids.

        Examples
        --------
        >>> guard.usage()
        {}
        """
        return self._uses.usage(grant.id for grant in self._policy.grants)

    def learned(self) -> dict[str, dict[str, int]]:
        """Return the most that each peer has learned, by fingerprint: sums, bits, columns, models, rows scored.

        Unlike uses and ids these count by peer, under all grants and policies together, and over all rows: what a peer
        knows of one set of rows, it knows of all sets that overlap it.

        Examples
        --------
        >>> guard.learned()
        {}
        """
        return self._uses.learned()

    # ------------------------------------------------------------------------------------------------- internals

    def _loaded(self) -> Policy:
        path = self._path or ""
        try:
            return Policy.load(path)
        except (OSError, ValueError, FrameError) as error:
            raise PolicyRefused(f"the policy {path!r} cannot be read: {error}", clause="signature") from None

    def _check_signature(self, policy: Policy) -> None:
        if not policy.signed_by(self._owner):
            raise PolicyRefused(
                "the policy is not signed by the data owner: sign it, `bluetusk evidence policy sign`",
                clause="signature",
            )

    def _take(self, policy: Policy) -> None:
        """Put a policy into force, if it is not older than the last one."""
        serial, digest = self._uses.known.serial, policy.digest
        if policy.serial < serial or (policy.serial == serial and digest != self._uses.known.policy):
            raise PolicyRefused(
                f"the policy has serial {policy.serial}, but serial {serial} is in force: sign it with a higher one",
                clause="serial",
            )
        if policy.serial > serial:
            try:
                self._uses.note_policy(policy.serial, digest)
            except OSError as error:
                raise self._unnoted(error) from error
        self._policy = policy

    def _refresh(self, wanted: Request) -> None:
        if self._path is not None:
            policy = self._loaded()
            if policy != self._policy:
                self._check_signature(policy)
                self._take(policy)

    def _now(self, wanted: Request) -> float:
        now = float(self._clock())
        if now < self._latest - _SLACK:
            raise wanted.refused(
                "clock",
                f"the owner's clock fell from {seconds_text(int(self._latest))} to {seconds_text(int(now))}: set it",
            )
        self._latest = max(now, self._latest)
        return self._latest

    def _granted(self, wanted: Request, task: str, now: float) -> Grant:
        """Return the grant under which a task was granted, if it still holds."""
        self._refresh(wanted)
        use = self._uses.find(wanted.peer, wanted.purpose, task)
        if use is None:
            raise wanted.refused("task", f"task {task!r} was never granted")
        grant = next((grant for grant in self._policy.grants if grant.id == use.grant), None)
        if grant is None:
            raise wanted.refused("revoked", f"grant {use.grant!r} is no longer in the policy")
        if grant.peer != wanted.peer or wanted.purpose not in grant.purposes:  # a newer policy, with the same id
            raise wanted.refused("revoked", f"grant {use.grant!r} is no longer for this peer and purpose")
        self._check_time(grant, wanted, now)
        return grant

    def _allowing(self, wanted: Request, now: float) -> tuple[Grant | None, PolicyRefused | None]:
        """Return the grant that allows the use, or the refusal of the one that came closest."""
        mine = [grant for grant in self._policy.grants if grant.peer == wanted.peer]
        fitting = [grant for grant in mine if wanted.purpose in grant.purposes]
        if mine and not fitting:
            return None, wanted.refused("purpose", f"this peer's grants are for {', '.join(_purposes(mine))} only")
        refusals: list[tuple[int, PolicyRefused]] = []
        for grant in fitting:
            step = 0
            try:
                for check in (
                    self._check_time,
                    self._check_columns,
                    self._check_rows,
                    self._check_numbers,
                    self._check_ids,
                    self._check_uses,
                    self._check_learned,
                ):
                    check(grant, wanted, now)
                    step += 1
                return grant, None
            except PolicyRefused as refusal:
                refusals.append((step, refusal))
        return None, max(refusals, key=lambda pair: pair[0])[1] if refusals else None

    def _check_time(self, grant: Grant, wanted: Request, now: float) -> None:
        revoked = self._policy.revoked
        if grant.id in revoked or grant.peer in revoked:
            raise wanted.refused("revoked", f"grant {grant.id!r} was revoked by policy {self._policy.serial}")
        if now < grant.not_before:
            raise wanted.refused("not_before", f"grant {grant.id!r} is valid from {seconds_text(grant.not_before)}")
        if now >= grant.until:
            raise wanted.refused("until", f"grant {grant.id!r} ended {seconds_text(grant.until)}: request a new one")

    def _check_columns(self, grant: Grant, wanted: Request, now: float) -> None:
        if grant.columns != ("*",):
            for column in wanted.columns:
                if column not in grant.columns:
                    raise wanted.refused("columns", f"grant {grant.id!r} does not allow column {column!r}")

    def _check_rows(self, grant: Grant, wanted: Request, now: float) -> None:
        least = grant.min_intersection
        if wanted.purpose not in SMALL and wanted.rows < least:
            raise wanted.refused(
                "min_intersection", f"{wanted.rows} rows take part; grant {grant.id!r} requires at least {least}"
            )
        self._check_least(grant, wanted, "min_intersection", due=wanted.purpose == "intersect" and least > 1)
        events = wanted.numbers.get("total_events")
        if events is None:
            if grant.min_total_events and wanted.columns == LABELS:
                raise wanted.refused(
                    "min_total_events",
                    f"total_events was not given; grant {grant.id!r} requires at least {grant.min_total_events}",
                )
        elif events < grant.min_total_events:
            # the number itself would be in the log, and in what the owner is told
            raise wanted.refused(
                "min_total_events",
                f"the rows have fewer events than the {grant.min_total_events} that grant {grant.id!r} requires",
            )
        self._check_groups(grant, wanted, due=wanted.purpose in GROUPED)

    def _check_groups(self, grant: Grant, wanted: Request, *, due: bool) -> None:
        for clause, nothing in LEAST.items():
            self._check_least(grant, wanted, clause, due=due and getattr(grant, clause) > nothing)

    def _check_least(self, grant: Grant, wanted: Request, clause: str, *, due: bool) -> None:
        least, stated = getattr(grant, clause), wanted.numbers.get(clause)
        if stated is None and due:
            raise wanted.refused(clause, f"{clause} was not given; grant {grant.id!r} requires at least {least}")
        if stated is not None and stated < least:
            raise wanted.refused(clause, f"{clause} is {stated}; grant {grant.id!r} requires at least {least}")

    def _check_numbers(self, grant: Grant, wanted: Request, now: float) -> None:
        for name in wanted.reveal:
            if name not in grant.reveal:
                raise wanted.refused(
                    "reveal",
                    f"grant {grant.id!r} does not allow {name!r} to open exactly: name it in reveal, or do without",
                )
        if wanted.numbers.get("second_labels") and not grant.second_labels:
            raise wanted.refused(
                "second_labels",
                f"{wanted.numbers['second_labels']} rows have had other labels in an earlier task; grant {grant.id!r} "
                "allows one array of labels for a row",
            )
        for clause, (detail, purpose) in MOST.items():
            most, stated = getattr(grant, clause), wanted.numbers.get(detail)
            hidden = clause in SHOWN and wanted.numbers.get("sums") == 0
            if most == UNLIMITED or wanted.purpose != purpose or (stated is None and hidden):
                continue
            if stated is None:
                raise wanted.refused(clause, f"{detail} was not given; grant {grant.id!r} allows at most {most}")
            if stated > most:
                raise wanted.refused(clause, f"{detail} is {stated}; grant {grant.id!r} allows at most {most}")
        limits = (grant.max_rows_scored, grant.max_models)
        if wanted.purpose == SCORING and not wanted.model and limits != (UNLIMITED, UNLIMITED):
            clause = "max_models" if grant.max_models != UNLIMITED else "max_rows_scored"
            raise wanted.refused(
                clause, f"model was not given; grant {grant.id!r} limits the models and the rows that each scores"
            )

    def _check_ids(self, grant: Grant, wanted: Request, now: float) -> None:
        if not wanted.ids:
            return
        if wanted.ids > grant.max_ids_per_request:
            raise wanted.refused(
                "max_ids_per_request",
                f"{wanted.ids} ids are requested; grant {grant.id!r} allows {grant.max_ids_per_request} per request",
            )
        spent = self._uses.known.ids[grant.id]
        if self._known(wanted) is None and spent + wanted.ids > grant.max_ids_total:
            raise wanted.refused(
                "max_ids_total",
                f"{spent} ids were requested before and {wanted.ids} are now; grant {grant.id!r} allows "
                f"{grant.max_ids_total} in all",
            )

    def _check_uses(self, grant: Grant, wanted: Request, now: float) -> None:
        known = self._known(wanted)
        if known is not None:
            if known.request != wanted.digest:
                raise wanted.refused("task", f"task {wanted.task!r} was granted for another use: choose a new task id")
            if known.grant == grant.id:
                return
            raise wanted.refused("task", f"task {wanted.task!r} was granted under grant {known.grant!r}")
        if self._uses.known.count[grant.id] >= grant.uses:
            raise wanted.refused("uses", f"all {grant.uses} uses of grant {grant.id!r} are spent: request a new grant")

    def _check_learned(self, grant: Grant, wanted: Request, now: float) -> None:
        """Check what the peer would have learned in all after this use."""
        if self._known(wanted) is not None:
            return
        known, peer, model = self._uses.known, wanted.peer, wanted.model
        if wanted.sums is None and grant.max_sums != UNLIMITED:
            raise wanted.refused(
                "max_sums",
                f"the request does not say how many sums it shows; grant {grant.id!r} allows at most "
                f"{grant.max_sums} in all: state sums",
            )
        scored = known.scored.get(peer, Counter[bytes]())
        columns = known.columns.get(peer, frozenset()) | set(map(mark_of, wanted.used))
        scores = wanted.purpose == SCORING and bool(model)
        after = {
            "max_sums": (known.sums[peer] + (wanted.sums or 0), "sums over rows"),
            "max_bits": (known.bits[peer] + _bits(grant, wanted), "bits about rows"),
            "max_columns": (len(columns), "columns"),
            "max_models": (len(scored) + (model not in scored) if scores else 0, "models that score"),
            "max_rows_scored": (scored.get(model, 0) + wanted.rows if scores else 0, "rows scored by this model"),
        }
        for clause, (number, what) in after.items():
            most = getattr(grant, clause)
            if most != UNLIMITED and number > most:
                raise wanted.refused(
                    clause,
                    f"with this use the peer would have had {number} {what} in all its tasks; grant {grant.id!r} "
                    f"allows {most}",
                )

    def _use_of(self, grant: Grant, wanted: Request, now: float) -> Use:
        """Return what is noted of a use."""
        had = self._uses.known.columns.get(wanted.peer, frozenset())
        fresh = sorted(set(map(mark_of, wanted.used)) - had)[: MOST_COLUMNS - len(had)]
        scores = wanted.purpose == SCORING
        return Use(
            grant.id,
            wanted.peer,
            wanted.purpose,
            wanted.task,
            wanted.digest,
            wanted.ids,
            int(now * 1000),
            min(wanted.sums or 0, UNLIMITED),
            min(_bits(grant, wanted), UNLIMITED),
            b"".join(fresh),
            wanted.model if scores else b"",
            min(wanted.rows, UNLIMITED) if scores else 0,
            wanted.again,
        )

    def _known(self, wanted: Request) -> Use | None:
        return self._uses.find(wanted.peer, wanted.purpose, wanted.task, again=bool(wanted.again))

    def _noted(self, grant: Grant, wanted: Request, now: float) -> Permit:
        """Note a use, unless it is noted already, and permit it."""
        known = self._known(wanted)
        use = self._use_of(grant, wanted, now) if known is None else known
        if known is None:
            try:
                self._uses.note(use)
            except OSError as error:
                raise self._unnoted(error, wanted) from error
        left = grant.uses - self._uses.known.count[grant.id]
        return Permit(grant.id, wanted.task, max(0, left), grant.until, known is not None, use.digest)

    def _unnoted(self, error: OSError, wanted: Request | None = None) -> PolicyRefused:
        reason = (
            f"the use cannot be noted in {self._uses.path!r} ({error.strerror or error}), so nothing is granted: make "
            "room, then retry"
        )
        return PolicyRefused(reason, clause="store") if wanted is None else wanted.refused("store", reason)


def _name(task: str, step: int, times: int) -> str:
    """Return what stands for a step that is taken again; a hash, which has no "/", where a name would be too long."""
    name = f"{task}/{step}/{times}"
    return name if len(name) <= TASK else hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


def _bits(grant: Grant, wanted: Request) -> int:
    """Return the most bits that the peer learns."""
    return wanted.bits(grant.max_trees * grant.max_depth)


def _purposes(grants: Sequence[Grant]) -> list[str]:
    return list(dict.fromkeys(purpose for grant in grants for purpose in grant.purposes))
