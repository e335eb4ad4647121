"""The table of encryption schemes.

Arrays know ciphertexts as elements of a group, which a kernel multiplies, inverts and raises to powers. What a
plaintext holds, how a ciphertext is blinded, and which numbers make a key is a scheme's. To add one, write a file with
a :class:`Scheme`, such as ``_djn.py``, and a row of :data:`SCHEMES`: keys, frames, key files and arrays take it from
there.
"""

from __future__ import annotations

from typing import Final

from ..errors import InvalidKey
from ._djn import Djn
from ._scheme import Scheme
from ._standard import Standard

__all__ = ["SCHEMES", "PrivateBase", "PublicBase", "Scheme", "scheme_of"]

SCHEMES: Final[dict[str, Scheme]] = {scheme.name: scheme for scheme in (Djn(), Standard())}
"""Each scheme by its suite's name."""


def scheme_of(suite: object) -> Scheme:
    """Return a scheme by its suite's name.

    Raises
    ------
    TypeError
        If `suite` is not a str.
    InvalidKey
        If `suite` is not a row of :data:`SCHEMES`.

    Examples
    --------
    >>> scheme_of("djn").name
    'djn'
    """
    if not isinstance(suite, str):
        raise TypeError(f"suite must be a str, not {type(suite).__name__}")
    if suite not in SCHEMES:
        raise InvalidKey(f"suite {suite[:32]!r} is unknown; use 'djn' (PPCA) or 'standard' (obfuscators r^n)")
    return SCHEMES[suite]


class PublicBase:
    """Marks public keys for arrays, on which keys are built."""

    __slots__ = ()


class PrivateBase:
    """Marks private keys for arrays, on which keys are built."""

    __slots__ = ()
