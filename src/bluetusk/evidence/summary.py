"""Summarises a log for people: who did what, when, and how much."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..storage.append import read_whole
from ._entries import Record, kept_head, scan
from ._head import Head, utc
from ._verify import Report
from .identity import fingerprint_groups

__all__ = [
    "kept_heads",
    "learned",
    "learned_line",
    "logged",
    "owner_key",
    "printable",
    "record_json",
    "record_line",
    "refusals",
    "summary",
]

_LONGEST = 160
_FIRST = 1 << 15  # bytes that hold the first entry of any log


def printable(text: object) -> str:
    """Return a text on one line that a terminal can bear, whoever chose it."""
    shown = "".join(c if c.isprintable() else "?" for c in str(text))
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "..."


def owner_key(path: str | os.PathLike[str]) -> bytes | None:
    """Return the key that a log's first record names, whether or not the log is good; None if there is none."""
    found = scan(read_whole(path)[:_FIRST], signatures=False)
    return found.heads[0].key if found.heads else None


def kept_heads(records: Iterable[Record], party: str) -> list[Head]:
    """Return the heads of a party's log that another log keeps."""
    return [pair[1] for record in records if (pair := kept_head(record)) is not None and pair[0] == party]


def learned(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return how many sums over rows and bits about rows a meter's counts say that its owner learned.

    Examples
    --------
    >>> learned([{"rows": 9, "sums_learned": 4}, {"bits_learned": 1}])
    {'sums': 4, 'bits': 1}
    """
    each = list(counts)
    return {what: sum(int(of.get(f"{what}_learned", 0)) for of in each) for what in ("sums", "bits")}


def learned_line(who: str, numbers: Mapping[str, int]) -> str:
    """Return what a party learned, for people.

    Examples
    --------
    >>> learned_line("this party", {"sums": 1200, "bits": 1})
    'this party learned 1,200 sums and 1 bits about rows of the other'
    """
    return f"{who} learned {numbers['sums']:,} sums and {numbers['bits']:,} bits about rows of the other"


def logged(records: Iterable[Record]) -> dict[str, int]:
    """Return what a log's owner learned, by the counts in its records."""
    total: Counter[tuple[str, str]] = Counter()
    for record in records:
        meter = record.details.get("meter")
        for name, counts in meter.items() if isinstance(meter, dict) else ():
            if isinstance(counts, dict) and all(type(number) is int for number in counts.values()):
                told = learned([counts])
                job = record.job
                if str(name).endswith("/*"):  # all of a job so far, where a record had no room for its tasks
                    total.update({(job, what): max(0, n - total[job, what]) for what, n in told.items()})
                else:
                    total.update({(job, what): n for what, n in told.items()})
    return {what: sum(n for (_, of), n in total.items() if of == what) for what in ("sums", "bits")}


def summary(report: Report) -> list[str]:
    """Return a log's summary, line by line."""
    if not report.records or report.head is None:
        return ["nothing in it can be believed"]
    first, last = report.records[0], report.records[-1]
    head = report.head
    lines = [
        f"log     {head.log.hex()} of {printable(first.details.get('owner', '?'))}",
        f"signer  {fingerprint_groups(head.key)}",
        f"when    {utc(first.time)} to {utc(last.time)}",
        f"holds   {len(report.records)} good records: "
        + ", ".join(f"{number} {printable(what)}" for what, number in sorted(report.counts.items())),
        f"head    {head.root.hex()} of {head.size} records",
        f"heads   of others vouch for {report.covered} of them",
        "learned {sums:,} sums and {bits:,} bits about rows of others".format(**logged(report.records)),
    ]
    for task, records in _by_task(report.records).items():
        lines.append(f"task {printable(task)}")
        lines += [f"  {line}" for line in _told(records)]
    return lines


def _by_task(records: Iterable[Record]) -> dict[str, list[Record]]:
    tasks: dict[str, list[Record]] = {}
    for record in records:
        if record.task:
            tasks.setdefault(record.task, []).append(record)
    return tasks


def _told(records: Sequence[Record]) -> list[str]:
    lines = []
    for run in _runs(records):
        record = run[0]
        line = f"{utc(record.time)} {printable(record.by)} {printable(record.what)}"
        if len(run) > 1:
            line += f", {len(run)} times until {utc(run[-1].time)}"
        details = record.details
        if record.what in ("authorised", "refused"):
            columns = details.get("columns", [])
            names = ", ".join(map(printable, columns[:6])) + (", ..." if len(columns) > 6 else "")
            line += f" {printable(details.get('purpose'))} to {printable(details.get('peer'))}: {names}"
            line += f"; rows {printable(details.get('rows'))}"
        if record.what == "refused":
            line += f"; clause {printable(details.get('clause'))}: {printable(details.get('reason'))}"
        if record.hashes and len(run) == 1:
            line += "; sha256 of " + ", ".join(f"{printable(k)} {v.hex()[:16]}" for k, v in record.hashes.items())
        lines.append(line)
        meter = details.get("meter")
        if isinstance(meter, dict):
            lines += [f"  with {printable(party)}: {_counts(counts)}" for party, counts in meter.items()]
    return lines


def _runs(records: Sequence[Record]) -> list[list[Record]]:
    """Put what the same party did again and again together, but for uses and ends of tasks."""
    runs: list[list[Record]] = []
    for record in records:
        last = runs[-1][0] if runs else None
        alone = record.what in ("authorised", "refused", "finished")
        if last is None or alone or (last.what, last.by) != (record.what, record.by):
            runs.append([])
        runs[-1].append(record)
    return runs


def _counts(counts: Any) -> str:
    if not isinstance(counts, dict):
        return printable(counts)
    return ", ".join(f"{printable(number)} {printable(what)}" for what, number in counts.items())


def record_line(record: Record) -> str:
    """Return a record as one line."""
    details = ", ".join(f"{printable(k)}={printable(_plain(v))}" for k, v in record.details.items())
    hashes = "".join(f" {printable(k)}:{v.hex()[:16]}" for k, v in record.hashes.items())
    task = f" {printable(record.task)}" if record.task else ""
    return f"{record.seq:>6} {utc(record.time)} {printable(record.by)} {printable(record.what)}{task} {details}{hashes}"


def record_json(record: Record) -> dict[str, Any]:
    """Return a record as JSON takes it; bytes in hexadecimal."""
    plain: dict[str, Any] = _plain({**vars(record), "time": utc(record.time)})
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def refusals(report: Report) -> Counter[str]:
    """Return how often each clause refused."""
    return Counter(str(record.details.get("clause", "?")) for record in report.records if record.what == "refused")
