"""Shamir's secret sharing of whole arrays.

*threshold* t of n *parties*: any t shares give the secret, any t - 1 reveal nothing about it. Party i (counted from 1)
holds the value at i of a random polynomial of degree t - 1 whose constant is the secret. The field is that of a
prime, 2^61 - 1 by default; :mod:`bluetusk.sharing.bytestrings` shares bytes and keys.

Shares are plain arrays with a leading axis of parties: uint64, uint32 for 2^31 - 1, and with a trailing axis of
64-bit limbs for primes above 2^64. Sums of shares (:func:`add`, :func:`subtract`) and products with public integers
(:func:`scale`) are shares of the sums and products. Timing does not depend on secrets or shares, only on sizes and on
who the parties are, until shares are found to be wrong.

References
----------
A. Shamir, "How to share a secret", 1979; M. Franklin, M. Yung, "Communication complexity of secure computation", 1992
(packed sharing); Q. Yu et al., "Lagrange coded computing", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._numeric import as_int
from ._field import field_of
from ._packed import reconstruct_packed, share_packed
from ._polynomial import (
    DEFAULT_PRIME,
    correct_over,
    deal,
    received,
    reconstruct_over,
    share_over,
    sizes,
)
from ._words import shape_of

__all__ = [
    "add",
    "correct",
    "reconstruct",
    "reconstruct_packed",
    "refresh",
    "reshare",
    "scale",
    "share",
    "share_packed",
    "subtract",
    "zeros",
]


def share(
    x: ArrayLike, threshold: int, parties: int, prime: int = DEFAULT_PRIME, *, threads: int | None = None
) -> NDArray[Any]:
    """Share an array of integers.

    Parameters
    ----------
    x : array_like of int
        The secrets, 0 to `prime` - 1, of any shape. Signed numbers go in as ``x % prime``.
    threshold : int
        How many shares are needed to reconstruct, 1 to `parties`. Any `threshold` - 1 reveal nothing.
    parties : int
        How many shares there are; fewer than `prime`.
    prime : int
        The order of the field. 2^61 - 1, 2^31 - 1, 2^64 - 2^32 + 1 and primes of up to 128 bits are the fast ones.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    ndarray
        ``shares[i]`` belongs to party i + 1. Shape (parties, ...); uint64, uint32 for 2^31 - 1; for primes above
        2^64 with a trailing axis of limbs.

    Raises
    ------
    TypeError, ValueError
        If a value is not an integer from 0 to `prime` - 1, not 1 <= threshold <= parties < prime, or `prime` is not an
        odd prime.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.shamir.share([[1, 2], [3, 4]], threshold=3, parties=5)
    >>> shares.shape
    (5, 2, 2)
    >>> bt.sharing.shamir.reconstruct(shares[[0, 3, 4]], ids=[1, 4, 5], threshold=3)
    array([[1, 2],
           [3, 4]], dtype=uint64)
    """
    return share_over(field_of(prime), x, threshold, parties, threads)


def reconstruct(
    shares: ArrayLike,
    ids: Sequence[int],
    threshold: int,
    prime: int = DEFAULT_PRIME,
    *,
    check: bool = True,
    threads: int | None = None,
) -> NDArray[Any]:
    """Reconstruct what was shared.

    Parameters
    ----------
    shares : array_like
        Shares of m parties, the first axis in the order of `ids`; m at least `threshold`.
    ids : sequence of int
        The parties' numbers, from 1.
    threshold : int
        Threshold of the sharing.
    prime : int
        Prime of the sharing.
    check : bool
        Whether shares beyond the first `threshold` must agree with these. Without it they are ignored.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    ndarray
        The secrets: uint64 (uint32 for 2^31 - 1), or an object array of ints for primes above 2^64.

    Raises
    ------
    ProtocolAbort
        If shares disagree. The error names the wrong ones if they are at most (m - threshold) // 2;
        :func:`correct` computes without them.
    TypeError, ValueError
        If an id is 0, repeated or outside the field, a share is not an element, or there are fewer than `threshold`.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.shamir.share(42, threshold=2, parties=4)
    >>> int(bt.sharing.shamir.reconstruct(shares[:2], [1, 2], 2))
    42
    >>> shares[2:3] ^= 1
    >>> bt.sharing.shamir.reconstruct(shares, [1, 2, 3, 4], 2)
    Traceback (most recent call last):
        ...
    bluetusk.errors.ProtocolAbort: the share of party 3 is wrong: leave it out, or use correct() (party at fault: 3)
    """
    return reconstruct_over(field_of(prime), shares, ids, threshold, check, threads)


def correct(
    shares: ArrayLike,
    ids: Sequence[int],
    threshold: int,
    prime: int = DEFAULT_PRIME,
    *,
    threads: int | None = None,
) -> tuple[NDArray[Any], list[int]]:
    """Reconstruct although some shares may be wrong.

    Parameters
    ----------
    shares, ids, threshold, prime, threads
        As in :func:`reconstruct`.

    Returns
    -------
    values : ndarray
        The secrets.
    wrong : list of int
        The ids of the parties whose shares are wrong somewhere, ascending.

    Raises
    ------
    ProtocolAbort
        If more than (m - threshold) // 2 parties' shares are wrong, for m shares.
    TypeError, ValueError
        As :func:`reconstruct`.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.shamir.share([5, 6, 7], threshold=2, parties=6)
    >>> shares[4, 1:2] ^= 3
    >>> shares[0] = 0
    >>> bt.sharing.shamir.correct(shares, [1, 2, 3, 4, 5, 6], 2)
    (array([5, 6, 7], dtype=uint64), [1, 5])
    """
    return correct_over(field_of(prime), shares, ids, threshold, threads)


def zeros(
    shape: int | tuple[int, ...],
    threshold: int,
    parties: int,
    prime: int = DEFAULT_PRIME,
    *,
    threads: int | None = None,
) -> NDArray[Any]:
    """Share an array of zeros.

    Added to a sharing of the same threshold it makes another sharing of the same secrets. Parties that refresh
    without a dealer each make one, give everybody a row, and add up what they get.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the array.
    threshold, parties, prime, threads
        As in :func:`share`.

    Returns
    -------
    ndarray
        As from :func:`share`.

    Raises
    ------
    TypeError, ValueError
        As :func:`share`.

    Examples
    --------
    >>> import bluetusk as bt
    >>> rows = bt.sharing.shamir.zeros(2, threshold=2, parties=3)
    >>> bt.sharing.shamir.reconstruct(rows, [1, 2, 3], 2)
    array([0, 0], dtype=uint64)
    """
    return share(np.zeros(shape_of(shape, "shape"), np.int64), threshold, parties, prime, threads=threads)


def refresh(
    shares: ArrayLike,
    ids: Sequence[int],
    threshold: int,
    prime: int = DEFAULT_PRIME,
    *,
    threads: int | None = None,
) -> NDArray[Any]:
    """Return other shares of the same secrets, for the same parties.

    Shares that leaked before a refresh do not help with shares that leak after it.

    Parameters
    ----------
    shares, ids, threshold, prime, threads
        As in :func:`reconstruct`; shares of any number of the parties.

    Returns
    -------
    ndarray
        New shares, in the shape of `shares`.

    Raises
    ------
    TypeError, ValueError
        As :func:`reconstruct`.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.shamir.share(7, threshold=2, parties=3)
    >>> fresh = bt.sharing.shamir.refresh(shares, [1, 2, 3], 2)
    >>> int(bt.sharing.shamir.reconstruct(fresh, [1, 2, 3], 2))
    7
    """
    field = field_of(prime)
    flat, shape, who, threshold = received(field, shares, ids, threshold, fewest=1)
    zero = np.zeros((1, flat.shape[1], *field.tail), field.dtype)
    out = deal(field, zero, field.powers(who, threshold), threads)
    field.kernel.add(out, flat, out)
    return out.reshape(len(who), *shape, *field.tail)


def reshare(
    shares: ArrayLike,
    ids: Sequence[int],
    threshold: int,
    new_threshold: int,
    new_parties: int,
    prime: int = DEFAULT_PRIME,
    *,
    threads: int | None = None,
) -> NDArray[Any]:
    """Move a sharing to another threshold and other parties, without reconstructing it.

    Each of `threshold` old parties shares its share among the new ones, and each new party combines what it got. With
    every party in a separate process, do the same by ``share(my_share, new_threshold, new_parties)`` at each
    old party and ``reconstruct(received, old_ids, threshold)`` at each new one; this function does both sides.

    Parameters
    ----------
    shares, ids, threshold, prime, threads
        As in :func:`reconstruct`; the first `threshold` are used.
    new_threshold, new_parties : int
        Threshold and number of parties of the new sharing.

    Returns
    -------
    ndarray
        Shape (new_parties, ...).

    Raises
    ------
    TypeError, ValueError
        As :func:`reconstruct` and :func:`share`.

    References
    ----------
    Y. Desmedt, S. Jajodia, "Redistributing secret shares to new access structures", 1997.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.shamir.share([8, 9], threshold=2, parties=3)
    >>> moved = bt.sharing.shamir.reshare(shares, [1, 2, 3], 2, new_threshold=4, new_parties=6)
    >>> bt.sharing.shamir.reconstruct(moved[2:], [3, 4, 5, 6], 4)
    array([8, 9], dtype=uint64)
    """
    field = field_of(prime)
    flat, shape, who, threshold = received(field, shares, ids, threshold)
    new_threshold, new_parties = as_int(new_threshold, "new_threshold", 1), as_int(new_parties, "new_parties", 1)
    new_threshold, new_parties = sizes(field, new_threshold, new_parties)
    n = flat.shape[1]
    matrix = field.powers(tuple(range(1, new_parties + 1)), new_threshold)
    parts = np.stack([deal(field, row[None], matrix, threads) for row in flat[:threshold]])
    weights = field.lagrange((0,), who[:threshold])
    moved = field.product(weights, parts.reshape(threshold, new_parties * n, *field.tail), threads=threads)
    return np.reshape(moved[0], (new_parties, *shape, *field.tail))


def _pairwise(a: ArrayLike, b: ArrayLike, prime: int, name: str) -> NDArray[Any]:
    field = field_of(prime)
    x, shape = field.elements(a, "a")
    y, other = field.elements(b, "b")
    if x.shape != y.shape or shape != other:
        raise ValueError(f"a and b must have one shape, not {(len(x), *shape)} and {(len(y), *other)}")
    out = field.empty(*x.shape[:2])
    getattr(field.kernel, name)(x, y, out)
    return out.reshape(len(x), *shape, *field.tail)


def add(a: ArrayLike, b: ArrayLike, prime: int = DEFAULT_PRIME) -> NDArray[Any]:
    """Add two sharings of the same parties, party by party.

    Parameters
    ----------
    a, b : array_like
        Shares of one shape, of one or more parties, in the same order.
    prime : int
        Prime of the sharings.

    Returns
    -------
    ndarray
        Shares of the sums, with the larger of the two thresholds.

    Raises
    ------
    TypeError, ValueError
        If the shapes differ or a value is outside the field.

    Examples
    --------
    >>> import bluetusk as bt
    >>> a, b = (bt.sharing.shamir.share(v, threshold=2, parties=3) for v in (20, 22))
    >>> int(bt.sharing.shamir.reconstruct(bt.sharing.shamir.add(a, b), [1, 2, 3], 2))
    42
    """
    return _pairwise(a, b, prime, "add")


def subtract(a: ArrayLike, b: ArrayLike, prime: int = DEFAULT_PRIME) -> NDArray[Any]:
    """Subtract a sharing from another, party by party.

    Parameters
    ----------
    a, b, prime
        As in :func:`add`.

    Returns
    -------
    ndarray
        Shares of the differences modulo `prime`.

    Raises
    ------
    TypeError, ValueError
        As :func:`add`.

    Examples
    --------
    >>> import bluetusk as bt
    >>> a, b = (bt.sharing.shamir.share(v, threshold=2, parties=3) for v in (64, 22))
    >>> int(bt.sharing.shamir.reconstruct(bt.sharing.shamir.subtract(a, b), [1, 2, 3], 2))
    42
    """
    return _pairwise(a, b, prime, "sub")


def scale(a: ArrayLike, k: int, prime: int = DEFAULT_PRIME) -> NDArray[Any]:
    """Multiply a sharing by a public integer.

    Parameters
    ----------
    a : array_like
        Shares of one or more parties.
    k : int
        Any integer; taken modulo `prime`.
    prime : int
        Prime of the sharing.

    Returns
    -------
    ndarray
        Shares of the products.

    Raises
    ------
    TypeError, ValueError
        If `k` is not an integer, or a value is outside the field.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.shamir.share(21, threshold=2, parties=3)
    >>> int(bt.sharing.shamir.reconstruct(bt.sharing.shamir.scale(shares, 2), [1, 2, 3], 2))
    42
    """
    field = field_of(prime)
    flat, shape = field.elements(a, "a")
    factor = field.from_ints([as_int(k, "k") % field.order]).reshape(1, 1, *field.tail)
    out = field.product(factor, flat.reshape(1, -1, *field.tail))
    return out.reshape(len(flat), *shape, *field.tail)
