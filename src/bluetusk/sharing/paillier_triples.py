"""Makes Beaver's triples between two parties with Paillier, without a dealer.

Party 0, who has a key, proves it once (:func:`~bluetusk.paillier.prove_modulus`). For each triple it encrypts its a_0
and b_0. Party 1 computes ``a_0 b_1 + a_1 b_0`` under encryption, and the two
turn that into shares (:meth:`CipherArray.to_shares <bluetusk.paillier.CipherArray.to_shares>`). With its own product
each has a share of ``(a_0 + a_1) (b_0 + b_1)``. Both are assumed to follow the protocol; party 1's messages
reveal nothing about its operands, whatever key and numbers party 0 chose.

References
----------
N. Gilboa, "Two party RSA key generation", 1999, section 4.1; P. Paillier, 1999.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .._once import Uncopied
from .._random import Stream
from ..errors import BluetuskError, FrameError, InvalidKey, ProtocolAbort
from ..paillier import (
    CipherArray,
    PrivateKey,
    PublicKey,
    encrypt_share,
    open_shares,
    prove_modulus,
    verify_modulus,
)
from ..paillier.slots import tightened
from ..wire.frame import Kind, check_fields, decode, encode, field
from . import beaver
from ._additive import matmul
from ._protocols import Channel
from ._words import shape_of

__all__ = ["PaillierTriples"]

_TOPIC = "begin triples"
_NONCE = 32
_SESSION = b"bluetusk/sharing/PaillierTriples\0"
_HOLDER = b"party 0"


class PaillierTriples(Uncopied):
    """One party's end: a supply of triples for a :class:`~bluetusk.sharing.array.Session` of two parties.

    Parameters
    ----------
    key : PrivateKey or PublicKey
        Party 0 has the private key, party 1 the public one, verified to be party 0's.
    channel : Channel
        To the other party: an object with ``send(bytes)`` and ``recv() -> bytes``, private and authentic; not the
        session's own.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Notes
    -----
    Truncation pairs cannot be made this way: open the session with ``accept_failure=True``.

    With the first triple party 0 proves its key for this channel: 10 ms at 2048 bits, a message of party 1 and two of
    party 0. An earlier version sent no proof; with it at one end the first triple ends in a ProtocolAbort.

    Examples
    --------
    >>> import queue, threading, bluetusk as bt
    >>> class Queues:
    ...     def __init__(self, out, into):
    ...         self.send, self.recv = out.put, into.get
    >>> q = queue.Queue(), queue.Queue()
    >>> told = {}
    >>> def party(i, key):
    ...     told[i] = bt.sharing.PaillierTriples(key, Queues(q[i], q[1 - i])).triple((2,), None)
    >>> threads = [threading.Thread(target=party, args=pair) for pair in enumerate((priv, pub))]
    >>> for thread in threads:
    ...     thread.start()
    >>> for thread in threads:
    ...     thread.join()
    >>> a, b, c = (getattr(told[0], name) + getattr(told[1], name) for name in "abc")
    >>> bool((a * b == c).all())
    True
    """

    _no_copy = "two copies would send through one channel, and the parties' parts would no longer match"

    def __init__(self, key: PrivateKey | PublicKey, channel: Channel, *, threads: int | None = None) -> None:
        if not isinstance(key, PrivateKey | PublicKey):
            raise TypeError(f"key must be a PrivateKey (party 0) or a PublicKey (party 1), not {type(key).__name__}")
        self._key, self._channel, self._threads = key, channel, threads
        self._shown = False  # whether the proof of the key went by

    def triple(self, shape: tuple[int, ...], other: tuple[int, ...] | None) -> beaver.Triple:
        """Make a triple together with the other party, which must call this with the same shapes.

        Parameters
        ----------
        shape : tuple of int
            Shape of the first factor.
        other : tuple of int or None
            Shape of the second factor of a matrix product; None for a product element by element.

        Returns
        -------
        Triple
            This party's, modulo 2^64.

        Raises
        ------
        ProtocolAbort
            If the other party's message is malformed or has another shape. With the first triple: if party 0 does not
            prove its key, which is then named as the party at fault.

        Examples
        --------
        >>> import bluetusk as bt
        >>> callable(bt.sharing.PaillierTriples(pub, None).triple)  # see the class for both ends
        True
        """
        shape, other = shape_of(shape, "shape"), None if other is None else shape_of(other, "other")
        stream = Stream()
        a, b = stream.uint64(shape), stream.uint64(shape if other is None else other)
        own = (
            matmul(a, b) if other is not None else np.asarray(np.multiply(a.reshape(-1), b.reshape(-1))).reshape(shape)
        )
        try:
            self._prove()
            if isinstance(self._key, PrivateKey):
                cross = self._first(self._key, a, b, own.shape)
            else:
                cross = self._second(self._key, a, b, other is not None)
        except ProtocolAbort:
            raise
        except BluetuskError as error:
            raise ProtocolAbort(f"making a triple: {error}") from None
        c = np.add(own.reshape(-1), cross.reshape(-1)).reshape(own.shape)
        return beaver.Triple(a, b, c, matrix=other is not None)

    def _prove(self) -> None:
        """Show the key's proof to party 1, or check it, before the first triple: for a session of two fresh nonces."""
        if self._shown:
            return
        me, nonces = int(isinstance(self._key, PublicKey)), [os.urandom(_NONCE)] * 2
        self._channel.send(encode(Kind.MESSAGE, {"topic": _TOPIC, "party": me, "nonce": nonces[me]}))
        try:
            got = decode(self._channel.recv(), Kind.MESSAGE, max_payload=0)
            check_fields(got.header, ("topic", "party", "nonce"))
            field(got.header, "topic", str, choices=(_TOPIC,))
            field(got.header, "party", int, choices=(1 - me,))
            nonces[1 - me] = field(got.header, "nonce", bytes, length=_NONCE)
        except FrameError as error:
            raise ProtocolAbort(
                f"the other party does not begin triples: {error}; one party has the private key and the other its "
                "public key, and both the same version of bluetusk",
                party=f"party {1 - me}",
            ) from None
        session = _SESSION + b"".join(nonces)
        if isinstance(self._key, PrivateKey):
            self._channel.send(prove_modulus(self._key, session, _HOLDER))
        else:
            try:
                verify_modulus(self._key, self._channel.recv(), session, _HOLDER)
            except (FrameError, InvalidKey) as error:
                raise ProtocolAbort(f"the proof of party 0's key is refused: {error}", party="party 0") from None
        self._shown = True

    def _first(self, priv: PrivateKey, a: NDArray[Any], b: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        for factor in (a, b):
            self._channel.send(encrypt_share(priv, factor, threads=self._threads).to_bytes())
        share = open_shares(priv, self._channel.recv(), threads=self._threads)
        if share.shape != shape or share.dtype != np.uint64:
            raise ProtocolAbort(
                f"making a triple: expected shares of shape {shape}, the other party sent {share.shape}"
            )
        return share

    def _second(self, pub: PublicKey, a: NDArray[Any], b: NDArray[Any], matrix: bool) -> NDArray[Any]:
        x, y = self._received(pub, a.shape), self._received(pub, b.shape)
        mine, theirs = a.view(np.int64), b.view(np.int64)
        cross = x @ theirs + mine @ y if matrix else x * theirs + y * mine
        # each factor is at most 2^63 in magnitude: two products for each of the contracted values
        terms = max(1, a.shape[-1] if matrix else 1)
        share, message = cross.to_shares(bound=(1 << 127) * terms, threads=self._threads)
        self._channel.send(message)
        return share

    def _received(self, pub: PublicKey, shape: tuple[int, ...]) -> CipherArray:
        got = CipherArray.from_bytes(self._channel.recv(), pub, threads=self._threads)
        if got.shape != shape or got.packed or got.frac or got.bound > 1 << 64:
            raise ProtocolAbort(f"making a triple: expected integers of shape {shape}, the other party sent {got!r}")
        return tightened(got, 1 << 63)

    def truncation_pair(self, shape: tuple[int, ...], k: int) -> NoReturn:
        """Refuse: without a dealer two parties can only truncate locally, which may fail.

        Raises
        ------
        TypeError
            Always.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.sharing.PaillierTriples(pub, None).truncation_pair((), 3)
        Traceback (most recent call last):
            ...
        TypeError: there is no dealer for truncation pairs: open the session with accept_failure=True
        """
        raise TypeError("there is no dealer for truncation pairs: open the session with accept_failure=True")
