"""Writes and reads encrypted arrays as frames: the header, the checks of a reader, and payloads in chunks.

The payload is the canonical ciphertexts in row-major order, little-endian, each as wide as n^2. The header names suite
and key, carries the plan, the shape, the scale and a *declared* bound. The proven bound of an array follows from data
(the largest factor, the largest row of a matrix), so it never travels.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .._kernels import pack
from .._numeric import as_int
from ..encoding import FixedPoint
from ..errors import BluetuskError, EncodingOverflow, FrameError, InvalidKey
from ..wire import frame
from ._base import CipherBase, Packing
from ._bounds import size_text
from ._store import DERIVED, FRESH, Store, canonical_slices, load_checked, part

if TYPE_CHECKING:
    from . import PublicKey

__all__ = ["Received", "chunks", "header_of", "parse_header", "read_payload", "take_payload"]

_FIELDS = ("bound", "frac", "fresh", "key", "packed", "plan", "shape", "slot_bits", "suite")
_CHUNK_BYTES = 1 << 20
_STREAM_BYTES = 1 << 18  # a stream that promises much and gives nothing costs a few of these
_LINE = 8  # words of a cache line


@dataclass(frozen=True)
class Received:
    """The array that a checked header describes."""

    shape: tuple[int, ...]
    packing: Packing | None
    plan: FixedPoint
    frac: int
    bound: int
    fresh: bool

    @property
    def index_shape(self) -> tuple[int, ...]:
        """Shape of the ciphertexts."""
        return self.shape if self.packing is None else (*self.shape[:-1], self.packing.blocks)

    @property
    def count(self) -> int:
        """Number of ciphertexts."""
        return math.prod(self.index_shape)


def plan_bound(plan: FixedPoint, frac: int, limit: int) -> int:
    """Return a bound of the plan, stated at its own scale, at the scale `frac`."""
    if frac >= plan.frac:
        return int(limit * plan.base ** (frac - plan.frac))
    return int(-(-limit // plan.base ** (plan.frac - frac)))


def largest_frac(pub: PublicKey, plan: FixedPoint) -> int:
    """Return the largest scale that travels: its unit is no more than n, so raising to it costs bounded work."""
    return int(pub.bits if plan.base == 2 else pub.bits * 3 // 10)


def declared_bound(c: CipherBase, bound: int | None) -> int:
    """Return the bound that a frame declares: the caller's, else the plan's.

    Raises
    ------
    EncodingOverflow
        If it is below the proven bound, beyond the capacity, or not given where the plan's does not cover the array.
    """
    if bound is None:
        fresh = plan_bound(c.plan, c.frac, c.plan.limit)
        if c.bound <= fresh and c.fresh:
            return min(fresh, c._capacity())
        whole = min(plan_bound(c.plan, c.frac, c.plan.bound), c._capacity())
        if c.bound <= whole:
            return whole
        raise EncodingOverflow(
            f"the array's integers may reach {size_text(c.bound)}, {size_text(c.bound - whole)} more than its plan "
            f"allows: declare a bound that both sides may know, to_bytes(bound=...), of at "
            "least c.bound"
        )
    value = as_int(bound, "bound", 0)
    if value < c.bound:
        raise EncodingOverflow(
            f"bound is {size_text(value)}, {size_text(c.bound - value)} below the array's own: declare at least c.bound"
        )
    if value > c._capacity():
        raise EncodingOverflow(
            f"bound is {size_text(value)}, {size_text(value - c._capacity())} beyond the capacity: declare less"
        )
    return value


def header_of(c: CipherBase, bound: int | None) -> dict[str, Any]:
    """Return the header of an array's frame."""
    declared = declared_bound(c, bound)
    most = largest_frac(c.public_key, c.plan)
    if c.frac > most:
        raise EncodingOverflow(
            f"the array has the scale {c.plan.base}^-{c.frac}, but frames carry at most {c.plan.base}^-{most}: "
            "multiply by reals less often, or by integers"
        )
    shape = [int(d) for d in c.shape]
    try:
        frame.shape_field({"shape": shape})
    except FrameError:
        raise ValueError(f"an encrypted array of shape {c.shape} does not fit a frame: {frame.shape_text()}") from None
    return {
        "suite": c.public_key.suite,
        "key": c.public_key.fingerprint,
        "plan": c.plan.to_dict(),
        "shape": shape,
        "packed": c.packed,
        "slot_bits": c.slot_bits,
        "frac": c.frac,
        "bound": declared.to_bytes(-(-declared.bit_length() // 8), "little"),
        "fresh": c.fresh,
    }


def chunks(c: CipherBase, threads: int | None) -> Iterator[memoryview]:
    """Yield the payload of an array that has been made ready to leave, in pieces of about 1 MiB."""
    size = max(1, _CHUNK_BYTES // c._mont.nbytes)
    for _, canon in canonical_slices(c._store, c._flat(), threads=threads, chunk=size):
        yield canon.astype("<u8", copy=False).data.cast("B")


def parse_header(header: dict[str, Any], payload_len: int, pub: PublicKey, plan: FixedPoint | None) -> Received:
    """Check a header against the key, the session's plan and the length of what follows.

    Raises
    ------
    FrameError
        If a field is missing, malformed or out of range, or the sizes disagree.
    InvalidKey
        If the frame names another key or suite.
    ValueError
        If the frame's plan is not the session's.
    """
    frame.check_fields(header, _FIELDS)
    suite = frame.field(header, "suite", str, high=32)
    key = frame.field(header, "key", bytes, length=32)
    if key != pub.fingerprint or suite != pub.suite:
        raise InvalidKey(
            f"the frame is for the key {key.hex()[:12]} (suite {suite}), but pub is {pub.fingerprint.hex()[:12]} "
            f"(suite {pub.suite}): give the key of the frame"
        )
    sent = _plan(frame.field(header, "plan", dict))
    if plan is not None and sent != plan:
        raise ValueError(f"the frame's plan is {sent}, but this session's is {plan}: agree on one plan")
    frac = frame.field(header, "frac", int, low=0, high=largest_frac(pub, sent))
    shape = frame.shape_field(header)
    packed = frame.field(header, "packed", bool)
    slot_bits = frame.field(header, "slot_bits", int, low=0, high=pack.MAX_SLOT)
    agree = shape and slot_bits >= pack.MIN_SLOT if packed else slot_bits == 0
    if not agree:
        raise FrameError("frame fields 'packed', 'slot_bits' and 'shape' disagree")
    slots = pub._scheme.room(pub.n) // slot_bits if packed else 0
    packing = Packing(slot_bits, slots, shape[-1]) if packed else None
    raw = frame.field(header, "bound", bytes, high=pub._kernel.mont.nbytes)
    declared = int.from_bytes(raw, "little")
    capacity = pub._capacity if packing is None else packing.capacity
    if declared > capacity or (raw and raw[-1] == 0):
        raise FrameError("frame field 'bound' is beyond the capacity, or not in its shortest form")
    mine = capacity if plan is None else plan_bound(plan, frac, plan.bound)
    got = Received(shape, packing, sent, frac, min(declared, mine), frame.field(header, "fresh", bool))
    needed = got.count * pub._kernel.mont.nbytes
    if needed != payload_len:
        raise FrameError(f"frame field 'shape' needs a payload of {needed} bytes, not {payload_len}")
    return got


def _plan(fields: dict[str, Any]) -> FixedPoint:
    try:
        return FixedPoint.from_dict(fields)
    except FrameError:
        raise
    except (BluetuskError, TypeError, ValueError, KeyError, OverflowError) as error:
        raise FrameError(f"frame field 'plan' is not a valid plan: {error}") from None


def read_payload(fp: BinaryIO, got: Received, pub: PublicKey, threads: int | None) -> Store:
    """Read the ciphertexts from a stream, checking each chunk; memory follows what really arrives."""
    mont = pub._kernel.mont
    n = got.count
    rows = _chunk_rows(mont.nbytes, mont.lanes, _STREAM_BYTES)
    room = _Room(pub, n)
    for lo in range(0, n, rows):
        canon = np.empty((min(rows, n - lo), mont.limbs), dtype="<u8")
        frame.read_exact(fp, canon.data.cast("B"))
        room.make(lo + len(canon))
        here = part(mont, room.words(), lo, lo + len(canon))
        load_checked(pub, here, canon.astype(np.uint64, copy=False), lo, threads=threads)
        del here  # a buffer with views cannot grow
    room.make(n)
    return Store(mont, room.words(), n, FRESH if got.fresh else DERIVED)


class _Room:
    """A buffer that grows to n elements as they arrive.

    A bytearray grows where it is, with an eighth to spare: the system moves the pages of a large one, so that no second
    copy is held meanwhile. NumPy's `resize` copies since 2.5.
    """

    def __init__(self, pub: PublicKey, n: int) -> None:
        self._mont, self._most, self._there = pub._kernel.mont, n, 0
        self._bytes, self._skip = bytearray(8 * _LINE), 0

    def make(self, n: int) -> None:
        """Make room for n elements; no view of the buffer may be in use."""
        if n <= self._there:
            return
        used = self._mont.words(self._there)
        try:
            self._bytes.extend(bytes(8 * (self._mont.words(n) - used)))
        except (MemoryError, OverflowError):
            raise FrameError(f"the frame's {self._most} ciphertexts exceed this machine's memory") from None
        self._there = n
        at = np.frombuffer(self._bytes, np.uint64).ctypes.data
        skip = -at % (8 * _LINE) // 8
        if skip != self._skip:  # NumPy would move overlapping words by way of a copy
            ctypes.memmove(at + 8 * skip, at + 8 * self._skip, 8 * used)
            self._skip = skip

    def words(self) -> NDArray[np.uint64]:
        """Return the buffer, which begins on a cache line."""
        return np.frombuffer(self._bytes, np.uint64)[self._skip : self._skip + self._mont.words(self._there)]


def take_payload(payload: memoryview, got: Received, pub: PublicKey, threads: int | None) -> Store:
    """Convert and check ciphertexts that are in memory."""
    mont = pub._kernel.mont
    n = got.count
    rows = _chunk_rows(mont.nbytes, mont.lanes, _CHUNK_BYTES)
    try:
        words = mont.empty(n)
    except (MemoryError, ValueError, OverflowError):
        raise FrameError(f"the frame announces {n} ciphertexts, which exceed this machine's memory") from None
    for lo in range(0, n, rows):
        hi = min(lo + rows, n)
        canon = numbers(payload[lo * mont.nbytes : hi * mont.nbytes], mont.limbs)
        load_checked(pub, part(mont, words, lo, hi), canon, lo, threads=threads)
    return Store(mont, words, n, FRESH if got.fresh else DERIVED)


def numbers(raw: memoryview, limbs: int) -> NDArray[np.uint64]:
    """Return raw little-endian bytes as canonical numbers."""
    return np.frombuffer(raw, dtype="<u8").astype(np.uint64).reshape(-1, limbs)


def _chunk_rows(nbytes: int, lanes: int, size: int) -> int:
    return int(-(-max(1, size // nbytes) // lanes) * lanes)
