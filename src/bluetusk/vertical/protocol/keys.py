"""Sends the public key of a job with its proof, and takes no key without one.

The proof is bound to the task, the link's ``session`` and the names of both parties: that of another job, another peer
or another holder is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import FrameError, InvalidKey, ProtocolAbort
from ...paillier import PrivateKey, PublicKey, prove_modulus, verify_modulus
from .link import Link

__all__ = ["KEY_PARTS", "key_parts", "peer_key"]

KEY_PARTS = 2
"""Parts of a message that a key takes: its frame, and that of its proof."""


def key_parts(priv: PrivateKey, link: Link, task: str) -> list[bytes]:
    """Return the frames of a public key and of the proof that gcd(n, phi(n)) = 1.

    Examples
    --------
    >>> from bluetusk.vertical import local_links
    >>> here, there = local_links()
    >>> peer_key(key_parts(priv, here, "example"), there, "example") == pub
    True
    """
    proof = prove_modulus(priv, _session(link, task, link.peer), link.me.encode())
    return [priv.public_key.to_bytes(), proof]


def peer_key(parts: Sequence[bytes | memoryview], link: Link, task: str) -> PublicKey:
    """Return the key that a peer sent by :func:`key_parts`.

    Raises
    ------
    ProtocolAbort
        Naming the peer, if the key is bad, or its proof is missing, forged, or of another task, session or party.

    Examples
    --------
    >>> from bluetusk.vertical import local_links
    >>> here, there = local_links()
    >>> peer_key(key_parts(priv, here, "example"), there, "another")
    Traceback (most recent call last):
        ...
    bluetusk.errors.ProtocolAbort: the key of 'guest': root 1 of the proof is wrong: it was made for another key, ...
    """
    try:
        if len(parts) != KEY_PARTS:
            raise FrameError("it came without its proof; both parties must run the same version of bluetusk")
        pub = PublicKey.from_bytes(parts[0])
        verify_modulus(pub, parts[1], _session(link, task, link.me), link.peer.encode())
    except (FrameError, InvalidKey) as error:
        raise ProtocolAbort(f"the key of {link.peer!r}: {error}", party=link.peer) from None
    return pub


def _session(link: Link, task: str, receiver: str) -> bytes:
    return f"bluetusk/vertical/{task}\0{receiver}\0".encode() + link.session
