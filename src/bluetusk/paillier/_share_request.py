"""The evaluator's message that turns an encrypted array into shares; :mod:`.to_shares` has the key holder's side.

This file imports arrays as types only, so that :meth:`CipherArray.to_shares` can use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._numeric import as_int
from ..errors import EncodingOverflow
from ..wire import frame
from . import _frames
from .proofs import require_proven
from .slots import IDLE_BITS, STATISTICAL_BITS, Slots, hide, room, uniform

if TYPE_CHECKING:
    from . import CipherArray

__all__ = ["FIELDS", "places", "ring_bits", "to_shares", "word_dtype"]

FIELDS = ("bits", "shape", "slot_bits", "truncate")


def ring_bits(bits: int) -> int:
    """Return the ring's bits as Python's int: ``1 << numpy.int64(64)`` is 0."""
    width = as_int(bits, "bits")
    if width not in (32, 64):
        raise ValueError(f"bits must be 32 or 64, not {width}")
    return width


def word_dtype(bits: int) -> np.dtype[Any]:
    """Return the type of the ring's words."""
    return np.dtype(np.uint32 if bits == 32 else np.uint64)


def places(key_bits: int, width: int) -> Slots:
    """Return the layout of slots whose top :data:`.IDLE_BITS` bits are free, under one uniform mask."""
    return Slots(width, (room(key_bits, masked=True) + IDLE_BITS) // width)


def to_shares(
    c: CipherArray, bits: int = 64, *, truncate: int = 0, bound: int | None = None, threads: int | None = None
) -> tuple[NDArray[Any], bytes]:
    """Turn an encrypted array into shares: the evaluator's side; see :meth:`CipherArray.to_shares`."""
    bits = ring_bits(bits)
    if c.packed:
        raise ValueError("a packed array's slots are too narrow for masks: encrypt with packed=False")
    pub, declared = c.public_key, _frames.declared_bound(c, bound)
    require_proven(pub)
    truncate = as_int(truncate, "truncate", 0, declared.bit_length() + STATISTICAL_BITS - bits)
    # A slot holds u = v + 2^top, 0 < u < 2^(top + 1), and nothing in the IDLE_BITS above it: the slots below carry into
    # the next one with probability 2^-64, and never borrow. What lies above a slot vanishes modulo 2^bits.
    top = max(declared.bit_length(), truncate)
    slots = places(pub.bits, max(top + 1 + IDLE_BITS, truncate + bits))
    if slots.count < 1:
        raise EncodingOverflow(
            f"a slot of {slots.width} bits does not fit a key of {pub.bits} bits: declare a bound of fewer than "
            f"{declared.bit_length()} bits"
        )
    offset, n = 1 << (top - truncate), pub.n
    masks = uniform(n, slots.blocks(c.size))
    words = [-((rho >> truncate) + offset) % (1 << bits) for rho in slots.floors(masks, c.size)]
    share = np.array(words, word_dtype(bits)).reshape(c.shape)
    header = {"bits": bits, "truncate": truncate, "slot_bits": slots.width, "shape": [int(d) for d in c.shape]}
    if not masks:
        return share, frame.encode(frame.Kind.SHARE_REQUEST, header)
    offsets = slots.packed([1 << top] * c.size)
    moved = [(rho + more) % n for rho, more in zip(masks, offsets, strict=True)]
    hidden = hide(slots.shifted(c), moved, threads=threads)
    return share, frame.encode(frame.Kind.SHARE_REQUEST, header, hidden.to_bytes(hidden.bound))
