"""Encryption and decryption of arrays: plan, residues, obfuscators, and the checks on what comes back."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _parallel
from .._kernels import pack
from .._numeric import NumberArray
from .._powers import product_us
from ..encoding import FixedPoint
from ..errors import DecryptionError, EncodingOverflow, InvalidKey
from . import _bounds
from ._base import CipherBase, Packing
from ._store import FRESH, Index, Store, Words, build, canonical_slices
from .scheme import PublicBase
from .seed import Seed

if TYPE_CHECKING:
    from . import PrivateKey, PublicKey

__all__ = ["AUDITOR", "decrypted", "default_plan", "encrypted", "packing_for", "residue_rows"]

_INT64_MAX = (1 << 63) - 1
# The owner's tables and one check cost about as much as 16 encryptions by the public way of mpn. Backends of several
# lanes are so fast there that the check of a slice outweighs what the owner saves until slices are long.
_OWNER_PAYS_FROM = 16
_OWNER_PAYS_FROM_LANES = 512
# A slice ends with one check of all its results, as long as some 10 (decryption) or 30 (encryption) of them.
_CHECKED_SLICE_US = 90_000.0

Auditor: TypeAlias = "Callable[[PublicKey, NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]], None]"
AUDITOR: ContextVar[Auditor | None] = ContextVar("bluetusk_auditor", default=None)
"""Called with the key, plaintexts, randomness and ciphertexts of every encryption in its context, before its return."""


def modulus_limbs(pub: PublicKey) -> NDArray[np.uint64]:
    """Return n as limbs."""
    limbs = pub._kernel.n_limbs
    return np.frombuffer(int(pub.n).to_bytes(8 * limbs, "little"), dtype="<u8").astype(np.uint64)


def default_plan(numbers: NumberArray) -> FixedPoint:
    """Return the default plan of an array: exact for integers, ``FixedPoint()`` for reals."""
    return FixedPoint() if _bounds.is_real(numbers) else FixedPoint.integers(limit=_INT64_MAX)


def packing_for(pub: PublicKey, plan: FixedPoint, shape: tuple[int, ...], slot_bits: int | None) -> Packing:
    """Return the packed layout of an array of `shape`."""
    if not shape:
        raise ValueError("packed=True needs an array with at least one axis: its last axis shares ciphertexts")
    bits = plan.slot_bits if slot_bits is None else slot_bits
    if not pack.MIN_SLOT <= bits <= pack.MAX_SLOT:
        raise EncodingOverflow(
            f"the plan needs slots of {bits} bits, packed arrays have slots of {pack.MIN_SLOT} to {pack.MAX_SLOT}: "
            "use a plan with a smaller limit (clip, frac_bits, max_weight), or packed=False"
        )
    return Packing(bits, pub._scheme.room(pub.n) // bits, shape[-1])


def residue_rows(
    pub: PublicKey, ints: _bounds.Ints, packing: Packing | None
) -> Callable[[int, int], NDArray[np.uint64]]:
    """Return a function that gives the plaintext residues of ciphertexts ``lo .. hi - 1`` of an integer array."""
    limbs = modulus_limbs(pub)
    if packing is None:
        flat, modulus = np.ascontiguousarray(ints).reshape(-1), int(pub.n)
        return lambda lo, hi: _bounds.residues(flat[lo:hi], modulus, limbs)
    if ints.dtype == object:  # never beyond the capacity of a slot of at most 64 bits, which was checked
        ints = ints.astype(np.int64)
    rows = math.prod(ints.shape[:-1])
    out = np.empty((rows * packing.blocks, len(limbs)), dtype=np.uint64)
    if len(out):
        values = np.ascontiguousarray(ints).reshape(rows, packing.length)
        pack.pack_slots(values, packing.slot_bits, packing.slots, limbs, out)
    return lambda lo, hi: out[lo:hi]


def encrypted(
    key: PublicKey | PrivateKey,
    ints: _bounds.Ints,
    packing: Packing | None,
    *,
    threads: int | None,
    progress: _parallel.Progress | None,
    seed: Seed | None = None,
) -> tuple[Store, Index]:
    """Encrypt integers that fit the plan, with the randomness of a seed if given; return the store and its index."""
    pub, owner = (key, None) if isinstance(key, PublicBase) else (key.public_key, key)
    shape = ints.shape if packing is None else (*ints.shape[:-1], packing.blocks)
    n = math.prod(shape)
    rows = residue_rows(pub, ints, packing)
    mont, kernel = pub._kernel.mont, pub._kernel
    auditor = AUDITOR.get()
    if auditor is not None or seed is not None:
        _check_open(owner)
        store = _replayable(pub, rows, n, seed, auditor, threads, progress)
        return store, np.arange(n, dtype=np.int64).reshape(shape)
    least = _OWNER_PAYS_FROM if mont.lanes == 1 else _OWNER_PAYS_FROM_LANES
    if owner is not None and pub._scheme.owner_encrypts and n >= least:
        secret = owner._kernel

        def by_owner(dst: Words, lo: int, hi: int) -> None:
            canon = np.empty((hi - lo, mont.limbs), dtype=np.uint64)
            secret.encrypt(canon, rows(lo, hi), 0, hi - lo)
            mont.load(dst, canon, 0, hi - lo)

        cost_us = 2 * 32 * kernel.n_limbs / 5 * product_us(mont, kernel.n_limbs)
        words = build(
            mont, n, by_owner, cost_us=cost_us, slice_us=_CHECKED_SLICE_US, threads=threads, progress=progress
        )
    else:
        _check_open(owner)
        pub._blinder.prepare(n)

        def by_public(dst: Words, lo: int, hi: int) -> None:
            pub._blind(dst, 0, hi - lo)
            kernel.mul_plain(dst, dst, None, rows(lo, hi), 0, hi - lo, True)

        words = build(mont, n, by_public, cost_us=pub._blinder.cost_us, threads=threads, progress=progress)
    return Store(mont, words, n, FRESH), np.arange(n, dtype=np.int64).reshape(shape)


def _check_open(owner: PrivateKey | None) -> None:
    if owner is not None and owner.closed:
        raise InvalidKey(
            "this private key is closed, or belongs to the process that this one was forked from; load it again"
        )


def _replayable(
    pub: PublicKey,
    rows: Callable[[int, int], NDArray[np.uint64]],
    n: int,
    seed: Seed | None,
    auditor: Auditor | None,
    threads: int | None,
    progress: _parallel.Progress | None,
) -> Store:
    """Encrypt as the public key does, with the randomness of a seed, or with fresh that the auditor receives."""
    mont, blinder = pub._kernel.mont, pub._blinder
    blinder.prepare(n)
    plain, random = rows(0, n), blinder.draw(n, *([] if seed is None else [seed.source(pub.fingerprint)]))
    canon = np.empty((0 if auditor is None else n, mont.limbs), dtype=np.uint64)

    def work(dst: Words, lo: int, hi: int) -> None:
        blinder.power(dst, 0, hi - lo, random[lo:hi])
        pub._kernel.mul_plain(dst, dst, None, plain[lo:hi], 0, hi - lo, True)
        if auditor is not None:
            mont.store(canon[lo:hi], dst, None, 0, hi - lo)

    words = build(mont, n, work, cost_us=blinder.cost_us, threads=threads, progress=progress)
    if auditor is not None:
        auditor(pub, plain, random, canon)
    return Store(mont, words, n, FRESH)


def decrypted(
    priv: PrivateKey, c: CipherBase, *, threads: int | None, progress: _parallel.Progress | None
) -> _bounds.Ints:
    """Decrypt to integers: int64 if the array's bound fits, else Python ints; every one checked against the bound.

    Raises
    ------
    InvalidKey
        If the array is encrypted under another key, or the key is closed.
    DecryptionError
        With the same message for every failure; the cause goes to the log of this machine.
    """
    if not isinstance(c, CipherBase):
        raise TypeError(f"decrypt takes a CipherArray, not {type(c).__name__}")
    pub = priv.public_key
    if pub is not c.public_key and pub.fingerprint != c.public_key.fingerprint:
        raise InvalidKey(
            f"the array is encrypted under the key {c.public_key.fingerprint.hex()[:12]}, not under "
            f"{pub.fingerprint.hex()[:12]}: use the private key of the array"
        )
    rows = _decrypted_rows(priv, c, threads, progress)
    return _decoded(pub, rows, c)


def _decrypted_rows(
    priv: PrivateKey, c: CipherBase, threads: int | None, progress: _parallel.Progress | None
) -> NDArray[np.uint64]:
    """Return the plaintext residues of all ciphertexts."""
    kernel, limbs = priv._kernel, priv.public_key._kernel.n_limbs
    index, mont, source = c._flat(), c._mont, c._store.words
    out = np.zeros((len(index), limbs), dtype=np.uint64)

    def work(lo: int, hi: int) -> None:
        canon = np.empty((hi - lo, mont.limbs), dtype=np.uint64)
        mont.store(canon, source, index[lo:hi], 0, hi - lo)
        kernel.decrypt(out[lo:hi], canon, 0, hi - lo)

    cost_us = 2.5 * 32 * limbs * product_us(mont, limbs)  # a power of half the bits of n modulo each square
    _parallel.run(
        len(index),
        work,
        cost_us=cost_us,
        align=mont.lanes,
        slice_us=_CHECKED_SLICE_US,
        threads=threads,
        progress=progress,
    )
    return out


def _decoded(pub: PublicKey, rows: NDArray[np.uint64], c: CipherBase) -> _bounds.Ints:
    shape, bound, packing, limbs = c.shape, c.bound, c._packing, modulus_limbs(pub)
    if packing is not None:
        lead = math.prod(shape[:-1])
        values = np.zeros(lead * packing.length, dtype=np.int64)
        if len(rows):
            table = values.reshape(lead, packing.length)
            bad = pack.unpack_slots(rows, packing.slot_bits, packing.slots, limbs, table)
            if bad >= 0:
                raise DecryptionError(f"block {bad} does not unpack")
    elif bound <= _INT64_MAX:
        values = np.zeros(len(rows), dtype=np.int64)
        if len(rows):
            bad = pack.int64_from_residues(rows, limbs, values)
            if bad >= 0:
                raise DecryptionError(f"element {bad} exceeds 64 bits, its bound is below")
    else:
        return _decoded_wide(pub, rows, shape, bound)
    if bound <= _INT64_MAX:
        beyond = (values > bound) | (values < -bound)
        if beyond.any():
            raise DecryptionError(f"element {int(np.argmax(beyond))} exceeds the bound of the array")
    return values.reshape(shape)


def _decoded_wide(pub: PublicKey, rows: NDArray[np.uint64], shape: tuple[int, ...], bound: int) -> _bounds.Ints:
    out = np.empty(len(rows), dtype=object)
    for i, value in enumerate(pack.ints_from_residues(rows, int(pub.n))):
        if abs(value) > bound:
            raise DecryptionError(f"element {i} exceeds the bound of the array")
        out[i] = int(value)
    return out.reshape(shape)


def canonical(c: CipherBase) -> NDArray[np.uint64]:
    """Return the canonical ciphertexts of an array, shape ``(n, limbs)``, as they are."""
    out = np.empty((c._index.size, c._mont.limbs), dtype=np.uint64)
    for first, piece in canonical_slices(c._store, c._flat()):
        out[first : first + len(piece)] = piece
    return out
