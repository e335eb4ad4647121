"""Additive secret sharing over the rings Z_2^32 and Z_2^64.

All n shares of a number are needed to reconstruct it: they add up to it. A share is a plain uint32 or uint64 array, a
sharing has a leading axis of parties. NumPy's arithmetic on such arrays is the ring's: ``a + b``, ``a - b`` and
``a * k`` of shares are shares of the sum, the difference and the multiple by a public integer, wrapping silently; a
public number is added to one party's share only. A product with a public matrix is :func:`matmul`, which is some twenty
times as fast as NumPy's. Products of shared numbers need a triple: :mod:`bluetusk.sharing.beaver`.

Replicated sharing among three parties gives each two of three additive shares; any two parties reconstruct.

Signed numbers are two's complement: -1 is 2^64 - 1. Nothing here takes time that depends on a share.
"""

from ._additive import matmul, reconstruct, refresh, share, zero_share, zeros
from ._replicated import reconstruct_replicated, share_replicated
from ._truncation import TruncationPair, truncate, truncation_pair
from ._words import pack, unpack

__all__ = [
    "TruncationPair",
    "matmul",
    "pack",
    "reconstruct",
    "reconstruct_replicated",
    "refresh",
    "share",
    "share_replicated",
    "truncate",
    "truncation_pair",
    "unpack",
    "zero_share",
    "zeros",
]
