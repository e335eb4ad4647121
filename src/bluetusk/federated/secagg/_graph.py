"""Who holds whose shares: everybody, a random graph that a hash of all keys draws, or what each client drew itself.

Clients are counted by their place among those that advertised, 0 .. m - 1. Two clients mask their vectors against each
other if one of them holds the other's shares, so every edge of the graph of masks has shares on both of its keys.
"""

from __future__ import annotations

import numpy as np

from ..._random import Stream
from ._ids import Place, Places

__all__ = ["draw", "hashed"]


def hashed(seed: bytes, m: int, k: int) -> Places:
    """Return each client's holders on a ring that the seed shuffles: the k places nearest to it.

    Parameters
    ----------
    seed : bytes
        32 bytes: a hash of all that was advertised, which no single party chooses.
    m, k : int
        The number of clients and of holders, k < m. Where k is odd a client has (k + 1) / 2 of them on one side.

    Returns
    -------
    ndarray of int64, shape (m, k)
        Each row ascending; a uniform k-subset of the others.

    Examples
    --------
    >>> hashed(bytes(32), 5, 2).tolist()
    [[1, 3], [0, 4], [3, 4], [0, 2], [1, 2]]
    """
    # the order of m words of 64 bits is a uniform permutation, up to the chance m^2 / 2^65 that two are equal
    order = np.argsort(Stream(seed).uint64(m), kind="stable")
    at = np.empty(m, np.int64)
    at[order] = np.arange(m)
    steps = np.array([*range(1, (k + 1) // 2 + 1), *range(-(k // 2), 0)], np.int64)
    return np.sort(order[(at[:, None] + steps) % m], axis=1)


def draw(m: int, k: int, me: Place) -> Places:
    """Return k others, uniform, from this process's own randomness.

    Examples
    --------
    >>> chosen = draw(10, 9, me=Place(4))
    >>> chosen.tolist()
    [0, 1, 2, 3, 5, 6, 7, 8, 9]
    """
    chosen = np.sort(np.argsort(Stream().uint64(m - 1), kind="stable")[:k])
    return chosen + (chosen >= me)
