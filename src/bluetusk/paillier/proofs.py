"""Proofs about keys: what a peer shows of its modulus before anybody encrypts under it.

Whoever encrypts under a key of somebody else relies on ``gcd(n, phi(n)) = 1``. Then ``(m, r) -> (1 + n)^m r^n`` is a
bijection onto the units modulo n^2, and a ciphertext holds nothing beside its plaintext. For an n that shares a factor
with phi(n) it is not: the key's maker can read a second message in every ciphertext, for instance of what was meant to
be masked. The holder of a public key cannot check this alone, the key's owner can prove it, in zero knowledge: seven
n-th roots modulo n of numbers that nobody chose.

The proof does not say that n has exactly two factors, nor that they are large: factors above 2^20 are possible.

References: R. Gennaro, D. Micciancio, T. Rabin, "An efficient non-interactive statistical zero-knowledge proof system
for quasi-safe prime products", CCS 1998; S. Goldberg, L. Reyzin, O. Sagga, F. Baldimtsi, "Efficient noninteractive
certification of RSA moduli and beyond", ASIACRYPT 2019, section 3.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import gmpy2
import numpy as np
from gmpy2 import mpz

from .._integers import limbs_of, numbers_of
from ..errors import FrameError, InvalidKey
from ..modexp import powmod
from ..wire import frame
from .scheme import PrivateBase, PublicBase

if TYPE_CHECKING:
    from . import PrivateKey, PublicKey

__all__ = ["CHALLENGES", "prove_modulus", "require_proven", "verify_modulus"]

CHALLENGES: Final = 7
"""Challenges of a proof. If a prime f > 2^20 divides n and phi(n), at most one unit in f is an n-th power: all seven
are with a probability below 2^-140 for each hash that a forger computes (Goldberg et al., theorem 3.1)."""

_DOMAIN = b"bluetusk/paillier/proof/modulus/v1\x00"
_EXTRA = 32  # bytes beyond the length of n: a challenge is then within 2^-256 of uniform modulo n
_MOST_CONTEXT = 256


def prove_modulus(priv: PrivateKey, session: bytes, holder: bytes) -> bytes:
    """Prove that n is coprime to phi(n), and that hs is an n-th residue: the key owner's side.

    Parameters
    ----------
    priv : PrivateKey
        The key.
    session : bytes
        Names the job that both sides are in, 1 to 256 bytes; the proof holds for no other.
    holder : bytes
        Names who holds the key, such as a fingerprint of a certificate, 1 to 256 bytes; the proof holds for nobody
        else.

    Returns
    -------
    bytes
        One frame for :func:`verify_modulus`, 1.9 kB at 2048 bits.

    Raises
    ------
    InvalidKey
        If the key is closed, or the check of a root fails.
    TypeError, ValueError
        If `priv` is not a private key, or `session` or `holder` is not bytes, empty or too long.

    Notes
    -----
    Takes 7 ms at 2048 bits. Each root is checked before it is released, as a wrong one may show a factor of n.

    Examples
    --------
    >>> proof = prove_modulus(priv, b"a job", b"a bank")
    >>> verify_modulus(pub, proof, b"a job", b"a bank")
    >>> verify_modulus(pub, proof, b"another job", b"a bank")
    Traceback (most recent call last):
        ...
    bluetusk.errors.InvalidKey: root 1 of the proof is wrong: it was made for another key, session or holder, ...
    """
    if not isinstance(priv, PrivateBase):
        raise TypeError(f"priv must be a PrivateKey, not {type(priv).__name__}")
    pub = priv.public_key
    numbers = _challenges(pub, _context(session, "session"), _context(holder, "holder"))
    if pub.given_hs and pub.hs is not None:
        numbers.append(mpz(pub.hs) % pub.n)
    limbs = pub.bits // 64
    roots = np.empty((len(numbers), limbs), np.uint64)
    priv._roots(limbs_of(numbers, limbs), roots)
    header = {"fingerprint": pub.fingerprint, "roots": len(numbers)}
    return frame.encode(frame.Kind.KEY_PROOF, header, roots.astype("<u8").tobytes())


def verify_modulus(pub: PublicKey, proof: bytes | bytearray | memoryview, session: bytes, holder: bytes) -> None:
    """Check a proof of :func:`prove_modulus`; from then on the key and all equal ones are ``proven`` in this process.

    Parameters
    ----------
    pub : PublicKey
        The peer's key. That it has no factor below 2^20, on which the proof rests, was checked when it was built.
    proof : bytes-like
        From the peer.
    session, holder : bytes
        What this side knows of the job and of the peer, not what came with the proof.

    Raises
    ------
    FrameError
        If `proof` is not one frame of this kind.
    InvalidKey
        If it proves nothing about this key in this session for this holder.
    TypeError, ValueError
        If `pub` is not a public key, or `session` or `holder` is not bytes, empty or too long.

    Notes
    -----
    After it, ``(m, r) -> (1 + n)^m r^n mod n^2`` is a bijection from Z_n x Z_n^* onto the units, and obfuscators are
    n-th powers: a ciphertext hides no second message. Takes 3 ms at 2048 bits, and once more that for an hs that the
    key's maker chose.

    Examples
    --------
    >>> verify_modulus(pub, prove_modulus(priv, b"7", b"bank"), b"7", b"bank")
    """
    if not isinstance(pub, PublicBase):
        raise TypeError(f"pub must be a PublicKey, not {type(pub).__name__}")
    session, holder = _context(session, "session"), _context(holder, "holder")
    given = pub.given_hs and pub.hs is not None
    limbs, count = pub.bits // 64, CHALLENGES + given
    decoded = frame.decode(proof, frame.Kind.KEY_PROOF, max_payload=8 * limbs * (CHALLENGES + 1))
    frame.check_fields(decoded.header, ("fingerprint", "roots"))
    digest = frame.field(decoded.header, "fingerprint", bytes, length=32)
    roots = frame.field(decoded.header, "roots", int, low=CHALLENGES, high=CHALLENGES + 1)
    if len(decoded.payload) != 8 * limbs * roots:
        raise FrameError(f"frame payload of {len(decoded.payload)} bytes is not {roots} roots of {8 * limbs} bytes")
    if digest != pub.fingerprint or roots != count:
        raise InvalidKey("the proof is for another key; ask the peer for a proof of the key that it sent")
    found = numbers_of(np.frombuffer(decoded.payload, "<u8").astype(np.uint64).reshape(count, limbs))
    if any(not 0 < root < pub.n for root in found):
        raise InvalidKey("the proof has a root outside 1 .. n - 1; ask the peer for another proof")
    numbers = _challenges(pub, session, holder)
    powers = powmod(found[:CHALLENGES], pub.n, pub.n)
    for i, (power, number) in enumerate(zip(powers, numbers, strict=True), 1):
        if power != number:
            raise InvalidKey(
                f"root {i} of the proof is wrong: it was made for another key, session or holder, or n is not coprime "
                "to phi(n) and the key's maker could read more than plaintexts; do not encrypt under this key"
            )
    if given and gmpy2.powmod(found[-1], pub.n, pub.nsquare) != pub.hs:
        raise InvalidKey(
            "the proof does not show that hs is an n-th residue, so ciphertexts could decrypt wrongly; do not encrypt "
            "under this key"
        )
    pub._blinder.proven = True


def require_proven(
    pub: PublicKey,
    remedy: str = "its owner sends bt.paillier.prove_modulus(priv, session, holder), and verify_modulus checks it here",
) -> None:
    """Refuse a key of which this process does not know that it was made well.

    Parameters
    ----------
    pub : PublicKey
        A peer's, or this side's own.
    remedy : str, optional
        How the proof gets here.

    Raises
    ------
    InvalidKey
        If the key is not :attr:`PublicKey.proven`.

    Examples
    --------
    >>> require_proven(pub)
    """
    if not pub.proven:
        raise InvalidKey(
            f"the key {pub.fingerprint.hex()[:12]} came without a proof that n is coprime to phi(n): its owner could "
            f"read more than plaintexts, through any mask; {remedy}"
        )


def _context(value: bytes, name: str) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"{name} must be bytes, not {type(value).__name__}")
    if not 0 < len(value) <= _MOST_CONTEXT:
        raise ValueError(f"{name} must have 1 to {_MOST_CONTEXT} bytes, not {len(value)}")
    return value


def _challenges(pub: PublicKey, session: bytes, holder: bytes) -> list[mpz]:
    """Return units modulo n that nobody chose: SHAKE-256 of a label and of each part behind its length (4 bytes)."""
    size = pub.bits // 8
    hs = b"" if pub.hs is None else pub.hs.to_bytes(2 * size, "little")
    shake = hashlib.shake_256(_DOMAIN)
    for part in (pub.suite.encode(), pub.n.to_bytes(size, "little"), hs, session, holder):
        shake.update(len(part).to_bytes(4, "little") + part)
    stream, step = shake.digest(CHALLENGES * (size + _EXTRA)), size + _EXTRA
    numbers = [mpz(int.from_bytes(stream[i : i + step], "big")) % pub.n for i in range(0, len(stream), step)]
    product = mpz(1)
    for number in numbers:
        product = product * number % pub.n
    if gmpy2.gcd(product, pub.n) != 1:
        raise InvalidKey("n shares a factor with a number derived from it; ask the key's owner for the right key")
    return numbers
