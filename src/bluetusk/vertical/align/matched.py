"""Proves to a host that the guest has matched the places that it names, by cut and choose over a sample of them.

The guest has sent its ids as points P = a H(id), the host has returned A = b P and sent its own ids as S = b H(id). A
place in the host's list and a request are a match if and only if A = a S. The guest shows, for a sample that the host
draws, that it knows one a for which this holds, and shows nothing else about it. In each of :data:`ROUNDS` rounds it
draws a number u and commits to all u S, which are (u / a) A as well. Then the host asks for either u or u / a, and
compares. A guest that named a place without having sent its id does not know both, and is found out in each round with
probability 1/2. Either answer alone is a uniform number.

What the host decides depends on points that both know and on its own coins: a guest learns nothing from a refusal.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError, ProtocolAbort
from ..protocol.link import Link, array_bytes, array_from
from .common import shuffled
from .psi import SCALAR, Blinder, Points

__all__ = ["ROUNDS", "SAMPLE", "check_matched", "prove_matched"]

ROUNDS = 40
"""A false sample passes with probability 2^-40."""
SAMPLE = 128
"""If one place in twenty is false, the sample shows it with probability .998."""
_SEED = 32
_HASH = 32


def prove_matched(link: Link, blinder: Blinder, named: Points) -> None:
    """Prove to a host that this guest has matched its points; the host calls :func:`check_matched`.

    Parameters
    ----------
    link : Link
        To the host.
    blinder : Blinder
        The one that blinded the requests.
    named : ndarray, shape (n, 33)
        The host's points at the places that the guest has named, n > 0.
    """
    (seed,) = link.receive("sample", parts=1, most=_SEED).parts
    if len(seed) != _SEED:
        raise FrameError(f"message 'sample' from {link.peer!r} holds {len(seed)} bytes, not {_SEED}")
    points = named[_sampled(len(named), bytes(seed))]
    drawn = [blinder.draw() for _ in range(ROUNDS)]
    link.send("committed", parts=[b"".join(_product(u, points, link.peer) for u in drawn)])
    (data,) = link.receive("coins", parts=1, most=ROUNDS).parts
    coins = array_from(data, "|u1", (ROUNDS,)).tolist()
    link.send("opened", parts=[b"".join(u if coin else blinder.over(u) for u, coin in zip(drawn, coins, strict=True))])


def check_matched(link: Link, blinder: Blinder, ids: Sequence[str], asked: Points) -> None:
    """Check that the guest has matched what it names.

    Parameters
    ----------
    link : Link
        To the guest.
    blinder : Blinder
        This host's.
    ids : sequence of str
        This host's ids at the places that were named; at least one.
    asked : ndarray, shape (n, 33)
        The guest's requests that match them, by what it says.

    Raises
    ------
    ProtocolAbort
        Naming the guest, if it has not.
    """
    seed, coins = os.urandom(_SEED), [secrets.randbits(1) for _ in range(ROUNDS)]
    link.send("sample", parts=[seed])
    at = _sampled(len(ids), seed)
    own = blinder.blind([ids[k] for k in at], threads=1)
    answers = blinder.blind_again(asked[at], link.peer, threads=1)
    committed = link.receive("committed", parts=1, most=ROUNDS * _HASH).parts[0]
    hashes = array_from(committed, "|u1", (ROUNDS, _HASH))
    link.send("coins", parts=[array_bytes(coins, "|u1")])
    opened = array_from(link.receive("opened", parts=1, most=ROUNDS * SCALAR).parts[0], "|u1", (ROUNDS, SCALAR))
    for coin, told, number in zip(coins, hashes, opened, strict=True):
        if told.tobytes() != _product(number.tobytes(), own if coin else answers, link.peer):
            raise ProtocolAbort("the guest named places that it has not matched", party=link.peer)


def _sampled(n: int, seed: bytes) -> NDArray[np.int64]:
    return shuffled(n, seed)[:SAMPLE]


def _product(number: bytes, points: Points, peer: str) -> bytes:
    # in one thread: the library needs longer to take a key than for most samples
    return hashlib.sha256(Blinder(number, peer).blind_again(points, peer, threads=1).tobytes()).digest()
