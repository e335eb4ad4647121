"""Generates Paillier key pairs; keys are checked when built and never changed after.

A public key is n and, in suite ``djn``, hs; both and the suite's name are in its fingerprint. Export is by our frame
(:meth:`PublicKey.to_bytes`) or JSON in the manner of a JWK (:meth:`PublicKey.to_json`). There is no DER form: no
standard known to us defines an ASN.1 encoding of Paillier keys.

A private key lives in one locked, wiped block of memory outside Python (``_kernels.paillier``); what made it, the two
primes as Python integers, cannot be wiped. Create it in a short-lived process if that matters to you.
"""

from __future__ import annotations

import warnings

from .._numeric import as_int
from . import validate
from .private_key import PrivateKey
from .public_key import PublicKey
from .scheme import scheme_of

__all__ = ["PrivateKey", "PublicKey", "generate_keypair"]


def generate_keypair(
    bits: int = 3072, *, suite: str = "djn", threads: int | None = None
) -> tuple[PublicKey, PrivateKey]:
    """Generate a key pair.

    Parameters
    ----------
    bits : {3072, 2048, 4096}, optional
        Size of n. 3072 bits give 128-bit security, 2048 bits 112-bit: these warn, and shorter ones are refused
        (PPCA 8-2023 6.2.1). The warning is given here only, not when such a key is loaded.
    suite : {"djn", "standard"}, optional
        ``djn`` is several times faster to encrypt with; ``standard`` rests on fewer assumptions.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    PublicKey, PrivateKey
        A pair with p = q = 3 mod 4, gcd(p-1, q-1) = 2, no factor of (p-1)(q-1)/4 below 2^16 and
        abs(p - q) > 2^(bits/2 - 100), whatever the suite.

    Warns
    -----
    UserWarning
        If `bits` is 2048.

    Raises
    ------
    InvalidKey
        If `bits` is not one of these sizes, or `suite` not one of these names.
    TypeError
        If `bits` is not an integer or `suite` not a str.

    References
    ----------
    PPCA 10-2023 Annex A.1; P. Paillier, EUROCRYPT 1999.

    Examples
    --------
    >>> import bluetusk as bt
    >>> pub, priv = bt.paillier.generate_keypair()
    >>> pub.bits, pub.suite
    (3072, 'djn')
    """
    bits = as_int(bits, "bits")
    validate.check_bits(bits)
    scheme = scheme_of(suite)
    if bits == 2048:
        warnings.warn(
            "a 2048-bit key gives 112-bit security; use bits=3072 for data that must stay secret beyond 2030",
            UserWarning,
            stacklevel=2,
        )
    private = PrivateKey._generated(*scheme.generate(bits, threads), scheme.name)
    return private.public_key, private
