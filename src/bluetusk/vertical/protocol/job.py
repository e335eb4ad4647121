"""Runs a task as a series of steps that both parties take together, and that survives the crash of either.

A step is the unit of recovery: each party keeps its state after every step. When one of them was killed and restarts,
both return to the last step that both have kept and take the next one again with fresh masks, so no mask is used twice
and no step counts twice. A peer that pretends to have crashed may ask for something else in a step that is taken again:
where that shows it more, each time counts against the policy as the first one did (:class:`Showing`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from ...errors import BluetuskError, FrameError
from .link import Link, Rewind
from .refusal import tell

__all__ = ["PARTS", "PIECE", "Counting", "Job", "Keeper", "Progress", "Showing", "drive", "part_of", "pieces_of"]

Progress = Callable[[str, int, int], None]
"""Called with a task's name, the steps taken and the number of steps (which may shrink by early stopping)."""


PARTS = 8
"""Rows that travel step by step do so in so many parts, the unit of progress and of recovery."""


def part_of(n: int, i: int) -> slice:
    """Return the i-th of the parts of n rows."""
    return slice(n * i // PARTS, n * (i + 1) // PARTS)


PIECE = 1 << 14
"""Rows that are scored in one step; more of them from 2^22 rows on, whose states would take too long to write."""
_PIECES = 256


def pieces_of(n: int) -> list[slice]:
    """Return the pieces in which n rows are scored: both parties cut alike.

    Examples
    --------
    >>> pieces_of(20_000)
    [slice(0, 16384, None), slice(16384, 20000, None)]
    """
    size = max(PIECE, -(-n // _PIECES))
    return [slice(lo, min(lo + size, n)) for lo in range(0, n, size)]


class Job(Protocol):
    """One party's half of a task.

    Attributes
    ----------
    name : str
        The task, the same at both parties: it stands in every message.
    inputs : bytes
        A hash of all inputs of this party, see :func:`~bluetusk.vertical.protocol.state.inputs_of`: kept steps resume
        only with the same inputs.
    """

    name: str
    inputs: bytes

    @property
    def steps(self) -> int:
        """Number of steps, as far as is known now; the same at both parties after the same step."""

    def step(self, links: Sequence[Link], index: int) -> None:
        """Take one step with the peers. The step may be repeated from the state before it, with fresh randomness."""

    def state(self) -> bytes:
        """Return everything that the steps so far have changed; secret: encrypt it before it is written to disk."""

    def restore(self, state: bytes) -> None:
        """Return to a state that :meth:`state` returned, in this process or in another one with the same inputs."""


@runtime_checkable
class Showing(Protocol):
    """A job that may show a peer more when a step of it is taken again.

    Other jobs show the same in each attempt, or nothing of rows.
    """

    purpose: str

    def shows(self, index: int) -> tuple[int, int]:
        """Return the most that a peer learns from this party in a step: sums over rows, bits about rows."""


@runtime_checkable
class Counting(Protocol):
    """A keeper that knows how often a step was taken again, over all processes."""

    def retakes(self, task: str, index: int) -> int:
        """Return how often this step of a task was taken again, with this time."""


class Keeper(Protocol):
    """Keeps the states of a party's jobs, and agrees with the peers on the step from which to resume."""

    def resume(self, task: str) -> tuple[int, bytes | None]:
        """Return how many steps all parties have kept, and this party's state after them (None if there is none).

        Raises :class:`~bluetusk.vertical.protocol.link.Rewind` if the parties must return to an earlier task: run that
        one again, from its kept steps.
        """

    def commit(self, task: str, index: int, state: bytes) -> None:
        """Keep the state after `index` steps; it is on disk when this returns. Raises Rewind as a channel does."""


def drive(job: Job, links: Sequence[Link], *, keeper: Keeper | None = None, progress: Progress | None = None) -> None:
    """Take all steps of a job; if this party fails, tell the peers at once, with the reason that they may know.

    Parameters
    ----------
    job : Job
        This party's half.
    links : sequence of Link
        To the peers: the guest has one for each host, a host has one.
    keeper : Keeper, optional
        Keeps the states; by default nothing is kept, and a peer's crash ends the job.
    progress : callable, optional
        Called after each step.

    Raises
    ------
    FrameError
        If the kept steps were taken with other inputs, or are damaged.
    """
    try:
        _drive(job, links, keeper, progress)
    except Rewind:
        raise
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if keeper is None or isinstance(error, BluetuskError):  # a keeper may free a full disk and resume
            tell(links, error)
        raise


def _drive(job: Job, links: Sequence[Link], keeper: Keeper | None, progress: Progress | None) -> None:
    first = job.state() if keeper is not None else b""
    index = _resumed(job, keeper, first) if keeper is not None else 0
    while index < job.steps:
        for link in links:
            link.scope(job.name, index)
        if isinstance(job, Showing) and isinstance(keeper, Counting) and (times := keeper.retakes(job.name, index)):
            sums, bits = job.shows(index)
            for link in links if sums or bits else ():
                link.retaken(job.purpose, times, sums=sums, bits=bits)
        try:
            job.step(links, index)
            for link in links:
                link.settle()
            if keeper is not None:
                keeper.commit(job.name, index + 1, job.inputs + job.state())
        except Rewind:
            if keeper is None:
                raise
            index = _resumed(job, keeper, first)
            continue
        index += 1
        if progress is not None:
            progress(job.name, index, job.steps)


def _resumed(job: Job, keeper: Keeper, first: bytes) -> int:
    index, kept = keeper.resume(job.name)
    if kept is None:
        job.restore(first)
        return index
    if kept[: len(job.inputs)] != job.inputs:
        raise FrameError(
            f"the kept steps of {job.name!r} were taken with other rows or settings: give the same, or another keeper"
        )
    try:
        job.restore(kept[len(job.inputs) :])
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"[:200]
        raise FrameError(f"the kept steps of {job.name!r} are damaged ({what}): restore them, or begin anew") from None
    return index
