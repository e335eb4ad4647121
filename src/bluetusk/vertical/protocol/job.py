"""A training as a row of steps that both parties take together, and that survives the crash of either.

A step is the unit of recovery: each party keeps its state after every step. When one of them was killed and comes
back, both go back to the last step that both have kept and take it again with fresh masks, so no mask is used twice
and no step counts twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ...errors import BluetuskError, FrameError
from .link import Link, Rewind
from .refusal import tell

__all__ = ["PARTS", "Job", "Keeper", "Progress", "drive", "part_of"]

Progress = Callable[[str, int, int], None]
"""Called with a task's name, the steps taken and the steps there are (the latter may shrink: early stopping)."""


PARTS = 8
"""Rows that travel step by step do so in so many parts, the unit of progress and of recovery."""


def part_of(n: int, i: int) -> slice:
    """Return the i-th of the parts of n rows."""
    return slice(n * i // PARTS, n * (i + 1) // PARTS)


class Job(Protocol):
    """One party's half of a task.

    Attributes
    ----------
    name : str
        The task, the same at both parties: it stands in every message.
    inputs : bytes
        A hash of all that this party brings to it, see
        :func:`~bluetusk.vertical.protocol.state.inputs_of`: kept steps go on with nothing else.
    """

    name: str
    inputs: bytes

    @property
    def steps(self) -> int:
        """How many steps there are, as far as is known now; the same at both parties after the same step."""

    def step(self, links: Sequence[Link], index: int) -> None:
        """Take one step with the peers. May be taken again from the state before it, with fresh randomness."""

    def state(self) -> bytes:
        """Return all that the steps so far have changed. Secret: it is encrypted before it goes to disk."""

    def restore(self, state: bytes) -> None:
        """Go back to a state that :meth:`state` returned, in this process or in another one with the same inputs."""


class Keeper(Protocol):
    """Where a party keeps the states of its jobs; it agrees with the peers on where to go on."""

    def resume(self, task: str) -> tuple[int, bytes | None]:
        """Return the last step that all parties have kept, and this party's state then (None: nothing yet).

        Raises :class:`~bluetusk.vertical.protocol.link.Rewind` if that step belongs to an earlier task: run that one
        again, from its kept steps.
        """

    def commit(self, task: str, index: int, state: bytes) -> None:
        """Keep the state after `index` steps; it is on disk when this returns. Raises Rewind as a channel does."""


def drive(job: Job, links: Sequence[Link], *, keeper: Keeper | None = None, progress: Progress | None = None) -> None:
    """Take all steps of a job; if this party fails, the peers are told at once, and what they may know of it.

    Parameters
    ----------
    job : Job
        This party's half.
    links : sequence of Link
        To the peers: the guest has one for each host, a host has one.
    keeper : Keeper, optional
        By default nothing is kept, and a peer's crash ends the job.
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
    except Exception as error:
        if keeper is None or isinstance(error, BluetuskError):  # whoever keeps steps may mend a full disk and go on
            tell(links, error)
        raise


def _drive(job: Job, links: Sequence[Link], keeper: Keeper | None, progress: Progress | None) -> None:
    first = job.state() if keeper is not None else b""
    index = _resumed(job, keeper, first) if keeper is not None else 0
    while index < job.steps:
        for link in links:
            link.scope(job.name, index)
        try:
            job.step(links, index)
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
            f"the kept steps of {job.name!r} were taken with other rows or settings: give those, or another keeper"
        )
    job.restore(kept[len(job.inputs) :])
    return index
