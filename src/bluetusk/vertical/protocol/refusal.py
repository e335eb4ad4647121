"""Tells the other parties when one fails, so that they need not wait for it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import ParamSpec, TypeVar

from ...errors import BluetuskError, FrameError, InvalidCiphertext, PolicyRefused, ProtocolAbort
from .link import STOPPED, Link, Rewind

__all__ = ["Terminated", "kind_of", "tell", "telling"]

P = ParamSpec("P")
R = TypeVar("R")


class Terminated(SystemExit):
    """SIGTERM: the operator, or the machine's supervisor, stops this party."""


_OF_THE_PROTOCOL = (FrameError, InvalidCiphertext, PolicyRefused, ProtocolAbort)


def kind_of(error: BaseException) -> str:
    """Return what a peer may see of an error: a text out of a fixed list, the same for all that may depend on rows.

    Examples
    --------
    >>> kind_of(FrameError("damaged")), kind_of(ValueError("y[3] is 2"))
    ('FrameError', 'an error on its side')
    """
    if isinstance(error, (KeyboardInterrupt, Terminated)):
        return STOPPED
    return next((kind.__name__ for kind in _OF_THE_PROTOCOL if isinstance(error, kind)), "an error on its side")


def tell(links: Sequence[Link], error: BaseException) -> None:
    """Tell the others :func:`kind_of` the error, unless they have a reason already; ignore errors in doing so."""
    for link in links:
        with suppress(Exception):
            link.abort(kind_of(error))


def telling(entry: Callable[P, R]) -> Callable[P, R]:
    """Make a function that takes a link tell the peers, if it fails before it has sent or received anything.

    Wrong rows or settings end a call before its job begins, when the peers wait for the first message. Later
    :func:`~bluetusk.vertical.protocol.job.drive` tells them, and after the job nobody waits: what a party finds then
    may depend on its labels. With a `keeper` the rule is that of ``drive``.

    Parameters
    ----------
    entry : callable
        With the keyword arguments `link` or `links`, and perhaps `keeper`.

    Examples
    --------
    >>> from bluetusk.vertical.protocol.link import local_links
    >>> here, there = local_links()
    >>> @telling
    ... def ask(rows, *, link):
    ...     raise ValueError(f"rows must not be negative, not {rows}")
    >>> ask(-1, link=here)
    Traceback (most recent call last):
        ...
    ValueError: rows must not be negative, not -1
    >>> there.receive("hello")
    Traceback (most recent call last):
        ...
    bluetusk.errors.ProtocolAbort: the other party gave up: 'an error on its side' (party at fault: guest)
    """

    @functools.wraps(entry)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        many = kwargs.get("links")
        given = [kwargs.get("link"), *(many if isinstance(many, Sequence) else ())]
        before = [(way, way.bytes_sent + way.bytes_received) for way in given if hasattr(way, "bytes_received")]
        try:
            return entry(*args, **kwargs)
        except Rewind:
            raise
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            if kwargs.get("keeper") is None or isinstance(error, BluetuskError):
                tell([way for way, passed in before if way.bytes_sent + way.bytes_received == passed], error)
            raise

    return told
