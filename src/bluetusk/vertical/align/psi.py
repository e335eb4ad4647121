"""Calls the library ``openmined-psi`` for private set intersection (Diffie-Hellman on P-256), over many threads.

The library does the cryptography. This module passes it slices of a set, with a separate object for each thread (one
object in two threads crashes the library), and checks that a peer sent points of 33 bytes before the library reads
them.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _parallel
from ...errors import ProtocolAbort

__all__ = ["POINT", "Answerer", "Asker", "Points"]

POINT = 33
"""Bytes of a compressed point."""
_US = 100.0  # one point, on a slow core

Points = NDArray[np.uint8]
"""Shape (n, 33)."""


def library() -> Any:
    """Return the module; ModuleNotFoundError names the package to install."""
    try:
        import private_set_intersection.python as psi
    except ImportError as error:
        raise ModuleNotFoundError(
            "this needs openmined-psi: pip install 'bluetusk[vertical]' (its wheels are for CPython 3.10 to 3.13 on "
            "Linux x86-64 with glibc 2.35 or newer)",
            name=error.name,
        ) from None
    return psi


class _Pool:
    """Objects of the library with one key, each for one thread at a time."""

    def __init__(self, kind: Any, key: bytes | None) -> None:
        first = kind.CreateWithNewKey(True) if key is None else kind.CreateFromKey(key, True)
        self.key: bytes = bytes(first.GetPrivateKeyBytes())
        self._kind = kind
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._free.put(first)

    def run(self, n: int, work: Callable[[Any, int, int], None], cost_us: float, threads: int | None) -> None:
        """Call ``work(object, lo, hi)`` on slices of n points, each with an object that no other thread has."""

        def one(lo: int, hi: int) -> None:
            try:
                item = self._free.get_nowait()
            except queue.Empty:
                item = self._kind.CreateFromKey(self.key, True)
            work(item, lo, hi)
            self._free.put(item)

        _parallel.run(n, one, cost_us=cost_us, threads=threads)


def _points(elements: Any) -> Points:
    return np.frombuffer(b"".join(elements), np.uint8).reshape(-1, POINT)


def _sorted(points: Points) -> Points:
    return _points(sorted(bytes(row) for row in points))


def _message(kind: Any, points: Points) -> Any:
    message = kind()
    message.encrypted_elements.extend(row.tobytes() for row in points)
    return message


class Asker:
    """The side that learns which of its ids the other side has.

    Parameters
    ----------
    key : bytes, optional
        The key of an earlier Asker; fresh by default.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._psi = library()
        self._pool = _Pool(self._psi.client, key)
        self.key = self._pool.key

    def request(self, ids: Sequence[str], threads: int | None = None) -> Points:
        """Return the ids, blinded, in their order."""
        out = np.empty((len(ids), POINT), np.uint8)

        def work(client: Any, lo: int, hi: int) -> None:
            out[lo:hi] = _points(client.CreateRequest(list(ids[lo:hi])).encrypted_elements)

        self._pool.run(len(ids), work, _US, threads)
        return out

    def matches(self, setup: Points, answer: Points, peer: str, threads: int | None = None) -> NDArray[np.bool_]:
        """Return for each answered id whether it is in the other side's set."""
        found = np.zeros(len(answer), np.bool_)
        whole = self._psi.ServerSetup()
        whole.raw.encrypted_elements.extend(row.tobytes() for row in _sorted(setup))

        def work(client: Any, lo: int, hi: int) -> None:
            response = _message(self._psi.Response, answer[lo:hi])
            try:
                hits = client.GetIntersection(whole, response)
            except RuntimeError:
                raise _no_points(peer) from None
            found[lo:hi][hits] = True

        # each call reads the whole set, 0.35 us an id, so slices grow with it
        self._pool.run(len(answer), work, min(_US, 50_000.0 * 30 / max(len(setup), 1)), threads)
        return found


class Answerer:
    """The side that answers for its set; it learns nothing.

    Parameters
    ----------
    key : bytes, optional
        The key of an earlier Answerer; fresh by default.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._psi = library()
        self._pool = _Pool(self._psi.server, key)
        self.key = self._pool.key

    def setup(self, ids: Sequence[str], threads: int | None = None) -> Points:
        """Return the ids, blinded, in the order of the blinded values, which is random."""
        out = np.empty((len(ids), POINT), np.uint8)

        def work(server: Any, lo: int, hi: int) -> None:
            raw = self._psi.DataStructure.RAW
            made = server.CreateSetupMessage(1e-9, hi - lo, list(ids[lo:hi]), raw)  # RAW has no false positives
            out[lo:hi] = _points(made.raw.encrypted_elements)

        self._pool.run(len(ids), work, _US, threads)
        return _sorted(out)

    def answer(self, request: Points, peer: str, threads: int | None = None) -> Points:
        """Return the peer's points blinded with this side's key too, in their order."""
        out = np.empty((len(request), POINT), np.uint8)

        def work(server: Any, lo: int, hi: int) -> None:
            message = _message(self._psi.Request, request[lo:hi])
            message.reveal_intersection = True
            try:
                answered = server.ProcessRequest(message)
            except RuntimeError:
                raise _no_points(peer) from None
            out[lo:hi] = _points(answered.encrypted_elements)

        self._pool.run(len(request), work, _US, threads)
        return out


def _no_points(peer: str) -> ProtocolAbort:
    return ProtocolAbort("the peer sent something other than points of the curve P-256", party=peer)
