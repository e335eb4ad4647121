"""Packed sharing: many secrets in one polynomial, which is also Lagrange coded computing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from .._numeric import as_int
from ._field import ShareField, field_of
from ._polynomial import DEFAULT_PRIME, abort, deal, find_wrong, interpolate, received, sizes

__all__ = ["reconstruct_packed", "share_packed"]


def share_packed(
    x: ArrayLike, threshold: int, parties: int, prime: int = DEFAULT_PRIME, *, threads: int | None = None
) -> NDArray[Any]:
    """Share many secrets in one polynomial: the first axis of `x` is packed.

    Each party's share is as large as *one* of the k = ``len(x)`` rows. Any threshold - 1 shares reveal nothing;
    threshold + k - 1 are needed to reconstruct. With threshold 1 nothing is hidden: that is a Reed-Solomon code of the
    rows, and with any threshold it is the encoding of Lagrange coded computing.

    Parameters
    ----------
    x : array_like of int
        Shape (k, ...).
    threshold : int
        One more than the number of shares that reveal nothing.
    parties : int
        At least threshold + k - 1.
    prime, threads
        As in :func:`share`.

    Returns
    -------
    ndarray
        Shape (parties, ...): one row of `x` for each party.

    Raises
    ------
    TypeError, ValueError
        As :func:`share`, and if `parties` is below threshold + k - 1.

    Notes
    -----
    Row j of `x` is the polynomial's value at -j, the share of party i that at i.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.shamir.share_packed([[1, 2], [3, 4], [5, 6]], threshold=2, parties=5)
    >>> shares.shape
    (5, 2)
    >>> bt.sharing.shamir.reconstruct_packed(shares[1:], [2, 3, 4, 5], 2, pack=3)
    array([[1, 2],
           [3, 4],
           [5, 6]], dtype=uint64)
    """
    field = field_of(prime)
    values, shape = field.encode(x, "x")
    if not shape or shape[0] == 0:
        raise ValueError(f"x must have a first axis of secrets to pack, not the shape {shape}")
    pack, rest = shape[0], shape[1:]
    threshold, parties = sizes(field, threshold, parties, pack)
    ids = tuple(range(1, parties + 1))
    matrix = field.lagrange(ids, (*_places(field, pack), *ids[: threshold - 1]))
    rows = values.reshape(pack, len(values) // pack, *field.tail)
    return deal(field, rows, matrix, threads).reshape(parties, *rest, *field.tail)


def reconstruct_packed(
    shares: ArrayLike,
    ids: Sequence[int],
    threshold: int,
    pack: int,
    prime: int = DEFAULT_PRIME,
    *,
    degree: int = 1,
    check: bool = True,
    threads: int | None = None,
) -> NDArray[Any]:
    """Reconstruct what was packed, or a polynomial of it.

    If every party applied the same polynomial of a degree d to its share (or multiplied shares of d sharings of the
    same kind), the result is that polynomial of the packed rows, and it takes d (threshold + pack - 2) + 1 shares:
    Lagrange coded computing.

    Parameters
    ----------
    shares, ids, threshold, prime, check, threads
        As in :func:`reconstruct`.
    pack : int
        How many rows were packed.
    degree : int
        Degree of the polynomial that the parties computed, at least 1.

    Returns
    -------
    ndarray
        Shape (pack, ...).

    Raises
    ------
    ProtocolAbort, TypeError, ValueError
        As :func:`reconstruct`.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.shamir.share_packed([[3], [4]], threshold=2, parties=5, prime=2**31 - 1)
    >>> squares = shares.astype(object) ** 2 % (2**31 - 1)
    >>> bt.sharing.shamir.reconstruct_packed(squares.astype("u4"), [1, 2, 3, 4, 5], 2, 2, 2**31 - 1, degree=2)
    array([[ 9],
           [16]], dtype=uint32)
    """
    pack, degree = as_int(pack, "pack", 1), as_int(degree, "degree", 1)
    threshold = as_int(threshold, "threshold", 1)
    needed = degree * (threshold + pack - 2) + 1
    field = field_of(prime)
    flat, shape, who, needed = received(field, shares, ids, needed)
    if pack + max(who) > field.order:
        raise ValueError(f"pack is {pack}, which leaves no room beside the ids in a field of order {field.order}")
    values, suspect = interpolate(field, flat, who, needed, _places(field, pack), check, threads)
    if suspect.size:
        abort(who, needed, find_wrong(field, flat, who, needed, suspect))
    return field.decode(values.reshape(-1, *field.tail), (pack, *shape))


def _places(field: ShareField, pack: int) -> tuple[int, ...]:
    return tuple(-j % field.order for j in range(pack))
