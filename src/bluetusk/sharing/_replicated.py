"""Replicated sharing among three parties: each holds two of three additive shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._numeric import as_int
from ..errors import ProtocolAbort
from ._additive import reconstruct, share
from ._words import shares_of

__all__ = ["reconstruct_replicated", "share_replicated"]


# ---------------------------------------------------------------------------------


def share_replicated(x: ArrayLike, bits: int = 64, *, threads: int | None = None) -> NDArray[Any]:
    """Share among three parties so that any two reconstruct, and one learns nothing.

    Parameters
    ----------
    x, bits, threads
        As in :func:`share`.

    Returns
    -------
    ndarray
        Shape (3, 2, ...): with x = x_0 + x_1 + x_2, party i (from 0) holds x_i and x_(i+1 mod 3).

    Raises
    ------
    TypeError, ValueError
        As :func:`share`.

    References
    ----------
    T. Araki et al., "High-throughput semi-honest secure three-party computation with an honest majority", 2016.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.sharing.ring.share_replicated([1, 2, 3]).shape
    (3, 2, 3)
    """
    additive = share(x, 3, bits, threads=threads)
    return np.stack([additive, np.roll(additive, -1, axis=0)], axis=1)


def reconstruct_replicated(
    shares: ArrayLike, parties: Sequence[int] = (0, 1, 2), *, signed: bool = False
) -> NDArray[Any]:
    """Reconstruct from the shares of two or three parties.

    Parameters
    ----------
    shares : array_like
        Shape (2 or 3, 2, ...).
    parties : sequence of int
        The parties' numbers, from 0.
    signed : bool
        As in :func:`reconstruct`.

    Returns
    -------
    ndarray
        The numbers.

    Raises
    ------
    ProtocolAbort
        If two parties' copies of the same additive share differ.
    TypeError, ValueError
        If the shape or dtype of `shares` is wrong, or `parties` does not name the party of each share.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.ring.share_replicated([1, -2, 3])
    >>> bt.sharing.ring.reconstruct_replicated(shares[[2, 0]], [2, 0], signed=True)
    array([ 1, -2,  3])
    """
    array = shares_of(shares)
    if not isinstance(parties, Iterable):
        raise TypeError(f"parties must be a sequence of party numbers, not {type(parties).__name__}")
    who = [as_int(party, f"parties[{i}]", 0, 2) for i, party in enumerate(parties)]
    if array.ndim < 2 or array.shape[1] != 2:
        raise ValueError(f"shares must have the shape (parties, 2, ...), not {array.shape}")
    if len(who) != len(array) or len(set(who)) != len(who) or len(who) < 2:
        raise ValueError(f"parties must name two or three of 0, 1, 2, one for each of {len(array)} shares, not {who}")
    held: dict[int, NDArray[Any]] = {}
    for party, pair in zip(who, array, strict=True):
        for at, part in ((party, pair[0]), ((party + 1) % 3, pair[1])):
            if at in held and not np.array_equal(held[at], part):
                raise ProtocolAbort(f"parties {who} hold different copies of share {at}: one of them is wrong")
            held[at] = part
    return reconstruct(np.stack([held[i] for i in range(3)]), signed=signed)
