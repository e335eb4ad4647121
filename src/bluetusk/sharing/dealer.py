"""Serves triples and truncation pairs to two parties from a separate dealer process.

The dealer sees no share and no opened value, only the shapes of what is computed. It must collude with neither party.
Two parties without such a dealer make triples with Paillier (:mod:`bluetusk.sharing.paillier_triples`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._numeric import as_int
from .._once import Uncopied
from ..errors import FrameError, ProtocolAbort
from ..wire import frame
from . import beaver, ring
from ._additive import product_shape
from ._protocols import Channel
from ._words import dtype_of, shape_of

__all__ = ["RemoteDealer", "serve_dealer"]

_MAX_WORDS = 1 << 26
_BITS = 64


def _shapes(request: Mapping[str, Any]) -> list[tuple[int, ...]]:
    """Return the shapes of the three arrays that answer a request."""
    shape = tuple(request["shape"])
    if "other" not in request:
        return [shape] * 3
    other = tuple(request["other"])
    return [shape, other, product_shape(shape, other) if request["matrix"] else shape]


class RemoteDealer(Uncopied):
    """One party's connection to a dealer: the supply of a :class:`~bluetusk.sharing.array.Session` of two parties.

    Parameters
    ----------
    channel : Channel
        To the dealer: an object with ``send(bytes)`` and ``recv() -> bytes``, private and authentic.

    Examples
    --------
    >>> import queue, threading, bluetusk as bt
    >>> class Queues:
    ...     def __init__(self, out, into):
    ...         self.send, self.recv = out.put, into.get
    >>> q = [queue.Queue() for _ in range(6)]
    >>> dealer = threading.Thread(
    ...     target=bt.sharing.serve_dealer, args=({0: Queues(q[0], q[1]), 1: Queues(q[2], q[3])},)
    ... )
    >>> dealer.start()
    >>> def party(i):
    ...     supply = bt.sharing.RemoteDealer(Queues(q[2 * i + 1], q[2 * i]))
    ...     peer = Queues(q[4 + i], q[5 - i])
    ...     session = bt.sharing.Session(2, party=i, channels={1 - i: peer}, supply=supply)
    ...     x = session.share([2.0, 3.0] if i == 0 else None, owner=0, shape=(2,))
    ...     told.append([round(float(v), 3) for v in (x * x).reveal()])
    ...     supply.close()
    >>> told = []
    >>> parties = [threading.Thread(target=party, args=(i,)) for i in range(2)]
    >>> for thread in parties:
    ...     thread.start()
    >>> for thread in [*parties, dealer]:
    ...     thread.join()
    >>> told
    [[4.0, 9.0], [4.0, 9.0]]
    """

    _no_copy = "two copies would send requests through one channel, and the parties' answers would no longer match"

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._dtype = dtype_of(_BITS)

    def _ask(self, request: dict[str, Any]) -> list[NDArray[Any]]:
        shapes = _shapes(request)
        self._channel.send(frame.encode(frame.Kind.MESSAGE, request))
        try:
            answer = frame.decode(self._channel.recv(), frame.Kind.MESSAGE)
        except FrameError as error:
            raise ProtocolAbort(f"the dealer's answer is malformed: {error}", party="dealer") from None
        sizes = [math.prod(shape) for shape in shapes]
        if answer.header != request or len(answer.payload) != self._dtype.itemsize * sum(sizes):
            raise ProtocolAbort("the dealer's answer does not match the request", party="dealer")
        words = np.frombuffer(answer.payload, self._dtype.newbyteorder("<")).astype(self._dtype)
        parts = np.split(words, np.cumsum(sizes)[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def triple(self, shape: tuple[int, ...], other: tuple[int, ...] | None) -> beaver.Triple:
        """Request a triple.

        Parameters
        ----------
        shape, other
            As for :func:`bluetusk.sharing.beaver.triple`.

        Returns
        -------
        Triple
            This party's.

        Raises
        ------
        ProtocolAbort
            If the dealer's answer is malformed or does not match the request.

        Examples
        --------
        >>> import bluetusk as bt
        >>> callable(bt.sharing.RemoteDealer(None).triple)  # see the class for a whole session
        True
        """
        shape, other = shape_of(shape, "shape"), None if other is None else shape_of(other, "other")
        matrix = other is not None
        second = shape if other is None else other
        a, b, c = self._ask({"topic": "triple", "shape": list(shape), "matrix": matrix, "other": list(second)})
        return beaver.Triple(a, b, c, matrix=matrix)

    def truncation_pair(self, shape: tuple[int, ...], k: int) -> ring.TruncationPair:
        """Request a truncation pair.

        Parameters
        ----------
        shape, k
            As for :func:`bluetusk.sharing.ring.truncation_pair`.

        Returns
        -------
        TruncationPair
            This party's.

        Raises
        ------
        ProtocolAbort
            If the dealer's answer is malformed or does not match the request.

        Examples
        --------
        >>> import bluetusk as bt
        >>> callable(bt.sharing.RemoteDealer(None).truncation_pair)  # see the class for a whole session
        True
        """
        shape, k = shape_of(shape, "shape"), as_int(k, "k", 0, _BITS - 2)
        r, high, top = self._ask({"topic": "pair", "shape": list(shape), "k": k})
        return ring.TruncationPair(k, r, high, top)

    def close(self) -> None:
        """Tell the dealer that this party sends no more requests.

        Examples
        --------
        >>> import bluetusk as bt
        >>> class Sent(list):
        ...     send = list.append
        >>> sent = Sent()
        >>> bt.sharing.RemoteDealer(sent).close()
        >>> len(sent)
        1
        """
        self._channel.send(frame.encode(frame.Kind.MESSAGE, {"topic": "end"}))


def serve_dealer(channels: Mapping[int, Channel], *, max_words: int = _MAX_WORDS) -> int:
    """Answer the requests of two parties until both have closed.

    Parameters
    ----------
    channels : mapping of int to Channel
        The channels to parties 0 and 1.
    max_words : int
        Largest number of 8-byte words in one answer, all three arrays of a triple or pair together. The dealer holds
        about four times as many at a time, for a request of a hundred bytes.

    Returns
    -------
    int
        How many requests were answered.

    Raises
    ------
    ProtocolAbort
        If the two parties' requests differ, one is malformed, or the answer would exceed `max_words`.
    TypeError, ValueError
        If the keys of `channels` are not 0 and 1, or `max_words` is out of range.

    Examples
    --------
    >>> import queue, bluetusk as bt
    >>> class Ended:
    ...     def recv(self):
    ...         from bluetusk.wire import frame
    ...         return frame.encode(frame.Kind.MESSAGE, {"topic": "end"})
    >>> bt.sharing.serve_dealer({0: Ended(), 1: Ended()})
    0
    """
    if sorted(channels) != [0, 1]:
        raise ValueError(f"channels must have the keys 0 and 1, not {sorted(channels)}")
    max_words = as_int(max_words, "max_words", 1)
    answered = 0
    while True:
        asked = [_request(channels[i], i, answered) for i in range(2)]
        if asked[0] != asked[1]:
            raise ProtocolAbort(f"request {answered}: the requests of the parties differ, {asked[0]} and {asked[1]}")
        if asked[0] == {"topic": "end"}:
            return answered
        parts = _deal(asked[0], answered, max_words)
        for i in range(2):
            payload = b"".join(np.ascontiguousarray(part[i]).astype("<u8", copy=False).tobytes() for part in parts)
            channels[i].send(frame.encode(frame.Kind.MESSAGE, asked[0], payload))
        answered += 1


def _request(channel: Channel, party: int, number: int) -> dict[str, Any]:
    try:
        return frame.decode(channel.recv(), frame.Kind.MESSAGE, max_payload=0).header
    except FrameError as error:
        raise ProtocolAbort(f"request {number}: {error}", party=str(party)) from None


def _check_size(request: Mapping[str, Any], most: int) -> None:
    words = sum(map(math.prod, _shapes(request)))
    if words > most:
        raise FrameError(f"the answer would take {words} words, above max_words={most}: request it in parts")


def _deal(request: dict[str, Any], number: int, most: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    try:
        if frame.field(request, "topic", str, high=16) == "triple":
            frame.check_fields(request, ("matrix", "other", "shape", "topic"))
            shape, other = (frame.shape_field(request, name, size=most) for name in ("shape", "other"))
            matrix = frame.field(request, "matrix", bool)
            if not matrix and shape != other:
                raise FrameError("frame fields 'shape' and 'other' disagree")
            _check_size(request, most)
            t = beaver.triple(shape, 2, _BITS, other=other if matrix else None)
            return t.a, t.b, t.c
        frame.check_fields(request, ("k", "shape", "topic"))
        shape = frame.shape_field(request, size=most)
        _check_size(request, most)
        pair = ring.truncation_pair(shape, frame.field(request, "k", int, low=0, high=_BITS - 2), 2)
        return pair.r, pair.high, pair.top
    except (FrameError, ValueError) as error:
        raise ProtocolAbort(f"request {number} is malformed: {error}") from None
