"""Counts use by party and task: rows, values, bytes; a message that is sent twice counts once."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from typing import Any

from ..errors import FrameError
from ..wire import frame
from ._entries import NAME, TASK, WORD, check_text

__all__ = ["Meter"]

_unnamed = itertools.count()
_SEEN = 16  # bytes kept of a message's hash: two of 10^9 messages collide with a chance of 10^-21


class Meter:
    """Counters by party, task and measure.

    Thread-safe; an interrupt finds a message counted or not, never by half. One meter serves one job, up to about 1600
    counts. It lives in memory: keep :meth:`to_bytes` with the checkpoint of the job and :meth:`restore` it with it, so
    that what is done again is not counted again. A snapshot belongs into the log at the end of each task.

    References
    ----------
    "Controllable and metered" use of data; JR/T 0196-2020.

    Examples
    --------
    >>> import bluetusk as bt
    >>> meter = bt.evidence.Meter()
    >>> meter.count(party="bank", task="binning", what="values_encrypted", number=21000, message="binning/0/1")
    True
    >>> meter.count(party="bank", task="binning", what="values_encrypted", number=21000, message="binning/0/1")
    False
    >>> meter.totals()
    {('bank', 'binning'): {'values_encrypted': 21000}}
    """

    def __init__(self) -> None:
        # By the mark of a message, or a number where it has none; None for counts of a mark read back. Those of a meter
        # that was read back have numbers for marks, as their messages are not known any more.
        self._seen: dict[bytes | int, tuple[str, str, str, int] | None] = {}

    def count(self, *, party: str, task: str, what: str, number: int, message: str | bytes | None = None) -> bool:
        """Count.

        Parameters
        ----------
        party : str
            The other party.
        task : str
            The task.
        what : str
            "rows", "values_encrypted", "values_revealed", "bytes_sent", "bytes_received", or another short name.
        number : int
            How many, not negative.
        message : str or bytes, optional
            Names the message that is counted: its second count, after a resend, is ignored.

        Returns
        -------
        bool
            Whether it counted.

        Raises
        ------
        TypeError, ValueError
            If a name is empty or too long, or `number` negative or not an integer.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.evidence.Meter().count(party="bank", task="binning", what="rows", number=-1)
        Traceback (most recent call last):
            ...
        ValueError: number is -1: it must be an integer from 0 to 2^62
        """
        for name, text, most in (("party", party, NAME), ("task", task, TASK), ("what", what, WORD)):
            check_text(text, name, most)
        value = int(number.__index__()) if hasattr(number, "__index__") else -1
        if not 0 <= value <= 1 << 62:
            raise ValueError(f"number is {number}: it must be an integer from 0 to 2^62")
        # one atomic step, so there is nothing to lock: the first count of a message stays
        mark = next(_unnamed) if message is None else _mark(party, task, what, message)
        count = (party, task, what, value)
        return self._seen.setdefault(mark, count) is count

    def totals(self) -> dict[tuple[str, str], dict[str, int]]:
        """Return all counts by (party, task).

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.evidence.Meter().totals()
        {}
        """
        return _totals(self._seen)

    def snapshot(self, task: str | None = None) -> dict[str, dict[str, int]]:
        """Return the counts of one task, by party, as a record's details take them; of all tasks together by default.

        Parameters
        ----------
        task : str, optional
            The task.

        Returns
        -------
        dict of str to dict of str to int

        Examples
        --------
        >>> import bluetusk as bt
        >>> meter = bt.evidence.Meter()
        >>> meter.count(party="bank", task="binning", what="rows", number=3)
        True
        >>> meter.snapshot("binning")
        {'bank': {'rows': 3}}
        """
        out: dict[str, dict[str, int]] = {}
        for (party, of), counts in self.totals().items():
            if task is None or of == task:
                sums = out.setdefault(party, {})
                for what, number in counts.items():
                    sums[what] = sums.get(what, 0) + number
        return out

    def to_bytes(self) -> bytes:
        """Return the meter as a frame of kind METER, for a checkpoint.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.evidence.Meter.from_bytes(bt.evidence.Meter().to_bytes()).totals()
        {}
        """
        seen = self._seen.copy()
        rows = [
            [party, task, what, number]
            for (party, task), numbers in _totals(seen).items()
            for what, number in numbers.items()
        ]
        marks = sorted(mark for mark in seen if isinstance(mark, bytes))
        return frame.encode(frame.Kind.METER, {"counts": rows}, b"".join(marks))

    def restore(self, data: bytes | memoryview) -> None:
        """Go back to what :meth:`to_bytes` returned earlier, when a job goes back to a checkpoint.

        Raises
        ------
        FrameError
            If `data` is not such a frame; the counts are then unchanged.

        Examples
        --------
        >>> import bluetusk as bt
        >>> meter = bt.evidence.Meter()
        >>> kept = meter.to_bytes()
        >>> meter.count(party="bank", task="binning", what="rows", number=3)
        True
        >>> meter.restore(kept)
        >>> meter.totals()
        {}
        """
        self._seen = Meter.from_bytes(data)._seen

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Meter:
        """Read :meth:`to_bytes`.

        Raises
        ------
        FrameError
            If `data` is not such a frame.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.evidence.Meter.from_bytes(b"")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: frame is truncated: ...
        """
        got = frame.decode(data, frame.Kind.METER)
        frame.check_fields(got.header, ("counts",))
        self = cls()
        for row in frame.field(got.header, "counts", list, items=list):
            party, task, what, number = _row(row)
            try:
                self.count(party=party, task=task, what=what, number=number)
            except (TypeError, ValueError) as error:
                raise FrameError(f"frame field 'counts' is malformed: {error}") from None
        marks = bytes(got.payload)
        if len(marks) % _SEEN:
            raise FrameError("the payload of a meter must hold marks of 16 bytes")
        self._seen.update((marks[i : i + _SEEN], None) for i in range(0, len(marks), _SEEN))
        return self


def _totals(seen: Mapping[bytes | int, tuple[str, str, str, int] | None]) -> dict[tuple[str, str], dict[str, int]]:
    sums: dict[tuple[str, str], dict[str, int]] = {}
    for count in list(seen.values()):
        if count is not None:
            party, task, what, number = count
            counts = sums.setdefault((party, task), {})
            counts[what] = counts.get(what, 0) + number
    return {key: dict(sorted(counts.items())) for key, counts in sorted(sums.items())}


def _mark(party: str, task: str, what: str, message: str | bytes) -> bytes:
    raw = message.encode() if isinstance(message, str) else bytes(message)
    return hashlib.sha256(b"\x00".join((party.encode(), task.encode(), what.encode(), raw))).digest()[:_SEEN]


def _row(row: list[Any]) -> tuple[Any, Any, Any, Any]:
    if len(row) != 4:
        raise FrameError("frame field 'counts' is malformed: four values make a count")
    return row[0], row[1], row[2], row[3]
