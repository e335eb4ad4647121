"""Tells the other parties when one fails, so that they need not wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ...errors import FrameError, InvalidCiphertext, PolicyRefused, ProtocolAbort
from .link import Link

__all__ = ["kind_of", "tell"]

_OF_THE_PROTOCOL = (FrameError, InvalidCiphertext, PolicyRefused, ProtocolAbort)


def kind_of(error: BaseException) -> str:
    """Return what a peer may see of an error: one text for all errors that may depend on rows or labels.

    Examples
    --------
    >>> kind_of(FrameError("damaged")), kind_of(ValueError("y[3] is 2"))
    ('FrameError', 'an error on its side')
    """
    return next((kind.__name__ for kind in _OF_THE_PROTOCOL if isinstance(error, kind)), "an error on its side")


def tell(links: Sequence[Link], error: BaseException) -> None:
    """Tell the others :func:`kind_of` the error, unless they have a reason already; ignore errors in doing so."""
    for link in links:
        with suppress(Exception):
            link.abort(kind_of(error))
