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
from .slots import STATISTICAL_BITS, Slots, draw, mask, width_of

if TYPE_CHECKING:
    from . import CipherArray

__all__ = ["FIELDS", "ring_bits", "to_shares", "width_of_masked", "word_dtype"]

FIELDS = ("bits", "mask_bits", "shape", "slot_bits", "truncate")


def ring_bits(bits: int) -> int:
    """Return the ring's bits as Python's int: ``1 << numpy.int64(64)`` is 0."""
    width = as_int(bits, "bits")
    if width not in (32, 64):
        raise ValueError(f"bits must be 32 or 64, not {width}")
    return width


def word_dtype(bits: int) -> np.dtype[Any]:
    """Return the type of the ring's words."""
    return np.dtype(np.uint32 if bits == 32 else np.uint64)


def width_of_masked(mask_bits: int) -> int:
    """Return the bits of a slot with a masked value: below twice 2^mask_bits in size, of either sign."""
    return width_of(1 << mask_bits)


def to_shares(
    c: CipherArray, bits: int = 64, *, truncate: int = 0, bound: int | None = None, threads: int | None = None
) -> tuple[NDArray[Any], bytes]:
    """Turn an encrypted array into shares: the evaluator's side; see :meth:`CipherArray.to_shares`."""
    bits = ring_bits(bits)
    if c.packed:
        raise ValueError("a packed array's slots are too narrow for masks: encrypt with packed=False")
    pub, declared = c.public_key, _frames.declared_bound(c, bound)
    mask_bits = declared.bit_length() + STATISTICAL_BITS
    truncate = as_int(truncate, "truncate", 0, mask_bits - bits)
    slots = Slots.fitting(pub.bits, width_of_masked(mask_bits))
    if slots.count < 1:
        raise EncodingOverflow(
            f"a mask of {mask_bits} bits does not fit a key of {pub.bits} bits: declare a bound of fewer than "
            f"{declared.bit_length()} bits"
        )
    masks = draw(mask_bits, c.size)
    share = np.array([-(rho >> truncate) % (1 << bits) for rho in masks], word_dtype(bits)).reshape(c.shape)
    header = {
        "bits": bits,
        "truncate": truncate,
        "slot_bits": slots.width,
        "mask_bits": mask_bits,
        "shape": [int(d) for d in c.shape],
    }
    if not masks:
        return share, frame.encode(frame.Kind.SHARE_REQUEST, header)
    masked = mask(slots.shifted(c), slots.packed(masks), slots.bound, threads=threads)
    return share, frame.encode(frame.Kind.SHARE_REQUEST, header, masked.to_bytes(slots.bound))
