"""Shows the demo's progress on standard error: a moving bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator

from .roles import GAP
from .runner import Event

__all__ = ["watching"]

_PAUSE = 5.0  # seconds between two lines where there is no terminal


@contextlib.contextmanager
def watching(quiet: bool, prefix: str = "") -> Iterator[Callable[[Event], None]]:
    """Show events as they come.

    Parameters
    ----------
    quiet : bool
        Show only lost banks and refused messages.
    prefix : str, optional
        Text before every line.

    Yields
    ------
    callable
        Call it with each :class:`~bluetusk.demo.runner.Event`.
    """
    if not quiet and sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            parts = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(30), TimeElapsedColumn())
            with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
                task = bar.add_task("starting the processes", total=1.0)
                gaps = _Gaps()

                def draw(event: Event) -> None:
                    text = prefix + _sentence(event)
                    if event.kind == "step":
                        bar.update(task, description=text, completed=gaps.share(event))
                    elif event.kind in ("lost", "refused"):
                        bar.console.print(text)
                    else:
                        bar.update(task, description=text)

                yield draw
            return
    last = -math.inf

    def write(event: Event) -> None:
        nonlocal last
        now = time.monotonic()
        if event.kind in ("lost", "refused") or not (quiet or (event.kind == "step" and now - last < _PAUSE)):
            sys.stderr.write(prefix + _sentence(event) + "\n")
            sys.stderr.flush()
            last = now

    yield write


class _Gaps:
    """The optimiser's progress, from 0 to 1, on the logarithm of the remaining gap."""

    def __init__(self) -> None:
        self._first = 0.0
        self._share = 0.0

    def share(self, event: Event) -> float:
        if "of" in event.fields:
            return float((event.fields["round"] + 1) / event.fields["of"])
        gap = max(event.fields["gap"], 1e-12)
        self._first = max(self._first, gap)
        done = math.log(self._first / gap) / math.log(max(self._first / GAP, 2.0))
        self._share = max(self._share, min(done, 1.0)) if event.fields["round"] else 0.0
        return self._share


def _sentence(event: Event) -> str:
    """Return an event in words."""
    f = event.fields
    if event.kind == "key":
        return f"key of {f['bits']} bits: {f['words']}"
    if event.kind == "phase":
        return "summing the histograms" if f["name"] == "bins" else "training"
    if event.kind == "bins":
        return f"agreed on {f['size']} bins"
    if event.kind == "step":
        return f"round {f['round'] + 1}: {f['clients']} banks, next step {f['gap']:.0e}"
    if event.kind == "lost":
        return f"{f['name']} {f['why']}: going on with the rest"
    return f"a message of {f['name']} was refused: {f['why']}"
