"""Interleaved windows: in each round every library has one short turn, in an order that rotates."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .process import Worker, WorkerError
from .rows import OURS, Row

MOST_WINDOWS = 200
BUSY = 1.3  # processor seconds to a second of the wall, above which a library runs on more than one thread


@dataclass
class Contestant:
    """One library in one row."""

    label: str
    worker: Worker
    operation: str
    n: int = 0
    windows: list[dict[str, float]] = field(default_factory=list)
    spent: float = 0.0


@dataclass(frozen=True)
class Plan:
    """How long to measure: `seconds` for a library and row, but at least `least` windows."""

    seconds: float
    least: int
    clock: str | None = None


def contestants(row: Row, workers: Sequence[Worker], can: dict[str, set[str]]) -> list[Contestant]:
    """Return the libraries that have the row's operation; our worker twice if it also runs the rival."""
    ours = next(worker for worker in workers if worker.label == OURS)
    if row.rival:
        return [Contestant(OURS, ours, row.operation), Contestant(row.rival[0], ours, row.rival[1])]
    return [
        Contestant(worker.label, worker, row.operation)
        for worker in workers
        if row.operation in can[worker.label] and (worker is ours or not (row.ours_only or row.against))
    ]


def measure_row(
    row: Row, those: list[Contestant], plan: Plan, say: Callable[[str], None]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return the figures by library and why a library has none."""
    failed: dict[str, str] = {}
    clock = "wall" if row.clock == "wall" else plan.clock or row.clock
    turn = 0
    start = time.monotonic()
    while unfinished := [one for one in those if not _enough(one, plan)]:
        for offset in range(len(unfinished)):
            one = unfinished[(turn + offset) % len(unfinished)]
            say(f"{row.title}: {one.label}, {time.monotonic() - start:.0f} s")
            try:
                if not one.n:
                    one.n = one.worker.ask("row", row=one.operation, n=row.n, limit=row.limit)["n"]
                window = one.worker.ask("window", row=one.operation, seconds=row.window, clock=clock)
            except WorkerError as err:
                failed[one.label] = str(err)
                those.remove(one)
                continue
            one.windows.append(window)
            one.spent += window["wall"]
        turn += 1
    return {one.label: figures(one, row) for one in those}, failed


def _enough(one: Contestant, plan: Plan) -> bool:
    return len(one.windows) >= plan.least and (one.spent >= plan.seconds or len(one.windows) >= MOST_WINDOWS)


def figures(one: Contestant, row: Row) -> dict[str, Any]:
    """Median of the windows and best call, in microseconds per unit."""
    busy = sum(w["cpu"] for w in one.windows) / max(sum(w["wall"] for w in one.windows), 1e-9)
    result: dict[str, Any] = {
        "median_us": 1e6 * statistics.median(w["mean"] for w in one.windows),
        "best_us": 1e6 * min(w["best"] for w in one.windows),
        "windows": len(one.windows),
        "n": one.n,
    }
    if busy > BUSY and row.clock == "cpu":
        result["threads"] = busy
    return result
