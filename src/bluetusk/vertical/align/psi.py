"""Calls the library ``openmined-psi`` for the arithmetic of private set intersection on P-256, over many threads.

The library hashes ids to the curve and multiplies points by a key. This module passes it slices of a set, with a
separate object for each thread (one object in two threads crashes the library), and checks that a peer sent points of
33 bytes before the library reads them.
"""

from __future__ import annotations

import queue
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _parallel
from ...errors import ProtocolAbort

__all__ = ["POINT", "SCALAR", "Blinder", "Points", "places_of"]

POINT = 33
"""Bytes of a compressed point."""
SCALAR = 32
"""Bytes of a key."""
_US = 100.0  # one point, on a slow core
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (SEC 2, 2.4.2)

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

    def __init__(self, kind: Any, key: bytes) -> None:
        self._kind, self._key = kind, key
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run(self, n: int, work: Callable[[Any, int, int], None], threads: int | None) -> None:
        """Call ``work(object, lo, hi)`` on slices of n points, each with an object that no other thread has."""

        def one(lo: int, hi: int) -> None:
            try:
                item = self._free.get_nowait()
            except queue.Empty:
                item = self._kind.CreateFromKey(self._key, True)
            work(item, lo, hi)
            self._free.put(item)

        _parallel.run(n, one, cost_us=_US, threads=threads)


class Blinder:
    """Blinds ids, and blinded ids once more, with one secret key.

    Parameters
    ----------
    key : bytes, optional
        The key of an earlier Blinder, or one that a peer has sent; fresh by default.
    peer : str, optional
        Who has sent it.

    Raises
    ------
    ProtocolAbort
        Naming the peer, if its key is 0 or not below the order of the curve.
    """

    def __init__(self, key: bytes | None = None, peer: str | None = None) -> None:
        self._psi = library()
        self.key = self.draw() if key is None else key
        number = int.from_bytes(self.key, "big")
        if not 0 < number < _ORDER:
            raise ProtocolAbort("a key of the intersection must be from 1 to the curve's order", party=peer)
        self._inverse = pow(number, -1, _ORDER)
        inverse = self._inverse.to_bytes(SCALAR, "big")
        self._hashing = _Pool(self._psi.client, self.key)
        self._with, self._without = _Pool(self._psi.server, self.key), _Pool(self._psi.server, inverse)

    @staticmethod
    def draw() -> bytes:
        """Return a fresh key."""
        return (1 + secrets.randbelow(_ORDER - 1)).to_bytes(SCALAR, "big")

    def over(self, number: bytes) -> bytes:
        """Return a key divided by this one."""
        return (int.from_bytes(number, "big") * self._inverse % _ORDER).to_bytes(SCALAR, "big")

    def blind(self, ids: Sequence[str], threads: int | None = None) -> Points:
        """Return the ids as points times the key, in their order."""
        out = np.empty((len(ids), POINT), np.uint8)

        def work(client: Any, lo: int, hi: int) -> None:
            out[lo:hi] = _points(client.CreateRequest(list(ids[lo:hi])).encrypted_elements)

        self._hashing.run(len(ids), work, threads)
        return out

    def blind_again(self, points: Points, peer: str, threads: int | None = None) -> Points:
        """Return a peer's points times the key, in their order."""
        return self._times(self._with, points, peer, threads)

    def unblind(self, points: Points, peer: str, threads: int | None = None) -> Points:
        """Return a peer's points divided by the key, in their order."""
        return self._times(self._without, points, peer, threads)

    def _times(self, pool: _Pool, points: Points, peer: str, threads: int | None) -> Points:
        out = np.empty((len(points), POINT), np.uint8)

        def work(server: Any, lo: int, hi: int) -> None:
            message = self._psi.Request()
            message.encrypted_elements.extend(row.tobytes() for row in points[lo:hi])
            message.reveal_intersection = True  # keeps the order
            try:
                answered = server.ProcessRequest(message)
            except RuntimeError:
                raise ProtocolAbort(
                    "the peer sent something other than points of the curve P-256", party=peer
                ) from None
            out[lo:hi] = _points(answered.encrypted_elements)

        pool.run(len(points), work, threads)
        return out


def places_of(points: Points, among: Points, peer: str) -> NDArray[np.int64]:
    """Return the place of each point among the peer's, -1 for none; ProtocolAbort if the peer sent a point twice."""
    listed, wanted = (a.view(f"S{POINT}")[:, 0] for a in (among, points))
    order = np.argsort(listed, kind="stable")
    listed = listed[order]
    if (listed[1:] == listed[:-1]).any():
        raise ProtocolAbort("the peer sent an id twice", party=peer)
    at = np.searchsorted(listed, wanted)
    found = np.zeros(len(wanted), np.bool_)
    inside = at < len(listed)
    found[inside] = listed[at[inside]] == wanted[inside]
    places = np.full(len(wanted), -1, np.int64)
    places[found] = order[at[found]]
    return places


def _points(elements: Any) -> Points:
    return np.frombuffer(b"".join(elements), np.uint8).reshape(-1, POINT)
