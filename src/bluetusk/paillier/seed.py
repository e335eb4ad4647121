"""The randomness of one encrypted array as the expansion of 32 secret bytes, so that an auditor can encrypt it again.

Who knows the seed of an array and the public key can tell of each ciphertext which number is in it, by trying: a seed
is as secret as the numbers. Two arrays under the same randomness show the differences of their numbers to everybody, so
a seed serves one array, and the key's fingerprint and the names that its maker gives are hashed into what it expands
to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from .._once import Uncopied
from .._random import SEED_BYTES, Stream
from ..errors import ProtocolAbort
from ..storage import sealed

__all__ = ["SEEDS", "Seed"]

_LABEL = b"bluetusk/randomness of an encrypted array/v1"


class Seed(Uncopied):
    """The randomness of one array, for ``encrypt_integers(seed=)`` and, at an auditor, ``hazmat.encrypt_with``.

    Parameters
    ----------
    secret : bytes
        32 bytes, fresh from the operating system for each array.
    *context : bytes, str or int
        What the array is: other names give other randomness.

    Raises
    ------
    ValueError
        If `secret` is not 32 bytes.
    TypeError
        If a name is of another type: NumPy's, which are kept as plain ones, would give an auditor other randomness.

    Notes
    -----
    Randomness is AES-256-CTR under HKDF-SHA256 of the secret, the public key's fingerprint and the context. The secret
    passes through Python objects that cannot be wiped; the seed forgets it when it is used.

    Examples
    --------
    >>> import numpy as np
    >>> import bluetusk as bt
    >>> from bluetusk.paillier.array import encrypt_integers
    >>> plan, y = bt.FixedPoint.integers(1), np.array([0, 1, 1])
    >>> c = encrypt_integers(priv, y, plan, frac=0, bound=1, seed=Seed(bytes(32), "labels", 7))
    >>> again = bt.paillier.hazmat.encrypt_with(pub, [0, 1, 1], Seed(bytes(32), "labels", 7))
    >>> c.to_bytes().endswith(b"".join(int(each).to_bytes(pub.bits // 4, "little") for each in again))
    True
    """

    __slots__ = ("_context", "_secret")

    _no_copy = "two arrays under the same randomness show the differences of their numbers"

    def __init__(self, secret: bytes, *context: bytes | str | int) -> None:
        if not isinstance(secret, bytes) or len(secret) != SEED_BYTES:
            raise ValueError(f"secret must be {SEED_BYTES} bytes: draw them with os.urandom({SEED_BYTES})")
        for each in context:
            if type(each) not in (bytes, str, int):
                raise TypeError(f"context must hold bytes, str and int, not {type(each).__name__}: convert it")
        names = [each if isinstance(each, bytes) else repr(each).encode() for each in context]
        kinds = [type(each).__name__.encode() for each in context]
        pieces = [len(each).to_bytes(8, "little") + each for pair in zip(kinds, names, strict=True) for each in pair]
        self._context = hashlib.sha256(b"".join(pieces)).digest()
        self._secret = [secret]

    def __repr__(self) -> str:
        return f"<Seed {'unused' if self._secret else 'used'}>"

    def source(self, fingerprint: bytes) -> Callable[[int], bytes]:
        """Return the function that gives the next n bytes, for the key of this fingerprint; once.

        Raises
        ------
        ProtocolAbort
            If the seed was used before.

        Examples
        --------
        >>> seed = Seed(bytes(32), "labels")
        >>> len(seed.source(bytes(32))(100)), seed
        (100, <Seed used>)
        """
        try:
            secret = self._secret.pop()  # whoever takes it out has it alone, among threads too
        except IndexError:
            raise ProtocolAbort(
                "this seed was used for another array, and two arrays under the same randomness show the differences "
                "of their numbers: make a new one for each array"
            ) from None
        return Stream(sealed.derived(secret, b"\x00".join([_LABEL, fingerprint + self._context]))).bytes


SEEDS: ContextVar[Callable[[Any, Sequence[int]], Seed] | None] = ContextVar("bluetusk_seeds", default=None)
"""In a step that is audited: gives the seed of each array that :mod:`.masked` makes under a public key.

It gets that key, and the integers that are about to be encrypted; of masks, which the seed determines, none.
"""
