"""A party that fails says so, so that the others need not wait for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from ..errors import BluetuskError
from ._link import Link

__all__ = ["telling"]


@contextmanager
def telling(links: Sequence[Link]) -> Iterator[None]:
    """If this party fails, tell the others: the kind of the error, nothing that it says."""
    try:
        yield
    except BluetuskError as error:
        for link in links:
            with suppress(Exception):
                link.abort(type(error).__name__)
        raise
