from collections.abc import Iterable
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

MAX_FRAC2: int
MAX_FRAC10: int
MIN_SLOT: int
MAX_SLOT: int

def quantise(
    x: npt.NDArray[np.float64],
    out: npt.NDArray[np.int64],
    base: int,
    frac: int,
    limit: int,
    inner: float = 0.0,
    words: npt.NDArray[np.uint64] | None = None,
) -> tuple[int, int]: ...
def quantise_int64(
    v: npt.NDArray[np.int64], out: npt.NDArray[np.int64], base: int, frac: int, limit: int
) -> tuple[int, int]: ...
def quantise_uint64(
    v: npt.NDArray[np.uint64], out: npt.NDArray[np.int64], base: int, frac: int, limit: int
) -> tuple[int, int]: ...
def sum_squares(v: npt.NDArray[np.int64]) -> int: ...
def shrink(v: npt.NDArray[np.int64], factor: int, shift: int) -> None: ...
def to_double(v: npt.NDArray[np.int64], out: npt.NDArray[np.float64], divisor: int, shift: int) -> None: ...
def residues_from_int64(
    v: npt.NDArray[np.int64], modulus_limbs: npt.NDArray[np.uint64], out: npt.NDArray[np.uint64]
) -> None: ...
def int64_from_residues(
    res: npt.NDArray[np.uint64], modulus_limbs: npt.NDArray[np.uint64], out: npt.NDArray[np.int64]
) -> int: ...
def pack_slots(
    v: npt.NDArray[np.int64],
    slot_bits: int,
    slots_per_ct: int,
    modulus_limbs: npt.NDArray[np.uint64],
    out: npt.NDArray[np.uint64],
) -> None: ...
def unpack_slots(
    res: npt.NDArray[np.uint64],
    slot_bits: int,
    slots_per_ct: int,
    modulus_limbs: npt.NDArray[np.uint64],
    out: npt.NDArray[np.int64],
) -> int: ...
def residues_from_ints(
    values: Iterable[SupportsIndex], modulus: SupportsIndex, limbs: int
) -> npt.NDArray[np.uint64]: ...
def ints_from_residues(res: npt.NDArray[np.uint64], modulus: SupportsIndex) -> list[int]: ...
