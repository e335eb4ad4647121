"""Bounds the sizes of messages that hold ciphertexts, columns or a key, from numbers that both parties know."""

from __future__ import annotations

__all__ = ["KEY_BYTES", "MAX_BINS", "MAX_COLUMNS", "cipher_bytes"]

KEY_BYTES = 1 << 15
"""Most bytes of a public key of 8192 bits with its proof."""
MAX_BINS = 1 << 20
"""Largest number of bins of all columns of a host together."""
MAX_COLUMNS = 1 << 13
"""Largest number of a party's columns: what a host states of them bounds its messages."""
_HEADER = 1 << 10


def cipher_bytes(count: int, key_bits: int, arrays: int = 1) -> int:
    """Return the largest number of bytes of arrays of ciphertexts with their headers.

    Parameters
    ----------
    count : int
        Number of ciphertexts in all arrays.
    key_bits : int
        Bits of the modulus; a ciphertext has twice as many.
    arrays : int
        Number of arrays.

    Returns
    -------
    int

    Examples
    --------
    >>> import bluetusk as bt
    >>> data = pub.encrypt([1.0, 2.0], bt.FixedPoint()).to_bytes()
    >>> len(data) <= cipher_bytes(2, pub.bits)
    True
    """
    return _HEADER * arrays + count * (key_bits // 4)
