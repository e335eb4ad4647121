"""Additive sharing over a ring; see :mod:`bluetusk.sharing.ring`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _parallel
from .._kernels import ring as kernel
from .._numeric import as_int
from .._random import SEED_BYTES, Stream
from ._words import bits_of, dtype_of, shape_of, shares_of, words_like, words_of

__all__ = ["matmul", "reconstruct", "refresh", "share", "zero_share", "zeros"]

_CHUNK = 8192  # words of a row: what was drawn is still in the cache when it is used


def share(x: ArrayLike, parties: int, bits: int = 64, *, threads: int | None = None) -> NDArray[Any]:
    """Share an array of integers: all shares are needed to reconstruct it.

    Parameters
    ----------
    x : array_like of int
        From -2^(bits-1) to 2^bits - 1, of any shape.
    parties : int
        At least 1.
    bits : {64, 32}
        Width of the ring's words.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    ndarray of uint64 or uint32
        Shape (parties, ...). Any parties - 1 rows are uniform.

    Raises
    ------
    TypeError, ValueError
        If `x` holds anything but integers from -2^(bits-1) to 2^bits - 1, or an argument is out of range.

    Examples
    --------
    >>> import bluetusk as bt
    >>> a, b = (bt.sharing.ring.share(v, parties=3) for v in ([1, -2], [10, 20]))
    >>> bt.sharing.ring.reconstruct(a + 3 * b, signed=True)
    array([31, 58])
    """
    words = words_of(x, bits)
    parties = as_int(parties, "parties", 1)
    flat = words.reshape(-1)
    out = np.empty((parties, flat.size), words.dtype)

    def work(lo: int, hi: int) -> None:
        stream = Stream()
        for at in range(lo, hi, _CHUNK):
            end = min(at + _CHUNK, hi)
            for row in out[:-1]:
                stream.fill(row[at:end])
            kernel.share(out, flat, at, end)

    _parallel.run(flat.size, work, cost_us=0.002 * parties, align=_CHUNK, threads=threads)
    return out.reshape(parties, *words.shape)


def reconstruct(shares: ArrayLike, *, signed: bool = False, threads: int | None = None) -> NDArray[Any]:
    """Add up all shares.

    Parameters
    ----------
    shares : array_like of uint64 or uint32
        Shape (parties, ...): every party's share. A missing share is not detected: the result is then uniform.
    signed : bool
        Whether to return int64 (int32), negative numbers in two's complement.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    ndarray
        The numbers, in the dtype of `shares` or the signed one.

    Raises
    ------
    TypeError, ValueError
        If `shares` is not an array of uint32 or uint64 with a leading axis of parties.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.sharing.ring.reconstruct(bt.sharing.ring.share([7, 8], parties=2, bits=32))
    array([7, 8], dtype=uint32)
    """
    array = shares_of(shares)
    rows = array.reshape(len(array), -1)
    out = np.empty(rows.shape[1], rows.dtype)

    def work(lo: int, hi: int) -> None:
        for at in range(lo, hi, _CHUNK):
            kernel.total(rows, out, at, min(at + _CHUNK, hi))

    _parallel.run(out.size, work, cost_us=0.001 * len(rows), align=_CHUNK, threads=threads)
    return (out.view(f"i{out.itemsize}") if signed else out).reshape(array.shape[1:])


def zeros(shape: int | tuple[int, ...], parties: int, bits: int = 64) -> NDArray[Any]:
    """Share an array of zeros.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the array.
    parties, bits
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
    >>> bt.sharing.ring.reconstruct(bt.sharing.ring.zeros(2, parties=4))
    array([0, 0], dtype=uint64)
    """
    return share(np.zeros(shape_of(shape, "shape"), dtype_of(bits)), parties, bits)


def refresh(shares: ArrayLike) -> NDArray[Any]:
    """Return other shares of the same numbers.

    Parameters
    ----------
    shares : array_like
        A whole sharing.

    Returns
    -------
    ndarray
        New shares of the same shape; all but one of its rows are uniform and independent of `shares`.

    Raises
    ------
    TypeError, ValueError
        If `shares` is not an array of uint32 or uint64 with a leading axis of parties.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.ring.share([1, 2], parties=2)
    >>> bt.sharing.ring.reconstruct(bt.sharing.ring.refresh(shares))
    array([1, 2], dtype=uint64)
    """
    array = shares_of(shares)
    out = zeros(array.shape[1:], len(array), bits_of(array.dtype, "shares"))
    kernel.add(array.reshape(-1), out.reshape(-1), out.reshape(-1))
    return out


def zero_share(party: int, seeds: Mapping[int, bytes], shape: int | tuple[int, ...], bits: int = 64) -> NDArray[Any]:
    """Return one party's share of zero, from seeds that it shares with each of the other parties.

    Parameters
    ----------
    party : int
        The party's number.
    seeds : mapping of int to bytes
        For each other party the 32 bytes that the two share. Use a seed once: derive one per use (session, round,
        purpose) with HKDF. Equal seeds give equal shares, and reuse is not detected: one seed in two sums reveals the
        difference of the masked numbers.
    shape : int or tuple of int
        Shape of the array.
    bits : {64, 32}
        The ring.

    Returns
    -------
    ndarray
        The shares of all parties add up to 0, if every pair used the same seed.

    Raises
    ------
    TypeError, ValueError
        If a seed is not 32 bytes, or `seeds` names the party itself.

    Examples
    --------
    >>> import bluetusk as bt
    >>> ab, ac, bc = (bytes([i] * 32) for i in range(3))
    >>> held = [{1: ab, 2: ac}, {0: ab, 2: bc}, {0: ac, 1: bc}]
    >>> shares = [bt.sharing.ring.zero_share(i, seeds, 4) for i, seeds in enumerate(held)]
    >>> bt.sharing.ring.reconstruct(shares)
    array([0, 0, 0, 0], dtype=uint64)
    """
    dtype, dims = dtype_of(bits), shape_of(shape, "shape")
    party = as_int(party, "party")
    if not isinstance(seeds, Mapping):
        raise TypeError(f"seeds must map each other party to the seed shared with it, not be a {type(seeds).__name__}")
    known = {as_int(other, "a party in seeds"): seed for other, seed in seeds.items()}
    if party in known:
        raise ValueError(f"seeds names party {party} itself: give the seeds that it shares with others")
    for other, seed in known.items():
        if not isinstance(seed, bytes | bytearray | memoryview) or memoryview(seed).nbytes != SEED_BYTES:
            raise ValueError(f"seeds[{other}] must be {SEED_BYTES} bytes: derive one per use with HKDF")
    out = np.zeros(dims, dtype)
    mask = np.empty(dims, dtype)
    for other, seed in sorted(known.items()):
        Stream(seed).fill(mask)
        combine = kernel.add if other > party else kernel.sub
        combine(out.reshape(-1), mask.reshape(-1), out.reshape(-1))
    return out


# --- products with public matrices, truncation
# -----------------------------------------------------------------------------


def matmul(a: NDArray[Any], b: NDArray[Any], *, threads: int | None = None) -> NDArray[Any]:
    """Multiply matrices over the ring.

    One of them may be an array of shares: a public matrix times each party's share is a share of the product.

    Parameters
    ----------
    a, b : ndarray of uint64 or uint32
        Of one dtype, one or two axes each, as for NumPy's ``@``.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    ndarray
        As ``a @ b``, modulo 2^64 or 2^32.

    Raises
    ------
    TypeError, ValueError
        If the dtypes or shapes do not fit.

    Examples
    --------
    >>> import numpy as np, bluetusk as bt
    >>> a = np.array([[2**63, 3], [1, 5]], np.uint64)
    >>> bt.sharing.ring.matmul(a, np.array([2, 10], np.uint64))
    array([30, 52], dtype=uint64)
    """
    a, b = words_like(a, "a"), words_like(b, "b")
    if a.dtype != b.dtype:
        raise TypeError(f"a and b must have one dtype, not {a.dtype} and {b.dtype}")
    dims = product_shape(a.shape, b.shape)
    left, right = (a if a.ndim == 2 else a[None]), (b if b.ndim == 2 else b[:, None])
    out = np.empty((len(left), right.shape[1]), a.dtype)
    cost = 2e-4 * max(1, left.shape[1]) * max(8, right.shape[1])
    _parallel.run(
        len(left), lambda lo, hi: kernel.matmul(left, right, out, lo, hi), cost_us=cost, align=48, threads=threads
    )
    return out.reshape(dims)


def product_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a matrix product of two shapes, or refuse them.

    Raises
    ------
    ValueError
        If they do not fit, or have other than one or two axes.
    """
    if not (1 <= len(a) <= 2 and 1 <= len(b) <= 2):
        raise ValueError(f"a and b must have one or two axes, not the shapes {a} and {b}: loop over more")
    if a[-1] != b[0]:
        raise ValueError(f"shapes {a} and {b} do not fit: the last axis of a must be the first of b")
    return (*a[:-1], *b[1:])
