"""Shares bytes and keys by Shamir's scheme.

:func:`share_bytes` works over GF(2^8) (x^8 + x^4 + x^3 + x + 1): a share is as long as the secret, and there are at
most 255 parties. :func:`share_keys` works over 2^61 - 1 with seven bytes to an element: any number of parties, a
32-byte key takes 40 bytes a share. Neither branches on a secret or uses one as an index. Threshold t: any t
shares reconstruct, t - 1 reveal nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._numeric import as_array, as_int
from ..errors import ProtocolAbort
from . import shamir
from ._field import gf256
from ._polynomial import correct_over, reconstruct_over, share_over

__all__ = ["correct_bytes", "reconstruct_bytes", "reconstruct_keys", "share_bytes", "share_keys"]

_PRIME = 2**61 - 1
_LIMB = 7  # bytes to an element of 2^61 - 1


def _bytes(data: Any, name: str) -> NDArray[np.uint8]:
    if isinstance(data, bytes | bytearray):
        return np.frombuffer(data, np.uint8)
    array = as_array(data, name)
    if array.dtype != np.uint8:
        raise TypeError(f"{name} must be bytes or an array of uint8, not {array.dtype}")
    return array


def share_bytes(
    data: bytes | bytearray | memoryview | ArrayLike, threshold: int, parties: int, *, threads: int | None = None
) -> NDArray[np.uint8]:
    """Share bytes over GF(2^8).

    Parameters
    ----------
    data : bytes-like or array_like of uint8
        The secret, of any shape; a memoryview of unsigned bytes counts as the array that it shows.
    threshold, parties : int
        As in :func:`bluetusk.sharing.shamir.share`; at most 255 parties.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    ndarray of uint8
        Shape (parties, ...).

    Raises
    ------
    TypeError, ValueError
        If `data` is not bytes or uint8, or not 1 <= threshold <= parties <= 255.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.share_bytes(b"open sesame", threshold=3, parties=5)
    >>> bt.sharing.reconstruct_bytes(shares[1:4], [2, 3, 4], 3).tobytes()
    b'open sesame'
    """
    parties = as_int(parties, "parties", 1)
    if parties > 255:
        raise ValueError(f"parties is {parties}, but GF(2^8) has room for at most 255: use share_keys()")
    return share_over(gf256(), _bytes(data, "data"), threshold, parties, threads, "data")


def reconstruct_bytes(
    shares: ArrayLike, ids: Sequence[int], threshold: int, *, check: bool = True, threads: int | None = None
) -> NDArray[np.uint8]:
    """Reconstruct bytes.

    Parameters
    ----------
    shares, ids, threshold, check, threads
        As in :func:`bluetusk.sharing.shamir.reconstruct`.

    Returns
    -------
    ndarray of uint8
        The secret.

    Raises
    ------
    ProtocolAbort, TypeError, ValueError
        As :func:`bluetusk.sharing.shamir.reconstruct`.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.share_bytes(bytes(range(4)), threshold=2, parties=2)
    >>> bt.sharing.reconstruct_bytes(shares, [1, 2], 2)
    array([0, 1, 2, 3], dtype=uint8)
    """
    return reconstruct_over(gf256(), shares, ids, threshold, check, threads)


def correct_bytes(
    shares: ArrayLike, ids: Sequence[int], threshold: int, *, threads: int | None = None
) -> tuple[NDArray[np.uint8], list[int]]:
    """Reconstruct bytes although some shares may be wrong.

    Parameters
    ----------
    shares, ids, threshold, threads
        As in :func:`bluetusk.sharing.shamir.correct`.

    Returns
    -------
    values : ndarray of uint8
        The secret.
    wrong : list of int
        The ids of the parties whose shares are wrong somewhere, ascending.

    Raises
    ------
    ProtocolAbort, TypeError, ValueError
        As :func:`bluetusk.sharing.shamir.correct`.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.share_bytes(b"key", threshold=2, parties=4)
    >>> shares[1] ^= 1
    >>> values, wrong = bt.sharing.correct_bytes(shares, [1, 2, 3, 4], 2)
    >>> values.tobytes(), wrong
    (b'key', [2])
    """
    return correct_over(gf256(), shares, ids, threshold, threads)


def share_keys(keys: Sequence[bytes], threshold: int, parties: int) -> NDArray[np.uint64]:
    """Share keys or seeds of one length among any number of parties.

    Parameters
    ----------
    keys : sequence of bytes
        One or more secrets of the same length.
    threshold, parties : int
        As in :func:`bluetusk.sharing.shamir.share`.

    Returns
    -------
    ndarray of uint64
        Shape (parties, len(keys), ceil(length / 7)). ``shares[i, j]`` is party i + 1's share of key j: shares
        of different keys may be handed out, and collected, separately.

    Raises
    ------
    TypeError, ValueError
        If the keys are not bytes of one length, or not 1 <= threshold <= parties.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.share_keys([bytes(range(32)), bytes(32)], threshold=51, parties=100)
    >>> shares.shape
    (100, 2, 5)
    >>> bt.sharing.reconstruct_keys(shares[:51, 1:], range(1, 52), 51, length=32) == [bytes(32)]
    True
    """
    if (
        isinstance(keys, bytes | str)
        or not isinstance(keys, Sequence)
        or not all(isinstance(key, bytes | bytearray) for key in keys)
    ):
        raise TypeError("keys must be a sequence of bytes")
    lengths = {len(key) for key in keys}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"keys must be one or more bytes of equal length, not of the lengths {sorted(lengths)}")
    (length,) = lengths
    limbs = -(-length // _LIMB)
    padded = np.zeros((len(keys), limbs * _LIMB), np.uint8)
    padded[:, :length] = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), length)
    words = np.zeros((len(keys), limbs, 8), np.uint8)
    words[:, :, :_LIMB] = padded.reshape(len(keys), limbs, _LIMB)
    values = words.view("<u8")[:, :, 0].astype(np.uint64, copy=False)
    return shamir.share(values, threshold, parties, _PRIME, threads=1)


def reconstruct_keys(
    shares: ArrayLike, ids: Sequence[int], threshold: int, length: int, *, check: bool = True
) -> list[bytes]:
    """Reconstruct keys.

    Parameters
    ----------
    shares : array_like of uint64
        Shape (m, number of keys, ceil(length / 7)), the first axis in the order of `ids`.
    ids, threshold, check
        As in :func:`bluetusk.sharing.shamir.reconstruct`.
    length : int
        Bytes of a key.

    Returns
    -------
    list of bytes
        The keys.

    Raises
    ------
    ProtocolAbort
        As :func:`bluetusk.sharing.shamir.reconstruct`, and if the shares do not reconstruct to a key of that length.
    TypeError, ValueError
        As :func:`bluetusk.sharing.shamir.reconstruct`, and if the shape does not fit the length.

    Examples
    --------
    >>> import bluetusk as bt
    >>> shares = bt.sharing.share_keys([b"0123456789abcdef"], threshold=2, parties=3)
    >>> bt.sharing.reconstruct_keys(shares[1:], [2, 3], 2, length=16)
    [b'0123456789abcdef']
    """
    length = as_int(length, "length", 1)
    limbs = -(-length // _LIMB)
    array = as_array(shares, "shares")
    if array.ndim != 3 or array.shape[2] != limbs:
        raise ValueError(f"shares must have the shape (parties, keys, {limbs}), not {array.shape}")
    values = shamir.reconstruct(array, ids, threshold, _PRIME, check=check, threads=1)
    raw = np.ascontiguousarray(values.astype("<u8", copy=False)).view(np.uint8).reshape(-1, limbs, 8)
    data = np.ascontiguousarray(raw[:, :, :_LIMB]).reshape(-1, limbs * _LIMB)
    if raw[:, :, _LIMB].any() or data[:, length:].any():
        raise ProtocolAbort(f"the shares do not reconstruct to a key of {length} bytes: at least one of them is wrong")
    return [row[:length].tobytes() for row in data]
