"""Compares shared numbers of two parties: opens one bit, whether a number is negative.

The number is v = x + y modulo 2^k, x the guest's share, y the host's. Its sign is the exclusive or of the top bits of x
and y and of the carry into them, and the carry is a comparison of two numbers of k - 1 bits, of which each party knows
one: [DGK]_. The guest encrypts the bits of its number; the host computes, for each place i, a number that is zero only
if i is the highest place in which the two numbers differ and they differ there in the direction that the host has drawn
at random; it multiplies each by a fresh unit, mixes the places, and sends them back. The guest sees one zero or none, a
uniform bit because the direction was drawn; nothing else is left of the numbers. Then both send their share of the
answer.

A guest that encrypts other numbers than bits makes of each place what it likes, a linear function of the host's bits
whose coefficients it chooses, and another one modulo each factor of its modulus. It then sees by which factors a place
is divisible. The proof of a key says nothing about the number of factors: with 64 of them, of 32 bits, one place shows
every bit of the host's number. So the bound is that number itself, :func:`most_learned`. The host sees one bit of the
guest's, whatever it sends. Policies are asked about these bounds.

.. [DGK] I. Damgaard, M. Geisler, M. Kroigaard, "Efficient and Secure Comparison for On-Line Auctions", ACISP 2007, and
   "A correction", Int. J. Applied Cryptography 1(4), 2009 (a sum of exclusive ors times 3).
"""

from __future__ import annotations

import secrets

import numpy as np

from ...errors import FrameError
from ...paillier import PrivateKey, PublicKey
from ...paillier.masked import blind_nonzero, fresh, open_zeros, received
from ..protocol.link import Link
from ..protocol.sizes import cipher_bytes
from .ring import RING_BITS

__all__ = ["COMPARED_BITS", "most_learned", "negative"]

COMPARED_BITS = 64
"""The words are compared modulo 2^64, without their lowest 32 binary digits."""


def most_learned(leader: bool) -> int:
    """Return how many bits the guest (the leader) or the host learns in a comparison at most, whatever it sends.

    Examples
    --------
    >>> most_learned(True), most_learned(False)
    (64, 1)
    """
    return COMPARED_BITS if leader else 1


def negative(link: Link, share: int, leader: bool, priv: PrivateKey, peer: PublicKey) -> bool:
    """Return whether a shared number is negative; both parties learn that and nothing else.

    Parameters
    ----------
    link : Link
        To the other party.
    share : int
        This party's share modulo 2^96 of a number below 2^94 in size.
    leader : bool
        Whether this is the guest, whose key is used.
    priv, peer : PrivateKey, PublicKey
        This party's key and the other's.

    Returns
    -------
    bool
        Correct for numbers v of at least 2^33 in size except with probability ``|v| / 2^96``; arbitrary for smaller
        ones.
    """
    cut = RING_BITS - COMPARED_BITS
    word = share >> cut if leader else -((-share % (1 << RING_BITS)) >> cut)
    word %= 1 << COMPARED_BITS
    top, low = divmod(word, 1 << (COMPARED_BITS - 1))
    mine = top ^ (
        _key_holder(link, low, priv) if leader else _evaluator(link, (1 << (COMPARED_BITS - 1)) - 1 - low, peer)
    )
    link.send("sign", parts=[bytes([mine])])
    (theirs,) = link.receive("sign", parts=1, most=1).parts
    if bytes(theirs) not in (b"\x00", b"\x01"):
        raise FrameError("message 'sign' must contain one bit")
    return bool(mine ^ theirs[0])


# A last digit, 0 at the guest and 1 at the host, keeps the numbers from being equal: guest <= host becomes guest <
# host.


def _key_holder(link: Link, number: int, priv: PrivateKey) -> int:
    """Return the guest's share of the bit ``number > the host's``."""
    link.send("bits", parts=[fresh(priv, _digits(2 * number), 1)])
    link.count("values_encrypted", COMPARED_BITS)
    most = cipher_bytes(COMPARED_BITS, priv.public_key.bits)
    zeros = open_zeros(priv, link.receive("places", parts=1, most=most).parts[0], COMPARED_BITS)
    return int(not any(zeros))


def _evaluator(link: Link, number: int, pub: PublicKey) -> int:
    """Return the host's share of the bit ``the guest's > number``."""
    most = cipher_bytes(COMPARED_BITS, pub.bits)
    c = received(link.receive("bits", parts=1, most=most).parts[0], pub, COMPARED_BITS, 1)
    b = np.array(_digits(2 * number + 1), dtype=np.int64)
    other = secrets.randbelow(2)  # 0: a zero means less, 1: a zero means greater
    # place i: s + a_i - b_i + 3 sum over j above i of (a_j xor b_j), where a_j xor b_j = b_j + (1 - 2 b_j) a_j
    above = np.tri(COMPARED_BITS, k=-1, dtype=np.int64).T
    matrix = np.eye(COMPARED_BITS, dtype=np.int64) + 3 * above * (1 - 2 * b)
    constant = 1 - 2 * other - b + 3 * above @ b
    order = np.argsort([secrets.randbits(64) for _ in b], kind="stable")
    link.send("places", parts=[blind_nonzero(matrix[order] @ c + constant[order])])
    return other


def _digits(number: int) -> list[int]:
    return [number >> i & 1 for i in range(COMPARED_BITS)]
