"""A party that fails tells the others, so that they need not wait for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from ...errors import BluetuskError, FrameError, InvalidCiphertext, PolicyRefused, ProtocolAbort
from .link import Link

__all__ = ["kind_of", "telling"]

_OF_THE_PROTOCOL = (FrameError, InvalidCiphertext, PolicyRefused, ProtocolAbort)


def kind_of(error: BaseException) -> str:
    """Return what a peer may know of an error: one text for all those that may depend on rows or labels.

    Examples
    --------
    >>> kind_of(FrameError("damaged")), kind_of(ValueError("y[3] is 2"))
    ('FrameError', 'an error on its side')
    """
    return next((kind.__name__ for kind in _OF_THE_PROTOCOL if isinstance(error, kind)), "an error on its side")


@contextmanager
def telling(links: Sequence[Link]) -> Iterator[None]:
    """If this party fails, tell the others :func:`kind_of` the error."""
    try:
        yield
    except BluetuskError as error:
        for link in links:
            with suppress(Exception):
                link.abort(kind_of(error))
        raise
