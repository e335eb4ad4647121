"""One party's observer of a protocol: asks the guard, feeds the meter, writes the log."""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import FrameError, PolicyRefused
from ..wire import frame
from ._commit import ROWS, WHAT, Commitment, commitment_of, commitments
from ._entries import Record
from ._guard import Guard
from ._log import Log
from ._meter import Meter
from ._request import NUMBERS

__all__ = ["Recorder"]

_SHOWN = 1500  # bytes of names of columns in a record; its hash stands for all of them
_HASHED = ("model", "intersection")
_NOTED = "noted"  # the hash of what the guard has noted of a use
_COUNTED = "counted_again"  # of a step that is taken again
_APART = ("uses_left", "policy", "purpose", "step", "times")  # what differs between two uses of one task
_ROOM = 2500  # bytes of counts in a record
_STATED = tuple(name for name in NUMBERS if name != "total_events")  # a head, and so a log, may be shown


class Recorder:
    """Ties guard, meter and log to the links of one job.

    It has the three methods of an observer of :mod:`bluetusk.vertical`. Refusals are logged as uses are. Frames and
    counts are named by the job, so that a job that is resumed after a crash counts nothing twice.

    Parameters
    ----------
    log : Log
        The log that events are written to.
    meter : Meter
        The meter that counts. Keep ``meter.to_bytes()`` with each checkpoint and ``meter.restore`` it with it.
    job : str
        The job's id: new for every run, the same when a run is resumed, agreed with the peers.
    me : str
        This party's name.
    guard : Guard, optional
        Without one nothing is refused.
    peers : mapping of str to str
        Fingerprint of each peer by its name, from its certificate.
    resumed : bool
        Whether the job keeps its steps on disk and goes on from them after a crash, as `bluetusk party` does. Then the
        same use of the same job is the same task and spends nothing twice. By default every use is a new task: a
        function that is called again answers the peer again.

    Raises
    ------
    PolicyRefused
        Clause "store", if the guard has noted fewer uses than the log says were granted: one of the two files was
        deleted or restored from an older copy.

    Examples
    --------
    >>> import bluetusk as bt
    >>> recorder = bt.evidence.Recorder(
    ...     log=log, meter=bt.evidence.Meter(), job="job-7", me="host", peers={"guest": "5a" * 32}
    ... )
    >>> recorder.authorise(peer="guest", purpose="binning", columns=["AGE"], rows=900)
    >>> recorder.count(peer="guest", task="binning", what="rows", number=900)
    >>> recorder.finish("binning")
    >>> [(record.what, record.task) for record in log.records[1:]]
    [('authorised', 'job-7/binning'), ('finished', 'job-7/binning')]
    """

    def __init__(
        self,
        *,
        log: Log,
        meter: Meter,
        job: str,
        me: str,
        peers: Mapping[str, str],
        guard: Guard | None = None,
        resumed: bool = False,
    ) -> None:
        self.log, self.meter, self.guard, self.job, self.me = log, meter, guard, job, me
        self.peers, self.resumed = dict(peers), resumed
        self._told = {
            (record.what, record.task, _again(record) if record.what == _COUNTED else record.hashes.get("use"))
            for record in log.records
            if record.what in ("authorised", "finished", _COUNTED) and record.job == job
        }
        self._committed: set[Commitment] = set(commitments(log.records, job))
        self._named: dict[tuple[str, str], str] = {}  # the guard's names of tasks, where they are drawn
        if guard is not None:
            guard.check_noted(_granted(log.records), _noted(log.records))

    def authorise(
        self, *, peer: str, purpose: str, columns: Sequence[str], rows: int, task: str | None = None, **details: Any
    ) -> None:
        """Ask the guard, and log the answer before the caller goes on.

        Parameters
        ----------
        peer : str
            The peer's name.
        purpose : str
            The purpose of the use.
        columns : sequence of str
            The columns that are used.
        rows : int
            How many rows, or requested ids.
        task : str, optional
            Within the job; by default the use itself. In a job that is resumed a task may be granted again, but for the
            same use only.
        **details
            As of :meth:`Guard.authorise`.

        Raises
        ------
        PolicyRefused
            As :meth:`Guard.authorise`.
        ProtocolAbort
            If the log cannot be written.

        Examples
        --------
        See :class:`Recorder`.

        >>> import bluetusk as bt
        >>> bt.evidence.Recorder.authorise.__name__
        'authorise'
        """
        full = self._task(task or purpose)
        use = self._use(peer, purpose, columns, rows, details)
        facts: dict[str, Any] = {
            "peer": peer[:64],
            "purpose": purpose[:64],
            "columns": _shown(columns),
            "rows": int(rows),
        }
        facts |= {key: int(details[key]) for key in _STATED if details.get(key) is not None}
        if details.get("reveal"):
            facts["reveal"] = [str(name)[:64] for name in details["reveal"]][:8]
        try:
            permit = None
            if self.guard is not None:
                name = self._named[full, purpose] = self._permitted(full, use, named=task is not None)
                permit = self.guard.authorise(
                    peer=self._fingerprint(peer, purpose),
                    purpose=purpose,
                    columns=columns,
                    rows=rows,
                    task=name,
                    **details,
                )
        except PolicyRefused as refusal:
            facts |= {"clause": refusal.clause, "reason": refusal.reason[:256]}
            self.log.append("refused", by=self.me, task=full, details=facts)
            raise
        if self.resumed and ("authorised", full, use) in self._told:
            return
        if permit is not None and self.guard is not None:
            facts |= {"grant": permit.grant, "uses_left": permit.uses_left, "policy": self.guard.policy.digest}
        hashes = {"use": use} | {key: details[key] for key in _HASHED if details.get(key)}
        hashes |= {_NOTED: permit.noted} if permit is not None else {}
        self.log.append("authorised", by=self.me, task=full, hashes=hashes, details=facts)
        self._told.add(("authorised", full, use))

    def retaken(
        self, *, peer: str, purpose: str, task: str, step: int, times: int, sums: int = 0, bits: int = 0
    ) -> None:
        """Have the guard count what a peer learns in a step that is taken again, and log it before the caller goes on.

        Parameters
        ----------
        peer, purpose : str
            As of :meth:`authorise`.
        task : str
            Within the job.
        step, times, sums, bits : int
            As of :meth:`Guard.retaken`.

        Raises
        ------
        PolicyRefused
            As :meth:`Guard.retaken`.
        ProtocolAbort
            If the log cannot be written.

        Examples
        --------
        See :class:`Recorder`.

        >>> import bluetusk as bt
        >>> bt.evidence.Recorder.retaken.__name__
        'retaken'
        """
        if self.guard is None:
            return
        full = self._task(task)
        facts: dict[str, Any] = {"peer": peer[:64], "purpose": purpose[:64], "step": int(step), "times": int(times)}
        facts |= {"sums": int(sums), "bits": int(bits)}
        try:
            permit = self.guard.retaken(
                peer=self._fingerprint(peer, purpose),
                purpose=purpose,
                task=self._named.get((full, purpose), full),
                step=step,
                times=times,
                sums=sums,
                bits=bits,
            )
        except PolicyRefused as refusal:
            facts |= {"clause": refusal.clause, "reason": refusal.reason[:256]}
            self.log.append("refused", by=self.me, task=full, details=facts)
            raise
        if permit is None:
            return
        names: tuple[Any, ...] = (permit.noted, _retake(facts)) if permit.again else (permit.noted,)
        if all((_COUNTED, full, name) not in self._told for name in names):  # a crash may have come between
            facts["grant"] = permit.grant
            self.log.append(_COUNTED, by=self.me, task=full, hashes={_NOTED: permit.noted}, details=facts)
            self._told.add((_COUNTED, full, permit.noted))

    def _permitted(self, full: str, use: bytes, *, named: bool) -> str:
        """Return the task's name to the guard, under which a use is granted again without counting."""
        if not self.resumed:
            return f"{full[:200]}/{os.urandom(8).hex()}"  # 256 characters at most
        return full if named else f"{full}/{use.hex()[:8]}"  # without a name each different use is a task

    def count(self, *, peer: str, task: str, what: str, number: int, message: str | None = None) -> None:
        """Count.

        Parameters
        ----------
        peer, task, what, number, message
            As of :meth:`Meter.count`; `peer` is a name, `task` within the job.

        Examples
        --------
        See :class:`Recorder`.

        >>> import bluetusk as bt
        >>> bt.evidence.Recorder.count.__name__
        'count'
        """
        self.meter.count(party=peer, task=task or "-", what=what, number=number, message=message)

    def passed(self, *, peer: str, task: str, sent: bool, frame: bytes) -> None:
        """Count the bytes of a frame that goes out or came in; once, however often it is sent again.

        Of frames that an audit opens, encrypted labels and gradients, the log keeps the digests.

        Parameters
        ----------
        peer, task : str
            The other party, and the task.
        sent : bool
            Whether it goes out.
        frame : bytes
            The whole frame.

        Notes
        -----
        A frame that names its task, step and place in it is identified by them, so that a step that is taken again with
        fresh randomness counts once; any other is identified by its hash.

        Examples
        --------
        See :class:`Recorder`.

        >>> import bluetusk as bt
        >>> bt.evidence.Recorder.passed.__name__
        'passed'
        """
        what = "bytes_sent" if sent else "bytes_received"
        self.meter.count(party=peer, task=task or "-", what=what, number=len(frame), message=_name(frame))
        self._commit(peer, sent, frame)

    def _commit(self, peer: str, sent: bool, data: bytes) -> None:
        """Log the digests of an array that an audit opens, before it leaves or is used."""
        found = commitment_of(data, sent)
        if found is None or found in self._committed:
            return
        details = {"topic": found.topic, "step": found.step, "peer": peer[:64]}
        by = found.by[:64] if sent else peer[:64]  # the name in the message: an audit tells the parties by it
        self.log.append(WHAT, by=by, task=self._task(found.task), hashes=found.hashes, details=details)
        self._committed.add(found)

    def rows(self, digests: Mapping[str, bytes]) -> None:
        """Log which rows each task of the job has, once.

        Parameters
        ----------
        digests : mapping of str to bytes
            By task, the hash of the ids in order, under a key that both parties have.

        Raises
        ------
        ProtocolAbort
            If the log cannot be written.

        Examples
        --------
        See :class:`Recorder`.

        >>> import bluetusk as bt
        >>> bt.evidence.Recorder.rows.__name__
        'rows'
        """
        full = self._task(ROWS)
        if not any((record.what, record.task, record.hashes) == (ROWS, full, digests) for record in self.log.records):
            self.log.append(ROWS, by=self.me, task=full, hashes=digests)

    def finish(
        self, task: str, *, hashes: Mapping[str, bytes] | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        """Log the end of a task: hashes of its results, and what the meter counted since the last such record.

        Parameters
        ----------
        task : str
            Within the job.
        hashes : mapping of str to bytes, optional
            SHA-256 of results.
        details : mapping, optional
            Small public values.

        Raises
        ------
        ProtocolAbort
            If the log cannot be written.

        Examples
        --------
        See :class:`Recorder`.

        >>> import bluetusk as bt
        >>> bt.evidence.Recorder.finish.__name__
        'finish'
        """
        full = self._task(task)
        if ("finished", full, None) in self._told:
            return
        facts = {**(details or {}), "meter": self._new_counts()}
        self.log.append("finished", by=self.me, task=full, hashes=hashes, details=facts)
        self._told.add(("finished", full, None))

    def _new_counts(self) -> dict[str, dict[str, int]]:
        """Return what is counted beyond what this job's records say, by "party/task"; by party if that is much."""
        said: Counter[tuple[str, str]] = Counter()
        for record in self.log.records:
            told = record.details.get("meter") if record.job == self.job else None
            for name, counts in told.items() if isinstance(told, dict) else ():
                said.update({(name, what): number for what, number in counts.items()})
        new: dict[str, dict[str, int]] = {}
        for (party, task), counts in self.meter.totals().items():
            name = f"{party}/{task}"
            more = {what: number - said[name, what] for what, number in counts.items() if number > said[name, what]}
            if more:
                new[name] = more
        if sum(len(name.encode()) + 32 * len(counts) for name, counts in new.items()) <= _ROOM:
            return new
        return {f"{party}/*": counts for party, counts in self.meter.snapshot().items()}

    def _task(self, task: str) -> str:
        if "/" in task:
            raise ValueError(f"task is {task!r}: it must not have a '/', which ends the job's name in the log")
        return f"{self.job}/{task}"

    def _fingerprint(self, peer: str, purpose: str) -> str:
        known = self.peers.get(peer)
        if known is None:
            raise PolicyRefused(f"no certificate is known for {peer!r}", clause="peer", peer=peer[:64], purpose=purpose)
        return known

    def _use(self, peer: str, purpose: str, columns: Sequence[str], rows: int, details: Mapping[str, Any]) -> bytes:
        more = sorted((key, str(value)) for key, value in details.items() if key != "total_events")
        return hashlib.sha256(repr([peer, purpose, int(rows), sorted(map(str, columns)), more]).encode()).digest()


def _again(record: Record) -> bytes | tuple[Any, ...]:
    """Return what tells the record of a retake from others: the guard's hash, which earlier versions did not log."""
    return record.hashes[_NOTED] if _NOTED in record.hashes else _retake(record.details)


def _retake(facts: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(map(facts.get, ("peer", "purpose", "step", "times")))


def _granted(records: Sequence[Record]) -> Counter[str]:
    """Return how many uses were granted under each grant; one that two recorders of a job have logged counts once.

    The guard's hash tells uses apart. Logs of earlier versions do not have it, so there all that can differ must do.
    """
    told = {
        (record.details["grant"], record.hashes[_NOTED])
        if _NOTED in record.hashes
        else (record.details["grant"], record.task, record.hashes.get("use"), *map(record.details.get, _APART))
        for record in records
        if record.what in ("authorised", _COUNTED) and "grant" in record.details
    }
    return Counter(grant for grant, *_ in told)


def _noted(records: Sequence[Record]) -> dict[bytes, str]:
    """Return the task of each use, by the hash of what the guard has noted of it."""
    return {record.hashes[_NOTED]: record.task for record in records if _NOTED in record.hashes}


def _shown(columns: Sequence[str]) -> list[str]:
    """Return the first names, as many as a record has room for."""
    room = _SHOWN
    shown: list[str] = []
    for column in columns:
        name = str(column)[:64]
        room -= len(name.encode(errors="replace"))
        if room < 0:
            return [*shown, f"and {len(columns) - len(shown)} more"]
        shown.append(name)
    return shown


def _name(data: bytes) -> bytes:
    """Return what tells a frame from any other of its task."""
    try:
        header, _ = frame.read_header(io.BytesIO(data))
        place = [header[key] for key in ("from", "task", "step", "seq")]
    except (FrameError, KeyError):
        return hashlib.sha256(data).digest()
    return repr(place).encode()
